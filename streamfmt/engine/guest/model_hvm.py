"""A model guest's state as an HVM guest's: policies, TSC, an HVM context with a PC's devices, parameters.

The context is that of a machine that was just reset, but for the first vcpu's rax and rbx, which have how far the
workload's loops are.  What comes in a stream is kept as it is, whatever devices it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct, iter_unpack

from ... import tables
from ...errors import GuestError
from ...payload_tables import FIELDS
from ...schema import hvm, qemu
from ...writer import builders
from ...writer.hvm_state import after_reset
from ...writer.part import Part, record
from .model import Machine, need, words

_CODES = {row.name: row.code for row in hvm.CONTEXT_TYPES}
_LENGTHS = {row.name: row.lengths for row in hvm.CONTEXT_TYPES}
_ENTRY = Struct("<" + tables.FORMATS["libxc.HVM_CONTEXT.context"])
TSC = Struct("<" + tables.FORMATS["libxc.X86_TSC_INFO"])
_CPU, _END = _CODES["CPU"], _CODES["END"]
# A PC's devices and what each vcpu has besides its registers, in the order in which Xen saves them.  Of lengths that
# differ between releases the one is written that all of today's take: shorter ones are extended with zeros.
_MACHINE: tuple[tuple[str, int, int | None], ...] = (
    ("PIC", 2, None),
    ("IOAPIC", 1, None),
    ("LAPIC", 0, 24),
    ("LAPIC_REGS", 0, None),
    ("PCI_IRQ", 1, None),
    ("ISA_IRQ", 1, None),
    ("PCI_LINK", 1, None),
    ("PIT", 1, None),
    ("RTC", 1, None),
    ("HPET", 1, None),
    ("PMTIMER", 1, None),
    ("MTRR", 0, None),
    ("TSC_ADJUST", 0, None),
)
# Where the counts of loops are kept in the CPU's entry.
REGISTERS = ("rax", "rbx")
# Frames for those that a toolstack has special pages for: they are below those that workloads write.
_PARAMS = {"STORE_PFN": 8, "CONSOLE_PFN": 9, "IOREQ_PFN": 10, "BUFIOREQ_PFN": 11}
# A processor of so many leaves that has no features: enough to be a policy, and nothing that a host could lack.
_CPUID = (
    {"leaf": 0, "subleaf": 0xFFFFFFFF, "eax": 1, "ebx": 0x756E6547, "ecx": 0x6C65746E, "edx": 0x49656E69},
    {"leaf": 1, "subleaf": 0xFFFFFFFF, "eax": 0x600, "ebx": 0, "ecx": 0, "edx": 0},
)
_MSRS = ({"index": 0xCE, "value": 0},)
TSC_KHZ = 2_400_000
# Records that a guest takes, once each at least, and those that it may do without.
_OPTIONAL = ("X86_CPUID_POLICY", "X86_MSR_POLICY", "STATIC_DATA_END", "HVM_PARAMS")


def tsc(khz: int, nsec: int, incarnation: int) -> Part:
    """X86_TSC_INFO."""
    return record("libxc.X86_TSC_INFO", mode=0, khz=khz, nsec=nsec, incarnation=incarnation)


def policies() -> list[Part]:
    """The records of the processor's policy, as all model guests have them."""
    return [record("libxc.X86_CPUID_POLICY", leaves=[*_CPUID]), record("libxc.X86_MSR_POLICY", msrs=[*_MSRS])]


