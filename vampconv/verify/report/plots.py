"""Plots as small inline SVG whose colours are the page's, so that they follow its light and dark scheme."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from vampconv.verify.report.summary import ROOT, gravity, tell, where
from vampconv.verify.report.text import count, plain, ratio
from vampconv.verify.result import Comparison, Verdict

WIDTH, HEIGHT = 960, 330
"""Of the errors by layer."""
SMALL_WIDTH, SMALL_HEIGHT = 460, 250
"""Of the histogram."""
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 16, 36
LANE = 22
"""Distance from an axis to what a log scale cannot show: zero, or NaN and infinities."""
TOLD = 60
"""As many points beyond their bound have a text of their own."""
LABEL = 16
"""Characters of a label of the horizontal axis."""
CHARACTER = 6.6
BINS = 10
"""Bars for each decade of the histogram; so 1 and, almost, 4 are edges of bars."""
WARN_RATIO = 4.0


@dataclass(frozen=True)
class Scale:
    """A log axis from position `start` at 10^low to `stop` at 10^high."""

    low: int
    high: int
    start: float
    stop: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, stop: float) -> Scale:
        """The decades that hold all values."""
        logs = [math.log10(v) for v in values if 0 < v < math.inf]
        low, high = math.floor(min(logs, default=-8)), math.ceil(max(logs, default=-4))
        return cls(low, max(high, low + 1), start, stop)

    def __call__(self, value: float) -> float:
        lane = math.copysign(LANE, self.stop - self.start)
        if not math.isfinite(value):
            return self.stop + lane
        if value <= 0:
            return self.start - lane
        return self.start + (self.stop - self.start) * (math.log10(value) - self.low) / (self.high - self.low)

    def decades(self, most: int = 9) -> range:
        """Exponents that the axis names."""
        return range(self.low, self.high + 1, math.ceil((self.high - self.low) / most))


def errors_by_layer(values: Sequence[Comparison]) -> Markup:
    """Error of ONNX Runtime and of torch float32 of each value in the order of the graph, and the bound."""
    shown = [e for c in values for e in (c.error_ort, c.error_torch) if e is not None]
    y = Scale.of([*shown, *(c.bound for c in values)], HEIGHT - BOTTOM - LANE, TOP + LANE)
    step = (WIDTH - LEFT - RIGHT) / len(values)

    def x(i: float) -> float:
        return LEFT + step * (i + 0.5)

    size = 3.0 if len(values) > WIDTH else 5.0
    body = [*_rows(y, shown), *_blocks(values, x, step)]
    body.append(_steps([y(c.bound) for c in values], step, size / 4))
    rival = [(x(i), y(c.error_torch)) for i, c in enumerate(values) if c.error_torch is not None]
    body.append(_dots("torch", rival, size))
    for verdict in Verdict:
        points = [(x(i), y(c.error_ort)) for i, c in enumerate(values) if c.verdict is verdict]
        body.append(_dots(f"ort {verdict}", points, size if verdict is Verdict.PASS else size + 2))
    beyond = [i for i, c in enumerate(values) if c.verdict is not Verdict.PASS]
    for i in sorted(beyond, key=lambda i: gravity(values[i]))[-TOLD:]:
        title = _element("title", plain(f"{where(values[i])}: {tell(values[i])}"), {})
        ring: dict[str, str | float] = {
            "class": f"ring {values[i].verdict}",
            "cx": x(i),
            "cy": y(values[i].error_ort),
            "r": size + 2.0,
        }
        body.append(_element("circle", title, ring))
    worst = max(values, key=gravity)
    told = f"Relative error of {count(len(values), 'value')} in the order of the graph, on a log scale. "
    told += f"{count(len(beyond), 'value')} beyond the bound. "
    return _svg(WIDTH, HEIGHT, f"{told}Worst: {where(worst)}, ratio {ratio(worst.ratio)}.", body)


def histogram(values: Sequence[Comparison]) -> Markup:
    """How many values have which ratio of error to bound."""
    ratios = [c.ratio for c in values]
    x = Scale.of([*ratios, 0.1, WARN_RATIO], LEFT + LANE, SMALL_WIDTH - RIGHT - LANE)
    bottom = SMALL_HEIGHT - BOTTOM
    body = [_line("axis", LEFT, bottom, SMALL_WIDTH - RIGHT, bottom), *_bars(values, x, bottom)]
    for limit, name, side, anchor in ((1.0, "bound", -3, "end"), (WARN_RATIO, "4×", 3, "start")):
        body.append(_line("bound", x(limit), TOP + 4, x(limit), bottom))
        body.append(_text(x(limit) + side, TOP + 6, name, anchor))
    body += [_text(x(10.0**e), bottom + 16, _power(e), "middle") for e in x.decades(7)]
    body += [
        _text(x(value), bottom + 30, name, "end" if value else "middle") for value, name in _lanes(ratios)
    ]
    over = sum(r > 1 or math.isnan(r) for r in ratios)
    told = f"Histogram of error over bound, log scale: {over:,} of {count(len(ratios), 'value')} above 1."
    return _svg(SMALL_WIDTH, SMALL_HEIGHT, told, body)


def _bars(values: Sequence[Comparison], x: Scale, bottom: float) -> Iterator[Markup]:
    """A bar for each tenth of a decade, in the colours of the verdicts, and how many the highest stands for."""
    width = (x.stop - x.start) / (x.high - x.low) / BINS
    bars: Counter[tuple[float, Verdict]] = Counter()
    for c in values:
        inside = 0 < c.ratio < math.inf
        place = math.floor((math.log10(c.ratio) - x.low) * BINS) if inside else 0
        bars[x.start + width * place if inside else x(c.ratio) - width / 2, c.verdict] += 1
    totals: Counter[float] = Counter()
    for (left, _), amount in bars.items():
        totals[left] += amount
    highest = max(totals.values())
    unit = (bottom - TOP - 12) / highest
    yield _text(LEFT - 6, bottom - unit * highest + 4, f"{highest:,}", "end")
    tops = dict.fromkeys(totals, bottom)
    for (left, verdict), amount in sorted(bars.items(), key=lambda bar: list(Verdict).index(bar[0][1])):
        tops[left] -= unit * amount
        box = {"x": left + 0.5, "y": tops[left], "width": width - 1, "height": unit * amount}
        told = _element("title", f"{count(amount, 'value')} {verdict.upper()}", {})
        yield _element("rect", told, {"class": f"bar {verdict}", **box})


def _lanes(shown: Sequence[float]) -> Iterator[tuple[float, str]]:
    """What lies beyond a log scale, so far as it is there."""
    if any(e == 0 for e in shown):
        yield 0.0, "0"
    if not all(map(math.isfinite, shown)):
        yield math.inf, "NaN, ∞"


def _rows(y: Scale, shown: Sequence[float]) -> Iterator[Markup]:
    """Grid lines of the decades and of the lanes beyond them."""
    for value, name in (*((10.0**e, _power(e)) for e in y.decades()), *_lanes(shown)):
        yield _line("grid", LEFT, y(value), WIDTH - RIGHT, y(value))
        yield _text(LEFT - 8, y(value) + 4, name, "end")


def _blocks(values: Sequence[Comparison], x: Callable[[float], float], step: float) -> Iterator[Markup]:
    """Where one block of the model ends and the next begins."""
    free, i = 0.0, 0
    for name, run in groupby(_block(c.module) for c in values):
        left = x(i) - step / 2
        label = name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"
        if free <= left <= WIDTH - CHARACTER * len(label):
            yield _line("block", left, TOP, left, HEIGHT - BOTTOM + 6)
            yield _text(left + 3, HEIGHT - BOTTOM + 18, label, "start")
            free = left + CHARACTER * len(label) + 12
        i += sum(1 for _ in run)


def _block(module: str) -> str:
    """The part of a module path that names a block: the last two words up to the first number."""
    words = module.split(".")
    first = next((i for i, word in enumerate(words) if word.isdecimal()), 0)
    return plain(".".join(words[max(first - 1, 0) : first + 1])) or ROOT


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}" if exponent else "1"


def _dots(kind: str, points: Sequence[tuple[float, float]], size: float) -> Markup:
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return _element("path", "", {"class": f"dots {kind}", "stroke-width": size, "d": path})


def _steps(heights: Sequence[float], step: float, thickness: float) -> Markup:
    """A line that is level over each value."""
    path, last = f"M{LEFT} {heights[0]:.1f}", heights[0]
    for i, height in enumerate(heights):
        if height != last:
            path += f"H{LEFT + step * i:.1f}V{height:.1f}"
        last = height
    return _element("path", "", {"class": "bound", "stroke-width": thickness, "d": f"{path}H{WIDTH - RIGHT}"})


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return _element("line", "", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return _element("text", text, {"x": x, "y": y, "text-anchor": anchor})


def _svg(width: int, height: int, told: str, body: Sequence[Markup]) -> Markup:
    frame = {"role": "img", "aria-label": plain(told), "viewBox": f"0 0 {width} {height}"}
    return _element("svg", Markup("\n").join(body), frame)


def _element(tag: str, content: str, attributes: Mapping[str, str | float]) -> Markup:
    """An element; whatever is not markup is escaped, and positions have one decimal."""
    texts = {name: v if isinstance(v, str) else f"{v:.1f}" for name, v in attributes.items()}
    opening = Markup("").join(Markup(' {}="{}"').format(*pair) for pair in texts.items())
    return Markup("<{}{}>{}</{}>").format(tag, opening, content, tag)
