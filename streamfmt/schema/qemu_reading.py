"""What the reader and the checks need of QEMU's stream, beside its layouts: flags of words, commands, limits."""

from __future__ import annotations

from typing import Any

from . import qemu_addresses, qemu_machines, qemu_multifd, qemu_stream

_FLAGS = ("ZERO", "TOTAL", "PAGE", "EOS", "CONTINUE", "XBZRLE", "HOOK", "COMPRESSED", "FLUSH")
_PLAIN = (
    "PAGE_SIZE",
    "PAGE_BITS",
    "RAM_NAME",
    "RAM_VERSION",
    "CONFIGURATIONS",
    "BITS",
    "UUID",
    "IGNORE_SHARED",
    "MAPPED_RAM",
)
_LIMITS = ("KNOWN_CAPABILITIES", "BLOCKS_MAX", "SECTIONS_MAX", "PIECE", "PAGES_MOST", "WORDS_MOST")
# Where machines have their memory.
_MACHINES = ("LOW_MEMORY", "ONE_PIECE", "RAM", "RAM_END")
# The commands that something depends on.
_COMMANDS = (
    "OPEN_RETURN_PATH",
    "PING",
    "PACKAGED",
    "RECV_BITMAP",
    "SWITCHOVER_START",
    *(f"POSTCOPY_{name}" for name in ("ADVISE", "RAM_DISCARD", "LISTEN")),
)


def tables() -> dict[str, Any]:
    """Each by the name that the reader has it by."""
    return {
        **{f"QEMU_{name}": getattr(qemu_stream, name) for name in (*_PLAIN, *_LIMITS)},
        **{f"QEMU_FLAG_{name}": getattr(qemu_stream, name) for name in _FLAGS},
        **{f"QEMU_{name}": qemu_stream.COMMANDS[name] for name in (*_COMMANDS, "POSTCOPY_RUN")},
        **{f"QEMU_{name}": getattr(qemu_addresses, name) for name in _MACHINES},
        **{f"QEMU_MULTIFD_{name}": getattr(qemu_multifd, name) for name in ("BEGIN", "METHODS", "OFFSETS", "STATE")},
        "QEMU_COMMANDS": {code: name for name, code in qemu_stream.COMMANDS.items()},
        "QEMU_COMMAND_LENGTHS": qemu_stream.COMMAND_LENGTHS,
        **qemu_machines.plain(),
    }
