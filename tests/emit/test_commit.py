"""What `staged` replaces, what it refuses, and what it leaves behind."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from vampconv.emit import exchange as exchange_module
from vampconv.emit.commit import recover, staged
from vampconv.emit.standing import MANIFEST
from vampconv.errors import InputOutputError

from .toy import listing, word


def fill(directory: Path, word: str, names: tuple[str, ...] = ("coarse.onnx", "coarse.onnx.data")) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{word} {name}")
    (directory / MANIFEST).write_text(
        json.dumps({"word": word, "files": {name: {"by": word} for name in names}})
    )


def make(output: Path, word: str = "old", **options: bool) -> None:
    with staged(output, **options) as staging:
        fill(staging, word)


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


def refuse(*_: object) -> int:
    ctypes.set_errno(errno.EINVAL)
    return -1


@pytest.fixture(params=["exchange", "journal", "refused"])
def system(request, monkeypatch):
    """A system with an atomic exchange, one without, and one whose file system refuses it."""
    if request.param != "exchange":
        monkeypatch.setattr(exchange_module, "_renameat2", refuse if request.param == "refused" else None)
    elif exchange_module._renameat2 is None:
        pytest.skip("no renameat2 here")
    return request.param


@pytest.mark.parametrize(
    "name", ["out", "a/b/out", "with space", "größe-音", "line\nbreak", "x" * 255, "out/"]
)
@pytest.mark.usefixtures("system")
def test_new_output(tmp_path, name):
    with staged(tmp_path / name) as staging:
        assert not any(staging.iterdir())
        assert not (tmp_path / name).exists()
        fill(staging, "new")
    assert word(tmp_path / name) == "new"
    make(tmp_path / name, "newer", force=True)
    assert word(tmp_path / name) == "newer"
    assert [path.name for path in (tmp_path / name).resolve().parent.iterdir()] == [(tmp_path / name).name]


@pytest.mark.parametrize("output", ["out", "./out", "a/../out"])
def test_relative_output(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    make(Path(output))
    assert word(tmp_path / "out") == "old"
    assert listing(tmp_path) == ["out"]


def test_staging_is_an_empty_sibling(tmp_path):
    with staged(tmp_path / "out") as staging:
        assert staging.parent == tmp_path
        assert staging.name.startswith(".out.vampconv-")
        fill(staging, "new")


@pytest.mark.usefixtures("system")
def test_empty_directory_is_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    assert word(tmp_path / "out") == "old"
    assert listing(tmp_path) == ["out"]


def test_bundle_is_kept_without_force(tmp_path):
    make(tmp_path / "out")
    before = snapshot(tmp_path)
    with (
        pytest.raises(InputOutputError, match="already holds a bundle; use --force"),
        staged(tmp_path / "out"),
    ):
        pytest.fail("must be refused on entering")
    assert snapshot(tmp_path) == before


def test_bundle_that_appears_meanwhile_is_kept(tmp_path):
    def attempt():
        with staged(tmp_path / "out") as staging:
            fill(staging, "second")
            make(tmp_path / "out", "first")

    with pytest.raises(InputOutputError, match="already holds a bundle"):
        attempt()
    assert word(tmp_path / "out") == "first"
    assert listing(tmp_path) == ["out"]


@pytest.mark.usefixtures("system")
def test_forced_replacement(tmp_path):
    make(tmp_path / "out", "old")
    with staged(tmp_path / "out", force=True) as staging:
        fill(staging, "new", ("deep/er/c2f.onnx",))
        assert word(tmp_path / "out") == "old"
    assert (tmp_path / "out/deep/er/c2f.onnx").read_text() == "new deep/er/c2f.onnx"
    make(tmp_path / "out", "newer", force=True)
    assert word(tmp_path / "out") == "newer"
    assert listing(tmp_path) == ["out"]


def add_song(output: Path) -> None:
    (output / "song.wav").write_text("la")


def add_song_in_folder(output: Path) -> None:
    (output / "mine").mkdir()
    (output / "mine" / "song.wav").write_text("la")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (add_song, "song.wav"),
        (add_song_in_folder, "mine/song.wav"),
        (lambda output: (output / "empty").mkdir(), "empty"),
        (lambda output: (output / "link").symlink_to("/"), "link"),
        (lambda output: os.mkfifo(output / "pipe"), "pipe"),
        (lambda output: (output / MANIFEST).write_text("{"), MANIFEST),
        (lambda output: (output / MANIFEST).write_bytes(b"\xff"), MANIFEST),
        (lambda output: (output / MANIFEST).write_text("[" * 100_000), MANIFEST),
        (lambda output: (output / MANIFEST).write_text("[]"), MANIFEST),
        (lambda output: (output / MANIFEST).write_text('{"files": ["coarse.onnx"]}'), MANIFEST),
        (lambda output: ((output / MANIFEST).unlink(), os.mkfifo(output / MANIFEST)), MANIFEST),
        (lambda output: (output / MANIFEST).unlink(), "not a bundle"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.usefixtures("system")
def test_force_spares_what_is_not_ours(tmp_path, spoil, named, late):
    output = tmp_path / "out"
    make(output)
    if not late:
        spoil(output)
    before = snapshot(output)

    def attempt():
        with staged(output, force=True) as staging:
            assert late, "must be refused on entering"
            fill(staging, "new")
            spoil(output)
            before.clear()
            before.update(snapshot(output))

    with pytest.raises(InputOutputError, match=named):
        attempt()
    assert snapshot(output) == before
    assert (output / "coarse.onnx").read_text() == "old coarse.onnx"
    assert listing(tmp_path) == ["out"]


@pytest.mark.usefixtures("system")
def test_song_that_arrives_during_the_exchange(tmp_path, monkeypatch):
    """The user's file lands after the last check and before the move: all is put back."""
    make(tmp_path / "out")
    swap = exchange_module.swap

    def late(staging, target, **names):
        add_song(target)
        swap(staging, target, **names)

    monkeypatch.setattr("vampconv.emit.commit.swap", late)
    with pytest.raises(InputOutputError, match=r"song\.wav"):
        make(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out/song.wav").read_text() == "la"
    assert (tmp_path / "out/coarse.onnx").read_text() == "old coarse.onnx"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("force", [False, True])
def test_regular_file_is_refused(tmp_path, force):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputOutputError, match="is not a directory"):
        make(tmp_path / "out", force=force)
    assert snapshot(tmp_path) == {"out": b"mine"}


