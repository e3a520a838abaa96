"""Where a machine of QEMU has its memory in the guest's address space."""

from __future__ import annotations

from .. import tables


def is_ram(name: bytes) -> bool:
    """Whether a block of that name is a machine's memory, by its name."""
    return name == tables.QEMU_RAM or name.endswith(tables.QEMU_RAM_END)


def low_end(machine: bytes | None, size: int) -> int | None:
    """How much of a machine's memory, of so many bytes, lies at its offsets; what is beyond is at 4 GiB.

    None if that is not known.
    """
    if machine in tables.QEMU_ONE_PIECE:
        return size
    for name, since, split, low in tables.QEMU_LOW_MEMORY:
        version = _version(machine, name)
        if version is not None and version >= since:
            return low if size >= split else size
    return None


def _version(machine: bytes | None, name: bytes) -> tuple[int, ...] | None:
    """The version of a machine type whose name begins so, None if it is no such machine's."""
    if machine is None or not machine.startswith(name):
        return None
    rest = machine[len(name) :]
    if not rest:
        return (0, 0)
    numbers = rest.split(b".")
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        return None
    return tuple(int(number[:9]) for number in numbers)
