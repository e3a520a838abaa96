"""Checks of a legacy stream's batches, of its list of frames, and of the frames that vcpus name."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from ..reader.events import LIST_PIECE
from ..reader.legacy_pages import CODES, COUNT, TOP, as_image
from ..reader.legacy_pages import pages as pages_of
from ..reader.registry import load
from .pv_memory import FRAMES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .legacy import Checks
    from .legacy_kept import Memory

_TABLES = tables.TABLE_LEVELS
_KNOWN = tables.LEGACY_TYPES
_UNTYPED = {"pv": "types 5 to 7 are no page types", "hvm": "an HVM guest has no such type"}
_TYPED = "a page type"
# Wrong elements that a list may have, or of how many one may be wrong, before it is none.
_FEW, _PART = 3, 8
_PLAIN = (tables.PAGE_TYPE_PLAIN, tables.LEGACY_PAGEDTAB)
# Levels of a 32-bit guest with PAE.
_PAE = min(levels for _, levels in tables.PV_COMBINATIONS)


# -- batches ----------------------------------------------------------------------------------------------------------


def batch(checks: Checks, body: Body) -> Program:
    """Program that judges a batch entry by entry; contents of pages go by."""
    record, word = body.record, checks.facts.word
    raw = yield from body.take(COUNT)
    if len(raw) < COUNT:
        return
    count = int.from_bytes(raw, "little")
    at, data = body.at, (yield from body.take(word * count))
    if len(data) < word * count:
        return
    types = data[TOP::word]
    pages = 0 if checks.facts.compressed else pages_of(types)
    checks.came(record.offset, pages, data)
    checks.context.page_entries += count
    checks.context.carries(pages, record.end)
    entries = unpack_from(f"<{count}{CODES[word]}", data)
    _entries(checks, record, entries, at)
    if checks.memory is not None:
        checks.memory.note(as_image(entries), checks.facts.p2m_size - 1)
    if checks.facts.compressed:
        load("checks.legacy_compressed:announce")(checks, data)


def _entries(checks: Checks, record: Record, entries: Sequence[int], at: int) -> None:
    size, guest = checks.facts.p2m_size, checks.layer.guest or "pv"
    shift, known, hole = tables.LEGACY_TYPE_SHIFT, _KNOWN[guest], tables.LEGACY_XTAB
    wrong = [
        (place, entry)
        for place, entry in enumerate(entries)
        if (kind := entry >> shift) not in known or (kind != hole and entry & tables.LEGACY_PFN_MASK >= size)
    ]
    if gross(len(wrong), len(entries)):
        # One is shown; what else there is no batch has.
        _entry(checks, record, *wrong[0], at, f"; {len(wrong):,} of {len(entries):,} are wrong: no batch is here")
        checks.lose(record.offset, "a batch")
    else:
        for place, entry in wrong:
            _entry(checks, record, place, entry, at)


def _entry(checks: Checks, record: Record, place: int, entry: int, at: int, more: str = "") -> None:
    """An entry that is wrong; `more` follows what is said of it."""
    size, guest = checks.facts.p2m_size, checks.layer.guest or "pv"
    kind, pfn, above = entry >> tables.LEGACY_TYPE_SHIFT & 0xF, entry & tables.LEGACY_PFN_MASK, entry >> 32
    found = [
        ("LEGACY-PAGE-RESERVED", above, "reserved", f"has {above:#x} in its upper half", "zero", f"{above:#x}"),
        ("LEGACY-PAGE-TYPE", kind not in _KNOWN[guest], "type", f"has type {kind}: {_UNTYPED[guest]}", _TYPED, kind),
        (
            "LEGACY-PAGE-PFN",
            kind != tables.LEGACY_XTAB and pfn >= size,
            "pfn",
            f"is for frame {pfn:#x}, the guest has {size:#x}",
            f"below {size:#x}",
            f"{pfn:#x}",
        ),
    ]
    path, where, prefix = f"{record.path}.entries", at + checks.facts.word * place, f"entries[{place}]."
    for clause, wrong, field, words, expected, actual in found:
        if wrong:
            if checks.context.findings.full(clause, record, where):
                return
            message = f"entry {place} {words}{more}"
            checks.context.report_field(clause, record, field, message, expected, actual, path, where, prefix)
            return  # what else it says comes of that


def gross(wrong: int, of: int) -> bool:
    """Whether so many wrong elements of a list show that there is no list: damage alone has a few."""
    return wrong == of > 1 or (wrong > _FEW and wrong * _PART > of)


def frame_of(entries: bytes, page: int, word: int) -> int:
    """The frame of a batch's `page`-th page, as its entries have it."""
    found = unpack_from(f"<{len(entries) // word}{CODES[word]}", entries)
    carrying = [entry for entry in found if entry >> tables.LEGACY_TYPE_SHIFT & 0xF not in tables.LEGACY_NO_DATA]
    return int(carrying[page] & tables.LEGACY_PFN_MASK)


