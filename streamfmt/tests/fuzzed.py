"""Readers with planted bugs, for `streamfmt fuzz` to find."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator
from hashlib import md5

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


def greedy(octets: bytes) -> None:
    """Makes room for more than a record has."""
    for _, length in _records(octets):
        bytes(bool(length) << 40)


def dying(octets: bytes) -> None:
    """Is killed by any page."""
    if any(kind == 1 for kind, _ in _records(octets)):
        os.kill(os.getpid(), signal.SIGSEGV)


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


NO_FUNCTION = 1
