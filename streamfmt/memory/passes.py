"""How memory is sent: pass after pass over the guest, with what came before again where the guest has changed it.

No stream says where a pass begins.  Savers send the frames of each in ascending order, so one begins where frames are
not above those before; and after a checkpoint, and after VERIFY.
"""

from __future__ import annotations

from .. import tables
from .frames import HERE, Frames
from .pages import PAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Passes that are told apart; those after them are put together.
PASSES_MAX = 1000
_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_NAMES = {name: kind for kind, name in tables.PAGE_TYPES.items()}
_NOWHERE, _ALLOCATED = _NAMES["XTAB"], _NAMES["XALLOC"]


class Pass:
    """One pass: where its first pages lie, what came in it, and in which part of the stream."""

    __slots__ = ("again", "checkpoint", "entries", "offset", "pages", "verify")

    def __init__(self, offset: int, checkpoint: int, verify: bool) -> None:
        self.offset = offset
        self.checkpoint = checkpoint
        self.verify = verify
        self.entries = self.pages = self.again = 0

    def as_dict(self) -> dict[str, Any]:
        """The pass as plain values."""
        return {name: getattr(self, name) for name in ("offset", "entries", "pages", "again", "checkpoint", "verify")}


class Passes:
    """Finds passes; `count` is how many there were, `rows` the first of them, the last of which may be several."""

    def __init__(self) -> None:
        self.rows: list[Pass] = []
        self.count = 0
        self.checkpoints = 0
        self.verifying = False
        self._highest = -1
        self._begun = False

    def turn(self, checkpoints: int, verifying: bool) -> None:
        """So many checkpoints have been whole by now, and pages come to be compared or not: a pass begins."""
        self.checkpoints, self.verifying = checkpoints, verifying
        self._highest = -1
        self._begun = False

    def add(self, entries: Sequence[int], place: int, frames: Frames) -> list[bool]:
        """Entries that have come, one at least.  Returns of each whether its frame was there already."""
        there = [entry & _PFN for entry in entries if entry >> _TYPE != _NOWHERE]
        if not self._begun or (there and min(there) <= self._highest):
            self.count += 1
            if len(self.rows) < PASSES_MAX:
                self.rows.append(Pass(place, self.checkpoints, self.verifying))
            self._begun = True
            self._highest = -1
        if there:
            self._highest = max(there)
        row = self.rows[-1]
        row.entries += len(entries)
        again = _again(entries, frames)
        paged = [PAGED[entry >> _TYPE] for entry in entries]
        pages = sum(paged)
        row.pages += pages
        row.again += sum(old for old, page in zip(again, paged, strict=True) if page)
        return again

    @property
    def pages(self) -> int:
        """Pages that were sent."""
        return sum(row.pages for row in self.rows)

    @property
    def again(self) -> int:
        """Pages of frames that had come before."""
        return sum(row.again for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "entries": sum(row.entries for row in self.rows),
            "sent": self.pages,
            "again": self.again,
            "passes": self.count,
            "rows": [row.as_dict() for row in self.rows],
        }


def _again(entries: Sequence[int], frames: Frames) -> list[bool]:
    """Of each entry, whether its frame is there already, of an entry before it too."""
    value = frames.value
    found = [bool(value(entry & _PFN) & HERE) for entry in entries]
    before: set[int] = set()
    if len({entry & _PFN for entry in entries}) < len(entries):
        for number, entry in enumerate(entries):
            found[number] |= entry & _PFN in before
            if PAGED[entry >> _TYPE] or entry >> _TYPE == _ALLOCATED:
                before.add(entry & _PFN)
    return found
