"""What the reader and the checks need of QEMU's stream, beside its layouts: flags of words, commands, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import qemu_addresses, qemu_machines, qemu_multifd, qemu_stream, vfio
from .model import Layout

_FLAGS = ("ZERO", "TOTAL", "PAGE", "EOS", "CONTINUE", "XBZRLE", "HOOK", "COMPRESSED", "FLUSH")
_PLAIN = (
    "PAGE_SIZE",
    "PAGE_BITS",
    "RAM_NAME",
    "RAM_VERSION",
    "ENCODING",
    "CONFIGURATIONS",
    "BITS",
    "UUID",
    "IGNORE_SHARED",
    "MAPPED_RAM",
)
_LIMITS = ("KNOWN_CAPABILITIES", "BLOCKS_MAX", "SECTIONS_MAX", "PIECE", "PAGES_MOST", "WORDS_MOST")
# Where machines have their memory.
_MACHINES = ("LOW_MEMORY", "ONE_PIECE", "RAM", "RAM_END")
# Marks of VFIO, items of the proposal, what packets have, and what shows how long a PCI configuration is.
_VFIO = (
    *("SECTION", "SECTION_VERSION", "MARK", "MARK_SIZE"),
    *("END_OF_STATE", "DEV_CONFIG", "DEV_SETUP", "DEV_DATA", "INIT_DATA_SENT", "CONFIG_READY"),
    *("FLAG_SETUP", "FLAG_PCI", "FLAG_CONFIG", "FLAG_MEMORY", "FLAG_CONTINUE", "PROPOSAL_PCI"),
    *("PACKET_VERSION", "PACKET_CONFIG", "PACKET_NONE", "PACKET_SIZE"),
    *("PCI_SIZE", "PCIE_SIZE", "PCI_INTERRUPTS", "PCI_CAPABILITIES", "PCI_STATUS", "PCI_STATUS_LIST"),
    *("CAP_MSIX", "MSIX_ENTRY"),
)
# The commands that something depends on.
_COMMANDS = (
    "OPEN_RETURN_PATH",
    "PING",
    "PACKAGED",
    "RECV_BITMAP",
    "SWITCHOVER_START",
    *(f"POSTCOPY_{name}" for name in ("ADVISE", "RAM_DISCARD", "LISTEN")),
)


def tables(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """Each by the name that the reader has it by; bits of a channel's packets as their layout has them."""
    bits = {field.path: field for field in layouts["qemu-multifd.PAGES"].fields}
    method = bits["flags.method"]
    return {
        **{f"QEMU_{name}": getattr(qemu_stream, name) for name in (*_PLAIN, *_LIMITS)},
        **{f"QEMU_FLAG_{name}": getattr(qemu_stream, name) for name in _FLAGS},
        **{f"QEMU_{name}": qemu_stream.COMMANDS[name] for name in (*_COMMANDS, "POSTCOPY_RUN")},
        **{f"QEMU_{name}": getattr(qemu_addresses, name) for name in _MACHINES},
        **{f"QEMU_MULTIFD_{name}": getattr(qemu_multifd, name) for name in ("BEGIN", "METHODS", "OFFSETS")},
        "QEMU_MULTIFD_METHOD": (method.shift, (1 << method.bits) - 1),
        "QEMU_MULTIFD_STATE": 1 << bits["flags.device_state"].shift,
        "QEMU_MULTIFD_SYNC": 1 << bits["flags.sync"].shift,
        "QEMU_COMMANDS": {code: name for name, code in qemu_stream.COMMANDS.items()},
        "QEMU_COMMAND_LENGTHS": qemu_stream.COMMAND_LENGTHS,
        **{f"VFIO_{name}": getattr(vfio, name) for name in _VFIO},
        "VFIO_MARKS": {mark: name for mark, (name, _, _) in vfio.MARKS.items()},
        **qemu_machines.plain(),
    }
