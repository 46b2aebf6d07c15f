"""Options of ``vampconv vamp`` that say what to make anew and how, and the presets that set them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from vampconv.cli.common import PATH, ParamType
from vampconv.errors import UsageError
from vampconv.play.presets import PRESETS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
BEAT_NAMES = {"beat_dropout": "dropout"}
"""Options of beats whose parameter has another name."""


class NamedFile(ParamType[tuple[str, Path]]):
    """``NAME=FILE``."""

    name = "name=file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        if not isinstance(value, str):
            return value
        name, found, path = value.partition("=")
        if not (name and found and path):
            self.fail(f"{value!r} is not NAME=FILE", param, ctx)
        return name, Path(path)


def _use_preset(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    del parameter
    if value is not None:
        context.default_map = dict(PRESETS[value].options)
    return value


preset_option = click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    callback=_use_preset,
    is_eager=True,
    expose_value=False,
    help="Other defaults for a purpose, see below.",
)

MASK = (
    click.option("--intensity", "rand_mask_intensity", type=float, default=1.0, help="Share made anew [1]."),
    click.option("--prefix", "prefix_s", type=float, default=0.0, help="Seconds to keep at the start [0]."),
    click.option("--suffix", "suffix_s", type=float, default=0.0, help="Seconds to keep at the end [0]."),
    click.option(
        "--periodic", "periodic_prompt", type=int, default=7, help="Keep every Nth step, 0: none [7]."
    ),
    click.option(
        "--periodic-width", "periodic_prompt_width", type=int, default=1, help="Steps each time [1]."
    ),
    click.option(
        "--onset-width", "onset_mask_width", type=int, default=0, help="Steps to keep around onsets [0]."
    ),
    click.option(
        "--beats",
        type=click.Choice(["off", "keep", "make"]),
        default="off",
        help="Keep what sounds at beats, or make just that anew [off].",
    ),
    click.option("--beat-before", "before_beat_s", type=float, default=0.0, help="Seconds before beats [0]."),
    click.option("--beat-after", "after_beat_s", type=float, default=0.02, help="Seconds from beats [0.02]."),
    click.option(
        "--upbeats/--no-upbeats", "mask_upbeats", default=True, help="Beats that are no downbeats [yes]."
    ),
    click.option("--downbeats/--no-downbeats", "mask_downbeats", default=True, help="Downbeats [yes]."),
    click.option("--beat-every", "beat_downsample_factor", type=int, help="Only every Nth of the upbeats."),
    click.option("--downbeat-every", "downbeat_downsample_factor", type=int, help="… of the downbeats."),
    click.option("--beat-dropout", type=float, default=0.0, help="Share of beats' steps not to count [0]."),
    click.option("--dropout", type=float, default=0.0, help="Share of steps made anew after all [0]."),
    click.option(
        "--upper-codebook-mask",
        type=int,
        default=3,
        help="Make codebooks from this one on anew anywhere [3].",
    ),
    click.option("--keep-codebooks", "ncc", type=int, default=0, help="Keep the first N codebooks [0]."),
    click.option(
        "--mask", "mask_file", type=PATH, metavar="FILE", help="Mask of your own: .npy or .npz, 1: made."
    ),
)
"""What to make anew, with the original's defaults."""

SAMPLING = (
    click.option("--temperature", type=float, default=1.0, help="Of the tokens' probabilities [1]."),
    click.option("--mask-temperature", type=float, default=10.5, help="Of the confidences [10.5]."),
    click.option("--top-p", type=float, help="Draw of the likeliest tokens up to this probability [all]."),
    click.option("--top-k", type=int, help="Draw of so many likeliest tokens [all]."),
    click.option(
        "--typical", type=click.Choice(["on", "off"]), default="off", help="Draw typical tokens [off]."
    ),
    click.option("--typical-mass", type=float, default=0.15, help="Their probability, at least [0.15]."),
    click.option("--typical-min-tokens", type=int, default=64, help="How many at least [64]."),
    click.option("--sample-cutoff", type=float, default=1.0, help="Share of the steps that draw [1]."),
    click.option("--steps", "sampling_steps", type=int, default=12, help="Of the coarse model [12]."),
    click.option(
        "--feedback", "feedback_steps", type=int, default=1, help="Vamp the result again, N in all [1]."
    ),
    click.option("--stretch", "time_stretch_factor", type=int, default=1, help="Times as long [1]."),
    click.option("--coarse-chunk", "coarse_chunk_s", type=float, help="Seconds [the bundle's, often 10]."),
    click.option("--c2f-chunk", "c2f_chunk_s", type=float, help="Seconds [the bundle's, often 3]."),
    click.option("--ctrl", "controls", type=NamedFile(), multiple=True, help="Control: float32 [dim, time]."),
    click.option(
        "--ctrl-mask", "control_masks", type=NamedFile(), multiple=True, help="Where it is heard [time]."
    ),
    click.option("--cfg-scale", type=float, default=3.0, help="Of the guidance by controls [3]."),
)
"""How to make it, with the original's defaults."""


def mask_options(command: Decorated) -> Decorated:
    """Add the options that say what to make anew."""
    return _decorated(command, MASK)


def sampling_options(command: Decorated) -> Decorated:
    """Add the options that say how to make it."""
    return _decorated(command, SAMPLING)


def _decorated(command: Decorated, options: Iterable[Callable[[Decorated], Decorated]]) -> Decorated:
    for option in reversed(list(options)):
        command = option(command)
    return command


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a `Request`, of the command's options."""
    from vampconv.runtime.masks.beat import BeatOptions
    from vampconv.runtime.masks.build import MaskOptions
    from vampconv.runtime.sampling.options import Sampling

    rest = dict(given)
    beats, typical = rest.pop("beats"), rest.pop("typical")
    sampling = {f.name: rest.pop(f.name) for f in fields(Sampling) if f.name in rest}
    mask = {f.name: rest.pop(f.name) for f in fields(MaskOptions)}
    names = [f.name for f in fields(BeatOptions) if f.name in rest and f.name not in mask]
    beat = {name: rest.pop(name) for name in names}
    beat |= {parameter: rest.pop(name) for name, parameter in BEAT_NAMES.items()}
    if rest["mask_file"] is not None:
        _refuse_further_masks({*mask, *beat, *BEAT_NAMES, "beats"})
    for name in ("controls", "control_masks"):
        rest[name] = dict(rest[name])
    return rest | {
        "sampling": Sampling(**sampling, typical_filtering=typical == "on"),
        "mask_options": MaskOptions(**mask),
        "beat_options": None if beats == "off" else BeatOptions(**beat, invert=beats == "keep"),
    }


def _refuse_further_masks(names: Iterable[str]) -> None:
    """Raise an error if an option of a mask was given beside a mask."""
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name in names:
            raise UsageError(f"{parameter.opts[0]} has no effect beside --mask", "leave one of them out")


def presets_help(parameters: Iterable[click.Parameter]) -> str:
    """The presets, their meanings and what they set, for ``--help``."""
    typed = {parameter.name: parameter.opts[0] for parameter in parameters}
    width = max(map(len, PRESETS))
    lines = ["\b", "Presets (options that are given override theirs):"]
    for name, preset in PRESETS.items():
        lines.append(f"  {name:{width}}  {preset.meaning}")
        if preset.options:
            options = " ".join(
                f"{typed[key]} {value:g}" if isinstance(value, float) else f"{typed[key]} {value}"
                for key, value in preset.options.items()
            )
            lines.append(f"  {'':{width}}  {options}")
    return "\n".join(lines)
