"""Turns schemas, order tables and clauses into streamfmt/tables.py.

construct takes a hundred times longer than struct to read a header and 40 ms to import, so the reader runs on
plain tables.  They are data, never code: what this module writes is read off the construct objects, and a test
writes it again and compares.  `python -m streamfmt.schema.compile` rewrites streamfmt/tables.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import (
    hvm,
    legacy_shapes,
    libvirt,
    libxc,
    libxl,
    literals,
    magic,
    payloads,
    places,
    protocol,
    qemu,
    qemu_machines,
    qemu_reading,
    states,
    vcpu_places,
    xapi,
    xl,
    xl_migrate,
)
from .catalogue import catalogue
from .clauses import SCRIPT, SCRIPT_RELEASE, Clause, registry
from .layer_type import LayerType, check_code
from .layers import LAYERS
from .machine import MODES
from .model import Field, Layout, layouts_within

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
# Entries of pages are judged many at a time, not field by field.
_ENTRY = re.compile(r"\.PAGE_(?:DATA|BATCH)\.entries\.")
_Order = dict[tuple[str | None, int], dict[int, tuple[tuple[str, int, int, int], ...]]]
# The values' types of mappings where they are too unlike for these to be inferred, or several layers share some.
_TYPES = {
    "FORMATS": "str",
    "SIZES": "int",
    "LEAST": "int",
    "PLACES": "dict[str, tuple[int, int]]",
    "RECORDS": "dict[int, str]",
    "BITS": "dict[int, int]",
    "ORDER": str(_Order),
    "MACHINE_ROWS": "dict[str, dict[str, str | None]]",
}


def _all_layouts(layouts: Mapping[str, Layout]) -> Iterator[Layout]:
    for layout in layouts.values():
        yield from layouts_within(layout)


def _element(layout: Layout) -> Layout:
    """What the layout's first variable part repeats."""
    element = layout.parts[0].element
    if element is None:
        raise LookupError(f"{layout.path} has no elements")
    return element


def _struct_format(layout: Layout) -> str:
    """struct's format of the layout's fixed fields, with ">" in front where they are big-endian always."""
    codes: list[str] = []
    places: set[int] = set()
    for row in layout.fields:
        if row.offset not in places:
            places.add(row.offset)
            plain = _CODES.get(row.size, f"{row.size}s")
            codes.append(f"{row.size}s" if row.raw else plain.lower() if row.signed else plain)
    prefix = ">" if any(row.big for row in layout.fields) else ""
    return prefix + "".join(codes)


def _rule(clause: Clause, row: Field) -> tuple[Any, ...]:
    """One field check: where the field lies and what may stand there."""
    allowed = row.constant if row.constant is not None else row.allowed
    if allowed is None:
        raise ValueError(f"{clause.id} names field {row.path!r}, whose schema allows any value")
    return (clause.id, row.path, row.offset, row.size, row.shift, row.bits, row.big, allowed)


def _rules(layouts: Mapping[str, Layout], clauses: Iterable[Clause]) -> dict[str, tuple[tuple[Any, ...], ...]]:
    fields = {f"{layout.path}.{row.path}": (layout, row) for layout in _all_layouts(layouts) for row in layout.fields}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for clause in clauses:
        for path in clause.fields:
            if path in fields and not _ENTRY.search(path):
                layout, row = fields[path]
                found.setdefault(layout.path, []).append(_rule(clause, row))
    return {path: tuple(sorted(rows, key=lambda r: (r[2], -r[4]))) for path, rows in found.items()}


def _length(clause: Clause, layout: Layout) -> tuple[Any, ...]:
    """One length check: bytes of the fixed fields, unit of the rest, its least and most count, its sizes."""
    record = layout.record
    least, most, lengths = (record.least, record.most, record.lengths) if record else (0, None, ())
    unit = layout.parts[0].unit or 1 if layout.parts else 0
    fixed = sum(item.extent or 0 for item in layout.items)
    return (clause.id, fixed, unit, least, most, lengths)


