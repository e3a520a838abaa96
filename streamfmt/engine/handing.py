"""A guest's memory passed between two processes of one host as a descriptor: nothing is copied, whatever its size.

Before the stream, which has no pages then, one message goes over a Unix socket, with the descriptor beside it
(SCM_RIGHTS, unix(7)).  From then on both processes have the same memory, so the source's guest stands before it is
handed over; and the receiver writes nothing there before the guest is its own.  If the receiver fails until then, the
source resumes its guest with the memory as it was.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket

from .. import tables
from ..errors import LinkError, PeerError
from .interface import End
from .transport.sockets import SocketEnd, failed
from .waiting import READ, WRITE, Waiter

# The message: this, the number of pages in hexadecimal, and a line feed.
_BEGIN, _DIGITS = b"streamfmt guest memory by descriptor, pages ", 16
_LENGTH = len(_BEGIN) + _DIGITS + 1
_PAGE = tables.PAGE_SIZE
_INT = array.array("i").itemsize
# Descriptors that are taken, to be closed: more than one is more than was agreed.
_TAKEN = 8
# What keeps the other process from taking pages away that are being read.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def hand_over(end: End, descriptor: int, pages: int, waiter: Waiter, deadline: float | None = None) -> None:
    """Pass the memory of a guest that stands.  The descriptor stays the caller's.

    :raises LinkError: the link is no Unix socket, the memory cannot be passed, or the link failed.
    :raises LateError: the other side takes nothing.
    """
    sock = _unix(end)
    if descriptor < 0:
        raise LinkError("memory by descriptor: this guest's memory has none; choose a guest with a memory file")
    _check(descriptor, pages, LinkError)
    left = memoryview(b"%s%0*x\n" % (_BEGIN, _DIGITS, pages))
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    while left:
        try:
            went = sock.sendmsg([left], beside, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            waiter.until(end.output(), WRITE, deadline, "memory by descriptor: the other side takes nothing")
            continue
        except OSError as error:
            raise failed("memory by descriptor", "send", error) from error
        left, beside = left[went:], []


def take_over(end: End, waiter: Waiter, deadline: float | None = None) -> tuple[int, int]:
    """The descriptor of a guest's memory, which is the caller's then, and its number of pages.

    :raises PeerError: something else came, or what came is no memory of that size which stays so.
    :raises LinkError: the link is no Unix socket, or failed.
    :raises LateError: nothing came.
    """
    sock = _unix(end)
    message, found = bytearray(), list[int]()
    try:
        while len(message) < _LENGTH:
            message += _some(sock, _LENGTH - len(message), found, waiter, deadline)
            if not message.startswith(_BEGIN[: len(message)]):
                raise PeerError(f"memory by descriptor was to come, not {bytes(message[:40])!r}; does the sender know?")
        pages = _number(bytes(message[len(_BEGIN) :]))
        if len(found) != 1:
            raise PeerError(f"memory by descriptor: {len(found)} descriptors came, not one")
        _check(found[0], pages, PeerError)
    except BaseException:
        for descriptor in found:
            os.close(descriptor)
        raise
    return found[0], pages


def _unix(end: End) -> socket.socket:
    if not isinstance(end, SocketEnd) or end.socket.family != socket.AF_UNIX:
        raise LinkError("memory is passed by descriptor over unix:PATH only, between processes of one host")
    return end.socket


def _some(sock: socket.socket, count: int, found: list[int], waiter: Waiter, deadline: float | None) -> bytes:
    """Some bytes of the message; descriptors that come beside them are added to `found`."""
    while True:
        try:
            data, beside, flags, _ = sock.recvmsg(
                count, socket.CMSG_SPACE(_TAKEN * _INT), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
            break
        except BlockingIOError:
            waiter.until(sock.fileno(), READ, deadline, "memory by descriptor: the sender sends nothing")
        except OSError as error:
            raise failed("memory by descriptor", "receive", error) from error
    for level, kind, raw in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found += array.array("i", raw[: len(raw) // _INT * _INT])
    if flags & socket.MSG_CTRUNC:
        raise PeerError("memory by descriptor: more descriptors came than one, or than this process may have")
    if not data:
        raise LinkError("memory by descriptor: the link was closed by the other side before it came")
    return data


def _number(text: bytes) -> int:
    digits = text[:-1]
    if text[-1:] != b"\n" or digits.strip(b"0123456789abcdef"):
        raise PeerError(f"memory by descriptor: {text!r} is no number of pages")
    return int(digits, 16)


def _check(descriptor: int, pages: int, error: type[LinkError] | type[PeerError]) -> None:
    """See that it is memory of this size, and stays so."""
    try:
        size, seals = os.fstat(descriptor).st_size, fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise error("memory by descriptor: the descriptor is no memory file") from None
    if not pages or size != pages * _PAGE:
        raise error(f"memory by descriptor: it has {size:,} bytes, not the {pages:,} pages that were announced")
    if seals & _SEALS != _SEALS:
        raise error("memory by descriptor: its size is not sealed, so pages could vanish while they are read")
