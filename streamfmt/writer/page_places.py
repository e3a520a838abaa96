"""Where a page of the guest lies in a PAGE_DATA record's body, and a field of what it holds: "page[0x5].entries[3].rw".

Paths are those that `edit` has.
"""

from __future__ import annotations

import re
from struct import iter_unpack, unpack_from

from .. import tables
from ..codec.inside import Hold, put_at
from ..codec.payload import payloads
from ..errors import FieldError
from ..reader.events import ENTRY, PAGE, PAGE_FIXED
from ..reader.page_data import form_of
from ..schema.model import Field

PATH = "libxc.PAGE_DATA"
_PLACE = re.compile(r"page\[(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})\](?:\.(.+))?")
# Entries that are looked at in a step.
_STEP = 16
# Bytes by which start info is recognised.
_MAGIC = 32
_WHOLE = Field("", 0, PAGE, 0, 8 * PAGE, False, True, False, None, {}, None, "All of a page.")


def find(size: int, order: str, hold: Hold, place: str) -> tuple[int, Field, int] | None:
    """Where the block begins that such a field lies in, the field, and how many steps it took; None if it is none.

    :param size: bytes of the body, of which `hold` gives the first ones.
    :raises FieldError: the record has no such page, or that no such field.
    """
    match = _PLACE.fullmatch(place)
    if match is None:
        return None
    frame, rest = int(match[1], 16 if match[1][:2] in ("0x", "0X") else 10), match[2]
    kind, at, steps = _page(size, order, hold, frame, place)
    raw = bytes(hold(at + PAGE)[at : at + PAGE])
    if len(raw) < PAGE:
        raise FieldError(place, "the page lies too far into the body to be overwritten")
    if not rest:
        return at, _WHOLE, steps
    path = form_of(kind, raw[:_MAGIC])
    if not path:
        raise FieldError(place, f"it is no page table and no start info; page[{frame:#x}] is all of its bytes")
    try:
        start, row = put_at(payloads()[path], PAGE, lambda count: bytearray(raw[:count]), rest)
    except FieldError as error:
        raise FieldError(place, str(error).partition(": ")[2]) from None
    return at + start, row, steps


def _page(size: int, order: str, hold: Hold, frame: int, place: str) -> tuple[int, int, int]:
    """The type of a frame's page, where its content begins, and how many steps it took.  Raises FieldError."""
    count = unpack_from(f"{order}I", hold(PAGE_FIXED).ljust(PAGE_FIXED, b"\0"))[0]
    first = PAGE_FIXED + ENTRY * count
    held = hold(first)
    if first > min(size, len(held)):
        raise FieldError(place, "the record's entries are not whole, or too many")
    found, before = [], 0
    for (entry,) in iter_unpack(f"{order}Q", bytes(held[PAGE_FIXED:first])):
        kind = entry >> tables.ENTRY_TYPE_SHIFT
        if kind in tables.PAGE_TYPES_DATA:
            if entry & tables.ENTRY_PFN_MASK == frame:
                found.append((kind, first + PAGE * before))
            before += 1
    if len(found) != 1 or found[0][1] + PAGE > size:
        how = "comes several times in it" if found[1:] else "has no content in it"
        raise FieldError(place, f"page {frame:#x} {how}")
    return *found[0], 1 + count // _STEP
