"""QEMU's callbacks that save a device: setup, iterate, stop, complete, state; one class for each interface.

Each gives what goes into the device's section of the migration: START, PARTs, END and FULL.  The stream is that of the
releases that had the interface, and for 2019 that of the series.
Sources: QEMU hw/vfio/migration.c of 5.2 to 7.2 and of 8.0 to 10.2; the series "VFIO live migration" of 2019, 3/5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from ...errors import DeviceError
from ...schema import vfio as schema
from ...writer import vfio
from .. import frames as sets
from . import proposal_user, region_user
from .states import Session


class Interface(Protocol):
    """What a device of v2 is to its user, here or at the other end of a socket."""

    @property
    def flags(self) -> int:
        """What it can do."""

    @property
    def state(self) -> str:
        """The state it is in."""

    def set_state(self, state: str) -> Session | None:
        """Have it go to a state.  Raises DeviceError."""

    def read(self, session: Session, size: int) -> bytes | None:
        """Read of a session: nothing at its end, None if there is no more for now.  Raises DeviceError."""

    def write(self, session: Session, data: bytes) -> None:
        """Write more of a session.  Raises DeviceError."""

    def precopy(self) -> tuple[int, int]:
        """What is left of the first data, and of others.  Raises DeviceError."""

    def stop_copy_length(self) -> int:
        """About how many bytes there will be."""

    def log_start(self, first: int, count: int) -> None:
        """Log which of these pages it writes.  Raises DeviceError."""

    def log_stop(self) -> None:
        """End that."""

    def log_report(self, first: int, count: int) -> int:
        """Those that it wrote since.  Raises DeviceError."""

    def reset(self) -> None:
        """Reset it."""


class Saver(Protocol):
    """One device on its way.  After `setup` either `done` or `cancel` has to come."""

    name: str

    def setup(self) -> bytes:
        """It begins, with the guest running: what its section begins with."""

    def iterate(self) -> bytes:
        """More of it; nothing if no part of the section is to go now."""

    def stop(self) -> None:
        """The guest has stopped, and the device stops."""

    def complete(self) -> bytes:
        """The last part."""

    def state(self) -> bytes:
        """What is sent at once after it; nothing if there is no such."""

    def done(self) -> None:
        """All has gone."""

    def cancel(self) -> None:
        """It stays here: it runs as before."""

    def pages(self, count: int) -> int:
        """The set of the guest's first `count` pages that it has written since that was last asked."""


class ProposalSaver:
    """A device of the interface of 2019.

    :param pci: base addresses, address and data of messages, as its stream has them.
    """

    def __init__(self, name: str, user: proposal_user.User, pci: bytes = bytes(schema.PROPOSAL_PCI[0])) -> None:
        self.name = name
        self._user, self._pci = user, pci
        self._memory = bool(user.caps & schema.DEVICE_MEMORY)
        self._stopped = False

    def setup(self) -> bytes:
        """Its whole memory, if it has such; from then on what is written is logged."""
        whole = self._user.memory() if self._memory else None
        self._user.state("RUNNING+LOGGING")
        if whole is None:
            return bytes((schema.FLAG_SETUP,))
        return bytes((schema.FLAG_SETUP | schema.FLAG_CONTINUE,)) + _item(schema.FLAG_MEMORY, whole)

    def iterate(self) -> bytes:
        """What was written since."""
        if self._stopped or not self._memory:
            return b""
        return _item(schema.FLAG_MEMORY, self._user.memory())

    def stop(self) -> None:
        """STOP, with LOGGING: what was written before is still to come."""
        self._user.state("STOP+LOGGING")
        self._stopped = True

    def complete(self) -> bytes:
        """The last of memory, PCI, and the configuration."""
        more = schema.FLAG_CONTINUE
        made = [_item(schema.FLAG_MEMORY | more, self._user.memory())] if self._memory else []
        made += [bytes((schema.FLAG_PCI | more,)), self._pci, _item(schema.FLAG_CONFIG, self._user.config())]
        return b"".join(made)

    def state(self) -> bytes:
        """Nothing."""
        return b""

    def done(self) -> None:
        """LOGGING is cleared."""
        self._user.state("STOP")

    def cancel(self) -> None:
        """It runs, and nothing is logged."""
        self._stopped = False
        self._user.state("RUNNING")

    def pages(self, count: int) -> int:
        """By its bitmap, if it has one."""
        return self._user.pages(0, count) if self._user.caps & schema.SYSTEM_MEMORY else sets.NONE


def _item(flag: int, data: bytes) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(8, "big") + data


