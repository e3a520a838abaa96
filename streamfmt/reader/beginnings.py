"""What bytes begin like, where a stream might be or has just ended: one answer for every command."""

from __future__ import annotations

from .. import tables


def known(head: bytes) -> tuple[str, str, str] | None:
    """Key, kind and name of what has its magic at the beginning of `head`."""
    return next(
        ((key, kind, name) for key, kind, place, magic, name in tables.MAGICS if not place and head.startswith(magic)),
        None,
    )


def following(head: bytes, count: int, zero: bool) -> tuple[bool, str]:
    """What `count` bytes after END are, which begin with `head` and are all zero or not, in words.

    The first of the two says whether known tools leave such bytes there.
    """
    for magic, whole, name in tables.TRAILERS:
        if head.startswith(magic) and (not whole or count == len(magic)):
            return True, name
    if zero:
        return True, "zeros up to the end, as on a block device"
    other = known(head)
    return False, f"another {other[2]}" if other else f"nothing known, beginning {head[:16].hex(' ')}"
