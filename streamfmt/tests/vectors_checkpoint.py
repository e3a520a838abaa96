"""Vectors of the clauses about checkpoints, COLO's conversation and its back channel."""

from __future__ import annotations

from ..writer import Part, Stream, control, dirty, emulator, p2m, pages, pv_info, unknown
from .good import (
    BACK,
    CHECKPOINT_END,
    CPUID,
    END,
    HVM,
    LIBXL_COLO,
    LIBXL_END,
    LIBXL_HEADER,
    LIBXL_HVM,
    LIBXL_REMUS,
    LIBXL_REMUS_PV,
    MSR,
    NEW_CHECKPOINT,
    PV_LAST,
    REMUS_HVM,
    REMUS_PV,
    SDE,
)
from .paths import CKPT_END, DIRTY, EMU, PAGE, STATE
from .vector import Table, Vector, rows


# A list as secondaries of 4.18 and later send it: eight zeros behind the header, which its length does not count.
def _shifted(*pfns: int) -> Part:
    octets = bytes(8) + b"".join(pfn.to_bytes(8, "little") for pfn in pfns)
    return Part(DIRTY, octets=octets, claim=8 * len(pfns))


def _later(part: Part, stream: Stream = REMUS_HVM) -> Stream:
    """With `part` at the beginning of the last checkpoint."""
    return stream.before(PAGE, part, nth=-1)


_V2 = Stream(tuple(part for part in REMUS_HVM if part not in (CPUID, MSR, SDE))).patch(
    "libxc.image_header", "version", 2
)

ACCEPTING: Table = {
    "CKPT-STATIC-ONCE": {"remus": Vector(REMUS_PV), "declared": Vector(REMUS_HVM, mode="remus"), "v2": Vector(_V2)},
    "COLO-HVM": {"declared": Vector(LIBXL_COLO, mode="colo")},
    "COLO-NEW-FWD": {"back": Vector(BACK), "forward": Vector(LIBXL_COLO)},
    "COLO-DIRTY-LEN": {"long": Vector(BACK.swap(DIRTY, dirty(*range(9000))), large=True)},
    "COLO-DIRTY-HDR": {
        "frame-0-first": Vector(BACK.swap(DIRTY, dirty(0, 7))),
        "frame-0-alone": Vector(BACK.swap(DIRTY, dirty(0))),
        "frame-0-at-the-end": Vector(Stream(BACK.parts[:3]).then(dirty(0))),
        "empty-at-the-end": Vector(Stream(BACK.parts[:3]).then(dirty())),
        # The list's frames look like the header of what should follow it.
        "frames-like-a-header": Vector(BACK.swap(DIRTY, dirty(0, 0x400000005))),
    },
    "COLO-DIRTY-POS": {"first-round-only": Vector(Stream(BACK.parts[:2])), "whole": Vector(BACK)},
    "LIBXL-BACK-TYPES": {"declared": Vector(BACK, form="back-channel", mode="colo")},
    "LIBXL-BACK-NOHDR": {"none": Vector(BACK, form="back-channel")},
    "LIBXL-CKPTSTATE-ID": {
        # A recording that began later.
        **{f"back-from-{n}": Vector(Stream(BACK.parts[n:]), form="back-channel") for n in (1, 2, 3)},
    },
    "REMUS-BACK": {"colo": Vector(BACK, mode="colo")},
    "LIBXC-CKPT-PLAIN": {"none": Vector(HVM, mode="plain"), "undeclared": Vector(REMUS_HVM)},
}

