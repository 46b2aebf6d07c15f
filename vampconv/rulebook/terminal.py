"""What the rules' commands print: facts as tables and trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vampconv.rulebook.catalogue import IdlePlugin, RuleEntry
from vampconv.rulebook.explain import Explanation, Maker
from vampconv.rulebook.portrait import Portrait
from vampconv.rulebook.testing import TestResult

SHOWN = 12
"""Names of nodes that are listed."""


def show_list(console: Console, rules: Sequence[RuleEntry], idle: Sequence[IdlePlugin]) -> None:
    """One row for each rule; then the installed plugins that are not in use."""
    table = Table("rule", "stage", "plugin", "claim", "", box=None, pad_edge=False)
    for r in rules:
        table.add_row(*map(plain, (r.name, r.stage, r.plugin, r.claim, "on" if r.on else "off")))
    console.print(table)
    for p in idle:
        _say(
            console,
            plain(f"plugin {p.name} ({p.distribution} {p.version}) is installed; --enable {p.name} uses it"),
        )


def show_rule(console: Console, p: Portrait) -> None:
    """A rule: its words, graphs side by side, guards, evidence, place."""
    default = "" if p.default else ", off by default"
    only = [f"{kind} {name}" for kind, name in (("target", p.target), ("precision", p.precision)) if name]
    said = ", ".join([f"stage {p.stage}", *only, p.claim])
    _say(console, f"[bold]{plain(p.name)}[/bold]: {plain(said)}{default}")
    for verb, names in (("before", p.runs_before), ("after", p.runs_after)):
        if names:
            _say(console, f"tried {verb} {plain(', '.join(names))}")
    console.print()
    _say(console, plain(p.doc, lines=True))
    console.print()
    graphs = Table("before", "after", box=None, pad_edge=False, padding=(0, 4, 0, 0))
    graphs.add_row(plain("\n".join(p.before), lines=True), plain("\n".join(p.after), lines=True))
    console.print(graphs)
    _say(
        console,
        plain(f"(on the sample {p.on}, at opset {p.opset})") if p.before else "(it fires on no sample)",
    )
    if p.guards:
        _say(console, "\nguards")
    for guard in p.guards:
        samples = ", ".join(map(str, guard.declines))
        shown = f" (declines sample {samples})" if samples else ""
        _say(console, plain(f"  {guard.condition or '?'}, else “{guard.reason}”{shown}"))
    for name, reason in p.drops.items():
        _say(console, plain(f"drops {name}: {reason}"))
    _say(console, "\nevidence")
    for index, sample in enumerate(p.evidence):
        opset = f", opset {sample.opset}" if sample.opset else ""
        reason = f" ({sample.reason})" if sample.reason else ""
        _say(console, plain(f"  {index} {sample.kind}{reason}: {sample.arguments}{opset}"))
    console.print()
    _say(console, plain(f"{p.file}:{p.line}"))


def show_test(console: Console, results: Iterable[TestResult]) -> None:
    """One row for each audit."""
    table = Table(
        "rule", "verdict", "compared", "refused", "fails", "largest error", "claim", "seconds",
        box=None, pad_edge=False,
    )  # fmt: skip
    for r in results:
        counts = (str(r.compared), str(r.refused), str(r.failed), f"{r.largest_error:.2g}")
        verdict = "[red]REFUTED[/red]" if r.refuted else "holds"
        table.add_row(plain(r.rule), verdict, *counts, plain(r.claim), f"{r.seconds:.2f}")
    console.print(table)


def show_explanation(console: Console, found: Sequence[Explanation]) -> None:
    """Everything that goes by the name."""
    for index, e in enumerate(found):
        if index:
            console.print()
        op = f" ({e.op})" if e.op else ""
        _say(console, f"[bold]{e.kind} {plain(e.name)}[/bold]{plain(op)} of {plain(e.where)}")
        _line(console, "module", [e.module] if e.module else [])
        _line(console, "is", e.values)
        _line(console, "holds", e.fused)
        for maker in e.rules:
            _say(console, plain(f"  rule: {_maker(maker)}"))
        if e.op and not e.rules:
            _say(console, "  rule: none; the frontend made it")
        _line(console, "fate", [f"{e.fate}{f': {e.reason}' if e.reason else ''}"] if e.fate else [])
        for w in e.weights:
            _say(console, plain(f"  weight: {w.name} = {w.expression}"))
            for source in w.sources:
                _say(console, plain(f"    from: {source}"))
        _line(console, "reads", e.inputs)
        _line(console, "gives", e.outputs)
        _line(console, "nodes", e.nodes)


def _say(console: Console, text: str) -> None:
    """Print text, however long its lines are."""
    console.print(text, soft_wrap=True)


def _maker(maker: Maker) -> str:
    where = f" ({maker.file}:{maker.line})" if maker.file else ""
    return f"{maker.name}{where}" + (f": {maker.doc}" if maker.doc else "")


def _line(console: Console, what: str, words: Sequence[str]) -> None:
    for word in words[:SHOWN]:
        _say(console, plain(f"  {what}: {word}"))
    if len(words) > SHOWN:
        _say(console, f"  {what}: … and {len(words) - SHOWN} more")


def plain(text: str, *, lines: bool = False) -> str:
    """Text of a file, without markup or control characters; line ends only if it may have lines."""
    return escape("".join(c if c.isprintable() or (lines and c == "\n") else "?" for c in text))
