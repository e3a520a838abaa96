"""Ends that are sockets: TCP, Unix, and those that a parent hands over.

No call blocks, whatever the descriptor's flags are: those belong to everybody who has it, so each call says so itself.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from ...codec.content import Buffer
from ...errors import LinkError

# How many buffers the system takes in one call (IOV_MAX, limits.h).
MANY = max(os.sysconf("SC_IOV_MAX"), 16)
# What a Unix socket should hold: with fewer bytes the two sides take turns more often than they need.
_HELD = 1 << 20
_NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class SocketEnd:
    """One end of a connected stream socket, which it owns.  Nothing is buffered here."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.name = name
        self.socket = sock
        prepare(sock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def fileno(self) -> int:
        return self.socket.fileno()

    def output(self) -> int:
        return self.socket.fileno()

    def receive_into(self, buffer: memoryview) -> int:
        try:
            return self.socket.recv_into(buffer, 0, _NOW)
        except BlockingIOError:
            raise
        except OSError as error:
            raise failed(self.name, "receive", error) from error

    def send(self, buffers: Sequence[Buffer]) -> int:
        try:
            return self.socket.sendmsg(buffers if len(buffers) <= MANY else buffers[:MANY], (), _NOW)
        except BlockingIOError:
            raise
        except OSError as error:
            raise failed(self.name, "send", error) from error

    def finish(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already, as the next call says that needs it

    def close(self) -> None:
        try:
            self.socket.close()
        except OSError:
            pass  # what it has to say of a connection that broke has been said, or nobody asks


def failed(name: str, doing: str, error: OSError) -> LinkError:
    """The error of a link whose system call failed."""
    return LinkError(f"{name}: cannot {doing}: {error.strerror or error}")


def prepare(sock: socket.socket) -> None:
    """Set what makes a link fast, as far as the system lets us."""
    # The last bytes of a handshake are not to wait for an acknowledgement.  TCP's buffers grow by themselves.
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    if sock.family == socket.AF_UNIX:
        options = [(socket.SOL_SOCKET, name, _HELD) for name in (socket.SO_SNDBUF, socket.SO_RCVBUF)]
    for level, name, value in options:
        try:
            if sock.getsockopt(level, name) < value:
                sock.setsockopt(level, name, value)
        except OSError:
            pass


def peer_name(sock: socket.socket) -> str:
    """Where the other side of a TCP connection is, or what process has it if it is a Unix socket."""
    try:
        if sock.family == socket.AF_UNIX:
            # struct ucred: process, user, group, 4 bytes each in the machine's order (unix(7)).
            raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return f"process {int.from_bytes(raw[:4], sys.byteorder)}"
        host, port, *_ = sock.getpeername()
    except OSError:
        return "somebody who is gone"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
