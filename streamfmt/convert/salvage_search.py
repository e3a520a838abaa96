"""Where a stream goes on after a stretch that was damaged: the next record that others follow, as far as it matters.

A guest's memory may hold what looks like records: a stream that was saved inside the guest does.  So a record counts
for one only if a trail of records leads from it out of any batch of pages there is, or to the end of the stream.  All
that is looked at are headers and page entries, and how many is limited, whatever the bytes are.
"""

from __future__ import annotations

import re
from functools import cached_property
from struct import Struct, pack, unpack_from

from .. import tables
from ..reader.events import ENTRY, PAGE, PAGE_FIXED
from ..reader.identify import following

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..io.spans import Span
    from ..reader.events import Layer, Record

# More bytes than the largest batch that writers make: a trail of so many has left any that it began in.
LEAP = PAGE_FIXED + tables.BATCH_MAX * (ENTRY + PAGE) + (64 << 10)
# And records of it at least; at the end of the file fewer are enough.
_FEW, _TWO = 4, 2
# Entries of a batch that are looked at; the longest record with contents of pages has a quarter of them.
ENTRIES_MAX = 1 << 17
# Steps in all, one for a record or a place that is looked at and more for batches; bytes that are searched at once.
STEPS_MAX = 1 << 23
_PIECE, _OVERLAP, _TAIL = 1 << 20, 64, 64
# So many entries, as a power of 2, take as long to look at as a header.
_EASE = 5
# New types of records follow the known ones.
_NEAR = 0x100
# The longest context of Xen's that is walked, and the header of an entry of it.
_CONTEXT_MAX = 4 << 20
_ENTRY = Struct("<" + tables.FORMATS["libxc.HVM_CONTEXT.context"])
_CONTEXT = next(data for key, _, _, data, _ in tables.MAGICS if key == "hvm-context")


def fits(path: str, length: int) -> bool:
    """Whether a record's body may be so long, by its schema."""
    row = tables.LENGTHS.get(path)
    if row is None:
        return True
    _, fixed, unit, least, most, lengths = row
    count, over = divmod(length - fixed, unit or 1)
    if over or count < least or (most is not None and count > most):
        return False
    return (unit > 0 or count == 0) and (not lengths or length - fixed in lengths)


class Item:
    """A record where it lies in the file, by its header; `taken` once it has been counted as one that is whole."""

    __slots__ = ("length", "offset", "path", "place", "size", "taken", "type")

    def __init__(self, place: Place, kind: int, offset: int, length: int) -> None:
        self.place = place
        self.taken = False
        self.type = kind
        self.offset = offset
        self.length = length
        self.path = f"{place.name}.{place.known.get(kind, '')}"
        self.size: int = place.header.size + length + (-length & place.align - 1)

    @property
    def body(self) -> int:
        return self.offset + self.place.header.size

    @property
    def end(self) -> int:
        """Offset after its padding."""
        return self.offset + self.size

    @property
    def pages(self) -> bool:
        """Whether it is a batch of pages."""
        return self.place.image and self.type == tables.LIBXC_PAGE_DATA

    @property
    def empty(self) -> bool:
        """Whether records of its type have no body."""
        row = tables.LENGTHS.get(self.path)
        return row is not None and not self.length and not row[1] and not row[2]

    @property
    def name(self) -> str:
        return self.place.known.get(self.type, f"type {self.type:#x}")


