"""Nodes of xenstore: paths, permissions, and transactions over a tree of them.

What the rules are is said by Xen's docs/misc/xenstore.txt; that a node's generation decides whether a transaction
can be completed is how xenstored has done it since 4.9: earlier, any change at all was a conflict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import StoreError
from .wire import ABSOLUTE_MAX, RELATIVE_MAX

_PATH = re.compile(r"/|(/[A-Za-z0-9_@-]+)+", re.ASCII)
_HOME = re.compile(r"/local/domain/[0-9]{1,5}/", re.ASCII)
_SPECIAL = re.compile(r"@[A-Za-z0-9_-]*", re.ASCII)
_PERMISSION = re.compile(rb"([nrwb])([0-9]{1,5})", re.ASCII)
READ, WRITE = 1, 2
_ACCESS = {b"n": 0, b"r": READ, b"w": WRITE, b"b": READ | WRITE}
_LETTER = {bits: letter for letter, bits in _ACCESS.items()}


@dataclass(frozen=True, slots=True)
class Permission:
    """What a domain may do to a node: `access` has READ, WRITE, both or none."""

    domain: int
    access: int

    def __bytes__(self) -> bytes:
        return _LETTER[self.access] + b"%d" % self.domain


def permission(text: bytes) -> Permission:
    """One that is written as in a message, such as "r5".

    :raises StoreError: EINVAL.
    """
    found = _PERMISSION.fullmatch(text)
    if not found:
        raise StoreError("EINVAL")
    return Permission(int(found[2]), _ACCESS[found[1]])


@dataclass(frozen=True, slots=True)
class Node:
    """A value, with its permissions: the first has the owner, and what all others may do.

    `generation` is another one after each change of it or of the names of its children.
    """

    permissions: tuple[Permission, ...]
    value: bytes = b""
    children: tuple[str, ...] = ()
    generation: int = 0

    @property
    def owner(self) -> int:
        """The domain that it belongs to."""
        return self.permissions[0].domain

    @property
    def size(self) -> int:
        """What quotas count: bytes of all that it holds."""
        return len(self.value) + 8 * len(self.permissions) + sum(len(name) + 1 for name in self.children)

    def allows(self, domain: int, access: int) -> bool:
        """Whether a domain may do that to it; the owner and domain 0 may do anything."""
        if domain in (0, self.owner):
            return True
        granted = next((row.access for row in self.permissions[1:] if row.domain == domain), self.permissions[0].access)
        return access & ~granted == 0


def home(domain: int) -> str:
    """The path of a domain, which relative paths of its requests are below."""
    return f"/local/domain/{domain}"


def absolute(name: bytes, domain: int, special: bool = False) -> str:
    """The path that a request of a domain means; `special` ones are what only watches have.

    :raises StoreError: EINVAL, it is none.
    """
    try:
        path = name.decode("ascii")
    except UnicodeDecodeError:
        raise StoreError("EINVAL") from None
    if special and _SPECIAL.fullmatch(path):
        return path
    if not path.startswith(("/", "@")):
        path = f"{home(domain)}/{path}"
    own = _HOME.match(path)
    long = len(path) >= ABSOLUTE_MAX or len(path) - (own.end() if own else 0) > RELATIVE_MAX
    if long or not _PATH.fullmatch(path):
        raise StoreError("EINVAL")
    return path


def parent(path: str) -> str:
    """The path of the node that has it as a child; of the root, the root."""
    return path.rpartition("/")[0] or "/"


def below(path: str, top: str) -> bool:
    """Whether a path is `top`, or below it."""
    return path == top or path.startswith(top if top == "/" else f"{top}/")


class Tree:
    """All nodes by their paths, and how many belong to each domain."""

    def __init__(self) -> None:
        self.generation = 0
        self.nodes = {"/": Node((Permission(0, 0),))}
        self.owned = Counter({0: 1})

    def get(self, path: str) -> Node | None:
        """A node, if it exists."""
        return self.nodes.get(path)

    def put(self, path: str, node: Node | None) -> None:
        """Make it this one, or remove it: never its children."""
        self.generation += 1
        self.apply(path, node)

    def apply(self, path: str, node: Node | None) -> None:
        """The same, as part of a change with a generation of its own."""
        before = self.nodes.pop(path, None)
        if before:
            self.owned[before.owner] -= 1
        if node:
            changed = Node(node.permissions, node.value, node.children, self.generation)
            self.nodes[path] = changed
            self.owned[node.owner] += 1

    def count(self, domain: int) -> int:
        """How many nodes belong to a domain."""
        return self.owned[domain]


class Transaction:
    """Changes that happen all at once or not at all: nobody else sees them before, and it sees nobody else's.

    It notes the generation of each node that it looks at: the end is refused if any of them is another one by then.
    """

    def __init__(self, tree: Tree, most: int) -> None:
        self._tree = tree
        self._most = most
        self._seen: dict[str, Node | None] = {}
        self._changed: dict[str, Node | None] = {}
        self._owned: Counter[int] = Counter()
        self.touched: dict[str, tuple[Node | None, bool]] = {}

    def get(self, path: str) -> Node | None:
        """A node as the transaction sees it.

        :raises StoreError: ENOSPC, it has looked at too many.
        """
        if path in self._changed:
            return self._changed[path]
        if path not in self._seen:
            if len(self._seen) >= self._most:
                raise StoreError("ENOSPC")
            self._seen[path] = self._tree.get(path)
        return self._seen[path]

    def put(self, path: str, node: Node | None) -> None:
        """As in the tree itself."""
        before = self.get(path)
        if before:
            self._owned[before.owner] -= 1
        if node:
            self._owned[node.owner] += 1
        self._changed[path] = node

    def count(self, domain: int) -> int:
        """How many nodes would belong to a domain."""
        return self._tree.count(domain) + self._owned[domain]

    def idle(self, path: str) -> bool:
        """Whether a node that it has made, and removed again, is as before."""
        return self._changed.get(path) is None and self._seen.get(path) is None

    def commit(self) -> None:
        """Change the tree.

        :raises StoreError: EAGAIN, a node that it looked at has changed since.
        """
        tree = self._tree
        if any(tree.get(path) is not node for path, node in self._seen.items()):
            raise StoreError("EAGAIN")
        if self._changed:
            tree.generation += 1
            for path, node in self._changed.items():
                tree.apply(path, node)


View = Tree | Transaction


def subtree(view: View, path: str) -> Iterator[tuple[str, Node]]:
    """A node and all below it, parents first."""
    waiting = [path]
    while waiting:
        at = waiting.pop()
        node = view.get(at)
        if node:
            yield at, node
            waiting += [f"{at.rstrip('/')}/{name}" for name in node.children]
