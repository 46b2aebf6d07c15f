"""``python -m vampconv.bench.exactness fixtures/golden``: converted models against the recorded original."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from vampconv.convert import Request, convert
from vampconv.opsets import OLDEST, newest

PREFIXES = {"ctrl/": "ctrl.", "ctrl_mask/": "ctrl_mask."}


@dataclass(frozen=True)
class Recording:
    """A recorded run of the original: file of its data, checkpoint, fine-tune, and the model that it is."""

    data: str
    checkpoint: str
    model: str = "coarse"
    fine_tune: str | None = None


RECORDINGS = (
    Recording("coarse_b1_t13", "coarse"),
    Recording("coarse_b1_t40", "coarse"),
    Recording("coarse_b2_t13", "coarse"),
    Recording("c2f_b1_t13", "c2f", "c2f"),
    Recording("c2f_b1_t40", "c2f", "c2f"),
    Recording("c2f_b2_t13", "c2f", "c2f"),
    Recording("coarse_lora", "coarse", fine_tune="coarse_lora"),
    Recording("coarse_ctrl", "coarse_ctrl"),
    Recording("coarse_film", "coarse_film"),
)


@click.command()
@click.argument("golden", type=click.Path(path_type=Path, exists=True))
def main(golden: Path) -> None:
    """Print the relative L2 error of the logits, and how many positions have the same arg-max."""
    opsets = (OLDEST, newest())
    table = Table("recording", "logits", *(f"error, opset {o}" for o in opsets), "same arg-max")
    for recording in RECORDINGS:
        errors, same = [], []
        for logits, truth in (_compare(golden, recording, opset) for opset in opsets):
            errors.append(f"{np.linalg.norm(logits - truth) / np.linalg.norm(truth):.1e}")
            same.append(int((logits.argmax(-1) == truth.argmax(-1)).sum()))
        batch, positions, vocab = truth.shape
        agreed = f"{min(same)} of {batch * positions}"
        table.add_row(recording.data, f"{batch}×{positions}×{vocab}", *errors, agreed)
    Console(width=100).print(table)


def _compare(golden: Path, recording: Recording, opset: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the converted model and of the original, both [batch, time·n_predict, vocab]."""
    loras = [golden / f"{recording.fine_tune}.pth"] if recording.fine_tune else []
    with tempfile.TemporaryDirectory() as work:
        bundle, codec = Path(work) / "bundle", golden / "codec.pth"
        paths = [golden / f"{recording.checkpoint}.pth"]
        convert(Request(paths, bundle, codec=codec, loras=loras, opset=opset))
        session = onnxruntime.InferenceSession(
            bundle / f"{recording.model}.onnx", providers=["CPUExecutionProvider"]
        )
    with np.load(golden / f"{recording.data}.npz") as data:
        feeds = dict(_feeds(data))
        truth = data["logits"].swapaxes(1, 2).astype(np.float64)
    return np.asarray(session.run(None, feeds)[0]), truth


def _feeds(data: np.lib.npyio.NpzFile) -> Iterator[tuple[str, np.ndarray]]:
    for key in data.files:
        if key in ("codes", "r"):
            yield key, data[key]
        for prefix, name in PREFIXES.items():
            if key.startswith(prefix):
                yield name + key.removeprefix(prefix), data[key]


if __name__ == "__main__":
    main()
