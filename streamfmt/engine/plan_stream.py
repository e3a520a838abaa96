"""What a recorded stream shows of the guest that was moved: which frames came in each pass over its memory."""

from __future__ import annotations

from collections.abc import Sequence

from .. import tables
from ..memory.statistics import Statistics as Numbers
from . import frames as sets
from .plan_dirty import PAGES_MAX

_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_WITHOUT = frozenset(kind for kind, name in tables.PAGE_TYPES.items() if name in ("BROKEN", "XTAB"))


class PassSets(Numbers):
    """Gathers the frames of each pass of the first memory in a stream: not those after a checkpoint, or to compare.

    `used` are the frames that came with contents, `beyond` says that there were higher ones than are taken.
    """

    def __init__(self, form: str = "auto", guest: str | None = None) -> None:
        super().__init__(form, guest, looking=False)
        self.beyond = False
        self.used = sets.NONE
        self._bitmaps: list[bytearray] = []
        self._used = bytearray()

    def came(self, entries: Sequence[int], place: int) -> None:
        super().came(entries, place)
        if not entries or self.checkpoints or self.verifying:
            return
        while len(self._bitmaps) < len(self.passes.rows):
            self._bitmaps.append(bytearray())
        bitmap = self._bitmaps[-1]
        for entry in entries:
            kind, frame = entry >> _TYPE, entry & _PFN
            if kind in _WITHOUT:
                continue
            if frame >= PAGES_MAX:
                self.beyond = True
                continue
            _note(bitmap, frame)
            if kind in tables.PAGE_TYPES_DATA:
                _note(self._used, frame)

    def sets(self) -> list[int]:
        """The frames of each pass, as sets."""
        self.used = sets.from_bitmap(self._used)
        return [sets.from_bitmap(bitmap) for bitmap in self._bitmaps]


def _note(bitmap: bytearray, frame: int) -> None:
    at = frame >> 3
    if at >= len(bitmap):
        bitmap.extend(bytes(max(at + 1 - len(bitmap), len(bitmap) // 2)))
    bitmap[at] |= 1 << (frame & 7)
