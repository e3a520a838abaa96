"""Where the machines of QEMU have their memory in the guest's address space, which no stream says."""

from __future__ import annotations

# Names of machine types begin so; the first version that it is so of; with as much memory or more, what is beyond so
# many octets is at 4 GiB.  With less it is all below.  The first row that fits counts.
# Unless max-ram-below-4g was given, which is in no stream.
# Source: QEMU hw/i386/pc_piix.c, pc_init1; hw/i386/pc_q35.c, pc_q35_init; compat properties of 1.7.
LOW_MEMORY: tuple[tuple[bytes, tuple[int, int], int, int], ...] = (
    (b"pc-i440fx-", (2, 0), 0xE000_0000, 0xC000_0000),
    (b"pc-i440fx-", (0, 0), 0xE000_0000, 0xE000_0000),
    (b"pc-q35-", (2, 0), 0xB000_0000, 0x8000_0000),
    (b"pc-q35-", (0, 0), 0xB000_0000, 0xB000_0000),
    (b"pc-", (0, 0), 0xE000_0000, 0xE000_0000),
    (b"isapc", (0, 0), 0xE000_0000, 0xE000_0000),
)
# All memory is at 0 there (hw/core/null-machine.c).
ONE_PIECE = (b"none",)
# What a machine's own block of memory is called, or ends with.
RAM, RAM_END = b"ram", b".ram"
