"""Bytes that can be read at any place, or at least at ascending ones: a file, a part of one, pieces with holes between.

A backup is opened by wrapping one in another.  :class:`SpanSource` is a source for readers over any of them, so an
image inside a backup is read like one that is a file of its own.
"""

from __future__ import annotations

import os
from _bisect import bisect_right  # bisect would be a module more to find

from ..errors import DamagedError, UnopenedError
from ..reader.pump import Window
from .sources import NEAR, SEEK, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .sources import Reread

# So many bytes of holes in a row are read as zeros, then an image ends: a backup of a few bytes may claim exabytes.
HOLE_MAX = 4 << 30
_ALL = 1 << 30
_SCRATCH = 64 << 10


class Span:
    """Bytes from 0 to `size`, which is None where only reading shows it."""

    size: int | None = None
    # Bytes that were read from holes since the last that were not.
    hollow = 0
    # Whether it can be read at any place, whatever has been read.
    anywhere = False

    def read_into(self, room: memoryview, at: int) -> int:
        """Read some of the bytes from `at` on, at least one into `room`; 0 at the end."""
        raise NotImplementedError

    def look(self, at: int, count: int) -> bytes:
        """Bytes from `at` on, in whatever order they are asked for; none where that is not possible."""
        return b""

    def reach(self, at: int) -> int:
        """How far there are bytes, up to `at`; they may be passed over for that."""
        raise NotImplementedError

    def place(self, at: int) -> int:
        """Where the byte `at` lies in the input, decompressed; -1 if it lies in a hole."""
        raise NotImplementedError

    def read(self, at: int, count: int) -> bytes:
        """The bytes from `at` on: `count`, or as many as there are."""
        found = bytearray(count)
        room, got = memoryview(found), 0
        while got < count and (more := self.read_into(room[got:], at + got)):
            got += more
        return bytes(room[:got])


