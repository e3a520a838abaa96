"""Structures that lie in a region: registers by their names and offsets, in the byte order of the host."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ...schema.vfio import READ, WRITE, Register


class Structure:
    """The registers of a structure; `clause` is what an access breaks that has no place in it."""

    def __init__(self, registers: Iterable[Register]) -> None:
        self.rows = {row.name: row for row in registers}

    def touched(self, offset: int, size: int, write: bool) -> list[Register] | None:
        """The registers that an access is to, each whole and none left out; None if there is no such."""
        found: list[Register] = []
        at = offset
        for row in self.rows.values():
            if row.offset == at and at < offset + size:
                if row.access == (READ if write else WRITE):
                    return None
                found.append(row)
                at += row.size
        return found if found and at == offset + size else None


def number(raw: bytes | bytearray | memoryview) -> int:
    """A number of the host's byte order."""
    return int.from_bytes(raw, sys.byteorder)


def raw(value: int, size: int) -> bytes:
    """Its bytes."""
    return value.to_bytes(size, sys.byteorder)
