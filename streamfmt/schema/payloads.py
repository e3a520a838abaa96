"""Every payload that has a declaration, and where in a stream each lies.

They are apart from the catalogue, which every command needs that shows something: these are made when one is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import SchemaError
from . import hvm_cpu, hvm_interrupts, hvm_system, hvm_timers, payload_pages, payload_pv, payload_qemu, payload_rules
from .catalogue import read
from .hvm import CONTEXT_TYPES
from .layers import LAYERS
from .libxc import WIDTHS
from .model import Layout
from .payload_words import Payload

HVM_ENTRIES = (*hvm_system.ENTRIES, *hvm_cpu.ENTRIES, *hvm_interrupts.ENTRIES, *hvm_timers.ENTRIES)
PAYLOADS = (
    *HVM_ENTRIES,
    *payload_pv.CONTEXTS,
    *payload_pv.EXTENDED,
    *payload_pv.XSAVE,
    *payload_pages.SHARED_INFO,
    *payload_pages.START_INFO,
    *payload_pages.PAGE_TABLE,
)


def _lengths(rows: Iterable[Payload]) -> dict[int, str]:
    """Forms of something by how long they are."""
    return {size: row.path for row in rows for size in dict.fromkeys((*row.ends, row.size))}


def entry_of(path: str) -> str:
    """The entry of an HVM context that a form is of: the longest name that its path begins with."""
    heads = {f"hvm.{kind.name}": kind.name for kind in CONTEXT_TYPES}
    return heads[max((head for head in heads if f"{path}_".startswith(f"{head}_")), key=len)]


# Payloads of which the length says what they are, by what they are; 0 is for any other length.  Both kinds of a
# shared info page have one length: the width of the guest chooses, in bytes.
_BY_LENGTH = {
    "BASIC": payload_pv.CONTEXTS,
    "EXTENDED": payload_pv.EXTENDED,
    "XSAVE": payload_pv.XSAVE,
    "PAGE_TABLE": payload_pages.PAGE_TABLE,
}
_BY_WIDTH = {"SHARED_INFO": payload_pages.SHARED_INFO, "START_INFO": payload_pages.START_INFO}
FORMS: dict[str, dict[int, str]] = {
    **{name: _lengths(rows) for name, rows in _BY_LENGTH.items()},
    **{
        name: {width: row.path for width in WIDTHS for row in rows if row.path.endswith(f"_{8 * width}")}
        for name, rows in _BY_WIDTH.items()
    },
    **{
        f"hvm.{kind.name}": _lengths([row for row in HVM_ENTRIES if entry_of(row.path) == kind.name])
        for kind in CONTEXT_TYPES
    },
}
# Where they lie: the layout, its field or part, and which it is.  Entries of an HVM context say it themselves.
ENTRY = ""
PLACES: dict[str, dict[str, str]] = {
    "libxc.HVM_CONTEXT.context": {"data": ENTRY},
    "libxc.X86_PV_VCPU_BASIC": {"context": "BASIC"},
    "libxc.X86_PV_VCPU_EXTENDED": {"context": "EXTENDED"},
    "libxc.X86_PV_VCPU_XSAVE": {"context": "XSAVE"},
    "libxc.SHARED_INFO": {"page": "SHARED_INFO"},
}
for _legacy in (layer.name for layer in LAYERS if layer.alias):
    PLACES |= {
        f"{_legacy}.HVM_CONTEXT.context": {"data": ENTRY},
        f"{_legacy}.EXTENDED_INFO.blocks": {"data": "BASIC"},
        f"{_legacy}.VCPU": {"context": "BASIC"},
        f"{_legacy}.VCPU_XSAVE": {"context": "XSAVE"},
        f"{_legacy}.SHARED_INFO": {"page": "SHARED_INFO"},
    }
ENTRY_NAMES = {row.code: row.name for row in CONTEXT_TYPES}


def facts() -> dict[str, Any]:
    """What streamfmt/payload_tables.py has beside places."""
    return {
        "FORMS": FORMS,
        "PLACES": PLACES,
        "ENTRY_NAMES": ENTRY_NAMES,
        **payload_rules.facts(catalogue()),
        **payload_qemu.facts(),
    }


def catalogue() -> dict[str, Layout]:
    """The layout of every payload by path, such as "hvm.CPU".  Raises SchemaError where a declaration is none."""
    found = {row.path: read(row.path, row.doc, row.source, row.declared) for row in PAYLOADS}
    for row in PAYLOADS:
        if row.size and found[row.path].extent != row.size:
            raise SchemaError(row.path, f"it has {found[row.path].extent} bytes, not {row.size}")
    return found
