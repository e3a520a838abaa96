"""Sections of VFIO devices in QEMU's stream: marks, and a device's own data, whose lengths are said.

So their ends are known, whatever the data look like.  What is wrong with the marks is noted on the way, and told by the
checks.  Sections in the form of the proposal of 2019, which begin with a flag and no mark, are walked through as well.
"""

from __future__ import annotations

from .. import tables
from . import qemu_ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .pump import Window
    from .qemu_state import Section, State

PIECE = tables.QEMU_PIECE
_START, _PART, _END, _FULL = (
    tables.QEMU_SECTION_START,
    tables.QEMU_SECTION_PART,
    tables.QEMU_SECTION_END,
    tables.QEMU_SECTION_FULL,
)
_FOOTER = tables.QEMU_SECTION_FOOTER
_SIZE = tables.VFIO_MARK_SIZE
# The first octet of each mark, which no flag of the proposal is.
_FIRST = tables.VFIO_MARK >> 8 * (_SIZE - 1)
_ENDS = (tables.VFIO_END_OF_STATE, tables.VFIO_INIT_DATA_SENT, tables.VFIO_CONFIG_READY)
# Which marks have a place in which part of a section.
_PLACES = {
    tables.VFIO_DEV_SETUP: (_START,),
    tables.VFIO_DEV_DATA: (_PART, _END),
    tables.VFIO_DEV_CONFIG: (_FULL, _END),
    tables.VFIO_INIT_DATA_SENT: (_PART,),
    tables.VFIO_CONFIG_READY: (_FULL,),
}
_NUMBER = 4
# Bytes of a PCI device's state around its configuration: the version before, interrupts after.
_AROUND = _NUMBER + _NUMBER * tables.VFIO_PCI_INTERRUPTS
_LENGTHS = (tables.VFIO_FLAG_CONFIG, tables.VFIO_FLAG_MEMORY)
_FLAGS = (tables.VFIO_FLAG_SETUP, tables.VFIO_FLAG_PCI, *_LENGTHS)
# Sections whose first data have been said to be sent, or that have ended, are kept of so many.
_KEPT = 256

# What is wrong: clause, stream offset, bytes, message, what is expected, what is there.
Fault = tuple[str, int, int, str, str, str]


def is_vfio(section: Section | None) -> bool:
    """Whether it is such a section, of a version that is known."""
    name = section.name if section is not None else None
    return (
        name is not None
        and section is not None
        and section.version <= tables.VFIO_SECTION_VERSION
        and name.rpartition(b"/")[2] == tables.VFIO_SECTION
    )


def vectors(space: bytes) -> int:
    """How many vectors of MSI-X a PCI configuration says that there are; 0 without that capability."""
    if len(space) < tables.VFIO_PCI_SIZE or not space[tables.VFIO_PCI_STATUS] & tables.VFIO_PCI_STATUS_LIST:
        return 0
    at, seen = space[tables.VFIO_PCI_CAPABILITIES] & ~3, set[int]()
    while 0x40 <= at < tables.VFIO_PCI_SIZE - _NUMBER and at not in seen:
        seen.add(at)
        if space[at] == tables.VFIO_CAP_MSIX:
            return (int.from_bytes(space[at + 2 : at + _NUMBER], "little") & 0x7FF) + 1
        at = space[at + 1] & ~3
    return 0


def pci_sizes(count: int) -> tuple[int, int]:
    """Bytes of a PCI device's state with so many vectors: without and with the space that PCI Express adds."""
    more = _AROUND + count * tables.VFIO_MSIX_ENTRY + (count + 7) // 8
    return tables.VFIO_PCI_SIZE + more, tables.VFIO_PCIE_SIZE + more


