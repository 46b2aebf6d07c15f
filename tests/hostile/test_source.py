"""Nothing in the package could run a checkpoint: no call that unpickles, evaluates or imports what a file says."""

from __future__ import annotations

import ast
import itertools

import click
import pytest

from vampconv.cli import cli

from ..common import ROOT

FILES = sorted([*(ROOT / "vampconv").rglob("*.py"), *(ROOT / "rules").rglob("*.py")])
MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "runpy",
    "code",
}
MODULES |= {"codeop", "torch.package", "torch.hub", "torch.jit", "pty", "torch.serialization"}
"""What is never imported. `pickletools` only reads opcodes."""
SYSTEM = {"os.system", "os.popen"}
BUILTINS = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
ATTRIBUTES = {
    *(
        "Unpickler",
        "PackageImporter",
        "loads_pickle",
        "unsafe_load",
        "full_load",
        "execv",
        "execve",
    ),
    *("register_custom_ops_library", "load_library", "add_safe_globals", "load_state_dict_from_url", "CDLL"),
}
BENCHMARKS = ROOT / "vampconv" / "bench"
LOADERS = {
    ROOT / "vampconv" / "cli" / "common.py": "importlib.util",  # whether an extra is installed
    ROOT / "vampconv" / "play" / "plot.py": "importlib.util",  # the same
    ROOT / "vampconv" / "plugins" / "directory.py": "importlib.util",  # --rules DIR
    ROOT / "vampconv" / "plugins" / "registry.py": "importlib",  # --enable NAME
    ROOT / "vampconv" / "runtime" / "__init__.py": "importlib",  # its own names
}
"""Where modules are imported or looked for by name: those that the user names, and the package's own."""
LIBRARY = ROOT / "vampconv" / "emit" / "exchange.py"
"""Calls the system's own library, which exchanges two directories in one step."""


def trees():
    return [pytest.param(f, id=str(f.relative_to(ROOT))) for f in FILES]


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of nested attributes."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def offences(tree: ast.AST, *, benchmark: bool, loader: str = ""):
    """What in a module would run what a file says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        for name in names:
            parts = ["".join(p) for p in itertools.accumulate(name.split("."), lambda a, b: f"{a}.{b}")]
            if MODULES & set(parts) or (
                name in ("importlib", "importlib.util", "importlib.import_module") and not loader
            ):
                yield f"imports {name}"
            if (
                name in SYSTEM
                or name.rpartition(".")[2] in ATTRIBUTES
                or (name == "subprocess" and not benchmark)
            ):
                yield f"imports {name}"
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES - ({"CDLL"} if benchmark else set()):
            yield f"uses {dotted(node)}"
        if isinstance(node, ast.Call):
            yield from call_offences(node, benchmark=benchmark)


def call_offences(node: ast.Call, *, benchmark: bool):
    name = dotted(node.func)
    given = {k.arg: k.value.value if isinstance(k.value, ast.Constant) else None for k in node.keywords}
    if name in BUILTINS:
        yield f"calls {name}"
    if name == "torch.load" and not (benchmark and given.get("weights_only") is True):
        yield "calls torch.load"
    if name in ("np.load", "numpy.load") and given.get("allow_pickle", False) is not False:
        yield "calls numpy.load with pickles"
    if "shell" in given or ("allow_pickle" in given and given["allow_pickle"] is not False):
        yield f"calls {name} with {', '.join(map(str, given))}"
    if name.startswith("os.") and name[3:].startswith(("exec", "spawn", "system", "popen", "posix_spawn")):
        yield f"calls {name}"


@pytest.mark.parametrize("file", trees())
def test_nothing_runs_what_a_file_says(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    benchmark = file.is_relative_to(BENCHMARKS)
    found = list(offences(tree, benchmark=benchmark, loader=LOADERS.get(file, "")))
    assert found == (["uses ctypes.CDLL"] if file == LIBRARY else [])


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "from torch.package import PackageImporter",
        "import torch\ntorch.load(x)",
        "import torch\ntorch.load(x, weights_only=True)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "import numpy as np\nnp.load(x, allow_pickle=flag)",
        "eval(x)",
        "def f():\n    exec(x)",
        "import os\nos.system(x)",
        "import importlib",
        "from importlib import import_module",
        "import subprocess",
        "import onnxruntime\noptions.register_custom_ops_library(x)",
        "class A(B.Unpickler): ...",
        "import yaml",
        "import marshal",
        "__import__(x)",
    ],
)
def test_it_would_be_seen(text):
    assert list(offences(ast.parse(text), benchmark=False))


def test_no_option_allows_it():
    words = (
        "pickle",
        "unsafe",
        "trust",
        "weights-only",
        "weights_only",
        "allow",
        "exec",
        "eval",
        "remote",
        "custom-op",
    )

    def all_options(command: click.Command, path: str = ""):
        for parameter in command.params:
            for option in parameter.opts:
                yield f"{path} {option}"
        for name, inner in getattr(command, "commands", {}).items():
            yield from all_options(inner, f"{path} {name}")

    found = list(all_options(cli))
    assert len(found) > 80
    assert not [option for option in found if any(word in option for word in words)]


def test_no_environment_variable_allows_it():
    """The package reads two, and they run nothing."""
    read = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and dotted(node.func) in ("os.environ.get", "os.getenv"):
                read.add(ast.literal_eval(node.args[0]))
            if isinstance(node, ast.Subscript) and dotted(node.value) == "os.environ":
                read.add(ast.literal_eval(node.slice))
    assert read <= {"VAMPCONV_TRACEBACK"}
