"""Guest memory by rule: which frames, of which types, filled with what, in records of how many pages.

Nothing is made before it is written, so a guest may have any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import shake_128
from itertools import chain
from struct import pack
from typing import Any

from .. import tables
from ..codec.content import Buffer, Content, Made, Numbers, span
from ..schema import libxc
from ..writer.entries import DATA_TYPES, IMAGE, Shape
from ..writer.part import Part, record, size

PAGE = libxc.PAGE_SIZE
# Entries of a page table that point somewhere: those below the slots of an L4 table that Xen keeps for itself.
_PRESENT = 256
# Frames are filled from the same bytes that many at a time: fewer and larger buffers cost the system less.
_RUN = 64
# Such a run of "random" pages begins anywhere in these bytes.
_POOL = 1 << 20
_STEP = 0x9E3779B1
# How many items one text of frames has at most, and frames one list.
ITEMS_MOST = 1 << 17
_LISTED_MOST = 1 << 25
# Frames up to this are listed one by one.
_FEW = 64
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


def frames(text: str, shape: Shape = IMAGE) -> tuple[Frames, ...]:
    """What a text such as "0-0x9f, 0xa0-0xbf XTAB, 7" says, of types that `shape` has.  Raises ValueError."""
    if text.count(",") > ITEMS_MOST:
        raise ValueError(f"these are over {ITEMS_MOST:,} items, the most that one text has")
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
        if kind not in shape.codes:
            raise ValueError(f"{kind!r} is none of {', '.join(shape.codes)}")
        found.append(Frames(first, last, kind))
    return tuple(found)


def numbers(runs: Sequence[Frames]) -> Numbers | list[int]:
    """The numbers of the frames.  Raises ValueError if they are too many for a list."""
    count = sum(run.last - run.first + 1 for run in runs)  # which may be more than len() can say
    if count > _LISTED_MOST:
        raise ValueError(f"these are {count:,} frames; a list has {_LISTED_MOST:,} at most")

    def make() -> Iterator[int]:
        return chain.from_iterable(range(run.first, run.last + 1) for run in runs)

    if count <= _FEW:
        return list(make())
    return Numbers(count, make, min(run.first for run in runs), max(run.last for run in runs))


# -- contents -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _pool(seed: int) -> memoryview:
    return memoryview(shake_128(b"%d" % seed).digest(_POOL + _RUN * PAGE))


def _random(seed: int) -> Fill:
    def pages(first: int, count: int) -> Sequence[Buffer]:
        pool = _pool(seed)
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


def pattern(data: Content) -> Fill:
    """These bytes over and over, beginning anew with each page."""
    period = b"".join(span((data,), 0, PAGE))

    def pages(_: int, count: int) -> Sequence[Buffer]:
        page = (period * (PAGE // len(period) + 1))[:PAGE]
        run = memoryview(page * min(count, _RUN))
        return [run] * (count // _RUN) + [run[: count % _RUN * PAGE]] * (count % _RUN > 0)

    return pages


def _each(page: Callable[[int], bytes]) -> Fill:
    """Pages that are made one by one, from their frames' numbers."""

    def pages(first: int, count: int) -> Sequence[Buffer]:
        return [b"".join(map(page, range(first, first + count)))]

    return pages


def table() -> Fill:
    """A page table whose entries point at itself, to be read: a table may lead to one of its own level so."""
    shift, mask = tables.PTE_PFN
    return _each(lambda pfn: (pack("<Q", (pfn & mask) << shift | tables.PTE_PRESENT) * _PRESENT).ljust(PAGE, b"\0"))


# Contents by name, from a seed: zeros; the frame's number over and over, in 64 bits or its
# lowest 8; bytes in no order, the same on every machine, no two pages of a GiB alike; entries of a page table.
FILLS: dict[str, Callable[[int], Fill]] = {
    "zero": lambda seed: pattern(b"\0"),
    "pfn": lambda seed: _each(lambda pfn: pack("<Q", pfn & (1 << 64) - 1) * (PAGE // 8)),
    "byte": lambda seed: _each(lambda pfn: bytes([pfn & 0xFF]) * PAGE),
    "random": _random,
    "table": lambda seed: table(),
}


def fill(name: str, seed: int = 0) -> Fill:
    """The contents of that name."""
    return FILLS[name](seed)


# -- records --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """One pass over some frames, in records of at most `batch` pages and with entries of that shape.

    `fills` has contents by type, "" for the rest.
    """

    frames: tuple[Frames, ...]
    fills: Mapping[str, Fill]
    batch: int = libxc.BATCH_MAX
    shape: Shape = IMAGE

    @property
    def pages(self) -> int:
        """How many frames there are."""
        return sum(map(len, self.frames))

    def parts(self) -> Iterator[Part]:
        """The records, each made when it is asked for."""
        some: list[Frames] = []
        room, left = self.batch, self.pages
        for run in self.frames:
            first = run.first
            while first <= run.last:
                last = min(run.last, first + room - 1)
                some.append(Frames(first, last, run.type))
                room -= last + 1 - first
                left -= last + 1 - first
                first = last + 1
                if not room or not left:
                    yield Part(self.shape.path, Pages(tuple(some), self.fills, shape=self.shape))
                    some, room = [], self.batch


class Pages(Mapping[str, Any]):
    """Field values of a record of pages, made when they are asked for: entries for some frames, and contents by rule.

    `contents`, if they are given, are those of all pages, whatever the frames' types say.
    """

    __slots__ = ("_contents", "_fills", "_shape", "frames")

    def __init__(
        self,
        frames: tuple[Frames, ...],
        fills: Mapping[str, Fill],
        contents: Content | None = None,
        shape: Shape = IMAGE,
    ) -> None:
        self.frames = frames
        self._shape = shape
        self._fills = fills
        self._contents = contents

    def __getitem__(self, key: str) -> Any:
        if key == "entries":
            count = sum(map(len, self.frames))
            most = max(self._shape.codes.values()) | (1 << self._shape.bits) - 1
            return list(self._entries()) if count <= _FEW else Numbers(count, self._entries, 0, most)
        if key == "pages":
            return self._pages() if self._contents is None else [self._contents]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("entries", "pages"))

    def __len__(self) -> int:
        return 2

    def _entries(self) -> Iterator[int]:
        for run in self.frames:
            yield from map(self._shape.codes[run.type].__or__, range(run.first, run.last + 1))

    def _pages(self) -> list[Content]:
        runs = [run for run in self.frames if run.type in DATA_TYPES]
        if sum(map(len, runs)) <= _RUN:
            return [buffer for run in runs for buffer in self._of(run)(run.first, len(run))]
        return [Made(PAGE * sum(map(len, runs)), lambda: chain.from_iterable(map(self._made, runs)))]

    def _made(self, run: Frames) -> Iterator[Buffer]:
        fill = self._of(run)
        for first in range(run.first, run.last + 1, _RUN):
            yield from fill(first, min(_RUN, run.last + 1 - first))

    def _of(self, run: Frames) -> Fill:
        return self._fills.get(run.type, self._fills[""])


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
        filled = sum(len(run) for run in memory.frames if run.type in DATA_TYPES)
        empty = record(memory.shape.path, entries=[], pages=[]).whole("<")
        return records * size(empty) + memory.shape.size * memory.pages + PAGE * filled

    def whole(self, order: str) -> list[Content]:
        raise TypeError("there are too many records for one list; parts() has them")
