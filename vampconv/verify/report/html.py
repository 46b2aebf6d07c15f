"""A verification as one page that needs nothing but itself: no network, no script."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vampconv.verify.report import heat_map, summary, text
from vampconv.verify.report.plots import errors_by_layer, histogram
from vampconv.verify.result import PartResult, Sound, Verdict, Verification

TEMPLATE = "report.html.j2"
AUDIO = {".wav", ".flac", ".ogg", ".mp3"}


def as_html(verification: Verification, directory: Path = Path()) -> str:
    """The page, as it lies in this directory; sounds are referred to by names relative to it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        f.__name__: f for f in (text.number, text.error, text.ratio, text.index, text.count)
    }
    environment.filters["breakable"] = _breakable
    return environment.get_template(TEMPLATE).render(
        verification=verification,
        verdict=summary.verdict(verification),
        headline=summary.headline(verification),
        findings=list(_findings(verification)),
        parts=[_part(part, directory) for part in verification.parts],
        ledger=[_account(checkpoint) for checkpoint in verification.ledger],
        ramp=", ".join(heat_map.RAMP),
        largest=summary.FLOAT16_LARGEST,
        digits=summary.DIGITS,
        top=summary.TOP,
        root=summary.ROOT,
    )


def _one_line(value: object) -> object:
    """What the template prints: texts without control characters, markup of ours as it is."""
    return text.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _findings(verification: Verification) -> Iterator[tuple[str, str, str]]:
    """What is wrong, at a glance: part, place, and a sentence; causes first."""
    yield from (("", "", problem) for problem in verification.problems)
    for part in verification.parts:
        for fault in part.faults[: summary.TOP]:
            yield part.part, fault.module or summary.ROOT, summary.tell_fault(fault)
        others = [f for _, f in summary.part_failures(part) if not f.is_value]
        yield from ((part.part, f.where, f.message) for f in others[: summary.TOP])
        values = summary.by_value(part)
        bad = [c for c in values if c.verdict is Verdict.FAIL]
        if bad:
            told = f"The first of {text.count(len(bad), 'failing value')} in the order of the graph: "
            yield part.part, summary.where(bad[0]), told + summary.tell(bad[0])
            worst = max(bad, key=summary.gravity)
            if worst is not bad[0]:
                yield part.part, summary.where(worst), f"The worst of them: {summary.tell(worst)}"


def _breakable(name: str) -> Markup:
    """A name that breaks into lines after its dots and slashes."""
    return Markup("<wbr>").join(re.split(r"(?<=[./])(?=\w)", text.plain(name)))


def _part(part: PartResult, directory: Path) -> dict[str, Any]:
    """What the template shows of a part."""
    values, modules = summary.by_value(part), summary.by_module(part)
    ranked = sorted(modules, key=lambda row: summary.gravity(row[1]), reverse=True)
    maps = (heat_map.heat_map(name, cells) for name, cells in part.heat_maps.items())
    off = [w for w in part.weights if w.ulps or w.verdict is not Verdict.PASS]
    return {
        "record": part,
        "verdict": summary.part_verdict(part),
        "values": values,
        "verdicts": Counter(c.verdict for c in values),
        "worst": max(values, key=summary.gravity, default=None),
        "cases": list(dict.fromkeys(c.case for c in part.comparisons)),
        "modules": modules,
        "ranked": ranked[: summary.TOP],
        "plot": errors_by_layer(values) if values else None,
        "histogram": histogram(values) if values else None,
        "maps": [m for m in maps if m],
        "values_explained": summary.by_reason(part.coverage.values_explained) if part.coverage else [],
        "calls_explained": summary.by_reason(part.coverage.calls_explained) if part.coverage else [],
        "weights_off": sorted(off, key=lambda w: (not w.problem, -w.ulps))[: summary.TOP],
        "weights_equal": len(part.weights) - len(off),
        "head_room": part.head_room[: summary.TOP],
        "sounds": [(sound, _files(sound, directory)) for sound in part.sounds],
    }


def _files(sound: Sound, directory: Path) -> list[tuple[str, str]]:
    """Name and relative address of each file of a sound; the address is empty where it cannot be played."""
    found = []
    for name in sound.files:
        relative = os.path.relpath(name, directory) if PurePath(name).is_absolute() else name
        playable = PurePath(name).suffix.lower() in AUDIO and "\0" not in name
        address = "./" + quote(relative.encode("utf-8", "surrogatepass"))
        found.append((PurePath(name).name, address if playable else ""))
    return found


def _account(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The ledger of a checkpoint: how many tensors met each fate, and why some are not in the bundle."""
    tensors = checkpoint.get("tensors", ())
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for tensor in tensors:
        fate = tensor.get("fate") or "no fate"
        if fate not in {"used", "shared"}:
            reasons[fate, tensor.get("reason", "")].append(tensor["name"])
    return {
        "file": checkpoint.get("file", ""),
        "kind": checkpoint.get("kind", ""),
        "tensors": len(tensors),
        "fates": Counter(tensor.get("fate") or "no fate" for tensor in tensors),
        "reasons": reasons,
    }
