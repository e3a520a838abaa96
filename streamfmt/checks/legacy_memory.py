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
    word, size, guest = checks.facts.word, checks.facts.p2m_size, checks.layer.guest or "pv"
    path = f"{record.path}.entries"
    for place, entry in enumerate(entries):
        where = at + word * place
        kind, pfn = entry >> tables.LEGACY_TYPE_SHIFT & 0xF, entry & tables.LEGACY_PFN_MASK
        found = [
            (
                "LEGACY-PAGE-RESERVED",
                entry >> 32,
                "reserved",
                f"has {entry >> 32:#x} in its upper half",
                "zero",
                f"{entry >> 32:#x}",
            ),
            (
                "LEGACY-PAGE-TYPE",
                kind not in _KNOWN[guest],
                "type",
                f"has type {kind}: {_UNTYPED[guest]}",
                "a page type",
                kind,
            ),
            (
                "LEGACY-PAGE-PFN",
                kind != tables.LEGACY_XTAB and pfn >= size,
                "pfn",
                f"is for frame {pfn:#x}, the guest has {size:#x}",
                f"below {size:#x}",
                f"{pfn:#x}",
            ),
        ]
        for clause, wrong, field, words, expected, actual in found:
            if wrong and not checks.context.findings.full(clause, record, where):
                prefix = f"entries[{place}]."
                checks.context.report_field(
                    clause, record, field, f"entry {place} {words}", expected, actual, path, where, prefix
                )


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
            for number, frame in enumerate(frames, place):
                if frame >= size:
                    _listed(checks, number, f"frame {frame:#x}")
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
    for place, frame in enumerate(memory.frames or ()):
        kind = memory.pfns.type_of(frame)
        if frame < checks.facts.p2m_size and (kind not in _PLAIN or frame in seen):
            _listed(checks, place, f"frame {frame:#x}, {_came(kind) if kind not in _PLAIN else 'listed before'}")
        seen.add(frame)
    _vcpus(checks, memory)


def _came(kind: int | None) -> str:
    return "never sent" if kind is None else f"sent as {tables.PAGE_TYPES.get(kind, kind)}"


def _vcpus(checks: Checks, memory: Memory) -> None:
    size = checks.facts.p2m_size
    for frame, at, level, vcpu in memory.names():
        kind = memory.pfns.type_of(frame) if frame < size else None
        levels = _levels(level)
        if kind in _PLAIN if not level else _TABLES.get(kind or 0) in levels:
            continue
        due = f"a page table of level {' or '.join(map(str, levels))}" if level else "an ordinary page"
        what = f"the top page table of vcpu {vcpu}" if level else f"a page that vcpu {vcpu} names"
        is_ = f"the guest has {size:#x}" if frame >= size else _came(kind)
        checks.context.report(
            "LEGACY-VCPU-PFN",
            checks.layer,
            f"{what} is frame {frame:#x}, {is_}, expected {due}",
            offset=at,
            field="context",
            expected=due,
            actual=f"frame {frame:#x}",
        )
    memory.named.clear()


def _levels(level: int) -> tuple[int, ...]:
    """Levels that the top page table may have: a 32-bit guest without PAE has two, and nothing else says so."""
    return (level - 1, level) if level == _PAE else (level,)
