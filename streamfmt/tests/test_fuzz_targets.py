"""What `streamfmt fuzz` makes of commands and functions, whatever they do."""

from __future__ import annotations

import re
import shlex
import sys
import time
from pathlib import Path

import pytest

from ..fuzz.results import ACCEPT, CRASH, HANG, REJECT, of_exit
from ..fuzz.specs import OURS, Input, Spec, SpecError, parse
from ..fuzz.targets import open_target
from .fuzzed import FUZZED, running

GIVEN = Input(b"octets", "libxl", "remus")


def python(program: str) -> str:
    """A command that runs a program."""
    return shlex.join([sys.executable, "-c", program])


def test_command_gets_octets_and_words() -> None:
    """On standard input, or in a file; and what the stream is."""
    check = "import sys; sys.exit(sys.argv[1:] != ['libxl', 'remus'] or sys.stdin.buffer.read() != b'octets')"
    named = "import sys; sys.exit(sys.argv[2] != 'x-libxl' or open(sys.argv[1], 'rb').read() != b'octets')"
    for words in (f"{python(check)} {{form}} {{mode}}", f"{python(named)} {{}} x-{{form}}"):
        target = open_target(parse(words), 10)
        assert target.run(GIVEN).kind == ACCEPT, words
        target.close()


def test_command_hangs_with_its_children(tmp_path: Path) -> None:
    """The whole process group is gone, and a child left behind by a command that has ended is not waited for."""
    pid = tmp_path / "pid"
    for words, kind in (
        (f"sh -c 'sleep 99 & echo $! >{pid}; wait'", HANG),
        (f"sh -c 'sleep 99 & echo $! >{pid}'", ACCEPT),
    ):
        target = open_target(parse(words), 0.5)
        begin = time.monotonic()
        assert target.run(GIVEN).kind == kind
        assert time.monotonic() - begin < 5
        target.close()
        assert gone(int(pid.read_text()))


def gone(pid: int) -> bool:
    """Whether there is no such process, soon."""
    end = time.monotonic() + 5
    while running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not running(pid)


def test_function_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that outlives it is no hang, and is not left."""
    log = tmp_path / "pid"
    monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
    target = open_target(parse(f"{FUZZED}.littering"), 10)

    assert target.run(GIVEN).what == "killed by SIGSEGV"
    assert gone(int(log.read_text()))
    target.close()


def test_function_that_returns_twice() -> None:
    """A child of its that comes back does not answer for it."""
    target = open_target(parse(f"{FUZZED}.doubling"), 10)

    assert [target.run(GIVEN).what for _ in range(9)] == ["returned True"] * 9
    target.close()


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("mute", CRASH, r".*MuteError: its text raises RuntimeError \(.*"),
        ("closing", HANG, "still running after 0.5 s"),
    ],
)
def test_functions_that_are_odd(name: str, kind: str, what: str) -> None:
    """One raises what cannot be told, one closes what it is asked through."""
    target = open_target(parse(f"{FUZZED}.{name}"), 0.5)
    result = target.run(GIVEN)
    target.close()

    assert result.kind == kind
    assert re.fullmatch(what, result.what)


def test_command_that_talks() -> None:
    """Standard error without end is no memory without end."""
    target = open_target(parse("sh -c 'yes >&2'"), 0.3)

    assert target.run(GIVEN).kind == HANG
    target.close()


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
