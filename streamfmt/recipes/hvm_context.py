"""Entries of an HVM context as recipes describe them: by type, with bytes, or with fields set by their names."""

from __future__ import annotations

from collections.abc import Sequence

from ..codec import encode
from ..codec.content import Content, joined
from ..codec.inside import put_at
from ..codec.payload import form, payloads
from ..errors import FieldError
from ..schema import hvm
from ..writer.hvm_state import after_reset
from .parse import content, patch_value
from .toml import Table

_HEADER_ENTRY = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
_CONTEXT_TYPES = {row.name: row for row in hvm.CONTEXT_TYPES}
_END_ENTRY = (hvm.END_TYPE, 0, bytes(_CONTEXT_TYPES["END"].lengths[0]))
# Bytes of an entry whose fields are set by name: more than any processor's state has.
_ENTRY_MOST = 64 << 10


def context_of(top: Table, vcpus: Sequence[int], length: int | None = None) -> list[tuple[int, int, Content]]:
    """Entries of an HVM context: by default each vcpu's state, of a length in bytes or its newest."""
    entries = [_entry(row) for row in top.tables("context")]
    if not entries:
        state = after_reset("CPU", length)
        entries = [(_CONTEXT_TYPES["CPU"].code, number, state) for number in vcpus]
        top.spend("parts and rows", len(vcpus), "vcpus")
    return [_HEADER_ENTRY, *entries, _END_ENTRY]


def _entry(row: Table) -> tuple[int, int, Content]:
    kind = _CONTEXT_TYPES[row.one_of("type", tuple(_CONTEXT_TYPES), "CPU")]
    instance = row.number("instance", 0, most=0xFFFF)
    data = content(row, "data") if "data" in row else after_reset(kind.name, instance=instance)
    if "set" in row:
        data = _set(row, f"hvm.{kind.name}", data)
    return kind.code, instance, data


def _set(row: Table, name: str, data: Content) -> Content:
    """An entry's data with fields overwritten that are given by their names."""
    path = form(name, len(data)) if len(data) <= _ENTRY_MOST else ""
    inner = row.table("set")
    if not path:
        raise row.fail(f"no release writes an entry of {len(data):,} bytes, so its fields have no names", "set")
    raw = bytearray(joined((data,)))
    for place, _ in inner.each():
        inner.spend("steps", 4, place)
        value = patch_value(inner, place)
        try:
            at, field = put_at(payloads()[path], len(raw), lambda _: raw, place)
            encode.put(raw, at, field, value, "<", place)
        except FieldError as error:
            raise inner.fail(str(error).removeprefix(f"{place}: "), place) from None
    return bytes(raw)
