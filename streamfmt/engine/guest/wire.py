"""Messages between a guest's process and those that use it: an object of JSON, bytes, and descriptors, on a socket.

Each begins with two 32-bit lengths, little-endian: that of the JSON and that of the bytes.  Descriptors come with the
lengths, as SCM_RIGHTS has them.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import GuestError

_LENGTHS = struct.Struct("<II")
# More than any message has: a bitmap of the largest memory is 8 MiB.
_MOST = 64 << 20
_DESCRIPTORS = 4


class Message(NamedTuple):
    """What was said, bytes to it, and descriptors, which are the receiver's."""

    said: dict[str, Any]
    data: bytes = b""
    descriptors: tuple[int, ...] = ()


def send(link: socket.socket, said: dict[str, Any], data: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    """Send a message.

    :raises GuestError: the other process is gone, or does not read within the socket's time-out.
    """
    text = json.dumps(said).encode()
    lengths = _LENGTHS.pack(len(text), len(data))
    try:
        if descriptors:
            socket.send_fds(link, [lengths], list(descriptors))
            link.sendall(text + data)
        else:
            link.sendall(lengths + text + data)
    except OSError as error:
        raise GuestError(f"the guest's process cannot be reached: {(error.strerror or str(error)).lower()}") from None


def receive(link: socket.socket) -> Message | None:
    """The next message; None if the other process has closed its end.

    :raises GuestError: none comes within the socket's time-out, or it ends too early.
    """
    descriptors: list[int] = []
    try:
        begins, descriptors, _, _ = socket.recv_fds(link, _LENGTHS.size, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not begins:
            return None
        begins += _exactly(link, _LENGTHS.size - len(begins))
        size, more = _LENGTHS.unpack(begins)
        if size > _MOST or more > _MOST:
            raise GuestError(f"the guest's process sends {size + more:,} bytes at once, more than it can have to say")
        text, data = _exactly(link, size), _exactly(link, more)
        said = json.loads(text)
    except (OSError, ValueError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise GuestError(f"the guest's process does not answer: {why.lower()}") from None
    return Message(said, data, tuple(descriptors))


def _exactly(link: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view = memoryview(found)
    while view:
        count = link.recv_into(view)
        if not count:
            raise ConnectionResetError("it has ended")
        view = view[count:]
    return bytes(found)
