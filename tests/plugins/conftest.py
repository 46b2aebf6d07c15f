"""Distributions written by hand, with just what announces a plugin."""

from __future__ import annotations

import sys

import pytest

from vampconv.dialect import OPS


@pytest.fixture
def announce(tmp_path, monkeypatch):
    """Puts a module, and the metadata of a distribution that announces it as a plugin, on the path."""
    known, modules = dict(OPS), set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text, distribution=None, version="1.0", module=None):
        distribution, module = distribution or f"vampconv-{name}", module or f"plugin_{name}"
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[vampconv.rules]\n{name} = {module}\n")
        return module

    yield write
    for name in set(sys.modules) - modules:
        if name.startswith("plugin_"):
            del sys.modules[name]
    OPS.clear()
    OPS.update(known)