def test_file_as_parent_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputOutputError, match="cannot write"):
        make(tmp_path / "file" / "a" / "out")
    assert snapshot(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("output", [".", "..", "sub/..", "/"])
def test_current_directory_is_refused(tmp_path, monkeypatch, output):
    (tmp_path / "a/sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(InputOutputError, match="current directory"):
        make(Path(output), force=True)
    assert snapshot(tmp_path) == {"a": None, "a/sub": None}


def test_mount_point_is_refused():
    with pytest.raises(InputOutputError, match="mount point"):
        make(Path("/proc"))


@pytest.mark.usefixtures("system")
def test_link_to_a_directory_is_kept(tmp_path):
    make(tmp_path / "store/real")
    (tmp_path / "out").symlink_to("store/real")
    make(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out").readlink() == Path("store/real")
    assert word(tmp_path / "store/real") == "new"
    assert listing(tmp_path) == ["out", "store"]
    assert listing(tmp_path / "store") == ["real"]


def test_link_to_nothing_and_to_itself(tmp_path):
    (tmp_path / "out").symlink_to("real")
    make(tmp_path / "out")
    assert word(tmp_path / "real") == "old"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputOutputError, match="cannot write"):
        make(tmp_path / "loop")
    assert listing(tmp_path) == ["loop", "out", "real"]


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("standing", [False, True])
def test_exception_leaves_everything_as_it_was(tmp_path, kind, standing):
    if standing:
        make(tmp_path / "a/b/out")
    before = snapshot(tmp_path)

    def attempt():
        with staged(tmp_path / "a/b/out", force=True) as staging:
            fill(staging, "new")
            raise kind

    with pytest.raises(kind):
        attempt()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with staged(tmp_path / "out") as staging:
            fill(staging, "new", ("coarse.onnx", "deep/c2f.onnx"))
            (staging / "coarse.onnx").chmod(0o600)
            (staging / "deep").chmod(0o700)
    finally:
        os.umask(before)
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        want = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == want, path


@pytest.mark.usefixtures("system")
def test_kept_parts(tmp_path):
    make(tmp_path / "out")
    with staged(tmp_path / "out", keep_manifested=True) as staging:
        files = json.loads((tmp_path / "out" / MANIFEST).read_text())["files"]
        fill(staging, "new", ("decoder.onnx",))
        files |= json.loads((staging / MANIFEST).read_text())["files"]
        (staging / MANIFEST).write_text(json.dumps({"word": "both", "files": files}))
    assert word(tmp_path / "out") == "both"
    assert (tmp_path / "out/coarse.onnx").read_text() == "old coarse.onnx"
    assert (tmp_path / "out/coarse.onnx").stat().st_nlink == 1
    assert (tmp_path / "out/decoder.onnx").read_text() == "new decoder.onnx"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("listed", ["gone.onnx", "../secret", "coarse.onnx"])
def test_kept_parts_must_be_the_old_ones(tmp_path, listed):
    make(tmp_path / "out")
    (tmp_path / "secret").write_text("s")
    before = snapshot(tmp_path)
    with (
        pytest.raises(InputOutputError, match="lost or changed"),
        staged(tmp_path / "out", keep_manifested=True) as staging,
    ):
        (staging / MANIFEST).write_text(json.dumps({"files": {listed: {"by": "other"}}}))
    assert snapshot(tmp_path) == before


def test_error_of_the_body_about_something_else_passes(tmp_path):
    with pytest.raises(FileNotFoundError), staged(tmp_path / "out"):
        (tmp_path / "checkpoint.pth").read_bytes()
    with pytest.raises(InputOutputError, match="cannot write"), staged(tmp_path / "out") as staging:
        (staging / "no/such/file").write_text("")
    assert not listing(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("call", ["fsync", "open", "mkdir", "rename"])
def test_every_failing_call_leaves_the_old_bundle(tmp_path, monkeypatch, system, code, call):
    """The n-th call of a kind fails once, for each n until the replacement makes fewer calls."""
    real, failures = getattr(os, call), 0
    for nth in range(1, 100):
        output, left = tmp_path / str(nth) / "out", [nth]
        make(output)

        def failing(*arguments, left=left, **options):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        outcome = "new"
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                make(output, "new", force=True)
            except InputOutputError:
                failures += 1
                outcome = "old"
        assert word(output) == outcome
        met = left[0] <= 0
        if outcome == "old" or not met:
            assert listing(output.parent) == ["out"]
        recover(output)
        assert listing(output.parent) == ["out"]
        if not met:
            break
    assert not met
    assert failures >= {"mkdir": 1, "rename": 0 if system == "exchange" else 2, "open": 4, "fsync": 4}[call]


@pytest.mark.usefixtures("system")
def test_interrupt_at_every_call(tmp_path, monkeypatch):
    """Ctrl-C before the n-th system call: the old bundle or the new one, and no litter for long."""
    seen = set()
    for nth in range(1, 200):
        output, left = tmp_path / str(nth) / "out", [nth]
        make(output)
        with monkeypatch.context() as patch:
            calls = {
                call: getattr(os, call) for call in ("fsync", "open", "mkdir", "rename", "unlink", "rmdir")
            }
            for call, real in calls.items():

                def interrupted(*arguments, left=left, real=real, **options):
                    left[0] -= 1
                    if left[0] == 0:
                        raise KeyboardInterrupt
                    return real(*arguments, **options)

                patch.setattr(os, call, interrupted)
            with suppress(KeyboardInterrupt):
                make(output, "new", force=True)
        seen.add(word(output))
        recover(output)
        assert listing(output.parent) == ["out"]
        if left[0] > 0:
            break
    assert seen == {"old", "new"}
    assert left[0] > 0


@pytest.mark.usefixtures("system")
def test_file_system_without_locks(tmp_path, monkeypatch):
    """Conversions work; what may belong to a live one stays."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    make(tmp_path / "out")
    live = [".out.vampconv-0123456789abcdef", ".out.vampconv-0123456789abcdef.lock"]
    (tmp_path / live[0]).mkdir()
    (tmp_path / live[1]).touch()
    make(tmp_path / "out", "new", force=True)
    assert word(tmp_path / "out") == "new"
    assert listing(tmp_path) == [*live, "out"]


@pytest.fixture
def tiny_disk(tmp_path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_full_disk(tiny_disk):
    make(tiny_disk / "out")
    before = snapshot(tiny_disk)
    with (
        pytest.raises(InputOutputError, match=r"No space left.*free some space"),
        staged(tiny_disk / "out", force=True) as staging,
    ):
        (staging / "coarse.onnx.data").write_bytes(bytes(1 << 20))
    assert snapshot(tiny_disk) == before
    make(tiny_disk / "out", "new", force=True)
    assert word(tiny_disk / "out") == "new"


def test_read_only_disk(tiny_disk):
    make(tiny_disk / "out")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(InputOutputError, match=r"cannot write.*Read-only"):
        make(tiny_disk / "out", force=True)
    with pytest.raises(InputOutputError, match="already holds a bundle"):
        make(tiny_disk / "out")
    recover(tiny_disk / "out")
    assert word(tiny_disk / "out") == "old"


def test_file_size_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(InputOutputError, match="file size limit"), staged(tmp_path / "out") as staging:
            (staging / "coarse.onnx.data").write_bytes(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not listing(tmp_path)


def test_a_read_only_bundle_is_replaced_without_a_trace():
    """Its owner may replace it; what is left of it must not stay under a hidden name."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o777)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                if os.geteuid() == 0:  # whom no mode stops
                    os.setuid(65534)
                output = Path(parent) / "bundle"
                make(output, "old")
                (output / "coarse.onnx").chmod(0o444)
                output.chmod(0o555)
                make(output, "new", force=True)
                output.chmod(0o755)
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [path.name for path in Path(parent).iterdir()] == ["bundle"]
        assert word(Path(parent) / "bundle") == "new"
