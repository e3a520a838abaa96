"""What a comparison found: differences by what they are about, and their number."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from .leaves import Leaf

    # A value as JSON has it: 64-bit ones and bytes are hexadecimal, long bytes an object; None if there is none.
    Plain: TypeAlias = int | str | dict[str, int | str] | None

# Bytes that are shown whole, and of more, from the first that differs.
_BYTES_MAX, SHOWN = 32, 16
# Characters that are kept of a text.
_TEXT_MAX = 1024
_THERE = "there"


class Difference(NamedTuple):
    """One thing that differs: `item` is whose, such as "CPU[1]", and `field` its path there, "" if all of it is meant.

    `a` and `b` are the values, None where there is none; `only_a` and `only_b` names of bits that are set in one only,
    and `numbers` what several bits say together, by name, in either.  `section` is what they are about.
    """

    item: str
    field: str
    a: Plain
    b: Plain
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    numbers: tuple[tuple[str, int, int], ...] = ()
    section: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain values, as in spec/json/diff.json."""
        found: dict[str, Any] = {"item": self.item, "field": self.field, "a": self.a, "b": self.b}
        if self.only_a or self.only_b or self.numbers:
            found |= {"only_a": list(self.only_a), "only_b": list(self.only_b)}
            found["numbers"] = {name: [a, b] for name, a, b in self.numbers}
        return found


class Section:
    """Differences of one kind: the first of them are in `kept`, and `count` is how many there are."""

    __slots__ = ("count", "kept", "most", "name")

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.count = 0
        self.kept: list[Difference] = []

    def add(self, difference: Difference) -> None:
        self.count += 1
        if len(self.kept) < self.most:
            self.kept.append(difference._replace(section=self.name))

    def absent(self, item: str, field: str, only_a: bool) -> None:
        """Something is in one of the two only."""
        self.add(Difference(item, field, _THERE if only_a else None, None if only_a else _THERE))

    def as_dict(self) -> dict[str, Any]:
        """The section as plain values."""
        rows = [row.as_dict() for row in self.kept]
        return {"section": self.name, "count": self.count, "differences": rows, "more": self.count - len(self.kept)}


def leaf_differences(section: Section, item: str, a: dict[str, Leaf], b: dict[str, Leaf]) -> None:
    """Add what differs among leaves of the same paths, or is in one only."""
    for name in a | b:
        one, other = a.get(name), b.get(name)
        if one is not None and other is not None and one.value == other.value:
            continue
        row = one or other
        assert row is not None, "one of the two has it"
        if row.bits:
            section.add(_of_bits(item, name, one, other, row))
            continue
        section.add(Difference(item, name, *_plain(one, other)))


def _of_bits(item: str, name: str, one: Leaf | None, other: Leaf | None, row: Leaf) -> Difference:
    """What differs in a value whose bits have names; without a name it is bit so-and-so."""
    a = one.value if one is not None and isinstance(one.value, int) else 0
    b = other.value if other is not None and isinstance(other.value, int) else 0
    only_a: list[str] = []
    only_b: list[str] = []
    numbers: list[tuple[str, int, int]] = []
    rest = a ^ b
    for named, shift, width in row.bits:
        mask = (1 << width) - 1
        left, right = a >> shift & mask, b >> shift & mask
        rest &= ~(mask << shift)
        if left == right:
            continue
        if width > 1:
            numbers.append((named, left, right))
        else:
            (only_a if left else only_b).append(named)
    for bit in range(rest.bit_length()):
        if rest >> bit & 1:
            (only_a if a >> bit & 1 else only_b).append(f"bit {bit}")
    return Difference(item, name, *_plain(one, other), tuple(only_a), tuple(only_b), tuple(numbers))


def _plain(a: Leaf | None, b: Leaf | None) -> tuple[Plain, Plain]:
    """Two values, of bytes as far as it takes to see that they differ."""
    one, other = (leaf.value if leaf is not None else None for leaf in (a, b))
    if isinstance(one, bytes) or isinstance(other, bytes):
        left = one if isinstance(one, bytes) else None
        right = other if isinstance(other, bytes) else None
        at = first_difference(left or b"", right or b"")
        return of_bytes(left, at), of_bytes(right, at)
    return _of_value(a), _of_value(b)


def _of_value(leaf: Leaf | None) -> Plain:
    if leaf is None:
        return None
    value, row = leaf.value, leaf.row
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX else value[:_TEXT_MAX] + "..."
    if isinstance(value, int):
        name = row.names.get(value) if row is not None else None
        return name or (hex(value) if row is not None and row.size == 8 and row.bits > 32 else value)
    return of_bytes(value, 0)


def of_bytes(value: bytes | None, at: int) -> Plain:
    """Bytes that differ from byte `at` on."""
    if value is None:
        return None
    if len(value) <= _BYTES_MAX:
        return value.hex()
    return {"bytes": len(value), "at": at, "hex": value[at : at + SHOWN].hex()}


def first_difference(a: bytes, b: bytes) -> int:
    """The first byte in which they differ, or the length of the shorter."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
