"""Headers and bodies encoded by their descriptions: the mirror of `decode`.

Any value that fits into its field is taken, whatever a rule says of it: judging is the verifier's business.  Constants,
reserved fields, and counts and lengths of what follows need not be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from struct import Struct, error, pack
from typing import Any, NamedTuple

from ..errors import FieldError
from ..schema.model import Field, Layout, Part
from .content import Buffer, Content, Made, Numbers, joined

_OCTETS = (bytes, bytearray, memoryview, Made)
# What is no mapping, for a quick look: asking an abstract class takes many times as long.
_PLAIN = (int, str, *_OCTETS, list, tuple)
# struct's letters for integers, by their bytes.
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
# Octets that are passed on as they are, not copied into what surrounds them.
_APART = 2048
# Numbers of a long list that are encoded at a time.
_SOME = 8192
# Characters of a value that a message has.
_SAID = 60


def buffers(layout: Layout, values: Mapping[str, Any], order: str) -> list[Content]:
    """The octets of a header or a body, in pieces: large opaque values are among them as they were given.

    `values` are what `decode.whole` gives: fixed fields by name, and octets or a list for each variable part.  Names
    may stand for numbers where the schema has them, a nested mapping for dotted names, its integer for an element made
    of bit fields, and the octets of all elements for a list.  `order` is struct's byte order.  Raises FieldError.
    """
    found: list[Content] = []
    _layout(layout, _flat(values), "", order, found)
    return found


def octets(layout: Layout, values: Mapping[str, Any], order: str) -> bytes:
    """All of them in one piece."""
    return joined(buffers(layout, values, order))


def number(row: Field, value: Any, name: str) -> int:
    """The integer that goes into a field.  Raises FieldError."""
    if isinstance(value, str):
        codes = {word: code for code, word in row.names.items()}
        if value not in codes:
            raise FieldError(
                name, f"{_said(value)} is none of {', '.join(codes)}" if codes else f"{_said(value)} is no number"
            )
        return codes[value]
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(name, f"{_said(value)} is no number")
    least = -(1 << row.bits - 1) if row.signed else 0
    most = (1 << row.bits - row.signed) - 1
    if not least <= value <= most:
        raise FieldError(name, f"{_said(value)} is not within {least} to {most}")
    return value


def put(data: bytearray, at: int, row: Field, value: Any, order: str, name: str) -> None:
    """One field overwritten in a layout that begins at `data[at]`.  Raises FieldError."""
    start, stop = at + row.offset, at + row.offset + row.size
    if stop > len(data):
        raise FieldError(name, "it lies behind the end of the body")
    if isinstance(value, _OCTETS):
        if len(value) != row.size:
            raise FieldError(name, f"{len(value)} octets, not {row.size}")
        data[start:stop] = joined((value,))
        return
    if row.raw:
        raise FieldError(name, f"{_said(value)} is not {row.size} octets")
    value = number(row, value, name) & (1 << row.bits) - 1
    mask = (1 << row.bits) - 1 << row.shift
    word: Any = "big" if row.big or order == ">" else "little"
    whole = int.from_bytes(data[start:stop], word)
    data[start:stop] = (whole & ~mask | value << row.shift).to_bytes(row.size, word)


def _said(value: object) -> str:
    """A value in a message: its beginning if it is long.  Python refuses to print integers of thousands of digits."""
    text = hex(value) if isinstance(value, int) and value.bit_length() > 128 else repr(value)
    return text if len(text) <= _SAID else f"{text[: _SAID - 3]}..."


def _flat(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """With dotted names for nested mappings."""
    if all(isinstance(value, _PLAIN) for value in values.values()):
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update((f"{name}.{inner}", it) for inner, it in _flat(value).items())
        else:
            found[name] = value
    return found


class _Row(NamedTuple):
    """A fixed field in a :class:`_Plan`: which word it lies in and where in that, and the values that it can have."""

    path: str
    word: int
    shift: int
    mask: int
    least: int
    most: int
    raw: int  # bytes of a field that is no integer
    codes: dict[str, int]
    default: int | bytes | None
    counted: Part | None


class _Plan(NamedTuple):
    """What does not change from one encoding of a layout to the next.

    `heads` packs all fixed fields at once, by byte order; it is empty where no one format has them.
    """

    known: frozenset[str]
    counted: dict[str, Part]
    size: int
    rows: list[_Row]
    words: list[int | bytes]
    heads: dict[str, Struct]


def _planned(layout: Layout) -> _Plan:
    """The layout's plan, which is made once."""
    if not layout.kept:
        layout.kept.append(_plan(layout))
    found: _Plan = layout.kept[0]
    return found


def _plan(layout: Layout) -> _Plan:
    counted = {part.count: part for part in layout.parts}
    places = sorted({(row.offset, row.size, row.raw) for row in layout.fields})
    rows = [
        _Row(
            row.path,
            places.index((row.offset, row.size, row.raw)),
            row.shift,
            (1 << row.bits) - 1,
            -(1 << row.bits - 1) if row.signed else 0,
            (1 << row.bits - row.signed) - 1,
            row.size if row.raw else 0,
            {word: code for code, word in row.names.items()},
            implied(row),
            counted.get(row.path),
        )
        for row in layout.fields
    ]
    known = frozenset((*(row.path for row in layout.fields), *(part.name for part in layout.parts)))
    words: list[int | bytes] = [bytes(size) if raw else 0 for _, size, raw in places]
    return _Plan(known, counted, layout.size, rows, words, _heads(layout, places))


