"""What a receiving host lacks of a guest's CPU policy: leaves, MSRs, and bits by their names."""

from __future__ import annotations

from struct import iter_unpack
from typing import NamedTuple

from ..codec.decode import layouts
from ..schema import features
from .leaves import leaf_bits, leaf_name, number_bits
from .topics import CPUID, MSRS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .leaves import Bits
    from .side import Side

FORMAT = "streamfmt-lacks-1"
REGISTERS = ("eax", "ebx", "ecx", "edx")
VENDOR = "LIBXC-POLICY-VENDOR"
# A leaf's or an MSR's record in a stream.
_LEAF, _MSR = "6I", "IIQ"
# Numbers of which a host must have as much as the guest has seen.
_AT_MOST = frozenset(
    ("max_leaf", "max_subleaf", "max_extended_leaf", "physical_address_bits", "linear_address_bits"),
)
# Bits that no host has to have (xen/arch/x86/cpu-policy.c).  Xen itself gives a guest these, whatever the processor
# has: that there is a hypervisor, an emulated APIC, what depends on the guest's own CR4, how its vcpus lie in packages,
# and an MSR that only describes the processor.
_GIVEN = frozenset(("hypervisor", "apic", "x2apic", "osxsave", "ospke", "htt", "cmp_legacy", "arch_caps"))
# Of these 1 means less, and Xen sets them for a guest that may move to a processor of which they are true.
_GIVEN |= {"rsba", "rrsba", "fdp_excp_only", "no_fpu_sel", "no_lmsl"}
# VERW may have to clear buffers: any processor has VERW, and one that need not be cleared loses nothing.
_GIVEN |= {"md_clear", "fb_clear", "rfds_clear"}
# Xen gives the first of these where the host has the second, whatever else the processor has.
_GIVEN_WITH = {"stibp": "ibrsb", "amd_stibp": "ibrs", "ibpb": "ibrsb", "rtm_always_abort": "rtm"}
# And this to every HVM guest, as it sees each CPUID of theirs.
_GIVEN_HVM = frozenset(("cpuid_faulting",))
# Leaves that are not the processor's, and those that describe it: caches, topology, its name.
_HYPERVISORS = range(0x40000000, 0x50000000)
_DESCRIBING = frozenset((2, 4, 0xB, 0x1F, *range(0x80000002, 0x80000007), 0x80000019, 0x8000001D, 0x8000001E))
# So many bits with names make a register one of features, whose other bits are features too.
_FEATURES = 4


class Policy:
    """A policy: registers by leaf and subleaf, values of MSRs by index.  `name` says which it is, if that is known."""

    __slots__ = ("leaves", "msrs", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.leaves: dict[tuple[int, int], tuple[int, ...]] = {}
        self.msrs: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self.leaves or self.msrs)

    @property
    def vendor(self) -> str:
        """Whose processor it is, "" if it does not say that."""
        row = self.leaves.get((0, features.NONE))
        name = b"".join(row[place].to_bytes(4, "little") for place in (1, 3, 2)) if row else b""
        return name.decode("latin-1") if any(name) else ""


