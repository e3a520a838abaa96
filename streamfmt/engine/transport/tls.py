"""TLS over a connected socket, with certificates on both sides."""

from __future__ import annotations

from ..waiting import Waiter
from .sockets import SocketEnd


class Tls:
    refusal = b""

    def connected(self, end: SocketEnd, host: str, waiter: Waiter, deadline: float | None) -> SocketEnd: ...
    def accepted(self, end: SocketEnd, waiter: Waiter, deadline: float | None) -> SocketEnd: ...
