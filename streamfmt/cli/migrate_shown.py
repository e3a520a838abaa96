"""What `migrate` prints: events as JSON lines, or lines for people, with one that is alive on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from ..codec.content import Buffer
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.statistics import Statistics
    from .line import Line

FORM = "streamfmt-migrate-1"
_MILLI = 1000
# Seconds between two looks at the figures, on a terminal.
_REFRESH = 0.1


class Shown:
    """Takes the events of one side.  `side` is its name; with `as_json` each is a line of JSON on standard output."""

    def __init__(self, side: str, as_json: bool, quiet: bool = False) -> None:
        self.side = side
        self.as_json = as_json
        self.last: dict[str, Mapping[str, Any]] = {}
        self._shown_at = 0.0
        self._line: Line | None = None
        if not as_json and not quiet and sys.stderr is not None and sys.stderr.isatty():
            from rich import progress

            from .line import Line

            columns = progress.BarColumn(bar_width=20), progress.TextColumn("{task.description}")
            self._line = Line(*columns, total=1)

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.last[event["event"]] = event
        if self.as_json:
            print(json.dumps({"format": FORM, "side": self.side, **event}), flush=True)
        elif self._line is not None:
            self._line.update(description=in_words(event))

    def progress(self, statistics: Statistics) -> None:
        """Show the figures of this moment, on a terminal, a few times a second."""
        if self._line is None or statistics.seconds - self._shown_at < _REFRESH:
            return
        self._shown_at = statistics.seconds
        rate = "" if statistics.bandwidth is None else f", {mebibytes(statistics.bandwidth)}/s"
        dirty = "" if statistics.dirty_rate is None else f", {statistics.dirty_rate:,.0f} dirty/s"
        words = f"round {statistics.iteration}: {mebibytes(statistics.sent)} sent, {statistics.remaining:,} frames left"
        done = 1 - statistics.remaining / statistics.frames
        self._line.update(completed=done, description=f"{words}{rate}{dirty}, {statistics.seconds:.1f} s")

    def say(self, seconds: float, words: str) -> None:
        """Show words at this moment, on a terminal, a few times a second."""
        if self._line is not None and seconds - self._shown_at >= _REFRESH:
            self._shown_at = seconds
            self._line.update(description=words)

    def close(self) -> None:
        """End the line that is alive."""
        if self._line is not None:
            self._line.end()
            self._line = None

    def fail(self, error: BaseException) -> int:
        """Say why it did not work; returns the exit status."""
        self.close()
        if self.as_json:
            words = {"event": "failed", "seconds": 0.0, "error": type(error).__name__, "reason": str(error)}
            print(json.dumps({"format": FORM, "side": self.side, **words}), flush=True)
        inputs.say(f"streamfmt: {self.side}: {error}")
        return 1


def in_words(event: Mapping[str, Any]) -> str:
    """An event in a line."""
    match event["event"]:
        case "round":
            rate = mebibytes(event["bandwidth"] or 0)
            return (
                f"round {event['number']}: {event['frames']:,} frames, {mebibytes(event['sent'])} in "
                f"{event['lasted']:.3f} s, {event['remaining']:,} left, {rate}/s"
            )
        case "message":
            return f"message {event['message']}"
        case "stopped":
            return f"stopped: {event['why']}"
    return str(event["event"])


def mebibytes(count: float) -> str:
    """An amount of bytes, for people."""
    return f"{count / (1 << 20):,.1f} MiB" if count >= 1 << 20 else f"{count / 1024:,.1f} KiB"


def milliseconds(seconds: float | None) -> str:
    """A time, for people."""
    return "not known" if seconds is None else f"{seconds * _MILLI:,.1f} ms"


def summary(statistics: Statistics) -> list[str]:
    """The figures of a migration, in lines."""
    lines = [
        f"  round {row.number}: {row.frames:,} frames, {mebibytes(row.sent)} in {milliseconds(row.seconds)}, "
        f"{row.dirty:,} dirty after it"
        for row in statistics.rounds
    ]
    lines.append(f"  sent {mebibytes(statistics.sent)} in {statistics.seconds:.3f} s")
    named = {"downtime": statistics.downtime, "pause": statistics.pause, "gap": statistics.gap}
    return [*lines, "  " + ", ".join(f"{name} {milliseconds(value)}" for name, value in named.items())]


class Recorder:
    """Writes the bytes of a stream to a file as they pass."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by its user

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These come next.  Raises OSError."""
        for buffer in buffers:
            self._file.write(buffer)

    def close(self) -> None:
        """Complete the file.  Raises OSError."""
        self._file.close()
