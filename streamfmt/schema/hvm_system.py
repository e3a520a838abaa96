"""Entries of an HVM context about the whole of it, and about the interfaces of another hypervisor that a guest sees."""

from __future__ import annotations

from construct import Array, BitsInteger, Const, Int8ul, Int32ul, Int64ul, Struct
from construct.core import Construct

from . import hvm
from .model import little_bits
from .payload_words import SAVE_H, Payload

_TLFS = "Hypervisor Top Level Functional Specification 6.0b, chapters 11 and 12"
_STIMER = little_bits(
    "other" / BitsInteger(44) * "Bits without a meaning.",
    "sintx" / BitsInteger(4) * "Source of interrupts that it uses.",
    "other_13" / BitsInteger(3) * "Bits without a meaning.",
    "direct_mode" / BitsInteger(1) * "1 if it interrupts by a vector, without a message.",
    "apic_vector" / BitsInteger(8) * "That vector.",
    "auto_enable" / BitsInteger(1) * "1 if a write of its count enables it.",
    "lazy" / BitsInteger(1) * "1 if it may come late.",
    "periodic" / BitsInteger(1) * "1 if it fires again and again.",
    "enabled" / BitsInteger(1) * "1 if it runs.",
)
_DOMAIN: tuple[Construct, ...] = (
    "hypercall_gpa" / Int64ul * "MSR HYPERCALL: where the page for hypercalls is.",
    "guest_os_id" / Int64ul * "MSR GUEST_OS_ID: which system the guest says it is.",
)
_COUNT: tuple[Construct, ...] = ("time_ref_count" / Int64ul * "Reference counter, in units of 100 ns.",)
_ASSIST: tuple[Construct, ...] = ("vp_assist_msr" / Int64ul * "MSR VP_ASSIST_PAGE: where the vcpu's page is.",)
_PENDING: tuple[Construct, ...] = (
    "apic_assist_pending" / Int8ul * "1 if the end of an interrupt is left to that page; from 4.7 on once its vector.",
    "pad" / Const(bytes(7)) * "Padding, which loaders want to be 0.",
)

ENTRIES = (
    Payload(
        "hvm.END",
        "Ends the context.",
        hvm.CONTEXT_SOURCE,
        Struct(),
    ),
    Payload(
        "hvm.HEADER",
        "What saved the guest.",
        f"{SAVE_H}, struct hvm_save_header",
        Struct(
            "magic" / Const(hvm.MAGIC, Int32ul) * "HVM_FILE_MAGIC.",
            "version" / Const(hvm.VERSION, Int32ul) * "HVM_FILE_VERSION.",
            "changeset" / Int64ul * "Changeset of that Xen; all ones if it does not know.",
            "cpuid" / Int32ul * "Family, model and stepping of the host (CPUID leaf 1, eax).",
            "gtsc_khz" / Int32ul * "Frequency of the guest's TSC in kHz, 0 to keep what there is.",
        ),
        24,
    ),
    Payload(
        "hvm.VIRIDIAN_DOMAIN",
        "What a guest has set in the interfaces of Hyper-V.",
        f"{SAVE_H}, struct hvm_viridian_domain_context; {_TLFS}",
        Struct(*_DOMAIN, *_COUNT, "reference_tsc" / Int64ul * "MSR REFERENCE_TSC: where the page of the TSC is."),
        32,
        "4.6-",
    ),
    Payload(
        "hvm.VIRIDIAN_DOMAIN_24",
        "The same without a page of the TSC.",
        f"{SAVE_H} of 4.5, struct hvm_viridian_domain_context",
        Struct(*_DOMAIN, *_COUNT),
        24,
        "4.5",
    ),
    Payload(
        "hvm.VIRIDIAN_DOMAIN_16",
        "The same without a reference counter either.",
        f"{SAVE_H} of 4.4, struct hvm_viridian_domain_context",
        Struct(*_DOMAIN),
        16,
        "-4.4",
    ),
    Payload(
        "hvm.VIRIDIAN_VCPU",
        "What a vcpu has set in the interfaces of Hyper-V.",
        f"{SAVE_H}, struct hvm_viridian_vcpu_context; {_TLFS}",
        Struct(
            *_ASSIST,
            *_PENDING,
            "simp_msr" / Int64ul * "MSR SIMP: where messages are put.",
            "sint_msr" / Array(16, Int64ul) * "MSRs SINT0 to SINT15: sources of interrupts.",
            "stimer_config_msr" / Array(4, _STIMER) * "MSRs STIMER0_CONFIG and on: timers.",
            "stimer_count_msr" / Array(4, Int64ul) * "MSRs STIMER0_COUNT and on, in units of 100 ns.",
        ),
        216,
        "4.13-",
    ),
    Payload(
        "hvm.VIRIDIAN_VCPU_16",
        "The same without messages and timers.",
        f"{SAVE_H} of 4.12, struct hvm_viridian_vcpu_context",
        Struct(*_ASSIST, *_PENDING),
        16,
        "4.7-4.12",
    ),
    Payload(
        "hvm.VIRIDIAN_VCPU_8",
        "The same with nothing but the vcpu's page.",
        f"{SAVE_H} of 4.6, struct hvm_viridian_vcpu_context",
        Struct(*_ASSIST),
        8,
        "4.2-4.6",
    ),
)
