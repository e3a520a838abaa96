"""Where a model PV guest has what: its kernel's pages are the last of its memory, its workload has all before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from ... import tables
from ...errors import GuestError

# Entries of a page table, and of a page of the list of frames; tables of level 1 that a guest has at most.
ENTRIES = tables.PAGE_SIZE // 8
_TABLES_MAX = 8


def _pages(entries: int) -> int:
    return -(-entries // ENTRIES)


@dataclass(frozen=True, slots=True)
class Layout:
    """The frames that a kernel has for itself, from `start` on to the last of `pages`."""

    pages: int
    start: int
    store: int
    console: int
    gdt: int
    level_4: int
    level_3: int
    level_2: int
    level_1: tuple[int, ...]
    top: int
    lists: tuple[int, ...]
    leaves: tuple[int, ...]

    @classmethod
    def of(cls, pages: int) -> Self:
        """The layout of a guest of so many pages.

        :raises GuestError: they are too few, or more than the tree of lists reaches.
        """
        leaves = _pages(pages)
        lists = _pages(leaves)
        level_1 = min(leaves, _TABLES_MAX)
        first = pages - (8 + level_1 + lists + leaves)
        if first <= ENTRIES // 8:
            raise GuestError(f"a PV guest needs more pages than {pages}: its kernel alone has {pages - first}")
        if lists > ENTRIES:
            raise GuestError(f"a PV guest of {pages} pages has more than its tree of lists reaches")
        start, store, console, gdt, level_4, level_3, level_2 = range(first, first + 7)
        top = first + 7 + level_1
        tables_1 = tuple(range(first + 7, top))
        middle = tuple(range(top + 1, top + 1 + lists))
        lowest = tuple(range(top + 1 + lists, pages))
        return cls(pages, start, store, console, gdt, level_4, level_3, level_2, tables_1, top, middle, lowest)

    def types(self) -> Iterator[tuple[int, str]]:
        """Its page tables, and the names of their types: the top one is pinned, the others are held by it."""
        yield self.level_4, "L4TAB_PINNED"
        yield self.level_3, "L3TAB"
        yield self.level_2, "L2TAB"
        yield from ((frame, "L1TAB") for frame in self.level_1)
