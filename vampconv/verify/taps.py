"""Every value of a converted graph, as ONNX Runtime really computes it.

Asking for a value keeps ONNX Runtime from fusing what makes it, so values are not asked of the shipped graph. ONNX
Runtime optimises that one and writes what it made of it; the optimised graph is loaded again, with the wanted values
as further outputs and optimisation off. Names survive: a fusion gives its result the name of what it stands for.
So that not all values are in memory at once, that graph is run in pieces, one after another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto
from onnxruntime import GraphOptimizationLevel

from vampconv.errors import InputOutputError
from vampconv.runtime.session import LOADING_ERRORS
from vampconv.verify.fates import Fates, inner, producers
from vampconv.verify.segments import FIRST, Grouping, Segments

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
_Taps = tuple[str, ...] | None
"""What a session can be asked for beside the outputs; the shipped session is `None`."""

DATA_DIRECTORY = "session.model_external_initializers_file_folder_path"
"""Where a model that is loaded from memory has its data files."""
NUMBERS = "bool f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8"
ELEMENTS = frozenset(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(code)) for code in NUMBERS.split())


class Taps:
    """Sessions of one model: the shipped one, and tapped ones; at most one of them is open at a time.

    Not for several threads at once. Nothing is written beside the model.

    Parameters
    ----------
    path
        The ``.onnx`` file; its data files lie beside it.
    threads
        Of each session; `None` for as many as ONNX Runtime chooses.
    level
        How far ONNX Runtime optimises; the default is that of shipped sessions.

    Attributes
    ----------
    visible
        Values of the shipped graph that the optimised graph still has, in the order of the shipped graph. Inputs and
        constants are not values, nor is anything but a tensor of numbers or booleans.
    touched
        Outputs that were not what the shipped session gives when values were tapped; there should be none.
    swallowed
        Every other value, and what became of it.

    Raises
    ------
    InputOutputError
        If ONNX Runtime cannot load the model, or nothing can be written to the directory of temporary files.

    """

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
    ) -> None:
        self.path, self.threads, self.level = path, threads, level
        self.touched = set[str]()
        self._current: tuple[_Taps, onnxruntime.InferenceSession] | None = None
        self._optimised = self._optimise()
        shipped = onnx.load(path, load_external_data=False).graph
        optimised = self._optimised.graph
        self.output_names = tuple(output.name for output in shipped.output)
        self._types = {**_types(shipped), **_types(optimised)}
        values = [n for n in producers(shipped.node) if self._types.get(n, TensorProto.FLOAT) in ELEMENTS]
        kept = {*producers(optimised.node), *(constant.name for constant in optimised.initializer)}
        self.visible = tuple(name for name in values if name in kept)
        self._visible = frozenset(self.visible)
        fates = Fates(shipped, optimised)
        self.swallowed = {name: fates.of(name) for name in values if name not in kept}
        self.swallowed |= {n: f"inside the body of a {op}" for n, op in inner(shipped) if n not in kept}

    def outputs(self, feeds: Feeds) -> dict[str, Array]:
        """What the shipped session answers, by name; no tap has touched it."""
        return self._run(feeds, None, self.output_names)

    def run(self, feeds: Feeds, names: Iterable[str]) -> dict[str, Array]:
        """Values by name, of one run.

        Raises
        ------
        ValueError
            If one of them is not visible.

        """
        wanted = tuple(dict.fromkeys(names))
        for name in wanted:
            if name not in self._visible:
                raise ValueError(f"{name!r} cannot be tapped: {self.swallowed.get(name, 'no such value')}")
        return self._run(feeds, wanted, wanted)

    def chunks(
        self, feeds: Feeds, limit_bytes: int, untapped: Mapping[str, Array] | None = None
    ) -> Iterator[dict[str, Array]]:
        """All visible values in order, a group at a time, of one run of the graph in pieces.

        Each piece takes what those before it put out. Outputs at the end of that way that are not bit for bit the
        `untapped` ones are added to `touched`.

        Let go of a group before asking for the next, or both are in memory.

        Parameters
        ----------
        feeds
            Inputs by name.
        limit_bytes
            What the arrays of a group may have together; a value that is larger makes a group of its own. What
            a piece puts out is kept to about as much.
        untapped
            What `outputs` gave.

        """
        self.close()
        known, held = untapped or {}, dict(feeds)
        unseen = set(known.keys() - feeds.keys())
        pieces, grouping = self._pieces(known), Grouping(self.visible, limit_bytes)
        start, stop = 0, pieces.end(0, FIRST)
        while start < len(pieces):
            found = self._run_piece(pieces, start, stop, held)
            self.touched |= {n for n in found.keys() & known.keys() if not _same_bits(found[n], known[n])}
            unseen -= found.keys()
            size = sum(array.nbytes for array in found.values())
            held = {name: array for name, array in (held | found).items() if pieces.is_taken(name, stop)}
            for name in found.keys() & self._visible:
                grouping.put(name, found.pop(name))
            del found
            yield from grouping.full()
            count = stop - start
            start, stop = stop, pieces.end(stop, 2 * count if 4 * size < limit_bytes else count // 2)
        self.touched |= unseen
        if last := grouping.rest():
            yield last

    def check_untouched(self, feeds: Feeds, limit_bytes: int = 1 << 30) -> list[str]:
        """Names of outputs that are not bit for bit those of the shipped session when values are tapped.

        They are fetched in the very run that `chunks` makes.
        """
        self.touched = set()
        for _ in self.chunks(feeds, limit_bytes, self.outputs(feeds)):
            pass
        return [name for name in self.output_names if name in self.touched]

    def close(self) -> None:
        """Free the session that is open; the next run would open one anew."""
        self._current = None

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, feeds: Feeds, taps: _Taps, fetched: tuple[str, ...]) -> dict[str, Array]:
        return dict(zip(fetched, _fetch(self._session(taps), fetched, feeds), strict=True))

    def _pieces(self, outputs: Iterable[str]) -> Segments:
        made = producers(self._optimised.graph.node)
        whole = {name for name in made if self._types.get(name, TensorProto.FLOAT) not in ELEMENTS}
        return Segments(self._optimised, {*self.visible, *outputs}, whole)

    def _run_piece(self, pieces: Segments, start: int, stop: int, held: Feeds) -> dict[str, Array]:
        names = pieces.gives(start, stop)
        if not names:
            return {}
        options = self._options(GraphOptimizationLevel.ORT_DISABLE_ALL)
        options.add_session_config_entry(DATA_DIRECTORY, str(self.path.absolute().parent))
        session = self._open(pieces.cut(start, stop, held).SerializeToString(), options)
        feeds = {value.name: held[value.name] for value in session.get_inputs()}
        return dict(zip(names, _fetch(session, names, feeds), strict=True))

    def _session(self, taps: _Taps) -> onnxruntime.InferenceSession:
        """The shipped session, for `None`, or one that can be asked for some values too."""
        if self._current is None or self._current[0] != taps:
            self.close()
            if taps is None:
                session = self._open(str(self.path), self._options(self.level))
            else:
                session = self._reopen(self._options(GraphOptimizationLevel.ORT_DISABLE_ALL), taps)
            self._current = (taps, session)
        return self._current[1]

    def _reopen(
        self, options: onnxruntime.SessionOptions, outputs: Iterable[str]
    ) -> onnxruntime.InferenceSession:
        """The optimised graph with more outputs."""
        options.add_session_config_entry(DATA_DIRECTORY, str(self.path.absolute().parent))
        graph = self._optimised.graph
        before = len(graph.output)
        try:
            graph.output.extend(ValueInfoProto(name=n) for n in outputs if n not in self.output_names)
            content = self._optimised.SerializeToString()
        finally:
            del graph.output[before:]
        return self._open(content, options)

    def _optimise(self) -> ModelProto:
        """What ONNX Runtime makes of the model; constants that it leaves alone stay in the data file.

        The session that writes it is the shipped one.
        """
        options = self._options(self.level)
        try:
            with tempfile.TemporaryDirectory(prefix="vampconv-") as directory:
                path = Path(directory) / "optimised.onnx"
                options.optimized_model_filepath = str(path)
                self._current = (None, self._open(str(self.path), options))
                return onnx.load(path, load_external_data=False)
        except (OSError, DecodeError) as error:
            raise InputOutputError(
                f"the optimised graph cannot be written: {error}", "set TMPDIR to a directory with room"
            ) from error

    def _options(self, level: GraphOptimizationLevel) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = self.threads or 0
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        return options

    def _open(self, model: str | bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except LOADING_ERRORS as error:
            reason = str(error).strip().splitlines()[0]
            raise InputOutputError(
                f"{self.path} cannot be loaded: {reason}", "convert the checkpoint again with --force"
            ) from error


def _fetch(session: onnxruntime.InferenceSession, names: Sequence[str], feeds: Feeds) -> list[Array]:
    return [np.asarray(array) for array in session.run(names, dict(feeds))] if names else []


def _types(graph: GraphProto) -> dict[str, int]:
    """Element types of tensors; 0 for values that are not tensors."""
    values = (*graph.input, *graph.output, *graph.value_info)
    constants = {constant.name: constant.data_type for constant in graph.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}


def _same_bits(found: Array, truth: Array) -> bool:
    return (found.dtype, found.shape, found.tobytes()) == (truth.dtype, truth.shape, truth.tobytes())
