"""One record in short: its fixed fields by name, and a few words about what it carries.

:func:`brief` is a program for the reader's pump.  It reads as much of a body as its words need, and neither that
nor what it keeps depends on what the record claims.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from struct import unpack_from
from typing import Any, NamedTuple

from .. import tables
from ..codec.decode import fixed, layouts, whole
from ..errors import LayoutError
from ..reader.configuration import Configuration, parse, peek
from ..reader.events import Body, Record
from ..reader.hvm_context import BEYOND, END, Entries
from ..reader.legacy_pages import CODES, TOP, as_image
from ..reader.legacy_pages import pages as content_of
from ..reader.page_data import PageData
from ..reader.pump import Window
from ..reader.registry import ROWS
from ..reader.xenstore import Pairs
from ..schema.model import Layout, Part
from ..schema.qemu import HOLDERS
from . import legacy_records, qemu_inside, qemu_records
from .inside import about
from .pages import Pages, number

Fields = dict[str, Any]  # integers, and bytes where the schema has a raw field

PAGE_DATA = "libxc.PAGE_DATA"
# Records of batches of pages; those of legacy streams, whose widths are two.
LEGACY = tuple(name for name, row in ROWS.items() if row.alias)
BATCHES = (PAGE_DATA, *(f"{name}.PAGE_BATCH" for name in LEGACY), *qemu_records.ROWS)
# Records of which all fields are put into words have no more bytes.
_SMALL = 2048


class Limits(NamedTuple):
    """How much is put into words: elements of an array by value, kinds of HVM context entries, entries in all."""

    elements: int
    kinds: int
    entries: int


FEW, MORE, ALL = Limits(6, 32, 4096), Limits(64, 64, 4096), Limits(1 << 16, 1 << 16, 1 << 16)
# Bytes looked at where only walking through them gives their number.
_WALK_BYTES = 1 << 20
# Raw fields longer than this are content, not values.
_RAW_MAX = 64
# Bytes shown of a line of text.
_LINE_MAX = 60


def plain(layout: Layout, fields: Fields) -> dict[str, int | str]:
    """Fields as JSON has them: 64-bit values and raw bytes as hex strings, long raw content left out."""
    found: dict[str, int | str] = {}
    for row in layout.fields:
        value = fields.get(row.path)
        if isinstance(value, bytes):
            if len(value) <= _RAW_MAX:
                found[row.path] = value.hex()
        elif value is not None:
            found[row.path] = hex(value) if row.size == 8 else value
    return found


@dataclass(slots=True)
class Brief:
    """A record in short; `pages` are those of a PAGE_DATA, which is `clean` if its remarks stay empty.

    `configuration` is the guest's, of the record that has it, and `source` its text.
    """

    fields: Fields
    text: str
    pages: Pages | None = None
    clean: bool = True
    configuration: Configuration | None = None
    source: bytes = b""

    @property
    def summary(self) -> str:
        """The few words.  Those about pages change while more are taken in."""
        return "; ".join(filter(None, (self.text, self.pages.text() if self.pages else "")))


def brief(
    record: Record, window: Window, most: Limits | None = None, spans: bool = False
) -> Generator[int, int, Brief]:
    """Program that reads what a few words about the record need, as many as `most` allows of a list, few by default.

    With `spans` the pages of a batch have their runs.
    """
    layout = layouts().get(record.path)
    if layout is None and record.layer.wraps:
        return Brief({}, "unknown, and so is its end")
    if layout is None:
        optional = record.type & record.layer.row.optional
        return Brief({}, "unknown, may be skipped" if optional else "unknown, and mandatory")
    body = Body(window, record)
    if record.path in BATCHES:
        return (yield from _BATCHES.get(record.path, _batch)(body, spans))
    source, length = (yield from peek(body)) if record.path == record.layer.row.configuration else (b"", 0)
    raw = yield from body.take(layout.size)
    if len(raw) < layout.size:
        return _short(record, raw)
    fields = fixed(layout, raw, body.order)
    words = []
    if record.declared_length != record.length:
        words.append(f"length says {record.declared_length:,}")
    if record.path in _LEADS:
        words.append(_LEADS[record.path](record, fields))
    most = most or FEW
    within = yield from about(body, layout, raw)
    if record.path in qemu_records.TEXTS:
        raw += yield from body.take(min(body.left, _SMALL))
        words.append(_small(record, layout, raw))
    elif record.path in _WALKS:
        words.append((yield from _WALKS[record.path](body, most)))
    elif (part := _listed(layout)) is not None:
        words.append((yield from _list(body, layout, part, fields, most)))
    elif layout.extent is not None and record.length > layout.extent:
        words.append(f"{number(record.length - layout.extent, 'byte', 'bytes')} more than it should have")
    words.append(within)
    if record.path == qemu_records.DESCRIPTION:
        source = yield from qemu_records.fields(body)
    configuration = parse(source, length) if source and record.path == record.layer.row.configuration else None
    if configuration is not None and record.path not in _WALKS:
        words.append(configuration.words())
    return Brief(fields, ", ".join(filter(None, words)), configuration=configuration, source=source)


def _small(record: Record, layout: Layout, raw: bytes) -> str:
    """What a record says of which all fields are in `raw`."""
    try:
        return qemu_records.TEXTS[record.path](record, whole(layout, raw, record.layer.order))
    except LayoutError as error:
        return str(error)


def batch(record: Record, spans: bool, count: int = 1) -> Pages:
    """What is summed up of so many batches like `record`, before any entry has been taken in."""
    pages = Pages(spans, _kinds(record.path))
    pages.records, pages.length = count, count * record.length
    pages.compressed = bool(record.layer.row.alias) and record.layer.facts.compressed
    return pages


@cache
def _kinds(path: str) -> dict[int, str]:
    """The names of the types that entries of a batch may have."""
    if path in qemu_records.ROWS:
        return qemu_records.KINDS
    element = layouts()[path].parts[0].element
    assert element is not None
    return next(row.names for row in element.fields if row.path == "type")


def _batch(body: Body, spans: bool) -> Generator[int, int, Brief]:
    """A batch of a legacy stream."""
    record, layout = body.record, layouts()[body.record.path]
    pages, remarks = batch(record, spans), []
    compressed = pages.compressed
    raw = yield from body.take(layout.size)
    fields = fixed(layout, raw, body.order)
    if len(raw) == layout.size:
        word = layout.parts[0].unit
        entries = yield from body.take(min(fields["count"], tables.LEGACY_BATCH_MAX) * word)
        if len(entries) >= word:
            found = as_image(unpack_from(f"<{len(entries) // word}{CODES[word]}", entries))
            pages.add(found, 0 if compressed else content_of(entries[TOP::word]))
        if len(entries) < fields["count"] * word:
            remarks.append("cut off")
        if any(entries[place::word].strip(b"\0") for place in range(4, word)):
            remarks.append("reserved bits set")
    return Brief(fields, "; ".join(remarks), pages, clean=not remarks)


def _words(body: Body, spans: bool) -> Generator[int, int, Brief]:
    """Words about pages of QEMU's stream."""
    pages = batch(body.record, spans)
    yield from qemu_records.row(body, pages)
    return Brief({}, "", pages)


