"""Field rules: which fields of a header or body hold a value the schema does not allow."""

from __future__ import annotations

from . import literals as L

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A header whose one of these is wrong is not that header: what follows cannot be read on trust.
IDENTITY = frozenset(("ident", "marker", "id", "version"))


def value_of(row: tuple[Any, ...], raw: bytes, order: str) -> int | bytes:
    """The value in `raw`, the octets of a layout, of the field that a rule's row is about."""
    _, _, offset, size, shift, bits, big, allowed = row
    octets: bytes = raw[offset : offset + size]
    if isinstance(allowed, bytes):
        return octets
    whole = int.from_bytes(octets, "big" if big or order == ">" else "little")
    return whole >> int(shift) & (1 << int(bits)) - 1


def broken_rules(path: str, raw: bytes, order: str) -> list[tuple[Any, ...]]:
    """Rows of the field rules for layout `path` that `raw` breaks."""
    found = []
    for row in L.RULES.get(path, ()):
        value, allowed = value_of(row, raw, order), row[7]
        if value != allowed if isinstance(allowed, bytes) else value not in allowed:
            found.append(row)
    return found
