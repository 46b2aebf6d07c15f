"""VampNet: audio to codes, codes to other codes, codes to audio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError, UsageError
from vampconv.runtime.arguments import batch_of, check_count, stretched, whole_mask, with_codebooks
from vampconv.runtime.audio.onsets import onset_steps
from vampconv.runtime.audio.preprocess import LOUDNESS, Preprocessed, preprocess
from vampconv.runtime.checks import check_channels, check_codes
from vampconv.runtime.controls import Controls
from vampconv.runtime.masks.beat import BeatOptions, beat_mask
from vampconv.runtime.masks.build import MaskOptions, build_mask
from vampconv.runtime.parts import Parts
from vampconv.runtime.sampling.generate import StepDone, generate
from vampconv.runtime.sampling.noise import GenerationNoise, NoiseSource, Part
from vampconv.runtime.sampling.options import Sampling
from vampconv.runtime.sampling.seeded import generation_source, source
from vampconv.runtime.vamping import Progress, Vamped, Vamping

Audio = NDArray[np.float32]
Codes = NDArray[np.int64]
Arrays = Mapping[str, NDArray[np.float32]]


class VampNet(Parts):
    """A converted bundle, ready to play. Each part is checked and loaded when it is first used.

    Parameters
    ----------
    directory
        The bundle.
    threads
        Of each model; as many as there are processors, by default.
    coarse_chunk_s, c2f_chunk_s
        Seconds of a chunk of the coarse and of the coarse-to-fine model; by default those of the bundle, 10 and 3.
    check_hashes
        Whether to compare the files with the hashes of the manifest.

    Raises
    ------
    InputOutputError
        If the directory is not a bundle, or its parts were made with different codecs.

    """

    def __init__(
        self,
        directory: Path | str,
        *,
        threads: int | None = None,
        coarse_chunk_s: float | None = None,
        c2f_chunk_s: float | None = None,
        check_hashes: bool = True,
    ) -> None:
        super().__init__(directory, threads, check_hashes=check_hashes)
        self.sample_rate, self.hop = self.bundle.number("sample_rate"), self.bundle.number("hop")
        self._chunk_s: dict[Part, float | None] = {"coarse": coarse_chunk_s, "c2f": c2f_chunk_s}

    def s2t(self, seconds: Any) -> NDArray[np.int64]:
        """Steps of the codes in some seconds, rounded up."""
        return np.ceil(np.asarray(seconds) * self.sample_rate / self.hop).astype(np.int64)

    def t2s(self, steps: Any) -> NDArray[np.float64]:
        """Seconds of so many steps of the codes."""
        return np.asarray(steps) * self.hop / self.sample_rate

    def preprocess(self, audio: Audio, sample_rate: int, loudness: float = LOUDNESS) -> Preprocessed:
        """Audio as the encoder takes it, of audio float32 [batch, channels, samples] at any rate; see `preprocess`."""
        return preprocess(audio, sample_rate, to_rate=self.sample_rate, hop=self.hop, target=loudness)

    def encode(self, audio: Audio, sample_rate: int) -> Codes:
        """Codes int64 [batch, n_codebooks, time] of audio float32 [batch, channels, samples] at any rate.

        It is preprocessed first.
        """
        return self.codec.encode(self.preprocess(audio, sample_rate).audio)

    def decode(self, codes: Codes) -> Audio:
        """Audio float32 [batch, 1, samples] at `sample_rate` of codes; a mask token counts as code 0."""
        return self.codec.decode(codes)

    def build_mask(
        self,
        codes: Codes,
        *,
        noise: NoiseSource | int | None = None,
        audio: Audio | None = None,
        sample_rate: int | None = None,
        **options: Any,
    ) -> Codes:
        """The mask of a vamp, int64 [batch, n_codebooks, time]: 1 where a code is to be made anew.

        Parameters
        ----------
        codes
            Int64 [batch, n_codebooks, time].
        noise
            All draws, or a seed for them; by default a seed that no one knows.
        audio, sample_rate
            Float32 [1, channels, samples], and its rate in Hz (by default that of the bundle), for a mask of onsets.
            As in the original the first channel counts, and its steps are as many samples as the codes' at any rate.
        options
            As for `MaskOptions`.

        """
        self._check_codes(codes)
        wanted, onsets = MaskOptions(**options), None
        if wanted.onset_mask_width:
            if audio is None:
                raise UsageError("a mask of onsets needs the audio", "give it as audio=")
            check_channels(audio)
            onsets = onset_steps(audio[0, 0], sample_rate or self.sample_rate, self.hop)
        shape = (codes.shape[0], codes.shape[1], codes.shape[2])
        return build_mask(shape, wanted, source(noise), self.sample_rate / self.hop, onsets).astype(np.int64)

    def beat_mask(
        self,
        codes: Codes,
        audio: Audio,
        sample_rate: int,
        *,
        noise: NoiseSource | int | None = None,
        **options: Any,
    ) -> Codes:
        """A mask of beats, int64 [batch, n_codebooks, time]: 0 at beats and 1 elsewhere, or the reverse.

        Parameters
        ----------
        codes
            Int64 [batch, n_codebooks, time].
        audio, sample_rate
            Float32 [1, channels, samples], and its rate in Hz.
        noise
            All draws, or a seed for them; by default a seed that no one knows.
        options
            As for `BeatOptions`.

        """
        self._check_codes(codes)
        beats = self.beat_tracker.find(audio, sample_rate)
        mask = beat_mask(codes.shape[-1], beats, self.s2t, BeatOptions(**options), source(noise))
        return np.broadcast_to(mask, codes.shape).astype(np.int64)

    def generate(
        self,
        part: Part,
        codes: Codes,
        mask: NDArray[Any] | None = None,
        *,
        noise: GenerationNoise | int | None = None,
        ctrls: Arrays | None = None,
        ctrl_masks: Arrays | None = None,
        on_step: StepDone | None = None,
        **sampling: Any,
    ) -> Codes:
        """One run of the sampling loop over codes int64 [batch, n_codebooks, time], whole.

        Parameters
        ----------
        part
            ``"coarse"`` or ``"c2f"``.
        codes
            Those of the part's codebooks.
        mask
            1 for codes to be made anew: [batch, n_codebooks, time] or [batch, time]; all, by default. The last
            two leave conditioning codebooks as they are.
        noise
            The draws of this run, or a seed for them; by default a seed that no one knows.
        ctrls, ctrl_masks
            Of a model with controls, as for `Controls`.
        on_step
            Told of each step.
        sampling
            As for `Sampling`.

        """
        model = self.coarse if part == "coarse" else self.c2f
        check_codes(codes, model.n_codebooks, model.vocab_size)
        if codes.shape[1] != model.n_codebooks:
            raise BadInputError(f"the codes are of {codes.shape[1]} codebooks", f"give {model.n_codebooks}")
        shape = codes.shape
        chosen = whole_mask(mask, shape) if mask is not None else np.ones(shape, np.bool_)
        if mask is None or mask.ndim == 2:
            chosen[:, : model.n_conditioning_codebooks] = False
        controls = Controls.of(model.ctrl_dims, ctrls, ctrl_masks, shape[0], shape[2]) if ctrls else None
        return generate(
            model, codes, chosen, generation_source(noise), Sampling(**sampling), controls, on_step
        )

    def vamp(self, codes: Codes, mask: NDArray[Any], **options: Any) -> Vamped:
        """New codes where the mask is 1: the coarse model, then the coarse-to-fine model; see `stream`."""
        pieces = list(self.stream(codes, mask, **options))
        return Vamped(*(np.concatenate(arrays, axis=-1) for arrays in zip(*pieces, strict=True)))

    def stream(
        self,
        codes: Codes,
        mask: NDArray[Any],
        *,
        noise: NoiseSource | int | None = None,
        batch_size: int | None = None,
        feedback_steps: int = 1,
        time_stretch_factor: int = 1,
        ctrls: Arrays | None = None,
        ctrl_masks: Arrays | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **sampling: Any,
    ) -> Iterator[Vamped]:
        """The same in stretches, each as soon as it is made.

        Parameters
        ----------
        codes
            Int64 [batch, n_codebooks, time], of all codebooks or of the coarse model's; the others are then made.
        mask
            1 for codes to be made anew: [batch, n_codebooks, time] or [batch, time].
        noise
            All draws, or a seed for them; by default a seed that no one knows.
        batch_size
            So many variations of codes of batch 1.
        feedback_steps
            How often the coarse model vamps what it made.
        time_stretch_factor
            So many steps for each, all but the first of them made anew.
        ctrls, ctrl_masks
            Of a model with controls, for the time of `codes`, as for `Controls`.
        on_progress
            Told of each step.
        sampling
            Of the coarse model, as for `Sampling`; the coarse-to-fine model always takes two steps.

        """
        options = Sampling(**sampling)
        check_count("feedback_steps", feedback_steps)
        check_count("time_stretch_factor", time_stretch_factor)
        check_codes(codes, self.c2f.n_codebooks, self.coarse.vocab_size)
        dims = {**self.c2f.ctrl_dims, **self.coarse.ctrl_dims}
        controls = Controls.of(dims, ctrls, ctrl_masks, len(codes), codes.shape[-1]) if ctrls else None
        chosen = whole_mask(mask, codes.shape)
        codes, chosen = with_codebooks(codes, chosen, self.coarse.n_codebooks, self.c2f.n_codebooks)
        codes, chosen = batch_of(codes, chosen, batch_size)
        codes, chosen = stretched(codes, chosen, time_stretch_factor)
        if controls is not None:
            controls = controls.of_batch(len(codes)).stretched(time_stretch_factor)
        vamping = Vamping(
            coarse=self.coarse,
            fine=self.c2f,
            coarse_length=self._chunk_length("coarse"),
            fine_length=self._chunk_length("c2f"),
            noise=source(noise),
            options=options,
            feedback_steps=feedback_steps,
            controls=controls,
            on_progress=on_progress,
        )
        return vamping.stream([(codes, chosen)])

    def _chunk_length(self, part: Part) -> int:
        seconds = self._chunk_s[part]
        return max(1, int(self.s2t(self.bundle.chunk_seconds(part) if seconds is None else seconds)))

    def _check_codes(self, codes: Codes) -> None:
        sizes = self.bundle.architecture("coarse" if "coarse" in self.bundle else "encoder")
        check_codes(codes, sys.maxsize, sizes["vocab_size" if "vocab_size" in sizes else "codebook_size"])
