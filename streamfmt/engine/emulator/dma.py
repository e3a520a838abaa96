"""What the emulator writes: a ring of pages, one after another, each with the number of its turn.

From the number of writes in all it follows what each page must say: one that was lost says an earlier turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct

from ...codec.content import Buffer

PAGE_SIZE = 4096
_HEAD = Struct("<QQ")  # turn, frame
_TAIL = Struct("<Q")  # turn again: a page that is half of one turn shows
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Ring:
    """Pages that only the emulator writes, and how many writes there were, since the guest began."""

    first: int  # frame
    count: int  # of frames
    writes: int = 0

    def turn(self, index: int) -> int:
        """How often the page at an index was written."""
        return (self.writes + self.count - 1 - index) // self.count


def write(memory: memoryview, ring: Ring) -> tuple[Ring, int]:
    """Write the next page; returns the ring after that, and the page's frame."""
    index = ring.writes % ring.count
    after, frame = replace(ring, writes=ring.writes + 1), ring.first + index
    turn, at = after.turn(index), frame * PAGE_SIZE
    _HEAD.pack_into(memory, at, turn, frame)
    _TAIL.pack_into(memory, at + PAGE_SIZE - _TAIL.size, turn)
    return after, frame


def broken(memory: Buffer, ring: Ring) -> list[str]:
    """Which pages are not what they must be after so many writes, in words: the first ten of them."""
    found = []
    for index in range(min(ring.count, ring.writes)):
        frame, turn = ring.first + index, ring.turn(index)
        at = frame * PAGE_SIZE
        head = _HEAD.unpack_from(memory, at)
        (tail,) = _TAIL.unpack_from(memory, at + PAGE_SIZE - _TAIL.size)
        if (*head, tail) != (turn, frame, turn):
            said = f"turn {head[0]} of frame {head[1]:#x}, and turn {tail} at its end"
            found.append(f"frame {frame:#x}, which the emulator has written {turn} times, has {said}")
    more = len(found) - _SHOWN
    return found[:_SHOWN] + ([f"and {more} more of the emulator's"] if more > 0 else [])
