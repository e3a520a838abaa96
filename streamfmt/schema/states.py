"""Record order: which record may not come before, after or without which other.

The state of a layer is the set of record types it has seen; a rule looks at that set when one of its records
arrives.  The reader's generated tables hold the same rules as bit masks, the documentation lists them, and what may
come by them is drawn there from the machines of :mod:`.protocol`.  Source: libxc-migration-stream.pandoc, Layout;
libxl-migration-stream.pandoc, Layout; and what the C writers do (tools/libs/guest/xg_sr_save*.c,
tools/libs/light/libxl_stream_write.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from .libxc import VERSION_FIRST, VERSION_STATIC, VERSIONS


@dataclass(frozen=True, slots=True)
class OrderRule:
    """`clause` is broken when a record of `on` arrives and `seen` (or not `unseen`) has come before it.

    A rule with neither is broken by the record itself.  It sleeps while any of `unless` has come before.  `guests` and
    `versions` say for which images it holds.
    """

    clause: str
    on: tuple[str, ...]
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    guests: tuple[str, ...] = ("pv", "hvm")
    versions: tuple[int, ...] = VERSIONS

    @property
    def names(self) -> tuple[str, ...]:
        """All that it names: records, and states of other names."""
        return self.on + self.seen + self.unseen + self.unless

    def broken(self, name: str, seen: frozenset[str]) -> bool:
        """Whether record `name` breaks it after those."""
        if name not in self.on or not seen.isdisjoint(self.unless):
            return False
        return not seen.isdisjoint(self.seen) or not seen.issuperset(self.unseen) or not self.seen + self.unseen


VCPU = ("X86_PV_VCPU_BASIC", "X86_PV_VCPU_EXTENDED", "X86_PV_VCPU_XSAVE", "X86_PV_VCPU_MSRS")
POLICIES = ("X86_CPUID_POLICY", "X86_MSR_POLICY")
PAGES = ("PAGE_DATA", "VERIFY")
MEMORY = ("X86_PV_P2M_FRAMES", *PAGES)
# What belongs to one checkpoint and comes again in the next.
TAIL = ("X86_TSC_INFO", "SHARED_INFO", *VCPU, "HVM_CONTEXT", "HVM_PARAMS")
CLOSING = ("END", "CHECKPOINT")
# What every saver has sent when it ends a layer, by the guest: an END before that, among zeros, is doubted.
OWED: dict[str, dict[str | None, tuple[str, ...]]] = {
    "libxc": {
        None: ("X86_TSC_INFO",),
        "pv": ("X86_TSC_INFO", "SHARED_INFO", "X86_PV_VCPU_BASIC"),
        "hvm": ("X86_TSC_INFO", "HVM_CONTEXT", "HVM_PARAMS"),
    },
    "libxl": dict.fromkeys((None, "pv", "hvm"), ("LIBXC_CONTEXT",)),
}
STATIC = ("X86_PV_INFO", *POLICIES, "STATIC_DATA_END", "X86_PV_P2M_FRAMES")
# The state of an image in which nothing has come since the last CHECKPOINT.  An END there closes nothing that has to
# be whole: the savers of 4.6 put one when they gave up.
FRESH = "nothing since a checkpoint"


def seen_after(seen: frozenset[str], name: str) -> frozenset[str]:
    """What an image has seen, or a layer without checkpoints, after record `name` too."""
    if name == "CHECKPOINT":
        return seen.difference(TAIL) | {name, FRESH}
    return seen.difference(() if name == "END" else (FRESH,)) | {name}


def _each(clause: str, name: str, *guests: str) -> tuple[OrderRule, ...]:
    """The rules that record `name` is in each checkpoint, the last of which END closes."""
    return (
        OrderRule(clause, on=("END",), unseen=(name,), unless=(FRESH,), guests=guests),
        OrderRule(clause, on=("CHECKPOINT",), unseen=(name,), guests=guests),
    )


STATIC_ONCE = OrderRule("CKPT-STATIC-ONCE", on=STATIC, seen=("CHECKPOINT",))
LIBXC_RULES = (
    STATIC_ONCE,
    OrderRule("LIBXC-SDE-V2", on=("STATIC_DATA_END",), unless=("CHECKPOINT",), versions=(VERSION_FIRST,)),
    OrderRule("LIBXC-POLICY-V2", on=POLICIES, unless=("CHECKPOINT",), versions=(VERSION_FIRST,)),
    OrderRule(
        "LIBXC-SDE-ONCE",
        on=("STATIC_DATA_END",),
        seen=("STATIC_DATA_END",),
        unless=("CHECKPOINT",),
        versions=(VERSION_STATIC,),
    ),
    OrderRule(
        "LIBXC-SDE-PRESENT",
        on=(*MEMORY, *TAIL, *CLOSING),
        unseen=("STATIC_DATA_END",),
        unless=("CHECKPOINT",),
        versions=(VERSION_STATIC,),
    ),
    OrderRule(
        "LIBXC-POLICY-ORDER", on=POLICIES, seen=("STATIC_DATA_END",), unless=("CHECKPOINT",), versions=(VERSION_STATIC,)
    ),
    *(
        OrderRule("LIBXC-POLICY-PRESENT", on=("STATIC_DATA_END",), unseen=(name,), versions=(VERSION_STATIC,))
        for name in POLICIES
    ),
    OrderRule("LIBXC-PVINFO-ONCE", on=("X86_PV_INFO",), seen=("X86_PV_INFO",), unless=("CHECKPOINT",), guests=("pv",)),
    OrderRule(
        "LIBXC-PVINFO-FIRST",
        on=("X86_PV_P2M_FRAMES", "SHARED_INFO", *VCPU, "PAGE_DATA"),
        unseen=("X86_PV_INFO",),
        guests=("pv",),
    ),
    OrderRule(
        "LIBXC-PVINFO-FIRST",
        on=("X86_PV_INFO",),
        seen=("STATIC_DATA_END",),
        unless=("CHECKPOINT",),
        guests=("pv",),
        versions=(VERSION_STATIC,),
    ),
    OrderRule(
        "LIBXC-P2M-BEFORE-PAGES",
        on=("PAGE_DATA", *CLOSING),
        unseen=("X86_PV_P2M_FRAMES",),
        unless=(FRESH,),
        guests=("pv",),
    ),
    OrderRule(
        "LIBXC-P2M-REPEAT",
        on=("X86_PV_P2M_FRAMES",),
        seen=("X86_PV_P2M_FRAMES",),
        unless=("CHECKPOINT",),
        guests=("pv",),
    ),
    OrderRule("LIBXC-VERIFY-1", on=("CHECKPOINT",), seen=("VERIFY",)),
    OrderRule("LIBXC-VERIFY-1", on=("VERIFY",), seen=("CHECKPOINT",)),
    OrderRule("LIBXC-PAGE-PRESENT", on=CLOSING, unseen=("PAGE_DATA",), unless=(FRESH,), guests=("hvm",)),
    *_each("LIBXC-TSC-PRESENT", "X86_TSC_INFO", "pv", "hvm"),
    *_each("LIBXC-SHINFO-PRESENT", "SHARED_INFO", "pv"),
    *_each("LIBXC-HVMCTX-PRESENT", "HVM_CONTEXT", "hvm"),
    *_each("LIBXC-HVMPARAMS-PRESENT", "HVM_PARAMS", "hvm"),
    OrderRule("LIBXC-HVMPARAMS-ORDER", on=("HVM_PARAMS",), seen=("HVM_CONTEXT",), guests=("hvm",)),
)

# In the libxl layer CHECKPOINT stands for the libxc record of that name, after which libxl records follow.
EMULATOR = ("EMULATOR_XENSTORE_DATA", "EMULATOR_CONTEXT")
CHECKPOINT_OPEN = "CHECKPOINT"
# From CHECKPOINT_END until COLO announces the next checkpoint, or libxc has it, or the image, closed.
CHECKPOINT_CLOSED = "between checkpoints"
LIBXL_RULES = (
    OrderRule("LIBXL-LIBXC-ONCE", on=("LIBXC_CONTEXT",), seen=("LIBXC_CONTEXT",)),
    OrderRule("COLO-HVM", on=("CHECKPOINT_STATE",), guests=("pv",)),
    OrderRule("LIBXL-LIBXC-ONCE", on=("END",), unseen=("LIBXC_CONTEXT",)),
    OrderRule("LIBXL-LIBXC-BEFORE-EMU", on=EMULATOR, unseen=("LIBXC_CONTEXT",)),
    OrderRule("LIBXL-EMU-HVM-ONLY", on=EMULATOR, guests=("pv",)),
    OrderRule("LIBXL-EMU-CTX", on=("EMULATOR_CONTEXT",), seen=("EMULATOR_CONTEXT",), guests=("hvm",)),
    OrderRule("CKPT-CKPT-REC", on=("END",), seen=(CHECKPOINT_OPEN,)),
    OrderRule("LIBXL-CKPTEND-CTX", on=("CHECKPOINT_END",), unseen=(CHECKPOINT_OPEN,)),
    OrderRule("LIBXL-CKPTSTATE-CTX", on=("CHECKPOINT_STATE",), unseen=(CHECKPOINT_CLOSED,)),
)

# What the writer of a XAPI image puts in which place (xen-api ocaml/xenopsd/xc/domain.ml, suspend); readers take any.
TPM = ("SWTPM0", "SWTPM")
AFTER_MEMORY = ("VARSTORED", *TPM, "QEMU_TRAD")
IMAGES = ("LIBXC", "LIBXC_LEGACY")
XAPI_RULES = (
    OrderRule("XAPI-XENOPS-FIRST", on=(*IMAGES, "DEMU", *AFTER_MEMORY), unseen=("XENOPS",)),
    OrderRule("XAPI-XENOPS-FIRST", on=("XENOPS",), seen=("XENOPS",)),
    OrderRule("XAPI-MEMORY-ONCE", on=IMAGES, seen=IMAGES),
    OrderRule("XAPI-ORDER", on=(*IMAGES, "DEMU"), seen=AFTER_MEMORY),
    OrderRule("XAPI-ORDER", on=("VARSTORED",), seen=(*TPM, "QEMU_TRAD")),
    OrderRule("XAPI-ORDER", on=TPM, seen=("QEMU_TRAD",)),
    OrderRule("XAPI-ORDER", on=TPM, unseen=("VARSTORED",)),
    OrderRule("XAPI-ONCE", on=("VARSTORED",), seen=("VARSTORED",)),
    OrderRule("XAPI-ONCE", on=("QEMU_TRAD",), seen=("QEMU_TRAD",)),
    OrderRule("XAPI-HVM-ONLY", on=AFTER_MEMORY, guests=("pv",)),
)

# -- QEMU's streams -----------------------------------------------------------------------------------------------

QEMU_SECTIONS = ("SECTION_START", "SECTION_PART", "SECTION_END", "SECTION_FULL")
QEMU_RULES = (OrderRule("QEMU-CFG-ONCE", on=("CONFIGURATION",), seen=("CONFIGURATION", "COMMAND", *QEMU_SECTIONS)),)

# -- legacy streams -----------------------------------------------------------------------------------------------

LEGACY_PARAMS = (
    "HVM_IDENT_PT",
    "HVM_VM86_TSS",
    "HVM_CONSOLE_PFN",
    "HVM_ACPI_IOPORTS_LOCATION",
    "HVM_VIRIDIAN",
    "HVM_GENERATION_ID_ADDR",
    "HVM_PAGING_RING_PFN",
    "HVM_ACCESS_RING_PFN",
    "HVM_SHARING_RING_PFN",
    "HVM_IOREQ_SERVER_PFN",
    "HVM_NR_IOREQ_SERVER_PAGES",
)
# What comes once in a stream, however many checkpoints it has: none of it is written again (xc_domain_save.c).
LEGACY_ONCE = ("ENABLE_VERIFY_MODE", "TMEM", "TMEM_EXTRA", "TSC_INFO", "ENABLE_COMPRESSION")
LEGACY_RULES = (
    *(OrderRule("LEGACY-ONCE", on=(name,), seen=(name,)) for name in LEGACY_ONCE),
    OrderRule("LEGACY-TMEM-FIRST", on=("TMEM",), seen=("PAGE_BATCH",)),
    OrderRule("LEGACY-TMEM-EXTRA", on=("TMEM_EXTRA",), unseen=("TMEM",)),
    OrderRule("LEGACY-HVM-ONLY", on=LEGACY_PARAMS, guests=("pv",)),
    OrderRule("LEGACY-PAGES", on=("END_OF_BODY",), unseen=("PAGE_BATCH",)),
    OrderRule("LEGACY-VCPU-INFO", on=("END_OF_BODY",), unseen=("VCPU_INFO",)),
    OrderRule("LEGACY-COMPRESSED-ON", on=("COMPRESSED_DATA",), unseen=("ENABLE_COMPRESSION",)),
)
