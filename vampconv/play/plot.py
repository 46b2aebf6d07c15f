"""A picture of a vamp: spectrograms before and after, the mask, and the tokens."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import UsageError
from vampconv.play.result import Output
from vampconv.play.spectrogram import band_of, spectrogram
from vampconv.play.writing import Take

SUFFIXES = (".png", ".svg", ".html")
RANGE_DB = 80.0
KEPT, MADE = "#d9dde3", "#e4572e"
"""Colours of tokens that are kept and that are made anew."""
PALE = 0.72
"""How much nearer to grey kept tokens are drawn."""
TICKS_HZ = (100, 500, 1000, 2000, 5000, 10000)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """What is drawn of one output."""

    before: Floats
    """Float32 [samples], at one channel."""
    after: Floats
    take: Take
    sample_rate: int
    hop: int
    source: str
    output: Output


def require_plotting(path: Path) -> None:
    """Raise an error if a picture cannot be drawn into a file of this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path} names no kind of picture", f"give a name that ends in {', '.join(SUFFIXES)}"
        )
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs Matplotlib", "pip install 'vampconv[plot]' brings it")


def draw(scene: Scene, path: Path) -> bytes:
    """The content of a file of the kind that its suffix names."""
    told = _title(scene).replace(r"\$", "$")
    title, shown = f"vamp: {scene.output.file}", "Spectrograms, tokens and mask, before and after"
    return rendered(picture(scene), path, title, told, shown)


def rendered(figure: Any, path: Path, title: str, told: str, shown: str) -> bytes:
    """The content of a file of the kind that its suffix names; a page has a title, text, and what the figure shows."""
    kind = path.suffix.lower().removeprefix(".")
    content = io.BytesIO()
    image = "png" if kind == "html" else kind
    figure.savefig(content, format=image, dpi=150, metadata={"Date": None} if image == "svg" else None)
    return content.getvalue() if kind != "html" else page(title, told, shown, content.getvalue()).encode()


def picture(scene: Scene) -> Any:
    """A figure of Matplotlib: five pictures over one time axis."""
    from matplotlib.figure import Figure

    codebooks = scene.take.codes.shape[1]
    seconds = scene.take.codes.shape[2] * scene.hop / scene.sample_rate
    grid = max(1.0, codebooks * 0.11)
    figure = Figure(figsize=(12, 5.2 + 3 * grid), layout="constrained", facecolor="white")
    axes = figure.subplots(5, 1, sharex=True, gridspec_kw={"height_ratios": [2, grid, grid, grid, 2]})
    figure.suptitle(_title(scene), fontsize=10, x=0.01, ha="left")
    levels = spectrogram(scene.before, scene.sample_rate), spectrogram(scene.after, scene.sample_rate)
    top = max(float(found.max()) for found in levels)
    for axis, found, name in ((axes[0], levels[0], "before"), (axes[4], levels[1], "after")):
        image = axis.imshow(
            found - top,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, seconds, 0, len(found)),
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0,
        )
        _name(axis, name, "Hz")
        ticks = [f for f in TICKS_HZ if f < scene.sample_rate / 2]
        axis.set_yticks([band_of(f, scene.sample_rate) for f in ticks], [f"{f:,}" for f in ticks])
        figure.colorbar(image, ax=axis, pad=0.005, aspect=14, label="dB")
    _tokens(axes[1], scene, scene.take.before[0], np.zeros_like(scene.take.kept[0]), "tokens before")
    _mask(axes[2], scene)
    _tokens(axes[3], scene, scene.take.codes[0], scene.take.kept[0], "tokens after: kept ones are pale")
    axes[4].set_xlabel("seconds")
    axes[4].set_xlim(0, seconds)
    return figure


def _tokens(axis: Any, scene: Scene, codes: NDArray[np.int64], pale: NDArray[np.bool_], name: str) -> None:
    """Codes as colours; those that were kept nearly grey, those that there were none of white."""
    from matplotlib import colormaps

    top = max(1, int(max(scene.take.codes.max(), scene.take.before.max())))
    image = colormaps["viridis"](np.maximum(codes, 0) / top)[..., :3]
    grey = np.full(3, 0.86)
    image = np.where(pale[..., None], (1 - PALE) * image + PALE * grey, image)
    image = np.where((codes < 0)[..., None], 1.0, image)
    _grid(axis, image, scene, name)


def _mask(axis: Any, scene: Scene) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    kept = scene.take.kept[0]
    _grid(axis, np.where(kept[..., None], to_rgb(KEPT), to_rgb(MADE)), scene, "mask")
    share = scene.output.kept
    shown = [Patch(color=KEPT, label=f"kept, {share:.1%}"), Patch(color=MADE, label=f"made, {1 - share:.1%}")]
    axis.legend(
        handles=shown, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, fontsize=8, frameon=False
    )


def _grid(axis: Any, image: NDArray[Any], scene: Scene, name: str) -> None:
    codebooks, time = image.shape[:2]
    axis.imshow(
        image,
        aspect="auto",
        interpolation="nearest",
        extent=(0, time * scene.hop / scene.sample_rate, codebooks - 0.5, -0.5),
    )
    axis.set_yticks(range(0, codebooks, max(1, codebooks // 5)))
    _name(axis, name, "codebook")


def _name(axis: Any, name: str, unit: str) -> None:
    axis.set_title(name, fontsize=9, loc="left", pad=3)
    axis.set_ylabel(unit, fontsize=8)
    axis.tick_params(labelsize=8)


def _title(scene: Scene) -> str:
    levels = scene.output.levels
    made = (
        f"{scene.output.file}: seed {scene.output.seed}, {levels.loudness:.1f} LUFS, "
        f"peak {levels.peak_db:.1f} dB, silence {levels.silence:.0%}"
    )
    return f"{scene.source}\n{made}".replace("$", r"\$")


def page(title: str, told: str, shown: str, png: bytes) -> str:
    """A page that needs no other file."""
    title, told, shown = map(html.escape, (title, told, shown))
    data = base64.b64encode(png).decode()
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}"
        "img{max-width:100%;height:auto}p{white-space:pre-line}</style></head>\n"
        f"<body><h1>{title}</h1><p>{told}</p>\n"
        f'<img alt="{shown}" src="data:image/png;base64,{data}">\n'
        "</body></html>\n"
    )
