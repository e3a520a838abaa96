"""Sample streams of any size: recipes, and records that come again and again.

Good samples break no rule; each bad one breaks one, all the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import islice
from struct import pack_into

from .. import tables
from ..recipes import load as recipes
from ..recipes import memory
from ..schema import hvm
from ..writer import builders
from ..writer.draft import Draft
from ..writer.hvm_state import after_reset
from ..writer.part import Part, raw, record, unknown
from . import qemu

PAGE = tables.PAGE_SIZE
SMALL = 16 * PAGE

# Where a PC has video memory and no guest page.
_HOLE = memory.Frames(0xA0, 0xBF, "XTAB")
# Page tables of a PV sample, by frame number modulo a batch.
_TABLES = {
    builders.TOP_TABLE: "L4TAB_PINNED",
    103: "L3TAB",
    203: "L2TAB",
    303: "L1TAB",
    403: "L1TAB_PINNED",
    503: "L2TAB_PINNED",
    603: "L3TAB_PINNED",
    703: "L4TAB",
}
# Frames that a running guest has dirtied lie apart.
_DIRTY = 4 * tables.BATCH_MAX
_DIRTY_STEP = 7
_VCPUS = 4
# Records that are the same are written so many at a time.
_AT_ONCE = 4096
_PIECE = 4 << 20


# -- recipes ----------------------------------------------------------------------------------------------------


def _memory(count: int, special: Iterable[memory.Frames]) -> str:
    """The memory of a guest of `count` frames, those not special being ordinary; some of these come twice."""
    items = []
    ordinary: list[range] = []
    at = 0
    for run in special:
        if run.last >= count:
            break
        ordinary.append(range(at, run.first))
        items += [f"{at}-{run.first - 1}", f"{run.first}-{run.last} {run.type}"]
        at = run.last + 1
    if at < count:
        ordinary.append(range(at, count))
        items.append(f"{at}-{count - 1}")
    dirty = islice((str(pfn) for run in ordinary for pfn in run if not pfn % _DIRTY_STEP), _DIRTY)
    return f'[memory]\nframes = "{", ".join(items)}"\nagain = ["{", ".join(dirty)}"]\nfill = "random"\n'


def _hvm(form: str, size: int, more: str = "") -> str:
    return f'recipe = 1\nguest = "hvm"\nform = "{form}"\n{more}{_memory(size // PAGE, [_HOLE])}'


def _state() -> str:
    """Virtual hardware that has been used, of as many vcpus as a small guest has: --deep judges what is not zero."""
    entries = [
        *(("CPU", vcpu, "cr0 = 0x80050033, 'flags.fpu_initialised' = 1") for vcpu in range(_VCPUS)),
        *(("PIC", slave, f"'modes.is_master' = {1 - slave}, irq_base = 8") for slave in (0, 1)),
        *(("LAPIC", vcpu, "'apic_base_msr.base' = 0xfee00, 'apic_base_msr.enabled' = 1") for vcpu in range(_VCPUS)),
        ("PCI_LINK", 0, "'route[0]' = 5"),
        ("PIT", 0, "'channels[0].count' = 65536"),
        ("RTC", 0, "'cmos_data[4]' = 1, cmos_index = 13"),
        ("HPET", 0, "capability = 0xf424008086a201"),
        *(("MTRR", vcpu, "msr_pat_cr = 0x7040600070406, 'msr_mtrr_cap.vcnt' = 8") for vcpu in range(_VCPUS)),
    ]
    rows = (f"{{ type = '{kind}', instance = {number}, set = {{ {fields} }} }}" for kind, number, fields in entries)
    return f"vcpus = {_VCPUS}\ncontext = [{', '.join(rows)}]\n"


def _pv(form: str, size: int) -> str:
    count = size // PAGE
    page_tables = (
        memory.Frames(batch + pfn, batch + pfn, kind)
        for batch in range(0, count, tables.BATCH_MAX)
        for pfn, kind in _TABLES.items()
    )
    return f'recipe = 1\nguest = "pv"\nform = "{form}"\n{_memory(count, page_tables)}'


def _single(size: int) -> str:
    last = _HOLE.last + max(size // tables.RUN_DATA_SIZE, 1)
    frames = f'frames = "{_HOLE.last + 1}-{last}"\nbatch = 1\nfill = "random"\n'
    return f'recipe = 1\nguest = "hvm"\nform = "libxc"\n[memory]\n{frames}'


# By kind: the recipe of a sample of that many bytes.
RECIPES: dict[str, Callable[[int], str]] = {
    "hvm": partial(_hvm, "libxc"),
    "xl": partial(_hvm, "xl"),
    "pv": partial(_pv, "libxc"),
    "legacy": partial(_hvm, "legacy-64"),
    "legacy-pv": partial(_pv, "legacy-64"),
    "small": lambda _: _hvm("libxc", SMALL),
    "state": lambda _: _hvm("libxc", SMALL, _state()),
    "single": _single,
}


# -- records again and again --------------------------------------------------------------------------------------


def _made(recipe: Callable[[int], str], size: int) -> Draft:
    return recipes.load(recipe(size)).stream


def _again(part: Part, guest: str, size: int) -> Draft:
    """A small guest's image in which the record comes again and again, for `size` bytes."""
    data = b"".join(part.buffers("<"))
    whole, rest = divmod(size // len(data), _AT_ONCE)
    many = [raw(data * _AT_ONCE)] * whole + [raw(data * rest)]
    return _made(RECIPES[guest], SMALL).before("libxc.X86_TSC_INFO", *many)


_XTAB = builders.page_data([_HOLE.first], "XTAB", [])
_RESERVED_TYPE = 5
_UNKNOWN_TYPE = max(tables.RECORDS["libxc"]) + 1
# Name of the sample: the clause that each of its records breaks, the guest, the record.
BAD = {
    "bad-reserved": ("LIBXC-PAGE-HDR-RSVD", "hvm", replace(_XTAB, patches=(("reserved", 1),))),
    "bad-unknown": ("LIBXC-REC-UNKNOWN-MAND", "hvm", unknown("libxc", _UNKNOWN_TYPE, bytes(16))),
    "bad-type": (
        "LIBXC-PAGE-TYPE",
        "hvm",
        record("libxc.PAGE_DATA", entries=[_RESERVED_TYPE << tables.ENTRY_TYPE_SHIFT], pages=[]),
    ),
    "bad-pfn": ("LIBXC-PAGE-PFN-PV", "pv", builders.page_data([SMALL // PAGE], "XTAB", [])),
}

# -- a context of any size ----------------------------------------------------------------------------------------

_CONTEXT_TYPES = {row.name: row for row in hvm.CONTEXT_TYPES}
_OF_A_VCPU = ("CPU", "LAPIC", "LAPIC_REGS", "MTRR", "VMCE_VCPU", "TSC_ADJUST")


def _contexts(size: int) -> Draft:
    """An image whose HVM_CONTEXT has as many vcpus as go into `size` bytes, or into a record."""
    small = _made(RECIPES["small"], SMALL)
    rows = [_CONTEXT_TYPES[name] for name in _OF_A_VCPU]
    vcpu = builders.context(*((row.code, 0, after_reset(row.name)) for row in rows)).body("<")
    head = builders.context((hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)).body("<")
    end = builders.context((hvm.END_TYPE, 0, b"")).body("<")
    vcpus = (min(size, tables.RECORD_LENGTH_MAX) - len(head) - len(end)) // len(vcpu)
    data = bytearray(head + vcpu * vcpus + end)
    at = len(head) + tables.PLACES["libxc.HVM_CONTEXT.context"]["instance"][0]
    for instance in range(vcpus):
        for row in rows:
            pack_into("<H", data, at, instance)
            at += tables.SIZES["libxc.HVM_CONTEXT.context"] + row.lengths[-1]
    return small.edit("libxc.HVM_CONTEXT", data=data)


def _damaged(size: int) -> Draft:
    """An image with bytes between memory and state that are no record."""
    return _made(RECIPES["hvm"], size).before("libxc.X86_TSC_INFO", raw(b"\xff" * 100))


SAMPLES: dict[str, Callable[[int], Draft]] = {
    **{kind: partial(_made, recipe) for kind, recipe in RECIPES.items()},
    "bare": partial(_again, _XTAB, "hvm"),
    "context": _contexts,
    **qemu.SAMPLES,
    "damaged": _damaged,
    **{name: partial(_again, part, guest) for name, (_, guest, part) in BAD.items()},
}


def write(kind: str, path: str, size: int) -> int:
    """Write sample `kind` of about `size` bytes of guest to `path`, onto the disk; returns the file's size."""
    # In large pieces, since what is written in small ones also lies so in the page cache, and is read more slowly.
    with open(path, "wb", buffering=_PIECE) as file:
        for piece in SAMPLES[kind](size).pieces():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
