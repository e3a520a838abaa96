"""What `streamfmt fuzz` makes of commands and functions, whatever they do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .. import data
from ..conformance import kin as kin_module
from ..conformance.command import Target, guest, open_target
from ..conformance.kin import Kin, children, searched
from ..conformance.result import ACCEPT, CRASH, HANG, REJECT, of_exit
from ..conformance.target import OURS, Input, Spec, parse
from ..errors import SpecError, UnrunnableError
from .support import planted_bugs
from .support.good_streams import GOOD
from .support.planted_bugs import FUZZED, running

ROOT = Path(data.path("spec")).parent
GIVEN = Input(b"bytes", "libxl", "remus")
Opening = Callable[..., Target]


@pytest.fixture
def opened() -> Iterator[Opening]:
    """A target, from what is written on a command line; it is closed at the end, and nothing of it is left."""
    targets = []
    with Kin() as kin:

        def opening(text: str, timeout: float = 10) -> Target:
            targets.append(open_target(parse(text), timeout, kin))
            return targets[-1]

        yield opening
        for target in targets:
            target.close()
    assert not children(os.getpid()) - kin.kept


def python(program: str) -> str:
    """A command that runs a program."""
    return shlex.join([sys.executable, "-c", program])


def test_command_gets_bytes_and_words(opened: Opening) -> None:
    """On standard input, or in a file; and what the stream is."""
    check = "import sys; sys.exit(sys.argv[1:] != ['libxl', 'remus', 'unknown'] or sys.stdin.buffer.read() != b'bytes')"
    named = "import sys; sys.exit(sys.argv[2] != 'x-libxl' or open(sys.argv[1], 'rb').read() != b'bytes')"
    for words in (f"{python(check)} {{form}} {{mode}} {{guest}}", f"{python(named)} {{}} x-{{form}}"):
        target = opened(words, 10)
        assert target.run(GIVEN).kind == ACCEPT, words


@pytest.mark.parametrize(
    ("name", "kind"), [("libxl-hvm", "hvm"), ("xl-hvm", "hvm"), ("pv-v2", "pv"), ("back-channel", "unknown")]
)
def test_command_gets_the_guest(name: str, kind: str, opened: Opening) -> None:
    """What the stream says of it, in whatever it is wrapped; and that is in the line that repeats a failure."""
    given = Input(GOOD[name].render(), GOOD[name].form or "auto", "auto")
    words = "sh -c 'test -{guest}- = -%s-'"

    assert opened(words % kind).run(given).kind == ACCEPT
    assert opened(words % "other").run(given).kind == REJECT
    assert parse("reader {guest}").repeated("file", given, guest(given)) == f"reader {kind} < file"


def test_command_hangs_with_its_children(tmp_path: Path, opened: Opening) -> None:
    """The whole process group is gone, and a child left behind by a command that has ended is not waited for."""
    pid = tmp_path / "pid"
    for words, kind in (
        (f"sh -c 'sleep 99 & echo $! >{pid}; wait'", HANG),
        (f"sh -c 'sleep 99 & echo $! >{pid}'", ACCEPT),
    ):
        target = opened(words, 0.5)
        begin = time.monotonic()
        assert target.run(GIVEN).kind == kind
        assert time.monotonic() - begin < 5
        assert gone(int(pid.read_text()))


def gone(pid: int) -> bool:
    """Whether there is no such process, soon."""
    end = time.monotonic() + 5
    while running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not running(pid)


def test_function_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opening) -> None:
    """A child that outlives it is no hang, and is not left."""
    log = tmp_path / "pid"
    monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
    target = opened(f"{FUZZED}.littering", 10)

    assert target.run(GIVEN).what == "killed by SIGSEGV"
    assert gone(int(log.read_text()))


def leaving(log: Path) -> str:
    """A command that leaves processes behind, each of which has a line there."""
    return python(
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {planted_bugs.__name__} import leave; leave({str(log)!r})"
    )


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opening) -> None:
    """Neither in other groups nor in other sessions, nor of those that no parent has, nor what ignores signals."""
    log = tmp_path / "log"
    monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
    for words in (leaving(log), f"{FUZZED}.leaving"):
        log.unlink(missing_ok=True)
        target = opened(words)
        assert target.run(GIVEN).kind == ACCEPT, words
        target.close()
        pids = [int(line) for line in log.read_text().splitlines()]
        assert len(pids) == 4
        assert not list(filter(running, pids))


def test_function_that_leaves_one_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opening) -> None:
    """It may have children from one stream to the next, but not ever more."""
    log = tmp_path / "log"
    monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
    target = opened(f"{FUZZED}.lingering")

    for number in range(1, 41):
        assert target.run(GIVEN).kind == ACCEPT
        pids = [int(line) for line in log.read_text().splitlines()]
        assert len(pids) == number
        assert running(pids[-1]) or number % 17 == 0
        assert len(list(filter(running, pids))) <= 16


def test_those_that_live_on() -> None:
    """Children from before are let live, and one that cannot be killed is reported, once."""
    with subprocess.Popen(["sleep", "99"]) as before:
        with Kin() as kin, subprocess.Popen(["sleep", "99"]) as after:
            assert children(os.getpid()) == searched(os.getpid()) >= {before.pid, after.pid}
            kin.end()
            assert after.wait() == 0  # somebody else has reaped it
        assert before.poll() is None
        before.kill()


def test_one_that_cannot_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported once, and is not waited for for ever."""

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    with Kin() as kin, subprocess.Popen(["sleep", "99"]) as child, monkeypatch.context() as patched:
        patched.setattr(os, "kill", refused)
        patched.setattr(kin_module, "_PATIENCE", 0.1)
        with pytest.raises(UnrunnableError, match=f"1 processes that it started cannot be ended: {child.pid}$"):
            kin.end()
        kin.end()
        patched.undo()
        child.kill()