def _heads(layout: Layout, places: list[tuple[int, int, bool]]) -> dict[str, Struct]:
    orders = {row.big for row in layout.fields if not row.raw and row.size > 1}
    # One order for all, and each integer where the one before it ends.
    if len(orders) > 1 or not all(raw or size in _LETTERS for _, size, raw in places):
        return {}
    if [offset for offset, _, _ in places] != [sum(size for _, size, _ in places[:at]) for at in range(len(places))]:
        return {}
    letters = "".join(f"{size}s" if raw else _LETTERS[size] for _, size, raw in places)
    return {order: Struct((">" if True in orders else order) + letters) for order in "<>"}


def _head(plan: _Plan, values: Mapping[str, Any], order: str) -> bytes | None:
    """The fixed fields at once; None where one of them is not plainly a value of its field."""
    head = plan.heads.get(order)
    if head is None:
        return None
    words: list[Any] = plan.words.copy()
    for path, word, shift, mask, least, most, raw, codes, default, counted in plan.rows:
        value = values.get(path)
        if value is None:
            value = default if counted is None else _count(counted, values.get(counted.name, ()))
        if raw:
            if type(value) is not bytes or len(value) != raw:
                return None
            words[word] = value
            continue
        if type(value) is str:
            value = codes.get(value)
        if type(value) is not int or not least <= value <= most:
            return None
        words[word] |= (value & mask) << shift
    return head.pack(*words)


def _layout(layout: Layout, values: Mapping[str, Any], name: str, order: str, out: list[Content]) -> None:
    """One layout's octets onto `out`."""
    plan = _planned(layout)
    if not plan.known >= values.keys():
        unknown = min(values.keys() - plan.known)
        raise FieldError(f"{name}{unknown}", f"{layout.path} has no such field, only {', '.join(sorted(plan.known))}")
    head = _head(plan, values, order)
    _join(out, _fields(layout, plan, values, name, order) if head is None else head)
    for part in layout.parts:
        _part(part, values.get(part.name, ()), f"{name}{part.name}", order, out)


def _fields(layout: Layout, plan: _Plan, values: Mapping[str, Any], name: str, order: str) -> bytearray:
    """The fixed fields one by one, whatever they are given as.  Raises FieldError."""
    head = bytearray(plan.size)
    for row in layout.fields:
        value = values.get(row.path)
        if value is None and row.path in plan.counted:
            part = plan.counted[row.path]
            value = _count(part, values.get(part.name, ()))
        put(head, 0, row, _default(row, name) if value is None else value, order, f"{name}{row.path}")
    return head


def implied(row: Field) -> int | bytes | None:
    """What a field has that is not given; None if it must be."""
    if row.constant is not None:
        return row.constant
    if row.allowed is not None and len(row.allowed) == 1:
        return row.allowed[0]
    if row.reserved:
        return bytes(row.size) if row.raw else 0
    return None


def _default(row: Field, name: str) -> int | bytes:
    value = implied(row)
    if value is None:
        raise FieldError(f"{name}{row.path}", "it needs a value")
    return value


def _count(part: Part, value: Any) -> int:
    """How often the part's element is there."""
    return len(value) // part.unit if isinstance(value, _OCTETS) else len(value)


def _part(part: Part, value: Any, name: str, order: str, out: list[Content]) -> None:
    if isinstance(value, _OCTETS):
        if part.element is not None and (not part.unit or len(value) % part.unit):
            raise FieldError(name, f"{len(value)} octets are no whole elements")
        _join(out, value)
    elif isinstance(value, Numbers):
        _join(out, _numbers(part, value, name, order))
    elif not isinstance(value, Sequence) or isinstance(value, str):
        raise FieldError(name, f"{_said(value)} is neither octets nor a list")
    elif part.element is None:
        for place, item in enumerate(value):
            if not isinstance(item, _OCTETS) or (part.unit > 1 and len(item) % part.unit):
                raise FieldError(f"{name}[{place}]", f"it is not {part.unit} octets, nor several times as many")
            _join(out, item)
    elif (code := _word(part.element)) and all(type(item) is int for item in value):
        try:
            _join(out, pack(f"{order}{len(value)}{code}", *value))
        except error as wrong:
            raise FieldError(name, str(wrong)) from None
    else:
        for place, item in enumerate(value):
            row = _flat(item) if isinstance(item, Mapping) else {"": item}
            _layout(part.element, row, f"{name}[{place}].", order, out)
    if part.count == "to a NUL":
        _join(out, b"\0")


def _numbers(part: Part, value: Numbers, name: str, order: str) -> Content:
    """The octets of many numbers, which are made when they are wanted."""
    code = _word(part.element) if part.element is not None else ""
    if not code:
        raise FieldError(name, "it is no list of numbers")
    if value.least < 0 or value.most >> 8 * part.unit:
        wrong = value.least if value.least < 0 else value.most
        raise FieldError(name, f"{wrong} is not within 0 to {(1 << 8 * part.unit) - 1}")

    def make() -> Iterator[Buffer]:
        left = iter(value)
        while some := tuple(islice(left, _SOME)):
            yield pack(f"{order}{len(some)}{code}", *some)

    size = part.unit * len(value)
    return Made(size, make) if len(value) > _SOME else b"".join(make())


def _word(element: Layout) -> str:
    """struct's letter for an element that is one integer, whatever bits it has; empty for others."""
    if element.parts or {(row.offset, row.big or row.raw or row.signed) for row in element.fields} != {(0, False)}:
        return ""
    return {4: "I", 8: "Q"}.get(element.size, "")


def _join(out: list[Content], piece: Content) -> None:
    """Small pieces into one, large ones as they are."""
    if isinstance(piece, Made) or len(piece) >= _APART:
        out.append(piece)
    elif out and isinstance(out[-1], bytearray) and len(out[-1]) < _APART:
        out[-1] += piece
    else:
        out.append(bytearray(piece))
