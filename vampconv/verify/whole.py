"""The graph from audio to audio of a bundle against the parts that it is made of, which are verified one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vampconv.errors import VampconvError
from vampconv.loop.audio import PARTS
from vampconv.runtime import VampNet
from vampconv.runtime.session import LOADING_ERRORS
from vampconv.verify.result import LoopCheck

STEPS = 20
"""Of the codes."""
CHUNKS = {"coarse": 9, "c2f": 6}
"""Steps in a chunk: the last is not whole."""
OPTIONS = {"temperature": 0.9, "mask_temperature": 5.0, "top_p": 0.95, "sample_cutoff": 0.8}
SAMPLING_STEPS = 3
SEED = 5
PERIOD = 7
"""Of the codes that are kept."""
AGAINST = "as its parts make them"


def check_whole(bundle: Path, manifest: Mapping[str, Any], threads: int | None = None) -> Iterator[LoopCheck]:
    """Run the graph and the parts on one sound with one seed: all codes and samples must be the same.

    Nothing is checked where the manifest has no such graph, or not all of its parts.
    """
    if not manifest["models"].keys() >= set(PARTS):
        return
    sizes = manifest["models"]["encoder"]["architecture"]
    for entry in manifest["whole"].values():
        try:
            wrong, count, problem = _compare(bundle, entry["file"], sizes, threads)
        except LOADING_ERRORS as error:
            wrong = count = 0
            problem = f"ONNX Runtime cannot run it: {str(error).strip().splitlines()[0]}"
        except VampconvError as error:
            wrong, count, problem = 0, 0, f"its parts cannot be run: {error.problem}"
        yield LoopCheck(entry["file"], count, wrong, problem, AGAINST)


def _compare(bundle: Path, file: str, sizes: Mapping[str, int], threads: int | None) -> tuple[int, int, str]:
    """How many codes differ, of how many, and what is wrong."""
    step_s = sizes["hop"] / sizes["sample_rate"]
    seconds = {f"{part}_chunk_s": (length - 0.5) * step_s for part, length in CHUNKS.items()}
    player = VampNet(bundle, threads=threads, check_hashes=False, **seconds)
    noise = np.random.default_rng(SEED).standard_normal((1, 1, STEPS * player.hop - 3))
    audio = (0.1 * noise).astype(np.float32)
    codes = player.codec.encode(audio)
    mask = player.build_mask(codes, noise=SEED, periodic_prompt=PERIOD, rand_mask_intensity=0.9)
    wanted = player.vamp(codes, mask, noise=SEED, sampling_steps=SAMPLING_STEPS, **OPTIONS).codes
    sound, found = _run(bundle / file, _feeds(audio, mask), threads)
    if found.shape != wanted.shape:
        return wanted.size, wanted.size, f"its codes are {list(found.shape)}, not {list(wanted.shape)}"
    wrong = int((found != wanted).sum())
    if wrong:
        return wrong, wanted.size, f"{wrong} of {wanted.size} tokens are not those that its parts make"
    same = np.array_equal(sound, player.decode(wanted))
    return 0, wanted.size, "" if same else "its sound is not that which the decoder makes of its codes"


def _feeds(audio: NDArray[np.float32], mask: NDArray[Any]) -> dict[str, NDArray[Any]]:
    numbers = {"steps": SAMPLING_STEPS, "seed": SEED, **{f"{part}_chunk": n for part, n in CHUNKS.items()}}
    feeds: dict[str, NDArray[Any]] = {"audio": audio, "mask": mask}
    feeds |= {name: np.array(number, np.int64) for name, number in numbers.items()}
    return feeds | {name: np.array(value, np.float32) for name, value in OPTIONS.items()}


def _run(path: Path, feeds: dict[str, NDArray[Any]], threads: int | None) -> tuple[Any, Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    sound, codes = session.run(None, feeds)
    return sound, codes
