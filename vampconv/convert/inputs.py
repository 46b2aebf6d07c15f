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
from vampconv.frontend.codec_tables import CodecTables
from vampconv.frontend.kinds import Kind, kind_of

SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".bin", ".safetensors"})
"""Files so named that turn out to be no checkpoints are worth a note."""

GIVE_CODEC = "give the codec that it was trained with, in the same call or by --codec"


@dataclass
class Inputs:
    """The open checkpoints of a conversion."""

    transformers: list[Checkpoint] = field(default_factory=list)
    codecs: list[Checkpoint] = field(default_factory=list)
    lenders: list[Checkpoint] = field(default_factory=list)
    """Codecs that only lend their tables."""
    beat_trackers: list[Checkpoint] = field(default_factory=list)
    fine_tunes: list[Checkpoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the user should know of files that were found or passed over."""

    def all(self) -> list[Checkpoint]:
        """Every checkpoint."""
        return [*self.transformers, *self.codecs, *self.lenders, *self.beat_trackers, *self.fine_tunes]


def open_inputs(paths: Sequence[Path], codec: Path | None, loras: Sequence[Path], stack: ExitStack) -> Inputs:
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

    """
    inputs = Inputs()
    for path in paths:
        if path.is_dir():
            for checkpoint in _in_directory(path, inputs.notes, stack):
                _sort_in(inputs, checkpoint, named=False)
        else:
            _sort_in(inputs, _open(path, stack), named=True)
    if codec is not None and not any(c.path.samefile(codec) for c in inputs.codecs if codec.exists()):
        inputs.lenders.append(_of_kind(_open(codec, stack), Kind.CODEC, "--codec"))
    inputs.fine_tunes += [_of_kind(_open(path, stack), Kind.LORA, "--lora") for path in loras]
    if not (inputs.transformers or inputs.codecs or inputs.beat_trackers):
        given = ", ".join(str(path) for path in paths)
        raise UnsupportedModelError(
            f"there is no model to convert among {given}", "give a VampNet, LAC codec or WaveBeat checkpoint"
        )
    codecs = [*inputs.codecs, *inputs.lenders]
    if len(codecs) > 1:
        raise UsageError(f"there are several codecs: {_listed(codecs)}", "give one of them")
    return inputs


def find_codec(inputs: Inputs, fits: Callable[[CodecTables], bool], stack: ExitStack) -> Checkpoint:
    """The codec that was given, or else the one lying beside a transformer whose tables fit.

    Raises
    ------
    UsageError
        If none is there, or several are.

    """
    given = [*inputs.codecs, *inputs.lenders]
    if given:
        return given[0]
    beside = dict.fromkeys(path for c in inputs.transformers for path in sorted(c.path.parent.iterdir()))
    candidates, damaged = [], []
    for path in beside:
        try:
            if not path.is_file():
                continue
            checkpoint = _open(path, stack)
            if kind_of(checkpoint) is Kind.CODEC and fits(CodecTables.of(checkpoint)):
                candidates.append(checkpoint)
        except (NotACheckpointError, UnsupportedModelError):
            continue
        except (BadInputError, InputOutputError, LimitError) as error:
            damaged.append(error.problem)
    names = _listed(inputs.transformers)
    if not candidates:
        told = f" (though {damaged[0]})" if damaged else ""
        raise UsageError(f"{names} needs its codec's tables, and no codec lies beside it{told}", GIVE_CODEC)
    if len(candidates) > 1:
        raise UsageError(f"several codecs beside {names} fit: {_listed(candidates)}", "choose one by --codec")
    inputs.lenders = candidates
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
        kind = kind_of(checkpoint)
    except UnsupportedModelError:
        if named:
            raise
        inputs.notes.append(f"passed over: {name}, of no known model")
        return
    if kind is Kind.VAMPNET:
        inputs.transformers.append(checkpoint)
    elif kind is Kind.CODEC:
        inputs.codecs.append(checkpoint)
    elif kind is Kind.WAVEBEAT:
        inputs.beat_trackers.append(checkpoint)
    elif named and kind is Kind.LORA:
        raise UsageError(f"{name} is a {kind.value}, which goes over a model", "give it by --lora")
    else:
        inputs.notes.append(f"passed over: {name}, a {kind.value}")


def _of_kind(checkpoint: Checkpoint, wanted: Kind, option: str) -> Checkpoint:
    found = kind_of(checkpoint)
    if found is not wanted:
        raise UsageError(f"{option}: {checkpoint.path.name} is a {found.value}", f"give a {wanted.value}")
    return checkpoint


def _listed(checkpoints: Iterable[Checkpoint]) -> str:
    return ", ".join(str(c.path) for c in checkpoints)
