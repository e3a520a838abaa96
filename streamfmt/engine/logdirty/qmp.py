"""The saver's side of QEMU's monitor: QMP over a Unix socket, for xen-set-global-dirty-log (Xen 4.3 and later).

QMP is lines of JSON: a greeting, then commands that are answered in their order, with events between.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from ...errors import LateError, LinkError, PeerError
from ..local_sockets import connected
from ..waiting import READ, WRITE, Waiter
from .forms import QMP_COMMAND

PATIENCE = 10.0  # seconds for an answer
LINE_MAX = 1 << 20
_PIECE = 1 << 16


class Monitor:
    """A connection to a monitor, ready for commands.  `waiter` serves others while an answer is waited for."""

    def __init__(self, path: str, waiter: Waiter | None = None, patience: float = PATIENCE) -> None:
        """Connect and negotiate.

        :raises LinkError: nobody is there.
        :raises LateError: nobody speaks.
        :raises PeerError: it speaks something else.
        """
        self._path, self._patience = path, patience
        self._waiter = waiter or Waiter()
        self._own = waiter is None
        self._received = bytearray()
        self._said: deque[dict[str, Any]] = deque()
        self._number = 0
        self._socket = connected(path, "monitor", patience, self._waiter)
        try:
            self._negotiate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
        if self._own:
            self._waiter.close()

    def execute(self, name: str, **arguments: object) -> object:
        """What a command returns.

        :raises PeerError: the command fails; the message has the monitor's own.
        """
        self._number += 1
        asked: dict[str, object] = {"execute": name, "id": self._number}
        if arguments:
            asked["arguments"] = arguments
        deadline = self._waiter.clock() + self._patience
        self._send(json.dumps(asked).encode() + b"\r\n", deadline, name)
        while True:
            said = self._next(deadline, name)
            if "event" in said:
                continue
            if said.get("id") != self._number:
                raise PeerError(f"the monitor at {self._path} answers {name} with something else: {_short(said)}")
            if "return" in said:
                return said["return"]
            error = said.get("error")
            text = error.get("desc") if isinstance(error, dict) else None
            raise PeerError(f"the monitor at {self._path} refuses {name}: {text or _short(said)}")

    def _negotiate(self) -> None:
        greeting = self._next(self._waiter.clock() + self._patience, "its greeting")
        if not isinstance(greeting.get("QMP"), dict):
            raise PeerError(f"what is at {self._path} is no monitor: it begins with {_short(greeting)}")
        self.execute("qmp_capabilities")

    def _send(self, data: bytes, deadline: float, name: str) -> None:
        while data:
            self._wait(WRITE, deadline, name)
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise LinkError(f"the monitor at {self._path} is gone: {error.strerror or error}") from None

    def _next(self, deadline: float, name: str) -> dict[str, Any]:
        while not self._said:
            self._wait(READ, deadline, name)
            self._receive()
        return self._said.popleft()

    def _wait(self, events: int, deadline: float, name: str) -> None:
        what = f"the monitor at {self._path} did not answer {name} within {self._patience:g} s"
        if self._waiter.clock() >= deadline:
            raise LateError(what)
        self._waiter.until(self._socket.fileno(), events, deadline, what)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkError(f"the monitor at {self._path} is gone: {error.strerror or error}") from None
        if not data:
            raise LinkError(f"the monitor at {self._path} has closed the connection")
        self._received += data
        *lines, rest = self._received.split(b"\n")
        if max(map(len, (*lines, rest))) > LINE_MAX:
            raise PeerError(f"the monitor at {self._path} sends a line of more than {LINE_MAX:,} bytes")
        self._received = bytearray(rest)
        self._said += [spoken(line, f"the monitor at {self._path}") for line in lines if line.strip()]


def spoken(line: bytes | bytearray, who: str) -> dict[str, Any]:
    """What a line says.

    :raises PeerError: it is not QMP's.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PeerError(f"{who} speaks no QMP: {bytes(line[:64])!r}")
    return found


def set_dirty_log(path: str, on: bool, waiter: Waiter) -> None:
    """Have the emulator whose monitor is at a path begin or end to report what it writes."""
    monitor = Monitor(path, waiter)
    try:
        monitor.execute(QMP_COMMAND, enable=on)
    finally:
        monitor.close()


def _short(said: object) -> str:
    return json.dumps(said)[:64]
