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


def batches(frames: int, most: int) -> Iterator[int]:
    """A set cut into sets of `most` frames, at least 1, ascending; the last may have fewer."""
    bitmap = frames.to_bytes((frames.bit_length() + 7) // 8, "little")
    first, room, blocks = 0, most, list[int]()
    for at in range(0, len(bitmap), len(_EMPTY)):
        left = int.from_bytes(bitmap[at : at + len(_EMPTY)], "little")
        if not blocks:
            first = at * 8
        while left.bit_count() >= room:
            taken = _least(left, room)
            yield _together([*blocks, taken]) << first
            left ^= taken
            first, room, blocks = at * 8, most, []
        if blocks or left:
            blocks.append(left)
            room -= left.bit_count()
    if any(blocks):
        yield _together(blocks) << first


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


def _together(blocks: list[int]) -> int:
    return int.from_bytes(b"".join(block.to_bytes(len(_EMPTY), "little") for block in blocks), "little")
