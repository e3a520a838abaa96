"""A model guest that is a PV guest: its page tables hold machine frames in memory, and frames of its own in streams.

It has what a 64-bit kernel has: start info, a tree of page tables of four levels over its lowest memory, the list of
its frames (p2m) with the tree of lists above that, shared info and vcpus' contexts.  The machine frames are those of
its host; a guest that arrives on another has others.
"""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from struct import pack_into, unpack_from

from ... import tables
from ...codec.content import Buffer
from ...errors import GuestError
from ...payload_tables import FIELDS
from ...writer import builders
from ...writer.part import Part, record
from .. import frames as sets
from .memory import PAGE, Memory
from .model import Machine, Model, need, words
from .model_hvm import TSC_KHZ, policies, read_tsc, tsc
from .pv_layout import ENTRIES, Layout
from .pv_state import LEVELS, WIDTH, Vcpus
from .pv_tables import Host, localised, normalised

_CODES = {name: code for code, name in tables.PAGE_TYPES.items()}
_PLAIN, _ALLOCATED = _CODES["NOTAB"], _CODES["XALLOC"]
_START = {name: row[0] for name, row in FIELDS["pv.START_INFO_64"].items()}
# What a restorer writes of start info is before this; what comes from there on is the guest's.
_START_OWN = _START["pt_base"]
# Present, writable, user, accessed, dirty; and the second of them.
_PTE, _WRITABLE = 0x67, 0x02
_MAGIC = b"xen-3.0-x86_64"
# The entries of the first table of level 1 that the kernel exchanges while it runs, each time in this many writes: for
# half of the time one of them is on its way, and leads to no frame of the guest.
_EXCHANGED, _EVERY = (14, 15), 64
_POLICIES = ("X86_CPUID_POLICY", "X86_MSR_POLICY")
_NEEDED = ("X86_PV_INFO", "X86_PV_P2M_FRAMES", "X86_TSC_INFO", "SHARED_INFO", "X86_PV_VCPU_BASIC")
_OPTIONAL = (*_POLICIES, "STATIC_DATA_END", "X86_PV_VCPU_EXTENDED", "X86_PV_VCPU_XSAVE", "X86_PV_VCPU_MSRS")