class RegionSaver:
    """A device of v1, in the stream of QEMU 6.0 to 7.2.

    :param iommu: says which pages its DMA wrote, which is not the device's own to say in v1; destructive.
    :param old: as QEMU 5.2 writes it, with the configuration first in the last part.
    """

    def __init__(
        self,
        name: str,
        user: region_user.User,
        iommu: Callable[[int], int] | None = None,
        pci: bytes | None = None,
        old: bool = False,
    ) -> None:
        self.name = name
        self._user, self._iommu, self._old = user, iommu, old
        self._pci = vfio.pci(vfio.space()) if pci is None else pci
        self._stopped = False

    def setup(self) -> bytes:
        """Only that it begins."""
        self._user.state("PRE-COPY")
        return vfio.SETUP

    def iterate(self) -> bytes:
        """One buffer, which may be empty."""
        if self._stopped:
            return b""
        return vfio.data(self._user.buffer() if self._user.pending() else b"") + vfio.END

    def stop(self) -> None:
        """From now on it gives what is left."""
        self._user.state("STOP-AND-COPY")
        self._stopped = True

    def complete(self) -> bytes:
        """Buffers until nothing is pending."""
        before = vfio.configuration(self._pci) if self._old else b""
        return before + b"".join(self._rest()) + vfio.END

    def _rest(self) -> Iterator[bytes]:
        while self._user.pending():
            buffer = self._user.buffer()
            if not buffer:
                break
            yield vfio.data(buffer)

    def state(self) -> bytes:
        """Its PCI configuration."""
        return b"" if self._old else vfio.configuration(self._pci)

    def done(self) -> None:
        """It stays stopped."""
        self._user.state("STOPPED")

    def cancel(self) -> None:
        """It runs."""
        self._stopped = False
        self._user.state("RUNNING")

    def pages(self, count: int) -> int:
        """As the IOMMU has it."""
        return self._iommu(count) if self._iommu is not None else sets.run(0, count)


class StatesSaver:
    """A device of v2, in the stream of QEMU 8.1 and later.

    :param count: how many pages it may write to, which are the guest's from `first` on; 0 if it says nothing of that.
    :param switchover: whether to say once that its first data have gone, as with the capability switchover-ack.
    :raises DeviceError: it has no STOP_COPY, and cannot be migrated.
    """

    def __init__(
        self,
        name: str,
        device: Interface,
        count: int = 0,
        *,
        first: int = 0,
        switchover: bool = False,
        pci: bytes | None = None,
    ) -> None:
        if not device.flags & schema.CAN_STOP_COPY:
            raise DeviceError("VFIO2-NEED-STOPCOPY", "the device cannot be stopped and copied")
        self.name = name
        self._device, self._count, self._first = device, count, first
        self._live = bool(device.flags & schema.CAN_PRE_COPY)
        self._session: Session | None = None
        self._stopped = False
        self._switchover = switchover and self._live
        self._pci = vfio.pci(vfio.space()) if pci is None else pci

    @property
    def _most(self) -> int:
        return min(schema.BUFFER_MAX, max(self._device.stop_copy_length(), 1))

    def setup(self) -> bytes:
        """Only that it begins: the device gives its data from now on, if it can do that and run."""
        if self._live:
            self._session = self._device.set_state("PRE_COPY")
        if self._count:
            self._device.log_start(0, self._count)
        return vfio.SETUP

    def iterate(self) -> bytes:
        """One buffer, if there is something."""
        if self._stopped or self._session is None:
            return b"" if self._stopped else vfio.END
        data = self._device.read(self._session, self._most)
        made = vfio.data(data) if data else b""
        if self._switchover and not self._device.precopy()[0]:
            self._switchover = False
            return made + vfio.INIT_SENT
        return made + vfio.END

    def stop(self) -> None:
        """First no DMA to other devices, if it can do that, then none."""
        if self._device.flags & schema.CAN_P2P:
            self._device.set_state("PRE_COPY_P2P" if self._live else "RUNNING_P2P")
        began = self._device.set_state("STOP_COPY" if self._live else "STOP")
        self._session = self._session or began
        self._stopped = True

    def complete(self) -> bytes:
        """Buffers to the end of the session."""
        return b"".join(map(vfio.data, self.buffers())) + vfio.END

    def buffers(self) -> Iterator[bytes]:
        """The same as they come, for packets of multifd."""
        if not self._live:
            self._session = self._device.set_state("STOP_COPY")
        session = self._session
        while session is not None and (data := self._device.read(session, self._most)):
            yield data
        if session is None or data is None:
            raise DeviceError("VFIO2-ENOMSG", "the device is stopped, and says that it has no data for now")

    def state(self) -> bytes:
        """Its PCI configuration."""
        return vfio.configuration(self._pci)

    def done(self) -> None:
        """It stays stopped."""
        self._device.set_state("STOP")
        self._device.log_stop()

    def cancel(self) -> None:
        """It runs, by a reset if it does not otherwise."""
        self._stopped, self._session = False, None
        self._device.log_stop()
        try:
            self._device.set_state("RUNNING")
        except DeviceError:
            self._device.reset()

    def pages(self, count: int) -> int:
        """As it has logged them."""
        if not self._count:
            return sets.run(0, count)
        return self._device.log_report(0, self._count) << self._first & sets.run(0, count)
