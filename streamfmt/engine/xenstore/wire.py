"""Messages of xenstore, between bytes and objects.

Numbers and limits are those of Xen's public header io/xs_wire.h.  A message is four u32 in the machine's byte order
(little-endian: all of Xen's domains are x86 here), the last of which is the number of bytes after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from ...errors import PeerError, StoreError

HEADER = Struct("<4I")  # type, number of the request, of the transaction, length of the payload
PAYLOAD_MAX, ABSOLUTE_MAX, RELATIVE_MAX = 4096, 3072, 2048
NUL = b"\0"


class Kind(IntEnum):
    """Types of messages."""

    CONTROL = 0
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESET_WATCHES = 21
    DIRECTORY_PART = 22


# What an answer of type ERROR may say, by name.
ERRORS = (
    *("EINVAL", "EACCES", "EEXIST", "EISDIR", "ENOENT", "ENOMEM", "ENOSPC", "EIO", "ENOTEMPTY", "ENOSYS", "EROFS"),
    *("EBUSY", "EAGAIN", "EISCONN", "E2BIG", "EPERM"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """A request, an answer or an event.  `kind` may be any number: not all are in :class:`Kind`."""

    kind: int
    request: int
    transaction: int
    payload: bytes

    def encoded(self) -> bytes:
        """Its bytes.

        :raises StoreError: E2BIG, the payload is too long for a message.
        """
        if len(self.payload) > PAYLOAD_MAX:
            raise StoreError("E2BIG", f"a payload of {len(self.payload):,} bytes")
        return HEADER.pack(self.kind, self.request, self.transaction, len(self.payload)) + self.payload


def take(received: bytearray) -> Message | None:
    """Take the first message off the front of what was received; None if it is not whole yet.

    :raises PeerError: it is longer than any message may be; the connection is of no more use.
    """
    if len(received) < HEADER.size:
        return None
    kind, request, transaction, length = HEADER.unpack_from(received)
    if length > PAYLOAD_MAX:
        raise PeerError(f"a message of xenstore announces {length:,} bytes: at most {PAYLOAD_MAX:,} are allowed")
    end = HEADER.size + length
    if len(received) < end:
        return None
    payload = bytes(received[HEADER.size : end])
    del received[:end]
    return Message(kind, request, transaction, payload)


def strings(*values: str | bytes) -> bytes:
    """Strings as a payload has them: each with a NUL after it."""
    return b"".join((value if isinstance(value, bytes) else value.encode()) + NUL for value in values)


def unpacked(payload: bytes) -> list[bytes] | None:
    """The strings of a payload; None if its last byte is no NUL."""
    return payload.split(NUL)[:-1] if not payload or payload.endswith(NUL) else None
