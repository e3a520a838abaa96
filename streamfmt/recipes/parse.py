"""How recipes spell bytes, field values and parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from hashlib import shake_128
from itertools import islice
from typing import Any, TypeAlias

from .. import tables
from ..codec.content import SMALL, Content, Made, joined, pieces, repeated, resized, zeros
from ..codec.decode import layouts
from ..codec.plan import implied
from ..errors import FieldError, RecipeError
from ..reader.registry import ROWS
from ..schema.model import Choice, Field, Item, Layout, members
from ..schema.model import Part as Variable
from ..writer.builders import vcpu
from ..writer.draft import Draft
from ..writer.entries import IMAGE, SHAPES, Shape
from ..writer.part import HEADERS, RECORDS, Part, Patched, raw
from . import memory
from .toml import Table, integer, shown

# What one value has at most: bytes, of which some may be random, zeros after them, and frames of a record.
MOST = 256 << 20
_RANDOM_MOST = 16 << 20
_RANDOM_FEW = 64 << 10
_ZEROS_MOST = 1 << 40
_FRAMES_MOST = MOST // memory.PAGE
FRAMES_MAX = tables.ENTRY_PFN_MASK + 1
# No field is wider.
_NUMBERS_MAX = 1 << 64
# Some layers have signed lengths and types.
_LEAST = -(1 << 63)
_VCPU = ("BASIC", "EXTENDED", "XSAVE")
_KINDS = {"hex", "text", "zeros", "random"}
# What finds the part that a key of a table names.
Named = Callable[[Table, str], Part]


# -- bytes ---------------------------------------------------------------------------------------------------


def content(table: Table, key: str) -> Content:
    """The bytes that a key gives.  Raises RecipeError."""
    if key not in table:
        raise table.fail(f"it has no {key}, bytes")
    return _bytes(table.any(key), table, key)


def _bytes(value: Any, table: Table, *place: str | int) -> Content:
    try:
        return content_of(value)
    except ValueError as error:
        raise table.fail(str(error), *place) from None


def content_of(value: Any) -> Content:
    """A text is its UTF-8; {hex = "00 ff"}, {text = "..."}, {zeros = 8} and {random = 8} are bytes, `times` over.

    A list is what its items are, one after another.  What is longer than it is written is made when it is wanted.
    Raises ValueError.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return _joined([content_of(item) for item in value])
    if not isinstance(value, Mapping):
        raise ValueError(f'{shown(value)} is not bytes: a text, or a table such as {{hex = "00 ff"}}')
    kinds = value.keys() - {"times"}
    times = integer(value.get("times", 1))
    if len(kinds) != 1 or not kinds <= _KINDS or times is None or times < 0:
        raise ValueError(f"bytes are one of {', '.join(sorted(_KINDS))}, and how many times")
    (kind,) = kinds
    given = value[kind]
    count = integer(given)
    found: Content
    if kind == "text" and isinstance(given, str):
        found = given.encode()
    elif kind == "hex" and isinstance(given, str):
        try:
            found = bytes.fromhex(given)
        except ValueError:
            raise ValueError(f"hex = {shown(given)} is not bytes: each is two digits") from None
    elif kind == "zeros" and count is not None and 0 <= count <= MOST:
        found = _few(kind, count) if count <= SMALL else zeros(count)
    elif kind == "random" and count is not None and 0 <= count <= _RANDOM_MOST:
        found = _few(kind, count) if count <= SMALL else _random(count)
    else:
        most = _RANDOM_MOST if kind == "random" else MOST
        raise ValueError(f"{kind} = {shown(given)} is not bytes, or over {most:,} of them")
    if len(found) * times > MOST:
        raise ValueError(f"{len(found) * times:,} bytes; one value has {MOST:,} at most")
    return repeated(found, times)


@cache
def _noise(count: int) -> memoryview:
    return memoryview(shake_128(b"0").digest(count))


@cache
def _few(kind: str, count: int) -> bytes:
    return bytes(count) if kind == "zeros" else bytes(_noise(_RANDOM_FEW)[:count])


def _random(count: int) -> Content:
    """Bytes in no order, of which all values have the first."""
    return Made(count, lambda: [_noise(_RANDOM_FEW if count <= _RANDOM_FEW else _RANDOM_MOST)[:count]])


def _joined(items: list[Content]) -> Content:
    size = sum(map(len, items))
    if size > MOST:
        raise ValueError(f"these are over {MOST:,} bytes, the most that one value has")
    if size <= SMALL or not any(isinstance(item, (Made, memoryview)) for item in items):
        return joined(items)
    return Made(size, lambda: pieces(items))


# -- values ---------------------------------------------------------------------------------------------------


def part_of(path: str, table: Table, key: str) -> dict[str, Any]:
    """The field values in a table, for the part at schema path `path`.  Raises RecipeError."""
    return _layout(layouts()[path], table.table(key))


# Values as they were given, by path: the table that each is in, and its name there.
_Given: TypeAlias = dict[str, tuple[Table, str, Any]]


