"""Drivers: bytes from a seekable file, a pipe, or a decompressor into the window of a reader.

What a layer skips is not read where that can be helped: a file's offset moves on, a pipe is spliced to nowhere.
:func:`source_for` says what a descriptor needs.
"""

from __future__ import annotations

import os
import stat

from ..reader.identify import COMPRESSED, COMPRESSED_HEAD
from ..reader.registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias

    from ..errors import UnreadableError
    from ..reader.pump import Window
    from ..reader.reader import Reader

    # Reads some bytes of what a source has, from an offset in it on; 0 at its end.
    Reread: TypeAlias = Callable[[memoryview, int], int]

    class Driven(Protocol):
        """What bytes are driven into: a pump, or what runs one.  `run` returns 0 when it wants none (for now)."""

        @property
        def window(self) -> Window: ...
        def run(self) -> int: ...
        def skip(self, count: int) -> None: ...


_PAGE = 4096
# What is read first after a long skip: the headers and entries of a full batch, wherever they lie in a page.
NEAR = 3 * _PAGE
# Skips of at least this are worth a change of offset; less is cheaper to read along.
SEEK = 64 << 10
_PIPE_SIZE = 1 << 20


class Source:
    """Where bytes come from.  `size` is their number where it is known beforehand.

    With `exact` none is read that is not needed.
    """

    size: int | None = None
    exact = False

    def fill(self, window: Window, want: int) -> bool:
        """Append at least one byte to the window, `want` are needed.  False at the end of the stream."""
        room = window.room()
        got = self.read_into(room[:want] if self.exact else room)
        window.hi += got
        return got > 0

    def skip(self, window: Window, count: int) -> int:
        """Let up to `count` bytes go by, the window being empty; how many did, 0 at the end of the stream."""
        room = window.room()
        return self.read_into(room[:count] if count < len(room) else room)

    def read_into(self, room: memoryview) -> int:
        """Read some bytes into `room`; 0 at the end of the stream."""
        raise NotImplementedError

    def look(self, at: int, count: int) -> bytes:
        """The bytes from offset `at` of the stream on, though it is not their turn; fewer where there are no more.

        None where that is not possible.
        """
        return b""

    def place(self) -> tuple[int, int | None]:
        """The descriptor whose next bytes are those to come, -1 if there is none, and their offset in it.

        The offset is None where they come from where the descriptor stands.
        """
        return -1, None

    def passed(self, count: int) -> None:
        """`count` bytes have been taken from the :meth:`place`."""

    def reread(self) -> Reread | None:
        """What reads at any place, whatever has been read; None where that cannot be had."""
        return None

    def close(self) -> None:
        """Let go of what the source opened."""


class FileSource(Source):
    """A regular file, or a block device, from its descriptor's current offset on."""

    def __init__(self, fd: int, exact: bool = False) -> None:
        self._fd = fd
        self.exact = exact
        self.start = self._offset = os.lseek(fd, 0, os.SEEK_CUR)
        self._end = max(os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_END))
        os.lseek(fd, self.start, os.SEEK_SET)
        self.size = max(self._end - self.start, 0)
        self._ahead = 1 << 30
        self._random = False

    def fill(self, window: Window, want: int) -> bool:
        room = window.room()
        if self.exact:
            length = want
        else:
            # After a long skip little is read: the next skip is probably near.  Reading on without one doubles
            # that each time.
            length = self._ahead - self._offset % _PAGE
            while length < want:
                length += _PAGE
            self._ahead = min(self._ahead * 2, 1 << 30)
        got = os.preadv(self._fd, [room[:length]], self._offset)
        self._offset += got
        window.hi += got
        return got > 0

    def skip(self, window: Window, count: int) -> int:
        # The size may have changed since: what is gone is gone, and what is new may be read.
        if self._offset + count > self._end:
            self._end = max(os.fstat(self._fd).st_size, self._end)
        count = min(count, max(self._end - self._offset, 0))
        if count >= SEEK:
            self._ahead = NEAR
            if not self._random:
                self._random = True
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)
        self._offset += count
        return count

    def read_into(self, room: memoryview) -> int:
        got = os.preadv(self._fd, [room], self._offset)
        self._offset += got
        return got

    def look(self, at: int, count: int) -> bytes:
        try:
            return os.pread(self._fd, count, self.start + at)
        except OSError:
            return b""  # reading on meets it too, and says so

    def place(self) -> tuple[int, int | None]:
        return self._fd, self._offset

    def passed(self, count: int) -> None:
        self._ahead = NEAR
        self._offset += count

    def reread(self) -> Reread | None:
        fd, start = self._fd, self.start

        def read(room: memoryview, at: int) -> int:
            if self._random:  # what is read now may lie in a row
                self._random = False
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_NORMAL)
            return os.preadv(fd, [room], start + at)

        return read

    def close(self) -> None:
        """Leave a shared descriptor as it was, or with `exact` after the last byte that was used."""
        if self._random:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_NORMAL)
        if self.exact:
            os.lseek(self._fd, self._offset, os.SEEK_SET)


