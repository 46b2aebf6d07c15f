"""How a wrong rule is written: a rule of vampconv with one of its pieces mistaken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vampconv.rewrite import Rule

PIECES = ("before", "after", "require", "evidence")


class Variant(NamedTuple):
    """A rule, what is wrong in its variant, and the variant."""

    rule: type[Rule]
    mistake: str
    variant: type[Rule]


VARIANTS: list[Variant] = []


def wrong(
    rule: type[Rule], mistake: str, **pieces: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate ``_after``, ``_before``, ``_require`` or ``_evidence`` to take that piece's place in a variant.

    `pieces` replaces further ones.
    """

    def record(piece: Callable[..., Any]) -> Callable[..., Any]:
        also(rule, mistake, **{piece.__name__.removeprefix("_"): piece}, **pieces)
        return piece

    return record


def also(rule: type[Rule], mistake: str, **pieces: Any) -> None:
    """Record a variant with other pieces."""
    assert set(pieces) <= {*PIECES, "claim"}
    body = {k: staticmethod(v) if k in PIECES else v for k, v in pieces.items()}
    VARIANTS.append(Variant(rule, mistake, type(f"Wrong{rule.__name__}", (rule,), body)))


def unguarded(m: Any) -> tuple[()]:  # noqa: ARG001
    """No guards where the rule has some."""
    return ()
