"""A file as it is with some of its bytes exchanged: to read, and to write to another.

Nothing is copied to read it.  A new file shares what is the same with the old one where the file system can do that.
"""

from __future__ import annotations

import os
from bisect import bisect_right

from ..errors import UnreadableError, UnwritableError
from .sources import NEAR, SEEK, Source, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..reader.pump import Window

    # Bytes of the file from one offset to another, and what is in their place.
    Splice = tuple[int, int, bytes]

# ioctl() to have a file share all of another's blocks (linux/fs.h).
_FICLONE = 0x40049409
# What is copied at once, so that a signal or a look at the progress need not wait long.
_STEP = 16 << 20
_BUFFER = 1 << 20


class Spliced(Source):
    """The file of descriptor `fd`, `size` bytes long, with `splices`, in the order of their offsets and apart."""

    def __init__(self, fd: int, size: int, splices: Sequence[Splice]) -> None:
        self._fd = fd
        self._splices = splices
        # Where each piece begins, what it is if it is new, and where it lies in the file if it is not.
        self._starts: list[int] = []
        self._pieces: list[tuple[bytes | None, int, int]] = []
        at = self._total = 0
        for start, stop, data in splices:
            self._add(None, at, start - at)
            self._add(data, 0, len(data))
            at = stop
        self._add(None, at, size - at)
        self.size = self._total
        self._at = 0
        self._ahead = 1 << 30

    def _add(self, data: bytes | None, at: int, length: int) -> None:
        if length > 0:
            self._starts.append(self._total)
            self._pieces.append((data, at, length))
            self._total += length

    # -- to read --------------------------------------------------------------------------------------------------

    def fill(self, window: Window, want: int) -> bool:
        room = window.room()
        got = 0
        # As of a plain file: little after a skip, and more each time when there is none.
        length = max(self._ahead, want)
        self._ahead = min(self._ahead * 2, 1 << 30)
        while got < want and (some := self.read_into(room[got:length])):
            got += some
        window.hi += got
        return got > 0

    def read_into(self, room: memoryview) -> int:
        if self._at >= self._total:
            return 0
        number = bisect_right(self._starts, self._at) - 1
        data, at, length = self._pieces[number]
        into = self._at - self._starts[number]
        room = room[: length - into]
        if data is None:
            got = os.preadv(self._fd, [room], at + into)
        else:
            got = len(room)
            room[:] = data[into : into + got]
        self._at += got
        return got

    def skip(self, window: Window, count: int) -> int:
        count = min(count, self._total - self._at)
        if count >= SEEK:
            self._ahead = NEAR
        self._at += count
        return count

    # -- to write -------------------------------------------------------------------------------------------------

    def write(self, out: int, progress: Callable[[int], None] | None = None) -> None:
        """All of it to `out`, a new file.  Raises UnreadableError and UnwritableError."""
        if all(stop - start == len(data) for start, stop, data in self._splices) and _clone(self._fd, out):
            for start, _, new in self._splices:
                overwrite(out, start, new)
            return
        done = 0
        for data, at, length in self._pieces:
            if data is not None:
                _append(out, memoryview(data))
                done += length
                continue
            end = done + length
            while done < end:
                done += self._copy(out, at + length - (end - done), min(end - done, _STEP))
                if progress is not None:
                    progress(done)

    def _copy(self, out: int, at: int, count: int) -> int:
        """Some bytes of the file, at least one, to the end of `out`."""
        try:
            moved = os.copy_file_range(self._fd, out, count, at)
            if moved:
                return moved
        except (OSError, AttributeError):
            pass  # refused, or a real error, which reading and writing will meet as well
        try:
            data = os.pread(self._fd, min(count, _BUFFER), at)
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        if not data:
            raise UnreadableError("it has become shorter")
        _append(out, memoryview(data))
        return len(data)


def _clone(fd: int, out: int) -> bool:
    """Have `out` share all blocks of `fd`; whether that is possible."""
    import fcntl

    try:
        fcntl.ioctl(out, _FICLONE, fd)
    except OSError:
        return False
    return True


def _append(out: int, data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(out, data) :]
    except OSError as error:
        raise UnwritableError(reason(error)) from error


def overwrite(fd: int, at: int, data: bytes) -> None:
    """Bytes of a file, in one call where the system takes them at once.  Raises UnwritableError."""
    view = memoryview(data)
    try:
        while view:
            count = os.pwrite(fd, view, at)
            view, at = view[count:], at + count
    except OSError as error:
        raise UnwritableError(reason(error)) from error