class Place:
    """What is to be known of a layer, to read its records' headers."""

    def __init__(self, layer: Layer) -> None:
        row = layer.row
        self.layer = layer
        self.name = layer.name
        self.known: dict[int, str] = tables.RECORDS[layer.name]
        self.order = layer.order
        self.header = Struct(layer.order + tables.FORMATS[f"{layer.name}.record_header"])
        self.align = layer.align
        self.image = row.image
        self.optional = row.optional
        self.most = row.length_max or 1 << 40
        self.end = next(kind for kind, name in self.known.items() if name == row.end)
        self.closes = next((kind for kind, name in self.known.items() if f"{self.name}.{name}" == row.closes), None)
        self.opens = row.opens

    def ending(self, checkpoint: bool = False) -> bytes:
        """The record that ends the layer, or closes a checkpoint in it."""
        return self.header.pack(self.closes if checkpoint and self.closes is not None else self.end, 0)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """What records begin with, by type and length; of batches also the number of entries."""
        size = self.header.size // 2
        code = self.order + ("I" if size == 4 else "q")
        zeros = re.escape(bytes(size - 4))
        ways = []
        for kind, name in self.known.items():
            if kind in (self.end, *self.opens):
                continue
            path = f"{self.name}.{name}"
            _, fixed, unit, *_ = tables.LENGTHS.get(path, ("", 0, 1))
            some = rb"...[\x00-\x08]" + zeros if self.order == "<" else zeros + rb"[\x00-\x08]..."
            length = some if unit else re.escape(pack(code, fixed))
            if self.image and kind == tables.LIBXC_PAGE_DATA:
                count = rb".[\x00-\x10]\x00\x00" if self.order == "<" else rb"\x00\x00[\x00-\x10]."
                length = some + count + re.escape(bytes(4))
            ways.append(re.escape(pack(code, kind)) + b"(?=" + length + b")")
        return re.compile(b"|".join(ways), re.DOTALL)


class Batch:
    """A batch of pages by its own entries: `pages` of them have contents, which begin at offset `contents`.

    `sound` if each entry that is there names a page of a known type and the length is what they make it; `known` if all
    but the length is so.  `clean` without reserved bits.  `headed` if length and number of entries fit each other.
    """

    __slots__ = ("clean", "contents", "count", "entries", "headed", "known", "length", "pages", "sound")

    def __init__(self, span: Span, item: Item, size: int) -> None:
        order = item.place.order
        head = span.read(item.body, PAGE_FIXED)
        self.count, reserved = unpack_from(order + "II", head) if len(head) == PAGE_FIXED else (0, 0)
        self.contents = item.body + PAGE_FIXED + ENTRY * self.count
        self.entries: Sequence[int] = ()
        self.pages = self.length = 0
        self.known = self.sound = self.clean = self.headed = False
        if not 0 < self.count <= ENTRIES_MAX:
            return
        raw = span.read(item.body + PAGE_FIXED, ENTRY * self.count)
        held = len(raw) // ENTRY
        pages, over = divmod(item.length - PAGE_FIXED - ENTRY * self.count, PAGE)
        self.headed = not over and not reserved and 0 <= pages <= self.count
        self.entries = unpack_from(f"{order}{held}Q", raw)
        kinds = [entry >> tables.ENTRY_TYPE_SHIFT for entry in self.entries]
        self.pages = sum(kind in tables.PAGE_TYPES_DATA for kind in kinds)
        self.length = PAGE_FIXED + ENTRY * self.count + PAGE * self.pages
        self.known = not reserved and all(kind in tables.PAGE_TYPES for kind in kinds)
        self.clean = self.known and not any(entry & tables.ENTRY_RESERVED_MASK for entry in self.entries)
        if held == self.count:
            self.sound = self.known and self.length == item.length
        else:
            most = self.length + PAGE * (self.count - held)
            more, over = divmod(item.length - self.length, PAGE)
            self.sound = self.known and not over and more >= 0 and item.length <= most and self.contents > size

    @property
    def end(self) -> int:
        """Offset after it, as its entries make it."""
        return int(self.contents + PAGE * self.pages)

    def first(self, pages: int) -> Sequence[int]:
        """Its entries up to that with content after so many."""
        found = 0
        for number, entry in enumerate(self.entries):
            found += entry >> tables.ENTRY_TYPE_SHIFT in tables.PAGE_TYPES_DATA
            if found > pages:
                return self.entries[:number]
        return self.entries


