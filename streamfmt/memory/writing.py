"""A guest's memory on its way into a file.  What is zero becomes holes, whether the stream has such pages or leaves
them out.
"""

from __future__ import annotations

import os
import stat
from array import array
from itertools import islice

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
    from .shapes import Ranges

    # Value of the first page, and how many follow one another.
    Part: TypeAlias = tuple[int, int]

# Bytes of memory that are looked at together: they stay in the processor's caches until they are written.
_PIECE = 1 << 20
_PAGES = _PIECE // PAGE
_ZEROS = bytes(_PIECE)


# Ranges that are kept when they have been found; of more, each is found whenever it is its turn.
_RANGES = 4096


class Written:
    """What was written: `size` of the file, `pages` of memory in `ranges`, and how many of these pages are `zero`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pages = self.ranges = self.zero = 0


def write(
    kind: str,
    frames: Frames,
    contents: Contents,
    out: Output,
    notes: bytes = b"",
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the memory as a file of that kind.  Raises LimitError, UnwritableError, and what reading raises."""
    ranges = _found(frames)
    head, places, size = shape(kind, ranges, notes)
    file = _File(out)
    done = Written(size)
    file.begin(head)
    view = _room()
    for at, parts in _pieces(frames, zip(ranges(), places, strict=True), file, done):
        filled = 0
        for value, count in parts:
            contents.read(view[filled * PAGE : (filled + count) * PAGE], value)
            filled += count
        done.zero += filled
        for start, stop in _filled(view, filled):
            file.put(at + start * PAGE, view[start * PAGE : stop * PAGE])
            done.zero -= stop - start
        if progress is not None:
            progress(done.pages * PAGE)
    file.end(size)
    return done


def _found(frames: Frames) -> Ranges:
    """The ranges of the memory."""
    few = list(islice(frames.ranges(), _RANGES + 1))
    return few.__iter__ if len(few) <= _RANGES else frames.ranges


def _pieces(
    frames: Frames, places: Iterator[tuple[tuple[int, int], tuple[int, bytes]]], file: _File, done: Written
) -> Iterator[tuple[int, list[Part]]]:
    """Memory in pieces that go to one place: where, and their parts.  Frames without contents are in none."""
    start = at = left = held = 0
    parts: list[Part] = []
    for _, length, first in frames.extents():
        count, value = length, first
        if parts and (not left or not value >> PLACE):
            yield start, parts
            parts, held = [], 0
        if not left:
            (_, left), (at, before) = next(places)
            done.ranges += 1
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


def _room() -> memoryview:
    """Room for a piece that begins where a page of memory does: the system writes from there in three quarters of the
    time.
    """
    room = array("B", bytes(_PIECE + PAGE))
    start = -room.buffer_info()[0] % PAGE
    return memoryview(room)[start : start + _PIECE]


def _filled(view: memoryview, count: int) -> Iterator[tuple[int, int]]:
    """Pages that are not zero, as rows: first, and the one after the last."""
    zero, start = _ZEROS[:PAGE], 0
    # Most pages show by their first byte that they are not.
    firsts = view[: count * PAGE : PAGE].tobytes()
    page = firsts.find(0)
    if not page and not any(firsts) and view[: count * PAGE].tobytes() == _ZEROS[: count * PAGE]:
        return
    while page >= 0:
        if view[page * PAGE : (page + 1) * PAGE].tobytes() == zero:
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
