"""Guest memory by rule: which frames, of which types, filled with what, in records of how many pages.

Nothing is made before it is written, so a guest may have any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import shake_128
from struct import pack

from ..schema import libxc
from ..schema.encode import Buffer, FieldError
from .making import PAGE_CODES, page_data
from .parts import Part, record, size

PAGE = libxc.PAGE_SIZE
TYPES = {row.name: row for row in libxc.PAGE_TYPES}
DATA = frozenset(row.name for row in libxc.PAGE_TYPES if row.data)
# Entries of a page table that point somewhere: those below the slots of an L4 table that Xen keeps for itself.
_PRESENT = 256
# Frames are filled from the same octets that many at a time: fewer and larger buffers cost the system less.
_RUN = 64
# Such a run of "random" pages begins anywhere in these octets.
_POOL = 1 << 20
_STEP = 0x9E3779B1
_NUMBER = r"0x[0-9a-fA-F]+|0|[1-9][0-9]*"
_ITEM = re.compile(rf"(?P<first>{_NUMBER})(?:-(?P<last>{_NUMBER}))?(?:\s+(?P<type>\w+))?")

# The contents of some frames, by the first and how many: buffers of one page or several.
Fill = Callable[[int, int], Sequence[Buffer]]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames `first` to `last`, of one type."""

    first: int
    last: int
    type: str = "NOTAB"

    def __len__(self) -> int:
        return self.last - self.first + 1


def frames(text: str) -> tuple[Frames, ...]:
    """What a text such as "0-0x9f, 0xa0-0xbf XTAB, 7" says.  Raises ValueError."""
    found = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is not frames, such as 7, 0-0x9f or 3 XTAB")
        first = int(match["first"], 0)
        last = first if match["last"] is None else int(match["last"], 0)
        if last < first:
            raise ValueError(f"{item!r} ends before it begins")
        kind = match["type"] or "NOTAB"
        if kind not in TYPES:
            raise ValueError(f"{kind!r} is none of {', '.join(TYPES)}")
        found.append(Frames(first, last, kind))
    return tuple(found)


# -- contents -------------------------------------------------------------------------------------------------


@cache
def _pool(seed: int) -> memoryview:
    return memoryview(shake_128(b"%d" % seed).digest(_POOL + _RUN * PAGE))


def _random(seed: int) -> Fill:
    pool = _pool(seed)

    def pages(first: int, count: int) -> Sequence[Buffer]:
        found: list[Buffer] = []
        while count:
            run, ahead = divmod(first, _RUN)
            some = min(count, _RUN - ahead)
            at = run * _STEP % _POOL + ahead * PAGE
            found.append(pool[at : at + some * PAGE])
            first += some
            count -= some
        return found

    return pages


def pattern(octets: bytes) -> Fill:
    """These octets over and over, beginning anew with each page."""
    page = (octets * (PAGE // len(octets) + 1))[:PAGE]
    run = memoryview(page * _RUN)
    return lambda _, count: [run] * (count // _RUN) + [run[: count % _RUN * PAGE]] * (count % _RUN > 0)


def _each(page: Callable[[int], bytes]) -> Fill:
    """Pages that are made one by one, from their frames' numbers."""

    def pages(first: int, count: int) -> Sequence[Buffer]:
        return [b"".join(map(page, range(first, first + count)))]

    return pages


def _frame(pfn: int) -> bytes:
    return pack("<Q", pfn & (1 << 64) - 1) * (PAGE // 8)


def _octet(pfn: int) -> bytes:
    return bytes([pfn & 0xFF]) * PAGE


def table(last: int) -> Fill:
    """A page table whose entries point at the frames from its own on, of a guest whose last frame is `last`."""

    def page(pfn: int) -> bytes:
        entries = [(pfn + slot) % (last + 1) << libxc.PAGE_SHIFT | 1 for slot in range(_PRESENT)]
        return pack(f"<{_PRESENT}Q", *entries).ljust(PAGE, b"\0")

    return _each(page)


# Contents by name: zeros; the frame's number over and over, in 64 bits or its lowest 8; octets in no order, the same
# on every machine, no two pages of a GiB alike; entries of a page table.
FILLS = ("zero", "pfn", "octet", "random", "table")


def fill(name: str, seed: int = 0, last: int = 0) -> Fill:
    """The contents of that name.  Raises FieldError."""
    if name not in FILLS:
        raise FieldError("fill", f"{name!r} is none of {', '.join(FILLS)}")
    if name == "random":
        return _random(seed)
    if name == "table":
        return table(last)
    if name == "zero":
        return pattern(b"\0")
    return _each({"pfn": _frame, "octet": _octet}[name])


# -- records --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """One pass over some frames, in records of at most `batch` pages; `fills` has contents by type, "" for the rest."""

    frames: tuple[Frames, ...]
    fills: Mapping[str, Fill]
    batch: int = libxc.BATCH_MAX

    @property
    def pages(self) -> int:
        """How many frames there are."""
        return sum(map(len, self.frames))

    def parts(self) -> Iterator[Part]:
        """The records, each made when it is asked for."""
        some: list[Frames] = []
        room = self.batch
        for run in self.frames:
            first = run.first
            while first <= run.last:
                last = min(run.last, first + room - 1)
                some.append(Frames(first, last, run.type))
                room -= last + 1 - first
                first = last + 1
                if not room:
                    yield self.record(some)
                    some, room = [], self.batch
        if some:
            yield self.record(some)

    def record(self, some: Sequence[Frames]) -> Part:
        """PAGE_DATA of some frames."""
        plain = self.fills[""]
        pages: list[Buffer] = []
        entries: list[int] = []
        for run in some:
            entries += map(PAGE_CODES[run.type].__or__, range(run.first, run.last + 1))
            if run.type in DATA:
                pages += self.fills.get(run.type, plain)(run.first, len(run))
        return record("libxc.PAGE_DATA", entries=entries, pages=pages)


@dataclass(frozen=True, slots=True, eq=False)
class Many(Part):
    """Records that are made while they are written, too many to be parts of their own."""

    memory: Memory = field(default_factory=lambda: Memory((), {}))

    def parts(self) -> Iterator[Part]:
        return self.memory.parts()

    @property
    def extent(self) -> int:
        memory = self.memory
        records = (memory.pages + memory.batch - 1) // memory.batch
        filled = sum(len(run) for run in memory.frames if run.type in DATA)
        return records * size(page_data([], [], []).buffers("<")) + 8 * memory.pages + PAGE * filled

    def buffers(self, order: str) -> list[Buffer]:
        raise TypeError("there are too many records for one list; parts() has them")