def _layout(layout: Layout, table: Table, outer: tuple[_Given, ...] = ()) -> dict[str, Any]:
    given: _Given = {}
    _collect(table, "", {row.item.path for row in layout.rows}, given)
    around = (given, *outer)
    there = {item.path: item for item in members(layout.items, lambda choice: _chosen(choice, around))}
    found: dict[str, Any] = {}
    for path, (within, name, value) in given.items():
        item = there.get(path)
        if item is None:
            known = ", ".join(there)
            raise within.fail(f"{layout.path} has no such field{f', only {known}' if known else ''}", name)
        if isinstance(item, Field):
            found[path] = _field(item, value, within, name)
        else:
            found[path] = _variable(item, value, within, name, around)
    return found


def _collect(table: Table, prefix: str, paths: set[str], given: _Given) -> None:
    """The values of a table and, by dotted names, of those in it that stand for structures."""
    for name, value in table.each():
        path = prefix + name
        nested = isinstance(value, Mapping) and path not in paths
        if nested and any(each.startswith(f"{path}.") for each in paths):
            _collect(table.table(name), f"{path}.", paths, given)
        else:
            given[path] = table, name, value


def _chosen(choice: Choice, around: tuple[_Given, ...]) -> tuple[Item, ...]:
    """The items that the values choose; what is wrong with that value will be seen when it is encoded."""
    row = choice.on.field
    value = around[choice.on.up].get(row.path, (None, "", None))[2]
    codes = {word: code for code, word in row.names.items()}
    found = codes.get(value) if isinstance(value, str) else None
    return choice.chosen(next((it for it in (found, integer(value), implied(row)) if it is not None), -1))


def _field(row: Field, value: Any, table: Table, *place: str | int) -> Any:
    if row.raw:
        return _bytes(value, table, *place)
    found = integer(value)
    if found is None and not isinstance(value, str):
        raise table.fail(f"{shown(value)} is not a number", *place)
    return value if found is None else found


def _variable(part: Variable, value: Any, table: Table, name: str, around: tuple[_Given, ...]) -> Any:
    element = part.element
    if isinstance(value, Mapping) or not part.listed:
        return _bytes(value, table, name)
    if isinstance(value, str):
        try:
            return memory.numbers(frames(value, table, name, most=_NUMBERS_MAX))
        except ValueError as error:
            raise table.fail(str(error), name) from None
    if not isinstance(value, list):
        raise table.fail(f"{shown(value)} is not a list", name)
    if element is None:
        return [_bytes(item, table, name, number) for number, item in enumerate(value)]
    if element.fields and not element.fields[0].path:
        return [_field(element.fields[0], item, table, name, number) for number, item in enumerate(value)]
    return [_layout(element, row, around) for row in table.tables(name)]


def patch_value(table: Table, key: str) -> int | Content:
    """What a field is overwritten with: a number, or bytes."""
    if key not in table:
        raise table.fail(f"it has no {key}, a number or bytes")
    found = integer(table.any(key))
    return content(table, key) if found is None else found


# -- parts ----------------------------------------------------------------------------------------------------


def parts_of(
    table: Table,
    key: str,
    fetched: Callable[[Table, str], Draft],
    named: Named | None = None,
) -> Iterator[Part]:
    """The parts in a list of tables; what `named` finds, where it is given, may be copied.  Raises RecipeError."""
    for row in table.tables(key):
        renamed(row)
        if "recipe" in row:
            parts = fetched(row, "recipe").parts
            row.spend("parts and rows", len(parts), "recipe")
            yield from parts
            continue
        row.spend("parts and rows", 1)
        if "copy" in row and named is not None:
            yield around(named(row, "copy"), row)
        elif "raw" in row:
            yield raw(content(row, "raw"), _zeros(row, "zeros"))
        elif "pages" in row:
            yield around(_pages(row), row)
        elif "vcpu" in row:
            kind = row.one_of("vcpu", _VCPU, "")
            yield around(
                vcpu(kind, row.number("number", 0, most=(1 << 32) - 1), row.number("size", 0, most=1 << 20)), row
            )
        else:
            yield around(_announcing(_plain(row), row, table.any(key)), row)


def _announcing(part: Part, row: Table, rows: list[Any]) -> Part:
    """A header of a file with the length of the one record after it in `rows`, if it does not say that itself."""
    length = ROWS[part.layer].length
    if not length or part.is_record or "bytes" in row or length in part.values:
        return part
    *place, number = row.place
    after = rows[number + 1] if isinstance(number, int) and number + 1 < len(rows) else None
    if not isinstance(after, dict) or "record" not in after:
        return part
    following = Table(row.source, after, (*place, number + 1)) if isinstance(number, int) else row
    record = around(_plain(following), following)
    return replace(part, values={**part.values, length: sum(map(len, record.contents("<"))) + record.fill})


def renamed(row: Table) -> None:
    """Refuse a key that has another name now."""
    if "octets" in row:
        raise row.fail("octets is called bytes now", "octets")


