"""A device behind v1: one region with a structure and a buffer, and a state of three bits.

Source: Linux include/uapi/linux/vfio.h of 5.8 to 5.17, struct vfio_device_migration_info.
"""

from __future__ import annotations

from ...errors import DeviceError
from ...schema import vfio as schema
from .device import Device
from .registers import Structure, number, raw
from .stream import Incoming, Outgoing

_INFO = Structure(schema.V1)
STATES = {name: value for name, (value, _) in schema.V1_STATES.items()}
_NAMES = {value: name for name, value in STATES.items()}
# Where the buffer begins in the region, and its bytes if nobody says otherwise.
OFFSET, BUFFER = 4096, 8192


class Driver:
    """The region of a device, as a user sees it.  A request that breaks a rule changes nothing."""

    def __init__(self, device: Device, buffer: int = BUFFER) -> None:
        self.device = device
        self.state = "RUNNING"
        self._area = bytearray(buffer)
        self._ready: int | None = None
        self._data: Outgoing | Incoming | None = None

    @property
    def size(self) -> int:
        """Bytes of the region."""
        return OFFSET + len(self._area)

    def reset(self) -> None:
        """Reset the device: it runs, and has lost its state."""
        self.state, self._data, self._ready = "RUNNING", None, None
        self.device.reset()

    def read(self, offset: int, size: int) -> bytes:
        """Read from the region.

        :raises DeviceError: there is no such place, or nothing is to be read there now.
        """
        if OFFSET <= offset <= offset + size <= self.size:
            return bytes(self._area[offset - OFFSET : offset - OFFSET + size])
        rows = _INFO.touched(offset, size, False)
        if rows is None:
            raise DeviceError("VFIO1-REGION", f"{size} bytes at {offset} are no registers that can be read")
        return b"".join(raw(self._value(row.name), row.size) for row in rows)

    def write(self, offset: int, data: bytes) -> None:
        """Write to the region.

        :raises DeviceError: there is no such place, or what is written breaks a rule.
        """
        if OFFSET <= offset <= offset + len(data) <= self.size:
            self._area[offset - OFFSET : offset - OFFSET + len(data)] = data
            return
        rows = _INFO.touched(offset, len(data), True)
        if rows is None or len(rows) > 1:
            raise DeviceError("VFIO1-REGION", f"{len(data)} bytes at {offset} are no register that can be written")
        if rows[0].name == "device_state":
            self._set_state(number(data))
        else:
            self._take(number(data))

    # -- state -----------------------------------------------------------------------------------------------------

    def _set_state(self, value: int) -> None:
        name = _NAMES.get(value)
        if name is None or name == "ERROR":
            raise DeviceError("VFIO1-STATE-VALID", f"{value:#x} is no state that can be asked for")
        if name != self.state and name not in schema.V1_ARCS[self.state]:
            raise DeviceError("VFIO1-ARC", f"there is no way from {self.state} to {name}")
        if name == self.state:
            return
        if isinstance(self._data, Incoming):
            self._taken(self._data)
        before, self.state, self._ready = self._data, name, None
        self.device.running = bool(value & schema.V1_RUNNING)
        if name == "PRE-COPY":
            self._data = Outgoing(self.device, live=True)
        elif name == "STOP-AND-COPY":
            data = before if isinstance(before, Outgoing) else Outgoing(self.device, live=False)
            data.finish()
            self._data = data
        else:
            self._data = Incoming(self.device) if name == "RESUMING" else None

    def _taken(self, data: Incoming) -> None:
        """What came is all: take it over, or be of no use."""
        try:
            data.end()
        except DeviceError:
            self.state, self._data, self.device.running = "ERROR", None, False
            raise

    # -- data ------------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> int:
        if name == "device_state":
            return STATES[self.state]
        if name == "reserved":
            return 0
        data = self._data
        if name == "data_offset":
            if isinstance(data, Outgoing) and self._ready is None:
                found = data.take(len(self._area))
                self._area[: len(found)] = found
                self._ready = len(found)
            return OFFSET
        if name == "data_size":
            return self._ready or 0
        # To ask how much is left says that the buffer has been read.
        self._ready = None
        return data.left() if isinstance(data, Outgoing) else 0

    def _take(self, size: int) -> None:
        if not isinstance(self._data, Incoming) or size > len(self._area):
            raise DeviceError("VFIO1-DATA", f"{size:,} bytes are more than the buffer has, or none are taken now")
        self._data.put(bytes(self._area[:size]))
