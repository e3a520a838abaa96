"""Records as JSON has them: every field that the schema knows, arrays and lists too, written while it is read.

A record's length costs no memory, and little output: of opaque bytes only the first are written and of an array so many
elements, unless all is wanted; contents of pages never are.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Generator
from json import dumps
from typing import Any

from ..codec.decode import Scopes, layouts, referred, times, values_of, whole
from ..codec.payload import tree, within
from ..errors import LayoutError
from ..payload_tables import PLACES
from ..reader.events import PAGE, Body, Record
from ..reader.pump import Pump, Window
from ..reader.qemu_inside import frames, taken
from ..schema.model import TO_NUL, Block, Field, Item, Layout, Part
from .bits import said
from .qemu_inside import held
from .records import MORE, Brief, brief

# Without `full`: bytes written of an opaque part and of a text, elements of an array.
BYTES_MAX = 256
TEXT_MAX = 128 << 10
ELEMENTS_MAX = 4096
# Bytes of a payload that is looked into.
PAYLOAD_MAX = 64 << 10
_PIECE = 4096
# Bytes of a frame's field that is written, and the fields that are text.
_SHORT = 64
_TEXTS = ("idstr", "name", "machine")
# Lists of which an element says more by names than by its fields.
NAMED = ("libxc.X86_CPUID_POLICY.leaves", "libxc.X86_MSR_POLICY.msrs", "libxc.HVM_PARAMS.params")


class _CutError(Exception):
    """The stream ends here; what there was has been written."""


class _Tapped(Body):
    """A body of which a second program, in `pump`, sees the same bytes."""

    __slots__ = ("pump",)

    def __init__(self, window: Window, record: Record, pump: Pump) -> None:
        super().__init__(window, record)
        self.pump = pump

    def take(self, count: int) -> Generator[int, int, bytes]:
        raw = yield from super().take(count)
        self.pump.feed(raw)
        return raw

    def skip(self, count: int) -> Generator[int, int, int]:
        done = 0
        while done < count and not self.pump.done:
            raw = yield from self.take(min(count - done, _PIECE))
            if not raw:
                return done
            done += len(raw)
        return done + (yield from super().skip(count - done))


def plain(row: Field, value: int | bytes) -> int | str:
    """A field's value as JSON has it: 64-bit ones and raw bytes are hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    return hex(value) if row.size == 8 else value


def _framed(record: Record, body: bytes) -> dict[str, object]:
    """The short fields of a frame inside a record, if it is whole."""
    layout = layouts().get(record.path)
    try:
        found = whole(layout, body, record.layer.order) if layout else {}
    except LayoutError:
        return {}
    values: dict[str, object] = {name: value for name, value in found.items() if isinstance(value, int)}
    for name, value in found.items():
        if isinstance(value, bytes) and len(value) <= _SHORT:
            values[name] = value.decode("latin-1") if name in _TEXTS else value.hex()
    return values


