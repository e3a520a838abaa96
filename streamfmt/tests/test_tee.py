"""tee as people use it: what it says and where, what it exits with, and what it does when others misbehave."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import pty
import re
import select
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamfmt import data

from ..cli import inputs
from ..writer import pages
from .support.good_streams import HVM

CORPUS = Path(data.path("corpus", "real"))
REAL = gzip.decompress((CORPUS / "hvm-64.bin.gz").read_bytes())
TEE = [sys.executable, "-m", "streamfmt", "tee"]
# A conforming stream without a note.
CLEAN = HVM.render()
LONG = HVM.swap("libxc.PAGE_DATA", pages(*((number, "NOTAB") for number in range(500)))).render()
INPUTS = {
    "clean": CLEAN,
    "note": REAL,
    "broken": REAL[:60_000],
    "trailing": REAL + b"more",
    "two": REAL + REAL,
    "empty": b"",
    "short": b"Li",
    "text": b"name = 'guest'\n" * 9000,
    "zeros": bytes(100_000),
    "gzip": gzip.compress(REAL, mtime=0),
    "gzip-cut": gzip.compress(REAL, mtime=0)[:-20],
    "gzip-more": gzip.compress(REAL, mtime=0) + b"more" * 9000,
}


def run(*words: str, stdin: bytes, command: Sequence[str] = TEE) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*command, *words], input=stdin, capture_output=True, check=False)


def verify(*words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return run(*words, "-", stdin=stdin, command=[*TEE[:-1], "verify"])


@pytest.mark.parametrize("words", [(), ("-q",), ("--strict",), ("--as", "libxl"), ("--mode", "colo"), ("--deep",)])
@pytest.mark.parametrize("name", INPUTS)
def test_says_what_verify_says(name: str, words: tuple[str, ...]) -> None:
    """Everything arrives; what verify prints is on standard error, and the exit status is verify's."""
    copied, judged = run(*words, stdin=INPUTS[name]), verify(*words, stdin=INPUTS[name])

    assert copied.stdout == INPUTS[name]
    assert copied.returncode == judged.returncode
    # Of what could not be opened to its end, tee reports what it found as well.
    assert copied.stderr.endswith(judged.stdout + judged.stderr)
    if judged.stdout:
        assert copied.stderr == judged.stdout


@pytest.mark.parametrize("name", INPUTS)
def test_json_is_verifys(name: str) -> None:
    """--json prints verify's object, on standard error and alone there."""
    copied, judged = run("--json", stdin=INPUTS[name]), verify("--json", stdin=INPUTS[name])

    assert copied.stdout == INPUTS[name]
    assert (copied.returncode, copied.stderr) == (judged.returncode, judged.stdout + judged.stderr)


