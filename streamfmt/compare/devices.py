"""Devices in the sections of a QEMU stream: by the description after them, where one of two streams has it."""

from __future__ import annotations

from ..codec.qemu_fields import values
from .leaves import LEAVES_MAX, Leaf, leaves
from .topics import DESCRIPTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from .leaves import Leaves
    from .side import Identity, Side

    # Devices as a description has them, by name and instance.
    Devices: TypeAlias = Mapping[tuple[str, int], Mapping[str, Any]]

# Leaves of a section that has a device, and the longest description that is read.
PAYLOAD, _VERSION = "payload", "version_id"
_TEXT_MAX = 4 << 20


def described(side: Side) -> Devices:
    """The devices that a stream describes, by its items; none if it has no description, or none that can be read."""
    for part in side.items.get((DESCRIPTION, ()), ()):
        if part.size > _TEXT_MAX:
            continue
        from json import loads

        text = leaves(part.path, side.bodies.read(part.at, part.size), part.order).get("text")
        try:
            rows = loads(text.value)["devices"] if text is not None and isinstance(text.value, bytes) else []
            return {(row["name"], row["instance_id"]): row for row in rows}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return {}


def by_fields(identity: Identity, a: Leaves, b: Leaves, devices: tuple[Devices, Devices]) -> None:
    """Put the fields of a device in the place of its section's payload, in both, if both can be read by them."""
    name, instance = (*identity, 0, 0)[:2]
    if not isinstance(name, bytes) or not isinstance(instance, int):
        return
    key = name.decode("latin-1"), instance
    mine, theirs = (found.get(key) for found in devices)
    if a.get(_VERSION) == b.get(_VERSION):
        mine, theirs = mine or theirs, theirs or mine
    left, right = _leaves(mine, a[PAYLOAD]), _leaves(theirs, b[PAYLOAD])
    if left is not None and right is not None:
        for into, fields in ((a, left), (b, right)):
            del into[PAYLOAD]
            into.update(fields)


def _leaves(row: Mapping[str, Any] | None, payload: Leaf) -> Leaves | None:
    """The fields of a device; None if they are not known."""
    data, found, end = payload.value, {}, 0
    if row is None or not isinstance(data, bytes):
        return None
    try:
        for field in values(row, data):
            found[field.name] = Leaf(field.value)
            end = max(end, field.at + field.size)
            if len(found) > LEAVES_MAX:
                return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if end < len(data):
        found["what is not described"] = Leaf(data[end:])
    return found
