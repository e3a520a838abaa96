"""Where the content of each guest frame lies: eight bytes a frame, in leaves of 2 MiB of guest.

A stream names frames in any order, and may name any number.  Leaves are made for frames that come, so an index is as
long as what a stream sends; one that sends a frame here and there gets no more leaves than are in proportion.
"""

from __future__ import annotations

from array import array

from .. import tables
from ..errors import LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    # A first frame, how many follow one another, and the value of the first: that of the next has its place a page on,
    # or has none, like the first.
    Extent: TypeAlias = tuple[int, int, int]

PAGE = tables.PAGE_SIZE
# Frames of a leaf; x86's large pages have as many.
LEAF = 512
_SHIFT = 9
# What a value says: the frame's type, that it is there, that its content has been put by, that it was reported broken;
# and above these, where the content lies.  No content lies at 0, where all streams have headers: a frame that is there
# and has no place is zero.
TYPE, HERE, SPOOLED, BROKEN, PLACE = 0x0F, 0x10, 0x20, 0x40, 8
_NEXT = PAGE << PLACE
# Leaves that are made whatever comes, which are 4 MiB; and entries of a stream for each more.  Where half of the frames
# are there, the index has 16 bytes for each, and never more.
_LEAVES, _ENTRIES = 1024, LEAF // 2


class Frames:
    """The index.  `entries` counts the stream's page entries, of frames there and not, which bounds the leaves.

    `at` is where the latest of them lie in the stream.
    """

    __slots__ = ("_before", "_changed", "_keeping", "at", "entries", "leaves")

    def __init__(self) -> None:
        self.leaves: dict[int, array[int]] = {}
        self.entries = self.at = 0
        # Frames that have changed since the last checkpoint, and what their values were.
        self._keeping = False
        self._changed, self._before = array("Q"), array("Q")

    # -- as a stream comes -----------------------------------------------------------------------------------------

    def value(self, pfn: int) -> int:
        """A frame's value, 0 if nothing is known of it."""
        leaf = self.leaves.get(pfn >> _SHIFT)
        return leaf[pfn & LEAF - 1] if leaf is not None else 0

    def put(self, pfn: int, value: int) -> None:
        """A frame's value is this now.  Raises LimitError."""
        leaf = self.leaves.get(pfn >> _SHIFT)
        if leaf is None:
            leaf = self._leaf(pfn >> _SHIFT)
        if self._keeping:
            self._changed.append(pfn)
            self._before.append(leaf[pfn & LEAF - 1])
        leaf[pfn & LEAF - 1] = value

    def put_row(self, pfn: int, count: int, value: int, step: int) -> None:
        """The same of `count` frames in a row, each with its place `step` bytes on.  Raises LimitError."""
        step <<= PLACE
        while count:
            key, slot = pfn >> _SHIFT, pfn & LEAF - 1
            some = min(count, LEAF - slot)
            leaf = self.leaves.get(key)
            if leaf is None:
                leaf = self._leaf(key)
            if self._keeping:
                self._changed.extend(range(pfn, pfn + some))
                self._before.extend(leaf[slot : slot + some])
            leaf[slot : slot + some] = _row(value, step, some)
            pfn += some
            count -= some
            value += some * step

    def here(self, pfn: int, count: int) -> int:
        """How many of `count` frames from `pfn` on are there."""
        found = 0
        while count:
            slot = pfn & LEAF - 1
            some = min(count, LEAF - slot)
            leaf = self.leaves.get(pfn >> _SHIFT)
            if leaf is not None:
                found += sum(1 for value in leaf[slot : slot + some] if value & HERE)
            pfn += some
            count -= some
        return found

    def _leaf(self, key: int) -> array[int]:
        most = _LEAVES + self.entries // _ENTRIES
        if len(self.leaves) >= most:
            what = f"areas of 2 MiB of guest, named by {self.entries:,} page entries"
            raise LimitError(self.at, what, most + 1, most)
        leaf = self.leaves[key] = array("Q", bytes(8 * LEAF))
        return leaf

    @property
    def keeping(self) -> bool:
        """Whether what frames were is kept, since it may have to be undone what they are."""
        return self._keeping

    def replaced(self) -> tuple[set[int], set[int]]:
        """Values that frames had which have changed since the last checkpoint, and those that they have now."""
        return set(self._before), {self.value(pfn) for pfn in self._changed}

    def commit(self) -> None:
        """A checkpoint is whole: what comes after it may be undone."""
        self._keeping = True
        del self._changed[:], self._before[:]

    def roll_back(self) -> None:
        """Undo what came after the last whole checkpoint, if there is one."""
        for pfn, value in zip(reversed(self._changed), reversed(self._before), strict=True):
            self.leaves[pfn >> _SHIFT][pfn & LEAF - 1] = value
        del self._changed[:], self._before[:]

    # -- what it is then -------------------------------------------------------------------------------------------

    def values(self) -> Iterator[tuple[int, Sequence[int]]]:
        """The values of each leaf, with its first frame, in order."""
        for key in sorted(self.leaves):
            yield key << _SHIFT, self.leaves[key]

    def extents(self) -> Iterator[Extent]:
        """Frames that are there, in order, in rows as long as their contents lie in a row."""
        first = count = start = due = 0
        for pfn, length, value in self._rows():
            if count and pfn == first + count and value == due:
                count += length
            else:
                if count:
                    yield first, count, start
                first, count, start = pfn, length, value
            due = value + length * _NEXT if value >> PLACE else value
        if count:
            yield first, count, start

    def _rows(self) -> Iterator[Extent]:
        for pfn, leaf in self.values():
            value = leaf[0]
            step = _NEXT if value >> PLACE else 0
            if value & HERE and leaf[-1] == value + (LEAF - 1) * step and leaf == _row(value, step, LEAF):
                yield pfn, LEAF, value
                continue
            for slot, value in enumerate(leaf):
                if value & HERE:
                    yield pfn + slot, 1, value

    def ranges(self) -> Iterator[tuple[int, int]]:
        """First and number of the frames in each row of frames that are there."""
        first = count = 0
        for pfn, length, _ in self.extents():
            if count and pfn == first + count:
                count += length
            else:
                if count:
                    yield first, count
                first, count = pfn, length
        if count:
            yield first, count


def _row(value: int, step: int, count: int) -> array[int]:
    return array("Q", range(value, value + count * step, step)) if step else array("Q", [value]) * count
