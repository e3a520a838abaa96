"""Entries of an HVM context that hold the state of a virtual processor, in the forms that releases of Xen gave them."""

from __future__ import annotations

from construct import Array, BitsInteger, Const, Int32ul, Int64ul, Struct, this

from . import payload_xsave
from .model import little_bits
from .payload_words import FXSAVE, SAVE_H, SDM_FXSAVE, Payload, registers

_GENERAL = ("rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", *(f"r{number}" for number in range(8, 16)))
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
_TABLES = ("idtr", "gdtr")
_REGISTERS = (
    "fpu_regs" / FXSAVE * "x87, MMX and SSE registers as FXSAVE stores them.",
    *registers(Int64ul, "Register {}.", *_GENERAL),
    *registers(Int64ul, "Register {}.", "rip", "rflags"),
    *registers(Int64ul, "Control register {}.", "cr0", "cr2", "cr3", "cr4"),
    *registers(Int64ul, "Debug register {}.", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7"),
    *(f"{name}_sel" / Int32ul * f"Selector of {name}." for name in _SEGMENTS),
    *(f"{name}_limit" / Int32ul * f"Limit of {name}." for name in (*_SEGMENTS, *_TABLES)),
    *(f"{name}_base" / Int64ul * f"Base of {name}." for name in (*_SEGMENTS, *_TABLES)),
    *(f"{name}_arbytes" / Int32ul * f"Attributes of {name}." for name in _SEGMENTS),
    *registers(Int64ul, "MSR of that name.", "sysenter_cs", "sysenter_esp", "sysenter_eip"),
    "shadow_gs" / Int64ul * "MSR KERNEL_GS_BASE.",
    "msr_flags" / Int64ul * "Once said which MSRs are there; ignored.",
    *registers(Int64ul, "MSR of that name.", "msr_lstar", "msr_star", "msr_cstar", "msr_syscall_mask", "msr_efer"),
)
_TSC_AUX = "msr_tsc_aux" / Int64ul * "MSR TSC_AUX."
_PENDING = (
    "tsc" / Int64ul * "The guest's time stamp counter.",
    "pending_event"
    / little_bits(
        "valid" / BitsInteger(1) * "1 if an event waits.",
        "reserved" / BitsInteger(19) * "Reserved.",
        "error_valid" / BitsInteger(1) * "1 if it has an error code.",
        "type" / BitsInteger(3) * "What kind of event it is, as VMX and SVM number them.",
        "vector" / BitsInteger(8) * "Its vector.",
    )
    * "An event that was to be delivered when the guest stopped.",
    "error_code" / Int32ul * "Error code of that event.",
)
_FLAGS = (
    "flags"
    / little_bits(
        "unknown" / BitsInteger(31) * "Flags that no Xen has.",
        "fpu_initialised" / BitsInteger(1) * "1 if the guest has used its FPU.",
    )
    * "Flags.",
    "pad0" / Const(0, Int32ul) * "Padding, which loaders want to be 0.",
)


ENTRIES = (
    Payload(
        "hvm.CPU",
        "Registers of one vcpu.",
        f"{SAVE_H}, struct hvm_hw_cpu; {SDM_FXSAVE}",
        Struct(*_REGISTERS, _TSC_AUX, *_PENDING, *_FLAGS),
        1032,
        "4.7-",
    ),
    Payload(
        "hvm.CPU_1024",
        "The same without flags.",
        f"{SAVE_H} of 4.6, struct hvm_hw_cpu",
        Struct(*_REGISTERS, _TSC_AUX, *_PENDING),
        1024,
        "3.4-4.6",
    ),
    Payload(
        "hvm.CPU_1016",
        "The same without TSC_AUX either.",
        f"{SAVE_H}, struct hvm_hw_cpu_compat",
        Struct(*_REGISTERS, *_PENDING),
        1016,
        "-3.3",
    ),
    *payload_xsave.payloads(
        "hvm.CPU_XSAVE",
        "Extended state of one vcpu.",
        f"{SAVE_H}, struct hvm_hw_cpu_xsave",
        (
            "xfeature_mask" / Int64ul * "Components that the host has; ignored.",
            "xcr0" / Int64ul * "XCR0 of the guest.",
            "xcr0_accum" / Int64ul * "Components that the guest has ever had on.",
        ),
    ),
    Payload(
        "hvm.CPU_MSR",
        "Further MSRs of one vcpu, those that are not 0.",
        f"{SAVE_H}, struct hvm_msr",
        Struct(
            "count" / Int32ul * "MSRs that follow.",
            "pad" / Int32ul * "Padding.",
            "msrs"
            / Array(
                this.count,
                Struct(
                    "index" / Int32ul * "MSR number.",
                    "reserved" / Const(0, Int32ul) * "Reserved.",
                    "value" / Int64ul * "Its value.",
                ),
            )
            * "MSRs.",
        ),
    ),
    Payload(
        "hvm.MTRR",
        "Memory types of one vcpu.",
        f"{SAVE_H}, struct hvm_hw_mtrr; Intel SDM volume 3, section 11.11",
        Struct(
            "msr_pat_cr" / Int64ul * "MSR PAT.",
            "msr_mtrr_var"
            / Array(8, Struct("base" / Int64ul * "MTRR_PHYSBASE.", "mask" / Int64ul * "MTRR_PHYSMASK."))
            * "Variable ranges.",
            "msr_mtrr_fixed" / Array(11, Int64ul) * "Fixed ranges.",
            "msr_mtrr_cap"
            / little_bits(
                "other" / BitsInteger(53) * "Bits without a meaning here.",
                "wc" / BitsInteger(1) * "1 if there is write-combining.",
                "reserved" / BitsInteger(1) * "Reserved.",
                "fix" / BitsInteger(1) * "1 if there are fixed ranges.",
                "vcnt" / BitsInteger(8) * "How many variable ranges there are.",
            )
            * "MSR MTRRCAP.",
            "msr_mtrr_def_type"
            / little_bits(
                "other" / BitsInteger(52) * "Bits without a meaning.",
                "enabled" / BitsInteger(1) * "1 if ranges have types at all.",
                "fixed_enabled" / BitsInteger(1) * "1 if the fixed ranges have.",
                "other_8" / BitsInteger(2) * "Bits without a meaning.",
                "type" / BitsInteger(8) * "Type of what is in no range.",
            )
            * "MSR MTRR_DEF_TYPE.",
        ),
        240,
    ),
    Payload(
        "hvm.VMCE_VCPU",
        "Machine check state of one vcpu.",
        f"{SAVE_H}, struct hvm_vmce_vcpu",
        Struct(
            *registers(Int64ul, "Register of that name.", "caps", "mci_ctl2_bank0", "mci_ctl2_bank1", "mcg_ext_ctl")
        ),
        32,
        "4.10-",
    ),
    Payload(
        "hvm.VMCE_VCPU_24",
        "The same without MCG_EXT_CTL.",
        f"{SAVE_H} of 4.9, struct hvm_vmce_vcpu",
        Struct(*registers(Int64ul, "Register of that name.", "caps", "mci_ctl2_bank0", "mci_ctl2_bank1")),
        24,
        "4.3-4.9",
    ),
    Payload(
        "hvm.VMCE_VCPU_8",
        "The same with nothing but MCG_CAP.",
        f"{SAVE_H} of 4.2, struct hvm_vmce_vcpu",
        Struct(*registers(Int64ul, "Register of that name.", "caps")),
        8,
        "4.2",
    ),
    Payload(
        "hvm.TSC_ADJUST",
        "MSR TSC_ADJUST of one vcpu.",
        f"{SAVE_H}, struct hvm_tsc_adjust",
        Struct("tsc_adjust" / Int64ul * "Its value."),
        8,
    ),
)
