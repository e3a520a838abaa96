"""Entries of an HVM context, made and read by the declarations of their payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...codec import decode, encode
from ...codec.payload import ORDER, payloads
from ...errors import GuestError, LayoutError
from ...payload_tables import ENTRY_NAMES, FIELDS, FORMS
from ...schema import hvm
from ...writer import part
from ...writer.builders import context

CODES = {row.name: row.code for row in hvm.CONTEXT_TYPES}
# The newest forms, but for what only the latest releases take: they extend shorter ones with zeros.
_USUAL = {row.name: row.lengths[-1] for row in hvm.CONTEXT_TYPES} | {"LAPIC": 24}
# Values of an entry's fields, by their paths.
Fields = dict[str, Any]


class Entry(NamedTuple):
    """An entry: the name of its type, whose it is, and what it holds."""

    name: str
    instance: int
    data: bytes


class Read(NamedTuple):
    """One that was read: the path of its declaration, its fields, and what they were read from."""

    path: str
    fields: Fields
    data: bytes


# Those of a context by type and instance.
Rows = Mapping[tuple[str, int], Read]


def made(name: str, values: Mapping[str, Any]) -> bytes:
    """An entry's data, of the form that is written.

    :raises FieldError: a value does not fit its field.
    """
    return encode.whole(payloads()[path(name)], values, ORDER)


def over(name: str, data: bytes, values: Mapping[str, Any]) -> bytes:
    """An entry like `data`, but for these fields.

    :raises FieldError: a value does not fit its field.
    """
    layout = payloads()[path(name, len(data))]
    return encode.whole(layout, {**decode.whole(layout, data, ORDER), **values}, ORDER)


def usual(name: str) -> int:
    """Bytes of the form of an entry that is written."""
    return _USUAL[name]


def path(name: str, size: int | None = None) -> str:
    """Where the form of an entry of `size` bytes, or the one that is written, is declared; empty if there is none.

    Where one form is of any length it is that: the others tell apart what we do not look into.
    """
    forms = FORMS.get(f"hvm.{name}", {})
    return forms.get(0) or forms.get(usual(name) if size is None else size, "")


def read(entries: Iterable[tuple[int, int, bytes]]) -> dict[tuple[str, int], Read]:
    """A context's entries: type, instance and data of each.  Those of devices that we do not know are left out.

    :raises GuestError: one cannot be read.
    """
    found: dict[tuple[str, int], Read] = {}
    for code, instance, data in entries:
        name = ENTRY_NAMES.get(code, "")
        where = path(name, len(data))
        if not where:
            continue
        try:
            found[name, instance] = Read(where, decode.whole(payloads()[where], bytes(data), ORDER), bytes(data))
        except LayoutError as error:
            raise GuestError(f"the HVM context's entry {name}[{instance}] cannot be read: {error}") from None
    return found


def split(body: bytes) -> list[tuple[int, int, bytes]]:
    """A context's entries: type, instance and data of each, without the header and the end.

    :raises GuestError: it is no context.
    """
    try:
        rows = decode.whole(decode.layouts()["libxc.HVM_CONTEXT"], body, ORDER)["context"]
    except LayoutError as error:
        raise GuestError(f"the HVM context cannot be read: {error}") from None
    found = [(row["typecode"], row["instance"], bytes(row["data"])) for row in rows]
    first, last = (found[0], found[-1]) if found else ((-1, 0, b""), (-1, 0, b""))
    if first[0] != hvm.HEADER_TYPE or not first[2].startswith(hvm.HEADER_BEGINS) or last[0] != hvm.END_TYPE:
        raise GuestError("the HVM context has no header at its beginning, or no END")
    return found[1:-1]


def record(entries: Iterable[Entry]) -> part.Part:
    """The record HVM_CONTEXT of these entries, with header and end."""
    rows = [(CODES[row.name], row.instance, row.data) for row in entries]
    return context((hvm.HEADER_TYPE, 0, hvm.HEADER_DATA), *rows, (hvm.END_TYPE, 0, b""))


def bits(where: str, name: str, word: int) -> Fields:
    """The fields of a word that consists of some, by their paths."""
    rows = ((field, *row[2:4]) for field, row in FIELDS[where].items() if field.startswith(f"{name}."))
    return {field: word >> shift & (1 << count) - 1 for field, shift, count in rows}


def word(where: str, name: str, values: Mapping[str, Any]) -> int:
    """The word that these fields make."""
    rows = ((field, row[2]) for field, row in FIELDS[where].items() if field.startswith(f"{name}."))
    return sum(int(values[field]) << shift for field, shift in rows)
