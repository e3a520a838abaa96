"""Checks of XAPI suspend images that tables cannot express."""

from __future__ import annotations

import re

from .. import tables
from ..reader.events import Record, Unsized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer
    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

_PIECE = 32 << 10
# So many at most, for re remembers each until the match ends; the next match goes on from there.
_GROUPS = rb"(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)(?= )| ){1,256}"
_LAST_GROUP = rb"[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)"
# The clause that a XENOPS record breaks, by what is wrong with it.
_XENOPS = {"form": "XAPI-XENOPS-FORM", "keys": "XAPI-XENOPS-KEYS", "values": "XAPI-XENOPS-VALUES"}
_RESERVED = (tables.XAPI_LIBXL, tables.XAPI_QEMU_XEN)
_LIBXC = tables.BITS["xapi"][tables.XAPI_LIBXC]


def header(verifier: Verifier) -> None:
    """The image has begun.  Nothing but plain streams is in one, so no CHECKPOINT makes its end less needed."""
    if verifier.mode == "auto":
        verifier.mode = "plain"


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Judge what a record is by itself; a program that judges its body, if there is anything in it to judge."""
    kind = record.type
    if isinstance(record, Unsized) and record.declared_length:
        message = f"length is {record.declared_length}, expected 0: this record's end shows in its body only"
        verifier.header_fault("XAPI-LENGTH-ZERO", record, "length", message, 0, record.declared_length)
    if kind in _RESERVED:
        message = f"{record.name} is reserved: no release writes one, and readers fail on it"
        verifier.header_fault("XAPI-RESERVED", record, "type", message, "another type", record.name)
    elif kind == tables.XAPI_LIBXC_LEGACY:
        message = "a legacy stream is inside, which no release writes into such an image"
        verifier.header_fault("XAPI-LIBXC-LEGACY", record, "type", message, "LIBXC", record.name)
    elif kind == tables.XAPI_SWTPM0:
        message = "the TPM's state is raw, as xapi 22.26 to 23.14 wrote it"
        verifier.header_fault("XAPI-SWTPM0", record, "type", message, "SWTPM", record.name)
    elif kind == tables.XAPI_END_OF_IMAGE and not state.seen & _LIBXC:
        message = "the image ends without the guest's memory: well-formed, and of no use"
        verifier.report("XAPI-MEMORY", record, message, expected="LIBXC", actual="no memory image")
    elif kind == tables.XAPI_XENOPS:
        return _xenops(verifier, record)
    elif kind == tables.XAPI_SWTPM:
        return _base64(verifier, record)
    return None


def oversize(verifier: Verifier, record: Record) -> None:
    """A length that no reader can hold."""
    verifier.stopped = record.offset, "no reader takes a record of this length, so nothing after it can be trusted"
    message = f"length is {record.length:,}, expected 0 to {tables.XAPI_LENGTH_MAX:,}"
    verifier.header_fault("XAPI-LENGTH", record, "length", message, f"0 to {tables.XAPI_LENGTH_MAX}", record.length)


def _xenops(verifier: Verifier, record: Record) -> Program:
    from ..reader import sexpr

    def fault(clause: str, at: int, message: str, expected: str = "", actual: str = "") -> None:
        verifier.report(clause, record, message, offset=at, field="body", expected=expected, actual=actual)

    try:
        found = yield from sexpr.walk(verifier.window, record)
    except sexpr.EndedError:
        return
    except sexpr.BrokenError as error:
        if error.kind in _XENOPS:
            fault(_XENOPS[error.kind], error.at, error.message)
        else:
            verifier.abstain("XAPI-XENOPS-FORM", f"at {error.at} {error.message}")
        return
    value = found["word_size"]
    size = sexpr.number(value.data)
    if size not in tables.XENOPS_WORD_SIZES:
        expected = " or ".join(map(str, tables.XENOPS_WORD_SIZES))
        fault("XAPI-WORD-SIZE", value.at, f"word_size is {size}, expected {expected}", expected, str(size))


def _base64(verifier: Verifier, record: Record) -> Program:
    """Judge that a body is base64: groups of four characters, the last of a word padded, words apart by spaces."""
    w = verifier.window
    # re keeps what it has compiled; few images have such a record, so the others do not pay for it.
    groups, last = re.compile(_GROUPS), re.compile(_LAST_GROUP)
    while left := record.end - w.position:
        count = min(left, 5)
        if w.hi - w.lo < count and not (yield min(left, _PIECE)) and w.hi - w.lo < count:
            return
        found = groups.match(w.buf, w.lo, w.lo + min(w.hi - w.lo, left))
        if not found and left == 4:
            found = last.fullmatch(w.buf, w.lo, w.lo + left)
        if not found:
            data = bytes(w.buf[w.lo : w.lo + count])
            message = f"this is no base64: {data.hex(' ')}"
            verifier.report("XAPI-SWTPM-TEXT", record, message, offset=w.position, length=count, field="body")
            return
        w.lo = found.end()


def trailing(verifier: Verifier, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
    """What lies behind the end: the block device is longer than the image."""
    name = next((name for _, _, place, data, name in tables.MAGICS if not place and head.startswith(data)), "")
    shown = "zeros" if zero else f"another {name}" if name else f"beginning {head[:16].hex(' ')}"
    verifier.report("XAPI-SLACK", layer, f"{count:,} bytes follow END_OF_IMAGE: {shown}", offset=at, length=count)
