"""What each request does: a table from types of messages to functions.

A function returns the payload of the answer, and what is to be done once that is sent: events come after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...errors import StoreError
from .state import Change, Request, Running, Watch
from .tree import READ, WRITE, Node, Permission, Transaction, absolute, home, parent, permission, subtree
from .wire import PAYLOAD_MAX, Kind, strings, unpacked

_OK = strings("OK")
_DOMAINS = 0x7FF0  # numbers from here on mean something else
_NUMBER = re.compile(rb"[0-9]{1,20}", re.ASCII)

Answer = tuple[bytes, Callable[[], None] | None]


def _words(request: Request, least: int, most: int | None = None) -> list[bytes]:
    """The strings that come with a request: so many.

    :raises StoreError: EINVAL.
    """
    found = unpacked(request.payload)
    if found is None or len(found) < least or len(found) > (least if most is None else most):
        raise StoreError("EINVAL")
    return found


def _path(request: Request, name: bytes) -> str:
    return absolute(name, request.connection.domain)


def _number(word: bytes) -> int:
    if not _NUMBER.fullmatch(word):
        raise StoreError("EINVAL")
    return int(word)


def _domain(word: bytes) -> int:
    number = _number(word)
    if number >= _DOMAINS:
        raise StoreError("EINVAL")
    return number


def _privileged(request: Request) -> None:
    if request.connection.domain:
        raise StoreError("EACCES")


# -- nodes ------------------------------------------------------------------------------------------------------------


def _found(request: Request, path: str, access: int) -> Node:
    """A node that the client may use so.

    :raises StoreError: ENOENT, or EACCES: also where it could learn by the former what is none of its business.
    """
    node = request.view.get(path)
    if node is None:
        at = _nearest(request, path)[1]
        raise StoreError("ENOENT" if request.store.allows(request.connection, at, access) else "EACCES")
    if not request.store.allows(request.connection, node, access):
        raise StoreError("EACCES")
    return node


def _nearest(request: Request, path: str) -> tuple[str, Node]:
    """The node above a path, nearest to it, that exists."""
    while True:
        path = parent(path)
        node = request.view.get(path)
        if node:
            return path, node


def _fits(request: Request, node: Node) -> Node:
    if node.size > request.connection.quotas.size:
        raise StoreError("ENOSPC")
    return node


def _create(request: Request, path: str, value: bytes) -> Node:
    """Make a node, and all that are missing above it: each with the permissions of the one above it."""
    connection, view = request.connection, request.view
    at, above = _nearest(request, path)
    if not request.store.allows(connection, above, WRITE):
        raise StoreError("EACCES")
    names = path[len(at.rstrip("/")) + 1 :].split("/")
    owner = connection.domain or above.owner
    count = view.count(owner) if connection.domain else sum(request.store.tree.owned.values())
    if count + len(names) > connection.quotas.nodes:
        raise StoreError("ENOSPC")
    permissions = (Permission(owner, above.permissions[0].access), *above.permissions[1:])
    made = [Node(permissions, children=(name,)) for name in names[1:]] + [_fits(request, Node(permissions, value))]
    view.put(at, _fits(request, replace(above, children=(*above.children, names[0]))))
    for name, node in zip(names, made, strict=True):
        at = f"{at.rstrip('/')}/{name}"
        view.put(at, node)
    return made[-1]


def _write(request: Request) -> Answer:
    name, nul, value = request.payload.partition(b"\0")
    if not nul:
        raise StoreError("EINVAL")
    path = _path(request, name)
    node = request.view.get(path)
    if node is None:
        node = _create(request, path, value)
    else:
        node = _fits(request, replace(_found(request, path, WRITE), value=value))
        request.view.put(path, node)
    return _OK, request.changed(Change(path, node))


def _mkdir(request: Request) -> Answer:
    path = _path(request, *_words(request, 1))
    if request.view.get(path):
        _found(request, path, WRITE)
        return _OK, None
    return _OK, request.changed(Change(path, _create(request, path, b"")))


def _rm(request: Request) -> Answer:
    path = _path(request, *_words(request, 1))
    view = request.view
    above = view.get(parent(path))
    if view.get(path) is None and above:
        _nearest_writable(request, path)
        return _OK, None
    _found(request, path, WRITE)
    if path == "/" or above is None:
        raise StoreError("EINVAL")
    gone = list(subtree(view, path))  # who watches what is below hears of it first
    name = path.rpartition("/")[2]
    view.put(parent(path), replace(above, children=tuple(each for each in above.children if each != name)))
    for at, _ in gone:
        view.put(at, None)
    return _OK, request.changed(*(Change(at, node, exact=at != path) for at, node in reversed(gone)))


def _nearest_writable(request: Request, path: str) -> None:
    if not request.store.allows(request.connection, _nearest(request, path)[1], WRITE):
        raise StoreError("EACCES")


def _read(request: Request) -> Answer:
    return _found(request, _path(request, *_words(request, 1)), READ).value, None


def _directory(request: Request) -> Answer:
    names = strings(*_found(request, _path(request, *_words(request, 1)), READ).children)
    if len(names) > PAYLOAD_MAX:
        raise StoreError("E2BIG")
    return names, None


def _directory_part(request: Request) -> Answer:
    """Names from a place on, after the node's generation; a NUL more follows the last of them."""
    name, place = _words(request, 2)
    node, at = _found(request, _path(request, name), READ), _number(place)
    names = strings(*node.children)
    head = strings(str(node.generation))
    room = PAYLOAD_MAX - len(head) - 1
    rest = names[at : at + room]
    if at + room >= len(names):
        return head + rest + b"\0", None
    return head + rest[: rest.rfind(b"\0") + 1], None


