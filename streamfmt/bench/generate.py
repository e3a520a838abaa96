"""Sample streams of any size, made in constant memory.

All but the bulk is built by the schemas.  Batches of pages would take construct minutes, so they are packed here,
with the numbers the schemas were compiled to.  Good samples break no rule; each bad one breaks one, all the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from struct import Struct, pack, pack_into
from typing import Any

from ..reader import literals as L
from ..schema import hvm, libxc, libxl, magic, xl
from ..schema.build import RecordType
from ..writer import recipes

PAGE = L.PAGE_SIZE
SMALL = 16 * PAGE
_XEN = (4, 17)

_LIBXC = {row.name: row for row in libxc.RECORDS}
_LIBXL = {row.name: row for row in libxl.RECORDS}
_TYPES = {row.name: row for row in libxc.PAGE_TYPES}
_BATCH_HEADER = Struct("<" + L.FORMATS["libxc.record_header"] + L.FORMATS["libxc.PAGE_DATA"])
_HALVES = Struct("<QQ")

# Where a PC has video memory and no guest page.
_HOLE = range(0xA0, 0xC0)
# Page tables of a PV sample, by frame number modulo a batch.
_TABLES = {
    1: "L4TAB_PINNED",
    2: "L3TAB",
    3: "L2TAB",
    4: "L1TAB",
    5: "L1TAB_PINNED",
    6: "L2TAB_PINNED",
    7: "L3TAB_PINNED",
    8: "L4TAB",
}
# Entries present in each table: those below the slots of an L4 table that Xen keeps for itself.
_PRESENT = 256
_DIRTY = 4 * L.BATCH_MAX
_DIRTY_STEP = 7

_WIDTH, _LEVELS = 8, 4
# ctrlreg[3] in a 64-bit struct vcpu_guest_context (xen/include/public/arch-x86/xen.h): the table vcpu 0 runs on.
_CR3 = 0x1390
# struct xen_domctl_ext_vcpucontext since Xen 4.10: vcpu number, the structure's size, and what may be zero.
_EXTENDED_SIZE = 64
# xcr0 with x87 and SSE alone, and the XSAVE area that goes with it: legacy part and header.
_XCR0 = 3
_XSAVE_AREA = 576
_TSC_AUX = 0xC0000103


# -- records ----------------------------------------------------------------------------------------------------


def _header(row: RecordType, length: int) -> bytes:
    return bytes(libxc.RECORD_HEADER.build({"type": row.code, "length": length}))


def _record(row: RecordType, **values: Any) -> bytes:
    body = bytes(row.body.build(values))
    return _header(row, len(body)) + body + _padding(len(body))


def _padding(length: int) -> bytes:
    return bytes(-length & 7)


def _image(guest: str) -> bytes:
    (letters,) = libxc.IMAGE_HEADER.id.values
    image = libxc.IMAGE_HEADER.build({"id": letters, "version": libxc.VERSIONS[-1], "options": {"endian": 0}})
    major, minor = _XEN
    values = {"type": libxc.GUESTS[guest], "page_shift": libxc.PAGE_SHIFT, "xen_major": major, "xen_minor": minor}
    return bytes(image + libxc.DOMAIN_HEADER.build(values))


def _tsc() -> bytes:
    return _record(_LIBXC["X86_TSC_INFO"], mode=0, khz=2_400_000, nsec=10**9, incarnation=1)


# -- pages ------------------------------------------------------------------------------------------------------


def _content(pfn: int) -> bytes:
    """A page that begins with its frame number and has no hole a file system could leave out."""
    return _HALVES.pack(pfn, ~pfn & (1 << 64) - 1) * (PAGE // _HALVES.size)


def _table(pfn: int, frames: int) -> bytes:
    """A page table whose entries point at the frames from its own on."""
    shift, _ = L.PTE_PFN
    entries = [(pfn + slot) % frames << shift | L.PTE_PRESENT for slot in range(_PRESENT)]
    return pack(f"<{_PRESENT}Q", *entries).ljust(PAGE, b"\0")


def _hvm_type(pfn: int) -> str:
    return "XTAB" if pfn in _HOLE else "NOTAB"


def _pv_type(pfn: int) -> str:
    return _TABLES.get(pfn % L.BATCH_MAX, "NOTAB")


def _batch(pfns: Iterable[int], type_of: Callable[[int], str], frames: int) -> bytes:
    """One PAGE_DATA record."""
    entries: list[int] = []
    pages: list[bytes] = []
    for pfn in pfns:
        kind = _TYPES[type_of(pfn)]
        entries.append(kind.code << L.ENTRY_TYPE_SHIFT | pfn)
        if kind.data:
            pages.append(_table(pfn, frames) if kind.table else _content(pfn))
    array = pack(f"<{len(entries)}Q", *entries)
    length = L.SIZES["libxc.PAGE_DATA"] + len(array) + PAGE * len(pages)
    return b"".join([_BATCH_HEADER.pack(L.LIBXC_PAGE_DATA, length, len(entries), 0), array, *pages])


def _memory(frames: int, type_of: Callable[[int], str]) -> Iterator[bytes]:
    """Every frame in ascending order, then a few batches of such as a running guest has dirtied."""
    dirty = [pfn for pfn in range(0, frames, _DIRTY_STEP)[:_DIRTY] if type_of(pfn) != "XTAB"]
    for frame_list in (range(frames), dirty):
        for first in range(0, len(frame_list), L.BATCH_MAX):
            yield _batch(frame_list[first : first + L.BATCH_MAX], type_of, frames)


def _one_entry(code: int, pfn: int, reserved: int = 0) -> bytes:
    """A PAGE_DATA record of one entry and no page, whatever the rules say."""
    fixed = L.SIZES["libxc.PAGE_DATA"]
    entry = pack("<Q", code << L.ENTRY_TYPE_SHIFT | pfn)
    return _BATCH_HEADER.pack(L.LIBXC_PAGE_DATA, fixed + len(entry), 1, reserved) + entry


# -- HVM --------------------------------------------------------------------------------------------------------

# In Xen's order, which is by type, but for END.  Those of variable length depend on the processor.
_CONTEXT_TYPES = {row.name: row for row in hvm.CONTEXT_TYPES if not row.unit and row.code != hvm.END_TYPE}
_END_TYPE = next(row for row in hvm.CONTEXT_TYPES if row.code == hvm.END_TYPE)
_OF_A_VCPU = ("CPU", "LAPIC", "LAPIC_REGS", "MTRR", "VMCE_VCPU", "TSC_ADJUST")


def _context(rows: Iterable[hvm.ContextType]) -> bytes:
    """Entries of Xen's save format, in today's lengths; zero, but for the HEADER's magic and version."""
    # The magic of a context on its own is HEADER's descriptor and the first field of its data.
    octets = next(known.octets for known in magic.MAGICS if known.key == "hvm-context")
    first = octets[L.SIZES["libxc.HVM_CONTEXT.context"] :] + pack("<I", 1)
    entries = []
    for row in rows:
        length = row.lengths[-1]
        data = (first if row.code == hvm.HEADER_TYPE else b"").ljust(length, b"\0")
        entries.append({"typecode": row.code, "instance": 0, "length": length, "data": data})
    return bytes(hvm.CONTEXT.build(entries))


