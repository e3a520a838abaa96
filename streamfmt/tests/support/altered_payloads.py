"""What declarations of payloads make of streams, for comparing two: decoded, set by name, judged, named, in a core.

Nothing of the package is imported before it is used: the process may have other declarations by then.
"""

from __future__ import annotations

import io
import random
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

RECIPES = Path(__file__).parents[3] / "corpus" / "recipes"
# Clauses whose collections set fields of a context by their names.
_CLAUSES = tuple(
    f"LIBXC-HVMCTX-{name}" for name in ("CPU", "HPET", "LAPIC", "MTRR", "PCILINK", "PIC", "TIMER", "VIRIDIAN")
)
_KNOWN = {"guest", "form", "vcpus", "deep", "context", "about"}
_PV = 'guest = "pv"\nform = "libxc"\nbits = {}\n'
_SET = '[[fault]]\nset = "X86_PV_VCPU_BASIC"\nfield = "context.{}"\nto = {}\n'
_LOST = "".join(_SET.format(f"user_regs.r{number}", 0) for number in range(8, 16))


class Given(NamedTuple):
    """A recipe, and the clause that the stream breaks; none if it is empty."""

    text: str
    breaks: str


@cache
def given() -> dict[str, Given]:
    """Recipes that set fields by name."""
    found: dict[str, Given] = {}
    for clause in _CLAUSES:
        collection = tomllib.loads((RECIPES / f"{clause}.toml").read_text())
        for kind in ("accepted", "broken"):
            for name, row in collection[kind].items():
                if row.keys() <= _KNOWN and all("data" not in it or "zeros" in it["data"] for it in row["context"]):
                    found[f"{clause}:{name}"] = Given(_hvm(row["context"]), clause if kind == "broken" else "")
    for bits, flags in ((32, "eflags"), (64, "rflags")):
        head = _PV.format(bits)
        found[f"pv-{bits}"] = Given(head, "")
        virtual = head + _SET.format(f"user_regs.{flags}", 1 << 17)
        found[f"flags-{bits}"] = Given(virtual, "LIBXC-VCPU-EFLAGS-VM" if bits == 32 else "")
        one = _SET.format("gdt_ents", 1)
        for field, value in (("ctrlreg[3]", 1 << 12), ("gdt_ents", 8000), ("gdt_frames[0]", 99)):
            found[f"{field}-{bits}"] = Given(head + one + _SET.format(field, value), "LIBXC-VCPU-PFN")
    found["user"] = Given(_PV.format(64) + _SET.format("ctrlreg[1]", 1 << 12 | 1), "LIBXC-VCPU-PFN")
    found["lost"] = Given(f'{_PV.format(64)}xen = "4.21"\n{_LOST}', "LIBXC-VCPU-R8")
    return found


def _hvm(entries: list[dict[str, Any]]) -> str:
    return f'guest = "hvm"\nform = "libxc"\nvcpus = 1\ndeep = true\ncontext = [{", ".join(map(_inline, entries))}]\n'


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"'{key}' = {_inline(each)}" for key, each in value.items()) + " }"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _fitting(text: str, lengths: Mapping[tuple[str, int], int]) -> str:
    """A recipe whose entries have the lengths that these have now."""
    row = tomllib.loads(text)
    if "context" not in row:
        return text
    for entry in row["context"]:
        if "zeros" in entry.get("data", {}):
            size = entry["data"]["zeros"]
            entry["data"]["zeros"] = lengths.get((entry["type"], size), size)
    return _hvm(row["context"])


# The last of an XSAVE area's components, of Intel's and of AMD's, but for those of AMX.
_LAST = "protection_keys.pkru"
_USED = {"xcr0": 0x203, "xcr0_accum.x87": 1, "xcr0_accum.sse": 1, "xcr0_accum.pkru": 1}


def areas() -> list[tuple[bytes, list[str]]]:
    """Streams of guests that have used it, and the clauses that they break."""
    from ...api import verify
    from ...payload_tables import FIELDS
    from ...recipes import load

    found = []
    for path in ("hvm.CPU_XSAVE", "hvm.CPU_XSAVE_AMD"):
        size = FIELDS[path][_LAST][0] + 8
        entry = {"type": "CPU_XSAVE", "data": {"zeros": size}, "set": {**_USED, _LAST: 4}}
        data = load.load(f"recipe = 1\n{_hvm([entry])}").stream.render()
        found.append((data, [row.clause for row in verify(data, deep=True).findings if row.severity != "note"]))
    return found