class Trail:
    """Follows records in `span`, of `size` bytes: of an image, and of the layer around it, if that has records.

    `steps` is how many more it looks at.
    """

    def __init__(self, span: Span, size: int, progress: Callable[[int], None] | None = None) -> None:
        self.span = span
        self.size = size
        self._progress = progress
        self.steps = STEPS_MAX
        # Where records begin of the last trail that came to the stream's end, and whose they are: from any of them it
        # does so again.
        self._way: set[tuple[int, int]] = set()
        self._whose: Sequence[Place] = ()

    @cached_property
    def zeros(self) -> int:
        """Offset from which on only zeros are, to the end."""
        at = self.size
        while at:
            start = max(at - _PIECE, 0)
            held = self.span.read(start, at - start).rstrip(b"\0")
            if held:
                return start + len(held)
            at = start
        return 0

    def item(self, at: int, place: Place) -> Item | None:
        """The record that begins at `at`, if there are so many bytes."""
        raw = self.span.read(at, place.header.size)
        if len(raw) < place.header.size:
            return None
        kind, length = place.header.unpack(raw)
        return Item(place, kind, at, length) if length >= 0 else None

    def odd(self, item: Item) -> bool:
        """Whether something about a record is not as good writers have it."""
        place = item.place
        if item.pages:
            if item.body + PAGE_FIXED > self.size:
                return False  # it was cut
            batch = Batch(self.span, item, self.size)
            self.steps -= len(batch.entries) >> _EASE
            return not batch.sound or not batch.clean
        if item.type not in place.known or item.type in place.opens:
            return True
        if not fits(item.path, item.length) or item.length > place.most:
            return True
        if item.end > self.size:
            return False
        if (
            place.image
            and item.type == tables.LIBXC_HVM_CONTEXT
            and self.span.read(item.body, len(_CONTEXT)) != _CONTEXT
        ):
            return True
        return any(self.span.read(item.body + item.length, item.end - item.body - item.length))

    def _passable(self, item: Item) -> bool:
        """Whether a trail may have the record in its midst."""
        bit = item.place.optional
        if bit and item.type & bit and item.type & ~bit < _NEAR and item.length <= tables.RECORD_LENGTH_MAX:
            return True
        return not self.odd(item)

    def leads(
        self,
        at: int,
        places: Sequence[Place],
        number: int,
        *,
        zeros: bool = True,
        least: int = _TWO,
        whole: bool = False,
    ) -> bool:
        """Whether records of `places[number]`, and of those around it, begin at `at` and lead on, `least` of them.

        With `zeros` the stream may be over where only those follow; if `whole` it has to come to its end.
        """
        short = zeros and least < _TWO and not whole
        if short and (at, number) in self._way and places == self._whose:
            return True
        way: set[tuple[int, int]] = set()
        start, count, solid, between, closed = at, 0, 0, False, False
        while self.steps > 0:
            self.steps -= 1
            if at == self.size:
                return count >= least and (closed or not whole)
            item = self._next(at, places, number)
            if item is None and between and len(places) > 1:
                number = 1 - number  # either layer's records may come
                item = self._next(at, places, number)
            if item is None:
                return False
            place = item.place
            if item.end > self.size:
                return count >= least and item.pages and not whole
            if short:
                way.add((at, number))
            count += 1
            solid += item.length > 0
            at = item.end
            closed = False
            between = between and not place.image
            if item.type == place.end:
                number += 1
                if number == len(places):
                    # Zeros are read as ends; they are none after what may be a record by chance.
                    ends = count >= least and solid + 1 >= least and self.over(at, zeros and solid >= _TWO)
                    if short and ends and at == self.size:
                        self._way, self._whose = way, places
                    return ends
            elif item.type == place.closes:
                closed = place is places[-1]
                between = not place.image
                if between:
                    number = 0
                elif number + 1 < len(places) and places[number + 1].closes is not None:
                    number += 1
            if at - start > LEAP and count >= _FEW and not whole:
                return True
        return False

    def _next(self, at: int, places: Sequence[Place], number: int) -> Item | None:
        """The record of `places[number]` at `at`, if a trail may have it in its midst."""
        item = self.item(at, places[number])
        return item if item is not None and self._passable(item) else None

    def closing(self, at: int, place: Place) -> bool:
        """Whether records of a layer around an image, from `at` on, close a checkpoint before the layer's end."""
        while self.steps > 0 and (item := self._next(at, [place], 0)) is not None and item.type != place.end:
            self.steps -= 1
            if item.type == place.closes:
                return True
            at = item.end
        return False

    def over(self, at: int, zeros: bool = True) -> bool:
        """Whether a stream may end at `at`: nothing follows, or what known tools leave there."""
        if at >= self.size:
            return at == self.size
        head = self.span.read(at, _TAIL)
        return (zeros and at >= self.zeros) or following(head, self.size - at, False)[0]

    def find(self, begin: int, places: Sequence[Place], whole: bool = False) -> tuple[int, int] | None:
        """The first place from `begin` on from which records lead on: its offset, and whose of `places` they are.

        If `whole` they have to lead to the end of the stream.
        """
        for at, number in self._hits(begin, places):
            self.steps -= 1
            if self.steps <= 0:
                return None
            if self._suits(at, places[number]) and self.leads(at, places, number, zeros=not whole, whole=whole):
                return at, number
        return None

    def _suits(self, at: int, place: Place) -> bool:
        """Whether a record that may begin at `at` is one of the image's guest, as far as that is known."""
        guest, item = place.layer.guest, self.item(at, place)
        return not place.image or guest is None or item is None or guest in tables.LIBXC_GUESTS.get(item.type, (guest,))

    def _hits(self, begin: int, places: Sequence[Place]) -> Iterator[tuple[int, int]]:
        at = begin
        while at < self.size:
            piece = self.span.read(at, _PIECE + _OVERLAP)
            hits = [
                (at + found.start(), number)
                for number, place in enumerate(places)
                for found in place.pattern.finditer(piece)
                if found.start() < _PIECE
            ]
            hits.sort()
            yield from hits
            at += _PIECE
            if self._progress is not None:
                self._progress(min(at, self.size))

    def proven(self, item: Item, places: Sequence[Place]) -> bool:
        """Whether a record is one by what is in it, whatever its length: then nothing was lost before it."""
        if item.pages:
            batch = Batch(self.span, item, self.size)
            return batch.headed or (batch.known and self.leads(batch.end, places, 0))
        return item.place.image and item.type == tables.LIBXC_HVM_CONTEXT and self._context(item)

    def tiled(self, item: Item) -> bool:
        """Whether a record is whole by what is in it: entries of Xen's context fill it, the last of which ends it."""
        if not item.place.image or item.type != tables.LIBXC_HVM_CONTEXT or item.length > _CONTEXT_MAX:
            return False
        body = self.span.read(item.body, item.length)
        at, kind = 0, -1
        while at + _ENTRY.size <= len(body) and kind != tables.HVM_END:
            kind, _, length = _ENTRY.unpack_from(body, at)
            at += _ENTRY.size + length
        return at == len(body) and kind == tables.HVM_END and self._context(item)

    def _counted(self, item: Item) -> bool:
        """Whether the number of parameters is that for which there is room."""
        raw = self.span.read(item.body, 4)
        unit = tables.LENGTHS[item.path][2]
        return int.from_bytes(raw, item.place.layer.byte_order) == (item.length - tables.SIZES[item.path]) // unit

    def _context(self, item: Item) -> bool:
        """Whether a body begins as Xen's context does."""
        return self.span.read(item.body, len(_CONTEXT)) == _CONTEXT


def item_of(place: Place, record: Record, delta: int) -> Item:
    """A record that a reader came to, where it lies in the file, `delta` bytes further."""
    return Item(place, record.type, record.offset + delta, record.length)
