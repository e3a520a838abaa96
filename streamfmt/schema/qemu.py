"""A record of QEMU's devices, by its first bytes; how one goes on, and a migration, is in :mod:`neighbours`.

Source: QEMU migration/savevm.c and migration/qemu-file-types.h.  Integers are big-endian always.
"""

from __future__ import annotations

MAGIC = b"QEVM"
# QEMU_VM_FILE_VERSION.
VERSION = 3
# A record of no section at all: its header.
HEADER = MAGIC + VERSION.to_bytes(4, "big")

# What a legacy stream has before such a record, as xend and xl wrote it, and in a checkpoint (tools/libxc/
# xc_domain_restore.c of Xen 4.4).
TAILS = (b"QemuDeviceModelRecord", b"DeviceModelRecord0002")
REMUS_TAIL = b"RemusDeviceModelState"
