"""The calibration: each product alone in the precision, then all but those that cost most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.calibrate.tokens import Distance, distance, log_probabilities, masked
from vampconv.convert import Request as Conversion
from vampconv.convert import convert
from vampconv.errors import UsageError
from vampconv.passes.pipeline import FULL
from vampconv.runtime import VampNet
from vampconv.runtime.audio import read_audio
from vampconv.runtime.transformer import Transformer

Advance = Callable[[int, int], None]
LIMIT = 3e-4


@dataclass(frozen=True)
class Request:
    """What to calibrate, and on what.

    Attributes
    ----------
    paths, codec, loras, target, precision, rule_directories, enable, disable
        As for a conversion.
    audio
        Music to take tokens of; the codec must be among the checkpoints then. By default they are drawn.
    steps
        Time steps of an input.
    seeds
        How many inputs, each masked in three ways.
    limit
        Divergence in nats that the products which are not kept may add up to.
    by_layer
        Whether whole layers are tried, and not each product.
    threads
        Of ONNX Runtime.

    """

    paths: Sequence[Path]
    codec: Path | None = None
    loras: Sequence[Path] = ()
    target: str = "portable"
    precision: str = "int8"
    rule_directories: Sequence[Path] = ()
    enable: Sequence[str] = ()
    disable: Sequence[str] = ()
    audio: Path | None = None
    steps: int = 192
    seeds: int = 2
    limit: float = LIMIT
    by_layer: bool = False
    threads: int | None = None

    def convert(self, output: Path, precision: str, keep: Sequence[str] = ()) -> Mapping[str, Any]:
        """Write a bundle without loops, over the one before; its models' entries in the manifest."""
        is_played = self.audio is not None and precision == FULL
        conversion = Conversion(
            [*self.paths, *([self.codec] if self.codec and is_played else [])],
            output,
            codec=None if is_played else self.codec,
            loras=self.loras,
            target=self.target,
            precision=precision,
            keep=keep,
            rule_directories=self.rule_directories,
            enable=self.enable,
            disable=self.disable,
            force=True,
            loops=False,
        )
        models: Mapping[str, Any] = convert(conversion).manifest["models"]
        return models


@dataclass(frozen=True)
class Calibration:
    """What was found of one part.

    Attributes
    ----------
    part
        Its name.
    alone
        The distance that each product, or layer, makes by itself.
    kept
        Modules to keep in float32, those that cost most first.
    everything, rest
        The distance with all products in the precision, and with all but those that are kept.

    """

    part: str
    alone: Mapping[str, Distance]
    kept: Sequence[str]
    everything: Distance
    rest: Distance

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def calibrate(request: Request, advance: Advance = lambda _done, _total: None) -> list[Calibration]:
    """Try the precision on each product of each transformer.

    Raises
    ------
    VampconvError
        If the checkpoints cannot be converted, or there is nothing to calibrate.

    """
    for name, least in (("steps", request.steps), ("seeds", request.seeds)):
        if least < 1:
            raise UsageError(f"--{name} must be a whole number from 1", "mend it")
    with TemporaryDirectory(prefix="vampconv-") as scratch:
        trials = _Trials(request, Path(scratch))
        units = [(part, unit) for part in trials.models for unit in trials.units(part)]
        if not units:
            raise UsageError(f"there is nothing that {request.precision} would change", "give a transformer")
        alone: dict[str, dict[str, Distance]] = {}
        for done, (part, unit) in enumerate(units):
            advance(done, len(units))
            others = [m for m in trials.products[part] if m not in trials.members(part, unit)]
            alone.setdefault(part, {})[unit] = trials.distance(part, others)
        return [trials.settle(part, found) for part, found in alone.items()]


class _Trials:
    """The conversions of a calibration, one after the other in one place."""

    def __init__(self, request: Request, scratch: Path) -> None:
        self.request, self.trial, exact = request, scratch / "trial", scratch / FULL
        full = request.convert(exact, FULL)
        every = request.convert(self.trial, request.precision, ["*"])
        some = request.convert(self.trial, request.precision)
        self.products: dict[str, list[str]] = {}
        for part, entry in every.items():
            changed = [m for m in entry.get("kept", ()) if m not in some[part]["kept"]]
            if changed:
                self.products[part] = changed
        music = None if request.audio is None else _codes(exact, request)
        self.models = {
            p: Transformer(exact / full[p]["file"], full[p]["architecture"]) for p in self.products
        }
        self.inputs = {
            part: list(masked(model, music, request.steps, request.seeds))
            for part, model in self.models.items()
        }
        self.truths = {p: log_probabilities(model, self.inputs[p]) for p, model in self.models.items()}

    def units(self, part: str) -> list[str]:
        """What is tried alone: products, or the layers that they are in."""
        named = [_layer(m) if self.request.by_layer else m for m in self.products[part]]
        return list(dict.fromkeys(named))

    def members(self, part: str, unit: str) -> list[str]:
        return [m for m in self.products[part] if unit in (m, _layer(m))]

    def distance(self, part: str, kept: Sequence[str]) -> Distance:
        """Of the part from float32, with some of its products kept."""
        keep = [f"{part}/{module}" for module in kept]
        entry = self.request.convert(self.trial, self.request.precision, keep)[part]
        model = Transformer(self.trial / entry["file"], entry["architecture"], self.request.threads)
        return distance(self.truths[part], log_probabilities(model, self.inputs[part]))

    def settle(self, part: str, alone: Mapping[str, Distance]) -> Calibration:
        """Keep what costs most until the divergence, as measured, is within the limit."""
        everything = rest = self.distance(part, [])
        ranked = sorted(alone, key=lambda unit: alone[unit].divergence, reverse=True)
        kept: list[str] = []
        while rest.divergence > self.request.limit and ranked:
            kept += self.members(part, ranked.pop(0))
            rest = self.distance(part, kept)
        return Calibration(part, alone, kept, everything, rest)


def _layer(module: str) -> str:
    """The layer that a module is in, or the module."""
    names = module.split(".")
    return ".".join(names[: names.index("layers") + 2]) if "layers" in names else module


def _codes(bundle: Path, request: Request) -> NDArray[np.int64]:
    """Codes of the music, by the bundle's own codec."""
    assert request.audio is not None
    audio, rate = read_audio(request.audio)
    return VampNet(bundle, threads=request.threads).encode(audio[None], rate)
