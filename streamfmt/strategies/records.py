"""Single records of a conforming stream, each with any content that its schema and clauses allow.

Contents of pages are not drawn: they follow from the frame, so that examples stay small.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import strategies as st

from .. import tables
from ..payload_tables import FORMS, INSTANCES
from ..schema import hvm, libxc, libxl, qemu
from ..writer import (
    Part,
    context,
    control,
    dirty,
    emulator,
    p2m,
    pages,
    params,
    pv_info,
    record,
    sized,
    vcpu,
    vcpu_msrs,
    xenstore,
)
from ..writer.builders import XENOPS, XSAVE_SIZE
from ..writer.qemu import small_record
from .payloads import contents

U32, U64 = (1 << 32) - 1, (1 << 64) - 1
words = st.integers(0, U32)
values = st.integers(0, U64)

KINDS = tuple(row.name for row in libxc.PAGE_TYPES)
_TABLES = {row.name for row in libxc.PAGE_TYPES if row.table}
kinds = st.sampled_from(KINDS)
# Frames near 0, which is where small examples have all of theirs, or anywhere an address of 52 bits can point.
frames = st.integers(0, 15) | st.integers(0, tables.PTE_PFN[1])

# A page table with one present entry, for frame 1, and one that is full of leftovers but absent.
_TABLE = (
    ((1 << tables.PTE_PFN[0]) + tables.PTE_PRESENT).to_bytes(8, "little")
    + b"\xfe"
    + b"\xff" * 7
    + bytes(libxc.PAGE_SIZE - 16)
)


def batch(entries: Sequence[tuple[int, str]], blank: bool = False) -> Part:
    """PAGE_DATA of these frames and types; page tables in it point into the smallest of guests.

    Frame 0 is all zeros, since a PV guest's vcpu 0 finds the frame numbers of its rings there; `blank` makes them all.
    """
    content = {pfn: _TABLE for pfn, kind in entries if kind in _TABLES}
    content |= {pfn: bytes(libxc.PAGE_SIZE) for pfn, kind in entries if blank or (not pfn and kind not in _TABLES)}
    return pages(*entries, content=content)


# Policies that any host has: the first leaves, and two MSRs (MSR_INTEL_PLATFORM_INFO, MSR_ARCH_CAPABILITIES).
_LEAVES = ((0, U32, 1, 1, 1, 1), (1, U32, 1, 1, 1, 1))
_MSRS = ((0xCE, 0), (0x10A, 1))


@st.composite
def cpuid(draw: st.DrawFn) -> Part:
    """X86_CPUID_POLICY."""
    rows = draw(st.lists(st.sampled_from(_LEAVES) | st.tuples(*[words] * 6), min_size=1, max_size=3))
    names = ("leaf", "subleaf", "eax", "ebx", "ecx", "edx")
    return record("libxc.X86_CPUID_POLICY", leaves=[dict(zip(names, row, strict=True)) for row in rows])


@st.composite
def msrs(draw: st.DrawFn) -> Part:
    """X86_MSR_POLICY."""
    rows = draw(st.lists(st.sampled_from(_MSRS) | st.tuples(words, values), min_size=1, max_size=3))
    return record("libxc.X86_MSR_POLICY", msrs=[{"index": index, "value": value} for index, value in rows])


def tsc() -> st.SearchStrategy[Part]:
    """X86_TSC_INFO."""
    modes = st.integers(0, 3)
    return st.builds(record, st.just("libxc.X86_TSC_INFO"), mode=modes, khz=words, nsec=values, incarnation=words)


@st.composite
def context_entry(draw: st.DrawFn) -> tuple[int, int, bytes]:
    """An entry of the HVM context, of one of the lengths that its type has had."""
    row = draw(st.sampled_from([row for row in hvm.CONTEXT_TYPES if row.code not in (hvm.HEADER_TYPE, hvm.END_TYPE)]))
    forms = sorted({*FORMS[f"hvm.{row.name}"].values()})
    instance = draw(st.integers(0, min(row.instances, 4) - 1))
    return row.code, instance, draw(contents(draw(st.sampled_from(forms)), instance)).data


def _which(kind: int, instance: int) -> int:
    """The vcpu or device that an entry is about; 0 where there is one."""
    return instance if INSTANCES[kind] > 1 else 0


HEADER_ENTRY = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
END_ENTRY = (hvm.END_TYPE, 0, b"")


@st.composite
def hvm_context(draw: st.DrawFn, most: int) -> Part:
    """HVM_CONTEXT of up to `most` entries between the first and the last."""
    entries = st.lists(context_entry(), max_size=most, unique_by=lambda entry: (entry[0], _which(*entry[:2])))
    return context(HEADER_ENTRY, *draw(entries), END_ENTRY)


@st.composite
def hvm_params(draw: st.DrawFn, version: int) -> Part:
    """HVM_PARAMS, without PAE_ENABLED in images of version 3."""
    known = [n for n in range(hvm.PARAMS_END) if version < libxc.VERSION_STATIC or n != hvm.PARAM_PAE_ENABLED]
    return params(*draw(st.lists(st.tuples(st.sampled_from(known), values), min_size=1, max_size=4)))


@st.composite
def frame_list(draw: st.DrawFn, width: int, end: int) -> Part:
    """X86_PV_P2M_FRAMES of a guest whose last frame is `end`, and whose frames 0 and 1 are ordinary pages."""
    per_frame = libxc.PAGE_SIZE // width
    start = draw(st.integers(0, min(end, per_frame - 1)))
    count = end // per_frame - start // per_frame + 1
    return p2m(start, end, *draw(st.lists(st.sampled_from((1, 0)), min_size=count, max_size=count)))


def width_info(width: int) -> Part:
    """X86_PV_INFO of a guest of that width."""
    return pv_info(*next(row for row in libxc.PV_COMBINATIONS if row[0] == width))


# Names of optional vcpu records, and how much context each may have.
_OPTIONAL_VCPU = {
    "EXTENDED": st.just(64) | st.sampled_from((64, libxc.EXTENDED_MAX)) | st.integers(1, libxc.EXTENDED_MAX),
    "XSAVE": st.sampled_from((libxc.XSAVE_MIN, XSAVE_SIZE)),
}


@st.composite
def vcpu_records(draw: st.DrawFn, width: int, number: int, need: Collection[str]) -> list[Part]:
    """What an image has of one vcpu."""
    found = [vcpu("BASIC", number, libxc.VCPU_CONTEXT_SIZES[width])]
    for kind, sizes in _OPTIONAL_VCPU.items():
        if (number == 0 and f"libxc.X86_PV_VCPU_{kind}" in need) or draw(st.booleans()):
            found.append(vcpu(kind, number, draw(sizes)))
    if (number == 0 and "libxc.X86_PV_VCPU_MSRS" in need) or draw(st.booleans()):
        rows = draw(st.lists(st.tuples(words, values), min_size=1, max_size=2))
        found.append(vcpu_msrs(number, *rows))
    return found


TOP_TABLES = {
    width: tuple(row.name for row in libxc.PAGE_TYPES if row.level == levels) for width, levels in libxc.PV_COMBINATIONS
}


def emulator_context() -> st.SearchStrategy[Part]:
    """EMULATOR_CONTEXT of the one emulator that is still written."""
    return qemu_records.map(emulator)


# Octets of a device's state that nothing else in QEMU's stream could be taken for.
_STATE = st.binary(max_size=9).map(lambda data: data.translate(None, bytes(range(1, 9)) + b"\x7e"))
# A device model's records.
qemu_records = st.lists(_STATE, max_size=2).map(lambda payloads: small_record(*payloads))
keys = st.text(libxl.XENSTORE_KEY.decode(), min_size=1, max_size=8).map(
    lambda key: "/".join(filter(None, key.split("/"))) or "a"
)
_value = st.text(libxl.XENSTORE_VALUE.decode(), max_size=8)


@st.composite
def emulator_xenstore(draw: st.DrawFn) -> Part:
    """EMULATOR_XENSTORE_DATA of keys, which are relative, and values."""
    pairs = draw(st.lists(st.tuples(keys, _value), min_size=1, max_size=3))
    return xenstore(*(text for pair in pairs for text in pair))


def dirty_list() -> st.SearchStrategy[Part]:
    """CHECKPOINT_DIRTY_PFN_LIST, as a COLO secondary sends it."""
    return st.lists(frames, max_size=4).map(lambda found: dirty(*found))


_EXAMPLES: dict[str, st.SearchStrategy[Part]] = {
    "libxc.PAGE_DATA": st.lists(st.tuples(frames, kinds), min_size=1, max_size=2).map(batch),
    "libxc.X86_PV_INFO": st.sampled_from((8, 4)).map(width_info),
    "libxc.X86_PV_P2M_FRAMES": st.just(p2m(0, 3, 1)),
    "libxc.X86_PV_VCPU_BASIC": st.just(vcpu("BASIC", 0, libxc.VCPU_CONTEXT_SIZES[8])),
    "libxc.X86_PV_VCPU_EXTENDED": st.just(vcpu("EXTENDED", 0, 64)),
    "libxc.X86_PV_VCPU_XSAVE": st.just(vcpu("XSAVE", 0, libxc.XSAVE_MIN)),
    "libxc.X86_PV_VCPU_MSRS": st.just(vcpu_msrs(0, (0, 0))),
    "libxc.SHARED_INFO": st.just(record("libxc.SHARED_INFO", page=bytes(libxc.PAGE_SIZE))),
    "libxc.X86_TSC_INFO": tsc(),
    "libxc.HVM_CONTEXT": hvm_context(2),
    "libxc.HVM_PARAMS": hvm_params(3),
    "libxc.X86_CPUID_POLICY": cpuid(),
    "libxc.X86_MSR_POLICY": msrs(),
    "libxc.TOOLSTACK": st.binary(max_size=9).map(lambda data: record("libxc.TOOLSTACK", data)),
    "libxc.CHECKPOINT_DIRTY_PFN_LIST": dirty_list(),
    "libxl.EMULATOR_XENSTORE_DATA": emulator_xenstore(),
    "libxl.EMULATOR_CONTEXT": emulator_context(),
    "libxl.CHECKPOINT_STATE": st.just(control(libxl.CHECKPOINT_STATES["NEW"])),
    "xapi.XENOPS": st.just(sized("XENOPS", XENOPS)),
    "xapi.VARSTORED": st.binary(max_size=9).map(lambda data: sized("VARSTORED", data)),
    "xapi.SWTPM": st.just(sized("SWTPM", b"AAAA")),
    "xapi.QEMU_TRAD": st.just(sized("QEMU_TRAD", qemu.EMPTY)),
}


def example(path: str) -> st.SearchStrategy[Part]:
    """A record of that path with nothing wrong in it, for any place."""
    return _EXAMPLES[path] if path in _EXAMPLES else st.just(record(path))
