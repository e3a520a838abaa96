"""How recipes spell octets, field values and parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import shake_128
from itertools import islice
from typing import Any

from ..schema.decode import layouts
from ..schema.describe import Field, Layout
from ..schema.describe import Part as Variable
from ..schema.encode import FieldError
from . import memory
from .making import page_data, vcpu
from .parts import HEADERS, RECORDS, Part, raw
from .streams import Stream
from .tables import Table, integer

# What one recipe may ask to be made in one piece: octets, zeros behind them, and frames of a record.
MOST = 256 << 20
_ZEROS_MOST = 1 << 40
_FRAMES_MOST = 1 << 20
# Some layers have signed lengths and types.
_LEAST = -(1 << 63)
_VCPU = ("BASIC", "EXTENDED", "XSAVE")
_HEX = re.compile(r"(?:\s*[0-9a-fA-F]{2})*\s*")
Named = Callable[[Stream, Table, str], tuple[str, int]]


# -- octets ---------------------------------------------------------------------------------------------------


def octets(table: Table, key: str) -> bytes:
    """The octets that a key gives.  Raises RecipeError."""
    try:
        return octets_of(table.any(key))
    except ValueError as error:
        raise table.fail(str(error), key) from None


def octets_of(value: Any) -> bytes:
    """A text is its UTF-8; {hex = "00 ff"}, {text = "..."}, {zeros = 8} and {random = 8} are octets, `times` over.

    A list is what its items are, one after another.  Raises ValueError.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return _joined(map(octets_of, value))
    if not isinstance(value, Mapping):
        raise ValueError(f'{value!r} is not octets: a text, or a table such as {{hex = "00 ff"}}')
    kinds = value.keys() - {"times"}
    times = integer(value.get("times", 1))
    if len(kinds) != 1 or times is None or times < 0:
        raise ValueError("octets are one of hex, text, zeros, random, and how many times")
    (kind,) = kinds
    given = value[kind]
    if kind == "text" and isinstance(given, str):
        found = given.encode()
    elif kind == "hex" and isinstance(given, str) and _HEX.fullmatch(given):
        found = bytes.fromhex(given)
    elif kind in ("zeros", "random") and isinstance(given, int) and 0 <= given <= MOST:
        found = bytes(given) if kind == "zeros" else shake_128(b"0").digest(given)
    else:
        raise ValueError(f"{kind} = {given!r} is not octets, or over {MOST:,} of them")
    if len(found) * times > MOST:
        raise ValueError(f"{len(found) * times:,} octets; one value has {MOST:,} at most")
    return found * times


