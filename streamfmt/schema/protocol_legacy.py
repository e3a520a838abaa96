"""What may come next in a legacy stream: the machines of its layout, by guest, and of its order rules.

Of the layout nothing is a rule of order, as a reader goes by it: what has no number is known by its place alone.
"""

from __future__ import annotations

from .machine import ANY, Machine, ruled
from .states import LEGACY_RULES

# Either width stands for both: they differ in the size of words only.
_LAYER = "legacy-64"
_SAVE, _RESTORE = "tools/libxc/xc_domain_save.c", "tools/libxc/xc_domain_restore.c"
_END = "END_OF_BODY"
# Records with the length of the device model's state, and parts of transcendent memory.
_MODELS = ("QEMU_0002", "QEMU_REMUS", "QEMU_XAPI")
_POOLS = ("TMEM_POOL", "TMEM_PAGE_0", "TMEM_PAGE_1", "TMEM_POOL_END_0", "TMEM_POOL_END_1")
_GONE = ("TMEM_FLUSHED_0", "TMEM_FLUSHED_1")
_Moves = tuple[tuple[str, tuple[str, ...], str], ...]


def _body(before: str) -> _Moves:
    """The moves from a state in which a body begins or goes on."""
    return ((before, (ANY,), "body"), (before, (_END,), "tail"))


_LAYOUT_SOURCE = f"{_SAVE}, xc_domain_save; {_RESTORE}, buffer_tail"
# Which vcpus there are a chunk says, and extended info what there is of each.
PV = Machine(
    "PV layout",
    _LAYER,
    "What comes where in the stream of a PV guest, which may have another checkpoint after each tail.",
    _LAYOUT_SOURCE,
    ("LEGACY-TRUNC",),
    start="stream",
    stops=("between",),
    moves=(
        ("stream", ("EXTENDED_INFO",), "informed"),
        ("stream", ("P2M_FRAME_LIST",), "body"),
        ("informed", ("P2M_FRAME_LIST",), "body"),
        *_body("body"),
        ("tail", ("UNMAPPED",), "vcpus"),
        ("vcpus", ("VCPU",), "vcpu"),
        ("vcpu", ("VCPU",), "vcpu"),
        ("vcpu", ("VCPU_EXT",), "extended"),
        *((state, ("VCPU_XSAVE",), "saved") for state in ("vcpu", "extended")),
        *((state, ("VCPU",), "vcpu") for state in ("extended", "saved")),
        *((state, ("SHARED_INFO",), "between") for state in ("vcpu", "extended", "saved")),
        *_body("between"),
    ),
    guests=("pv",),
)
HVM = Machine(
    "HVM layout",
    _LAYER,
    "What comes where in the stream of an HVM guest; a device model's state without a length goes to the end.",
    f"{_LAYOUT_SOURCE}, buffer_qemu",
    ("LEGACY-TRUNC", "LEGACY-QEMU-PRESENT"),
    start="body",
    stops=("between", "state"),
    moves=(
        *_body("body"),
        ("tail", ("HVM_TAIL",), "special pages"),
        ("special pages", ("HVM_CONTEXT",), "devices"),
        ("devices", _MODELS, "between"),
        ("devices", ("QEMU_TO_END",), "state"),
        *_body("between"),
        ("state", ("QEMU_STATE",), "state"),
    ),
    guests=("hvm",),
)


POOLS = Machine(
    "pools",
    _LAYER,
    "Pools of transcendent memory and their pages follow the chunk TMEM, pages that are gone follow TMEM_EXTRA.",
    "tools/libxc/xc_tmem.c, xc_tmem_save and xc_tmem_save_extra",
    ("LEGACY-TRUNC",),
    start="chunks",
    stops=("chunks",),
    moves=(
        ("chunks", ("TMEM",), "pools"),
        ("pools", _POOLS, "pools"),
        ("pools", ("TMEM_END",), "chunks"),
        ("chunks", ("TMEM_EXTRA",), "pages gone"),
        ("pages gone", _GONE, "pages gone"),
        ("pages gone", ("TMEM_END",), "chunks"),
    ),
)


def _of(name: str, doc: str, source: str, *about: str) -> Machine:
    """The machine of the order rules that have these clauses, or are about these records."""
    rules = [rule for rule in LEGACY_RULES if rule.clause in about or set(rule.on) & set(about)]
    return ruled(name, _LAYER, doc, source, rules, _END)


LEGACY_MACHINES = (
    PV,
    HVM,
    POOLS,
    _of("memory", "A stream has pages before its first body ends.", f"{_SAVE}, xc_domain_save", "LEGACY-PAGES"),
    _of(
        "map of vcpus", "Since 3.1 each stream says which vcpus it has.", f"{_SAVE}, xc_domain_save", "LEGACY-VCPU-INFO"
    ),
    _of(
        "transcendent memory",
        "A guest's transcendent memory comes before its pages, and what is gone since then after it, each once.",
        "tools/libxc/xc_tmem.c, xc_tmem_save and xc_tmem_save_extra",
        "TMEM",
        "TMEM_EXTRA",
    ),
    _of("clock", "How the guest's TSC stands is said once.", f"{_SAVE}, save_tsc_info", "TSC_INFO"),
    _of("pages to compare", "Pages are sent to be compared once.", f"{_SAVE}, xc_domain_save", "ENABLE_VERIFY_MODE"),
    _of(
        "compressed pages",
        "Compression is announced once, before the first pages that are compressed.",
        f"{_SAVE}, xc_domain_save; {_RESTORE}, pagebuf_get_one",
        "ENABLE_COMPRESSION",
        "COMPRESSED_DATA",
    ),
    _of("no HVM parameters", "A PV guest has no HVM parameters.", f"{_SAVE}, xc_domain_save", "LEGACY-HVM-ONLY"),
)
