"""A device behind v2: states and the arcs between them, a session of data, and which pages its DMA wrote.

Sources: Linux include/uapi/linux/vfio.h, VFIO_DEVICE_FEATURE_*; drivers/vfio/vfio_main.c, vfio_mig_get_next_state.
"""

from __future__ import annotations

from ...errors import DeviceError
from ...schema import vfio as schema
from .. import frames as sets
from .device import PAGE, Device
from .stream import LAST_MOST, Incoming, Outgoing

ALL = schema.V2_ALL
_ARC = "VFIO2-ARC"
_RESUMING, _STOP_COPY = "RESUMING", "STOP_COPY"


class Session:
    """A row of bytes that are read of a device, or written to it; `data` are there where the device is."""

    def __init__(self, data: Outgoing | Incoming | None = None) -> None:
        self.data = data
        self.open = True


class Driver:
    """A device with these flags, as a user of the interface sees it.  A request that breaks a rule changes nothing."""

    def __init__(self, device: Device, flags: int = ALL) -> None:
        self.device = device
        self.flags = flags
        self.state = "RUNNING"
        self.session: Session | None = None
        self.logging: tuple[int, int] | None = None
        # Whether the user wants to know of new first data (feature 12); whether there are some that it has not read.
        self.reports = self._renewed = False

    # -- states ----------------------------------------------------------------------------------------------------

    def set_state(self, state: str) -> Session | None:
        """Go to a state, by the way there is; gives the session of data, if that has one which began now.

        :raises DeviceError: there is no way, and nothing has changed; or a step of it failed, and the device is in the
            state before that step.
        """
        steps = None if state == "ERROR" or self.state == "ERROR" else schema.way(self.state, state, self.flags)
        if steps is None:
            raise DeviceError(_ARC, f"there is no way from {self.state} to {state}")
        began = None
        for then, effect in steps:
            if effect == schema.CLOSES:
                self._close()
                began = None
            self._run(then)
            if effect == schema.OPENS:
                began = self._open(then)
            self.state = then
            if then == _STOP_COPY and self.session is not None and isinstance(self.session.data, Outgoing):
                self.session.data.finish()
        return began

    def reset(self) -> None:
        """Reset the device: from whatever state it is in it runs, and has lost its own."""
        self.session, self.state = None, "RUNNING"
        self.device.reset()

    def _run(self, state: str) -> None:
        self.device.running = state in ("RUNNING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P")
        self.device.quiet = state.endswith("_P2P")

    def _open(self, state: str) -> Session:
        data = Incoming(self.device) if state == _RESUMING else Outgoing(self.device, live=state != _STOP_COPY)
        session = self.session = Session(data)
        return session

    def _close(self) -> None:
        """End the session; what was written is looked at as a whole only now."""
        session = self.session
        assert session is not None, "the arcs have it open"
        session.open, self.session = False, None
        if isinstance(session.data, Incoming):
            try:
                session.data.end()
            except DeviceError:
                self.state, self.device.running = "ERROR", False
                raise

    # -- data ------------------------------------------------------------------------------------------------------

    def read(self, session: Session, size: int) -> bytes | None:
        """Read some of a session: nothing at its end, None if there is no more for now (ENOMSG).

        :raises DeviceError: it is not to be read, or over.
        """
        if not session.open or not isinstance(session.data, Outgoing):
            raise DeviceError("VFIO2-DATAFD", "the session of data is over, or is not to be read")
        return session.data.take(size) or (b"" if session.data.whole else None)

    def write(self, session: Session, data: bytes) -> None:
        """Write more of a session.

        :raises DeviceError: it is not to be written, or over, or what is written means nothing.
        """
        if not session.open or not isinstance(session.data, Incoming):
            raise DeviceError("VFIO2-DATAFD", "the session of data is over, or is not to be written")
        session.data.put(data)

    def precopy(self) -> tuple[int, int]:
        """Bytes to read of what there was at the beginning of pre-copy, and of what was written since.

        :raises DeviceError: the device is in no state of pre-copy.
        """
        if self.session is None or not self.state.startswith("PRE_COPY"):
            raise DeviceError("VFIO2-PRECOPY-INFO", f"{self.state} is no state of pre-copy")
        data = self.session.data
        assert isinstance(data, Outgoing), "sessions of pre-copy are read"
        return data.initial, data.left() - data.initial

    def report_reinit(self) -> None:
        """The user wants to know when there are new first data (VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2)."""
        self.reports = True

    def reconfigured(self) -> None:
        """The device was set up anew while its data were being given: in pre-copy there are new first data."""
        if self.session is not None and isinstance(self.session.data, Outgoing) and self.state.startswith("PRE_COPY"):
            self.session.data.renew()
            self._renewed = True

    def reinit(self) -> bool:
        """Whether there are new first data that were not read to their end; never if nobody wanted to know.

        :raises DeviceError: the device is in no state of pre-copy.
        """
        first, _ = self.precopy()
        self._renewed = self._renewed and first > 0
        return self.reports and self._renewed

    def stop_copy_length(self) -> int:
        """About how many bytes there will be in STOP_COPY: no fewer than there are."""
        data = self.session.data if self.session is not None else None
        held = data.held if isinstance(data, Outgoing) else 0
        return held + self.device.most + LAST_MOST

    # -- what the device wrote -------------------------------------------------------------------------------------

    def log_start(self, first: int, count: int) -> None:
        """Begin to log which of these pages its DMA writes.

        :raises DeviceError: that is done already.
        """
        if self.logging is not None:
            raise DeviceError("VFIO2-LOG", "writes are logged already")
        self.logging = first, count
        self.device.pages = sets.NONE

    def log_stop(self) -> None:
        """End that; it need not have begun."""
        self.logging = None

    def log_report(self, first: int, count: int) -> int:
        """Those of these pages that were written, as bits from 0 on; they are clean after that.

        :raises DeviceError: they are not logged.
        """
        if self.logging is None or not self.logging[0] <= first <= first + count <= sum(self.logging):
            raise DeviceError("VFIO2-LOG", f"{count:,} pages from {first * PAGE:#x} on are not logged")
        return self.device.take_pages(first, count)
