"""Gated-convolution onset detectors: all that vampconv needs to convert and verify them."""

from vampconv.plugins import Plugin
from vampconv.rewrite.target import Target
from vampconv_onset.frontend import KIND, ONSET
from vampconv_onset.ops import GatedLinearUnit
from vampconv_onset.rules import RULES

PLUGIN = Plugin(
    rules=RULES,
    ops=(GatedLinearUnit,),
    frontends=(ONSET,),
    targets=(Target("onset-box", domains=frozenset({"", "onset.box"})),),
    subjects={KIND: "vampconv_onset.reference:subjects"},
)
