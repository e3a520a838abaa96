"""Two streams compared: what a restore of either would have, as far as both can say it."""

from __future__ import annotations

from .devices import described
from .found import Difference, Section
from .items import compare as compare_items
from .items import label
from .memories import Memories
from .memories import compare as compare_memories
from .side import ordered
from .topics import can_carry, heading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .side import Side

FORMAT = "streamfmt-diff-1"
# Differences of each kind, and ranges of frames, that are kept; how many if all are wanted; and kinds that are told
# apart.  All of these are bounds on what a hostile stream can have kept.
KEPT, ALL, SECTIONS_MAX = 1 << 8, 1 << 18, 64
_OTHERS = "others"
A, B = "a", "b"
_MEMORY = "memory"


class Comparison:
    """What differs between two streams, of which `a` is the first.

    `sections` are differences of records, by what they are about; `memory` those of memory, None if one of the two has
    none.  `beside` are pairs: what only one of them says, the other's form having no place for it, and which has it.
    `troubles` says by side what is wrong with a stream.
    """

    def __init__(self, descriptions: Mapping[str, str], most: int = KEPT) -> None:
        self.descriptions = descriptions
        self.sections: dict[str, Section] = {}
        self.memory: Memories | None = None
        self.beside: dict[tuple[str, str], None] = {}
        self.troubles: dict[str, str] = {}
        self.notes: list[str] = []
        self._most = most

    def section(self, name: str) -> Section:
        """Differences that are about that."""
        found = self.sections.get(name)
        if found is None and len(self.sections) >= SECTIONS_MAX:
            name = _OTHERS
            found = self.sections.get(name)
        if found is None:
            found = self.sections[name] = Section(name, self._most)
        return found

    @property
    def differences(self) -> list[Difference]:
        """Differences of records and their fields, as far as they are kept."""
        return [row for section in self.sections.values() for row in section.kept]

    @property
    def count(self) -> int:
        """How many differences there are but those of memory."""
        return sum(section.count for section in self.sections.values())

    @property
    def alike(self) -> bool:
        """Whether both say the same, each of them being whole."""
        return not self.count and not self.troubles and (self.memory is None or self.memory.alike)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, as in spec/json/diff.json."""
        return {
            "alike": self.alike,
            "count": self.count,
            "sections": [section.as_dict() for section in self.sections.values() if section.count],
            "memory": self.memory.as_dict() if self.memory is not None else None,
            "not_compared": [{"section": name, "side": side} for name, side in self.beside],
            "notes": self.notes,
        }


def compare(
    a: Side,
    b: Side,
    most: int = KEPT,
    looking: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Compare two streams that have been read.

    :param most: differences of each kind that are kept.
    :param looking: look at the contents of pages, too.
    :param progress: is given the bytes of memory that have been compared.
    :raises StreamError: what there was cannot be read any more.
    """
    found = Comparison({A: a.description, B: b.description}, most)
    found.troubles = {name: "; ".join(map(str, side.troubles)) for name, side in ((A, a), (B, b)) if side.troubles}
    if a.kind and b.kind and a.kind != b.kind:
        found.section("guest").add(Difference("", "type", a.kind, b.kind))
        found.notes.append(
            f"they are of two kinds, {a.kind.upper()} and {b.kind.upper()} guests: only what both have is compared"
        )
    _items(found, a, b)
    for name, side in ((A, a), (B, b)):
        if side.about:
            found.notes.append(f"memory of {name.upper()}: {side.about}")
        if side.rest is not None:
            found.notes.append(f"{name.upper()} is as of checkpoint {side.checkpoints:,}; after it, {side.rest}")
    if a.layer is not None and b.layer is not None:
        found.memory = compare_memories(a, b, most, looking, progress)
    else:
        _has(found, _MEMORY, a.layer is not None, b.layer is not None)
    return found


def _items(found: Comparison, a: Side, b: Side) -> None:
    names = {A: a.names, B: b.names}
    devices = described(a), described(b)
    kinds = bool(a.kind and b.kind and a.kind != b.kind)
    for key in ordered(a, b):
        about, identity = key
        name = heading(about)
        if key in a.items and key in b.items:
            compare_items(found.section(name), key, a, b, devices)
            continue
        side, other = (A, B) if key in a.items else (B, A)
        if kinds or not can_carry(names[other], about):
            found.beside[name, side] = None
        else:
            parts = (a if side == A else b).items[key]
            found.section(name).absent(label(about, identity, parts[0]), "", side == A)
    if a.others != b.others:
        found.section("more records").add(Difference("", "digest", a.others or None, b.others or None))


def _has(found: Comparison, name: str, a: bool, b: bool) -> None:
    if a != b:
        found.beside[name, A if a else B] = None
