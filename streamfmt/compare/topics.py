"""What records are about, whatever form of stream has them: which are the same thing, and which of them say who it is.

A row here is needed only where two forms have the same thing in records of other names, or where a record is no state
of the guest.  All others are compared by their own names and fields.
"""

from __future__ import annotations

from .. import tables
from ..convert.parts import BASE64, BYTES, NAMED
from ..reader.registry import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record

PARAMS, CONTEXT, VCPU = "libxc.HVM_PARAMS", "libxc.HVM_CONTEXT", "libxc.X86_PV_VCPU_BASIC"
CPUID, MSRS, CONFIGURATION = "libxc.X86_CPUID_POLICY", "libxc.X86_MSR_POLICY", "configuration"
# The description of devices' layouts.
DESCRIPTION = NAMED["qemu.VMDESCRIPTION"][0]
# What records are called for people, by their paths; others by their own names.
HEADINGS = {
    PARAMS: "HVM parameters",
    CONTEXT: "HVM context",
    CPUID: "CPUID policy",
    MSRS: "MSR policy",
    VCPU: "vcpu context",
    "libxc.X86_PV_VCPU_EXTENDED": "vcpu extended context",
    "libxc.X86_PV_VCPU_XSAVE": "vcpu XSAVE area",
    "libxc.X86_PV_VCPU_MSRS": "vcpu MSRs",
    "libxc.SHARED_INFO": "shared info",
    "libxc.X86_TSC_INFO": "TSC",
    "libxc.X86_PV_INFO": "PV guest",
    "libxc.X86_PV_P2M_FRAMES": "P2M frames",
    "emulator": "device model",
    "qemu.SECTION_FULL": "devices",
}
VCPUS = frozenset(path for path, name in HEADINGS.items() if name.startswith("vcpu"))
# Records of legacy streams that are the same as those of libxc images, by the latters' paths.
_SAME = {
    "HVM_CONTEXT": CONTEXT,
    "VCPU": VCPU,
    "VCPU_EXT": "libxc.X86_PV_VCPU_EXTENDED",
    "VCPU_XSAVE": "libxc.X86_PV_VCPU_XSAVE",
    "SHARED_INFO": "libxc.SHARED_INFO",
    "TSC_INFO": "libxc.X86_TSC_INFO",
    "HVM_TAIL": PARAMS,
    **{tables.RECORDS[name][kind]: PARAMS for name, row in ROWS.items() if row.alias for kind in tables.LEGACY_PARAMS},
}
_LEGACY = tuple(name for name, row in ROWS.items() if row.alias)
# What each record is about, where that is not its own path.
TOPICS = {path: name for path, (name, _) in NAMED.items()}
TOPICS |= {f"{layer}.{name}": topic for layer in _LEGACY for name, topic in _SAME.items()}
# Records that say how a stream travels, or what the saver was doing, and nothing of the guest.
_TRAVEL = frozenset(
    (
        "libxc.CHECKPOINT_DIRTY_PFN_LIST",
        "libxl.CHECKPOINT_STATE",
        "qemu.COMMAND",
        "qemu.SECTION_FOOTER",
        *(f"{layer}.EXTENDED_INFO" for layer in _LEGACY),
        *(f"{layer}.VCPU_INFO" for layer in _LEGACY),
        *(f"{layer}.P2M_FRAME_LIST" for layer in _LEGACY),
    )
)
# Records of which all that come count, not the last alone.
ADDING = frozenset((PARAMS,))
# What is one state, which programs other than Xen know: of each record the bytes after its fixed fields.
STATES = frozenset(name for name, form in NAMED.values() if form in (BYTES, BASE64))
# Fields that say which of several things of a kind it is.
IDENTITY = ("vcpu_id", "vcpu", "index", "idstr", "instance_id")
# Fields that only number what comes.
NUMBERING = ("section_id",)
# Bytes of a record in which these are.
IDENTITY_MOST = 512


def topic(record: Record) -> str:
    """What a record is about."""
    return TOPICS.get(record.path, record.path)


def is_state(record: Record) -> bool:
    """Whether a record says something of the guest: not one that only opens, ends or moves a stream."""
    row = record.layer.row
    if record.name in row.opening or record.path in _TRAVEL or row.text or not row.form:
        return False
    return bool(record.length) and record.name != row.end and record.path != row.closes


def heading(about: str) -> str:
    """What things are called that are about that."""
    return HEADINGS.get(about) or about.rpartition(".")[2]


def in_base64(path: str) -> bool:
    """Whether a record has its state in base64."""
    return NAMED.get(path, ("", ""))[1] == BASE64


def can_carry(layers: frozenset[str], about: str) -> bool:
    """Whether a stream of these layers has a place for what that is."""
    if about.partition(".")[0] in layers:
        return True
    return any(path.partition(".")[0] in layers for path, other in TOPICS.items() if other == about)
