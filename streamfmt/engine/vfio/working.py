"""A model's device that works while it is saved: it goes on whenever somebody looks, as a model's guest does."""

from __future__ import annotations

from .device import Device
from .saving import Saver


class Working:
    """A saver whose device does `steps` steps before each answer, as long as it runs.

    With as many as its memory has blocks, all of that is written anew before each look: faster than it can be sent.
    """

    def __init__(self, saver: Saver, device: Device, steps: int) -> None:
        self.name = saver.name
        self._saver, self._device, self._steps = saver, device, steps

    def setup(self) -> bytes:
        """As the saver's."""
        return self._saver.setup()

    def iterate(self) -> bytes:
        """As the saver's, after some work."""
        self._device.work(self._steps)
        return self._saver.iterate()

    def stop(self) -> None:
        """As the saver's, after some work."""
        self._device.work(self._steps)
        self._saver.stop()

    def complete(self) -> bytes:
        """As the saver's."""
        return self._saver.complete()

    def state(self) -> bytes:
        """As the saver's."""
        return self._saver.state()

    def done(self) -> None:
        """As the saver's."""
        self._saver.done()

    def cancel(self) -> None:
        """As the saver's."""
        self._saver.cancel()

    def pages(self, count: int) -> int:
        """As the saver's, after some work."""
        self._device.work(self._steps)
        return self._saver.pages(count)
