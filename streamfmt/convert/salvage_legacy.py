"""From a damaged legacy stream (Xen 3.0 to 4.5) all batches of pages and chunks that are whole, in the same form.

Nothing in a legacy stream says how long it is, and a chunk begins with no more than a number.  So what may be one
counts only if reading on from it, after the stream's own head, leads out of any batch that there is, or to the
stream's end: the reader itself goes on there.  The head, which says how many frames the guest has, and of a PV guest
where its table of frames is, has to be whole; and so has the end, with the state of the vcpus, unless a whole
checkpoint came before.
"""

from __future__ import annotations

import re
from struct import pack, unpack_from

from .. import tables
from ..io.sources import drive
from ..io.spans import SpanSource
from ..io.spliced import Spliced
from ..reader import legacy_pages
from ..reader.events import Sink
from ..reader.identify import following
from ..reader.reader import Reader
from .salvage_search import LEAP
from .salvage_state import Gap, UnsalvageableError, frames_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program
    from .salvage_frames import Frames
    from .salvage_state import Salvaged

GAPS_MAX = 1000
# Places where reading on is tried.
TRIES_MAX = 1 << 12
_PIECE, _OVERLAP, _TAIL = 1 << 20, 64, 64
_CONTEXT = tables.LEGACY_HVM_BEGINS
# Where it lies after the number that ends a body.
_CONTEXT_AT = legacy_pages.COUNT + tables.LEGACY_HVM_CONTEXT_AT
_PV = "pv"
_VERIFY = tables.LEGACY_ENABLE_VERIFY_MODE
# Of fewer entries a batch may be read by chance out of others' pages; so many of them are unsure, one after the other.
_FEW, _CHANCES = 16, 3
# Chunks that say that pages are compared from there on: one is enough.
_VERIFYING = 4
# A chunk that is read takes as long as so many places, as a power of 2.
_DEAR = 3
# So many entries, as a power of 2, take as long to look at as a place where none are.
_EASE = 5
# What a batch begins with, as far as its first entry: the number of entries, from 1 to the most.
_COUNTS = (rb"[\x01-\xff](?=\x00", rb"[\x00-\xff](?=[\x01-\x03]", rb"\x00(?=\x04")
_FIRST = {4: rb"\x00\x00....)", 8: rb"\x00\x00....\x00\x00\x00\x00)"}
# Why nothing is had of one without its head.
HEADLESS = "it is a legacy stream (Xen 3.0 to 4.5) whose head is damaged: what guest it has is not known"
HINT = "look for another copy of the file"


class StopError(Exception):
    """Reading goes no further than offset `at` of what is read; `enough` if it was to go no further."""

    def __init__(self, at: int, why: str = "", enough: bool = False) -> None:
        super().__init__(why)
        self.at = at
        self.why = why
        self.enough = enough


