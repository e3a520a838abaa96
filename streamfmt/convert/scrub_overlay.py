"""A file with bytes replaced by as many others: to read, and to write, where zeros become holes."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from heapq import merge

from ..errors import UnwritableError
from ..io.sources import reason
from ..io.spans import Span
from ..io.spliced import append, carried
from ..io.transfer import Mover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # From where to where, and what is there then; None is zeros.
    Row = tuple[int, int, bytes | None]


class Stretches:
    """Stretches in the order of their offsets, 16 bytes of memory each; those that touch become one."""

    def __init__(self) -> None:
        self._starts, self._stops = array("Q"), array("Q")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def add(self, start: int, stop: int) -> None:
        """The next stretch."""
        if self._stops and self._stops[-1] == start:
            self._stops[-1] = stop
        elif start < stop:
            self._starts.append(start)
            self._stops.append(stop)


class Units:
    """Records that may be dropped: from where to where each lies, and whether it has been `dropped`."""

    def __init__(self) -> None:
        self.starts, self.stops = array("Q"), array("Q")
        self.dropped = bytearray()

    def add(self, start: int, stop: int) -> None:
        """One more, after those before it."""
        self.starts.append(start)
        self.stops.append(stop)
        self.dropped.append(0)


class Overlay(Span):
    """The file of descriptor `fd`, `size` bytes long, with `rows`, in order and apart, in it."""

    def __init__(self, fd: int, size: int, rows: Sequence[Row]) -> None:
        self._fd = fd
        self.size: int = size
        self._rows = rows
        self._stops = [stop for _, stop, _ in rows]

    def read_into(self, room: memoryview, at: int) -> int:
        if at >= self.size:
            return 0
        got = os.preadv(self._fd, [room[: self.size - at]], at)
        end = at + got
        number = bisect_right(self._stops, at)
        while number < len(self._rows) and self._rows[number][0] < end:
            start, stop, data = self._rows[number]
            first, last = max(start, at), min(stop, end)
            room[first - at : last - at] = bytes(last - first) if data is None else data[first - start : last - start]
            number += 1
        return got

    def reach(self, at: int) -> int:
        return min(at, self.size)

    def write(self, out: int, zeros: Stretches, progress: Callable[[int], None] | None = None) -> None:
        """All of it to `out`, a new file, with those stretches as zeros too.

        Raises UnreadableError and UnwritableError.
        """
        mover = Mover(os.fstat(self._fd).st_mode, os.fstat(out).st_mode)
        at = 0
        nothing: Iterator[Row] = ((start, stop, None) for start, stop in zeros)
        for start, stop, data in merge(self._rows, nothing, key=lambda row: row[0]):
            self._copy(mover, out, at, start)
            if data is None:
                self._hole(out, stop)
            else:
                append(out, memoryview(data))
            at = stop
            if progress is not None:
                progress(at)
        self._copy(mover, out, at, self.size)
        self._hole(out, self.size)

    def _copy(self, mover: Mover, out: int, start: int, stop: int) -> None:
        while start < stop:
            start += mover.move(self._fd, out, stop - start, start) or carried(self._fd, out, start, stop - start)

    def _hole(self, out: int, stop: int) -> None:
        """Zeros as far as there."""
        try:
            os.lseek(out, stop, os.SEEK_SET)
            if os.fstat(out).st_size < stop:
                os.ftruncate(out, stop)
        except OSError as error:
            raise UnwritableError(reason(error)) from error
