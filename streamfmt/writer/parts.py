"""Parts: a header, a record, or octets that are neither, as they go onto the wire.

A part is built from the values of its schema's fields.  What else is said of it (another length or type in its record
header, padding that is not zero, fields overwritten) makes it as broken as one likes, and nothing else of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..schema import encode
from ..schema.decode import elements, layouts
from ..schema.describe import Layout
from ..schema.encode import Buffer, FieldError
from ..schema.layers import LAYERS

HEADERS = {
    f"{layer.name}.{name}": con for layer in LAYERS for name, _, _, con in layer.headers if name != "record_header"
}
RECORDS = {f"{layer.name}.{row.name}": row for layer in LAYERS for row in layer.records}
# Layers whose records have a header, and what records are padded to.
HEADED = {layer.name for layer in LAYERS for name, *_ in layer.headers if name == "record_header"}
_ALIGN = {layer.name: layer.align for layer in LAYERS}
_PLACE = re.compile(r"(?:(?P<part>\w+)\[(?P<number>\d+)\]\.?)?(?P<field>.*)")
# Zeros are taken from here, however many.
_ZEROS = memoryview(bytes(1 << 20))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A header or a record at schema path `path` ("libxc.PAGE_DATA"), or raw octets if that is empty.

    The body is built from `values` (see `schema.encode`) unless `octets` gives it; `patches` are fields, such as
    "reserved" or "entries[2].type", overwritten afterwards.  `code`, `claim` and `padding` replace type, length and
    padding of a record.  `fill` is a number of zero octets at the end of the body.
    """

    path: str
    values: Mapping[str, Any] = field(default_factory=dict)
    octets: Buffer | None = None
    patches: tuple[tuple[str, int | bytes], ...] = ()
    code: int | None = None
    claim: int | None = None
    padding: bytes | None = None
    fill: int = 0

    @property
    def layer(self) -> str:
        """Name of the layer it belongs to; empty for raw octets."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """Name of the header or the record in its layer."""
        return self.path.partition(".")[2]

    @property
    def is_record(self) -> bool:
        return self.path in RECORDS

    def parts(self) -> Iterator[Part]:
        """The parts that it stands for."""
        yield self

    @property
    def extent(self) -> int:
        """Octets on the wire."""
        return size(self.buffers("<"))

    def filled(self, count: int) -> Part:
        """With `count` zero octets more."""
        return replace(self, fill=self.fill + count)

    def body(self, order: str) -> bytes:
        """The body's octets in one piece, without `fill`.  Raises FieldError."""
        return b"".join(self._body(order))

    def buffers(self, order: str) -> list[Buffer]:
        """The octets on the wire, in pieces: large values are among them as they were given.  Raises FieldError."""
        body = self._body(order)
        length = sum(map(len, body)) + self.fill
        ahead = self._header(length, order)
        if ahead:
            body.insert(0, ahead)
        body += _zeros(self.fill)
        if self.is_record:
            body.append(bytes(-length % _ALIGN[self.layer]) if self.padding is None else self.padding)
        return body

    def _body(self, order: str) -> list[Buffer]:
        body = [self.octets] if self.octets is not None else encode.buffers(_layout(self.path), self.values, order)
        if not self.patches:
            return body
        data = bytearray().join(body)
        for place, value in self.patches:
            _patch(data, _layout(self.path), place, value, order)
        return [data]

    def _header(self, length: int, order: str) -> bytes:
        """The record header, if records of its layer have one."""
        if not self.is_record or self.layer not in HEADED:
            return b""
        values = {
            "type": RECORDS[self.path].code if self.code is None else self.code,
            "length": length if self.claim is None else self.claim,
        }
        return encode.octets(layouts()[f"{self.layer}.record_header"], values, order)


def _layout(path: str) -> Layout:
    found = layouts().get(path)
    if found is None:
        raise FieldError(path, "there is no such header or record")
    return found


def _zeros(count: int) -> Iterator[memoryview]:
    while count:
        yield (piece := _ZEROS[:count])
        count -= len(piece)


def _patch(data: bytearray, layout: Layout, place: str, value: int | bytes, order: str) -> None:
    """Overwrite one field, whatever its schema allows."""
    found = _PLACE.fullmatch(place)
    at = 0
    if found is not None and found["part"]:
        part = layout.parts[0] if layout.parts else None
        if part is None or part.name != found["part"] or part.element is None:
            raise FieldError(place, f"{layout.path} does not begin with such a list")
        starts = elements(layout, bytes(data), order)
        number = int(found["number"])
        if number >= len(starts):
            raise FieldError(place, "there are fewer of them")
        at = starts[number]
        layout = part.element
    row = next((row for row in layout.fields if found is not None and row.path == found["field"]), None)
    if row is None:
        known = ", ".join(row.path for row in layout.fields)
        raise FieldError(place, f"{layout.path} has no such field{f', only {known}' if known else ''}")
    if isinstance(value, int) and -1 << row.bits - 1 <= value < 0:
        value &= (1 << row.bits) - 1
    encode.put(data, at, row, value, order, place)


# -- the plain ones -------------------------------------------------------------------------------------------


def raw(octets: Buffer, fill: int = 0) -> Part:
    """Octets as they are, then `fill` zeros."""
    return Part("", octets=octets, fill=fill)


def header(path: str, **values: Any) -> Part:
    """A header built from values."""
    return Part(path, values)


def record(path: str, octets: Buffer | None = None, **values: Any) -> Part:
    """A record built from values, or with a body of given octets."""
    return Part(path, values, octets)


def unknown(layer: str, code: int, octets: Buffer = b"") -> Part:
    """A record of a type of one's choice."""
    return Part(f"{layer}.END", octets=octets, code=code)


def size(buffers: Iterable[Buffer]) -> int:
    """Octets of all of them."""
    return sum(map(len, buffers))
