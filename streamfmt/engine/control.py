"""The control socket: somebody asks how a migration goes, changes its speed or downtime, stops the guest, or cancels.

A Unix socket for its owner alone.  Each line is a JSON object with a `command`, and a `value` where the command has
one; each is answered by a line with `return` or `error`.  It is served while the work waits for its link.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..errors import LinkError, PeerError
from .orders import CHANGES, Orders, change
from .statistics import Statistics
from .transport.addresses import bind_unix, dial_unix
from .transport.uris import Unix
from .waiting import READ, WRITE, Waiter

# Bytes of a line, connections at a time, and bytes of answers that one who does not read them may leave.
_LINE, _MANY, _BACKLOG = 4096, 8, 64 << 10
INFO = "info"
COMMANDS = (INFO, *CHANGES)
_NOBODY = "; no migration has its control socket there, or it has ended"
# Seconds that an answer takes at most: the work looks here whenever it waits, and between two batches of frames.
PATIENCE = 10.0


def figures(statistics: Statistics) -> dict[str, Any]:
    """The figures as JSON has them."""
    return asdict(statistics)


class Control:
    """Serves one migration at `path`.

    :param statistics: gives the figures of the moment.
    :param orders: what is changed by commands.
    :param cancelled: called after "cancel", and may raise; for a side that does not look at orders.
    :raises LinkError: the path cannot be had.
    """

    def __init__(
        self,
        path: str,
        waiter: Waiter,
        orders: Orders,
        statistics: Callable[[], dict[str, Any]],
        cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        before = os.umask(0o177)
        try:
            self._socket, self._remove = bind_unix(Unix(path))
        finally:
            os.umask(before)
        self._waiter, self._orders, self._statistics, self._cancelled = waiter, orders, statistics, cancelled
        self._callers: dict[int, _Caller] = {}
        waiter.serve(self._socket.fileno(), READ, self._accept)

    def close(self) -> None:
        """Serve nobody any more, and leave no socket."""
        for caller in list(self._callers.values()):
            self._drop(caller)
        self._waiter.drop(self._socket.fileno())
        self._remove()
        self._socket.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return
        if len(self._callers) >= _MANY:
            sock.close()
            return
        sock.setblocking(False)
        caller = _Caller(sock)
        self._callers[sock.fileno()] = caller
        self._waiter.serve(sock.fileno(), READ, lambda: self._read(caller))

    def _drop(self, caller: _Caller) -> None:
        self._callers.pop(caller.socket.fileno(), None)
        self._waiter.drop(caller.socket.fileno())
        caller.socket.close()

    def _read(self, caller: _Caller) -> None:
        try:
            data = caller.socket.recv(_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(caller)
            return
        caller.unread += data
        cancelled = False
        *lines, caller.unread = caller.unread.split(b"\n")
        if len(caller.unread) > _LINE:
            lines, caller.unread = [b""], b""
        answers = b""
        for line in lines:
            answer = self._answer(line)
            cancelled |= bool(self._orders.cancelled)
            answers += json.dumps(answer).encode() + b"\n"
        try:
            went = caller.socket.send(answers[:_BACKLOG]) if answers else 0
        except OSError:
            went = -1
        if went < len(answers):
            self._drop(caller)  # it does not read its answers
        if cancelled:
            self._cancelled()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            command, value = asked["command"], asked.get("value", "")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {"error": 'a command is a line such as {"command": "set-speed", "value": "32m"}'}
        if command == INFO:
            return {"return": self._statistics()}
        try:
            change(self._orders, f"{command} {value}".strip())
        except ValueError as error:
            return {"error": str(error)}
        return {"return": {}}


class _Caller:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.unread = b""


def ask(path: str, command: str, value: str = "", seconds: float = PATIENCE) -> Any:
    """Send one command to the control socket of a migration; returns what it answers.

    :raises LinkError: nobody is there.
    :raises LateError: it does not answer in time.
    :raises PeerError: it refuses.
    """
    waiter = Waiter()
    try:
        deadline = waiter.clock() + seconds
        with dial_unix(Unix(path), waiter, deadline, _NOBODY) as sock:
            line = json.dumps({"command": command} | ({"value": value} if value else {})).encode() + b"\n"
            waiter.until(sock.fileno(), WRITE, deadline, f"{path}: it takes no command")
            sock.send(line)
            answer = b""
            while not answer.endswith(b"\n"):
                waiter.until(sock.fileno(), READ, deadline, f"{path}: it does not answer")
                data = sock.recv(_BACKLOG)
                if not data:
                    raise LinkError(f"{path}: it ended without an answer")
                answer += data
    except OSError as error:
        raise LinkError(f"{path}: {error.strerror or error}") from error
    finally:
        waiter.close()
    try:
        said = json.loads(answer)
    except ValueError:
        raise PeerError(f"{path}: it is no control socket of a migration") from None
    if "error" in said:
        raise PeerError(f"{path}: {said['error']}")
    return said.get("return")
