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


def _records(octets: bytes) -> Iterator[tuple[int, int]]:
    """Type and length of each record of a libxc image, as far as they go."""
    at = 40
    while octets.startswith(_MARKER) and at + 8 <= len(octets):
        kind, length = struct.unpack_from("<II", octets, at)
        yield kind, length
        at += 8 + (length + 7 & ~7)


def sound(octets: bytes) -> bool:
    """Never fails."""
    return octets[:8] == _MARKER


def crashing(octets: bytes) -> None:
    """Cannot stand a record whose length is odd."""
    for _, length in _records(octets):
        if length & 1:
            raise KeyError(length)


def looping(octets: bytes) -> None:
    """Waits for the rest of a header."""
    while len(octets) < 16:
        pass


def stuck(octets: bytes) -> None:
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


def greedy(octets: bytes) -> None:
    """Makes room for more than a record has."""
    for _, length in _records(octets):
        bytes(bool(length) << 40)


def dying(octets: bytes) -> None:
    """Is killed by any page."""
    if any(kind == 1 for kind, _ in _records(octets)):
        os.kill(os.getpid(), signal.SIGSEGV)


def littering(octets: bytes) -> None:
    """Leaves a child behind, which keeps all that is open, and is killed."""
    child = os.fork()
    if child == 0:
        time.sleep(99)
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "w") as file:
        file.write(str(child))
    os.kill(os.getpid(), signal.SIGSEGV)


def doubling(octets: bytes) -> bool:
    """Returns twice; the child says no."""
    return os.fork() != 0


def mute(octets: bytes) -> None:
    """Raises what cannot be told."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise MuteError


def closing(octets: bytes) -> None:
    """Closes all that is open, and waits."""
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    time.sleep(99)


def counting(octets: bytes) -> None:
    """Writes down what it is given."""
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "ab") as file:
        file.write(md5(octets).digest())


def credulous(octets: bytes) -> bool:
    """Accepts whatever begins well."""
    return octets[:8] in (_MARKER, b"LibxlFmt")


def refusing(octets: bytes) -> None:
    """Does not say False but raises, in each of the ways that count as that."""
    raise (ValueError, OSError, EOFError)[len(octets) % 3]("no")


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


def leaving(octets: bytes) -> None:
    """Leaves processes behind."""
    leave(os.environ["STREAMFMT_FUZZED_LOG"])


def lingering(octets: bytes) -> None:
    """Leaves one child behind, which it never waits for."""
    child = os.fork()
    if child == 0:
        time.sleep(999)
        os._exit(0)
    with open(os.environ["STREAMFMT_FUZZED_LOG"], "a") as file:
        file.write(f"{child}\n")


NO_FUNCTION = 1
