"""No process that a target starts is left, whatever session or group it is in, and however often it forks.

A process that loses its parent becomes a child of the nearest ancestor that is a "subreaper" (see prctl(2)).  Those
that search are, and so is the one that started them: what a target leaves behind is among their children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

from ..errors import UnendingError

# From linux/prctl.h; Python has no names for them.
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 1, 36, 37
# Seconds in which all have to be gone.
_PATIENCE = 10.0


class Kin:
    """The children of this process: `kept` are to live, which are those that it has now, and all others may be ended.

    As a context manager it makes this process a subreaper until its end.  Raises OSError where the system has none.
    """

    def __init__(self) -> None:
        before = ctypes.c_int()
        _prctl(_GET_CHILD_SUBREAPER, ctypes.byref(before))
        _prctl(_SET_CHILD_SUBREAPER, 1)
        self._before = before.value
        self.kept = children(os.getpid())

    def __enter__(self) -> Kin:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            _prctl(_SET_CHILD_SUBREAPER, self._before)

    def end(self) -> None:
        """Kill and reap all other children, and those that they leave in turn.

        Raises UnendingError once for those that live on, as another user's processes do.
        """
        until = time.monotonic() + _PATIENCE
        while left := children(os.getpid()) - self.kept:
            if time.monotonic() >= until:
                self.kept |= left
                raise UnendingError(f"{len(left)} processes that it started cannot be ended: {_some(left)}")
            if not sum([_ended(pid) for pid in left]):
                time.sleep(0.001)


def die_with(parent: int) -> None:
    """This process is killed when its parent dies, however that comes about."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it was too late to ask for that


def children(parent: int) -> set[int]:
    """Process ids of its children, zombies too; none if there is no such process.  Raises OSError without /proc."""
    tasks = f"/proc/{parent}/task"
    found: set[int] = set()
    try:
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/children") as file:
                found.update(map(int, file.read().split()))
    except (FileNotFoundError, ProcessLookupError):
        # It has just ended; or the kernel was built without these files.
        return searched(parent)
    return found


def searched(parent: int) -> set[int]:
    """The same, in a way that is always there: all processes are looked at."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # What follows the program's name, which may have blanks and brackets in it: state and parent.
                if name.isdigit() and int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.add(int(name))
        except OSError:
            continue  # it has ended, or is not a process
    return found


def _ended(pid: int) -> bool:
    """Kill a child; whether it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except (ProcessLookupError, ChildProcessError):
        return True  # it has been waited for elsewhere
    except PermissionError:
        return False  # it is another user's by now


def _prctl(option: int, value: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    unused = [ctypes.c_ulong(0)] * 3
    if libc.prctl(option, ctypes.c_ulong(value) if isinstance(value, int) else value, *unused):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def _some(pids: set[int]) -> str:
    shown = sorted(pids)[:5]
    return ", ".join(map(str, shown)) + (", ..." if len(pids) > len(shown) else "")
