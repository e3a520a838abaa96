"""Conversion of what a legacy stream says of a guest's memory."""

from __future__ import annotations

from struct import pack, unpack

from .. import tables
from ..reader.events import LIST_PIECE
from ..reader.legacy_pages import CODES, COUNT, TOP, as_image, row_as_image
from . import records
from .compressed import Decoder, UnknownPageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reader.events import Record
    from ..reader.pump import Program
    from .legacy import Part

_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_LEVELS = dict(tables.PV_COMBINATIONS)
# The byte of an entry that has its type, where that is one that stays as it is.
_KEPT = bytes(top for top in range(256) if top >> 4 not in (tables.LEGACY_XTAB, tables.LEGACY_PAGEDTAB))
_ENTRY = tables.UNITS["libxc.PAGE_DATA"][0]
_FRAME = tables.UNITS["libxc.X86_PV_P2M_FRAMES"][0]


def extended_info(part: Part, record: Record) -> None:
    """What kind of guest it is: all that is said of that is its width."""
    _inform(part, record.offset, "MAP-PV-INFO")


def _inform(part: Part, at: int, rule: str) -> None:
    width = part.facts.width
    part.put(at, records.record(tables.LIBXC_X86_PV_INFO, pack("<BB6x", width, _LEVELS[width])))
    part.put(at, records.record(tables.LIBXC_STATIC_DATA_END))
    part.note(rule, at)
    part.informed = True


def frame_list(part: Part, record: Record) -> Program:
    """The frames of the guest's own P2M."""
    if not part.informed:
        _inform(part, record.offset, "MAP-NO-EXTINFO")
    word, body = part.facts.word, part.body(record)
    length = tables.SIZES["libxc.X86_PV_P2M_FRAMES"] + _FRAME * part.facts.frames
    head = records.header(tables.LIBXC_X86_PV_P2M_FRAMES, length) + pack("<II", 0, part.facts.p2m_size - 1)
    part.put(record.offset, head)
    part.note("MAP-P2M", record.offset)
    while raw := (yield from body.piece(word, LIST_PIECE)):
        frames = unpack(f"<{len(raw) // word}{CODES[word]}", raw)
        part.put(body.at - len(raw), raw if word == _FRAME else pack(f"<{len(frames)}Q", *frames))


def batch(part: Part, record: Record) -> Program:
    """A batch that has been looked at entry by entry."""
    word, body = part.facts.word, part.body(record)
    count = int.from_bytes((yield from body.take(COUNT)), "little")
    raw = yield from body.take(word * count)
    if len(raw) == word * count:
        found = as_image(unpack(f"<{count}{CODES[word]}", raw))
        entries(part, record.offset, found, body.at, record.end)


def run(part: Part, at: int, data: bytes, stop: int, pages: int) -> None:
    """A clean batch at `at` with these entries, as the stream has them, and pages up to `stop`.

    Nearly all batches keep all of their entries as they are; then none is looked at by itself.
    """
    start = stop - pages * tables.PAGE_SIZE
    word = part.facts.word
    if part.facts.compressed or data[TOP::word].translate(None, _KEPT):
        entries(part, at, as_image(unpack(f"<{len(data) // word}{CODES[word]}", data)), start, stop)
        return
    image = row_as_image(data, word)
    if part.informed:
        _seen(part, image)
    part.put(at, records.batch_of(image, pages))
    part.copy(start, stop)
    part.note("MAP-PAGES", at)


def entries(part: Part, at: int, found: Sequence[int], start: int, stop: int) -> None:
    """A batch at `at`, whose entries are as a libxc image has them, and whose pages lie from `start` to `stop`.

    What an XTAB entry has beside its type is a machine frame, a guest's or nothing, by release: none of them is left.
    """
    kept = [entry for entry in found if entry >> _TYPE != tables.LEGACY_XTAB]
    if len(kept) < len(found):
        part.note("DROP-XTAB", at, count=len(found) - len(kept))
    if any(entry >> _TYPE == tables.LEGACY_PAGEDTAB for entry in kept):
        kept = [entry & _PFN if entry >> _TYPE == tables.LEGACY_PAGEDTAB else entry for entry in kept]
        part.note("MAP-PAGEDTAB", at)
    if not kept:
        part.note("DROP-EMPTY-BATCH", at)
        return
    if part.informed:
        _seen(part, pack(f"<{len(kept)}Q", *kept))
    if part.facts.compressed:
        part.decoder = part.decoder or Decoder()
        part.decoder.announce(kept)
        return
    part.put(at, records.batch(kept, (stop - start) // tables.PAGE_SIZE))
    part.copy(start, stop)
    part.note("MAP-PAGES", at)


def _seen(part: Part, row: bytes) -> None:
    """Remember the types of a PV guest's pages: a page table of the wrong kind shows at the end."""
    most = part.facts.p2m_size - 1
    if part.pfns.known and not part.pfns.note_row(row, most):
        part.pfns.note(unpack(f"<{len(row) // _ENTRY}Q", row), most)


def compressed(part: Part, record: Record) -> Program | None:
    """Contents of batches that have come without."""
    return _decoded(part, record) if part.facts.compressed else None


def _decoded(part: Part, record: Record) -> Program:
    body = part.body(record)
    decoder = part.decoder = part.decoder or Decoder()
    yield from body.take(part.facts.word)
    while raw := (yield from body.piece()):
        try:
            for kept, pages in decoder.feed(raw):
                part.put(body.at, records.batch(kept, len(pages)))
                part.put(body.at, b"".join(pages))
                part.note("MAP-COMPRESSED", record.offset, count=len(pages))
        except UnknownPageError:
            part.conversion.unfit("REFUSE-BASE", record.offset)
            return


def body_ends(part: Part, at: int) -> None:
    """A body ends at `at`: what its batches say of frames whose contents do not come has not come out yet."""
    left = part.decoder.rest() if part.decoder else []
    for first in range(0, len(left), tables.BATCH_MAX):
        part.put(at, records.batch(left[first : first + tables.BATCH_MAX], 0))


def verify(part: Part, record: Record) -> None:
    """From here on pages are sent again, to be compared only."""
    if part.order.keeping:
        part.note("DROP-VERIFY", record.offset)
    else:
        part.put(record.offset, records.record(tables.LIBXC_VERIFY))
        part.note("MAP-VERIFY", record.offset)


def tmem(part: Part, record: Record) -> None:
    """Pages of transcendent memory, which has been gone from Xen since 4.13."""
    part.conversion.unfit("LOSE-TMEM", record.offset)
