"""The loop: make a file of a file, read it, and note what must not be."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vampconv.bench.fuzz.containers import ARCHIVE, SHEAF
from vampconv.bench.fuzz.raw import RAW, Mutation
from vampconv.bench.fuzz.seeds import Seed, seeds
from vampconv.checkpoint import open_checkpoint
from vampconv.errors import LONGEST, VampconvError

SLOW = 1.0
"""Seconds of processor time that no file of this size may take."""
HANG = 20
"""Seconds after which a reading is given up."""
MEMORY = 150 << 20
"""Bytes that the process may take beyond what it has before: the reader itself, with numpy, has as many."""


class Hang(BaseException):
    """A reading took `HANG` seconds."""


@dataclass
class Findings:
    """What a run found.

    Attributes
    ----------
    count
        Files read.
    accepted
        Of these, those that were taken for sound.
    problems
        The number of a file, its seed and mutation, and what is wrong.
    slowest
        Seconds of processor time of one file, and its number.
    peak
        Bytes of memory of the process.
    seconds
        In all.
    before
        Bytes of memory before the first file, most of them PyTorch's.

    """

    count: int = 0
    accepted: int = 0
    problems: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0
    seconds: float = 0.0
    mutations: Counter[str] = field(default_factory=Counter)
    before: int = 0

    @classmethod
    def born(cls) -> Findings:
        """Of nothing yet."""
        return cls(peak=peak_memory(), before=peak_memory())

    def add(self, mutation: str, problem: str | None) -> None:
        """Count a file."""
        self.count += 1
        self.mutations[mutation] += 1
        if problem:
            self.problems.append(problem)

    def __str__(self) -> str:
        return (
            f"{self.count} mutations, {self.accepted} taken for sound, {len(self.problems)} problems; slowest "
            f"{1000 * self.slowest[0]:.0f} ms (number {self.slowest[1]}), peak {self.peak / 1e6:.0f} MB "
            f"({self.before / 1e6:.0f} MB before), {self.seconds:.0f} s"
        )


def everything(path: Path) -> object:
    """All that the reader gives for a file, in a form that compares."""
    with open_checkpoint(path) as checkpoint:
        tensors = []
        for name, tensor in checkpoint.tensors.items():
            array = tensor.read()
            if (array.shape, array.dtype, array.nbytes) != (tensor.shape, tensor.dtype, tensor.nbytes):
                raise AssertionError(f"{name} is not what it was said to be")
            tensors.append((name, array.shape, str(array.dtype), array.tobytes()))
        checkpoint.verify()
        return checkpoint.format, tensors, repr(dict(checkpoint.metadata)), checkpoint.outside


def reading(path: Path) -> object:
    """The same, or None for a file that is refused in one line."""
    try:
        return everything(path)
    except VampconvError as error:
        line = error.line()
        if not line.isprintable() or len(line) > LONGEST + 300:
            raise AssertionError(f"a message of more than a line: {line[:80]!r}") from error
        return None


def mutation_of(draw: random.Random, seed: Seed) -> tuple[Mutation, bool]:
    """A mutation for a file, and whether what comes out must be refused or read as before."""
    if draw.random() < 0.5:
        return draw.choice(RAW), seed.checked
    chosen = draw.choice(ARCHIVE if seed.checked else SHEAF)
    return chosen, seed.checked and chosen.__name__ == "field_changed"


def fuzz(
    count: int,
    seed: int = 0,
    *,
    start: int = 0,
    keep: Path | None = None,
    tell: Callable[[Findings], None] = lambda _found: None,
) -> Findings:
    """Read `count` mutated files; the same seed and numbers give the same files.

    Parameters
    ----------
    count
        How many.
    seed
        Of all draws.
    start
        The number of the first: any file can be made again alone.
    keep
        A directory for the files that are found to be problems.
    tell
        Called with what was found so far, now and then.

    """
    files = seeds()
    found = Findings.born()
    archives = [file.content for file in files if file.checked]
    began = time.process_time()
    with in_memory() as (descriptor, path), alarm():
        expected = {}
        for file in files:
            put(descriptor, file.content)
            expected[file.name] = everything(path)
        for number in range(start, start + count):
            draw = random.Random((seed << 40) + number)
            file = draw.choice(files)
            mutation, covered = mutation_of(draw, file)
            content = mutation(draw, file.content, archives) or b"\0"
            put(descriptor, content)
            problem = read_and_judge(path, found, number, expected[file.name] if covered else None)
            told = f"{number} ({file.name}, {mutation.__name__}): {problem}"
            found.add(mutation.__name__, told if problem else None)
            if problem and keep is not None:
                (keep / f"{seed}-{number}.bin").write_bytes(content)
            if found.count % 10_000 == 0:
                found.seconds = time.process_time() - began
                tell(found)
    found.seconds = time.process_time() - began
    return found


def read_and_judge(path: Path, found: Findings, number: int, expected: object) -> str | None:
    """What is wrong with how a file is read, if anything; `expected` is what it must give if it is taken, or None."""
    problem, began = None, time.process_time()
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        result = reading(path)
        found.accepted += result is not None
        if expected is not None and result not in (None, expected):
            problem = "it is read as something else, and not refused"
    except Hang:
        problem = f"it is not read within {HANG} s"
    except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
        problem = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.process_time() - began
    found.slowest = max(found.slowest, (took, number))
    peak = peak_memory()
    if problem is None and took > SLOW:
        problem = f"it takes {took:.1f} s"
    if problem is None and peak > found.peak and peak > found.before + MEMORY:
        problem = f"it takes the process to {peak >> 20} MB"
    found.peak = max(found.peak, peak)
    return problem


def peak_memory() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def put(descriptor: int, content: bytes) -> None:
    """Let a file have this content."""
    os.ftruncate(descriptor, len(content))
    os.pwrite(descriptor, content, 0)


@contextmanager
def in_memory() -> Iterator[tuple[int, Path]]:
    """A file in memory, and the path that leads to it."""
    descriptor = os.memfd_create("fuzz")
    try:
        yield descriptor, Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def alarm() -> Iterator[None]:
    """Let a reading that hangs end with `Hang`."""

    def ring(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
