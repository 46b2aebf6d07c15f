"""A child process whose calls that write are watched, and of which any one can be made to fail, by Linux's seccomp.

The kernel asks this process about each of the calls before it is made (``SECCOMP_RET_USER_NOTIF``, Linux 5.5 and
newer), whoever makes it: Python, the C library, libsndfile, protobuf. It needs no rights and no debugger.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# By call: the number on x86-64 and on 64-bit ARM (None: there is no such call), and which arguments are descriptors
# or paths, with the argument of the directory that a path is relative to.
Where = tuple[int | None, int | None]
"""The argument of a descriptor, and the one of a path."""
CALLS: Mapping[str, tuple[int | None, int | None, tuple[Where, ...]]] = {
    "write": (1, 64, ((0, None),)),
    "pwrite64": (18, 68, ((0, None),)),
    "writev": (20, 66, ((0, None),)),
    "sendfile": (40, 71, ((0, None),)),
    "copy_file_range": (326, 285, ((2, None),)),
    "ftruncate": (77, 46, ((0, None),)),
    "truncate": (76, 45, ((None, 0),)),
    "fallocate": (285, 47, ((0, None),)),
    "fsync": (74, 82, ((0, None),)),
    "fdatasync": (75, 83, ((0, None),)),
    "open": (2, None, ((None, 0),)),
    "openat": (257, 56, ((0, 1),)),
    "mkdir": (83, None, ((None, 0),)),
    "mkdirat": (258, 34, ((0, 1),)),
    "rmdir": (84, None, ((None, 0),)),
    "unlink": (87, None, ((None, 0),)),
    "unlinkat": (263, 35, ((0, 1),)),
    "rename": (82, None, ((None, 0), (None, 1))),
    "renameat": (264, 38, ((0, 1), (2, 3))),
    "renameat2": (316, 276, ((0, 1), (2, 3))),
    "link": (86, None, ((None, 0), (None, 1))),
    "linkat": (265, 37, ((0, 1), (2, 3))),
    "chmod": (90, None, ((None, 0),)),
    "fchmod": (91, 52, ((0, None),)),
    "fchmodat": (268, 53, ((0, 1),)),
}
OPEN_FLAGS = {"open": 1, "openat": 2}
"""The argument of the flags."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MACHINES = {"x86_64": (0, 317), "aarch64": (1, 277)}
"""Which column of `CALLS` a machine has, and the number of ``seccomp`` there."""
RECEIVE, SEND = 0xC0502100, 0xC0182101
SOCKET = (41, 198)
NOTIFY, ALLOW, KILL = 0x7FC00000, 0x7FFF0000, 0x80000000
AT_FDCWD = (1 << 32) - 100
LONGEST_PATH = 4096


@dataclass(frozen=True)
class Call:
    """A call that writes."""

    name: str
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.paths)}"


@dataclass(frozen=True)
class Fault:
    """What happens instead of a call, or before it.

    Parameters
    ----------
    at
        Which call, counted from 1; 0 for none.
    kind
        The name of an error (``EIO``), that the call ends with, or of a signal (``SIGKILL``), that comes before it.

    """

    at: int = 0
    kind: str = ""

    @property
    def error(self) -> int | None:
        return getattr(errno, self.kind, None)


@dataclass
class Watched:
    """A child that ended: its exit code (negative: the signal that killed it) and its calls until then."""

    code: int = 0
    calls: list[Call] = field(default_factory=list)
    met: bool = False
    """Whether the fault's call was made."""


