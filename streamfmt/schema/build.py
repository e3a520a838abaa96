"""What the schema modules say beyond plain construct: constraints, bit fields, record types.

The schemas are ordinary construct declarations, written as the format stands on x86 (little-endian, but for
the headers that are big-endian always).  This module adds the few words construct lacks: a set of allowed
values that can be printed, a bit field inside an integer of either byte order, and the row that gives a record
its code, name, legal guests and length.  :func:`big_endian` derives the other byte order.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from construct import BitsInteger, BitStruct, Bytes, ByteSwapped, Const, FormatField, GreedyBytes, Struct, Subconstruct
from construct.core import Construct, Renamed, Transformed, ValidationError, Validator, bytes2bits, swapbytes

# The bit of a libxl or libxc record's type by which a reader may skip what it does not know.
OPTIONAL_BIT = 31

LIBXC_SPEC = "docs/specs/libxc-migration-stream.pandoc"
LIBXL_SPEC = "docs/specs/libxl-migration-stream.pandoc"


class Allowed(Validator):
    """A field whose value must be one of `values`: construct's OneOf, but the values can be read back."""

    def __init__(self, subcon: Construct, values: Collection[int]) -> None:
        super().__init__(subcon)
        self.values = tuple(values)

    def _validate(self, obj: Any, context: Any, path: str) -> bool:
        return int(obj) in self.values

    def _decode(self, obj: Any, context: Any, path: str) -> Any:
        if not self._validate(obj, context, path):
            raise ValidationError(f"{obj!r} is not one of {self.values!r}", path=path)
        return obj


def reserved(size: int) -> Construct:
    """`size` octets that writers leave zero."""
    return Const(bytes(size), Bytes(size))


def reserved_bits(count: int) -> Construct:
    """`count` bits that writers leave zero."""
    return Const(0, BitsInteger(count))


def little_bits(*fields: Construct) -> Construct:
    """Bit fields of one little-endian integer, named from the most significant bit down."""
    return ByteSwapped(BitStruct(*fields))


def big_endian(con: Construct) -> Construct:
    """The same declaration with every little-endian integer turned big-endian."""
    if isinstance(con, FormatField):
        return FormatField(">", con.fmtstr[1:])
    if isinstance(con, Struct):
        return Struct(*[big_endian(field) for field in con.subcons])
    if isinstance(con, Transformed) and con.decodefunc is swapbytes:
        return con.subcon
    if isinstance(con, Transformed) and con.decodefunc is bytes2bits:
        return con
    if isinstance(con, Subconstruct):
        twin = copy.copy(con)
        twin.subcon = big_endian(con.subcon)
        return twin
    return con


@dataclass(frozen=True, slots=True)
class RecordType:
    """One record type of a layer: its code on the wire, its name, what may carry it, and how long it may be.

    `least` and `most` bound the variable part of the body, counted in its elements (octets for an opaque one).
    `lengths` is for a variable part of a few fixed sizes.  `version` is the image version that brought it, if
    that is not the first.
    """

    code: int
    name: str
    body: Construct
    doc: str
    source: str
    guests: tuple[str, ...] = ("pv", "hvm")
    version: int = 0
    least: int = 0
    most: int | None = None
    lengths: tuple[int, ...] = ()


def opaque(name: str, doc: str) -> Construct:
    """The rest of a body, whose meaning belongs to somebody else."""
    return Renamed(GreedyBytes, newname=name, newdocs=doc)
