"""Guests and links for tests of migrations: small, and both ends in one process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...codec.content import Buffer
from ...engine.configuration import Configuration
from ...engine.flow import Watcher
from ...engine.guest.model import Model
from ...engine.guest.model_workload import Workload
from ...engine.guest.models import model
from ...engine.interface import Guest
from ...engine.migrate import Asked, Patience, Receiving, Sending, Taking, Way
from ...engine.orders import Orders
from ...engine.policies import policy
from ...engine.precopy import Settings
from ...engine.too_fast import remedy
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter

PAGES = 256
QUICK = Patience(5.0, 5.0, 5.0, 5.0)


def working(kind: str = "hvm", rate: float = 20000.0, pages: int = PAGES, clock: Any = None, **more: Any) -> Model:
    """A model guest that runs and writes 32 pages, with 40 more that are random."""
    guest = model(pages, kind, **({"clock": clock} if clock else {}))
    guest.boot(Workload.of(32, rate, "scattered"), filled=40, **more)
    guest.resume()
    return guest


def another(image: str, config: Configuration) -> Guest:
    """An empty one on another host."""
    return model(config.pages, image, host=1, private=True)


def way(name: str = "xen", *, verify: bool = False, live: bool = True, orders: Orders | None = None) -> Way:
    """How it is moved."""
    return Way(Settings(policy(name), remedy("go-on"), verify), orders or Orders(), live)


class Kept:
    """Keeps the bytes that pass."""

    def __init__(self) -> None:
        self.data = bytearray()

    def see(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            self.data += buffer


@dataclass
class Moved:
    """What came of a migration, on both sides."""

    sending: Sending
    receiving: Receiving
    guest: Guest | None = None
    digest: str = ""
    errors: dict[str, BaseException] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=lambda: {"source": [], "destination": []})
    stream: bytes = b""


def moved(
    guest: Guest,
    how: Way,
    *,
    make: Callable[[str, Configuration], Guest] = another,
    taking: Taking | None = None,
    patience: Patience = QUICK,
    between: Callable[[socket.socket, socket.socket], tuple[socket.socket, socket.socket]] = lambda a, b: (a, b),
    watcher: Watcher | None = None,
    look: Callable[[Moved], None] = lambda found: None,
    clock: Callable[[], float] = time.monotonic,
) -> Moved:
    """Move a guest over a socket pair: the receiver in a thread; both ends are closed when both sides are done.

    `look` is called whenever some memory has gone; `clock` is the sender's.
    """
    here, there = between(*socket.socketpair())
    for sock in (here, there):
        sock.setblocking(False)
    digests: list[str] = []
    if taking is None:
        taking = Taking(inspect=lambda arrived: digests.append(arrived.digest()))
    kept = Kept()
    waiters = Waiter(clock), Waiter()
    found: Moved

    def note(side: str) -> Callable[[Any], None]:
        return lambda event: found.events[side].append(event["event"])

    asked = Asked(waiters[0], patience, note("source"), watcher or kept, lambda: look(found))
    sending = Sending(guest, SocketEnd(here, "here"), how, asked)
    asked = Asked(waiters[1], patience, note("destination"))
    receiving = Receiving(SocketEnd(there, "there"), make, taking, asked)
    found = Moved(sending, receiving)

    def receive() -> None:
        try:
            found.guest = receiving.receive()
        except BaseException as error:
            found.errors["destination"] = error
        finally:
            receiving.end.close()

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        sending.send()
    except BaseException as error:
        found.errors["source"] = error
    finally:
        sending.end.close()
        thread.join(20)
        for waiter in waiters:
            waiter.close()
    assert not thread.is_alive()
    found.stream = bytes(kept.data)
    found.digest = digests[0] if digests else ""
    return found
