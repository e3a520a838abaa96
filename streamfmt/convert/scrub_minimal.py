"""A scrubbed stream with fewer records, that breaks the same rules.

Records are dropped in runs, of half of them and then of less, pages first; each attempt is judged.  How many there are
is limited, so what remains is small, and need not be the smallest.
"""

from __future__ import annotations

from .. import tables
from ..errors import UnwritableError
from ..io.sources import reason
from ..io.spans import Pieces
from ..io.transfer import write
from .scrub_overlay import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..io.spans import Span
    from .scrub import Scrub
    from .scrub_overlay import Units

# Attempts, of pages and of other records.
TRIES = 200, 400
_BUFFER = 1 << 20


def minimal(scrub: Scrub) -> Minimal:
    """The scrubbed stream with as few records as attempts showed to be enough."""
    found = Minimal(scrub)
    for units, tries in zip((scrub.batches, scrub.others), TRIES, strict=True):
        found.shrink(units, tries)
    return found


class Minimal:
    """What is left: `kept` stretches of the input, in order.  `dropped` counts records."""

    def __init__(self, scrub: Scrub) -> None:
        self._scrub = scrub
        self._wanted = _clauses(scrub.before[1])
        self.kept: list[tuple[int, int]] = [(0, scrub.size)]
        self.dropped = 0

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(stop - start for start, stop in self.kept)

    def shrink(self, units: Units, tries: int) -> None:
        """Drop records as long as the same rules are broken."""
        width = len(units.starts)
        while width and tries > 0:
            for first in range(0, len(units.starts), width):
                last = min(first + width, len(units.starts))
                if all(units.dropped[first:last]):
                    continue
                if tries <= 0:
                    return
                tries -= 1
                if self._attempt(units, first, last):
                    self.dropped += last - first - sum(units.dropped[first:last])
                    units.dropped[first:last] = b"\1" * (last - first)
            width //= 2

    def _attempt(self, units: Units, first: int, last: int) -> bool:
        """Drop some records, if that changes nothing."""
        before = self.kept
        gone: list[tuple[int, int]] = []
        for number in range(first, last):
            start, stop = units.starts[number], units.stops[number]
            if gone and gone[-1][1] == start:
                gone[-1] = gone[-1][0], stop
            elif not units.dropped[number]:
                gone.append((start, stop))
        self.kept = _minus(before, gone)
        span = _pieces(Overlay(self._scrub.fd, self._scrub.size, self._scrub.rows), self.kept)
        if _clauses(self._scrub.judged(span)[1]) == self._wanted:
            return True
        self.kept = before
        return False

    def write(self, out: int, progress: Callable[[int], None] | None = None) -> None:
        """All of it to `out`.  Raises UnwritableError, and OSError where it cannot be read."""
        span = self.span()
        at, room = 0, memoryview(bytearray(_BUFFER))
        while got := span.read_into(room, at):
            data = room[:got]
            while data:
                data = data[write(out, data) :]
            at += got
            if progress is not None:
                progress(at)
        if at < self.size:
            raise UnwritableError(reason(OSError(5, "the input has become shorter")))

    def span(self) -> Span:
        """It as bytes, pages and all."""
        scrub = self._scrub
        rows = list(scrub.rows)
        number = 0
        for start, stop in scrub.contents:
            while number < len(self.kept) and self.kept[number][1] <= start:
                number += 1
            if number < len(self.kept) and self.kept[number][0] <= start:
                rows.append((start, stop, None))
        return _pieces(Overlay(scrub.fd, scrub.size, sorted(rows, key=lambda row: row[0])), self.kept)


def _pieces(base: Span, kept: list[tuple[int, int]]) -> Span:
    found = Pieces(base)
    at = 0
    for start, stop in kept:
        found.add(at, stop - start, start)
        at += stop - start
    found.size = at
    return found


def _minus(kept: list[tuple[int, int]], gone: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of stretches without others; both are in order."""
    found: list[tuple[int, int]] = []
    number = 0
    for first, last in kept:
        at = first
        while number < len(gone) and gone[number][0] < last:
            start, stop = gone[number]
            if start > at:
                found.append((at, start))
            at = max(at, stop)
            if stop > last:
                break
            number += 1
        if at < last:
            found.append((at, last))
    return found


def _clauses(counts: dict[str, int]) -> set[str]:
    """The rules that are broken, but for those of which breaches are only noted."""
    return {clause for clause in counts if tables.SEVERITY[clause] != "note"}
