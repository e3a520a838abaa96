"""Fields of fixed size, read off construct's own objects: integers, their bits, and bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from construct import BitsInteger, Bytes, BytesInteger, Const, Enum, FormatField, Struct
from construct.core import Construct, Renamed, Transformed, bytes2bits, swapbytes

from ..errors import SchemaError
from .model import Allowed, Field

NAME = re.compile(r"[A-Za-z_]\w*")
# struct's letters for integers; construct has others, for floats.
_INTEGERS = frozenset("bBhHlLqQ")


def unwrapped(con: Construct) -> Construct:
    while isinstance(con, Renamed):
        con = con.subcon
    return con


def fields(con: Construct, name: str, doc: str, offset: int, path: str) -> Iterator[Field]:
    """The field, or those of the bits of an integer."""
    bits = _bits(con)
    if bits is None:
        leaf, allowed, names = _plain(con, path)
        raw = isinstance(leaf, Bytes)
        size, signed, big = (int(leaf.length), False, False) if raw else _integer(leaf, path)
        constant = con.value if isinstance(con, Const) and raw else None
        if constant is not None and len(constant) != size:
            raise SchemaError(path, f"its constant has {len(constant)} bytes, not {size}")
        _fits(path, allowed, 8 * size, signed)
        yield Field(name, offset, size, 0, 8 * size, big and size > 1, raw, signed, allowed, names, constant, doc)
        return
    members = []
    for member in bits[0].subcons:
        if member.name is None or not NAME.fullmatch(member.name):
            raise SchemaError(path, "some of its bits have no name")
        inner = f"{path}.{member.name}"
        leaf, allowed, names = _plain(unwrapped(member), inner)
        if not isinstance(leaf, BitsInteger) or not isinstance(leaf.length, int) or leaf.signed or leaf.swapped:
            raise SchemaError(inner, "it is not so many bits of an unsigned integer")
        _fits(inner, allowed, leaf.length, False)
        members.append((member, leaf.length, allowed, names))
    shift = sum(width for _, width, _, _ in members)
    size, odd = divmod(shift, 8)
    if odd or not size:
        raise SchemaError(path, f"it has {shift} bits, which are not whole bytes")
    prefix = f"{name}." if name else ""
    for member, width, allowed, names in members:
        shift -= width
        inner, text = prefix + member.name, str(member.docs)
        yield Field(inner, offset, size, shift, width, bits[1], False, False, allowed, names, None, text)


def _bits(con: Construct) -> tuple[Struct, bool] | None:
    """The bit fields of an integer and whether it is big-endian, or None for something else."""
    swapped = isinstance(con, Transformed) and con.decodefunc is swapbytes
    inner = unwrapped(con.subcon) if swapped else con
    if isinstance(inner, Transformed) and inner.decodefunc is bytes2bits and isinstance(inner.subcon, Struct):
        return inner.subcon, not swapped
    return None


def _plain(con: Construct, path: str) -> tuple[Construct, tuple[int, ...] | None, dict[int, str]]:
    """The plain integer or bytes inside constraints, the values they allow, and the names they give."""
    allowed: tuple[int, ...] | None = None
    names: dict[int, str] = {}
    while not isinstance(con, (FormatField, BytesInteger, BitsInteger, Bytes)):
        if isinstance(con, Const) and isinstance(con.value, int):
            allowed = (con.value,)
        elif isinstance(con, Allowed):
            allowed = con.values
        elif isinstance(con, Enum):
            names = {int(value): str(label) for label, value in con.encmapping.items()}
            allowed = tuple(names)
        elif not isinstance(con, Renamed) and not (isinstance(con, Const) and isinstance(con.value, bytes)):
            raise SchemaError(path, f"{type(con).__name__} is nothing that a layout can have")
        con = con.subcon
    if isinstance(con, Bytes) and allowed is not None:
        raise SchemaError(path, "bytes have no allowed numbers")
    return con, allowed, names


def _integer(leaf: Construct, path: str) -> tuple[int, bool, bool]:
    """Size of an integer, whether it has a sign, and whether it is big-endian."""
    if isinstance(leaf, BytesInteger):
        if not isinstance(leaf.length, int) or not isinstance(leaf.swapped, bool) or leaf.length < 1:
            raise SchemaError(path, "its size is not a number of bytes")
        return leaf.length, bool(leaf.signed), not leaf.swapped
    if isinstance(leaf, BitsInteger):
        raise SchemaError(path, "bits stand outside of a BitStruct")
    order, letter = leaf.fmtstr[0], leaf.fmtstr[1]
    if letter not in _INTEGERS:
        raise SchemaError(path, f"{leaf.fmtstr!r} is no integer")
    size = int(leaf.sizeof())
    if order not in "<>" and size > 1:
        raise SchemaError(path, "its byte order is that of this machine")
    return size, letter.islower(), bool(order == ">")


def _fits(path: str, allowed: tuple[int, ...] | None, bits: int, signed: bool) -> None:
    """Refuse allowed values that the field cannot have."""
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    for value in allowed or ():
        if not least <= value <= most:
            raise SchemaError(path, f"it allows {value}, which is not within {least} to {most}")