def _get_perms(request: Request) -> Answer:
    node = _found(request, _path(request, *_words(request, 1)), READ)
    return strings(*map(bytes, node.permissions)), None


def _set_perms(request: Request) -> Answer:
    name, *words = _words(request, 2, PAYLOAD_MAX)
    connection, path = request.connection, _path(request, name)
    if len(words) > connection.quotas.permissions:
        raise StoreError("ENOSPC")
    permissions = tuple(map(permission, words))
    node = _found(request, path, WRITE)
    if connection.domain not in (0, node.owner):
        raise StoreError("EACCES")
    if connection.domain and permissions[0].domain != node.owner:
        raise StoreError("EPERM")
    node = _fits(request, replace(node, permissions=permissions))
    request.view.put(path, node)
    return _OK, request.changed(Change(path, node))


# -- watches ----------------------------------------------------------------------------------------------------------


def _watch_of(request: Request, most: int) -> Watch:
    name, token, *_ = _words(request, 2, most)
    domain = request.connection.domain
    return Watch(absolute(name, domain, special=True), token, not name.startswith((b"/", b"@")))


def _watch(request: Request) -> Answer:
    watch, connection = _watch_of(request, 2), request.connection
    if any((row.path, row.token) == (watch.path, watch.token) for row in connection.watches):
        raise StoreError("EEXIST")
    if len(connection.watches) >= connection.quotas.watches:
        raise StoreError("E2BIG")
    connection.watches.append(watch)
    event = watch.event(watch.path, connection.domain)
    return _OK, lambda: connection.send(Kind.WATCH_EVENT, event)


def _unwatch(request: Request) -> Answer:
    watch, watches = _watch_of(request, 2), request.connection.watches
    for row in watches:
        if (row.path, row.token) == (watch.path, watch.token):
            watches.remove(row)
            return _OK, None
    raise StoreError("ENOENT")


def _reset_watches(request: Request) -> Answer:
    request.connection.watches.clear()
    request.connection.transactions.clear()
    return _OK, None


# -- transactions -----------------------------------------------------------------------------------------------------


