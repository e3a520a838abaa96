"""A stream pulled instead of pushed: the core of `streamfmt.open`, for any driver.

:class:`ItemReader` is a sink whose body programs pause, and runs the pump for a driver.  What a consumer asks for is a
generator on top: it yields None whenever bytes have to be driven in before it can go on, and what was asked for
when that is there.  So a driver that blocks and one that waits need nothing but a loop each.
"""

from __future__ import annotations

from .. import tables
from ..errors import LimitError, MalformedError
from .events import ENTRY, PAGE, PAGE_FIXED, Body
from .page_data import PageBatch, PageData
from .pump import PAUSE
from .reader import Reader
from .stops import Stops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any, TypeAlias, TypeVar

    from .events import Layer, Record
    from .pump import Program

    T = TypeVar("T")
    # Yields None for "drive", then what it is for, once or several times.
    Pull: TypeAlias = Generator[T | None, None, None]

# Bytes of a body that are asked for at once; the window holds more.
PIECE = 64 << 10
# Asked for in the place of a number of bytes.
_PADDING = -1
# Pages in one batch with content, and entries in one with or without.
_BATCH_PAGES = 32
_BATCH_ENTRIES = 1024
_PAGE_DATA = "libxc.PAGE_DATA"


class Header:
    """A layer's header: schema `name`, such as "image_header", path `layer`, `offset` in bytes, and bytes `data`."""

    __slots__ = ("_order", "_path", "data", "layer", "name", "offset")

    def __init__(self, layer: Layer, path: str, offset: int, data: bytes) -> None:
        self._order = layer.order
        self._path = path
        self.layer = layer.path
        self.name = path.partition(".")[2]
        self.offset = offset
        self.data = data

    def __repr__(self) -> str:
        return f"<Header {self.layer} {self.name} at {self.offset}, {self.length} bytes>"

    @property
    def length(self) -> int:
        """Its size in bytes."""
        return len(self.data)

    def fields(self) -> dict[str, Any]:
        """Decode it; returns its fields by name, whatever their values."""
        from ..codec.decode import layouts, whole

        return whole(layouts()[self._path], self.data, self._order)


