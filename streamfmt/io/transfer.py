"""Copying on the way: a source that passes every byte on before the reader sees it.

What a layer skips does not come into this process where the kernel moves it from one descriptor to the other;
where it will not, it is read and written.  Descriptors may be non-blocking.
"""

from __future__ import annotations

import os
import stat

from ..errors import UnreadableError, UnwritableError
from ..reader.pump import CAPACITY
from .sources import NEAR, Source, read, reason, wait, widen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..reader.pump import Window

    # Descriptors to move from and to, how many bytes, and from which offset where that is not the descriptor's own.
    Way = Callable[..., int]

# What the kernel moves at once, so that a signal or a look at the progress need not wait long.
_STEP = 16 << 20


class CopyingSource(Source):
    """What comes from descriptor `fd`, on its way to `out`.  `copied` counts the bytes that have been written.

    Reading and writing raise UnreadableError and UnwritableError, and OSError never.
    """

    def __init__(self, fd: int, out: int) -> None:
        self._fd = fd
        self._out = out
        self.copied = 0
        self.ended = False
        self._mover: Mover | None = None
        self._ahead = NEAR
        self._failure: UnwritableError | None = None

    def open(self) -> None:
        """Look at both descriptors: what they are decides how to copy."""
        try:
            kind = os.fstat(self._fd)
            if stat.S_ISREG(kind.st_mode):
                self.size = max(kind.st_size - os.lseek(self._fd, 0, os.SEEK_CUR), 0)
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        try:
            target = os.fstat(self._out)
        except OSError as error:
            raise UnwritableError(reason(error)) from error
        self._mover = Mover(kind.st_mode, target.st_mode)
        for fd, mode in ((self._fd, kind.st_mode), (self._out, target.st_mode)):
            if stat.S_ISFIFO(mode):
                widen(fd)

    def fill(self, window: Window, want: int) -> bool:
        # After a skip little is read, since the next skip is probably near; reading on without one doubles that.
        got = self.read_into(window.room()[: self._ahead])
        self._ahead = min(self._ahead * 2, CAPACITY)
        window.hi += got
        return got > 0

    def skip(self, window: Window, count: int) -> int:
        if count >= NEAR:
            self._ahead = NEAR
            moved = self._move(count)
            if moved:
                return moved
        return super().skip(window, count)

    def read_into(self, room: memoryview) -> int:
        """Read what is there, at least a byte, and write it before anybody looks at it.

        What cannot be written may be looked at all the same, since a reader that has gone may have gone for a fault
        in it; the failure is raised when more is asked for.
        """
        if self._failure:
            raise self._failure
        try:
            got = read(self._fd, room)
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        self.ended = not got
        data = room[:got]
        try:
            while data:
                written = write(self._out, data)
                self.copied += written
                data = data[written:]
        except UnwritableError as error:
            self._failure = error
        return got

    def rest(self, room: memoryview, progress: Callable[[int], None] | None = None) -> None:
        """Copy all that is left, by way of `room` where it must be."""
        while not self.ended:
            if not self._move(_STEP):
                self.read_into(room)
            if progress is not None:
                progress(self.copied)

    def _move(self, count: int) -> int:
        """Let the kernel move up to `count` bytes; 0 if it does not, for whatever reason."""
        if self._failure or self._mover is None:
            return 0
        moved = self._mover.move(self._fd, self._out, count)
        self.copied += moved
        return moved


class Mover:
    """Has the kernel move bytes between files of the modes `source` and `target`, where it will."""

    def __init__(self, source: int, target: int) -> None:
        self._ways = _ways(source, target)

    def move(self, fd: int, out: int, count: int, offset: int | None = None) -> int:
        """Move up to `count` bytes from `fd`, from `offset` on or else where it stands, to `out`.

        Returns how many; 0 where that does not work, for whatever reason, at the end of the input too.
        """
        place = () if offset is None else (offset,)
        while self._ways:
            try:
                moved = self._ways[0](fd, out, min(count, _STEP), *place)
            except BlockingIOError:
                return 0  # one side is not ready, and only reading and writing show which
            except OSError:
                moved = 0  # refused; or a real error, which reading and writing will meet as well
            if moved:
                return moved
            # 0 need not be the end: some file systems return it for what they can only read.
            del self._ways[0]
        return 0


def write(fd: int, data: memoryview) -> int:
    """Write some bytes, at least one; how many.  Raises UnwritableError."""
    while True:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            wait(fd, writing=True)
        except OSError as error:
            raise UnwritableError(reason(error)) from error


def _ways(source: int, target: int) -> list[Way]:
    """Ways to move bytes between files of these modes without reading them, the best one first."""
    found: list[Way] = []
    if not hasattr(os, "splice"):
        return found  # not Linux
    if stat.S_ISREG(source) and stat.S_ISREG(target) and hasattr(os, "copy_file_range"):
        found.append(os.copy_file_range)
    if stat.S_ISFIFO(source) or stat.S_ISFIFO(target):
        found.append(os.splice)
    if stat.S_ISREG(source) or stat.S_ISBLK(source):
        found.append(lambda fd, out, count, offset=None: os.sendfile(out, fd, offset, count))
    return found
