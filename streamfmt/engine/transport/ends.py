"""Links by their addresses: to connect to one, or to listen at one."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Protocol

from ...errors import LateError, LinkError
from ..interface import End
from ..waiting import READ, Waiter
from . import files
from .addresses import AGAIN, bind_tcp, bind_unix, dial_tcp, dial_unix
from .children import ChildEnd
from .pipes import JoinedEnd, PipeEnd
from .sockets import SocketEnd, peer_name
from .uris import Descriptors, Exec, File, Tcp, Unix, Uri, parse

if TYPE_CHECKING:
    from .tls import Tls

# What one who comes second gets, then the end.  A connection that begins with something else than expected shows it.
REFUSAL = b"refused: the receiver here has a sender already\n"

# Seconds that a sender who has connected gets for the handshake of TLS.
HANDSHAKE = 10.0


class Listener(Protocol):
    """Where the other side is awaited.  `uri` says where; a port that was 0 is the one chosen."""

    @property
    def uri(self) -> Uri: ...

    def accept(self, waiter: Waiter, deadline: float | None = None) -> End:
        """The end of the first who comes.  From then on, until this is closed, others are refused while one waits.

        :raises LateError: nobody has come.
        :raises LinkError: the link cannot be had, or is not as agreed.
        """

    def close(self) -> None:
        """Listen no longer, and leave nothing; never raises, and may come again."""


class _SocketListener:
    """A listening socket, which it owns.  `notice` gets a line about each who is refused."""

    def __init__(
        self,
        sock: socket.socket,
        uri: Uri,
        remove: Callable[[], None] | None,
        tls: Tls | None,
        notice: Callable[[str], None] | None,
    ) -> None:
        self.uri = uri
        self._socket = sock
        self._remove = remove
        self._tls = tls
        self._notice = notice
        self._waiter: Waiter | None = None

    def accept(self, waiter: Waiter, deadline: float | None = None) -> End:
        if self._waiter is not None:
            raise LinkError(f"{self.uri}: it has a sender already")
        while (sock := self._next()) is None:
            waiter.until(self._socket.fileno(), READ, deadline, f"{self.uri}: nobody has connected in time")
        self._waiter = waiter
        waiter.serve(self._socket.fileno(), READ, self._refuse)
        end = SocketEnd(sock, f"{self.uri} from {peer_name(sock)}")
        if self._tls is None:
            return end
        # However long a sender is awaited, one that is there has to speak.
        limit = waiter.clock() + HANDSHAKE
        return self._tls.accepted(end, waiter, limit if deadline is None else min(limit, deadline))

    def _next(self) -> socket.socket | None:
        """The connection that waits, if one does."""
        while True:
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                raise LinkError(f"{self.uri}: cannot accept a connection: {error.strerror}") from error
            sock.setblocking(False)
            return sock

    def _refuse(self) -> None:
        try:
            sock = self._next()
        except LinkError as error:
            # The system has no room for it.  It stays in the queue, and is not looked at again and again.
            assert self._waiter is not None
            self._waiter.drop(self._socket.fileno())
            if self._notice is not None:
                self._notice(str(error))
            return
        if sock is None:
            return
        with sock:
            who = peer_name(sock)
            try:
                said = REFUSAL if self._tls is None else self._tls.refusal
                sock.send(said, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone already
        if self._notice is not None:
            self._notice(f"{self.uri}: a second connection, from {who}, was refused")

    def close(self) -> None:
        if self._waiter is not None and self._socket.fileno() >= 0:
            self._waiter.drop(self._socket.fileno())
        if self._remove is not None:
            self._remove()
            self._remove = None
        self._socket.close()


# What ends one connection before it was accepted, and says nothing about the next (accept(2)).
_PASSING = {errno.ECONNABORTED, errno.EPROTO, errno.EINTR}


class _ReadyListener:
    """Where nobody is awaited: the link is there, or is made, when it is asked for."""

    def __init__(self, uri: Uri, make: Callable[[Waiter, float | None], End]) -> None:
        self.uri = uri
        self._make = make
        self._given = False

    def accept(self, waiter: Waiter, deadline: float | None = None) -> End:
        if self._given:
            raise LinkError(f"{self.uri}: it has a sender already")
        self._given = True
        return self._make(waiter, deadline)

    def close(self) -> None:
        pass


def connect(uri: Uri | str, waiter: Waiter, deadline: float | None = None, tls: Tls | None = None) -> End:
    """The sender's end of a link.  The deadline is a moment of the waiter's clock.

    :raises LinkError: it cannot be made.
    :raises LateError: it was not made in time.
    """
    uri = _checked(uri, tls)
    match uri:
        case Tcp():
            end = SocketEnd(dial_tcp(uri, waiter, deadline), str(uri))
            return end if tls is None else tls.connected(end, uri.host or "localhost", waiter, deadline)
        case Unix():
            return SocketEnd(dial_unix(uri, waiter, deadline), str(uri))
        case Exec():
            return ChildEnd(uri.command)
        case Descriptors():
            return _given(uri)
        case File():
            return _file(uri, True, waiter, deadline)


def listen(
    uri: Uri | str,
    waiter: Waiter | None = None,
    deadline: float | None = None,
    tls: Tls | None = None,
    notice: Callable[[str], None] | None = None,
) -> Listener:
    """Where the receiver awaits its sender.  The waiter and the deadline are for looking up a host's name.

    :raises LinkError: one cannot listen there.
    :raises LateError: the name was not found in time.
    """
    uri = _checked(uri, tls)
    match uri:
        case Tcp():
            with nullcontext(waiter) if waiter else closing(Waiter()) as looking:
                sock, uri = bind_tcp(uri, looking, deadline)
            return _SocketListener(sock, uri, None, tls, notice)
        case Unix():
            sock, remove = bind_unix(uri)
            return _SocketListener(sock, uri, remove, None, notice)
        case Exec(command):
            return _ReadyListener(uri, lambda *_: ChildEnd(command))
        case Descriptors():
            made = _given(uri)  # at once: who starts us wants to know at once that a number is wrong
            return _ReadyListener(uri, lambda *_: made)
        case File():
            file = uri
            return _ReadyListener(uri, lambda waiter, deadline: _file(file, False, waiter, deadline))


def _checked(uri: Uri | str, tls: Tls | None) -> Uri:
    uri = parse(uri) if isinstance(uri, str) else uri
    if tls is not None and not isinstance(uri, Tcp):
        raise LinkError(f"{uri}: TLS is for tcp:HOST:PORT; other links stay on this machine or bring their own")
    return uri


def _given(uri: Descriptors) -> End:
    """The end, or ends, of descriptors that this process was started with."""
    if uri.read == uri.write:
        return _end_of(uri.read, None, str(uri))
    incoming = _end_of(uri.read, False, str(uri))
    try:
        return JoinedEnd(incoming, _end_of(uri.write, True, str(uri)))
    except BaseException:
        incoming.close()
        raise


def _end_of(descriptor: int, writing: bool | None, name: str) -> End:
    """The end of one descriptor.  None: for whatever direction it was opened."""
    try:
        kind = os.fstat(descriptor).st_mode
    except OSError as error:
        raise LinkError(
            f"{name}: this process has no descriptor {descriptor}: it has to be given it when it is started"
        ) from error
    if stat.S_ISDIR(kind):
        raise LinkError(f"{name}: descriptor {descriptor} is a directory")
    if stat.S_ISSOCK(kind):
        return SocketEnd(_connected(_own(descriptor), name), name)
    # O_ACCMODE: 0 reads, 1 writes, 2 does both.
    mode = int(_flags(descriptor)) & os.O_ACCMODE
    if writing is None:
        writing = mode == os.O_WRONLY or (mode == os.O_RDWR and not stat.S_ISREG(kind))
    elif mode not in (os.O_RDWR, os.O_WRONLY if writing else os.O_RDONLY):
        raise LinkError(f"{name}: descriptor {descriptor} was not opened to {'write' if writing else 'read'}")
    if stat.S_ISFIFO(kind) or os.isatty(descriptor):
        return PipeEnd(_own(descriptor), writing, name)
    return files.FileEnd(name, _own(descriptor), writing=writing)


def _flags(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_GETFL)


def _own(descriptor: int) -> int:
    """A descriptor that is ours to close.  A standard one is moved, and its number leads nowhere from then on.

    Else the next file to be opened would get that number, and what is printed would go there.
    """
    if descriptor > 2:
        os.set_inheritable(descriptor, False)
        return descriptor
    moved = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return moved


def _connected(descriptor: int, name: str) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    try:
        if sock.type != socket.SOCK_STREAM:
            raise LinkError(f"{name}: the socket is none of a stream")
        sock.getpeername()
    except OSError as error:
        sock.close()
        raise LinkError(f"{name}: the socket is not connected") from error
    except LinkError:
        sock.close()
        raise
    return sock


def _file(uri: File, writing: bool, waiter: Waiter, deadline: float | None) -> End:
    """The end of a file, or of a pipe that has a name."""
    try:
        named_pipe = stat.S_ISFIFO(os.stat(uri.path).st_mode)
    except OSError:
        named_pipe = False  # opening it says what is wrong, if that is
    if not named_pipe:
        return files.writing(uri.path) if writing else files.reading(uri.path)
    while True:
        try:
            access = os.O_WRONLY if writing else os.O_RDONLY
            end = PipeEnd(os.open(uri.path, access | os.O_NONBLOCK | os.O_CLOEXEC), writing, str(uri))
            break
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it yet
                raise LinkError(f"{uri}: cannot open the pipe: {error.strerror}") from error
        if deadline is not None and waiter.clock() >= deadline:
            raise LateError(f"{uri}: nobody has opened the pipe to read in time")
        waiter.sleep(waiter.clock() + AGAIN)
    if not writing:
        try:
            # Before anybody has opened it to write, it would look as if it had ended.
            waiter.until(end.fileno(), READ, deadline, f"{uri}: nobody has written to the pipe in time")
        except BaseException:
            end.close()
            raise
    return end
