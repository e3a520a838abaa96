"""The pages that channels of multifd have, put to those of their main stream, which has been collected before.

What a channel sends between two of its waits may come in any order with what the others, and the main stream, send in
that round; a page of a later round replaces one of an earlier.  So it is kept in which round a frame came.  Of the main
stream a round ends with a word FLUSH, and where it has none with each of its sections (before QEMU 8.1).
Sources: QEMU migration/multifd.c, multifd_send_sync_main and multifd_recv_sync_main; migration/ram.c.
"""

from __future__ import annotations

from _struct import unpack_from
from array import array

from .. import tables
from ..codec.qemu_channel import UnopenedError, Unpacking
from ..codec.qemu_pages import FormError
from ..errors import MalformedError, StreamError
from ..reader.events import Body
from ..reader.qemu_multifd import Channel as Facts
from ..reader.reader import Reader
from ..reader.stops import Stops
from . import qemu
from .contents import ZERO
from .frames import HERE, LEAF, PAGE, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from typing import Any, TypeVar

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .collector import Collector

    Source = TypeVar("Source")

_HEADER, _PLACES = tables.PLACES["qemu-multifd.header"], tables.PLACES["qemu-multifd.PAGES"]
_SIZE = tables.SIZES["qemu-multifd.PAGES"]
_MOST, _UNIT = tables.QEMU_MULTIFD_OFFSETS, tables.UNITS["qemu-multifd.PAGES"][0]
_SYNC, (_SHIFT, _METHODS) = tables.QEMU_MULTIFD_SYNC, tables.QEMU_MULTIFD_METHOD


class Dated(Frames):
    """An index that keeps in which round of a migration each frame came.  Nothing in it is ever undone."""

    __slots__ = ("_rounds",)

    def __init__(self) -> None:
        super().__init__()
        self._rounds: dict[int, array[int]] = {}

    def put(self, pfn: int, value: int) -> None:
        super().put(pfn, value)
        key, slot = divmod(pfn, LEAF)
        self._leaf_of(key)[slot] = self.round

    def put_row(self, pfn: int, count: int, value: int, step: int) -> None:
        super().put_row(pfn, count, value, step)
        while count:
            key, slot = divmod(pfn, LEAF)
            some = min(count, LEAF - slot)
            self._leaf_of(key)[slot : slot + some] = array("Q", [self.round]) * some
            pfn, count = pfn + some, count - some

    def clear(self) -> None:
        super().clear()
        self._rounds.clear()

    def commit(self) -> None:
        pass  # what comes after the end of the main stream belongs to it

    def came(self, pfn: int) -> int:
        """The round in which the frame came last, 0 if it did not."""
        key, slot = divmod(pfn, LEAF)
        return self._rounds[key][slot] if key in self._rounds else 0

    def _leaf_of(self, key: int) -> array[int]:
        found = self._rounds.get(key)
        if found is None:
            found = self._rounds[key] = array("Q", bytes(8 * LEAF))
        return found


def add(
    collector: Collector, channels: Iterable[tuple[str, Source]], drive: Callable[[Source, Reader], object]
) -> None:
    """Add to what a collector, whose frames are :class:`Dated`, has found in a main stream what its channels have.

    They are what to call them, and what `drive` then drives into a reader.  What is wrong is the collector's damage.
    """
    pages, frames, rounds = collector.follower, collector.frames, collector.frames.round
    assert isinstance(frames, Dated), "it is to keep in which round frames came"
    if not isinstance(pages, qemu.Pages) or pages.block is None:
        if collector.damage is None:
            collector.lose(MalformedError(0, "it is no migration of QEMU, so no channels belong to it"))
        return
    done: list[Channel] = []
    for name, source in channels:
        channel = Channel(name, pages, frames)
        drive(source, channel.reader)
        channel.end(rounds if collector.damage is None else None)
        if channel.damage is not None:
            collector.lose(channel.damage)
        done.append(channel)
    ids = sorted(channel.id for channel in done)
    if ids != list(range(len(ids))):
        said = ", ".join(map(str, ids))
        collector.lose(MalformedError(0, f"the channels have the numbers {said}; those of one migration go from 0 on"))
    if len({channel.uuid for channel in done}) > 1:
        collector.lose(MalformedError(0, "the channels are of several guests"))


