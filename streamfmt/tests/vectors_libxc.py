"""Vectors of the libxc layer: headers, framing, and the records of every kind of guest.

The tables are laid out as in `vectors_libxl`.
"""

from __future__ import annotations

from dataclasses import replace

from ..schema import libxc
from ..writer import (
    RECORDS,
    Part,
    Stream,
    context,
    params,
    raw,
    record,
    unknown,
    vcpu,
    vcpu_msrs,
)
from .good import (
    CPUID,
    END,
    HVM,
    HVM_CONTEXT,
    HVM_END_ENTRY,
    HVM_HEADER_ENTRY,
    HVM_MEMORY,
    HVM_PARAMS,
    HVM_V2,
    LIBXL_END,
    LIBXL_HVM,
    LIBXL_PV,
    LIBXL_REMUS,
    MSR,
    PV,
    PV32,
    PV_PAGES,
    PV_V2,
    REMUS_HVM,
    REMUS_PV,
    SDE,
    VERIFY,
)
from .paths import (
    BASIC,
    CHECKPOINT,
    CPUID_POLICY,
    CTX,
    DOMAIN,
    EXTENDED,
    IMAGE,
    INFO,
    MSR_POLICY,
    MSRS,
    PAGE,
    PARAMS,
    SHINFO,
    STATIC_END,
    TSC_INFO,
    X_END,
    XSAVE,
)
from .vector import Table, Vector, rows

P2M = "libxc.X86_PV_P2M_FRAMES"

LIMIT = libxc.RECORD_LENGTH_MAX
VCPU_PATHS = (BASIC, EXTENDED, XSAVE, MSRS)
# As many entries as fill a record of exactly the limit: 8 + 8 C + 4096 N octets.
_FULL_PAGES = 32704
_FULL_ENTRIES = (LIMIT - 8 - 4096 * _FULL_PAGES) // 8


def _full_batch() -> Part:
    """PAGE_DATA of exactly the limit."""
    data, bare = bytes(8), (15 << 60).to_bytes(8, "little")
    head = _FULL_ENTRIES.to_bytes(4, "little") + bytes(4)
    entries = data * _FULL_PAGES + bare * (_FULL_ENTRIES - _FULL_PAGES)
    return Part(PAGE, octets=head + entries, fill=4096 * _FULL_PAGES)


def _ctx(*entries: tuple[int, int, bytes]) -> Stream:
    """HVM with other entries between HEADER and END of its context."""
    return HVM.swap(CTX, context(HVM_HEADER_ENTRY, *entries, HVM_END_ENTRY))


def _extra(*parts: Part) -> Stream:
    """PV with more records before its END."""
    return PV.before(X_END, *parts)


def _second(image: Stream, path: str) -> Stream:
    return image.after(path, image.part(path))


def _guests(part: Part) -> tuple[str, ...]:
    return RECORDS[part.path].guests if part.path in RECORDS else ()


def _blank(batch: Part) -> Part:
    """The same batch with empty pages, whose octets are right in either byte order."""
    return replace(batch, values={**batch.values, "pages": [bytes(4096)] * len(batch.values["pages"])})


ACCEPTING: Table = {
    "LIBXC-IHDR-VERSION": {"two": Vector(HVM_V2), "three": Vector(HVM)},
    "LIBXC-DHDR-TYPE": {"pv": Vector(PV), "hvm": Vector(HVM)},
    "LIBXC-REC-PAD-ZERO": rows(lambda n: _extra(vcpu("EXTENDED", 1, n)), **{f"length-{n}": n for n in range(1, 9)}),
    "LIBXC-REC-LENGTH-MAX": {
        "exactly-128-mib": Vector(PV.swap(XSAVE, Part(XSAVE, octets=bytes(8), fill=LIMIT - 8)), large=True),
        "full-batch": Vector(HVM.before(PAGE, _full_batch()), large=True),
        "full-batch-deep": Vector(HVM.before(PAGE, _full_batch()), deep=True, large=True),
    },
    "LIBXC-REC-TRUNC": {"declared-plain": Vector(HVM, mode="plain")},
    "LIBXC-VERIFY-1": {"plain": Vector(HVM.before(TSC_INFO, VERIFY, *HVM_MEMORY))},
    "LIBXC-REC-ZEROLEN": {"verify": Vector(HVM.before(TSC_INFO, VERIFY, *HVM_MEMORY))},
    # Writers since 4.7 leave END out; whoever puts it behind a whole checkpoint loses nothing.
    "LIBXC-END-LAST": {
        "checkpointed": Vector(REMUS_HVM.then(END)),
        "checkpointed-pv": Vector(REMUS_PV.then(END)),
        "checkpointed-libxl": Vector(LIBXL_REMUS.then(END, LIBXL_END)),
    },
    "LIBXC-SDE-PRESENT": {"no-policies": Vector(HVM.without(CPUID_POLICY).without(MSR_POLICY)), "v2": Vector(PV_V2)},
}

