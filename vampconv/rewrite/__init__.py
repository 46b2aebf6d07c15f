"""Declarative rewrite rules: what they are, how they are matched, applied, and audited."""

from vampconv.rewrite.claim import Claim, Close, Exact, Near
from vampconv.rewrite.evidence import Draw, Fails, Refused, Sample
from vampconv.rewrite.match import Match
from vampconv.rewrite.rule import Guard, Rule, V
from vampconv.rewrite.stage import Stage

__all__ = [
    "Claim",
    "Close",
    "Draw",
    "Exact",
    "Fails",
    "Guard",
    "Match",
    "Near",
    "Refused",
    "Rule",
    "Sample",
    "Stage",
    "V",
]
