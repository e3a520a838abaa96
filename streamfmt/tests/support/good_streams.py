"""The corpus's good streams by name, and parts of them that tests put elsewhere."""

from __future__ import annotations

from ...corpus import entries
from ...schema import xl_migrate
from ...writer import Draft, Part, raw, record

GOOD: dict[str, Draft] = {entry.name: entry.recipe.stream for entry in entries.collection(entries.BASES)}

HVM, HVM_V2, PV, PV32 = (GOOD[name] for name in ("hvm", "hvm-v2", "pv", "pv-32"))
REMUS_HVM, LIBXL_HVM = GOOD["remus-hvm"], GOOD["libxl-hvm"]
LIBXL_REMUS, LIBXL_COLO, BACK = GOOD["libxl-remus-hvm"], GOOD["libxl-colo"], GOOD["back-channel"]
XL_HVM, LIBVIRT_HVM, MIGRATION = GOOD["xl-hvm"], GOOD["libvirt-hvm"], GOOD["migration"]
XAPI_HVM, XAPI_UEFI, XAPI_PV, XAPI_HTTP = (GOOD[f"xapi-{name}"] for name in ("hvm", "uefi", "pv", "http"))
# What the sender says, as its side alone is captured.
SENDER = XL_HVM.then(raw(xl_migrate.GO))

CPUID = HVM.part("libxc.X86_CPUID_POLICY")
MSR = HVM.part("libxc.X86_MSR_POLICY")
SDE = HVM.part("libxc.STATIC_DATA_END")
TSC = HVM.part("libxc.X86_TSC_INFO")
END = HVM.part("libxc.END")
CHECKPOINT = REMUS_HVM.part("libxc.CHECKPOINT")
VERIFY = record("libxc.VERIFY")
XENSTORE = LIBXL_HVM.part("libxl.EMULATOR_XENSTORE_DATA")
EMULATOR = LIBXL_HVM.part("libxl.EMULATOR_CONTEXT")
VARSTORED, SWTPM, QEMU_TRAD = (XAPI_UEFI.part(f"xapi.{name}") for name in ("VARSTORED", "SWTPM", "QEMU_TRAD"))
HTTP_HEAD = XAPI_HTTP.part("http.HEAD").body("<")
# The last frame of the PV guests, a hole.
PV_LAST = 3
_ENTRIES = HVM.part("libxc.HVM_CONTEXT").values["context"]
HVM_HEADER_ENTRY, HVM_END_ENTRY = (
    (entry["typecode"], entry["instance"], entry["data"]) for entry in (_ENTRIES[0], _ENTRIES[-1])
)


def wrapped(image: Draft, *tail: Part) -> Draft:
    """The image inside a libxl stream that ends with `tail` and END."""
    return Draft((*LIBXL_HVM.parts[:2], *image, *tail, LIBXL_HVM.parts[-1]))
