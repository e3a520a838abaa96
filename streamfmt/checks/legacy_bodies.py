"""Checks of a legacy stream's chunks, and of extended info: what their fields do not say by themselves."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from ..reader.registry import ROWS
from . import configured
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.events import Body
    from ..reader.pump import Program
    from .legacy import Checks

_TAG = len(tables.LEGACY_VCPU_TAG)
_HEAD = tables.LEGACY_BLOCK_HEADER
_XCNT = 4
# Of XSAVE state, mask and size come first.
_XSAVE = tables.SIZES[f"{next(name for name, row in ROWS.items() if row.alias)}.VCPU_XSAVE"]
# Clause, and what is expected, of a block by its tag, and of one of another.
_SIZES = {
    tables.LEGACY_VCPU_TAG: ("LEGACY-EXTINFO-VCPU", tuple(tables.LEGACY_VCPU_WIDTHS)),
    tables.LEGACY_EXTV_TAG: ("LEGACY-EXTINFO-BLOCKS", (0,)),
    tables.LEGACY_XCNT_TAG: ("LEGACY-EXTINFO-BLOCKS", (_XCNT,)),
}
# Of an entry of a toolstack's record the name's length is the last fixed field; bytes of that.
_LENGTH = 4
_NARROW, _PADDING = 4, 4
_VERSION = 1


def extended_info(checks: Checks, body: Body) -> Program:
    """Program that judges extended info: blocks that are known, of their sizes, once each, and nothing beside them."""
    record = body.record
    raw = yield from checks.fixed(body)
    blocks_at = body.at
    data = yield from body.take(body.left)
    if not raw or blocks_at + len(data) < record.end:
        return
    blocks = _blocks(data)
    place, _, size, room = blocks[-1] if blocks else (0, b"", 0, 0)
    if size > room:
        number = len(blocks) - 1
        said = f"block {number} says {size:,} bytes" if room >= 0 else f"block {number} has {room + _HEAD} bytes"
        message = f"{said}, and {max(room, 0):,} are left"
        _block(checks, body, "LEGACY-EXTINFO-BLOCKS", blocks_at + place, f"blocks[{number}].", message, size)
        checks.lose(record.offset, "extended info")
        return
    seen: set[bytes] = set()
    for number, (place, tag, size, _) in enumerate(blocks):
        _tag(checks, body, tag, size, blocks_at + place, f"blocks[{number}].", tag in seen)
        seen.add(tag)
    if tables.LEGACY_VCPU_TAG not in seen:
        message = "there is no block vcpu, so nothing says how wide the guest's words are"
        checks.context.report("LEGACY-EXTINFO-VCPU", record, message, offset=blocks_at, field="blocks")
    elif 0 < checks.facts.xsave < _XSAVE:
        message = f"xcnt is {checks.facts.xsave}: XSAVE state has {_XSAVE} bytes before any of it"
        checks.context.report("LEGACY-EXTINFO-BLOCKS", record, message, offset=blocks_at, field="blocks")


def _blocks(data: bytes) -> list[tuple[int, bytes, int, int]]:
    """Of each block the place, the tag, what it says its size is, and how much room there is; the last may be none."""
    found: list[tuple[int, bytes, int, int]] = []
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place + _TAG : place + _HEAD], "little")
        found.append((place, data[place : place + _TAG], size, len(data) - place - _HEAD))
        place += _HEAD + size
    return found


def _tag(checks: Checks, body: Body, tag: bytes, size: int, at: int, prefix: str, again: bool) -> None:
    """Judge one block's name and size."""
    name = tag.decode("latin-1")
    if again or tag not in _SIZES:
        what = "comes again; readers take the last" if again else "is not known; readers pass over it"
        _block(checks, body, "LEGACY-EXTINFO-TAG", at, prefix, f"block {name!a} {what}", size)
    else:
        clause, sizes = _SIZES[tag]
        if size not in sizes:
            due = " or ".join(map(str, sizes))
            _block(checks, body, clause, at, prefix, f"block {name!a} has {size:,} bytes, expected {due}", size, due)


