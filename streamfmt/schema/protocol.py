"""What may come next: the machines of each layer, and of checkpoints across the layers.

Each is about one subject, small enough to be drawn.  What is forbidden, and by which clause, the order rules of
:mod:`.states` say; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from . import back_channel
from .back_channel import COLO_SOURCE
from .libxc import VERSION_FIRST, VERSION_STATIC
from .machine import ANY, EITHER, Machine
from .states import AFTER_MEMORY, CLOSING, EMULATOR, IMAGES, MEMORY, PAGES, POLICIES, TAIL, TPM, VCPU

_LIBXC_SOURCE = "docs/specs/libxc-migration-stream.pandoc, Layout; tools/libs/guest/xg_sr_save.c save"
_LIBXL_SOURCE = "docs/specs/libxl-migration-stream.pandoc, Layout; tools/libs/light/libxl_stream_read.c stream_continue"
_XAPI_SOURCE = "xen-api ocaml/xenopsd/xc/domain.ml, suspend"


def _never(
    name: str, layer: str, doc: str, source: str, clauses: tuple[str, ...], records: tuple[str, ...], **only: Any
) -> Machine:
    """Records that never come; `only` says in which images."""
    return Machine(name, layer, doc, source, clauses, "stream", ("stream",), (), records, **only)


IMAGE = Machine(
    "image",
    "libxc",
    "An image ends with END, or simply stops after a checkpoint.",
    _LIBXC_SOURCE,
    ("LIBXC-REC-TRUNC", "CKPT-CUT"),
    start="records",
    stops=("between", "ended"),
    moves=(
        ("records", (ANY,), "records"),
        ("records", ("CHECKPOINT",), "between"),
        ("records", ("END",), "ended"),
        ("between", (ANY,), "records"),
        ("between", ("CHECKPOINT",), "between"),
        ("between", ("END",), "ended"),
    ),
    turns={"records": "libxc", "between": "libxc", "ended": ""},
)


def _in_each_checkpoint(name: str, record: str, clause: str, doc: str, guests: tuple[str, ...]) -> Machine:
    """A record that each checkpoint has; END right after a checkpoint closes nothing that has to be whole."""
    return Machine(
        name,
        "libxc",
        doc,
        "tools/libs/guest/xg_sr_save_x86_pv.c and xg_sr_save_x86_hvm.c, end_of_checkpoint",
        (clause,),
        start="missing",
        stops=("given", "fresh"),
        moves=(
            ("missing", (ANY,), "missing"),
            ("missing", (record,), "given"),
            ("given", (record, "END", ANY), "given"),
            ("given", ("CHECKPOINT",), "fresh"),
            ("fresh", (ANY,), "missing"),
            ("fresh", (record,), "given"),
            ("fresh", ("END",), "fresh"),
        ),
        guests=guests,
    )


LIBXC_MACHINES = (
    IMAGE,
    Machine(
        "static data",
        "libxc",
        "Static data comes first, up to STATIC_DATA_END, and once.",
        _LIBXC_SOURCE,
        ("LIBXC-SDE-PRESENT", "LIBXC-SDE-ONCE", "LIBXC-POLICY-ORDER", "LIBXC-PVINFO-FIRST", "CKPT-STATIC-ONCE"),
        start="static",
        stops=("memory", "later"),
        moves=(
            ("static", ("X86_PV_INFO", *POLICIES), "static"),
            ("static", ("STATIC_DATA_END",), "memory"),
            ("memory", (*MEMORY, *TAIL, "END"), "memory"),
            ("memory", ("CHECKPOINT",), "later"),
            ("later", (*PAGES, *TAIL, *CLOSING), "later"),
        ),
        versions=(VERSION_STATIC,),
    ),
    _never(
        "no static data",
        "libxc",
        "Version 2 has no STATIC_DATA_END and no CPU policies.",
        _LIBXC_SOURCE,
        ("LIBXC-SDE-V2", "LIBXC-POLICY-V2", "CKPT-STATIC-ONCE"),
        (*POLICIES, "STATIC_DATA_END"),
        versions=(VERSION_FIRST,),
    ),
    Machine(
        "width",
        "libxc",
        "X86_PV_INFO comes once, before all that depends on the guest's width.",
        "docs/specs/libxc-migration-stream.pandoc, X86_PV_INFO; tools/libs/guest/xg_sr_restore_x86_pv.c",
        ("LIBXC-PVINFO-FIRST", "LIBXC-PVINFO-ONCE", "CKPT-STATIC-ONCE"),
        start="unknown",
        stops=("known",),
        moves=(
            ("unknown", ("X86_PV_INFO",), "known"),
            ("known", ("X86_PV_P2M_FRAMES", "SHARED_INFO", *VCPU, "PAGE_DATA"), "known"),
        ),
        guests=("pv",),
    ),
    Machine(
        "p2m list",
        "libxc",
        "X86_PV_P2M_FRAMES comes once, before the pages.",
        "docs/specs/libxc-migration-stream.pandoc, X86_PV_P2M_FRAMES; tools/libs/guest/xg_sr_save_x86_pv.c",
        ("LIBXC-P2M-BEFORE-PAGES", "LIBXC-P2M-REPEAT", "CKPT-STATIC-ONCE"),
        start="missing",
        stops=("given",),
        moves=(
            ("missing", ("X86_PV_P2M_FRAMES",), "given"),
            ("given", ("PAGE_DATA", *CLOSING), "given"),
        ),
        guests=("pv",),
    ),
    Machine(
        "verify",
        "libxc",
        "After VERIFY pages are compared, to the end of the image: no checkpoint can follow.",
        "docs/specs/libxc-migration-stream.pandoc, VERIFY; tools/libs/guest/xg_sr_restore.c process_page_data",
        ("LIBXC-VERIFY-1",),
        start="either",
        stops=("either", "verifying", "checkpointed"),
        moves=(
            ("either", ("VERIFY",), "verifying"),
            ("either", ("CHECKPOINT",), "checkpointed"),
            ("verifying", ("VERIFY",), "verifying"),
            ("checkpointed", ("CHECKPOINT",), "checkpointed"),
        ),
    ),
    _in_each_checkpoint(
        "time stamp counter",
        "X86_TSC_INFO",
        "LIBXC-TSC-PRESENT",
        "Each checkpoint says how the guest's TSC stands.",
        ("pv", "hvm"),
    ),
    _in_each_checkpoint(
        "HVM context",
        "HVM_CONTEXT",
        "LIBXC-HVMCTX-PRESENT",
        "Each checkpoint of an HVM guest has the state of its virtual hardware.",
        ("hvm",),
    ),
    Machine(
        "parameters first",
        "libxc",
        "HVM_PARAMS comes before HVM_CONTEXT, says the specification; savers write them the other way round.",
        "docs/specs/libxc-migration-stream.pandoc, Layout; tools/libs/guest/xg_sr_save_x86_hvm.c",
        ("LIBXC-HVMPARAMS-ORDER",),
        start="before",
        stops=("before", "after"),
        moves=(
            ("before", ("HVM_PARAMS", "CHECKPOINT"), "before"),
            ("before", ("HVM_CONTEXT",), "after"),
            ("after", ("HVM_CONTEXT",), "after"),
            ("after", ("CHECKPOINT",), "before"),
        ),
        guests=("hvm",),
    ),
    Machine(
        "plain image",
        "libxc",
        "A stream that is declared plain has no CHECKPOINT.",
        "docs/specs/libxc-migration-stream.pandoc, CHECKPOINT; tools/libs/guest/xg_sr_restore.c handle_checkpoint",
        ("LIBXC-CKPT-PLAIN",),
        start="any",
        stops=("any", "plain"),
        moves=(("any", ("CHECKPOINT",), "any"),),
        declared={"plain": "plain"},
    ),
    _never(
        "one direction",
        "libxc",
        "A dirty page list goes back only, and TOOLSTACK nowhere.",
        "docs/specs/libxc-migration-stream.pandoc, CHECKPOINT_DIRTY_PFN_LIST and TOOLSTACK",
        ("LIBXC-DIRTY-FWD", "LIBXC-TOOLSTACK"),
        ("CHECKPOINT_DIRTY_PFN_LIST", "TOOLSTACK"),
    ),
)


def _owed(name: str, layer: str, closing: str) -> Machine:
    """A stream that is declared checkpointed has at least one whole checkpoint before its END."""
    return Machine(
        name,
        layer,
        "A stream that is declared checkpointed has a checkpoint before END.",
        _LIBXC_SOURCE,
        ("CKPT-CKPT-REC",),
        start="met",
        stops=("met",),
        moves=(("owed", (closing,), "met"), ("met", (closing, "END"), "met")),
        declared={"remus": "owed", "colo": "owed"},
    )


# Of an image that is in no libxl stream.
BARE_MACHINES = (_owed("checkpointed image", "libxc", "CHECKPOINT"),)

CHECKPOINTS = Machine(
    "checkpoints",
    "libxl",
    "The layers take turns: libxl hands over to libxc, and libxc back at END and at each CHECKPOINT.",
    _LIBXL_SOURCE,
    ("LIBXL-LIBXC-ONCE", "LIBXL-LIBXC-BEFORE-EMU", "CKPT-CKPT-REC", "LIBXL-CKPTEND-CTX", "LIBXL-CKPTSTATE-CTX"),
    start="beginning",
    stops=("between", "ended"),
    moves=(
        ("beginning", ("LIBXC_CONTEXT",), "image"),
        ("image", (f"libxc.{ANY}",), "image"),
        ("image", ("libxc.CHECKPOINT",), "tail"),
        ("image", ("libxc.END",), "closing"),
        ("tail", EMULATOR, "tail"),
        ("tail", ("CHECKPOINT_END",), "between"),
        ("between", (f"libxc.{ANY}",), "image"),
        ("between", ("libxc.CHECKPOINT",), "tail"),
        ("between", ("libxc.END",), "closing"),
        ("between", ("CHECKPOINT_STATE",), "announced"),
        ("announced", (f"libxc.{ANY}",), "image"),
        ("announced", ("libxc.CHECKPOINT",), "tail"),
        ("announced", ("libxc.END",), "closing"),
        ("closing", EMULATOR, "closing"),
        ("closing", ("END",), "ended"),
    ),
    turns={
        "beginning": "libxl",
        "image": "libxc",
        "tail": "libxl",
        "between": EITHER,
        "announced": EITHER,
        "closing": "libxl",
        "ended": "",
    },
)
COLO = Machine(
    "COLO",
    "libxl",
    "COLO announces all checkpoints but the first, by CHECKPOINT_STATE NEW, Remus none: the second shows which it is.",
    COLO_SOURCE,
    ("LIBXL-CKPTSTATE-CTX", "LIBXL-CKPTSTATE-ID"),
    start="undecided",
    stops=("undecided", "first", "remus", "colo", "due"),
    moves=(
        ("undecided", (f"libxc.{ANY}", "libxc.END"), "undecided"),
        ("undecided", ("CHECKPOINT_END",), "first"),
        ("first", ("CHECKPOINT_STATE",), "colo"),
        ("first", (f"libxc.{ANY}",), "remus"),
        ("first", ("libxc.END",), "undecided"),
        ("remus", (f"libxc.{ANY}", "libxc.END", "CHECKPOINT_END"), "remus"),
        ("colo", (f"libxc.{ANY}", "libxc.END"), "colo"),
        ("colo", ("CHECKPOINT_END",), "due"),
        ("due", ("CHECKPOINT_STATE", "libxc.END"), "colo"),
    ),
    declared={"remus": "remus", "colo": "colo"},
)
LIBXL_MACHINES = (
    CHECKPOINTS,
    _owed("checkpointed stream", "libxl", "CHECKPOINT_END"),
    COLO,
    _never(
        "no COLO",
        "libxl",
        "COLO is for HVM guests.",
        "tools/libs/light/libxl_create.c; tools/libs/light/libxl_colo_save.c",
        ("COLO-HVM",),
        ("CHECKPOINT_STATE",),
        guests=("pv",),
    ),
    Machine(
        "emulator",
        "libxl",
        "Each checkpoint has at most one EMULATOR_CONTEXT, and each of COLO has it.",
        "docs/specs/libxl-migration-stream.pandoc, EMULATOR_CONTEXT; tools/libs/light/libxl_stream_write.c",
        ("LIBXL-EMU-CTX",),
        start="none",
        stops=("none", "given", "owed", "sent"),
        moves=(
            ("none", ("CHECKPOINT_END",), "none"),
            ("none", ("EMULATOR_CONTEXT",), "given"),
            ("none", ("CHECKPOINT_STATE",), "owed"),
            ("given", ("CHECKPOINT_END",), "none"),
            ("given", ("CHECKPOINT_STATE",), "sent"),
            ("owed", ("EMULATOR_CONTEXT",), "sent"),
            ("owed", ("CHECKPOINT_STATE",), "owed"),
            ("sent", ("CHECKPOINT_END",), "owed"),
            ("sent", ("CHECKPOINT_STATE",), "sent"),
        ),
        declared={"colo": "owed"},
        guests=("hvm",),
    ),
    _never(
        "no emulator",
        "libxl",
        "A PV guest has no device model.",
        _LIBXL_SOURCE,
        ("LIBXL-EMU-HVM-ONLY",),
        EMULATOR,
        guests=("pv",),
    ),
)

XAPI_MACHINES = (
    Machine(
        "xenops first",
        "xapi",
        "The XENOPS record comes first, and once.",
        _XAPI_SOURCE,
        ("XAPI-XENOPS-FIRST",),
        start="beginning",
        stops=("beginning", "begun"),
        moves=(
            ("beginning", ("XENOPS",), "begun"),
            ("begun", (*IMAGES, "DEMU", *AFTER_MEMORY), "begun"),
        ),
    ),
    Machine(
        "memory once",
        "xapi",
        "An image has the guest's memory once.",
        _XAPI_SOURCE,
        ("XAPI-MEMORY-ONCE",),
        start="missing",
        stops=("missing", "given"),
        moves=(("missing", IMAGES, "given"),),
    ),
    Machine(
        "devices",
        "xapi",
        "After the memory come firmware, TPM and emulator, in this order.",
        _XAPI_SOURCE,
        ("XAPI-ORDER", "XAPI-ONCE"),
        start="memory",
        stops=("memory", "firmware", "emulator"),
        moves=(
            ("memory", (*IMAGES, "DEMU"), "memory"),
            ("memory", ("VARSTORED",), "firmware"),
            ("memory", ("QEMU_TRAD",), "emulator"),
            ("firmware", TPM, "firmware"),
            ("firmware", ("QEMU_TRAD",), "emulator"),
        ),
    ),
    _never(
        "no devices",
        "xapi",
        "A PV guest has no firmware, TPM or emulator.",
        _XAPI_SOURCE,
        ("XAPI-HVM-ONLY",),
        AFTER_MEMORY,
        guests=("pv",),
    ),
)

# By the form that a stream is read as: all that its records have to fit into.
MACHINES = {
    "libxl": (*LIBXL_MACHINES, *LIBXC_MACHINES),
    "libxc": (*LIBXC_MACHINES, *BARE_MACHINES),
    "back-channel": (back_channel.MACHINE,),
    "xapi": XAPI_MACHINES,
}
# Those that the reader and the checks run on; of the others the order rules say what they forbid.
COMPILED = (IMAGE, CHECKPOINTS, COLO, back_channel.MACHINE)
# Records after which another checkpoint begins, or another layer's records.
CLOSING_PATHS = (
    *(f"libxc.{name}" for name in CLOSING),
    *(f"libxl.{name}" for name in ("LIBXC_CONTEXT", "CHECKPOINT_END", "CHECKPOINT_STATE", "END")),
)