class FileSpan(Span):
    """A regular file or block device, from `start` on."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd = fd
        self._start = start
        self.size: int = size
        self.anywhere = True

    def read_into(self, room: memoryview, at: int) -> int:
        return os.preadv(self._fd, [room], self._start + at)

    def reach(self, at: int) -> int:
        return min(at, self.size)

    def place(self, at: int) -> int:
        return at


class StreamSpan(Span):
    """What a source has, and before that `held`; it cannot go back."""

    def __init__(self, source: Source, held: bytes = b"") -> None:
        self._source = source
        self._held = memoryview(held)
        self._at = 0
        self._scratch = Window(_SCRATCH)
        self._error: DamagedError | None = None

    def read_into(self, room: memoryview, at: int) -> int:
        if self.reach(at) < at:
            return 0
        if self._held:
            got = min(len(room), len(self._held))
            room[:got] = self._held[:got]
            self._held = self._held[got:]
        else:
            got = self._advance(lambda: self._source.read_into(room))
        self._at += got
        return got

    def _advance(self, act: Callable[[], int]) -> int:
        """Read or skip: what is damaged stays so, whatever a decompressor makes of a second attempt."""
        if self._error is not None:
            raise self._error
        try:
            return act()
        except DamagedError as error:
            self._error = error
            raise

    def reach(self, at: int) -> int:
        if at < self._at:
            raise UnopenedError(
                f"what is needed next lies at {at}, and the input has been read to {self._at}: "
                "save it to a file that is not compressed, which can be read in any order"
            )
        held = min(at - self._at, len(self._held))
        self._held = self._held[held:]
        self._at += held
        while self._at < at and (gone := self._advance(lambda: self._source.skip(self._scratch, at - self._at))):
            self._at += gone
        return self._at

    def place(self, at: int) -> int:
        return at


class Headed(Span):
    """A span of which the beginning is in memory, so that it can be read again."""

    def __init__(self, base: Span, head: bytes) -> None:
        self._base = base
        self.head = head
        self.size = base.size
        self.anywhere = base.anywhere
        self.place = base.place  # type: ignore[method-assign] # nothing is between

    def read_into(self, room: memoryview, at: int) -> int:
        if at >= len(self.head):
            got = self._base.read_into(room, at)
            self.hollow = self._base.hollow
            return got
        got = min(len(room), len(self.head) - at)
        room[:got] = self.head[at : at + got]
        return got

    def reach(self, at: int) -> int:
        return at if at <= len(self.head) else self._base.reach(at)


class Part(Span):
    """`size` bytes of another span from `start` on."""

    def __init__(self, base: Span, start: int, size: int) -> None:
        self._base = base
        self.start = start
        self.size: int = size
        self.anywhere = base.anywhere

    def read_into(self, room: memoryview, at: int) -> int:
        left = self.size - at
        got = self._base.read_into(room[:left], self.start + at) if left > 0 else 0
        self.hollow = self._base.hollow
        return got

    def reach(self, at: int) -> int:
        return max(self._base.reach(self.start + min(at, self.size)) - self.start, 0)

    def place(self, at: int) -> int:
        return self._base.place(self.start + at)


class Pieces(Span):
    """Pieces of another span in a new order, with holes between; subclasses may find them as they are wanted.

    `size` is known once all pieces are.
    """

    def __init__(self, base: Span) -> None:
        from array import array  # it loads the abstract containers, and most inputs have no pieces

        self.base = base
        self.anywhere = base.anywhere
        self.end = 0
        # Where each piece begins, where it ends, and where it lies in the base: 24 bytes a piece.
        self._starts, self._ends, self._places = array("Q"), array("Q"), array("Q")

    def add(self, start: int, length: int, place: int) -> None:
        """The next piece; they come in order."""
        if length:
            self._starts.append(start)
            self._ends.append(start + length)
            self._places.append(place)
        self.end = start + length

    def more(self) -> bool:
        """Find another piece; False if there is none."""
        return False

    def _covers(self, at: int) -> bool:
        """Whether there is a byte at `at`, of a piece or of a hole."""
        while at >= self.end and self.size is None and self.more():
            pass
        return at < (self.end if self.size is None else self.size)

    def read_into(self, room: memoryview, at: int) -> int:
        if not self._covers(at):
            return 0
        index = bisect_right(self._starts, at) - 1
        if index >= 0 and at < self._ends[index]:
            self.hollow = 0
            return self.piece(room[: self._ends[index] - at], at - self._starts[index], self._places[index])
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self.size or self.end
        return self.zeros(room[: end - at])

    def piece(self, room: memoryview, at: int, place: int) -> int:
        """Read from the byte `at` of the piece on that lies at `place`."""
        return self.base.read_into(room, place + at)

    def zeros(self, room: memoryview) -> int:
        """Read from a hole."""
        room[:] = bytes(len(room))
        self.hollow += len(room)
        return len(room)

    def reach(self, at: int) -> int:
        if at and not self._covers(at - 1):
            at = self.end if self.size is None else self.size
        # Of the piece that is there, as much as the base has.
        index = bisect_right(self._starts, at - 1) - 1 if at else -1
        if index < 0 or at > self._ends[index]:
            return at
        place = self._places[index]
        return self._starts[index] + self.base.reach(place + at - self._starts[index]) - place

    def place(self, at: int) -> int:
        if not self._covers(at):
            return -1
        index = bisect_right(self._starts, at) - 1
        inside = index >= 0 and at < self._ends[index]
        return self.base.place(self._places[index] + at - self._starts[index]) if inside else -1


def pieces_of(base: Span, pairs: Iterable[tuple[int, int]], place: int, size: int) -> Pieces:
    """Pieces (start, length) that lie in a row from `place` of the base on, in `size` bytes with holes."""
    found = Pieces(base)
    for start, length in pairs:
        found.add(start, length, place)
        place += length
    found.size = size
    return found


class SpanSource(Source):
    """A span from its beginning on, for a reader."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._at = 0
        self.size = span.size
        self._ahead = _ALL

    def fill(self, window: Window, want: int) -> bool:
        room = window.room()
        # As FileSource: after a long skip little is read, since the next one is probably near.
        got = self.read_into(room[: max(self._ahead, want)])
        self._ahead = min(self._ahead * 2, _ALL)
        window.hi += got
        return got > 0

    def skip(self, window: Window, count: int) -> int:
        gone = self._span.reach(self._at + count) - self._at
        if gone >= SEEK:
            self._ahead = NEAR
        self._at += gone
        return gone

    def reread(self) -> Reread | None:
        return self._span.read_into if self._span.anywhere else None

    def look(self, at: int, count: int) -> bytes:
        return self._span.look(at, count)

    def read_into(self, room: memoryview) -> int:
        if self._span.hollow > HOLE_MAX:
            return 0
        got = self._span.read_into(room, self._at)
        self._at += got
        return got
