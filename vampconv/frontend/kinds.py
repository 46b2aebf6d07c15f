"""What a checkpoint is, told from its tensors and never from its file name."""

from __future__ import annotations

from collections.abc import Sequence

from vampconv.checkpoint import Checkpoint
from vampconv.errors import PluginError, UnsupportedModelError
from vampconv.frontend.families import FAMILIES
from vampconv.frontend.frontend import Frontend
from vampconv.frontend.weights import plain_name


def kind_of(checkpoint: Checkpoint, frontends: Sequence[Frontend] = FAMILIES) -> Frontend:
    """The family of a checkpoint.

    Raises
    ------
    UnsupportedModelError
        If it is none of those known.
    PluginError
        If it is several, or a recogniser raises.

    """
    names = {plain_name(name) for name in checkpoint.tensors}
    found = [frontend for frontend in frontends if frontend.recognises(names)]
    if len(found) > 1 and not all(frontend in FAMILIES for frontend in found):
        claims = " and ".join(f"a {frontend.kind}" for frontend in found)
        raise PluginError(f"{checkpoint.path.name} is recognised as {claims}", "disable one of their plugins")
    if found:
        return found[0]
    shown = ", ".join(sorted(names)[:3]) or "no tensors"
    known = ", ".join(frontend.kind for frontend in frontends)
    raise UnsupportedModelError(
        f"{checkpoint.path.name} is a sound checkpoint, but of no known model (it holds {shown})",
        f"known are: {known}; a plugin that knows it must be enabled",
    )
