"""Pickles that would run something, each with a canary that would show it."""

from __future__ import annotations

import pickle

from .archives import around, bare, checkpoint
from .case import BOTH, KWARGS, Case, weights
from .pickles import Raw, call, encode, group, items, name, program, tensor, text

CANARY = "canary"
"""A file that every payload would make."""
SHELL = f"touch {CANARY}"
PYTHON = f"open({CANARY!r}, 'w').write('x')"
ENVIRONMENT = f"__import__('os').environ.update({CANARY}='1')"


class Reduced:
    """What the standard library's own pickler makes of a call."""

    def __reduce__(self):
        import os

        return os.system, (SHELL,)


def attribute(of: Raw, path: str) -> Raw:
    return call("builtins.getattr", of, path)


def applied(function: bytes, *arguments) -> Raw:
    return Raw(function + group(*arguments) + b"R")


GETATTR = applied(attribute(call("builtins.__import__", "os"), "system"), SHELL)
SUBCLASSES = applied(attribute(attribute(attribute(Raw(b")"), "__class__"), "__base__"), "__subclasses__"))
IMPORTED = applied(attribute(call("importlib.import_module", "subprocess"), "check_call"), ["touch", CANARY])
ENVIRON = call("copyreg._reconstructor", name("os._Environ"), name("builtins.object"), None)
TYPED = (name("os.system"), name("torch.Tensor"), group(SHELL), {})
PAYLOADS: dict[str, bytes] = {
    "os.system": call("os.system", SHELL),
    "posix.system": call("posix.system", SHELL),
    "nt.system": call("nt.system", SHELL),
    "os.execl": call("os.execl", "/bin/sh", "sh", "-c", SHELL),
    "os.popen": call("os.popen", SHELL),
    "os.putenv": call("os.putenv", CANARY, "1"),
    "subprocess": call("subprocess.Popen", ["touch", CANARY]),
    "subprocess with keywords": Raw(name("subprocess.Popen") + group(SHELL) + encode({"shell": True}) + b"\x92"),
    "eval": call("builtins.eval", ENVIRONMENT),
    "exec": call("builtins.exec", PYTHON),
    "exec of Python 2": call("__builtin__.execfile", "/tmp/x.py"),
    "compile": applied(name("types.FunctionType"), call("builtins.compile", PYTHON, "x", "exec"), {}),
    "open for writing": call("builtins.open", CANARY, "w"),
    "io.open": call("io.open", CANARY, "w"),
    "pathlib write": call("pathlib.Path.write_text", call("pathlib.PosixPath", CANARY), "x"),
    "getattr chain": GETATTR,
    "subclasses": SUBCLASSES,
    "import_module": IMPORTED,
    "operator.methodcaller": applied(call("operator.methodcaller", "system", SHELL), call("builtins.__import__", "os")),
    "map": call("builtins.list", call("builtins.map", name("os.system"), [SHELL])),
    "functools.partial": applied(call("functools.partial", name("os.system"), SHELL)),
    "runpy": call("runpy._run_code", PYTHON, {}),
    "timeit": call("timeit.timeit", PYTHON),
    "code.interact": call("code.interact", "", None, {}),
    "pickle.loads": call("pickle.loads", pickle.dumps(Reduced())),
    "nested pickle": call("_pickle.loads", program(call("os.system", SHELL))),
    "torch.load": call("torch.serialization.load", "model.pth"),
    "torch storage from bytes": call("torch.storage._load_from_bytes", program(call("os.system", SHELL))),
    "torch.hub": call("torch.hub.load", "x/y", "z"),
    "torch package": call("torch.package.PackageImporter", "model.pth"),
    "numpy.load": call("numpy.load", "x.npy", None, True),
    "numpy pickle": call("numpy.core.multiarray.fromstring", b"x"),
    "ctypes": call("ctypes.CDLL", "libc.so.6"),
    "socket": call("socket.create_connection", ("127.0.0.1", 9)),
    "webbrowser": call("webbrowser.open", "file:///"),
    "shutil.rmtree": call("shutil.rmtree", "out"),
    "os.remove": call("os.remove", "codec.pth"),
    "os.rename": call("os.rename", "codec.pth", CANARY),
    "sys.exit": call("sys.exit", 0),
    "signal": call("signal.raise_signal", 9),
    "INST": Raw(b"(" + text(SHELL) + b"ios\nsystem\n"),
    "OBJ": Raw(b"(" + name("os.system") + text(SHELL) + b"o"),
    "NEWOBJ": Raw(name("subprocess.Popen") + group(["touch", CANARY]) + b"\x81"),
    "NEWOBJ_EX": Raw(name("subprocess.Popen") + group(["touch", CANARY]) + b"}\x92"),
    "STACK_GLOBAL": Raw(text("os") + text("system") + b"\x93" + group(SHELL) + b"R"),
    "STACK_GLOBAL of dots": Raw(text("os") + text("path.os.system") + b"\x93" + group(SHELL) + b"R"),
    "BUILD": Raw(call("builtins.object") + encode({"__setstate__": name("os.system")}) + b"b" + text(SHELL) + b"b"),
    "BUILD of a class": Raw(name("vampconv.errors.VampconvError") + encode((None, {"code": 0})) + b"b"),
    "BUILD of slots": Raw(ENVIRON + encode((None, {"data": {}})) + b"b"),
    "APPENDS": Raw(name("sys.path") + b"(" + text("/tmp") + b"e"),
    "SETITEMS": Raw(name("os.environ") + b"(" + text(CANARY) + text("1") + b"u"),
    "setattr": call("builtins.setattr", name("vampconv.errors"), "LONGEST", 0),
    "copyreg": call("copyreg._reconstructor", name("subprocess.Popen"), name("builtins.object"), None),
    "copyreg extension": call("copyreg.add_extension", "os", "system", 1),
    "_rebuild_from_type_v2": call("torch._tensor._rebuild_from_type_v2", *TYPED),
    "_rebuild_from_type_v2 of a type": call(
        "torch._tensor._rebuild_from_type_v2",
        name("torch._utils._rebuild_tensor_v2"), name("subprocess.Popen"), group(SHELL), {},
    ),
    "torch._utils one": call("torch._utils._rebuild_from_type_v2", *TYPED),
    "wrapper subclass": call("torch._utils._rebuild_wrapper_subclass", name("subprocess.Popen"), "f4", (4,), (1,), 0),
    "from numpy": call("torch._utils._rebuild_device_tensor_from_numpy", call("os.system", SHELL), "f4", "cpu", False),
    "parameter": call("torch._utils._rebuild_parameter", call("os.system", SHELL), True, {}),
    "persistent id": Raw(group("storage", call("os.system", SHELL), "0", "cpu", 4) + b"Q"),
    "persistent id of a module": Raw(group("module", call("os.system", SHELL)) + b"Q"),
    "hash": items([(call("os.system", SHELL), 1)]),
    "dill": call("dill._dill._create_type", name("builtins.type"), "x", (), {}),
    "cloudpickle": call("cloudpickle.cloudpickle._make_skeleton_class", name("builtins.type"), "x", (), {}, None, None),
    "joblib": call("joblib.numpy_pickle.load", "x"),
    "yaml": call("yaml.unsafe_load", f"!!python/object/apply:os.system ['{SHELL}']"),
}  # fmt: skip
"""A value in a pickle, whose making would run something."""
BROKEN: dict[str, bytes] = {
    "before a broken stream": b"\x80\x02" + call("os.system", SHELL) + b"\xff\xff",
    "before the end of the stream": b"\x80\x02" + call("os.system", SHELL),
    "after STOP": b"\x80\x02}." + program(call("os.system", SHELL)),
    "then forgotten": b"\x80\x02" + call("os.system", SHELL) + b"0}.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "textual persistent id": b"P" + SHELL.encode() + b"\n.",
    "protocol 0": b"cos\nsystem\n(S'" + SHELL.encode() + b"'\ntR.",
    "protocol 5 buffers": b"\x80\x05\x97\x98.",
    "frames that lie": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f" + call("os.system", SHELL) + b".",
}
"""Whole pickles with a payload."""
SHOWN = (
    "os.system",
    "eval",
    "getattr chain",
    "INST",
    "OBJ",
    "NEWOBJ_EX",
    "BUILD",
    "_rebuild_from_type_v2",
    "persistent id",
    "hash",
    "nested pickle",
)


def in_state(payload: bytes):
    """Where a tensor should be."""
    return lambda _place: bare(items([("good", tensor()), ("bad", Raw(payload))]))


def in_metadata(payload: bytes) -> bytes:
    """Where it is kept as data: a sound checkpoint beside a value that nothing looks at."""
    return checkpoint(weights(), {**KWARGS, "note": Raw(payload)})


CASES = [
    *(
        Case(
            f"{told} in the state dict",
            3,
            "bad is|not a sound pickle|is missing|unsupported",
            in_state(PAYLOADS[told]),
            BOTH,
        )
        for told in SHOWN
    ),
    *(
        Case(
            f"payload {told}",
            3,
            "not a sound pickle|holds",
            lambda _p, data=data: around(data, {"0": bytes(16)}),
            BOTH,
        )
        for told, data in BROKEN.items()
        if told != "then forgotten"
    ),
    Case("payload then forgotten", 3, "no state dict", lambda _p: around(BROKEN["then forgotten"]), BOTH),
]
