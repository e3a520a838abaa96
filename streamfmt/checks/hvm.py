"""Checks of what HVM images carry in HVM_CONTEXT and HVM_PARAMS: framing, types, lengths, indices."""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader.fields import broken_rules
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

_CONTEXT = "libxc.HVM_CONTEXT.context"
_PARAMS = "libxc.HVM_PARAMS"
_PIECE = 1024
ERRATA = "the record carries nothing; Xen 4.6 to 4.8 wrote such"


def context(verifier: Verifier, state: LayerState, record: Record) -> Program:
    """Walk the entries of Xen's save format: HEADER first, each inside the blob, END last."""
    w = verifier.window
    head = Struct(record.layer.order + tables.FORMATS[_CONTEXT])
    # What an entry holds is Xen's own structure, as the processor stores it.
    count_of = Struct("<I")
    places = tables.PLACES[_CONTEXT]
    number = 0

    def fault(clause: str, at: int, message: str, field: str, expected: object, actual: object) -> None:
        offset, size = places[field]
        verifier.report(
            clause,
            record,
            message,
            offset=at + offset,
            length=size,
            field=f"context[{number}].{field}",
            expected=expected,
            actual=actual,
        )

    while record.end - w.position >= head.size:
        if w.hi - w.lo < head.size and not (yield head.size):
            return
        at = w.position
        kind, instance, length = head.unpack_from(w.buf, w.lo)
        w.lo += head.size
        left = record.end - w.position
        name, lengths, unit, counted = tables.HVM_TYPES.get(kind, ("", (), 0, False))
        headless = not number and (
            kind != tables.HVM_HEADER or instance or length not in tables.HVM_TYPES[tables.HVM_HEADER][1]
        )
        if headless:
            shown = f"type {kind} instance {instance} length {length}"
            expected = f"type {tables.HVM_HEADER} instance 0 length {tables.HVM_TYPES[tables.HVM_HEADER][1][0]}"
            fault(
                "LIBXC-HVMCTX-HEADER",
                at,
                f"the first entry is {shown}, expected {expected}",
                "typecode",
                expected,
                shown,
            )
        if kind == tables.HVM_END:
            due = lengths[0]
            if instance or length != due:
                shown = f"instance {instance} length {length}"
                fault("LIBXC-HVMCTX-END", at, f"the END entry has {shown}", "length", f"instance 0 length {due}", shown)
            elif left > due:
                message = f"{left - due:,} bytes follow the END entry; Xen ignores them"
                fault("LIBXC-HVMCTX-TAIL", at + head.size, message, "typecode", "nothing", f"{left} bytes")
            return
        if headless:
            pass  # one finding is enough for it
        elif not name:
            fault(
                "LIBXC-HVMCTX-TYPE",
                at,
                f"entry {number} has type {kind}, which no Xen knows",
                "typecode",
                ranges(tables.HVM_TYPES),
                kind,
            )
        elif length > left:
            pass  # said below, for known and unknown types alike
        elif length not in lengths and not (unit and length > lengths[0] and not (length - lengths[0]) % unit):
            expected = " or ".join(map(str, lengths)) + (f" + {unit}n" if unit else "")
            message = f"entry {number}, {name}, has {length} bytes, expected {expected}"
            fault("LIBXC-HVMCTX-LEN", at, message, "length", expected, length)
        elif counted:
            if w.hi - w.lo < count_of.size and not (yield count_of.size):
                return
            (count,) = count_of.unpack_from(w.buf, w.lo)
            expected = lengths[0] + unit * (count - 1)
            if length != expected:
                message = f"entry {number}, {name}, has {length} bytes, expected {expected} for its count of {count}"
                fault("LIBXC-HVMCTX-LEN", at, message, "length", expected, length)
        if length > left:
            message = f"entry {number}, {name or f'type {kind}'}, claims {length} bytes, {left} are left"
            fault("LIBXC-HVMCTX-TILE", at, message, "length", f"at most {left}", length)
            return
        if length:
            yield -length
        number += 1
    left = record.end - w.position
    if left:
        fault(
            "LIBXC-HVMCTX-TILE",
            w.position,
            f"{left} bytes are too few for an entry",
            "typecode",
            "an entry",
            f"{left} bytes",
        )
    else:
        fault(
            "LIBXC-HVMCTX-END", w.position, "there is no END entry", "typecode", "an END entry", "the end of the record"
        )


def params(verifier: Verifier, state: LayerState, record: Record) -> Program:
    """Count against length, then each parameter's index."""
    w = verifier.window
    size, unit = tables.SIZES[_PARAMS], tables.UNITS[_PARAMS][0]
    if w.hi - w.lo < size and not (yield size):
        return
    at, raw = w.position, w.take(size)
    order = record.layer.order
    broken = broken_rules(_PARAMS, raw, order)
    if broken:
        verifier.broken_rules(broken, record, raw, at)
    count, *_ = Struct(order + tables.FORMATS[_PARAMS]).unpack(raw)
    if not count and record.length == size:
        verifier.report("LIBXC-ERRATA-1", record, ERRATA, offset=at, field="count", actual=count)
    if record.length != size + unit * count:
        rest = (record.length - size) % unit
        if not rest:  # else the length rule has spoken
            offset, length = tables.PLACES[_PARAMS]["count"]
            verifier.report(
                "LIBXC-HVMPARAMS-LEN",
                record,
                f"length is {record.length}, expected {size + unit * count} for {count} parameters",
                offset=at + offset,
                length=length,
                field="count",
                expected=size + unit * count,
                actual=record.length,
            )
        return
    param = Struct(order + tables.FORMATS[f"{_PARAMS}.params"])
    for first in range(0, count, _PIECE):
        number = min(_PIECE, count - first)
        if w.hi - w.lo < unit * number and not (yield unit * number):
            return
        at = w.position
        for place, (index, *_) in enumerate(param.iter_unpack(w.take(unit * number))):
            if index >= tables.HVM_PARAMS_END:
                clause, message = "LIBXC-HVMPARAMS-INDEX", f"parameter {index:#x} does not exist"
            elif index == tables.HVM_PARAM_PAE and record.layer.version >= tables.LIBXC_VERSION_STATIC:
                clause, message = "LIBXC-HVMPARAMS-PAE", "parameter PAE_ENABLED is gone since Xen 4.14"
            else:
                continue
            if verifier.findings.full(clause, record, at + unit * place):
                continue
            verifier.report(
                clause,
                record,
                message,
                offset=at + unit * place,
                length=tables.PLACES[f"{_PARAMS}.params"]["index"][1],
                field=f"params[{first + place}].index",
                expected=f"below {tables.HVM_PARAMS_END}",
                actual=f"{index:#x}",
            )
