"""Field rules: which fields of a header or body hold a value the schema does not allow."""

from __future__ import annotations

from .. import tables
from .registry import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .registry import Row

# The magics of layers whose header has a rule about it.
MAGICS = {key: data for key, _, _, data, _ in tables.MAGICS if key in ROWS and ROWS[key].magic}

# So many different bytes at the end of a magic that are one place off are no chance.
_MOVED = 4


def value_of(row: tuple[Any, ...], raw: bytes, order: str) -> int | bytes:
    """The value in `raw`, the bytes of a layout, of the field that a rule's row is about."""
    _, _, offset, size, shift, bits, big, allowed = row
    data: bytes = raw[offset : offset + size]
    if isinstance(allowed, bytes):
        return data
    whole = int.from_bytes(data, "big" if big or order == ">" else "little")
    return whole >> int(shift) & (1 << int(bits)) - 1


def name_of(row: tuple[Any, ...]) -> str:
    """The field's name in its layout."""
    _, path, *_ = row
    return str(path)


def number(path: str, name: str, raw: bytes, order: str) -> int:
    """The integer of the field, whole bytes long, or of the integer that its bits are in, of layout `path` in `raw`."""
    place, size = tables.PLACES[path][name]
    return int.from_bytes(raw[place : place + size], "big" if order == ">" else "little")


def broken_rules(path: str, raw: bytes, order: str) -> list[tuple[Any, ...]]:
    """Rows of the field rules for layout `path` that `raw` breaks."""
    found = []
    for row in tables.RULES.get(path, ()):
        *_, allowed = row
        value = value_of(row, raw, order)
        if value != allowed if isinstance(allowed, bytes) else value not in allowed:
            found.append(row)
    return found


def foreign(layer: Row, broken: list[tuple[Any, ...]], raw: bytes) -> list[tuple[Any, ...]]:
    """The rule by which `raw` is no header of that layer, if it is none: it breaks no other rule then.

    What follows such a header cannot be read on trust.  A magic with little damage is still that magic.
    """
    near = damaged(layer.name, raw) if broken else []
    decisive = (layer.version, *(() if near else layer.magic))
    return [row for row in broken if name_of(row) in decisive][:1]


def damaged(layer: str, raw: bytes, size: int | None = None) -> list[tuple[int, int, int]]:
    """Where the magic of that layer, or its first `size` bytes, has other bytes in `raw`: place, byte, expected byte.

    Empty if it has none, or so many (above one in four) that it is another magic, or noise; and if a byte was lost or
    added there, for then all that follows is out of its place.
    """
    magic = MAGICS.get(layer, b"")[:size]
    if len(raw) < len(magic):
        return []
    wrong = [(place, raw[place], byte) for place, byte in enumerate(magic) if raw[place] != byte]
    if not wrong or len(wrong) > len(magic) // 4:
        return []
    first = wrong[0][0]
    lost, added = raw[first : len(magic) - 1] == magic[first + 1 :], raw[first + 1 : len(magic)] == magic[first:-1]
    return [] if (lost or added) and len(set(magic[first:])) >= _MOVED else wrong


def places(wrong: list[tuple[int, int, int]]) -> str:
    """What is damaged, for people: "byte 3 is 0xfe, expected 0xff"."""
    return "; ".join(f"byte {place} is {byte:#04x}, expected {due:#04x}" for place, byte, due in wrong)


def quote(data: bytes) -> str:
    """Bytes for a person: as text where they are text, else in hexadecimal."""
    text = data.rstrip(b"\0")
    if text and all(32 <= byte < 127 or byte in b"\t\n\0\r" for byte in text):
        return repr(text.decode("latin-1"))
    return data.hex(" ")


def text_size(data: bytes) -> int:
    """How many of the first bytes are text."""
    other = data.translate(None, tables.TEXT)
    if other:
        data = data[: data.index(other[:1])]
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(data)
