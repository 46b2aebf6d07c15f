"""What was compared, and what explains the rest; anything else is a failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vampconv.verify.anchors import Anchors
from vampconv.verify.result import Coverage, Explained
from vampconv.verify.truth import Record

LEAST = 0.95
"""Share of a graph's values that must be compared."""


def cover(
    anchors: Anchors, compared: Iterable[str], swallowed: Mapping[str, str], record: Record
) -> Coverage:
    """The account of one graph and its reference.

    Parameters
    ----------
    anchors
        The graph's values.
    compared
        Names of those that were compared.
    swallowed
        Names of those that ONNX Runtime does not have, each with what it put in their place.
    record
        A run of the reference.

    """
    done = set(compared)
    values = [name for name in anchors.places if name in done]
    explained = [Explained(n, why) for n, why in swallowed.items() if n in anchors.places and n not in done]
    known = {*done, *(e.name for e in explained)}
    lost = [f"value {name}" for name in anchors.places if name not in known]
    stands = {name for value in values for name, _ in anchors.places[value].stands_for}
    gone = {n: e.reason for e in explained for n, _ in anchors.places[e.name].stands_for}
    calls, why_not = 0, []
    for call in record.calls:
        reason = gone.get(call) or _reason(call, {*stands, *gone}, anchors.fused, record)
        if call in stands:
            calls += 1
        elif reason:
            why_not.append(Explained(call, reason))
        else:
            lost.append(f"call {call}")
    lost += [f"output {name}" for name in unfounded(anchors, record)]
    return Coverage(
        len(anchors.places),
        len(values),
        tuple(explained),
        len(record.calls),
        calls,
        tuple(why_not),
        tuple(lost),
    )


def unfounded(anchors: Anchors, record: Record) -> list[str]:
    """Outputs of the graph that are not said to be what the reference puts out.

    Their truth would be the graph itself, so nothing could tell that they are wrong.
    """
    wanted = [value for name, value in record.values.items() if name.startswith(".")]
    known = {
        output: [record.values.get(name) for name, _ in anchors.anchored.get(output, ())]
        for output in anchors.outputs
    }
    return [output for output, values in known.items() if not any(v is w for v in values for w in wanted)]


def _reason(call: str, stands: set[str], fused: Mapping[str, str], record: Record) -> str:
    if call in fused:
        return "not needed for the output" if fused[call] == "unused" else f"inside {fused[call]}"
    same = record.same.get(call)
    if same == f">{call}":
        return "passes its input on"
    if same is not None and (same in stands or same in fused):
        return "puts out the same tensor as the module inside it"
    return ""


def shortcomings(coverage: Coverage) -> list[str]:
    """Why the account is not good enough, if it is not."""
    problems = []
    if not coverage.values_compared:
        problems.append("nothing was compared")
    elif coverage.share < LEAST:
        problems.append(f"only {coverage.share:.1%} of the values were compared")
    if coverage.unaccounted:
        more = f" and {len(coverage.unaccounted) - 1} more" if len(coverage.unaccounted) > 1 else ""
        problems.append(f"{coverage.unaccounted[0]}{more} is neither compared nor explained")
    return problems