def supported() -> bool:
    """Whether children can be watched here."""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def watch(work: Callable[[], int], root: Path, fault: Fault = Fault(), *, exchange: bool = True) -> Watched:
    """Do some work in a forked child, and watch its calls that write below a directory.

    Parameters
    ----------
    work
        Its result is the exit code.
    root
        The directory; absolute, without links.
    fault
        What goes wrong.
    exchange
        Whether the system can let two directories trade places (``renameat2``).

    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _child(work, theirs)
    theirs.close()
    found = Watched()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if descriptors:
            try:
                _Supervisor(pid, descriptors[0], str(root), fault, found, exchange=exchange).run()
            finally:
                os.close(descriptors[0])
    found.code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not descriptors:
        raise OSError("the system does not let calls be watched")
    return found


def _child(work: Callable[[], int], theirs: socket.socket) -> None:
    """Give the listener away and work; never returns."""
    code = 99
    try:
        listener = _listen()
        socket.send_fds(theirs, [b"x"], [listener])
        os.close(listener)
        theirs.close()
        code = work()
    finally:
        os._exit(code)


def _listen() -> int:
    """Let all calls of this process that write be asked for; the descriptor to answer at."""
    column = MACHINES[platform.machine()][0]
    numbers = (entry[column] for entry in CALLS.values())
    return _filter([number for number in numbers if isinstance(number, int)], NOTIFY, flags=8)


def forbid_sockets() -> None:
    """Let this process, and all that it starts, be killed where it makes a socket, whether in Python or not."""
    _filter([SOCKET[MACHINES[platform.machine()][0]]], KILL)


def _filter(numbers: Sequence[int], answer: int, flags: int = 0) -> int:
    """Give an answer to some calls from now on; a descriptor, if the flags ask for a listener."""
    program = [(0x20, 0, 0, 0)]
    program += [(0x15, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [(0x06, 0, 0, ALLOW), (0x06, 0, 0, answer)]
    content = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(content)))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(38, 1, 0, 0, 0)  # no new privileges
    result: int = library.syscall(MACHINES[platform.machine()][1], 1, flags, ctypes.byref(header))
    if result < 0:
        raise OSError(ctypes.get_errno(), "the system does not let calls be watched")
    return result


@dataclass
class _Supervisor:
    """Answers the kernel's questions about a child."""

    pid: int
    listener: int
    root: str
    fault: Fault
    found: Watched
    exchange: bool

    def __post_init__(self) -> None:
        column = MACHINES[platform.machine()][0]
        self.names = {entry[column]: name for name, entry in CALLS.items()}

    def run(self) -> None:
        """Answer until the child is gone."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        while True:
            [(_, events)] = poll.poll()
            if not events & select.POLLIN:
                return
            question = bytearray(80)
            with suppress(FileNotFoundError, InterruptedError):
                fcntl.ioctl(self.listener, RECEIVE, question)
                identity, thread, _, number = struct.unpack_from("<QIIi", question)
                error = self._answer(thread, self.names[number], struct.unpack_from("<6Q", question, 32))
                answer = struct.pack("<Qqii", identity, 0, -error, 0 if error else 1)
                fcntl.ioctl(self.listener, SEND, answer)

    def _answer(self, thread: int, name: str, arguments: tuple[int, ...]) -> int:
        """The error that a call ends with, or 0."""
        if name in OPEN_FLAGS and not arguments[OPEN_FLAGS[name]] & WRITING:
            return 0
        if name == "renameat2" and not self.exchange:
            return errno.ENOSYS
        paths = tuple(_path(thread, arguments, where) for where in CALLS[name][2])
        if not any(path == self.root or path.startswith(self.root + "/") for path in paths):
            return 0
        self.found.calls.append(Call(name, paths))
        if self.found.met or len(self.found.calls) != self.fault.at:
            return 0
        self.found.met = True
        if self.fault.error is not None:
            return self.fault.error
        os.kill(self.pid, signal.Signals[self.fault.kind])
        return 0


def _path(thread: int, arguments: tuple[int, ...], where: Where) -> str:
    """The absolute path that a descriptor or a path of a thread's call means."""
    descriptor, text = where
    try:
        if text is None:
            assert descriptor is not None
            return str(Path(f"/proc/{thread}/fd/{arguments[descriptor] & 0xFFFFFFFF}").readlink())
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            page = LONGEST_PATH - arguments[text] % LONGEST_PATH
            memory.seek(arguments[text])
            found = memory.read(page)
            while b"\0" not in found:
                found += memory.read(LONGEST_PATH)
        path = os.fsdecode(found.partition(b"\0")[0])
        at = AT_FDCWD if descriptor is None else arguments[descriptor] & 0xFFFFFFFF
        base = Path(f"/proc/{thread}", "cwd" if at == AT_FDCWD else f"fd/{at}").readlink()
        return os.path.normpath(os.path.join(base, path))  # noqa: PTH118
    except OSError:
        return ""
