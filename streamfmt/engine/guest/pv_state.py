"""A model PV guest's vcpus and shared info, with machine frames on its host, and as records with the guest's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack_into, unpack_from

from ... import tables
from ...errors import GuestError
from ...payload_tables import FIELDS
from ...schema import libxc
from ...writer import builders
from ...writer.part import Part, record
from .pv_layout import ENTRIES, Layout
from .pv_tables import PRESENT, SHIFT, Host

WIDTH, LEVELS = libxc.PV_COMBINATIONS[-1]
_SIZE = libxc.VCPU_CONTEXT_SIZES[WIDTH]
_EXTENDED_SIZE = 64
_BASIC = FIELDS["pv.VCPU_64"]
_SHARED = FIELDS["pv.SHARED_INFO_64"]
# Where the counts of loops are kept in the first vcpu's context.
_COUNTS = tuple(_BASIC[f"user_regs.{name}"][0] for name in ("rax", "rbx"))
_MAX_PFN, _LISTS = _SHARED["arch.max_pfn"][0], _SHARED["arch.pfn_to_mfn_frame_list_list"][0]
# Of shared info a restorer takes over what is before the events, and what is about the architecture
# (xg_sr_restore_x86_pv.c, handle_shared_info).
_INFO_END, _ARCH, _ARCH_END = 0x800, _MAX_PFN, _SHARED["rest"][0]
_EVENTS, _EVENTS_END = 0x800, 0xC00
_MASKED = 0xA00
_TSC_AUX = 0xC0000103
# Records of a vcpu besides its basic context, by their kind.
_MORE = ("EXTENDED", "XSAVE", "MSRS")
# Vcpus whose information is in shared info.
VCPUS_MAX = 32

# Another number for a frame, which has to be a page table of a level, or an ordinary page where that is 0.
Translate = Callable[[int, int], int]


class Vcpus:
    """The contexts of a guest's vcpus, and its shared info, as they are on `host`."""

    def __init__(self, count: int, host: Host, layout: Layout, types: Sequence[int]) -> None:
        self.shared = bytearray(libxc.PAGE_SIZE)
        self._host, self._layout, self._types, self._count = host, layout, types, count
        self._basic: dict[int, bytearray] = {}
        self._more: dict[tuple[int, str], Part] = {}

    def boot(self) -> None:
        """Contexts as a kernel's vcpus have them."""
        layout, machine = self._layout, self._host.machine
        for number in range(self._count):
            raw = bytearray(builders.vcpu("BASIC", number, _SIZE).values["context"])
            place = tables.VCPU_CONTEXT_GDT_FRAMES[WIDTH]
            pack_into("<Q", raw, place, machine(layout.gdt))
            pack_into("<Q", raw, tables.VCPU_CONTEXT_GDT_ENTS[WIDTH], tables.GDT_FRAME_ENTRIES)
            pack_into("<Q", raw, tables.VCPU_CONTEXT_CR3[WIDTH], machine(layout.level_4) << SHIFT)
            if not number:
                pack_into("<Q", raw, tables.VCPU_CONTEXT_CR1[WIDTH], machine(layout.level_4) << SHIFT | PRESENT)
                pack_into("<Q", raw, tables.VCPU_CONTEXT_DX[WIDTH], machine(layout.start))
            self._basic[number] = raw
            self._more[number, "EXTENDED"] = builders.vcpu("EXTENDED", number, _EXTENDED_SIZE)
            self._more[number, "XSAVE"] = builders.vcpu("XSAVE", number, builders.XSAVE_SIZE)
            self._more[number, "MSRS"] = builders.vcpu_msrs(number, (_TSC_AUX, number + 1))
        pack_into("<Q", self.shared, _MAX_PFN, layout.pages)
        self.listed()

    def listed(self) -> None:
        """The kernel says where the tree of lists is."""
        pack_into("<Q", self.shared, _LISTS, self._host.machine(self._layout.top))

    # -- as records -----------------------------------------------------------------------------------------------

    def parts(self, counts: Sequence[int]) -> list[Part]:
        """SHARED_INFO and the records of each vcpu, the first with how far loops are."""
        found = [record("libxc.SHARED_INFO", page=bytes(self.shared))]
        for number, raw in sorted(self._basic.items()):
            basic = self._translated(raw, number, self._own)
            for at, count in zip(_COUNTS if not number else (), counts, strict=False):
                pack_into("<Q", basic, at, count)
            found.append(record("libxc.X86_PV_VCPU_BASIC", vcpu_id=number, context=bytes(basic)))
            found += [self._more[number, kind] for kind in _MORE if (number, kind) in self._more]
        return found

    def load(self, records: dict[str, list[bytes]]) -> list[int]:
        """Take over the records of vcpus and shared info; returns how far loops are.

        :raises GuestError: they are not of such a guest, or name frames that it does not have.
        """
        shared = records.get("SHARED_INFO", [b""])[-1]
        if len(shared) != libxc.PAGE_SIZE:
            raise GuestError(f"SHARED_INFO has {len(shared)} bytes, not {libxc.PAGE_SIZE}")
        basic: dict[int, bytearray] = {}
        more: dict[tuple[int, str], Part] = {}
        for body in records.get("X86_PV_VCPU_BASIC", ()):
            number, raw = _vcpu(body)
            if len(raw) != _SIZE:
                raise GuestError(f"the context of vcpu {number} has {len(raw)} bytes, not {_SIZE}")
            basic[number] = self._translated(raw, number, self._there)
        for kind in _MORE:
            for body in records.get(f"X86_PV_VCPU_{kind}", ()):
                more[_vcpu(body)[0], kind] = record(f"libxc.X86_PV_VCPU_{kind}", body)
        if 0 not in basic:
            raise GuestError("the state has no context of vcpu 0, which such a guest needs")
        counts = [unpack_from("<Q", basic[0], at)[0] for at in _COUNTS]
        self._basic, self._more = basic, more
        self.shared[:] = bytes(len(self.shared))
        self.shared[:_INFO_END] = shared[:_INFO_END]
        self.shared[_ARCH:_ARCH_END] = shared[_ARCH:_ARCH_END]
        self.shared[_EVENTS:_EVENTS_END] = bytes(_MASKED - _EVENTS) + b"\xff" * (_EVENTS_END - _MASKED)
        pack_into("<Q", self.shared, _LISTS, 0)
        return counts

    @property
    def start(self) -> int:
        """The frame of start info, as the first vcpu names it."""
        return self._own(unpack_from("<Q", self._basic[0], tables.VCPU_CONTEXT_DX[WIDTH])[0], 0)

    def digest(self) -> bytes:
        """What is the guest's of all this: not machine frames, events, or how far loops are."""
        found = bytes(self.shared[:_INFO_END] + self.shared[_ARCH:_LISTS] + self.shared[_LISTS + 8 : _ARCH_END])
        for number, raw in sorted(self._basic.items()):
            basic = self._translated(raw, number, self._own)
            for at in _COUNTS if not number else ():
                pack_into("<Q", basic, at, 0)
            found += bytes(basic)
        return found

    @property
    def more(self) -> list[Part]:
        """The records of vcpus besides their contexts, as they are in streams."""
        return [part for _, part in sorted(self._more.items())]

    # -- frames in contexts ---------------------------------------------------------------------------------------

    def _own(self, machine: int, level: int) -> int:
        frame = self._host.frame(machine)
        if frame is None:
            raise GuestError(f"a vcpu names machine frame {machine:#x}, which is not the guest's")
        return frame

    def _there(self, frame: int, level: int) -> int:
        if frame >= self._layout.pages:
            raise GuestError(f"a vcpu names frame {frame:#x}, the guest has {self._layout.pages:#x}")
        kind = self._types[frame]
        if tables.TABLE_LEVELS.get(kind, 0) != level or (not level and kind != tables.PAGE_TYPE_PLAIN):
            due = f"a page table of level {level}" if level else "an ordinary page"
            raise GuestError(f"a vcpu names frame {frame:#x}, which came as {tables.PAGE_TYPES[kind]}, not as {due}")
        return self._host.machine(frame)

    @staticmethod
    def _translated(raw: bytes | bytearray, number: int, by: Translate) -> bytearray:
        """A context with other numbers for the frames that it names."""
        found = bytearray(raw)

        def put(place: int, shift: int = 0) -> None:
            (word,) = unpack_from("<Q", found, place)
            flags = word & (1 << shift) - 1
            pack_into("<Q", found, place, by(word >> shift, LEVELS if shift else 0) << shift | flags)

        (entries,) = unpack_from("<Q", found, tables.VCPU_CONTEXT_GDT_ENTS[WIDTH])
        if entries > tables.GDT_ENTRIES_MAX:
            raise GuestError(f"vcpu {number} has a GDT of {entries} entries; {tables.GDT_ENTRIES_MAX} are the most")
        for frame in range(-(-entries // ENTRIES)):
            put(tables.VCPU_CONTEXT_GDT_FRAMES[WIDTH] + WIDTH * frame)
        put(tables.VCPU_CONTEXT_CR3[WIDTH], SHIFT)
        second = tables.VCPU_CONTEXT_CR1[WIDTH]
        if found[second] & PRESENT:
            put(second, SHIFT)
        if not number:
            put(tables.VCPU_CONTEXT_DX[WIDTH])
        return found


def _vcpu(body: bytes) -> tuple[int, bytes]:
    """Number and context of a record of a vcpu."""
    if len(body) < 8:
        raise GuestError(f"a record of a vcpu has {len(body)} bytes")
    number = int.from_bytes(body[:4], "little")
    if number >= VCPUS_MAX:
        raise GuestError(f"a record is of vcpu {number}; a guest has {VCPUS_MAX} at most")
    return number, body[8:]