def _layer(layer: LayerType) -> dict[str, Any]:
    """A layer's row as the reader has it: records that open another layer by code, others by their path."""
    codes = {row.name: row.code for row in layer.records}
    plain = ("program", "checks", "converts", "memory", "magic", "version", "align", "optional", "length", "length_max")
    clauses = ("truncated", "unknown", "padding", "too_long", "trailing")
    return _named(
        layer,
        *(*plain, "form", "image", "text", "big", "alias", "look", "target", "legacy", "end", "after_end", "holds"),
        *clauses,
    ) | {
        "headers": tuple(name for name, *_ in layer.headers if name != "record_header"),
        "opens": {codes[name]: inner for name, inner in layer.opens},
        "opening": tuple(name for name, _ in layer.opens),
        "surveys": frozenset(codes[name] for name in layer.surveys),
        "headless": frozenset(row.code for row in layer.records if row.headless),
        "closes": f"{layer.name}.{layer.closes}" if layer.closes else "",
        "configuration": f"{layer.name}.{layer.configuration}" if layer.configuration else "",
    }


def _order(layer: LayerType, codes: Mapping[str, int], bits: Mapping[str, int]) -> _Order:
    """Order rules by (guest, image version) and record type: (clause, bits seen, bits not seen, bits it sleeps by).

    The version is 0 in layers that are no images, whose rules hold for all.  Of a guest of unknown kind (None) only
    what holds for all of them is judged.
    """
    found: _Order = {}
    for guest in (None, *libxc.GUESTS):
        kinds = set(libxc.GUESTS) if guest is None else {guest}
        for version in libxc.VERSIONS if layer.image and layer.version else (0,):
            table: dict[int, list[tuple[str, int, int, int]]] = {}
            for rule in layer.rules:
                if kinds <= set(rule.guests) and version in (*rule.versions, 0):
                    masks = [sum(bits[name] for name in names) for names in (rule.seen, rule.unseen, rule.unless)]
                    for name in rule.on:
                        table.setdefault(codes[name], []).append((rule.clause, masks[0], masks[1], masks[2]))
            found[guest, version] = {code: tuple(rows) for code, rows in sorted(table.items())}
    return found


def _machines() -> dict[str, Any]:
    """The machines that the reader and the checks run on, by name: starts by mode, turns, rows by state.

    A row gives the next state for schema paths, None where a record must not come; "libxc.*" stands for any other
    record of that layer, and what has neither leaves the state alone.  What the others forbid the order rules say.
    """
    machines = {row.name: row for row in protocol.COMPILED}
    return {
        "MACHINE_STARTS": {name: {mode: row.begins(mode) for mode in MODES} for name, row in machines.items()},
        "MACHINE_TURNS": {name: dict(row.turns) for name, row in machines.items() if row.turns},
        "MACHINE_ROWS": {name: dict(row.rows()) for name, row in machines.items()},
    }


def _run(layouts: Mapping[str, Layout], data: bool) -> tuple[tuple[bytes, tuple[tuple[int, bytes], ...]], int]:
    """What clean one-entry PAGE_DATA records look like, little-endian, and the bytes of one.

    That is how each begins, and for other places of it what may stand there.  In a row they are compared by slices of
    all that the window holds, at a tenth of the cost of unpacking: that makes four million small records a second.
    """
    page = layouts["libxc.PAGE_DATA"]
    entries, pages = page.parts
    code = next(row.code for row in libxc.RECORDS if row.name == "PAGE_DATA")
    header = layouts["libxc.record_header"]
    length = page.size + entries.unit + (pages.unit if data else 0)
    values = {"type": code, "length": length}
    head = b"".join(values[f.path].to_bytes(f.size, "little") for f in header.fields)
    head += b"".join({"count": 1}.get(f.path, 0).to_bytes(f.size, "little") for f in page.fields)
    high, *lower = _entry_bytes(data)
    last = len(head) + entries.unit - 1
    size = header.size + length
    align = next(layer.align for layer in LAYERS if layer.records is libxc.RECORDS)
    if len(head) % 8 or size % 8 or size % align:
        raise ValueError(f"records of {size} bytes are not compared by words, or have padding")
    classes = [(last - place, bytes(sorted(allowed))) for place, allowed in enumerate((high, *lower))]
    return (head, tuple(reversed(classes))), size