class Pipeline:
    """A running tee, whose input is written and whose output is read byte by byte."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [*TEE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def passes(self, raw: bytes) -> bool:
        """Whether these bytes come out once they have gone in, before anything else goes in."""
        self.stdin.write(raw)
        found = b""
        while len(found) < len(raw):
            if not select.select([self.stdout], [], [], 30)[0]:
                return False
            piece = os.read(self.stdout.fileno(), len(raw) - len(found))
            if not piece:
                return False
            found += piece
        return found == raw

    def end(self) -> tuple[int, str, bytes]:
        """Close the input; exit status, standard error and what more came out."""
        self.stdin.close()
        more = self.stdout.read()
        assert self.process.stderr is not None
        with self.stdout, self.process.stderr:
            messages = self.process.stderr.read().decode()
        return self.process.wait(), messages, more


@pytest.mark.parametrize("raw", [LONG, INPUTS["gzip"], INPUTS["text"]], ids=["long", "gzip", "none"])
def test_a_trickle_passes_byte_by_byte(raw: bytes) -> None:
    """No byte is held back: not of headers, of pages that are skipped, of what follows END, nor of garbage."""
    pipeline = Pipeline("-q")
    trickles = (range(300), range(20_000, 20_020), range(len(raw) - 30, len(raw)))
    at = 0
    for trickle in trickles:
        assert pipeline.passes(raw[at : trickle.start])
        for number in trickle:
            assert pipeline.passes(raw[number : number + 1]), number
        at = trickle.stop
    for byte in b"what follows":
        assert pipeline.passes(bytes([byte]))

    assert pipeline.end()[2] == b""


def test_non_blocking_descriptors() -> None:
    """A pipe and a socket that are non-blocking, slow at both ends, are waited for."""
    into, out = os.pipe()
    one, other = socket.socketpair()
    os.set_blocking(into, False)
    one.setblocking(False)
    process = subprocess.Popen([*TEE, "-q"], stdin=into, stdout=one.fileno(), stderr=subprocess.PIPE)
    os.close(into)
    one.close()

    def send() -> None:
        with open(out, "wb", buffering=0) as file:
            for at in range(0, len(LONG), 300_000):
                file.write(LONG[at : at + 300_000])

    sender = threading.Thread(target=send)
    sender.start()
    found = bytearray()
    with other:
        while piece := other.recv(50_000):
            found += piece
    sender.join()
    messages = process.communicate()[1]

    assert (process.returncode, bytes(found)) == (0, LONG)
    assert messages == b"standard input: conforms\n"


@pytest.mark.parametrize("raw", [LONG * 3, bytes(3 << 20), gzip.compress(LONG, 0) * 3], ids=["long", "none", "gzip"])
def test_a_consumer_that_leaves(raw: bytes) -> None:
    """The reader of our output may go: that is said in a line, with exit status 3, and there is no verdict."""
    status, messages = left_early(raw)

    assert status == 3
    assert re.fullmatch(
        "streamfmt: standard output: cannot write: Broken pipe; [0-9,]+ bytes were copied", messages[-1]
    )
    assert not any("conform" in line or "Traceback" in line for line in messages)


def test_what_was_found_before_is_said() -> None:
    """A consumer that stops at a fault leaves us with its description, even if it lies in what could not be written."""
    broken = gzip.decompress((CORPUS / "hvm-64-broken.bin.gz").read_bytes())
    for raw, first in ((broken + bytes(3 << 20), 4000), (broken[:4000], 744)):
        status, messages = left_early(raw, first)

        assert status == 3
        assert "  error    LIBXC-PAGE-TYPE  at 1240 (0x4d8), libxc record 3 PAGE_DATA" in messages
        assert "cannot write" in messages[-1]


def left_early(raw: bytes, first: int = 1000) -> tuple[int, list[str]]:
    """Exit status and standard error of a tee whose output is not read after the `first` bytes."""
    process = subprocess.Popen(TEE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(raw[:first])
    found = b""
    while len(found) < first:
        found += process.stdout.read(first - len(found))
    process.stdout.close()
    # Closes the input when the other side has; a broken pipe is no error to it.
    messages = process.communicate(raw[first:])[1]

    assert found == raw[:first]
    return process.returncode, messages.decode().splitlines()


@pytest.mark.parametrize("piped", [True, False], ids=["pipe", "file"])
def test_a_full_disk(piped: bool, tmp_path: Path) -> None:
    """Output that the system does not take is said to be lost, in a line, with exit status 3."""
    path = tmp_path / "input"
    path.write_bytes(LONG)
    command = shlex.join(TEE) + " >/dev/full"
    if piped:
        command = f"cat {path} | {command}"
    with path.open("rb") as file:
        done = subprocess.run(command, shell=True, stdin=file, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    problem = "streamfmt: standard output: cannot write: No space left on device; 0 bytes were copied"
    assert done.stderr.splitlines()[-1] == problem


@pytest.mark.parametrize("piped", [True, False], ids=["pipe", "file"])
def test_a_limit_on_the_way(piped: bool, tmp_path: Path) -> None:
    """What was copied before writing failed is there, and as much as is said."""
    path, target = tmp_path / "input", tmp_path / "output"
    path.write_bytes(LONG)
    command = f"ulimit -f 1000; {shlex.join(TEE)} >{target}"
    if piped:
        command = f"cat {path} | ({command})"
    with path.open("rb") as file:
        words = ["bash", "-c", command]
        done = subprocess.run(words, stdin=file, capture_output=True, text=True, check=False)
    arrived = target.read_bytes()

    assert done.returncode == 3
    assert done.stderr.endswith(f"cannot write: File too large; {len(arrived):,} bytes were copied\n")
    assert len(arrived) == 1000 << 10
    assert LONG.startswith(arrived)


def test_input_that_fails() -> None:
    """Input that cannot be read is said so, with exit status 3."""
    one, other = socket.socketpair()
    one.send(b"unread")
    other.send(CLEAN)
    other.close()  # with something unread: the other side learns that the connection was reset
    fds = {
        "reset": one.detach(),
        "written": os.open(os.devnull, os.O_WRONLY),
    }
    messages = {}
    for name, fd in fds.items():
        done = subprocess.run(TEE, stdin=fd, capture_output=True, check=False)
        os.close(fd)
        messages[name] = done.returncode, done.stdout, done.stderr.decode().splitlines()[-1]

    assert messages == {
        name: (3, out, f"streamfmt: standard input: cannot read: {reason}; {len(out):,} bytes were copied")
        for name, out, reason in (
            ("reset", CLEAN, "Connection reset by peer"),
            ("written", b"", "Bad file descriptor"),
        )
    }


_BROKEN = """
import sys
from streamfmt.cli import main, tee
from streamfmt.checks.verifier import Verifier
def broken(*_, **__):
    raise {error}
{owner}.{name} = broken
sys.argv = ["streamfmt", "tee"]
main.entry()
"""


@pytest.mark.parametrize("error", ["IndexError('a\\nb')", "MemoryError()", "OSError(5, 'not theirs')"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("Verifier", "header"),
        ("Verifier", "record"),
        ("Verifier", "pages"),
        ("Verifier", "trailing"),
        ("tee", "as_text"),
        ("tee", "Outcome"),
    ],
)
def test_a_fault_of_our_own(owner: str, name: str, error: str) -> None:
    """If judging or reporting fails, all is copied all the same; the fault is reported, with verify's exit status."""
    program = _BROKEN.format(owner=owner, name=name, error=error)
    raw = LONG + b"and more" * 100_000
    done = run(stdin=raw, command=[sys.executable, "-c", program])
    messages = done.stderr.decode().splitlines()

    assert done.stdout == raw
    if error.startswith("MemoryError"):
        assert done.returncode == 3
        assert messages[-1].startswith("streamfmt: not enough memory")
    else:
        assert done.returncode == 1
        assert messages[-1].startswith("streamfmt: internal error, please report it: ")
        assert re.search(r"Error: .*\(<string>:6\)$", messages[-1])
    assert not any("conform" in line or "Traceback" in line for line in messages)


