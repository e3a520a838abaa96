"""Vectors of the libxc layer: PV guests' own records, and memory, which HVM guests share.

The tables are laid out as in `vectors_libxl`.
"""

from __future__ import annotations

from ..schema import libxc
from ..writer import (
    TOP_TABLE,
    Part,
    Stream,
    p2m,
    pages,
    pv_info,
    record,
    vcpu,
)
from .good import (
    HVM,
    PV,
    PV32,
    PV_LAST,
    PV_PAGES,
    PV_V2,
    REMUS_PV,
)
from .paths import BASIC, EXTENDED, INFO, MSRS, PAGE, SHINFO, TSC_INFO, X_END, XSAVE
from .vector import Table, Vector, rows

P2M = "libxc.X86_PV_P2M_FRAMES"

VCPU_PATHS = (BASIC, EXTENDED, XSAVE, MSRS)
CONTEXT_64 = libxc.VCPU_CONTEXT_SIZES[8]
CONTEXT_32 = libxc.VCPU_CONTEXT_SIZES[4]


def _extra(*parts: Part) -> Stream:
    """PV with more records before its END."""
    return PV.before(X_END, *parts)


def _memory(*parts: Part) -> Stream:
    """PV with more records after its memory."""
    return PV.after(PAGE, *parts)


def _some(*pfns: int, top: str = "L4TAB") -> Part:
    """Memory of these frames, all but the first few of them holes."""
    kinds = {0: "NOTAB", 1: "NOTAB", TOP_TABLE: top}
    return pages(*((pfn, kinds.get(pfn, "XTAB")) for pfn in pfns), content={0: bytes(libxc.PAGE_SIZE)})


def _sized(image: Stream, start: int, end: int, frames: int) -> Stream:
    """A PV image of frames 0 to `end`, nearly all of them holes, whose frame list has `frames` entries."""
    top = "L4TAB" if image.part(INFO).values["guest_width"] == 8 else "L3TAB"
    return image.swap(P2M, p2m(start, end, *[1] * frames)).swap(PAGE, _some(*range(end + 1), top=top))


def _second(image: Stream, path: str) -> Stream:
    return image.after(path, image.part(path))


def _table_content(slot: int, frame: int) -> bytes:
    """A page table with one present entry."""
    return bytes(8 * slot) + (frame << 12 | 1).to_bytes(8, "little") + bytes(4088 - 8 * slot)


def _table(slot: int, frame: int) -> Part:
    return pages((TOP_TABLE, "L4TAB"), content={TOP_TABLE: _table_content(slot, frame)})


_EVERY_TYPE = pages(*enumerate(row.name for row in libxc.PAGE_TYPES))

ACCEPTING: Table = {
    "LIBXC-PVINFO-COMBO": {"64-bit": Vector(PV), "32-bit": Vector(PV32)},
    "LIBXC-P2M-LEN": rows(
        _sized,
        one_full=(PV, 0, 511, 1),
        second_begun=(PV, 0, 512, 2),
        across=(PV, 511, 512, 2),
        narrow_full=(PV32, 0, 1023, 1),
        narrow_second_begun=(PV32, 0, 1024, 2),
    ),
    "LIBXC-P2M-RANGE": rows(_sized, equal=(PV, 3, 3, 1)),
    "LIBXC-P2M-E0": {"two-pages": Vector(_sized(PV, 0, 1, 1))},
    "LIBXC-PAGE-LEN": {"five-thousand-entries": Vector(HVM.before(PAGE, pages(*((n, "XTAB") for n in range(5000)))))},
    "LIBXC-PAGE-TYPE": {"every-type": Vector(HVM.before(TSC_INFO, _EVERY_TYPE))},
    "LIBXC-PAGE-PFN-PV": {
        "hvm-has-no-limit": Vector(HVM.before(TSC_INFO, pages(((1 << 52) - 1, "XTAB"), (0, "XTAB"))))
    },
    "LIBXC-PAGE-COVER": {
        "in-any-order": Vector(PV.swap(PAGE, *(pages((n, "XTAB")) for n in (3, 0, 2, 1, 0)), PV_PAGES))
    },
    "LIBXC-PTE-PFN": {"deep": Vector(PV, deep=True), "deep-32": Vector(PV32, deep=True)},
    "LIBXC-VCPU-EXT-LEN": rows(lambda n: PV.swap(EXTENDED, vcpu("EXTENDED", 0, n)), least=1, most=128),
    "LIBXC-VCPU-XSAVE-LEN": rows(lambda n: PV.swap(XSAVE, vcpu("XSAVE", 0, n)), least=16, odd=17, large=5000),
    "LIBXC-VCPU-REPEAT": {
        "other-vcpu": Vector(_extra(vcpu("EXTENDED", 1, 64))),
        "highest-vcpu": Vector(_extra(vcpu("EXTENDED", 0xFFFFFFFF, 64))),
        "once-per-checkpoint": Vector(REMUS_PV),
    },
}