def _short(record: Record, raw: bytes) -> Brief:
    """A record whose fixed fields are not there whole."""
    layout = layouts()[record.path]
    short = record.length < layout.size
    text = f"too short, its fixed fields are {layout.size:,} bytes" if short else "cut off"
    return Brief(fixed(layout, raw, record.layer.order), text)


def _pages(body: Body, spans: bool) -> Generator[int, int, Brief]:
    record, walk = body.record, PageData(body)
    pages = batch(record, spans)
    if not (yield from walk.begin()):
        return _short(record, walk.head)
    remarks = [] if walk.fits else [f"room for {walk.room:,} of {walk.count:,} entries"]
    reserved = walk.reserved
    while walk.entries_left and not walk.cut:
        entries = yield from walk.entries()
        if entries:
            pages.add(entries, sum(entry >> tables.ENTRY_TYPE_SHIFT in tables.PAGE_TYPES_DATA for entry in entries))
            reserved = reserved or any(entry & tables.ENTRY_RESERVED_MASK for entry in entries)
    if walk.cut:
        remarks.append("cut off")
    if not remarks and not walk.unknown and record.length != walk.expected:
        remarks.append(f"length should be {walk.expected:,}")
    if reserved:
        remarks.append("reserved bits set")
    fields = fixed(layouts()[record.path], walk.head, body.order)
    return Brief(fields, "; ".join(remarks), pages, clean=bool(walk.count and not walk.unknown and not remarks))


# Nouns for the elements of a record's array.  Those that are a number and its value are printed, the first of them.
_ELEMENTS = {
    "libxc.X86_CPUID_POLICY": ("leaf", "leaves"),
    "libxc.X86_PV_P2M_FRAMES": ("entry", "entries"),
    "libxc.CHECKPOINT_DIRTY_PFN_LIST": ("pfn", "pfns"),
    "libxc.X86_MSR_POLICY": ("MSR", "MSRs"),
    "libxc.X86_PV_VCPU_MSRS": ("MSR", "MSRs"),
    "libxc.HVM_PARAMS": ("parameter", "parameters"),
}


