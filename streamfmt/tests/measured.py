"""What a command takes: its peak of memory, by itself and beside that of an interpreter that does nothing."""

from __future__ import annotations

import os
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


def taken(words: Sequence[str], room: int | None = None) -> Taken:
    """Run Python with these words, in `room` bytes of address space if that is given."""

    limit = "unlimited" if room is None else str(room >> 10)
    shell = ["sh", "-c", f'ulimit -v {limit} && exec timeout {_HANG} "$@"', "sh"]
    with subprocess.Popen([*shell, sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        errors = child.stderr.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return Taken(child.returncode, errors, usage.ru_maxrss << 10)


def command(*words: str | Path, room: int | None = None) -> Taken:
    """Run streamfmt with these words."""
    return taken(["-m", "streamfmt", *map(str, words)], room)


@cache
def bare() -> int:
    """Bytes that an interpreter takes at its peak that does nothing."""
    return taken(["-c", "pass"]).peak
