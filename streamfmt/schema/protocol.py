"""What may come next: the machines of each layer, of checkpoints across the layers, and of COLO's back channel.

Each is about one subject, small enough to be drawn.  What the order rules of :mod:`.states` say of a subject is not
said again here: its machine is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .machine import ANY, EITHER, Machine, ruled
from .protocol_legacy import LEGACY_MACHINES
from .states import CLOSING, EMULATOR, LIBXC_RULES, LIBXL_RULES, POLICIES, QEMU_RULES, STATIC_ONCE, XAPI_RULES

_LIBXC_SOURCE = "docs/specs/libxc-migration-stream.pandoc, Layout; tools/libs/guest/xg_sr_save.c save"
_LIBXL_SOURCE = "docs/specs/libxl-migration-stream.pandoc, Layout; tools/libs/light/libxl_stream_read.c stream_continue"
_TAIL_SOURCE = "tools/libs/guest/xg_sr_save_x86_pv.c and xg_sr_save_x86_hvm.c, end_of_checkpoint"
_COLO_SOURCE = "tools/libs/light/libxl_colo_save.c; tools/libs/light/libxl_colo_restore.c"
_XAPI_SOURCE = "xen-api ocaml/xenopsd/xc/domain.ml, suspend"
_RULES = {"libxc": LIBXC_RULES, "libxl": LIBXL_RULES, "xapi": XAPI_RULES, "qemu": QEMU_RULES}


def _of_rules(name: str, doc: str, source: str, *clauses: str, once: tuple[str, ...] = (), end: str = "END") -> Machine:
    """The machine of a layer's order rules of these clauses; `once` are its records that no checkpoint repeats.

    A stream ends where `end` may come.
    """
    layer = next(layer for layer, rules in _RULES.items() if any(rule.clause in clauses for rule in rules))
    rules = [rule for rule in _RULES[layer] if rule.clause in clauses]
    return ruled(name, layer, doc, source, [*rules, *([replace(STATIC_ONCE, on=once)] if once else ())], end)


IMAGE = Machine(
    "image",
    "libxc",
    "An image ends with END, or simply stops after a checkpoint.",
    _LIBXC_SOURCE,
    ("LIBXC-REC-TRUNC", "CKPT-CUT"),
    start="records",
    stops=("between", "ended"),
    moves=tuple(
        (state, (name,), after)
        for state in ("records", "between")
        for name, after in ((ANY, "records"), ("CHECKPOINT", "between"), ("END", "ended"))
    ),
    turns={"records": "libxc", "between": "libxc", "ended": ""},
)


LIBXC_MACHINES = (
    IMAGE,
    _of_rules(
        "static data",
        "Static data comes first, up to STATIC_DATA_END, and once.",
        _LIBXC_SOURCE,
        "LIBXC-SDE-PRESENT",
        "LIBXC-SDE-ONCE",
        "LIBXC-POLICY-ORDER",
        once=(*POLICIES, "STATIC_DATA_END"),
    ),
    *(
        ruled(
            f"{name[4:].partition('_')[0]} policy",
            "libxc",
            f"Savers write {name} before STATIC_DATA_END.",
            "tools/libs/guest/xg_sr_common_x86.c write_x86_cpu_policy_records",
            [rule for rule in LIBXC_RULES if rule.clause == "LIBXC-POLICY-PRESENT" and name in rule.unseen],
        )
        for name in POLICIES
    ),
    _of_rules(
        "no static data",
        "Version 2 has no STATIC_DATA_END and no CPU policies.",
        _LIBXC_SOURCE,
        "LIBXC-SDE-V2",
        "LIBXC-POLICY-V2",
        once=(*POLICIES, "STATIC_DATA_END"),
    ),
    _of_rules(
        "width",
        "X86_PV_INFO comes once, before STATIC_DATA_END and all that depends on the guest's width.",
        "docs/specs/libxc-migration-stream.pandoc, X86_PV_INFO; tools/libs/guest/xg_sr_restore_x86_pv.c",
        "LIBXC-PVINFO-FIRST",
        "LIBXC-PVINFO-ONCE",
        once=("X86_PV_INFO",),
    ),
    _of_rules(
        "p2m list",
        "X86_PV_P2M_FRAMES comes once, before the pages.",
        "docs/specs/libxc-migration-stream.pandoc, X86_PV_P2M_FRAMES; tools/libs/guest/xg_sr_save_x86_pv.c",
        "LIBXC-P2M-BEFORE-PAGES",
        "LIBXC-P2M-REPEAT",
        once=("X86_PV_P2M_FRAMES",),
    ),
    _of_rules(
        "verify",
        "After VERIFY pages are compared, to the end of the image: no checkpoint can follow.",
        "docs/specs/libxc-migration-stream.pandoc, VERIFY; tools/libs/guest/xg_sr_restore.c process_page_data",
        "LIBXC-VERIFY-1",
    ),
    _of_rules(
        "pages",
        "An HVM guest has memory when its first checkpoint is closed.",
        "docs/specs/libxc-migration-stream.pandoc, Layout; tools/libs/guest/xg_sr_save.c send_all_pages",
        "LIBXC-PAGE-PRESENT",
    ),
    _of_rules(
        "time stamp counter",
        "Each checkpoint says how the guest's TSC stands.",
        _TAIL_SOURCE,
        "LIBXC-TSC-PRESENT",
    ),
    _of_rules(
        "HVM context",
        "Each checkpoint of an HVM guest has the state of its virtual hardware.",
        _TAIL_SOURCE,
        "LIBXC-HVMCTX-PRESENT",
    ),
    _of_rules(
        "shared info",
        "Each checkpoint of a PV guest has its shared info page.",
        _TAIL_SOURCE,
        "LIBXC-SHINFO-PRESENT",
    ),
    _of_rules(
        "parameters",
        "Each checkpoint of an HVM guest has its parameters.",
        _TAIL_SOURCE,
        "LIBXC-HVMPARAMS-PRESENT",
    ),
    _of_rules(
        "parameters first",
        "HVM_PARAMS comes before HVM_CONTEXT, says the specification; savers write them the other way round.",
        "docs/specs/libxc-migration-stream.pandoc, Layout; tools/libs/guest/xg_sr_save_x86_hvm.c",
        "LIBXC-HVMPARAMS-ORDER",
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
    Machine(
        "one direction",
        "libxc",
        "A dirty page list goes back only, and TOOLSTACK nowhere.",
        "docs/specs/libxc-migration-stream.pandoc, CHECKPOINT_DIRTY_PFN_LIST and TOOLSTACK",
        ("LIBXC-DIRTY-FWD", "LIBXC-TOOLSTACK"),
        never=("CHECKPOINT_DIRTY_PFN_LIST", "TOOLSTACK"),
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


def _image(state: str) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The moves of a state in which libxc's records may come."""
    for name, after in ((ANY, "image"), ("CHECKPOINT", "tail"), ("END", "closing")):
        yield state, (f"libxc.{name}",), after


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
        *_image("image"),
        ("tail", EMULATOR, "tail"),
        ("tail", ("CHECKPOINT_END",), "between"),
        *_image("between"),
        ("between", ("CHECKPOINT_STATE",), "announced"),
        *_image("announced"),
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
    _COLO_SOURCE,
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
    _of_rules(
        "no COLO",
        "COLO is for HVM guests.",
        "tools/libs/light/libxl_create.c; tools/libs/light/libxl_colo_save.c",
        "COLO-HVM",
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
    _of_rules("no emulator", "A PV guest has no device model.", _LIBXL_SOURCE, "LIBXL-EMU-HVM-ONLY"),
)

