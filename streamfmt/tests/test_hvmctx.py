"""Xen's own xen-hvmctx prints an HVM context: each value that it prints is the one that is decoded here.

It asks two functions of libxenctrl, for which conformance/hvmctx/context.c stands in.  It knows neither CPU_XSAVE nor
CPU_MSR, nor the newer fields of some entries.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest

from ..codec.inside import put_at
from ..codec.payload import form, payloads
from ..conformance.peers import RELEASE, RELEASES
from ..payload_tables import FIELDS, LISTS
from ..schema.hvm import CONTEXT_TYPES, HEADER_DATA
from ..schema.hvm_interrupts import APIC_REGISTERS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "conformance" / "hvmctx" / "context.c"
_GENERAL = ("rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", *(f"r{number}" for number in range(8, 16)))
_CONTROL = ("rip", "rflags", "cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
# It prints ds where it says es, and es where it says ds: the compiler's offsets, and all releases, say so.
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
_CHANNEL = (
    *("count", "latched_count", "count_latched", "status", "status_latched", "read_state", "write_state"),
    *("write_latch", "rw_mode", "mode", "bcd", "gate"),
)
_MODES = (
    *("readsel_isr", "poll", "auto_eoi", "rotate_on_auto_eoi", "special_fully_nested_mode", "special_mask_mode"),
    "is_master",
)
# The fields of which it prints values, in its order.
PRINTED: dict[str, tuple[str, ...]] = {
    "END": (),
    "HEADER": ("magic", "version", "changeset", "cpuid", "gtsc_khz"),
    "CPU": (
        *_GENERAL,
        *_CONTROL,
        *(f"{name}_{part}" for name in _SEGMENTS for part in ("sel", "base", "limit", "arbytes")),
        *("idtr_base", "idtr_limit", "gdtr_base", "gdtr_limit", "sysenter_cs", "sysenter_eip", "sysenter_esp"),
        *("shadow_gs", "msr_efer", "msr_lstar", "msr_cstar", "msr_star", "msr_syscall_mask", "tsc"),
        *("pending_event", "error_code"),
    ),
    "PIC": (
        *("irq_base", "irr", "imr", "isr", "state.init_state", "state.priority_add"),
        *(f"modes.{name}" for name in _MODES),
        *("elcr", "int_output"),
    ),
    "IOAPIC": ("base_address", "ioregsel", "id", *(f"redirtbl[{pin}]" for pin in range(48))),
    "LAPIC": ("apic_base_msr", "disabled", "timer_divisor"),
    "LAPIC_REGS": tuple(APIC_REGISTERS.get(at, f"reserved_{at:x}") for at in range(0, 1024, 16)),
    "PCI_IRQ": ("asserted[0]", "asserted[1]"),
    "ISA_IRQ": ("asserted",),
    "PCI_LINK": tuple(f"route[{number}]" for number in range(4)),
    "PIT": tuple(f"channels[{channel}].{name}" for channel in (0, 1) for name in _CHANNEL),
    "RTC": (*(f"cmos_data[{number}]" for number in range(14)), "cmos_index"),
    "HPET": (
        *("capability", "config", "status", "counter"),
        *(
            path.format(number)
            for number in range(3)
            for path in ("timers[{}].config", "timers[{}].comparator", "periods[{}]", "timers[{}].fsb")
        ),
    ),
    "PMTIMER": ("tmr_val", "pm1a_sts", "pm1a_en"),
    "MTRR": (
        *("msr_pat_cr", "msr_mtrr_cap", "msr_mtrr_def_type"),
        *(f"msr_mtrr_var[{number}].{name}" for number in range(8) for name in ("base", "mask")),
        *(f"msr_mtrr_fixed[{number}]" for number in range(11)),
    ),
    "VIRIDIAN_DOMAIN": ("hypercall_gpa", "guest_os_id"),
    "VIRIDIAN_VCPU": ("vp_assist_msr",),
    "VMCE_VCPU": ("caps", "mci_ctl2_bank0", "mci_ctl2_bank1"),
    "TSC_ADJUST": ("tsc_adjust",),
}
# What it prints of a CPU whose floating point state is there, more; a number of bytes and where they begin.
_FPU = tuple(
    f"fpu_regs.{place}"
    for place in (
        *("fcw", "fsw", "ftw", "reserved_1", "fop", "fip", "fdp", "mxcsr", "mxcsr_mask"),
        *(f"st[{number}].{part}" for number in range(8) for part in ("value", "reserved")),
        *(f"xmm[{number}]" for number in range(16)),
        *(f"{name}:{first}" for name in ("reserved_2", "available") for first in (0, 16, 32)),
    )
)
# What stands there in front of values and has digits itself.
_LABEL = re.compile(r"(pin|var|fixed|ch|timer|bank) ?[0-9a-f]+\b:?|\[\w\]|0x[0-9a-f]{3}:|mci_ctl2|PM1a")
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,16}\b|\b[0-9]+\b")
_DESCRIPTOR = re.compile(r"^Entry \d+: type (\d+) instance (\d+), length (\d+)$", re.MULTILINE)


def contents(lapic: int) -> bytes:
    """A context with an entry of each type that the tool knows, of any content."""
    chance = random.Random(5)
    found = b""
    for row in CONTEXT_TYPES[1:]:
        for instance in (0, 1) if row.name in ("PIC", "CPU", "LAPIC_REGS") else (0,):
            if not row.unit:
                size = lapic if row.name == "LAPIC" else row.lengths[-1]
                data = HEADER_DATA[:8] + chance.randbytes(16) if row.name == "HEADER" else chance.randbytes(size)
                found += struct.pack("<HHI", row.code, instance, len(data)) + data
    return found + bytes(8)


@cache
def stand_in(folder: Path) -> Path:
    made = folder / "context.so"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", made, SOURCE], check=True)
    return made


def command(release: str) -> list[str]:
    """How the tool of a release is run; the test is skipped, or fails if it is demanded, where there is none."""
    peers = ROOT / ".peers" / release
    root = Path("/") if release == RELEASE else peers / "root"
    tool = root / f"usr/lib/xen-{release}/bin/xen-hvmctx"
    if not tool.exists():
        message = f"no {tool}: values are NOT held against Xen {release}'s; `make peers` brings it"
        if release == RELEASE and os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    arch = "x86_64-linux-gnu"
    loader = peers / "libc/usr/lib64/ld-linux-x86-64.so.2"
    if loader.exists():
        libraries = f"{peers}/libc/usr/lib/{arch}:{root}/usr/lib/{arch}:/usr/lib/{arch}:/lib/{arch}"
        return [str(loader), "--library-path", libraries, str(tool), "1"]
    return ["env", f"LD_LIBRARY_PATH={root}/usr/lib/{arch}", str(tool), "1"]


def word(path: str, place: str, raw: bytes) -> int:
    """A number of a payload: of a field, of a register whose bits are fields, or of some bytes."""
    place, _, first = place.partition(":")
    if place.startswith("fpu_regs."):
        at, row = put_at(payloads()[path], len(raw), lambda _: bytearray(raw), place)
        start = at + row.offset + int(first or 0)
        return int.from_bytes(raw[start : start + (16 if first else row.size)], "little")
    listed = re.fullmatch(r"(\w+)\[\d+\]\.?(.*)", place)
    fields, rest = (FIELDS[LISTS[path][listed[1]][2]], listed[2]) if listed else (FIELDS[path], place)
    names = [name for name in fields if name == rest or f"{name}.".startswith(f"{rest}." if rest else "")]
    total, head = 0, place.removesuffix(rest).removesuffix(".")
    for name in names:
        at, row = put_at(payloads()[path], len(raw), lambda _: bytearray(raw), ".".join(filter(None, (head, name))))
        piece = raw[at : at + row.offset + row.size]
        if row.raw:
            return int.from_bytes(piece[row.offset :][:4], "little")
        total |= row.value(piece, "little") << (row.shift if len(names) > 1 else 0)
    assert names, (path, place)
    return total


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_every_value_that_it_prints(release: str, tmp_path: Path) -> None:
    """An entry of each type that the tool knows, with bits of all kinds: all that it prints is what is decoded."""
    run = command(release)
    context = contents(32 if release == RELEASES[-1] else 24)
    (tmp_path / "context").write_bytes(context)
    tool = subprocess.run(
        ["env", f"LD_PRELOAD={stand_in(tmp_path)}", f"HVM_CONTEXT={tmp_path / 'context'}", *run],
        check=True,
        capture_output=True,
        text=True,
    )
    names = {row.code: row.name for row in CONTEXT_TYPES}
    heads = list(_DESCRIPTOR.finditer(tool.stdout))
    at, values = 0, 0
    seen: set[str] = set()
    for here, after in zip(heads, [*heads[1:], None], strict=True):
        kind, _, length = map(int, here.groups())
        raw = context[at + 8 : at + 8 + length]
        assert context[at : at + 8] == struct.pack("<HHI", *map(int, here.groups()))
        text = _LABEL.sub("", tool.stdout[here.end() : after.start() if after else None])
        numbers = [int(found, 16 if len(found) > 11 or "x" in found else 10) for found in _NUMBER.findall(text)]
        if names[kind] == "PCI_IRQ":  # it prints the second half behind the first
            numbers = [numbers[0] >> 64, numbers[0] & (1 << 64) - 1]
        path = form(f"hvm.{names[kind]}", length)
        used = names[kind] == "CPU" and word(path, "flags.fpu_initialised", raw)
        places = PRINTED[names[kind]] + (_FPU if used else ())
        assert numbers == [word(path, place, raw) for place in places], (names[kind], text)
        at, values = at + 8 + length, values + len(numbers)
        seen.add(names[kind])

    assert at == len(context)
    assert seen == PRINTED.keys()
    assert values > 400
