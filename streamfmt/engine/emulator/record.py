"""The emulator's state as a record of QEMU's devices: what a saver has as the device model's.

It has QEMU's own section "timer", of three 64-bit numbers (ticks, nothing, nanoseconds), and one of ours, in which a
disk would say where it is.  All are big-endian, as QEMU's are.
"""

from __future__ import annotations

from struct import Struct

from ... import api
from ...errors import GuestError, StreamError
from ...writer.qemu import Device, device_record
from .dma import Ring

_TIMER, _TIMER_VERSION, _TIMER_BODY = "timer", 2, Struct(">qqq")
_NAME, _VERSION, _BODY = "streamfmt-dma", 1, Struct(">QQQ")  # the ring's first frame, frames, writes
_NS = 1_000_000_000


def saved(ring: Ring, seconds: float = 0.0) -> bytes:
    """The record of an emulator that has run for so long."""
    clock = round(seconds * _NS)
    timer = Device(_TIMER, _TIMER_BODY.pack(clock, 0, clock), _TIMER_VERSION)
    return device_record([timer, Device(_NAME, _BODY.pack(ring.first, ring.count, ring.writes), _VERSION)]).render()


def restored(record: bytes) -> tuple[Ring, float]:
    """What :func:`saved` was given.

    :raises GuestError: it is not the record of such an emulator.
    """
    try:
        found = _sections(record)
        first, count, writes = _BODY.unpack(found[_NAME, _VERSION])
        clock = _TIMER_BODY.unpack(found[_TIMER, _TIMER_VERSION])[2]
    except (StreamError, KeyError) as error:
        why = f"it has no section {error}" if isinstance(error, KeyError) else str(error)
        raise GuestError(f"the device model's state is not of this emulator: {why}") from None
    if not count:
        raise GuestError("the device model's state is of an emulator without memory")
    return Ring(first, count, writes), clock / _NS


def _sections(record: bytes) -> dict[tuple[str, int], bytes]:
    """Contents of the record's devices, by name and version."""
    found = {}
    with api.open(record, form="qemu") as stream:
        for item in stream:
            if isinstance(item, api.Record) and item.name == "SECTION_FULL":
                fields = item.fields()
                found[fields["idstr"].decode(), fields["version_id"]] = bytes(fields["payload"])
    return found
