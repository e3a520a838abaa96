"""Interfaces of VFIO by which a device gives its state and takes it: registers, states, arcs; marks in QEMU's stream.

Three generations, none of which speaks with another: the proposal of February 2019, with regions for everything; v1 of
Linux 5.8 and QEMU 5.2 to 7.2, with one region; v2 of Linux 5.18 and QEMU 8.0 on, with states and a descriptor.

Structures in regions have the host's byte order and the alignment of a 64-bit ABI; marks are big-endian.

Sources: the series "VFIO live migration" on the QEMU list, February 2019; Linux include/uapi/linux/vfio.h of 5.8 and of
6.x; QEMU hw/vfio/migration.c of 5.2 to 10.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

# Whose reads and writes a register is for.
READ, WRITE, BOTH = "read", "write", "read and write"


@dataclass(frozen=True, slots=True)
class Register:
    """A field of a structure in a region: where it is, and how many bytes it has."""

    name: str
    offset: int
    size: int
    access: str
    doc: str


# -- the proposal of 2019 ----------------------------------------------------------------------------------------------

PROPOSAL_SOURCE = "QEMU list, VFIO live migration, February 2019, 0/5; include/uapi/linux/vfio.h of its kernel series"
PROPOSAL_VERSION = 1
# VFIO_REGION_TYPE_DEVICE_STATE, and what its regions are, by subtype.
REGION_TYPE = 1 << 1
CTL, CONFIG, MEMORY, BITMAP = 1, 2, 3, 4
REGIONS = {
    CTL: ("CTL", "the control structure; by calls alone, never mapped"),
    CONFIG: ("DATA_CONFIG", "the device's configuration, whole"),
    MEMORY: ("DATA_MEMORY", "a chunk of the device's memory; there if the capability DEVICE_MEMORY is"),
    BITMAP: ("DATA_DIRTYBITMAP", "which pages the device wrote; there if the capability SYSTEM_MEMORY is"),
}
GET_BUFFER, SET_BUFFER = 1, 2
DEVICE_MEMORY, SYSTEM_MEMORY = 1, 2
CONTROL = (
    Register("version", 0, 4, READ, f"{PROPOSAL_VERSION}."),
    Register("device_state", 4, 4, WRITE, "The state that the device has to be in."),
    Register("caps", 8, 4, READ, f"{DEVICE_MEMORY} DEVICE_MEMORY, {SYSTEM_MEMORY} SYSTEM_MEMORY."),
    Register("device_config.action", 16, 4, WRITE, f"{GET_BUFFER} fills the region, {SET_BUFFER} takes it."),
    Register("device_config.size", 24, 8, BOTH, "Bytes of the configuration, no more than its region has."),
    Register("device_memory.action", 32, 4, WRITE, f"{GET_BUFFER} fills the region, {SET_BUFFER} takes it."),
    Register("device_memory.size", 40, 8, BOTH, "Bytes in all; to read it has the driver take a snapshot."),
    Register("device_memory.pos", 48, 8, WRITE, "Where the chunk is in those: 0, or a multiple of the region's size."),
    Register("system_memory.start_addr", 56, 8, WRITE, "Address of the first page that is asked about."),
    Register("system_memory.page_nr", 64, 8, WRITE, "Number of pages that are."),
)
CONTROL_SIZE = 72
# Device states are sums of bits, and RUNNING is none.
STOP, LOGGING = 1, 2
PROPOSAL_STATES = {
    "RUNNING": (0, "runs; all memory is what is got"),
    "RUNNING+LOGGING": (LOGGING, "runs; what was written since is what is got"),
    "STOP+LOGGING": (STOP | LOGGING, "does not run; what was written since is what is got"),
    "STOP": (STOP, "does not run; all memory is what is got"),
}
# The series says that each may follow each.
PROPOSAL_ARCS = {name: tuple(other for other in PROPOSAL_STATES if other != name) for name in PROPOSAL_STATES}
PROPOSAL_SAVES = ("RUNNING", "RUNNING+LOGGING", "STOP+LOGGING", "STOP")
PROPOSAL_LOADS = ("RUNNING", "STOP", "RUNNING")
# What its stream has: one octet before each item, and a bit in it if another follows in the section.
FLAG_SETUP, FLAG_PCI, FLAG_CONFIG, FLAG_MEMORY, FLAG_CONTINUE = 0, 1, 2, 4, 8
FLAGS = {
    FLAG_SETUP: ("SETUP", "nothing follows"),
    FLAG_PCI: ("PCI", "six base addresses, the address of messages, of 64 bits if the device has such, and their data"),
    FLAG_CONFIG: ("DEVCONFIG", "a length of 64 bits, and the configuration"),
    FLAG_MEMORY: ("DEVMEMORY", "a length of 64 bits, and memory"),
}
# Bytes of PCI there: what is always, and the high half of a message's address, before the last four.
PROPOSAL_PCI = (6 * 4 + 4 + 4, 4)

# -- v1 ----------------------------------------------------------------------------------------------------------------

V1_SOURCE = "Linux include/uapi/linux/vfio.h of 5.8, struct vfio_device_migration_info"
# VFIO_REGION_TYPE_MIGRATION and its one subtype.
V1_REGION_TYPE, V1_SUBTYPE = 3, 1
V1 = (
    Register("device_state", 0, 4, BOTH, "Bits of the state; what is not named there stays as it is read."),
    Register("reserved", 4, 4, READ, "0."),
    Register("pending_bytes", 8, 8, READ, "Bytes that are left to save; to read it takes the buffer before as read."),
    Register("data_offset", 16, 8, READ, "Where in the region the buffer is; never 0."),
    Register("data_size", 24, 8, BOTH, "Bytes in the buffer."),
)
V1_SIZE = 32
V1_RUNNING, V1_SAVING, V1_RESUMING = 1, 2, 4
V1_BITS = V1_RUNNING | V1_SAVING | V1_RESUMING
V1_ERROR = V1_SAVING | V1_RESUMING
V1_STATES = {
    "STOPPED": (0, "does not run"),
    "RUNNING": (V1_RUNNING, "runs"),
    "STOP-AND-COPY": (V1_SAVING, "does not run, and gives what is left"),
    "PRE-COPY": (V1_SAVING | V1_RUNNING, "runs, and gives its state"),
    "RESUMING": (V1_RESUMING, "takes its state"),
    "ERROR": (V1_ERROR, "is of no use until it is reset"),
}
V1_ARCS = {
    "STOPPED": ("RUNNING", "RESUMING"),
    "RUNNING": ("STOPPED", "STOP-AND-COPY", "PRE-COPY", "RESUMING"),
    "STOP-AND-COPY": ("STOPPED", "RUNNING"),
    "PRE-COPY": ("STOP-AND-COPY", "RUNNING"),
    "RESUMING": ("RUNNING",),
    "ERROR": (),
}
V1_SAVES = ("RUNNING", "PRE-COPY", "STOP-AND-COPY", "STOPPED")
# What came is looked at before the guest is taken over, which v1 has no way to ask for but to run, and then stop.
V1_LOADS = ("RUNNING", "RESUMING", "RUNNING", "STOPPED", "RUNNING")

# -- v2 ----------------------------------------------------------------------------------------------------------------

V2_SOURCE = "Linux include/uapi/linux/vfio.h of 5.18 and later, enum vfio_device_mig_state"
# Flags of the feature MIGRATION.
CAN_STOP_COPY, CAN_P2P, CAN_PRE_COPY = 1, 2, 4
# Numbers of features, and bits beside them.
GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
FEATURES = {
    "MIGRATION": 1,
    "MIG_DEVICE_STATE": 2,
    "DMA_LOGGING_START": 6,
    "DMA_LOGGING_STOP": 7,
    "DMA_LOGGING_REPORT": 8,
    "MIG_DATA_SIZE": 9,
    # Opts in to REINIT, a flag of what pre-copy has left that says that there are new first data.
    "MIG_PRECOPY_INFO_V2": 12,
}
V2_STATES = {
    "ERROR": (0, "is of no use until it is reset"),
    "STOP": (1, "does not run"),
    "RUNNING": (2, "runs"),
    "STOP_COPY": (3, "does not run, and gives its state, or what is left of it"),
    "RESUMING": (4, "takes its state"),
    "RUNNING_P2P": (5, "runs, and begins no DMA to other devices"),
    "PRE_COPY": (6, "runs, and gives its state"),
    "PRE_COPY_P2P": (7, "gives its state, and begins no DMA to other devices"),
}
# What a state needs of a device's flags.
V2_NEEDS = {
    "STOP_COPY": CAN_STOP_COPY,
    "RESUMING": CAN_STOP_COPY,
    "RUNNING_P2P": CAN_P2P,
    "PRE_COPY": CAN_PRE_COPY,
    "PRE_COPY_P2P": CAN_PRE_COPY | CAN_P2P,
}
# What an arc does to the session of data.
OPENS, CLOSES, KEEPS = "opens", "closes", "keeps"
# Arcs that a driver has; all others are ways along these.
V2_ARCS: Mapping[tuple[str, str], str] = {
    ("STOP", "RUNNING_P2P"): KEEPS,
    ("STOP", "STOP_COPY"): OPENS,
    ("STOP", "RESUMING"): OPENS,
    ("RUNNING", "RUNNING_P2P"): KEEPS,
    ("RUNNING", "PRE_COPY"): OPENS,
    ("STOP_COPY", "STOP"): CLOSES,
    ("RESUMING", "STOP"): CLOSES,
    ("RUNNING_P2P", "STOP"): KEEPS,
    ("RUNNING_P2P", "RUNNING"): KEEPS,
    ("RUNNING_P2P", "PRE_COPY_P2P"): OPENS,
    ("PRE_COPY", "RUNNING"): CLOSES,
    ("PRE_COPY", "PRE_COPY_P2P"): KEEPS,
    ("PRE_COPY_P2P", "RUNNING_P2P"): CLOSES,
    ("PRE_COPY_P2P", "PRE_COPY"): KEEPS,
    ("PRE_COPY_P2P", "STOP_COPY"): KEEPS,
}
# States in which a session of data is saved: no way leads through one, unless it begins and ends with others of them.
# A state that a device does not have is left out of its ways, as if it were the next.
V2_SAVING = ("STOP_COPY", "PRE_COPY", "PRE_COPY_P2P")
# Ways that there are not, whatever the arcs say: a session that has ended its pre-copy does not go back to it.
V2_REFUSED = (("STOP_COPY", "PRE_COPY"), ("STOP_COPY", "PRE_COPY_P2P"))
# With all features; what a device lacks is left out.
V2_SAVES = ("RUNNING", "PRE_COPY", "PRE_COPY_P2P", "STOP_COPY", "STOP")
V2_LOADS = ("RUNNING", "RESUMING", "STOP", "RUNNING_P2P", "RUNNING")
# All that a device can do.
V2_ALL = CAN_STOP_COPY | CAN_P2P | CAN_PRE_COPY


def has(state: str, flags: int) -> bool:
    """Whether a device of these flags has such a state."""
    need = V2_NEEDS.get(state, 0)
    return flags & need == need


@cache
def way(before: str, after: str, flags: int = V2_ALL) -> tuple[tuple[str, str], ...] | None:
    """The states that a device goes through from one to another, each with what becomes of the session of data.

    None if there is no such way; it has no steps from a state to itself.
    """
    if not (has(before, flags) and has(after, flags)) or (before, after) in V2_REFUSED:
        return None
    saving = V2_SAVING
    inside = before in saving and after in saving
    ways: deque[tuple[str, ...]] = deque([(before,)])
    seen = {before}
    while ways:
        states = ways.popleft()
        if states[-1] == after:
            return _steps(states, flags)
        if len(states) > 1 and states[-1] in saving and not inside:
            continue
        for first, then in V2_ARCS:
            if first == states[-1] and then not in seen:
                seen |= {then} if then not in saving or then == after or inside else set()
                ways.append((*states, then))
    return None


def _steps(states: tuple[str, ...], flags: int) -> tuple[tuple[str, str], ...]:
    """The arcs of a way, without states that the device does not have."""
    steps: list[tuple[str, str]] = []
    effect = KEEPS
    for first, then in pairwise(states):
        found = V2_ARCS[first, then]
        effect = found if found != KEEPS else effect
        if has(then, flags):
            steps.append((then, effect))
            effect = KEEPS
    return tuple(steps)


# -- marks in QEMU's stream --------------------------------------------------------------------------------------------

MARKS_SOURCE = "QEMU hw/vfio/migration.c, VFIO_MIG_FLAG_*"
MARK = 0xFFFFFFFF_EF100000
MARK_SIZE = 8
END_OF_STATE, DEV_CONFIG, DEV_SETUP, DEV_DATA, INIT_DATA_SENT, CONFIG_READY = range(MARK | 1, (MARK | 6) + 1)
MARKS = {
    END_OF_STATE: ("END_OF_STATE", "5.2", "ends what the section has"),
    DEV_CONFIG: ("DEV_CONFIG_STATE", "5.2", "the PCI configuration follows, then END_OF_STATE"),
    DEV_SETUP: ("DEV_SETUP_STATE", "5.2", "END_OF_STATE follows"),
    DEV_DATA: ("DEV_DATA_STATE", "5.2", "a length of 64 bits and as many octets of the device's own follow"),
    INIT_DATA_SENT: ("DEV_INIT_DATA_SENT", "8.1", "ends what the section has: the first data have gone"),
    CONFIG_READY: ("DEV_CONFIG_LOAD_READY", "10.1", "ends what the section has: the configuration may be loaded"),
}
# Most of a device's data that one mark is followed by, of v2.
BUFFER_MAX = 1 << 20
# The name of such a section, after the device's place and a slash, or alone; and its version, of v1 and v2 alike.
SECTION, SECTION_VERSION = b"vfio", 1
# Version of what device packets of multifd have inside, a flag of the last of them, and a number that none has.
PACKET_VERSION, PACKET_CONFIG, PACKET_NONE = 0, 1, 0xFFFFFFFF
PACKET_SIZE = 12
# PCI configuration: version (0 to 2), bytes of it, and of PCI Express; interrupts; capabilities, of which MSI-X says
# how many vectors there are, of so many bytes each.
PCI_VERSIONS, PCI_SIZE, PCIE_SIZE, PCI_INTERRUPTS = (0, 1, 2), 256, 4096, 4
PCI_CAPABILITIES, PCI_STATUS, PCI_STATUS_LIST, CAP_EXPRESS, CAP_MSIX, MSIX_ENTRY = 0x34, 6, 0x10, 0x10, 0x11, 16
