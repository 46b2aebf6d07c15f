"""Rule directories and plugins: their code is trusted once it is named, and their mistakes are told in one line."""

from __future__ import annotations

import os
from pathlib import Path

from .case import Case, sound

RULES = (("convert", "model.pth", "codec.pth", "-o", "out", "--force", "--rules", "own"),)
HEAD = "from vampconv.dialect import vamp\nfrom vampconv.rewrite import Close, Rule, Sample, Stage\n"


def own(source: str | bytes, name: str = "own.py"):
    def make(place: Path) -> bytes:
        (place / "own").mkdir()
        (place / "own" / name).write_bytes(source if isinstance(source, bytes) else source.encode())
        return sound()

    return make


def empty(place: Path) -> bytes:
    (place / "own").mkdir()
    return sound()


def pipe(place: Path) -> bytes:
    (place / "own").mkdir()
    os.mkfifo(place / "own" / "rule.py")
    return sound()


def device(place: Path) -> bytes:
    (place / "own").mkdir()
    (place / "own" / "rule.py").symlink_to("/dev/zero")
    return sound()


def folder(place: Path) -> bytes:
    (place / "own" / "rule.py").mkdir(parents=True)
    return sound()


def only(*options: str):
    return (("convert", "model.pth", "codec.pth", "-o", "out", "--force", *options),)


CASES = [
    Case("no such directory", 2, "no Python files", lambda _: sound(), RULES),
    Case("an empty directory", 2, "no Python files", empty, RULES),
    Case("a directory of no rules", 2, "no rules", own("x = 1\n"), RULES),
    Case("a file that is no Python", 7, "SyntaxError", own("def"), RULES),
    Case("a file of bytes", 7, "own.py: ", own(b"\xff\xfe\x00"), RULES),
    Case("a file of null bytes", 7, "own.py: ", own(bytes(50)), RULES),
    Case(
        "a file that raises",
        7,
        "own.py: RuntimeError: no",
        own("raise RuntimeError('no\\n\\x1b[2Jno')"),
        RULES,
    ),
    Case("a file that exits", 7, "own.py: SystemExit", own("raise SystemExit(0)"), RULES),
    Case("a file that exits by os", 7, "own.py: SystemExit", own("import sys\nsys.exit('bye')"), RULES),
    Case(
        "a file that recurs without end", 7, "own.py: RecursionError", own("def f():\n    f()\nf()\n"), RULES
    ),
    Case(
        "a file that imports what is not there",
        7,
        "own.py: ModuleNotFoundError",
        own("import no_such_module"),
        RULES,
    ),
    Case("a file that is a named pipe", 7, "rule.py.*not a regular file", pipe, RULES),
    Case("a file that is a device", 7, "rule.py.*not a regular file", device, RULES),
    Case("a file that is a directory", 7, "rule.py", folder, RULES),
    Case(
        "a rule of no parts",
        7,
        "rule Mine .* lacks",
        own(HEAD + "class Mine(Rule): stage = Stage.LOWER\n"),
        RULES,
    ),
    Case(
        "a rule of a wrong stage", 7, "lacks claim", own(HEAD + "class Mine(Rule): stage = 'late'\n"), RULES
    ),
    Case("no such plugin", 2, "no-such-plugin", lambda _: sound(), only("--enable", "no-such-plugin")),
    Case("a plugin named like a module", 2, "os", lambda _: sound(), only("--enable", "os")),
    Case("a plugin named like a path", 2, "evil", lambda _: sound(), only("--enable", "../evil.py")),
    Case("a rule that is not there", 2, "NoSuchRule", lambda _: sound(), only("--disable", "NoSuchRule")),
    Case(
        "a rule that is not there, with an escape",
        2,
        "no rule",
        lambda _: sound(),
        only("--disable", "\x1b[2J"),
    ),
    Case(
        "a rule without which nothing is lowered", 7, ".", lambda _: sound(), only("--disable", "MergeLoRA")
    ),
]
