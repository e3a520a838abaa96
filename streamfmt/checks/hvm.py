"""Checks of what HVM images carry in HVM_CONTEXT and HVM_PARAMS: framing, types, lengths, indices."""

from __future__ import annotations

from _struct import Struct  # struct would be a module more to find

from .. import tables
from ..reader import hvm_context
from ..reader.registry import load
from .libxc import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ..reader.events import Body
    from ..reader.pump import Program
    from .libxc import Checks

# What an entry holds is Xen's own structure, as the processor stores it.
_COUNT = Struct("<I")
_PARAMS = "libxc.HVM_PARAMS"
# Bytes of parameters that are judged together.
_AT_ONCE = 16 << 10
_FIRST = tables.HVM_TYPES[tables.HVM_HEADER][1]


_NONE: dict[str, str] = {}
# The clauses of a legacy stream in the place of those of an image.
_LEGACY = {
    **dict.fromkeys(("LIBXC-HVMCTX-HEADER", "LIBXC-HVMCTX-TILE", "LIBXC-HVMCTX-END"), "LEGACY-HVMCTX-FORM"),
    **dict.fromkeys(("LIBXC-HVMCTX-TYPE", "LIBXC-HVMCTX-LEN"), "LEGACY-HVMCTX-ENTRY"),
    "LIBXC-HVMCTX-TAIL": "LEGACY-HVMCTX-TAIL",
}


class Context(hvm_context.Entries):
    """A context that is being walked through and judged, by other `clauses` if they are there."""

    def __init__(self, checks: Checks, body: Body, clauses: Mapping[str, str]) -> None:
        super().__init__(body)
        self.checks = checks
        self.clauses = clauses
        self.seen: set[tuple[int, int]] = set()

    def report(self, clause: str, message: str, field: str, expected: object, actual: object, beyond: int = 0) -> None:
        """One breach, by a field of the present entry or of what is `beyond` bytes after it begins."""
        at, prefix = self.at + beyond, f"context[{self.number}]."
        clause = self.clauses.get(clause, clause)
        self.checks.context.report_field(
            clause, self.body.record, field, message, expected, actual, hvm_context.PATH, at, prefix
        )

    def final(self) -> None:
        """The END entry: it carries nothing, and nothing follows."""
        due = tables.HVM_TYPES[tables.HVM_END][1][0]
        left = self.left - due
        if self.instance or self.length != due:
            shown = f"instance {self.instance} length {self.length}"
            message = f"the END entry has {shown}"
            self.report("LIBXC-HVMCTX-END", message, "length", f"instance 0 length {due}", shown)
        elif left > 0:
            from .messages import follow  # the words are for few contexts

            message = f"{follow(left, 'the END entry')}; Xen ignores {'it' if left == 1 else 'them'}"
            beyond = self.body.at - self.at
            self.report("LIBXC-HVMCTX-TAIL", message, "typecode", "nothing", f"{left} bytes", beyond)

    def headless(self) -> bool:
        """Whether the present entry should be the header, and is another; then it is reported."""
        if self.number or (self.kind == tables.HVM_HEADER and not self.instance and self.length in _FIRST):
            return False
        shown = f"type {self.kind} instance {self.instance} length {self.length}"
        expected = f"type {tables.HVM_HEADER} instance 0 length {_FIRST[0]}"
        message = f"the first entry is {shown}, expected {expected}"
        self.report("LIBXC-HVMCTX-HEADER", message, "typecode", expected, shown)
        return True

    def magic(self) -> Program:
        """Program that judges how the header begins: Xen's magic number, and its only version."""
        due = tables.HVM_BEGINS
        if (yield from self.body.need(len(due))):
            window, at = self.body.window, self.body.at
            found = bytes(window.buf[window.lo : window.lo + len(due)])
            if found != due:
                message = f"the header begins with {found.hex(' ')}, expected {due.hex(' ')}"
                clause, record = "LIBXC-HVMCTX-MAGIC", self.body.record
                words = {"expected": due.hex(" "), "actual": found.hex(" ")}
                self.checks.context.report(
                    clause, record, message, offset=at, length=len(due), field="context[0].data", **words
                )

    def entry(self, name: str, lengths: tuple[int, ...], unit: int, counted: bool) -> Generator[int, int, None]:
        """Program that judges the present entry's type, called `name`, and its length."""
        number, length = self.number, self.length
        if not name:
            from .messages import ranges

            message = f"entry {number} has type {self.kind}, which no Xen knows"
            self.report("LIBXC-HVMCTX-TYPE", message, "typecode", ranges(tables.HVM_TYPES), self.kind)
        elif length > self.left:
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


