"""Ways to vamp that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    """Defaults for other options.

    Parameters
    ----------
    meaning
        In a few words.
    options
        Of the command line, by parameter.

    """

    meaning: str
    options: Mapping[str, object] = field(default_factory=dict)


PRESETS = {
    "variation": Preset("the same piece, played differently: every 7th step is kept (the defaults)"),
    "loose": Preset(
        "a freer variation: fewer prompts, warmer",
        {"periodic_prompt": 13, "temperature": 1.2, "mask_temperature": 15.0},
    ),
    "continuation": Preset(
        "the first 3 s are kept, what follows is made up",
        {"periodic_prompt": 0, "prefix_s": 3.0, "upper_codebook_mask": 14},
    ),
    "inpainting": Preset(
        "the first and last 2 s are kept, what lies between is made up",
        {"periodic_prompt": 0, "prefix_s": 2.0, "suffix_s": 2.0, "upper_codebook_mask": 14},
    ),
    "texture": Preset(
        "the coarsest codebook is kept: same events, other sound",
        {"periodic_prompt": 0, "upper_codebook_mask": 1, "rand_mask_intensity": 0.0},
    ),
    "beat": Preset(
        "what sounds at beats is kept, the rest is made up (needs the beat tracker)",
        {"periodic_prompt": 0, "beats": "keep", "after_beat_s": 0.08},
    ),
    "onset": Preset(
        "what sounds where notes begin is kept: the rhythm goes over to another sound",
        {"periodic_prompt": 0, "onset_mask_width": 2},
    ),
    "revamp": Preset(
        "vamped 4 times over, further away each time", {"periodic_prompt": 13, "feedback_steps": 4}
    ),
    "stretch": Preset(
        "twice as long: every other step is made up", {"periodic_prompt": 1, "time_stretch_factor": 2}
    ),
}
