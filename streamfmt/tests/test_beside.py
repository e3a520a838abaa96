"""A file appears when it is complete; what a killed writer leaves is removed by the next one to the same target."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from ..cli.main import main
from ..io import beside, outputs
from ..recipes import load as recipes
from .support.kill_points import WAYS, command, environment, is_writing, killed_at, wait_until

RECIPE = 'recipe = 1\nguest = "hvm"\nform = "libxl"\n'
PART = "out.0123abcd.streamfmt-part"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of writing."""
    if WAYS[request.param]:
        monkeypatch.setattr(beside, "_nameless", lambda folder: -1)
    return str(request.param)


BOTH = {
    "opened": killed_at("open", after=True),
    "written": killed_at("writev"),
    "synced": killed_at("fsync"),
}
RENAMED = {"renamed": killed_at("replace"), "in place": killed_at("replace", after=True)}
LINKED = {
    "linked": killed_at("link"),
    "given a name": killed_at("link", after=True),
    "taken": killed_at("link", 2),
    "beside": killed_at("link", 2, after=True),
}
MOMENTS = [("with a name", moment) for moment in (*BOTH, *RENAMED)]
MOMENTS += [("without a name", moment) for moment in (*BOTH, *LINKED, *RENAMED)]


@pytest.mark.parametrize("before", [None, b"as it was"])
@pytest.mark.parametrize(("kind", "moment"), MOMENTS)
def test_killed(kind: str, moment: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any moment what was there, or all that was to be; and the second run leaves nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    out = tmp_path / "out"
    if before is not None:
        out.write_bytes(before)
    words = ("build", "r.toml", "-o", "out")
    program = WAYS[kind] + {**BOTH, **RENAMED, **LINKED}[moment]
    first = subprocess.run(command(program, *words), env=environment(), stdout=subprocess.DEVNULL, check=False)
    whole = recipes.load(RECIPE).stream.render()

    assert first.returncode in (0, -signal.SIGKILL)
    assert (out.read_bytes() if out.exists() else None) in (before, whole)
    assert main(list(words)) == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "r.toml"]
    assert out.read_bytes() == whole


def test_a_kill_leaves_a_name_only_where_it_has_one(tmp_path: Path) -> None:
    """The moments above are what they are called: one is killed with a name beside the target, in each way."""
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "out").write_bytes(b"")
    for program, left in (
        (WAYS["with a name"] + killed_at("fsync"), 1),
        (killed_at("fsync"), 0),
        (killed_at("replace"), 1),
    ):
        done = subprocess.run(
            command(program, "build", "r.toml", "-o", "out"), cwd=tmp_path, env=environment(), check=False
        )

        assert done.returncode == -signal.SIGKILL
        assert len(os.listdir(tmp_path)) == 2 + left


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    """What another process writes to the same target is no rest."""
    (tmp_path / "r.toml").write_text(RECIPE)
    long = RECIPE + "[memory]\nsize = '64 GiB'\n"
    (tmp_path / "long.toml").write_text(long)
    program = WAYS["with a name"]
    child = subprocess.Popen(command(program, "build", "long.toml", "-o", "out"), cwd=tmp_path, env=environment())
    try:
        wait_until(lambda: is_writing(child.pid, tmp_path))
        subprocess.run(command(program, "build", "r.toml", "-o", "out"), cwd=tmp_path, env=environment(), check=True)
        assert len(os.listdir(tmp_path)) == 4
    finally:
        child.kill()
        child.wait(60)
    outputs.write(tmp_path / "out", b"other")
    assert sorted(os.listdir(tmp_path)) == ["long.toml", "out", "r.toml"]


def test_what_is_no_rest(tmp_path: Path, way: str) -> None:
    """Of another target, of another kind, with other letters, or locked: it stays."""
    kept = ["out.0123abcd.part", "out.0123abcg.streamfmt-part", "out.0123.streamfmt-part", f"other-{PART}"]
    for name in (*kept, PART):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "out.00000000.streamfmt-part")
    (tmp_path / "out.00000001.streamfmt-part").mkdir()
    (tmp_path / "out.00000002.streamfmt-part").symlink_to("out.0123abcd.part")
    with open(tmp_path / "out.00000003.streamfmt-part", "w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        outputs.write(tmp_path / "out", b"all")

    numbered = [f"out.0000000{number}.streamfmt-part" for number in range(4)]
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, *numbered, "out"])


def test_permissions(tmp_path: Path, way: str) -> None:
    """A new file has what the umask leaves; one that is replaced keeps its own."""
    old = os.umask(0o027)
    try:
        outputs.write(tmp_path / "new", b"all")
        (tmp_path / "old").write_bytes(b"")
        (tmp_path / "old").chmod(0o604)
        outputs.write(tmp_path / "old", b"all")
        os.umask(0)
        outputs.write(tmp_path / "open", b"all")
    finally:
        os.umask(old)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"new": 0o640, "old": 0o604, "open": 0o666}


def test_a_long_name(tmp_path: Path, way: str) -> None:
    """One as long as names can be is written, and written again."""
    path = tmp_path / ("ä" * 127 + "x")
    for data in (b"one", b"two"):
        outputs.write(path, data)
        assert path.read_bytes() == data
    assert len(os.listdir(tmp_path)) == 1


def test_two_at_once(tmp_path: Path, way: str) -> None:
    """Of two writers to one target in one process, the last to finish is there."""
    files = [outputs.FileOutput(tmp_path / "out") for _ in range(2)]
    for number, out in enumerate(files):
        out.write([b"%d" % number])
    files[1].finish()
    files[0].finish()

    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"0"


def test_errors_name_the_file(tmp_path: Path, way: str) -> None:
    """And not what is beside it: one that has no room, and one whose name a directory has taken meanwhile."""
    out = outputs.FileOutput(tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        out.finish()
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "out"), None)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        outputs.write("/dev/full", b"x" * 5000)
    assert os.listdir(tmp_path) == ["out"]


def test_what_was_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were begun, and neither finished nor given up, are found; others are left."""
    monkeypatch.setattr(beside, "_nameless", lambda folder: -1)
    files = [outputs.FileOutput(tmp_path / name) for name in ("finished", "given up", "forgotten")]
    files[0].finish()
    files[1].abort()
    beside.sweep()

    assert os.listdir(tmp_path) == ["finished"]
    os.close(files[2].fd)
