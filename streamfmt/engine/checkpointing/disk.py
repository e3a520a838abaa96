"""A disk whose writes are part of the checkpoint in which they were made: at the standby they come with it, or never.

They go in libxl's tail as an optional record, which the specification lets readers pass over, and at which libxl fails:
the standby has to be ours.  Both images are equal when the protection begins; that is up to its caller, as with Xen's.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct

from ... import tables
from ...errors import GuestError, OversizeError, PeerError
from ...schema.checkpointing import DISK_MAGIC, DISK_TYPE

_RECORD = Struct("<" + tables.FORMATS["libxl.record_header"])
# Of a write: where it goes, and how many bytes follow.
_WRITE = Struct("<QQ")
_ALIGN = 8
# Bytes of one epoch's writes: what a standby holds at most besides memory.  And the largest image.
EPOCH_MAX, SIZE_MAX = 32 << 20, 1 << 40


class Disk:
    """A disk of a guest that is protected; a device.

    :param path: its image, which has the guest's writes at once.
    :raises GuestError: the image cannot be had.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _opened(path)
        self._writes: list[bytes] = []
        self._open = 0
        self._carried = b""

    @property
    def held(self) -> int:
        """Bytes of writes that the standby does not have."""
        return self._open + len(self._carried)

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return os.fstat(self._file).st_size

    def write(self, at: int, data: bytes) -> None:
        """The guest writes there.  Raises GuestError."""
        if len(self._carried) + self._open + len(data) + _WRITE.size > EPOCH_MAX:
            raise GuestError(
                f"the guest has written more than {EPOCH_MAX:,} bytes to its disk since the last checkpoint"
            )
        _put(self._file, self._path, at, data)
        self._writes.append(_WRITE.pack(at, len(data)) + data)
        self._open += _WRITE.size + len(data)

    def append(self, data: bytes) -> None:
        """The guest writes at its end.  Raises GuestError."""
        if data:
            self.write(self.size, data)

    def postsuspend(self) -> None:
        """Close the epoch."""
        self._carried += b"".join(self._writes)
        self._writes, self._open = [], 0

    def carried(self) -> bytes:
        """The record of what was written in it, empty if nothing was."""
        if not self._carried:
            return b""
        body = DISK_MAGIC + self._carried
        return _RECORD.pack(DISK_TYPE, len(body)) + body + bytes(-len(body) % _ALIGN)

    def preresume(self) -> None:
        """There is nothing to do."""

    def commit(self) -> None:
        """The standby has it."""
        self._carried = b""

    def release(self) -> None:
        """Nobody wants the writes any more."""
        self.drop()

    def drop(self) -> None:
        """Forget what the standby does not have; the image here is of no use any more, if it goes on there."""
        self._writes, self._open, self._carried = [], 0, b""

    def close(self) -> None:
        """Close the image; may come again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Replica:
    """The standby's copy of it: what a checkpoint has brought is written when that is taken up.

    :raises GuestError: the image cannot be had.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _opened(path)
        self._waiting: list[tuple[int, bytes]] = []

    def take(self, body: bytes) -> None:
        """What an optional record of a checkpoint has: writes, if it is one of ours.

        :raises PeerError: it is, but its writes cannot be.
        """
        if not body.startswith(DISK_MAGIC):
            return
        at = len(DISK_MAGIC)
        while at < len(body):
            if len(body) - at < _WRITE.size:
                raise PeerError("a record of writes to a disk ends inside of one")
            place, size = _WRITE.unpack_from(body, at)
            at += _WRITE.size
            if size > len(body) - at:
                raise PeerError("a record of writes to a disk ends inside of one")
            if place + size > SIZE_MAX:
                raise OversizeError(f"a write to a disk at {place:#x}; {SIZE_MAX:#x} is the end of the largest")
            self._waiting.append((place, body[at : at + size]))
            at += size

    def commit(self) -> None:
        """The checkpoint was taken up.  Raises GuestError."""
        waiting, self._waiting = self._waiting, []
        for at, data in waiting:
            _put(self._file, self._path, at, data)

    def drop(self) -> None:
        """It was not."""
        self._waiting = []

    def close(self) -> None:
        """Close the image; may come again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GuestError(f"the disk {path} cannot be had: {error.strerror}") from error


def _put(file: int, path: Path, at: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            count = os.pwrite(file, view, at)
            view, at = view[count:], at + count
    except OSError as error:
        raise GuestError(f"the disk {path} cannot be written: {error.strerror}") from error
