"""Vectors of the libxl layer, of what follows a stream, and of checkpoints.

ACCEPTING and BREAKING map a clause to named :class:`Vector` rows.  A breaking one triggers its clause and no other.
The streams of `streams.GOOD` accept every clause, so ACCEPTING holds only what is worth a stream of its own: the
edge of what is allowed.
"""

from __future__ import annotations

from typing import Any

from ..schema import libxl
from ..writer import (
    Part,
    Stream,
    context,
    emulator,
    pages,
    raw,
    unknown,
    xenstore,
)
from .good import (
    CHECKPOINT_END,
    EMULATOR,
    END,
    HVM,
    HVM_END_ENTRY,
    HVM_HEADER_ENTRY,
    LIBXC_CONTEXT,
    LIBXL_COLO,
    LIBXL_END,
    LIBXL_HEADER,
    LIBXL_HVM,
    LIBXL_PV,
    LIBXL_REMUS,
    LIBXL_REMUS_PV,
    NEW_CHECKPOINT,
    PV,
    REMUS_HVM,
    REMUS_PV,
    XENSTORE,
    wrapped,
)
from .paths import CKPT_END, CONTEXT, EMU, HEADER, L_END, STATE, XS
from .vector import Table, Vector, rows


def _strings(body: bytes) -> Stream:
    """LIBXL_HVM with other strings in its xenstore record."""
    return LIBXL_HVM.edit(XS, octets=XENSTORE.body("<")[:8] + body)


def _draft(width: int) -> Stream:
    entries: list[dict[str, Any]] = [
        {"phys_offset": 0, "start_addr": 0xF0000000, "size": 8 << 20, "namelen": 9, "name": b"vga.vram\0"},
        {"phys_offset": 8 << 20, "start_addr": 0xF1000000, "size": 4096, "namelen": 0, "name": b""},
    ]
    if width == 64:
        entries = [{**entry, "padding": b"\xa5" * 4} for entry in entries]
    body = libxl.DRAFT_XENSTORE_DATA[width].build({"version": 1, "count": len(entries), "entries": entries})
    return LIBXL_HVM.edit(XS, octets=body)


def _late(*parts: Part) -> Stream:
    """A Remus stream whose image ends for good after its last checkpoint; then libxl records."""
    image_end = (*REMUS_HVM.parts[REMUS_HVM.find("libxc.PAGE_DATA", -1) : -1], END)
    return LIBXL_REMUS.then(*image_end, *parts)


QEMU_RECORD = b"QEVM\0\0\0\3" + bytes(24)
XL_GO = b"domain is yours, you are cleared to unpause\0"
TRAILERS: dict[str, Vector] = {
    "converter-qemu-record": Vector(HVM.then(raw(b"DeviceModelRecord0002" + (32).to_bytes(4, "little") + QEMU_RECORD))),
    "old-qemu-record": Vector(HVM.then(raw(b"QemuDeviceModelRecord" + QEMU_RECORD))),
    "remus-qemu-record": Vector(HVM.then(raw(b"RemusDeviceModelState" + QEMU_RECORD))),
    "xl-go-ahead": Vector(LIBXL_HVM.then(raw(XL_GO))),
    "one-zero": Vector(LIBXL_PV.then(raw(b"\0"))),
    "block-device": Vector(PV.then(raw(b"", fill=257 << 10))),
}

_KEYS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_@"

