"""From a host and a port, or a path, to a connected or a listening socket, within a time limit."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from ...errors import LateError, LinkError
from ..waiting import READ, WRITE, Waiter
from .uris import Tcp, Unix

_STREAM = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
# Seconds between attempts at what has no event to wait for: a Unix socket whose queue is full, a pipe without readers.
AGAIN = 0.02
_QUEUE = 8
_NOBODY = "; nobody listens there: start the receiver first"
# What to do about errors of the system, where that is not plain from its words.
_CONNECTING = {
    errno.ECONNREFUSED: _NOBODY,
    errno.ENOENT: _NOBODY,
    errno.ENOTSOCK: "; it is no socket",
}
_LISTENING = {
    errno.EADDRINUSE: "; somebody listens there already: choose another, or end that one first",
    errno.EADDRNOTAVAIL: "; the address is none of this machine's",
    errno.EACCES: "; it may not be used by this user",
}
# Family and address of a socket, as getaddrinfo gives them.
Place: TypeAlias = tuple[int, Any]


def resolve(uri: Tcp, passive: bool, waiter: Waiter, deadline: float | None) -> list[Place]:
    """The addresses of a host; looking up its name never takes longer than the deadline.

    :raises LinkError: there are none.
    :raises LateError: the deadline has passed.
    """
    flags = socket.AI_PASSIVE if passive else 0

    def look(more: int = 0) -> list[Place]:
        rows = socket.getaddrinfo(uri.host or None, uri.port, type=socket.SOCK_STREAM, flags=flags | more)
        return [(family, address) for family, _, _, _, address in rows]

    try:
        return look(socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass  # it is a name
    found: list[list[Place] | Exception] = []
    mine, its = socket.socketpair()

    def work() -> None:
        with its:
            try:
                found.append(look())
            except (OSError, UnicodeError) as error:
                found.append(error)

    with mine:
        threading.Thread(target=work, daemon=True).start()
        waiter.until(mine.fileno(), READ, deadline, f"{uri}: the name {uri.host!r} was not found in time")
    (result,) = found
    if isinstance(result, Exception):
        why = getattr(result, "strerror", None) or "it cannot be a name"
        raise LinkError(f"{uri}: cannot find the host {uri.host!r}: {why}") from result
    return result


def dial_tcp(uri: Tcp, waiter: Waiter, deadline: float | None) -> socket.socket:
    """A connection to the first of the host's addresses that takes one; each gets its share of the time.

    :raises LinkError: none does.
    :raises LateError: none has answered.
    """
    if not uri.port:
        raise LinkError(f"{uri}: there is no port 0 to connect to; it is for listening, and means any that is free")
    places = resolve(uri, False, waiter, deadline)
    error: Exception = LinkError(f"{uri}: the host has no address")
    for left, (family, address) in zip(range(len(places), 0, -1), places, strict=True):
        now = waiter.clock()
        share = None if deadline is None else now + max(deadline - now, 0) / left
        try:
            return _dialled(family, address, str(uri), waiter, share)
        except LateError as late:
            error = late
        except OSError as failure:
            error = _error(uri, "connect", failure, _CONNECTING)
    raise error


def dial_unix(uri: Unix, waiter: Waiter, deadline: float | None, hint: str = _NOBODY) -> socket.socket:
    """A connection to a Unix socket; `hint` says what to do if nobody listens there.

    :raises LinkError: nobody listens there.
    :raises LateError: it is busy until the deadline.
    """
    while True:
        try:
            return _dialled(socket.AF_UNIX, uri.path, str(uri), waiter, deadline)
        except BlockingIOError:
            # Its queue is full.  That is no state to wait for: it would count as ready.
            if deadline is not None and waiter.clock() >= deadline:
                raise LateError(f"{uri}: the receiver takes no connection") from None
            waiter.sleep(waiter.clock() + AGAIN)
        except OSError as failure:
            hints = {code: hint if words is _NOBODY else words for code, words in _CONNECTING.items()}
            raise _error(uri, "connect", failure, hints) from failure


def _dialled(family: int, address: Any, name: str, waiter: Waiter, deadline: float | None) -> socket.socket:
    """Raises OSError, and LateError."""
    sock = socket.socket(family, _STREAM)
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            waiter.until(sock.fileno(), WRITE, deadline, f"{name}: no answer in time")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def bind_tcp(uri: Tcp, waiter: Waiter, deadline: float | None) -> tuple[socket.socket, Tcp]:
    """A listening socket at the first address of the host that can be had, and what it is called with its real port.

    :raises LinkError: none can.
    """
    places = resolve(uri, True, waiter, deadline)
    if not uri.host:
        # One socket for both kinds of addresses, where the machine has both.
        places.sort(key=lambda place: place[0] != socket.AF_INET6)
    error: Exception = LinkError(f"{uri}: the host has no address")
    for family, address in places:
        try:
            sock = _bound(family, address)
        except OSError as failure:
            error = _error(uri, "listen", failure, _LISTENING)
            if failure.errno == errno.EADDRINUSE:
                break
            continue
        return sock, Tcp(uri.host, sock.getsockname()[1])
    raise error


def _bound(family: int, address: Any) -> socket.socket:
    """Raises OSError."""
    sock = socket.socket(family, _STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        if family == socket.AF_UNIX:
            os.fchmod(sock.fileno(), 0o600)  # what it is bound to gets that: a guest's memory is nobody else's business
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_QUEUE)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_unix(uri: Unix) -> tuple[socket.socket, Callable[[], None]]:
    """A listening socket at a path, and what removes the path, if it still is this socket's.

    What a process that was killed has left there is replaced; a socket that somebody listens at, or a file, is not.

    :raises LinkError: the path cannot be had.
    """
    for replace in (True, False):
        try:
            sock = _bound(socket.AF_UNIX, uri.path)
        except OSError as failure:
            if replace and failure.errno == errno.EADDRINUSE and _left_behind(uri.path):
                try:
                    os.unlink(uri.path)
                except OSError:
                    pass  # binding again says what is wrong
                continue
            hints = _LISTENING if _is_socket(uri.path) else _LISTENING | {errno.EADDRINUSE: "; it is no socket"}
            raise _error(uri, "listen", failure, hints) from failure
        break
    kept = _identity(uri.path)

    def remove() -> None:
        try:
            if kept is not None and _identity(uri.path) == kept:
                os.unlink(uri.path)
        except OSError:
            pass  # it has gone, or may not be removed any more

    return sock, remove


def _left_behind(path: str) -> bool:
    """Whether it is a socket that nobody listens at."""
    try:
        if not _is_socket(path):
            return False
        with socket.socket(socket.AF_UNIX, _STREAM) as probe:
            return probe.connect_ex(path) == errno.ECONNREFUSED
    except OSError:
        return False


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _error(uri: Tcp | Unix, doing: str, failure: OSError, hints: dict[int, str]) -> LinkError:
    return LinkError(f"{uri}: cannot {doing}: {failure.strerror or failure}{hints.get(failure.errno or 0, '')}")
