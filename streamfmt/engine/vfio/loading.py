"""QEMU's callbacks that load a device: what its section has goes to it as it comes, in pieces of any size.

Sources: those of :mod:`.saving`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ...errors import DeviceError
from ...reader.qemu_vfio import pci_sizes, vectors
from ...schema import vfio as schema
from . import proposal_user, region_user
from .saving import Interface
from .states import Session

_SIZE = schema.MARK_SIZE
_NUMBER = 4
# Bytes of a configuration at most: of PCI Express, with all vectors that there can be, and what else may be in it.
CONFIG_MOST = (64 << 10) + pci_sizes(2048)[1]


class Loader(Protocol):
    """One device that comes."""

    name: str

    def setup(self) -> None:
        """Its section has begun."""

    def put(self, data: bytes) -> None:
        """More of what its section has.  Raises DeviceError."""

    def end(self) -> None:
        """That part of the section has ended.  Raises DeviceError."""

    def start(self) -> None:
        """All has come, and the device runs if the guest does.  Raises DeviceError."""

    def stop(self) -> None:
        """All has come, and the device does not run.  Raises DeviceError."""


def configuration_size(raw: bytes | bytearray) -> int:
    """Bytes of a PCI device's state at the beginning of these, which end with a mark; -1 if it does not.

    Its own configuration shows it, and a mark after it which of two sizes it is.
    """
    least = _NUMBER + schema.PCI_SIZE
    if len(raw) < least:
        return -1
    end = schema.END_OF_STATE.to_bytes(_SIZE, "big")
    sizes = pci_sizes(vectors(bytes(raw[_NUMBER:least])))
    for size in sizes:
        if raw[size : size + _SIZE] == end:
            return size
    return raw.find(end, sizes[0])


class _Parts:
    """What sections of devices consist of, as a program that is given more bytes at a time.

    It yields how many bytes it wants in a row, or the negative number of bytes that go by, and is sent them.
    """

    name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._held = bytearray()
        self._wanted = 0
        self._program: Iterator[int] | None = None
        self.config = b""

    def put(self, data: bytes) -> None:
        """More of the section's part."""
        if self._program is None:
            self._program = self._items()
            self._wanted = next(self._program, 0)
        self._held += data
        while self._wanted and len(self._held) >= self._wanted:
            self._wanted = next(self._program, 0)
        if self._held and not self._wanted:
            raise DeviceError("VFIO-CFG-LAST", f"{len(self._held):,} bytes follow what ends the section")

    def end(self) -> None:
        """That was all of this part."""
        program, self._program = self._program, None
        if program is not None and (self._held or self._wanted):
            self._held.clear()
            raise DeviceError("VFIO-DATA-LEN", f"the part ends where {self._wanted:,} bytes are due")

    def _items(self) -> Iterator[int]:
        """Program of a part of the section: it yields how many bytes it needs, and finds them held."""
        raise NotImplementedError

    def _take(self, size: int) -> bytes:
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _data(self, size: int) -> Iterator[int]:
        """Program of so many bytes of the device's own, which go to it as they come."""
        while size:
            yield 1
            some = self._take(size)
            size -= len(some)
            self._give(some)

    def _give(self, data: bytes) -> None:
        raise NotImplementedError


class _Marked(_Parts):
    """A section with marks, of v1 and v2; `old` if it goes on after a configuration, as in QEMU 5.2."""

    def __init__(self, name: str, old: bool = False) -> None:
        super().__init__(name)
        self._old = old
        self.sent = False

    def _items(self) -> Iterator[int]:
        due = 0
        while True:
            yield _SIZE
            mark = self._number(_SIZE)
            if due and mark != due:
                raise DeviceError("VFIO-SETUP-EOS", f"{mark:#x} follows, where {due:#x} is due")
            if mark == schema.DEV_DATA:
                yield _SIZE
                yield from self._data(self._number(_SIZE))
            elif mark == schema.DEV_CONFIG:
                yield from self._configuration()
                if self._old:
                    yield _SIZE
                    self._number(_SIZE)
            elif mark == schema.DEV_SETUP:
                due = schema.END_OF_STATE
            elif mark in (schema.END_OF_STATE, schema.INIT_DATA_SENT, schema.CONFIG_READY):
                self.sent = self.sent or mark == schema.INIT_DATA_SENT
                return
            else:
                raise DeviceError("VFIO-MARK-KNOWN", f"{mark:#x} is no mark")

    def _configuration(self) -> Iterator[int]:
        """Program of a PCI device's state; what ends it is left."""
        wanted = _NUMBER + schema.PCI_SIZE
        yield wanted
        while (size := configuration_size(self._held)) < 0:
            if len(self._held) > CONFIG_MOST:
                raise DeviceError("VFIO-CFG-EOS", f"no mark ends the configuration within {CONFIG_MOST:,} bytes")
            yield len(self._held) + 1
        self.config = self._take(size)


