"""What a command takes: its peak of memory, by itself and beside that of an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

# What a recipe may take over the bare interpreter, in bytes, and what nothing here takes in seconds.
ROOM = 64 << 20
_HANG = 120


class Taken(NamedTuple):
    """Exit status, what came on standard error, and bytes of memory at the peak."""

    status: int
    errors: str
    peak: int


# Linux counts what a process held before exec into its peak, so the command starts from a bare interpreter and not
# from this one, which the tests have made large.
_MEASURED = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10)
"""


def taken(words: Sequence[str], room: int | None = None) -> Taken:
    """Run Python with these words, in `room` bytes of address space if that is given."""
    limit = "unlimited" if room is None else str(room >> 10)
    shell = ["sh", "-c", f'ulimit -v {limit} && exec "$@"', "sh", sys.executable, *words]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *shell], capture_output=True, text=True, check=True, timeout=_HANG
    )
    status, peak = map(int, done.stdout.split())
    return Taken(status, done.stderr, peak)


def command(*words: str | Path, room: int | None = None) -> Taken:
    """Run streamfmt with these words."""
    return taken(["-m", "streamfmt", *map(str, words)], room)


@cache
def bare() -> int:
    """Bytes that an interpreter takes at its peak that does nothing."""
    return taken(["-c", "pass"]).peak
