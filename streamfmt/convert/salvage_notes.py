"""What is noted while a damaged stream is read: how far it is whole, and where and why reading stopped.

The reader's own programs read it.  A record that is not as good writers have it is believed only if records go on where
it ends; else framing is taken for lost there.
"""

from __future__ import annotations

from .. import tables
from ..reader.events import HEADER, Sink
from ..reader.identify import following
from .salvage_search import ENTRIES_MAX, Batch, Item, Place, fits, item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .salvage_frames import Frames
    from .salvage_search import Trail

    # Bytes of the file from one offset to another, what is put in their place, and why.
    Change = tuple[int, int, bytes, str]

# Why reading stopped: framing was lost, the input ended, or a header is none.
LOST, CUT, BEGINNING = "lost", "cut", "header"
CHANGES_MAX = 1 << 16
# So many bytes of a record may be read as one by chance, with another after it.
_SHORT = 64
# What may come before the static data of an image ends, and the record that ends it.
_STATIC = {
    tables.LIBXC_X86_PV_INFO,
    tables.LIBXC_X86_CPUID_POLICY,
    tables.LIBXC_X86_MSR_POLICY,
    tables.LIBXC_STATIC_DATA_END,
}
STATIC_END = "STATIC_DATA_END"


class StopError(Exception):
    """Reading goes no further: `why`, at file offset `at`, where maybe `item` begins."""

    def __init__(self, why: str, at: int, item: Item | None = None, words: str = "") -> None:
        super().__init__(words)
        self.why = why
        self.at = at
        self.item = item
        self.words = words


class State:
    """What has come of all of a stream so far, in however many pieces it is read.

    `seen` counts records by path; `gaps` is how often framing was lost; `changes` is what becomes of records that
    cannot stay as they are.
    """

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.seen: dict[str, int] = {}
        self.gaps = 0
        self.changes: list[Change] = []
        self.records = 0
        self.pages = 0


