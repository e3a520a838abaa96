"""The tails of a legacy stream: of a PV guest its vcpus, of an HVM guest its hardware and the device model's record.

Sources: tools/libxc/xc_domain_save.c of Xen 3.1 to 4.5; tools/libxc/xc_domain_restore.c of Xen 4.4, buffer_tail and
buffer_qemu; row by row who wrote the device model's.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Construct, Int8ul, Int16ul, Int32ub, Int32ul, Int64ul, Struct, this

from . import hvm, libxc, qemu
from .legacy_numbers import NUMBERS
from .model import RecordType, opaque

SAVE = "tools/libxc/xc_domain_save.c"
_TO_END, _SIZED = qemu.TAILS
# XAPI's own form: the first signature and a newline.
XAPI_TAIL = _TO_END + b"\n"
# What a record that goes to the end of the input is read in.
PIECE = 64 << 10


def unmapped(word: Construct) -> RecordType:
    """Frames without a page, as words of that kind."""
    return RecordType(
        NUMBERS["UNMAPPED"],
        "UNMAPPED",
        Struct(
            "count" / Int32ul * "Frame numbers that follow.",
            "pfns" / Array(this.count, word) * "Those that had no page when the guest was suspended.",
        ),
        "Frames without a page: those that came before are freed again.",
        f"{SAVE}, xc_domain_save",
        guests=("pv",),
        headless=True,
    )


# The beginning of struct xen_domctl_ext_vcpucontext.
_EXTENDED = (
    "vcpu" / Int32ul * "Which vcpu.",
    "size" / Int32ul * "Octets of what follows that say something, with these two fields.",
    "syscall32_callback_eip" / Int64ul * "Where 32-bit SYSCALL enters the kernel.",
    "sysenter_callback_eip" / Int64ul * "Where SYSENTER enters it.",
    "syscall32_callback_cs" / Int16ul * "Code segment of the one.",
    "sysenter_callback_cs" / Int16ul * "Code segment of the other.",
    "syscall32_disables_events" / Int8ul * "Whether the one masks events.",
    "sysenter_disables_events" / Int8ul * "Whether the other does.",
    "padding" / Int16ul * "Any value.",
    "mcg_cap" / Int64ul * "Capabilities of the machine-check architecture, since 4.2.",
    "mci_ctl2_bank0" / Int64ul * "Its register of that name, since 4.3.",
    "mci_ctl2_bank1" / Int64ul * "Its register of that name, since 4.3.",
)

TAILS = (
    RecordType(
        NUMBERS["VCPU"],
        "VCPU",
        Struct(opaque("context", "struct vcpu_guest_context with frame numbers for machine addresses.")),
        "Registers of one vcpu, in the order of their numbers.",
        f"{SAVE}, xc_domain_save",
        guests=("pv",),
        lengths=tuple(libxc.VCPU_CONTEXT_SIZES.values()),
        headless=True,
    ),
    RecordType(
        NUMBERS["VCPU_EXT"],
        "VCPU_EXT",
        Struct(
            *_EXTENDED,
            "rest" / Bytes(libxc.EXTENDED_MAX - Struct(*_EXTENDED).sizeof()) * "Nothing yet: Xen 4.5 has no more.",
        ),
        "System call entry points and machine-check state of the vcpu before.",
        f"{SAVE}, xc_domain_save; xen/include/public/domctl.h, struct xen_domctl_ext_vcpucontext",
        guests=("pv",),
        since="3.2",
        headless=True,
    ),
    RecordType(
        NUMBERS["VCPU_XSAVE"],
        "VCPU_XSAVE",
        Struct(
            "mask" / Int64ul * "Features that the host saves.",
            "size" / Int64ul * "Octets that follow.",
            opaque("context", "xcr0, xcr0_accum, then the XSAVE area in standard format."),
        ),
        "Extended processor state of the vcpu before.",
        f"{SAVE}, xc_domain_save",
        guests=("pv",),
        since="4.1",
        headless=True,
    ),
    RecordType(
        NUMBERS["SHARED_INFO"],
        "SHARED_INFO",
        Struct("page" / Bytes(libxc.PAGE_SIZE) * "The guest's shared_info page, in the layout of its width."),
        "The shared info page, which ends the tail.",
        f"{SAVE}, xc_domain_save",
        guests=("pv",),
        headless=True,
    ),
    RecordType(
        NUMBERS["HVM_TAIL"],
        "HVM_TAIL",
        Struct(
            "ioreq_pfn" / Int64ul * "Frame of the ioreq page, HVM parameter 5.",
            "bufioreq_pfn" / Int64ul * "Frame of the buffered ioreq page, HVM parameter 6.",
            "store_pfn" / Int64ul * "Frame of xenstore's ring, HVM parameter 1.",
        ),
        "Frames of special pages.",
        f"{SAVE}, xc_domain_save",
        guests=("hvm",),
        since="3.1",
        headless=True,
    ),
    RecordType(
        NUMBERS["HVM_CONTEXT"],
        "HVM_CONTEXT",
        Struct(
            "length" / Int32ul * "Octets of the context.",
            "context" / hvm.CONTEXT * "Xen's own save format of virtual hardware.",
        ),
        "State of the virtual hardware that Xen emulates.",
        f"{SAVE}, xc_domain_save",
        guests=("hvm",),
        since="3.1",
        least=1,
        headless=True,
    ),
)


def _signature(data: bytes) -> Construct:
    return "signature" / Const(data, Bytes(len(data))) * "These letters, without a NUL."


def _sized(code: int, name: str, signature: bytes, length: Construct, source: str, since: str) -> RecordType:
    body = Struct(
        _signature(signature),
        "length" / length * "Octets of the state.",
        "state" / Bytes(this.length) * "As the device model wrote it.",
    )
    doc = "The device model's state."
    return RecordType(code, name, body, doc, source, guests=("hvm",), since=since, headless=True)


DEVICE_MODELS = (
    RecordType(
        NUMBERS["QEMU_TO_END"],
        "QEMU_TO_END",
        Struct(_signature(_TO_END)),
        "The device model's state follows, as far as the input goes.",
        "tools/python/xen/xend/image.py; tools/libxl/libxl_dom.c of Xen 4.0",
        guests=("hvm",),
        since="3.1",
        headless=True,
    ),
    RecordType(
        NUMBERS["QEMU_STATE"],
        "QEMU_STATE",
        Struct(opaque("state", "As the device model wrote it.")),
        f"The next {PIECE >> 10} KiB of that state, or what is left of it.",
        "tools/python/xen/xend/image.py; tools/libxl/libxl_dom.c of Xen 4.0",
        guests=("hvm",),
        since="3.1",
        least=1,
        most=PIECE,
        headless=True,
    ),
    _sized(NUMBERS["QEMU_0002"], "QEMU_0002", _SIZED, Int32ul, "tools/libxl/libxl_dom.c of Xen 4.1 to 4.5", "4.1"),
    _sized(
        NUMBERS["QEMU_REMUS"],
        "QEMU_REMUS",
        qemu.REMUS_TAIL,
        Int32ul,
        "tools/python/xen/lowlevel/checkpoint/libcheckpoint.c of Xen 4.0 to 4.4, send_qemu",
        "4.0",
    ),
    _sized(
        NUMBERS["QEMU_XAPI"],
        "QEMU_XAPI",
        XAPI_TAIL,
        Int32ub,
        "xen-api ocaml/xenopsd/xc/domain.ml, with a big-endian length",
        "3.1",
    ),
)
