"""Inputs that can only be read once, kept in a file without a name for as long as they are needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UnreadableError, UnwritableError
from ..io.sources import read, reason

_PIECE = 256 << 10


@contextmanager
def kept(fd: int) -> Iterator[int]:
    """A descriptor of a file, in the folder for temporary ones, that has all that `fd` had.

    Raises UnreadableError and UnwritableError.
    """
    room = memoryview(bytearray(_PIECE))
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below; only opening it is an error of its own
    except OSError as error:
        raise UnwritableError(f"a temporary file: {reason(error)}") from error
    with file:
        while count := _read(fd, room):
            view = room[:count]
            while view:
                try:
                    view = view[file.write(view) :]
                except OSError as error:
                    raise UnwritableError(f"{tempfile.gettempdir()}: {reason(error)}") from error
        file.seek(0)
        yield file.fileno()


def _read(fd: int, room: memoryview) -> int:
    try:
        return read(fd, room)
    except OSError as error:
        raise UnreadableError(reason(error)) from error