def test_function_that_returns_twice(opened: Opening) -> None:
    """A child of its that comes back does not answer for it."""
    target = opened(f"{FUZZED}.doubling", 10)

    assert [target.run(GIVEN).what for _ in range(9)] == ["returned True"] * 9


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("mute", CRASH, r".*MuteError: its text raises RuntimeError \(.*"),
        ("closing", HANG, "still running after 0.5 s"),
    ],
)
def test_functions_that_are_odd(name: str, kind: str, what: str, opened: Opening) -> None:
    """One raises what cannot be printed, one closes what it is asked through."""
    target = opened(f"{FUZZED}.{name}", 0.5)
    result = target.run(GIVEN)

    assert result.kind == kind
    assert re.fullmatch(what, result.what)


def test_command_that_talks(opened: Opening) -> None:
    """Standard error without end is no memory without end."""
    target = opened("sh -c 'yes >&2'", 0.3)

    assert target.run(GIVEN).kind == HANG


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "where"),
    [
        (0, "all is well", ACCEPT, ""),
        (1, "bad record\n", REJECT, "exit status N: bad record"),
        (-11, "at 0x7f00\n", CRASH, "SIGSEGV at N"),
        (-6, "r.c:12: f: Assertion `n' failed.\n", CRASH, "SIGABRT r.c:12: f: Assertion `n' failed."),
        (
            1,
            'Traceback (most recent call last):\n  File "r.py", line 3, in f\nKeyError: 4\n',
            CRASH,
            "KeyError r.py:3",
        ),
        (
            1,
            "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60 at pc 0x4\n    #0 0x4 in f r.c:9:3\n",
            CRASH,
            "==N==ERROR: AddressSanitizer: heap-buffer-overflow on address N at pc N f r.c:9:3",
        ),
        (
            0,
            "r.c:9:3: runtime error: signed integer overflow: 4 + 5\n",
            CRASH,
            "r.c:9:3: runtime error: signed integer overflow: N + N",
        ),
    ],
)
def test_what_an_exit_means(status: int, stderr: str, kind: str, where: str) -> None:
    """Accept, reject or crash, and by what a crash is known."""
    result = of_exit(status, stderr)

    assert (result.kind, result.where) == (kind, where)


@pytest.mark.parametrize("text", ["", "  ", "'open", "python:", "python:one", "python:a.b()", "python:.b"])
def test_targets_that_are_none(text: str) -> None:
    """A target that is written wrongly is refused."""
    with pytest.raises(SpecError):
        parse(text)


def test_targets() -> None:
    """A command is split as a shell does it."""
    assert parse("reader -x 'a b'") == Spec(words=("reader", "-x", "a b"))
    assert parse("python:a.b.c") == Spec(function="a.b.c")
    assert parse(OURS) == Spec()
