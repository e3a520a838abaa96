"""What a part's fields can be set to where something could change: boundary values."""

from __future__ import annotations

from ..codec.decode import layouts
from ..codec.locate import Places
from ..schema.model import Field
from .part import Part


def boundary_values(row: Field) -> list[int | bytes]:
    """The values at which something could change for a field: its least and most, and those beside what is allowed.

    Of bits that are reserved it is each, or where there are many those in the middle.
    """
    if row.raw:
        right = row.constant or bytes(row.size)
        return [right, bytes(row.size), b"\xff" * row.size, right[:-1] + bytes([right[-1] ^ 1]), b"\1" + right[1:]]
    least = -(1 << row.bits - 1) if row.signed else 0
    most = (1 << row.bits - row.signed) - 1
    found = {0, 1, least, most, most >> 1, (most >> 1) + 1}
    for value in row.allowed or ():
        found |= {value - 1, value, value + 1}
    if row.allowed == (0,):
        found |= {1 << bit for bit in range(row.bits) if row.bits <= 16 or bit in (15, 16)}
    if row.bits <= 4:
        found |= set(range(most + 1))
    return sorted((value for value in found if least <= value <= most), key=lambda value: (abs(int(value)), int(value)))


def fields(part: Part) -> dict[str, Field]:
    """A part's fields by the name that `Stream.patch` takes; of each list those of its first and last element."""
    layout = layouts()[part.path]
    body = part.body("<")
    found = {row.path: row for row in layout.fields if row.offset + row.size <= len(body)}
    for listed, starts in Places(layout, len(body), "<", lambda _: bytearray(body)).lists():
        for number in sorted({0, len(starts) - 1}) if starts else ():
            inner = listed.element.fields if listed.element is not None else ()
            found |= {f"{listed.name}[{number}].{row.path}".rstrip("."): row for row in inner}
    return found
