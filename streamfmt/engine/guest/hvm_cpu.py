"""A vcpu's registers, MSRs and extended state: KVM's structures into entries of an HVM context, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...errors import GuestError
from ...payload_tables import CONTEXT_MSRS
from ...schema import hvm_interrupts
from ...writer.hvm_state import after_reset
from . import kvm_api as api
from . import kvm_state, programs
from .hvm_entries import Entry, Fields, Read, Rows, bits, made, over, path, usual, word
from .kvm_machine import MTRR_CAP, MTRR_DEF_TYPE, MTRR_FIXED, MTRR_VARIABLE, PAT, TSC, TSC_DEADLINE
from .kvm_state import Vcpu

_SIZES = kvm_state.sizes()
# MSRs that are fields of the entry CPU (xen/include/public/arch-x86/hvm/save.h, struct hvm_hw_cpu).  EFER is beside.
CPU_MSRS = {
    "sysenter_cs": 0x174, "sysenter_esp": 0x175, "sysenter_eip": 0x176, "shadow_gs": 0xC0000102,
    "msr_lstar": 0xC0000082, "msr_star": 0xC0000081, "msr_cstar": 0xC0000083, "msr_syscall_mask": 0xC0000084,
    "msr_tsc_aux": 0xC0000103, "tsc": TSC,
}  # fmt: skip
TSC_ADJUST = 0x3B
# What has an entry of its own, or a field of one.
_ELSEWHERE = {
    *CPU_MSRS.values(), TSC_ADJUST, TSC_DEADLINE, MTRR_CAP, MTRR_DEF_TYPE, PAT, *MTRR_VARIABLE, *MTRR_FIXED,
}  # fmt: skip
# Attributes of a segment, as one number: name, lowest bit and bits (Intel SDM volume 3, section 24.4.1, without gap).
_ATTRIBUTES = (
    ("type", 0, 4), ("s", 4, 1), ("dpl", 5, 2), ("present", 7, 1), ("avl", 8, 1), ("l", 9, 1), ("db", 10, 1),
    ("g", 11, 1),
)  # fmt: skip
# Kinds of events that are under way (Intel SDM volume 3, table 24-16; AMD APM volume 2, section 15.20).
_EXTERNAL, _NMI, _EXCEPTION, _SOFTWARE = 0, 2, 3, 4
_NMI_VECTOR = 2
# What events keep a vcpu from being saved: no entry carries them.  They pass within a few instructions.
PASSING = ("interrupt_shadow", "nmi_masked", "nmi_pending", "smi_smm", "smi_pending", "smi_latched_init")
_CONTROLS = ("cr0", "cr2", "cr3", "cr4")
_FPU_INITIALISED = 1
# Bytes of the image of FXSAVE, of an area of none but x87 and SSE, and of the three masks before one.
_FXSAVE, _AREA_LEAST, _MASKS = 512, 576, 24
_X87_AND_SSE = 3
APIC = {name: at for at, name in hvm_interrupts.APIC_REGISTERS.items()}
# Ways in which a local APIC is off (xen/arch/x86/include/asm/hvm/vlapic.h): by its base's bit 11, by SVR's bit 8.
_OFF_BY_HARDWARE, _OFF_BY_SOFTWARE = 1, 2
_EN, _BSP, _SVR_ON = 1 << 11, 1 << 8, 1 << 8
# A local APIC after a reset (Intel SDM volume 3, sections 10.4.4 and 10.4.7.1): its place, and registers that are not
# 0, of version 0x14 with six entries of its vector table, all masked.
_APIC_BASE, _APIC_MASKED = 0xFEE00000, 1 << 16
_APIC_RESET = {
    "version": 0x50014, "dfr": 0xFFFFFFFF, "svr": 0xFF,
    **dict.fromkeys(
        ("lvt_timer", "lvt_thermal", "lvt_pmc", "lvt_lint0", "lvt_lint1", "lvt_error"), _APIC_MASKED
    ),
}  # fmt: skip
# CR0 says that there is an FPU.
_ET = 1 << 4


def passing(vcpu: Vcpu) -> list[str]:
    """What is under way in it that no entry carries; and more than one event, of which an entry has one."""
    events = kvm_state.events(vcpu.pieces["events"])
    injected = [name for name in ("exception_injected", "interrupt_injected", "nmi_injected") if events[name]]
    return [*(name for name in PASSING if events[name]), *injected[1:]]


def entries(number: int, vcpu: Vcpu, fresh: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Entry]:
    """All entries of a vcpu; see :func:`.hvm.entries`.

    :raises GuestError: the guest has set MSRs that none carries.
    """
    yield Entry("CPU", number, _cpu(vcpu))
    yield Entry("LAPIC", number, _lapic(vcpu))
    yield Entry("LAPIC_REGS", number, vcpu.pieces["lapic"])
    yield Entry("MTRR", number, _mtrr(vcpu.msrs))
    yield Entry("CPU_XSAVE", number, _xsave(vcpu, ends))
    if vcpu.msrs.get(TSC_ADJUST):
        yield Entry("TSC_ADJUST", number, made("TSC_ADJUST", {"tsc_adjust": vcpu.msrs[TSC_ADJUST]}))
    further = {it: value for it, value in vcpu.msrs.items() if it not in _ELSEWHERE and value != fresh.get(it, 0)}
    if lost := [f"{index:#x}" for index in further if index not in CONTEXT_MSRS]:
        raise GuestError(f"the guest has set MSRs that no HVM context carries: {', '.join(lost)}")
    if further:
        rows = [{"index": index, "value": value} for index, value in further.items()]
        yield Entry("CPU_MSR", number, made("CPU_MSR", {"count": len(rows), "pad": 0, "msrs": rows}))


def _cpu(vcpu: Vcpu) -> bytes:
    """Registers."""
    segments, controls = kvm_state.sregs(vcpu.pieces["sregs"])
    events = kvm_state.events(vcpu.pieces["events"])
    values: Fields = {
        **_segments(segments),
        **kvm_state.regs(vcpu.pieces["regs"]),
        **kvm_state.debugregs(vcpu.pieces["debugregs"]),
    }
    values |= {name: controls[name] for name in _CONTROLS}
    values |= {name: vcpu.msrs.get(index, 0) for name, index in CPU_MSRS.items()}
    where = path("CPU")
    word_of_event, code = _event(events)
    values |= {"msr_efer": controls["efer"], "error_code": code}
    values |= {**bits(where, "pending_event", word_of_event), **bits(where, "flags", _FPU_INITIALISED)}
    return over("CPU", vcpu.pieces["xsave"][:_FXSAVE].ljust(usual("CPU"), b"\0"), values)


def _segments(segments: Mapping[str, Mapping[str, int]]) -> Fields:
    """Segments and tables as fields of the entry CPU."""
    values = {f"{name}_{of}": row[of] for name, row in segments.items() for of in ("base", "limit")}
    for name, row in segments.items():
        if name in api.SEGMENTS:
            values[f"{name}_sel"] = row["sel"]
            values[f"{name}_arbytes"] = sum(row[of] << at for of, at, _ in _ATTRIBUTES)
    return values


def beginning(number: int, registers: Mapping[str, int]) -> Iterator[Entry]:
    """Entries of a vcpu that was just reset, and set to a place of a program, with these general registers."""
    entry = after_reset("CPU")
    values = {**_segments(programs.segments()), **registers, "cr0": _ET | programs.PROTECTED}
    yield Entry("CPU", number, over("CPU", entry, values))
    base = _APIC_BASE | _EN | (0 if number else _BSP)
    fields = {**bits(path("LAPIC"), "apic_base_msr", base), "disabled": _OFF_BY_SOFTWARE, "timer_divisor": 2}
    yield Entry("LAPIC", number, over("LAPIC", after_reset("LAPIC", usual("LAPIC")), fields))
    area = {**_APIC_RESET, "id": number << 24}
    yield Entry("LAPIC_REGS", number, over("LAPIC_REGS", after_reset("LAPIC_REGS"), area))


def _event(events: Mapping[str, int]) -> tuple[int, int]:
    """The word of an event that is under way, and its error code; 0 if there is none."""
    where = path("CPU")
    if events["exception_injected"]:
        error, vector = events["exception_has_error_code"], events["exception_nr"]
        values = {"type": _EXCEPTION, "vector": vector, "error_valid": error}
        code = events["exception_error_code"] if error else 0
    elif events["nmi_injected"]:
        values, code = {"type": _NMI, "vector": _NMI_VECTOR, "error_valid": 0}, 0
    elif events["interrupt_injected"]:
        kind = _SOFTWARE if events["interrupt_soft"] else _EXTERNAL
        values, code = {"type": kind, "vector": events["interrupt_nr"], "error_valid": 0}, 0
    else:
        return 0, 0
    named = {f"pending_event.{name}": value for name, value in {**values, "valid": 1, "reserved": 0}.items()}
    return word(where, "pending_event", named), code


def _lapic(vcpu: Vcpu) -> bytes:
    """What a local APIC has beside its registers."""
    _, controls = kvm_state.sregs(vcpu.pieces["sregs"])
    base, area = controls["apic_base"], vcpu.pieces["lapic"]
    off = (0 if base & _EN else _OFF_BY_HARDWARE) | (0 if register(area, "svr") & _SVR_ON else _OFF_BY_SOFTWARE)
    divides = register(area, "tdcr")
    values = {
        **bits(path("LAPIC"), "apic_base_msr", base),
        "disabled": off,
        # Intel SDM volume 3, figure 10-10: bits 0, 1 and 3 say the power of two, one too low.
        "timer_divisor": 1 << ((divides & 3 | divides >> 1 & 4) + 1 & 7),
        "tdt_msr": vcpu.msrs.get(TSC_DEADLINE, 0),
    }
    return made("LAPIC", values)


def register(area: bytes, name: str) -> int:
    """A register of a local APIC."""
    return int.from_bytes(area[APIC[name] :][:4], "little")


def _mtrr(msrs: Mapping[int, int]) -> bytes:
    """Memory types."""
    where = path("MTRR")
    pairs = [{"base": msrs.get(base, 0), "mask": msrs.get(base + 1, 0)} for base in MTRR_VARIABLE[::2]]
    values: Fields = {
        "msr_pat_cr": msrs.get(PAT, 0),
        "msr_mtrr_var": pairs,
        "msr_mtrr_fixed": [msrs.get(index, 0) for index in MTRR_FIXED],
        **bits(where, "msr_mtrr_cap", msrs.get(MTRR_CAP, 0)),
        **bits(where, "msr_mtrr_def_type", msrs.get(MTRR_DEF_TYPE, 0)),
    }
    return made("MTRR", values)


def _xsave(vcpu: Vcpu, ends: Mapping[int, int]) -> bytes:
    """Extended state: the area up to the last component that the guest has, or ever had, on."""
    area, on = vcpu.pieces["xsave"], kvm_state.xcr0(vcpu.pieces["xcrs"])
    ever = on | int.from_bytes(area[_FXSAVE : _FXSAVE + 8], "little")
    size = max([_AREA_LEAST, *(end for bit, end in ends.items() if ever >> bit & 1)])
    all_of_it = sum(1 << bit for bit in (0, 1, *ends))
    masks = {"xfeature_mask": all_of_it, "xcr0": on, "xcr0_accum": ever}
    return over("CPU_XSAVE", bytes(_MASKS) + area[:size], masks)


# -- and back -------------------------------------------------------------------------------------------------


def vcpu(rows: Rows, number: int, model: Vcpu) -> Vcpu:
    """What the entries of a vcpu say; `model` is one that has just been made, for what they do not.

    :raises GuestError: they are not enough.
    """
    try:
        cpu, hidden, area = (rows[name, number] for name in ("CPU", "LAPIC", "LAPIC_REGS"))
    except KeyError as error:
        raise GuestError(f"the HVM context has no entry {error.args[0][0]} of vcpu {number}") from None
    base = word(hidden.path, "apic_base_msr", hidden.fields)
    msrs = {**model.msrs, **{index: cpu.fields.get(name, 0) for name, index in CPU_MSRS.items()}}
    msrs |= {TSC_DEADLINE: hidden.fields.get("tdt_msr", 0), TSC_ADJUST: 0}
    if (kinds := rows.get(("MTRR", number))) is not None:
        msrs |= _mtrr_back(kinds)
    if (adjust := rows.get(("TSC_ADJUST", number))) is not None:
        msrs[TSC_ADJUST] = adjust.fields["tsc_adjust"]
    if (further := rows.get(("CPU_MSR", number))) is not None:
        msrs |= {row["index"]: row["value"] for row in further.fields["msrs"]}
    xcrs, area_of_all = _xsave_back(rows.get(("CPU_XSAVE", number)), cpu.data)
    pieces = {
        "regs": kvm_state.to_regs(cpu.fields),
        "sregs": _sregs(cpu.fields, base, register(area.data, "tpr")),
        "xcrs": xcrs,
        "xsave": area_of_all,
        "debugregs": kvm_state.to_debugregs(cpu.fields, _SIZES["debugregs"]),
        "lapic": area.data,
        "mp_state": api.RUNNABLE.to_bytes(_SIZES["mp_state"], "little"),
        "events": _events(cpu),
    }
    return Vcpu(pieces, msrs)


def _sregs(values: Fields, base: int, tpr: int) -> bytes:
    segments: dict[str, dict[str, int]] = {}
    for name in api.SEGMENTS:
        attributes = values[f"{name}_arbytes"]
        row = {of: attributes >> at & (1 << count) - 1 for of, at, count in _ATTRIBUTES}
        row |= {of: values[f"{name}_{of}"] for of in ("base", "limit", "sel")}
        segments[name] = {**row, "unusable": int(not row["present"])}
    for name in api.TABLES:
        segments[name] = {of: values[f"{name}_{of}"] for of in ("base", "limit")}
    controls = {name: values[name] for name in _CONTROLS}
    # CR8 is the upper half of the priority that the local APIC has (Intel SDM volume 3, section 10.8.6).
    return kvm_state.to_sregs(
        segments, {**controls, "efer": values["msr_efer"], "apic_base": base, "cr8": tpr >> 4 & 0xF}
    )


def _events(cpu: Read) -> bytes:
    values = {name.partition(".")[2]: it for name, it in cpu.fields.items() if name.startswith("pending_event.")}
    if not values["valid"]:
        return kvm_state.to_events({})
    kind, vector = values["type"], values["vector"]
    if kind == _NMI:
        return kvm_state.to_events({"nmi_injected": 1})
    if kind in {_EXTERNAL, _SOFTWARE}:
        return kvm_state.to_events(
            {"interrupt_injected": 1, "interrupt_nr": vector, "interrupt_soft": int(kind == _SOFTWARE)}
        )
    event = {"exception_injected": 1, "exception_nr": vector, "exception_has_error_code": values["error_valid"]}
    return kvm_state.to_events({**event, "exception_error_code": cpu.fields["error_code"]})


def _mtrr_back(kinds: Read) -> dict[int, int]:
    values = kinds.fields
    found = {PAT: values["msr_pat_cr"], MTRR_DEF_TYPE: word(kinds.path, "msr_mtrr_def_type", values)}
    for base, row in zip(MTRR_VARIABLE[::2], values["msr_mtrr_var"], strict=True):
        found |= {base: row["base"], base + 1: row["mask"]}
    return found | dict(zip(MTRR_FIXED, values["msr_mtrr_fixed"], strict=True))


def _xsave_back(saved: Read | None, cpu: bytes) -> tuple[bytes, bytes]:
    """XCR0, and the area; without an entry it is what the entry CPU begins with."""
    size = _SIZES["xsave"]
    if saved is None or len(saved.data) < _MASKS + _AREA_LEAST:
        present = (_X87_AND_SSE).to_bytes(8, "little")
        return kvm_state.to_xcrs(1, _SIZES["xcrs"]), (cpu[:_FXSAVE] + present).ljust(size, b"\0")
    area = saved.data[_MASKS:]
    if len(area) > size and any(area[size:]):
        raise GuestError(f"the vcpu's extended state has {len(area)} bytes, and this KVM has room for {size}")
    return kvm_state.to_xcrs(saved.fields["xcr0"], _SIZES["xcrs"]), area[:size].ljust(size, b"\0")
