"""Recording what each module of a reference model puts out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn


@contextmanager
def record_activations(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within the context, calls of `model` fill the dict: module path to output.

    Of a tuple the first element is kept, of several calls the last, and modules that are not called leave no
    entry; the model itself is not among them.
    """
    recorded: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for path, module in model.named_modules():
            if path:
                handle = module.register_forward_hook(partial(_keep, recorded, path))
                hooks.callback(handle.remove)
        yield recorded


def _keep(
    recorded: dict[str, Tensor], path: str, _module: nn.Module, _inputs: object, output: object
) -> None:
    first = output[0] if isinstance(output, tuple) else output
    if isinstance(first, Tensor):
        recorded[path] = first.detach()
