"""A machine's state as Xen's records have it, and records of an image into a machine's state.

What KVM has and no record has is left out where the rest says it, and refused where a guest would miss it: that a vcpu
halts (it goes on after the instruction, as with Xen), when a counter of the interval timer was loaded (it counts
anew), and MSRs that no context carries, which are refused where a guest has set them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from ...codec import decode
from ...codec.payload import ORDER
from ...errors import FieldError, GuestError, LayoutError
from ...schema import hvm
from ...writer.builders import params
from ...writer.part import Part, record
from . import hvm_cpu, hvm_devices, hvm_entries, programs
from .hvm_entries import Entry
from .kvm_state import State

# What of an entry goes on while a machine stands still: the clocks, which are set anew when it is loaded.
_CLOCKS = {"CPU": {"tsc": 0}, "LAPIC": {"tdt_msr": 0}, "LAPIC_REGS": {"tmcct": 0}}


def entries(state: State, fresh: Mapping[int, int], ends: Mapping[int, int]) -> list[Entry]:
    """What an HVM context has of it, without header and end.

    :param fresh: MSRs of a machine that has just been made: what is like them is not sent.
    :param ends: where components of an XSAVE area end, by their bits, as CPUID leaf 0xd says.
    :raises GuestError: the guest has set what no context carries.
    """
    found: list[Entry] = []
    for number, vcpu in enumerate(state.vcpus):
        if vcpu is not None:
            found += hvm_cpu.entries(number, vcpu, fresh, ends)
    return [*found, *hvm_devices.entries(state.machine)]


def still(rows: Iterable[Entry]) -> list[Entry]:
    """The same without the clocks: what two machines have alike that are in one state."""
    return [
        row._replace(data=hvm_entries.over(row.name, row.data, _CLOCKS[row.name])) if row.name in _CLOCKS else row
        for row in rows
    ]


def records(rows: Iterable[Entry], khz: int) -> list[Part]:
    """An image's records after memory: the time stamp counter's rate, parameters, the context.

    Frames that toolstacks keep for themselves are named as those that programs leave alone.
    """
    magic = [(hvm.PARAMS[name], programs.MAGIC + at) for at, name in enumerate(programs.MAGIC_PARAMS)]
    return [
        record("libxc.X86_TSC_INFO", mode=0, khz=khz, nsec=0, incarnation=0),
        params(*magic),
        hvm_entries.record(rows),
    ]


def state(found: Iterable[tuple[str, bytes]], model: State, vcpus: int) -> State:
    """The state in an image's records, of which there must be an HVM context.

    :param found: names and bodies of records, as "HVM_CONTEXT".
    :param model: of a machine that has just been made: what it keeps where the records say nothing.
    :param vcpus: how many it may have at most.
    :raises GuestError: it is none for such a machine.
    """
    body = context(found)
    rows = hvm_entries.read(hvm_entries.split(body))
    numbers = sorted(number for name, number in rows if name == "CPU")
    if not numbers or numbers[0] or numbers[-1] >= vcpus:
        there = ", ".join(map(str, numbers)) or "none"
        raise GuestError(f"the HVM context has vcpus {there}: a guest here has vcpu 0, and {vcpus} at most")
    fresh = model.vcpus[0]
    if fresh is None:
        raise GuestError("the first vcpu of a machine that has just been made waits for another")
    try:
        own = tuple(hvm_cpu.vcpu(rows, at, fresh) if at in numbers else None for at in range(numbers[-1] + 1))
        return State(own, hvm_devices.machine(rows, model.machine), model.khz)
    except (FieldError, LayoutError, KeyError, struct.error) as error:
        raise GuestError(f"the HVM context is no state of a machine: {error}") from None


def warm() -> None:
    """Load what entries are made and read with: it takes longer than a guest should stand for."""
    rows = list(hvm_cpu.beginning(0, {}))
    hvm_entries.read(hvm_entries.split(hvm_entries.record(rows).body(ORDER)))


def context(found: Iterable[tuple[str, bytes]]) -> bytes:
    """The body of the HVM context among an image's records.

    :raises GuestError: a record is for another kind of guest, or there is no context, or parameters are wrong.
    """
    bodies: dict[str, bytes] = {}
    for name, data in found:
        if name not in _TAKEN:
            raise GuestError(f"a record {name} is none of an HVM guest's state")
        bodies[name] = bytes(data)
    if "HVM_PARAMS" in bodies:
        try:
            decode.whole(decode.layouts()["libxc.HVM_PARAMS"], bodies["HVM_PARAMS"], ORDER)
        except LayoutError as error:
            raise GuestError(f"the HVM parameters cannot be read: {error}") from None
    if "HVM_CONTEXT" not in bodies:
        raise GuestError("there is no HVM context: the guest's state is missing")
    return bodies["HVM_CONTEXT"]


_TAKEN = {"X86_CPUID_POLICY", "X86_MSR_POLICY", "STATIC_DATA_END", "X86_TSC_INFO", "HVM_PARAMS", "HVM_CONTEXT"}
