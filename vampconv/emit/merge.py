"""The manifest of a bundle to which parts are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from vampconv.emit.ledger import Fate
from vampconv.frontend.families import FAMILIES

KINDS = tuple(family.kind for family in FAMILIES)
PARTS = tuple(part for family in FAMILIES for part in family.parts)
"""The parts of built-in families, in the order in which they stand in a bundle; those of plugins follow by name."""


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of both: of a part that both have, the new one stands.

    It is what one conversion of all parts would have written: checkpoints from which no part is made any
    more are left out, and of one that both manifests know the uses are joined.
    """
    new = _relabelled(new, {c["file"]: c["sha256"] for c in old["checkpoints"]})
    kept = {name: entry for name, entry in old["models"].items() if name not in new["models"]}
    models = dict(sorted((kept | new["models"]).items(), key=_place))
    checkpoints = _checkpoints(old, new, models, kept)
    loops = {name: loop for name, loop in old["loops"].items() if loop["of"] in kept} | new["loops"]
    loops = dict(sorted(loops.items(), key=lambda item: _place((item[1]["of"], None))))
    whole = {name: entry for name, entry in old.get("whole", {}).items() if kept.keys() >= set(entry["of"])}
    seconds, files = old["chunk_seconds"] | new["chunk_seconds"], old["files"] | new["files"]
    return {
        **old,
        **new,
        "chunk_seconds": {name: seconds[name] for name in models if name in seconds},
        "plugins": _plugins(old, new, models, checkpoints),
        "models": models,
        "loops": loops,
        "whole": whole,
        "checkpoints": checkpoints,
        "files": {
            f: files[f]
            for entry in (*models.values(), *loops.values(), *whole.values())
            for f in (entry["file"], *entry["data"])
        },
    }


def _place(item: tuple[str, object]) -> tuple[int, str]:
    name = item[0]
    return (PARTS.index(name) if name in PARTS else len(PARTS), name)


def _rank(kind: str) -> tuple[int, str]:
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), kind)


def _plugins(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    models: Mapping[str, Any],
    checkpoints: Iterable[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The plugins of both, with what they still take part in; of one that both name, the new entry stands."""
    before, after = ({p["name"]: p for p in side.get("plugins", ())} for side in (old, new))
    fired = {rule for entry in models.values() for rule in entry["rules"]}
    there = {"rules": fired, "kinds": {c["kind"] for c in checkpoints}}
    joined = []
    for name, plugin in {**before, **after}.items():
        took = {
            key: sorted({*before.get(name, plugin)[key], *plugin[key]} & still)
            for key, still in there.items()
        }
        if name in after or any(took.values()):
            joined.append({**plugin, **took})
    return sorted(joined, key=lambda plugin: list({**after, **before}).index(plugin["name"]))


def _relabelled(new: Mapping[str, Any], taken: Mapping[str, str]) -> dict[str, Any]:
    """The new manifest, its checkpoints renamed where the old bundle calls another file so."""
    changed: dict[str, Any] = deepcopy(dict(new))
    for checkpoint in changed["checkpoints"]:
        label = checkpoint["file"]
        if taken.get(label, checkpoint["sha256"]) == checkpoint["sha256"]:
            continue
        fresh = checkpoint["file"] = f"{label}#{checkpoint['sha256'][:8]}"
        for row in (r for entry in changed["models"].values() for r in entry["initializers"]):
            row["from"] = [f"{fresh}{s[len(label) :]}" if _is_of(label, s) else s for s in row["from"]]
        for entry in (e for c in changed["checkpoints"] for e in c["tensors"]):
            if entry.get("reason") == f"by {label}":
                entry["reason"] = f"by {fresh}"
    return changed


def _is_of(label: str, source: str) -> bool:
    """Whether a source (``label:tensor``) is a tensor of the checkpoint with this label."""
    return source.startswith(f"{label}:")


def _checkpoints(
    old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Any], kept: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The checkpoints of both, by kind and then by the first part that uses them."""
    by_hash = {c["sha256"]: c for c in new["checkpoints"]}
    found = list(new["checkpoints"])
    for checkpoint in old["checkpoints"]:
        twin = by_hash.get(checkpoint["sha256"])
        if twin is not None:
            _join(twin, checkpoint, kept, models)
        elif _first_user(checkpoint["file"], kept.values()) < len(kept):
            found.append(checkpoint)
    return sorted(found, key=lambda c: (_rank(c["kind"]), _first_user(c["file"], models.values())))


def _first_user(label: str, entries: Iterable[Mapping[str, Any]]) -> int:
    """Place of the first model with a weight from this checkpoint, or their number if there is none."""
    users = [any(_is_of(label, s) for row in e["initializers"] for s in row["from"]) for e in entries]
    return users.index(True) if True in users else len(users)


def _join(
    twin: Mapping[str, Any], old: Mapping[str, Any], kept: Mapping[str, Any], models: Mapping[str, Any]
) -> None:
    """Add to a checkpoint's tensors the uses that the kept parts make of them."""
    files = [entry["file"] for entry in models.values()]
    by_name = {t["name"]: t for t in old["tensors"]}
    for entry in twin["tensors"]:
        before = by_name.get(entry["name"], {})
        uses = [u for u in before.get("uses", []) if any(_is_of(e["file"], u) for e in kept.values())]
        if uses and (entry["fate"] == Fate.NOT_REQUESTED or before["fate"] == Fate.USED):
            entry["fate"] = before["fate"]
            entry.pop("reason", None)
        if uses:
            together = [*entry.get("uses", []), *uses]
            entry["uses"] = sorted(together, key=lambda use: files.index(use.partition(":")[0]))
