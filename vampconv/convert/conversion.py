"""A whole conversion: open, plan, write, account, commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vampconv.checkpoint import Checkpoint
from vampconv.convert.inputs import open_inputs
from vampconv.convert.plan import Plan, make_plan
from vampconv.emit.commit import staged
from vampconv.emit.manifest import checkpoint_entry, manifest, model_entry, read_manifest, write_manifest
from vampconv.emit.writer import WrittenFile, write_model
from vampconv.frontend.weights import WeightTensor
from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of
from vampconv.passes.pipeline import Options
from vampconv.rewrite.plugins import directory_rules, installed_rules, select_rules

Advance = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True)
class Request:
    """What to convert, and how."""

    paths: Sequence[Path]
    output: Path | None = None
    codec: Path | None = None
    loras: Sequence[Path] = ()
    opset: int = 17
    target: str = "portable"
    rule_directories: Sequence[Path] = ()
    enable: Sequence[str] = ()
    disable: Sequence[str] = ()
    force: bool = False
    add: bool = False
    dry_run: bool = False

    def bundle(self) -> Path:
        """Where the bundle goes: ``<stem of the first>-onnx`` here, unless it was given."""
        return self.output or Path(f"{Path(self.paths[0]).resolve().stem}-onnx")

    def options(self) -> Options:
        """What the graphs are compiled for."""
        rules = installed_rules()
        for directory in self.rule_directories:
            rules += directory_rules(directory)
        return Options(self.opset, self.target, select_rules(rules, enable=self.enable, disable=self.disable))


@dataclass(frozen=True)
class Conversion:
    """What a conversion did."""

    output: Path
    manifest: dict[str, Any]
    notes: Sequence[str] = field(default=())
    dry_run: bool = False


def convert(request: Request, advance: Advance = lambda _done, _total: None) -> Conversion:
    """Convert checkpoints to a bundle.

    Raises
    ------
    VampconvError
        With the exit code of its kind; the output is then as it was before.

    """
    with ExitStack() as stack:
        options = request.options()
        inputs = open_inputs(request.paths, request.codec, request.loras, stack)
        if request.dry_run:
            plan = make_plan(inputs, options, stack)
            _read_everything(plan, advance)
            return Conversion(request.bundle(), _describe(plan, []), plan.notes, dry_run=True)
        with staged(request.bundle(), force=request.force, keep_manifested=request.add) as directory:
            plan = make_plan(inputs, options, stack)
            content = _write(plan, directory, advance)
            if request.add and (request.bundle() / "vampconv.json").exists():
                content = _merge(read_manifest(request.bundle()), content)
            write_manifest(content, directory)
        return Conversion(request.bundle(), content, plan.notes)


def _write(plan: Plan, directory: Path, advance: Advance) -> dict[str, Any]:
    """Write all models while the checkpoints are hashed and checked; return the manifest."""
    total, done = sum(part.bytes for part in plan.parts), 0

    def count(written: int) -> None:
        nonlocal done
        done += written
        advance(done, total)

    with ThreadPoolExecutor(1) as pool:
        hashes = [pool.submit(Checkpoint.sha256, c) for c in plan.checkpoints()]
        written = [write_model(part.model, directory, part.name, count) for part in plan.parts]
        for checkpoint, digest in zip(plan.checkpoints(), hashes, strict=True):
            digest.result()
            checkpoint.verify()
    return _describe(plan, written)


def _describe(plan: Plan, written: Sequence[Sequence[WrittenFile]]) -> dict[str, Any]:
    files = written or [[WrittenFile(f"{part.name}.onnx", 0, "")] for part in plan.parts]
    models = {
        part.name: model_entry(part.model, own, part.architecture.as_json(), part.log.counts(), part.weights)
        for part, own in zip(plan.parts, files, strict=True)
    }
    accounts = plan.ledger.accounts
    checkpoints = [checkpoint_entry(a, plan.kinds[a.label].value) for a in accounts]
    return manifest(models, checkpoints, [f for own in written for f in own], plan.facts)


def _read_everything(plan: Plan, advance: Advance) -> None:
    """Read every weight that would be written, so that a damaged or non-finite one is found."""
    tensors: dict[int, WeightTensor] = {}
    for part in plan.parts:
        for value in part.model.graph.initializers.values():
            found = (leaf.tensor for leaf in leaves(expression_of(value)))
            tensors |= {id(t): t for t in found if isinstance(t, WeightTensor)}
    total, done = sum(t.nbytes for t in tensors.values()), 0
    for tensor in tensors.values():
        tensor.load()
        done += tensor.nbytes
        advance(done, total)
    for checkpoint in plan.checkpoints():
        checkpoint.verify()


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a bundle to which parts are added; of a part that both have, the new one stands."""
    kept = {name: entry for name, entry in old["models"].items() if name not in new["models"]}
    files = {f for entry in kept.values() for f in (entry["file"], *entry["data"])}
    known = {c["sha256"] for c in new["checkpoints"]}
    merged = dict(new)
    merged["models"] = kept | new["models"]
    merged["chunk_seconds"] = old["chunk_seconds"] | new["chunk_seconds"]
    merged["checkpoints"] = [c for c in old["checkpoints"] if c["sha256"] not in known] + new["checkpoints"]
    merged["files"] = {f: e for f, e in old["files"].items() if f in files} | new["files"]
    return merged
