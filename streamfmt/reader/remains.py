"""What is left of streams: a header that is not at the beginning or not whole, records without what was before them.

Looked for only where nothing else is found.
"""

from __future__ import annotations

from struct import unpack_from

from .. import tables
from . import pastes
from .fields import MAGICS, broken_rules, places, quote, text_size
from .registry import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Name, evidence, and what to do.
    Found = tuple[str, str, str]

# No magic shorter than this is looked for anywhere but at its place, and no less is left of one.
_LONG = 8
# How many of the bytes that differ in a near miss are named.
_NAMED, _KINDS = 4, 4
_AGAIN = "fetch the original again, and compare sizes and checksums"
HEADER, PAGE_FIXED = tables.SIZES["libxc.record_header"], tables.SIZES["libxc.PAGE_DATA"]
ENTRY, PAGE = tables.UNITS["libxc.PAGE_DATA"]
_BATCH, _CONTEXT_TYPE = (code.to_bytes(4, "little") for code in (tables.LIBXC_PAGE_DATA, tables.LIBXC_HVM_CONTEXT))
_CONTEXT = next(data for key, _, _, data, _ in tables.MAGICS if key == "hvm-context")
_PART = "part of a libxc image, whose beginning is missing"
_JOIN = "join the parts in their order into another file: cat FIRST SECOND >WHOLE"


def recognise(start: bytes, complete: bool, at: int) -> Found | None:
    """Name, evidence and hint of what begins with `start` at offset `at`, or is that (`complete`)."""
    if not start:
        return None
    if not any(start):
        what = "all" if complete and len(start) > 1 else "its" if complete else "the first"
        size = f"{len(start):,} bytes are" if len(start) > 1 else "one byte is"
        hint = "data was never written, or lost: see whether the save ended and the disk was full; " + _AGAIN
        return "zeros, not a migration stream", f"{what} {size} zero", hint
    return (
        pastes.recognise(start) or _beheaded(start, at) or _missed(start, at) or _later(start, at) or _part(start, at)
    )


def _beheaded(start: bytes, at: int) -> Found | None:
    """A magic of which the first bytes are missing."""
    for key, magic in MAGICS.items():
        for lost in range(1, len(magic) - _LONG + 1):
            if start.startswith(magic[lost:]) and any(magic[lost:]) and len(set(magic[lost:])) > 1:
                name = f"{_name(key)}, without its first {lost:,} byte{'s' if lost > 1 else ''}"
                return name, f"{quote(magic[lost:])} at offset {at}, the rest of a magic", _AGAIN
    return None


def _missed(start: bytes, at: int) -> Found | None:
    """A near miss: at least half of a magic, its first bytes among them; more of it than damage leaves."""
    for key, magic in MAGICS.items():
        head = start[: len(magic)]
        same = [due for mine, due in zip(head, magic, strict=False) if mine == due]
        # Of which a few are different, for many things begin with one byte again and again.
        if len(magic) >= _LONG and len(same) * 2 >= len(magic) and head[:4] == magic[:4] and len(set(same)) >= _KINDS:
            wrong = [(n, head[n], due) for n, due in enumerate(magic[: len(head)]) if head[n] != due]
            more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            what = f"{quote(head)} at offset {at} is the magic but for {len(wrong)} of {len(magic)} bytes"
            hint = "another tool may have written it, which reads it back; if it was damaged, " + _AGAIN
            return f"{_name(key)}, but for its magic", f"{what}: {places(wrong[:_NAMED])}{more}", hint
    return None


def _name(key: str) -> str:
    return next(name for of, _, _, _, name in tables.MAGICS if of == key)


def _later(start: bytes, at: int) -> Found | None:
    """A sound header that is not at the beginning."""
    found: tuple[int, str] | None = None
    for key, magic in MAGICS.items():
        path = f"{key}.{ROWS[key].headers[0]}"
        place = start.find(magic, 1)
        while place > 0 and (found is None or place < found[0]):
            raw = start[place : place + tables.SIZES[path]]
            if len(raw) == tables.SIZES[path] and len(magic) >= _LONG and not broken_rules(path, raw, "<"):
                found = place, key
            place = start.find(magic, place + 1)
    if found is None:
        return None
    place, key = found
    before = "zeros" if not any(start[:place]) else "text" if text_size(start) >= place else "something else"
    evidence = (
        f"{quote(MAGICS[key])} at offset {at + place}, after {place:,} byte{'s' if place > 1 else ''} of {before}"
    )
    hint = f"verify it from there on: tail -c +{at + place + 1} FILE | streamfmt verify -"
    return f"{_name(key)}, at offset {at + place}", evidence, hint


def _part(start: bytes, at: int) -> Found | None:
    """A batch of pages, wherever it lies, as in the second part of a file that was split."""
    place = start.find(_BATCH)
    while 0 <= place <= len(start) - HEADER - PAGE_FIXED - ENTRY:
        if said := _batch(start, place):
            return _PART, f"a PAGE_DATA record at offset {at + place}: {said}", _JOIN
        place = start.find(_BATCH, place + 1)
    place = start.find(_CONTEXT) - HEADER
    if place >= 0 and start[place : place + 4] == _CONTEXT_TYPE:
        return _PART, f"an HVM_CONTEXT record at offset {at + place}", _JOIN
    return None


def _batch(start: bytes, place: int) -> str:
    """What the batch at `place` says of its pages, in words; none if there is no sound one."""
    _, length, count, reserved = unpack_from("<4I", start, place)
    first = place + HEADER + PAGE_FIXED
    seen = min(count, (len(start) - first) // ENTRY)
    if reserved or not count or PAGE_FIXED + ENTRY * count > length or count > 4 * tables.BATCH_MAX:
        return ""
    entries = unpack_from(f"<{seen}Q", start, first)
    kinds = [entry >> tables.ENTRY_TYPE_SHIFT for entry in entries]
    frames = [entry & tables.ENTRY_PFN_MASK for entry in entries]
    if any(kind not in tables.PAGE_TYPES for kind in kinds) or any(
        entry != kind << tables.ENTRY_TYPE_SHIFT | pfn for entry, kind, pfn in zip(entries, kinds, frames, strict=True)
    ):
        return ""
    pages = sum(kind in tables.PAGE_TYPES_DATA for kind in kinds)
    spare = count - seen
    least, most = (PAGE_FIXED + ENTRY * count + PAGE * number for number in (pages, pages + spare))
    # Each writer's frames rise, or are those of a bitmap, which do too.
    if not least <= length <= most or (length - least) % PAGE or frames != sorted(set(frames)):
        return ""
    return f"{count:,} pages, frames {frames[0]:#x} to {frames[-1]:#x}{' and more' if spare else ''}"