XAPI_MACHINES = (
    _of_rules("xenops first", "The XENOPS record comes first, and once.", _XAPI_SOURCE, "XAPI-XENOPS-FIRST"),
    _of_rules("memory once", "An image has the guest's memory once.", _XAPI_SOURCE, "XAPI-MEMORY-ONCE"),
    _of_rules(
        "devices",
        "After the memory come firmware, TPM and emulator, in this order.",
        _XAPI_SOURCE,
        "XAPI-ORDER",
        "XAPI-ONCE",
    ),
    _of_rules("no devices", "A PV guest has no firmware, TPM or emulator.", _XAPI_SOURCE, "XAPI-HVM-ONLY"),
)

QEMU_MACHINES = (
    _of_rules(
        "configuration",
        "The configuration comes once, before all sections and commands.",
        "QEMU migration/savevm.c, qemu_loadvm_state_header",
        "QEMU-CFG-ONCE",
        end="EOF",
    ),
)

# What a COLO secondary sends, over and over: CHECKPOINT_STATE, by its id, and libxc's list of dirty pages.  By the
# state of the machine after it.
BACK_RECORDS = {
    "ready": "CHECKPOINT_STATE SVM_READY",
    "resumed": "CHECKPOINT_STATE SVM_RESUMED",
    "suspended": "CHECKPOINT_STATE SVM_SUSPENDED",
    "listed": "libxc.CHECKPOINT_DIRTY_PFN_LIST",
}
_STATES = tuple(BACK_RECORDS)
# A recording begins anywhere, and may stop after any record.
BACK_CHANNEL = Machine(
    "back channel",
    "libxl",
    "The secondary's answers: its guest is suspended, its dirty pages, it is ready, its guest has resumed.",
    f"{_COLO_SOURCE}; tools/libs/guest/xg_sr_restore.c handle_checkpoint",
    ("LIBXL-CKPTSTATE-ID", "COLO-DIRTY-POS", "COLO-NEW-FWD", "LIBXL-BACK-TYPES"),
    start="anywhere",
    stops=("anywhere", *_STATES),
    moves=tuple(
        (before, (BACK_RECORDS[state],), state)
        for before, state in (
            *(("anywhere", state) for state in _STATES),
            *zip(_STATES, (*_STATES[1:], _STATES[0]), strict=True),
        )
    ),
    never=("CHECKPOINT_STATE NEW", ANY, f"libxc.{ANY}"),
)

# By the form that a stream is read as: all that its records have to fit into.
MACHINES = {
    "libxl": (*LIBXL_MACHINES, *LIBXC_MACHINES),
    "libxc": (*LIBXC_MACHINES, _owed("checkpointed image", "libxc", "CHECKPOINT")),
    LEGACY_MACHINES[0].layer: LEGACY_MACHINES,
    "back-channel": (BACK_CHANNEL,),
    "xapi": XAPI_MACHINES,
    "qemu": QEMU_MACHINES,
}
# Those that the reader and the checks run on; of the others the order rules say what they forbid.
COMPILED = (IMAGE, CHECKPOINTS, COLO, BACK_CHANNEL)
# Records after which another checkpoint begins, or another layer's records.
CLOSING_PATHS = (
    *(f"libxc.{name}" for name in CLOSING),
    *(f"libxl.{name}" for name in ("LIBXC_CONTEXT", "CHECKPOINT_END", "CHECKPOINT_STATE", "END")),
)
