"""From a damaged stream everything that is whole: a conforming stream where that is possible, and what is missing.

The input is read as far as it goes; where framing is lost, the next record that others follow is searched for, and
reading goes on there after headers like those before.  What is to be written is a list of stretches of the input with
bytes of ours between: no page passes through here.
"""

from __future__ import annotations

import re

from .. import tables
from ..io.sources import drive
from ..io.spans import SpanSource
from ..io.spliced import Spliced
from ..reader.damage import TEXT_MODE, recoded
from ..reader.reader import Reader
from ..reader.registry import READ
from . import salvage_legacy
from .salvage_headers import headless, resume
from .salvage_notes import BEGINNING, CUT, Notes, StopError
from .salvage_search import Batch, Item, Place
from .salvage_state import Gap, Salvaged, UnsalvageableError, frames_in, prefix_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.identify import Identity

GAPS_MAX = 1000
# Bytes that show whether a file was transferred as text, and how many lines have to end in them.
_TEXT, _LINES = 4 << 20, 16
# Versions of Xen that a sound header has, but for those of the converter.
_XEN_FIRST, _XEN_LAST, _MINORS = 3, 5, 64

# What is searched for records, beside what is read; all else is something.
_SEARCHED = ("damaged", "unknown")
_ANOTHER = "look for another copy of the file"
_UNSEEN = "its records do not say where they end, so none can be found again"


