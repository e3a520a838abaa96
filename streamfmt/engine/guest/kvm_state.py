"""A KVM machine's state, with its structures' fields by name: what :mod:`.hvm` makes Xen's records of, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

from . import kvm_api as api

Values = dict[str, int]


@dataclass(frozen=True, slots=True)
class Vcpu:
    """A vcpu's state: its pieces by the names of :data:`.kvm_api.VCPU`, as KVM has them, and MSRs by number."""

    pieces: Mapping[str, bytes]
    msrs: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class State:
    """A machine's: its vcpus, None for one that waits to be started by another, and the pieces that they share."""

    vcpus: tuple[Vcpu | None, ...]
    machine: Mapping[str, bytes]
    khz: int = 0  # of the time stamp counter


def _named(names: tuple[str, ...], form: Struct, data: bytes, at: int = 0) -> Values:
    return dict(zip(names, form.unpack_from(data, at), strict=True))


def _packed(names: tuple[str, ...], form: Struct, values: Mapping[str, int]) -> bytes:
    return form.pack(*(values[name] for name in names))


def regs(data: bytes) -> Values:
    """The general registers."""
    return _named(api.REGS, api.REGS_FORM, data)


def to_regs(values: Mapping[str, int]) -> bytes:
    """The same, back; those that are not given are 0."""
    return api.REGS_FORM.pack(*(values.get(name, 0) for name in api.REGS))


def sregs(data: bytes) -> tuple[dict[str, Values], Values]:
    """Segments and tables by name, then the control registers, EFER and the base of the local APIC."""
    found = {
        name: _named(api.SEGMENT_FIELDS, api.SEGMENT_FORM, data, number * api.SEGMENT_FORM.size)
        for number, name in enumerate(api.SEGMENTS)
    }
    for number, name in enumerate(api.TABLES):
        at = api.SREGS_TABLES + number * api.TABLE_FORM.size
        found[name] = _named(("base", "limit"), api.TABLE_FORM, data, at)
    return found, _named(api.CONTROLS, api.CONTROLS_FORM, data, api.SREGS_CONTROLS)


def to_sregs(segments: Mapping[str, Mapping[str, int]], controls: Mapping[str, int]) -> bytes:
    """The same, back; no interrupt is under way: the events say that."""
    return (
        b"".join(_packed(api.SEGMENT_FIELDS, api.SEGMENT_FORM, segments[name]) for name in api.SEGMENTS)
        + b"".join(_packed(("base", "limit"), api.TABLE_FORM, segments[name]) for name in api.TABLES)
        + _packed(api.CONTROLS, api.CONTROLS_FORM, controls)
        + bytes(api.INTERRUPTS_FORM.size)
    )


def events(data: bytes) -> Values:
    """Exceptions and interrupts that are under way."""
    return _named(api.EVENTS, api.EVENTS_FORM, data)


def to_events(values: Mapping[str, int]) -> bytes:
    """The same, back; those that are not given are 0."""
    return api.EVENTS_FORM.pack(*({"flags": api.EVENTS_VALID, **values}.get(name, 0) for name in api.EVENTS))


def debugregs(data: bytes) -> Values:
    """The debug registers."""
    return _named(api.DEBUGREGS, api.DEBUGREGS_FORM, data)


def to_debugregs(values: Mapping[str, int], size: int) -> bytes:
    """The same, back."""
    return _packed(api.DEBUGREGS, api.DEBUGREGS_FORM, values).ljust(size, b"\0")


def xcr0(data: bytes) -> int:
    """What components of the extended state a vcpu has on."""
    count, _, _, _, value = api.XCRS_FORM.unpack_from(data)
    return int(value) if count else 1


def to_xcrs(value: int, size: int) -> bytes:
    """The same, back."""
    return api.XCRS_FORM.pack(1, 0, 0, 0, value).ljust(size, b"\0")


def pic(data: bytes) -> Values:
    """An interrupt controller, from the structure that KVM_GET_IRQCHIP gives."""
    return _named(api.PIC, api.PIC_FORM, data, api.CHIP)


def to_pic(values: Mapping[str, int], chip: int, size: int) -> bytes:
    """The same, back, of the controller of that number."""
    return (_chip(chip) + _packed(api.PIC, api.PIC_FORM, values)).ljust(size, b"\0")


def ioapic(data: bytes) -> tuple[Values, tuple[int, ...]]:
    """The I/O APIC: its registers, and its redirection entries as 64-bit words."""
    base, selected, identity, irr, _, *entries = api.IOAPIC_FORM.unpack_from(data, api.CHIP)
    return {"base_address": base, "ioregsel": selected, "id": identity, "irr": irr}, tuple(entries)


def to_ioapic(values: Mapping[str, int], entries: tuple[int, ...], chip: int, size: int) -> bytes:
    """The same, back."""
    words = (values["base_address"], values["ioregsel"], values["id"], values["irr"], 0, *entries)
    return (_chip(chip) + api.IOAPIC_FORM.pack(*words)).ljust(size, b"\0")


def _chip(number: int) -> bytes:
    return number.to_bytes(api.CHIP, "little")


def pit(data: bytes) -> tuple[list[Values], int]:
    """The interval timer: its channels, and its flags."""
    channels = [
        _named(api.PIT_CHANNEL, api.PIT_CHANNEL_FORM, data, number * api.PIT_CHANNEL_FORM.size)
        for number in range(api.PIT_CHANNELS)
    ]
    (flags,) = api.PIT_FLAGS_FORM.unpack_from(data, api.PIT_FLAGS)
    return channels, flags


def to_pit(channels: list[Values], flags: int, size: int) -> bytes:
    """The same, back."""
    packed = b"".join(_packed(api.PIT_CHANNEL, api.PIT_CHANNEL_FORM, channel) for channel in channels)
    return (packed + api.PIT_FLAGS_FORM.pack(flags)).ljust(size, b"\0")


def sizes() -> dict[str, int]:
    """The bytes of each piece of a state."""
    return {piece.name: piece.size for piece in (*api.VCPU, *api.MACHINE)}
