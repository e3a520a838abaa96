"""Migrations between two processes of ours, measured as those of real QEMU are: ``python -m streamfmt.bench.moves``.

The receiver is started, and waits, before anything is timed; so is the guest.  It is one of kind `process`, which is
what QEMU's is with TCG: a thread of a process that writes memory of its own, here tracked by the kernel.  It writes as
fast as it can, as QEMU's does.  QEMU's writes 12 million pages a second on a machine where ours writes one million,
which is enough for all of its working set to be written again in each round, with either.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import BenchError
from .qemu_moves import KINDS, MIB, Kind

# Seconds after which a side that says nothing more has failed, in which a receiver's guest gets ready, and for which
# the guest runs before it is moved, and after it.
_PATIENCE, _READY, _BEFORE, _AFTER = 60.0, 0.7, 0.3, 0.2
# Bytes of events that a pipe holds: what a process may ask for without being root (pipe(7)).
_ROOM = 1 << 20
_PROGRAM = (sys.executable, "-m", "streamfmt", "migrate")


@dataclass(frozen=True, slots=True)
class Moved:
    """What a migration took, in seconds: in all; the downtime as its source counts it; from the guest's stop until it
    ran again; and for which it stood still by its own clock, -1 where it looks at none.  Bytes sent, and resident
    memory of both sides at most.  What is not known is 0.
    """

    total: float
    downtime: float = 0.0
    pause: float = 0.0
    gap: float = -1.0
    sent: int = 0
    source: int = 0
    destination: int = 0


class Program:
    """A command of ours whose events are read as they come; as a context manager, ended with it."""

    def __init__(self, *words: str) -> None:
        self.peak = 0
        self._words = words
        self._process = subprocess.Popen(
            [*_PROGRAM, *words, "--json", "--time-out", str(_PATIENCE)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def keep(self) -> None:
        """Have room for some thousands of events that nobody reads yet."""
        assert self._process.stdout is not None
        fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _ROOM)

    def wait(self) -> None:
        """Return once it has ended; what it said can be read still.  Raises BenchError."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise BenchError(f"migrate {' '.join(self._words)}: it does not end") from None

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name.  Raises BenchError."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found: dict[str, Any] = json.loads(line)
            self._look()
            if found["event"] == name:
                return found
            if found["event"] == "failed":
                raise BenchError(f"migrate {' '.join(self._words)}: {found['reason']}")
        raise BenchError(f"migrate {' '.join(self._words)}: it ended before {name!r}")

    def _look(self) -> None:
        try:
            self.peak = max(self.peak, peak(self._process.pid))
        except (OSError, StopIteration):
            pass  # it has just ended


def peak(process: int) -> int:
    """Bytes of memory that a process has had at most, from /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10


def options(guest: Kind) -> tuple[str, ...]:
    """The options of `send` that make such a guest."""
    written = ("--working-set", f"{guest.written}B", "--dirty-rate", "max") if guest.written else ("--dirty-rate", "0")
    return "--guest", "process", "--memory", f"{guest.memory}B", "--fill", f"{guest.filled}B", *written


@contextmanager
def receiver(*words: str) -> Iterator[tuple[Program, str]]:
    """A receiver that is ready, and the address at which it waits."""
    with tempfile.TemporaryDirectory(prefix="streamfmt-bench-") as folder:
        uri = f"unix:{folder}/link"
        with Program("receive", uri, "--guest", "process", "--run", str(_AFTER), *words) as destination:
            destination.event("listening")
            time.sleep(_READY)
            yield destination, uri


def move(guest: Kind, prepared: bool = False, words: Sequence[str] = (), both: Sequence[str] = ()) -> Moved:
    """Move a guest over a Unix socket, as fast as it goes, by the policy that is QEMU's, and with its usual limit.

    :param prepared: the receiver has its memory before it comes.
    :param words: more options for the sender.
    :param both: and for both.
    :raises BenchError: it did not work.
    """
    ahead = ("--prepare", f"{guest.memory}B") if prepared else ()
    with receiver(*ahead, *both) as (destination, uri):
        way = ("--policy", "qemu", "--speed", "none", "--after", str(_BEFORE))
        with Program("send", uri, *options(guest), *way, *words, *both) as source:
            stopped = source.event("stopped")["moment"]
            sent = source.event("sent")["bytes"]
            moved = source.event("moved")
            pause = destination.event("started")["moment"] - stopped
            ran = destination.event("ran")
            if ran["broken"]:
                raise BenchError(f"the guest is broken: {ran['broken'][0]}")
            gap = -1.0 if ran["gap"] is None else ran["gap"]
            return Moved(moved["seconds"], moved["downtime"], pause, gap, sent, source.peak, destination.peak)


def main(words: list[str]) -> int:
    """Print the figures of migrations: of all kinds, or of those that are named."""
    for kind in [word for word in words if word in KINDS] or [*KINDS]:
        for prepared in (False, True):
            found = move(KINDS[kind], prepared)
            print(
                f"{kind:8} {'prepared' if prepared else '':8} total {found.total:6.3f} s, "
                f"downtime {found.downtime * 1e3:6.1f} ms, pause {found.pause * 1e3:6.1f} ms, "
                f"gap {found.gap * 1e3:6.1f} ms, {found.sent / MIB:8.1f} MiB, "
                f"resident {found.source / MIB:,.0f} and {found.destination / MIB:,.0f} MiB",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
