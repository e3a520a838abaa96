"""The service's core: bytes of requests go in, bytes of answers and events come out, and it does no I/O."""

from __future__ import annotations

from ...errors import StoreError
from .requests import REQUESTS
from .state import DOMAIN_0, GUEST, PENDING, Connection, Quotas, Request, Running, State
from .wire import Kind, Message, strings, take


class Store(State):
    """A tree, who is connected to it, and what they ask."""

    def connect(self, domain: int = 0, quotas: Quotas | None = None) -> Connection:
        """A new client, of a domain."""
        connection = Connection(domain, quotas or (GUEST if domain else DOMAIN_0))
        self.connections.append(connection)
        return connection

    def disconnect(self, connection: Connection) -> None:
        """It is gone, and its watches and transactions are with it."""
        if connection in self.connections:
            self.connections.remove(connection)

    def feed(self, connection: Connection, data: bytes = b"") -> None:
        """Take what a client sent; answers, and events for anyone, are in the outputs afterwards.

        Requests wait while too much waits for the client: call it again, with nothing, once that is sent.

        :raises PeerError: it is to be cut off.
        """
        connection.received += data
        while len(connection.output) <= PENDING:
            message = take(connection.received)
            if message is None:
                return
            self._answer(connection, message)

    def _answer(self, connection: Connection, message: Message) -> None:
        row = REQUESTS.get(message.kind)
        try:
            if row is None:
                raise StoreError("ENOSYS")
            running = _running(connection, message.transaction) if row.in_transaction else None
            payload, after = row.handle(Request(self, connection, running, message.payload))
        except StoreError as error:
            connection.send(Kind.ERROR, strings(error.name), message.request, message.transaction)
            return
        connection.send(message.kind, payload, message.request, message.transaction)
        if after:
            after()


def _running(connection: Connection, number: int) -> Running | None:
    """The transaction that a request is part of.

    :raises StoreError: ENOENT, there is none of that number.
    """
    if not number:
        return None
    if number not in connection.transactions:
        raise StoreError("ENOENT")
    return connection.transactions[number]
