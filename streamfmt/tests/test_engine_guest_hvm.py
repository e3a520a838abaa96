"""A machine's state through entries of an HVM context and back, without a machine; and contexts that are none."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.guest import hvm, hvm_cpu, hvm_entries, hvm_policy, kvm_api, kvm_machine, kvm_state, programs
from ..engine.guest.hvm_entries import Entry
from ..engine.guest.kvm_state import State, Vcpu
from ..errors import GuestError
from ..writer import Draft, image_headers, page_data, record
from .support.vector import judge

SIZES = kvm_state.sizes()
# Components of the extended state, and where they end: those of AVX and of protection keys.
ENDS = {2: 832, 9: 2440}
U64, U32, U8 = (st.integers(0, (1 << bits) - 1) for bits in (64, 32, 8))
BIT = st.integers(0, 1)


def _segment() -> st.SearchStrategy[dict[str, int]]:
    fields = dict.fromkeys(kvm_api.SEGMENT_FIELDS, BIT) | {"base": U64, "limit": U32, "sel": st.integers(0, 0xFFFF)}
    fields |= {"type": st.integers(0, 15), "dpl": st.integers(0, 3)}
    return st.fixed_dictionaries(fields).map(lambda row: {**row, "unusable": int(not row["present"])})


EVENTS: st.SearchStrategy[dict[str, int]] = st.one_of(
    st.just({}),
    st.builds(lambda nr, soft: {"interrupt_injected": 1, "interrupt_nr": nr, "interrupt_soft": soft}, U8, BIT),
    st.just({"nmi_injected": 1}),
    st.builds(
        lambda nr, code: {
            "exception_injected": 1,
            "exception_nr": nr,
            "exception_has_error_code": int(code is not None),
            "exception_error_code": code or 0,
        },
        U8,
        st.none() | U32,
    ),
)
# Generators take longer to combine than states to convert: bytes of whole pieces, of which a few fields are set.
FILLED = st.integers(0, 2**32).map(Random)


@st.composite
def vcpus(draw: st.DrawFn) -> Vcpu:
    """A vcpu's state such as records have."""
    random = draw(FILLED)
    lapic = bytearray(random.randbytes(SIZES["lapic"]))
    segments = {name: draw(_segment()) for name in kvm_api.SEGMENTS} if draw(st.booleans()) else programs.segments()
    segments |= dict(_tables(draw, segments))
    controls = {name: random.getrandbits(64) for name in kvm_api.CONTROLS}
    tpr = hvm_cpu.APIC["tpr"]
    controls["cr8"] = int.from_bytes(lapic[tpr : tpr + 4], "little") >> 4 & 0xF
    on = draw(st.sampled_from([1, 3, 7, 0x207]))
    end = max([576, *(end for bit, end in ENDS.items() if on >> bit & 1)])
    area = bytearray(random.randbytes(end).ljust(SIZES["xsave"], b"\0"))
    area[512:576] = struct.pack("<QQ48x", on & draw(st.sampled_from([1, 3, 7, 0x207])), 0)
    pieces = {
        "regs": random.randbytes(SIZES["regs"]),
        "sregs": kvm_state.to_sregs(segments, controls),
        "xcrs": kvm_state.to_xcrs(on, SIZES["xcrs"]),
        "xsave": bytes(area),
        "debugregs": random.randbytes(48).ljust(SIZES["debugregs"], b"\0"),
        "lapic": bytes(lapic),
        "mp_state": bytes(4),
        "events": kvm_state.to_events(draw(EVENTS)),
    }
    indices = (
        *hvm_cpu.CPU_MSRS.values(),
        hvm_cpu.TSC_ADJUST,
        kvm_machine.TSC_DEADLINE,
        kvm_machine.PAT,
        kvm_machine.MTRR_DEF_TYPE,
        *kvm_machine.MTRR_VARIABLE,
        *kvm_machine.MTRR_FIXED,
    )
    further = {0x48: draw(st.integers(1, 9))} if draw(st.booleans()) else {}
    return Vcpu(pieces, {0x48: 0, 0x1A0: 1, **{index: random.getrandbits(64) for index in indices}, **further})


