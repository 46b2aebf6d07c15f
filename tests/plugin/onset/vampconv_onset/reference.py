"""The onset detector in PyTorch, and how it is verified."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from vampconv.verify.subjects import tensors_of
from vampconv_onset.frontend import KIND


class Block(nn.Module):
    """A gated convolution, with its input added where it has as many channels."""

    def __init__(self, into, channels, kernel):
        super().__init__()
        self.conv = nn.Conv1d(into, 2 * channels, kernel, padding=kernel // 2)
        self.gate = nn.GLU(dim=1)

    def forward(self, x):
        y = self.gate(self.conv(x))
        return x + y if x.shape[1] == y.shape[1] else y


class OnsetDetector(nn.Module):
    """spectrum [batch, bands, time] -> onsets [batch, 1, time], probabilities."""

    def __init__(self, bands=8, channels=6, kernel=3, blocks=3):
        super().__init__()
        widths = [bands] + [channels] * blocks
        self.blocks = nn.Sequential(*(Block(into, out, kernel) for into, out in pairwise(widths)))
        self.head = nn.Conv1d(channels, 1, 1)

    def forward(self, spectrum):
        return torch.sigmoid(self.head(self.blocks(spectrum)))


@dataclass
class Onset:
    """``onset``: a spectrogram to onsets."""

    checkpoint: object
    part: str = "onset"

    def build(self, dtype):
        state = tensors_of(self.checkpoint)
        filters = [tensor for name, tensor in state.items() if name.endswith("conv.weight")]
        out, bands, kernel = filters[0].shape
        model = OnsetDetector(bands, out // 2, kernel, len(filters))
        model.load_state_dict(state)
        return model.to(dtype).eval()

    def feeds(self, case):
        random = np.random.default_rng((case.seed, case.batch, case.length))
        bands = self.checkpoint.tensors["blocks.0.conv.weight"].shape[1]
        return {"spectrum": random.standard_normal((case.batch, bands, case.length)).astype(np.float32)}

    def run(self, model, feeds, _outputs):
        return {".": model(torch.from_numpy(feeds["spectrum"]).to(next(model.parameters()).dtype))}


def subjects(inputs):
    yield from (Onset(checkpoint) for checkpoint in inputs.of(KIND))
