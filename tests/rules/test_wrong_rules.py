"""Plausible mistakes in every rule: the audit refutes each of them on the rule's own evidence."""

from __future__ import annotations

from collections import Counter

import pytest

from vampconv.plugins import builtin_rules
from vampconv.rewrite.audit import SIZES, RefutedError, audit

from .wrong import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v.rule.__name__}-{v.mistake}")
def test_a_wrong_variant_is_refuted(variant):
    with pytest.raises(RefutedError) as refuted:
        audit(variant.variant)
    assert variant.variant.__name__ in str(refuted.value)


def test_every_rule_has_wrong_variants_and_none_is_listed_twice():
    count = Counter(v.rule for v in VARIANTS)
    assert {r.__name__: count[r] for r in builtin_rules() if count[r] < 2} == {}
    names = Counter((v.rule, v.mistake) for v in VARIANTS)
    assert [name for name, n in names.items() if n > 1] == []


@pytest.mark.parametrize("rule", sorted({v.rule for v in VARIANTS}, key=lambda r: r.__name__))
def test_a_variant_without_a_mistake_passes(rule):
    assert audit(type(f"Right{rule.__name__}", (rule,), {}), opsets=(23,), sizes=SIZES[1:2]).compared > 0
