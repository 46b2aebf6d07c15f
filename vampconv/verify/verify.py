"""A whole verification: find, check the files and the weights, then every part."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from vampconv.convert.inputs import Inputs
from vampconv.convert.plan import make_drafts
from vampconv.emit.manifest import read_manifest
from vampconv.errors import UsageError, VerificationError
from vampconv.files.models import check_bundled
from vampconv.plugins import Plugin, Plugins, load_plugins
from vampconv.runtime.bundle import find_bundle
from vampconv.verify.accuracy import write_accuracy
from vampconv.verify.bisect import Bisection, find_causes
from vampconv.verify.bounds import bounds_of
from vampconv.verify.layers import PartVerifier
from vampconv.verify.locate import find_checkpoints, hash_files
from vampconv.verify.loops import LoopVerifier, Shipped
from vampconv.verify.needs import require_plugins
from vampconv.verify.recipe import open_recipe, recipes
from vampconv.verify.report.summary import failures
from vampconv.verify.result import Case, PartResult, Verdict, Verification
from vampconv.verify.side import References
from vampconv.verify.subjects import Subject
from vampconv.verify.weights import check_weights
from vampconv.verify.whole import check_whole

LENGTHS = (1, 13, 100)
BATCHES = (1, 2)
QUICK_LENGTHS = (1, 13)
LIBRARIES = ("vampconv", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "torch")


@dataclass(frozen=True)
class Request:
    """What to verify, and how far.

    Parameters
    ----------
    bundle
        Its directory; by default the one here.
    against
        Checkpoints; by default those that the manifest names, looked for nearby.
    layerwise
        Whether every value of the graphs is compared, or the outputs only.
    lengths, batches, seeds
        All combinations are run; lengths are time steps, `seeds` is how many.
    threads
        Of ONNX Runtime; by default its own choice.
    bisect
        Whether to look for the cause of what is wrong; also compares every value.
    repros
        Where minimal reproductions of faults are written.
    audio
        A file to encode and decode by both, into WAV files in `audio_directory`.
    parts
        Those to verify; by default all.
    rule_directories
        Of rules that the bundle was made with.
    enable
        Names of installed plugins that it was made with.
    plugins
        Those that it was made with which are not installed.

    """

    bundle: Path | None = None
    against: Sequence[Path] = ()
    layerwise: bool = False
    lengths: Sequence[int] = LENGTHS
    batches: Sequence[int] = BATCHES
    seeds: int = 1
    threads: int | None = None
    bisect: bool = False
    repros: Path = Path("vampconv-repro")
    audio: Path | None = None
    audio_directory: Path = Path()
    rule_directories: Sequence[Path] = ()
    enable: Sequence[str] = ()
    plugins: Sequence[Plugin] = ()
    parts: Sequence[str] | None = None

    def cases(self) -> list[Case]:
        """Every input.

        Raises
        ------
        UsageError
            If a size is not positive.

        """
        for name, sizes in (("lengths", self.lengths), ("batches", self.batches), ("seeds", [self.seeds])):
            if not sizes or min(sizes) < 1:
                raise UsageError(f"--{name} must be whole numbers from 1", "mend them")
        return [
            Case(batch, length, seed)
            for seed, batch, length in product(range(self.seeds), self.batches, self.lengths)
        ]


Advance = Callable[[int, int], None]
"""Called with cases done and cases in all."""


def verify(request: Request, advance: Advance = lambda _done, _total: None) -> Verification:
    """Compare a bundle with the checkpoints that it was made from.

    Raises
    ------
    VampconvError
        If the bundle or a checkpoint cannot be found or read; what differs is in the result instead.

    """
    start, cases = time.perf_counter(), request.cases()
    bundle = find_bundle(request.bundle)
    manifest = _only(request.parts, read_manifest(bundle))
    for entry in (*manifest["models"].values(), *manifest["loops"].values()):
        check_bundled(bundle / entry["file"], manifest["files"])
    plugins = load_plugins(
        directories=request.rule_directories, enable=request.enable, plugins=request.plugins
    )
    differences = require_plugins(manifest, plugins)
    plugins.check_switches()
    with ThreadPoolExecutor(1) as pool:
        hashing = pool.submit(hash_files, manifest, bundle)
        located = find_checkpoints(manifest, bundle, request.against, plugins.frontends)
        hashes, problems = hashing.result()
    problems += [*located.problems, *differences]
    total, done = len(cases) * len(manifest["models"]), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        advance(done, total)

    results: dict[str, PartResult] = {}
    with ThreadPoolExecutor(1) as pool:
        weights = pool.submit(check_weights, bundle, manifest, located, plugins)
        for recipe in recipes(manifest):
            with ExitStack() as stack:
                opened = open_recipe(recipe, located, plugins, stack)
                drafts = {d.part: d for d in make_drafts(opened.inputs, stack)[0]}
                subjects = {s.part: s for s in find_subjects(opened.inputs, plugins)}
                for part, file in recipe.files.items():
                    if part not in subjects:
                        problems.append(f"{part} cannot be verified: its checkpoints make no such part")
                        continue
                    verifier = PartVerifier(
                        References(subjects[part]),
                        bundle / file,
                        bounds=bounds_of(recipe.precision),
                        precise=[r.__name__ for r in opened.options.rules if r.precision == recipe.precision],
                        layerwise=request.layerwise or request.bisect,
                        threads=request.threads,
                        advance=count,
                    )
                    results[part] = verifier.run(cases)
                    _check_around(verifier, bundle, manifest, request, results)
                    if request.bisect:
                        find_causes(verifier, Bisection(drafts[part], opened.options), request.repros)
        for part in results:
            results[part].weights = weights.result().get(part, [])
    if "decoder" in results:  # the last part of a whole graph
        results["decoder"].loops += check_whole(bundle, manifest, request.threads)
    if request.audio is not None and "decoder" not in results:
        raise UsageError("--audio needs a bundle with encoder and decoder", "convert the codec as well")
    return Verification(
        str(bundle),
        [results[part] for part in manifest["models"] if part in results],
        environment(request),
        {**located.hashes, **hashes},
        problems,
        manifest["checkpoints"],
        time.perf_counter() - start,
    )


def _check_around(
    verifier: PartVerifier,
    bundle: Path,
    manifest: dict[str, Any],
    request: Request,
    results: dict[str, PartResult],
) -> None:
    """Check what is made of a part: the loop graphs around it, and sound."""
    part, references = verifier.result.part, verifier.references
    around = {name: loop for name, loop in manifest["loops"].items() if loop["of"] == part}
    exact, near, threads = references.exact, references.near, request.threads
    if around and results[part].bounds is not None:
        shipped = Shipped(bundle / manifest["models"][part]["file"], threads)
        checker = LoopVerifier(bundle, exact, threads, shipped=shipped)
    else:
        checker = LoopVerifier(bundle, exact, threads, near)
    results[part].loops = list(checker.run(around))
    if part == "decoder" and request.audio is not None:
        from vampconv.verify.listening import listen  # scipy takes a second to import

        listen(request.audio, references, bundle, results, request.audio_directory)


def quick(
    bundle: Path,
    parts: Sequence[str],
    checkpoints: Sequence[Path],
    *,
    rules: Sequence[Path] = (),
    enable: Sequence[str] = (),
    plugins: Sequence[Plugin] = (),
) -> None:
    """The outputs of some parts on short inputs, and all their weights.

    Raises
    ------
    VerificationError
        If they are not what the checkpoints give.

    """
    request = Request(
        bundle,
        checkpoints,
        lengths=QUICK_LENGTHS,
        parts=parts,
        rule_directories=rules,
        enable=enable,
        plugins=plugins,
    )
    found = verify(request)
    if found.verdict is Verdict.FAIL:
        failure = next(iter(failures(found)))
        raise VerificationError(
            f"the converted model is wrong: {failure.part} {failure.where}: {failure.message}",
            "nothing was written; please report this",
        )
    write_accuracy(found, bundle)


def _only(parts: Sequence[str] | None, manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of some parts alone."""
    if parts is None:
        return manifest
    models = {part: manifest["models"][part] for part in parts}
    used = {label for recipe in recipes({**manifest, "models": models}) for label in recipe.checkpoints}
    loops = {name: loop for name, loop in manifest["loops"].items() if loop["of"] in models}
    files = {
        file for entry in (*models.values(), *loops.values()) for file in (entry["file"], *entry["data"])
    }
    return {
        **manifest,
        "models": models,
        "loops": loops,
        "checkpoints": [c for c in manifest["checkpoints"] if c["file"] in used],
        "files": {name: entry for name, entry in manifest["files"].items() if name in files},
    }


def find_subjects(inputs: Inputs, plugins: Plugins | None = None) -> Iterator[Subject]:
    """The parts that the checkpoints are of; without `plugins` those of the built-in families."""
    plugins = plugins or load_plugins()
    for frontend in inputs.frontends:
        if inputs.of(frontend.kind) and frontend.parts:
            yield from plugins.subjects(frontend.kind)(inputs)


def environment(request: Request) -> dict[str, str]:
    """Versions, processor and options, for the report."""
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": platform.machine(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "layerwise": request.layerwise,
        "lengths": ", ".join(map(str, request.lengths)),
        "batches": ", ".join(map(str, request.batches)),
        "seeds": request.seeds,
    }
    return {name: str(value) for name, value in facts.items()}
