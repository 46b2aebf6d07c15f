"""What is always there, declared as a plugin declares it; the built-in rules come by their entry point."""

from __future__ import annotations

from vampconv.frontend.families import CODEC, FAMILIES, TRANSFORMER, WAVEBEAT
from vampconv.plugins.plugin import Plugin
from vampconv.rewrite.target import ORT, PORTABLE

BUILTIN = Plugin(
    frontends=FAMILIES,
    targets=(PORTABLE, ORT),
    subjects={
        TRANSFORMER: "vampconv.verify.subjects:transformers",
        CODEC: "vampconv.verify.subjects:codecs",
        WAVEBEAT.kind: "vampconv.verify.subjects:beat_trackers",
    },
)