def _hvm_head() -> bytes:
    return _image("hvm") + _record(_LIBXC["STATIC_DATA_END"])


def _hvm_tail() -> Iterator[bytes]:
    context = _context([*_CONTEXT_TYPES.values(), _END_TYPE])
    yield _tsc()
    yield _header(_LIBXC["HVM_CONTEXT"], len(context)) + context + _padding(len(context))
    yield _hvm_end()


def _hvm_end() -> bytes:
    pages = ("STORE_PFN", "IOREQ_PFN", "BUFIOREQ_PFN", "CONSOLE_PFN")
    params = [{"index": name, "value": 0xFF000 + hvm.PARAMS[name]} for name in pages]
    return _record(_LIBXC["HVM_PARAMS"], count=len(params), params=params) + _record(_LIBXC["END"])


def _hvm(size: int) -> Iterator[bytes]:
    yield _hvm_head()
    yield from _memory(size // PAGE, _hvm_type)
    yield from _hvm_tail()


def _single(size: int) -> Iterator[bytes]:
    yield _hvm_head()
    yield from _many(lambda pfn: _batch((pfn,), _hvm_type, 0), range(_HOLE.stop, _HOLE.stop + size // L.RUN_DATA_SIZE))
    yield from _hvm_tail()


def _bare(size: int) -> Iterator[bytes]:
    yield _hvm_head()
    yield from _many(partial(_one_entry, _TYPES["XTAB"].code), range(size // L.RUN_BARE_SIZE))
    yield from _hvm_tail()


def _many(make: Callable[[int], bytes], numbers: range) -> Iterator[bytes]:
    """Small records, one for each number, many at a time."""
    for first in range(0, len(numbers), L.BATCH_MAX):
        yield b"".join(map(make, numbers[first : first + L.BATCH_MAX]))


def _contexts(size: int) -> Iterator[bytes]:
    """An image whose HVM_CONTEXT has as many vcpus as go into `size` octets, or into a record."""
    head = _context([_CONTEXT_TYPES["HEADER"]])
    vcpu = bytearray(_context(_CONTEXT_TYPES[name] for name in _OF_A_VCPU))
    end = _context([_END_TYPE])
    vcpus = (min(size, L.RECORD_LENGTH_MAX) - len(head) - len(end)) // len(vcpu)
    length = len(head) + len(vcpu) * vcpus + len(end)
    yield _hvm_head() + _batch(range(1), _hvm_type, 0) + _tsc()
    yield _header(_LIBXC["HVM_CONTEXT"], length) + head
    places = []
    at = L.PLACES["libxc.HVM_CONTEXT.context"]["instance"][0]
    for name in _OF_A_VCPU:
        places.append(at)
        at += L.SIZES["libxc.HVM_CONTEXT.context"] + _CONTEXT_TYPES[name].lengths[-1]
    for instance in range(vcpus):
        for place in places:
            pack_into("<H", vcpu, place, instance)
        yield bytes(vcpu)
    yield end + _padding(length) + _hvm_end()


def _libxl(size: int) -> Iterator[bytes]:
    options = {"legacy": 0, "endian": 0}
    yield bytes(libxl.HEADER.build({"version": libxl.VERSION, "options": options})) + _record(_LIBXL["LIBXC_CONTEXT"])
    yield from _hvm(size)
    # What QEMU's own record begins with.  The xenstore record is left out: no current QEMU needs one.
    octets = next(known.octets for known in magic.MAGICS if known.key == "qemu")
    emulator = {"emulator_id": "QEMU_UPSTREAM", "index": 0, "context": octets + pack(">I", 3) + bytes(PAGE)}
    yield _record(_LIBXL["EMULATOR_CONTEXT"], **emulator) + _record(_LIBXL["END"])


def _xl(size: int) -> Iterator[bytes]:
    configuration = b'{"c_info": {"type": "hvm", "name": "guest"}}\0'
    data = xl.RECORDS[0].body.build({"config_len": len(configuration), "config": configuration, "rest": b""})
    flags = {"stream_v2": 1, "json": 1}
    values = {"mandatory_flags": flags, "byteorder": xl.BYTE_ORDER, "optional_flags": 0, "optional_data_len": len(data)}
    yield xl.HEADER.build(values) + data
    yield from _libxl(size)


# -- PV ---------------------------------------------------------------------------------------------------------


def _pv_head(frames: int) -> bytes:
    # The guest's own p2m: one ordinary page of every so many, among the frames it covers.
    per_page = PAGE // _WIDTH
    p2m = {"start_pfn": 0, "end_pfn": frames - 1, "frames": range(0, frames, per_page)}
    return (
        _image("pv")
        + _record(_LIBXC["X86_PV_INFO"], guest_width=_WIDTH, pt_levels=_LEVELS)
        + _record(_LIBXC["STATIC_DATA_END"])
        + _record(_LIBXC["X86_PV_P2M_FRAMES"], **p2m)
    )


def _pv_tail() -> Iterator[bytes]:
    basic = bytearray(libxc.VCPU_CONTEXT_SIZES[_WIDTH])
    shift, _ = L.PTE_PFN
    pack_into("<Q", basic, _CR3, min(_TABLES) << shift)
    yield _tsc() + _record(_LIBXC["SHARED_INFO"], page=bytes(PAGE))
    vcpu: dict[str, dict[str, Any]] = {
        "BASIC": {"context": bytes(basic)},
        "EXTENDED": {"context": pack("<II", 0, _EXTENDED_SIZE).ljust(_EXTENDED_SIZE, b"\0")},
        "XSAVE": {"context": pack("<QQ", _XCR0, _XCR0) + bytes(_XSAVE_AREA)},
        "MSRS": {"msrs": [{"index": _TSC_AUX, "value": 0}]},
    }
    for kind, values in vcpu.items():
        yield _record(_LIBXC[f"X86_PV_VCPU_{kind}"], vcpu_id=0, **values)
    yield _record(_LIBXC["END"])


def _pv(size: int) -> Iterator[bytes]:
    frames = size // PAGE
    yield _pv_head(frames)
    yield from _memory(frames, _pv_type)
    yield from _pv_tail()


# -- bad ones ---------------------------------------------------------------------------------------------------


def _bad(record: bytes, guest: str, size: int) -> Iterator[bytes]:
    """A small guest's image in which `record` comes again and again."""
    frames = SMALL // PAGE
    yield _pv_head(frames) if guest == "pv" else _hvm_head()
    yield from _memory(frames, _pv_type if guest == "pv" else _hvm_type)
    yield from _many(lambda _: record, range(size // len(record)))
    yield from _pv_tail() if guest == "pv" else _hvm_tail()


_XTAB = _TYPES["XTAB"].code
_UNKNOWN_TYPE = max(_LIBXC.values(), key=lambda row: row.code).code + 1
_RESERVED_PAGE_TYPE = 5
# Name of the sample: the clause that each of its records breaks, the guest, the record.
BAD = {
    "bad-reserved": ("LIBXC-PAGE-HDR-RSVD", "hvm", _one_entry(_XTAB, 0, reserved=1)),
    "bad-unknown": (
        "LIBXC-REC-UNKNOWN-MAND",
        "hvm",
        bytes(libxc.RECORD_HEADER.build({"type": _UNKNOWN_TYPE, "length": 16})) + bytes(16),
    ),
    "bad-type": ("LIBXC-PAGE-TYPE", "hvm", _one_entry(_RESERVED_PAGE_TYPE, 0)),
    "bad-pfn": ("LIBXC-PAGE-PFN-PV", "pv", _one_entry(_XTAB, SMALL // PAGE)),
}


def recipe(size: int) -> str:
    """A recipe of an HVM guest of that size in an xl file."""
    pages = max(size // PAGE, 1)
    return f'recipe = 1\nguest = "hvm"\nform = "xl"\n[memory]\npages = {pages}\nfill = "random"\n'


def _built(size: int) -> Iterator[bytes]:
    """What that recipe makes."""
    return map(bytes, recipes.load(recipe(size)).stream.pieces())


SAMPLES: dict[str, Callable[[int], Iterator[bytes]]] = {
    "hvm": _hvm,
    "pv": _pv,
    "libxl": _libxl,
    "xl": _xl,
    "small": lambda _: _hvm(SMALL),
    "single": _single,
    "bare": _bare,
    "context": _contexts,
    "built": _built,
    **{name: partial(_bad, record, guest) for name, (_, guest, record) in BAD.items()},
}


def write(kind: str, path: str, size: int) -> int:
    """Write sample `kind` of about `size` octets of guest to `path`, onto the disk; returns the file's size."""
    with open(path, "wb") as file:
        for piece in SAMPLES[kind](size):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
