"""The user of the interface of 2019, as QEMU would have been: it checks, gets and sets, chunk by chunk.

Source: the series "VFIO live migration", February 2019, hw/vfio/migration.c.
"""

from __future__ import annotations

from typing import Protocol

from ...errors import DeviceError
from ...schema import vfio as schema
from .. import frames as sets
from .device import PAGE
from .registers import Structure, number, raw

_CONTROL = Structure(schema.CONTROL)
# Bytes of device memory in one item that are kept until the device has taken them.
MEMORY_MOST = 256 << 20
_STATES = {name: value for name, (value, _) in schema.PROPOSAL_STATES.items()}


class Regions(Protocol):
    """Where the interface is: a driver here, or one at the other end of something."""

    def sizes(self) -> dict[int, int]:
        """Bytes of each region that there is."""

    def read(self, region: int, offset: int, size: int) -> bytes:
        """Read from a region.  Raises DeviceError."""

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Write to a region.  Raises DeviceError."""


class User:
    """Asks a device for its state, or gives it one.

    :raises DeviceError: its version is another, or a region is missing that it has to have: it cannot be migrated.
    """

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._sizes = regions.sizes()
        missing = [kind for kind in (schema.CTL, schema.CONFIG) if kind not in self._sizes]
        if missing:
            raise DeviceError("VFIO-P-REGIONS", f"the device has no region {schema.REGIONS[missing[0]][0]}")
        version = self._get("version")
        if version != schema.PROPOSAL_VERSION:
            raise DeviceError("VFIO-P-VERSION", f"the interface has version {version}, not {schema.PROPOSAL_VERSION}")
        self.caps = self._get("caps")
        for cap, kind in ((schema.DEVICE_MEMORY, schema.MEMORY), (schema.SYSTEM_MEMORY, schema.BITMAP)):
            if self.caps & cap and kind not in self._sizes:
                raise DeviceError("VFIO-P-REGIONS", f"the device has no region {schema.REGIONS[kind][0]} for its caps")

    def _get(self, name: str) -> int:
        row = _CONTROL.rows[name]
        return number(self._regions.read(schema.CTL, row.offset, row.size))

    def _set(self, name: str, value: int) -> None:
        row = _CONTROL.rows[name]
        self._regions.write(schema.CTL, row.offset, raw(value, row.size))

    def state(self, name: str) -> None:
        """Have the device be in a state."""
        self._set("device_state", _STATES[name])

    def most(self, memory: bool) -> int:
        """Bytes of memory, or of the configuration, that are taken at most: no limit is known of a device's memory."""
        return MEMORY_MOST if memory else self._sizes[schema.CONFIG]

    # -- configuration ---------------------------------------------------------------------------------------------

    def config(self) -> bytes:
        """The configuration, whole."""
        size = self._get("device_config.size")
        if size > self._sizes[schema.CONFIG]:
            raise DeviceError("VFIO-P-CFGSIZE", f"the configuration has {size:,} bytes, more than its region")
        self._set("device_config.action", schema.GET_BUFFER)
        return self._regions.read(schema.CONFIG, 0, size) if size else b""

    def set_config(self, data: bytes) -> None:
        """Give it this configuration."""
        if len(data) > self._sizes[schema.CONFIG]:
            raise DeviceError("VFIO-P-CFGSIZE", f"{len(data):,} bytes came, more than the configuration's region has")
        self._set("device_config.size", len(data))
        if data:
            self._regions.write(schema.CONFIG, 0, data)
        self._set("device_config.action", schema.SET_BUFFER)

    # -- memory ----------------------------------------------------------------------------------------------------

    def memory(self) -> bytes:
        """What the device gives of its memory now: all, or what was written since the last time."""
        size, step = self._get("device_memory.size"), self._sizes[schema.MEMORY]
        made = []
        for pos in range(0, size, step):
            self._set("device_memory.pos", pos)
            self._set("device_memory.action", schema.GET_BUFFER)
            made.append(self._regions.read(schema.MEMORY, 0, min(step, size - pos)))
        return b"".join(made)

    def set_memory(self, data: bytes) -> None:
        """Give it this of memory, as it was got."""
        step = self._sizes[schema.MEMORY]
        self._set("device_memory.size", len(data))
        for pos in range(0, len(data), step):
            self._regions.write(schema.MEMORY, 0, data[pos : pos + step])
            self._set("device_memory.pos", pos)
            self._set("device_memory.action", schema.SET_BUFFER)

    # -- what the device wrote -------------------------------------------------------------------------------------

    def pages(self, first: int, count: int) -> int:
        """The set of pages it wrote, of `count` from `first` on, asked for in as many parts as the region takes."""
        most, found = 8 * self._sizes[schema.BITMAP], sets.NONE
        start, number_of = (_CONTROL.rows[f"system_memory.{name}"] for name in ("start_addr", "page_nr"))
        for at in range(first, first + count, most):
            some = min(most, first + count - at)
            both = raw(at * PAGE, start.size) + raw(some, number_of.size)
            self._regions.write(schema.CTL, start.offset, both)
            size = (some + 63) // 64 * 8
            bits = self._regions.read(schema.BITMAP, 0, min(size, self._sizes[schema.BITMAP]))
            found |= sets.from_bitmap(bits) << at
        return found