ACCEPTING: Table = {
    "STREAM-TRAILER": {"nothing": Vector(LIBXL_HVM)},
    "LIBXL-HDR-OPT-RSVD": {"legacy-bit": Vector(LIBXL_HVM.patch(HEADER, "options.legacy", 1))},
    "LIBXL-REC-PAD": rows(lambda n: LIBXL_HVM.resized(EMU, n), **{f"length-{n}": n for n in range(8, 17)}),
    "LIBXL-EMU-HDR": {"exactly-8": Vector(LIBXL_HVM.resized(EMU, 8))},
    "LIBXL-EMU-ID": {
        "upstream": Vector(LIBXL_HVM),
        "unknown-if-converted": Vector(
            LIBXL_HVM.patch(HEADER, "options.legacy", 1).patch(XS, "emulator_id", 0).patch(EMU, "emulator_id", 0)
        ),
    },
    "LIBXL-EMU-CTX": {
        # A PVH image cannot be told from an HVM one, so the absence says nothing.
        "none": Vector(LIBXL_HVM.without(EMU).without(XS)),
        "once-per-checkpoint": Vector(LIBXL_REMUS),
    },
    "LIBXL-EMUXS-OMIT": {"left-out": Vector(LIBXL_HVM.without(XS))},
    "LIBXL-EMUXS-PAIRS": {
        "empty-value": Vector(_strings(b"k\0\0")),
        "slash-inside": Vector(_strings(b"a/b\0v\0")),
        "long-strings": Vector(LIBXL_HVM.swap(XS, xenstore("k" * 70_000, "v" * 70_000, "last", "")), large=True),
        # Begins like a toolstack record of version 1 with an entry, but goes on as strings.
        "like-a-draft": Vector(LIBXL_HVM.patch(HEADER, "options.legacy", 1).swap(XS, xenstore("a", "b", emulator=0))),
    },
    "LIBXL-EMUXS-CHARSET": {
        "every-key-character": Vector(LIBXL_HVM.swap(XS, xenstore(*(text for c in _KEYS for text in (f"x{c}", ""))))),
        "every-value-character": Vector(LIBXL_HVM.swap(XS, xenstore("key", "".join(map(chr, range(0x20, 0x7F)))))),
    },
    "CKPT-CKPT-REC": {"remus": Vector(LIBXL_REMUS), "end-after-one": Vector(_late(EMULATOR, LIBXL_END))},
    "LIBXL-CKPTEND-CTX": {"remus": Vector(LIBXL_REMUS), "remus-pv": Vector(LIBXL_REMUS_PV)},
    "LIBXL-CKPTSTATE-CTX": {"colo": Vector(LIBXL_COLO)},
    "LIBXL-END-LAST": {"checkpointed-then-end": Vector(_late(EMULATOR, LIBXL_END))},
    "CKPT-CUT": {
        "after-first": Vector(LIBXL_REMUS.upto("libxc.PAGE_DATA", 5)),
        "after-second": Vector(LIBXL_REMUS.upto("libxc.PAGE_DATA", 6)),
        "bare-after-first": Vector(REMUS_HVM.upto("libxc.PAGE_DATA", 5)),
        "bare-pv-after-second": Vector(REMUS_PV.upto("libxc.PAGE_DATA", 2)),
        "declared": Vector(LIBXL_REMUS_PV.upto("libxc.PAGE_DATA", 1), mode="remus"),
        "colo-after-announcing": Vector(LIBXL_COLO.upto(STATE)),
    },
}

