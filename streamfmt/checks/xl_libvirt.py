"""Checks of the containers around streams: xl and libvirt save files.  XAPI images have a module of their own."""

from __future__ import annotations

from struct import unpack, unpack_from

from .. import tables
from . import xapi, xl_migrate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.events import Record
    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

_PIECE = 32 << 10


def header(verifier: Verifier, state: LayerState, at: int, raw: bytes) -> None:
    """Remember what a container's header, at stream offset `at`, says of its stream."""
    layer = state.layer
    state.header = at
    if layer.name == "xl":
        _, _, state.promise, _, _ = unpack(layer.order + tables.FORMATS["xl.header"], raw)
        if layer.order == ">":
            place, size = tables.PLACES["xl.header"]["byteorder"]
            message = "the file was saved on a big-endian host, and no reader is one"
            verifier.report("XL-BYTEORDER", layer, message, offset=at + place, length=size, field="byteorder")
    elif layer.name == "xapi":
        xapi.header(verifier)
    elif layer.name == "libvirt":
        _, state.promise, _, _ = unpack("<" + tables.FORMATS["libvirt.header"], raw)


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Program that judges what a container carries beside its stream."""
    if record.layer.name in xl_migrate.LAYERS:
        return xl_migrate.body(verifier, state, record)
    if record.layer.name == "xapi":
        return xapi.body(verifier, state, record)
    return _configuration(verifier, state, record) if record.layer.name == "xl" else _xml(verifier, record)


def _configuration(verifier: Verifier, state: LayerState, record: Record) -> Program:
    w = verifier.window
    size = tables.SIZES[record.path]
    if record.length < size:
        message = f"{record.length} bytes are too few for the length of a configuration"
        expected = f"at least {size}"
        verifier.header_fault("XL-OPTDATA-LEN", record, "length", message, expected, record.length)
        return
    if w.hi - w.lo < size and not (yield size):
        return
    (length,) = unpack_from(record.layer.order + tables.FORMATS[record.path], w.take(size))
    unit, spare = tables.UNITS[record.path]
    length *= unit
    if not length and "xl-migrate" in record.layer.path.split("/"):
        xl_migrate.no_configuration(verifier, record)
    room = record.length - size
    if length > room:
        verifier.report(
            "XL-CONFIG-LEN",
            record,
            f"the configuration is said to have {length:,} bytes, there is room for {room:,}",
            offset=record.offset,
            length=size,
            field="config_len",
            expected=f"at most {room}",
            actual=length,
        )
        return
    start = w.position
    json = bool(state.promise & tables.XL_FLAGS["json"])
    formed = True
    if length:
        formed = yield from _text(verifier, record, "XL-CONFIG-FORM", start, length, b"{" if json else b"", json)
    if length and formed and not json and state.promise & tables.XL_FLAGS["stream_v2"]:
        message = "the configuration is said to be text, in a file of Xen 4.6 or later"
        verifier.report("XL-CONFIG-JSON", record, message, offset=start, length=length, field="config")
    rest = room - length
    unread = record.end - w.position
    if rest and spare and (yield -unread) == unread:
        verifier.report(
            "XL-OPTDATA-REST",
            record,
            f"{rest:,} bytes follow the configuration, which readers pass over",
            offset=start + length,
            length=rest,
            field="rest",
        )


def _xml(verifier: Verifier, record: Record) -> Program:
    if record.length:
        yield from _text(verifier, record, "LIBVIRT-XML", record.body, record.length, b"<", True)


def _text(
    verifier: Verifier, record: Record, clause: str, start: int, length: int, first: bytes, closed: bool
) -> Generator[int, int, bool]:
    """Bytes that are a text beginning with `first`, and if `closed` with one NUL, at their end; in constant memory.

    Returns whether they are.
    """
    w = verifier.window
    nul = -1
    message = ""
    place, size = start + length - 1, 1
    while w.position < start + length:
        piece = min(start + length - w.position, _PIECE)
        if w.hi - w.lo < piece and not (yield piece):
            return False
        at, raw = w.position, w.take(piece)
        if at == start and not raw.lstrip().startswith(first):
            message = f"it begins {raw[:16].hex(' ')}, not as {'JSON' if first == b'{' else 'XML'} does"
            place, size = start, len(raw[:16])
            break
        found = raw.find(0)
        if found >= 0:
            nul = place = at + found
            break
    if not message and closed and nul != start + length - 1:
        message = "it has no NUL at its end" if nul < 0 else f"its NUL is at {nul}, not at its end"
    elif not message and not closed and nul >= 0:
        message = f"it is text, and has a NUL at {nul}"
    if message:
        part = "xml" if record.layer.name == "libvirt" else "config"
        verifier.report(clause, record, message, offset=place, length=size, field=part)
    return not message


def _promised(state: LayerState) -> str:
    """The key of the stream that a container's field promises."""
    if state.layer.name == "xl":
        return "libxl" if state.promise & tables.XL_FLAGS["stream_v2"] else "legacy"
    return {tables.LIBVIRT_VERSION_LEGACY: "legacy", tables.LIBVIRT_VERSION_V2: "libxl"}.get(state.promise, "")


_PROMISES = {
    "xl": ("XL-FLAG-STREAM", "mandatory_flags.stream_v2"),
    "libvirt": ("LIBVIRT-VERSION-STREAM", "version"),
}
_WORDS = {"libxl": "a libxl v2 stream", "legacy": "a legacy stream"}


def inner(verifier: Verifier, state: LayerState, at: int, identity: Identity) -> None:
    """Judge what a container says about its stream by what the stream is."""
    layer = state.layer
    if layer.name not in _PROMISES:
        return
    promised = _promised(state)
    if not promised or identity.key == promised:
        return
    clause, field = _PROMISES[layer.name]
    mending = _flag_of(state) if layer.name == "xl" and identity.key in _WORDS else ""
    verifier.report(
        clause,
        layer,
        f"the file promises {_WORDS[promised]}; at {at} there is {identity.name} ({identity.evidence}){mending}",
        offset=at,
        field=field,
        expected=_WORDS[promised],
        actual=identity.name,
    )


def _flag_of(state: LayerState) -> str:
    """Which byte of the file an xl header that promised the other stream would have, as printf and dd take it."""
    place, size = tables.PLACES["xl.header"]["mandatory_flags.stream_v2"]
    lowest = state.header + place + (size - 1 if state.layer.order == ">" else 0)
    byte = (state.promise ^ tables.XL_FLAGS["stream_v2"]) & 0xFF
    return f"; the byte at {lowest} would have to be \\{byte:03o}, as printf writes it"
