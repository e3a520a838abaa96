"""Bytes put by in a file without a name, until it shows what becomes of them; and inputs that can be read only once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UnreadableError, UnwritableError
from .outputs import Output, to_descriptor
from .sources import read, reason

_PIECE = 256 << 10


class Spool(Output):
    """An output that can be read again, and is gone when nothing refers to it.  Everything raises OSError."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            fd = os.dup(file.fileno())
        super().__init__(to_descriptor(fd), fd)

    def __del__(self) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            os.close(fd)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return os.fstat(self.fd).st_size + self.pending

    def pieces(self) -> Iterator[memoryview]:
        """All of them; each piece is there until the next is asked for."""
        self.flush()
        room = memoryview(bytearray(_PIECE))
        at = 0
        while count := os.preadv(self.fd, [room], at):
            yield room[:count]
            at += count

    def clear(self) -> None:
        """Forget them."""
        self.abort()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)


@contextmanager
def kept(fd: int) -> Iterator[int]:
    """A descriptor of a file, in the folder for temporary ones, that has all that `fd` had.

    Raises UnreadableError and UnwritableError.
    """
    room = memoryview(bytearray(_PIECE))
    try:
        spool = Spool()
    except OSError as error:
        raise UnwritableError(f"a temporary file: {reason(error)}") from error
    while count := _read(fd, room):
        try:
            spool.write([room[:count]])
        except OSError as error:
            raise UnwritableError(f"{tempfile.gettempdir()}: {reason(error)}") from error
    spool.flush()
    os.lseek(spool.fd, 0, os.SEEK_SET)
    yield spool.fd


def _read(fd: int, room: memoryview) -> int:
    try:
        return read(fd, room)
    except OSError as error:
        raise UnreadableError(reason(error)) from error
