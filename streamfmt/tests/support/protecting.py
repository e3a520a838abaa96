"""Guests under protection, for tests: both sides in one process, and an output that says how far the guest is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ...engine.checkpointing.devices import Devices, HeldOutput
from ...engine.checkpointing.disk import Replica
from ...engine.checkpointing.primary import Remus, RemusPrimary
from ...engine.checkpointing.standby import RemusStandby
from ...engine.checkpointing.witness import Nobody, Witness
from ...engine.guest.model import Model
from ...engine.migrate import Asked, Patience, Taking
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter
from .moving import Kept, another, way, working

QUICK = Patience(5.0, 5.0, 5.0, 5.0)
SHORT = Patience(0.3, 0.3, 0.3, 0.3)


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a link."""
    here, there = socket.socketpair()
    for sock in (here, there):
        sock.setblocking(False)
    return here, there


@dataclass
class Seen:
    """What has left: numbers of pages that the guest says it has written."""

    guest: Model
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)

    def device(self) -> HeldOutput:
        """The output device: at each look, a packet with the number."""
        return HeldOutput(self._take, lambda data: self.given.append(int.from_bytes(data, "little")))

    def _take(self) -> bytes:
        done = self.guest.done
        self.taken.append(done)
        return done.to_bytes(8, "little")


class Digests:
    """A device that notes the guest's state at each checkpoint, and where in the stream it was complete."""

    held = 0

    def __init__(self, guest: Model) -> None:
        self.guest = guest
        self.side: RemusPrimary | None = None
        self.digests: list[str] = []
        self.ends: list[int] = []

    def postsuspend(self) -> None:
        assert not self.guest.running
        self.digests.append(self.guest.digest())

    def preresume(self) -> None:
        assert not self.guest.running

    def commit(self) -> None:
        assert self.side is not None
        self.ends.append(self.side.output.sent)

    def release(self) -> None:
        pass

    def drop(self) -> None:
        pass


@dataclass
class Protected:
    """What came of a protection, on both sides."""

    primary: RemusPrimary
    standby: RemusStandby
    guest: Model
    seen: Seen
    digests: Digests
    arrived: Any = None
    errors: dict[str, BaseException] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"primary": [], "standby": []})
    digest: str = ""
    stream: bytes = b""

    def close(self) -> None:
        for each in (self.guest, self.arrived):
            if each is not None:
                each.close()


def protected(
    guest: Model | None = None,
    *,
    interval: float = 0.001,
    most: int = 4,
    acknowledged: bool = True,
    witness: Witness | None = None,
    patience: Patience = QUICK,
    make: Any = another,
    between: Callable[[socket.socket, socket.socket], tuple[socket.socket, socket.socket]] = lambda a, b: (a, b),
) -> Protected:
    """Protect a guest until that ends; both ends of the link are closed then."""
    guest = guest or working()
    here, there = between(*pair())
    seen, digests, kept = Seen(guest), Digests(guest), Kept()
    devices = Devices((seen.device(), digests))
    remus = Remus(interval, acknowledged, devices, witness or Nobody(), most)
    with ExitStack() as opened:
        waiters = Waiter(), Waiter()
        for waiter in waiters:
            opened.callback(waiter.close)
        found: Protected
        asked = Asked(waiters[0], patience, lambda event: found.events["primary"].append(dict(event)), kept)
        primary = RemusPrimary(guest, SocketEnd(here, "here"), way(), remus, asked)
        digests.side = primary
        asked = Asked(waiters[1], patience, lambda event: found.events["standby"].append(dict(event)))
        taking = Taking(inspect=lambda arrived: setattr(found, "digest", arrived.digest()))
        standby = RemusStandby(SocketEnd(there, "there"), make, taking, asked, witness)
        found = Protected(primary, standby, guest, seen, digests)

        def stand_by() -> None:
            try:
                found.arrived = standby.stand_by()
            except BaseException as error:
                found.errors["standby"] = error
            finally:
                standby.end.close()

        thread = threading.Thread(target=stand_by)
        thread.start()
        try:
            primary.protect()
        except BaseException as error:
            found.errors["primary"] = error
        finally:
            primary.end.close()
            thread.join(20)
        assert not thread.is_alive()
    found.stream = bytes(kept.data)
    return found


def replayed(
    stream: bytes,
    *,
    make: Any = another,
    witness: Witness | None = None,
    patience: Patience = QUICK,
    stays: bool = False,
    taking: Taking | None = None,
    disk: Replica | None = None,
) -> tuple[RemusStandby, Any, BaseException | None]:
    """A standby that gets these bytes, then the end of the link, or silence if it `stays`."""
    here, there = pair()
    with ExitStack() as opened:
        for each in (here, there):
            opened.callback(each.close)
        waiter = Waiter()
        opened.callback(waiter.close)
        standby = RemusStandby(
            SocketEnd(there, "there"), make, taking or Taking(), Asked(waiter, patience), witness, disk
        )
        here.setblocking(True)

        def feed() -> None:
            try:
                here.sendall(stream)
                if not stays:
                    here.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the standby has ended before

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            return standby, standby.stand_by(), None
        except BaseException as error:
            return standby, None, error
        finally:
            there.shutdown(socket.SHUT_RDWR)
            thread.join(20)
