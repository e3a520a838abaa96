"""The emulator's process: it writes guest memory at a set rate while it runs, and takes part in logging.

Its owner speaks to it over a socket, in lines of JSON: {"do": "pause"} and {"do": "resume"} are answered with
{"writes": N} once it is so.  When the owner is gone, however that came, the process ends and leaves nothing behind.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial

from ...errors import MigrationError, PeerError
from ..local_sockets import remove
from ..logdirty.answering import Answerer, MonitorAnswerer, answerer
from ..logdirty.forms import FORMS
from ..logdirty.reported import Reported
from ..waiting import READ, Waiter
from ..xenstore.client import Client
from .dma import PAGE_SIZE, Ring, write
from .monitor import GREETING, Session
from .setup import Setup

_AT_ONCE = 256  # pages that are written before anybody else has a turn
_PAUSE = 0.002  # seconds between such turns
_LOOK = 0.25  # seconds between looks at whether the saver is still there
_PIECE = 1 << 16


class Process:
    """All that there is of it; `run` returns when its owner is gone."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._waiter = Waiter()
        self._control = socket.socket(fileno=setup.control)
        self._memory = memoryview(mmap.mmap(setup.memory, setup.pages * PAGE_SIZE))
        self._ring = Ring(setup.first, setup.count, setup.writes)
        self._due = self._looked = self._waiter.clock()
        self._running = self._ended = False
        self._received = bytearray()
        reported = Reported(setup.pages, setup.reported) if setup.reported >= 0 else None
        self._store = Client(setup.store) if setup.store else None
        form = FORMS[setup.form]
        self._answerer: Answerer | None = answerer(form, self._store, setup.domain, setup.pages, reported, self._log)
        self._waiter.serve(setup.control, READ, self._hear_owner)
        if self._store:
            self._waiter.serve(self._store.fileno(), READ, self._store.pump)
        self._listener = socket.socket(fileno=setup.monitor) if setup.monitor >= 0 else None
        if self._listener:
            self._waiter.serve(setup.monitor, READ, partial(self._accept, self._listener))

    def run(self) -> None:
        """Work until the owner is gone."""
        self._say("writes", self._ring.writes)
        while not self._ended:
            self._turn()
            if self._running:
                self._write()
        if self._answerer:
            self._answerer.close()
        if self._listener:
            remove(self._listener.getsockname())

    def _next(self) -> float:
        """The moment at which there is something to do again."""
        now = self._waiter.clock()
        if self._running and self._setup.rate:
            return min(max(self._due, now + _PAUSE), self._looked + _LOOK)
        return self._looked + _LOOK

    def _write(self) -> None:
        """Write the pages whose time has come: first into memory, then into the log."""
        if not self._setup.rate:
            return
        now = self._waiter.clock()
        # What could not be written in time is left out: a disk is no faster after a pause.
        self._due = max(self._due, now - _AT_ONCE / self._setup.rate)
        while self._due <= now:
            self._ring, frame = write(self._memory, self._ring)
            if self._answerer:
                self._answerer.mark(frame)
            self._due += 1 / self._setup.rate

    # -- savers -------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Answer what savers have asked, and wait; without xenstore the guest goes on, and only savers are at a loss.

        All events that were kept are heard before it waits: one may have come together with an answer.
        """
        try:
            now = self._waiter.clock()
            if now >= self._looked + _LOOK:
                self._looked = now
                if self._answerer:
                    self._answerer.look()
            while self._store and self._answerer and (event := self._store.take()):
                self._answerer.hear(event.token)
            self._waiter.step(self._next())
        except MigrationError as error:
            self._log(f"no more answers about dirty frames: {error}")
            found, self._answerer = self._answerer, None
            if found:
                found.close()
            if self._store:
                self._waiter.drop(self._store.fileno())
                self._store.close()
                self._store = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        session = Session(self._switch, lambda: self._running)
        client.setblocking(False)
        self._waiter.serve(client.fileno(), READ, partial(self._hear_monitor, client, session))
        with suppress(OSError):
            client.send(GREETING)

    def _hear_monitor(self, client: socket.socket, session: Session) -> None:
        try:
            data = client.recv(_PIECE)
            if data:
                client.send(session.feed(data))
                return
        except (OSError, PeerError):
            pass
        self._waiter.drop(client.fileno())
        client.close()

    def _switch(self, on: bool) -> None:
        if isinstance(self._answerer, MonitorAnswerer):
            self._answerer.on = on

    # -- its owner ----------------------------------------------------------------------------------------------------

    def _say(self, name: str, value: object) -> None:
        try:
            self._control.sendall(json.dumps({name: value}).encode() + b"\n")
        except OSError:
            self._ended = True

    def _log(self, text: str) -> None:
        """Have the owner know something; if it has not listened for long, it never will."""
        with suppress(OSError):
            self._control.send(json.dumps({"log": text}).encode() + b"\n", socket.MSG_DONTWAIT)

    def _hear_owner(self) -> None:
        try:
            data = self._control.recv(_PIECE)
        except OSError:
            data = b""
        self._ended = self._ended or not data
        *lines, rest = (self._received + data).split(b"\n")
        self._received = bytearray(rest)
        for line in lines:
            self._running = json.loads(line)["do"] == "resume"
            self._due = max(self._due, self._waiter.clock()) if self._running else self._due
            self._say("writes", self._ring.writes)


def main(line: str) -> None:
    """Be such a process."""
    # Ctrl-C at a terminal ends our owner, and we end with that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setup = Setup.of(line)
    try:
        Process(setup).run()
    except MigrationError as error:
        with suppress(OSError):
            os.write(setup.control, json.dumps({"error": str(error)}).encode() + b"\n")
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