BREAKING: Table = {
    "LIBXC-PVINFO-LEN": rows(lambda n: PV.resized(INFO, n), empty=0, short=7, long=9, twice=16),
    "LIBXC-PVINFO-COMBO": rows(
        lambda width, levels: PV.put(INFO, guest_width=width, pt_levels=levels),
        wide_three=(8, 3),
        narrow_four=(4, 4),
        zero=(0, 0),
        five=(8, 5),
    ),
    "LIBXC-PVINFO-ONCE": {
        "same": Vector(_second(PV, INFO)),
        "other": Vector(PV.after(INFO, pv_info(4, 3))),
        "v2": Vector(_second(PV_V2, INFO)),
    },
    "LIBXC-PVINFO-FIRST": {
        "missing": Vector(PV.without(INFO)),
        "missing-v2": Vector(PV_V2.without(INFO)),
        "after-frames": Vector(PV.moved(INFO, before=PAGE)),
        "after-vcpu": Vector(PV_V2.moved(EXTENDED, before=INFO)),
        "after-shared-info": Vector(PV_V2.moved(SHINFO, before=INFO)),
    },
    "LIBXC-P2M-LEN": {
        **rows(
            _sized,
            none=(PV, 0, 3, 0),
            two=(PV, 0, 511, 2),
            one_missing=(PV, 0, 512, 1),
            across=(PV, 511, 512, 1),
            narrow=(PV32, 0, 1023, 2),
            wide_for_narrow=(PV32, 0, 600, 2),
        ),
        **{f"octets-{n}": Vector(PV.resized(P2M, n)) for n in (0, 7, 15, 17)},
        "whole-range": Vector(PV.patch(P2M, "end_pfn", 0xFFFFFFFF)),
    },
    "LIBXC-P2M-START": rows(_sized, second=(PV, 512, 600, 1), far=(PV, 5120, 5121, 1)),
    "LIBXC-P2M-RANGE": {
        "reversed": Vector(PV.swap(P2M, p2m(9, 1))),
        "reversed-in-one-frame": Vector(PV.swap(P2M, p2m(4, 3, 1))),
        "v2": Vector(PV_V2.swap(P2M, p2m(0xFFFFFFFF, 0))),
    },
    "LIBXC-P2M-BEFORE-PAGES": {
        "missing": Vector(PV.without(P2M)),
        "missing-as-the-pages-are": Vector(PV.without(P2M).without("libxc.PAGE_DATA")),
        "after-pages": Vector(PV.moved(P2M, before=TSC_INFO)),
        "between-pages": Vector(PV_V2.before(P2M, pages((0, "XTAB")))),
    },
    "LIBXC-P2M-REPEAT": {
        "same": Vector(_second(PV, P2M)),
        "smaller": Vector(PV.after(P2M, p2m(0, 2, 1))),
        # A frame is to be the guest's; the range of the one list does not bound it.
        "smaller-naming-a-later-frame": Vector(
            PV.after(P2M, p2m(0, 2, 3)).swap(PAGE, pages((0, "NOTAB"), (1, "NOTAB"), (2, "L4TAB"), (3, "NOTAB")))
        ),
    },
    "LIBXC-P2M-ENTRY": {
        **rows(
            lambda frame: PV.put(P2M, frames=[frame]), beyond=PV_LAST + 1, far_beyond=(1 << 64) - 1, table=2, hole=3
        ),
        "later-a-hole": Vector(_memory(pages((1, "XTAB")))),
        "later-a-table": Vector(_memory(pages((1, "L2TAB"), content={1: bytes(4096)}))),
    },
    "LIBXC-P2M-E0": {"one-page": Vector(PV.swap(P2M, p2m(0, 0, 0)).swap(PAGE, pages((0, "NOTAB"))))},
    "LIBXC-PAGE-COUNT": {
        "empty": Vector(HVM.before(TSC_INFO, pages())),
        "with-content": Vector(HVM.before(TSC_INFO, Part(PAGE, octets=bytes(8), fill=8 + 4096))),
        "pv": Vector(_memory(pages())),
    },
    "LIBXC-PAGE-LEN": {
        **rows(
            lambda n: HVM.before(TSC_INFO, record(PAGE, b"\1\0\0\0\0\0\0\0" + bytes(n))),
            no_entry=0,
            part_of_entry=7,
            no_content=8,
            content_short=8 + 4095,
            content_long=8 + 4097,
            two_pages=8 + 8192,
        ),
        **{f"octets-{n}": Vector(HVM.before(TSC_INFO, record(PAGE, bytes(n)))) for n in (0, 4, 7)},
        "count-too-large": Vector(HVM.patch(PAGE, "count", 0xFFFFFFFF)),
        "count-too-small": Vector(HVM.patch(PAGE, "count", 3)),
        "bare-with-content": Vector(HVM.before(TSC_INFO, pages((8, "XTAB")).filled(4096))),
        "pv": Vector(_memory(pages((0, "NOTAB")).filled(8))),
    },
    "LIBXC-PAGE-TYPE": {
        **rows(lambda kind: HVM.patch(PAGE, "entries[1].type", kind), five=5, six=6, seven=7, eight=8),
        "single": Vector(HVM.patch(PAGE, "entries[0].type", 8, nth=3)),
        "single-with-content": Vector(HVM.patch(PAGE, "entries[0].type", 5, nth=1)),
        "pv": Vector(PV.patch(PAGE, "entries[3].type", 8)),
    },
    "LIBXC-PAGE-ENT-RSVD": {
        **rows(
            lambda nth, place, bits: HVM.patch(PAGE, f"entries[{place}].reserved", bits, nth=nth),
            lowest=(0, 0, 1),
            highest=(0, 3, 1 << 7),
            single=(1, 0, 1),
            in_a_run=(2, 0, 1 << 7),
            bare=(3, 0, 1),
        ),
        "pv": Vector(PV.patch(PAGE, "entries[2].reserved", 0xFF)),
    },
    "LIBXC-PAGE-HDR-RSVD": rows(
        lambda nth, bits: HVM.patch(PAGE, "reserved", bits, nth=nth), batch=(0, 1), single=(2, 1 << 31), bare=(3, 1)
    ),
    "LIBXC-PAGE-PFN-PV": {
        "next": Vector(_memory(pages((PV_LAST + 1, "XTAB")))),
        "with-content": Vector(_memory(pages((PV_LAST + 1, "NOTAB")))),
        "highest": Vector(_memory(pages((3, "XTAB"), ((1 << 52) - 1, "XTAB"), (1, "NOTAB")))),
        "in-a-run": Vector(_memory(*(pages((n, "XTAB")) for n in (3, 3, 4, 3)))),
        "slow-path": Vector(_memory(pages((4, "XTAB"))), deep=True),
    },
    "LIBXC-PAGE-COVER": {
        "last": Vector(PV.swap(PAGE, _some(0, 1, 2))),
        "middle": Vector(_sized(PV, 0, 511, 1).swap(PAGE, _some(0, 1, 2, 511))),
        "first": Vector(PV.swap(PAGE, _some(1, 2, 3))),
        "checkpointed": Vector(REMUS_PV.swap(PAGE, _some(0, 1, 2))),
    },
    "LIBXC-PTE-PFN": {
        "first-slot": Vector(_memory(_table(0, PV_LAST + 1)), deep=True),
        "last-slot": Vector(_memory(_table(511, (1 << 40) - 1)), deep=True),
        "second-page": Vector(_memory(pages((1, "NOTAB"), (2, "L4TAB"), content={2: _table_content(7, 4)})), deep=True),
    },
    "LIBXC-SHINFO-LEN": rows(lambda n: PV.resized(SHINFO, n), empty=0, short=4095, long=4097),
    "LIBXC-VCPU-HDR": {
        f"{path.rpartition('_')[2].lower()}-{n}": Vector(_extra(record(path, bytes(n))))
        for path in VCPU_PATHS
        for n in (0, 7)
    },
    "LIBXC-VCPU-BASIC-LEN": {
        **rows(lambda n: PV.resized(BASIC, 8 + n), narrow=CONTEXT_32, short=CONTEXT_64 - 1, long=CONTEXT_64 + 1, one=1),
        **rows(lambda n: PV32.resized(BASIC, 8 + n), wide_for_narrow=CONTEXT_64),
    },
    "LIBXC-VCPU-EXT-LEN": rows(lambda n: PV.swap(EXTENDED, vcpu("EXTENDED", 0, n)), one_more=129, much=4096),
    "LIBXC-VCPU-XSAVE-LEN": rows(lambda n: PV.swap(XSAVE, vcpu("XSAVE", 0, n)), one=1, one_less=15),
    "LIBXC-VCPU-MSRS-LEN": rows(lambda n: PV.resized(MSRS, 8 + n), one=1, one_less=15, one_more=17, half=24),
    "LIBXC-VCPU0-BASIC": {
        "missing": Vector(PV.without(BASIC)),
        "only-vcpu-1": Vector(PV.put(BASIC, vcpu_id=1)),
        "second-checkpoint": Vector(REMUS_PV.without(BASIC, 1)),
    },
    "LIBXC-VCPU-REPEAT": {
        **{path.rpartition("_")[2].lower(): Vector(_second(PV, path)) for path in VCPU_PATHS},
        "in-a-checkpoint": Vector(_second(REMUS_PV, XSAVE)),
    },
}