class Tree:
    """Writes records' fields as JSON objects to `write`; `full` lifts the limits."""

    def __init__(self, write: Callable[[str], object], full: bool) -> None:
        self._write = write
        self._full = full
        self._window = Window()
        self._first = True
        self._text = False
        self._body: _Tapped

    def record(self, record: Record, window: Window) -> Generator[int, int, Brief]:
        """Program that writes the fields of a record whose header has been read, and says what it is in short.

        An object is whole even where the stream is not.
        """
        found: list[Brief] = []

        def short() -> Generator[int, int, None]:
            found.append((yield from brief(record, self._window, MORE)))

        # The other window begins where the body does.
        self._window.base, self._window.lo, self._window.hi, self._window.eof = record.body, 0, 0, False
        pump = Pump(short(), self._window)
        self._body = body = _Tapped(window, record, pump)
        self._text = record.path == record.layer.row.configuration
        self._open("{")
        try:
            layout = layouts().get(record.path)
            if layout is not None:
                yield from self._items(layout, layout.items, ({},))
            if body.left > 0:
                self._key("body" if layout is None else "excess")
                yield from self._bytes(body.left)
        except _CutError:
            pass  # the reader reports it itself
        finally:
            self._close("}")
        pump.end()
        return found[0]

    # -- JSON ---------------------------------------------------------------------------------------------------

    def _open(self, bracket: str) -> None:
        self._write(bracket)
        self._first = True

    def _close(self, bracket: str) -> None:
        self._write(bracket)
        self._first = False

    def _next(self) -> None:
        if not self._first:
            self._write(", ")
        self._first = False

    def _key(self, name: str) -> None:
        self._next()
        self._write(f"{dumps(name)}: ")

    def _member(self, name: str, value: object) -> None:
        self._key(name)
        self._write(dumps(value))

    # -- programs that read the body ----------------------------------------------------------------------------

    def _items(self, layout: Layout, items: tuple[Item, ...], scopes: Scopes) -> Generator[int, int, bool]:
        """All items, as far as the record goes; whether they are all there."""
        for item in items:
            if isinstance(item, Block):
                whole = yield from self._block(layout, item, scopes)
            elif isinstance(item, Part):
                whole = yield from self._part(layout, item, scopes)
            else:
                whole = yield from self._items(layout, item.chosen(referred(item.on, scopes)), scopes)
            if not whole:
                return False
        if layout.path in NAMED and (found := said(layout.path, scopes[0])):
            self._member("named", found)
        return True

    def _payload(self, layout: Layout, item: str, scopes: Scopes, raw: bytes) -> None:
        """What is inside bytes that have been written, if that is known."""
        layer = self._body.record.layer
        width = layer.width or getattr(layer.facts, "width", 0)
        found = within(layout.path, item, scopes[0], len(raw), width)
        if found is not None and raw:
            self._member("decoded", tree(found, raw, plain))

    def _block(self, layout: Layout, item: Block, scopes: Scopes) -> Generator[int, int, bool]:
        """Fields of fixed size."""
        body = self._body
        size = min(item.size, body.left)
        raw = yield from body.take(size)
        values = values_of(item.fields, raw, body.order)
        for row in item.fields:
            if row.path in values:
                value = values[row.path]
                if isinstance(value, bytes) and len(value) > BYTES_MAX and not self._full:
                    self._member(row.path, {"bytes": len(value), "first": value[:BYTES_MAX].hex()})
                else:
                    self._member(row.path, plain(row, value))
                if row.path in PLACES.get(layout.path, ()):
                    self._payload(layout, row.path, scopes, raw[row.offset : row.offset + row.size])
        if len(raw) < size:
            raise _CutError
        scopes[0].update(values)
        return size == item.size

    def _part(self, layout: Layout, part: Part, scopes: Scopes) -> Generator[int, int, bool]:
        """One part; whether all of it is there."""
        self._key(part.name)
        if part.count == TO_NUL:
            return (yield from self._string())
        claimed = times(part, scopes)
        if part.element is not None:
            return (yield from self._list(part, part.element, claimed, scopes))
        room = self._body.left // part.unit
        count = room if claimed is None else min(claimed, room)
        if part.listed:
            yield from self._skipped(count * part.unit, {"pages" if part.unit == PAGE else "blocks": count})
        elif self._text:
            yield from self._texts(count)
        elif part.name in PLACES.get(layout.path, ()) and count <= PAYLOAD_MAX:
            raw = yield from self._body.take(count)
            many = len(raw) > BYTES_MAX and not self._full
            self._write(dumps({"bytes": count, "first": raw[:BYTES_MAX].hex()} if many else raw.hex()))
            self._payload(layout, part.name, scopes, raw)
            if len(raw) < count:
                raise _CutError
        elif held(layout.path, part.name, count):
            yield from self._framed(count)
        else:
            yield from self._bytes(count)
        return claimed is None or count == claimed

    def _framed(self, count: int) -> Generator[int, int, None]:
        """A record of QEMU's devices: its bytes, and its frames."""
        at, layer = self._body.at, self._body.record.layer
        raw = yield from taken(self._body, count)
        many = len(raw) > BYTES_MAX and not self._full
        self._write(dumps({"bytes": count, "first": raw[:BYTES_MAX].hex()} if many else raw.hex()))
        rows = [
            {"layer": record.layer.path, "name": record.name, "offset": record.offset, "length": record.length}
            | {"fields": _framed(record, body)}
            for record, _, body in frames(layer, at, raw)
        ]
        if rows:
            self._member("frames", rows)
        if len(raw) < count:
            raise _CutError

    def _list(self, part: Part, element: Layout, count: int | None, scopes: Scopes) -> Generator[int, int, bool]:
        """Elements; whether all of them are there and what follows is not passed over."""
        body, place = self._body, 0
        fixed = part.unit and element.size == part.unit
        room = body.left // part.unit if fixed else 0
        if fixed:
            wanted, count = count, room if count is None else min(count, room)
        self._open("[")
        try:
            while body.left if count is None else place < count:
                if place == ELEMENTS_MAX and not self._full:
                    yield from self._rest(body.left if count is None or not fixed else (count - place) * part.unit)
                    return bool(fixed) and wanted in (None, count)
                self._next()
                if not (yield from self._element(element, scopes)):
                    return False
                place += 1
        finally:
            self._close("]")
        return not fixed or wanted in (None, count)

    def _element(self, element: Layout, scopes: Scopes) -> Generator[int, int, bool]:
        """An element: a value if it is no more, else an object."""
        if [item.path for item in element.fields] == [""] and len(element.items) == 1:
            raw = yield from self._body.take(element.size)
            if len(raw) < element.size:
                self._write("null")
                raise _CutError
            (row,) = element.fields
            self._write(dumps(plain(row, values_of((row,), raw, self._body.order)[""])))
            return True
        self._open("{")
        try:
            return (yield from self._items(element, element.items, ({}, *scopes)))
        finally:
            self._close("}")

    def _rest(self, size: int) -> Generator[int, int, None]:
        """The rest of a list, which is only counted."""
        self._next()
        yield from self._skipped(size, {"more_bytes": size})

    def _skipped(self, size: int, value: dict[str, Any]) -> Generator[int, int, None]:
        """Bytes that go by, for which an object stands."""
        self._write(dumps(value))
        if (yield from self._body.skip(size)) < size:
            raise _CutError

    def _bytes(self, count: int) -> Generator[int, int, None]:
        """Opaque bytes in hexadecimal; an object with the first of them if they are many."""
        many = count > BYTES_MAX and not self._full
        left = BYTES_MAX if many else count
        self._write(f'{{"bytes": {count}, "first": "' if many else '"')
        try:
            while left:
                raw = yield from self._body.take(min(left, _PIECE))
                self._write(raw.hex())
                if not raw:
                    raise _CutError
                left -= len(raw)
        finally:
            self._write('"}' if many else '"')
        if many and (yield from self._body.skip(count - BYTES_MAX)) < count - BYTES_MAX:
            raise _CutError

    def _texts(self, count: int) -> Generator[int, int, None]:
        """Bytes that are a text in UTF-8, with \\xNN for what is none; an object with the first if they are many."""
        many = count > TEXT_MAX and not self._full
        left = TEXT_MAX if many else count
        decode = getincrementaldecoder("utf-8")("backslashreplace").decode
        self._write(f'{{"bytes": {count}, "first": "' if many else '"')
        try:
            while left:
                raw = yield from self._body.take(min(left, _PIECE))
                left -= len(raw)
                self._write(dumps(decode(raw, not raw or not left))[1:-1])
                if not raw:
                    raise _CutError
        finally:
            self._write('"}' if many else '"')
        if many and (yield from self._body.skip(count - TEXT_MAX)) < count - TEXT_MAX:
            raise _CutError

    def _string(self) -> Generator[int, int, bool]:
        """Bytes up to a NUL, or to the record's end, as a text; whether there is any."""
        body, window = self._body, self._body.window
        decode = getincrementaldecoder("utf-8")("backslashreplace").decode
        self._write('"')
        room, ended, begun = TEXT_MAX, False, False
        try:
            while not ended and body.left:
                size = min(_PIECE, body.left)
                yield from body.need(size)
                text, nul, _ = window.head(size).partition(b"\0")
                ended, begun = bool(nul), True
                raw = yield from body.take(len(text) + len(nul))
                shown = text if self._full else text[: max(room, 0)]
                room -= len(text)
                self._write(dumps(decode(shown, ended))[1:-1])
                if not raw or (not ended and len(raw) < size):
                    raise _CutError
        finally:
            self._write('"')
        return begun
