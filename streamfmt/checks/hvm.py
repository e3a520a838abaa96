"""Checks of what HVM images carry in HVM_CONTEXT and HVM_PARAMS: framing, types, lengths, indices."""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader import hvm_context
from .libxc import EMPTY
from .messages import follow, ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.body import Body
    from ..reader.pump import Program
    from .libxc import Checks

# What an entry holds is Xen's own structure, as the processor stores it.
_COUNT = Struct("<I")
_PARAMS = "libxc.HVM_PARAMS"
# Bytes of parameters that are judged together.
_AT_ONCE = 16 << 10
_FIRST = tables.HVM_TYPES[tables.HVM_HEADER][1]


class _Context:
    """A context that is being walked through."""

    def __init__(self, checks: Checks, body: Body) -> None:
        self.checks = checks
        self.body = body
        self.entries = hvm_context.Entries(body)

    def report(self, clause: str, message: str, field: str, expected: object, actual: object, beyond: int = 0) -> None:
        """One breach, by a field of the present entry or of what is `beyond` bytes after it begins."""
        entry = self.entries
        offset, size = tables.PLACES[hvm_context.PATH][field]
        self.checks.context.report(
            clause,
            self.body.record,
            message,
            offset=entry.at + beyond + offset,
            length=size,
            field=f"context[{entry.number}].{field}",
            expected=expected,
            actual=actual,
        )

    def end(self) -> None:
        """The END entry: it carries nothing, and nothing follows."""
        entry = self.entries
        due = tables.HVM_TYPES[tables.HVM_END][1][0]
        left = entry.left - due
        if entry.instance or entry.length != due:
            shown = f"instance {entry.instance} length {entry.length}"
            message = f"the END entry has {shown}"
            self.report("LIBXC-HVMCTX-END", message, "length", f"instance 0 length {due}", shown)
        elif left > 0:
            message = f"{follow(left, 'the END entry')}; Xen ignores {'it' if left == 1 else 'them'}"
            beyond = self.body.at - entry.at
            self.report("LIBXC-HVMCTX-TAIL", message, "typecode", "nothing", f"{left} bytes", beyond)

    def headless(self) -> bool:
        """Whether the present entry should be the header, and is another; then it is reported."""
        entry = self.entries
        if entry.number or (entry.kind == tables.HVM_HEADER and not entry.instance and entry.length in _FIRST):
            return False
        shown = f"type {entry.kind} instance {entry.instance} length {entry.length}"
        expected = f"type {tables.HVM_HEADER} instance 0 length {_FIRST[0]}"
        message = f"the first entry is {shown}, expected {expected}"
        self.report("LIBXC-HVMCTX-HEADER", message, "typecode", expected, shown)
        return True

    def entry(self, name: str) -> Generator[int, int, None]:
        """Program that judges the present entry's type, called `name`, and its length."""
        entry, number = self.entries, self.entries.number
        _, lengths, unit, counted = tables.HVM_TYPES.get(entry.kind, ("", (), 0, False))
        length = entry.length
        if not name:
            message = f"entry {number} has type {entry.kind}, which no Xen knows"
            self.report("LIBXC-HVMCTX-TYPE", message, "typecode", ranges(tables.HVM_TYPES), entry.kind)
        elif length > entry.left:
            pass  # reported after this, for known and unknown types alike
        elif length not in lengths and not (unit and length > lengths[0] and not (length - lengths[0]) % unit):
            expected = " or ".join(map(str, lengths)) + (f" + {unit}n" if unit else "")
            message = f"entry {number}, {name}, has {length} bytes, expected {expected}"
            self.report("LIBXC-HVMCTX-LEN", message, "length", expected, length)
        elif counted and (yield from self.body.need(_COUNT.size)):
            (count,) = _COUNT.unpack_from(self.body.window.buf, self.body.window.lo)
            due = lengths[0] + unit * (count - 1)
            if length != due:
                message = f"entry {number}, {name}, has {length} bytes, expected {due} for its count of {count}"
                self.report("LIBXC-HVMCTX-LEN", message, "length", due, length)


def context(checks: Checks, body: Body) -> Program:
    """Program that judges Xen's save format: HEADER first, each entry inside the blob, END last."""
    walk = _Context(checks, body)
    entry = walk.entries
    while (yield from entry.next()):
        row = tables.HVM_TYPES.get(entry.kind)
        clean = row is not None and entry.length in row[1] and entry.length <= entry.left and not row[3]
        if clean and entry.number and entry.kind != tables.HVM_END:
            continue  # as nearly all are
        headless = walk.headless()
        if entry.kind == tables.HVM_END:
            walk.end()
            return
        name = tables.HVM_TYPES[entry.kind][0] if entry.kind in tables.HVM_TYPES else ""
        if not headless:  # else one finding is enough for it
            yield from walk.entry(name)
        if entry.length > entry.left:
            message = f"entry {entry.number}, {name or f'type {entry.kind}'}, claims {entry.length} bytes"
            message += f", {entry.left} are left"
            walk.report("LIBXC-HVMCTX-TILE", message, "length", f"at most {entry.left}", entry.length)
    if entry.ended in (hvm_context.SHORT, hvm_context.NO_END):
        left, entry.at, entry.number = body.left, body.at, entry.number + 1
        if left:
            message = f"{left} bytes are too few for an entry"
            walk.report("LIBXC-HVMCTX-TILE", message, "typecode", "an entry", f"{left} bytes")
        else:
            message = "there is no END entry"
            walk.report("LIBXC-HVMCTX-END", message, "typecode", "an END entry", "the end of the record")


def params(checks: Checks, body: Body) -> Program:
    """Program that judges HVM_PARAMS: count against length, then each parameter's index."""
    record = body.record
    size, unit = tables.SIZES[_PARAMS], tables.UNITS[_PARAMS][0]
    raw = yield from checks.fixed(body)
    if not raw:
        return
    count, *_ = Struct(body.order + tables.FORMATS[_PARAMS]).unpack(raw)
    if not count and record.length == size:
        checks.context.report("LIBXC-ERRATA-1", record, EMPTY, offset=record.body, field="count", actual=count)
    expected = size + unit * count
    if record.length != expected:
        if not (record.length - size) % unit:  # else the length rule has spoken
            message = f"length is {record.length}, expected {expected} for {count} parameters"
            checks.report_field("LIBXC-HVMPARAMS-LEN", record, "count", message, expected, record.length)
        return
    param = Struct(body.order + tables.FORMATS[f"{_PARAMS}.params"])
    at, first = body.at, 0
    while raw := (yield from body.piece(unit, _AT_ONCE)):
        for place, (index, *_) in enumerate(param.iter_unpack(raw)):
            if index >= tables.HVM_PARAMS_END:
                clause, message = "LIBXC-HVMPARAMS-INDEX", f"parameter {index:#x} does not exist"
            elif index == tables.HVM_PARAM_PAE and record.layer.version >= tables.LIBXC_VERSION_STATIC:
                clause, message = "LIBXC-HVMPARAMS-PAE", "parameter PAE_ENABLED is gone since Xen 4.14"
            else:
                continue
            if checks.context.findings.full(clause, record, at + unit * place):
                continue
            checks.context.report(
                clause,
                record,
                message,
                offset=at + unit * place,
                length=tables.PLACES[f"{_PARAMS}.params"]["index"][1],
                field=f"params[{first + place}].index",
                expected=f"below {tables.HVM_PARAMS_END}",
                actual=f"{index:#x}",
            )
        at, first = at + len(raw), first + len(raw) // unit
