"""What a layer reports to its consumer: records, bodies, runs of clean page batches, and where a stream breaks off.

:class:`Sink` is the consumer's side.  A consumer overrides what it cares for; the methods it leaves alone cost a
call each and look into nothing.
"""

from __future__ import annotations

from _struct import unpack_from  # struct would be a module more to find

from .. import tables
from .registry import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any, Literal

    from .identify import Identity
    from .pump import Program, Window

HEADER = tables.SIZES["libxc.record_header"]
PAGE_FIXED = tables.SIZES["libxc.PAGE_DATA"]
ENTRY, PAGE = tables.UNITS["libxc.PAGE_DATA"]
# A number above this is no version of a format, but damage.
VERSION_MAX = 0xFF
# Bytes of a long body that are looked at together, and of a list: a multiple of the size of every element.
PIECE = 32 << 10
LIST_PIECE = 48 << 10


class Layer:
    """A container, or a stream of records, inside another: what its headers said, and how far it has been read.

    `row` is its row of the registry, `path` the way in from outside ("xl/libxl/libxc").  `order` is struct's byte order
    of its records, `header_size` the bytes of a record's header (0 in a layer that has none), `align` what their bodies
    are padded to.  `guest` is "pv" or "hvm", None before the domain header and where that makes no sense.  `judge` is
    the layer whose rules its records are judged by: itself, or the channel that several layers share.  `closed` is
    where its latest checkpoint ended.  `facts` is what its program has learnt of it that its checks need, if anything.
    `width` is the bytes of a PV guest's word, 0 until somebody has looked at what says it.
    """

    __slots__ = (
        "align",
        "checkpoints",
        "closed",
        "facts",
        "guest",
        "header_size",
        "index",
        "judge",
        "name",
        "order",
        "parent",
        "path",
        "row",
        "version",
        "width",
        "xen",
    )

    def __init__(self, name: str, parent: Layer | None = None, judge: Layer | None = None) -> None:
        self.row = row = ROWS[name]
        self.name = name
        self.parent = parent
        self.judge = judge or self
        self.path: str = f"{parent.path}/{name}" if parent else name
        self.header_size = row.header_size
        self.align = row.align
        self.order = ">" if row.big else "<"
        self.version = 0
        self.guest: str | None = None
        self.xen = (0, 0)
        self.index = 0
        self.checkpoints = 0
        self.closed = -1
        self.facts: Any = None
        self.width = 0

    def close_checkpoint(self, at: int) -> None:
        """The record that closes a checkpoint has been read, as far as `at`."""
        self.checkpoints += 1
        self.closed = at

    def between_checkpoints(self, at: int) -> bool:
        """Whether a stream that ends inside this layer, at `at`, stops where it may.

        A checkpointed stream has no END; after a whole checkpoint it may simply stop.
        """
        outer = self.parent
        return at == (outer.closed if outer is not None and outer.row.closes else self.closed)

    @property
    def wraps(self) -> bool:
        """Whether it is a container, whose records are not padded."""
        return self.align == 1

    @property
    def byte_order(self) -> Literal["big", "little"]:
        """The byte order of the layer's records, in a word."""
        return "big" if self.order == ">" else "little"


def describe(layers: Sequence[Layer]) -> str:
    """What a stream of these layers is, in a line: "xl > libxl v2 > libxc v3, x86 HVM, Xen 4.17".

    What lies side by side, such as the images of one XAPI file, is joined by "+".
    """
    text = ""
    inside = set()
    for layer in layers:
        if layer.version or layer.wraps or not layer.row.version:
            version = f" v{layer.version}" if 0 < layer.version <= VERSION_MAX else ""
            joint = (" + " if layer.parent in inside else " > ") if text else ""
            inside.add(layer.parent)
            text += joint + layer.name + version + (", big-endian" if layer.order == ">" and not layer.row.big else "")
    guest = ""
    for layer in layers:
        if layer.guest and layer.row.image:
            guest = f", x86 {layer.guest.upper()}"
            if layer.row.version:
                guest += ", Xen {}.{}".format(*layer.xen) if layer.xen[0] else ", from the legacy converter"
    return text + guest