def _tables(draw: st.DrawFn, segments: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    missing = [name for name in ("tr", "ldtr") if name not in segments]
    tables = [(name, {"base": draw(U64), "limit": draw(st.integers(0, 0xFFFF))}) for name in kvm_api.TABLES]
    return tables + [(name, draw(_segment())) for name in missing]


@st.composite
def machines(draw: st.DrawFn) -> dict[str, bytes]:
    """What vcpus share, such as records have."""
    found: dict[str, bytes] = {}
    lines = 0
    for number, name in enumerate(("pic_master", "pic_slave")):
        values = {field: draw(U8) for field in kvm_api.PIC[:4]} | {field: draw(BIT) for field in kvm_api.PIC[6:]}
        values |= {"priority_add": draw(st.integers(0, 7)), "irq_base": draw(U8), "elcr": draw(U8), "elcr_mask": 0xF8}
        values["init_state"] = draw(st.integers(0, 3))
        values["init4"] = values["init4"] if values["init_state"] else 0
        lines |= values["last_irr"] << 8 * number
        found[name] = kvm_state.to_pic(values, number, SIZES[name])
    words = tuple(draw(st.lists(U64, min_size=24, max_size=24)))
    waiting = sum(1 << pin for pin in range(16) if lines >> pin & 1 and words[pin] & (1 << 15 | 1 << 16))
    registers = {"base_address": draw(U64), "ioregsel": draw(U32), "id": draw(U32), "irr": waiting}
    found["ioapic"] = kvm_state.to_ioapic(registers, words, 2, SIZES["ioapic"])
    channel = dict.fromkeys(kvm_api.PIT_CHANNEL[2:-1], U8)
    channel |= {"count": st.integers(0, 65536), "latched_count": st.integers(0, 0xFFFF), "count_load_time": st.just(0)}
    found["pit"] = kvm_state.to_pit(
        [draw(st.fixed_dictionaries(channel)) for _ in range(3)], 2 * draw(BIT), SIZES["pit"]
    )
    return found


FRESH = {0x1A0: 1}
MODEL = Vcpu({}, {0x48: 0, 0x1A0: 1})


def _comparable(state: State) -> list[Any]:
    """All of it, but when the timer's counters were loaded."""
    channels, flags = kvm_state.pit(state.machine["pit"])
    still = kvm_state.to_pit([{**row, "count_load_time": 0} for row in channels], flags, SIZES["pit"])
    vcpus = [vcpu and (dict(vcpu.pieces), dict(vcpu.msrs)) for vcpu in state.vcpus]
    return [vcpus, {**state.machine, "pit": still}]


@settings(max_examples=40)
@given(own=st.lists(vcpus(), min_size=1, max_size=2), machine=machines(), waits=st.booleans())
def test_a_state_comes_back_as_it_was(own: list[Vcpu], machine: dict[str, bytes], waits: bool) -> None:
    """All registers, MSRs, extended state and devices: through the records of an image, to the same."""
    given_vcpus: tuple[Vcpu | None, ...] = (own[0], None, *own[1:]) if waits and len(own) > 1 else tuple(own)
    state = State(given_vcpus, machine, 2_000_000)
    parts = hvm.records(hvm.entries(state, FRESH, ENDS), state.khz)

    back = hvm.state([(part.name, part.body("<")) for part in parts], State((MODEL,), machine, 1), 16)

    assert _comparable(back) == _comparable(state)


def test_msrs_that_no_context_carries_are_refused() -> None:
    """Where the guest has set one: what is as in a new machine is not sent."""
    rows = list(hvm_cpu.beginning(0, {}))
    assert [row.name for row in rows] == ["CPU", "LAPIC", "LAPIC_REGS"]
    base = _fixed()
    hvm.entries(State((base,), _shared()), FRESH, ENDS)
    changed = Vcpu(base.pieces, {**base.msrs, 0x4B564D01: 5})

    with pytest.raises(GuestError, match="0x4b564d01"):
        hvm.entries(State((changed,), _shared()), FRESH, ENDS)


def _fixed() -> Vcpu:
    """A vcpu at the beginning of a program."""
    context = hvm_entries.record(hvm_cpu.beginning(0, programs.registers(0, programs.Work()))).body("<")
    found = hvm.state([("HVM_CONTEXT", context)], State((MODEL,), _shared()), 1).vcpus[0]
    assert found is not None
    return found


def _shared() -> dict[str, bytes]:
    return {name: bytes(SIZES[name]) for name in ("pic_master", "pic_slave", "ioapic", "pit")}


def test_the_context_of_a_beginning_conforms() -> None:
    """It has what the verifier wants of one, inside its entries too, and no warning."""
    entries = [*hvm_cpu.beginning(0, {"rip": 5}), *hvm_cpu.beginning(1, {})]
    entries += [row for row in hvm.entries(State((None,), _shared()), FRESH, ENDS) if row.name != "PIC"]
    parts = hvm.records(entries, 1)
    cpuid = kvm_api.CPUID.pack(1, 0) + kvm_api.CPUID_ENTRY.pack(0, 0, 0, 1, *struct.unpack("<3I", b"GenuntelineI"))
    static = hvm_policy.records(cpuid, {})
    pages = page_data([0], "NOTAB", [bytes(4096)])
    stream = Draft(
        (*image_headers("hvm"), *static, record("libxc.STATIC_DATA_END"), pages, *parts, record("libxc.END"))
    )

    outcome = judge([stream.render()], deep=True)

    assert outcome.conforms
    assert not [finding for finding in outcome.findings if finding.severity != "note"]


def test_another_vendors_processor_is_refused() -> None:
    """As Xen does; without a policy there is nothing to say."""
    intel, amd = (
        kvm_api.CPUID.pack(1, 0) + kvm_api.CPUID_ENTRY.pack(0, 0, 0, 1, ebx, ecx, edx)
        for name in (b"GenuineIntel", b"AuthenticAMD")
        for ebx, edx, ecx in [struct.unpack("<3I", name)]
    )
    found = [(part.name, part.body("<")) for part in hvm_policy.records(intel, {})]

    hvm_policy.judge(found, intel)
    hvm_policy.judge([], amd)
    with pytest.raises(GuestError, match=r"'GenuineIntel', and this host's one of 'AuthenticAMD'"):
        hvm_policy.judge(found, amd)
    with pytest.raises(GuestError, match="cannot be read"):
        hvm_policy.judge([("X86_CPUID_POLICY", b"x")], amd)


def _context(*entries: Iterable[Entry]) -> bytes:
    return hvm_entries.record(row for rows in entries for row in rows).body("<")


def _with(**values: int) -> list[Entry]:
    """A vcpu at its beginning with other fields in its entry CPU."""
    cpu, *others = hvm_cpu.beginning(0, {})
    return [cpu._replace(data=hvm_entries.over("CPU", cpu.data, values)), *others]


FIRST, SECOND, LAST = (list(hvm_cpu.beginning(number, {})) for number in (0, 1, 16))


def test_a_policy_is_one_that_every_xen_takes() -> None:
    """Nothing of the hypervisor, nor of which processor it was that was asked; no leaf that a release does not know."""
    none = 0xFFFFFFFF
    rows = {
        (0, 0, 0, 0x1C, 2, 3, 4): (0, none, 0xD, 2, 3, 4),
        (1, 0, 0, 5, 0xABCDEF12, 7, 8): (1, none, 5, 0xCDEF12, 7, 8),
        (7, 0, 1, 2, 9, 9, 9): (7, 0, 0, 9, 9, 9),
        (7, 1, 1, 9, 9, 9, 9): None,
        (0xB, 1, 1, 9, 9, 9, 9): (0xB, 1, 9, 9, 9, 0),
        (0xB, 2, 1, 9, 9, 9, 9): None,
        (0xD, 62, 1, 9, 9, 9, 9): (0xD, 62, 9, 9, 9, 9),
        (0xD, 63, 1, 9, 9, 9, 9): None,
        (0xE, 0, 0, 9, 9, 9, 9): None,
        (6, 1, 1, 9, 9, 9, 9): None,
        (0x40000000, 0, 0, 1, 1, 1, 1): None,
        (0x80000000, 0, 0, 0x80000028, 1, 1, 1): (0x80000000, none, 0x8000001C, 1, 1, 1),
        (0x8000001C, 0, 0, 1, 1, 1, 1): (0x8000001C, none, 1, 1, 1, 1),
        (0x8000001D, 0, 0, 1, 1, 1, 1): None,
    }
    cpuid = kvm_api.CPUID.pack(len(rows), 0) + b"".join(kvm_api.CPUID_ENTRY.pack(*row) for row in reversed(rows))
    leaves, msrs = hvm_policy.records(cpuid, {0xCE: 6})

    assert [tuple(row.values()) for row in leaves.values["leaves"]] == [row for row in rows.values() if row]
    assert [tuple(row.values()) for row in msrs.values["msrs"]] == [(0xCE, 6), (0x10A, 0)]


def test_what_no_entry_carries_is_known() -> None:
    """That passes, and more than one event at once; one event is carried."""
    base = _fixed()

    def passing(**events: int) -> list[str]:
        return hvm_cpu.passing(Vcpu({**base.pieces, "events": kvm_state.to_events(events)}, base.msrs))

    assert passing() == passing(interrupt_injected=1, interrupt_nr=3) == passing(nmi_injected=1) == []
    assert passing(interrupt_shadow=1) == ["interrupt_shadow"]
    assert passing(nmi_masked=1, nmi_pending=1) == ["nmi_masked", "nmi_pending"]
    assert passing(exception_injected=1, nmi_injected=1) == ["nmi_injected"]


CONTEXT = _context(FIRST)
WRONG = {
    "nothing": [],
    "no context": [("X86_TSC_INFO", bytes(24))],
    "an empty context": [("HVM_CONTEXT", b"")],
    "a context without a header": [("HVM_CONTEXT", CONTEXT[32:])],
    "a context without an end": [("HVM_CONTEXT", CONTEXT[:-8])],
    "a context of zeros": [("HVM_CONTEXT", bytes(64))],
    "no vcpu": [("HVM_CONTEXT", _context())],
    "no local APIC": [("HVM_CONTEXT", _context(FIRST[:1]))],
    "too many vcpus": [("HVM_CONTEXT", _context(FIRST, LAST))],
    "not the first vcpu": [("HVM_CONTEXT", _context(SECOND))],
    "parameters that end too early": [("HVM_CONTEXT", CONTEXT), ("HVM_PARAMS", b"\1\0\0\0")],
    "a record of PV guests": [("HVM_CONTEXT", CONTEXT), ("X86_PV_INFO", bytes(8))],
    "a selector of too many bits": [("HVM_CONTEXT", _context(_with(cs_sel=1 << 20)))],
}


@pytest.mark.parametrize("records", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_state_is_refused(records: list[tuple[str, bytes]]) -> None:
    """With what is wrong in words."""
    with pytest.raises(GuestError):
        hvm.state(records, State((MODEL,), _shared()), 16)


@settings(max_examples=150)
@given(at=st.integers(0, len(CONTEXT) - 1), value=U8, length=st.integers(0, len(CONTEXT)))
def test_damaged_contexts_are_states_or_refused(at: int, value: int, length: int) -> None:
    """Whatever byte is another one, and wherever it ends: a state, or an error of this package."""
    damaged = bytearray(CONTEXT)
    damaged[at] = value
    for body in (bytes(damaged), bytes(damaged[:length])):
        try:
            hvm.state([("HVM_CONTEXT", body)], State((MODEL,), _shared()), 16)
        except GuestError:
            pass
