"""Pacing: how many bytes may go now, so that a limit is kept over any second, and what was missed is not lost.

What may have gone by a moment is a straight line; being late by a little is made good, being late by more is not, as
the bytes of any second would then be more than the limit and its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable

# Seconds of the limit that may come at once: of the tolerance of 5 % over any second, all but one for what is rounded.
BURST = 0.04
# With a low limit at least this goes at once: half a page, smaller writes cost more than they carry.
_LEAST = 2048


class Pace:
    """Keeps a limit of bytes a second; 0 is none.  `clock` gives seconds, and never goes back."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._since = clock()
        self._credit = self._most

    @property
    def limit(self) -> float:
        """Bytes a second, 0 for no limit.  It may be changed at any moment, and holds from then on."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        if limit != self._limit:
            self._settle()
            self._limit = limit
            self._credit = min(self._credit, self._most)

    @property
    def room(self) -> int | None:
        """How many bytes may go now, 0 or more; None is any number."""
        if not self._limit:
            return None
        self._settle()
        return max(int(self._credit), 0)

    def took(self, count: int) -> None:
        """So many bytes went.  More than there was room for are waited for afterwards."""
        if self._limit:
            self._settle()
            self._credit -= count

    def moment(self, wanted: int) -> float:
        """The moment of the clock from which there is room for so many bytes, or for as many as go at once; or now."""
        if not self._limit:
            return self._clock()
        self._settle()
        missing = min(wanted, self._most) - self._credit
        # Rounded up by less than a byte's time, so that at that moment there is the room, not almost.
        return self._since + max(missing + 0.5, 0.0) / self._limit if missing > 0 else self._since

    @property
    def most(self) -> int:
        """How many bytes there is room for at once, at most, where there is a limit."""
        return int(self._most)

    @property
    def _most(self) -> float:
        return max(self._limit * BURST, _LEAST)

    def _settle(self) -> None:
        """Add what the time since the last look gives."""
        now = self._clock()
        self._credit = min(self._credit + (now - self._since) * self._limit, self._most)
        self._since = now