def name_of(layout: Layout, path: str, value: int) -> str:
    """The schema's name for a field's value, or the value in hexadecimal."""
    names = next(row.names for row in layout.fields if row.path == path)
    return names.get(value, f"{value:#x}")


def _listed(layout: Layout) -> Part | None:
    """The list of elements of one size that follows a record's fixed fields and ends it, if it is made like that."""
    part = layout.items[-1] if layout.items and len(layout.items) == 1 + bool(layout.fields) else None
    return part if isinstance(part, Part) and part.element is not None and part.unit else None


def _list(body: Body, layout: Layout, part: Part, fields: Fields, most: Limits) -> Generator[int, int, str]:
    """An array of elements of one size: how many, and the first ones."""
    record = body.record
    one, many = _ELEMENTS.get(record.path, ("element", "elements"))
    room, odd = divmod(record.length - layout.size, part.unit)
    count = fields.get(part.count, room)
    text = number(room, one, many)
    if count != room:
        text += f", count says {count:,}"
    if odd:
        text += f", then {number(odd, 'odd byte', 'odd bytes')}"
    element = part.element
    if element is None or not {"index", "value"} <= {row.path for row in element.fields}:
        return text
    shown: list[str] = []
    while len(shown) < min(room, most.elements) and (raw := (yield from body.take(part.unit))):
        if len(raw) == part.unit:
            row = fixed(element, raw, body.order)
            shown.append(f"{name_of(element, 'index', row['index'])}={row['value']:#x}")
    rest = f", and {room - len(shown):,} more" if room > len(shown) else ""
    return f"{text}: {', '.join(shown)}{rest}" if shown else text


def _context(body: Body, most: Limits) -> Generator[int, int, str]:
    """The types of Xen's save entries, neighbours of one type taken together."""
    walk = Entries(body)
    kinds: list[tuple[str, int]] = []
    entries = named = 0
    while entries < most.entries and (yield from walk.next()):
        entries += 1
        name = tables.HVM_TYPES[walk.kind][0] if walk.kind in tables.HVM_TYPES else f"type {walk.kind}"
        if kinds and kinds[-1][0] == name and named == entries - 1:
            kinds[-1] = name, kinds[-1][1] + 1
            named += 1
        elif len(kinds) < most.kinds:
            kinds.append((name, 1))
            named += 1
    claim = number(walk.length, "byte", "bytes")
    if walk.ended == BEYOND:
        kinds.append((f"cut: it claims {claim}", 1))
    text = number(entries, "entry", "entries")
    if kinds:
        text += ": " + ", ".join(name if times == 1 else f"{name} x{times}" for name, times in kinds)
    if entries > named:
        text += f", and {entries - named:,} more"
    if walk.ended == END and walk.length:
        text += f"; END claims {claim}"
    return text + (f", then {number(body.left, 'more byte', 'more bytes')}" if body.left else "")


