"""Processes for tests of crashes: one side of a migration each, made by forking a process that has loaded all.

Started as a program it takes requests on a socket: an address of a socket pair's end comes beside each, and a process
is made that plays a part, says there what happens, and then does as it is asked until the socket is closed.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .kill_points import environment

# Longer than anything takes that goes well; what goes wrong is noticed sooner, by links that end.
SECONDS = 20.0
_MESSAGE = 1 << 16


class Party:
    """A process that plays a part, as its test has it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.events: list[dict[str, Any]] = []
        self.pid = int(self.hear("born")["pid"])

    def hear(self, *wanted: str) -> dict[str, Any]:
        """What it says next of these kinds; "gone" if it has gone before."""
        while True:
            data = self._socket.recv(_MESSAGE)
            event = json.loads(data) if data else {"event": "gone"}
            self.events.append(event)
            if event["event"] in (*wanted, "gone"):
                return event

    def ask(self, what: str) -> dict[str, Any]:
        """Have it do something; its answer."""
        self._socket.send(what.encode())
        return self.hear("answer")

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end, and wait until it has."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while self.hear()["event"] != "gone":
                pass
        except OSError:
            pass  # it was killed
        self._socket.close()


class Maker:
    """Makes parties."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", __name__, str(its.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[its.fileno()], env=environment())

    def make(self, part: str, **how: Any) -> Party:
        """A process that plays this part."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(SECONDS)
        with its:
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [its.fileno()]))]
            self._socket.sendmsg([json.dumps({"part": part, **how}).encode()], beside)
        return Party(mine)

    def alive(self) -> list[int]:
        """The processes that it, or those that it made, have left running."""
        return _children(self._process.pid)

    def close(self) -> None:
        """Make no more."""
        self._socket.close()
        self._process.wait(SECONDS)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has ended
        if (int(parent) == pid or int(session) == pid) and int(path.parent.name) != pid and state != "Z":
            found.append(int(path.parent.name))
    return found


# -- what follows runs in the processes that are made -----------------------------------------------------------------


def _serve(number: int) -> None:
    # A session of its own: whatever its children start belongs to it, whoever their parent is by then.
    os.setsid()
    from . import crash_parts  # loaded once, here

    with socket.socket(fileno=number) as sock:
        while True:
            data, beside, _, _ = sock.recvmsg(_MESSAGE, socket.CMSG_SPACE(4))
            if not data:
                return
            (_, _, raw) = beside[0]
            (control,) = array.array("i", raw)
            if os.fork() == 0:
                sock.close()
                status = 1
                try:
                    os.set_inheritable(control, False)
                    with socket.socket(fileno=control) as own:
                        crash_parts.play(own, json.loads(data))
                    status = 0
                finally:
                    os._exit(status)
            os.close(control)
            with _nothing_to_wait_for():
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass


@contextmanager
def _nothing_to_wait_for() -> Iterator[None]:
    try:
        yield
    except ChildProcessError:
        pass


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
