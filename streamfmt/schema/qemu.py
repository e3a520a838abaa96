"""A record of QEMU's devices, by its first bytes; how one goes on, and a migration, is in :mod:`neighbours`.

Source: QEMU migration/savevm.c and migration/qemu-file-types.h.  Integers are big-endian always.
"""

from __future__ import annotations

from construct import Int32ub

from . import legacy_numbers

MAGIC = b"QEVM"
# QEMU_VM_FILE_VERSION.
VERSION = 3
NUMBER = Int32ub
HEADER = MAGIC + NUMBER.build(VERSION)
# A record of no section at all: after its header comes QEMU_VM_EOF, where a section would.
EOF = 0
EMPTY = HEADER + bytes((EOF,))
RECORD_MIN = len(EMPTY)

# What a legacy stream has before such a record, as xend and xl wrote it, and in a checkpoint (tools/libxc/
# xc_domain_restore.c of Xen 4.4).
TAILS = (b"QemuDeviceModelRecord", b"DeviceModelRecord0002")
REMUS_TAIL = b"RemusDeviceModelState"

_LEGACY = tuple(f"legacy-{8 * word}" for word in sorted(legacy_numbers.WORDS, reverse=True))
# Where such records are in others': the field of a record, by its schema path.
HOLDERS = {
    "libxl.EMULATOR_CONTEXT": "context",
    "xapi.QEMU_TRAD": "body",
    "xapi.QEMU_XEN": "body",
    **{f"{layer}.QEMU_{name}": "state" for layer in _LEGACY for name in ("0002", "REMUS", "XAPI")},
}
# Where one lies in the bodies of several records, piece by piece.
PIECES = tuple(f"{layer}.QEMU_STATE" for layer in _LEGACY)