def test_wrong_usage(tmp_path: Path) -> None:
    """A terminal as output, or the input itself, is refused before anything is read."""
    path = tmp_path / "input"
    path.write_bytes(CLEAN)
    leader, follower = pty.openpty()
    with path.open("rb") as file, path.open("ab") as same, open(leader, "rb", buffering=0):
        refused = [
            subprocess.run([*TEE, *words], stdin=file, stdout=out, stderr=subprocess.PIPE, check=False)
            for words, out in (((), follower), ((), same), (("file",), subprocess.DEVNULL))
        ]
        assert file.tell() == 0
    os.close(follower)

    assert [done.returncode for done in refused] == [2, 2, 2]
    assert b"standard output is a terminal" in refused[0].stderr
    assert b"are the same file" in refused[1].stderr
    assert path.read_bytes() == CLEAN


def test_a_terminal_as_input() -> None:
    """What is typed is passed on line by line, and ended once."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(TEE, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(follower)
    assert process.stdout is not None
    os.write(leader, b"a line\n")
    assert os.read(process.stdout.fileno(), 100) == b"a line\n"
    os.write(leader, b"\4")
    out, messages = process.communicate(timeout=120)
    os.close(leader)

    assert (process.returncode, out) == (1, b"")
    assert messages.startswith(b"standard input: not judged: not a migration stream")


@pytest.mark.parametrize(("redirection", "status"), [("2>&-", 0), ("2>/dev/full", 3), ("<&-", 3), (">&-", 3)])
def test_standard_streams_that_are_amiss(redirection: str, status: int, tmp_path: Path) -> None:
    """Whatever is closed or full, the rest works, and the exit status says so."""
    path, target = tmp_path / "input", tmp_path / "output"
    path.write_bytes(CLEAN)
    command = f"{shlex.join(TEE)} <{path} >{target} {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert target.read_bytes() == (CLEAN if redirection[0] == "2" else b"")


def test_output_ends_before_the_report(tmp_path: Path) -> None:
    """The reader of our output sees its end even while the report is not taken."""
    blocked = tmp_path / "report"
    os.mkfifo(blocked)
    opened = os.open(blocked, os.O_RDWR)
    fcntl.fcntl(opened, fcntl.F_SETPIPE_SZ, 4096)
    os.write(opened, bytes(4096))
    process = subprocess.Popen(TEE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=opened)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin:
        process.stdin.write(CLEAN)
    with process.stdout:
        assert process.stdout.read() == CLEAN
    assert process.poll() is None
    os.read(opened, 4096)

    assert process.wait(30) == 0
    assert os.read(opened, 4096).endswith(b"standard input: conforms\n")
    os.close(opened)


_BAR = "━".encode()
_HURRIED = """
import sys, time
real = time.monotonic
time.monotonic = lambda: real() * 1e4
from streamfmt.cli import main
sys.argv = ["streamfmt", "tee"]
main.entry()
"""


def test_progress_on_terminals_only() -> None:
    """Long work shows a bar where standard error is a terminal, above the report, and nothing of it elsewhere."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", _HURRIED]
    raw = LONG + b"and more" * 100_000
    done = subprocess.run(
        command, input=raw, stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}, check=True
    )
    os.close(follower)
    shown = b""
    try:
        while True:
            shown += os.read(leader, 1 << 16)
    except OSError:
        os.close(leader)  # that is how a terminal ends

    assert done.stdout == raw
    assert _BAR in shown
    assert b"conforms" in shown.splitlines()[-1]
    assert _BAR not in run(stdin=raw, command=command).stderr


def test_progress_is_no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that takes no bar does not stop the work."""
    clock = iter(range(0, 100, 10))

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise BlockingIOError(11, "not now")

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with inputs.Progress(100) as update:
        assert update is not None
        update(10)
        update(20)

    assert next(clock) >= 20
