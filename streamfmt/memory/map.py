"""A map of a guest's memory: rows of cells, each of as many frames; rows in a hole are left out."""

from __future__ import annotations

from .. import tables
from .frames import BROKEN, HERE, TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .frames import Frames

# Cells in a row, and rows that there are at most.
CELLS, ROWS_MAX = 64, 24
_TABLE = bytes(low for low in range(256) if low & HERE and low & TYPE in tables.PAGE_TYPES_TABLE)
_HERE = bytes(low for low in range(256) if low & HERE)
_BROKEN = bytes(low for low in range(256) if low & BROKEN)


class Cell:
    """Frames of a cell: those there, those of them that are page tables, and those that are broken."""

    __slots__ = ("broken", "here", "tables")

    def __init__(self) -> None:
        self.here = self.tables = self.broken = 0


class Map:
    """The map: `frames` of each cell, and `rows` by their number, each of :data:`CELLS` cells, empty or not."""

    def __init__(self, frames: Frames, flags: Iterable[tuple[int, bytes]]) -> None:
        shift = 6
        while _rows(frames, shift) > ROWS_MAX:
            shift += 1
        self.frames = 1 << shift - 6
        self.rows: dict[int, list[Cell | None]] = {}
        for pfn, lows in flags:
            step = min(self.frames, len(lows))
            for at in range(0, len(lows), step):
                self._add(pfn + at, lows[at : at + step])

    def _add(self, pfn: int, lows: bytes) -> None:
        here, broken = (len(lows) - len(lows.translate(None, of)) for of in (_HERE, _BROKEN))
        if not (here or broken):
            return
        number, place = divmod(pfn // self.frames, CELLS)
        row = self.rows.setdefault(number, [None] * CELLS)
        cell = row[place] = row[place] or Cell()
        cell.here += here
        cell.broken += broken
        cell.tables += len(lows) - len(lows.translate(None, _TABLE))


def _rows(frames: Frames, shift: int) -> int:
    """Rows of so many frames, as a power of two, that have any."""
    count, before = 0, -1
    for first, length in frames.ranges():
        start, last = first >> shift, first + length - 1 >> shift
        count += last - start + (start != before)
        before = last
    return count
