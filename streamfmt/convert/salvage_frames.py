"""What a salvaged image knows of each guest frame: never seen, whole, doubtful, or only as it was before.

A byte for each frame, in blocks, so that frames may be far apart.  A stream that names more frames than any guest has
is not followed: what is beyond the limit is counted only.
"""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHOLE, DOUBTFUL, OLDER = 1, 2, 3
_BLOCK = 1 << 12
# Blocks for a guest of 256 GiB, wherever its frames are: 64 MiB.
_BLOCKS_MAX = 1 << 14


class Frames:
    """`highest` is the highest frame seen, -1 without any; `untracked` counts what was named beyond the limit."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}
        self.highest = -1
        self.untracked = 0

    def _note(self, frame: int, state: int) -> None:
        block = self._blocks.get(frame // _BLOCK)
        if block is None:
            if len(self._blocks) >= _BLOCKS_MAX:
                self.untracked += 1
                return
            block = self._blocks[frame // _BLOCK] = bytearray(_BLOCK)
        at = frame % _BLOCK
        if state == DOUBTFUL and block[at] in (WHOLE, OLDER):
            state = OLDER
        block[at] = state
        self.highest = max(self.highest, frame)

    def whole(self, entries: Iterable[int]) -> None:
        """Frames whose pages came whole, by their page entries."""
        for entry in entries:
            self._note(entry & tables.ENTRY_PFN_MASK, WHOLE)

    def doubtful(self, entries: Iterable[int]) -> None:
        """Frames whose pages are in a record that was damaged."""
        for entry in entries:
            self._note(entry & tables.ENTRY_PFN_MASK, DOUBTFUL)

    def ranges(self, state: int) -> Iterator[tuple[int, int]]:
        """Runs (first, last) of frames in that state up to the highest; 0 is those never seen."""
        first, at = -1, 0
        wanted = bytes([state])
        for number in sorted(self._blocks):
            base = number * _BLOCK
            if base > at and state and first >= 0:
                yield first, at - 1
                first = -1
            elif base > at and not state and first < 0:
                first = at
            at, stop = base, min(base + _BLOCK, self.highest + 1)
            block = self._blocks[number][: stop - base]
            while at < stop:
                if first < 0:
                    place = block.find(wanted, at - base)
                    at = stop if place < 0 else base + place
                    first = at if place >= 0 else -1
                else:
                    rest = block[at - base :].lstrip(wanted)
                    at = stop - len(rest)
                    if rest:
                        yield first, at - 1
                        first = -1
        if first >= 0:
            yield first, at - 1
