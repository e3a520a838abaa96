"""Waiting for descriptors and moments: the one place in which the engine sleeps.

Each side of a migration is one thread of work, which waits here for its link.  What else is to be served meanwhile,
such as a control socket or a signal, is registered once and handled while the work waits.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from ..errors import LateError

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Waiter:
    """Waits, and serves what is registered meanwhile.  `clock` gives seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._selector = selectors.DefaultSelector()

    def serve(self, descriptor: int, events: int, handler: Callable[[], None]) -> None:
        """Call `handler` whenever `descriptor` is ready for `events`, until it is dropped; it may raise."""
        self._selector.register(descriptor, events, handler)

    def drop(self, descriptor: int) -> None:
        """Serve a descriptor no longer; before it is closed."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError):
            pass

    def until(self, descriptor: int, events: int, deadline: float | None = None, what: str = "the other side") -> None:
        """Return once `descriptor`, which nobody serves, is ready for `events`.

        :raises LateError: `deadline`, a moment of the clock, has passed; `what` says what was waited for.
        """
        ready: list[bool] = []
        self._selector.register(descriptor, events, lambda: ready.append(True))
        try:
            while not ready:
                if not self.step(deadline) and deadline is not None and self.clock() >= deadline:
                    raise LateError(what)
        finally:
            self.drop(descriptor)

    def sleep(self, moment: float) -> None:
        """Return at a moment of the clock, not before."""
        while self.clock() < moment:
            self.step(moment)

    def step(self, deadline: float | None = 0.0) -> int:
        """Serve what is ready, waiting for it until `deadline` at most; returns how many were."""
        left = None if deadline is None else max(deadline - self.clock(), 0)
        ready = self._selector.select(left)
        for key, _ in ready:
            key.data()
        return len(ready)

    def close(self) -> None:
        """Serve nothing more."""
        self._selector.close()