class ProposalLoader(_Parts):
    """A device of the interface of 2019.

    :param wide: whether addresses of its messages have 64 bits, which the stream does not say.
    """

    def __init__(self, name: str, user: proposal_user.User, wide: bool = False) -> None:
        super().__init__(name)
        self._user, self._wide = user, wide
        self._memory = bytearray()

    def setup(self) -> None:
        """It is stopped."""
        self._user.state("STOP")

    def start(self) -> None:
        """It runs."""
        self._user.state("RUNNING")

    def stop(self) -> None:
        """It stays as it is."""

    def _items(self) -> Iterator[int]:
        flag = schema.FLAG_CONTINUE
        while flag & schema.FLAG_CONTINUE:
            yield 1
            flag = self._number(1)
            kind = flag & ~schema.FLAG_CONTINUE
            if kind == schema.FLAG_PCI:
                size = schema.PROPOSAL_PCI[0] + schema.PROPOSAL_PCI[1] * self._wide
                yield size
                self.config = self._take(size)
            elif kind in (schema.FLAG_CONFIG, schema.FLAG_MEMORY):
                yield _SIZE
                size = self._number(_SIZE)
                if size > self._user.most(kind == schema.FLAG_MEMORY):
                    raise DeviceError("VFIO-P-MEMSIZE", f"{size:,} bytes are more than such a device can have")
                self._memory.clear()
                yield from self._data(size)
                data = bytes(self._memory)
                (self._user.set_memory if kind == schema.FLAG_MEMORY else self._user.set_config)(data)
            elif kind != schema.FLAG_SETUP:
                raise DeviceError("VFIO-P-FLAG", f"flag {flag:#x} begins nothing that there is")

    def _give(self, data: bytes) -> None:
        self._memory += data


class RegionLoader(_Marked):
    """A device of v1."""

    def __init__(self, name: str, user: region_user.User, old: bool = False) -> None:
        super().__init__(name, old)
        self._user = user

    def setup(self) -> None:
        """It takes its state from now on."""
        self._user.state("RESUMING")

    def start(self) -> None:
        """It runs, if what came is its state."""
        self._user.state("RUNNING")

    def stop(self) -> None:
        """It runs, since v1 has no way from RESUMING but that, and is stopped."""
        self._user.state("RUNNING")
        self._user.state("STOPPED")

    def _give(self, data: bytes) -> None:
        self._user.put(data)


class StatesLoader(_Marked):
    """A device of v2."""

    def __init__(self, name: str, device: Interface) -> None:
        super().__init__(name)
        self._device = device
        self._session: Session | None = None

    def setup(self) -> None:
        """It takes its state from now on."""
        self._session = self._device.set_state("RESUMING")

    def start(self) -> None:
        """It runs, if what came is its state: first without DMA to others, if it can do that."""
        if self._device.flags & schema.CAN_P2P:
            self._device.set_state("RUNNING_P2P")
        self._device.set_state("RUNNING")

    def stop(self) -> None:
        """It stays stopped, if what came is its state."""
        self._device.set_state("STOP")

    def _give(self, data: bytes) -> None:
        if self._session is None:
            raise DeviceError("VFIO2-DATAFD", "data come for a device that does not take its state")
        self._device.write(self._session, data)
