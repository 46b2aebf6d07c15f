"""Files appear whole or not at all, and what killed writers left goes with the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vampconv.errors import InputOutputError, UsageError
from vampconv.files import claims as staging
from vampconv.files import disk
from vampconv.files import outputs as outputs_module
from vampconv.files.outputs import numbered, outputs

COMMAND = [sys.executable, "-m", "vampconv", "vamp", "in.wav", "-o", "o.wav", "--steps", "1", "--seed", "0"]


def names(place):
    return sorted(path.name for path in place.iterdir())


def write(place, *files, force=False):
    paths = [place / file for file in files]
    with outputs(paths, force=force) as found:
        for path in paths:
            found.write(path, path.name.encode())


def killed(place, *files):
    """What a writer leaves that was killed: its files, and a lock that no one holds."""
    claim = staging.claim(place)
    for file in files:
        claim.staged(file).write_bytes(b"half")
    os.close(claim.descriptor)
    return claim


@pytest.fixture
def place(tmp_path, workshop, monkeypatch):
    """The current directory, with a bundle and a file that takes a while to decode."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").symlink_to(workshop.whole("coarse", "c2f", "codec"))
    audio = np.random.default_rng(0).normal(0, 0.1, 44100 * 40).astype(np.float32)
    soundfile.write("in.wav", audio, 44100, "FLOAT")
    return tmp_path


def until_it_writes(process, place):
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 1000 for path in place.glob(".o.wav.vamp-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("over", [False, True], ids=["new", "over a file"])
def test_signals_while_it_writes(place, tree, sent, code, over):
    if over:
        (place / "o.wav").write_bytes(b"mine")
    before = tree(place)
    with subprocess.Popen([*COMMAND, "--force"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until_it_writes(process, place)
        process.send_signal(sent)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.strip()) == (code, b"", b"")
    assert tree(place) == before


def test_killed_while_it_writes_and_then_run_again(place):
    with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until_it_writes(process, place)
        process.kill()
    left = names(place)
    assert len(left) == 4
    assert "o.wav" not in left
    soundfile.write("in.wav", np.full(5000, 0.1), 44100)
    subprocess.run(COMMAND, check=True, capture_output=True)
    assert names(place) == ["bundle", "in.wav", "o.wav"]


def test_what_dead_writers_left_is_swept(tmp_path):
    killed(tmp_path, "a", "b")
    killed(tmp_path)
    killed(tmp_path, "c" * 250)
    assert len(names(tmp_path)) == 6
    write(tmp_path, "a")
    assert names(tmp_path) == ["a"]


def test_what_living_writers_hold_stays(tmp_path):
    with outputs([tmp_path / "a"], force=True) as first:
        first.write(tmp_path / "a", b"first")
        write(tmp_path, "a")
        assert (tmp_path / "a").read_bytes() == b"a"
        assert len(names(tmp_path)) == 3
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "name",
    [".a.vamp-0123456789abcdef", ".vamp-0123.lock", "vamp-0123456789abcdef.lock", ".a.wav.vampconv-1234"],
)
def test_what_looks_alike_stays(tmp_path, name):
    (tmp_path / name).write_text("mine")
    killed(tmp_path, "a")
    write(tmp_path, "b")
    assert names(tmp_path) == sorted(["b", name])


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".vamp-0123456789abcdef.lock").symlink_to(tmp_path / "mine")
    write(tmp_path, "b")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_that_was_taken_away_is_made_anew(tmp_path, monkeypatch):
    """A sweeper came between the making of the file and its lock."""
    plain, calls = staging.fcntl.flock, []

    def taken_away(descriptor, how):
        if not calls:
            next(tmp_path.glob(".vamp-*.lock")).unlink()
        calls.append(descriptor)
        plain(descriptor, how)

    monkeypatch.setattr(staging.fcntl, "flock", taken_away)
    claim = staging.claim(tmp_path)
    assert len(calls) == 2
    assert names(tmp_path) == [f".vamp-{claim.token}.lock"]
    claim.release()
    assert names(tmp_path) == []


def test_without_locks_nothing_is_swept(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(staging.fcntl, "flock", none)
    killed(tmp_path, "a")
    write(tmp_path, "a")
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize("name", ["音" * 80 + ".wav", "n" * 251 + ".wav"])
def test_names_as_long_as_they_may_be(tmp_path, name):
    write(tmp_path, name)
    assert names(tmp_path) == [name]


def test_hundreds_of_files_take_few_descriptors(tmp_path):
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, old[1]), old[1]))
    try:
        write(tmp_path, *(f"f{number}" for number in range(400)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert len(names(tmp_path)) == 400


def test_all_or_none(tmp_path):
    """The second of two is there already when both are put in place."""
    paths = [tmp_path / "a", tmp_path / "b"]

    def both():
        with outputs(paths, force=False) as found:
            for path in paths:
                found.write(path, b"new")
            (tmp_path / "b").write_bytes(b"of another")

    with pytest.raises(InputOutputError, match="b is there already"):
        both()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"of another"


def test_two_outputs_of_one_name_are_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="two outputs are one file"):
        write(tmp_path, "a", "link", force=True)


def test_a_directory_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(staging.os, "open", refuse)
    with pytest.raises(InputOutputError, match="cannot be written: Read-only"):
        write(tmp_path, "a")


def test_through_a_link_the_file_itself_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "there" / "b")
    write(tmp_path, "a", force=True)
    assert (tmp_path / "there" / "b").read_bytes() == b"a"
    assert names(tmp_path / "there") == ["b"]
    assert (tmp_path / "a").is_symlink()


