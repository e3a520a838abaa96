"""A picture of a stream without time: which frames of the guest came at which offset, for the first time or again.

A grid of cells takes up all of both; when something lies outside, cells are put together in pairs.  So the picture
needs no look ahead, and always the same memory.
"""

from __future__ import annotations

from array import array

from .. import tables
from .frames import PAGE
from .pages import PAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Cells across, by offset in the stream, and up, by frame.
WIDTH, HEIGHT = 256, 128
_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK


class Picture:
    """The grid: pages in each cell that came for the `first` time, and `again`.

    A cell is 2 ** `across` bytes of the stream wide, and 2 ** `up` frames high; `size` is the stream's.
    """

    def __init__(self) -> None:
        self.first = array("Q", bytes(8 * WIDTH * HEIGHT))
        self.again = array("Q", bytes(8 * WIDTH * HEIGHT))
        self.across, self.up = 12, 0
        self.size = 0

    def add(self, entries: Sequence[int], place: int, again: Sequence[bool]) -> None:
        """Entries whose pages begin at `place`, and whether the frame of each had come before."""
        paged = [(entry & _PFN, old) for entry, old in zip(entries, again, strict=True) if PAGED[entry >> _TYPE]]
        if not paged:
            return
        while place + len(paged) * PAGE >> self.across >= WIDTH:
            self._halve_across()
        while max(paged)[0] >> self.up >= HEIGHT:
            self._halve_up()
        across, up, grids = self.across, self.up, (self.first, self.again)
        for pfn, old in paged:
            grids[old][(pfn >> up) * WIDTH + (place >> across)] += 1
            place += PAGE

    def ends(self, size: int) -> None:
        """The stream has so many bytes."""
        self.size = size
        while size - 1 >> self.across >= WIDTH:
            self._halve_across()

    def _halve_across(self) -> None:
        self.across += 1
        for grid in (self.first, self.again):
            for start in range(0, len(grid), WIDTH):
                row = grid[start : start + WIDTH]
                pairs = [one + other for one, other in zip(row[::2], row[1::2], strict=True)]
                grid[start : start + WIDTH] = array("Q", pairs + [0] * (WIDTH // 2))

    def _halve_up(self) -> None:
        self.up += 1
        for grid in (self.first, self.again):
            rows = [grid[start : start + WIDTH] for start in range(0, len(grid), WIDTH)]
            pairs = [
                array("Q", [one + other for one, other in zip(low, high, strict=True)])
                for low, high in zip(rows[::2], rows[1::2], strict=True)
            ]
            for number in range(HEIGHT):
                half = pairs[number] if number < len(pairs) else array("Q", bytes(8 * WIDTH))
                grid[number * WIDTH : (number + 1) * WIDTH] = half

    def cells(self) -> list[tuple[int, int, int, int]]:
        """Cells that have pages: across, up, pages for the first time, and again."""
        pairs = enumerate(zip(self.first, self.again, strict=True))
        return [(place % WIDTH, place // WIDTH, one, more) for place, (one, more) in pairs if one or more]

    def as_dict(self) -> dict[str, Any]:
        """The picture as plain values."""
        return {"bytes": 1 << self.across, "frames": 1 << self.up, "cells": [list(cell) for cell in self.cells()]}
