"""The emulator's monitor: as much of QMP as a saver asks for, between bytes and an object that is switched.

It does no I/O: what came is fed to a session, and what it returns is to be sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...errors import PeerError
from ..logdirty.forms import QMP_COMMAND
from ..logdirty.qmp import LINE_MAX, spoken

_VERSION = {"qemu": {"major": 0, "minor": 1, "micro": 0}, "package": "streamfmt"}
GREETING = json.dumps({"QMP": {"version": _VERSION, "capabilities": []}}).encode() + b"\r\n"
_READY = "qmp_capabilities"


class Session:
    """One client of the monitor; `switch` is called with what the command for dirty logging says."""

    def __init__(self, switch: Callable[[bool], None], running: Callable[[], bool]) -> None:
        self._switch, self._running = switch, running
        self._received = bytearray()
        self._ready = False

    def feed(self, data: bytes) -> bytes:
        """Take what came, and return the answers.

        :raises PeerError: it is no QMP; the connection is to be closed.
        """
        self._received += data
        *lines, rest = self._received.split(b"\n")
        if len(rest) > LINE_MAX:
            raise PeerError("a client of the monitor sends a line without an end")
        self._received = bytearray(rest)
        return b"".join(self._answer(spoken(line, "a client of the monitor")) for line in lines if line.strip())

    def _answer(self, asked: dict[str, Any]) -> bytes:
        name, arguments = asked.get("execute"), asked.get("arguments", {})
        said: dict[str, object]
        if name == _READY:
            self._ready = True
            said = {"return": {}}
        elif not self._ready:
            said = _error("CommandNotFound", f"expecting capabilities negotiation with {_READY!r}")
        elif name == QMP_COMMAND:
            said = self._set(arguments)
        elif name == "query-status":
            running = self._running()
            said = {"return": {"running": running, "status": "running" if running else "paused"}}
        else:
            said = _error("CommandNotFound", f"the command {str(name)[:64]} has not been found")
        if "id" in asked:
            said["id"] = asked["id"]
        return json.dumps(said).encode() + b"\r\n"

    def _set(self, arguments: object) -> dict[str, object]:
        on = arguments.get("enable") if isinstance(arguments, dict) else None
        if not isinstance(on, bool) or arguments != {"enable": on}:
            return _error("GenericError", f"{QMP_COMMAND} takes enable, true or false, and nothing else")
        self._switch(on)
        return {"return": {}}


def _error(kind: str, text: str) -> dict[str, object]:
    return {"error": {"class": kind, "desc": text}}
