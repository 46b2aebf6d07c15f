"""What a rewrite rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from vampconv.rewrite.claim import Claim
from vampconv.rewrite.evidence import Sample
from vampconv.rewrite.match import Match
from vampconv.rewrite.stage import Stage

V = Any
"""A value in a rule: a part of a pattern in ``before``, an `onnx_ir.Value` in ``after``."""

Guard = tuple[bool, str]
"""A condition, and the reason to give where it does not hold."""


class Rule:
    """A declarative rewrite with its own evidence; it has no state, and its class is what is registered.

    ``before(op, …)``
        The pattern, written as the graph it stands for. Its parameters name the values and
        attributes that it binds. Returning several values makes a pattern with several roots.
    ``require(m)``
        Guards, each a condition with its reason; all must hold. `m` is a `Match`.
    ``after(op, …)``
        The replacement, from the same names (and ``m``, if it asks for it); as many values as ``before``.
    ``evidence(draw)``
        Samples on which the audit compares both sides (`Sample`), on which both must fail (`Fails`),
        and that the rule must decline (`Refused`), at least one for every guard.

    Rules of one stage are tried in the order of their plugins, unless one says that it comes after or before
    others, by name: ``class Mine(Rule, before="ClassicRMSNorm")``. Names of rules that are not there say nothing.
    """

    stage: ClassVar[Stage]
    claim: ClassVar[Claim]
    default: ClassVar[bool] = True
    target: ClassVar[str | None] = None
    """The target that it is for; by default for all of them. It may use the target's own operations."""
    precision: ClassVar[str | None] = None
    """The precision that it brings, if it is used in that one alone; modules that are kept are left out."""
    drops: ClassVar[Mapping[str, str]] = {}
    """Parameters whose constants the replacement leaves out on purpose, each with the reason."""

    runs_after: ClassVar[tuple[str, ...]] = ()
    """Names of rules of the same stage that are tried before this one: the class argument ``after=``."""
    runs_before: ClassVar[tuple[str, ...]] = ()
    """Names of rules of the same stage that are tried after this one: the class argument ``before=``."""

    before: ClassVar[Callable[..., Any]]
    after: ClassVar[Callable[..., Any]]
    evidence: ClassVar[Callable[..., Iterable[Sample]]]

    def __init_subclass__(cls, *, after: str | Sequence[str] = (), before: str | Sequence[str] = ()) -> None:
        if after:
            cls.runs_after = (after,) if isinstance(after, str) else tuple(after)
        if before:
            cls.runs_before = (before,) if isinstance(before, str) else tuple(before)

    @staticmethod
    def require(_m: Match) -> Iterable[Guard]:
        """No guards."""
        return ()
