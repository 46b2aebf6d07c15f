"""What can go wrong, each kind with its exit code (0 is success, 70 a bug of ours, 130 and 143 signals)."""

from __future__ import annotations

from typing import ClassVar

LONGEST = 2000
"""Characters of a problem that are shown; what a file says may be quoted in it."""


class VampconvError(Exception):
    """One line for the user: what is wrong, and how to mend it.

    Parameters
    ----------
    problem
        What is wrong, naming the file, tensor, rule or node.
    fix
        What the user can do about it.

    """

    code: ClassVar[int] = 70

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix

    def line(self) -> str:
        """The message as the command line prints it: one line, not endless, without control characters."""
        problem = self.problem if len(self.problem) <= LONGEST else f"{self.problem[:LONGEST]}…"
        text = "".join(c if c.isprintable() else " " for c in f"{problem}; {self.fix}")
        return f"vampconv: error[{self.code}]: {text}"


class UsageError(VampconvError):
    """The command line asks for something that cannot be meant."""

    code = 2


class BadInputError(VampconvError):
    """A checkpoint is damaged, incomplete, or not a checkpoint."""

    code = 3


class NotACheckpointError(BadInputError):
    """A sound file of another kind, as far as can be told."""


class UnsupportedModelError(VampconvError):
    """A sound checkpoint of a model that vampconv cannot convert."""

    code = 4


class VerificationError(VampconvError):
    """The converted model does not compute what the checkpoint does."""

    code = 5


class InputOutputError(VampconvError):
    """The file system would not read or write."""

    code = 6


class PluginError(VampconvError):
    """A rewrite rule or plugin breaks its contract."""

    code = 7


class LimitError(VampconvError):
    """A bound on size, depth or count was passed."""

    code = 8
