"""Guests, ends and sides for tests of migrations in QEMU's form, without QEMU: small, and the same each time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from ...engine import migrate_qemu
from ...engine.interface import DirtySource, End
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter
from ...writer.part import Part

PAGE = 4096
# Seconds that the other side gets in tests: more than it needs on a busy machine, and a test that fails still ends.
PATIENCE = 10.0
# What is written to frames while a round runs: one of these for each round.
Writes = Mapping[int, bytes]


class Log:
    """What a guest has written; each time it is cleaned, the guest writes what is next."""

    def __init__(self, guest: Guest, rounds: Iterable[Writes]) -> None:
        self._guest = guest
        self._rounds = iter(rounds)
        self._set = 0
        self.on = False

    def enable(self) -> None:
        self.on = True
        self._go_on()

    def peek(self) -> int:
        return self._set

    def clean(self) -> int:
        found, self._set = self._set, 0
        self._go_on()
        return found

    def disable(self) -> None:
        self.on = False

    def _go_on(self) -> None:
        if self._guest.running:
            for frame, data in next(self._rounds, {}).items():
                self._guest.put(frame, data)
                self._set |= 1 << frame


class Guest:
    """A guest that is memory, and nothing else."""

    type = "hvm"
    descriptor = -1

    def __init__(self, pages: int, contents: Writes | None = None, rounds: Iterable[Writes] = ()) -> None:
        self.pages = pages
        self.memory = memoryview(bytearray(pages * PAGE))
        self.running = self.closed = False
        self._populated = 0
        self.log = Log(self, rounds)
        for frame, data in (contents or {}).items():
            self.put(frame, data)

    @property
    def dirty(self) -> DirtySource:
        return self.log

    def put(self, frame: int, data: bytes) -> None:
        """Write a page."""
        self.memory[frame * PAGE : (frame + 1) * PAGE] = data
        self._populated |= 1 << frame

    def populated(self) -> int:
        rows = (self.memory[at : at + PAGE] for at in range(0, len(self.memory), PAGE))
        return self._populated | sum(1 << frame for frame, data in enumerate(rows) if bytes(data).strip(b"\0"))

    def types(self) -> None:
        return None

    def pause(self) -> None:
        self.running = False

    def resume(self) -> None:
        assert not self.closed
        self.running = True

    def static(self) -> Iterable[Part]:
        return ()

    def state(self) -> Iterable[Part]:
        return ()

    def emulator(self) -> bytes:
        return b""

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        assert not list(records)

    def digest(self) -> str:
        return bytes(self.memory).hex()

    def broken(self) -> list[str]:
        return []

    def close(self) -> None:
        self.running, self.closed = False, True


class Side:
    """What a side does, in a thread of its own; `result` is what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:
            self.result = error

    def done(self) -> Any:
        """What came of it, once it is over."""
        self._thread.join(4 * PATIENCE)
        assert not self._thread.is_alive()
        return self.result


@contextmanager
def pair() -> Any:
    """Both ends of a link."""
    sockets = socket.socketpair()
    ends = [SocketEnd(each, "the link") for each in sockets]
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


@contextmanager
def waiter() -> Any:
    """What waits for a side."""
    found = Waiter()
    try:
        yield found
    finally:
        found.close()


def received(make: Callable[[int], Guest], end: End, taking: migrate_qemu.Taking) -> migrate_qemu.Received:
    """Receive into a guest."""
    with waiter() as waits:
        return migrate_qemu.receive(end, make, waits, taking)


def sent(guest: Guest, end: End, terms: migrate_qemu.Terms) -> Any:
    """Send a guest."""
    with waiter() as waits:
        return migrate_qemu.send(guest, end, waits, terms)


class Recorded:
    """Keeps the bytes that are sent."""

    def __init__(self) -> None:
        self.data = bytearray()

    def see(self, buffers: Iterable[Any]) -> None:
        for buffer in buffers:
            self.data += buffer


def stream(guest: Guest, terms: migrate_qemu.Terms | None = None) -> bytes:
    """The stream of a guest that is not live, to nobody who answers."""
    with pair() as (mine, other):
        side = Side(lambda: _drained(cast(SocketEnd, other)))
        sent(guest, mine, replace(terms or migrate_qemu.Terms(), return_path=False, patience=PATIENCE))
        return bytes(side.done())


def _drained(end: SocketEnd) -> bytes:
    end.socket.setblocking(True)
    found = b"".join(iter(lambda: end.socket.recv(1 << 16), b""))
    end.close()
    return found
