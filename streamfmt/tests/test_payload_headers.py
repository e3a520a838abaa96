"""Declarations of payloads against Xen's own headers: a C compiler says where each field lies, to the bit.

The headers are those of libxen-dev, of the release that a machine installs and of those that `make peers` unpacks.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from .. import tables
from ..conformance.peers import RELEASE, RELEASES
from ..payload_tables import FIELDS, LISTS
from ..schema import features, hvm, hvm_params, payloads
from ..schema.model import Block, Field, Item, Layout, Part

ROOT = Path(__file__).parents[2]
# Structures by what they are a payload of; names of fields that are others there, None for those that have none.
HVM = {
    "HEADER": "struct hvm_save_header",
    "CPU": "struct hvm_hw_cpu",
    "PIC": "struct hvm_hw_vpic",
    "IOAPIC": "struct hvm_hw_vioapic",
    "LAPIC": "struct hvm_hw_lapic",
    "PCI_IRQ": "struct hvm_hw_pci_irqs",
    "ISA_IRQ": "struct hvm_hw_isa_irqs",
    "PCI_LINK": "struct hvm_hw_pci_link",
    "PIT": "struct hvm_hw_pit",
    "RTC": "struct hvm_hw_rtc",
    "HPET": "struct hvm_hw_hpet",
    "PMTIMER": "struct hvm_hw_pmtimer",
    "MTRR": "struct hvm_hw_mtrr",
    "VIRIDIAN_DOMAIN": "struct hvm_viridian_domain_context",
    "VIRIDIAN_VCPU": "struct hvm_viridian_vcpu_context",
    "VMCE_VCPU": "struct hvm_vmce_vcpu",
    "TSC_ADJUST": "struct hvm_tsc_adjust",
    "CPU_XSAVE": "struct hvm_hw_cpu_xsave",
}
STRUCTS = {
    **{f"hvm.{name}": struct for name, struct in HVM.items()},
    "BASIC": "struct vcpu_guest_context",
    "EXTENDED": "struct xen_domctl_ext_vcpucontext",
}
NAMED: dict[str, dict[str, str | None]] = {
    "hvm.PIC": {r"(state|modes)\.": "", "unused": None},
    "hvm.CPU": {r"pending_event\.": "pending_", r"flags\.unknown": None, r"flags\.fpu_initialised": None},
    "hvm.IOAPIC": {r"reserved_1": "reserve", r"reserved_2": "reserved", r"\]\.": "].fields."},
    "hvm.PCI_IRQ": {"asserted": "pad"},
    "hvm.ISA_IRQ": {"asserted": "pad[0]"},
    "hvm.LAPIC": {"apic_base_msr.*": None, "^pad$": None},
    "hvm.HPET": {
        r"\.comparator": ".cmp",
        r"timers\[(\d)\]\.unused": r"timers[\1].res4",
        r"^periods": "period",
        "^unused_2": "res1",
        "^unused_3": "res2",
        "^unused_4": "res3",
        "^unused_5": "res5",
        "^unused$": "res0",
        "^status$": "isr",
        "^counter$": "mc64",
        r"^config\..*": None,
        r"\.config\..*": None,
    },
    "hvm.MTRR": {
        r"msr_mtrr_var\[(\d)\]\.base": r"msr_mtrr_var[\1 * 2]",
        r"msr_mtrr_(cap|def_type)\..*": None,
        r"msr_mtrr_var\[(\d)\]\.mask": r"msr_mtrr_var[\1 * 2 + 1]",
    },
    # The components behind are the processor's.
    "hvm.CPU_XSAVE": {
        r"^header\.": "save_area.xsave_hdr.",
        r"^(ymm|bnd|opmask|zmm|protection|amx|unused)": None,
    },
    "hvm.VIRIDIAN_VCPU": {r"stimer_config_msr\[(\d)\].*": None, "^pad$": "_pad"},
    "BASIC": {r"reserved.*|.*\.reserved.*": None},
    "EXTENDED": {r"^(caps|mci_ctl2_bank0|mci_ctl2_bank1|mcg_ext_ctl)$": r"vmce.\1", "^pad$": None},
    "SHARED_INFO": {
        r".*reserved.*|^rest$|.*\.pad\d.*": None,
        r"\.cr2": ".arch.cr2",
        r"\]\.upcall": "].evtchn_upcall",
        r"\]\.pending_sel": "].evtchn_pending_sel",
    },
    "START_INFO": {r"^(pad.*|rest)$": None, r"^console_": "console.domU.", r"^first_p2m_pfn$": "first_p2m_pfn"},
}
# Where each word of Xen's features lies: leaf, subleaf and register; MSRs have their index and half.
_NONE = features.NONE
WORDS = (
    *((1, _NONE, "edx"), (1, _NONE, "ecx"), (0x80000001, _NONE, "edx"), (0x80000001, _NONE, "ecx"), (0xD, 1, "eax")),
    *(
        (7, 0, "ebx"),
        (7, 0, "ecx"),
        (0x80000007, _NONE, "edx"),
        (0x80000008, _NONE, "ebx"),
        (7, 0, "edx"),
        (7, 1, "eax"),
    ),
    *((0x80000021, _NONE, "eax"), (7, 1, "ebx"), (7, 2, "edx"), (7, 1, "ecx"), (7, 1, "edx"), (0x10A, 0, "eax")),
    *((0x10A, 0, "edx"), (0x80000021, _NONE, "ecx")),
)
# Parts of fields that are bytes to Xen: only where the whole begins.
WHOLE = {"hvm.CPU": "fpu_regs", "BASIC": "fpu_ctxt", "hvm.CPU_XSAVE": "legacy"}
_CALLED = {"legacy": "save_area.fpu_sse"}


def headers(release: str) -> Path:
    """Where a release's headers are; without them the test is skipped, or fails if they are demanded."""
    root = Path("/") if release == RELEASE else ROOT / ".peers" / release / "root"
    found = root / "usr/include"
    if not (found / "xen/arch-x86/hvm/save.h").exists():
        message = f"no headers of Xen {release} at {found}: offsets are NOT held against them; `make peers` brings them"
        if release == RELEASE and os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def places(items: tuple[Item, ...], at: int, prefix: str = "") -> Iterator[tuple[str, int, Field]]:
    """Each field, where its block begins; of a list the first and the last element."""
    for item in items:
        if isinstance(item, Block):
            yield from ((f"{prefix}{row.path}", at, row) for row in item.fields)
            at += item.size
        else:
            assert isinstance(item, Part)
            assert item.extent is not None
            assert item.times
            for number in {0, item.times - 1} if item.element is not None else ():
                assert item.element is not None
                inner = places(item.element.items, at + number * item.unit, f"{prefix}{item.name}[{number}].")
                yield from ((path.rstrip("."), place, row) for path, place, row in inner)
            at += item.extent


