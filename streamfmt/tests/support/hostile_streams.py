"""Streams made to hurt: lengths and counts that lie, and floods of whatever costs a reader something.

Each case is made piece by piece, so that it costs its maker nothing.
``python -m streamfmt.tests.support.hostile_streams SIZE CASE...`` verifies each in a process of its own, whose
address space is limited, and prints as JSON what came out and what it took.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from time import perf_counter
from typing import Any

from ...codec.content import Buffer
from ...schema import libxc
from ...writer import Draft, Part, context, p2m, vcpu
from . import hostile_xapi
from .good_streams import (
    BACK,
    CPUID,
    EMULATOR,
    HTTP_HEAD,
    HVM,
    LIBVIRT_HVM,
    LIBXL_HVM,
    LIBXL_REMUS,
    MIGRATION,
    MSR,
    PV,
    PV_LAST,
    REMUS_HVM,
    XAPI_UEFI,
    XENSTORE,
    XL_HVM,
)
from .vector import judge

LIMIT = libxc.RECORD_LENGTH_MAX
MOST = 0xFFFFFFFF
ADDRESS_SPACE = 512 << 20
_PIECE = 256 << 10

Pieces = Iterator[Buffer]
Case = Callable[[int], Pieces]


def _u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _u64(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def _flood(unit: bytes, size: int) -> Pieces:
    """`unit` over and over, up to about `size` bytes."""
    many = max(min(_PIECE, size) // len(unit), 1)
    return repeat(unit * many, max(size // (many * len(unit)), 1))


def _until(stream: Draft, path: str, nth: int = 0) -> bytes:
    """The stream's bytes before a part."""
    return stream.upto(path, nth).render()


_HVM_MEMORY = _until(HVM, "libxc.PAGE_DATA")
_HVM_TAIL = _until(HVM, "libxc.X86_TSC_INFO")
_PV_MEMORY = _until(PV, "libxc.PAGE_DATA")
_PV_TAIL = _until(PV, "libxc.X86_TSC_INFO")
_LIBXL_TAIL = _until(LIBXL_HVM, "libxl.EMULATOR_XENSTORE_DATA")


def _header(stream: Draft, field: str, value: int) -> bytes:
    """The header of a container, with one field overwritten."""
    path = stream.parts[0].path
    return stream.patch(path, field, value).upto(stream.parts[1].path).render()


_LIST = "libxc.CHECKPOINT_DIRTY_PFN_LIST"
_BACK_LIST = _until(BACK, _LIST)


def _part(part: Part) -> bytes:
    return b"".join(part.buffers("<"))


def after(start: bytes, unit: bytes, claim: tuple[int, int] | None = None) -> Case:
    """A flood of `unit` after the beginning of a good stream; in one record of that (type, length) if `claim`."""

    def make(size: int) -> Pieces:
        yield start + (_u32(*claim) if claim else b"")
        yield from _flood(unit, size)

    return make


