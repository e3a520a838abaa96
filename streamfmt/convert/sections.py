"""Sections of QEMU's devices: what their payloads are called, and where they lie, in a device record too."""

from __future__ import annotations

from .. import tables
from ..reader.qemu_inside import Hears, reading, within
from ..reader.qemu_sizes import AFTER_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer, Record

# How their names begin.
PREFIX = "section."
# Bytes of a device record inside another record that are looked through.
MOST = 1 << 20
# Frames that begin a section, those that have more of one, and pieces of either.
_BEGIN = ("qemu.SECTION_START", "qemu.SECTION_FULL")
_MORE = ("qemu.SECTION_PART", "qemu.SECTION_END")
_PIECE = "qemu.SECTION_DATA"


class Payload:
    """A section's payload in a record: what it is called, what it is, where it begins, where it ends so far."""

    __slots__ = ("name", "note", "record", "start", "stop")

    def __init__(self, name: str, note: str, record: Record, start: int) -> None:
        self.name = name
        self.note = note
        self.record = record
        self.start = start
        self.stop = record.end


def payload_of(record: Record) -> Payload | None:
    """The payload that a frame has, or the first piece of it; None if it has none, or one of the memory.

    It is called as the device is.
    """
    begins = record.path in _BEGIN
    if not begins and record.path not in _MORE:
        return None
    section = record.layer.facts.section
    if record.layer.facts.stray or section is None or section.name in (None, tables.QEMU_RAM_NAME):
        return None
    start = record.body + tables.SIZES[record.path]
    note = f"section {section.id}"
    if begins:
        start += len(section.name) + AFTER_NAME
        note += f", version {section.version}" + (f", instance {section.instance}" if section.instance else "")
    return Payload(PREFIX + ascii(section.name.decode("latin-1"))[1:-1], note, record, start)


def goes_on(record: Record) -> bool:
    """Whether a frame is more of the payload before it."""
    return record.path == _PIECE


class _Payloads(Hears):
    def __init__(self) -> None:
        self.found: list[Payload] = []

    def record(self, record: Record) -> None:
        if goes_on(record) and self.found:
            self.found[-1].stop = record.end
        elif (payload := payload_of(record)) is not None:
            self.found.append(payload)


def inside(parent: Layer, at: int, raw: bytes) -> list[tuple[Payload, bytes]]:
    """The payloads, each with its bytes, of a device record that is `raw`, at stream offset `at`; none if it is none.

    Those of which the end is not there are left out.
    """
    if not raw.startswith(tables.QEMU_MAGIC):
        return []
    found = _Payloads()
    pump = reading(found, within(parent), at)
    pump.feed(raw)
    pump.end()
    whole = found.found if found.failure is None else [row for row in found.found if row.stop < at + len(raw)]
    return [(row, raw[row.start - at : row.stop - at]) for row in whole]