BREAKING: Table = {
    "CKPT-STATIC-ONCE": {
        "end-of-static-data": Vector(_later(SDE)),
        "in-second-checkpoint": Vector(REMUS_HVM.before(PAGE, SDE, nth=-2)),
        "cpuid": Vector(_later(CPUID)),
        "msr": Vector(_later(MSR)),
        "pv-info": Vector(_later(pv_info(8, 4), REMUS_PV)),
        "frame-list": Vector(_later(p2m(0, PV_LAST, 1), REMUS_PV)),
        "all-of-them": Vector(_later(CPUID).before(PAGE, MSR, SDE, nth=-1)),
        "v2-policy": Vector(_later(CPUID, _V2)),
        "v2-end": Vector(_later(SDE, _V2)),
        "inside-libxl": Vector(_later(SDE, LIBXL_REMUS)),
    },
    "COLO-HVM": {
        "declared": Vector(LIBXL_REMUS_PV, mode="colo"),
        "bare": Vector(REMUS_PV, mode="colo"),
        "seen": Vector(LIBXL_REMUS_PV.after(CKPT_END, NEW_CHECKPOINT)),
    },
    "COLO-NEW-FWD": {
        **rows(lambda n: LIBXL_COLO.patch(STATE, "control_id", n), suspended=1, ready=2, resumed=3),
        "later": Vector(LIBXL_COLO.patch(STATE, "control_id", 2, nth=1)),
        "back": Vector(BACK.before(STATE, NEW_CHECKPOINT, nth=2)),
        "back-first": Vector(BACK.before(STATE, NEW_CHECKPOINT), form="back-channel"),
    },
    "COLO-DIRTY-LEN": rows(lambda n: BACK.resized(DIRTY, n), one=1, seven=7, nine=9, twenty=20),
    "COLO-DIRTY-HDR": {
        "frames": Vector(BACK.swap(DIRTY, _shifted(5, 9))),
        "one-frame": Vector(BACK.swap(DIRTY, _shifted(5))),
        "none": Vector(BACK.swap(DIRTY, _shifted())),
        "both": Vector(BACK.swap(DIRTY, _shifted(5), nth=0).swap(DIRTY, _shifted(), nth=1)),
        "at-the-end": Vector(Stream(BACK.parts[:3]).then(_shifted(5, 6, 7))),
        "many": Vector(BACK.swap(DIRTY, _shifted(*range(1, 70_000))), large=True),
    },
    "COLO-DIRTY-POS": {
        "missing": Vector(BACK.without(DIRTY)),
        "before-suspended": Vector(BACK.before(STATE, dirty(4), nth=2)),
        "twice": Vector(BACK.after(DIRTY, dirty(1))),
        "after-ready": Vector(BACK.after(STATE, dirty(1), nth=0)),
    },
    "LIBXL-BACK-TYPES": {
        name: Vector(BACK.after(STATE, part, nth=1))
        for name, part in (
            ("end", LIBXL_END),
            ("checkpoint-end", CHECKPOINT_END),
            ("context", Part("libxl.LIBXC_CONTEXT")),
            ("emulator", emulator()),
            ("unknown", unknown("libxl", 6)),
            ("optional", unknown("libxl", 1 << 31, b"body")),
        )
    },
    "LIBXL-BACK-NOHDR": {
        "libxl": Vector(Stream((LIBXL_HEADER, *BACK)), form="back-channel"),
        "libxc": Vector(Stream((*HVM.parts[:2], *BACK)), form="back-channel"),
        "forward": Vector(LIBXL_HVM, form="back-channel"),
    },
    "REMUS-BACK": {"remus": Vector(BACK, mode="remus"), "plain": Vector(BACK, mode="plain")},
    "LIBXC-CKPT-PLAIN": {
        "bare": Vector(REMUS_HVM.then(END), mode="plain"),
        "inside": Vector(LIBXL_REMUS.then(*HVM.parts[HVM.find(PAGE) :], LIBXL_END), mode="plain"),
    },
    "LIBXL-REC-TRUNC": {
        "back-channel-empty": Vector(Stream(()), form="back-channel"),
        "back-channel-header": Vector(BACK.upto(STATE, 2, extra=5)),
        "back-channel-state": Vector(BACK.upto(STATE, 2, extra=12)),
    },
    "LIBXC-REC-TRUNC": {"back-channel": Vector(BACK.upto(DIRTY, extra=17))},
    "LIBXC-REC-LENGTH-MAX": {"back-channel": Vector(BACK.edit(DIRTY, claim=(128 << 20) + 8))},
    "LIBXL-REC-PAD": {"back-channel": Vector(BACK.edit(STATE, 1, padding=b"\1\0\0\0"))},
    "LIBXL-CKPTSTATE-LEN": rows(lambda n: BACK.resized(STATE, n, nth=2), back_empty=0, back_three=3, back_eight=8),
    "LIBXL-CKPTSTATE-ID": {
        "back-unknown": Vector(BACK.before(STATE, control(4), nth=1)),
        "back-ready-twice": Vector(BACK.before(STATE, control(2), nth=1)),
        "back-suspended-early": Vector(BACK.without(STATE, nth=1)),
        "unannounced": Vector(LIBXL_COLO.without(STATE, nth=1), mode="colo"),
        "never-announced": Vector(LIBXL_COLO.without(STATE).without(STATE), mode="colo"),
    },
    "LIBXL-CKPTSTATE-CTX": {
        "twice": Vector(LIBXL_COLO.before(STATE, NEW_CHECKPOINT)),
        "remus": Vector(LIBXL_COLO, mode="remus"),
    },
    "CKPT-CUT": {"behind-a-hole": Vector(REMUS_HVM.then(pages((4, "XTAB"))))},
    "LIBXL-EMU-CTX": {"colo-without": Vector(LIBXL_COLO.without(EMU, nth=1), mode="colo")},
    "CKPT-CKPT-REC": {
        "none-in-remus": Vector(HVM, mode="remus"),
        "none-in-colo": Vector(LIBXL_HVM, mode="colo"),
    },
}
