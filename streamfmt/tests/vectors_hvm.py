"""Vectors of the libxc layer: what only HVM guests have, the HVM context and parameters.

The tables are laid out as in `vectors_libxl`.
"""

from __future__ import annotations

from ..schema import hvm
from ..writer import (
    Stream,
    context,
    params,
)
from .good import (
    HVM,
    HVM_END_ENTRY,
    HVM_HEADER_ENTRY,
    HVM_V2,
    REMUS_HVM,
)
from .paths import CTX, PARAMS
from .vector import Table, Vector, rows


def _ctx(*entries: tuple[int, int, bytes]) -> Stream:
    """HVM with other entries between HEADER and END of its context."""
    return HVM.swap(CTX, context(HVM_HEADER_ENTRY, *entries, HVM_END_ENTRY))


def _blob(*entries: tuple[int, int, bytes], tail: bytes = b"") -> Stream:
    """HVM with exactly these entries in its context, then other octets."""
    return HVM.edit(CTX, octets=context(*entries).body("<") + tail)


def _entry(code: int, instance: int, length: int) -> bytes:
    """Only the head of a context entry."""
    return code.to_bytes(2, "little") + instance.to_bytes(2, "little") + length.to_bytes(4, "little")


def _data(row: hvm.ContextType, length: int) -> bytes:
    """An entry's data: zeros, but for the count of units where the type has one."""
    count = 1 + (length - row.lengths[0]) // row.unit if row.counted else 0
    return count.to_bytes(4, "little").ljust(length, b"\0") if count else bytes(length)


_LENGTHS = [row for row in hvm.CONTEXT_TYPES if row.code not in (hvm.HEADER_TYPE, hvm.END_TYPE)]
_EVERY_LENGTH = tuple(
    (row.code, number, _data(row, length))
    for row in _LENGTHS
    for number, length in enumerate((*row.lengths, *((row.lengths[0] + 3 * row.unit,) if row.unit else ())))
)

ACCEPTING: Table = {
    "LIBXC-HVMCTX-LEN": {"every-length": Vector(_ctx(*_EVERY_LENGTH))},
    "LIBXC-HVMPARAMS-LEN": {"five-thousand": Vector(HVM.swap(PARAMS, params(*((n % 3, n) for n in range(5000)))))},
    "LIBXC-HVMPARAMS-PAE": {"v2": Vector(HVM_V2.swap(PARAMS, params((4, 1))))},
    "LIBXC-HVMPARAMS-INDEX": {"highest": Vector(HVM.swap(PARAMS, params((38, 1), (0, 1))))},
}

BREAKING: Table = {
    "LIBXC-HVMCTX-NONEMPTY": {"empty": Vector(HVM.resized(CTX, 0)), "v2": Vector(HVM_V2.resized(CTX, 0))},
    "LIBXC-HVMCTX-PRESENT": {
        "missing": Vector(HVM.without(CTX)),
        "v2": Vector(HVM_V2.without(CTX)),
        "second-checkpoint": Vector(REMUS_HVM.without(CTX, 1)),
    },
    "LIBXC-HVMCTX-HEADER": {
        "none": Vector(_blob((19, 0, bytes(8)), HVM_END_ENTRY)),
        "only-end": Vector(_blob(HVM_END_ENTRY)),
        "unknown-first": Vector(_blob((99, 0, bytes(8)), HVM_END_ENTRY)),
        "second": Vector(_blob((19, 0, bytes(8)), HVM_HEADER_ENTRY, HVM_END_ENTRY)),
        "instance": Vector(_blob((1, 1, bytes(24)), HVM_END_ENTRY)),
        "length": Vector(_blob((1, 0, bytes(16)), HVM_END_ENTRY)),
    },
    "LIBXC-HVMCTX-TILE": {
        "too-long": Vector(_blob(HVM_HEADER_ENTRY, tail=_entry(19, 0, 9) + bytes(8))),
        "longest": Vector(_blob(HVM_HEADER_ENTRY, tail=_entry(16, 0, 0xFFFFFFFF) + bytes(600))),
        "header-itself": Vector(HVM.edit(CTX, octets=_entry(1, 0, 24) + bytes(23))),
        "part-of-an-entry": Vector(_blob(HVM_HEADER_ENTRY, tail=b"\3\0\0\0")),
        "one-octet-over": Vector(_blob(HVM_HEADER_ENTRY, tail=b"\0")),
        "too-short-for-any": Vector(HVM.edit(CTX, octets=bytes(7))),
    },
    "LIBXC-HVMCTX-END": {
        "missing": Vector(_blob(HVM_HEADER_ENTRY, (19, 0, bytes(8)))),
        "header-alone": Vector(_blob(HVM_HEADER_ENTRY)),
        "instance": Vector(_blob(HVM_HEADER_ENTRY, (0, 1, b""))),
        "length": Vector(_blob(HVM_HEADER_ENTRY, (0, 0, bytes(8)))),
        "length-beyond": Vector(_blob(HVM_HEADER_ENTRY, tail=_entry(0, 0, 8))),
    },
    "LIBXC-HVMCTX-TAIL": {
        "one-octet": Vector(_blob(HVM_HEADER_ENTRY, HVM_END_ENTRY, tail=b"\0")),
        "second-end": Vector(_blob(HVM_HEADER_ENTRY, HVM_END_ENTRY, HVM_END_ENTRY)),
        "more-entries": Vector(_blob(HVM_HEADER_ENTRY, HVM_END_ENTRY, (19, 0, bytes(8)), HVM_END_ENTRY)),
    },
    "LIBXC-HVMCTX-TYPE": rows(lambda code: _ctx((code, 0, bytes(16))), next=21, downstream=34, highest=0xFFFF),
    "LIBXC-HVMCTX-LEN": {
        **{f"{row.name.lower()}-short": Vector(_ctx((row.code, 0, bytes(row.lengths[0] - 1)))) for row in _LENGTHS},
        **{
            f"{row.name.lower()}-long": Vector(_ctx((row.code, 0, bytes(row.lengths[-1] + 1))))
            for row in _LENGTHS
            if row.unit != 1
        },
        "cpu_msr-miscounted": Vector(_ctx((20, 0, (2).to_bytes(4, "little") + bytes(20)))),
    },
    "LIBXC-HVMPARAMS-LEN": {
        **{f"octets-{n}": Vector(HVM.resized(PARAMS, n)) for n in (0, 7, 9, 23, 25, 40, 57)},
        **rows(
            lambda n: HVM.patch(PARAMS, "count", n), count_less=2, count_more=4, count_most=0xFFFFFFFF, count_zero=0
        ),
        "counted-but-empty": Vector(HVM.edit(PARAMS, octets=b"\5" + bytes(7))),
    },
    "LIBXC-HVMPARAMS-ORDER": {
        "plain": Vector(HVM.moved(CTX, before=PARAMS)),
        "v2": Vector(HVM_V2.moved(CTX, before=PARAMS)),
        "second-checkpoint": Vector(REMUS_HVM.moved(CTX, nth=1, before=PARAMS, before_nth=1)),
    },
    "LIBXC-HVMPARAMS-PAE": {"v3": Vector(HVM.swap(PARAMS, params((1, 1), (4, 1))))},
    "LIBXC-HVMPARAMS-INDEX": rows(
        lambda n: HVM.swap(PARAMS, params((1, 1), (n, 1))),
        bound=39,
        wraps_to_one=(1 << 32) + 1,
        wraps_to_pae=(1 << 32) + 4,
        highest=(1 << 64) - 1,
    ),
}
