"""What `migrate` prints: events as JSON lines, or lines for people, with one that is alive on a terminal."""

from __future__ import annotations

import json
import sys
import time
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
# Characters of a bar that leave room for the figures, in a line of 80.
_BAR = 7
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

            columns = progress.BarColumn(bar_width=_BAR), progress.TextColumn("{task.description}")
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
        # In the first round none is measured yet: what has gone so far serves.
        bandwidth = statistics.bandwidth or statistics.sent / statistics.seconds
        rate = f", {mebibytes(bandwidth)}/s"
        dirty = "" if statistics.dirty_rate is None else f", {statistics.dirty_rate:,.0f} dirty/s"
        words = f"round {statistics.iteration}: {mebibytes(statistics.sent)}, {statistics.remaining:,} left"
        done = 1 - statistics.remaining / statistics.frames
        self._line.update(completed=done, description=f"{words}{rate}{dirty}, {statistics.seconds:,.0f} s")

    @property
    def coming(self) -> _Coming | None:
        """Takes bytes that come, and shows how many, on a terminal."""
        return None if self._line is None else _Coming(self._line)

    def close(self) -> None:
        """End the line that is alive."""
        if self._line is not None:
            self._line.end()
            self._line = None

    def fail(self, error: BaseException) -> int:
        """Say why it did not work; returns the exit status."""
        self.close()
        reason = str(error)
        if isinstance(error, OSError) and error.strerror:
            reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        if self.as_json:
            words = {"event": "failed", "seconds": 0.0, "error": type(error).__name__, "reason": reason}
            print(json.dumps({"format": FORM, "side": self.side, **words}), flush=True)
        inputs.say(f"streamfmt: {self.side}: {reason}")
        return 1


class _Coming:
    """Counts the bytes of a stream that comes."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._came = 0
        self._shown_at = self._began = time.monotonic()

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These come next."""
        self._came += sum(len(memoryview(buffer).cast("B")) for buffer in buffers)
        now = time.monotonic()
        if now - self._shown_at >= _REFRESH:
            self._shown_at, took = now, now - self._began
            self._line.update(
                total=None,
                description=f"{mebibytes(self._came)} received, {mebibytes(self._came / took)}/s, {took:.1f} s",
            )


def in_words(event: Mapping[str, Any]) -> str:
    """An event in a line."""
    match event["event"]:
        case "round":
            rate = mebibytes(event["bandwidth"] or 0)
            return (
                f"round {event['number']}: {event['frames']:,} frames, {mebibytes(event['sent'])} in "
                f"{event['lasted']:.3f} s, {event['remaining']:,} left, {rate}/s"
            )
        case "checkpoint" if "latency" in event:
            return (
                f"checkpoint {event['number']:,}: {event['frames']:,} frames, stood {milliseconds(event['stood'])}, "
                f"safe after {milliseconds(event['latency'])}, held {mebibytes(event['held'])}"
            )
        case "checkpoint":
            return f"checkpoint {event['number']:,}: {mebibytes(event['bytes'])}"
        case "message":
            return f"message {event['message']}"
        case "stopped":
            return f"stopped: {event['why']}"
    return str(event["event"])


def mebibytes(count: float) -> str:
    """An amount of bytes, for people."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):,.2f} GiB"
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
        self._path = path
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by its user

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These come next.  Raises OSError."""
        for buffer in buffers:
            left = memoryview(buffer).cast("B")
            while left:
                try:
                    left = left[self._file.write(left) :]
                except OSError as error:
                    raise OSError(error.errno, error.strerror, self._path) from None

    def close(self) -> None:
        """Complete the file.  Raises OSError."""
        self._file.close()
