"""What sections and packets of VFIO devices have: marks, a device's own data, its PCI configuration; all big-endian."""

from __future__ import annotations

from ..codec.content import Buffer
from ..reader.qemu_vfio import pci_sizes, vectors
from ..schema import vfio as schema

_NUMBER = 4


def mark(value: int) -> bytes:
    """A mark."""
    return value.to_bytes(schema.MARK_SIZE, "big")


END = mark(schema.END_OF_STATE)
SETUP = mark(schema.DEV_SETUP) + END
INIT_SENT = mark(schema.INIT_DATA_SENT)
READY = mark(schema.CONFIG_READY)


def data(raw: Buffer) -> bytes:
    """Some of a device's own data, after its mark and its length."""
    size = memoryview(raw).nbytes
    return mark(schema.DEV_DATA) + size.to_bytes(8, "big") + bytes(raw)


def configuration(state: bytes) -> bytes:
    """A device's configuration between its marks."""
    return mark(schema.DEV_CONFIG) + state + END


def space(vendor: int = 0x1AF4, device: int = 0x10FF, msix: int = 0, express: bool = False) -> bytes:
    """A PCI configuration space, with so many vectors of MSI-X, as long as the bus has it; little-endian."""
    found = bytearray(schema.PCIE_SIZE if express else schema.PCI_SIZE)
    found[0:4] = vendor.to_bytes(2, "little") + device.to_bytes(2, "little")
    if msix:
        found[schema.PCI_STATUS] = schema.PCI_STATUS_LIST
        found[schema.PCI_CAPABILITIES] = 0x40
        found[0x40:0x44] = bytes((schema.CAP_MSIX, 0)) + (msix - 1).to_bytes(2, "little")
    return bytes(found)


def pci(config: bytes, version: int = 2) -> bytes:
    """The state of a PCI device with this configuration space: version, space, interrupts, and what MSI-X needs."""
    whole = pci_sizes(vectors(config[: schema.PCI_SIZE]))[len(config) > schema.PCI_SIZE]
    return version.to_bytes(_NUMBER, "big") + config + bytes(whole - _NUMBER - len(config))


def packet(index: int, raw: Buffer, last: bool = False, version: int = schema.PACKET_VERSION) -> bytes:
    """What a packet of multifd has of a device: version, number, flags, data; the last has the configuration."""
    numbers = (version, index, schema.PACKET_CONFIG if last else 0)
    return b"".join(number.to_bytes(_NUMBER, "big") for number in numbers) + bytes(raw)
