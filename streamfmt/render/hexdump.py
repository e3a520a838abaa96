"""Annotated dumps: every byte of a header or record, with the schema's fields and their values beside it.

A field has a line of its own, bit fields of one integer share one, and opaque bytes come sixteen to a line with
their text.  A record is dumped as it is read, line by line, so its length costs no memory.  Reserved bits of an
integer are printed only where they are set: most lines of a page batch would say nothing else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator
from itertools import groupby
from textwrap import fill

from .. import tables
from ..codec.decode import Scopes, layouts, referred, times, values_of
from ..codec.encode import whole
from ..codec.payload import ORDER, name, within
from ..payload_tables import PLACES
from ..reader.events import PAGE, Body, Headless, Layer, Record
from ..reader.pump import Window
from ..reader.qemu_inside import taken
from ..schema import hvm, qemu
from ..schema.model import TO_NUL, Block, Choice, Field, Item, Layout, Part
from . import qemu_inside
from .bits import named
from .pages import number
from .records import Fields

# Without --full: bytes shown of an opaque part, elements of an array.
BYTES_MAX = 256
ELEMENTS_MAX = 64
_LINE = 16
_PIECE = 4096
# Where words begin: after the offset, after the bytes of a field.
_NOTE = 13
_WORDS = 38
_TEXT_MAX = 40
_PHRASE = re.compile(r"[^\s,;:][^,;:]{,40}(?=[,;:]|$)")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_PRINTABLE = bytes(code if 32 <= code < 127 else ord(".") for code in range(256))
# Names for the values of fields that the schema declares as plain numbers.
_NAMES: dict[str, dict[int, str]] = {
    **{f"{layer}.record_header.type": names for layer, names in tables.RECORDS.items()},
    "libxc.domain_header.type": {code: f"x86 {name.upper()}" for code, name in tables.GUESTS.items()},
    "libxc.HVM_CONTEXT.context.typecode": {row.code: row.name for row in hvm.CONTEXT_TYPES},
}


class _CutError(Exception):
    """The stream ends here; what there was has been shown."""


def joined(prefix: str, name: str) -> str:
    """The path of what lies in something of a path, either of which may be empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _integer(value: int) -> str:
    """Small numbers in decimal, large ones in hexadecimal, those between in both."""
    if value < 10:
        return str(value)
    return hex(value) if value >> 24 else f"{value} ({value:#x})"


def value_text(layout: Layout, row: Field, value: int | bytes) -> str:
    """A field's value for a person, with a remark if the schema does not allow it."""
    if isinstance(value, bytes):
        wrong = row.constant is not None and value != row.constant
        text = "0" if not any(value) else "all ones" if set(value) == {255} else ""
        text = text or (ascii(value.decode("latin-1")) if value.isascii() else value.hex())
    else:
        names = row.names or _NAMES.get(f"{layout.path}.{row.path}", {})
        wrong = row.allowed is not None and value not in row.allowed
        text = names.get(value) or _integer(value) + named(layout.path, row.path, value)
    return text + (" (unexpected)" if wrong else "")


def values_text(layout: Layout, rows: list[Field], values: Fields, prefix: str) -> str:
    """The fields of one integer, the first by its whole path."""
    words: list[str] = []
    for row in rows:
        if row.bitfield and row.reserved and not values[row.path]:
            continue
        name = row.path.rpartition(".")[2] if words else joined(prefix, row.path)
        words.append(f"{name} = {value_text(layout, row, values[row.path])}")
    return ", ".join(words)


def hanging(text: str, width: int, first: int, rest: int, limit: int | None = None) -> str:
    """Text in lines broken between phrases, for a place in column `first`; further lines begin in column `rest`.

    More than `limit` lines end in an ellipsis.
    """
    if first + len(text) <= width:
        return text
    kept = _PHRASE.sub(lambda phrase: phrase[0].replace(" ", _NO_BREAK), text)
    # What stands before the place counts as a word, so that a long phrase goes below instead of being torn.
    lines = fill(
        "\0" * (first - 1) + " " * bool(first) + kept,
        max(width, first),
        subsequent_indent=" " * rest,
        break_on_hyphens=False,
        max_lines=limit,
        placeholder=" ...",
    )
    return lines[max(first - 1, 0) :].removeprefix(" ").replace(_NO_BREAK, " ")


