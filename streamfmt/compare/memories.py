"""Memories compared: which frames there are in either, of what types, and whether they have the same pages.

Two extents that have the same frames are read in pieces that stay in the processor's caches, and compared whole; pages
are looked at one by one only in a piece that differs.
"""

from __future__ import annotations

from array import array

from ..memory.frames import BROKEN, PAGE, PLACE, TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..memory.contents import Contents
    from ..memory.frames import Extent, Frames
    from .side import Side

# Pages that are compared together.
_PAGES = 64
_PIECE = _PAGES * PAGE
_ZEROS = bytes(_PIECE)
_KIND = TYPE | BROKEN
# Kinds of differences, in the order in which they are listed.
CHANGED, ADDED, GONE, RETYPED = KINDS = ("changed", "added", "gone", "retyped")


class Ranges:
    """Frames of one kind, in order: `count` of them, in ranges of which the first are kept."""

    __slots__ = ("_due", "_kept", "_most", "count", "ranges")

    def __init__(self, most: int) -> None:
        self.count = self.ranges = 0
        self._most = most
        # First frame, and the one after the last, of each.
        self._kept = array("Q")
        self._due = -1

    def add(self, first: int, count: int) -> None:
        """Frames that come after those before."""
        self.count += count
        if first == self._due:
            if self.ranges <= self._most:
                self._kept[-1] += count
        else:
            self.ranges += 1
            if self.ranges <= self._most:
                self._kept.extend((first, first + count))
        self._due = first + count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """First frame and number of those in each range that is kept."""
        for at in range(0, len(self._kept), 2):
            yield self._kept[at], self._kept[at + 1] - self._kept[at]

    def as_dict(self) -> dict[str, Any]:
        """The ranges as plain values."""
        rows = [[first, count] for first, count in self]
        return {"frames": self.count, "ranges": rows, "more": self.ranges - len(rows)}


class Memories:
    """What differs in memory: :class:`Ranges` by kind; and how many frames `both` have."""

    def __init__(self, most: int) -> None:
        self.kinds = {kind: Ranges(most) for kind in KINDS}
        self.both = 0
        self.looked = True

    @property
    def alike(self) -> bool:
        """Whether nothing differs."""
        return not any(ranges.count for ranges in self.kinds.values())

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, as in spec/json/diff.json."""
        found: dict[str, Any] = {kind: ranges.as_dict() for kind, ranges in self.kinds.items()}
        return {"both": self.both, "contents": self.looked} | found


def compare(
    a: Side, b: Side, most: int, looking: bool = True, progress: Callable[[int], None] | None = None
) -> Memories:
    """Compare two memories.

    :param most: ranges of each kind that are kept.
    :param looking: look at the contents of pages, too.
    :param progress: is given the bytes of memory that have been compared.
    :raises StreamError: contents cannot be read any more.
    """
    found = Memories(most)
    found.looked = looking
    kinds = found.kinds
    pages = _Pages(a.contents, b.contents, kinds[CHANGED])
    for first, count, one, other in shared(a.frames, b.frames):
        if not one:
            kinds[ADDED].add(first, count)
            continue
        if not other:
            kinds[GONE].add(first, count)
            continue
        found.both += count
        if (one ^ other) & _KIND:
            kinds[RETYPED].add(first, count)
        if looking:
            pages.compare(first, count, one, other)
        if progress is not None:
            progress(found.both * PAGE)
    return found


def shared(a: Frames, b: Frames) -> Iterator[tuple[int, int, int, int]]:
    """The frames of both in order, in rows: first, number, and value of the first in either, 0 where there is none."""
    left, right = _Extents(a), _Extents(b)
    while left.count or right.count:
        if not right.count or (left.count and left.first < right.first):
            count = min(left.count, right.first - left.first) if right.count else left.count
            yield left.first, count, left.value, 0
            left.pass_by(count)
        elif not left.count or right.first < left.first:
            count = min(right.count, left.first - right.first) if left.count else right.count
            yield right.first, count, 0, right.value
            right.pass_by(count)
        else:
            count = min(left.count, right.count)
            yield left.first, count, left.value, right.value
            left.pass_by(count)
            right.pass_by(count)


class _Extents:
    """The extents of one side: the frames that are left of the one that is next, none after the last."""

    __slots__ = ("_rows", "count", "first", "value")

    def __init__(self, frames: Frames) -> None:
        self._rows: Iterator[Extent] = frames.extents()
        self.first, self.count, self.value = next(self._rows, (0, 0, 0))

    def pass_by(self, count: int) -> None:
        if count == self.count:
            self.first, self.count, self.value = next(self._rows, (0, 0, 0))
            return
        self.first += count
        self.count -= count
        if self.value >> PLACE:
            self.value += count * PAGE << PLACE


class _Pages:
    """Compares pages, and adds those that differ to `changed`."""

    def __init__(self, a: Contents, b: Contents, changed: Ranges) -> None:
        self._sides = a, b
        self._rooms = bytearray(_PIECE), bytearray(_PIECE)
        self._views = memoryview(self._rooms[0]), memoryview(self._rooms[1])
        self._changed = changed

    def compare(self, first: int, count: int, one: int, other: int) -> None:
        """Frames whose pages lie in a row on either side, or that are zero there, beginning at these values."""
        placed = bool(one >> PLACE), bool(other >> PLACE)
        if not any(placed):
            return
        (a, b), (left, right) = self._sides, self._rooms
        while count:
            some = min(count, _PAGES)
            size = some * PAGE
            if placed[0]:
                a.read(self._views[0][:size], one)
                one += size << PLACE
            else:
                left[:size] = _ZEROS[:size]
            if placed[1]:
                b.read(self._views[1][:size], other)
                other += size << PLACE
            else:
                right[:size] = _ZEROS[:size]
            # What is compared whole is compared without a copy.
            if left != right if some == _PAGES else left[:size] != right[:size]:
                for at in range(0, size, PAGE):
                    if left[at : at + PAGE] != right[at : at + PAGE]:
                        self._changed.add(first + at // PAGE, 1)
            first += some
            count -= some
