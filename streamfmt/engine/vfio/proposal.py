"""A device behind the interface proposed in February 2019: a control structure, and a region for each kind of data.

What the discussion left open is decided here, and in the clauses that are named: to read the size of memory takes a new
snapshot, and positions count from its beginning (VFIO-P-SNAPSHOT); the last chunk is as long as what is left, and what
is in the region after it means nothing (VFIO-P-LAST); the size of the configuration does not change until the device
runs again (VFIO-P-CFGSIZE); STOP with LOGGING gives what was written since the last time, as RUNNING with it does
(VFIO-P-STOPLOG).
"""

from __future__ import annotations

from ...errors import DeviceError
from ...schema import vfio as schema
from .. import frames as sets
from .device import PAGE, Device
from .registers import Structure, number, raw

_CONTROL = Structure(schema.CONTROL)
_NAMES = {value: name for name, (value, _) in schema.PROPOSAL_STATES.items()}
# Bytes of regions, if nobody says otherwise.
CONFIG_SIZE, MEMORY_SIZE, BITMAP_SIZE = 4096, 4096, 64


class Driver:
    """The regions of a device: all that a user of this interface sees of it.

    A request that breaks a rule changes nothing.
    """

    def __init__(
        self, device: Device, *, config: int = CONFIG_SIZE, memory: int = MEMORY_SIZE, bitmap: int = BITMAP_SIZE
    ) -> None:
        self.device = device
        self.state = 0
        self.caps = (schema.DEVICE_MEMORY if memory else 0) | (schema.SYSTEM_MEMORY if bitmap else 0)
        sizes = {schema.CONFIG: config, schema.MEMORY: memory, schema.BITMAP: bitmap}
        self.regions = {kind: bytearray(size) for kind, size in sizes.items() if size}
        # What is to be got, and what is being set, of memory; how long each is; where the chunk is.
        self._snapshot = b""
        self._incoming: bytearray | None = None
        self._size = self._pos = self._config_size = 0
        self._start = 0

    def sizes(self) -> dict[int, int]:
        """Bytes of each region that there is."""
        return {schema.CTL: schema.CONTROL_SIZE, **{kind: len(area) for kind, area in self.regions.items()}}

    def read(self, region: int, offset: int, size: int) -> bytes:
        """Read from a region.

        :raises DeviceError: there is no such place, or it is not to be read.
        """
        if region != schema.CTL:
            area = self._area(region, offset, size)
            return bytes(area[offset : offset + size])
        rows = _CONTROL.touched(offset, size, False)
        if rows is None:
            raise DeviceError("VFIO-P-CONTROL", f"{size} bytes at {offset} are no registers that can be read")
        return b"".join(raw(self._value(row.name), row.size) for row in rows)

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Write to a region.

        :raises DeviceError: there is no such place, it is not to be written, or what is asked for breaks a rule.
        """
        if region != schema.CTL:
            self._area(region, offset, len(data))[offset : offset + len(data)] = data
            return
        rows = _CONTROL.touched(offset, len(data), True)
        if rows is None:
            raise DeviceError("VFIO-P-CONTROL", f"{len(data)} bytes at {offset} are no registers that can be written")
        place = 0
        for row in rows:
            _WRITTEN[row.name](self, number(data[place : place + row.size]))
            place += row.size

    def _area(self, region: int, offset: int, size: int) -> bytearray:
        area = self.regions.get(region)
        if area is None or offset < 0 or size <= 0 or offset + size > len(area):
            raise DeviceError("VFIO-P-REGION", f"region {region} has no {size} bytes at {offset}")
        return area

    # -- registers that are read -----------------------------------------------------------------------------------

    def _value(self, name: str) -> int:
        if name == "version":
            return schema.PROPOSAL_VERSION
        if name == "caps":
            return self.caps
        if name == "device_config.size":
            return len(self.device.config())
        self._needs(schema.DEVICE_MEMORY, "device memory")
        logging = bool(self.state & schema.LOGGING)
        self._snapshot = self.device.chunks(self.device.take_blocks(logging))
        self._pos = 0
        return len(self._snapshot)

    def _needs(self, cap: int, what: str) -> None:
        if not self.caps & cap:
            raise DeviceError("VFIO-P-CAPS", f"the device has no capability for {what}")

    # -- registers that are written --------------------------------------------------------------------------------

    def _set_state(self, value: int) -> None:
        if value not in _NAMES:
            raise DeviceError("VFIO-P-STATE", f"{value} is no device state")
        began = value & schema.LOGGING and not self.state & schema.LOGGING
        self.state = value
        self.device.running = not value & schema.STOP
        if began:
            # What was written before is what has been got, or will be, as a whole.
            self.device.pages = sets.NONE

    def _config_action(self, action: int) -> None:
        area = self.regions[schema.CONFIG]
        if action == schema.GET_BUFFER:
            found = self.device.config()
            if len(found) > len(area):
                raise DeviceError("VFIO-P-CFGSIZE", f"{len(found):,} bytes are more than the region's {len(area):,}")
            area[: len(found)] = found
        elif action == schema.SET_BUFFER:
            self._stopped("its configuration")
            self.device.load_config(bytes(area[: self._config_size]))
        else:
            raise DeviceError("VFIO-P-ACTION", f"{action} is neither to get a buffer nor to set one")

    def _set_config_size(self, size: int) -> None:
        if size > len(self.regions[schema.CONFIG]):
            raise DeviceError("VFIO-P-CFGSIZE", f"{size:,} bytes are more than the configuration's region has")
        self._config_size = size

    def _set_size(self, size: int) -> None:
        self._needs(schema.DEVICE_MEMORY, "device memory")
        if size > self.device.most:
            raise DeviceError("VFIO-P-MEMSIZE", f"{size:,} bytes are more than all memory of the device comes to")
        self._incoming, self._size, self._pos = bytearray(), size, 0

    def _set_pos(self, pos: int) -> None:
        self._needs(schema.DEVICE_MEMORY, "device memory")
        if pos % len(self.regions[schema.MEMORY]):
            raise DeviceError("VFIO-P-POS", f"position {pos:,} is no multiple of the region's size")
        self._pos = pos

    def _memory_action(self, action: int) -> None:
        self._needs(schema.DEVICE_MEMORY, "device memory")
        area = self.regions[schema.MEMORY]
        if action == schema.GET_BUFFER:
            if self._pos >= len(self._snapshot):
                raise DeviceError("VFIO-P-POS", f"position {self._pos:,} is not in {len(self._snapshot):,} bytes")
            found = self._snapshot[self._pos : self._pos + len(area)]
            area[: len(found)] = found
        elif action == schema.SET_BUFFER:
            self._stopped("its memory")
            self._take(area)
        else:
            raise DeviceError("VFIO-P-ACTION", f"{action} is neither to get a buffer nor to set one")

    def _take(self, area: bytearray) -> None:
        """Take the chunk in the region; all of them are taken over with the last."""
        if self._incoming is None or self._pos >= self._size:
            raise DeviceError("VFIO-P-POS", f"position {self._pos:,} is not in the size that was said")
        if self._pos != len(self._incoming):
            raise DeviceError("VFIO-P-CHUNKS", f"a chunk at {self._pos:,}, where {len(self._incoming):,} is next")
        self._incoming += area[: min(len(area), self._size - self._pos)]
        if len(self._incoming) == self._size:
            whole, self._incoming = bytes(self._incoming), None
            self.device.load_chunks(whole)

    def _stopped(self, what: str) -> None:
        if not self.state & schema.STOP:
            raise DeviceError("VFIO-P-SETSTOP", f"the device runs, and {what} is not to be set then")

    def _set_start(self, address: int) -> None:
        self._needs(schema.SYSTEM_MEMORY, "a bitmap of system memory")
        if address % PAGE:
            raise DeviceError("VFIO-P-BITMAP", f"address {address:#x} is no page's")
        self._start = address

    def _query(self, count: int) -> None:
        self._needs(schema.SYSTEM_MEMORY, "a bitmap of system memory")
        area = self.regions[schema.BITMAP]
        if not 0 < count <= 8 * len(area):
            raise DeviceError("VFIO-P-BITMAP", f"{count:,} pages, and the region has bits for {8 * len(area):,}")
        logging = self.state & schema.LOGGING
        found = self.device.take_pages(self._start // PAGE, count) if logging else sets.NONE
        area[:] = found.to_bytes(len(area), "little")


_WRITTEN = {
    "device_state": Driver._set_state,
    "device_config.action": Driver._config_action,
    "device_config.size": Driver._set_config_size,
    "device_memory.action": Driver._memory_action,
    "device_memory.size": Driver._set_size,
    "device_memory.pos": Driver._set_pos,
    "system_memory.start_addr": Driver._set_start,
    "system_memory.page_nr": Driver._query,
}
