"""QEMU's return path: the messages that a receiver sends while the stream comes, on the same link the other way.

Each is a type and a length, both 16 bits, and data; all integers are big-endian.
Sources: QEMU migration/migration.c (source_return_path_thread, rp_cmd_args), migration/migration.h
(mig_rp_message_type).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import PeerError

_HEAD = struct.Struct(">HH")
_VALUE = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of message: its number, and how many bytes of data it has at least and at most."""

    code: int
    least: int
    most: int


# What the receiver ended with (0 for success); the answer to a PING; pages asked for in post-copy, with a block's name
# and without; a block's bitmap; the answer to POSTCOPY_RESUME; and that the devices are ready for the guest's stop.
MESSAGES = {
    "SHUT": Kind(1, 4, 4),
    "PONG": Kind(2, 4, 4),
    "REQ_PAGES_ID": Kind(3, 13, 268),
    "REQ_PAGES": Kind(4, 12, 12),
    "RECV_BITMAP": Kind(5, 2, 256),
    "RESUME_ACK": Kind(6, 4, 4),
    "SWITCHOVER_ACK": Kind(7, 0, 0),
}
_NAMES = {kind.code: name for name, kind in MESSAGES.items()}


def message(name: str, value: int | None = None) -> bytes:
    """A message as it goes; with a value of 32 bits, if it has one."""
    data = b"" if value is None else _VALUE.pack(value)
    return _HEAD.pack(MESSAGES[name].code, len(data)) + data


def value(data: bytes) -> int:
    """The value of 32 bits that is a message's data."""
    found: int = _VALUE.unpack(data)[0]
    return found


class Messages:
    """Finds messages in bytes that come in any pieces."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The messages that are whole now: name and data of each.

        :raises PeerError: there is no such type, or it never has as much data.
        """
        held, found = self._held + data, []
        while len(held) >= _HEAD.size:
            code, length = _HEAD.unpack_from(held)
            name = _NAMES.get(code)
            if name is None:
                raise PeerError(f"the receiver sends a message of type {code} on the return path, and there is none")
            kind = MESSAGES[name]
            if not kind.least <= length <= kind.most:
                size = f"{kind.least}" if kind.least == kind.most else f"{kind.least} to {kind.most}"
                raise PeerError(f"the receiver's {name} has {length} bytes on the return path, and it has {size}")
            end = _HEAD.size + length
            if len(held) < end:
                break
            found.append((name, held[_HEAD.size : end]))
            held = held[end:]
        self._held = held
        return found
