"""What a model guest does: it counts in pages, at a rate and with a locality, in an order that is known.

The k-th write of a loop goes to a page that follows from k, and leaves there how often that page was written and the
number of the write.  So each page's contents follow from how far the loop is, which a vcpu's register has: a page that
was lost on the way is older than that, one that was repeated is newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd, isfinite
from struct import Struct
from typing import Self

from ...errors import GuestError
from .. import frames as sets
from .memory import PAGE

# The frame in which a guest keeps what it does, so that one that arrives can go on; the first that it may write.
FRAME, FIRST = 0, 16
_MAGIC = b"sfworkld"
_HEAD, _LOOP = Struct("<8sI4x"), Struct("<QQQd")
_WORDS = PAGE // 8
# Loops of a workload, writes a second of each, and complaints of each that are listed.
LOOPS_MAX, RATE_MAX, _SAID = 2, 1e9, 8


@dataclass(frozen=True, slots=True)
class Loop:
    """Writes to `pages` pages from frame `first` on, each once in a lap, `step` pages further each time.

    `rate` is in writes a second.  A step and the number of pages have no common divisor.
    """

    first: int
    pages: int
    step: int
    rate: float

    def frames(self, done: int, count: int) -> Iterator[int]:
        """The frames of `count` writes after so many."""
        at = done % self.pages * self.step % self.pages
        for _ in range(count):
            yield self.first + at
            at += self.step
            if at >= self.pages:
                at -= self.pages

    def set(self, done: int, count: int) -> int:
        """The set of these frames."""
        if count >= self.pages:
            return sets.run(self.first, self.pages)
        at = done % self.pages
        if self.step == 1 and at + count <= self.pages:
            return sets.run(self.first + at, count)
        return sets.of(self.frames(done, count), self.first + self.pages)


# By name: the parts of the pages and of the writes that each loop has, and whether its pages are written in order.
LOCALITIES: dict[str, tuple[tuple[float, float, bool], ...]] = {
    "loop": ((1.0, 1.0, True),),
    "scattered": ((1.0, 1.0, False),),
    "hot": ((0.1, 0.9, False), (0.9, 0.1, False)),
}


def step(pages: int) -> int:
    """A step that goes far and meets every page: near the golden section, with no common divisor."""
    far = max(int(pages * 0.618), 1)
    while gcd(far, pages) != 1:
        far += 1
    return far % pages or 1


@dataclass(frozen=True, slots=True)
class Workload:
    """The loops of a guest."""

    loops: tuple[Loop, ...] = ()

    @classmethod
    def of(cls, pages: int, rate: float, locality: str = "loop", first: int = FIRST) -> Self:
        """Writes to `pages` pages, so many a second.

        :raises GuestError: there is no such locality, or too few pages for it.
        """
        shares = LOCALITIES.get(locality)
        if shares is None:
            raise GuestError(f"there is no locality {locality!r}; there are {', '.join(LOCALITIES)}")
        if pages < len(shares):
            raise GuestError(f"a workload of locality {locality} writes {len(shares)} pages at least, not {pages}")
        loops, at, left = list[Loop](), first, pages
        for number, (part, writes, ordered) in enumerate(shares, 1):
            count = left if number == len(shares) else min(max(int(pages * part), 1), pages - 1)
            loops.append(Loop(at, count, 1 if ordered else step(count), rate * writes))
            at, left = at + count, left - count
        return cls(tuple(loops)).sound(at)

    def sound(self, pages: int) -> Self:
        """The same, if a guest of so many pages can have it.

        :raises GuestError: it cannot.
        """
        for row in self.loops:
            inside = row.first >= FIRST and 0 < row.pages <= pages - row.first
            if not (inside and 0 < row.step <= row.pages and gcd(row.step, row.pages) == 1):
                raise GuestError(
                    f"a workload writes {row.pages} frames from {row.first:#x} on, of {pages} that there are"
                )
            if not (isfinite(row.rate) and 0 <= row.rate <= RATE_MAX):
                raise GuestError(f"a workload writes {row.rate} pages a second")
        if len(self.loops) > LOOPS_MAX:
            raise GuestError(f"a workload has {len(self.loops)} loops; {LOOPS_MAX} are the most")
        return self

    def page(self) -> bytes:
        """What is in the frame that says what the guest does."""
        rows = (_LOOP.pack(row.first, row.pages, row.step, row.rate) for row in self.loops)
        return (_HEAD.pack(_MAGIC, len(self.loops)) + b"".join(rows)).ljust(PAGE, b"\0")

    @classmethod
    def read(cls, page: bytes, pages: int) -> Self:
        """The workload that such a frame says, none if it says nothing.

        :raises GuestError: what it says cannot be.
        """
        magic, count = _HEAD.unpack_from(page)
        if magic != _MAGIC:
            return cls()
        if count > LOOPS_MAX:
            raise GuestError(f"frame {FRAME} says that the guest has {count} loops; {LOOPS_MAX} are the most")
        rows = (_LOOP.unpack_from(page, _HEAD.size + number * _LOOP.size) for number in range(count))
        return cls(tuple(Loop(*row) for row in rows)).sound(pages)


def write(memory: memoryview, loop: Loop, done: int, count: int) -> None:
    """Do `count` writes of a loop after so many; `memory` is a guest's, in words of 64 bits."""
    if count > loop.pages:
        # What the last lap leaves is all that remains.
        done, count = done + count - loop.pages, loop.pages
    for number, frame in enumerate(loop.frames(done, count), done):
        at = frame * _WORDS
        memory[at] = number // loop.pages + 1
        memory[at + 1] = number + 1


def broken(memory: memoryview, loop: Loop, done: int, holes: int) -> list[str]:
    """What is not in a loop's pages as it has to be after so many writes, in words.

    :param holes: frames that are not read, as that would take memory for them: they are zeros.
    """
    lap, within = divmod(done, loop.pages)
    said, wrong, counts = list[str](), 0, set[int]()
    for place, frame in enumerate(loop.frames(0, loop.pages)):
        at = frame * _WORDS
        found = (0, 0) if holes >> frame & 1 else (memory[at], memory[at + 1])
        counts.add(found[0])
        count = lap + (place < within)
        due = (count, (count - 1) * loop.pages + place + 1 if count else 0)
        if found == due:
            continue
        wrong += 1
        if len(said) < _SAID:
            how = "lost" if found < due else "repeated"
            said.append(f"frame {frame:#x} has {found[0]} and {found[1]}, not {due[0]} and {due[1]}: a write was {how}")
    if wrong > len(said):
        said.append(f"{wrong - len(said)} frames more are wrong")
    if counts and max(counts) - min(counts) > 1:
        said.append(f"counters from {min(counts)} to {max(counts)} differ by more than one")
    return said