def _joined(pieces: Iterable[bytes]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > MOST:
            raise ValueError(f"these are over {MOST:,} octets, the most that one value has")
    return bytes(found)


# -- values ---------------------------------------------------------------------------------------------------


def part_of(path: str, table: Table, key: str) -> dict[str, Any]:
    """The field values in a table, for the part at schema path `path`.  Raises RecipeError."""
    inner = table.table(key)
    values = dict(inner.each())
    try:
        return _layout(layouts()[path], values)
    except ValueError as error:
        raise table.fail(str(error), key) from None


def _layout(layout: Layout, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    fields = {row.path: row for row in layout.fields}
    parts = {part.name: part for part in layout.parts}
    for name, value in values.items():
        path = prefix + name
        if path in fields:
            found[path] = _field(fields[path], value)
        elif path in parts:
            found[path] = _variable(parts[path], value)
        elif isinstance(value, Mapping) and any(known.startswith(f"{path}.") for known in fields):
            found.update(_layout(layout, value, f"{path}."))
        else:
            raise ValueError(f"{layout.path} has no field {path!r}, only {', '.join((*fields, *parts))}")
    return found


def _field(row: Field, value: Any) -> Any:
    if row.raw:
        return octets_of(value)
    found = integer(value)
    if found is None and not isinstance(value, str):
        raise ValueError(f"{row.path}: {value!r} is not a number")
    return value if found is None else found


def _variable(part: Variable, value: Any) -> Any:
    if part.element is None and part.unit == 1:
        return octets_of(value)
    if isinstance(value, Mapping):
        return octets_of(value)
    if part.element is None and part.count == "to a NUL":
        return octets_of(value)
    if isinstance(value, str):
        return [pfn for run in memory.frames(value) for pfn in range(run.first, run.last + 1)]
    if not isinstance(value, list):
        raise ValueError(f"{part.name}: {value!r} is not a list")
    if part.element is None:
        return [octets_of(item) for item in value]
    element = part.element
    return [_layout(element, item) if isinstance(item, Mapping) else _layout(element, {"": item})[""] for item in value]


def patch_value(table: Table, key: str) -> int | bytes:
    """What a field is overwritten with: a number, or octets."""
    value = table.any(key)
    found = integer(value)
    if found is not None:
        return found
    if value is None:
        raise table.fail(f"it has no {key}, a number or octets")
    return octets(table, key)


# -- parts ----------------------------------------------------------------------------------------------------


def parts_of(
    table: Table,
    key: str,
    fetched: Callable[[Table, str], Stream],
    stream: Stream | None = None,
    named: Named | None = None,
) -> Iterator[Part]:
    """The parts in a list of tables; those of `stream`, where there is one, may be copied.  Raises RecipeError."""
    for row in table.tables(key):
        if "recipe" in row:
            yield from fetched(row, "recipe").parts
        elif "copy" in row and stream is not None and named is not None:
            yield around(stream.part(*named(stream, row, "copy")), row)
        elif "raw" in row:
            yield raw(octets(row, "raw"), row.number("zeros", 0, most=_ZEROS_MOST))
        elif "pages" in row:
            yield around(_pages(row), row)
        elif "vcpu" in row:
            kind = row.one_of("vcpu", _VCPU, "")
            yield around(
                vcpu(kind, row.number("number", 0, most=(1 << 32) - 1), row.number("size", 0, most=1 << 20)), row
            )
        else:
            part = around(_plain(row), row)
            try:
                check(part)
            except FieldError as error:
                raise row.fail(str(error), "fields" if "fields" in row else None) from None
            yield part
        row.done()


def check(part: Part) -> None:
    """Raise FieldError if the part cannot be written."""
    for each in islice(part.parts(), 1):
        each.buffers("<")


def _plain(row: Table) -> Part:
    known, key = (HEADERS, "header") if "header" in row else (RECORDS, "record")
    if key not in row:
        raise row.fail("a part is a header, a record, pages, a vcpu, raw octets, a copy or a recipe")
    path = row.one_of(key, tuple(known), "")
    return Part(path, part_of(path, row, "fields"))


def _pages(row: Table) -> Part:
    """PAGE_DATA in short."""
    try:
        runs = memory.frames(row.need("pages", str))
    except ValueError as error:
        raise row.fail(str(error), "pages") from None
    if sum(map(len, runs)) > _FRAMES_MOST:
        raise row.fail(f"one record has {_FRAMES_MOST:,} frames at most", "pages")
    if "contents" in row:
        return _pages_with(runs, row)
    fills = {"": fill(row, "fill", "octet", max((run.last for run in runs), default=0))}
    return memory.Memory(runs, fills).record(runs)


def _pages_with(runs: tuple[memory.Frames, ...], row: Table) -> Part:
    """PAGE_DATA with contents of its own."""
    pfns = [pfn for run in runs for pfn in range(run.first, run.last + 1)]
    types = [run.type for run in runs for _ in range(len(run))]
    contents = octets(row, "contents")
    if len(contents) % memory.PAGE:
        raise row.fail(f"{len(contents):,} octets are no whole pages", "contents")
    return page_data(pfns, types, [contents])


def fill(table: Table, key: str, default: str, last: int) -> memory.Fill:
    """The contents of pages that a key names, or octets that are repeated.  Raises RecipeError."""
    if isinstance(table.any(key), (Mapping, list)):
        pattern = octets(table, key)
        if not pattern:
            raise table.fail("no octets fill no page", key)
        return memory.pattern(pattern)
    word = table.one_of(key, memory.FILLS, default)
    return memory.fill(word, table.number("seed", 0), last)


def around(part: Part, row: Table) -> Part:
    """A part with what a table says beyond its fields."""
    if "octets" in row:
        part = replace(part, octets=octets(row, "octets"))
    if "type" in row:
        part = replace(part, code=row.number("type", 0, least=_LEAST))
    if "length" in row:
        part = replace(part, claim=row.number("length", 0, least=_LEAST))
    if "padding" in row:
        part = replace(part, padding=octets(row, "padding"))
    if "zeros" in row:
        part = replace(part, fill=row.number("zeros", 0, most=_ZEROS_MOST))
    if "set" in row:
        inner = row.table("set")
        part = replace(part, patches=tuple((name, patch_value(inner, name)) for name, _ in inner.each()))
    return part
