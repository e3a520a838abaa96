"""Headers and bodies encoded by their descriptions: the mirror of `decode`.

Any value that fits into its field is taken, whatever a rule says of it: judging is the verifier's business.  Constants,
reserved fields, and counts and lengths of what follows need not be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from struct import error, pack
from typing import Any, TypeAlias

from ..errors import FieldError
from ..schema.model import TO_NUL, Block, Choice, Field, Item, Layout, Part, members
from .content import Buffer, Content, Made, Numbers, joined
from .plan import Head, Plan, Route, implied, planned

_BYTES = (bytes, bytearray, memoryview, Made)
# What is no mapping, for a quick look: asking an abstract class takes many times as long.
_PLAIN = (int, str, *_BYTES, list, tuple)
# Bytes that are passed on as they are, not copied into what surrounds them.
_APART = 2048
# Numbers of a long list that are encoded at a time.
_SOME = 8192
# Characters of a value that a message has.
_SAID = 60


def buffers(layout: Layout, values: Mapping[str, Any], order: str) -> list[Content]:
    """The bytes of a header or a body, in pieces: large opaque values are among them as they were given.

    `values` are what `decode.whole` gives: fixed fields by name, and bytes or a list for each variable part.  Names
    may stand for numbers where the schema has them, a nested mapping for dotted names, its integer for an element made
    of bit fields, and the bytes of all elements for a list.  `order` is struct's byte order.  Raises FieldError.
    """
    found: list[Content] = []
    _layout(layout, _flat(values), "", order, found)
    return found


def whole(layout: Layout, values: Mapping[str, Any], order: str) -> bytes:
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
        raise FieldError(name, "it lies after the end of the body")
    if isinstance(value, _BYTES):
        if len(value) != row.size:
            raise FieldError(name, f"{len(value)} bytes, not {row.size}")
        data[start:stop] = joined((value,))
        return
    if row.raw:
        raise FieldError(name, f"{_said(value)} is not {row.size} bytes")
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


_Around: TypeAlias = tuple[tuple[Layout, Mapping[str, Any]], ...]


def _packed(head: Head, values: Mapping[str, Any], order: str) -> bytes | None:
    """A block's fields at once; None where one of them is not plainly a value of its field."""
    pack_all = head.packs.get(order)
    if pack_all is None:
        return None
    words: list[Any] = head.words.copy()
    for path, word, shift, mask, least, most, raw, codes, default, counted, counts in head.rows:
        value = values.get(path)
        if value is None:
            if counted is not None:
                value = _count(counted, values.get(counted.name, ()), path)
            else:
                value = _counted(counts, head.layout, values, path) if counts else default
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
    return pack_all.pack(*words)


def _layout(
    layout: Layout, values: Mapping[str, Any], name: str, order: str, out: list[Content], around: _Around = ()
) -> None:
    """One layout's bytes onto `out`."""
    plan: Plan = layout.kept[0] if layout.kept else planned(layout)
    if plan.chooses:
        around = ((layout, values), *around)
        _known(layout, values, name, around)
        _items(layout.items, plan, name, order, out, around)
        return
    if not plan.known >= values.keys():
        _known(layout, values, name, around)
    for step in plan.steps:
        if isinstance(step, Head):
            packed = _packed(step, values, order)
            _join(out, _fields(step, values, name, order) if packed is None else packed)
        else:
            _part(step, values.get(step.name, ()), f"{name}{step.name}", order, out, around)


def _known(layout: Layout, values: Mapping[str, Any], name: str, around: _Around) -> None:
    """Refuse values of fields that the layout has not, or not in this case."""
    known = {item.path for item in members(layout.items, lambda choice: _chosen(choice, around, name))}
    if not known >= values.keys():
        unknown = min(values.keys() - known)
        raise FieldError(f"{name}{unknown}", f"{layout.path} has no such field, only {', '.join(sorted(known))}")


def _items(items: tuple[Item, ...], plan: Plan, name: str, order: str, out: list[Content], around: _Around) -> None:
    """Items of which some are choices."""
    values = around[0][1]
    for item in items:
        if isinstance(item, Block):
            head = plan.heads[id(item)]
            packed = _packed(head, values, order)
            _join(out, _fields(head, values, name, order) if packed is None else packed)
        elif isinstance(item, Part):
            _part(item, values.get(item.name, ()), f"{name}{item.name}", order, out, around)
        else:
            _items(_chosen(item, around, name), plan, name, order, out, around)


def _chosen(choice: Choice, around: _Around, name: str) -> tuple[Item, ...]:
    """The items of the case that the values choose.  Raises FieldError where they choose none."""
    row, (layout, values) = choice.on.field, around[choice.on.up]
    value = values.get(row.path)
    if value is None:
        counts = planned(layout).counts.get(row.path)
        value = _counted(counts, layout, values, f"{name}{row.path}") if counts else _default(row, name)
    elif isinstance(value, _BYTES):
        value = joined((value,))
        value = value if row.raw else None
    elif not row.raw:
        value = number(row, value, f"{name}{row.path}")
    if value is None:
        raise FieldError(f"{name}{row.path}", "it chooses what follows, so it is a number or a name")
    return choice.chosen(value)


