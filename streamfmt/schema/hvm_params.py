"""What the values of HVM parameters consist of, where they are more than a number: bits, and numbers with names.

Source: xen/include/public/hvm/params.h, and of parameters that are gone that of Xen 4.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .hvm import PARAMS

SOURCE = "xen/include/public/hvm/params.h; xen/include/public/sched.h"
_WHOLE = 64


class Number(NamedTuple):
    """A bit, or several that are a number, of a value; `names` are those of some numbers."""

    shift: int
    bits: int
    name: str
    names: dict[int, str]


def _bits(names: str) -> tuple[Number, ...]:
    return tuple(Number(bit, 1, name, {}) for bit, name in enumerate(names.split()))


def _named(name: str, names: str) -> tuple[Number, ...]:
    """A value that is one of a few, numbered from 0; "-" has no name."""
    return (Number(0, _WHOLE, name, {code: word for code, word in enumerate(names.split()) if word != "-"}),)


_EVENTS = (
    Number(0, 2, "mode", {0: "disabled", 1: "async", 2: "sync"}),
    Number(2, 1, "onchangeonly", {}),
)
_ENABLED = _bits("enabled")
_TYPE = Number(56, 8, "type", {0: "gsi", 1: "pci_intx", 2: "vector"})
_FIELDS: dict[str, tuple[Number, ...]] = {
    "CALLBACK_IRQ": (_TYPE,),
    "PAE_ENABLED": _ENABLED,
    "VIRIDIAN": _bits(
        "base_freq no_freq time_ref_count reference_tsc hcall_remote_tlb_flush apic_assist crash_ctl synic stimer "
        "hcall_ipi ex_processor_masks no_vp_limit cpu_hotplug"
    ),
    "TIMER_MODE": _named(
        "mode", "delay_for_missed_ticks no_delay_for_missed_ticks no_missed_ticks_pending one_missed_tick_pending"
    ),
    "HPET_ENABLED": _ENABLED,
    "ACPI_S_STATE": _named("state", "s0 - - s3"),
    "VPT_ALIGN": _ENABLED,
    "ACPI_IOPORTS_LOCATION": _named("ports", "0x1f40 0xb000"),
    "NESTEDHVM": _ENABLED,
    "TRIPLE_FAULT_REASON": _named("reason", "poweroff reboot suspend crash watchdog soft_reset"),
    "ALTP2M": _named("mode", "disabled mixed external limited"),
    "VM86_TSS_SIZED": (Number(0, 32, "address", {}), Number(32, 32, "size", {})),
    "MCA_CAP": _bits("lmce"),
    **{name: _EVENTS for name in PARAMS if name.startswith("MEMORY_EVENT_")},
}
# What lies below the type of CALLBACK_IRQ, by that.
_CALLBACK: dict[str, tuple[Number, ...]] = {
    "gsi": (Number(0, 56, "line", {}),),
    "pci_intx": (
        Number(32, 16, "domain", {}),
        Number(16, 16, "bus", {}),
        Number(8, 8, "devfn", {}),
        Number(0, 2, "intx", {}),
    ),
    "vector": (Number(0, 8, "vector", {}),),
}
FIELDS = {PARAMS[name]: rows for name, rows in _FIELDS.items()}
_CALLBACK_IRQ = PARAMS["CALLBACK_IRQ"]


def fields(index: int, value: int) -> tuple[Number, ...]:
    """What the value of a parameter consists of; nothing where it is a number and no more."""
    rows = FIELDS.get(index, ())
    return rows + _CALLBACK.get(_TYPE.names.get(value >> _TYPE.shift, ""), ()) if index == _CALLBACK_IRQ else rows


def all_fields() -> Iterator[tuple[str, Number, str]]:
    """Everything that has a name: the parameter's, its place and name, and when it is there."""
    for name, rows in _FIELDS.items():
        yield from ((name, row, "") for row in rows)
        if PARAMS[name] == _CALLBACK_IRQ:
            for kind, more in _CALLBACK.items():
                yield from ((name, row, f"{_TYPE.name} is {kind}") for row in more)
