"""What the fields of payloads may be: bounds that a number keeps, by the form of the payload and the field.

Sources are those of the clauses, spec/clauses/payloads.toml.  What several fields say together is in checks/payloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import SchemaError
from .features import MSR_NAMES, REGISTER_BITS, XCR0_BITS
from .hvm import CONTEXT_TYPES
from .libxc import XSAVE_AREA_MIN
from .model import Block, Field, Item, Layout, Part
from .payload_xsave import COMPONENTS

_LOW = (1 << 32) - 1
_CPU, _TIMER = "LIBXC-HVMCTX-CPU", "LIBXC-HVMCTX-TIMER"
_PIT = {"channels.count": (_TIMER, 1 << 16), "speaker_data_on": (_TIMER, 1), "pad0": (_TIMER, 0)}
_RTC = {"cmos_index": (_TIMER, 0x7F)}
_OLD_CPU = {"cr3": (_CPU, (1 << 52) - 1), "dr6": (_CPU, _LOW), "dr7": (_CPU, _LOW)}
_VIRIDIAN = {"pad": ("LIBXC-HVMCTX-VIRIDIAN", 0)}


def _areas(path: str) -> tuple[str, ...]:
    """The forms of what has an XSAVE area."""
    return path, f"{path}_AMD", f"{path}_ANY"


# By form and field, the clause and the most that the field may be; of a list's elements that is each.
MOST: dict[str, dict[str, tuple[str, int]]] = {
    "hvm.CPU": {
        **_OLD_CPU,
        "msr_tsc_aux": (_CPU, _LOW),
        "flags.unknown": (_CPU, 0),
        "pad0": (_CPU, 0),
    },
    "hvm.CPU_1024": {**_OLD_CPU, "msr_tsc_aux": (_CPU, _LOW)},
    "hvm.CPU_1016": _OLD_CPU,
    "hvm.PIC": {"int_output": ("LIBXC-HVMCTX-PIC", 1)},
    "hvm.PCI_LINK": {"route": ("LIBXC-HVMCTX-PCILINK", 15), "pad0": ("LIBXC-HVMCTX-PCILINK", 0)},
    "hvm.PIT": _PIT,
    "hvm.RTC": _RTC,
    "hvm.RTC_16": _RTC,
    "hvm.MTRR": {"msr_mtrr_cap.vcnt": ("LIBXC-HVMCTX-MTRR", 8)},
    **{path: {"header.xcomp_bv": ("LIBXC-HVMCTX-XSAVE", 0)} for path in _areas("hvm.CPU_XSAVE")},
    "hvm.VIRIDIAN_VCPU": _VIRIDIAN,
    "hvm.VIRIDIAN_VCPU_16": _VIRIDIAN,
    "hvm.CPU_MSR": {"msrs.reserved": ("LIBXC-HVMCTX-MSR", 0)},
    **{path: {"header.xcomp_bv": ("LIBXC-VCPU-XSAVE", 0)} for path in _areas("pv.XSAVE")},
}
# MSRs that an entry CPU_MSR may have, of any release (xen/arch/x86/hvm/hvm.c msrs_to_send and what vendors add).
MSRS = tuple(index for index in MSR_NAMES if index not in (0xCE, 0x10A, 0xC0000103))
# Bits of a vcpu's control registers that some processor has, as Xen knows the manuals.
CPU_BITS = {name: sum(1 << bit for bit in REGISTER_BITS[name]) for name in ("cr0", "cr4", "msr_efer")}
# How many vcpus or devices there may be that an entry of the HVM context is about.
INSTANCES = {row.code: row.instances for row in CONTEXT_TYPES}
# Components of XSAVE whose places are the same on all processors: bytes of an area with those up to each.
AREAS = (
    (XCR0_BITS["sse"], XSAVE_AREA_MIN),
    *((row.bit, row.intel + row.size) for row in COMPONENTS if row.intel == row.amd),
)

# Offset of the first, how many there are and how far apart; size, shift and mask; the most, the clause and the name.
Bound = tuple[int, int, int, int, int, int, int, str, str]


class _Placed(NamedTuple):
    at: int
    times: int
    unit: int
    field: Field


def bounds(layouts: Mapping[str, Layout]) -> dict[str, tuple[Bound, ...]]:
    """The same with the fields' places, for the checks.  Raises SchemaError for a field that there is not."""
    return {path: tuple(_bound(layouts[path], path, *it) for it in rows.items()) for path, rows in MOST.items()}


def _bound(layout: Layout, path: str, name: str, rule: tuple[str, int]) -> Bound:
    clause, most = rule
    found = next((row for key, row in _placed(layout.items, 0) if key == name), None)
    if found is None:
        raise SchemaError(path, f"it has no field {name} that always lies at the same place")
    field = found.field
    mask = (1 << field.bits) - 1
    return found.at + field.offset, found.times, found.unit, field.size, field.shift, mask, most, clause, name


def _placed(items: tuple[Item, ...], at: int) -> Iterator[tuple[str, _Placed]]:
    """Fields at places that are always the same, and those of lists' elements; a count of 0 is to the end."""
    for item in items:
        if isinstance(item, Block):
            yield from ((row.path, _Placed(at, 1, 0, row)) for row in item.fields)
        elif isinstance(item, Part) and item.element is not None and item.unit:
            for row in item.element.fields:
                name = f"{item.name}.{row.path}".rstrip(".")
                yield name, _Placed(at, item.times or 0, item.unit, row)
        if item.extent is None:
            return
        at += item.extent


def facts(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """What streamfmt/payload_tables.py has of them."""
    return {
        "BOUNDS": bounds(layouts),
        "CONTEXT_MSRS": MSRS,
        "CPU_BITS": CPU_BITS,
        "INSTANCES": INSTANCES,
        "XSAVE_AREAS": AREAS,
    }
