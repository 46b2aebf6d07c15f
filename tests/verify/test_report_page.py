"""The page as a browser shows it: rendered in headless Chromium without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vampconv.verify.report import html, write_html

from .report_records import ALL, HOSTILE

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-dev-shm-usage", "--force-device-scale-factor=1"),
    *("--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
DARK = "--blink-settings=preferredColorScheme=0"
WIDE, NARROW = (1280, 2000), (420, 2000)
CSS = Path(html.__file__).with_name("report.css").read_text()


def colours(dark: bool) -> dict[str, tuple[int, ...]]:
    """The page's colours by name, of one scheme; of verdicts those of the banner."""
    names = re.findall(r"--(\w+): #(\w{6})", CSS.split(":root")[2 if dark else 1])
    banner = re.findall(r"\.verdict\.(\w+) { background: #(\w{6})", CSS)
    return {
        name: tuple(bytes.fromhex(code)) for name, code in [*names, *((f"banner {n}", c) for n, c in banner)]
    }


def browse(page: Path, *options: str) -> str:
    """Open a page in Chromium, which has to be there: no test of it passes unseen."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"testing the report needs Chromium: install one of {', '.join(BROWSERS)}")
    command = [found, *OPTIONS, f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def picture(place: Path, name: str, size: tuple[int, int], *options: str) -> np.ndarray:
    """The page of a verification as pixels [height, width, 3]."""
    write_html(ALL[name](), place / "report.html")
    options = (*options, f"--window-size={size[0]},{size[1]}", f"--screenshot={place / 'page.png'}")
    browse(place / "report.html", *options)
    with Image.open(place / "page.png") as image:
        return np.asarray(image.convert("RGB"))


def near(pixels: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """Which pixels have a colour, but for rounding."""
    return (np.abs(pixels.astype(int) - colour) <= 2).all(axis=-1)


@pytest.mark.parametrize(
    ("name", "banner", "size", "dark"),
    [
        ("pass", "pass", WIDE, False),
        ("warn", "warn", NARROW, False),
        ("fail", "fail", WIDE, True),
        ("fail", "fail", NARROW, False),
        ("hostile", "fail", NARROW, True),
        ("large", "fail", WIDE, False),
    ],
)
def test_the_page_is_legible(name, banner, size, dark, tmp_path):
    pixels = picture(tmp_path, name, size, *[DARK] * dark)
    assert pixels.shape == (size[1], size[0], 3)
    palette = colours(dark)
    filled = near(pixels, palette[f"banner {banner}"])
    rows = np.flatnonzero(filled[:, 2])
    assert rows[0] == 0
    head = rows.size
    assert (rows == np.arange(head)).all()
    assert 100 < head < size[1] / 3
    assert 0.6 < filled[:head].mean() < 0.97
    assert 0.02 < near(pixels[:head], (255, 255, 255)).mean() < 0.3
    for other in {"pass", "warn", "fail"} - {banner}:
        assert not near(pixels[:head], palette[f"banner {other}"]).any()
    body = pixels[head:]
    assert 0.75 < near(body, palette["page"]).mean() < 0.98
    assert near(body, palette["ink"]).mean() > 0.001
    assert near(body, palette["muted"]).sum() > 20
    assert 0.02 < (np.abs(body.astype(int) - palette["page"]).max(axis=-1) > 90).mean() < 0.2
    assert near(body[:, -12:], palette["page"]).all(), "something reaches over the right edge"


@pytest.mark.parametrize("dark", [False, True])
def test_the_plot_shows_both_errors_and_the_failing_ones(dark, tmp_path):
    pixels, palette = picture(tmp_path, "fail", WIDE, *[DARK] * dark), colours(dark)
    shown = {name: near(pixels, palette[name]) for name in ("ort", "torch", "fail")}
    assert all(place.sum() > 200 for place in shown.values())
    height = {name: np.median(np.flatnonzero(p[900:, 220:-100].any(axis=1))) for name, p in shown.items()}
    assert height["fail"] < height["ort"] <= height["torch"] + 20


def test_the_browser_finds_no_script_and_asks_for_nothing(tmp_path):
    write_html(ALL["hostile"](), tmp_path / "report.html")
    log = tmp_path / "net.json"
    dom = browse(tmp_path / "report.html", "--dump-dom", f"--log-net-log={log}")
    assert not re.search(r"<script|<iframe|<link|\son\w+=", dom)
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in dom
    assert dom.count("<tr>") > 20
    assert dom.rstrip().endswith("</html>")
    assert "x.test" not in log.read_text()


def test_without_a_browser_the_tests_fail(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.fail.Exception, match="needs Chromium"):
        browse(tmp_path / "report.html")


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_contrast(dark):
    def luminance(colour: tuple[int, ...]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    palette = colours(dark)
    wanted = {
        "ink": 12,
        "muted": 4.5,
        "pass": 4.5,
        "warn": 4.5,
        "fail": 4.5,
        "link": 4.5,
        "ort": 3,
        "torch": 3,
    }
    for name, least in wanted.items():
        assert contrast(palette[name], palette["page"]) >= least, name
    for name in ("pass", "warn", "fail"):
        assert contrast(palette[f"banner {name}"], (255, 255, 255)) >= 4.5, name
