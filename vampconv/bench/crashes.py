"""Crashes at every call that writes: ``python -m vampconv.bench.crashes fixtures/golden``.

Each command runs in a child whose calls that write are watched (`vampconv.bench.system_calls`). For each of them one
run is made in which the process is killed before it, and others in which the call fails, as on a full or a broken
disk, or a signal comes before it. What stands after it has to be, byte for byte, what stood before or what the command
makes, once the leftovers are settled; the error has to be told in one line, with its exit code; the next run has to
succeed and to leave nothing but its result.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle
from pathlib import Path

import click

from vampconv.bench.crash_cases import Case, cases
from vampconv.bench.system_calls import Call, Fault, Watched, watch
from vampconv.cli import cli
from vampconv.emit.commit import recover
from vampconv.files.claims import sweep
from vampconv.process import run

FAULTS = ("SIGKILL", "EIO", "ENOSPC", "SIGINT", "SIGTERM")
CODES = {"EIO": {6}, "ENOSPC": {6}, "SIGINT": {130}, "SIGTERM": {143}, "SIGKILL": {-9}}
REMOVING = frozenset({"unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat"})
"""Calls whose failure may leave something for the next run to remove."""
NUMBER = re.compile(rb"\d+(\.\d+)?(e-?\d+)?")
Tree = dict[str, bytes]


@dataclass
class Trial:
    """A run in which something went wrong."""

    case: str
    fault: Fault
    call: Call | None
    code: int
    outcome: str = ""
    """``old`` or ``new``: what stood after it, or ``neither``."""
    problems: list[str] = field(default_factory=list)


class Stage:
    """A case with the directory that it works in, and what stands there before and after."""

    def __init__(self, case: Case, place: Path) -> None:
        self.case, self.place = case, place / "work"
        self.before = place / "before"
        self.errors = place / "stderr"
        self.before.mkdir(parents=True)
        case.prepare(self.before)
        self.old = self._tree(self.before)
        self._reset()
        self.clean = self._run(Fault())
        if self.clean.code:
            raise RuntimeError(f"{case.name} fails without a fault: {self.errors.read_text()}")
        self.new = self._tree(self.place)
        if self.new == self.old or any(is_hidden(name) for name in self.new):
            raise RuntimeError(f"{case.name} changes nothing, or leaves something")

    @cached_property
    def newer(self) -> Tree:
        """What stands when the command was run twice: it may give another name to a file that lies beside another."""
        self._reset()
        for _ in range(2):
            self._run(Fault())
        return self._tree(self.place)

    def trial(self, fault: Fault) -> Trial:
        """Let something go wrong, and see what stands after it and after the next run."""
        self._reset()
        ended = self._run(fault)
        call = ended.calls[fault.at - 1] if ended.met else None
        found = Trial(self.case.name, fault, call, ended.code)
        if not ended.met:
            return found
        self._judge_end(found)
        self._judge_tree(found)
        again = self._run(Fault())
        if again.code:
            found.problems.append(f"the next run ended with {again.code}: {self.errors.read_text().strip()}")
        elif (after := self._tree(self.place)) != self.new and (
            found.outcome != "new" or after != self.newer
        ):
            found.problems.append(f"after the next run: {differing(after, self.new)}")
        return found

    def _tree(self, root: Path) -> Tree:
        return tree(root, timed=self.case.timed)

    def _judge_end(self, found: Trial) -> None:
        told = self.errors.read_text()
        if found.code not in {0} | CODES[found.fault.kind] or "Traceback" in told:
            found.problems.append(f"it ended with {found.code}: {told.strip()}")
        if found.code == 6 and (told.count("\n") != 1 or not told.startswith("vampconv: error[6]: ")):
            found.problems.append(f"it told: {told.strip()}")

    def _judge_tree(self, found: Trial) -> None:
        left = self._tree(self.place)
        hidden = sorted(filter(is_hidden, left))
        cleaned = found.fault.kind == "SIGKILL" or (found.call and found.call.name in REMOVING)
        if hidden and not cleaned:
            found.problems.append(f"it left {hidden}")
        if self.case.bundle is None:
            sweep(self.place)
        else:
            if self.case.exchange and visible(left) not in (self.old, self.new):
                found.problems.append("neither stands before the next run")
            recover(self.place / self.case.bundle)
        settled = self._tree(self.place)
        found.outcome = "old" if settled == self.old else "new" if settled == self.new else "neither"
        if found.outcome == "neither":
            found.problems.append(f"neither stands: {differing(settled, self.old)}")
        if found.code == 0 and found.outcome == "old":
            found.problems.append("it told of success, and the old one stands")
        if found.code > 0 and found.outcome == "new" and found.fault.error is not None:
            found.problems.append("it told of an error, and the new one stands")

    def _reset(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.before, self.place, symlinks=True)

    def _run(self, fault: Fault) -> Watched:
        return watch(self._work, self.place, fault, exchange=self.case.exchange)

    def _work(self) -> int:
        """The command, in the child: its results go nowhere, its errors into a file."""
        os.chdir(self.place)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        for number, path in ((1, Path(os.devnull)), (2, self.errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        code = run(cli, list(self.case.arguments))
        sys.stderr.flush()
        return code


def tree(root: Path, *, timed: bool = False) -> Tree:
    """All files below a directory; if they tell of times, without their numbers."""
    found = {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    return {name: NUMBER.sub(b"#", content) if timed else content for name, content in found.items()}


def is_hidden(name: str) -> bool:
    """Whether it is something that is not in place yet."""
    return any(part.startswith(".") for part in Path(name).parts)


def visible(found: Tree) -> Tree:
    """What of a tree is in place."""
    return {name: content for name, content in found.items() if not is_hidden(name)}


def differing(found: Tree, wanted: Tree) -> list[str]:
    """Names that differ."""
    return sorted(name for name in found | wanted if found.get(name) != wanted.get(name))


def unflushed(calls: Sequence[Call]) -> list[str]:
    """Files that got a name in place when not all of them was on the disk, and directories whose names were not.

    What follows of a loss of power, as far as the order of calls tells: a file is on the disk after ``fsync``.
    """
    dirty: set[str] = set()
    problems: list[str] = []
    unsynced: set[str] = set()
    for call in calls:
        match call.name:
            case "write" | "pwrite64" | "writev" | "sendfile" | "copy_file_range" | "ftruncate":
                dirty.add(call.paths[-1])
            case "fsync" | "fdatasync":
                dirty.discard(call.paths[0])
                unsynced.discard(call.paths[0])
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                source, target = call.paths
                if not os.path.basename(target).startswith("."):  # noqa: PTH119
                    below = [path for path in dirty if path == source or path.startswith(source + "/")]
                    problems += [f"{path} was not flushed before it was put in place" for path in below]
                    unsynced.add(os.path.dirname(target))  # noqa: PTH120
    return problems + [f"{path} was not flushed at the end" for path in sorted(unsynced)]


def sweep_case(case: Case, place: Path, choose: Callable[[int], Sequence[Fault]]) -> Iterator[Trial]:
    """All trials of a case.

    Parameters
    ----------
    case, place
        And an empty directory for it.
    choose
        Given how many calls there are, the faults to try.

    """
    stage = Stage(case, place)
    for problem in unflushed(stage.clean.calls):
        yield Trial(case.name, Fault(), None, 0, "new", [problem])
    for fault in choose(len(stage.clean.calls)):
        yield stage.trial(fault)


def drawn(seed: int, amount: int, kinds: Sequence[str]) -> Callable[[int], Sequence[Fault]]:
    """So many faults, drawn by chance, of all kinds in turn from one case to the next; 0: all that there are."""
    draw, kind = random.Random(seed), cycle(kinds)

    def choose(count: int) -> Sequence[Fault]:
        if amount:
            return [Fault(draw.randint(1, count), next(kind)) for _ in range(amount)]
        return [Fault(at, kind) for at in range(1, count + 1) for kind in kinds]

    return choose


@click.command()
@click.argument("golden", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--case", "wanted", multiple=True, help="Only this one [all].")
@click.option("--trials", default=0, help="So many of each case, drawn by chance [all].")
@click.option("--seed", default=0, show_default=True)
@click.option("--fault", "faults", multiple=True, type=click.Choice(FAULTS), help="[all]")
def main(golden: Path, wanted: Sequence[str], trials: int, seed: int, faults: Sequence[str]) -> None:
    """Let every command crash at every call that writes; exit status 1 if something else stands then."""
    failed, all_runs, choose = 0, 0, drawn(seed, trials, faults or FAULTS)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory).resolve()
        for case in cases(golden.resolve(), place / "inputs"):
            if wanted and case.name not in wanted:
                continue
            start, counts, runs = time.perf_counter(), Counter[str](), 0
            for trial in sweep_case(case, place / case.name, choose):
                runs += trial.call is not None
                counts[f"{trial.fault.kind} {trial.outcome}"] += trial.call is not None
                failed += bool(trial.problems)
                for problem in trial.problems:
                    click.echo(f"  {trial.fault.kind} at {trial.fault.at}, {trial.call}: {problem}")
            told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)
            click.echo(f"{case.name}: {runs} runs in {time.perf_counter() - start:.0f} s: {told}")
            all_runs += runs
    click.echo(f"{all_runs} runs, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
