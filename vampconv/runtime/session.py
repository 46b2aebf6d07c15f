"""Sessions of ONNX Runtime, and how many chunks run at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vampconv.errors import InputOutputError

MOST_WORKERS = 4
LOADING_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


def processors() -> int:
    """How many there are for this process."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def default_workers() -> int:
    """As many as there are processors for this process, and no more than `MOST_WORKERS`."""
    return min(processors(), MOST_WORKERS)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU that may be run from several threads at once; each run uses `threads` of its own.

    Raises
    ------
    InputOutputError
        If the model cannot be loaded.

    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it reserves memory for each length of chunk anew
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except LOADING_ERRORS as error:
        reason = str(error).strip().splitlines()[0]
        raise InputOutputError(
            f"{path} cannot be loaded: {reason}", "convert the checkpoint again with --force"
        ) from error
    if not session.get_inputs() or not session.get_outputs():
        raise InputOutputError(
            f"{path} has no input or no output", "convert the checkpoint again with --force"
        )
    return session


def run_session(session: onnxruntime.InferenceSession, feeds: Mapping[str, Any]) -> Any:
    """The first output of a model.

    Raises
    ------
    InputOutputError
        If the model does not take these inputs, which were checked against its architecture.

    """
    try:
        return session.run([session.get_outputs()[0].name], feeds)[0]
    except (ValueError, *LOADING_ERRORS) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputOutputError(
            f"a model is not what the bundle says: {reason}", "convert the checkpoint again with --force"
        ) from error