class Record:
    """One record: its header, if it has one, lies at stream `offset`, its body of `length` bytes at `body`."""

    __slots__ = ("index", "layer", "length", "offset", "type")
    # Elements of it that came in a run: it is the rest of a record.
    begun = 0

    def __init__(self, layer: Layer, kind: int, at: int, length: int) -> None:
        self.layer = layer
        self.index = layer.index
        self.type = kind
        self.offset = at
        self.length = length

    @property
    def body(self) -> int:
        return self.offset + self.layer.header_size

    @property
    def declared_length(self) -> int:
        """What the header says is the length, which it is but in one whose end only its own layer finds."""
        return self.length

    @property
    def end(self) -> int:
        """Offset after the body, before its padding."""
        return self.offset + self.layer.header_size + self.length

    @property
    def padding(self) -> int:
        """Bytes between the body's end and the next record."""
        return -self.length & self.layer.align - 1

    @property
    def name(self) -> str:
        return tables.RECORDS[self.layer.name].get(self.type, f"type {self.type:#x}")

    @property
    def path(self) -> str:
        """Schema path, such as "libxc.PAGE_DATA"."""
        return f"{self.layer.name}.{self.name}"


class Body:
    """The rest of `record`'s body in `window`, while it is read.  Nothing is read beyond it.

    The methods are programs for the pump: ``raw = yield from body.take(8)``.
    """

    __slots__ = ("order", "record", "window")

    def __init__(self, window: Window, record: Record) -> None:
        self.window = window
        self.record = record
        self.order = record.layer.order

    @property
    def at(self) -> int:
        """Offset in the stream of the next byte."""
        return self.window.position

    @property
    def left(self) -> int:
        """Bytes that are left of the body, whether the stream has them or not."""
        return self.record.end - self.window.position

    def need(self, count: int) -> Generator[int, int, bool]:
        """Whether the next `count` bytes are there; then they are in the window, not yet consumed."""
        window = self.window
        return window.hi - window.lo >= count or bool((yield count))

    def take(self, count: int) -> Generator[int, int, bytes]:
        """The next `count` bytes, fewer where the body or the stream ends."""
        window = self.window
        count = min(count, self.record.end - window.position)
        if window.hi - window.lo < count and not (yield count):
            count = window.hi - window.lo
        return window.take(count)

    def piece(self, unit: int = 1, most: int = PIECE) -> Generator[int, int, bytes]:
        """The next bytes, about `most` and a multiple of `unit`; none where no more come, or the stream ends first.

        Of a body that breaks off the length may be what is wrong: then what is there belongs to other records.
        """
        window = self.window
        count = min(self.record.end - window.position, most) // unit * unit
        if window.hi - window.lo < count and not (yield count):
            return b""
        return window.take(count)

    def skip(self, count: int) -> Generator[int, int, int]:
        """Let the next `count` bytes go by.  Returns how many did."""
        return (yield -count) if count else 0


class Headless(Record):
    """A record without a header, in a layer whose others have one."""

    __slots__ = ()

    @property
    def body(self) -> int:
        return self.offset

    @property
    def end(self) -> int:
        return self.offset + self.length