def legacy_context(checks: Checks, body: Body) -> Program:
    """Program that judges the same in a legacy stream."""
    return context(checks, body, _LEGACY)


def context(checks: Checks, body: Body, clauses: Mapping[str, str] = _NONE) -> Program:
    """Program that judges Xen's save format: HEADER first, each entry inside the blob, END last."""
    walk = Context(checks, body, clauses)
    vcpu = 0, 0, 0
    while (yield from walk.next()):
        if walk.kind == tables.HVM_CPU and walk.instance > vcpu[1]:
            vcpu = walk.number, walk.instance, walk.at
        name, lengths, unit, counted = tables.HVM_TYPES.get(walk.kind, ("", (), 0, False))
        clean = walk.length in lengths and walk.length <= walk.left and not counted
        if checks.context.deep and name and walk.length <= walk.left:
            yield from load("checks.payloads:entry")(checks, walk, {} if clauses else checks.areas)
        if clean and walk.number and walk.kind != tables.HVM_END:
            continue  # as nearly all are
        headless = walk.headless()
        if walk.kind == tables.HVM_END:
            walk.final()
            if checks.context.configuration is not None:
                load("checks.configured:hvm_vcpu")(checks.context, body.record, *vcpu)
            return
        if not headless and not walk.number and not clauses and walk.length <= walk.left:
            yield from walk.magic()
        if not headless:  # else one finding is enough for it
            yield from walk.entry(name, lengths, unit, counted)
        if walk.length > walk.left:
            message = f"entry {walk.number}, {name or f'type {walk.kind}'}, claims {walk.length} bytes"
            message += f", {walk.left} are left"
            walk.report("LIBXC-HVMCTX-TILE", message, "length", f"at most {walk.left}", walk.length)
    if walk.ended in (hvm_context.SHORT, hvm_context.NO_END):
        left, walk.at, walk.number = body.left, body.at, walk.number + 1
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
    values = yield from checks.values(body)
    if not values:
        return
    count, *_ = values
    if not count and record.length == size:
        checks.context.report("LIBXC-ERRATA-1", record, EMPTY, offset=record.body, field="count", actual=count)
    expected = size + unit * count
    if record.length != expected:
        if not (record.length - size) % unit:  # else the length rule has spoken
            message = f"length is {record.length}, expected {expected} for {count} parameters"
            checks.context.report_field("LIBXC-HVMPARAMS-LEN", record, "count", message, expected, record.length)
        return
    path = f"{_PARAMS}.params"
    param = Struct(body.order + tables.FORMATS[path])
    at, first, viridian = body.at, 0, 0
    while raw := (yield from body.piece(unit, _AT_ONCE)):
        for place, (index, value) in enumerate(param.iter_unpack(raw)):
            if index == tables.HVM_PARAM_VIRIDIAN:
                viridian = value
            if index >= tables.HVM_PARAMS_END:
                clause, message = "LIBXC-HVMPARAMS-INDEX", f"parameter {index:#x} does not exist"
            elif index == tables.HVM_PARAM_PAE and record.layer.version >= tables.LIBXC_VERSION_STATIC:
                clause, message = "LIBXC-HVMPARAMS-PAE", "parameter PAE_ENABLED is gone since Xen 4.14"
            else:
                continue
            where = at + unit * place
            if not checks.context.findings.full(clause, record, where):
                expected, actual = f"below {tables.HVM_PARAMS_END}", f"{index:#x}"
                prefix = f"params[{first + place}]."
                checks.context.report_field(clause, record, "index", message, expected, actual, path, where, prefix)
        at, first = at + len(raw), first + len(raw) // unit
    if not body.left and checks.context.configuration is not None:
        load("checks.configured:viridian")(checks.context, record, viridian)