def _block(
    checks: Checks, body: Body, clause: str, at: int, prefix: str, message: str, actual: int, expected: str = ""
) -> None:
    path = f"{body.record.path}.blocks"
    field = "id" if not expected and clause == "LEGACY-EXTINFO-TAG" else "size"
    checks.context.report_field(clause, body.record, field, message, expected, actual, path, at, prefix)


def vcpu_info(checks: Checks, body: Body) -> Program:
    """Program that judges the map of vcpus: vcpu 0 is online, and none above the highest is."""
    record = body.record
    highest, *_ = (yield from checks.values(body)) or (0,)
    at, raw = body.at, (yield from body.take(body.left))
    online = int.from_bytes(raw, "little")
    if at + len(raw) < record.end:
        return
    wrong = ""
    if not online & 1:
        wrong = "vcpu 0 is not marked, and is online nevertheless"
    elif online >> highest + 1:
        wrong = f"vcpu {online.bit_length() - 1} is marked, the highest is {highest}: readers pass over it"
    if wrong:
        checks.context.report(
            "LEGACY-VCPU-MAP", record, wrong, offset=at, length=len(raw), field="map", actual=f"{online:#x}"
        )
    configured.legacy_vcpus(checks.context, record, highest)


def param(checks: Checks, body: Body) -> Program:
    """Program that judges a chunk that has an HVM parameter: that it changes something, and to what it may."""
    record = body.record
    values = yield from checks.values(body)
    if not values:
        return
    _, value = values
    checks.params[record.type] = value
    if not value:
        message = f"{record.name} is 0, and would have been left out: nothing is set"
        checks.context.report_field("LEGACY-PARAM-ZERO", record, "value", message, "not 0", 0)
    elif record.type == tables.LEGACY_HVM_ACPI_IOPORTS_LOCATION and value != 1:
        message = f"the location of the ACPI I/O ports is {value:#x}; readers pass over all but 1"
        checks.context.report_field("LEGACY-ACPI-IOPORTS", record, "value", message, 1, f"{value:#x}")


# -- the toolstack's record -------------------------------------------------------------------------------------------


def toolstack(checks: Checks, body: Body) -> Program:
    """Program that judges the toolstack's record: its version, and that its entries are as many and fill it."""
    record, word = body.record, checks.facts.word
    if record.length < tables.SIZES[record.path]:
        length = record.length - _LENGTH
        message = f"its length is {length}: too short for a version and a count"
        checks.context.report_field("LEGACY-TOOLSTACK", record, "length", message, "at least 8", length)
        return
    values = yield from checks.values(body)
    if not values or values[1] != _VERSION:
        return
    number = values[2]
    found, end = yield from _physmap(body, number)
    if end is None or (found == number and end == record.end):
        return
    left = record.end - end
    what = f"{count(left, 'byte')} are left after them" if found == number else f"entry {found} is not whole"
    message = f"it counts {number:,} as a {8 * word}-bit toolstack writes them, and {what}"
    if left == _PADDING * number and word == _NARROW:
        message += ": those of a 64-bit toolstack would fit"
    checks.context.report_field("LEGACY-TOOLSTACK", record, "count", message, "entries that fill it", number)


def _physmap(body: Body, number: int) -> Generator[int, int, tuple[int, int | None]]:
    """Program that walks over entries: how many are whole, and where the last ends; None if the stream ends first."""
    path = f"{body.record.path}.entries"
    fixed, (unit,), _ = tables.SIZES[path], tables.UNITS[path], tables.UNITS[body.record.path][1]
    padding = tables.LEAST[path] - fixed
    for place in range(number):
        begin = body.at
        if body.left < fixed:
            return place, begin
        head = yield from body.take(fixed)
        if len(head) < fixed:
            return place, None
        name = unit * int(unpack_from("<I", head, fixed - _LENGTH)[0])
        if body.left < name + padding:
            return place, begin
        if (yield from body.skip(name + padding)) < name + padding:
            return place, None
    return number, body.at
