"""Entries of an HVM context as recipes describe them: by type, with bytes, or with fields set by their names."""

from __future__ import annotations

from collections.abc import Sequence

from ..codec import encode
from ..codec.content import Content, joined, zeros
from ..codec.inside import put_at
from ..codec.payload import form, payloads
from ..errors import FieldError
from ..schema import hvm
from .parse import content, patch_value
from .toml import Table

_HEADER_ENTRY = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
_CONTEXT_TYPES = {row.name: row for row in hvm.CONTEXT_TYPES}
_END_ENTRY = (hvm.END_TYPE, 0, bytes(_CONTEXT_TYPES["END"].lengths[0]))
# Bytes of an entry whose fields are set by name: more than any processor's state has.
_ENTRY_MOST = 64 << 10


def newest(name: str) -> bytes:
    """An entry's data of the length that it has now, all zero."""
    return bytes(_CONTEXT_TYPES[name].lengths[-1])


def context_of(top: Table, vcpus: Sequence[int], state: bytes) -> list[tuple[int, int, Content]]:
    """Entries of an HVM context: by default each vcpu's state."""
    entries = [_entry(row) for row in top.tables("context")]
    if not entries:
        entries = [(_CONTEXT_TYPES["CPU"].code, number, state) for number in vcpus]
        top.spend("parts and rows", len(vcpus), "vcpus")
    return [_HEADER_ENTRY, *entries, _END_ENTRY]


def _entry(row: Table) -> tuple[int, int, Content]:
    kind = _CONTEXT_TYPES[row.one_of("type", tuple(_CONTEXT_TYPES), "CPU")]
    data = content(row, "data") if "data" in row else zeros(kind.lengths[-1])
    if "set" in row:
        data = _set(row, f"hvm.{kind.name}", data)
    return kind.code, row.number("instance", 0, most=0xFFFF), data


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
