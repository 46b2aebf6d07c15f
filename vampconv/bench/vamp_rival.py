"""One contestant of the vamp's benchmark: ``python -m vampconv.bench.vamp_rival WHO FOLDER STEPS OUTPUT``.

The array that it saves is float64 [runs, parts]: the seconds that each part of each run took.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vampconv.bench.rival import serve
from vampconv.play.clock import Clock

if TYPE_CHECKING:
    import torch

    from vampconv.reference.vampnet import VampNetReference

PARTS = ("encoder", "coarse", "coarse to fine", "decoder", "other")
CHUNK = {"coarse": 575, "c2f": 173}
"""Steps of a chunk: 10 and 3 seconds."""

Vamp = Callable[[int, Clock], None]
"""Vamps with so many steps of the coarse model."""


def by_runtime(folder: Path) -> Vamp:
    """The runtime, whose models stay in memory."""
    from vampconv.runtime import VampNet

    vampnet, audio = VampNet(folder / "bundle"), np.load(folder / "audio.npy")

    def run(steps: int, clock: Clock) -> None:
        with clock.part("encoder"):
            codes = vampnet.codec.encode(audio)
        vamping = vampnet.vamping(noise=0, sampling_steps=steps)
        with clock.part("coarse"):
            coarse = list(vamping.coarsely([(codes, np.ones(codes.shape, np.bool_))]))
        with clock.part("coarse to fine"):
            made = np.concatenate([vamped.codes for vamped in vamping.finely(coarse)], axis=-1)
        with clock.part("decoder"):
            vampnet.decode(made)

    return run


def by_command(folder: Path) -> Vamp:
    """What the command line does, from file to file."""
    from vampconv.play.perform import perform
    from vampconv.play.request import Request
    from vampconv.runtime.audio import write_wav
    from vampconv.runtime.masks.build import MaskOptions
    from vampconv.runtime.sampling import Sampling

    audio = np.load(folder / "audio.npy")
    write_wav(folder / "in.wav", audio[0, 0], 44100)

    def run(steps: int, clock: Clock) -> None:
        request = Request(
            bundle=folder / "bundle",
            audio=folder / "in.wav",
            output=folder / "out.wav",
            sampling=Sampling(sampling_steps=steps),
            mask_options=MaskOptions(periodic_prompt=0),
            seed=0,
            force=True,
        )
        clock.seconds |= perform(request).seconds

    return run


def by_reference(folder: Path) -> Vamp:
    """PyTorch in eager mode, as the original has it: LoRA pairs merged, float32, no gradients."""
    import torch

    from vampconv.bench.codec_rival import load
    from vampconv.reference.codec_tables import codec_tables
    from vampconv.reference.vampnet import VampNetReference

    codec, audio = load(folder), torch.from_numpy(np.load(folder / "audio.npy"))
    models = {}
    for name in CHUNK:
        saved = torch.load(folder / f"{name}.pth", mmap=True, weights_only=True)
        tables = codec_tables(codec.state_dict())
        kwargs = saved["metadata"]["kwargs"]
        models[name] = VampNetReference.from_state_dict(saved["state_dict"], kwargs, tables)
        models[name].merge_lora()
    count = models["coarse"].config.n_codebooks

    @torch.inference_mode()
    def run(steps: int, clock: Clock) -> None:
        with clock.part("encoder"):
            codes = codec.quantizer(codec.encoder(codec.pad(audio))).codes
        with clock.part("coarse"):
            pieces = torch.split(codes[:, :count], CHUNK["coarse"], dim=-1)
            coarse = torch.cat([generate(models["coarse"], piece, steps) for piece in pieces], dim=-1)
        with clock.part("coarse to fine"):
            time = codes.shape[-1]
            codes = torch.nn.functional.pad(
                torch.cat((coarse, codes[:, count:]), 1), (0, -time % CHUNK["c2f"])
            )
            pieces = torch.split(codes, CHUNK["c2f"], dim=-1)
            codes = torch.cat([generate(models["c2f"], piece, 2) for piece in pieces], dim=-1)[..., :time]
        with clock.part("decoder"):
            codec.decode_codes(codes)

    return run


def generate(model: VampNetReference, codes: torch.Tensor, steps: int) -> torch.Tensor:
    """The sampling loop over codes int64 [batch, n_codebooks, time], of which all that do not condition are masked."""
    import torch

    fixed, token = model.config.n_conditioning_codebooks, model.config.vocab_size
    batch, total, time = codes.shape
    rows = (total - fixed) * time
    known = torch.full((batch, rows), token)
    for step in range(steps):
        shown = torch.cat((codes[:, :fixed], known.view(batch, time, -1).transpose(1, 2)), 1)
        p = torch.softmax(model(shown).transpose(1, 2), -1)
        drawn = torch.multinomial(p.reshape(-1, token), 1).view(batch, rows)
        masked = known == token
        known = torch.where(masked, drawn, known)
        if step == steps - 1:
            break
        r = (step + 1) / steps
        gumbel = -torch.log(-torch.log(torch.rand(batch, rows)))
        likely = torch.log(p.gather(-1, drawn[..., None])[..., 0]) + 10.5 * (1 - r) * gumbel
        confidence = likely.masked_fill(~masked, torch.inf)
        least = int(np.clip(np.floor(np.cos(r * np.pi / 2) * batch * rows), 1, int(masked.sum()) - 1))
        known = torch.where(confidence < confidence.sort(-1)[0][:, least, None], token, known)
    return torch.cat((codes[:, :fixed], known.view(batch, time, -1).transpose(1, 2)), 1)


CONTESTANTS = {"runtime": by_runtime, "command": by_command, "reference": by_reference}


def main(who: str, folder: Path, steps: int, output: Path) -> None:
    """Serve runs; one of a single step comes first, to warm up."""
    vamp = CONTESTANTS[who](folder)
    every: list[list[float]] = []

    def run() -> NDArray[np.float64]:
        clock = Clock()
        with clock.part("all"):
            vamp(steps if every else 1, clock)
        known = [clock.seconds[part] for part in PARTS[:-1]]
        every.append([*known, clock.seconds["all"] - sum(known)])
        return np.array(every)

    serve(run, output)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
