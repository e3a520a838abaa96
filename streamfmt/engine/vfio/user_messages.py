"""Messages of vfio-user taken out of bytes as they come, and made; no socket is looked at here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import PeerError
from ...schema import vfio_user as schema

_NAMES = {number: name for name, number in schema.COMMANDS.items()}


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its number, its command by name, or as a number if it is unknown; `error` is an errno, or 0."""

    number: int
    command: str
    body: bytes = b""
    reply: bool = False
    quiet: bool = False
    error: int = 0

    def render(self) -> bytes:
        """Its bytes."""
        flags = schema.REPLY * self.reply | schema.NO_REPLY * self.quiet | schema.ERROR * bool(self.error)
        command = schema.COMMANDS.get(self.command) or int(self.command)
        size = schema.HEADER.size + len(self.body)
        return schema.HEADER.pack(self.number, command, size, flags, self.error) + self.body


class Messages:
    """Takes messages out of what comes.  No more is kept than one may have."""

    def __init__(self) -> None:
        self._held = bytearray()

    def put(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole with this.

        :raises PeerError: what comes is none.
        """
        self._held += data
        head = schema.HEADER.size
        while len(self._held) >= head:
            number, command, size, flags, error = schema.HEADER.unpack_from(self._held)
            kind = flags & schema.TYPE
            if not head <= size <= schema.MESSAGE_MOST or kind not in (0, schema.REPLY):
                raise PeerError(f"the other side sends no message of vfio-user: {size:,} bytes, flags {flags:#x}")
            if len(self._held) < size:
                return
            body = bytes(self._held[head:size])
            del self._held[:size]
            failed = error if flags & schema.ERROR else 0
            quiet = bool(flags & schema.NO_REPLY)
            yield Message(number, _NAMES.get(command, str(command)), body, kind == schema.REPLY, quiet, failed)

    @property
    def inside(self) -> bool:
        """Whether a message has begun that is not whole."""
        return bool(self._held)