def test_numbers_in_names(tmp_path):
    assert [p.name for p in numbered(tmp_path / "x.wav", 1)] == ["x.wav"]
    assert [p.name for p in numbered(tmp_path / "x.wav", 10)][::9] == ["x-01.wav", "x-10.wav"]


def plan_of_a_dead_writer(place, *, written, plan):
    """What a writer leaves that was killed when all was written, and what it was about to do was written down."""
    claim = staging.claim(place)
    for name in written:
        claim.staged(name).write_text(f"new {name}")
    claim.resolve(plan)
    os.close(claim.descriptor)
    return claim


def test_what_a_dead_writer_began_is_finished(tmp_path):
    for name in ("a", "c", "gone"):
        (tmp_path / name).write_text(f"old {name}")
    plan = staging.Plan(replaced=["a", "b"], fresh=["c", "d"], dropped=["gone"])
    plan_of_a_dead_writer(tmp_path, written=["a", "c", "d"], plan=plan)  # b is in place already
    (tmp_path / "b").write_text("new b")
    write(tmp_path, "e")
    assert names(tmp_path) == ["a", "b", "c", "d", "e"]
    assert [(tmp_path / n).read_text() for n in "abcd"] == ["new a", "new b", "old c", "new d"]


@pytest.mark.parametrize("name", ["../a", "/etc/a", "", ".", "..", 7])
def test_a_plan_stays_in_its_directory(tmp_path, name):
    (tmp_path / "a").write_text("mine")
    place = tmp_path / "there"
    place.mkdir()
    for plan in (staging.Plan([name]), staging.Plan(["b"], dropped=[name])):
        plan_of_a_dead_writer(place, written=["b"], plan=plan)
    staging.sweep(place)
    assert names(place) == []
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"[", b"[[],[]", b"{}", b"7", b"[1,2,3]", b"[" * 100_000])
def test_a_plan_that_was_not_written_to_its_end_is_none(tmp_path, content):
    (tmp_path / "a").write_text("old a")
    claim = plan_of_a_dead_writer(tmp_path, written=["a"], plan=staging.Plan(["a"]))
    (tmp_path / f".vamp-{claim.token}.lock").write_bytes(content)
    staging.sweep(tmp_path)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old a"


def test_a_plan_of_another_user_is_not_followed(tmp_path, monkeypatch):
    """In a directory that all write to, anyone can leave one."""
    (tmp_path / "a").write_text("old a")
    plan_of_a_dead_writer(tmp_path, written=["a"], plan=staging.Plan(["a"]))
    monkeypatch.setattr(staging.os, "geteuid", lambda: 12345)
    staging.sweep(tmp_path)
    assert (tmp_path / "a").read_text() == "old a"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_what_fails_half_way_is_taken_back(tmp_path, monkeypatch, nth, links):
    """The n-th file of three cannot be put in place; of them two are replaced, and the last is new."""
    for name in "ab":
        (tmp_path / name).write_text(f"old {name}")
    plain, calls = outputs_module.put, []

    def fails(*arguments, **options):
        calls.append(arguments)
        if len(calls) == nth:
            raise OSError(5, "Input/output error")
        plain(*arguments, **options)

    def none(*_arguments, **_options):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(outputs_module, "put", fails)
    if not links:
        monkeypatch.setattr(os, "link", none)
    with pytest.raises(InputOutputError, match=f"{'abc'[nth - 1]} cannot be written: Input/output error"):
        write(tmp_path, "a", "b", "c", force=True)
    assert names(tmp_path) == ["a", "b"]
    assert [(tmp_path / n).read_text() for n in "ab"] == ["old a", "old b"]


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputOutputError, match="it is a device or a pipe"):
        write(tmp_path, "pipe", force=True)
    with (
        pytest.raises(InputOutputError, match="it is a device or a pipe"),
        outputs([Path("/dev/null")], force=True),
    ):
        pytest.fail("/dev/null would be replaced")
    assert names(tmp_path) == ["pipe"]


def test_room_is_looked_for_first(tmp_path, monkeypatch):
    with outputs([tmp_path / "a"], force=False) as found:
        found.require_room(1000, 1000)
        with pytest.raises(InputOutputError, match=r"are needed in .* are free; free some space"):
            found.require_room(1 << 60, 0)
        monkeypatch.setattr(disk.resource, "getrlimit", lambda _: (1000, 1000))
        found.require_room(1001, 1000)
        with pytest.raises(InputOutputError, match=r"are allowed; raise the file size limit"):
            found.require_room(1001, 1001)


def test_what_cannot_be_removed_goes_with_the_next_run(tmp_path, monkeypatch):
    """The old file and the dropped one; the lock that tells of them stays until then."""
    for name in ("a", "gone"):
        (tmp_path / name).write_text(f"old {name}")
    with outputs([tmp_path / "a"], force=True) as found:
        found.write(tmp_path / "a", b"new a")
        found.drop(tmp_path / "gone")
        plain, unlink = found.place, Path.unlink

        def fails(path, missing_ok=False):
            if path.name.startswith(".vamp-"):
                return unlink(path, missing_ok)
            raise OSError(5, "Input/output error")

        def then_fail():
            plain()
            monkeypatch.setattr(Path, "unlink", fails)

        monkeypatch.setattr(found, "place", then_fail)
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "new a"
    assert len(names(tmp_path)) == 4  # a, its old self, gone, the lock
    write(tmp_path, "b")
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "new a"