def _start(request: Request) -> Answer:
    connection = request.connection
    if request.running:
        raise StoreError("EBUSY")
    if len(connection.transactions) >= connection.quotas.transactions:
        raise StoreError("ENOSPC")
    connection.started += 1
    view = Transaction(request.store.tree, connection.quotas.looks)
    connection.transactions[connection.started] = Running(view)
    return strings(str(connection.started)), None


def _end(request: Request) -> Answer:
    (word,) = _words(request, 1)
    if word not in (b"T", b"F"):
        raise StoreError("EINVAL")
    running, transactions, store = request.running, request.connection.transactions, request.store
    if running is None:
        raise StoreError("ENOENT")
    del transactions[next(number for number, each in transactions.items() if each is running)]
    if word == b"F":
        return _OK, None
    running.view.commit()
    changes = [change for change in running.changes.values() if not running.view.idle(change.path)]
    return _OK, lambda: store.fire(*changes)


# -- domains ----------------------------------------------------------------------------------------------------------


def _get_domain_path(request: Request) -> Answer:
    (word,) = _words(request, 1)
    return strings(home(_domain(word))), None


def _is_introduced(request: Request) -> Answer:
    (word,) = _words(request, 1)
    return strings("T" if _domain(word) in request.store.introduced else "F"), None


def _special(request: Request, path: str) -> Callable[[], None]:
    store = request.store
    return lambda: store.announce(path)


def _introduce(request: Request) -> Answer:
    """Note that a domain exists: there is no page of it here to talk over, but it may have a socket of its own."""
    _privileged(request)
    words = _words(request, 3)
    number = _domain(words[0])
    for word in words[1:]:
        _number(word)
    request.store.introduced.add(number)
    return _OK, _special(request, "@introduceDomain")


def _introduced(request: Request, number: int) -> int:
    if number not in request.store.introduced:
        raise StoreError("ENOENT")
    return number


def _release(request: Request) -> Answer:
    _privileged(request)
    number = _domain(*_words(request, 1))
    if not number:
        raise StoreError("EINVAL")
    store = request.store
    store.introduced.discard(_introduced(request, number))
    store.targets.pop(number, None)
    return _OK, _special(request, "@releaseDomain")


def _resume(request: Request) -> Answer:
    _privileged(request)
    _introduced(request, _domain(*_words(request, 1)))
    return _OK, None


def _set_target(request: Request) -> Answer:
    """Give a domain what another may do: as a domain has that runs the other's device model."""
    _privileged(request)
    number, target = map(_domain, _words(request, 2))
    request.store.targets[_introduced(request, number)] = _introduced(request, target)
    return _OK, None


def _control(request: Request) -> Answer:
    """There is nothing to control."""
    _privileged(request)
    raise StoreError("EINVAL")


@dataclass(frozen=True, slots=True)
class Row:
    """A request: what it does, and whether it looks at the number of a transaction, which must then be one."""

    handle: Callable[[Request], Answer]
    in_transaction: bool = True


REQUESTS: dict[int, Row] = {
    Kind.CONTROL: Row(_control),
    Kind.DIRECTORY: Row(_directory),
    Kind.READ: Row(_read),
    Kind.GET_PERMS: Row(_get_perms),
    Kind.WATCH: Row(_watch, in_transaction=False),
    Kind.UNWATCH: Row(_unwatch, in_transaction=False),
    Kind.TRANSACTION_START: Row(_start),
    Kind.TRANSACTION_END: Row(_end),
    Kind.INTRODUCE: Row(_introduce),
    Kind.RELEASE: Row(_release),
    Kind.GET_DOMAIN_PATH: Row(_get_domain_path),
    Kind.WRITE: Row(_write),
    Kind.MKDIR: Row(_mkdir),
    Kind.RM: Row(_rm),
    Kind.SET_PERMS: Row(_set_perms),
    Kind.IS_DOMAIN_INTRODUCED: Row(_is_introduced),
    Kind.RESUME: Row(_resume),
    Kind.SET_TARGET: Row(_set_target),
    Kind.RESET_WATCHES: Row(_reset_watches),
    Kind.DIRECTORY_PART: Row(_directory_part),
}
