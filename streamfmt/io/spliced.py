"""A file as it is with some of its bytes exchanged: to read, and to write to another.

Nothing is copied to read it.  A new file shares what is the same with the old one where the file system can do that.
"""

from __future__ import annotations

import os
from _bisect import bisect_right  # bisect would be a module more to find

from ..errors import UnreadableError, UnwritableError
from .sources import reason
from .spans import Span
from .transfer import Mover, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Bytes of the file from one offset to another, and what is in their place.
    Splice = tuple[int, int, bytes]

# ioctl() to have a file share all of another's blocks (linux/fs.h).
_FICLONE = 0x40049409
_BUFFER = 1 << 20


class Spliced(Span):
    """The file of descriptor `fd`, `size` bytes long, with `splices`, in the order of their offsets and apart."""

    def __init__(self, fd: int, size: int, splices: Sequence[Splice]) -> None:
        self._fd = fd
        self._splices = splices
        # Where each piece begins, what it is if it is new, and where it lies in the file if it is not.
        self._starts: list[int] = []
        self._pieces: list[tuple[bytes | None, int, int]] = []
        self.size: int = 0
        at = 0
        for start, stop, data in splices:
            self._add(None, at, start - at)
            self._add(data, 0, len(data))
            at = stop
        self._add(None, at, size - at)

    def _add(self, data: bytes | None, at: int, length: int) -> None:
        if length > 0:
            self._starts.append(self.size)
            self._pieces.append((data, at, length))
            self.size += length

    # -- to read --------------------------------------------------------------------------------------------------

    def read_into(self, room: memoryview, at: int) -> int:
        if at >= self.size:
            return 0
        number = bisect_right(self._starts, at) - 1
        data, place, length = self._pieces[number]
        into = at - self._starts[number]
        room = room[: length - into]
        if data is None:
            return os.preadv(self._fd, [room], place + into)
        room[:] = data[into : into + len(room)]
        return len(room)

    def look(self, at: int, count: int) -> bytes:
        if at >= self.size:
            return b""
        number = bisect_right(self._starts, at) - 1
        data, place, length = self._pieces[number]
        into = at - self._starts[number]
        if data is not None or into + count > length:
            return self.read(at, count)  # it lies in several pieces, or in a new one
        try:
            return os.pread(self._fd, count, place + into)
        except OSError:
            return b""  # reading on meets it too, and says so

    def reach(self, at: int) -> int:
        return min(at, self.size)

    # -- to write -------------------------------------------------------------------------------------------------

    def write(self, out: int, progress: Callable[[int], None] | None = None) -> None:
        """All of it to `out`, a new file.  Raises UnreadableError and UnwritableError."""
        if all(stop - start == len(data) for start, stop, data in self._splices) and _clone(self._fd, out):
            for start, _, new in self._splices:
                overwrite(out, start, new)
            return
        mover = Mover(os.fstat(self._fd).st_mode, os.fstat(out).st_mode)
        done = 0
        for data, at, length in self._pieces:
            if data is not None:
                append(out, memoryview(data))
                done += length
                continue
            end = done + length
            while done < end:
                place, left = at + length - (end - done), end - done
                done += mover.move(self._fd, out, left, place) or carried(self._fd, out, place, left)
                if progress is not None:
                    progress(done)


def carried(fd: int, out: int, at: int, count: int) -> int:
    """Write some bytes of a file, at least one, from `at` on to the end of `out` by way of memory; how many."""
    try:
        data = os.pread(fd, min(count, _BUFFER), at)
    except OSError as error:
        raise UnreadableError(reason(error)) from error
    if not data:
        raise UnreadableError("it has become shorter")
    append(out, memoryview(data))
    return len(data)


def _clone(fd: int, out: int) -> bool:
    """Have `out` share all blocks of `fd`; whether that is possible."""
    import fcntl

    try:
        fcntl.ioctl(out, _FICLONE, fd)
    except OSError:
        return False
    return True


def append(out: int, data: memoryview) -> None:
    """Write all of it, where `out` stands."""
    while data:
        data = data[write(out, data) :]


def overwrite(fd: int, at: int, data: bytes) -> None:
    """Bytes of a file, in one call where the system takes them at once.  Raises UnwritableError."""
    view = memoryview(data)
    try:
        while view:
            count = os.pwrite(fd, view, at)
            view, at = view[count:], at + count
    except OSError as error:
        raise UnwritableError(reason(error)) from error
