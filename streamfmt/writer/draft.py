"""Streams as lists of parts: each edit returns a new :class:`Draft`.

To get a stream that is broken in one way, edit a valid one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..codec.content import Buffer, Content, Made, joined, pieces, resized
from ..codec.decode import layouts
from ..reader.registry import ROWS
from ..schema import protocol
from .part import HEADERS, RECORDS, Part, size


def _headers(name: str) -> dict[str, str]:
    """The headers that have a field of that name, and the layer of each."""
    return {
        path: path.partition(".")[0] for path in HEADERS if any(field.path == name for field in layouts()[path].fields)
    }


# Headers in which a layer announces the byte order of what follows them; layers in which a header shows which it is.
ANNOUNCING = _headers("options.endian")
ORDERED = (*ANNOUNCING.values(), *_headers("byteorder").values())
# With these a COLO back channel begins, which has no header.
_BACK = {path.partition(" ")[0] for path in protocol.BACK_CHANNEL.names}

# Bodies up to this are copied where their length changes, larger ones are made when they are written.
_SMALL = 4096


@dataclass(frozen=True, slots=True)
class Draft:
    """Parts in order; each edit returns a new draft.

    Edits select a part by its path and, if several have it, by `nth`, counted from 0 or, if negative, from the end.
    They raise IndexError if there is no such part.

    :param parts: the parts.
    :param big: names of the layers that are written big-endian.
    :param cut: offset in bytes at which the stream is cut off; None for all of it.
    """

    parts: tuple[Part, ...]
    big: frozenset[str] = frozenset()
    cut: int | None = None

    def __iter__(self) -> Iterator[Part]:
        for part in self.parts:
            yield from part.parts()

    @property
    def paths(self) -> frozenset[str]:
        """Schema paths of everything in the stream."""
        return frozenset(part.path for part in self.parts)

    @property
    def form(self) -> str:
        """The form to declare to a reader; empty if no reader accepts the first part."""
        if not self.parts:
            return ""
        first = self.parts[0]
        if first.path in _BACK:
            return "back-channel"
        return first.layer if first.path in HEADERS else ""

    @property
    def guest(self) -> str | None:
        """The guest to declare to a reader: that of a legacy stream, as far as its records show it."""
        for part in self.parts:
            row = RECORDS.get(part.path)
            if row is not None and ROWS[part.layer].alias and len(row.guests) == 1:
                return row.guests[0]
        return None

    def find(self, path: str, nth: int = 0) -> int:
        """Index in `parts` of one part."""
        return [number for number, part in enumerate(self.parts) if part.path == path][nth]

    def part(self, path: str, nth: int = 0) -> Part:
        """The part itself."""
        return self.parts[self.find(path, nth)]

    def swap(self, path: str, *parts: Part, nth: int = 0) -> Draft:
        """Replace one part by `parts`."""
        at = self.find(path, nth)
        return replace(self, parts=(*self.parts[:at], *parts, *self.parts[at + 1 :]))

    def before(self, path: str, *parts: Part, nth: int = 0) -> Draft:
        """Insert parts before one."""
        return self.swap(path, *parts, self.part(path, nth), nth=nth)

    def after(self, path: str, *parts: Part, nth: int = 0) -> Draft:
        """Insert parts after one."""
        return self.swap(path, self.part(path, nth), *parts, nth=nth)

    def without(self, path: str, nth: int = 0) -> Draft:
        """Remove one part."""
        return self.swap(path, nth=nth)

    def moved(self, path: str, *, before: str, nth: int = 0, before_nth: int = 0) -> Draft:
        """Move one part before another."""
        return self.without(path, nth).before(before, self.part(path, nth), nth=before_nth)

    def then(self, *parts: Part) -> Draft:
        """Append parts."""
        return replace(self, parts=(*self.parts, *parts))

    def edit(self, path: str, nth: int = 0, **changes: Any) -> Draft:
        """Change attributes of one part.

        :param changes: attributes of :class:`Part`, such as `declared_length` or `data`.
        """
        return self.swap(path, replace(self.part(path, nth), **changes), nth=nth)

    def put(self, path: str, nth: int = 0, **values: Any) -> Draft:
        """Change values that the schema builds one part from.

        :param values: field values; those not given stay.
        """
        return self.edit(path, nth, values={**self.part(path, nth).values, **values})

    def patch(self, path: str, place: str, value: int | bytes, nth: int = 0) -> Draft:
        """Overwrite one field without regard to the schema's rules.

        :param place: the field, such as "entries[2].type"; rendering raises FieldError if the part has none there.
        :param value: its number, or bytes of its size.
        """
        return self.edit(path, nth, patches=(*self.part(path, nth).patches, (place, value)))

    def resized(self, path: str, length: int, nth: int = 0) -> Draft:
        """Truncate the body of one record or extend it with zeros; its header says so.

        :param length: the body's new size in bytes.
        :raises FieldError: the body cannot be built from its values.
        """
        return self.swap(path, with_length(self.part(path, nth), length), nth=nth)

    def big_endian(self, *layers: str) -> Draft:
        """Write those of the layers that have a header big-endian."""
        headed = {path.partition(".")[0] for path in self.paths & HEADERS.keys()}
        return replace(self, big=frozenset(layers) & headed)

    def upto(self, path: str, nth: int = 0, extra: int = 0) -> Draft:
        """Cut the stream off where one part begins, or `extra` bytes further.

        :raises FieldError: a part before it cannot be built from its values.
        """
        return replace(self, cut=self.offset(path, nth) + extra)

    @property
    def size(self) -> int:
        """Size in bytes."""
        whole = self.offsets()[-1]
        return whole if self.cut is None else min(whole, self.cut)

    def offset(self, path: str, nth: int = 0) -> int:
        """Offset in bytes of one part.

        :raises FieldError: a part cannot be built from its values.
        """
        return self.offsets()[self.find(path, nth)]

    def offsets(self) -> list[int]:
        """Offset of each part, and the end of the last, as if the stream were not cut."""
        found = [0]
        for part in self.parts:
            found.append(found[-1] + part.extent)
        return found

    def _buffers(self, part: Part) -> list[Content]:
        if ANNOUNCING.get(part.path) in self.big:
            part = replace(part, patches=(*part.patches, ("options.endian", 1)))
        return part.whole(">" if part.layer in self.big else "<")

    def batches(self) -> Iterator[list[Buffer]]:
        """The stream's bytes, part by part, large ones in several pieces: they never are in memory whole."""
        left = self.cut
        for part in self:
            buffers = self._buffers(part)
            if left is not None and left < size(buffers):
                yield from batches([*_first(buffers, left)])
                return
            left = None if left is None else left - size(buffers)
            yield from batches(buffers)

    def pieces(self) -> Iterator[Buffer]:
        """The stream's bytes, a few at a time."""
        for buffers in self.batches():
            yield from buffers

    def render(self) -> bytes:
        """All of the stream's bytes, in memory.

        :raises FieldError: a value does not fit its field; as for all that build the bytes.
        """
        return b"".join(self.pieces())


def _first(contents: list[Content], count: int) -> Iterator[Content]:
    """The first bytes of some contents."""
    for content in contents:
        if count < len(content):
            yield resized(content, count) if isinstance(content, Made) else memoryview(content)[:count]
            return
        yield content
        count -= len(content)


def batches(contents: list[Content]) -> Iterator[list[Buffer]]:
    """What is there already in lists as it is, what is made in pieces between them."""
    held: list[Buffer] = []
    for content in contents:
        if not isinstance(content, Made):
            held.append(content)
            continue
        for piece in content.pieces():
            held.append(piece)
            yield held
            held = []
    if held:
        yield held


def with_length(part: Part, length: int) -> Part:
    """The part with its body, as its header announces it, shortened or filled up with zeros.  Raises FieldError."""
    contents = part.contents("<")
    whole = size(contents)
    body: Content = joined(contents) if whole <= _SMALL else Made(whole, lambda: pieces(contents))
    if len(contents) == 1:
        body = contents[0]
    return replace(part, data=resized(body, length), patches=())
