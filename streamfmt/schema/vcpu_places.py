"""Where a PV vcpu's context has what readers look at, by the width of the guest in bytes: read off its declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .libxc import PV_COMBINATIONS, VCPU_CONTEXT_SIZES
from .model import Layout
from .payloads import FORMS
from .places import lists, placed

_WIDTH_32, _WIDTH_64 = (width for width, _ in PV_COMBINATIONS)
# The word of ctrlreg that names a second top page table for user code, which bit 0 says is there, and that of the top.
_USER, _TOP = 1, 3


def facts(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """What streamfmt/tables.py has of them."""
    found = dict(
        zip(sorted(VCPU_CONTEXT_SIZES), (layouts[path] for _, path in sorted(FORMS["BASIC"].items())), strict=True)
    )
    fields = {width: placed(layout) for width, layout in found.items()}
    arrays = {width: lists(layout) for width, layout in found.items()}
    registers = {_WIDTH_32: "user_regs.e", _WIDTH_64: "user_regs.r"}

    def word(name: str) -> dict[int, int]:
        return {width: rows[name][0] for width, rows in fields.items()}

    def element(name: str, number: int) -> dict[int, int]:
        return {width: rows[name][0] + number * rows[name][1] for width, rows in arrays.items()}

    def span(first: str, last: str) -> dict[int, tuple[int, int]]:
        at, (end, size, *_) = fields[_WIDTH_64][first][0], fields[_WIDTH_64][last]
        return {_WIDTH_64: (at, end + size - at)}

    return {
        "VCPU_CONTEXT_SIZES": VCPU_CONTEXT_SIZES,
        "VCPU_CONTEXT_FLAGS": word("flags"),
        # Only 64-bit guests have one for user code.
        "VCPU_CONTEXT_CR1": {_WIDTH_64: element("ctrlreg", _USER)[_WIDTH_64]},
        "VCPU_CONTEXT_CR3": element("ctrlreg", _TOP),
        # In vcpu 0 the frame of start_info.
        "VCPU_CONTEXT_DX": {width: rows[f"{registers[width]}dx"][0] for width, rows in fields.items()},
        "VCPU_CONTEXT_GDT_FRAMES": element("gdt_frames", 0),
        "VCPU_CONTEXT_GDT_ENTS": word("gdt_ents"),
        "VCPU_CONTEXT_EFLAGS": {_WIDTH_32: fields[_WIDTH_32]["user_regs.eflags"][0]},
        "VCPU_CONTEXT_R12_R15": span("user_regs.r15", "user_regs.r12"),
        "VCPU_CONTEXT_R8_R11": span("user_regs.r11", "user_regs.r8"),
    }
