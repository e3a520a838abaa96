"""Checks of VFIO devices: what was wrong with the marks in their sections, and their packets in channels of multifd."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from ..reader.qemu_state import Section
    from .qemu import Checks
    from .qemu_multifd import Checks as ChannelChecks

_NUMBER = 4
# Devices of which a channel's packets are followed, and packets of each.
_DEVICES_MAX, _PACKETS_MAX = 1 << 10, 1 << 16


def marks(checks: Checks, record: Record) -> None:
    """Say what was found while the end of the section's payload was looked for."""
    found = checks.facts.marks
    if found is None or not found.faults:
        return
    faults, found.faults = found.faults, []
    for clause, at, size, message, expected, actual in faults:
        checks.context.report(
            clause, record, message, offset=at, length=size, field="payload", expected=expected, actual=actual
        )


def section(checks: Checks, record: Record, now: Section) -> None:
    """Judge the header of a device's section."""
    before = checks.facts.live.get(now.id)
    if now.version > tables.VFIO_SECTION_VERSION:
        message = f"the section has version {now.version}, and there is none but {tables.VFIO_SECTION_VERSION}"
        at = record.body + tables.SIZES[record.path] + len(now.name or b"") + _NUMBER
        checks.context.report(
            "VFIO-SEC-VERSION",
            record,
            message,
            offset=at,
            length=_NUMBER,
            field="version_id",
            expected=tables.VFIO_SECTION_VERSION,
            actual=now.version,
        )
    elif record.type == tables.QEMU_SECTION_FULL and before is not None and not before.ended:
        message = f"the device's configuration comes before section {now.id} has ended"
        checks.context.report_field(
            "VFIO-ORDER", record, "section_id", message, tables.RECORDS["qemu"][tables.QEMU_SECTION_END], now.id
        )


def packet(checks: ChannelChecks, body: Body, device: bytes, instance: int) -> Program:
    """Program that judges a packet of a device's state: what is before its data."""
    record = body.record
    at = body.at
    if body.left < tables.VFIO_PACKET_SIZE:
        message = f"the packet has {body.left} bytes, and at least {tables.VFIO_PACKET_SIZE} are before its data"
        expected = f"at least {tables.VFIO_PACKET_SIZE}"
        checks.context.report_field("VFIO-MFD-SHORT", record, "data_size", message, expected, body.left)
        return
    raw = yield from body.take(tables.VFIO_PACKET_SIZE)
    if len(raw) < tables.VFIO_PACKET_SIZE:
        return
    version, index, flags = (int.from_bytes(raw[place : place + _NUMBER], "big") for place in (0, 4, 8))
    if version != tables.VFIO_PACKET_VERSION:
        message = f"the device's packet has version {version}, which is not known"
        expected = f"{tables.VFIO_PACKET_VERSION}"
        checks.context.report(
            "VFIO-MFD-VERSION", record, message, offset=at, length=4, field="data", expected=expected, actual=version
        )
        return
    if flags & ~tables.VFIO_PACKET_CONFIG:
        message = f"the flags {flags:#x} of the device's packet are not known"
        checks.context.report(
            "VFIO-MFD-FLAGS", record, message, offset=at + 8, length=4, field="data", expected="0 or 1", actual=flags
        )
        return
    devices, key = checks.facts.devices, (device, instance)
    checks.facts.full = checks.facts.full or (key not in devices and len(devices) >= _DEVICES_MAX)
    seen = devices.setdefault(key, {}) if len(devices) < _DEVICES_MAX else devices.get(key, {})
    if index == tables.VFIO_PACKET_NONE or index in seen:
        message = f"packet {index:,} of the device has come already"
        if index == tables.VFIO_PACKET_NONE:
            message = f"{index:#x} is no number of a packet"
        checks.context.report(
            "VFIO-MFD-INDEX", record, message, offset=at + 4, length=4, field="data", expected="each once", actual=index
        )
    elif len(seen) < _PACKETS_MAX:
        seen[index] = bool(flags)
    else:
        checks.facts.full = True
    if flags:
        yield from _configuration(checks, body)


def _configuration(checks: ChannelChecks, body: Body) -> Program:
    """Program that judges the packet that has the configuration: marks are around it, as in a section."""
    size, length = tables.VFIO_MARK_SIZE, body.left
    at, raw = body.at, b""
    first, last = (mark.to_bytes(size, "big") for mark in (tables.VFIO_DEV_CONFIG, tables.VFIO_END_OF_STATE))
    if length >= 2 * size:
        raw = yield from body.take(size)
        yield from body.skip(body.left - size)
        raw += yield from body.take(size)
        if len(raw) < 2 * size:
            return
    if raw != first + last:
        message = "the configuration is not between its mark and the mark that ends it"
        expected = " and ".join(tables.VFIO_MARKS[mark] for mark in (tables.VFIO_DEV_CONFIG, tables.VFIO_END_OF_STATE))
        checks.context.report(
            "VFIO-MFD-CONFIG",
            body.record,
            message,
            offset=at,
            length=length,
            field="data",
            expected=expected,
            actual=raw.hex(" "),
        )
