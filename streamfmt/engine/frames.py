"""Sets of frames, as whole numbers: bit n says that frame n is in the set.

Union, difference and size of such sets are single operations of the interpreter on any amount of memory, and their
bytes are the bitmaps of Xen, KVM and QEMU: little-endian, the lowest bit first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

NONE = 0


def run(first: int, count: int) -> int:
    """The set of `count` frames from `first` on."""
    return ((1 << count) - 1) << first


def of(frames: Iterable[int], pages: int) -> int:
    """The set of these frames, in any order, all below `pages`.

    :raises IndexError: one is not.
    """
    bitmap = bytearray((pages + 7) // 8)
    for frame in frames:
        bitmap[frame >> 3] |= 1 << (frame & 7)
    return int.from_bytes(bitmap, "little")


def from_bitmap(bitmap: bytes | bytearray | memoryview) -> int:
    """The set that a bitmap stands for."""
    return int.from_bytes(bitmap, "little")


def to_bitmap(frames: int, pages: int) -> bytes:
    """The bitmap of a set, in whole words of 64 frames, as Xen's and KVM's are.

    :raises OverflowError: a frame is not below `pages`, rounded up to such a word.
    """
    return frames.to_bytes((pages + 63) // 64 * 8, "little")


def runs(frames: int) -> Iterator[tuple[int, int]]:
    """First frame and count of each run of frames in a row, as long as they are, ascending."""
    first = count = 0
    for at, more in _pieces(frames):
        if at == first + count:
            count += more
        else:
            if count:
                yield first, count
            first, count = at, more
    if count:
        yield first, count


# Frames of a set that are looked at together: to shift all of a large set for each run would take its size squared.
_BLOCK = 4096
_EMPTY = bytes(_BLOCK // 8)


def _pieces(frames: int) -> Iterator[tuple[int, int]]:
    """The runs of a set, cut where blocks end."""
    bitmap = frames.to_bytes((frames.bit_length() + 7) // 8, "little")
    for at in range(0, len(bitmap), len(_EMPTY)):
        block = bitmap[at : at + len(_EMPTY)]
        if block == _EMPTY:
            continue
        left, first = int.from_bytes(block, "little"), at * 8
        while left:
            skipped = _lowest(left)
            count = _lowest(~(left >> skipped))
            yield first + skipped, count
            left >>= skipped + count
            first += skipped + count


def _lowest(frames: int) -> int:
    return (frames & -frames).bit_length() - 1


class Cut:
    """A set that is taken apart from its lowest frame on, as many frames at a time as are asked for."""

    def __init__(self, frames: int) -> None:
        self._bitmap = frames.to_bytes((frames.bit_length() + 7) // 8, "little")
        # The frame with which the first block that is not taken as a whole begins, and what is left of it.
        self._at = 0
        self._left = self._block()

    def take(self, count: int) -> int:
        """The next `count` frames, at least 1; fewer only at the end, and none after it."""
        while not self._left and self._next():
            pass
        first, room, blocks = self._at, count, list[int]()
        while room:
            found = self._left.bit_count()
            if found > room:
                taken = _least(self._left, room)
                blocks.append(taken)
                self._left ^= taken
                break
            blocks.append(self._left)
            room -= found
            self._left = NONE
            if not self._next():
                break
        pieces = (block.to_bytes(len(_EMPTY), "little") for block in blocks)
        return int.from_bytes(b"".join(pieces), "little") << first

    def rest(self) -> int:
        """All that is left."""
        after = int.from_bytes(self._bitmap[self._at // 8 + len(_EMPTY) :], "little") << _BLOCK
        return (self._left | after) << self._at

    def _next(self) -> bool:
        """Go to the next block; whether there is one."""
        if self._at // 8 + len(_EMPTY) >= len(self._bitmap):
            return False
        self._at += _BLOCK
        self._left = self._block()
        return True

    def _block(self) -> int:
        start = self._at // 8
        return int.from_bytes(self._bitmap[start : start + len(_EMPTY)], "little")


def _least(frames: int, count: int) -> int:
    """The `count` lowest frames of a set that has as many: all below the place at which there are so many."""
    low, high = count, frames.bit_length()
    while low < high:
        middle = (low + high) // 2
        if (frames & (1 << middle) - 1).bit_count() < count:
            low = middle + 1
        else:
            high = middle
    return frames & (1 << low) - 1