# -- the list of frames -----------------------------------------------------------------------------------------------


def frame_list(checks: Checks, body: Body) -> Program:
    """Program that judges the list of frames by itself, and keeps it for when all pages have come."""
    memory, word, size = checks.memory, checks.facts.word, checks.facts.p2m_size
    if memory is None:
        return
    memory.at, place = body.at, 0
    while raw := (yield from body.piece(word, LIST_PIECE)):
        frames = unpack_from(f"<{len(raw) // word}{CODES[word]}", raw)
        if max(frames) >= size:
            wrong = [(number, f"frame {frame:#x}") for number, frame in enumerate(frames, place) if frame >= size]
            lost = gross(len(wrong), len(frames))
            for number, actual in wrong[:1] if lost else wrong:
                _listed(checks, number, actual)
            if lost:
                checks.lose(memory.at, "the list of frames")
        if memory.frames is not None and len(memory.frames) + len(frames) <= FRAMES_MAX:
            memory.frames.extend(frames)
        else:
            memory.frames = None
        place += len(frames)


def _listed(checks: Checks, place: int, actual: str) -> None:
    """An entry of the list of frames that is wrong."""
    assert checks.memory is not None, "only PV guests have such a list"
    word, size = checks.facts.word, checks.facts.p2m_size
    at = checks.memory.at + word * place
    if not checks.context.findings.full("LEGACY-P2M-ENTRY", checks.layer, at):
        due = f"an ordinary page below {size:#x}, listed once"
        message = f"entry {place} of the list of frames is {actual}, expected {due}"
        checks.context.report(
            "LEGACY-P2M-ENTRY",
            checks.layer,
            message,
            offset=at,
            length=word,
            field=f"frames[{place}]",
            expected=due,
            actual=actual,
        )


# -- when a checkpoint is whole ---------------------------------------------------------------------------------------


def complete(checks: Checks, memory: Memory) -> None:
    """Judge the frames that were named, by the latest types of pages."""
    if not memory.pfns.known:
        for clause in ("LEGACY-P2M-ENTRY", "LEGACY-VCPU-PFN"):
            checks.context.abstain(clause, memory.pfns.why)
        return
    if memory.frames is None:
        checks.context.abstain("LEGACY-P2M-ENTRY", f"more than {FRAMES_MAX:,} frames are not followed")
    seen: set[int] = set()
    wrong: list[tuple[int, str]] = []
    for place, frame in enumerate(memory.frames or ()):
        kind = memory.pfns.type_of(frame)
        if frame < checks.facts.p2m_size and (kind not in _PLAIN or frame in seen):
            wrong.append((place, f"frame {frame:#x}, {_came(kind) if kind not in _PLAIN else 'listed before'}"))
        seen.add(frame)
    lost = gross(len(wrong), len(seen))
    for place, actual in wrong[:1] if lost else wrong:
        _listed(checks, place, actual)
    if not lost:
        _vcpus(checks, memory)


def _came(kind: int | None) -> str:
    return "never sent" if kind is None else f"sent as {tables.PAGE_TYPES.get(kind, kind)}"


def _vcpus(checks: Checks, memory: Memory) -> None:
    size, names = checks.facts.p2m_size, list(memory.names())
    memory.named.clear()
    wrong: list[tuple[int, str, str, int]] = []
    for frame, at, level, vcpu in names:
        kind = memory.pfns.type_of(frame) if frame < size else None
        levels = _levels(level)
        if kind in _PLAIN if not level else _TABLES.get(kind or 0) in levels:
            continue
        due = f"a page table of level {' or '.join(map(str, levels))}" if level else "an ordinary page"
        what = f"the top page table of vcpu {vcpu}" if level else f"a page that vcpu {vcpu} names"
        is_ = f"the guest has {size:#x}" if frame >= size else _came(kind)
        wrong.append((at, f"{what} is frame {frame:#x}, {is_}, expected {due}", due, frame))
    lost = gross(len(wrong), len(names))
    more = f"; of {len(names)} frames that vcpus name {len(wrong)} are wrong: no vcpu is here" if lost else ""
    if wrong and checks.displaced:
        checks.lose(wrong[0][0], "the tail")  # which has been reported
        return
    for at, message, due, frame in wrong[:1] if lost else wrong:
        checks.context.report(
            "LEGACY-VCPU-PFN",
            checks.layer,
            message + more,
            offset=at,
            field="context",
            expected=due,
            actual=f"frame {frame:#x}",
        )
    if lost:
        checks.lose(wrong[0][0], "the tail")


def _levels(level: int) -> tuple[int, ...]:
    """Levels that the top page table may have: a 32-bit guest without PAE has two, and nothing else says so."""
    return (level - 1, level) if level == _PAE else (level,)