def _entry_bytes(data: bool) -> tuple[set[int], ...]:
    """What the three most significant bytes of a clean page entry may be, the highest first.

    That is by whether its page has `data`; the others have reserved bits, and those of frames that no guest has.
    """
    entry = {f.path: f for f in _element(catalogue()["libxc.PAGE_DATA"]).fields}
    top = 8 * (entry["type"].size - 1)
    clean = [row.code << entry["type"].shift for row in libxc.PAGE_TYPES if row.data == data]
    mask = ((1 << entry["reserved"].bits) - 1) << entry["reserved"].shift
    mask |= ((1 << entry["pfn"].bits) - 1) & ~libxc.PFN_MAX
    lower = [{value for value in range(256) if not value << place & mask} for place in (top - 8, top - 16)]
    return {value >> top for value in clean}, *lower


def _rejected(clauses: Iterable[Clause], reader: str, release: str) -> frozenset[str]:
    """The clauses that are a warning to us, and a breach of which, or of some kind, that reader rejects."""
    warnings = (clause for clause in clauses if clause.severity == "warning")
    rows = ((clause.id, row) for clause in warnings for row in clause.known(reader, release) if not row.kept)
    return frozenset(name for name, row in rows if row.does == "reject")


def _layout_tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """How each layout is taken apart."""
    every = list(_all_layouts(layouts))
    varied = [row for row in every if row.parts]
    return {
        "FORMATS": {row.path: _struct_format(row) for row in every},
        "SIZES": {row.path: row.size for row in every},
        "UNITS": {row.path: tuple(part.unit for part in row.parts) for row in varied},
        "LEAST": {row.path: row.least for row in varied},
        "PLACES": {row.path: {f.path: (f.offset, f.size) for f in row.fields} for row in every if row.fields},
    }


def _clause_tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """What fields and lengths may be, and how grave it is if they are not."""
    clauses = registry().values()
    return {
        "RULES": _rules(layouts, clauses),
        "LENGTHS": {path: _length(clause, layouts[path]) for clause in clauses for path in clause.lengths},
        "SEVERITY": {clause.id: clause.severity for clause in clauses if clause.severity},
        "SCRIPT_REJECTS": _rejected(clauses, SCRIPT, SCRIPT_RELEASE),
    }


def _layer_tables(_: Mapping[str, Layout]) -> dict[str, Any]:
    """The layers, their records and in which order these come."""
    bits = {layer.name: {row.code: 1 << number for number, row in enumerate(layer.records)} for layer in LAYERS}
    codes = {layer.name: {row.name: row.code for row in layer.records} for layer in LAYERS}
    # States that are no record types have bits above them.
    beside = {"CHECKPOINT_OPEN": 1 << 31, "CHECKPOINT_CLOSED": 1 << 30, "FRESH": 1 << 29}
    order = {}
    for layer in LAYERS:
        named = {getattr(states, name): bit for name, bit in beside.items()}
        named |= {row.name: bits[layer.name][row.code] for row in layer.records}
        order[layer.name] = _order(layer, codes[layer.name], named)
    return {
        "RECORDS": {layer.name: {row.code: row.name for row in layer.records} for layer in LAYERS},
        **{
            f"{layer.alias or layer.name}_{row.name}".upper().replace("-", "_"): row.code
            for layer in LAYERS
            for row in layer.records
        },
        "LIBXC_VERSION_STATIC": libxc.VERSION_STATIC,
        "LAYERS": {layer.name: _layer(layer) for layer in LAYERS},
        "LIBXC_GUESTS": {row.code: row.guests for row in libxc.RECORDS},
        "GUESTS": {code: name for name, code in libxc.GUESTS.items()},
        "BITS": bits,
        **beside,
        "ORDER": order,
        "OWED": {
            layer: {guest: sum(bits[layer][codes[layer][name]] for name in names) for guest, names in guests.items()}
            for layer, guests in states.OWED.items()
        },
        # What belongs to one checkpoint and comes again in the next.
        "LIBXC_TAIL": sum(bits["libxc"][row.code] for row in libxc.RECORDS if row.name in states.TAIL),
        "LIBXC_VCPU": frozenset(row.code for row in libxc.RECORDS if row.name in states.VCPU),
        "LIBXL_TAIL": sum(bits["libxl"][row.code] for row in libxl.RECORDS if row.name in states.EMULATOR),
    }