class Salvage(Salvaged):
    """Goes through a file; everything is known when :meth:`run` has returned."""

    # -- the way through the file ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Find what can be had.  Raises UnsalvageableError and UnreadableError."""
        start, prefix, form = 0, b"", self.form
        notes = self._read(start, prefix, form)
        if any(layer.row.alias for layer in notes.layers) and (notes.stop is not None or notes.rest >= 0):
            salvage_legacy.run(self)
            return
        while notes.stop is not None:
            if any(layer.row.headless for layer in notes.layers):
                raise UnsalvageableError(f"it is a damaged {notes.name}: {_UNSEEN}", _ANOTHER)
            self._refuse_text()
            if len(self.gaps) >= GAPS_MAX:
                self._lose(notes, start, Gap(notes.stop.at, None, f"there are over {GAPS_MAX:,} gaps before it"))
                break
            self.learn(notes)
            found = self._on(notes, start)
            if found is None:
                break
            start, prefix, form = found
            self.state.gaps += 1
            notes = self._read(start, prefix, form)
        else:
            self.to_end(notes, start)
        self.layers = notes.layers
        self.learn(notes)
        self.image = notes.image
        if notes.stop is not None and self.checkpoint < 0:
            self._close(notes)
        self.owed = notes.owed(notes.image) if notes.image is not None else []
        if not self.pieces.copied or (not self.state.seen and self.gaps):
            raise UnsalvageableError("no record in it is whole", _ANOTHER)

    def _read(self, start: int, prefix: bytes, form: str) -> Notes:
        """Read the file from `start` on, after `prefix`."""
        notes = Notes(self.trail, self.state, len(prefix), start - len(prefix))
        span = Spliced(self.fd, self.size, [(0, start, prefix)] if start or prefix else [])
        reader = Reader(notes, form, guest=self.guest)
        try:
            drive(reader.pump, SpanSource(span), self.progress)
        except StopError as stop:
            notes.stop = stop
        finally:
            reader.close()
        identity = reader.identity
        notes.name = identity.name if identity is not None else ""
        if identity is not None and identity.key not in READ:
            self._refuse(start, identity)
            notes.what = identity.name
            notes.stop = StopError(BEGINNING, start)
        if notes.stop is None:
            notes.settle()
        return notes

    def _refuse(self, start: int, identity: Identity) -> None:
        """Refuse what no search helps with.  Raises UnsalvageableError."""
        if identity.width:
            raise UnsalvageableError(salvage_legacy.HEADLESS, salvage_legacy.HINT)
        if identity.kind not in _SEARCHED:
            raise UnsalvageableError(f"it is {identity.name}", identity.hint or _ANOTHER)
        if found := recoded(self.span.read(start, 4096)):
            name, says, hint, _ = found
            raise UnsalvageableError(f"{name} of which bytes were changed all over: {says}", hint)

    def _refuse_text(self) -> None:
        """Refuse a file in which no line feed stands alone: a transfer as text made CR LF of each."""
        head = self.span.read(0, _TEXT)
        lines = head.count(b"\n")
        if self.gaps or lines < _LINES or head.count(b"\r\n") < lines:
            return
        if len(re.findall(rb"[^\t\n\r -~]\r\n", head)) >= _LINES // 4:  # not only lines of text
            raise UnsalvageableError(
                "each line feed in it became CR LF on the way: bytes were added all over", TEXT_MODE
            )

    def _on(self, notes: Notes, start: int) -> tuple[int, bytes, str] | None:
        """Where and how to read on; None if what there is has been noted, and no more is to come."""
        stop = notes.stop
        assert stop is not None, "it is asked for only then"
        closed = notes.closed()
        if closed >= 0:
            # What comes after the last complete checkpoint means nothing without the rest of its own.
            self.keep(start, closed)
            self.checkpoint = closed
            self.gaps.append(Gap(closed, None, "the stream is damaged after its last complete checkpoint"))
            return None
        if self._apart(notes, start):
            return None
        if stop.why == BEGINNING:
            return resume(self, notes, start)
        if stop.why == CUT:
            return self._cut(notes, start)
        item = stop.item
        assert item is not None, "a record was doubted"
        if notes.rest >= 0:
            return self._after(notes, start, item)
        suspect = notes.previous
        if self.trail.proven(item, notes.places(item.place.layer)):
            suspect = item
        elif suspect is not None and suspect.place.image and suspect.empty and not item.place.image:
            # Zeros in what should have come before it may have been taken for the image's end.
            suspect = notes.content
        if suspect is not None and suspect is not item and self.trail.tiled(suspect):
            suspect = None
        elif suspect is not notes.previous and suspect is not item:
            notes.done.clear()
        return self._past(notes, start, suspect, item)

    def _apart(self, notes: Notes, start: int) -> bool:
        """Whether what stopped reading is only around a stream that is whole: then that is what there is."""
        outer = notes.layers[0] if notes.layers else None
        inner = notes.layers[1].name if outer is not None and len(notes.layers) > 1 else ""
        image = notes.image
        if outer is None or image is None or not outer.row.text or image.name not in notes.done or notes.stop is None:
            return False
        if image.parent is not None and image.parent.row.closes and image.parent.name not in notes.done:
            return False
        self.bare = True
        self.keep(max(start, notes.headers[f"{inner}.{notes.layers[1].row.headers[0]}"][0]), notes.stop.at)
        self.gaps.append(Gap(notes.stop.at, None, f"what {outer.name} has after the stream is damaged, or missing"))
        return True

    def _cut(self, notes: Notes, start: int) -> tuple[int, bytes, str] | None:
        """The input ends."""
        stop = notes.stop
        assert stop is not None, "it is asked for only then"
        item = stop.item
        if item is None:
            words = stop.words or "the input ends here"
            self._lose(notes, start, Gap(stop.at, None, words))
            return None
        found = self.trail.find(item.offset + 1, notes.places(item.place.layer), whole=True)
        if found is not None:
            return self._past(notes, start, item, item, found)
        if item.pages and not notes.owed(item.place.layer):
            # All has come that there is to come, so bytes may have got lost in this one, and its end is the image's.
            self._past(notes, start, item, item, (self.size, 0))
            self.gaps[-1].stop, self.gaps[-1].why = None, "the input ends inside this record"
            return None
        self._forget(notes, item)
        self.keep(start, item.offset)
        what = self._part(notes, item, self.size) if item.pages else ""
        self.gaps.append(Gap(item.offset, None, "the input ends inside this record", item.name, what))
        return None

    def _after(self, notes: Notes, start: int, end: Item) -> tuple[int, bytes, str] | None:
        """Something nothing is known of follows the end of all; if it is the rest of the guest's state it was none."""
        found, previous = None, notes.content
        places = notes.places(end.place.layer)
        if previous is not None:
            found = self.trail.find(previous.offset + 1, places, whole=True)
        item = self.trail.item(found[0], places[found[1]]) if found is not None else None
        if item is None or item.pages:
            headless(self, notes)
            self.to_end(notes, start)
            return None
        notes.done.clear()
        return self._past(notes, start, previous, end, found)

    def _past(
        self, notes: Notes, start: int, suspect: Item | None, item: Item, found: tuple[int, int] | None = None
    ) -> tuple[int, bytes, str] | None:
        """Framing was lost in `suspect`, or after it where `item` should begin."""
        if suspect is None and self._unlikely(notes, start):
            return resume(self, notes, start)
        places = notes.places(item.place.layer)
        batch = Batch(self.span, suspect, self.size) if suspect is not None and suspect.pages else None
        inside = found is None and item.place.image and len(places) > 1
        if inside and self.trail.leads(item.offset, places, 1, zeros=False, least=1):
            # Only the image's end is missing.
            suspect, batch, found = None, None, (item.offset, 1)
        if found is None and batch is not None and batch.known and self.trail.leads(batch.end, places, 0):
            found = batch.end, 0
        if found is None:
            found = self.trail.find((suspect or item).offset + 1, places)
        if self._altered(item, found):
            suspect = None
        at, number = found or (self.size, 0)
        cut = item.offset if suspect is None else suspect.offset
        words = f"no record begins at {item.offset:,}"
        gap = Gap(cut, at if found else None, words, suspect.name if suspect is not None else "")
        self.gaps.append(gap)
        if suspect is None or suspect.empty:
            notes.settle()
            self.keep(start, item.offset)
        else:
            if suspect is item:
                notes.settle()
            self._forget(notes, suspect)
            self.keep(start, suspect.offset)
            gap.what = self._doubt(notes, suspect, batch, at, gap)
        if found is None:
            return None
        checkpoint = number > 0 and self.trail.closing(at, places[number])
        if number:
            self._end_image(notes, places[0], checkpoint)
        return at, prefix_of(notes, places, number, checkpoint), "auto"

    def _end_image(self, notes: Notes, place: Place, checkpoint: bool) -> None:
        """Before records of the layer around it the image ends, or closes a checkpoint."""
        kind = place.closes if checkpoint and place.closes is not None else place.end
        path = f"{place.name}.{place.known[kind]}"
        if place.name in notes.done or path in self.state.seen:
            return
        self.pieces.put(place.ending(checkpoint))
        self.made.append(path.replace(".", " "))
        self.state.seen[path] = 1

    def _altered(self, item: Item, found: tuple[int, int] | None) -> bool:
        """Whether `item` is the record that ends its layer, which was altered: it lies just where that should."""
        after = item.offset + item.place.header.size
        if found is None:
            return after == self.size
        return found == (after, 2 - item.place.image)

    def _unlikely(self, notes: Notes, start: int) -> bool:
        """Whether an image's headers, after which no record came, are not right either; then reading stopped there."""
        image = notes.image
        if image is None:
            return False
        first, last = (f"{image.name}.{name}" for name in image.row.headers)
        at, (_, _, broken) = notes.headers[first][0], notes.headers.get(last, (0, b"", ("cut",)))
        if at < start or (not broken and _XEN_FIRST <= image.xen[0] <= _XEN_LAST and image.xen[1] < _MINORS):
            return False
        notes.stop = StopError(BEGINNING, at)
        return True

    # -- what is doubtful -----------------------------------------------------------------------------------------

    def _forget(self, notes: Notes, item: Item) -> None:
        """That a record came, which is left out after all."""
        for known in (notes.previous, notes.content):
            if known is not None and known.offset == item.offset and known.taken:
                known.taken = False
                seen = self.state.seen
                seen[known.path] -= 1
                if not seen[known.path]:
                    del seen[known.path]
                self.state.records -= 1

    def _remember(self, item: Item) -> None:
        self.state.seen[item.path] = self.state.seen.get(item.path, 0) + 1
        self.state.records += 1

    def _doubt(self, notes: Notes, suspect: Item, batch: Batch | None, at: int, gap: Gap) -> str:
        """What becomes of a record that damage is in, or follows; its frames in words."""
        notes.pending = ()
        if batch is None:
            gap.kept = self.doubtful and suspect.end <= at
            if gap.kept:
                self.pieces.copy(suspect.offset, suspect.end)
                self._remember(suspect)
            return ""
        if not batch.known:
            return ""
        if at == batch.end and not batch.sound:
            # Only its header was altered.
            self._whole(suspect, batch)
            gap.kept = True
            return ""
        if self.doubtful:
            gap.kept = True
            return self._part(notes, suspect, min(at, batch.end), certain=False)
        self.frames.doubtful(batch.entries)
        return frames_in(batch.entries)

    def _whole(self, item: Item, batch: Batch) -> None:
        """A batch, after a header that is made anew."""
        self.pieces.put(item.place.header.pack(tables.LIBXC_PAGE_DATA, batch.length))
        self.pieces.copy(item.body, batch.end)
        self.made.append(f"the header of a {item.name} record")
        self.frames.whole(batch.entries)
        self._remember(item)

    def _part(self, notes: Notes, item: Item, stop: int, certain: bool = True) -> str:
        """The first pages of a batch, as far as they are whole before `stop`, after a new header and their entries."""
        notes.pending = ()
        batch = Batch(self.span, item, self.size)
        if not batch.known:
            return ""
        pages = min(max(stop - batch.contents, 0) // tables.PAGE_SIZE, batch.pages)
        entries = batch.first(pages) if batch.contents <= stop else ()
        self.frames.doubtful(batch.entries[len(entries) :])
        (self.frames.whole if certain else self.frames.doubtful)(entries)
        if entries:
            length = batch.contents - item.body - 8 * (batch.count - len(entries)) + pages * tables.PAGE_SIZE
            head = len(entries).to_bytes(4, item.place.layer.byte_order) + bytes(4)
            self.pieces.put(item.place.header.pack(tables.LIBXC_PAGE_DATA, length) + head)
            self.pieces.copy(item.body + len(head), item.body + len(head) + 8 * len(entries))
            self.pieces.copy(batch.contents, batch.contents + pages * tables.PAGE_SIZE)
            self.made.append(f"the header of a {item.name} record of {len(entries):,} entries")
            self._remember(item)
        return frames_in(batch.entries[len(entries) :] if certain else batch.entries)

    # -- the pieces -----------------------------------------------------------------------------------------------

    def _lose(self, notes: Notes, start: int, gap: Gap) -> None:
        """All from the gap on."""
        notes.settle()
        self.keep(start, gap.start)
        self.gaps.append(gap)

    def _close(self, notes: Notes) -> None:
        """The records that end the layers which have not come to their end."""
        if notes.image is None:
            return
        for place in notes.places(notes.image):
            if place.name not in notes.done:
                self.pieces.put(place.ending())
                self.made.append(f"{place.name} {place.known[place.end]}")