class Run:
    """Clean PAGE_DATA records in a row, alike in size: `count` of them, the first at stream offset `at`.
    Records that are broken alike come as one too, to a sink that asks for them.

    Together they have `entries` page entries and `pages` pages of content.  The entries are still in the window,
    and only there: a consumer that wants them calls :meth:`raw` before the reader goes on.
    """

    __slots__ = ("_lo", "_window", "count", "entries", "index", "layer", "offset", "pages", "size")

    def __init__(self, layer: Layer, window: Window, count: int, size: int, entries: int, pages: int) -> None:
        self.layer = layer
        self.index = layer.index
        self._window = window
        self._lo = window.lo
        self.offset = window.base + window.lo
        self.count = count
        self.size = size
        self.entries = entries
        self.pages = pages

    @property
    def stretches(self) -> int:
        """How many stretches of `size` bytes they are: records, where a record is not several."""
        return self.count

    @property
    def end(self) -> int:
        """Offset after the last of them."""
        return self.offset + self.size * self.stretches

    def record(self, entry: int = 0) -> Record:
        """The record that has the run's `entry`-th entry."""
        index, at, _ = self.place(entry)
        record = Record(self.layer, tables.LIBXC_PAGE_DATA, at, self.size - HEADER)
        record.index = index
        return record

    def raw(self) -> Sequence[int]:
        """The page entries as 64-bit integers."""
        buf, lo = self._window.buf, self._lo + HEADER + PAGE_FIXED
        if self.count == 1:
            return unpack_from(f"<{self.entries}Q", buf, lo)
        return [unpack_from("<Q", buf, p)[0] for p in range(lo, lo + self.count * self.size, self.size)]

    def data(self) -> bytes:
        """The page entries as they lie in the stream, if the run is one record; else none."""
        lo = self._lo + HEADER + PAGE_FIXED
        return bytes(self._window.buf[lo : lo + ENTRY * self.entries]) if self.count == 1 else b""

    def place(self, entry: int) -> tuple[int, int, int]:
        """Record index, record offset and entry's number in it, of the run's `entry`-th entry."""
        if self.count == 1:
            return self.index, self.offset, entry
        return self.index + entry, self.offset + entry * self.size, 0


class Sink:
    """A consumer of events.  Offsets are absolute; bytes handed over are the consumer's to keep."""

    # The reader's window, for the programs that read bodies; the Reader sets it.
    window: Window
    # Whether clean PAGE_DATA records come one by one, like all others, so that their pages can be read.
    every_page = False
    # Whether no byte past the outermost END may be asked for; the Reader sets it.
    exact = False
    # What guest's a legacy stream is, if that is declared; the Reader sets it.
    guest: str | None = None
    # Whether the device model's record that ends a legacy stream is read, or the stream ends before it.
    device_model = True
    # Whether the writer waits for answers: then no byte may be asked for that comes only after one.
    answering = False
    # Whether a legacy stream that does not say that it ends is waited for, although no byte past its end may be.
    open_ended = False

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        """A header of schema path `path`; `broken` are the rows of its field rules that do not hold."""

    def record(self, record: Record) -> Program | None:
        """A record's header has been read.  A program returned reads its body, or as much as it wants of it."""
        return None

    def pages(self, run: Run) -> None:
        """Clean PAGE_DATA records."""

    def unread(self, layer: Layer) -> bool:
        """Whether an image's PAGE_DATA records may go by without a look at their entries, where that is faster.

        Then :meth:`passed` may come in the place of :meth:`pages` and :meth:`record`.
        """
        return False

    def passed(self, last: Record, at: int, count: int) -> None:
        """So many PAGE_DATA records in a row, the first at `at`, of which nothing but the headers has been read."""

    def steady(self, record: Record) -> bool:
        """Whether libxc records like `record`, which has just been read, may come together, by :meth:`repeated`.

        Asked of records that others follow which are alike in all but their frame and content.
        """
        return False

    def repeated(self, record: Record, run: Run) -> int:
        """Records like `record`, in a row after it; how many of them are taken.  The others come one by one."""
        return 0

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        """A record's padding is not zero."""

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        """Bytes at `at`, after a dirty list's body, belong into it: its writer put as many before it, uncounted."""

    def ended(self, layer: Layer, at: int) -> None:
        """A layer's END has been read; the layer's bytes stop at `at`."""

    def checkpoint(self, layer: Layer, at: int) -> None:
        """A libxc CHECKPOINT has been read."""

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        """The stream ends at `at`, inside `what`, with `missing` bytes of it outstanding (at least)."""

    def oversize(self, record: Record) -> None:
        """A record claims more than the format allows; reading stops here."""

    def doubted(self, record: Record) -> None:
        """Where `record` begins there may be no record, nor after it: if so, :meth:`framing_lost` follows."""

    def framing_lost(self, record: Record, sample: bytes) -> None:
        """Where `record` begins, the last that was `doubted`, there is none, but what `sample` shows; reading stops."""

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        """A header (or `what`) was not one; reading stops here."""

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        """A container's stream begins at `at` and is `identity`; whether it is `read`, or reading stops there."""

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        """`count` bytes follow the outermost END at `at`; `head` is how they begin, `zero` if all are zero."""