class Dump:
    """Writes dumps line by line to `write`, in `width` columns where a value allows; `full` lifts the limits."""

    def __init__(self, write: Callable[[str], None], full: bool, width: int) -> None:
        self._write = write
        self._full = full
        self._width = width
        self._body: Body

    def header(self, layer: Layer, path: str, at: int, raw: bytes) -> None:
        """A header that has been read."""
        layout = layouts()[path]
        self._fields(layout, layout.fields, raw, at, layer.order, "")

    def data(self, at: int, raw: bytes, label: str) -> None:
        """Bytes that belong to no layout."""
        self._note(f"{label}: {number(len(raw), 'byte', 'bytes')}")
        self._raw(at, raw)

    def padding(self, at: int, raw: bytes) -> None:
        """What fills a record up to the next multiple of eight bytes."""
        self._line(at, raw, "padding" + (" (unexpected)" if any(raw) else ""))

    def record_header(self, record: Record) -> None:
        """The header of a record, which has been read."""
        layout = layouts().get(f"{record.layer.name}.record_header")
        if layout is not None and record.body > record.offset:
            said = {"type": record.type, "length": record.declared_length}
            raw = whole(layout, {row.path: said[row.path] for row in layout.fields}, record.layer.order)
            self._fields(layout, layout.fields, raw, record.offset, record.layer.order, "")

    def record(self, record: Record, window: Window) -> Generator[int, int, None]:
        """Program that dumps a record whose header has been read: that header, and the body."""
        self._body = body = Body(window, record)
        self.record_header(record)
        try:
            if record.path in layouts():
                yield from self._layout(layouts()[record.path], "")
            name = "body" if body.left == record.length else "what the fields do not cover"
            yield from self._opaque(name, body.left)
        except _CutError:
            pass  # the reader reports it itself

    # -- lines --------------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._write(f"{'':{_NOTE}}{text}")

    def heading(self, text: str, size: int) -> None:
        """What is inside a record, and comes with its fields."""
        self._head(text, size)

    def _head(self, path: str, size: int) -> None:
        """What a payload is, whose fields follow by their names in it."""
        self._note(f"{path}, {number(size, 'byte', 'bytes')}:")

    def _line(self, at: int, data: bytes, words: str) -> None:
        self._write(f"{at:#11x}  {data.hex(' '):<{_WORDS - _NOTE}}{words}".rstrip())

    def _raw(self, at: int, data: bytes) -> None:
        """Opaque bytes: offset, hexadecimal, text."""
        for place in range(0, len(data), _LINE):
            row = data[place : place + _LINE]
            text = row.translate(_PRINTABLE).decode("ascii")
            self._write(f"{at + place:#11x}  {row.hex(' '):<{3 * _LINE - 1}}  {text}")

    def _fields(self, layout: Layout, fields: tuple[Field, ...], raw: bytes, at: int, order: str, prefix: str) -> None:
        """The fields of one of a layout's blocks whose bytes are `raw`, as far as those go."""
        values = values_of(fields, raw, order)
        end = 0
        for (offset, size), group in groupby(fields, lambda row: (row.offset, row.size)):
            rows = list(group)
            data = raw[offset : offset + size]
            if len(data) < size:
                break
            end = offset + size
            if size > _LINE // 2:
                self._long(joined(prefix, rows[0].path), at + offset, data)
                continue
            text = values_text(layout, rows, values, prefix)
            self._line(at + offset, data, hanging(text, self._width, _WORDS, _WORDS))
        if end < len(raw):
            self._note(f"{joined(prefix, 'a field')} that is cut off: {number(len(raw) - end, 'byte', 'bytes')}")
            self._raw(at + end, raw[end:])

    def _long(self, name: str, at: int, data: bytes) -> None:
        """A field of many bytes, as far as they are shown."""
        self._note(f"{name}: {len(data):,} bytes")
        shown = len(data) if self._full else min(len(data), BYTES_MAX)
        self._raw(at, data[:shown])
        self._more(len(data) - shown)

    def _more(self, left: int) -> None:
        if left:
            self._note(f"... {number(left, 'more byte', 'more bytes')}")

    # -- programs that read the body ----------------------------------------------------------------------------

    def _cut(self) -> None:
        """The stream ends here."""
        raise _CutError

    def _skip(self, count: int, text: str) -> Generator[int, int, None]:
        """Skip bytes, and say so in a line."""
        self._note(f"... {text}")
        if (yield from self._body.skip(count)) < count:
            raise _CutError

    def _layout(self, layout: Layout, prefix: str, outer: Scopes = ()) -> Generator[int, int, bool]:
        """All of its items, as far as the record goes; whether they are all there."""
        return self._items(layout, layout.items, prefix, ({}, *outer))

    def _items(self, layout: Layout, items: tuple[Item, ...], prefix: str, scopes: Scopes) -> Generator[int, int, bool]:
        for item in items:
            inner = self._within(layout, item, scopes)
            if inner is not None:
                whole = yield from self._payload(*inner, layout, item, prefix, scopes)
            elif isinstance(item, Block):
                whole = yield from self._block(layout, item, prefix, scopes)
            elif isinstance(item, Part):
                whole = yield from self._part(item, joined(prefix, item.name), scopes)
            else:
                whole = yield from self._items(layout, item.chosen(referred(item.on, scopes)), prefix, scopes)
            if not whole:
                return False
        return True

    def _within(self, layout: Layout, item: Item, scopes: Scopes) -> tuple[Layout, int] | None:
        """The payload that lies there, and its bytes; None if there is none that is known."""
        if layout.path not in PLACES or isinstance(item, Choice):
            return None
        path = item.fields[0].path if isinstance(item, Block) else item.path
        claimed = item.size if isinstance(item, Block) else times(item, scopes)
        left = self._body.left
        size = left if claimed is None else claimed
        layer = self._body.record.layer
        width = layer.width or getattr(layer.facts, "width", 0)
        found = within(layout.path, path, scopes[0], size, width) if 0 < size <= left else None
        return None if found is None else (found, size)

    def _payload(
        self, payload: Layout, size: int, layout: Layout, item: Item, prefix: str, scopes: Scopes
    ) -> Generator[int, int, bool]:
        """A payload's fields, as far as its bytes go.  An entry of an HVM context gives them its name."""
        outer = self._body
        path = name(scopes[0]) if "typecode" in scopes[0] else joined(prefix, next(iter(PLACES[layout.path])))
        self._body = body = Body(outer.window, Headless(outer.record.layer, outer.record.type, outer.at, size))
        body.order = ORDER
        try:
            self._head(path, size)
            yield from self._layout(payload, "")
            yield from self._opaque("what its fields do not cover", body.left)
        finally:
            self._body = outer
        return True

    def _block(self, layout: Layout, item: Block, prefix: str, scopes: Scopes) -> Generator[int, int, bool]:
        """Fields of fixed size."""
        body = self._body
        at, size = body.at, min(item.size, body.left)
        raw = yield from body.take(size)
        self._fields(layout, item.fields, raw, at, body.order, prefix)
        if len(raw) < size:
            raise _CutError
        scopes[0].update(values_of(item.fields, raw, body.order))
        return size == item.size

    def _part(self, part: Part, name: str, scopes: Scopes) -> Generator[int, int, bool]:
        """One part: elements, pages, a string, or opaque bytes; whether all of it is there."""
        if part.count == TO_NUL:
            yield from self._string(name)
            return True
        claimed = times(part, scopes)
        if part.element is not None and not (part.unit and part.element.size == part.unit):
            return (yield from self._list(part, part.element, name, claimed, scopes))
        room = self._body.left // part.unit
        count = room if claimed is None else min(claimed, room)
        if part.element is not None:
            yield from self._array(part, part.element, name, count)
        elif part.listed and count and part.unit > BYTES_MAX:
            size = count * part.unit
            what = number(count, "page", "pages") if part.unit == PAGE else f"{count:,} x {part.unit:,} bytes"
            yield from self._skip(size, f"{what} of content, {size:,} bytes")
        elif part.listed:
            yield from self._blocks(name, part.unit, count)
        else:
            yield from self._opaque(name, count * part.unit)
        return claimed is None or count == claimed

    def _blocks(self, name: str, unit: int, count: int) -> Generator[int, int, None]:
        """Opaque bytes in blocks of one size."""
        yield from self._opaque(name, count * unit)

    def _array(self, part: Part, element: Layout, name: str, count: int) -> Generator[int, int, None]:
        """Elements that are fields of one size."""
        body = self._body
        shown = count if self._full else min(count, ELEMENTS_MAX)
        for place in range(shown):
            at = body.at
            raw = yield from body.take(part.unit)
            self._fields(element, element.fields, raw, at, body.order, f"{name}[{place}]")
            if len(raw) < part.unit:
                raise _CutError
        if count > shown:
            yield from self._skip((count - shown) * part.unit, f"{count - shown:,} more of {name}")

    def _list(
        self, part: Part, element: Layout, name: str, count: int | None, scopes: Scopes
    ) -> Generator[int, int, bool]:
        """Elements of any size and form; whether all of them are there and what follows is not passed over."""
        place = 0
        while self._body.left if count is None else place < count:
            if place == ELEMENTS_MAX and not self._full:
                rest = "" if part.open else " and what follows"
                left = self._body.left
                yield from self._skip(left, f"more of {name}{rest}, {left:,} bytes")
                return False
            if not (yield from self._layout(element, f"{name}[{place}]", scopes)):
                return False
            place += 1
        return True

    def _opaque(self, name: str, count: int) -> Generator[int, int, None]:
        """Opaque bytes, to the end of what is shown of them."""
        if not count:
            return
        self._note(f"{name}: {number(count, 'byte', 'bytes')}")
        if (yield from self._frames(name, count)):
            return
        shown = left = count if self._full else min(count, BYTES_MAX)
        while left:
            at, piece = self._body.at, min(left, _PIECE)
            raw = yield from self._body.take(piece)
            self._raw(at, raw)
            if len(raw) < piece:
                raise _CutError
            left -= piece
        if count > shown:
            yield from self._skip(count - shown, number(count - shown, "more byte", "more bytes"))

    def _frames(self, name: str, count: int) -> Generator[int, int, bool]:
        """A record of QEMU's devices, if these bytes are one, frame by frame; whether they were."""
        body = self._body
        if not qemu_inside.held(body.record.path, name, count) or not (yield from body.need(len(qemu.MAGIC))):
            return False
        if body.window.head(len(qemu.MAGIC)) != qemu.MAGIC:
            return False
        at = body.at
        raw = yield from taken(body, count)
        if not (len(raw) == count and qemu_inside.dump(self, body.record.layer, at, raw)):
            self._raw(at, raw if self._full else raw[:BYTES_MAX])
            self._more(0 if self._full else max(len(raw) - BYTES_MAX, 0))
            if len(raw) < count:
                raise _CutError
        self._body = body
        return True

    def _string(self, name: str) -> Generator[int, int, None]:
        """Bytes up to a NUL, or to the record's end."""
        body, window = self._body, self._body.window
        room = sys.maxsize if self._full else BYTES_MAX
        hidden = 0
        begun = ended = False
        while not ended and body.left:
            at, piece = body.at, min(_PIECE, body.left)
            held = yield from body.take(piece)
            if not held:
                raise _CutError
            text, nul, rest = held.partition(b"\0")
            window.lo -= len(rest)  # what comes after the string
            data = text + nul
            if not begun:
                begun = True
                shown = text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + b"..."
                self._note(f"{name} = {shown.decode('latin-1')!a}")
            self._raw(at, data[:room])
            hidden += len(data[room:])
            room = max(room - len(data), 0)
            ended = bool(nul)
            if len(held) < piece and not ended:
                self._more(hidden)
                raise _CutError
        self._more(hidden)
        if not ended:
            self._note(f"{name} has no NUL at its end" if begun else f"{name} is missing")
