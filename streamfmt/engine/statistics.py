"""The figures of a migration, at any moment: what policies decide by, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over frames: its number from 1, what it sent, what was dirty when it ended, and how long it took."""

    number: int
    frames: int  # sent in it
    sent: int  # bytes on the link
    dirty: int  # frames written while it ran
    seconds: float
    sending: float | None = None  # seconds of these for which it sent; None is all of them


@dataclass(frozen=True, slots=True)
class Statistics:
    """All figures so far.  Times are in seconds, rates in bytes or frames a second; None is not known yet."""

    frames: int  # of the guest
    iteration: int = 0  # rounds that have begun
    sent_frames: int = 0
    sent: int = 0  # bytes on the link
    remaining: int = 0  # frames
    seconds: float = 0.0  # since the beginning
    dirty_rate: float | None = None  # frames a second
    bandwidth: float | None = None  # bytes a second
    expected_downtime: float | None = None
    downtime: float | None = None  # from the source's stop to its end of sending
    pause: float | None = None  # from the source's stop to the guest running again
    gap: float | None = None  # what the guest itself felt
    rounds: tuple[Round, ...] = ()

    def after(self, done: Round) -> Self:
        """The same, after one more round."""
        rounds = (*self.rounds, done)
        return replace(
            self,
            iteration=done.number,
            sent_frames=self.sent_frames + done.frames,
            sent=self.sent + done.sent,
            remaining=done.dirty,
            seconds=self.seconds + done.seconds,
            rounds=rounds,
        )
