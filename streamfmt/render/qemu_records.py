"""What the records of a QEMU stream say in a few words; with its description, the fields of its devices."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from json import loads
from struct import unpack_from
from typing import Any, TypeAlias

from .. import tables
from ..codec.qemu_fields import values
from ..reader.events import Body, Record
from ..reader.qemu_ram import FORMS
from .pages import Pages, number

Fields: TypeAlias = dict[str, Any]
Walk: TypeAlias = Callable[[Body, Any], Generator[int, int, str]]

_LAYER = "qemu"
_WORD = 8
# Bytes of a command's data that are shown.
_SHOWN = 16
# How pages are sent, by the number that the reader has for it; and what follows each word, or says how long that is.
KINDS = dict(zip(FORMS.values(), ("zero", "whole", "changes", "compressed"), strict=True))
_KIND = {
    f"{_LAYER}.{tables.RECORDS[_LAYER][code]}": (form, more)
    for (code, form), more in zip(FORMS.items(), (1, tables.QEMU_PAGE_SIZE, 3, 4), strict=True)
}
# Records of many words, which are taken together.
ROWS = tuple(_KIND)
# Payloads that are kept for the description, in bytes all together; and the longest description that is looked into.
_KEPT_MAX, _TEXT_MAX = 4 << 20, 4 << 20
_FIELDS_MAX = 1 << 16


def row(body: Body, pages: Pages) -> Generator[int, int, None]:
    """Program that sums up words about pages."""
    kind, more = _KIND[body.record.path]
    while body.left >= _WORD:
        raw = yield from body.take(_WORD + (more if kind != 1 else 0))
        if len(raw) < _WORD:
            return
        skip = more if kind == 1 else int.from_bytes(raw[_WORD + (kind == 2) :], "big") if kind > 1 else 0
        page = unpack_from(">Q", raw)[0] >> tables.QEMU_PAGE_BITS
        pages.add([kind << tables.ENTRY_TYPE_SHIFT | page], int(kind == 1))
        yield from body.skip(min(skip, body.left))


# -- words ------------------------------------------------------------------------------------------------------------


def _name(raw: bytes) -> str:
    return ascii(raw.decode("latin-1"))[1:-1]


def _section(body: Body, _: Any) -> Generator[int, int, str]:
    """Whose section it is, which version, and how long."""
    section = body.record.layer.facts.section
    head = len(section.name) + 8
    payload = body.left - head
    keep(body, section, (yield from _payload(body, head)))
    said = f"section {section.id}: {_name(section.name)}"
    said += f" {section.instance}" if section.instance else ""
    return f"{said}, version {section.version}" + (f", {number(payload, 'byte', 'bytes')}" if payload else "")


def _payload(body: Body, head: int) -> Generator[int, int, bytes]:
    yield from body.take(head)
    found = bytearray()
    while piece := (yield from body.take(1 << 14)):
        found += piece
    return bytes(found)


def keep(body: Body, section: Any, payload: bytes) -> None:
    """Keep a payload for the description, if there is room."""
    facts = body.record.layer.facts
    if facts.kept is None:
        facts.kept = []
    if sum(len(row[2]) for row in facts.kept) + len(payload) <= _KEPT_MAX:
        facts.kept.append((section.name, section.instance, payload))


def _more(body: Body, _: Any) -> Generator[int, int, str]:
    """A section's payload goes on."""
    section, facts = body.record.layer.facts.section, body.record.layer.facts
    size = body.left
    payload = yield from _payload(body, 0)
    if facts.kept and facts.kept[-1][:2] == (section.name, section.instance):
        name, instance, before = facts.kept.pop()
        facts.kept.append((name, instance, before + payload))
    return f"of section {section.id}, {number(size, 'byte', 'bytes')}"


def _part(body: Body, _: Any) -> Generator[int, int, str]:
    section = body.record.layer.facts.section
    size = body.left
    whose = _name(section.name) if section.name is not None else "none that has begun"
    yield from ()
    return f"section {section.id}: {whose}" + (f", {number(size, 'byte', 'bytes')}" if size else "")


def _command(record: Record, row: Fields) -> str:
    """What is commanded, with what."""
    code, data = row["command"], row["data"]
    name = tables.QEMU_COMMANDS.get(code, f"command {code}")
    if code == tables.QEMU_PACKAGED and len(data) in tables.QEMU_COMMAND_LENGTHS[code]:
        return f"{name}, {number(int.from_bytes(data, 'big'), 'byte', 'bytes')} of frames"
    return f"{name} {data[:_SHOWN].hex()}{' ...' if len(data) > _SHOWN else ''}".rstrip()