def said(name: str, path: str) -> str | None:
    """The C expression for a field, None if it has no name there."""
    first = path.partition(".")[0]
    if first == WHOLE.get(name):
        return _CALLED.get(first, first) if path.endswith(".fcw") else None
    for pattern, word in NAMED.get(name, {}).items():
        if re.search(pattern, path):
            if word is None:
                return None
            path = re.sub(pattern, word, path)
    return path


def compiled(include: Path, text: str, tmp_path: Path, *options: str) -> str:
    """What a program prints."""
    source = tmp_path / "asked.c"
    heads = ("stdio.h", "string.h", "stdint.h", "xen/xen.h", "xen/hvm/save.h", "xen/domctl.h")
    source.write_text(
        "#define __XEN_TOOLS__\n"
        + "".join(f"#include <{head}>\n" for head in heads)
        + f"int main(void) {{\n{text}\nreturn 0; }}\n"
    )
    command = ["gcc", "-w", "-O0", "-I", str(include), *options, str(source), "-o", str(tmp_path / "asked")]
    subprocess.run(command, check=True)
    return subprocess.run([str(tmp_path / "asked")], check=True, capture_output=True, text=True).stdout


@cache
def layouts() -> dict[str, Layout]:
    return payloads.catalogue()


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_every_field_lies_where_the_compiler_puts_it(release: str, tmp_path: Path) -> None:
    """A field set to all ones makes just those bits of the structure ones that the declaration says."""
    include = headers(release)
    structs = {**STRUCTS, "SHARED_INFO": "struct shared_info", "START_INFO": "struct start_info"}
    sizes = compiled(include, "".join(f'printf("%zu\\n", sizeof({it}));' for it in structs.values()), tmp_path)
    lines: list[str] = []
    due: dict[str, tuple[int, int, Field | None]] = {}
    for (name, struct), size in zip(structs.items(), map(int, sizes.split()), strict=True):
        forms = payloads.FORMS[name]
        page = name in ("SHARED_INFO", "START_INFO")
        assert page or size in forms, f"{name} has {size} bytes in Xen {release}, and no form has"
        layout = layouts()[forms[8 if page else size]]
        lines.append(f"{{ static union {{ {struct} x; unsigned char b[8192]; }} u;")
        for path, at, row in places(layout.items, 0):
            expression = said(name, path)
            if expression is None:
                continue
            whole = path.partition(".")[0] == WHOLE.get(name)
            due[f"{name} {path}"] = (at + row.offset, 512 if whole else row.size, None if whole else row)
            bits = row.bitfield and not expression.endswith(".reserved")
            sets = f"u.x.{expression} = -1" if bits else f"memset(&u.x.{expression}, 255, sizeof u.x.{expression})"
            lines.append(
                f'memset(&u, 0, sizeof u); {sets}; printf("{name} {path}"); '
                'for (int i = 0; i < 8192; i++) if (u.b[i]) printf(" %d:%02x", i, u.b[i]); puts("");'
            )
        lines.append("}")
    found = compiled(include, "\n".join(lines), tmp_path)
    wrong = []
    for line in found.splitlines():
        name, path, *ones = line.split()
        at, size, field = due.pop(f"{name} {path}")
        mask = (1 << field.bits) - 1 << field.shift if field and field.bitfield else (1 << 8 * size) - 1
        expected = [f"{at + place}:{byte:02x}" for place, byte in enumerate(mask.to_bytes(size, "little")) if byte]
        if ones != expected:
            wrong.append((name, path, ones[:9], expected[:9]))

    assert not wrong
    assert not due
    assert len(found.splitlines()) > 300


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_fields_of_32_bit_guests(release: str, tmp_path: Path) -> None:
    """The same for a 32-bit guest's structures, whose places a compiler for that confirms."""
    include = headers(release)
    asserted = []
    for name, struct in (
        ("BASIC", "struct vcpu_guest_context"),
        ("SHARED_INFO", "struct shared_info"),
        ("START_INFO", "struct start_info"),
    ):
        form = payloads.FORMS[name][min(payloads.FORMS[name])]
        for path, at, row in places(layouts()[form].items, 0):
            expression = said(name, path)
            if expression is not None:
                asserted.append(f'_Static_assert(__builtin_offsetof({struct}, {expression}) == {at + row.offset}, "");')
    size = payloads.FORMS["BASIC"]
    asserted.append(f'_Static_assert(sizeof(struct vcpu_guest_context) == {min(size)}, "");')
    source = tmp_path / "asked.c"
    source.write_text("#define __XEN_TOOLS__\n#include <stdint.h>\n#include <xen/xen.h>\n" + "\n".join(asserted))

    subprocess.run(
        ["gcc", "-m32", "-w", "-ffreestanding", "-fsyntax-only", "-I", str(include), str(source)], check=True
    )
    assert len(asserted) > 90


