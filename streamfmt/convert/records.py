"""Headers and records of new streams, as bytes, by the tables of their schemas."""

from __future__ import annotations

from struct import Struct, pack

from .. import tables
from ..reader.registry import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

_RECORD = Struct("<" + tables.FORMATS["libxc.record_header"])
_ENTRY, _PAGE = tables.UNITS["libxc.PAGE_DATA"]
# What the converter of Xen writes as the version of Xen that saved the guest: none, and its own.
_XEN = 0, 1
PADDED = ROWS["libxc"].align


def fixed(path: str, order: str, **values: int) -> bytes:
    """The fixed fields of a layout: those given, what the others have to be if that is one value, else 0."""
    raw = bytearray(tables.SIZES[path])
    word: Literal["big", "little"] = "big" if order == ">" else "little"
    for _, _, place, size, shift, _, _, allowed in tables.RULES.get(path, ()):
        if isinstance(allowed, bytes):
            raw[place : place + size] = allowed
        elif len(allowed) == 1:
            raw[place : place + size] = (allowed[0] << shift).to_bytes(size, word)
    for name, value in values.items():
        place, size = tables.PLACES[path][name]
        raw[place : place + size] = value.to_bytes(size, word)
    return bytes(raw)


def image_headers(guest: str) -> bytes:
    """The two headers of an image of the present version."""
    kind = next(code for code, name in tables.GUESTS.items() if name == guest)
    major, minor = _XEN
    return fixed("libxc.image_header", ">", version=tables.LIBXC_VERSION_STATIC) + fixed(
        "libxc.domain_header", "<", type=kind, xen_major=major, xen_minor=minor
    )


def stream_header() -> bytes:
    """The header of a libxl stream that was converted, and the record after which an image comes."""
    options = {"options.legacy": tables.LIBXL_OPTIONS["legacy"]}
    return fixed("libxl.header", ">", **options) + header(tables.LIBXL_LIBXC_CONTEXT, 0)


def header(kind: int, length: int) -> bytes:
    """A record's header, the same in both layers."""
    return _RECORD.pack(kind, length)


def record(kind: int, *parts: bytes) -> bytes:
    """A whole record."""
    body = b"".join(parts)
    return header(kind, len(body)) + body + bytes(-len(body) % PADDED)


def padding(length: int) -> bytes:
    """What comes after a body of that length."""
    return bytes(-length % PADDED)


def batch(entries: Sequence[int], pages: int) -> bytes:
    """How a PAGE_DATA record begins, as far as its pages."""
    length = tables.SIZES["libxc.PAGE_DATA"] + _ENTRY * len(entries) + _PAGE * pages
    return header(tables.LIBXC_PAGE_DATA, length) + pack(f"<II{len(entries)}Q", len(entries), 0, *entries)


def batch_of(entries: bytes, pages: int) -> bytes:
    """The same of entries as they are in a record."""
    length = tables.SIZES["libxc.PAGE_DATA"] + len(entries) + _PAGE * pages
    return header(tables.LIBXC_PAGE_DATA, length) + pack("<II", len(entries) // _ENTRY, 0) + entries


def params(values: Iterable[tuple[int, int]]) -> bytes:
    """An HVM_PARAMS record; none if there are no parameters."""
    found = list(values)
    if not found:
        return b""
    return record(
        tables.LIBXC_HVM_PARAMS, pack("<II", len(found), 0), *(pack("<QQ", index, value) for index, value in found)
    )