class Walk(Sink):
    """Listens to one reading, whose first `base` bytes stand before those that lie `delta` bytes further in the file.

    `unsure` are the last batches, of which what follows does not show that they were whole: where each begins, and its
    entries; those before are noted in `frames`.  `body` is where the head ends, `closed` where the last whole
    checkpoint does, and `over` where the stream does.  If it is `inside` a layer of records, these follow its end.
    """

    device_model = True

    def __init__(self, frames: Frames | None, size: int, base: int, delta: int, least: int) -> None:
        self.frames = frames
        self.size = size
        self.base = base
        self.delta = delta
        self.least = least
        self.layers: list[Layer] = []
        self.image: Layer | None = None
        self.unsure: list[tuple[int, Sequence[int]]] = []
        self.seen: dict[str, int] = {}
        self.chunks = self.body = self.verifying = 0
        self.inside = False
        self.end_at = -1
        self.closed = -1
        self.over = -1

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer not in self.layers:
            self.layers.append(layer)
        if layer.row.alias:
            self.image = layer
            self.body = at + len(raw)

    def settle(self, most: int = 0) -> None:
        """All batches but so many are whole."""
        sure = self.unsure[: len(self.unsure) - most]
        del self.unsure[: len(sure)]
        if self.frames is not None:
            for _, entries in sure:
                self.frames.whole(entries)

    def pages(self, run: Run) -> None:
        if run.offset < self.base:
            return
        self._comes(run.offset, run.record().path)
        self.settle(0 if run.entries >= _FEW else _CHANCES - 1)
        self.unsure.append((run.offset + self.delta, run.raw()))

    def _comes(self, at: int, path: str) -> None:
        self.chunks += 1
        self.seen[path] = self.seen.get(path, 0) + 1
        if self.least and at - self.base > self.least:
            raise StopError(at, enough=True)

    def record(self, record: Record) -> Program | None:
        layer, kind, at = record.layer, record.type, record.offset
        if layer is not self.image:
            if self.inside and kind in tables.RECORDS[layer.name]:
                # It follows the image's end.
                self.settle()
            return None
        if kind in (tables.LEGACY_EXTENDED_INFO, tables.LEGACY_P2M_FRAME_LIST):
            self.body = record.end
            return None
        if at < self.base:
            return None
        if kind == tables.LEGACY_PAGE_BATCH:
            raise StopError(at, f"what begins at {at + self.delta:,} is no batch of pages that a guest has")
        if kind == _VERIFY:
            # Of ones in a row there are many in pages, and no stream turns to verifying again and again.
            self.verifying += 1
            if self.verifying > _VERIFYING:
                raise StopError(at, f"no chunk begins at {at + self.delta:,}")
        if kind == tables.LEGACY_END_OF_BODY:
            self.end_at = at
        if kind == tables.LEGACY_HVM_CONTEXT:
            return self._context(record)
        if kind < 0 and kind in tables.RECORDS[layer.name] and kind != _VERIFY:
            # Its number shows that it is one; of zeros, and of ones in a row, there are many in pages.
            self.settle()
        self._comes(at, record.path)
        return None

    def _context(self, record: Record) -> Program:
        size = tables.SIZES[record.path]
        if not (yield size + len(_CONTEXT)) or self.window.head(size + len(_CONTEXT))[size:] != _CONTEXT:
            raise StopError(max(self.end_at, 0), f"what ends at {self.end_at + self.delta:,} is no body")
        self.settle()
        self._comes(record.offset, record.path)

    def checkpoint(self, layer: Layer, at: int) -> None:
        self.settle()
        self.closed = at + self.delta

    def ended(self, layer: Layer, at: int) -> None:
        if layer is self.image and layer.parent is not None and layer.parent.header_size:
            self.inside = True
            return
        if layer is not self.image and not self.inside:
            return
        place, left = at + self.delta, self.size - at - self.delta
        if left and not self._trailing(left):
            raise StopError(max(self.end_at, 0), f"{left:,} bytes follow what would be the stream's end")
        self.settle()
        self.over = place

    def _trailing(self, left: int) -> bool:
        head = self.window.head(min(_TAIL, self.window.hi - self.window.lo))
        return left < LEAP and following(head, left, not any(head))[0]

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        if layer.between_checkpoints(at):
            self.settle()
            self.over = at + self.delta
            return
        raise StopError(at if record is None else record.offset, "the input ends here")

    def oversize(self, record: Record) -> None:
        raise StopError(record.offset, f"no chunk begins at {record.offset + self.delta:,}")

    def framing_lost(self, record: Record, sample: bytes) -> None:
        self.oversize(record)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        raise StopError(at, f"no chunk begins at {at + self.delta:,}")


def run(found: Salvaged) -> None:
    """Find what can be had of a legacy stream.  Raises UnsalvageableError and UnreadableError."""
    walk, stop = _read(found, 0, b"", 0)
    image = walk.image
    if image is None or image.guest is None or not walk.body or (stop is not None and stop.at < walk.body):
        raise UnsalvageableError(HEADLESS, HINT)
    found.guest = image.guest
    head, start, tries = found.span.read(0, walk.body), 0, [TRIES_MAX]
    form = found.form if found.form != "auto" or walk.layers[0] is not image else image.name
    while stop is not None:
        _note(found, walk)
        if walk.closed >= 0:
            found.pieces.copy(start, walk.closed)
            found.checkpoint = walk.closed
            found.gaps.append(Gap(walk.closed, None, "the stream is damaged after its last complete checkpoint"))
            break
        cut, name, what = stop.at + walk.delta, "", ""
        if walk.unsure:
            cut, name = walk.unsure[0][0], "PAGE_BATCH"
            entries = [entry for _, some in walk.unsure for entry in some]
            what = frames_in(entries)
            found.frames.doubtful(entries)
        place = None
        if len(found.gaps) < GAPS_MAX:
            place = _onward(found, image, head, form, max(cut, walk.body) + 1, tries)
        found.pieces.copy(start, max(cut, start))
        found.gaps.append(Gap(max(cut, start), place, str(stop), name, what))
        if found.doubtful and walk.unsure:
            found.gaps[-1].kept = _part(found, *walk.unsure[0], image.facts.word, place or found.size)
        if place is None:
            break
        start = place
        walk, stop = _read(found, start, head, 0, form)
    else:
        _note(found, walk)
        found.pieces.copy(start, found.size)
    found.layers, found.image = walk.layers, walk.image
    if not found.pieces.copied or (not found.state.seen and found.gaps):
        raise UnsalvageableError("no batch of pages in it is whole", "look for another copy of the file")


def _part(found: Salvaged, at: int, entries: Sequence[int], word: int, stop: int) -> bool:
    """The first pages of a batch, as many as lie before `stop`, after their entries; whether there are any."""
    begin = at + legacy_pages.COUNT
    contents = begin + word * len(entries)
    pages = count = 0
    for entry in entries:
        paged = entry >> tables.ENTRY_TYPE_SHIFT not in tables.LEGACY_NO_DATA
        if contents + (pages + paged) * tables.PAGE_SIZE > stop:
            break
        pages, count = pages + paged, count + 1
    if count:
        found.pieces.put(pack("<I", count))
        found.pieces.copy(begin, begin + word * count)
        found.pieces.copy(contents, contents + pages * tables.PAGE_SIZE)
        found.made.append(f"the number of entries of a batch, {count:,}")
    return count > 0