class Notes(Sink):
    """Listens to one reading of a stream, whose first `base` bytes were put before bytes of the file.

    What lies after them is `delta` bytes further in the file.  `previous` is the last record that was taken, `content`
    the last that ends no layer, `stop` why reading stopped.  `done` are the layers that have come to their end, `rest`
    is where bytes follow the end of all, -1 if none do, and `opened` is whether an image was announced.
    """

    def __init__(self, trail: Trail, state: State, base: int = 0, delta: int = 0) -> None:
        self.trail = trail
        self.state = state
        self.base = base
        self.delta = delta
        self.layers: list[Layer] = []
        self.image: Layer | None = None
        self.previous: Item | None = None
        self.content: Item | None = None
        self.stop: StopError | None = None
        self.headers: dict[str, tuple[int, bytes, Sequence[Any]]] = {}
        self.done: set[str] = set()
        self.what = ""
        self.name = ""
        self.rest = -1
        self.opened = base > 0
        self.pending: Sequence[int] = ()
        self._places: dict[Layer, tuple[Place, ...]] = {}

    # -- layers ---------------------------------------------------------------------------------------------------

    def places(self, layer: Layer) -> tuple[Place, ...]:
        """The image, and the layer around it, that a record of `layer` is read with; none if records are not judged."""
        found = self._places.get(layer)
        if found is None:
            image = layer if layer.row.image else self.image
            if image is None or image.row.alias or not layer.header_size:
                return ()
            outer = image.parent
            around = outer if outer is not None and outer.row.opens and outer.header_size else None
            found = (Place(image), *([Place(around)] if around is not None else []))
            if layer is not image and layer is not around:
                return ()
            self._places[layer] = found
        return found

    def closed(self) -> int:
        """File offset where the last complete checkpoint ended; -1 if there is none."""
        image = self.image
        if image is None:
            return -1
        holder = image.parent if image.parent is not None and image.parent.row.closes else image
        return holder.closed + self.delta if holder.closed > 0 else -1

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer not in self.layers:
            self.layers.append(layer)
        if layer.row.image:
            self.image = layer
        self.headers[path] = at + self.delta if at >= self.base else -1, raw, broken

    def ended(self, layer: Layer, at: int) -> None:
        self.settle()
        self.done.add(layer.name)

    # -- records --------------------------------------------------------------------------------------------------

    def record(self, record: Record) -> Program | None:
        if record.layer not in self.layers:
            self.layers.append(record.layer)
        if record.offset < self.base:
            return None
        places = self.places(record.layer)
        if not places:
            self._before_image(record)
            return None
        number = int(record.layer is not places[0].layer)
        item = item_of(places[number], record, self.delta)
        if item.type == item.place.end:
            if item.length or not self._due(places, number, item):
                raise StopError(LOST, item.offset, item)
            self.settle()
            self.previous = item
            return None
        if self.trail.odd(item):
            self._odd(item, places, number)
            return None
        self._take(item)
        if item.pages:
            self.pending = Batch(self.trail.span, item, self.trail.size).entries
        if item.end > self.trail.size:
            raise StopError(CUT, item.offset, item)
        return None

    def _before_image(self, record: Record) -> None:
        """A record of a container, or of a layer before the image that it holds."""
        row = record.layer.row
        self.opened = self.opened or (record.type in row.opens and fits(record.path, record.length))
        headed = any(path.partition(".")[0] == row.name for path in self.headers)
        if headed and row.closes and row.opens and not self.opened:
            raise StopError(BEGINNING, record.offset + self.delta)

    def _due(self, places: Sequence[Place], number: int, item: Item) -> bool:
        """Whether a layer may end here: all has come that it owes, or what follows can only follow its end."""
        place = places[number]
        if not place.image or place.layer.checkpoints or not self.owed(place.layer):
            return True
        if number + 1 < len(places):
            return self.trail.leads(item.end, places, number + 1, zeros=False, least=1)
        return self.trail.over(item.end, zeros=False)

    def owed(self, layer: Layer) -> list[str]:
        """Paths of records that every saver has sent when it ends the layer, and that have not come."""
        bits = tables.OWED.get(layer.name, {}).get(layer.guest, 0)
        paths = [
            f"{layer.name}.{tables.RECORDS[layer.name][kind]}"
            for kind, bit in tables.BITS[layer.name].items()
            if bit & bits
        ]
        return [path for path in paths if path not in self.state.seen]

    def _take(self, item: Item) -> None:
        self.settle()
        self._static(item.place, item.type, item.offset)
        seen = self.state.seen
        seen[item.path] = seen.get(item.path, 0) + 1
        self.state.records += 1
        item.taken = True
        self.previous = self.content = item

    def _static(self, place: Place, kind: int, at: int) -> None:
        """Where the record that ends the static data got lost, have one before what comes after it."""
        path = f"{place.name}.{STATIC_END}"
        if not self.state.gaps or not place.image or kind in _STATIC or path in self.state.seen:
            return
        if place.layer.version >= tables.LIBXC_VERSION_STATIC:
            self.state.seen[path] = 1
            self.change(at, at, place.header.pack(tables.LIBXC_STATIC_DATA_END, 0), STATIC_END)

    def _odd(self, item: Item, places: Sequence[Place], number: int) -> None:
        """A record that is not as it should be stays, is mended or left out, if others follow it."""
        if item.end > self.trail.size or not self.trail.leads(item.end, places, number, least=1):
            raise StopError(LOST, item.offset, item)
        place, before = item.place, self.content
        fine = fits(item.path, item.length) if item.type in place.known else item.type & place.optional
        if not item.pages and fine:
            self._take(item)
            self.pending = ()
            return
        batch = Batch(self.trail.span, item, self.trail.size)
        if item.pages and (batch.sound or batch.count > ENTRIES_MAX):
            self._take(item)
            self.pending = batch.entries
        elif place.image and batch.sound and batch.clean and batch.pages:
            # Its type was altered: its contents say that it is a batch.
            self._take(Item(place, tables.LIBXC_PAGE_DATA, item.offset, item.length))
            self.pending = batch.entries
            raw = place.header.pack(tables.LIBXC_PAGE_DATA, item.length)
            self.change(item.offset, item.body, raw, "the type of a PAGE_DATA record")
        else:
            if item.length < _SHORT and before is not None and before.pages and before is self.previous:
                # So few bytes may be the end of a record, the bytes before it having got lost in the batch.
                raise StopError(LOST, item.offset, item)
            self.settle()
            self.previous = item
            if item.pages:
                self.state.frames.doubtful(batch.entries)
            what = "its entries" if item.pages else "it"
            self.change(item.offset, item.end, b"", f"{item.name}: {what} cannot be read")

    def change(self, start: int, stop: int, data: bytes, why: str) -> None:
        """Note that bytes of the file cannot stay.  Raises StopError where there are too many such places."""
        if len(self.state.changes) >= CHANGES_MAX:
            raise StopError(CUT, start, None, f"over {CHANGES_MAX:,} records cannot be read")
        self.state.changes.append((start, stop, data, why))

    def pages(self, run: Run) -> None:
        places = self.places(run.layer)
        if not places:
            return
        place = places[0]
        self.settle()
        at = run.offset + self.delta
        self._static(place, tables.LIBXC_PAGE_DATA, at)
        raw = run.raw()
        if run.count > 1:
            self.state.frames.whole(raw[:-1])
            raw = raw[-1:]
        self.pending = raw
        path = f"{place.name}.{place.known[tables.LIBXC_PAGE_DATA]}"
        self.state.seen[path] = self.state.seen.get(path, 0) + run.count
        self.state.records += run.count
        last = at + run.size * (run.count - 1)
        self.previous = self.content = Item(place, tables.LIBXC_PAGE_DATA, last, run.size - HEADER)
        self.previous.taken = True

    def settle(self) -> None:
        """What the last record said of frames is so."""
        if self.pending:
            self.state.frames.whole(self.pending)
            self.pending = ()

    # -- where reading stops ----------------------------------------------------------------------------------------

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        if layer.between_checkpoints(at):
            self.settle()
            return
        places = self.places(layer)
        item = None
        if record is not None and places:
            item = item_of(places[int(layer is not places[0].layer)], record, self.delta)
        if item is None:
            self.settle()
        raise StopError(CUT, self.window.position + self.delta if item is None else item.offset, item)

    def oversize(self, record: Record) -> None:
        self._lose(record)

    def framing_lost(self, record: Record, sample: bytes) -> None:
        self._lose(record)

    def _lose(self, record: Record) -> None:
        places = self.places(record.layer)
        at = record.offset + self.delta
        if self.previous is not None and self.previous.end > at:
            self.previous = None  # it was none either
        item = item_of(places[int(record.layer is not places[0].layer)], record, self.delta) if places else None
        raise StopError(LOST if places else BEGINNING, at, item)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        raise StopError(BEGINNING, at + self.delta)

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if not read:
            self.what = identity.name
            raise StopError(BEGINNING, at + self.delta)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        """After the end there should be nothing; what is there may be more of the stream, after an END that is none."""
        self.rest = at + self.delta
        places = self.places(self.image) if self.image is not None else ()
        if places and self.previous is not None and not following(head, count, zero)[0]:
            end = self.previous
            raise StopError(LOST, self.rest, Item(end.place, end.place.end, self.rest - end.place.header.size, 0))
