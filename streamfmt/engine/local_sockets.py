"""Unix sockets: to connect to one in time, to listen at one, and to leave none behind."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import LinkError
from .waiting import Waiter

_AGAIN = 0.005  # seconds until the next attempt to connect
_BACKLOG = 128
_PRIVATE = "streamfmt-sockets."


def connected(path: str, what: str, patience: float, waiter: Waiter) -> socket.socket:
    """A socket that is connected to a path, and does not block.

    Some daemons let one client wait for that, and no more: the others have to come again.

    :param what: who should be there, for the error.
    :raises LinkError: nobody is, or too many others want to talk to it for `patience` seconds.
    """
    made = socket.socket(socket.AF_UNIX)
    deadline = waiter.clock() + patience
    try:
        made.setblocking(False)
        while True:
            try:
                made.connect(path)
                return made
            except BlockingIOError as error:
                if waiter.clock() >= deadline:
                    raise LinkError(f"no {what} at {path}: {error.strerror}") from None
            except OSError as error:
                raise LinkError(f"no {what} at {path}: {error.strerror or error}") from None
            waiter.sleep(waiter.clock() + _AGAIN)
    except BaseException:
        made.close()
        raise


def listening(path: str) -> socket.socket:
    """A socket that listens at a path, and does not block.

    :raises LinkError: the path is in use, or cannot be had.
    """
    made = socket.socket(socket.AF_UNIX)
    try:
        made.setblocking(False)
        made.bind(path)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise LinkError(f"cannot listen at {path}: {error.strerror or error}") from None
    return made


def remove(path: str) -> None:
    """Remove the path of a socket that nobody listens at any more; no error if somebody else was faster.

    With the last of them goes the folder that was made for them.
    """
    with suppress(OSError):
        os.unlink(path)
    folder = os.path.dirname(path)
    if os.path.basename(folder).startswith(_PRIVATE):
        with suppress(OSError):
            os.rmdir(folder)


@contextmanager
def private_folder() -> Iterator[str]:
    """A folder for sockets, which others cannot look into.

    It is gone afterwards, and also if we are killed: with the last process that removes a socket of it.
    """
    folder = tempfile.mkdtemp(prefix=_PRIVATE)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
