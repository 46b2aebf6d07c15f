"""What can be asked of a vamp from file to file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vampconv.errors import UsageError
from vampconv.runtime.arguments import check_count
from vampconv.runtime.masks.beat import BeatOptions
from vampconv.runtime.masks.build import MaskOptions
from vampconv.runtime.sampling.options import Sampling

MOST_FILES = 1000


@dataclass(frozen=True, kw_only=True)
class Request:
    """A vamp.

    Parameters
    ----------
    audio, tokens
        What is vamped: a file of audio, or one of tokens; one of both.
    output
        The file of audio to write; its suffix is the format. None: a WAV file to stdout, as it is made.
    bundle
        The models.
    mask_options, beat_options
        What to make anew; beats count where there are options for them.
    mask_file
        Instead of both, the mask.
    sampling
        Of the coarse model.
    controls, control_masks
        Files of float32 arrays, by control.
    seed
        Of the first variation, the others follow; by default one that no one knows.
    variations
        So many vamps, each with a seed and a file of its own.
    batch_size
        As in the original: so many in one batch, whose schedule counts the tokens of all.
    gain, loudness
        By which the audio is multiplied; by default to a loudness in LUFS.
    stereo
        Whether each channel is vamped, rather than their mean.
    coarse_chunk_s, c2f_chunk_s
        Seconds; by default those of the bundle.
    threads
        Of each model; as many as there are processors, by default.
    check_hashes
        Whether the bundle's files are compared with their hashes.
    tokens_output, plot
        Further files to write.
    force
        Whether files that are there are replaced.

    """

    bundle: Path
    output: Path | None
    audio: Path | None = None
    tokens: Path | None = None
    mask_options: MaskOptions = field(default_factory=MaskOptions)
    beat_options: BeatOptions | None = None
    mask_file: Path | None = None
    sampling: Sampling = field(default_factory=Sampling)
    controls: Mapping[str, Path] = field(default_factory=dict)
    control_masks: Mapping[str, Path] = field(default_factory=dict)
    feedback_steps: int = 1
    time_stretch_factor: int = 1
    seed: int | None = None
    variations: int = 1
    batch_size: int = 1
    gain: float | None = None
    loudness: float = -24.0
    stereo: bool = False
    coarse_chunk_s: float | None = None
    c2f_chunk_s: float | None = None
    threads: int | None = None
    check_hashes: bool = True
    tokens_output: Path | None = None
    plot: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if (self.audio is None) == (self.tokens is None):
            raise UsageError("there is not one thing to vamp", "give a file of audio or --from-tokens")
        for name in ("coarse_chunk_s", "c2f_chunk_s"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < 3600:
                raise UsageError(f"{name} is {seconds}", "give seconds, up to an hour")
        if not -100 <= self.loudness <= 0:
            raise UsageError(f"loudness is {self.loudness}", "give LUFS from -100 to 0")
        if self.gain is not None and not -1e6 <= self.gain <= 1e6:
            raise UsageError(f"gain is {self.gain}", "give a factor up to a million")
        check_count("time_stretch_factor", self.time_stretch_factor)
        check_count("feedback_steps", self.feedback_steps)
        if self.variations > 1 and self.batch_size > 1:
            raise UsageError("both --variations and --batch-size ask for several", "leave one of them out")
        if not 1 <= self.files <= MOST_FILES:
            raise UsageError(f"{self.files} files are asked for", f"ask for 1 to {MOST_FILES}")
        hears = self.beat_options is not None or self.mask_options.onset_mask_width > 0
        if self.audio is None and hears and self.mask_file is None:
            raise UsageError("masks of beats and onsets are made from audio", "give the audio file")
        if self.output is None and (self.files > 1 or self.tokens_output or self.plot):
            raise UsageError(
                "--stream writes one stretch of audio after another", "give -o for anything else"
            )

    @property
    def files(self) -> int:
        """How many files of audio are made."""
        return self.variations * self.batch_size
