"""How a guest writes its memory, for a plan: which frames it has written between two moments of its own time.

A model is asked once for each stretch of time, in order; with the same seed it says the same each time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Protocol

from .. import tables
from . import frames as sets
from .orders import speed

PAGE = tables.PAGE_SIZE
# Binary digits of a probability; and of fewer frames than this, all in all or on average, each is drawn by itself.
_DIGITS, _FEW = 16, 64
# Frames that a guest of a plan has at most, and writes a second.
PAGES_MAX, RATE_MAX = 1 << 28, 1e10


class Writer(Protocol):
    """Who writes a guest's memory."""

    def written(self, since: float, until: float) -> int:
        """The set of frames written between these seconds for which the guest has run."""


class Uniform:
    """Each write goes to any frame of a working set."""

    def __init__(self, first: int, pages: int, rate: float, random: Random) -> None:
        self._first, self._pages, self._rate, self._random = first, pages, rate, random

    def written(self, since: float, until: float) -> int:
        """Each frame by itself, with the probability that one of the writes met it."""
        chance = -math.expm1(-self._rate * (until - since) / self._pages)
        random, mean = self._random.random, chance * self._pages
        if self._pages <= _FEW:
            found = sets.of((frame for frame in range(self._pages) if random() < chance), self._pages)
        elif mean < _FEW:
            count = sum(random() < mean / _FEW for _ in range(_FEW))
            found = sets.of(self._random.sample(range(self._pages), count), self._pages)
        else:
            found = _drawn(self._pages, chance, self._random)
        return found << self._first


def _drawn(count: int, chance: float, random: Random) -> int:
    """A set of frames below `count`, each in it with that chance, by as many random numbers as the chance has digits.

    From its last digit on, a 1 adds a random half of what is not in the set, and a 0 leaves a random half of what is.
    """
    found, digits = sets.NONE, round(chance * (1 << _DIGITS))
    if digits >> _DIGITS:
        return sets.run(0, count)
    for digit in range(_DIGITS):
        half = random.getrandbits(count)
        found = found | half if digits >> digit & 1 else found & half
    return found


class Loop:
    """Writes go over a working set in order, round and round."""

    def __init__(self, first: int, pages: int, rate: float) -> None:
        self._first, self._pages, self._rate = first, pages, rate

    def written(self, since: float, until: float) -> int:
        """The frames of a stretch of the loop."""
        begin, end = int(since * self._rate), int(until * self._rate)
        count = min(end - begin, self._pages)
        at = begin % self._pages
        ahead = min(count, self._pages - at)
        return (sets.run(at, ahead) | sets.run(0, count - ahead)) << self._first


class Recorded:
    """What a recorded migration's guest wrote, for as long as it sent so many frames.

    Of a stretch of time the frames are those that came again in most passes, as many as came again for such a stretch.

    :param passes: the frames of each pass, as sets; the first is over all of memory.
    :param rate: frames a second that were sent then.
    """

    def __init__(self, passes: Sequence[int], rate: float) -> None:
        self._rate = rate
        # Frames sent, and frames written meanwhile: what came in a pass was written during the pass before.
        points = {before.bit_count(): after.bit_count() for before, after in pairwise(passes)}
        self._curve = [(0, 0), *sorted(points.items())]
        self._order = _by_frequency(passes[1:])

    def written(self, since: float, until: float) -> int:
        """So many of the frames that were written most often."""
        count = self._count((until - since) * self._rate)
        found = sets.NONE
        for frames, many in self._order:
            if count <= 0:
                break
            found |= frames if many <= count else sets.Cut(frames).take(count)
            count -= many
        return found

    def _count(self, sent: float) -> int:
        """Frames written while so many were sent: between the passes in proportion, beyond them no more."""
        for (left, low), (right, high) in pairwise(self._curve):
            if sent <= right:
                return round(low + (high - low) * (sent - left) / (right - left))
        return self._curve[-1][1]


def _by_frequency(passes: Sequence[int]) -> list[tuple[int, int]]:
    """The frames in these passes by how often they came, most often first, and how many of each there are."""
    often: list[int] = []
    for frames in passes:
        carry = frames
        for number, known in enumerate(often):
            often[number], carry = known | carry, known & carry
        if carry:
            often.append(carry)
    above = [*often[1:], sets.NONE][: len(often)]
    rows = [known & ~more for known, more in zip(often, above, strict=True)]
    return [(frames, frames.bit_count()) for frames in reversed(rows) if frames]


# -- as they are asked for ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of models: a name, how the rest is written, what it does in words."""

    name: str
    rest: str
    rule: str


TABLE = (
    Row("none", "", "Nothing is written."),
    Row("uniform", "SIZE@RATE", "Each write goes to any page of a working set of that size."),
    Row("loop", "SIZE@RATE", "Writes go over the working set in order, round and round."),
    Row("hot", "SIZE@RATE", "Nine writes of ten go to a tenth of the working set, the others to the rest of it."),
)
_SIZE_RATE = re.compile(r"([^@]{1,40})@([^@]{1,40})")
_HOT = 0.1
_PLAIN_RATE = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")


def shown(row: Row) -> str:
    """How a row is written by those who ask for it."""
    return f"{row.name}:{row.rest}" if row.rest else row.name


def size(text: str) -> int:
    """Pages of a size such as 64MiB.

    :raises ValueError: it is none, or not of whole pages, or too large.
    """
    count, over = divmod(speed(text), PAGE) if "/" not in text and text != "none" else (0, 0)
    if over or not 0 < count <= PAGES_MAX:
        raise ValueError(f"{text[:60]!r} is no size of whole pages up to {PAGES_MAX * PAGE >> 40} TiB, such as 64MiB")
    return int(count)


def _rate(text: str) -> float:
    """Pages a second: a plain number of them, or bytes such as 100MiB/s."""
    found = float(text) if _PLAIN_RATE.fullmatch(text) else speed(text) / PAGE
    if not 0 <= found <= RATE_MAX:
        raise ValueError(f"{text[:60]!r} is no rate, such as 20000 pages or 80MiB a second")
    return found


def writer(text: str, pages: int, seed: int = 0) -> list[Writer]:
    """Who writes as that says, such as "uniform:64MiB@20000", in a guest of so many pages.

    :raises ValueError: it says nothing of that kind, or more memory than there is.
    """
    name, given, rest = text.partition(":")
    row = next((row for row in TABLE if row.name == name and bool(given) == bool(row.rest)), None)
    match = _SIZE_RATE.fullmatch(rest)
    if row is None or bool(row.rest) != (match is not None):
        raise ValueError(f"{text[:60]!r} is none of {', '.join(map(shown, TABLE))}")
    if match is None:
        return []
    count, rate = size(match[1]), _rate(match[2])
    if count > pages:
        raise ValueError(f"{text[:60]!r} has a working set of {count:,} pages, of {pages:,} that there are")
    random = Random(f"{seed} {text}")
    if name == "loop":
        return [Loop(0, count, rate)]
    if name == "uniform" or count < 2:
        return [Uniform(0, count, rate, random)]
    hot = max(int(count * _HOT), 1)
    return [Uniform(0, hot, rate * (1 - _HOT), random), Uniform(hot, count - hot, rate * _HOT, random)]
