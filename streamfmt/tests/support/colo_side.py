"""One side of COLO, until it ends; as a program, with the descriptor of its end of a link, to be killed."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count

import pytest

from ...engine.colo.party import Colo
from ...engine.colo.primary import Primary
from ...engine.colo.secondary import Secondary
from ...engine.guest.model import Model
from ...engine.side import Asked
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter
from ...errors import MigrationError
from .colo_script import small
from .moving import QUICK, another, way


def play(name: str, sock: socket.socket, happened: Callable[[int], None] = lambda number: None) -> tuple[str, Model]:
    """One side, until it ends."""
    with closing(Waiter()) as waiter, closing(SocketEnd(sock, name)) as end:
        if name == "primary":
            numbers = count()
            guest = small()
            first = Primary(
                guest,
                end,
                way(),
                Colo(0.001),
                Asked(waiter, QUICK, lambda event: happened(next(numbers)) if event["event"] == "checkpoint" else None),
            )
            with pytest.raises(MigrationError):
                first.protect()
            return first.machine.state, guest
        numbers = count()
        side = Secondary(end, another, Colo(), Asked(waiter, QUICK), inspect=lambda guest: happened(next(numbers)))
        taken = side.stand_by()
        assert isinstance(taken, Model)
        return side.machine.state, taken


if __name__ == "__main__":
    play(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