def check(part: Part) -> int:
    """Raise FieldError if the part cannot be written; how many steps it took to see that."""
    if not part.patches:
        for each in islice(part.parts(), 1):
            each.whole("<")
        return 0
    patched = Patched(part, "<")
    for place, value in part.patches:
        patched.put(place, value)
    check(replace(part, data=resized(b"", patched.size), patches=()))  # what is around its body
    return patched.walked + len(part.patches)


def misfit(row: Table, error: FieldError) -> RecipeError:
    """What to raise about a value of the table that does not fit the field it is for."""
    place: list[str | int] = []
    message = str(error)
    if error.field in row:
        place = [error.field]
    elif "set" in row and error.field in row.table("set"):
        place = ["set", error.field]
    elif "fields" in row:
        steps = re.findall(r"[^][.]+", error.field)
        place = ["fields", *(int(step) if step.isdigit() else step for step in steps)]
    if place:
        message = message.removeprefix(f"{error.field}: ")
    return row.fail(message, *place)


def frames(
    text: object, table: Table, *place: str | int, most: int = 0, shape: Shape = IMAGE
) -> tuple[memory.Frames, ...]:
    """The frames that a text says for entries of that shape, or other numbers below `most`.  Raises RecipeError."""
    if not isinstance(text, str):
        raise table.fail(f'{shown(text)} is not a text such as "0-0x9f, 0xa0-0xbf XTAB"', *place)
    try:
        found = memory.frames(text, shape)
    except ValueError as error:
        raise table.fail(str(error), *place) from None
    table.spend("runs of frames", len(found), *place)
    what = "a field has no room for numbers" if most else "a page entry has no room for frames"
    most = most or 1 << shape.bits
    if any(run.last >= most for run in found):
        raise table.fail(f"{what} from {most:#x} on", *place)
    return found


def _plain(row: Table) -> Part:
    known, key = (HEADERS, "header") if "header" in row else (RECORDS, "record")
    if key not in row:
        raise row.fail("a part is a header, a record, pages, a vcpu, raw bytes, a copy or a recipe")
    path = row.one_of(key, tuple(known), "")
    if "bytes" in row and "fields" in row:
        raise row.fail("it cannot have both fields and bytes", "bytes")
    return Part(path, part_of(path, row, "fields"))


def _pages(row: Table) -> Part:
    """A record of pages in short: PAGE_DATA of an image, or another that is named."""
    shape = SHAPES[row.one_of("record", tuple(SHAPES), IMAGE.path)]
    runs = frames(row.any("pages"), row, "pages", shape=shape)
    if sum(map(len, runs)) > _FRAMES_MOST:
        raise row.fail(f"one record has {_FRAMES_MOST:,} frames at most", "pages")
    if "contents" not in row:
        fills = {"": fill(row, "fill", "byte")}
        return Part(shape.path, memory.Pages(runs, fills, shape=shape))
    contents = content(row, "contents")
    if len(contents) % memory.PAGE:
        raise row.fail(f"{len(contents):,} bytes are no whole pages", "contents")
    return Part(shape.path, memory.Pages(runs, {}, contents, shape))


def fill(table: Table, key: str, default: str) -> memory.Fill:
    """The contents of pages that a key names, or bytes that are repeated.  Raises RecipeError."""
    if isinstance(table.any(key), (Mapping, list)):
        pattern = content(table, key)
        if not pattern:
            raise table.fail("no bytes fill no page", key)
        return memory.pattern(pattern)
    word = table.one_of(key, tuple(memory.FILLS), default)
    return memory.fill(word, table.number("seed", 0))


def _patches(row: Table, key: str) -> tuple[tuple[str, int | Content], ...]:
    inner = row.table(key)
    return tuple((name, patch_value(inner, name)) for name, _ in inner.each())


def _signed(row: Table, key: str) -> int:
    return row.number(key, 0, least=_LEAST)


def _zeros(row: Table, key: str) -> int:
    return row.number(key, 0, most=_ZEROS_MOST)


# What is said of a part beyond its fields, by key: the attribute of Part, and what reads it.
AROUND: dict[str, tuple[str, Callable[[Table, str], Any]]] = {
    "bytes": ("data", content),
    "set": ("patches", _patches),
    "type": ("code", _signed),
    "length": ("declared_length", _signed),
    "padding": ("padding", content),
    "zeros": ("fill", _zeros),
}


def around(part: Part, row: Table) -> Part:
    """A part with what a table says beyond its fields.  Raises RecipeError if it could not be written."""
    for key in ("type", "length", "padding"):
        if key in row and key not in (part.ahead if key != "padding" else ("padding",) if part.is_record else ()):
            raise row.fail(f"{part.path} has no {key} around it that could be another", key)
    part = replace(part, **{name: read(row, key) for key, (name, read) in AROUND.items() if key in row})
    try:
        steps = check(part)
    except FieldError as error:
        raise misfit(row, error) from None
    row.spend("steps", steps)
    return part
