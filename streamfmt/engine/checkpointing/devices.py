"""What a guest does to the outside, held back until the state that it comes from is safe.

At each checkpoint every device is called in the order of libxl's: `postsuspend` when the guest has stopped, `preresume`
before it goes on, `commit` when the standby has all of the checkpoint (tools/libs/light/libxl_checkpoint_device.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable


class Device(Protocol):
    """One device; what it raises ends the protection."""

    @property
    def held(self) -> int:
        """Bytes of it that wait."""

    def postsuspend(self) -> None:
        """The guest stands: what it has done since the last time belongs to one epoch."""

    def preresume(self) -> None:
        """It is about to go on."""

    def commit(self) -> None:
        """All epochs that were closed by `postsuspend` are safe."""

    def release(self) -> None:
        """There is no standby any more and the guest goes on here: nothing is held from now on."""

    def drop(self) -> None:
        """The guest goes on elsewhere: what is held must never be seen."""


@runtime_checkable
class Carried(Protocol):
    """What a device has besides whose epochs the standby is to have."""

    def carried(self) -> bytes:
        """Optional records for libxl's tail, of the epoch that was closed last."""


class Devices:
    """Several of them, each step for all in their order; `drop` and `release` reach all even if one raises."""

    def __init__(self, devices: Sequence[Device] = ()) -> None:
        self._devices = tuple(devices)

    @property
    def held(self) -> int:
        """Bytes that wait, of all of them."""
        return sum(device.held for device in self._devices)

    def postsuspend(self) -> None:
        """The guest stands."""
        for device in self._devices:
            device.postsuspend()

    def carried(self) -> bytes:
        """What goes with the checkpoint."""
        return b"".join(device.carried() for device in self._devices if isinstance(device, Carried))

    def preresume(self) -> None:
        """It is about to go on."""
        for device in self._devices:
            device.preresume()

    def commit(self) -> None:
        """What was closed is safe."""
        for device in self._devices:
            device.commit()

    def release(self) -> None:
        """Hold nothing from now on."""
        self._all([device.release for device in self._devices])

    def drop(self) -> None:
        """Forget what is held."""
        self._all([device.drop for device in self._devices])

    @staticmethod
    def _all(calls: Sequence[Callable[[], None]]) -> None:
        errors: list[Exception] = []
        for call in calls:
            try:
                call()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


class HeldOutput:
    """Output that leaves only when its epoch is safe.

    `held` is how many bytes wait, `most` the largest such number so far.

    :param take: gives what the guest has put out since it was last asked, as its packets in a row.
    :param give: takes what may be seen.
    """

    def __init__(self, take: Callable[[], bytes], give: Callable[[bytes], None]) -> None:
        self.held = self.most = 0
        self._take, self._give = take, give
        self._epochs: deque[bytes] = deque()

    def postsuspend(self) -> None:
        """Close the epoch."""
        data = self._take()
        if data:
            self._epochs.append(data)
            self.held += len(data)
            self.most = max(self.most, self.held)

    def preresume(self) -> None:
        """There is nothing to do: what comes from now on is another epoch's."""

    def commit(self) -> None:
        """Let the closed epochs go, in their order."""
        while self._epochs:
            data = self._epochs.popleft()
            self.held -= len(data)
            self._give(data)

    def release(self) -> None:
        """Let all go, that of the epoch that is open too."""
        self.postsuspend()
        self.commit()

    def drop(self) -> None:
        """Let nothing go."""
        self._epochs.clear()
        self.held = 0