class Pv(Machine):
    """A PV guest's memory and state beside its workload."""

    type = "pv"

    def __init__(self, memory: Memory, vcpus: int, host: Host) -> None:
        self.types = bytearray(memory.pages)
        self.in_flux = False
        self._memory, self._host, self._layout = memory, host, Layout.of(memory.pages)
        self._vcpus = Vcpus(vcpus, host, self._layout, self.types)
        self._policies: list[Part] = policies()
        self._khz, self._incarnation = TSC_KHZ, 0
        self._leaves: tuple[int, ...] = self._layout.leaves
        self._start = self._layout.start

    # -- its life -------------------------------------------------------------------------------------------------

    def room(self, pages: int) -> int:
        return self._layout.start

    def boot(self) -> int:
        layout = self._layout
        self._tables()
        self._p2m()
        self._lists()
        page = self._page(layout.start)
        page[: len(_MAGIC)] = _MAGIC
        line = b"console=hvc0 model"
        page[_START["cmd_line"] : _START["cmd_line"] + len(line)] = line
        self._vcpus.boot()
        self._start_info(suspended=True)
        for frame in (layout.store, layout.console, layout.gdt):
            # Something to compare: rings and descriptors that a restorer leaves as they are.
            self._page(frame)[:8] = frame.to_bytes(8, "little")
        return sets.run(layout.start, self._memory.pages - layout.start)

    def paused(self) -> int:
        # What is on its way arrives before a kernel suspends itself.
        found = self._flux(False) if self.in_flux else sets.NONE
        return found | self._start_info(suspended=True)

    def resumed(self) -> int:
        found = self._start_info(suspended=False)
        if self._leaves == self._layout.leaves:
            found |= self._lists()
            self._vcpus.listed()
        return found

    def worked(self, before: int, after: int) -> int:
        if before // _EVERY == after // _EVERY or tables.TABLE_LEVELS.get(self.types[self._layout.level_1[0]]) != 1:
            return sets.NONE
        return self._flux(bool(after // _EVERY % 2))

    def _flux(self, begun: bool) -> int:
        """Take one of the exchanged entries away, or exchange both."""
        first, second = _EXCHANGED
        table = self._layout.level_1[0]
        words = self._words(table)
        if begun:
            words[second] = self._host.foreign << tables.PAGE_SHIFT | _PTE
        else:
            one = self._host.frame(words[first] >> tables.PAGE_SHIFT & tables.PTE_PFN[1])
            words[first] = self._host.machine(second if one == first else first) << tables.PAGE_SHIFT | _PTE
            words[second] = self._host.machine(first if one == first else second) << tables.PAGE_SHIFT | _PTE
        self.in_flux = begun
        return 1 << table

    # -- memory ---------------------------------------------------------------------------------------------------

    def _page(self, frame: int) -> memoryview:
        return self._memory.view[frame * PAGE : (frame + 1) * PAGE]

    def _words(self, frame: int) -> memoryview:
        return self._page(frame).cast("Q")

    def _tables(self) -> None:
        layout = self._layout
        for frame, name in layout.types():
            self.types[frame] = _CODES[name]
        pte = self._entry
        self._words(layout.level_4)[0] = pte(layout.level_3)
        self._host.own_slots(self._words(layout.level_4))
        self._words(layout.level_3)[0] = pte(layout.level_2)
        second = self._words(layout.level_2)
        for number, frame in enumerate(layout.level_1):
            second[number] = pte(frame)
            first = number * ENTRIES
            words = self._words(frame)
            for slot in range(min(ENTRIES, self._memory.pages - first)):
                # A page table is not to be written by the guest: Xen does that.
                words[slot] = pte(first + slot) & ~_WRITABLE if self.types[first + slot] else pte(first + slot)

    def _entry(self, frame: int) -> int:
        return self._host.machine(frame) << tables.PAGE_SHIFT | _PTE

    def _p2m(self) -> None:
        """The list of machine frames, in the leaves that the guest has for it."""
        for number, frame in enumerate(self._leaves):
            first = number * ENTRIES
            words = self._host.list(first, min(ENTRIES, self._memory.pages - first))
            self._page(frame)[:] = words.ljust(PAGE, b"\xff")

    def _lists(self) -> int:
        """The lists above that, which the kernel writes."""
        layout, machine = self._layout, self._host.machine
        for frame, below in ((layout.top, layout.lists), *zip(layout.lists, _parts(layout.leaves), strict=True)):
            words = array("Q", map(machine, below)).tobytes()
            self._page(frame)[:] = words.ljust(PAGE, b"\0")
        return sets.run(layout.top, 1 + len(layout.lists))

    def _start_info(self, suspended: bool) -> int:
        """What is in start info; a guest that suspends itself has its own frames there of what it shares."""
        layout, machine = self._layout, self._host.machine
        if self._start != layout.start:
            return sets.NONE  # another kernel's
        page = self._page(self._start)
        values = {
            "nr_pages": self._memory.pages,
            "store_mfn": layout.store if suspended else machine(layout.store),
            "console_mfn": layout.console if suspended else machine(layout.console),
        }
        for name, value in values.items():
            pack_into("<Q", page, _START[name], value)
        return 1 << self._start

    def contents(self, first: int, count: int, running: bool) -> Buffer | None:
        """Frames as they go into a stream; None if not now."""
        levels = [tables.TABLE_LEVELS.get(kind, 0) for kind in self.types[first : first + count]]
        if not any(levels):
            return self._memory.view[first * PAGE : (first + count) * PAGE]
        found = list[Buffer]()
        for frame, level in enumerate(levels, first):
            page: Buffer | None = self._page(frame)
            if level:
                page = normalised(self._page(frame), level, self._host)
            if page is None:
                if running:
                    return None
                raise GuestError(f"the page table in frame {frame:#x} leads to a frame that is not the guest's")
            found.append(page)
        return b"".join(found)

    def accept(self, first: int, kinds: Sequence[int], contents: Buffer) -> None:
        """Frames as they come in a stream."""
        if first + len(kinds) > self._memory.pages:
            raise GuestError(f"frame {first + len(kinds) - 1:#x} came, the guest has {self._memory.pages:#x}")
        at, view = 0, memoryview(contents)
        for frame, kind in enumerate(kinds, first):
            self.types[frame] = _PLAIN if kind == _ALLOCATED else kind
            if kind not in tables.PAGE_TYPES_DATA:
                continue
            page: Buffer = view[at : at + PAGE]
            if len(page) != PAGE:
                raise GuestError(f"frame {frame:#x} came without all of its contents")
            at += PAGE
            level = tables.TABLE_LEVELS.get(kind)
            self._page(frame)[:] = localised(page, level, self._host, self._memory.pages) if level else page

    def memory_digest(self, memory: Memory) -> str:
        skipped = {*self._leaves, self._layout.top, *self._layout.lists}
        found = hashlib.sha256()
        for first, count in sets.runs(memory.filled(memory.populated())):
            for frame in range(first, first + count):
                if frame in skipped:
                    continue
                page: Buffer = self._page(frame)
                if level := tables.TABLE_LEVELS.get(self.types[frame]):
                    page = normalised(page, level, self._host) or bytes(page)
                elif frame == self._start:
                    page = bytes(_START_OWN) + bytes(page[_START_OWN:])
                found.update(frame.to_bytes(8, "little"))
                found.update(page)
        return found.hexdigest()

    # -- records --------------------------------------------------------------------------------------------------

    def static(self) -> Iterable[Part]:
        last = self._memory.pages - 1
        return [builders.pv_info(WIDTH, LEVELS), *self._policies, builders.p2m(0, last, *self._leaves)]

    def state(self, counts: Sequence[int], nsec: int) -> Iterable[Part]:
        return [tsc(self._khz, nsec, self._incarnation), *self._vcpus.parts(counts)]

    def load(self, records: Iterable[tuple[str, bytes]]) -> tuple[list[int], int]:
        found: dict[str, list[bytes]] = {}
        for name, body in records:
            found.setdefault(name, []).append(body)
        if unknown := found.keys() - {*_NEEDED, *_OPTIONAL}:
            raise GuestError(f"a PV guest has no record {', '.join(sorted(unknown))}")
        if need(found, "X86_PV_INFO")[:2] != bytes((WIDTH, LEVELS)):
            raise GuestError("the guest is none of 64 bits with page tables of 4 levels")
        leaves = self._listed(need(found, "X86_PV_P2M_FRAMES"))
        khz, nsec, incarnation = read_tsc(found)
        counts = self._vcpus.load(found)
        self._khz, self._incarnation = khz, incarnation
        self._start, self._leaves = self._vcpus.start, leaves
        self._policies = [record(f"libxc.{name}", found[name][-1]) for name in _POLICIES if name in found]
        self._p2m()
        return counts, nsec

    def _listed(self, body: bytes) -> tuple[int, ...]:
        """The frames of the list of frames, as its record has them."""
        pages = self._memory.pages
        if len(body) != 8 + 8 * -(-pages // ENTRIES):
            raise GuestError(f"X86_PV_P2M_FRAMES has {len(body)} bytes, which are not those of {pages} frames")
        first, last, *frames = unpack_from(f"<II{len(body) // 8 - 1}Q", body)
        if (first, last) != (0, pages - 1):
            raise GuestError(f"X86_PV_P2M_FRAMES is about frames {first:#x} to {last:#x}, the guest has {pages:#x}")
        if len(set(frames)) != len(frames) or any(frame >= pages or self.types[frame] for frame in frames):
            raise GuestError("X86_PV_P2M_FRAMES has a frame that is not there, no ordinary page, or there twice")
        return tuple(frames)

    def emulator(self) -> bytes:
        return b""

    def digest(self) -> bytes:
        return self._vcpus.digest() + words([*self._policies, *self._vcpus.more])


def _parts(frames: Sequence[int]) -> list[Sequence[int]]:
    return [frames[at : at + ENTRIES] for at in range(0, len(frames), ENTRIES)]


class PvModel(Model):
    """A model guest that is a PV guest, on a host of a number."""

    def __init__(self, memory: Memory, vcpus: int, host: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pv = Pv(memory, vcpus, Host(memory.pages, host))
        super().__init__(memory, self._pv, clock)

    def types(self) -> Sequence[int] | None:
        """The page type of each frame."""
        return self._pv.types

    def contents(self, first: int, count: int) -> Buffer | None:
        """These frames as they go into a stream, with frames of the guest in page tables.

        None: not now, since a table is on its way to be another; only while the guest runs.
        """
        self._look()
        return self._pv.contents(first, count, self.running)

    def accept(self, first: int, kinds: Sequence[int], contents: Buffer) -> None:
        """Take over frames as they come in a stream, and their types.

        :raises GuestError: a table leads to a frame that the guest does not have.
        """
        self._pv.accept(first, kinds, contents)
