"""A guest's memory on its way into a file.  What is zero becomes holes, whether the stream has such pages or leaves
them out.
"""

from __future__ import annotations

import os
import stat

from ..errors import UnwritableError
from ..io.sources import reason
from .frames import PAGE, PLACE
from .shapes import shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from ..io.outputs import Output
    from .contents import Contents
    from .frames import Frames

    # Value of the first page, and how many follow one another.
    Part: TypeAlias = tuple[int, int]

# Bytes of memory that are looked at together: they stay in the processor's caches until they are written.
_PIECE = 256 << 10
_PAGES = _PIECE // PAGE
_ZEROS = bytes(_PIECE)


class Written:
    """What was written: `size` of the file, `pages` of memory, and how many of these are `zero`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pages = self.zero = 0


def write(
    kind: str,
    frames: Frames,
    contents: Contents,
    out: Output,
    notes: bytes = b"",
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the memory as a file of that kind.  Raises LimitError, UnwritableError, and what reading raises."""
    head, places, size = shape(kind, frames.ranges, notes)
    file = _File(out)
    done = Written(size)
    file.begin(head)
    room = bytearray(_PIECE)
    view = memoryview(room)
    for at, parts in _pieces(frames, places, file, done):
        filled = 0
        for value, count in parts:
            contents.read(view[filled * PAGE : (filled + count) * PAGE], value)
            filled += count
        done.zero += filled
        for start, stop in _filled(room, filled):
            file.put(at + start * PAGE, view[start * PAGE : stop * PAGE])
            done.zero -= stop - start
        if progress is not None:
            progress(done.pages * PAGE)
    file.end(size)
    return done


def _pieces(
    frames: Frames, places: Iterator[tuple[int, bytes]], file: _File, done: Written
) -> Iterator[tuple[int, list[Part]]]:
    """Memory in pieces that go to one place: where, and their parts.  Frames without contents are in none."""
    ranges = frames.ranges()
    start = at = left = held = 0
    parts: list[Part] = []
    for _, length, first in frames.extents():
        count, value = length, first
        if parts and (not left or not value >> PLACE):
            yield start, parts
            parts, held = [], 0
        if not left:
            _, left = next(ranges)
            at, before = next(places)
            file.put(at - len(before), before)
        left -= count
        done.pages += count
        if not value >> PLACE:
            done.zero += count
            at += count * PAGE
            continue
        while count:
            some = min(count, _PAGES - held)
            start = start if parts else at
            parts.append((value, some))
            held += some
            at += some * PAGE
            value += some * PAGE << PLACE
            count -= some
            if held == _PAGES:
                yield start, parts
                parts, held = [], 0
    if parts:
        yield start, parts


def _filled(room: bytearray, count: int) -> Iterator[tuple[int, int]]:
    """Pages that are not zero, as rows: first, and the one after the last."""
    zero, start = _ZEROS[:PAGE], 0
    # Most pages show by their first byte that they are not.
    firsts = room[: count * PAGE : PAGE]
    page = firsts.find(0)
    while page >= 0:
        if room.startswith(zero, page * PAGE):
            if start < page:
                yield start, page
            start = page + 1
        page = firsts.find(0, page + 1)
    if start < count:
        yield start, count


class _File:
    """An output that is written to from its beginning to its end, with holes where it can have them."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.hollow = out.atomic and stat.S_ISREG(os.fstat(out.fd).st_mode)
        self._at = 0

    def begin(self, pieces: Iterator[bytes]) -> None:
        """What stands at the beginning.  Raises UnwritableError."""
        some = bytearray()
        for piece in pieces:
            some += piece
            if len(some) >= _PIECE:
                self.put(self._at, bytes(some))
                some.clear()
        self.put(self._at, bytes(some))

    def put(self, at: int, data: bytes | memoryview) -> None:
        """Bytes at an offset, which is not before what was put before.  Raises UnwritableError."""
        if not data:
            return
        try:
            if self.hollow:
                done = 0
                while done < len(data):
                    done += os.pwrite(self._out.fd, data[done:] if done else data, at + done)
            else:
                self._zeros(at)
                self._out.write([data])
                self._out.flush()
        except OSError as error:
            raise UnwritableError(reason(error)) from error
        self._at = at + len(data)

    def end(self, size: int) -> None:
        """The file has so many bytes.  Raises UnwritableError."""
        try:
            if self.hollow:
                os.ftruncate(self._out.fd, size)
            else:
                self._zeros(size)
                self._out.flush()
        except OSError as error:
            raise UnwritableError(reason(error)) from error

    def _zeros(self, upto: int) -> None:
        while self._at < upto:
            some = min(upto - self._at, len(_ZEROS))
            self._out.write([_ZEROS[:some] if some < len(_ZEROS) else _ZEROS])
            self._at += some
