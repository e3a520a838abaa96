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
    from collections.abc import Iterator
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
# Values that are looked at one by one before it is taken for a long row.
_FEW = 16
# Leaves that are made whatever comes, which are 4 MiB; and entries of a stream for each more.  Where half of the frames
# are there, the index has 16 bytes for each, and never more.
_LEAVES, _ENTRIES = 1024, LEAF // 2


class Frames:
    """The index.  `entries` counts the stream's page entries, of frames there and not, which bounds the leaves.

    `at` is where the latest of them lie in the stream, and `round` in which round of a migration with channels.
    """

    __slots__ = ("_before", "_changed", "_keeping", "_leaves", "_whole", "at", "entries", "round")

    def __init__(self) -> None:
        # By number: what a leaf has; or, of one whose frames and contents lie in a row, only the first frame's value.
        self._leaves: dict[int, array[int]] = {}
        self._whole: dict[int, int] = {}
        self.entries = self.at = self.round = 0
        # Frames that have changed since the last checkpoint, and what their values were.
        self._keeping = False
        self._changed, self._before = array("Q"), array("Q")

    # -- as a stream comes -----------------------------------------------------------------------------------------

    def value(self, pfn: int) -> int:
        """A frame's value, 0 if nothing is known of it."""
        leaf = self._leaves.get(pfn >> _SHIFT)
        if leaf is not None:
            return leaf[pfn & LEAF - 1]
        first = self._whole.get(pfn >> _SHIFT)
        return first + (pfn & LEAF - 1) * _NEXT if first is not None else 0

    def put(self, pfn: int, value: int) -> None:
        """A frame's value is this now.  Raises LimitError."""
        leaf = self._leaves.get(pfn >> _SHIFT)
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
            leaf = self._leaves.get(key)
            if leaf is None and some == LEAF and step == _NEXT and not self._keeping:
                if key not in self._whole:
                    self._grow()
                self._whole[key] = value
            else:
                if leaf is None:
                    leaf = self._leaf(key)
                if self._keeping:
                    self._changed.extend(range(pfn, pfn + some))
                    self._before.extend(leaf[slot : slot + some])
                leaf[slot : slot + some] = _row(value, step, some)
            pfn += some
            count -= some
            value += some * step

    def put_leaf(self, key: int, values: array[int]) -> None:
        """A leaf has these values, of all its frames."""
        self._whole.pop(key, None)
        self._leaves[key] = values

    def _leaf(self, key: int) -> array[int]:
        """A leaf in full that was not: whole, or not there."""
        first = self._whole.pop(key, None)
        if first is None:
            self._grow()
        leaf = self._leaves[key] = array("Q", bytes(8 * LEAF)) if first is None else _row(first, _NEXT, LEAF)
        return leaf

    def _grow(self) -> None:
        """There is to be one leaf more."""
        most = _LEAVES + self.entries // _ENTRIES
        if len(self) >= most:
            what = f"areas of 2 MiB of guest, named by {self.entries:,} page entries"
            raise LimitError(self.at, what, most + 1, most)

    def __len__(self) -> int:
        """How many leaves there are."""
        return len(self._leaves) + len(self._whole)

    def clear(self) -> None:
        """There are no frames, as before any came."""
        self._leaves.clear()
        self._whole.clear()

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
            self._leaves[pfn >> _SHIFT][pfn & LEAF - 1] = value
        del self._changed[:], self._before[:]

    # -- what it is then -------------------------------------------------------------------------------------------

    def values(self) -> Iterator[tuple[int, array[int]]]:
        """The values of each leaf, with its first frame, in order."""
        for key in self._keys():
            first = self._whole.get(key)
            yield key << _SHIFT, self._leaves[key] if first is None else _row(first, _NEXT, LEAF)

    def _keys(self) -> list[int]:
        return sorted((*self._leaves, *self._whole))

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
        for key in self._keys():
            pfn, first = key << _SHIFT, self._whole.get(key)
            if first is not None:
                yield pfn, LEAF, first
                continue
            leaf, slot = self._leaves[key], 0
            while slot < LEAF:
                value = leaf[slot]
                if value & HERE:
                    length = _length(leaf, slot)
                    yield pfn + slot, length, value
                    slot += length
                else:
                    slot += 1

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


def _length(leaf: array[int], slot: int) -> int:
    """How many values there are in a row from a slot on."""
    first = leaf[slot]
    step = _NEXT if first >> PLACE else 0
    count, most = 1, LEAF - slot
    while count < most and leaf[slot + count] == first + count * step:
        count += 1
        if count == _FEW:
            # Of a long row more and more are compared at once, until they differ.
            some = min(count, most - count)
            while some and leaf[slot + count : slot + count + some] == _row(first + count * step, step, some):
                count += some
                some = min(count, most - count)
    return count
