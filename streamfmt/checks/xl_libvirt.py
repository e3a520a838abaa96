"""Checks of xl and libvirt save files: what comes before the stream, and what is said of the stream."""

from __future__ import annotations

from .. import tables
from ..reader.events import PIECE, Body
from ..reader.fields import number
from ..reader.registry import ROWS, load
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.identify import Identity
    from ..reader.pump import Program

_V2, _LEGACY = "libxl", "legacy"
_WORDS = {_V2: "a libxl v2 stream", _LEGACY: "a legacy stream"}


class _File(base.Checks):
    """Judges a file whose header, `raw` at `at`, says in `field` which stream is inside; else `clause` is broken.

    `said` is the number in that field; `promises` has the key of a stream by those bits of it that are in `mask`.
    """

    clause = field = ""
    mask = -1
    promises: Mapping[int, str]
    at = said = 0
    raw = b""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.at, self.raw, self.said = at, raw, number(path, self.field, raw, layer.order)
        super().header(layer, path, at, raw, broken)

    def inner(self, at: int, identity: Identity) -> None:
        """Judge what the file says about its stream by what the stream is."""
        row = ROWS.get(identity.key)
        found = (row.alias if row else "") or identity.key
        key = self.promises.get(self.said & self.mask, found)
        if found == key:
            return
        promised = _WORDS[key]
        if not identity.key:
            # Nothing that the header says would make a stream of it.
            message = f"{promised} should begin at {at}, and there is {identity.name} ({identity.evidence})"
            if identity.hint:
                message += f"; {identity.hint}"
            # If the configuration is not as it should be either, the bytes were lost or added there.
            findings, start = self.context.findings, self.at + len(self.raw.rstrip(b"\0"))
            if findings.forget_within(self.at + len(self.raw), at):
                message += "; bytes were lost or added before that, in the configuration"
            elif findings.forget_within(start, at):
                message += f"; the zeros begin at {start}, in the header"
            self.context.report(
                "STREAM-FRAMING-LOST", self.layer, message, offset=at, expected=promised, actual=identity.name
            )
            return
        there = f"{identity.name} ({identity.evidence}){self.mend(identity)}"
        self.context.report(
            self.clause,
            self.layer,
            f"the file promises {promised}; at {at} there is {there}",
            offset=at,
            field=self.field,
            expected=promised,
            actual=identity.name,
        )

    def mend(self, identity: Identity) -> str:
        """How the header could be made to say what `identity` is, in words to be added to a message."""
        return ""


class Xl(_File):
    """Judges an xl save file, whose header has flags."""

    clause = "XL-FLAG-STREAM"
    field = "mandatory_flags.stream_v2"
    mask = tables.XL_FLAGS["stream_v2"]
    promises: Mapping[int, str] = {mask: _V2, 0: _LEGACY}

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer.order == ">":
            message = "the file was saved on a big-endian host, and no reader is one"
            self.context.report_field("XL-BYTEORDER", layer, "byteorder", message, path=path, at=at)
        super().header(layer, path, at, raw, broken)

    def mend(self, identity: Identity) -> str:
        if identity.key not in _WORDS and not identity.width:
            return ""
        place, size = tables.PLACES[f"{self.layer.name}.header"][self.field]
        lowest = self.at + place + (size - 1 if self.layer.order == ">" else 0)
        byte = (self.said ^ self.mask) & 0xFF
        return f"; the byte at {lowest} would have to be \\{byte:03o}, as printf writes it"

    def missing(self, record: Record) -> bool:
        """The file has no configuration.  Whether what is around it has a clause of its own for that."""
        outer = record.layer.parent
        return outer is not None and self.context.checks(outer).bare(record)

    def body(self, record: Record) -> Program:
        """Program that judges the optional data: a configuration, and nothing after it."""
        body, context = Body(self.context.window, record), self.context
        size = tables.SIZES[record.path]
        if not record.length:
            message = "the file has no optional data, and so no configuration of the guest"
            if not self.missing(record):
                context.report_header("XL-CONFIG-PRESENT", record, "length", message, "a configuration", 0)
            return
        if record.length < size:
            message = f"{record.length} bytes are too few for the length of a configuration"
            context.report_header("XL-OPTDATA-LEN", record, "length", message, f"at least {size}", record.length)
            return
        yield from self.configured(body)
        values = yield from self.values(body)
        if not values:
            return
        unit, spare = tables.UNITS[record.path]
        length = values[0] * unit
        if not length and not self.missing(record):
            message = "the file carries no configuration of the guest"
            context.report_field("XL-CONFIG-PRESENT", record, "config_len", message, "a configuration", 0)
        room = record.length - size
        if length > room:
            message = f"the configuration is said to have {length:,} bytes, there is room for {room:,}"
            context.report_field("XL-CONFIG-LEN", record, "config_len", message, f"at most {room}", length)
            return
        start = body.at
        json = bool(self.said & tables.XL_FLAGS["json"])
        formed = True
        if length:
            formed = yield from _text(self, body, "XL-CONFIG-FORM", "config", length, b"{" if json else b"", json)
        if (found := context.configuration) is not None and (found.form == "json") != json:
            context.configuration = None  # it is not what the flag says, and no reader takes it
        elif found is not None:
            load("checks.configured:domid")(context, record)
        if length and formed and not json and self.said & self.mask:
            message = "the configuration is said to be text, in a file of Xen 4.6 or later"
            context.report("XL-CONFIG-JSON", record, message, offset=start, length=length, field="config")
        rest, unread = room - length, body.left
        if rest and spare and (yield from body.skip(unread)) == unread:
            from .messages import follow  # little follows a configuration

            message = f"{follow(rest, 'the configuration')}, which readers pass over"
            context.report("XL-OPTDATA-REST", record, message, offset=start + length, length=rest, field="rest")


class Libvirt(_File):
    """Judges a libvirt save file."""

    clause = "LIBVIRT-VERSION-STREAM"
    field = "version"
    promises: Mapping[int, str] = {tables.LIBVIRT_VERSION_LEGACY: _LEGACY, tables.LIBVIRT_VERSION_V2: _V2}

    def body(self, record: Record) -> Program:
        if record.length:
            body = Body(self.context.window, record)
            yield from self.configured(body)
            yield from _text(self, body, "LIBVIRT-XML", "xml", record.length, b"<", True)


def _text(
    checks: _File, body: Body, clause: str, field: str, length: int, first: bytes, closed: bool
) -> Generator[int, int, bool]:
    """Bytes that are a text beginning with `first`, and if `closed` with one NUL, at their end; in constant memory.

    Returns whether they are.
    """
    start = body.at
    end = start + length
    nul = -1
    message = ""
    place, size = end - 1, 1
    while body.at < end:
        at = body.at
        raw = yield from body.piece(most=min(end - at, PIECE))
        if not raw:
            return False
        if at == start and not raw.lstrip().startswith(first):
            message = f"it begins {raw[:16].hex(' ')}, not as {'JSON' if first == b'{' else 'XML'} does"
            place, size = start, len(raw[:16])
            break
        found = raw.find(0)
        if found >= 0:
            nul = place = at + found
            break
    if not message and closed and nul != end - 1:
        message = "it has no NUL at its end" if nul < 0 else f"its NUL is at {nul}, not at its end"
    elif not message and not closed and nul >= 0:
        message = f"it is text, and has a NUL at {nul}"
    if message:
        checks.context.report(clause, body.record, message, offset=place, length=size, field=field)
    return not message
