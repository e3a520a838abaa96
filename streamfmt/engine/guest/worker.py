"""The process in which a guest lives: `python -m streamfmt.engine.guest.worker DESCRIPTOR PARENT`.

It makes the guest that its first message asks for, and does what messages say, one after another, until its owner's
end of the socket is closed: with the owner dies the guest.  Others that may use it come by descriptors that the owner
hands over; one of them that goes away leaves the guest as it is, but for its log, which nobody would read.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import GuestError, MigrationError
from ...writer.part import Part
from . import hvm, wire
from .kinds import Local, local
from .memory import Memory
from .programs import Work

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG (include/uapi/linux/prctl.h)
# Seconds that one who asked may take to read the answer.
_PATIENCE = 30.0
# Seconds for which a guest's thread may keep the interpreter while somebody asks something: each question and answer
# takes it twice, and a guest stands meanwhile.
_SWITCH = 0.00005
Answer = tuple[Any, bytes]
Call = Callable[[Local, wire.Message], Answer]


class Server:
    """A guest, and those that use it."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._selector = selectors.DefaultSelector()
        self._guest: Local | None = None
        self._logging: socket.socket | None = None
        # The state of a guest that stands, made as soon as it does: it is asked for soon, and waited for.
        self._state: Answer | None = None
        self._admit(owner)

    def _admit(self, link: socket.socket) -> None:
        link.settimeout(_PATIENCE)
        self._selector.register(link, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the owner is gone."""
        while True:
            for key, _ in self._selector.select():
                link = key.fileobj
                if isinstance(link, socket.socket) and not self._served(link):
                    if link is self._owner:
                        return
                    self._dismiss(link)

    def _served(self, link: socket.socket) -> bool:
        """Do what one says; returns whether it may say more."""
        try:
            message = wire.receive(link)
            if message is None:
                return False
            try:
                value, data = self._do(link, message)
            except MigrationError as error:
                wire.send(link, {"error": str(error)})
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                wire.send(link, {"error": f"the guest's process does not understand: {error!r}"})
            else:
                shared = self._guest.shares() if self._guest and message.said["call"] in _SHARING else ()
                wire.send(link, {"value": value}, data, shared)
                if message.said["call"] == "pause" and self._guest is not None:
                    self._state = _parts(self._guest.state())
        except MigrationError:
            return False
        return True

    def _dismiss(self, link: socket.socket) -> None:
        self._selector.unregister(link)
        link.close()
        if link is self._logging and self._guest is not None:
            self._logging = None
            self._guest.dirty.disable()

    def _do(self, link: socket.socket, message: wire.Message) -> Answer:
        name, arguments = message.said["call"], message.said.get("with", {})
        if name == "started":
            return None, b""
        if name == "make":
            works = [Work(**{**work, "text": work["text"].encode("latin-1")}) for work in arguments["works"]]
            self._guest = local(arguments["kind"], Memory.adopt(message.descriptors[0]), works)
            return self._guest.facts(), b""
        if self._guest is None:
            raise GuestError("there is no guest yet")
        if name == "admit":
            self._admit(socket.socket(fileno=message.descriptors[0]))
            return None, b""
        if name == "enable":
            self._logging = link
        if name == "state" and self._state is not None:
            return self._state
        if name in _CHANGING:
            self._state = None
        return _CALLS[name](self._guest, message)


def _parts(found: Iterable[Part]) -> Answer:
    bodies = [(part.name, part.body("<")) for part in found]
    return [(name, len(body)) for name, body in bodies], b"".join(body for _, body in bodies)


def _load(guest: Local, message: wire.Message) -> Answer:
    at, found = 0, []
    for name, size in message.said["with"]["records"]:
        found.append((name, message.data[at : at + size]))
        at += size
    guest.load(found)
    return None, b""


def _said(call: Callable[[Local], Any]) -> Call:
    return lambda guest, _: (call(guest), b"")


def _set(call: Callable[[Local], int]) -> Call:
    def answer(guest: Local, _: wire.Message) -> Answer:
        frames = call(guest)
        return None, frames.to_bytes((frames.bit_length() + 7) // 8, "little")

    return answer


# What a state that was made before does not hold after.
_CHANGING = ("pause", "resume", "load", "forget_gap")
# What is answered with descriptors of what the guest shares.
_SHARING = ("make", "join")
_CALLS: dict[str, Call] = {
    "join": _said(lambda guest: guest.facts()),
    "running": _said(lambda guest: guest.running),
    "pause": _said(lambda guest: guest.pause()),
    "resume": _said(lambda guest: guest.resume()),
    "static": lambda guest, _: _parts(guest.static()),
    "state": lambda guest, _: _parts(guest.state()),
    "load": _load,
    "digest": _said(lambda guest: guest.digest()),
    "broken": _said(lambda guest: guest.broken()),
    "gap": _said(lambda guest: guest.gap()),
    "forget_gap": _said(lambda guest: guest.forget_gap()),
    "console": lambda guest, _: (None, guest.console()),
    "enable": _said(lambda guest: guest.dirty.enable()),
    "disable": _said(lambda guest: guest.dirty.disable()),
    "peek": _set(lambda guest: guest.dirty.peek()),
    "clean": _set(lambda guest: guest.dirty.clean()),
}


def main(words: list[str]) -> None:
    """Serve on the socket with the first number; the second is that of the process with which it ends, or 0."""
    descriptor, parent = map(int, words)
    sys.setswitchinterval(_SWITCH)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those that use the guest
    if parent:
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it was gone before it was asked for
            os._exit(1)
    hvm.warm()
    Server(socket.socket(fileno=descriptor)).serve()
    os._exit(0)  # threads of the guest may run; with the process they end, whatever they do


if __name__ == "__main__":
    main(sys.argv[1:])
