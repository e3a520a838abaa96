"""The figures of checkpoints: of each for a while, and of all in sums, so that their number does not matter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

# Epochs whose figures are kept one by one.
KEPT = 1024


@dataclass(frozen=True, slots=True)
class Epoch:
    """One checkpoint, numbered from 0, and the time since the one before.  Times are in seconds."""

    number: int
    frames: int  # sent in it: those that were written since the one before
    sent: int  # bytes on the link
    stood: float  # from the guest's stop until it ran again
    latency: float  # from its stop until the standby had all of it, and output was let go
    held: int = 0  # bytes of output that waited for it


class Epochs:
    """All so far: `count`, and sums of their figures; the last :data:`KEPT` are there one by one."""

    def __init__(self) -> None:
        self.count = self.frames = self.sent = self.most_frames = self.most_held = 0
        self.stood = self.latency = 0.0
        self._recent: deque[Epoch] = deque(maxlen=KEPT)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._recent)

    def add(self, epoch: Epoch) -> None:
        """One more."""
        self._recent.append(epoch)
        self.count += 1
        self.frames += epoch.frames
        self.sent += epoch.sent
        self.stood += epoch.stood
        self.latency += epoch.latency
        self.most_frames = max(self.most_frames, epoch.frames)
        self.most_held = max(self.most_held, epoch.held)

    @property
    def last(self) -> Epoch | None:
        """The last one."""
        return self._recent[-1] if self._recent else None

    def medians(self) -> dict[str, float]:
        """The medians of those that are there one by one, by the names of their figures; none if there are none."""
        names = ("frames", "sent", "stood", "latency", "held")
        return {name: median(getattr(row, name) for row in self._recent) for name in names} if self._recent else {}

    def figures(self) -> dict[str, float]:
        """Everything, for events and the control socket."""
        sums = {
            name: getattr(self, name) for name in ("frames", "sent", "stood", "latency", "most_frames", "most_held")
        }
        middle = {f"median_{name}": value for name, value in self.medians().items()}
        return {"checkpoints": self.count, **sums, **middle}
