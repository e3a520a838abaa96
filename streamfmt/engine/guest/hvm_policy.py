"""What the processor is to a guest, as an image's records say it before memory: CPUID leaves and MSRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ...codec import decode
from ...codec.payload import ORDER
from ...errors import GuestError, LayoutError
from ...writer.part import Part, record
from . import kvm_api as api

# A leaf that has no subleaves (docs/specs/libxc-migration-stream.pandoc, X86_CPUID_POLICY).
_NONE = 0xFFFFFFFF
# The last leaf of each kind that all releases take (xen/include/xen/lib/x86/cpuid.h of 4.14, CPUID_GUEST_NR_*), and the
# last subleaf where there are some; all others are of none.  Xen refuses a policy with more.  Leaves of the hypervisor
# are not among them: the one that takes the guest over has its own.
_LAST = {0: 0xD, 0x80000000: 0x8000001C}
_LAST_SUBLEAF = {4: 5, 7: 0, 0xB: 1, 0xD: 62}
# Leaves whose eax says which leaf, or subleaf, is the last.
_SAYS_LAST = {**_LAST, 7: _LAST_SUBLEAF[7]}
# What says which processor of the host it is: leaf, and which of eax, ebx, ecx and edx keeps which bits.
_OWN = {1: (1, 0x00FFFFFF), 0xB: (3, 0)}
_SIGNIFICANT = 1  # KVM_CPUID_FLAG_SIGNIFCANT_INDEX
# The MSRs of the policy: platform information, and which attacks the processor resists.
MSRS = (0xCE, 0x10A)
_VENDOR = ("ebx", "edx", "ecx")


def records(cpuid: bytes, msrs: Mapping[int, int]) -> list[Part]:
    """Both policies of a vcpu that has this CPUID, as KVM_SET_CPUID2 takes it, and these MSRs."""
    rows = [{"index": index, "value": msrs.get(index, 0)} for index in MSRS]
    leaves = sorted(_leaves(cpuid), key=lambda row: (row["leaf"], row["subleaf"]))
    return [record("libxc.X86_CPUID_POLICY", leaves=leaves), record("libxc.X86_MSR_POLICY", msrs=rows)]


def plain() -> list[Part]:
    """Those of a processor of this host's vendor that has no features."""
    name = next((line.split()[-1] for line in _said() if line.startswith("vendor_id")), "GenuineIntel").encode()
    words = (int.from_bytes(name[at : at + 4], "little") for at in range(0, 12, 4))
    values = dict(zip(_VENDOR, words, strict=True))
    leaf = api.CPUID_ENTRY.pack(0, 0, 0, 1, values["ebx"], values["ecx"], values["edx"])
    return records(api.CPUID.pack(2, 0) + leaf + api.CPUID_ENTRY.pack(1, 0, 0, 0, 0, 0, 0), {})


def _said() -> list[str]:
    """What the kernel says of processors, line by line; nothing where it does not."""
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def _leaves(cpuid: bytes) -> Iterator[dict[str, int]]:
    """The leaves that a policy may have."""
    for leaf, index, flags, *registers in api.CPUID_ENTRY.iter_unpack(cpuid[api.CPUID.size :]):
        subleaf = index if flags & _SIGNIFICANT else _NONE
        most = _LAST_SUBLEAF.get(leaf, -1)
        fits = subleaf == _NONE if most < 0 else subleaf <= most
        if not (fits and any(first <= leaf <= last for first, last in _LAST.items())):
            continue
        if leaf in _OWN:
            which, kept = _OWN[leaf]
            registers[which] &= kept
        if leaf in _SAYS_LAST and subleaf in {0, _NONE}:
            registers[0] = min(registers[0], _SAYS_LAST[leaf])
        yield {
            "leaf": leaf,
            "subleaf": subleaf,
            **dict(zip(("eax", "ebx", "ecx", "edx"), registers, strict=True)),
        }


def judge(found: Iterable[tuple[str, bytes]], cpuid: bytes) -> None:
    """Refuse a guest of another vendor's processor, as Xen does since 4.22; without a policy there is nothing to say.

    :raises GuestError: it is one.
    """
    for name, body in found:
        if name == "X86_CPUID_POLICY":
            try:
                rows = decode.whole(decode.layouts()["libxc.X86_CPUID_POLICY"], bytes(body), ORDER)["leaves"]
            except LayoutError as error:
                raise GuestError(f"the CPUID policy cannot be read: {error}") from None
            there, here = _vendor(rows), _vendor(_leaves(cpuid))
            if there and here and there != here:
                raise GuestError(f"the guest's processor is one of {there!r}, and this host's one of {here!r}")


def _vendor(leaves: Iterable[Mapping[str, int]]) -> str:
    """The name in leaf 0; empty if there is none."""
    for row in leaves:
        if not row["leaf"]:
            name = b"".join(row[register].to_bytes(4, "little") for register in _VENDOR)
            return name.decode("latin-1").strip("\0")
    return ""