def _fields(head: Head, values: Mapping[str, Any], name: str, order: str) -> bytearray:
    """A block's fields one by one, whatever they are given as.  Raises FieldError."""
    data = bytearray(head.block.size)
    for row, packed in zip(head.block.fields, head.rows, strict=True):
        value = values.get(row.path)
        if value is None and packed.counts:
            value = _counted(packed.counts, head.layout, values, f"{name}{row.path}")
        put(data, 0, row, _default(row, name) if value is None else value, order, f"{name}{row.path}")
    return data


def _default(row: Field, name: str) -> int | bytes:
    value = implied(row)
    if value is None:
        raise FieldError(f"{name}{row.path}", "it needs a value")
    return value


def _counted(routes: tuple[Route, ...], layout: Layout, values: Mapping[str, Any], name: str) -> int:
    """How often what a field counts is there, among the values of its layout.  Raises FieldError."""
    found = sorted({count for route in routes for count in _counts(route, layout, values, name)})
    if len(found) > 1:
        raise FieldError(name, f"it needs a value, since it counts lists of {found[0]} and of {found[1]} elements")
    return found[0] if found else 0


def _counts(route: Route, layout: Layout, values: Mapping[str, Any], name: str) -> Iterator[int]:
    """How often the part at the end of a route is there, for each element of the lists on the way."""
    for choice, items in route.cases:
        if not choice.on.up and _chosen(choice, ((layout, values),), "") is not items:
            return
    value = values.get(route.part.name)
    if value is None:
        return
    if route.inner is None:
        yield _count(route.part, value, name)
    elif isinstance(value, _BYTES) or not isinstance(value, Sequence) or route.part.element is None:
        raise FieldError(name, f"it needs a value, since {route.part.name} is not given as a list")
    else:
        for item in value:
            row = _flat(item) if isinstance(item, Mapping) else {"": item}
            yield from _counts(route.inner, route.part.element, row, name)


def _count(part: Part, value: Any, name: str) -> int:
    """How often the part's element is there."""
    if type(value) is list or type(value) is tuple:
        return len(value)
    if isinstance(value, _BYTES):
        if part.unit:
            return len(value) // part.unit
    elif isinstance(value, (Sequence, Numbers)):
        return len(value)
    raise FieldError(name, f"it needs a value, since {part.name} is not given as a list")


def _part(part: Part, value: Any, name: str, order: str, out: list[Content], around: _Around) -> None:
    if isinstance(value, _BYTES):
        if part.element is not None and (not part.unit or len(value) % part.unit):
            raise FieldError(name, f"{len(value)} bytes are no whole elements")
        _join(out, value)
    elif isinstance(value, Numbers):
        _join(out, _numbers(part, value, name, order))
    elif not isinstance(value, Sequence) or isinstance(value, str):
        raise FieldError(name, f"{_said(value)} is neither bytes nor a list")
    elif part.element is None:
        for place, item in enumerate(value):
            if not isinstance(item, _BYTES) or (part.unit > 1 and len(item) % part.unit):
                raise FieldError(f"{name}[{place}]", f"it is not {part.unit} bytes, nor several times as many")
            _join(out, item)
    elif (code := _word(part.element)) and all(type(item) is int for item in value):
        try:
            _join(out, pack(f"{_order(part.element, order)}{len(value)}{code}", *value))
        except error as wrong:
            raise FieldError(name, str(wrong)) from None
    else:
        for place, item in enumerate(value):
            row = _flat(item) if isinstance(item, Mapping) else {"": item}
            _layout(part.element, row, f"{name}[{place}].", order, out, around)
    if part.count == TO_NUL:
        _join(out, b"\0")


def _numbers(part: Part, value: Numbers, name: str, order: str) -> Content:
    """The bytes of many numbers, which are made when they are wanted."""
    code = _word(part.element) if part.element is not None else ""
    if not code or part.element is None:
        raise FieldError(name, "it is no list of numbers")
    order = _order(part.element, order)
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
    if {(row.offset, row.raw or row.signed) for row in element.fields} != {(0, False)} or element.items[1:]:
        return ""
    return {4: "I", 8: "Q"}.get(element.size, "")


def _order(element: Layout, order: str) -> str:
    """The byte order of such an element."""
    return ">" if element.fields[0].big else order


def _join(out: list[Content], piece: Content) -> None:
    """Small pieces into one, large ones as they are."""
    if isinstance(piece, Made) or len(piece) >= _APART:
        out.append(piece)
    elif out and isinstance(out[-1], bytearray) and len(out[-1]) < _APART:
        out[-1] += piece
    else:
        out.append(bytearray(piece))
