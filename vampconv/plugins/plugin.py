"""What a plugin brings, as one declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vampconv.dialect import Op
from vampconv.frontend.frontend import Frontend
from vampconv.rewrite import Rule
from vampconv.rewrite.target import Target


@dataclass(frozen=True)
class Plugin:
    """All that a plugin brings; its entry point's module calls it ``PLUGIN``, or has ``RULES`` alone.

    Attributes
    ----------
    rules
        Rewrite rules, in the order in which they are tried.
    ops
        Ops of the dialect; defining one registers it.
    frontends
        Families of models that it can read.
    targets
        What graphs can be compiled for.
    subjects
        The PyTorch reference of a kind of checkpoint, as ``"module:function"``; only `verify` imports it.
        The function takes the open inputs, and yields a `vampconv.verify.subjects.Subject` for every part.
    name
        What a plugin is called that was given in-process; an installed one is called as its entry point.

    """

    rules: Sequence[type[Rule]] = ()
    ops: Sequence[type[Op]] = ()
    frontends: Sequence[Frontend] = ()
    targets: Sequence[Target] = ()
    subjects: Mapping[str, str] = field(default_factory=dict)
    name: str = "in-process"