def _note(found: Salvaged, walk: Walk) -> None:
    for path, count in walk.seen.items():
        found.state.seen[path] = found.state.seen.get(path, 0) + count
        found.state.records += count


def _read(
    found: Salvaged, start: int, head: bytes, least: int, form: str | None = None
) -> tuple[Walk, StopError | None]:
    """Read the file from `start` on, after `head`, to its end or `least` bytes far; why reading stopped."""
    walk = Walk(None if least else found.frames, found.size, len(head), start - len(head), least)
    span = Spliced(found.fd, found.size, [(0, start, head)] if head else [])
    reader = Reader(walk, form or found.form, guest=found.guest)
    try:
        drive(reader.pump, SpanSource(span), None if least else found.progress)
    except StopError as stop:
        return walk, stop
    finally:
        reader.close()
    if not least and walk.over < 0:
        return walk, StopError(span.size, "the input ends here")
    walk.settle()
    return walk, None


def _onward(found: Salvaged, image: Layer, head: bytes, form: str, begin: int, tries: list[int]) -> int | None:
    """The first place from `begin` on where chunks of the stream go on."""
    for at, whole in _places(found, image, begin):
        tries[0] -= 1
        if tries[0] < 0:
            return None
        walk, stop = _read(found, at, head, LEAP, form)
        found.trail.steps -= walk.chunks << _DEAR
        reached = walk.over >= 0 if stop is None else stop.enough and not whole
        if reached and walk.chunks:
            return at
    return None


def _places(found: Salvaged, image: Layer, begin: int) -> Iterator[tuple[int, bool]]:
    """Where a chunk may begin; and whether from there it has to be read to the end of the stream."""
    word = image.facts.word
    counted = re.compile(b"|".join(count + _FIRST[word] for count in _COUNTS), re.DOTALL)
    numbers = b"|".join(re.escape(pack("<i", kind)) for kind in tables.RECORDS[image.name] if kind < _VERIFY)
    others = re.compile(numbers + b"|" + re.escape(_CONTEXT))
    at = begin
    while at < found.size:
        piece = found.span.read(at, _PIECE + _OVERLAP)
        hits = [(at + hit.start(), False) for hit in counted.finditer(piece)]
        for hit in others.finditer(piece):
            # Before an HVM context lie its length, the tail's frames and the end of the body.
            context = hit[0] == _CONTEXT
            hits.append((at + hit.start() - _CONTEXT_AT if context else at + hit.start(), True))
        for place, whole in sorted(hits):
            found.trail.steps -= 1
            if found.trail.steps <= 0:
                return
            if begin <= place < at + _PIECE and (whole or _leads(found, image, place)):
                yield place, whole
        at += _PIECE


def _leads(found: Salvaged, image: Layer, at: int) -> bool:
    """Whether a batch may begin there, and a chunk after it."""
    end = _batch(found, image, at)
    if not end:
        return False
    number = int.from_bytes(found.span.read(end, legacy_pages.COUNT), "little", signed=True)
    if number > 0:
        return number <= tables.LEGACY_BATCH_MAX and _batch(found, image, end) > 0
    if not number and image.guest != _PV:
        return found.span.read(end + _CONTEXT_AT, len(_CONTEXT)) == _CONTEXT
    return number in tables.RECORDS[image.name]


def _batch(found: Salvaged, image: Layer, at: int) -> int:
    """Where a batch ends that begins there, by all of its entries; 0 if none does."""
    word, kinds = image.facts.word, tables.LEGACY_TYPES[image.guest or _PV]
    raw = found.span.read(at, legacy_pages.COUNT + word * tables.LEGACY_BATCH_MAX)
    count = int.from_bytes(raw[: legacy_pages.COUNT], "little")
    found.trail.steps -= count >> _EASE
    data = raw[legacy_pages.COUNT : legacy_pages.COUNT + word * count]
    if len(data) < word * count or any(any(data[place::word]) for place in range(legacy_pages.TOP + 1, word)):
        return 0
    entries = legacy_pages.as_image(unpack_from(f"<{count}{legacy_pages.CODES[word]}", data))
    pages = 0
    for entry in entries:
        kind = entry >> tables.ENTRY_TYPE_SHIFT
        if kind not in kinds or (kind != tables.LEGACY_XTAB and entry & tables.ENTRY_PFN_MASK >= image.facts.p2m_size):
            return 0
        pages += kind not in tables.LEGACY_NO_DATA
    end: int = at + legacy_pages.COUNT + word * count + pages * tables.PAGE_SIZE
    return end