class Hvm(Machine):
    """An HVM guest's state."""

    type = "hvm"

    def __init__(self, vcpus: int) -> None:
        self._entries = dict(_reset(vcpus))
        self._policies: list[Part] = policies()
        self._params = builders.params(*((hvm.PARAMS[name], frame) for name, frame in _PARAMS.items()))
        self._khz, self._incarnation = TSC_KHZ, 0

    def static(self) -> Iterable[Part]:
        return list(self._policies)

    def state(self, counts: Sequence[int], nsec: int) -> Iterable[Part]:
        raw = bytearray(self._entries[_CPU, 0])
        for at, count in zip(_places(len(raw)), counts, strict=False):
            raw[at : at + 8] = count.to_bytes(8, "little")
        entries = self._entries | {(_CPU, 0): bytes(raw)}
        head = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
        context = builders.context(head, *((*key, data) for key, data in entries.items()), (_END, 0, b""))
        return [tsc(self._khz, nsec, self._incarnation), self._params, context]

    def load(self, records: Iterable[tuple[str, bytes]]) -> tuple[list[int], int]:
        found: dict[str, list[bytes]] = {}
        for name, body in records:
            found.setdefault(name, []).append(body)
        if unknown := found.keys() - {"X86_TSC_INFO", "HVM_CONTEXT", *_OPTIONAL}:
            raise GuestError(f"an HVM guest has no record {', '.join(sorted(unknown))}")
        entries = dict(context_entries(need(found, "HVM_CONTEXT")))
        cpu = entries.get((_CPU, 0), b"")
        if len(cpu) not in _LENGTHS["CPU"]:
            raise GuestError(f"the HVM context has no state of vcpu 0, or one of {len(cpu)} bytes")
        counts = [int.from_bytes(cpu[at : at + 8], "little") for at in _places(len(cpu))]
        khz, nsec, incarnation = read_tsc(found)
        self._entries, self._khz, self._incarnation = entries, khz, incarnation
        kept = [record(f"libxc.{name}", found[name][-1]) for name in _OPTIONAL[:2] if name in found]
        self._policies = kept or self._policies
        if "HVM_PARAMS" in found:
            self._params = record("libxc.HVM_PARAMS", found["HVM_PARAMS"][-1])
        return counts, nsec

    def emulator(self) -> bytes:
        found: bytes = qemu.EMPTY
        return found

    def digest(self) -> bytes:
        # How far the loops are is asked for elsewhere; how often it was moved is nothing of the guest's.
        found: bytes = words([*self._policies, self._params])
        for key, data in sorted(self._entries.items()):
            found += _ENTRY.pack(*key, len(data)) + _without(key, data)
        return found


def _without(key: tuple[int, int], data: bytes) -> bytes:
    """An entry without the counts, which are not in it before the guest is saved."""
    if key != (_CPU, 0):
        return data
    raw = bytearray(data)
    for at in _places(len(raw)):
        raw[at : at + 8] = bytes(8)
    return bytes(raw)


def _places(length: int) -> list[int]:
    """Where the counts are in a CPU's entry."""
    fields = FIELDS["hvm.CPU" if length == _LENGTHS["CPU"][-1] else f"hvm.CPU_{length}"]
    return [fields[name][0] for name in REGISTERS]


def _reset(vcpus: int) -> Iterable[tuple[tuple[int, int], bytes]]:
    for number in range(vcpus):
        yield (_CPU, number), after_reset("CPU", instance=number)
    for name, instances, length in _MACHINE:
        for number in range(instances or vcpus):
            yield (_CODES[name], number), after_reset(name, length, number)


def context_entries(body: bytes) -> Iterable[tuple[tuple[int, int], bytes]]:
    """Type, instance and data of each entry of a context between its header and its end.

    :raises GuestError: it is not a context.
    """
    at, begun = 0, False
    while at + _ENTRY.size <= len(body):
        kind, instance, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        if kind == _END and begun:
            return
        if begun == (kind == hvm.HEADER_TYPE) or length > len(body) - at:
            break
        data = body[at : at + length]
        at += length
        if begun:
            yield (kind, instance), data
        elif not data.startswith(hvm.HEADER_BEGINS):
            break
        begun = True
    raise GuestError(f"the HVM context is damaged at byte {at} of {len(body)}")


def read_tsc(found: dict[str, list[bytes]]) -> tuple[int, int, int]:
    """Frequency in kHz, nanoseconds and incarnation of a TSC's record, which counts the guest's arrival.

    :raises GuestError: it has another length.
    """
    body = need(found, "X86_TSC_INFO")
    if len(body) != TSC.size:
        raise GuestError(f"X86_TSC_INFO has {len(body)} bytes, not {TSC.size}")
    ((_, khz, nsec, incarnation, *_),) = iter_unpack(TSC.format, body)
    return khz, nsec, (incarnation + 1) & 0xFFFFFFFF
