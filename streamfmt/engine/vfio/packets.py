"""A device's state over the channels of multifd: packets with numbers of their own, which arrive in any order.

Source: QEMU hw/vfio/migration-multifd.c of 10.0 and later.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DeviceError
from ...schema import vfio as schema
from ...writer import vfio
from .loading import CONFIG_MOST, StatesLoader
from .saving import StatesSaver

_NUMBER = 4
# Bytes of packets that are kept until those before them have come, as QEMU's x-migration-max-queued-buffers-size.
QUEUED_MOST = 64 << 20


def packets(saver: StatesSaver) -> Iterator[bytes]:
    """What packets have, of a device that was stopped: its data, and its configuration last."""
    index = 0
    for buffer in saver.buffers():
        yield vfio.packet(index, buffer)
        index += 1
    yield vfio.packet(index, saver.state(), last=True)


class PacketLoader:
    """Puts packets in their order and gives them to a device's loader, whose `setup` has come.

    In the main stream the device has its section as ever, with marks alone.
    """

    def __init__(self, loader: StatesLoader) -> None:
        self._loader = loader
        self._queued: dict[int, bytes] = {}
        self._size = self._next = 0
        self._last: int | None = None

    @property
    def queued(self) -> int:
        """Bytes that wait for packets before them."""
        return self._size

    def put(self, raw: bytes) -> None:
        """A packet, of any channel.

        :raises DeviceError: it is none, or one that has come already.
        """
        if len(raw) < schema.PACKET_SIZE:
            raise DeviceError("VFIO-MFD-SHORT", f"a packet has {len(raw)} bytes, fewer than are before its data")
        version, index, flags = (int.from_bytes(raw[at : at + _NUMBER], "big") for at in range(0, 3 * _NUMBER, _NUMBER))
        data = raw[schema.PACKET_SIZE :]
        if version != schema.PACKET_VERSION:
            raise DeviceError("VFIO-MFD-VERSION", f"a packet has version {version}")
        if flags & ~schema.PACKET_CONFIG:
            raise DeviceError("VFIO-MFD-FLAGS", f"a packet has flags {flags:#x}")
        if index == schema.PACKET_NONE or index < self._next or index in self._queued:
            raise DeviceError("VFIO-MFD-INDEX", f"packet {index:,} is none, or has come already")
        if self._last is not None and (flags or index > self._last):
            raise DeviceError("VFIO-MFD-ORDER", f"packet {index:,} comes beside the configuration, which is the last")
        if flags:
            if len(data) > CONFIG_MOST or index < max(self._queued, default=0):
                raise DeviceError("VFIO-MFD-ORDER", f"packet {index:,} has the configuration, and is not the last")
            self._last = index
        if self._size + len(data) > QUEUED_MOST:
            raise DeviceError("VFIO-MFD-QUEUE", f"more than {QUEUED_MOST:,} bytes wait for packet {self._next:,}")
        self._queued[index] = data
        self._size += len(data)
        self._take()

    def _take(self) -> None:
        """Give the device what is next, as far as it is there."""
        while (data := self._queued.pop(self._next, None)) is not None:
            self._size -= len(data)
            if self._next != self._last:
                self._loader.put(vfio.data(data))
            else:
                self._loader.put(data)
                self._loader.end()
            self._next += 1

    def end(self) -> None:
        """All have come.

        :raises DeviceError: some are missing.
        """
        if self._last is None or self._next <= self._last:
            missing = f"packet {self._next:,}" if self._queued or self._last is not None else "the configuration"
            raise DeviceError("VFIO-MFD-ORDER", f"{missing} is missing")
