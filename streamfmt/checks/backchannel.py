"""Checks of COLO's back channel: what may be on it, and in which order."""

from __future__ import annotations

from .. import tables
from ..reader.events import Layer, Record
from . import libxl
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.pump import Program
    from .verifier import Verifier

_LIST = tables.RECORDS["libxc"][tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST]
_NEXT = dict(zip(tables.BACK_CHANNEL, (*tables.BACK_CHANNEL[1:], tables.BACK_CHANNEL[0]), strict=True))

# Ids that belong here.
_IDS = [number for number, name in tables.CHECKPOINT_STATES.items() if name in _NEXT]


def _begins(verifier: Verifier, layer: Layer) -> None:
    """Judge that there is a back channel at all."""
    if verifier.mode in ("plain", "remus"):
        message = f"a back channel of a stream that is declared {verifier.mode}; only COLO has one"
        verifier.report("REMUS-BACK", layer, message, offset=0, expected="colo", actual=verifier.mode)


def header(verifier: Verifier, layer: Layer, at: int, raw: bytes) -> None:
    """A header, which this channel has none of."""
    message = f"a header of a {layer.name} stream, on a back channel"
    verifier.report("LIBXL-BACK-NOHDR", layer, message, offset=at, length=len(raw), expected="a record")


def record(verifier: Verifier, record: Record) -> Program | None:
    """Program that judges a record of the channel."""
    layer = record.layer
    assert layer.parent is not None
    channel = verifier.state(layer.parent)
    if layer.parent.index == 1:
        _begins(verifier, layer.parent)
    if layer.name == "libxc" and record.type == tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST:
        verifier.length(channel, record)
        if channel.expected in ("", _LIST):
            channel.expected = _NEXT[_LIST]
        else:
            message = f"a list of dirty frames comes where {channel.expected} should be"
            verifier.report("COLO-DIRTY-POS", record, message, expected=channel.expected, actual=_LIST)
        return None
    if layer.name != "libxl" or record.type != tables.LIBXL_CHECKPOINT_STATE:
        message = f"{record.name} does not belong on a back channel"
        verifier.header_fault("LIBXL-BACK-TYPES", record, "type", message, f"CHECKPOINT_STATE or {_LIST}", record.name)
        return None
    verifier.length(channel, record)
    if record.length < tables.SIZES[record.path]:
        channel.expected = ""
        return None
    return _state(verifier, record)


def _state(verifier: Verifier, record: Record) -> Program:
    name = yield from libxl.control_id(verifier, record)
    if name is None:
        return
    assert record.layer.parent is not None
    channel = verifier.state(record.layer.parent)
    if name in _NEXT:
        if channel.expected == _LIST:
            message = f"{name} comes where the list of dirty frames should be"
            verifier.report("COLO-DIRTY-POS", record, message, expected=_LIST, actual=name)
        elif channel.expected not in ("", name):
            message = f"{name} comes where {channel.expected} should be"
            libxl.state_fault(verifier, record, "LIBXL-CKPTSTATE-ID", message, channel.expected, name)
        channel.expected = _NEXT[name]
    elif not name:
        channel.expected = ""
    else:
        channel.expected = ""
        libxl.state_fault(verifier, record, "COLO-NEW-FWD", f"{name} belongs on the forward stream", ranges(_IDS), name)


def misplaced(verifier: Verifier, record: Record, at: int, raw: bytes) -> None:
    """The list's last frame lies behind its body."""
    verifier.report(
        "COLO-DIRTY-HDR",
        record,
        "8 bytes of zeros lie between the list's header and its first frame, uncounted: the list ends 8 bytes late",
        offset=record.body,
        length=len(raw),
        expected="the first frame",
        actual=raw.hex(" ") if record.length < len(raw) else "zeros",
    )
