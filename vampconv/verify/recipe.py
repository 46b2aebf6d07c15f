"""How the parts of a bundle were made: from which checkpoints, for which opset, by which rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from vampconv.checkpoint import Checkpoint, open_checkpoint
from vampconv.convert.inputs import Inputs
from vampconv.emit.standing import MANIFEST
from vampconv.errors import InputOutputError, PluginError
from vampconv.frontend.families import CODEC, TRANSFORMER
from vampconv.frontend.kinds import kind_of
from vampconv.opsets import check_opset
from vampconv.passes.pipeline import FULL, Options
from vampconv.plugins import Plugins
from vampconv.rewrite.keep import Keep
from vampconv.rewrite.select import in_order
from vampconv.verify.locate import Located

CONVERT = "convert again with --force"


@dataclass(frozen=True)
class Recipe:
    """How parts were made that come from the same checkpoints."""

    checkpoints: frozenset[str]
    """Their labels in the manifest."""
    opset: int
    target: str
    precision: str
    kept: tuple[str, ...]
    """Modules that stay in float32 all the same."""
    rules: frozenset[str]
    """Those that fired; no other had an effect, so it makes no difference which others were on."""
    files: Mapping[str, str]
    """The ONNX file of each part."""


@dataclass(frozen=True)
class Opened:
    """The checkpoints of a recipe, and what they were compiled for."""

    recipe: Recipe
    inputs: Inputs
    options: Options
    labels: Mapping[Checkpoint, str]
    """Of each checkpoint, in the manifest."""


def recipes(manifest: Mapping[str, Any]) -> list[Recipe]:
    """How the parts of a bundle were made.

    Raises
    ------
    InputOutputError
        If the manifest is damaged.

    """
    found: dict[tuple[Any, ...], Recipe] = {}
    try:
        labels = [c["file"] for c in manifest["checkpoints"]]
        for part, entry in manifest["models"].items():
            sources = {s for row in entry["initializers"] for s in row["from"]}
            used = frozenset(_label_of(s, labels) for s in sources) - {""}
            precision = str(entry.get("precision", FULL))
            kept = tuple(str(module) for module in entry.get("kept", ()))
            key = (used, int(entry["opset"]), str(entry.get("target", "portable")), precision, kept)
            same = found.get(key, Recipe(*key, frozenset(), {}))
            files = {**same.files, part: str(entry["file"])}
            found[key] = Recipe(*key, same.rules | frozenset(entry["rules"]), files)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputOutputError(
            f"{MANIFEST} is damaged: it does not tell how parts were made", CONVERT
        ) from None
    return list(found.values())


def _label_of(source: str, labels: Iterable[str]) -> str:
    """The label in ``label:tensor``, or nothing."""
    return max((label for label in labels if source.startswith(f"{label}:")), key=len, default="")


def open_recipe(recipe: Recipe, located: Located, plugins: Plugins, stack: ExitStack) -> Opened:
    """Open the checkpoints of a recipe.

    Parameters
    ----------
    recipe
        How they were made.
    located
        The checkpoints.
    plugins
        Those that may have been used.
    stack
        Closes the checkpoints.

    Raises
    ------
    VampconvError
        If a checkpoint cannot be read, or a rule is not among those known.

    """
    check_opset(recipe.opset)
    unknown = sorted(recipe.rules - {rule.__name__ for rule in plugins.rules})
    if unknown:
        raise PluginError(
            f"rule {unknown[0]}, which fired, is not known here",
            "give its plugin by --enable, or its directory by --rules",
        )
    fired = [rule for rule in in_order(plugins.rules) if rule.__name__ in recipe.rules]
    domains, keep = plugins.target(recipe.target).domains, Keep(recipe.kept)
    options = Options(recipe.opset, recipe.target, fired, domains, recipe.precision, keep)
    labels: dict[Checkpoint, str] = {}
    inputs = Inputs(plugins.frontends)
    for label in sorted(recipe.checkpoints):
        checkpoint = stack.enter_context(open_checkpoint(located.paths[label]))
        labels[checkpoint] = label
        inputs.put(kind_of(checkpoint, plugins.frontends), checkpoint)
    if inputs.of(TRANSFORMER):
        inputs.lenders += inputs.by_kind.pop(CODEC, [])
    return Opened(recipe, inputs, options, labels)
