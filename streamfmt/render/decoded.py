"""Records by what their fields say: a line for each, without its bytes, down into what is inside payloads.

It goes through a record as an annotated dump does.  Reserved fields that are zero, and elements of a list that are all
zero to its end, are left out unless all is wanted.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import groupby

from ..codec.decode import values_of
from ..reader.events import Layer, Record
from ..schema.model import Field, Layout, Part
from . import bits
from .hexdump import BYTES_MAX, Dump, hanging, joined, values_text
from .pages import number

# Where a field's name begins, and bytes shown of one that is no number.
_MARGIN = 8
_SHOWN = 32
# Bytes of a list that are taken together.
_LIST_MAX = 64 << 10
# Names of fields that say nothing when they are zero.
_NOTHING = ("reserved", "pad", "_pad", "unused", "other")


class Decoded(Dump):
    """Writes fields line by line to `write`, in `width` columns where a value allows; `full` lifts the limits."""

    # Whether bytes are of a text that has been written.
    _said = False

    def header(self, layer: Layer, path: str, at: int, raw: bytes) -> None:
        """A header has been listed with what it says."""

    def padding(self, at: int, raw: bytes) -> None:
        if any(raw):
            self._note(f"padding is {raw.hex(' ')} (unexpected)")

    def record_header(self, record: Record) -> None:
        """A record has been listed with its type and length."""

    # -- lines --------------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._write(f"{'':{_MARGIN}}{text}")

    def _head(self, path: str, size: int) -> None:
        self._write(f"{'':{_MARGIN - 2}}{path}, {number(size, 'byte', 'bytes')}")

    def _line(self, at: int, data: bytes, words: str) -> None:
        self._note(words)

    def _raw(self, at: int, data: bytes) -> None:
        if self._said:
            return
        self._note(f"  {self._short(data, 0)}" if any(data) else "  all zero")

    def _long(self, name: str, at: int, data: bytes) -> None:
        if any(data):
            self._note(f"{name} = {self._short(data, len(name))}")
        elif self._full or not _says_nothing(name):
            self._note(f"{name} = 0")

    def _short(self, data: bytes, taken: int) -> str:
        """Bytes as text where they are one, else in hexadecimal, as many as fit into the line."""
        text = ascii(data.decode()) if data.isascii() and data.strip().decode().isprintable() else data.hex()
        room = max(self._width - _MARGIN - taken - len(" = ..."), _SHOWN)
        return text if self._full or len(text) <= room else f"{text[:room]}..."

    def _fields(self, layout: Layout, fields: tuple[Field, ...], raw: bytes, at: int, order: str, prefix: str) -> None:
        values = values_of(fields, raw, order)
        if prefix.endswith("]") and len(values) == len(fields) and not any(row.raw for row in fields):
            rows = [row for row in fields if self._full or values[row.path] or not _says_nothing(row.path)]
            text = values_text(layout, rows, values, "")
            self._note(hanging(f"{prefix}: {text}" if fields[0].path else f"{prefix}{text}", *self._columns()))
            for line in bits.words(layout.path, values):
                self._note(hanging(f"  {line}", self._width, _MARGIN, _MARGIN + 4))
            return
        for (offset, size), group in groupby(fields, lambda row: (row.offset, row.size)):
            rows = list(group)
            data = raw[offset : offset + size]
            if len(data) < size:
                if data:
                    self._note(f"{joined(prefix, rows[0].path)} is cut off")
                return
            if size > len(rows) * 8:
                self._long(joined(prefix, rows[0].path), at, data)
                continue
            shown = [row for row in rows if self._full or _set(values[row.path]) or not _says_nothing(row.path)]
            if shown:
                self._note(hanging(values_text(layout, shown, values, prefix), *self._columns()))

    def _columns(self) -> tuple[int, int, int]:
        return self._width, _MARGIN, _MARGIN + 2

    # -- programs that read the body ----------------------------------------------------------------------------

    def _array(self, part: Part, element: Layout, name: str, count: int) -> Generator[int, int, None]:
        size = count * part.unit
        if size > _LIST_MAX:
            yield from super()._array(part, element, name, count)
            return
        at = self._body.at
        raw = yield from self._body.take(size)
        used = len(raw.rstrip(b"\0"))
        last = count if self._full else -(-used // part.unit)
        for place in range(last):
            start = place * part.unit
            piece = raw[start : start + part.unit]
            self._fields(element, element.fields, piece, at + start, self._body.order, f"{name}[{place}]")
        self._zero(name, last, count)
        if len(raw) < size:
            self._cut()

    def _blocks(self, name: str, unit: int, count: int) -> Generator[int, int, None]:
        size = count * unit
        if not 0 < size <= _LIST_MAX:
            yield from super()._blocks(name, unit, count)
            return
        raw = yield from self._body.take(size)
        used = len(raw.rstrip(b"\0"))
        last = count if self._full else -(-used // unit)
        for place in range(last):
            self._long(f"{name}[{place}]", 0, raw[place * unit : (place + 1) * unit] or b"\0")
        self._zero(name, last, count)
        if len(raw) < size:
            self._cut()

    def _zero(self, name: str, last: int, count: int) -> None:
        """The elements of a list from `last` on, which are zero."""
        if last < count:
            rest = "" if last == count - 1 else f" to [{count - 1}]"
            self._note(f"{name}[{last}]{rest}: zero")

    def _string(self, name: str) -> Generator[int, int, None]:
        self._said = not self._full
        try:
            yield from super()._string(name)
        finally:
            self._said = False

    def _opaque(self, name: str, count: int) -> Generator[int, int, None]:
        if count > BYTES_MAX and not self._full:
            yield from super()._opaque(name, count)
        elif count and not (yield from self._frames(name, count)):
            raw = yield from self._body.take(count)
            self._long(name, self._body.at, raw)
            if len(raw) < count:
                self._cut()


def _set(value: int | bytes) -> bool:
    return any(value) if isinstance(value, bytes) else bool(value)


def _says_nothing(path: str) -> bool:
    return path.rpartition(".")[2].startswith(_NOTHING)
