"""Python functions as targets: called in a process that is replaced when it dies, hangs or runs out of memory.

The process is forked from the one that searches and imports the function's module; streams and results go through a
pipe.
It leads a process group; those that the function starts end with it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import UnrunnableError
from .kin import Kin, children, die_with
from .result import ACCEPT, CRASH, HANG, Result, of_exception, refused, said, signal_name
from .target import Input, Stop

# What a function may allocate on top of what the process has when it starts.
MEMORY = 1 << 30
# Children that it may have from one stream to the next, dead ones that it does not wait for among them.  Where there
# are more, they and the process end, and it is restarted: else each stream might leave one.
_CHILDREN = 16
# How long importing its module may take, in seconds.
_IMPORTING = 60
# Exceptions by which readers say that they do not take a stream.
_REFUSALS = (ValueError, OSError, EOFError)


class Function:
    """One function, in a process that takes one stream after another."""

    def __init__(self, name: str, timeout: float, kin: Kin, asked: Connection | None) -> None:
        self._name = name
        self._timeout = timeout
        self._kin = kin
        self._asked = [] if asked is None else [asked]
        self._pid = 0
        self._life = -1
        self._pipe: Connection | None = None
        self._start()

    def run(self, given: Input) -> Result:
        pipe = self._pipe or self._start()
        try:
            pipe.send_bytes(given.data)
            answer = self._heard(pipe, self._timeout)
        except (EOFError, OSError):
            if self._ready([self._life], self._timeout):
                return self._died()
            answer = None  # it closed the pipe, and lives
        if answer is None:
            self.close()
            return Result(HANG, f"still running after {self._timeout:g} s")
        assert isinstance(answer, Result)
        self._kin.end()
        if len(children(self._pid)) > _CHILDREN:
            self.close()
        return answer

    def close(self) -> None:
        self._end()

    def _heard(self, pipe: Connection, patience: float) -> Any:
        """What it says, or None if it takes too long.  Raises EOFError and OSError if it has died."""
        # Its children may hold the pipe open when it has.
        ready = self._ready([pipe, self._life], patience)
        if ready and pipe not in ready:
            raise EOFError
        return pipe.recv() if ready else None

    def _ready(self, some: list[Any], patience: float) -> list[Any]:
        """Those with something to say, if that comes in time.  Raises Stop."""
        ready = wait([*some, *self._asked], patience)
        if self._asked and self._asked[0] in ready:
            raise Stop
        return ready

    def _died(self) -> Result:
        status = os.waitstatus_to_exitcode(self._end())
        how = f"killed by {signal_name(-status)}" if status < 0 else f"the process ended with status {status}"
        return Result(CRASH, how, how)

    def _end(self) -> int:
        """End the process, if there is one, and its children; as what it ended."""
        status = 0
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        if self._pid:
            os.killpg(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
            self._kin.kept.discard(self._pid)
            self._pid = 0
            self._kin.end()
        return status

    def _start(self) -> Connection:
        """A new process that has imported the function.  Raises UnrunnableError."""
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        us = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            _serve(self._name, theirs, us)  # which does not return
        try:
            self._kin.kept.add(self._pid)
            os.setpgid(self._pid, self._pid)
            self._life = os.pidfd_open(self._pid)
            self._pipe = ours
            theirs.close()
            problem = self._heard(ours, _IMPORTING)
            if problem is None:
                problem = f"still importing after {_IMPORTING} s"
        except (EOFError, ConnectionError):
            problem = f"importing it: {self._died().what}"
        except BaseException:
            self.close()
            raise
        if problem:
            self.close()
            raise UnrunnableError(f"cannot run python:{self._name}: {problem}")
        return ours


def _serve(name: str, pipe: Connection, parent: int) -> None:
    """The life of the process, to its end."""
    try:
        die_with(parent)
        os.setpgid(0, 0)  # both do it, since either may be first
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _only(pipe.fileno())
        function = _imported(name, pipe)
        if function is not None:
            _limit()
            _answer(function, pipe)
    except (EOFError, OSError):
        pass  # the other end of the pipe has gone
    finally:
        os._exit(0)


def _only(kept: int) -> None:
    """Close what belongs to others, and let the function's output go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _imported(name: str, pipe: Connection) -> Any:
    """The function, or None; says through the pipe which, and why not."""
    module, _, function = name.rpartition(".")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(import_module(module), function)
        problem = "" if callable(found) else f"{type(found).__name__} cannot be called"
    except BaseException as error:
        problem = f"{type(error).__name__}: {said(error)}"
    pipe.send(problem)
    return None if problem else found


def _limit() -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = used + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    # The stack's overflow is found by Python itself; a core file for each crash is of no use.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(function: Any, pipe: Connection) -> None:
    """Call it with each stream that comes."""
    us = os.getpid()
    while True:
        data = pipe.recv_bytes()
        try:
            given = function(data)
            # False is not an exit status, though it equals 0.
            accepted = given is None or given is True or (type(given) is int and given == 0)
            what = f"returned {given!r:.100}" if isinstance(given, (int, str, type(None))) else "returned an object"
            result = Result(ACCEPT, what) if accepted else refused(what)
        except _REFUSALS as error:
            result = refused(f"{type(error).__name__}: {said(error)}")
        except BaseException as error:
            result = of_exception(error)
        if os.getpid() != us:
            break  # a child that the function has made, and that came back from it too
        pipe.send(result)