def _page_tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """Records of pages, their entries, and entries of page tables."""
    entry = {f.path: f for f in _element(layouts["libxc.PAGE_DATA"]).fields}
    pte = {f.path: f for f in layouts["libxc.pte"].fields}
    (data, next_, third), (bare, *_) = _entry_bytes(True), _entry_bytes(False)
    return {
        **_named(libxc, "RECORD_LENGTH_MAX", "BATCH_MAX", "PAGE_SIZE", "PAGE_SHIFT", "PFN_MAX"),
        "PAGE_TYPES": {row.code: row.name for row in libxc.PAGE_TYPES},
        "PAGE_TYPES_DATA": frozenset(row.code for row in libxc.PAGE_TYPES if row.data),
        "PAGE_TYPES_PINNED": frozenset(row.code for row in libxc.PAGE_TYPES if row.pinned),
        "PAGE_TYPES_TABLE": frozenset(row.code for row in libxc.PAGE_TYPES if row.table),
        "ENTRY_TYPE_SHIFT": entry["type"].shift,
        "ENTRY_PFN_MASK": (1 << entry["pfn"].bits) - 1 << entry["pfn"].shift,
        "ENTRY_RESERVED_MASK": (1 << entry["reserved"].bits) - 1 << entry["reserved"].shift,
        "PAGE_TYPE_PLAIN": libxc.PAGE_TYPES[0].code,
        "ENTRY_TOP_BARE": bytes(sorted(bare)),
        "ENTRY_TOP_CLEAN": bytes(sorted(data | bare)),
        "ENTRY_NEXT_CLEAN": bytes(sorted(next_)),
        "ENTRY_THIRD_CLEAN": bytes(sorted(third)),
        **dict(zip(("RUN_DATA", "RUN_DATA_SIZE"), _run(layouts, True), strict=True)),
        **dict(zip(("RUN_BARE", "RUN_BARE_SIZE"), _run(layouts, False), strict=True)),
        "PTE_PFN": (pte["pfn"].shift, (1 << pte["pfn"].bits) - 1),
        "PTE_PRESENT": 1 << pte["present"].shift,
    }


def _guest_tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """States of processors, devices and emulators, and the machines."""
    return {
        **_named(libxc, "PV_COMBINATIONS"),
        **vcpu_places.facts(payloads.catalogue()),
        **_named(libxc, "GDT_FRAME_ENTRIES", "GDT_ENTRIES_MAX", "EFLAGS_VM", "XEN_WITHOUT_R8"),
        "TABLE_LEVELS": {row.code: row.level for row in libxc.PAGE_TYPES if row.table},
        "HVM_TYPES": {row.code: (row.name, row.lengths, row.unit, row.counted) for row in hvm.CONTEXT_TYPES},
        "HVM_HEADER": hvm.HEADER_TYPE,
        "HVM_END": hvm.END_TYPE,
        "HVM_CPU": hvm.CPU_TYPE,
        "HVM_BEGINS": hvm.HEADER_BEGINS,
        "HVM_PARAMS_END": hvm.PARAMS_END,
        "HVM_PARAM_PAE": hvm.PARAM_PAE_ENABLED,
        "HVM_PARAM_VIRIDIAN": hvm.PARAM_VIRIDIAN,
        "CHECKPOINT_STATES": {code: name for name, code in libxl.CHECKPOINT_STATES.items()},
        **_machines(),
        "EMULATOR_IDS": libxl.EMULATOR_IDS,
        **{f"QEMU_{name}": getattr(qemu, name) for name in ("MAGIC", "EMPTY", "RECORD_MIN", "PIECES")},
        "QEMU_HOLDERS": tuple(qemu.HOLDERS),
        "PAIR_STRINGS": len(_element(layouts["libxl.EMULATOR_XENSTORE_DATA"]).parts),
        **_named(libxl, "XENSTORE_KEY", "XENSTORE_VALUE", "XENSTORE_ROOT_MIN", "DRAFT_VERSION"),
        **_named(libxl, "XENSTORE_PATH_MAX", "XENSTORE_PAYLOAD_MAX"),
        "DRAFT_WIDTHS": tuple(libxl.DRAFT_XENSTORE_DATA),
    }