def _pairs(body: Body, _: Limits) -> Generator[int, int, str]:
    """How many strings in pairs, in as much of the body as is looked at."""
    strings = yield from Pairs(body).count(_WALK_BYTES)
    text = number(strings // tables.PAIR_STRINGS, "pair", "pairs")
    return text + (f", and {number(body.left, 'more byte', 'more bytes')}" if body.left else "")


def _emulator_state(body: Body, most: Limits) -> Generator[int, int, str]:
    """How long an emulator's state is, and whether it is QEMU's."""
    size = body.left
    head = yield from body.take(len(tables.QEMU_MAGIC))
    if head == tables.QEMU_MAGIC:
        held = (yield from qemu_inside.summary(body, head)) if body.record.path in HOLDERS else ""
        return f"{number(size, 'byte', 'bytes')}, beginning with {head.decode()}{held}"
    return number(size, "byte", "bytes") + (f", beginning {head.hex(' ')}" if head else "")


def _description(body: Body, _: Limits) -> Generator[int, int, str]:
    """What a XAPI image's XENOPS record says of the guest."""
    from ..reader import sexpr  # few streams have one

    try:
        found = yield from sexpr.walk(body.window, body.record)
    except sexpr.BrokenError as error:
        return f"broken at {error.at}: {error.message}"
    except sexpr.EndedError:
        return "cut off"
    words = []
    for key, value in found.items():
        if tables.XENOPS_KEYS[key] == "pairs":
            words.append(f"{key} of {number(value.size, 'byte', 'bytes')}" if value.data else f"{key} empty")
        elif key == "vm_str":
            guest = sexpr.guest(value.data)
            words.append(f"{key} of {number(value.size, 'byte', 'bytes')}" + (f" for {guest}" if guest else ""))
        else:
            words.append(f"{key} {ascii(value.data.decode('latin-1'))[1:-1]}")
    return ", ".join(words)


def _first_line(body: Body, _: Limits) -> Generator[int, int, str]:
    """How a text begins."""
    head = yield from body.take(_LINE_MAX)
    line, *rest = head.partition(b"\n")
    return ascii(line.rstrip().decode("latin-1")) + (", and more" if rest[1] or len(head) < body.record.length else "")


_BATCHES = {PAGE_DATA: _pages, **dict.fromkeys(qemu_records.ROWS, _words)}
_WALKS: dict[str, Callable[[Body, Limits], Generator[int, int, str]]] = {
    "libxc.HVM_CONTEXT": _context,
    "libxl.EMULATOR_XENSTORE_DATA": _pairs,
    "libxl.EMULATOR_CONTEXT": _emulator_state,
    "xapi.XENOPS": _description,
    **dict.fromkeys(("xapi.QEMU_TRAD", "xapi.QEMU_XEN", "xapi.VARSTORED", "xapi.SWTPM0"), _emulator_state),
    **{f"{name}.HVM_CONTEXT": _context for name in LEGACY},
    **{f"{name}.QEMU_STATE": _emulator_state for name in LEGACY},
    "text.TEXT": _first_line,
    "http.HEAD": _first_line,
    **qemu_records.WALKS,
}


def _vcpu(record: Record, fields: Fields) -> str:
    return f"vcpu {fields['vcpu_id']}, {number(record.length - tables.SIZES[record.path], 'byte', 'bytes')}"


def _emulator(record: Record, fields: Fields) -> str:
    return f"{name_of(layouts()[record.path], 'emulator_id', fields['emulator_id'])}, index {fields['index']}"


# What the fixed fields say, for the records where that is worth words.
_LEADS: dict[str, Callable[[Record, Fields], str]] = {
    "libxc.X86_PV_INFO": lambda _, row: f"{8 * row['guest_width']}-bit guest, {row['pt_levels']} levels",
    "libxc.X86_PV_P2M_FRAMES": lambda _, row: f"frames {row['start_pfn']:#x}-{row['end_pfn']:#x}",
    "libxc.X86_PV_VCPU_BASIC": _vcpu,
    "libxc.X86_PV_VCPU_EXTENDED": _vcpu,
    "libxc.X86_PV_VCPU_XSAVE": _vcpu,
    "libxc.X86_PV_VCPU_MSRS": lambda _, row: f"vcpu {row['vcpu_id']}",
    "libxc.X86_TSC_INFO": lambda _, row: (
        f"mode {row['mode']}, {row['khz']} kHz, {row['nsec']} ns, incarnation {row['incarnation']}"
    ),
    **dict.fromkeys(("libxc.TOOLSTACK", "libvirt.XML"), lambda record, _: number(record.length, "byte", "bytes")),
    **{f"{name}.{kind}": lead for name in LEGACY for kind, lead in legacy_records.LEADS.items()},
    "xl.OPTIONAL_DATA": lambda record, row: f"configuration of {number(row['config_len'], 'byte', 'bytes')}",
    **dict.fromkeys(
        (f"xl-migrate.{name}" for name in tables.RECORDS["xl-migrate"].values()),
        lambda _, row: ascii(row["message"].decode("latin-1")),
    ),
    "xl-migrate.STATUS": lambda _, row: str(row["status"]) + ("" if row["status"] else ", the guest runs there"),
    "http.REPLY": lambda _, __: "the receiver is ready",
    **qemu_records.LEADS,
    "libxc.CHECKPOINT": lambda record, _: f"closes checkpoint {record.layer.checkpoints + 1}",
    "libxl.EMULATOR_XENSTORE_DATA": _emulator,
    "libxl.EMULATOR_CONTEXT": _emulator,
    "xapi.SWTPM": lambda record, _: f"up to {number(record.length // 4 * 3, 'byte', 'bytes')}, in base64",
    "libxl.CHECKPOINT_STATE": lambda record, row: name_of(layouts()[record.path], "control_id", row["control_id"]),
}
