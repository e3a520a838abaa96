"""A closer look at what begins as QEMU's streams do: whether it is a record of devices or a migration, and whose."""

from __future__ import annotations

from .. import tables
from .fields import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME_MAX = 64


class Qemu:
    """What a QEMU record or stream has after its magic: names of what it may be, and their marks.

    Source: QEMU migration/savevm.c; docs/xen-save-devices-state.txt.  A record of devices has FULL sections alone, and
    no configuration; a migration has it, unless Xen is the accelerator, or begins with the memory.
    """

    VERSION_OLD, VERSION = VERSIONS = (2, 3)
    # The first byte of a frame.
    RECORD_FRAMES = (tables.QEMU_EOF, tables.QEMU_SECTION_FULL)
    STREAM_FRAMES = START, CONFIGURATION, COMMAND = (
        tables.QEMU_SECTION_START,
        tables.QEMU_CONFIGURATION,
        tables.QEMU_COMMAND,
    )
    # The capability of a mapped-ram file, as a counted string.
    MAPPED = b"%c%b" % (len(tables.QEMU_MAPPED_RAM), tables.QEMU_MAPPED_RAM)
    # The configuration, which has it, is no longer; a machine's name is less long than a counted string.
    CONFIGURATION_MAX, MACHINE_MAX = 1024, 255
    NAME_RECORD = "QEMU device record"
    NAME_OLD = "QEMU record of version 2 (QEMU 0.9.1 or older)"
    NAME_STREAM = "QEMU migration stream"
    NAME_MAPPED = "QEMU migration file with mapped-ram"
    HINT_DOUBT = "these four bytes alone show nothing: if it should be QEMU's, copy it again"


def look(found: Any, head: bytes) -> None:
    """Name a record or a migration, by how it goes on; doubt what goes on as neither."""
    version = int.from_bytes(head[4:8], "big")
    frame = head[8] if len(head) > 8 else None
    if len(head) < 9 and head[4:8] == Qemu.VERSION.to_bytes(4, "big")[: len(head) - 4]:
        found.doubt = f"it ends after {len(head)} bytes"
    elif version not in Qemu.VERSIONS:
        found.doubt = (
            f"{head[4:8].hex(' ')} follows, where QEMU writes its version, {Qemu.VERSION} or {Qemu.VERSION_OLD}"
        )
    elif version == Qemu.VERSION_OLD:
        found.name = Qemu.NAME_OLD
    elif frame in Qemu.RECORD_FRAMES:
        found.name = Qemu.NAME_RECORD
        found.evidence += f", then {_section(head)}" if frame else ", then its end"
    elif frame in Qemu.STREAM_FRAMES:
        mapped = Qemu.MAPPED in head[: Qemu.CONFIGURATION_MAX] and frame == Qemu.CONFIGURATION
        found.name = Qemu.NAME_MAPPED if mapped else Qemu.NAME_STREAM
        found.evidence += f", then {_section(head) if frame == Qemu.START else _configuration(head)}"
    else:
        found.doubt = f"byte {head[8]:#04x} follows its version, which begins nothing that QEMU writes there"
    if found.doubt:
        found.hint = Qemu.HINT_DOUBT


def channel(found: Any, head: bytes) -> None:
    """Say which channel of a migration it is."""
    place, _ = tables.PLACES["qemu-multifd.header"]["id"]
    if len(head) > place:
        found.evidence += f", channel {head[place]}"


def _section(head: bytes) -> str:
    """The section that begins at the first frame: its name."""
    name = head[14 : 14 + head[13]] if len(head) > 13 else b""
    return f"a section {quote(name[:_NAME_MAX])}"


def _configuration(head: bytes) -> str:
    size = int.from_bytes(head[9:13], "big")
    if head[8] != Qemu.CONFIGURATION or size > Qemu.MACHINE_MAX:
        return "a command"
    return f"the configuration of machine {quote(head[13 : 13 + min(size, _NAME_MAX)])}"