class ItemReader(Stops):
    """One stream on its way to a consumer that pulls.  `rest` is offset and number of the bytes after its END."""

    every_page = True

    def __init__(self, form: str = "auto", exact: bool = False, guest: str | None = None) -> None:
        self.reader = Reader(self, form, exact, guest)
        self.rest: tuple[int, int] | None = None
        self._layer: Layer | None = None
        self._queue: list[tuple[Header | Record, Layer]] = []
        self._current: Header | Record | None = None
        self._asked = 0
        self._piece: memoryview | None = None
        # All that the consumer looks at.
        self._lent: list[memoryview] = []
        self._closed = False

    # -- for the driver ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the reader until it wants bytes (see Pump.run), or there is something for the consumer: then 0."""
        pump = self.reader.pump
        want = 0 if self._queue or pump.done else pump.run()
        return 0 if want == PAUSE or self._queue else want

    def skip(self, count: int) -> None:
        self.reader.pump.skip(count)

    def close(self) -> None:
        """Nothing can be read any more."""
        self._closed = True
        self._current = None
        self._release()
        self.reader.close()

    # -- for the consumer -------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the last item lies in, from the outermost."""
        found: list[Layer] = []
        layer = self._layer
        while layer is not None:
            found.append(layer)
            layer = layer.parent
        return tuple(reversed(found))

    def first(self) -> Pull[bool]:
        """As far as the first item: there is something to read.  Raises what else there is."""
        yield from self._until_item()
        if not self._queue and self.failure is not None:
            raise self.failure
        yield True

    def item(self) -> Pull[Header | Record]:
        """The next item, if there is one more.  What is left of a body goes by."""
        self._open()
        self._release()
        self._current = None
        self._asked = 0
        yield from self._until_item()
        if self._queue:
            self._current, self._layer = self._queue.pop(0)
            yield self._current
        elif self.failure is not None:
            raise self.failure

    def left(self, record: Record) -> int:
        """Bytes of the current record's body that have not been read.  Raises ValueError if it is another's turn."""
        self._open()
        if record is not self._current:
            raise ValueError(f"the stream has gone on, past the record at {record.offset}")
        return record.end - self.window.position

    def chunks(self, record: Record, size: int) -> Pull[memoryview]:
        """The rest of a body in pieces of at most `size` bytes, each released when the next is asked for."""
        if size < 1:
            raise ValueError(f"chunks of {size} bytes")
        while left := self.left(record):
            yield (yield from self._take(min(size, left, PIECE)))

    def read(self, record: Record, limit: int) -> Pull[bytes]:
        """The rest of a body."""
        yield (yield from self._body(record, limit))

    def tail(self, record: Record) -> Pull[bytes]:
        """What is left of a body goes by; then the bytes of its padding."""
        while left := self.left(record):
            yield from self._take(min(left, PIECE))
        self._asked = _PADDING
        tail = bytes((yield from self._taken())) if record.padding else b""
        self._release()
        if len(tail) < record.padding:
            yield from self._take(1)  # the stream ends inside; this raises
        yield tail

    def fields(self, record: Record, limit: int) -> Pull[dict[str, Any]]:
        """A body's fields by name; none if the record's type is not known."""
        from ..codec.decode import layouts, whole
        from ..errors import LayoutError

        self._unread(record)
        layout = layouts().get(record.path)
        if layout is None:
            yield {}
            return
        body = yield from self._body(record, limit)
        try:
            yield whole(layout, body, record.layer.order)
        except LayoutError as error:
            raise MalformedError(record.body + error.at, f"{record.name}: {error}") from error

    def batches(self, record: Record, limit: int) -> Pull[PageBatch]:
        """A PAGE_DATA record's pages, if it has `limit` entries at most."""
        self._unread(record)
        legacy = record.layer.row.alias and record.type == tables.LEGACY_PAGE_BATCH
        if record.path != _PAGE_DATA and not legacy:
            raise ValueError(f"{record.name} has no pages, only {_PAGE_DATA} has")
        entries, kinds = yield from (self._legacy if legacy else self._entries)(record, limit)
        start = 0
        while start < len(kinds):
            stop = start
            pages = 0
            while stop < min(len(kinds), start + _BATCH_ENTRIES) and pages < _BATCH_PAGES:
                pages += kinds[stop] in tables.PAGE_TYPES_DATA
                stop += 1
            self.left(record)  # raises if the stream has gone on meanwhile
            offset = self.window.position
            contents = (yield from self._take(pages * PAGE)) if pages else memoryview(b"")
            if len(contents) < pages * PAGE:
                yield from self._take(1)  # the stream ends inside; this raises
            pfns = tuple(entry & tables.ENTRY_PFN_MASK for entry in entries[start:stop])
            yield PageBatch(
                pfns, tuple(tables.PAGE_TYPES[kind] for kind in kinds[start:stop]), offset, contents, self._lent
            )
            start = stop

    def _open(self) -> None:
        if self._closed:
            raise ValueError("the stream has been closed")

    def _unread(self, record: Record) -> None:
        if self.left(record) != record.length:
            raise ValueError(f"the body of the record at {record.offset} has been read from already")

    def _entries(self, record: Record, limit: int) -> Generator[None, None, tuple[Sequence[int], bytes]]:
        """The page entries and their types, the record's contents being left."""
        if record.length < PAGE_FIXED:
            raise MalformedError(record.offset, f"{record.length} bytes are too few for {record.name}")
        walk = PageData(Body(self.window, record))
        walk.begins((yield from self._exactly(record, PAGE_FIXED)))
        if not walk.fits:
            raise MalformedError(record.offset, f"room for {walk.room} of {walk.count} page entries")
        if walk.count > limit:
            raise LimitError(record.offset, "page entries", walk.count, limit)
        entries = walk.unpacked((yield from self._exactly(record, ENTRY * walk.count)))
        if walk.unknown:
            number, kind = next(pair for pair in enumerate(walk.kinds) if pair[1] not in tables.PAGE_TYPES)
            raise MalformedError(record.offset, f"entry {number} has page type {kind}, which is reserved")
        if self.left(record) != walk.pages * PAGE:
            raise MalformedError(record.offset, f"{self.left(record)} bytes of contents for {walk.pages} pages")
        return entries, walk.kinds

    def _legacy(self, record: Record, limit: int) -> Generator[None, None, tuple[Sequence[int], bytes]]:
        """The same of a batch of a legacy stream."""
        from .legacy_pages import COUNT, image_entries  # few streams are legacy ones

        word = record.layer.facts.word
        count = int.from_bytes((yield from self._exactly(record, COUNT)), "little")
        if count > limit:
            raise LimitError(record.offset, "page entries", count, limit)
        entries, kinds = image_entries((yield from self._exactly(record, word * count)), word)
        pages = len(kinds) - len(kinds.translate(None, bytes(tables.PAGE_TYPES_DATA)))
        if any(kind not in tables.PAGE_TYPES for kind in kinds):
            raise MalformedError(record.offset, "an entry has a page type that is reserved")
        if pages and not self.left(record):
            raise ValueError(f"the pages of the batch at {record.offset} come compressed, in COMPRESSED_DATA")
        return entries, kinds

    def _body(self, record: Record, limit: int) -> Generator[None, None, bytes]:
        """The rest of a body."""
        left = self.left(record)
        if left > limit:
            raise LimitError(record.offset, "bytes of body", left, limit)
        return (yield from self._exactly(record, left))

    def _exactly(self, record: Record, count: int) -> Generator[None, None, bytes]:
        """The next `count` bytes of a body that has as many, as an object of their own."""
        found = bytearray()
        while len(found) < count:
            self.left(record)  # raises if the stream has gone on meanwhile
            found += yield from self._take(min(count - len(found), PIECE))
        self._release()
        return bytes(found)

    def _take(self, count: int) -> Generator[None, None, memoryview]:
        """The next `count` bytes of the current body where they lie; fewer only if the stream ends there."""
        self._asked = count
        return (yield from self._taken())

    def _taken(self) -> Generator[None, None, memoryview]:
        """What has been asked for."""
        self._release()
        pump = self.reader.pump
        while self._piece is None:
            if pump.done:
                assert self.failure is not None, "a body that is not whole has been reported"
                raise self.failure
            yield None
        return self._piece

    def _until_item(self) -> Generator[None, None, None]:
        while not self._queue and not self.reader.pump.done:
            yield None
        self.finish(self.reader.identity)

    def _release(self) -> None:
        """Let no consumer look at bytes that are about to be overwritten."""
        self._piece = None
        while self._lent:
            try:
                self._lent.pop().release()
            except BufferError:
                pass  # the consumer has made something of it that is not known here; its documentation says so

    # -- events -----------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._queue.append((Header(layer, path, at, raw), layer))

    def record(self, record: Record) -> Program:
        self._queue.append((record, record.layer))
        return self._read(record)

    def _read(self, record: Record) -> Program:
        """Program of a body: pieces as they are asked for, with a pause before each."""
        window = self.window
        yield PAUSE
        while self._asked:
            if self._asked == _PADDING:
                # It stays where it is: what goes on judges it.
                while window.hi - window.lo < record.padding and (yield record.padding):
                    pass
                self._lend(window.lo, min(window.hi, window.lo + record.padding))
                yield PAUSE
                continue
            # What was asked for may change while bytes are waited for.
            while window.hi - window.lo < (want := min(self._asked, record.end - window.position)):
                if not (yield want):
                    break
            count = min(window.hi - window.lo, want)
            if not count:
                return
            window.lo += count
            self._lend(window.lo - count, window.lo)
            yield PAUSE

    def _lend(self, start: int, stop: int) -> None:
        """Let the consumer look at some bytes in the window."""
        self._asked = 0
        self._piece = self.window.view[start:stop].toreadonly()
        self._lent.append(self._piece)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        self.rest = at, count