def _body(start: bytes, kind: int, head: bytes, unit: bytes) -> Case:
    """One record whose body is `head` and then a flood, as long as its header says."""

    def make(size: int) -> Pieces:
        count = max(size // len(unit), 1)
        yield start + _u32(kind, len(head) + count * len(unit)) + head
        many = max(_PIECE // len(unit), 1)
        while count > 0:
            yield unit * min(many, count)
            count -= many

    return make


def _ascending(size: int) -> Pieces:
    """One-entry records for frames 0, 1, 2 and on, with reserved bits set: none is clean."""
    yield _PV_MEMORY
    head = _u32(1, 16, 1, 0)
    step = _PIECE // 24
    for first in range(0, size // 24, step):
        yield b"".join(head + _u64((0xF << 60) | (1 << 52) | pfn) for pfn in range(first, first + step))


def _scattered(size: int) -> Pieces:
    """Clean records for frames all over 4 TiB of guest."""
    yield PV.swap("libxc.X86_PV_P2M_FRAMES", p2m(0, 1 << 20, *[0] * 2049)).upto("libxc.PAGE_DATA").render()
    head = _u32(1, 16, 1, 0)
    step = _PIECE // 24
    for first in range(0, size // 24, step):
        yield b"".join(head + _u64((0xF << 60) | (n * 2654435761 & 0xFFFFF)) for n in range(first, first + step))


def _vcpus(size: int) -> Pieces:
    """A record for each of a million vcpus, of each kind that is short."""
    yield _PV_TAIL
    step = _PIECE // 48
    for first in range(0, size // 48, step):
        yield b"".join(
            _u32(6, 24, number, 0) + bytes(16) + _u32(5, 9, number, 0) + bytes(8)
            for number in range(first, first + step)
        )


def _p2m_frames(frame: int) -> Case:
    """A p2m list for the largest end there is."""

    def make(size: int) -> Pieces:
        count = 0xFFFFFFFF // 512 + 1
        yield _until(PV, "libxc.X86_PV_P2M_FRAMES") + _u32(3, 8 + 8 * count, 0, 0xFFFFFFFF)
        yield from _flood(_u64(frame), min(size, 8 * count))

    return make


def _p2m_lists(size: int) -> Pieces:
    """A whole image with many p2m lists, of nothing but frames that were sent as holes."""
    frames = 4096
    one = p2m(0, frames * 512 - 1, *[PV_LAST] * frames)
    count = max(size // (8 * frames), 1)
    yield from PV.swap("libxc.X86_PV_P2M_FRAMES", *[one] * count).pieces()


def _noise(size: int) -> Pieces:
    """Bytes that nothing known begins with, that look a little like a legacy stream."""
    yield from _flood(_u64(1 << 20) + b"\xff" * 3 + bytes(61), size)


_IMAGE = b"".join(map(_part, (HVM.parts[0], HVM.parts[1]))) + _u32(0, 0)
_HVM_HEADER = context((1, 0, bytes(24))).body("<")
_TINY_CHECKPOINT = _u32(14, 0) + _u32(4, 0)
_ENTRY = _u32(1, 16, 1, 0)

LENGTHS = (*range(0xFFFFFFF8, 0x100000000), LIMIT, LIMIT + 1, 1 << 31, LIMIT - 1)


def _heads(kinds: Iterable[int]) -> tuple[bytes, ...]:
    return tuple(_u32(kind, length) for kind in kinds for length in LENGTHS)


# Where each lie stands: a good beginning, and the record headers that follow it.
LIARS: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "hvm": (_HVM_TAIL, _heads((*range(0x13), 0x7FFFFFFF, 0x80000000))),
    "pv": (_PV_TAIL, _heads((*range(0x13), 0x7FFFFFFF, 0x80000000))),
    "hvm-start": (_until(HVM, "libxc.X86_CPUID_POLICY"), _heads(range(0x13))),
    "pv-start": (_until(PV, "libxc.X86_PV_INFO"), _heads(range(0x13))),
    "libxl": (_LIBXL_TAIL, _heads((*range(6), 0x7FFFFFFF, 0x80000000))),
    "libxl-start": (_until(LIBXL_HVM, "libxl.LIBXC_CONTEXT"), _heads((*range(6), 0x80000000))),
    **hostile_xapi.LIARS,
}

FLOODS: dict[str, Case] = {
    # 24-byte records, each of them bad in its way.
    "entries-reserved": _ascending,
    "entries-bad-type": after(_HVM_MEMORY, _ENTRY + _u64(8 << 60)),
    "entries-beyond": after(_PV_MEMORY, _ENTRY + _u64((15 << 60) | (1 << 51))),
    "entries-header-reserved": after(_HVM_MEMORY, _u32(1, 16, 1, 1) + _u64(15 << 60)),
    "entries-no-content": after(_HVM_MEMORY, _ENTRY + _u64(0)),
    "entries-count": after(_HVM_MEMORY, _u32(1, 16, MOST, 0) + _u64(15 << 60)),
    "entries-clean": after(_HVM_MEMORY, _ENTRY + _u64(15 << 60)),
    "entries-scattered": _scattered,
    "entries-big-endian": after(
        HVM.big_endian("libxc").upto("libxc.PAGE_DATA").render(),
        b"".join(n.to_bytes(4, "big") for n in (1, 16, 1, 0)) + (15 << 60).to_bytes(8, "big"),
    ),
    "entries-mixed": after(
        _PV_MEMORY,
        b"".join(
            _u32(1, 16, count, reserved) + _u64(entry)
            for count, reserved, entry in (
                (1, 0, 8 << 60),
                (1, 0, (15 << 60) | (1 << 51)),
                (1, 1, 15 << 60),
                (1, 0, 0),
                (0, 0, 0),
                (MOST, 0, 0),
                (1, 0, (15 << 60) | (1 << 59)),
                (2, MOST, MOST),
            )
        ),
    ),
    # The slow path, by name.
    "deep-entries": after(_PV_MEMORY, _ENTRY + _u64(15 << 60)),
    "deep-tables": after(_PV_MEMORY, _u32(1, 16 + 4096, 1, 0) + _u64((4 << 60) | 2) + b"\xff" * 4096),
    # Records of eight bytes.
    "unknown-mandatory": after(_HVM_TAIL, _u32(0x13, 0)),
    "unknown-optional": after(_HVM_TAIL, _u32(0x80000000, 0)),
    "wrong-guest": after(_HVM_TAIL, _u32(7, 0)),
    "empty-pages": after(_HVM_MEMORY, _u32(1, 0)),
    "empty-context": after(_HVM_TAIL, _u32(9, 0)),
    "static-data-end": after(_HVM_MEMORY, _u32(16, 0)),
    "verify": after(_HVM_MEMORY, _u32(13, 0)),
    "checkpoints": after(_HVM_TAIL, _u32(14, 0)),
    "checkpoints-pv": after(_PV_TAIL, _u32(14, 0)),
    "libxl-checkpoints": after(_until(LIBXL_REMUS, "libxc.PAGE_DATA", 5), _TINY_CHECKPOINT),
    "libxl-unknown": after(_LIBXL_TAIL, _u32(6, 0)),
    "libxl-states": after(_LIBXL_TAIL, _u32(5, 0)),
    # Larger ones.
    "padding": after(_HVM_TAIL, _u32(0x80000001, 1) + b"\0" + b"\1" * 7),
    "images": after(_LIBXL_TAIL, _u32(1, 0) + _IMAGE),
    "vcpus": _vcpus,
    "vcpu-repeats": after(_PV_TAIL, _part(vcpu("EXTENDED", 1, 8))),
    "pv-info": after(_PV_MEMORY, _part(PV.part("libxc.X86_PV_INFO"))),
    "frame-lists": after(_PV_MEMORY, _part(p2m(0, 3, 1))),
    "frame-lists-growing": after(_PV_MEMORY, _part(p2m(0, 511 << 9, *[1] * 512))),
    "frame-lists-bad": _p2m_lists,
    "contexts": after(_HVM_TAIL, _part(context((1, 0, bytes(24)), (21, 0, b"")))),
    "policies": after(_HVM_MEMORY, _part(CPUID) + _part(MSR)),
    "emulators": after(_LIBXL_TAIL, _part(EMULATOR) + _part(XENSTORE)),
    "drafts": after(_LIBXL_TAIL, _u32(2, 8, 1, 1)),
    "draft-counts": after(_LIBXL_TAIL, _u32(2, 4096, 1, 4000) + bytes(4088)),
    "trailing-zeros": after(HVM.render(), bytes(4096)),
    "trailing-noise": after(HVM.render(), b"noise"),
    "trailing-image": after(HVM.render(), HVM.render()),
    "noise": _noise,
    "zeros": after(b"", bytes(4096)),
    # One record that goes on and on.
    "one-batch-bad-types": _body(_HVM_MEMORY, 1, _u32(1 << 18, 0), _u64(7 << 60)),
    "one-batch-all": after(_HVM_MEMORY, bytes(4096), (1, LIMIT)),
    "one-batch-count": after(_HVM_MEMORY + _u32(1, LIMIT, MOST, 0), bytes(4096)),
    "one-batch-fits": after(_HVM_MEMORY + _u32(1, LIMIT, (LIMIT >> 3) - 1, 0), _u64(15 << 60)),
    "one-batch-fits-pv": after(_PV_MEMORY + _u32(1, LIMIT, (LIMIT >> 3) - 1, 0), _u64((15 << 60) | 3)),
    "frame-list-beyond": _p2m_frames(1 << 32),
    "frame-list-same": _p2m_frames(1),
    "params-count": after(_HVM_TAIL + _u32(10, LIMIT, MOST, 0), bytes(16)),
    "params-all": after(_HVM_TAIL + _u32(10, LIMIT - 8, (LIMIT >> 4) - 1, 0), _u64(99, 1)),
    "context-types": _body(_HVM_TAIL, 9, _HVM_HEADER, _u32(99, 0)),
    "context-ends": _body(_HVM_TAIL, 9, b"", _u32(0, 0)),
    "context-length": after(
        _HVM_TAIL + _u32(9, LIMIT) + _part(context((1, 0, bytes(24))))[8:] + _u32(16, MOST), bytes(4096)
    ),
    "msr-flags": _body(_until(HVM, "libxc.STATIC_DATA_END"), 18, b"", _u32(0, 1, 0, 0)),
    "vcpu-msrs": _body(_PV_TAIL, 12, _u32(0, 0), _u32(0, 1, 0, 0)),
    "dirty-list": after(_HVM_TAIL, bytes(4096), (15, LIMIT)),
    "key-without-nul": _body(_LIBXL_TAIL, 2, _u32(2, 0), b"k"),
    "key-of-four-gib": after(_LIBXL_TAIL + _u32(2, MOST, 2, 0), b"k"),
    "value-without-nul": _body(_LIBXL_TAIL, 2, _u32(2, 0) + b"k\0", b"v"),
    "keys-empty": _body(_LIBXL_TAIL, 2, _u32(2, 0), b"\0"),
    "keys-bad": _body(_LIBXL_TAIL, 2, _u32(2, 0), b"/\x01\0\x80\0"),
    # Containers, and the channel without headers.
    "xl-data-of-four-gib": after(_header(XL_HVM, "optional_data_len", MOST), b"x"),
    "xl-config-of-four-gib": after(_header(XL_HVM, "optional_data_len", MOST) + _u32(MOST - 4), b"{"),
    "xl-config-negative": after(_header(XL_HVM, "optional_data_len", MOST) + _u32(1 << 31), b"{\n"),
    "libvirt-xml-of-four-gib": after(_header(LIBVIRT_HVM, "xml_len", MOST), b"<a/>"),
    "back-states": after(BACK.render(), _part(BACK.parts[0])),
    "back-lists": after(_BACK_LIST, _part(BACK.part(_LIST))),
    "back-list-long": after(_BACK_LIST, _u64(5), (15, LIMIT)),
    # Captures: text that has no end, or too late a one, and handshakes with more of the same.
    "text-endless": after(b"", b"Warning: no end in sight\n"),
    "text-of-one-line": after(b"", b"x"),
    "text-too-long": after(b"x" * (64 << 10) + HVM.render(), b"x"),
    "http-endless": after(HTTP_HEAD[:-2], b"X-More: yes\r\n"),
    "magics-as-text": after(b"> ", b"LibxlFmt\nXenSavedDomv2-\n"),
    "greetings": after(b"", _until(MIGRATION, "xl.header")),
    "greetings-after-text": after(b"Welcome\n", _until(MIGRATION, "xl.header")),
    "migration-noise": after(_until(MIGRATION, "xl-migrate.READY"), b"noise"),
    "trailing-handshakes": after(MIGRATION.render(), _until(MIGRATION, "xl.header")),
    "back-unknown": after(BACK.render(), _u32(6, 0)),
    "emulator-of-four-gib": after(_LIBXL_TAIL + _u32(3, MOST, 2, 0), bytes(4096)),
    **{name: after(start, unit) for name, (start, unit) in hostile_xapi.FLOODS.items()},
}


def _lies(start: bytes, heads: tuple[bytes, ...]) -> Iterator[Pieces]:
    """Each lie with a little after it, and with nothing."""
    for head in heads:
        yield iter((start + head + _u32(1, MOST, MOST, MOST) * 200,))
        yield iter((start + head,))


def cases(name: str, size: int) -> Iterator[Pieces]:
    """The streams of one case, as pieces."""
    if name in LIARS:
        return _lies(*LIARS[name])
    return iter((FLOODS[name](size),))


def _memory(what: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(what))


def _verify(name: str, size: int) -> dict[str, Any]:
    """Verify one case and say what it took: the memory at its peak over what was in use before it."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # sets the peak back to what is in use now
    before, began = _memory("VmRSS"), perf_counter()
    least = MOST
    clauses: set[str] = set()
    verdicts: set[str] = set()
    for pieces in cases(name, size):
        outcome = judge(pieces, deep=name.startswith("deep-"))
        least = min(least, len(outcome.verifier.findings.kept))
        clauses |= set(outcome.verifier.findings.counts)
        verdicts.add(outcome.verdict)
    return {
        "growth": _memory("VmHWM") - before,
        "seconds": perf_counter() - began,
        "verdicts": sorted(verdicts),
        "least_findings": least,
        "clauses": sorted(clauses),
    }


def _apart(name: str, size: int) -> dict[str, Any]:
    """The same in a process of its own."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.write(into, json.dumps(_verify(name, size)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(into)
    with open(out, "rb") as file:
        output = file.read()
    _, status = os.waitpid(child, 0)
    return json.loads(output) if not status else {"died": status}


def main() -> None:
    size, names = int(sys.argv[1]), sys.argv[2:]
    for stream in (HVM, PV, LIBXL_HVM, REMUS_HVM, XL_HVM, XAPI_UEFI, MIGRATION, BACK):
        # What is loaded and made once is no case's doing.
        judge(stream.pieces())
        judge(stream.edit(stream.parts[-1].path, -1, padding=b"1").pieces())
    gc.collect()
    print(json.dumps({name: _apart(name, size) for name in names}))


if __name__ == "__main__":
    main()
