"""The beginning of a rule: it works, and its evidence bears it out."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from pathlib import Path

from vampconv.errors import InputOutputError, UsageError

TEMPLATE = '''"""NAME: a rewrite rule."""

from vampconv.dialect import vamp
from vampconv.rewrite import Close, Refused, Rule, Sample, Stage


class NAME(Rule, before=("StandardRMSNorm", "ClassicRMSNorm")):
    """``RMSNorm`` is ``x · (1 / sqrt(Σx²/dim + eps)) · weight``."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-6)

    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def require(m):
        yield m.size("weight", 0) > 0, "the width is unknown"

    @staticmethod
    def after(op, x, weight, eps, m):
        squares = op.ReduceSum(op.Mul(x, x), [-1], keepdims=1)
        mean = op.Mul(squares, 1 / m.size("weight", 0))
        return op.Mul(op.Mul(x, op.Reciprocal(op.Sqrt(op.Add(mean, eps)))), weight)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 64), weight=draw(64), eps=1e-6)
        yield Sample(x=draw("batch", "time", 64, scale=1e-4), weight=draw(64), eps=1e-2)
        yield Refused("width is unknown", x=draw("batch", "long"), weight=draw("long"), eps=1e-6)
'''


def write_skeleton(name: str, directory: Path, taken: Iterable[str]) -> Path:
    """Write a rule of this name to a file of its own, and return the file.

    Raises
    ------
    UsageError
        If the name is not one for a class, or another rule has it.
    InputOutputError
        If the file is there, or cannot be written.

    """
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is no name for a rule", "give one in capitals, like FasterNorm")
    if name in taken:
        raise UsageError(f"there is a rule {name} already", "give another name")
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    file = directory / f"{stem}.py"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.replace("NAME", name))
    except FileExistsError:
        raise InputOutputError(f"{file} is there already", "give another name or directory") from None
    except OSError as error:
        raise InputOutputError(f"{file} cannot be written: {error.strerror}", "choose another DIR") from error
    return file