def _subsection(record: Record, row: Fields) -> str:
    names = record.layer.facts.capabilities
    said = ", ".join(map(_name, names)) if names and row["name"].endswith(b"capabilities") else row["payload"].hex()
    return f"{_name(row['name'])}: {said}"


def _block(record: Record, row: Fields) -> str:
    said = f"{_name(row['name'])}, {number(row['length'], 'byte', 'bytes')}"
    if "address" in row:
        said += f" at {row['address']:#x}"
    return said + (f", pages at {row['pages_offset']:#x} of the file" if "pages_offset" in row else "")


def _of(record: Record, row: Fields) -> str:
    """A word that names its block."""
    return f"page {row['word.page']:#x} of {_name(row['name'])}"


# What small records say, from all of their fields.
TEXTS: dict[str, Callable[[Record, Fields], str]] = {
    f"{_LAYER}.CONFIGURATION": lambda _, row: f"machine {_name(row['machine'])}",
    f"{_LAYER}.SUBSECTION": _subsection,
    f"{_LAYER}.COMMAND": _command,
    f"{_LAYER}.SECTION_FOOTER": lambda _, row: f"of section {row['section_id']}",
    f"{_LAYER}.RAM_TOTAL": lambda _, row: f"{number(row['word.page'], 'page', 'pages')} in all",
    **{f"{_LAYER}.{name}": _block for name in tables.RECORDS[_LAYER].values() if name.startswith("RAM_BLOCK")},
    **{f"{path}_OF": _of for path in _KIND},
}


def devices(body: Body, _: Any) -> Generator[int, int, str]:
    """How many devices are described."""
    size = body.left
    yield from ()
    return number(size, "byte", "bytes")


DESCRIPTION = f"{_LAYER}.VMDESCRIPTION"


def fields(body: Body) -> Generator[int, int, bytes]:
    """Program that gives the devices' fields with their values, a line each; none if it cannot be."""
    size = body.left
    kept = list(body.record.layer.facts.kept or ())
    if size > _TEXT_MAX or not kept:
        return b""
    text = bytearray()
    while piece := (yield from body.take(1 << 14)):
        text += piece
    try:
        return "\n".join(_lines(loads(bytes(text)), kept)).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return b""


def _lines(described: Any, kept: list[tuple[bytes, int, bytes]]) -> Iterator[str]:
    payloads = {(name.decode("latin-1"), instance): payload for name, instance, payload in kept}
    left = _FIELDS_MAX
    for device in described["devices"]:
        payload = payloads.get((device["name"], device["instance_id"]))
        if payload is None:
            continue
        yield f"{device['name']} {device['instance_id']}" + (f" v{device['version']}" if "version" in device else "")
        for value in values(device, payload):
            left -= 1
            if left < 0:
                return
            yield f"  {value.name} = {value.text}"


def _packet(record: Record, row: Fields) -> str:
    """What a packet of a channel has: which pages, and how."""
    method = tables.QEMU_MULTIFD_METHODS.get(row["flags.method"], f"method {row['flags.method']:#x}")
    words = [f"packet {row['packet_num']}"]
    if row["normal_pages"]:
        size = number(row["data_size"], "byte", "bytes")
        words.append(f"{number(row['normal_pages'], 'page', 'pages')}, {method} ({size})")
    if row["zero_pages"]:
        words.append(number(row["zero_pages"], "zero page", "zero pages"))
    if row["normal_pages"] or row["zero_pages"]:
        words.append(f"of {_name(row['block'].partition(bytes(1))[0])}")
    return ", ".join(words + ["waits for the other channels"] * row["flags.sync"])


def _state(record: Record, row: Fields) -> str:
    """Whose state a packet of a channel has."""
    name = _name(row["device"].partition(bytes(1))[0])
    return f"{name} {row['instance_id']}, {number(row['data_size'], 'byte', 'bytes')}"


# What the fixed fields of a channel's packets say.
LEADS: dict[str, Callable[[Record, Fields], str]] = {
    "qemu-multifd.PAGES": _packet,
    "qemu-multifd.DEVICE_STATE": _state,
}
WALKS: dict[str, Walk] = {
    f"{_LAYER}.SECTION_START": _section,
    f"{_LAYER}.SECTION_FULL": _section,
    f"{_LAYER}.SECTION_DATA": _more,
    f"{_LAYER}.SECTION_PART": _part,
    f"{_LAYER}.SECTION_END": _part,
    DESCRIPTION: devices,
}
