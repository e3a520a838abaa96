"""Entries of an HVM context such as Xen loads, where nothing else is said: of a machine that has just been reset."""

from __future__ import annotations

from functools import cache

from ..payload_tables import FIELDS, FORMS
from ..schema import hvm

_LENGTHS = {row.name: row.lengths for row in hvm.CONTEXT_TYPES}


@cache
def after_reset(name: str, length: int | None = None, instance: int = 0) -> bytes:
    """An entry's data.

    :param name: the entry's type, such as "CPU".
    :param length: in bytes, by default its newest; of a length that no release gives it all is 0.
    :param instance: the vcpu, or the device, that it is of.
    """
    length = _LENGTHS[name][-1] if length is None else length
    raw = bytearray(length)
    places = FIELDS.get(FORMS[f"hvm.{name}"].get(length, ""), {})
    known = places and (not instance or name not in hvm.RESET_FIRST)
    for field, value in hvm.RESET.get(name, {}).items() if known else ():
        at, size, shift, *_ = places[field]
        raw[at : at + size] = (value << shift).to_bytes(size, "little")
    return bytes(raw)