BREAKING: Table = {
    "STREAM-TRAILER": TRAILERS,
    "LIBXL-HDR-IDENT": {"letters": Vector(LIBXL_HVM.patch(HEADER, "ident", b"libxlFmt"), form="libxl")},
    "LIBXL-HDR-VERSION": rows(lambda n: LIBXL_HVM.patch(HEADER, "version", n), one=1, three=3, swapped=2 << 24),
    "LIBXL-HDR-ENDIAN": {
        "hvm": Vector(LIBXL_HVM.big_endian("libxl")),
        "pv": Vector(LIBXL_PV.big_endian("libxl")),
        "remus": Vector(LIBXL_REMUS.big_endian("libxl")),
    },
    "LIBXL-HDR-OPT-RSVD": rows(
        lambda n: LIBXL_HVM.patch(HEADER, "options.reserved", n), lowest=1, bit_16=1 << 14, highest=1 << 29
    ),
    "LIBXL-REC-PAD": {
        "first-octet": Vector(LIBXL_HVM.resized(EMU, 9).edit(EMU, padding=b"\1" + bytes(6))),
        "last-octet": Vector(LIBXL_HVM.resized(EMU, 9).edit(EMU, padding=bytes(6) + b"\1")),
        "only-octet": Vector(LIBXL_HVM.resized(EMU, 15).edit(EMU, padding=b"\x80")),
        "after-strings": Vector(_strings(b"key\0value\0").edit(XS, padding=b"\0\0\1\0\0\0")),
        "after-state": Vector(LIBXL_COLO.edit(STATE, padding=b"\0\1\0\0")),
        "after-unread": Vector(
            LIBXL_HVM.patch(HEADER, "options.legacy", 0).resized(EMU, 9000 + 3).edit(EMU, padding=b"\1" * 5)
        ),
    },
    "LIBXL-REC-TRUNC": {
        **rows(
            lambda path, extra: LIBXL_HVM.upto(path, extra=extra),
            inside_header=(HEADER, 12),
            before_first=(CONTEXT, 0),
            before_tail=(XS, 0),
            inside_record_header=(XS, 5),
            before_body=(XS, 8),
            inside_emulator_header=(XS, 11),
            inside_strings=(XS, 8 + 8 + 30),
            inside_padding=(EMU, -1),
            inside_context=(EMU, 20),
            before_end=(L_END, 0),
            inside_end=(L_END, 7),
        ),
        "inside-first-checkpoint": Vector(LIBXL_REMUS.upto(EMU, extra=10)),
        "before-checkpoint-end": Vector(LIBXL_REMUS.upto(CKPT_END)),
        "declared-plain": Vector(LIBXL_PV.upto(L_END), mode="plain"),
    },
    "LIBXL-REC-UNKNOWN-MAND": rows(
        lambda code, body: LIBXL_HVM.before(L_END, unknown("libxl", code, body)),
        six=(6, b""),
        highest=(0x7FFFFFFF, b"body"),
    ),
    "LIBXL-REC-UNKNOWN-OPT": rows(
        lambda code, body: LIBXL_HVM.before(XS, unknown("libxl", code, body)),
        lowest=(0x80000000, b"body"),
        highest=(0xFFFFFFFF, b""),
    ),
    "LIBXL-REC-ZEROLEN": {
        "end": Vector(LIBXL_HVM.edit(L_END, octets=bytes(8))),
        "end-of-one": Vector(LIBXL_HVM.edit(L_END, octets=b"\1")),
        "libxc-context": Vector(LIBXL_HVM.edit(CONTEXT, octets=bytes(16))),
        "checkpoint-end": Vector(LIBXL_REMUS.edit(CKPT_END, octets=bytes(5))),
    },
    "LIBXL-END-LAST": {
        "one-octet": Vector(LIBXL_HVM.then(raw(b"\1"))),
        "second-stream": Vector(LIBXL_HVM.then(*LIBXL_HVM)),
        "second-end": Vector(LIBXL_HVM.then(unknown("libxl", 0x7FFFFFFF))),
        "message-and-more": Vector(LIBXL_HVM.then(raw(XL_GO + b"\0"))),
        "zeros-then-not": Vector(LIBXL_PV.then(raw(b"", fill=257 << 10), raw(b"\1"))),
    },
    "LIBXL-LIBXC-ONCE": {
        "none": Vector(Stream((LIBXL_HEADER, LIBXL_END))),
        "two": Vector(LIBXL_HVM.before(XS, LIBXC_CONTEXT, *HVM)),
        "another-kind": Vector(LIBXL_PV.before(L_END, LIBXC_CONTEXT, *HVM)),
    },
    "LIBXL-LIBXC-BEFORE-EMU": {
        "context": Vector(LIBXL_HVM.moved(EMU, before=CONTEXT)),
        "xenstore": Vector(LIBXL_HVM.moved(XS, before=CONTEXT)),
        "both": Vector(LIBXL_HVM.moved(XS, before=CONTEXT).moved(EMU, before=CONTEXT)),
    },
    "LIBXL-EMU-HVM-ONLY": {
        "context": Vector(wrapped(PV, EMULATOR)),
        "xenstore": Vector(wrapped(PV, XENSTORE)),
        "remus": Vector(LIBXL_REMUS_PV.before(CKPT_END, EMULATOR)),
    },
    "LIBXL-EMU-HDR": {
        f"{name}-{length}": Vector(LIBXL_HVM.resized(path, length))
        for name, path in (("context", EMU), ("xenstore", XS))
        for length in (0, 4, 7)
    },
    "LIBXL-EMU-ID": {
        **rows(lambda n: LIBXL_HVM.patch(EMU, "emulator_id", n), unknown=0, three=3, highest=0xFFFFFFFF),
        "xenstore": Vector(LIBXL_HVM.patch(XS, "emulator_id", 3)),
        "three-if-converted": Vector(LIBXL_HVM.patch(HEADER, "options.legacy", 1).patch(EMU, "emulator_id", 3)),
    },
    "LIBXL-EMU-INDEX": rows(
        lambda path, n: LIBXL_HVM.patch(path, "index", n), context=(EMU, 1), xenstore=(XS, 1), highest=(EMU, 0xFFFFFFFF)
    ),
    "LIBXL-EMU-TRADITIONAL": rows(lambda path: LIBXL_HVM.patch(path, "emulator_id", 1), context=EMU, xenstore=XS),
    "LIBXL-EMU-CTX": {
        "twice": Vector(LIBXL_HVM.before(L_END, EMULATOR)),
        "twice-in-a-checkpoint": Vector(LIBXL_REMUS.before(CKPT_END, emulator(b"other"), nth=1)),
    },
    "LIBXL-EMUXS-OMIT": {
        "header-only": Vector(LIBXL_HVM.swap(XS, xenstore())),
        "in-a-checkpoint": Vector(LIBXL_REMUS.swap(XS, xenstore(), nth=1)),
    },
    "LIBXL-EMUXS-PAIRS": rows(
        _strings,
        key_alone=b"key\0",
        key_unterminated=b"key",
        value_unterminated=b"key\0value",
        third_unterminated=b"key\0value\0last",
        odd=b"key\0value\0last\0",
        empty_key=b"\0value\0",
        only_nul=b"\0",
        later_empty_key=b"key\0value\0\0value\0",
        slash=b"/key\0value\0",
        later_slash=b"key\0value\0/last\0\0",
    ),
    "LIBXL-EMUXS-CHARSET": {
        **rows(
            _strings,
            dot=b"a.b\0value\0",
            space=b"a b\0value\0",
            control=b"key\0a\x01b\0",
            newline=b"key\0value\n\0",
            delete=b"key\0\x7f\0",
            high=b"key\0\xe9\0",
            high_key=b"k\xff\0\0",
        ),
        "far-in": Vector(_strings(b"key\0" + b"v" * 70_000 + b"\x80\0"), large=True),
    },
    "LIBXL-EMUXS-DRAFT": rows(_draft, narrow=32, wide=64),
    "CKPT-CKPT-REC": {
        "unclosed": Vector(Stream((*LIBXL_REMUS.parts[: LIBXL_REMUS.find("libxl.CHECKPOINT_END")], LIBXL_END))),
    },
    "LIBXL-CKPTEND-CTX": {
        "plain": Vector(LIBXL_HVM.before(L_END, CHECKPOINT_END)),
        "plain-pv": Vector(LIBXL_PV.before(L_END, CHECKPOINT_END)),
        "before-everything": Vector(LIBXL_HVM.before(CONTEXT, CHECKPOINT_END)),
        "after-the-last-one-closed": Vector(_late(CHECKPOINT_END, LIBXL_END)),
    },
    "LIBXL-CKPTSTATE-CTX": {
        "plain": Vector(LIBXL_HVM.before(L_END, NEW_CHECKPOINT)),
        "before-everything": Vector(LIBXL_HVM.before(CONTEXT, NEW_CHECKPOINT)),
        "inside-a-checkpoint": Vector(LIBXL_COLO.before(CKPT_END, NEW_CHECKPOINT)),
        "inside-a-later-checkpoint": Vector(LIBXL_COLO.before(CKPT_END, NEW_CHECKPOINT, nth=1)),
        "after-the-image": Vector(_late(NEW_CHECKPOINT, LIBXL_END)),
    },
    "LIBXL-CKPTSTATE-LEN": rows(lambda n: LIBXL_COLO.resized(STATE, n), empty=0, three=3, five=5, with_padding=8),
    "LIBXL-CKPTSTATE-ID": rows(lambda n: LIBXL_COLO.patch(STATE, "control_id", n), four=4, highest=0xFFFFFFFF),
    "CKPT-CUT": {
        "inside-header": Vector(LIBXL_REMUS.upto("libxc.PAGE_DATA", 5, extra=3)),
        "inside-pages": Vector(LIBXL_REMUS.upto("libxc.PAGE_DATA", 5, extra=2000)),
        "before-tail": Vector(LIBXL_REMUS.upto("libxc.X86_TSC_INFO", 1)),
        "before-checkpoint": Vector(LIBXL_REMUS.upto("libxc.CHECKPOINT", 1)),
        "before-libxl-tail": Vector(LIBXL_REMUS.upto(XS, 1)),
        "inside-libxl-tail": Vector(LIBXL_REMUS.upto(EMU, 1, extra=12)),
        "before-checkpoint-end": Vector(LIBXL_REMUS.upto(CKPT_END, 1)),
        "inside-checkpoint-end": Vector(LIBXL_REMUS.upto(CKPT_END, 2, extra=7)),
        "bare": Vector(REMUS_HVM.upto("libxc.CHECKPOINT", 1)),
        "bare-pv": Vector(REMUS_PV.upto("libxc.SHARED_INFO", 2, extra=100)),
        "declared": Vector(LIBXL_REMUS.upto("libxc.X86_TSC_INFO", 2), mode="remus"),
        "long-past": Vector(REMUS_HVM.then(pages((4, "NOTAB")))),
        "empty-machine-state": Vector(REMUS_HVM.then(context(HVM_HEADER_ENTRY, HVM_END_ENTRY))),
        "announced": Vector(LIBXL_COLO.upto(STATE, extra=16)),
    },
}
