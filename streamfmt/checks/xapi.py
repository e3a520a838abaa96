"""Checks of XAPI suspend images that tables cannot express."""

from __future__ import annotations

import re

from .. import tables
from ..reader import sexpr
from ..reader.events import PIECE, Body, Record
from ..reader.registry import load
from ..reader.xapi import Unsized
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer
    from ..reader.pump import Program

# So many at most, for re remembers each until the match ends; the next match goes on from there.
_GROUPS = rb"(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)(?= )| ){1,256}"
_LAST_GROUP = rb"[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)"
# The clauses about the device model's state, where it is empty, no record, or cut.
_STATE = ("XAPI-QEMU-FORM", "XAPI-QEMU-FORM", "XAPI-QEMU-WHOLE")
# The clause that a XENOPS record breaks, by what is wrong with it.
_XENOPS = {"form": "XAPI-XENOPS-FORM", "keys": "XAPI-XENOPS-KEYS", "values": "XAPI-XENOPS-VALUES"}
# Records after which the guest's memory comes.
_IMAGES = tables.BITS["xapi"][tables.XAPI_LIBXC] | tables.BITS["xapi"][tables.XAPI_LIBXC_LEGACY]
# Types that should be others: the clause, the type that is expected, and what is wrong with this one.
_RESERVED = "XAPI-RESERVED", "another type", "{} is reserved: no release writes one, and readers fail on it"
_TYPES = {
    tables.XAPI_LIBXL: _RESERVED,
    tables.XAPI_QEMU_XEN: _RESERVED,
    tables.XAPI_LIBXC_LEGACY: (
        "XAPI-LIBXC-LEGACY",
        "LIBXC",
        "a legacy stream is inside, which no release writes into such an image",
    ),
    tables.XAPI_SWTPM0: ("XAPI-SWTPM0", "SWTPM", "the TPM's state is raw, as xapi 22.26 to 23.14 wrote it"),
}


class Checks(base.Checks):
    """Judges an image, which is on a block device that is longer: what follows it is slack."""

    trailer = ""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        # Nothing but plain streams is in one, so no CHECKPOINT makes its end less needed.
        if self.context.mode == "auto":
            self.context.mode = "plain"
        super().header(layer, path, at, raw, broken)

    def body(self, record: Record) -> Program | None:
        """Judge what a record is by itself; a program that judges its body, if there is anything in it to judge."""
        kind = record.type
        if isinstance(record, Unsized) and record.declared_length:
            length = record.declared_length
            message = f"length is {length}, expected 0: this record's end shows in its body only"
            self.context.report_header("XAPI-LENGTH-ZERO", record, "length", message, 0, length)
        if kind in _TYPES:
            clause, expected, message = _TYPES[kind]
            self.context.report_header(clause, record, "type", message.format(record.name), expected, record.name)
        elif kind == tables.XAPI_END_OF_IMAGE and not self.seen & _IMAGES:
            message = "the image ends without the guest's memory: well-formed, and of no use"
            self.context.report("XAPI-MEMORY", record, message, expected="LIBXC", actual="no memory image")
        elif kind == tables.XAPI_END_OF_IMAGE and self._without_state():
            message = "the image has no QEMU_TRAD, and its description is an HVM guest's"
            self.context.report("XAPI-QEMU-PRESENT", record, message, expected="QEMU_TRAD", actual="no state")
        elif kind == tables.XAPI_QEMU_TRAD:
            return self._state(Body(self.context.window, record))
        elif kind == tables.XAPI_XENOPS:
            return self._xenops(record)
        elif kind == tables.XAPI_SWTPM:
            return self._base64(Body(self.context.window, record))
        return None

    def _without_state(self) -> bool:
        """Whether the guest has a device model, as HVM guests have and PVH guests not, and no state of one has come."""
        said = self.context.configuration
        known = said is not None and said.type == "hvm" and self.layer.guest == "hvm"
        return known and not self.seen & self._bits[tables.XAPI_QEMU_TRAD]

    def _state(self, body: Body) -> Program:
        yield from load("checks.device_model:state")(self, body, "body", *_STATE)

    def oversize(self, record: Record) -> None:
        most = self.layer.row.length_max
        stopped = "no reader takes a record of this length, so nothing after it can be trusted"
        self.context.stopped = record.offset, stopped
        message = f"length is {record.length:,}, expected 0 to {most:,}"
        self.context.report_header(self.layer.row.too_long, record, "length", message, f"0 to {most}", record.length)

    def _xenops(self, record: Record) -> Program:
        def report(clause: str, at: int, message: str, expected: str = "", actual: str = "") -> None:
            self.context.report(clause, record, message, offset=at, field="body", expected=expected, actual=actual)

        yield from self.configured(Body(self.context.window, record))
        try:
            found = yield from sexpr.walk(self.context.window, record)
        except sexpr.EndedError:
            return
        except sexpr.BrokenError as error:
            self.context.configuration = None
            if error.kind in _XENOPS:
                report(_XENOPS[error.kind], error.at, error.message)
            else:
                self.context.abstain("XAPI-XENOPS-FORM", f"at {error.at} {error.message}")
            return
        value = found["word_size"]
        size = sexpr.number(value.data)
        if size not in tables.XENOPS_WORD_SIZES:
            expected = " or ".join(map(str, tables.XENOPS_WORD_SIZES))
            report("XAPI-WORD-SIZE", value.at, f"word_size is {size}, expected {expected}", expected, str(size))

    def _base64(self, body: Body) -> Program:
        """Judge that a body is base64: groups of four characters, the last of a word padded, words apart by spaces."""
        w = body.window
        # re keeps what it has compiled; few images have such a record, so the others do not pay for it.
        groups, last = re.compile(_GROUPS), re.compile(_LAST_GROUP)
        while left := body.left:
            count = min(left, 5)
            if w.hi - w.lo < count and not (yield min(left, PIECE)) and w.hi - w.lo < count:
                return
            found = groups.match(w.buf, w.lo, w.lo + min(w.hi - w.lo, left))
            if not found and left == 4:
                found = last.fullmatch(w.buf, w.lo, w.lo + left)
            if not found:
                wrong = bytes(w.buf[w.lo : w.lo + count])
                message = f"not valid base64: {wrong.hex(' ')}"
                self.context.report("XAPI-SWTPM-TEXT", body.record, message, offset=body.at, length=count, field="body")
                return
            w.lo = found.end()
