"""Both sides of COLO in one process: the secondary in a thread, over a socket pair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...engine.colo.party import Colo
from ...engine.colo.primary import Primary
from ...engine.colo.secondary import Secondary
from ...engine.guest.model import Model
from ...engine.interface import Guest
from ...engine.orders import Orders
from ...engine.receiving import Make
from ...engine.side import Asked
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter
from .moving import QUICK, Kept, another, way

Event = dict[str, Any]


@dataclass
class Pair:
    """What came of both sides: their guests, what they said, and their guests' digests at each checkpoint."""

    primary: Primary
    secondary: Secondary
    stream: Kept
    error: BaseException | None = None
    lost: BaseException | None = None
    taken: Guest | None = None
    events: dict[str, list[Event]] = field(default_factory=lambda: {"primary": [], "secondary": []})
    digests: dict[str, list[str]] = field(default_factory=lambda: {"primary": [], "secondary": []})

    def close(self) -> None:
        """End both guests."""
        for guest in (self.primary.guest, self.secondary.guest):
            if guest is not None:
                guest.close()


class Watched(Primary):
    """A primary that keeps its guest's digest at each checkpoint."""

    digests: list[str]

    def _capture(self) -> str:
        self.digests.append(self.guest.digest())
        return super()._capture()


def paired(
    guest: Model,
    rounds: int = 3,
    *,
    ours: Colo | None = None,
    theirs: Colo | None = None,
    make: Make = another,
    before: Callable[[int], None] = lambda number: None,
    each: Callable[[Pair], None] = lambda pair: None,
    kept: bool = True,
    between: Callable[[socket.socket, socket.socket], tuple[socket.socket, socket.socket]] = lambda a, b: (a, b),
) -> Pair:
    """Protect a guest for so many checkpoints after the first, then end the primary; both ends are closed at the end.

    If it is not `kept`, what was said and sent is not, nor are digests.

    :param before: called in the primary with the number of each checkpoint that both have, while both guests run.
    """
    here, there = between(*socket.socketpair())
    orders, stream = Orders(), Kept()
    waiters = Waiter(), Waiter()
    found: Pair

    def primary_said(event: Any) -> None:
        if kept:
            found.events["primary"].append(event)
        if event["event"] == "checkpoint":
            before(event["number"])
            if event["number"] == rounds:
                orders.cancelled = "so many were wanted"

    def secondary_said(event: Any) -> None:
        found.events["secondary"].append(event)

    primary = (Watched if kept else Primary)(
        guest,
        SocketEnd(here, "here"),
        way(orders=orders),
        ours or Colo(0.0),
        Asked(waiters[0], QUICK, primary_said, stream if kept else None),
    )
    digests: list[str] = []
    secondary = Secondary(
        SocketEnd(there, "there"),
        make,
        theirs or Colo(),
        Asked(waiters[1], QUICK, secondary_said),
        inspect=lambda guest: digests.append(guest.digest()) if kept else None,
    )
    ours_digests: list[str] = []
    if isinstance(primary, Watched):
        primary.digests = ours_digests
    found = Pair(primary, secondary, stream, digests={"primary": ours_digests, "secondary": digests})

    def stand_by() -> None:
        try:
            found.taken = secondary.stand_by()
        except BaseException as error:
            found.lost = error
        finally:
            secondary.end.close()

    thread = threading.Thread(target=stand_by)
    thread.start()
    try:
        each(found)
        primary.protect()
    except BaseException as error:
        found.error = error
    finally:
        primary.end.close()
        thread.join(20)
        for waiter in waiters:
            waiter.close()
    assert not thread.is_alive()
    return found