class PipeSource(Source):
    """A pipe, socket or terminal."""

    def __init__(self, fd: int, exact: bool = False) -> None:
        self._fd = fd
        self.exact = exact
        self._nowhere = -1
        if stat.S_ISFIFO(os.fstat(fd).st_mode) and hasattr(os, "splice"):
            self._nowhere = os.open(os.devnull, os.O_WRONLY)
            widen(fd)

    def read_into(self, room: memoryview) -> int:
        return read(self._fd, room)

    def skip(self, window: Window, count: int) -> int:
        if self._nowhere < 0 or count < _PAGE:
            return super().skip(window, count)
        try:
            return os.splice(self._fd, self._nowhere, min(count, 1 << 30))
        except BlockingIOError:
            return super().skip(window, count)

    def place(self) -> tuple[int, int | None]:
        return self._fd, None

    def close(self) -> None:
        if self._nowhere >= 0:
            os.close(self._nowhere)


def read(fd: int, room: memoryview) -> int:
    """Read what is there, at least a byte, into `room`, and wait for it; 0 at the end of the stream."""
    while True:
        try:
            return os.readv(fd, [room])
        except BlockingIOError:
            wait(fd, writing=False)


def wait(fd: int, writing: bool) -> None:
    """Until a non-blocking descriptor is ready, or has an error to report."""
    from select import POLLIN, POLLOUT, poll  # few descriptors are non-blocking

    waiting = poll()
    waiting.register(fd, POLLOUT if writing else POLLIN)
    waiting.poll()


def widen(fd: int) -> None:
    """Let the pipe hold more: fewer, larger reads."""
    import fcntl

    try:
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < _PIPE_SIZE:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    except OSError:
        pass  # an unprivileged user may have used up the allowance; smaller pipes work as well


def reason(error: OSError) -> str:
    """What went wrong, in the system's words."""
    return error.strerror or str(error)


def unreadable(error: OSError) -> UnreadableError:
    """The error for an input that the system does not give, for that reason."""
    from ..errors import UnreadableError  # a score of exceptions takes a tenth of a small stream's time to make

    return UnreadableError(reason(error))


def source_for(fd: int, reader: Reader) -> Source:
    """The source for a descriptor; the first bytes of a pipe may be in the reader's window already."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(21, "it is a directory")
    if stat.S_ISREG(kind) or stat.S_ISBLK(kind):
        key = "" if reader.exact else compressed(os.pread(fd, COMPRESSED_HEAD, os.lseek(fd, 0, os.SEEK_CUR)))
        return opened(key, lambda size: os.read(fd, size), reader.window) if key else FileSource(fd, reader.exact)
    if reader.exact:
        return PipeSource(fd, exact=True)
    return source_of(lambda room: read(fd, room), reader, lambda: PipeSource(fd))


def source_of(read_into: Callable[[memoryview], int], reader: Reader, plain: Callable[[], Source]) -> Source:
    """What opens the bytes that `read_into` gives if they are compressed, else `plain`'s.

    The first ones show it; they are in the reader's window then.
    """
    window = reader.window
    while window.hi < COMPRESSED_HEAD and (got := read_into(window.room())):
        window.hi += got
    key = compressed(bytes(window.buf[: min(window.hi, COMPRESSED_HEAD)]))
    if not key:
        return plain()
    pending = [bytes(window.buf[: window.hi])]
    window.hi = 0

    def read(size: int) -> bytes:
        if pending:
            return pending.pop()
        room = bytearray(size)
        return bytes(room[: read_into(memoryview(room))])

    return opened(key, read, window)


def compressed(head: bytes) -> str:
    """What bytes that begin like this are compressed with, "" if they are not."""
    if skippable_frame(head):
        return "zstd"
    return next((key for data, key in COMPRESSED.items() if head.startswith(data)), "")


def skippable_frame(head: bytes) -> bool:
    """Whether a frame of zstd that holds no data begins so: with one of 16 bytes and the rest of its magic."""
    return head.startswith(b"\x2a\x4d\x18", 1) and head[0] >> 4 == 5


def opened(key: str, read: Callable[[int], bytes], window: Window) -> Source:
    """What comes out of decompressing what `read` gives, for that window."""
    found: Source = load("io.compressed:CompressedSource")(key, read, window)  # few inputs are
    return found


def drive(pump: Driven, source: Source, progress: Callable[[int], None] | None = None) -> None:
    """Run the pump's program on all that the source has, or until it wants no more.

    Raises UnreadableError, DamagedError, and what the program's consumer raises.
    """
    window = pump.window
    window.look = source.look
    while True:
        want = pump.run()
        if not want:
            return
        try:
            if want > 0:
                window.eof = not source.fill(window, want)
            else:
                gone = source.skip(window, -want)
                if gone:
                    pump.skip(gone)
                window.eof = not gone
        except OSError as error:
            raise unreadable(error) from error
        if progress is not None:
            progress(window.position)
