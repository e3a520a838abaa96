"""The machine frames of a PV guest on its host, and page tables with them and with the guest's own.

Source: tools/libs/guest/xg_sr_save_x86_pv.c (normalise_pagetable) and xg_sr_restore_x86_pv.c (localise_page):
what a saver makes of entries, and when it cannot, and what a restorer makes of them.
"""

from __future__ import annotations

from array import array
from struct import pack_into, unpack_from

from ... import tables
from ...codec.content import Buffer
from ...errors import GuestError
from .pv_layout import ENTRIES

PRESENT, LARGE = tables.PTE_PRESENT, 1 << 7
SHIFT, _MASK = tables.PTE_PFN
_FRAME = _MASK << SHIFT
_ALL = f"<{ENTRIES}Q"
# Slots of a table of level 4 that Xen has for itself (HYPERVISOR_VIRT_START to _END, arch-x86/xen-x86_64.h).
XENS = range(256, 272)
_TOP = 4
# Machine frames of one host are those above this, of the next above twice as much; no guest has so many.
_HOST = 1 << 28


class Host:
    """The machine frames that a guest of `pages` frames has on a host: all of them, in another order than its own."""

    def __init__(self, pages: int, number: int) -> None:
        self._pages = pages
        self._base = (number % 1000 + 1) * _HOST
        # Nothing of the guest begins where its memory does.
        self._turned = pages // 3 | 1
        self.foreign = self._base + pages

    def machine(self, frame: int) -> int:
        """The machine frame of one of the guest's."""
        return self._base + (frame + self._turned) % self._pages

    def frame(self, machine: int) -> int | None:
        """The guest's frame of a machine frame; None if that is another's."""
        at = machine - self._base
        return (at - self._turned) % self._pages if 0 <= at < self._pages else None

    def list(self, first: int, count: int) -> bytes:
        """The machine frames of `count` frames from `first` on, 8 bytes each."""
        begin = (first + self._turned) % self._pages
        most = min(count, self._pages - begin)
        words = array("Q", range(self._base + begin, self._base + begin + most))
        words.extend(range(self._base, self._base + count - most))
        return words.tobytes()

    def own_slots(self, words: memoryview) -> None:
        """Fill a table of level 4, in words, where Xen has its own entries: they lead to nothing of the guest."""
        for slot in XENS:
            words[slot] = (self.foreign + slot) << SHIFT | PRESENT


def normalised(page: Buffer, level: int, host: Host) -> bytes | None:
    """A page table as streams have it; None if an entry leads to no frame of the guest.

    :raises GuestError: an entry is one of a large page, which PV guests do not have.
    """
    words = list(unpack_from(_ALL, page))
    for slot, word in enumerate(words):
        if level == _TOP and slot in XENS:
            words[slot] = 0
        elif word & PRESENT:
            if level > 1 and word & LARGE:
                raise GuestError(f"slot {slot} of a page table of level {level} is one of a large page")
            frame = host.frame((word & _FRAME) >> SHIFT)
            if frame is None:
                return None
            words[slot] = word & ~_FRAME | frame << SHIFT
    return array("Q", words).tobytes()


def localised(page: Buffer, level: int, host: Host, pages: int) -> bytes:
    """A page table of a stream as it is in memory.

    :raises GuestError: an entry leads to a frame that the guest does not have, or is one of a large page.
    """
    raw = bytearray(page)
    for slot, word in enumerate(unpack_from(_ALL, page)):
        if level == _TOP and slot in XENS:
            pack_into("<Q", raw, 8 * slot, (host.foreign + slot) << SHIFT | PRESENT)
        elif word & PRESENT:
            frame = (word & _FRAME) >> SHIFT
            if frame >= pages or (level > 1 and word & LARGE):
                raise GuestError(
                    f"slot {slot} of a page table of level {level} leads to frame {frame:#x} of {pages:#x}, or is one"
                    " of a large page"
                )
            pack_into("<Q", raw, 8 * slot, word & ~_FRAME | host.machine(frame) << SHIFT)
    return bytes(raw)
