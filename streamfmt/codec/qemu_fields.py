"""Fields of QEMU's devices, as the description after a stream names them: their values in the sections' payloads.

Source: QEMU migration/vmstate.c, vmstate_save_vmsd and vmsd_desc_*; scripts/analyze-migration.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# What types of numbers begin with; and those that are numbers under another name.
_SIGNED, _UNSIGNED = "int", "uint"
_NUMBERS = ("timer", "bool", "ptr-marker", "nullptr")
# Bytes of a value that are shown.
_SHOWN = 16
# Structures that are in one another.
_DEEP = 64
_SUBSECTION = 5


class Value:
    """A field: `name` with those of the structures around it, where in the payload it is, and what it is.

    `value` is a number, or bytes.
    """

    __slots__ = ("at", "name", "size", "type", "value")

    def __init__(self, name: str, kind: str, at: int, data: bytes) -> None:
        self.name = name
        self.type = kind
        self.at = at
        self.size = len(data)
        self.value: int | bytes = _value(kind, data)

    @property
    def text(self) -> str:
        """The value for people."""
        if isinstance(self.value, int):
            return str(self.value) if abs(self.value) < 1 << 16 else f"{self.value:#x}"
        if not any(self.value):
            return f"{self.size} zeros"
        shown = self.value[:_SHOWN].hex(" ")
        return shown if self.size <= _SHOWN else f"{shown} ... ({self.size} bytes)"


def _value(kind: str, data: bytes) -> int | bytes:
    if len(data) <= 8 and (kind.startswith((_SIGNED, _UNSIGNED)) or kind in _NUMBERS):
        return int.from_bytes(data, "big", signed=kind.startswith(_SIGNED))
    return data


def values(device: Mapping[str, Any], payload: bytes) -> Iterator[Value]:
    """The fields of a device, of whose payload as much is read as it has.

    Raises KeyError, TypeError and ValueError where the description is none.
    """
    if "fields" not in device:
        yield Value("data", "buffer", 0, payload)
        return
    yield from _structure(device, payload, 0, "", 0)


def _structure(row: Mapping[str, Any], data: bytes, at: int, prefix: str, deep: int) -> Iterator[Value]:
    if deep > _DEEP:
        raise ValueError("structures are too deep in one another")
    counts: dict[str, int] = {}
    for field in row["fields"]:
        size, count = int(field["size"]), int(field.get("array_len", 1))
        name = prefix + str(field["name"])
        if "index" in field or name in counts:
            # Elements of an array that are written one by one; not all releases number them.
            number = counts[name] = counts.get(name, -1) + 1
            name = f"{name}[{int(field.get('index', number))}]"
        elif "array_len" not in field:
            counts[name] = 0
        inner = field.get("struct") or (field if "fields" in field else None)
        for number in range(count if inner or size * count <= _SHOWN or size > 8 else 1):
            if at >= len(data):
                return
            each = f"{name}[{number}]" if "array_len" in field and count > 1 and (inner or size <= 8) else name
            whole = size if inner or size > 8 or size * count <= _SHOWN else size * count
            if inner:
                yield from _structure(inner, data[: at + whole], at, f"{each}.", deep + 1)
            else:
                kind = str(field["type"])
                yield Value(each if whole == size else name, kind, at, data[at : at + whole])
            at += whole
    for inner in row.get("subsections", ()):
        head = 2 + len(inner["vmsd_name"]) + 4
        if data[at : at + 1] != bytes((_SUBSECTION,)):
            return
        yield from _structure(inner, data, at + head, f"{inner['vmsd_name']}: ", deep + 1)
        at += head + extent(inner)


def extent(row: Mapping[str, Any]) -> int:
    """Bytes of a device or a structure by its description, with its subsections and their headers."""
    if "fields" not in row:
        return int(row.get("size", 0))
    total = 0
    for field in row["fields"]:
        total += int(field["size"]) * int(field.get("array_len", 1))
    for inner in row.get("subsections", ()):
        total += 2 + len(inner["vmsd_name"]) + 4 + extent(inner)
    return total
