"""Which checkpoints a conversion reads, told from what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vampconv.checkpoint import Checkpoint, open_checkpoint
from vampconv.errors import (
    BadInputError,
    InputOutputError,
    LimitError,
    NotACheckpointError,
    UnsupportedModelError,
    UsageError,
)
from vampconv.frontend.families import CODEC, FAMILIES, LAC, LORA, TRANSFORMER
from vampconv.frontend.frontend import Frontend
from vampconv.frontend.kinds import kind_of
from vampconv.frontend.weights import Weights

SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".bin", ".safetensors"})
"""Files so named that turn out to be no checkpoints are worth a note."""

GIVE_CODEC = "give the codec that it was trained with, in the same call or by --codec"


@dataclass
class Inputs:
    """The open checkpoints of a conversion."""

    frontends: Sequence[Frontend] = FAMILIES
    """The families that are known, in the order of the ledger."""
    by_kind: dict[str, list[Checkpoint]] = field(default_factory=dict)
    """Those to be converted, and the fine-tunes over them."""
    lenders: list[Checkpoint] = field(default_factory=list)
    """Those that only lend their tensors: a codec its tables."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of files that were found or passed over."""

    def of(self, kind: str) -> list[Checkpoint]:
        """Those of a kind that are to be converted."""
        return self.by_kind.get(kind, [])

    def put(self, frontend: Frontend, checkpoint: Checkpoint) -> None:
        """Add one to be converted."""
        self.by_kind.setdefault(frontend.kind, []).append(checkpoint)

    def models(self) -> list[Checkpoint]:
        """Those that are models by themselves."""
        kinds = [frontend.kind for frontend in self.frontends if not frontend.option]
        return [checkpoint for kind in kinds for checkpoint in self.of(kind)]

    def all(self) -> list[Checkpoint]:
        """Every checkpoint."""
        return [*(c for f in self.frontends for c in self.of(f.kind)), *self.lenders]


def open_inputs(
    paths: Sequence[Path],
    codec: Path | None,
    loras: Sequence[Path],
    stack: ExitStack,
    frontends: Sequence[Frontend] = FAMILIES,
) -> Inputs:
    """Open what the command line names; a directory stands for the checkpoints in it.

    Parameters
    ----------
    paths
        Checkpoints and directories of them.
    codec
        A codec that only lends its tables.
    loras
        LoRA fine-tunes.
    stack
        Closes the checkpoints.
    frontends
        The families that are known.

    """
    inputs = Inputs(frontends)
    for path in paths:
        if path.is_dir():
            for checkpoint in _in_directory(path, inputs.notes, stack):
                _sort_in(inputs, checkpoint, named=False)
        else:
            _sort_in(inputs, _open(path, stack), named=True)
    if codec is not None and not any(c.path.samefile(codec) for c in inputs.of(CODEC) if codec.exists()):
        inputs.lenders.append(_of_kind(_open(codec, stack), LAC, "--codec"))
    for path in loras:
        inputs.put(LORA, _of_kind(_open(path, stack), LORA, "--lora"))
    if not inputs.models():
        given = ", ".join(str(path) for path in paths)
        known = " or ".join(frontend.kind for frontend in frontends if not frontend.option)
        raise UnsupportedModelError(
            f"there is no model to convert among {given}", f"give a {known} checkpoint"
        )
    inputs.notes += [warning for checkpoint in inputs.all() for warning in checkpoint.warnings]
    codecs = [*inputs.of(CODEC), *inputs.lenders]
    if len(codecs) > 1:
        raise UsageError(f"there are several codecs: {_listed(codecs)}", "give one of them")
    return inputs


def find_codec(inputs: Inputs, fits: Callable[[Weights], bool], stack: ExitStack) -> Checkpoint:
    """The codec that was given, or else the one lying beside a transformer whose tables fit.

    Raises
    ------
    UsageError
        If none is there, or several are.

    """
    given = [*inputs.of(CODEC), *inputs.lenders]
    if given:
        return given[0]
    beside = dict.fromkeys(path for c in inputs.of(TRANSFORMER) for path in sorted(c.path.parent.iterdir()))
    candidates, damaged = [], []
    for path in beside:
        try:
            if not path.is_file():
                continue
            checkpoint = _open(path, stack)
            if kind_of(checkpoint, inputs.frontends) is LAC and fits(Weights(checkpoint)):
                candidates.append(checkpoint)
        except (NotACheckpointError, UnsupportedModelError):
            continue
        except (BadInputError, InputOutputError, LimitError) as error:
            damaged.append(error.problem)
    names = _listed(inputs.of(TRANSFORMER))
    if not candidates:
        told = f" (though {damaged[0]})" if damaged else ""
        raise UsageError(f"{names} needs its codec's tables, and no codec lies beside it{told}", GIVE_CODEC)
    if len(candidates) > 1:
        raise UsageError(f"several codecs beside {names} fit: {_listed(candidates)}", "choose one by --codec")
    inputs.lenders = candidates
    inputs.notes += candidates[0].warnings
    inputs.notes.append(f"codec: {candidates[0].path.name}, found beside {names}")
    return candidates[0]


def _open(path: Path, stack: ExitStack) -> Checkpoint:
    return stack.enter_context(open_checkpoint(path))


def _in_directory(directory: Path, notes: list[str], stack: ExitStack) -> Iterable[Checkpoint]:
    found = []
    for path in sorted(directory.iterdir()):
        try:
            if path.is_file():
                found.append(_open(path, stack))
        except NotACheckpointError as error:
            if path.suffix in SUFFIXES:
                notes.append(f"passed over: {error.problem}")
    if not found:
        raise BadInputError(
            f"{directory} holds no checkpoints", "give a directory of .pth or .safetensors files"
        )
    return found


def _sort_in(inputs: Inputs, checkpoint: Checkpoint, *, named: bool) -> None:
    """Put a checkpoint where its kind belongs; what cannot be converted is passed over unless it was named."""
    name = checkpoint.path.name
    try:
        frontend = kind_of(checkpoint, inputs.frontends)
    except UnsupportedModelError:
        if named:
            raise
        inputs.notes.append(f"passed over: {name}, of no known model")
        return
    if not frontend.option:
        inputs.put(frontend, checkpoint)
    elif named:
        raise UsageError(
            f"{name} is a {frontend.kind}, which goes over a model", f"give it by {frontend.option}"
        )
    else:
        inputs.notes.append(f"passed over: {name}, a {frontend.kind}")


def _of_kind(checkpoint: Checkpoint, wanted: Frontend, option: str) -> Checkpoint:
    found = kind_of(checkpoint)
    if found is not wanted:
        raise UsageError(f"{option}: {checkpoint.path.name} is a {found.kind}", f"give a {wanted.kind}")
    return checkpoint


def _listed(checkpoints: Iterable[Checkpoint]) -> str:
    return ", ".join(str(c.path) for c in checkpoints)
