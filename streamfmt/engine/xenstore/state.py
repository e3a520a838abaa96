"""What the service knows: its clients, their watches and transactions, and the tree.

Domain 0, whose programs come by the socket, may do anything; other domains are held to the quotas that xenstored has
for them.  Both are bounded, for no client is to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .tree import READ, Node, Permission, Transaction, Tree, View, below, home
from .wire import Kind, Message, strings


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a domain may have; sizes are in bytes."""

    nodes: int  # of its own; for domain 0: in all
    size: int  # of a node
    watches: int
    transactions: int
    permissions: int  # of a node
    looks: int  # nodes that a transaction looks at


# The first is what xenstored is started with; nothing limits domain 0 there.
GUEST = Quotas(nodes=1000, size=2048, watches=128, transactions=10, permissions=5, looks=1024)
DOMAIN_0 = Quotas(nodes=1 << 16, size=1 << 20, watches=1 << 13, transactions=1 << 8, permissions=1 << 10, looks=1 << 16)
# Bytes of answers and events that wait for a client to read them: above the first none of its requests is looked at,
# above the second it is cut off.
PENDING, PENDING_MAX = 1 << 16, 1 << 20


@dataclass(frozen=True, slots=True)
class Watch:
    """What a client wants to hear of: a path and all below, in its own words, with a word to know it by."""

    path: str
    token: bytes
    relative: bool

    def event(self, path: str, domain: int) -> bytes:
        """The payload of an event about a path."""
        return strings(path.removeprefix(home(domain)).removeprefix("/") if self.relative else path, self.token)


@dataclass(frozen=True, slots=True)
class Change:
    """A node that was written, created, removed, or is given other permissions; `node` as it is now, or was last."""

    path: str
    node: Node
    exact: bool = False  # nobody hears of it who watches what is above


@dataclass(slots=True, eq=False)
class Running:
    """A transaction of a connection, and what it has changed."""

    view: Transaction
    changes: dict[tuple[str, bool], Change] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Connection:
    """A client: its domain, and what it has going on.  `output` is what is to be sent to it."""

    domain: int
    quotas: Quotas
    watches: list[Watch] = field(default_factory=list)
    transactions: dict[int, Running] = field(default_factory=dict)
    started: int = 0
    output: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    @property
    def stuck(self) -> bool:
        """Whether it does not read what is sent to it, and is to be cut off."""
        return len(self.output) > PENDING_MAX

    def send(self, kind: int, payload: bytes, request: int = 0, transaction: int = 0) -> None:
        """Have it get a message."""
        self.output += Message(kind, request, transaction, payload).encoded()


class State:
    """A tree, and who is connected to it."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.connections: list[Connection] = []
        self.introduced: set[int] = {0}
        self.targets: dict[int, int] = {}

    def fire(self, *changes: Change) -> None:
        """Have those hear of changes who watch for them and may read what changed."""
        for change in changes:
            for connection in self.connections:
                if self.allows(connection, change.node, READ):
                    _send_events(connection, change)

    def announce(self, name: str) -> None:
        """Have those hear of a domain that comes or goes who may: domain 0."""
        change = Change(name, Node((Permission(0, 0),)), exact=True)
        for connection in self.connections:
            if not connection.domain:
                _send_events(connection, change)

    def allows(self, connection: Connection, node: Node, access: int) -> bool:
        """Whether a client may do that to a node, as itself or as its target."""
        target = self.targets.get(connection.domain)
        return node.allows(connection.domain, access) or (target is not None and node.allows(target, access))


def _send_events(connection: Connection, change: Change) -> None:
    for watch in connection.watches:
        hit = change.path == watch.path if change.exact else below(change.path, watch.path)
        if hit and not connection.stuck:
            connection.send(Kind.WATCH_EVENT, watch.event(change.path, connection.domain))


@dataclass(frozen=True, slots=True)
class Request:
    """One request: who asks, in which transaction, and what comes with it."""

    store: State
    connection: Connection
    running: Running | None
    payload: bytes

    @property
    def view(self) -> View:
        """What it sees and changes."""
        return self.running.view if self.running else self.store.tree

    def changed(self, *changes: Change) -> Callable[[], None]:
        """What is to be done about changes after the answer."""
        if self.running:
            self.running.changes.update(((row.path, row.exact), row) for row in changes)
            return lambda: None
        return lambda: self.store.fire(*changes)