BREAKING: Table = {
    "LIBXC-VERIFY-1": {
        "first-checkpoint": Vector(REMUS_HVM.before(TSC_INFO, VERIFY)),
        "later-checkpoint": Vector(REMUS_PV.before(TSC_INFO, VERIFY, nth=2)),
    },
    "LIBXC-IHDR-MARKER": {
        "declared": Vector(HVM.patch(IMAGE, "marker", b"\xff" * 7 + b"\xfe"), form="libxc"),
        "inside": Vector(LIBXL_HVM.patch(IMAGE, "marker", bytes(8))),
    },
    "LIBXC-IHDR-ID": {
        "declared": Vector(HVM.patch(IMAGE, "id", 0x464E4558), form="libxc"),
        "inside": Vector(LIBXL_PV.patch(IMAGE, "id", 0)),
    },
    "LIBXC-IHDR-VERSION": {
        **rows(lambda n: HVM.patch(IMAGE, "version", n), one=1, four=4, zero=0, swapped=3 << 24),
        "inside": Vector(LIBXL_PV.patch(IMAGE, "version", 4)),
    },
    "LIBXC-IHDR-ENDIAN": {
        **{
            name: Vector(stream.big_endian("libxc"))
            for name, stream in {"hvm": HVM, "hvm-v2": HVM_V2, "pv": PV, "pv-32": PV32, "remus": REMUS_HVM}.items()
        },
        "inside": Vector(LIBXL_HVM.big_endian("libxc")),
        "inside-remus": Vector(LIBXL_REMUS.big_endian("libxc")),
        "deep": Vector(PV.big_endian("libxc").swap(PAGE, _blank(PV_PAGES)), deep=True),
    },
    "LIBXC-IHDR-OPT-RSVD": rows(lambda n: HVM.patch(IMAGE, "options.reserved", n), lowest=1, highest=1 << 14),
    "LIBXC-IHDR-RSVD": rows(
        lambda place, n: HVM.patch(IMAGE, place, n), first=("reserved_1", 1), second=("reserved_2", 1 << 31)
    ),
    "LIBXC-DHDR-TYPE": {
        **rows(lambda n: HVM.patch(DOMAIN, "type", n), zero=0, three=3, four=4, swapped=2 << 24),
        "pv": Vector(PV.patch(DOMAIN, "type", 3)),
        "inside": Vector(LIBXL_HVM.patch(DOMAIN, "type", 0xFFFFFFFF)),
    },
    "LIBXC-DHDR-PAGESHIFT": rows(
        lambda n: PV.patch(DOMAIN, "page_shift", n), zero=0, thirteen=13, alias=44, most=0xFFFF
    ),
    "LIBXC-DHDR-RSVD": rows(lambda n: HVM.patch(DOMAIN, "reserved", n), lowest=1, highest=1 << 15),
    "LIBXC-REC-PAD-ZERO": {
        "first-octet": Vector(_extra(vcpu("EXTENDED", 1, 1)).edit(EXTENDED, 1, padding=b"\1" + bytes(6))),
        "last-octet": Vector(_extra(vcpu("EXTENDED", 1, 1)).edit(EXTENDED, 1, padding=bytes(6) + b"\1")),
        "only-octet": Vector(_extra(vcpu("EXTENDED", 1, 7)).edit(EXTENDED, 1, padding=b"\xff")),
        "hvm-context": Vector(_ctx((16, 0, bytes(601))).edit(CTX, padding=b"\0\0\0\0\0\0\1")),
        "inside": Vector(LIBXL_PV.resized(EXTENDED, 70).edit(EXTENDED, padding=b"\1\0")),
    },
    "LIBXC-REC-LENGTH-MAX": {
        **rows(lambda n: HVM.edit(CTX, claim=n), one_more=LIMIT + 1, rounds_up=0xFFFFFFF9, most=0xFFFFFFFF),
        "pages": Vector(PV.edit(PAGE, claim=LIMIT + 8)),
        "unknown": Vector(HVM.before(TSC_INFO, Part(X_END, code=1 << 31, claim=LIMIT + 1))),
        "end": Vector(HVM.edit(X_END, claim=LIMIT + 1)),
        "inside": Vector(LIBXL_REMUS.edit(CTX, 2, claim=1 << 31)),
    },
    "LIBXC-REC-TRUNC": {
        **rows(
            HVM.upto,
            inside_image_header=(IMAGE, 0, 14),
            before_domain_header=(DOMAIN, 0, 0),
            inside_domain_header=(DOMAIN, 0, 15),
            before_first=(CPUID_POLICY, 0, 0),
            inside_record_header=(CPUID_POLICY, 0, 7),
            inside_policy=(MSR_POLICY, 0, 8 + 17),
            before_memory=(PAGE, 0, 0),
            inside_fixed=(PAGE, 0, 12),
            inside_entries=(PAGE, 0, 8 + 8 + 20),
            before_content=(PAGE, 0, 8 + 8 + 32),
            inside_content=(PAGE, 0, 3000),
            inside_single_entry=(PAGE, 1, 8 + 8 + 4),
            inside_run=(PAGE, 2, 3000),
            before_content_less=(PAGE, 4, 0),
            inside_content_less=(PAGE, 4, 20),
            inside_params=(PARAMS, 0, 8 + 8 + 33),
            inside_context=(CTX, 0, 70),
            before_end=(X_END, 0, 0),
            inside_end=(X_END, 0, 3),
        ),
        **{f"pv-inside-{n}": Vector(PV.upto(path, extra=20)) for n, path in enumerate((P2M, SHINFO, BASIC, MSRS))},
        "inside-padding": Vector(PV.resized(EXTENDED, 70).upto(XSAVE, extra=-1)),
        "inside-odd-pages": Vector(HVM.patch(PAGE, "entries[1].pfn", 7).upto(PAGE, extra=3000)),
        "inside-libxl": Vector(LIBXL_HVM.upto(TSC_INFO, extra=9)),
        "before-first-checkpoint": Vector(REMUS_HVM.upto(CHECKPOINT)),
        "inside-first-checkpoint": Vector(LIBXL_REMUS.upto(CHECKPOINT, extra=7)),
        "declared": Vector(PV.upto(X_END), mode="plain"),
    },
    "LIBXC-REC-UNKNOWN-MAND": {
        **rows(
            lambda code, body: HVM.before(TSC_INFO, unknown("libxc", code, body)),
            first_free=(0x13, b""),
            highest=(0x7FFFFFFF, b"body"),
        ),
        "pv": Vector(_extra(unknown("libxc", 0x14, bytes(5000)))),
    },
    "LIBXC-REC-UNKNOWN-OPT": {
        **rows(
            lambda code, body: HVM.before(TSC_INFO, unknown("libxc", code, body)),
            lowest=(0x80000000, b""),
            like_pages=(0x80000001, b"body"),
        ),
        "first": Vector(PV.before(INFO, unknown("libxc", 0xFFFFFFFF, bytes(5000)))),
        "in-a-later-checkpoint": Vector(LIBXL_REMUS.before(TSC_INFO, unknown("libxc", 1 << 31), nth=2)),
    },
    "LIBXC-REC-WRONG-GUEST": {
        **{
            f"hvm-{part.path.removeprefix('libxc.').lower()}": Vector(HVM.before(TSC_INFO, part))
            for part in PV
            if part.path.startswith("libxc.") and "pv" in _guests(part) and "hvm" not in _guests(part)
        },
        "pv-hvm_context": Vector(_extra(HVM_CONTEXT)),
        "pv-hvm_params": Vector(_extra(HVM_PARAMS)),
    },
    "LIBXC-REC-ZEROLEN": {
        "end": Vector(HVM.edit(X_END, octets=bytes(8))),
        "end-of-one": Vector(PV.edit(X_END, octets=b"\1")),
        "verify": Vector(HVM.before(TSC_INFO, record("libxc.VERIFY", bytes(24)))),
        "checkpoint": Vector(REMUS_HVM.edit(CHECKPOINT, 1, octets=bytes(4))),
        "static-data-end": Vector(PV.edit(STATIC_END, octets=bytes(4096))),
    },
    "LIBXC-REC-NO-EMPTY": {
        "basic": Vector(_extra(vcpu("BASIC", 1, 0))),
        "after-a-full-one": Vector(PV.after(BASIC, vcpu("BASIC", 0, 0))),
    },
    "LIBXC-REC-RSVD": {
        "pv-info": Vector(PV.patch(INFO, "reserved", bytes(5) + b"\1")),
        **{path.rpartition("_")[2].lower(): Vector(PV.patch(path, "reserved", 1)) for path in VCPU_PATHS},
        "msrs-entry": Vector(PV.patch(MSRS, "msrs[0].reserved", 1 << 31)),
        "tsc": Vector(HVM.patch(TSC_INFO, "reserved", 1)),
        "params": Vector(HVM.patch(PARAMS, "reserved", 1 << 31)),
    },
    "LIBXC-END-LAST": {
        "one-octet": Vector(HVM.then(raw(b"x"))),
        "second-image": Vector(PV.then(*PV)),
        "second-end": Vector(PV.then(END, unknown("libxc", 1))),
        "xl-message-cut": Vector(HVM.then(raw(b"domain is yours"))),
    },
    "LIBXC-TOOLSTACK": {
        "hvm": Vector(HVM.before(TSC_INFO, record("libxc.TOOLSTACK", b"\1\0\0\0\0\0\0\0"))),
        "pv": Vector(_extra(record("libxc.TOOLSTACK", b""))),
    },
    "LIBXC-SDE-PRESENT": {
        "hvm": Vector(HVM.without(STATIC_END)),
        "pv": Vector(PV.without(STATIC_END)),
        "no-memory-either": Vector(Stream((*HVM.parts[:2], *HVM.parts[HVM.find(TSC_INFO) :]))),
        "tsc-first": Vector(HVM.moved(TSC_INFO, before=STATIC_END)),
        "params-first": Vector(HVM.moved(PARAMS, before=STATIC_END)),
        "pages-first": Vector(HVM.moved(PAGE, before=STATIC_END)),
        "verify-first": Vector(HVM.before(STATIC_END, VERIFY)),
        "frames-first": Vector(PV.moved(P2M, before=STATIC_END)),
        "checkpointed": Vector(REMUS_HVM.without(STATIC_END)),
        "checkpointed-pv": Vector(REMUS_PV.without(STATIC_END)),
        "vcpu-first": Vector(PV.moved(EXTENDED, before=STATIC_END)),
    },
    "LIBXC-SDE-ONCE": {
        "at-once": Vector(_second(HVM, STATIC_END)),
        "later": Vector(PV.before(TSC_INFO, SDE)),
    },
    "LIBXC-SDE-V2": {"hvm": Vector(HVM_V2.before(PAGE, SDE)), "pv": Vector(PV_V2.before(P2M, SDE))},
    "LIBXC-CPUID-LEN": rows(lambda n: HVM.resized(CPUID_POLICY, n), empty=0, short=23, long=25, msr_like=16),
    "LIBXC-MSR-LEN": rows(lambda n: PV.resized(MSR_POLICY, n), empty=0, short=15, long=17, cpuid_like=24),
    "LIBXC-MSR-FLAGS": rows(
        lambda n, value: HVM.patch(MSR_POLICY, f"msrs[{n}].flags", value), first=(0, 1), last=(1, 1 << 31)
    ),
    "LIBXC-POLICY-ORDER": {
        "cpuid": Vector(HVM.moved(CPUID_POLICY, before=PAGE)),
        "msr": Vector(HVM.moved(MSR_POLICY, before=X_END)),
        "again": Vector(PV.after(P2M, CPUID)),
    },
    "LIBXC-POLICY-V2": {"cpuid": Vector(HVM_V2.before(PAGE, CPUID)), "msr": Vector(PV_V2.before(P2M, MSR))},
    "LIBXC-TSC-LEN": rows(lambda n: HVM.resized(TSC_INFO, n), empty=0, short=23, long=25, longer=32),
    "LIBXC-TSC-PRESENT": {
        "hvm": Vector(HVM.without(TSC_INFO)),
        "pv": Vector(PV.without(TSC_INFO)),
        "second-checkpoint": Vector(REMUS_HVM.without(TSC_INFO, 1)),
    },
    "LIBXC-DIRTY-FWD": {
        "empty": Vector(HVM.before(TSC_INFO, record("libxc.CHECKPOINT_DIRTY_PFN_LIST", b""))),
        "pv": Vector(_extra(record("libxc.CHECKPOINT_DIRTY_PFN_LIST", pfns=[1, 2, 3]))),
        "remus": Vector(LIBXL_REMUS.before(PAGE, record("libxc.CHECKPOINT_DIRTY_PFN_LIST", pfns=[1]), nth=-1)),
    },
    "LIBXC-ERRATA-1": {
        "params": Vector(HVM.swap(PARAMS, params())),
        "params-v2": Vector(HVM_V2.swap(PARAMS, params())),
        "extended": Vector(PV.swap(EXTENDED, vcpu("EXTENDED", 0, 0))),
        "xsave": Vector(PV_V2.swap(XSAVE, vcpu("XSAVE", 0, 0))),
        "msrs": Vector(PV.swap(MSRS, vcpu_msrs(0))),
        # Readers take the empty one as if it were not there, so the other is no repetition.
        "then-a-full-one": Vector(PV.before(EXTENDED, vcpu("EXTENDED", 0, 0))),
        "after-a-full-one": Vector(PV.after(MSRS, vcpu_msrs(0))),
    },
}
