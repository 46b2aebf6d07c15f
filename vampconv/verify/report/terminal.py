"""A verification in the terminal: a row for each part, then the failures."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vampconv.verify.report import summary
from vampconv.verify.report.text import count, error, index, plain, ratio
from vampconv.verify.result import PartResult, Verdict, Verification

STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def show(console: Console, verification: Verification, *, layerwise: bool = False) -> None:
    """Print the summary, with a table of each part's modules if `layerwise`, failures, and the verdict."""
    if layerwise:
        for part in verification.parts:
            if part.comparisons:
                console.print(_modules(part))
    if verification.parts:
        console.print(_parts(verification))
    for part in verification.parts:
        _show_extremes(console, part)
        _show_sounds(console, part)
    for part in verification.parts:
        if part.bounds is not None and part.tokens is not None:
            told = f"{part.bounds.precision}: {summary.tell_accuracy(part.tokens)}"
            _line(console, _plain(f"{part.part} in {told}"))
        for loop in part.loops:
            told = f"{loop.tokens - loop.wrong:,} of {count(loop.tokens, 'token')} {loop.against}"
            _line(console, f"{_plain(loop.file)}: {told}")
    _show_failures(console, verification)
    final = summary.verdict(verification)
    _line(console, f"{_verdict(final)}: {escape(summary.headline(verification))}")


def _parts(verification: Verification) -> Table:
    title = f"verification of {_plain(verification.bundle)}"
    table = Table(title=title, title_justify="left")
    for name in ("part", "values", "worst ratio", "where", "EQUAL/TIE/REAL", "weights", "verdict"):
        table.add_column(name, overflow="fold")
    for part in verification.parts:
        values = summary.by_value(part)
        worst = max(values, key=summary.gravity, default=None)
        table.add_row(
            _plain(part.part),
            f"{len(values):,}",
            ratio(worst.ratio) if worst else "–",
            _plain(worst.stands_for or worst.value) if worst else "–",
            _tokens(part),
            _weights(part),
            _verdict(summary.part_verdict(part)),
        )
    return table


def _tokens(part: PartResult) -> str:
    t = part.tokens
    return f"{t.equal:,}/{t.ties:,}/{t.real:,}" if t else "–"


def _weights(part: PartResult) -> str:
    if not part.weights:
        return "–"
    right = sum(w.verdict is not Verdict.FAIL for w in part.weights)
    ulps = max(w.ulps for w in part.weights)
    return f"{right:,} of {len(part.weights):,}" + f", {count(ulps, 'ulp')}" * bool(ulps)


def _modules(part: PartResult) -> Table:
    """The gravest comparison of each module, in the order of the graph."""
    table = Table(title=f"{_plain(part.part)}: relative L2 error by module", title_justify="left")
    table.add_column("module", overflow="fold")
    for name in ("ONNX Runtime", "torch float32", "ratio"):
        table.add_column(name, justify="right")
    table.add_column("worst at")
    table.add_column("verdict")
    for module, c in summary.by_module(part):
        errors = (error(c.error_ort), error(c.error_torch), ratio(c.ratio))
        table.add_row(_plain(module), *errors, escape(index(c.worst_index)), _verdict(c.verdict))
    return table


def _show_failures(console: Console, verification: Verification) -> None:
    """Faults, which are causes, then failures, worst first."""
    for part in verification.parts:
        for fault in part.faults[: summary.TOP]:
            told = (
                f"{part.part}: {fault.value} in {fault.module or summary.ROOT}: {summary.tell_fault(fault)}"
            )
            _line(console, f"[bold red]fault[/] {_plain(told)}")
    found = summary.failures(verification)
    for failure in found[: summary.TOP]:
        told = ": ".join(text for text in (failure.part, failure.where, failure.message) if text)
        _line(console, f"[bold red]FAIL[/] {_plain(told)}")
    if len(found) > summary.TOP:
        _line(console, f"and {count(len(found) - summary.TOP, 'more failure')}")


def _show_extremes(console: Console, part: PartResult) -> None:
    """Whose a NaN or an infinity is, and what float16 could not hold."""
    for n in part.non_finite[: summary.TOP]:
        _line(console, f"[yellow]not finite[/] {_plain(f'{part.part}: {summary.tell_non_finite(n)}')}")
    if part.coverage is not None and part.head_room:
        _line(console, _plain(f"{part.part}: {summary.tell_head_room(part.head_room)}"))


def _show_sounds(console: Console, part: PartResult) -> None:
    """What files sound like by both, and where both lie."""
    for sound in part.sounds:
        if sound.files:
            _line(console, _plain(f"{part.part}: {summary.tell_sound(sound)}: {' and '.join(sound.files)}"))


def _line(console: Console, markup: str) -> None:
    console.print(markup, soft_wrap=True, highlight=False)


def _verdict(verdict: Verdict) -> str:
    return f"[{STYLES[verdict]}]{verdict.upper()}[/]"


def _plain(text: str) -> str:
    """Text of a file, without markup or control characters."""
    return escape(plain(text))