class Marks:
    """Walks through the sections of one stream.  `faults` are those that were found and not told yet."""

    __slots__ = ("_due", "_kind", "_left", "_lost", "_over", "_proposal", "_section", "_sent", "faults")

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._sent: set[int] = set()
        self._section = self._kind = self._left = 0
        # What the next mark has to be; whether the payload has ended, or means nothing from here on.
        self._due = ""
        self._over = self._lost = self._proposal = False

    def begin(self, kind: int, section: Section) -> None:
        """A part of such a section begins: a frame of that type."""
        self._kind, self._section, self._left = kind, section.id, 0
        self._due, self._over, self._lost, self._proposal = "", False, False, False

    def find(self, window: Window, state: State, head: int, ahead: int) -> Generator[int, int, tuple[int, bool]]:
        """Program as :func:`.qemu_ends.find`: how many bytes come after `head` bytes, and whether more follow."""
        w, count = window, 0
        while not self._lost:
            if self._left:
                some = min(self._left, PIECE - count)
                count += some
                self._left -= some
            elif self._over:
                return count, False
            elif count < PIECE and not (yield from self._item(w, state, head + count)):
                # The stream ends inside a mark: that is all there is of the payload.
                return min(max(w.hi - w.lo - head, count), PIECE), False
            if count == PIECE:
                return count, bool(self._left) or not self._over
        if count:
            return count, True
        return (yield from qemu_ends.find(w, state, head, ahead))

    def _item(self, window: Window, state: State, at: int) -> Generator[int, int, bool]:
        """Program that looks at the mark or flag `at` bytes on.  Returns whether it is there."""
        w = window
        if w.hi - w.lo <= at and not (yield at + 1):
            return False
        first = w.buf[w.lo + at]
        if self._due == "more":
            self._due = ""
            if first == _FOOTER or first != _FIRST:
                self._over = True
                return True
        if self._proposal or (first != _FIRST and not self._due and first & ~tables.VFIO_FLAG_CONTINUE in _FLAGS):
            return (yield from self._flag(w, at, first))
        if w.hi - w.lo < at + _SIZE and not (yield at + _SIZE):
            return False
        mark = int.from_bytes(w.buf[w.lo + at : w.lo + at + _SIZE], "big")
        due = self._due
        self._judge(w, at, mark)
        if self._lost:
            return True
        self._left = _SIZE
        if mark == tables.VFIO_DEV_DATA:
            if not (yield at + 2 * _SIZE):
                return False
            size = int.from_bytes(w.buf[w.lo + at + _SIZE : w.lo + at + 2 * _SIZE], "big")
            self._left += _SIZE + size
        elif mark == tables.VFIO_DEV_CONFIG:
            size = yield from _pci(w, at + _SIZE)
            if size < 0:
                return False
            self._left += size
            self._due = "configuration"
        elif mark == tables.VFIO_DEV_SETUP:
            self._due = "setup"
        elif mark in _ENDS:
            # QEMU 5.2 has the configuration first in the last part, and goes on after it.
            more = due == "configuration" and self._kind == _END and state.footers is not False
            self._due = "more" if more else ""
            self._over = not more
        return True

    def _flag(self, window: Window, at: int, flag: int) -> Generator[int, int, bool]:
        """Program that looks at an item of the proposal's form."""
        w, self._proposal = window, True
        kind, self._left = flag & ~tables.VFIO_FLAG_CONTINUE, 1
        if kind not in _FLAGS:
            known = ", ".join(f"{value:02x}" for value in _FLAGS)
            message = f"flag {flag:#04x} begins nothing that the proposal has"
            self._fault("VFIO-P-FLAG", w, at, 1, message, f"{known}, or one of them and 08", f"{flag:02x}")
            self._left, self._lost = 0, True
            return True
        if kind in _LENGTHS:
            if not (yield at + 1 + _SIZE):
                return False
            self._left += _SIZE + int.from_bytes(w.buf[w.lo + at + 1 : w.lo + at + 1 + _SIZE], "big")
        elif kind == tables.VFIO_FLAG_PCI:
            size, more = tables.VFIO_PROPOSAL_PCI
            if not (yield at + 1 + size + 1):
                return False
            # The last number has 16 bits in 32, so with the high half of an address a zero is where else a flag is.
            high = flag != kind and not w.buf[w.lo + at + 1 + size]
            self._left += size + more * high
        self._over = flag == kind
        return True

    def _judge(self, window: Window, at: int, mark: int) -> None:
        """Note what is wrong with a mark where it is."""
        name = tables.VFIO_MARKS.get(mark)
        if name is None:
            message = f"{mark:#018x} is no mark, so nothing after it in this section is known"
            known = ", ".join(f"{value:#x} {word}" for value, word in tables.VFIO_MARKS.items())
            self._fault("VFIO-MARK-KNOWN", window, at, _SIZE, message, known, f"{mark:#x}")
            self._lost = True
            return
        end = tables.VFIO_MARKS[tables.VFIO_END_OF_STATE]
        if self._due == "setup" and mark != tables.VFIO_END_OF_STATE:
            self._fault("VFIO-SETUP-EOS", window, at, _SIZE, f"{name} follows DEV_SETUP_STATE", end, name)
        elif self._due == "configuration" and mark != tables.VFIO_END_OF_STATE:
            self._fault("VFIO-CFG-EOS", window, at, _SIZE, f"{name} follows the configuration", end, name)
        elif mark == tables.VFIO_INIT_DATA_SENT and self._kind == _PART:
            if self._section in self._sent:
                message = "the first data of this device were said to be sent already"
                self._fault("VFIO-INIT-ONCE", window, at, _SIZE, message, end, name)
            elif len(self._sent) < _KEPT:
                self._sent.add(self._section)
        elif self._kind not in _PLACES.get(mark, (self._kind,)):
            message = f"{name} has no place in a {tables.RECORDS['qemu'][self._kind]}"
            self._fault("VFIO-MARK-PLACE", window, at, _SIZE, message, end, name)
        self._due = ""

    def _fault(self, clause: str, window: Window, at: int, size: int, message: str, expected: str, actual: str) -> None:
        self.faults.append((clause, window.position + at, size, message, expected, actual))


def _pci(window: Window, at: int) -> Generator[int, int, int]:
    """Program that says how long the state of a PCI device `at` bytes on is, -1 if the stream ends first.

    It does not say so itself: its configuration shows it, and the mark after it whether that is right.
    """
    w, least = window, _NUMBER + tables.VFIO_PCI_SIZE
    if not (yield at + least):
        return -1
    count = vectors(bytes(w.buf[w.lo + at + _NUMBER : w.lo + at + least]))
    mark = tables.VFIO_END_OF_STATE.to_bytes(_SIZE, "big")
    sizes = pci_sizes(count)
    for size in sizes:
        if not (yield at + size + _SIZE):
            break
        if int.from_bytes(w.buf[w.lo + at + size : w.lo + at + size + _SIZE], "big") in tables.VFIO_MARKS:
            return size  # whether it is the one that is due is judged where it comes
    # There is more than that, such as what a display has: up to the mark.
    found = w.buf.find(mark, w.lo + at + sizes[0], w.hi)
    return found - w.lo - at if found >= 0 else sizes[0]
