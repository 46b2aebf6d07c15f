"""A whole conversion: open, plan, write, account, commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vampconv.convert.inputs import open_inputs
from vampconv.convert.loops import make_loops
from vampconv.convert.plan import Part, Plan, make_plan
from vampconv.convert.whole import with_whole
from vampconv.emit.commit import check_output, staged
from vampconv.emit.computed import compute_weights
from vampconv.emit.manifest import checkpoint_entry, manifest, model_entry, read_manifest, write_manifest
from vampconv.emit.merge import merge
from vampconv.emit.standing import MANIFEST
from vampconv.emit.writer import WrittenFile, write_model
from vampconv.errors import UsageError
from vampconv.files.disk import require_room
from vampconv.opsets import OLDEST
from vampconv.passes.pipeline import FULL
from vampconv.plugins import Plugin, Plugins, load_plugins
from vampconv.validation.record import RuleRecord

Advance = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class Check(Protocol):
    """Looks at a bundle before it is put in place: the parts that are new in it, and their checkpoints.

    It is told of the rules and plugins that the bundle was made with.
    """

    def __call__(
        self,
        bundle: Path,
        parts: Sequence[str],
        checkpoints: Sequence[Path],
        *,
        rules: Sequence[Path] = (),
        enable: Sequence[str] = (),
        plugins: Sequence[Plugin] = (),
    ) -> None: ...


T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What to convert, and how."""

    paths: Sequence[Path]
    output: Path | None = None
    codec: Path | None = None
    loras: Sequence[Path] = ()
    opset: int = OLDEST
    target: str = "portable"
    precision: str = FULL
    keep: Sequence[str] = ()
    """What stays in float32 all the same, as patterns of `rewrite.keep.Keep`."""
    rule_directories: Sequence[Path] = ()
    enable: Sequence[str] = ()
    disable: Sequence[str] = ()
    plugins: Sequence[Plugin] = ()
    """Apart from installed ones."""
    force: bool = False
    add: bool = False
    dry_run: bool = False
    audit: bool = False
    """Hold every firing of every rule against its claim, on the weights that it met."""
    loops: bool = True
    """Whether the sampling loops are written, too."""
    check: Check | None = None
    """Raises an error if the bundle is not right; nothing is written then."""

    def bundle(self) -> Path:
        """Where the bundle goes: ``<stem of the first>-onnx`` here, unless it was given."""
        first = Path(self.paths[0])
        named = first if first.name not in ("", "..") else first.resolve()
        path = self.output or Path(f"{named.stem}-onnx")
        try:
            os.path.realpath(path).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"the output {path} has a path that is not UTF-8, which ONNX cannot take", "choose another -o"
            ) from None
        return path

    def in_use(self) -> Plugins:
        """The plugins."""
        return load_plugins(
            directories=self.rule_directories, enable=self.enable, disable=self.disable, plugins=self.plugins
        )


@dataclass(frozen=True)
class Conversion:
    """What a conversion did."""

    output: Path
    manifest: dict[str, Any]
    notes: Sequence[str] = ()
    dry_run: bool = False
    audit: Mapping[str, Sequence[RuleRecord]] | None = None
    """What the audit found out about each rule, by the parts of the bundle; None if it was not asked for."""


def convert(request: Request, advance: Advance = lambda _done, _total: None) -> Conversion:
    """Convert checkpoints to a bundle.

    Raises
    ------
    VampconvError
        With the exit code of its kind; the output is then as it was before.

    """
    with ExitStack() as stack:
        plugins = request.in_use()
        options = plugins.options(request.opset, request.target, request.precision, request.keep)
        inputs = open_inputs(request.paths, request.codec, request.loras, stack, plugins.frontends)
        if request.dry_run:
            check_output(request.bundle(), replace=request.force or request.add)
            plan = make_plan(inputs, options, stack, audit=request.audit)
            _for_each_part(plan, advance, lambda part, count: compute_weights(part.model, count))
            return Conversion(
                request.bundle(),
                _describe(plan, [], None, request, plugins),
                plan.notes,
                dry_run=True,
                audit=_audit(request, plan),
            )
        with staged(request.bundle(), force=request.force, keep_manifested=request.add) as directory:
            hasher = stack.enter_context(ThreadPoolExecutor(1))
            hashes = [hasher.submit(checkpoint.sha256) for checkpoint in inputs.all()]
            plan = make_plan(inputs, options, stack, audit=request.audit)
            _require_room(plan, directory, request)
            written = _for_each_part(
                plan, advance, lambda part, count: write_model(part.model, directory, part.name, count)
            )
            wait(hashes)
            content = _describe(plan, written, directory, request, plugins)
            if request.add and (request.bundle() / MANIFEST).exists():
                content = merge(read_manifest(request.bundle()), content)
            if request.loops:
                content = with_whole(content, directory, request.bundle())
            write_manifest(content, directory)
            if request.check is not None:
                checkpoints = [checkpoint.path for checkpoint in plan.checkpoints()]
                request.check(
                    directory,
                    [part.name for part in plan.parts],
                    checkpoints,
                    rules=request.rule_directories,
                    enable=request.enable,
                    plugins=request.plugins,
                )
        return Conversion(request.bundle(), content, plan.notes, audit=_audit(request, plan))


def _for_each_part(plan: Plan, advance: Advance, work: Callable[[Part, Callable[[int], None]], T]) -> list[T]:
    """Do the work on every part, which counts its bytes; then check what was not read of the checkpoints."""
    total, done = sum(part.bytes for part in plan.parts), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        advance(done, total)

    results = [work(part, count) for part in plan.parts]
    for checkpoint in plan.checkpoints():
        checkpoint.verify()
    return results


def _require_room(plan: Plan, directory: Path, request: Request) -> None:
    """Raise an error if the bundle does not fit on the disk, beside the one that it replaces."""
    sizes = {f"{part.name}.onnx.data": part.bytes for part in plan.parts}
    if request.add and (request.bundle() / MANIFEST).exists():
        standing = read_manifest(request.bundle())["files"]
        sizes = {name: entry["bytes"] for name, entry in standing.items()} | sizes
    require_room(directory, sum(sizes.values()), max(sizes.values(), default=0))


def _audit(request: Request, plan: Plan) -> Mapping[str, Sequence[RuleRecord]] | None:
    return {part.name: part.audit for part in plan.parts} if request.audit else None


def _describe(
    plan: Plan,
    written: Sequence[Sequence[WrittenFile]],
    directory: Path | None,
    request: Request,
    plugins: Plugins,
) -> dict[str, Any]:
    """The manifest; the loops are made on the way, and written to the directory if there is one."""
    files = written or [[WrittenFile(f"{part.name}.onnx", 0, "")] for part in plan.parts]
    models, around, more = {}, {}, []
    for part, own in zip(plan.parts, files, strict=True):
        entry = model_entry(
            part.model, own, part.architecture, part.log.counts(), part.weights, part.compiled_for()
        )
        models[part.name] = entry
        for name, loop, file in make_loops(part, entry["data"], directory) if request.loops else ():
            around[name] = loop
            more += [file] if file else []
    checkpoints = [checkpoint_entry(account) for account in plan.ledger.accounts]
    fired = {rule for part in plan.parts for rule in part.log.counts()}
    in_use = plugins.as_json(fired, {account.kind for account in plan.ledger.accounts})
    every = [*(f for own in written for f in own), *more]
    return manifest(models, around, checkpoints, every, plan.facts, in_use)