class Channel(Stops):
    """Takes the pages of a channel, called `name`; `reader` is what to drive, and `damage` what is wrong with it."""

    def __init__(self, name: str, pages: qemu.Pages, frames: Dated) -> None:
        super().__init__()
        self.reader = Reader(self)
        self.damage: StreamError | None = None
        self.id = -1
        self.uuid = b""
        self._name = name
        self._round = 0
        self._pages = pages
        self._frames = frames
        self._unpacking: Unpacking | None = None
        self._lost = False

    def end(self, rounds: int | None) -> None:
        """The channel has been read, or as much of it as can be; its main stream has so many rounds, if that is known.

        A loader waits for ever if they are not as many.
        """
        identity, at = self.reader.identity, self.reader.window.position
        if self.failure is not None:
            self._wrong(at, str(self.failure))
        elif self.id < 0:
            self._wrong(0, f"it is no channel of multifd{f': {identity.name}' if identity is not None else ''}")
        elif rounds is not None and self._round != rounds:
            here = f"it waits {self._round:,} time{'s' * (self._round != 1)}, and the main stream {rounds:,}"
            self._wrong(at, f"{here}: they are not of one migration, or not whole")

    def _wrong(self, at: int, what: str) -> None:
        self.damage = self.damage or MalformedError(at, f"channel {self._name}: {what}")

    # -- events ----------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if isinstance(layer.facts, Facts):
            place, size = _HEADER["uuid"]
            self.uuid, self.id = raw[place : place + size], raw[_HEADER["id"][0]]

    def record(self, record: Record) -> Program | None:
        pages = isinstance(record.layer.facts, Facts) and record.type == tables.QEMU_MULTIFD_PAGES
        return self._packet(Body(self.reader.window, record)) if pages else None

    def _packet(self, body: Body) -> Program:
        """Program of a packet of pages."""
        record = body.record
        raw = yield from body.take(_SIZE)
        offsets = yield from body.take(_UNIT * _MOST)
        if len(offsets) < _UNIT * _MOST:
            return
        flags, normal, zero = (_number(raw, name) for name in ("flags.sync", "normal_pages", "zero_pages"))
        place, size = _PLACES["block"]
        if normal + zero > _MOST:
            self._wrong(record.offset, f"a packet has {normal + zero:,} pages, the most is {_MOST}")
            self._lost = True
        elif normal + zero:
            name = raw[place : place + size].partition(b"\0")[0]
            found = yield from self._content(body, normal, flags >> _SHIFT & _METHODS)
            if not self._pages.lists(name):
                self._wrong(record.offset, "a packet has pages of a block that the main stream does not list")
            elif found is not None and name == self._pages.block:
                self._take(record, unpack_from(f">{normal + zero}Q", offsets), found)
        self._round += bool(flags & _SYNC)

    def _content(self, body: Body, normal: int, method: int) -> Generator[int, int, bytes | None]:
        """Program that reads the pages with content of a packet; None if that cannot be."""
        size, at = normal * PAGE, body.at
        if not normal:
            return b""
        if not method:
            raw = yield from body.take(size)
            if len(raw) == size and not body.left:
                return raw
            self._wrong(at, f"a packet does not have the {size:,} bytes of its pages")
            return None
        if self._lost:
            return None
        found = bytearray()
        try:
            stream = self._unpacking = self._unpacking or Unpacking(method)
            if stream.method != method:
                raise FormError(0, f"pages that are not compressed with {stream.name}, as those before are")
            stream.begin(size)
            while raw := (yield from body.piece()):
                found += stream.more(raw)
            if body.left:
                return None
            stream.end()
        except FormError as error:
            self._wrong(at + error.at, f"a packet has {error}")
            self._lost = True
        except UnopenedError as error:
            self._wrong(at, str(error))
            self._lost = True
        return None if self._lost else bytes(found)

    def _take(self, record: Record, offsets: Sequence[int], data: bytes) -> None:
        """Take pages of the block that is the memory, of which the last are zero pages."""
        frames = self._frames
        rows: list[tuple[int, int]] = []
        kept: list[bytes] = []
        frames.at, frames.round = record.offset, self._round
        frames.entries += len(offsets)
        for number, offset in enumerate(offsets):
            frame = self._pages.frame(offset)
            if frame is None:
                self._wrong(record.offset, f"a packet has a page at {offset:#x}, and its block none there")
                continue
            if frames.came(frame) > self._round:
                continue
            page = data[number * PAGE : (number + 1) * PAGE]
            if page and page != ZERO:
                rows.append((frame, 0))
                kept.append(page)
            else:
                frames.put(frame, HERE)
        if rows:
            self._pages.contents.keep(frames, rows, b"".join(kept))


def _number(raw: bytes, name: str) -> int:
    place, size = _PLACES[name]
    return int.from_bytes(raw[place : place + size], "big")
