"""What the records of legacy streams say in a few words, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .. import tables
from ..reader.events import Record
from ..reader.registry import ROWS
from .pages import number

# Either width has the same names.
_LAYER = next(name for name, row in ROWS.items() if row.alias)
Lead: TypeAlias = Callable[[Record, dict[str, Any]], str]


def _bytes(record: Record, row: dict[str, Any]) -> str:
    return number(row["length"], "byte", "bytes")


def _param(_: Record, row: dict[str, Any]) -> str:
    return f"{row['value']:#x}" + ("" if row["value"] else ", which changes nothing")


def _object(_: Record, row: dict[str, Any]) -> str:
    return f"object {row['oid'].hex()}, page {row['index']}"


LEADS: dict[str, Lead] = {
    "EXTENDED_INFO": lambda _, row: number(row["total"], "byte", "bytes"),
    "VCPU_INFO": lambda record, row: f"vcpus 0 to {row['max_vcpu_id']}",
    "TSC_INFO": lambda _, row: (
        f"mode {row['mode']}, {row['khz']} kHz, {row['nsec']} ns, incarnation {row['incarnation']}"
    ),
    "TOOLSTACK": lambda _, row: f"{number(row['count'], 'region', 'regions')} of the device model's memory",
    "COMPRESSED_DATA": _bytes,
    "TMEM": lambda _, row: f"version {row['version']}",
    "TMEM_POOL": lambda _, row: f"pool {row['pool_id']}, {number(row['pages'], 'page', 'pages')} at most",
    "TMEM_PAGE_0": _object,
    "TMEM_PAGE_1": _object,
    "TMEM_FLUSHED_0": _object,
    "TMEM_FLUSHED_1": _object,
    "UNMAPPED": lambda _, row: number(row["count"], "frame", "frames"),
    "VCPU": lambda record, _: number(record.length, "byte", "bytes"),
    "VCPU_EXT": lambda _, row: f"vcpu {row['vcpu']}",
    "VCPU_XSAVE": lambda _, row: number(row["size"], "byte", "bytes"),
    "HVM_TAIL": lambda _, row: (
        f"ioreq {row['ioreq_pfn']:#x}, buffered {row['bufioreq_pfn']:#x}, xenstore {row['store_pfn']:#x}"
    ),
    "QEMU_0002": _bytes,
    "QEMU_REMUS": _bytes,
    "QEMU_XAPI": _bytes,
    **{tables.RECORDS[_LAYER][kind]: _param for kind in tables.LEGACY_PARAMS},
}
