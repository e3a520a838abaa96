"""The service: the core on Unix sockets, in a thread of work, in a thread of its own, or in a process of its own.

A socket stands for a domain: the programs of domain 0 come by the first, and a further one may be there for each
guest, in place of the page by which a guest talks to xenstored.
"""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ...errors import PeerError
from ..local_sockets import listening, remove
from ..waiting import READ, WRITE, Waiter
from .state import Connection
from .store import Store

_PIECE = 1 << 16
_NO_MORE = (errno.EMFILE, errno.ENFILE)
CLIENTS = 512  # at a time
PATIENCE = 10.0  # seconds for a process to end


@dataclass(slots=True, eq=False)
class _Client:
    """A connection, its socket, and what is waited for on that."""

    socket: socket.socket
    connection: Connection
    events: int


class Service:
    """Serves the clients of sockets, while somebody else waits with its waiter."""

    def __init__(self, store: Store, waiter: Waiter) -> None:
        self.store = store
        self._waiter = waiter
        self._listeners: list[socket.socket] = []
        self._clients: list[_Client] = []
        self._full: list[tuple[socket.socket, int]] = []  # listeners whose clients wait until another one goes

    def listen(self, listener: socket.socket, domain: int = 0) -> None:
        """Serve those who connect to a socket that does not block, as programs of a domain; the service closes it."""
        self._listeners.append(listener)
        self._waiter.serve(listener.fileno(), READ, partial(self._accept, listener, domain))

    def close(self) -> None:
        """Serve nobody any more."""
        for client in list(self._clients):
            self._end(client)
        for listener in self._listeners:
            self._waiter.drop(listener.fileno())
            listener.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket, domain: int) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError as error:  # the client was in a hurry; or we are out of descriptors
            if error.errno in _NO_MORE and self._clients:
                self._waiter.drop(listener.fileno())
                self._full.append((listener, domain))
            return
        if len(self._clients) >= CLIENTS:
            accepted.close()
            return
        accepted.setblocking(False)
        client = _Client(accepted, self.store.connect(domain), READ)
        self._clients.append(client)
        self._waiter.serve(accepted.fileno(), READ, partial(self._ready, client))

    def _ready(self, client: _Client) -> None:
        if client not in self._clients:
            return
        try:
            if client.events & READ:
                self._receive(client)
            self._send(client)
        except (OSError, EOFError, PeerError):
            self._end(client)
        self._flush()

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(_PIECE)
        except BlockingIOError:
            return
        if not data:
            raise EOFError
        self.store.feed(client.connection, data)

    def _flush(self) -> None:
        """Send what has come to wait for others: a request of one is an event for them, and may let others follow."""
        while waiting := [each for each in self._clients if each.connection.output and each.events == READ]:
            for client in waiting:
                try:
                    self._send(client)
                except (OSError, PeerError):
                    self._end(client)

    def _send(self, client: _Client) -> None:
        connection = client.connection
        while connection.output and not connection.stuck:
            try:
                sent = client.socket.send(connection.output)
            except BlockingIOError:
                break
            del connection.output[:sent]
            if not connection.output:
                self.store.feed(connection)
        if connection.stuck:
            raise PeerError("a client does not read its events")
        events = WRITE if connection.output else READ
        if events != client.events:
            client.events = events
            self._waiter.drop(client.socket.fileno())
            self._waiter.serve(client.socket.fileno(), events, partial(self._ready, client))

    def _end(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._waiter.drop(client.socket.fileno())
            client.socket.close()
            self.store.disconnect(client.connection)
            while self._full:
                listener, domain = self._full.pop()
                self._waiter.serve(listener.fileno(), READ, partial(self._accept, listener, domain))


@contextmanager
def in_thread(paths: Mapping[int, str], store: Store | None = None) -> Iterator[Store]:
    """The service, in a thread of its own; `paths` has those of the sockets, by domain.

    The sockets are gone afterwards.

    :raises LinkError: a path cannot be had.
    """
    listeners: dict[int, socket.socket] = {}
    mine, its = socket.socketpair()
    waiter = Waiter()
    service = Service(store or Store(), waiter)
    ended: list[bool] = []
    thread = threading.Thread(target=_serve, args=(waiter, ended), name="xenstore")
    try:
        for domain, path in paths.items():
            listeners[domain] = listening(path)
            service.listen(listeners[domain], domain)
        waiter.serve(its.fileno(), READ, lambda: ended.append(True))
        thread.start()
        yield service.store
    finally:
        mine.close()
        if thread.ident:
            thread.join()
        service.close()
        waiter.close()
        its.close()
        for domain in listeners:
            remove(paths[domain])


def _serve(waiter: Waiter, ended: list[bool]) -> None:
    while not ended:
        waiter.step(None)


def serve(listeners: Mapping[int, socket.socket], end: int) -> None:
    """Serve, until the descriptor `end` is at its end: who has started us is gone, or wants it so."""
    waiter = Waiter()
    service = Service(Store(), waiter)
    ended: list[bool] = []
    for domain, each in listeners.items():
        service.listen(each, domain)
    waiter.serve(end, READ, lambda: ended.append(True))
    paths = [each.getsockname() for each in listeners.values()]
    try:
        _serve(waiter, ended)
    finally:
        for path in paths:
            remove(path)
        service.close()
        waiter.close()


@contextmanager
def in_process(paths: Mapping[int, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The service, in a process of its own that ends with ours; as :func:`in_thread` otherwise.

    :raises LinkError: a path cannot be had.
    """
    listeners: dict[int, socket.socket] = {}
    mine, its = socket.socketpair()
    try:
        for domain, path in paths.items():
            listeners[domain] = listening(path)
        words = [f"{domain}={each.fileno()}" for domain, each in listeners.items()]
        numbers = [its.fileno(), *(each.fileno() for each in listeners.values())]
        command = [sys.executable, "-P", "-m", __package__, "--descriptors", str(its.fileno()), *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=numbers)
        its.close()
        try:
            yield process
        finally:
            mine.close()
            process.wait(PATIENCE)
    finally:
        mine.close()
        its.close()
        for each in listeners.values():
            remove(each.getsockname())
            each.close()
