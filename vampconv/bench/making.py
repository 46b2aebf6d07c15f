"""The models that are measured: those of given bundles, or made with random weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from vampconv.bench.checkpoints import Size
from vampconv.bench.process import ContestantError, measure
from vampconv.bench.result import Column
from vampconv.bench.whole import conversion
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError, UsageError
from vampconv.frontend.families import TRANSFORMER
from vampconv.plugins import load_plugins
from vampconv.runtime.bundle import Bundle
from vampconv.verify.locate import find_checkpoints

MODELS = ("coarse.pth", "c2f.pth", "codec.pth")
NEEDED = {
    "convert": {"coarse.pth", "half.pth"},
    "coarse": {"coarse.pth"},
    "c2f": {"c2f.pth"},
    "vamp": {"coarse.pth", "c2f.pth"},
}
"""Checkpoints that a part of the work needs beside the codec."""
TRAINED = {
    "coarse": {"n_layers": 20, "embedding_dim": 1280},
    "c2f": {"n_layers": 16, "embedding_dim": 1280},
    "encoder": {"encoder_dim": 64},
    "decoder": {"decoder_dim": 512},
}
"""Sizes of the trained models."""
SMALLER = ("quarter.pth", "half.pth")
"""Those of the plot of time against size."""


@dataclass(frozen=True)
class Made:
    """Checkpoints with random weights, and the bundles of each variant."""

    folder: Path
    bundles: Sequence[Path]

    @property
    def half(self) -> Path | None:
        """The coarse model of half as many layers, if it was asked for."""
        path = self.folder / "half.pth"
        return path if path.exists() else None


def default_variants(precisions: Collection[str]) -> list[tuple[str, str]]:
    """fp32 for any runtime, and int8 for ONNX Runtime if there is such a target, as far as there are these."""
    targets = {target.name for loaded in load_plugins().loaded for target in loaded.plugin.targets}
    wanted = [("fp32", "portable"), ("int8", "ort" if "ort" in targets else "portable")]
    return [(precision, target) for precision, target in wanted if precision in precisions]


def make(
    folder: Path,
    size: Size,
    parts: Collection[str],
    variants: Sequence[tuple[str, str]],
    tell: Callable[[str], None],
    *,
    sweep: bool,
) -> Made:
    """Make what the parts of the work need, each in a process of its own.

    Raises
    ------
    InputOutputError
        If that fails.
    UsageError
        If there is no such target.

    """
    plugins = load_plugins()
    for _, target in variants:
        plugins.target(target)
    files = {"codec.pth"}.union(*(NEEDED.get(part, set()) for part in parts))
    if sweep and "coarse" in parts:
        files |= set(SMALLER)
    tell(f"making {', '.join(sorted(files))}")
    _do(size.command(folder, sorted(files)))
    models = [folder / name for name in MODELS if name in files]
    return Made(folder, convert_all(models, variants, folder, tell))


def convert_all(
    checkpoints: Sequence[Path],
    variants: Sequence[tuple[str, str]],
    output: Path,
    tell: Callable[[str], None],
) -> list[Path]:
    """A bundle of these checkpoints for each precision and target."""
    bundles = []
    for precision, target in variants:
        bundle = output / f"{precision}-{target}"
        tell(f"converting {', '.join(c.name for c in checkpoints)} to {precision}, {target}")
        _do(conversion(checkpoints, bundle, precision, target))
        bundles.append(bundle)
    return bundles


def _do(command: Sequence[str]) -> None:
    try:
        measure(command)
    except ContestantError as error:
        raise InputOutputError(
            f"the models to measure could not be made: {error}", "check disk and memory"
        ) from None


def columns_of(bundles: Sequence[Path]) -> list[Column]:
    """The bundles with labels that differ."""
    kinds = [_kind(Bundle(path)) for path in bundles]
    labels = [p if t == "portable" else f"{p} {t}" for p, t in kinds]
    if len(set(labels)) < len(labels):
        labels = [f"{label} {path.name}" for label, path in zip(labels, bundles, strict=True)]
    if len(set(labels)) < len(labels):
        raise UsageError("two bundles have the same name", "give each its own")
    return [
        Column(label, path, *kind, full_size(Bundle(path)))
        for label, path, kind in zip(labels, bundles, kinds, strict=True)
    ]


def full_size(bundle: Bundle) -> frozenset[str]:
    """The models that are as large as the trained ones, or larger."""
    return frozenset(
        part
        for part, least in TRAINED.items()
        if part in bundle and all(bundle.architecture(part).get(n, 0) >= size for n, size in least.items())
    )


def _kind(bundle: Bundle) -> tuple[str, str]:
    """Precision and target of a bundle: of its models the first that is not fp32 and portable."""
    found = [(str(e.get("precision", "fp32")), str(e.get("target", "portable"))) for e in _entries(bundle)]
    return next((kind for kind in found if kind[0] != "fp32"), (found or [("fp32", "portable")])[0])


def _entries(bundle: Bundle) -> list[Mapping[str, Any]]:
    return [entry for entry in bundle.models.values() if isinstance(entry, Mapping)]


def locate(bundle: Path, checkpoints: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """The checkpoints of a bundle by their labels, and what is wrong with them.

    Raises
    ------
    UsageError
        If one is not found.

    """
    try:
        located = find_checkpoints(read_manifest(bundle), bundle, checkpoints)
    except UsageError as error:
        fix = "give the file by --checkpoint, or measure without rivals by --against none"
        raise UsageError(error.problem, fix) from None
    return located.paths, located.problems


def parameters(bundle: Path) -> int:
    """Of the transformers that a bundle was made from."""
    listed = Bundle(bundle).content["checkpoints"]
    return sum(prod(t["shape"]) for c in listed if c["kind"] == TRANSFORMER for t in c["tensors"])
