"""A picture of a benchmark: time against length of audio, and against the size of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vampconv.bench.result import EXPORTER, NAMES, QUANTISED, REFERENCE, Bench, Point
from vampconv.play.plot import rendered

COLOURS = {REFERENCE: "#8a8f98", EXPORTER: "#e4912e", QUANTISED: "#e6c229"}
OURS = ("#1f6fb4", "#c0392b", "#2e8b57", "#7d3c98")
"""Of the columns, one after another."""
PER_ROW = 3
SIZE = 4.2, 3.4
"""Inches of one diagram."""


def draw(bench: Bench, path: Path) -> bytes:
    """The content of a file of the kind that its suffix names."""
    facts = bench.environment
    told = f"{facts['processor']}, {facts['threads']} threads, onnxruntime {facts['onnxruntime']}"
    shown = "Time against length of audio for each part of the work, and against the number of parameters"
    return rendered(picture(bench, told), path, "vampconv bench", told, shown)


def picture(bench: Bench, told: str) -> Any:
    """A figure of Matplotlib: a diagram for each part, and one for the size."""
    from matplotlib.figure import Figure

    diagrams = [
        (f"{part}: time against length", "seconds of audio", [p for p in bench.lengths if p.part == part])
        for part in dict.fromkeys(point.part for point in bench.lengths)
    ]
    if bench.sizes:
        diagrams.append(("coarse: time against size", "parameters", list(bench.sizes)))
    columns = min(PER_ROW, max(1, len(diagrams)))
    rows = max(1, -(-len(diagrams) // columns))
    size = SIZE[0] * columns, SIZE[1] * rows
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    figure.suptitle(told, fontsize=9, x=0.01, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    labels = [column.label for column in bench.columns]
    for axis, (title, across, points) in zip(axes, diagrams, strict=False):
        _diagram(axis, title, across, points, labels)
    for axis in axes[len(diagrams) :]:
        axis.set_axis_off()
    return figure


def _diagram(axis: Any, title: str, across: str, points: Sequence[Point], labels: Sequence[str]) -> None:
    """Lines of all contestants, both axes logarithmic; where time is that of the audio, a line of dots."""
    for who, label in dict.fromkeys((p.who, p.label) for p in points):
        line = [(p.x, p.seconds) for p in points if (p.who, p.label) == (who, label)]
        colour = COLOURS[who] if who in COLOURS else OURS[labels.index(label) % len(OURS)]
        name = f"{NAMES[who]}, {label}" if label else NAMES[who]
        axis.plot(*zip(*line, strict=True), marker="o", markersize=3, color=colour, label=name, linewidth=1.4)
    xs = [p.x for p in points]
    if across.startswith("seconds"):
        axis.plot(
            (min(xs), max(xs)), (min(xs), max(xs)), ":", color="#b0b4bb", linewidth=1, label="real time"
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sorted(set(xs)), [f"{x / 1e6:.3g} M" if x > 1000 else f"{x:g}" for x in sorted(set(xs))])
    axis.minorticks_off()
    axis.set_title(title, fontsize=9, loc="left", pad=3)
    axis.set_xlabel(across, fontsize=8)
    axis.set_ylabel("seconds", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(visible=True, color="#e6e8eb", linewidth=0.6)
    axis.legend(fontsize=7, frameon=False)
