"""The description after QEMU's stream, which names each field of each section: it fits the sections that have come."""

from __future__ import annotations

from .. import tables
from ..codec.qemu_fields import extent
from .messages import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.events import Body
    from ..reader.pump import Program
    from .qemu import Checks

_FIXED = tables.SIZES["qemu.VMDESCRIPTION"]
# A longer text is not looked into: Python's objects take many times as much memory.
TEXT_MAX = 512 << 10
_CLAUSE, _FORM = "QEMU-DESC-SECTIONS", "QEMU-DESC-OPT"


def description(checks: Checks, body: Body) -> Program:
    """Program that judges the description: it is JSON, and has the sections that have come."""
    record, context = body.record, checks.context
    raw = yield from body.take(_FIXED)
    left = body.left
    if len(raw) < _FIXED:
        return
    if left > TEXT_MAX or checks.sections.full:
        why = f"the description has {left:,} bytes, and up to {TEXT_MAX:,} are looked into"
        context.abstain(_CLAUSE, why)
        context.abstain(_FORM, why)
        return
    text = bytearray()
    while piece := (yield from body.piece()):
        text += piece
    if len(text) < left:
        return
    at = record.body + _FIXED
    found, wrong = parsed(bytes(text))
    if wrong:
        message = f"the description is not what it should be: {wrong}"
        context.report(_FORM, record, message, offset=at, length=left, field="text", expected="JSON", actual=wrong)
        return
    said = [(name, instance, version, size) for name, instance, version, size in found]
    rows = checks.sections.rows
    difference = _difference(rows, said)
    if difference:
        context.report(_CLAUSE, record, difference, offset=at, length=left, field="text")


def parsed(text: bytes) -> tuple[list[tuple[bytes, int, int | None, int]], str]:
    """Name, instance, version and length of each section that a description has; and what is wrong with it.

    The version is None of a device of the oldest kind, which is described by its length alone.
    """
    import json  # few streams have one

    try:
        whole = json.loads(text)
        devices = whole["devices"]
        return [_device(row) for row in devices], ""
    except (ValueError, RecursionError) as error:
        return [], " ".join(str(error).split())[:80]
    except (KeyError, TypeError, AttributeError):
        return [], "it has no list of devices with their fields"


def _device(row: Any) -> tuple[bytes, int, int | None, int]:
    version = row.get("version")
    name, instance = row["name"], row["instance_id"]
    if not isinstance(name, str) or not isinstance(instance, int) or not isinstance(version, (int, type(None))):
        raise TypeError
    return name.encode("latin-1", "replace"), instance, version, extent(row)


def _difference(rows: list[tuple[bytes, int, int, int]], said: list[tuple[bytes, int, int | None, int]]) -> str:
    """Where the description and the sections part, in words; empty if they do not."""
    for number, (row, other) in enumerate(zip(rows, said, strict=False)):
        name, instance, version, length = row
        if (name, instance) != other[:2]:
            return f"section {number} is {shown(name)} {instance}, and in the description {shown(other[0])} {other[1]}"
        if other[2] not in (version, None):
            return f"{shown(name)} {instance} has version {version}, and in the description {other[2]}"
        if length != other[3]:
            return f"{shown(name)} {instance} has {length:,} bytes, and in the description {other[3]:,}"
    if len(rows) != len(said):
        return f"there are {len(rows):,} sections that were sent at once, and the description has {len(said):,}"
    return ""
