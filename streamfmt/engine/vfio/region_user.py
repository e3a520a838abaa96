"""The user of v1, as QEMU 5.2 to 7.2 were: how it asks for what is pending, and gives it.

Source: QEMU hw/vfio/migration.c of those, vfio_save_buffer and vfio_load_buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ...errors import DeviceError
from ...schema import vfio as schema
from .region import STATES
from .registers import Structure, number, raw

_ROWS = Structure(schema.V1).rows


class Region(Protocol):
    """Where the interface is: a driver here, or one at the other end of something."""

    @property
    def size(self) -> int:
        """Bytes of the region."""

    def read(self, offset: int, size: int) -> bytes:
        """Read from the region.  Raises DeviceError."""

    def write(self, offset: int, data: bytes) -> None:
        """Write to it.  Raises DeviceError."""


class User:
    """Asks a device for its state, or gives it one."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def _get(self, name: str) -> int:
        row = _ROWS[name]
        return number(self._region.read(row.offset, row.size))

    def _set(self, name: str, value: int) -> None:
        row = _ROWS[name]
        self._region.write(row.offset, raw(value, row.size))

    def state(self, name: str) -> None:
        """Have the device be in a state; bits that have no meaning stay as they are."""
        self._set("device_state", self._get("device_state") & ~schema.V1_BITS | STATES[name])

    def pending(self) -> int:
        """About how many bytes the device has to give now."""
        return self._get("pending_bytes")

    def buffer(self) -> bytes:
        """The next bytes that it gives."""
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        """One transaction: a place, a size, and what is there."""
        place, size = self._get("data_offset"), self._get("data_size")
        if place < schema.V1_SIZE or place + size > self._region.size:
            raise DeviceError("VFIO1-OFFSET", f"{size:,} bytes at {place:,} are not in the region, or in its structure")
        at, end = place, place + size
        while at < end:
            # Each access is of 8, 4, 2 or 1 bytes, as its place and what is left allow.
            step = next(step for step in (8, 4, 2, 1) if not at % step and at + step <= end)
            yield self._region.read(at, step)
            at += step

    def put(self, data: bytes) -> None:
        """Give it these bytes, in as many pieces as the region needs (VFIO1-SPLIT)."""
        while data:
            place = self._get("data_offset")
            room = self._region.size - place
            if place < schema.V1_SIZE or room <= 0:
                raise DeviceError("VFIO1-OFFSET", f"the buffer is at {place:,}, not in the region")
            piece, data = data[:room], data[room:]
            self._region.write(place, piece)
            self._set("data_size", len(piece))
