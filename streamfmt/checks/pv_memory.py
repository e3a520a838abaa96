"""What a PV image has said of each guest frame: seen or not, and its latest page type.

One byte per frame seen, so that the p2m list and the coverage can be judged at the end.  A stream that claims
frames far beyond those it sends is not followed there: the map gives up and the checks that need it abstain.
"""

from __future__ import annotations

from struct import pack

from .. import tables
from ..reader.events import ENTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from .page_trees import Trees

SEEN = 0x10
# Bytes the map may hold ahead of the frames seen: 8 GiB of guest sent in any order at all.
_SLACK = 2 << 20
# More p2m lists than this are not followed; every released saver writes one.
LISTS_MAX = 64
# p2m frames that are kept for the end: those of a 64-bit guest of 512 GiB.
FRAMES_MAX = 256 << 10
# What the map holds, by the highest byte of a clean entry.
_SEEN_BY_TOP = bytes(top >> tables.ENTRY_TYPE_SHIFT - 8 * (ENTRY - 1) | SEEN for top in range(256))


class PfnMap:
    """Page types by frame; `known` is False, and `why` says so, once the stream could not be followed."""

    __slots__ = ("_entries", "_ones", "_ramp", "known", "types", "why")

    def __init__(self) -> None:
        self.types = bytearray()
        self.known = True
        self.why = ""
        self._entries = 0
        self._ones = self._ramp = 0

    def note_row(self, data: bytes, end: int) -> bool:
        """Take in clean entries as they lie in the stream, if they are of frames in a row, none above `end`.

        Savers send whole passes so.  All entries are one number here: a comparison instead of a thousand.
        """
        count = len(data) // ENTRY
        if not 1 < count <= tables.BATCH_MAX:
            return False
        if not self._ramp:
            self._ones = int.from_bytes(pack("<Q", 1) * tables.BATCH_MAX, "little")
            self._ramp = int.from_bytes(pack(f"<{tables.BATCH_MAX}Q", *range(tables.BATCH_MAX)), "little")
        within = (1 << 8 * ENTRY * count) - 1
        ones = self._ones & within
        first = int.from_bytes(data[:ENTRY], "little") & tables.ENTRY_PFN_MASK
        last = first + count - 1
        pfns = int.from_bytes(data, "little") & ones * tables.ENTRY_PFN_MASK
        if last > end or pfns != (self._ramp & within) + first * ones:
            return False
        self._entries += count
        if self.known and self._reach(last):
            self.types[first : last + 1] = data[ENTRY - 1 :: ENTRY].translate(_SEEN_BY_TOP)
        return True

    def note(self, entries: Sequence[int], end: int) -> None:
        """Take in page entries (raw 64-bit values), ignoring frames above `end`."""
        if not self.known:
            return
        self._entries += len(entries)
        mask, shift = tables.ENTRY_PFN_MASK, tables.ENTRY_TYPE_SHIFT
        pfns = [entry & mask for entry in entries]
        within = [pfn for pfn in pfns if pfn <= end]
        if within and self._reach(max(within)):
            types = self.types
            for entry, pfn in zip(entries, pfns, strict=True):
                if pfn <= end:
                    types[pfn] = entry >> shift | SEEN

    def near(self, pfn: int) -> bool:
        """Whether any number of entries may be noted at once, of frames up to `pfn`, and the map not give up."""
        return not self.known or pfn < max(self._entries + _SLACK, len(self.types))

    def give_up(self, why: str) -> None:
        """Follow the stream no longer."""
        self.known, self.why = False, why
        self.types = bytearray()

    def _reach(self, pfn: int) -> bool:
        """Make the map reach `pfn` if that is in proportion."""
        missing = pfn + 1 - len(self.types)
        if missing > 0:
            if pfn + 1 > self._entries + _SLACK:
                self.give_up("the page entries are too sparse to be followed")
                return False
            self.types.extend(bytes(missing))
        return True

    def type_of(self, pfn: int) -> int | None:
        """The latest page type of `pfn`, None if it was never sent."""
        value = self.types[pfn] if pfn < len(self.types) else 0
        return value & ~SEEN if value else None

    def uncovered(self, end: int) -> tuple[int, int]:
        """How many frames of 0..end were never sent, and the first of them."""
        missing = max(end + 1 - len(self.types), 0)
        count = self.types.count(0, 0, end + 1) + missing
        first = self.types.find(0, 0, end + 1)
        return count, len(self.types) if first < 0 else first


class Memory:
    """What X86_PV_INFO and X86_PV_P2M_FRAMES said, what the pages did, and which vcpus this checkpoint has.

    `frames_from` is where the first frame of each list lies in `frames` and in the stream; `named` are the frames that
    each vcpu's context names, packed.  `trees` are what its page tables hold, with --deep.
    """

    def __init__(self) -> None:
        self.guest_width: int | None = None
        self.end_pfn: int | None = None
        self.frames: array[int] | None = None
        self.frames_from: list[tuple[int, int]] = []
        self.frames_known = True
        self.pfns = PfnMap()
        self.vcpus: set[tuple[int, int]] = set()
        self.named: dict[int, bytes] = {}
        self.trees: Trees | None = None

    def keep(self, count: int, at: int) -> None:
        """A list of `count` frames begins at offset `at`; whether they are kept shows in `frames_known`."""
        if self.frames is None:
            from array import array  # an extension module that only PV images need

            self.frames = array("Q")
        if len(self.frames) + count > FRAMES_MAX or len(self.frames_from) == LISTS_MAX:
            self.frames_known = False
        if self.frames_known:
            self.frames_from.append((len(self.frames), at))
