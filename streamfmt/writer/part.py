"""Parts: a header, a record, or bytes that are neither, as they go onto the wire.

A part is built from the values of its schema's fields.  What else is said of it (another length or type in its record
header, padding that is not zero, fields overwritten) makes it deliberately invalid, and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .. import tables
from ..codec import encode, inside
from ..codec.content import Buffer, Content, Made, joined, pieces, span, zeros
from ..codec.decode import layouts
from ..codec.locate import REACH, Places
from ..errors import FieldError
from ..payload_tables import PLACES
from ..reader.registry import ROWS
from ..schema.layers import LAYERS
from ..schema.model import Field, Layout
from . import page_places

HEADERS = {
    f"{layer.name}.{name}": con for layer in LAYERS for name, _, _, con in layer.headers if name != "record_header"
}
RECORDS = {f"{layer.name}.{row.name}": row for layer in LAYERS for row in layer.records}
# What the headers of records say, by layer.
_AHEAD = {
    name: frozenset(row.path for row in layouts()[f"{name}.record_header"].fields)
    for name, row in ROWS.items()
    if row.header_size
}
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A header or a record, or raw bytes.

    :param path: schema path, such as "libxc.PAGE_DATA"; empty for raw bytes.
    :param values: field values that the body is built from, by name; lengths, counts and constants may be left out.
    :param data: the body's bytes, instead of `values`.
    :param patches: fields overwritten afterwards: names such as "reserved" or "entries[2].type", and values.
    :param code: type in a record's header, instead of its own.
    :param declared_length: length in a record's header, instead of the body's.
    :param padding: bytes after a record's body, instead of zeros.
    :param fill: number of zero bytes at the end of the body.
    """

    path: str
    values: Mapping[str, Any] = field(default_factory=dict)
    data: Content | None = None
    patches: tuple[tuple[str, int | Content], ...] = ()
    code: int | None = None
    declared_length: int | None = None
    padding: Content | None = None
    fill: int = 0

    @property
    def layer(self) -> str:
        """Name of the layer it belongs to; empty for raw bytes."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """Name of the header or the record in its layer."""
        return self.path.partition(".")[2]

    @property
    def is_record(self) -> bool:
        """Whether it is a record, not a header or raw bytes."""
        return self.path in RECORDS

    @property
    def ahead(self) -> frozenset[str]:
        """What the header before its body says, its type and its length; nothing where there is none."""
        row = RECORDS.get(self.path)
        return _NOTHING if row is None or row.headless else _AHEAD.get(self.layer, _NOTHING)

    @property
    def kind(self) -> str:
        """Schema path of the record that its type on the wire says it is; "libxc.type 0x80000000" if none is that."""
        if self.code is None:
            return self.path
        name = tables.RECORDS[self.layer].get(self.code, f"type {self.code:#x}")
        return f"{self.layer}.{name}"

    def parts(self) -> Iterator[Part]:
        """The parts that it stands for; one, unless they are generated."""
        yield self

    @property
    def extent(self) -> int:
        """Size on the wire, in bytes."""
        return size(self.whole("<"))

    def filled(self, count: int) -> Part:
        """The part with more zero bytes at the end of its body.

        :param count: how many more.
        """
        return replace(self, fill=self.fill + count)

    def body(self, order: str) -> bytes:
        """The body's bytes in one piece, without `fill`.

        :param order: "<" for little-endian, ">" for big-endian, as in the methods below.
        :raises FieldError: a value does not fit its field.
        """
        return joined(self.contents(order))

    def buffers(self, order: str) -> list[Buffer]:
        """The bytes on the wire, in pieces: large values are among them as they were given.

        :raises FieldError: a value does not fit its field.
        """
        return list(pieces(self.whole(order)))

    def whole(self, order: str) -> list[Content]:
        """The same, with contents that are generated on the fly not yet generated.

        :raises FieldError: a value does not fit its field.
        """
        body = self.contents(order)
        length = sum(map(len, body)) + self.fill
        ahead = self._header(length, order)
        if ahead:
            body.insert(0, ahead)
        if self.fill:
            body.append(zeros(self.fill))
        if self.is_record:
            body.append(bytes(-length % ROWS[self.layer].align) if self.padding is None else self.padding)
        return body

    def contents(self, order: str) -> list[Content]:
        """The body without `fill`, in pieces.

        :raises FieldError: a value does not fit its field.
        """
        if not self.patches:
            return self._plain(order)
        patched = Patched(self, order)
        for place, value in self.patches:
            patched.put(place, value)
        return patched.contents()

    def _plain(self, order: str) -> list[Content]:
        """The same without `patches`."""
        if self.data is not None:
            return [self.data]
        return encode.buffers(_layout(self.path), self.values, order)

    def _header(self, length: int, order: str) -> bytes:
        """The record header, if it has one."""
        if not self.ahead:
            return b""
        values = {"type": RECORDS[self.path].code if self.code is None else self.code}
        if "length" in self.ahead:
            values["length"] = length if self.declared_length is None else self.declared_length
        return encode.whole(layouts()[f"{self.layer}.record_header"], values, order)


def _first(layer: str) -> str:
    return next(path for path, row in RECORDS.items() if path.startswith(f"{layer}.") and not row.headless)


# Of layers whose records have a header, the one that stands for those that no schema knows.
CARRIERS = {layer: f"{layer}.{ROWS[layer].end}" if ROWS[layer].end else _first(layer) for layer in _AHEAD}


def _layout(path: str) -> Layout:
    found = layouts().get(path)
    if found is None:
        raise FieldError(path, "there is no such header or record")
    return found


class Patched:
    """A part's body whose fields are overwritten one after another, whatever its schema allows.

    No more of it is in memory than as far as the fields go.  `size` are its bytes, `walked` is how many steps it has
    taken to find them.
    """

    def __init__(self, part: Part, order: str) -> None:
        self._rest = replace(part, patches=()).contents(order)
        self._order = order
        self._path = part.path
        self.size = size(self._rest)
        self._data = bytearray()
        self._places = Places(_layout(part.path), self.size, order, self._hold)
        self._copied = 0

    @property
    def walked(self) -> int:
        """How many steps finding fields has taken."""
        return self._places.steps + self._copied

    def put(self, place: str, value: int | Content) -> None:
        """Overwrite one field.  Raises FieldError."""
        inner = self._inside(place)
        if inner is not None:
            at, row, steps = inner
            self._copied += steps
            self._hold(at + row.offset + row.size)
            encode.put(self._data, at, row, value, "<", place)
            return
        element = inside.member(self._path, self.size, self._order, self._hold, place)
        at, row, layout = (*element[:2], _layout(self._path)) if element is not None else self._places.find(place)
        if isinstance(value, int) and -1 << row.bits - 1 <= value < 0:
            value &= (1 << row.bits) - 1
        self._hold(at + row.offset + row.size)
        encode.put(self._data, at, row, value, self._order, place)
        if row.path in layout.counting or (row.bitfield and layout.counting):
            self._places.forget()

    def _inside(self, place: str) -> tuple[int, Field, int] | None:
        """Where a field inside a payload lies, if it is one, and how many steps it took to find that."""
        if self._path == page_places.PATH:
            return page_places.find(self.size, self._order, self._hold, place)
        if "." not in place or not {self._path, f"{self._path}.context"} & PLACES.keys():
            return None
        return inside.find(self._path, self.size, self._order, self._hold, place)

    def contents(self) -> list[Content]:
        """The body as it is now."""
        held = len(self._data)
        if held == self.size:
            return [self._data]
        return [self._data, Made(self.size - held, lambda: span(self._rest, held, self.size))]

    @property
    def held(self) -> int:
        """Bytes of it that are in memory."""
        return len(self._data)

    def _hold(self, stop: int) -> bytearray:
        """The body as it is in memory: as far as that, or as it can be."""
        held = len(self._data)
        if held < (stop := min(stop, self.size, REACH)):
            # Twice as far each time, so that not each field copies what lies before it.
            stop = max(stop, min(2 * held, self.size, REACH))
            self._data += b"".join(span(self._rest, held, stop))
            self._copied += (stop - held) >> 12
        return self._data


# -- the plain ones -------------------------------------------------------------------------------------------


def raw(data: Content, fill: int = 0) -> Part:
    """Bytes as they are, then `fill` zeros."""
    return Part("", data=data, fill=fill)


def header(path: str, **values: Any) -> Part:
    """A header built from values."""
    return Part(path, values)


def record(path: str, data: Content | None = None, **values: Any) -> Part:
    """A record built from values, or with a body of given bytes."""
    return Part(path, values, data)


def unknown(layer: str, code: int, data: Content = b"") -> Part:
    """A record of a type of one's choice."""
    return Part(CARRIERS[layer], data=data, code=code)


def size(buffers: Iterable[Content]) -> int:
    """Bytes of all of them."""
    return sum(map(len, buffers))
