"""Descriptors of every kind to read a stream from and to write one to, whose other sides cut it as they like."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

INPUTS = ("file", "pipe", "socket")
OUTPUTS = ("file", "append", "pipe", "socket")
WAYS = [(source, target) for source in INPUTS for target in OUTPUTS]
_BEFORE = b"what was there before"


def _pieces(data: bytes, seed: int) -> Iterator[memoryview]:
    rng, view = Random(seed), memoryview(data)
    while view:
        count = rng.choice((1, 2, 7, 8, 24, 700, 4096, 4097, 20_000, 300_000))
        yield view[:count]
        view = view[count:]


def _sent(fd: int, data: bytes, seed: int) -> None:
    """Write the pieces and close; the other side may have gone."""
    try:
        for piece in _pieces(data, seed):
            rest = piece
            while rest:
                rest = rest[os.write(fd, rest) :]
    except OSError:
        pass
    finally:
        os.close(fd)


def _received(fd: int, seed: int) -> bytes:
    found, rng = bytearray(), Random(seed)
    while data := os.read(fd, rng.choice((1, 100, 5000, 100_000, 1 << 20))):
        found += data
    return bytes(found)


@contextmanager
def _alongside(work: Callable[[], None]) -> Iterator[None]:
    """Do some work in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _ends(kind: str) -> tuple[int, int]:
    """Where to read and where to write, of a pipe or a socket."""
    if kind == "pipe":
        return os.pipe()
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def _file(data: bytes) -> int:
    fd = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR)
    os.write(fd, data)
    return fd


@contextmanager
def giving(kind: str, data: bytes, seed: int) -> Iterator[int]:
    """A descriptor that gives these bytes; a file has others before them."""
    if kind == "file":
        fd = _file(_BEFORE + data)
        os.lseek(fd, len(_BEFORE), os.SEEK_SET)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    fd, into = _ends(kind)
    with _alongside(lambda: _sent(into, data, seed)):
        try:
            yield fd
        finally:
            os.close(fd)


@contextmanager
def taking(kind: str, seed: int) -> Iterator[tuple[int, list[bytes]]]:
    """A descriptor to write to, and a list that has what arrived, afterwards; a file has something already."""
    arrived: list[bytes] = []
    if kind in {"pipe", "socket"}:
        result, out = _ends(kind)
        with _alongside(lambda: arrived.append(_received(result, seed))):
            try:
                yield out, arrived
            finally:
                os.close(out)
        os.close(result)
        return
    result = _file(_BEFORE)
    # Opened again, since whether it appends belongs to the description.
    out = os.open(f"/proc/self/fd/{result}", os.O_WRONLY | (os.O_APPEND if kind == "append" else 0))
    os.lseek(out, 0, os.SEEK_END)
    try:
        yield out, arrived
    finally:
        os.close(out)
    os.lseek(result, 0, os.SEEK_SET)
    arrived.append(_received(result, seed).removeprefix(_BEFORE))
    os.close(result)