class Lack(NamedTuple):
    """What a host has not: `names` of bits of a `register`, or of a number; in leaf `leaf`, or MSR `msr`.

    `guest` and `host` are the values, of the register, or with `limit` of the number; `clause` says who minds, if that
    is known.
    """

    where: str
    register: str
    names: tuple[str, ...]
    guest: int | str
    host: int | str | None
    leaf: int | None = None
    subleaf: int | None = None
    msr: int | None = None
    limit: bool = False
    clause: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The lack as plain values, as in spec/json/lacks.json."""
        found = self._asdict() | {"names": list(self.names)}
        if self.msr is not None:
            found |= {name: hex(value) for name in ("guest", "host") if isinstance(value := found[name], int)}
        return found


def of_side(side: Side) -> Policy:
    """The policy in a stream."""
    found = Policy()
    for about, code in ((CPUID, _LEAF), (MSRS, _MSR)):
        for part in side.items.get((about, ()), ()):
            (listed,) = layouts()[part.path].parts
            raw = side.bodies.read(part.at, part.size)
            rows = iter_unpack(part.order + code, raw[: len(raw) // listed.unit * listed.unit])
            for row in rows:
                if about == CPUID:
                    leaf, subleaf, *registers = row
                    found.leaves[leaf, subleaf] = tuple(registers)
                else:
                    index, _, value = row
                    found.msrs[index] = value
    return found


def lacks(guest: Policy, host: Policy, kind: str = "") -> Iterator[Lack]:
    """What the guest's policy has and the host's has not.

    :param kind: "pv" or "hvm", which guest it is, if that is known.
    """
    given = _given(host, kind)
    if guest.vendor and host.vendor and guest.vendor != host.vendor:
        yield Lack("vendor", "", (), guest.vendor, host.vendor, 0, features.NONE, clause=VENDOR)
    for (leaf, subleaf), registers in guest.leaves.items():
        there = host.leaves.get((leaf, subleaf))
        where = leaf_name(leaf, subleaf)
        foreign = leaf in _HYPERVISORS or leaf in _DESCRIBING
        if there is None and not foreign and any(registers) and not _known(leaf, subleaf):
            yield Lack(where, "", (), "there", None, leaf, subleaf)
            continue
        for name, mine, theirs in zip(REGISTERS, registers, there or (0,) * len(REGISTERS), strict=True):
            rows = leaf_bits(leaf, subleaf, name)
            if names := _bits(rows, mine & ~theirs, given):
                yield Lack(where, name, names, mine, theirs, leaf, subleaf)
            for number, shift, width in rows:
                one, other = mine >> shift & (1 << width) - 1, theirs >> shift & (1 << width) - 1
                if number in _AT_MOST and one > other:
                    yield Lack(where, name, (number,), one, other, leaf, subleaf, limit=True)
    for index, value in guest.msrs.items():
        known = number_bits(f"{MSRS}.msrs", index)
        missing = value & ~host.msrs.get(index, 0)
        names = _bits(known, missing, given) if known else tuple(f"bit {bit}" for bit in _places(missing))
        if names:
            where = f"MSR {index:#x} {features.MSR_NAMES.get(index, '')}".strip()
            yield Lack(where, "", names, value, host.msrs.get(index), msr=index)


def _given(host: Policy, kind: str) -> frozenset[str]:
    """Bits that this host need not have for a guest of this kind."""
    has = {
        row[0]
        for (leaf, subleaf), registers in host.leaves.items()
        for name, value in zip(REGISTERS, registers, strict=True)
        for row in leaf_bits(leaf, subleaf, name)
        if value >> row[1] & 1
    }
    found = _GIVEN | {name for name, other in _GIVEN_WITH.items() if other in has}
    return found | _GIVEN_HVM if kind == "hvm" else found


def _known(leaf: int, subleaf: int) -> bool:
    return any(leaf_bits(leaf, subleaf, name) for name in REGISTERS)


def _bits(rows: tuple[Bits, ...], missing: int, given: frozenset[str]) -> tuple[str, ...]:
    """Names of the bits that are missing, but for those that are given anyway.

    Without a name it is bit so-and-so, where bits are features.
    """
    flags = {shift: name for name, shift, width in rows if width == 1}
    numbers = sum((1 << width) - 1 << shift for _, shift, width in rows if width > 1)
    if len(flags) < _FEATURES:
        missing &= sum(1 << shift for shift in flags)
    names = (flags.get(bit, f"bit {bit}") for bit in _places(missing & ~numbers))
    return tuple(name for name in names if name not in given)


def _places(value: int) -> Iterator[int]:
    return (bit for bit in range(value.bit_length()) if value >> bit & 1)