def seen(lengths: Mapping[str, int]) -> dict[str, Any]:
    """All of it, as the declarations are; `lengths` are those that forms had, by path."""
    from ...api import verify
    from ...codec.payload import payloads, tree
    from ...errors import RecipeError
    from ...recipes import load
    from ...render import payload_reference
    from ...schema import payloads as schema

    now = {(schema.entry_of(row.path), lengths[row.path]): row.size for row in schema.HVM_ENTRIES}
    found: dict[str, Any] = {"documents": payload_reference.text(), "bytes": {}, "findings": {}, "core": {}}
    found["decoded"] = {
        path: tree(layout, random.Random(path).randbytes(8192), lambda _, value: value)
        for path, layout in payloads().items()
    }
    for name, it in given().items():
        try:
            data = load.load(f"recipe = 1\n{_fitting(it.text, now)}").stream.render()
        except RecipeError as error:
            # A bit field that has become narrower has no room for some values.
            if "is not within" not in str(error):
                raise
            continue
        found["bytes"][name] = data
        kept = [row for row in verify(data, deep=True).findings if row.severity != "note" or row.clause == it.breaks]
        found["findings"][name] = [(row.clause, row.field, row.expected) for row in kept]
        if name in ("pv-64", "pv-32", "lost", "user", "LIBXC-HVMCTX-CPU:running"):
            found["core"][name] = _core(data)
    # An edit sets a field where a recipe does.
    before, due = (load.load(f"recipe = 1\n{_hvm([{'type': 'CPU', 'set': it}])}").stream.render() for it in _EDITED)
    found["findings"]["edit"] = [] if _edited(before) == due else [("edit", "", "")]
    # So are registers of QEMU's: a core has them whatever lies before them.
    found["bytes"]["qemu"] = data = _qemu()
    found["findings"]["qemu"] = [("core", repr(_core(data)), "")]
    found["named"] = list(_named())
    return found


_EDITED: tuple[dict[str, Any], ...] = ({"cr0": 16}, {"cr0": 16, "cr4": 32, "rip": 7})


def _edited(data: bytes) -> bytes:
    """A stream with some of these fields set by `edit`."""
    from ...cli.main import main

    with TemporaryDirectory() as folder:
        path = Path(folder) / "guest"
        path.write_bytes(data)
        sets = [f"--set=HVM_CONTEXT.CPU.{name}={value}" for name, value in _EDITED[1].items()]
        with redirect_stdout(io.StringIO()):
            assert main(["edit", *sets, "--in-place", str(path)]) == 0
        return path.read_bytes()


def _core(data: bytes) -> Any:
    from ...io.memory import MemorySource
    from ...io.sources import drive
    from ...memory.collector import Collector
    from ...memory.registers import Vcpus, notes

    collector = Collector()
    collector.states = vcpus = Vcpus(collector)
    source = MemorySource(data)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    return notes(vcpus.registers)


def _qemu() -> bytes:
    """A migration of QEMU with a vcpu whose integers are all different."""
    from ...schema import payload_qemu
    from ...writer import Draft
    from ...writer import qemu as parts

    facts = payload_qemu.facts()
    name, version, size = facts["QEMU_CPU"]
    state = bytearray(size)
    for number, (at, length) in enumerate(facts["QEMU_CPU_FIELDS"].values(), 1):
        state[at : at + length] = number.to_bytes(length, "big")
    listed = (*parts.blocks({"ram": 1}), parts.zero_of("ram"))
    vcpu = parts.Device(name.decode(), bytes(state), version)
    memory = parts.memory("SECTION_START", 1, listed)
    return Draft((*parts.opening(), *memory, *parts.devices(2, [vcpu]), parts.frame("EOF"))).render()


def _named() -> Iterator[Any]:
    """What bits are called, where all are set."""
    from ...render import bits
    from ...schema import features

    ones = (1 << 64) - 1
    for leaf, subleaf in ((1, features.NONE), (7, 0), (0xD, 0), (0x80000008, features.NONE), (0, features.NONE)):
        registers = dict.fromkeys(("eax", "ebx", "ecx", "edx"), ones >> 32)
        yield bits.said("libxc.X86_CPUID_POLICY.leaves", {"leaf": leaf, "subleaf": subleaf, **registers})
    for index in (0xCE, 0x10A):
        yield bits.said("libxc.X86_MSR_POLICY.msrs", {"index": index, "value": ones})
    yield bits.named("hvm.CPU", "cr0", ones)
