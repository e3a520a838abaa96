"""What fails or is interrupted leaves no output under the target's name, an old one as it was, and the input too."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .support.good_streams import HVM_V2, XL_HVM
from .support.kill_points import WAYS, command, environment

LONGER = ["--set-config", "c_info.name=a longer name than before"]
# By command: its words, and what is in the source; the one in place has no other file.
COMMANDS = {
    "convert": (["convert", "source", "target"], HVM_V2.render()),
    "wrapper": (["convert", "--container", "bare", "--allow-loss", "source", "target"], XL_HVM.render()),
    "edit": (["edit", "source", *LONGER, "-o", "target"], XL_HVM.render()),
    "edit in place": (["edit", "source", *LONGER, "--in-place"], XL_HVM.render()),
    "extract": (["extract", "source", "libxc", "-o", "target"], XL_HVM.render()),
}
# The signal comes when all has been written, and nothing has its name.
SIGNALLED = """
import os
from streamfmt.io import beside
beside.Beside.publish = lambda self: os.kill(os.getpid(), {number})
"""
# A file that may not grow is a full disk.
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


def run(program: str, words: list[str], folder: Path, **more: int) -> subprocess.CompletedProcess[str]:
    """The command, run by an interpreter that runs a program first and writes no bytecode, which could be cut too."""
    said = environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.run(command(program, *words), cwd=folder, env=said, text=True, check=False, **piped)  # type: ignore[call-overload, no-any-return] # of any of these words


def left(folder: Path, name: str, before: bytes) -> None:
    """Everything is as it was."""
    assert (folder / "source").read_bytes() == before
    assert (folder / "target").read_bytes() == b"old"
    rest = {one for one in os.listdir(folder) if not one.endswith(".streamfmt-part")}
    assert rest == {"source", "target"}, name


@pytest.fixture(params=COMMANDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], bytes]:
    """Each command, with its source, and an old target."""
    words, data = COMMANDS[request.param]
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "target").write_bytes(b"old")
    return words, data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals(number: signal.Signals, case: tuple[list[str], bytes], tmp_path: Path) -> None:
    """At the last moment still; only what is killed may leave a file beside, under another name."""
    words, data = case
    way = WAYS["with a name"] if number == signal.SIGKILL else ""
    done = run(way + SIGNALLED.format(number=int(number)), words, tmp_path)

    assert done.returncode in (128 + number, -number)
    assert "Traceback" not in done.stderr
    left(tmp_path, words[0], data)
    if number != signal.SIGKILL:
        assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_full_disk(case: tuple[list[str], bytes], tmp_path: Path) -> None:
    """It is said what could not be written, and why."""
    words, data = case
    done = run(FULL, words, tmp_path)
    name = "source" if "--in-place" in words else "target"

    assert done.returncode == 3
    assert f"{name}: cannot write: File too large" in " ".join((done.stdout + done.stderr).split())
    left(tmp_path, words[0], data)


def test_bad_byte_at_the_end(case: tuple[list[str], bytes], tmp_path: Path) -> None:
    """What breaks a rule, or breaks off, in its last record only is refused all the same."""
    words, data = case
    if words[0] == "extract":
        data = data[: XL_HVM.offset("libxc.HVM_PARAMS") + 9]
    elif words[0] == "edit":
        words = [*words[:2], "--set", "libxl.EMULATOR_CONTEXT.emulator_id=7", *words[4:]]
    else:
        data = data[:-3]
    (tmp_path / "source").write_bytes(data)
    done = run("", words, tmp_path)

    assert done.returncode == (2 if words[0] == "edit" else 1)
    left(tmp_path, words[0], data)


TO_STDOUT = {
    "convert": ["convert", "source", "-"],
    "wrapper": ["convert", "--container", "bare", "--allow-loss", "source", "-"],
    "a stream": ["extract", "source", "libxc"],
    "a part": ["extract", "source", "configuration"],
    "edit": ["edit", "source", "--set", "X86_TSC_INFO.khz=5", "--in-place"],
}


@pytest.mark.parametrize("name", TO_STDOUT)
def test_closed_pipe(name: str, tmp_path: Path) -> None:
    """A reader that has gone is an error of writing; an edit is done all the same, and says so."""
    words = TO_STDOUT[name]
    source = tmp_path / "source"
    before = HVM_V2.render() if name == "convert" else XL_HVM.render()
    source.write_bytes(before)
    reading, writing = os.pipe()
    os.close(reading)
    done = run("", words, tmp_path, stdout=writing)
    os.close(writing)

    assert done.returncode == 3
    assert "Broken pipe" in done.stderr or name == "a part"
    assert (source.read_bytes() == before) == (name != "edit")
    assert ("the edit itself is done" in done.stderr) == (name == "edit")


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "source", "/dev/stdout"],
        ["extract", "source", "libxl", "-o", "/dev/stdout"],
        ["edit", "source", "--set", "X86_TSC_INFO.khz=2400000", "--force", "-o", "/dev/stdout"],
    ],
    ids=" ".join,
)
def test_a_result_by_another_name(words: list[str], tmp_path: Path) -> None:
    """What goes to standard output by the name of a device has no report behind it."""
    (tmp_path / "source").write_bytes(XL_HVM.render())
    reading, writing = os.pipe()
    done = run("", words, tmp_path, stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read()

    assert done.returncode == 0
    assert "source" in done.stderr or "bytes" in done.stderr
    assert found
    assert XL_HVM.render().endswith(found)


def test_what_has_gone_out(tmp_path: Path) -> None:
    """Of a file that breaks off nothing goes to standard output; of a pipe a part has gone, and that is said."""
    cut = XL_HVM.render()[: XL_HVM.offset("libxc.HVM_PARAMS") + 9]
    (tmp_path / "source").write_bytes(cut)
    for words in (["extract", "source", "libxc"], ["convert", "--container", "bare", "--allow-loss", "source", "-"]):
        done = run("", words, tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        with (tmp_path / "source").open("rb") as file, (tmp_path / "out").open("wb") as out:
            piped = [word if word != "source" else "-" for word in words]
            feed = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            assert feed.stdout
            done = run("", piped, tmp_path, stdin=feed.stdout.fileno(), stdout=out.fileno())
            feed.stdout.close()
            feed.wait()
        assert done.returncode == 1
        gone = (tmp_path / "out").stat().st_size
        assert ("has the first part of the result" in " ".join(done.stderr.split())) == (gone > 0)
