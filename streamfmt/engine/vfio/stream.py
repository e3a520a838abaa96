"""What the model's driver gives as its state in v1 and v2, as a row of bytes: parts of memory, and registers last.

It is opaque to all but the driver, as each driver's is.  A part is four letters and a length of 64 bits before what it
has.
"""

from __future__ import annotations

from ...errors import DeviceError
from .device import BLOCK, CONFIG_SIZE, Device

MEMORY, CONFIG = b"MEM\0", b"CFG\0"
_HEAD = 12
# Bytes of the registers, and of what is before them and before a part of memory.
LAST_MOST = CONFIG_SIZE + 2 * _HEAD
CLAUSE = "VFIO-DEVICE-DATA"


def _part(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(8, "little") + data


class Outgoing:
    """The state of a device that is being given; `live` if it runs meanwhile, and gives all of its memory first."""

    def __init__(self, device: Device, live: bool) -> None:
        self._device = device
        self._live = live
        self._held = bytearray()
        self._last = False
        # Bytes of what there was at the beginning that have not been taken.
        self.initial = 0
        if live:
            self._more(logging=False)
            self.initial = len(self._held)

    def renew(self) -> None:
        """What was given first is not good any more: all of memory is first data again, after what is held."""
        if not self._last:
            self._more(logging=False)
            self.initial = len(self._held)

    def _more(self, logging: bool) -> None:
        blocks = self._device.take_blocks(logging)
        if blocks:
            self._held += _part(MEMORY, self._device.chunks(blocks))

    def finish(self) -> None:
        """The device has stopped: what was written since, or all, and its registers are the last; once."""
        if not self._last:
            self._more(logging=self._live)
            self._held += _part(CONFIG, self._device.config())
            self._last = True

    @property
    def whole(self) -> bool:
        """Whether all of it has been taken, and no more will come."""
        return self._last and not self._held

    @property
    def held(self) -> int:
        """Bytes that can be taken without asking the device for more."""
        return len(self._held)

    def left(self) -> int:
        """About how many bytes there are to take now."""
        written = 0 if self._last else self._device.blocks.bit_count() * BLOCK
        return len(self._held) + written

    def take(self, size: int) -> bytes:
        """So many bytes, or fewer if there are no more now."""
        if not self._held and not self._last:
            self._more(logging=True)
        found = bytes(self._held[:size])
        del self._held[:size]
        self.initial = max(self.initial - len(found), 0)
        return found


class Incoming:
    """The state of a device that is being taken over: memory as it comes, the registers at the end.

    No more is kept than one part has, which is as much as the device's memory at most.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held = bytearray()
        self._config: bytes | None = None

    def put(self, data: bytes) -> None:
        """More of it.

        :raises DeviceError: it is not what such a device gives.
        """
        self._held += data
        while len(self._held) >= _HEAD:
            kind, size = bytes(self._held[:4]), int.from_bytes(self._held[4:_HEAD], "little")
            if self._config is not None or kind not in (MEMORY, CONFIG) or size > self._device.most:
                raise DeviceError(CLAUSE, f"{size:,} bytes of {kind!r} are no part of such a device's state")
            if len(self._held) < _HEAD + size:
                return
            body = bytes(self._held[_HEAD : _HEAD + size])
            del self._held[: _HEAD + size]
            if kind == MEMORY:
                self._device.load_chunks(body)
            else:
                self._config = body

    def end(self) -> None:
        """All has come.

        :raises DeviceError: it has not, or its registers are not of such a device.
        """
        if self._held or self._config is None:
            raise DeviceError(CLAUSE, "the state ends inside a part, or before the registers")
        self._device.load_config(self._config)
