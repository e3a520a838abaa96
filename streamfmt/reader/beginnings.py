"""What follows a stream: one answer for every command, from the same lookup that says what a whole input is."""

from __future__ import annotations

from .. import tables
from .identify import by_magic


def following(head: bytes, count: int, zero: bool) -> tuple[bool, str]:
    """What `count` bytes after END are, which begin with `head` and are all zero or not, in words.

    The first of the two says whether known tools leave such bytes there.
    """
    for magic, whole, name in tables.TRAILERS:
        if head.startswith(magic) and (not whole or count == len(magic)):
            return True, name
    if zero:
        return True, "zeros up to the end, as on a block device"
    other = by_magic(head, False, 0)
    return False, f"another {other.name}" if other else f"nothing known, beginning {head[:16].hex(' ')}"
