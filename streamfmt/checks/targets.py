"""Whom a stream is for: what --target names, and what of it each layer's checks ask for."""

from __future__ import annotations

from ..reader.registry import ROWS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# What judges a layer for each kind of program, by the name that --target has it by; its module has a `parse`.
KINDS = dict(row.target for row in ROWS.values() if row.target[0])


def parse(text: str) -> tuple[str, Any]:
    """Kind and target of a text such as "qemu-11.1:pc-i440fx-10.0".  Raises ValueError, in words."""
    kind, _, rest = text.partition("-")
    if kind not in KINDS or not rest:
        known = " or ".join(f"{name}-RELEASE" for name in KINDS)
        raise ValueError(f"{text[:64]!r} is no target: give {known}")
    return kind, load(f"{KINDS[kind].partition(':')[0]}:parse")(rest)


def several(texts: Iterable[str]) -> Mapping[str, Any]:
    """Targets by kind.  Raises ValueError for one that is none, and for two of a kind."""
    found: dict[str, Any] = {}
    for text in texts:
        kind, target = parse(text)
        if kind in found:
            raise ValueError(f"{text[:64]!r} is a second target of {kind}: a stream is judged for one at a time")
        found[kind] = target
    return found
