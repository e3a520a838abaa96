"""Commands that write files, in a process that is killed at a chosen moment, and in either way of writing them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Python that chooses the way: a file without a name until it is complete, or one with a name beside.
WAYS = {
    "without a name": "",
    "with a name": "from streamfmt.io import beside; beside._nameless = lambda folder: -1\n",
}
_KILLED = """
import os, signal
class Killed:
    left, name, after = {left}, {name!r}, {after}
    call = getattr(os, name)
def killed(*args, **kwargs):
    Killed.left -= 1
    try:
        if Killed.left or Killed.after:
            return Killed.call(*args, **kwargs)
    finally:
        if not Killed.left:
            os.kill(os.getpid(), signal.SIGKILL)
setattr(os, Killed.name, killed)
"""


def command(program: str, *words: str) -> list[str]:
    """A streamfmt command in an interpreter that runs `program` first."""
    return [sys.executable, "-c", f"{program}\nfrom streamfmt.cli.main import entry; entry()", *words]


def environment() -> dict[str, str]:
    """What lets the interpreter find what this one finds, wherever it runs."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def killed_at(call: str, left: int = 1, *, after: bool = False) -> str:
    """Python that has the process killed at its nth call of a function of os, before or after that is done."""
    return _KILLED.format(left=left, name=call, after=after)


def is_writing(process: int, folder: Path) -> bool:
    """Whether a process has a file of that folder open for writing, with or without a name."""
    for fd in (Path("/proc") / str(process) / "fd").iterdir():
        try:
            if os.readlink(fd).startswith(f"{folder}/"):
                flags = int((fd.parent.parent / "fdinfo" / fd.name).read_text().split("flags:")[1].split()[0], 8)
                if flags & os.O_ACCMODE == os.O_WRONLY:
                    return True
        except FileNotFoundError:
            pass  # it has been closed meanwhile
    return False


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that has to happen soon."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)