def _container_tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """What lies around a stream, what one or a file begins with, and what may follow."""
    constants = {name: value for name, value in vars(legacy_shapes).items() if name.isupper() and name[0] != "_"}
    return {
        "XL_FLAGS": _flags(layouts["xl.header"]),
        "XL_BYTE_ORDER": xl.BYTE_ORDER,
        "DOMID_FIRST_RESERVED": xl.DOMID_FIRST_RESERVED,
        **dict(zip(("LIBVIRT_VERSION_LEGACY", "LIBVIRT_VERSION_V2"), libvirt.VERSIONS, strict=True)),
        "XAPI_SIZED": frozenset(row.code for row in xapi.RECORDS if layouts[f"xapi.{row.name}"].parts),
        "XAPI_VERSION": xapi.VERSION,
        "XAPI_LENGTH_MAX": xapi.LENGTH_MAX,
        "XL_MIGRATE_OWN_FAILURE": xl_migrate.OWN_FAILURE,
        "XENOPS_KEYS": {row.name: row.form for row in xapi.XENOPS_KEYS},
        "XENOPS_REQUIRED": tuple(row.name for row in xapi.XENOPS_KEYS if row.required),
        "XENOPS_WORD_SIZES": xapi.WORD_SIZES,
        "MAGICS": tuple((row.key, row.kind, row.offset, row.data, row.name) for row in magic.MAGICS),
        "NAMESAKES": tuple((it.of, it.key, it.kind, it.pattern, it.name, it.sign, it.size) for it in magic.NAMESAKES),
        **{f"LEGACY_{name}": value for name, value in constants.items()},
        **_named(magic, "TEXT", "HEAD_LINE", "REPLY"),
        "PREFACES": tuple((row.key, row.request, row.before, row.name) for row in magic.PREFACES),
        "TRAILERS": tuple((row.data, row.whole, row.name) for row in magic.TRAILERS),
        "LIBXL_OPTIONS": _flags(layouts["libxl.header"]),
        "LIBXC_OPTIONS": _flags(layouts["libxc.image_header"]),
    }


def _named(module: object, *names: str) -> dict[str, Any]:
    """Constants of a schema that keep their names."""
    return {name: getattr(module, name) for name in names}


def _flags(header: Layout) -> dict[str, int]:
    """The single bits of the header's field of options, by name."""
    return {f.path.partition(".")[2]: 1 << f.shift for f in header.fields if f.bits == 1}


# In the order of streamfmt/tables.py.
_FORMATS = (_layout_tables, _clause_tables, _layer_tables)
_SUBJECTS = (*_FORMATS, _page_tables, _guest_tables, _container_tables, qemu_reading.tables)


def tables() -> dict[str, Any]:
    """Every literal by name, as the schemas and clauses stand now."""
    layouts = catalogue()
    check_code(LAYERS, registry())
    return {name: value for subject in _SUBJECTS for name, value in subject(layouts).items()}


def source(values: Mapping[str, Any] | None = None) -> str:
    """The text of streamfmt/tables.py."""
    firsts: dict[str, str] = {}
    twins = {layer.name: firsts.setdefault(layer.alias, layer.name) for layer in LAYERS if layer.alias}
    others = {name: first for name, first in twins.items() if name != first}
    return literals.text(tables() if values is None else values, _TYPES, others)


def payload_source() -> str:
    """The text of streamfmt/payload_tables.py."""
    return places.payload_source(_all_layouts(payloads.catalogue()), payloads.facts())


def main() -> None:
    for name, text in (
        ("tables.py", source()),
        ("field_tables.py", places.source(_all_layouts(catalogue()))),
        ("payload_tables.py", payload_source()),
        ("qemu_tables.py", qemu_machines.source()),
    ):
        target = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
