"""How fast bytes may go: a bucket that fills with time, so that no second has more than the speed allows."""

from __future__ import annotations

from collections.abc import Callable

# Seconds of the speed that may go at once after a pause: what is allowed above it in any one second, as a part of it.
_BURST = 0.04
# Seconds of the speed that are worth waking up for.
_WORTH = 0.005
_LEAST = 512


class Pace:
    """The speed of one direction, in bytes a second, None for as fast as it goes.  It may be changed at any moment."""

    def __init__(self, clock: Callable[[], float], speed: float | None = None) -> None:
        self._clock = clock
        self._speed: float | None = None
        self._room = 0.0
        self._at = clock()
        self.change(speed)

    @property
    def speed(self) -> float | None:
        return self._speed

    def change(self, speed: float | None) -> None:
        """From now on, this speed.

        :raises ValueError: it is not above zero.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"a speed is above 0 bytes a second, not {speed}")
        self._fill()
        self._speed = speed
        self._room = min(self._room, self._burst)

    @property
    def _burst(self) -> float:
        return 0.0 if self._speed is None else max(self._speed * _BURST, _LEAST)

    def _fill(self) -> None:
        now = self._clock()
        if self._speed is not None:
            self._room = min(self._room + (now - self._at) * self._speed, self._burst)
        self._at = now

    def room(self) -> int | None:
        """How many bytes may go now; None for any number, 0 for none before :meth:`moment`."""
        if self._speed is None:
            return None
        self._fill()
        return int(self._room) if self._room >= self._worth else 0

    @property
    def _worth(self) -> float:
        return 0.0 if self._speed is None else max(self._speed * _WORTH, min(_LEAST, self._burst))

    def went(self, count: int) -> None:
        """So many bytes went; more than there was room for are paid for later."""
        if self._speed is not None:
            self._room -= count

    def moment(self) -> float:
        """When there will be room, by the clock."""
        if self._speed is None:
            return self._at
        return self._at + max(self._worth - self._room, 0.0) / self._speed
