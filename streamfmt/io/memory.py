"""Sources that are Python objects: bytes in memory, binary files, and what has arrived for somebody who waits."""

from __future__ import annotations

from ..errors import StarvedError
from .sources import SEEK, Source, source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ..reader.pump import Window
    from ..reader.reader import Reader
    from .sources import Reread

    class Readable(Protocol):
        """A binary file object, or anything that reads like one."""

        def read(self, size: int, /) -> bytes | None: ...


class MemorySource(Source):
    """Bytes in memory.  They are looked at, and not copied but into the window."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._all = self._left = memoryview(data).cast("B")
        self.size = len(self._left)

    def skip(self, window: Window, count: int) -> int:
        gone = min(count, len(self._left))
        self._left = self._left[gone:]
        return gone

    def read_into(self, room: memoryview) -> int:
        got = min(len(room), len(self._left))
        room[:got] = self._left[:got]
        self._left = self._left[got:]
        return got

    def reread(self) -> Reread | None:
        def read(room: memoryview, at: int) -> int:
            some = self._all[at : at + len(room)]
            room[: len(some)] = some
            return len(some)

        return read


class ObjectSource(Source):
    """A binary file object, from where it stands.  It is read by its own methods, whose buffers stay right."""

    def __init__(self, file: Readable, exact: bool = False) -> None:
        self._file: Any = file  # it may be able to seek
        self.exact = exact
        self._seekable = file.seekable() if hasattr(file, "seekable") else False
        # `read` of a buffered pipe or socket waits until it has all that it was asked for; what is there will do.
        self._read = file.read if self._seekable else getattr(file, "read1", file.read)

    def read_into(self, room: memoryview) -> int:
        data = self._read(len(room))
        if data is None:
            raise BlockingIOError(11, "the file object does not block, and has nothing yet")
        if isinstance(data, str):
            raise TypeError("the file object is open for text; open it in binary mode")
        if len(data) > len(room):
            raise OSError(f"the file object gave {len(data)} bytes, asked for {len(room)}")
        room[: len(data)] = data
        return len(data)

    def skip(self, window: Window, count: int) -> int:
        if not self._seekable or count < SEEK:
            return super().skip(window, count)
        # Files can be set to beyond their end: only a read shows whether the last byte is there.
        file = self._file
        start = file.tell()
        file.seek(start + count - 1)
        if file.read(1):
            return count
        left: int = file.seek(0, 2) - start
        return max(left, 0)


class Inlet(Source):
    """What has arrived so far of something that somebody else waits for: raises StarvedError beyond it."""

    def __init__(self, exact: bool = False) -> None:
        self._arrived = memoryview(b"")
        self.exact = exact
        self._ended = False

    def give(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes have arrived; none says that there are no more."""
        self._arrived = memoryview(data).cast("B")
        self._ended = not self._arrived

    def read_into(self, room: memoryview) -> int:
        if not self._arrived and not self._ended:
            raise StarvedError(len(room))
        got = min(len(room), len(self._arrived))
        room[:got] = self._arrived[:got]
        self._arrived = self._arrived[got:]
        return got


def from_object(source: Source, reader: Reader) -> Source:
    """The source for what `source` gives, compressed or not."""
    return source if reader.exact else source_of(source.read_into, reader, lambda: source)
