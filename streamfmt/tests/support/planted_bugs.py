"""Readers with planted bugs, for `streamfmt fuzz` to find."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from hashlib import md5

# They are named by this and what follows a dot.
FUZZED = f"python:{__name__}"
# A command that dies of any libxl stream.
DYING = "sh -c 'if grep -q LibxlFmt; then kill -SEGV $$; fi'"
_MARKER = b"\xff" * 8


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and length of each record of a libxc image, as far as they go."""
    at = 40
    while data.startswith(_MARKER) and at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, length
        at += 8 + (length + 7 & ~7)


def sound(data: bytes) -> bool:
    """Never fails."""
    return data[:8] == _MARKER


def crashing(data: bytes) -> None:
    """Cannot stand a record whose length is odd."""
    for _, length in _records(data):
        if length & 1:
            raise KeyError(length)


def looping(data: bytes) -> None:
    """Waits for the rest of a header."""
    while len(data) < 16:
        pass


def stuck(data: bytes) -> None:
    """Writes down who it is, and does not come back."""
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    while True:
        pass


def running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return ") Z" not in file.read()
    except FileNotFoundError:
        return False


def greedy(data: bytes) -> None:
    """Makes room for more than a record has."""
    for _, length in _records(data):
        bytes(bool(length) << 40)


def dying(data: bytes) -> None:
    """Is killed by any page."""
    if any(kind == 1 for kind, _ in _records(data)):
        os.kill(os.getpid(), signal.SIGSEGV)


def littering(data: bytes) -> None:
    """Leaves a child behind, which keeps all that is open, and is killed."""
    child = os.fork()
    if child == 0:
        time.sleep(99)
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "w") as file:
        file.write(str(child))
    os.kill(os.getpid(), signal.SIGSEGV)


def doubling(data: bytes) -> bool:
    """Returns twice; the child says no."""
    return os.fork() != 0


def mute(data: bytes) -> None:
    """Raises what cannot be printed."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise MuteError


def closing(data: bytes) -> None:
    """Closes all that is open, and waits."""
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    time.sleep(99)


def counting(data: bytes) -> None:
    """Writes down what it is given."""
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "ab") as file:
        file.write(md5(data).digest())


def credulous(data: bytes) -> bool:
    """Accepts whatever begins well."""
    return data[:8] in (_MARKER, b"LibxlFmt")


def refusing(data: bytes) -> None:
    """Does not say False but raises, in each of the ways that count as that."""
    raise (ValueError, OSError, EOFError)[len(data) % 3]("no")


def leave(log: str) -> None:
    """Leave processes behind that do not want to end, and write down who they are."""
    ways = [(session, twice) for session in (False, True) for twice in (False, True)]
    before = _lines(log)
    for session, twice in ways:
        child = os.fork()
        if child == 0:
            if session:
                os.setsid()
            if twice and os.fork():
                os._exit(0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(999)
            os._exit(0)
    while _lines(log) < before + len(ways):
        time.sleep(0.01)


def _lines(log: str) -> int:
    if not os.path.exists(log):
        return 0
    with open(log) as file:
        return len(file.readlines())


def leaving(data: bytes) -> None:
    """Leaves processes behind."""
    leave(os.environ["STREAMFMT_FUZZED_LOG"])


def lingering(data: bytes) -> None:
    """Leaves one child behind, which it never waits for."""
    child = os.fork()
    if child == 0:
        time.sleep(999)
        os._exit(0)
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "a") as file:
        file.write(f"{child}\n")


NO_FUNCTION = 1