# What has no fields of one place, or no fields, to Xen: the C expression and what it is here.
ASKED: dict[str, Callable[[], int | None]] = {
    "sizeof(struct hvm_hw_lapic_regs)": lambda: layouts()["hvm.LAPIC_REGS"].extent,
    "sizeof(struct hvm_save_descriptor)": lambda: tables.SIZES["libxc.HVM_CONTEXT.context"],
    "offsetof(struct hvm_msr, msr)": lambda: LISTS["hvm.CPU_MSR"]["msrs"][0],
    "sizeof(struct hvm_one_msr)": lambda: LISTS["hvm.CPU_MSR"]["msrs"][1],
    "offsetof(struct hvm_one_msr, _rsvd)": lambda: FIELDS["hvm.CPU_MSR.msrs"]["reserved"][0],
    "offsetof(struct hvm_one_msr, val)": lambda: FIELDS["hvm.CPU_MSR.msrs"]["value"][0],
    "HVM_FILE_MAGIC": lambda: hvm.MAGIC,
    "HVM_FILE_VERSION": lambda: hvm.VERSION,
}


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_what_has_no_fields(release: str, tmp_path: Path) -> None:
    """Registers of a local APIC, lists of MSRs, the descriptors of entries, and how a context begins."""
    lines = "".join(f'printf("%llu\\n", (unsigned long long)({it}));' for it in ASKED)
    found = compiled(headers(release), lines, tmp_path, "-include", "stddef.h")

    assert list(map(int, found.split())) == [due() for due in ASKED.values()]


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_every_structure_is_asked_for(release: str) -> None:
    """No entry that a release writes is left out here; parameters, their bits and modes have the same numbers there."""
    include = headers(release)
    saved = (include / "xen/arch-x86/hvm/save.h").read_text()
    entries = {name: int(code) for name, code in re.findall(r"DECLARE_HVM_SAVE_TYPE\w*\((\w+), *(\d+)", saved)}
    entries |= {name: int(code) for name, code in re.findall(r"#define +CPU_(\w+)_CODE +(\d+)", saved)}
    ours = {row.name.removeprefix("CPU_"): row.code for row in hvm.CONTEXT_TYPES}
    params = (include / "xen/hvm/params.h").read_text()
    numbers = dict(re.findall(r"#define HVM_PARAM_(\w+) +(\d+)", params))
    modes = re.findall(r"#define (?:HVMPTM|XEN_ALTP2M)_(\w+) +(\d+)", params)
    known = {(row.names[value], value) for _, row, _ in hvm_params.all_fields() for value in row.names}
    bits = {(row.name, row.shift) for _, row, _ in hvm_params.all_fields() if row.bits == 1}

    assert {name.removeprefix("CPU_"): code for name, code in entries.items()} == {
        name: code for name, code in ours.items() if name != "END"
    } | ({"END": 0} if "END" in entries else {})
    assert {name: int(code) for name, code in numbers.items() if hvm.PARAMS.get(name) != int(code)}.keys() <= {
        name for name in numbers if name.startswith("CALLBACK_TYPE_")
    }
    assert {(name, int(code)) for name, code in modes} <= known
    assert {(name, int(bit)) for name, bit in re.findall(r"#define _HVMPV_(\w+) +(\d+)", params)} <= bits
    assert len(modes) == 8


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_features_are_at_their_bits(release: str) -> None:
    """Each feature that Xen's public header has a name for has that name here, at the same bit of the same word."""
    text = (headers(release) / "xen/arch-x86/cpufeatureset.h").read_text()
    ours = {(row.leaf, row.subleaf, row.register, row.shift): row.name for row in features.FEATURES if row.bits == 1}
    ours |= {(0x10A, 0, "edx" if bit > 31 else "eax", bit % 32): name for bit, name in features.MSR_BITS[0x10A].items()}
    found = re.findall(r"XEN_CPUFEATURE\((\w+), *(\d+)\*32 *\+ *(\d+)\)", text)
    wrong = []
    for name, word, bit in found:
        place = int(word) + int(bit) // 32, int(bit) % 32
        if ours.get((*WORDS[place[0]], place[1])) != name.lower():
            wrong.append((name, place, ours.get((*WORDS[place[0]], place[1]))))

    assert not wrong
    assert len(found) > 150
