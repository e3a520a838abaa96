"""Layouts against construct: what our codec makes of a declaration is what the library makes of it.

Held for every layout of the catalogue and for declarations invented here, each with something else that a layout can
have, in both byte orders.  What a layout cannot have is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Construct,
    Container,
    Enum,
    GreedyBytes,
    GreedyRange,
    If,
    IfThenElse,
    Int8sb,
    Int8ul,
    Int16sl,
    Int16ub,
    Int16ul,
    Int24sb,
    Int24sl,
    Int24ub,
    Int24ul,
    Int32ub,
    Int32ul,
    Int64ul,
    NullTerminated,
    Struct,
    Switch,
    this,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ..codec import encode
from ..codec.decode import whole
from ..codec.locate import Places
from ..codec.plan import implied
from ..errors import LayoutError
from ..schema import legacy, libxc
from ..schema.catalogue import declarations, read
from ..schema.model import Field, Part, big_endian, little_bits, reserved_bits
from ..strategies.values import values_of

FEW = settings(max_examples=12)
_STRING = NullTerminated(GreedyBytes)


INVENTED: dict[str, Construct] = {
    "nested structure": Struct(
        "head" / Struct("kind" / Int8ul, "flags" / little_bits("high" / BitsInteger(5), "low" / BitsInteger(3))),
        "deep" / Struct("er" / Struct("count" / Int16ul, "name" / _STRING), "last" / Int32ub),
        "names" / Array(this.deep.er.count, _STRING),
    ),
    "switch": Struct(
        "type" / Enum(Int8ul, A=1, B=2, C=7),
        "length" / Int16ul,
        "body"
        / Switch(
            this.type,
            {
                "A": Struct("x" / Int32ul, "y" / Bytes(this._.length)),
                "B": Int24ul,
                "C": Array(this.length, Struct("v" / Int16ul, "t" / Int8ul)),
            },
        ),
        "crc" / Int32ul,
    ),
    "switch by bytes": Struct(
        "magic" / Bytes(2), "rest" / Switch(this.magic, {b"ab": Int32ul, b"cd": _STRING}, default=GreedyBytes)
    ),
    "if": Struct(
        "flags" / BitStruct("reserved" / reserved_bits(6), "long" / BitsInteger(1), "short" / BitsInteger(1)),
        "long" / If(this.flags.long, Int64ul),
        "short" / If(this.flags.short == 1, Struct("a" / Int8ul, "b" / Int16ul)),
        "either" / IfThenElse(this.flags.long != 1, Int16ul, Struct("one" / Int32ul, "two" / Int32ub)),
        "after" / Int8ul,
    ),
    "choice of a choice": Struct(
        "a" / Int8ul,
        "b" / Int8ul,
        "c" / Switch(this.a, {1: Struct("d" / Int8ul, "e" / If(this._.b, Int16ul))}, default=If(this.b == 2, Int8ul)),
        "f" / Int8ul,
    ),
    "integers of three bytes": Struct("a" / Int24ul, "b" / Int24ub, "c" / Int24sl, "d" / Int24sb, "e" / Int16sl),
    "signed": Struct("a" / Int8sb, "b" / Int16sl, "c" / Int16ub, "n" / Array(2, Int24sl)),
    "fixed lists": Struct(
        "four" / Array(4, Int16ul),
        "x" / Int8ul,
        "pairs" / Array(2, Struct("k" / Int8ul, "v" / _STRING)),
        "blocks" / Array(3, Bytes(5)),
        "y" / Int32ul,
    ),
    "list of lists": Struct(
        "n" / Int8ul,
        "rows" / Array(this.n, Struct("m" / Int8ul, "cells" / Array(this.m, Struct("v" / Int16ul)))),
        "tail" / Int8ul,
    ),
    "plain list of lists": Struct("n" / Int8ul, "m" / Int8ul, "rows" / Array(this.n, Array(3, Array(2, Int16ul)))),
    "counted from outside": Struct(
        "n" / Int8ul,
        "wide" / Int8ul,
        "extra" / Bytes(this.n),
        "rows" / GreedyRange(Struct("id" / Int16ul, "cells" / Array(this._.wide, Int8ul), "one" / Int8ul)),
    ),
    "chosen from outside": Struct(
        "kind" / Int8ul,
        "rows" / Array(2, Switch(this.kind, {1: Int16ul, 2: Struct("a" / Int8ul, "b" / Int8ul)}, Int8ul)),
    ),
    "after variable parts": Struct(
        "length" / Int16ul,
        "a" / Bytes(this.length),
        "b" / Int32ul,
        "c" / _STRING,
        "count" / Int8ul,
        "d" / Int16ul,
        "list" / Array(this.count, Struct("size" / Int8ul, "data" / Bytes(this.size), "end" / Int16ul)),
        "trailer" / Const(b"end"),
    ),
    "by a function": Struct("entries" / Array(3, libxc.PAGE_ENTRY), "some" / Array(libxc.data_pages, Int16ul)),
    "only a list": GreedyRange(Struct("a" / Int8ul, "b" / _STRING)),
    "one integer": Int32ul,
    "nothing": Struct(),
}
# Fields of those that choose what follows: nothing says them but themselves.
CHOOSING = {"flags.long", "flags.short", "type", "magic", "a", "b", "kind"}
DECLARED = {path: con for path, _, _, con, _ in declarations()} | {
    f"invented.{name}": con for name, con in INVENTED.items()
}
# What counts pages, by layout: the formats differ in which types of pages have content.
RULES = {
    path: {"data_pages": legacy.data_pages if path.endswith(".PAGE_BATCH") else libxc.data_pages} for path in DECLARED
}
EACH = [(path, order) for path in DECLARED for order in "<>"]
TWINS = {(path, order): con if order == "<" else big_endian(con) for path, con in DECLARED.items() for order in "<>"}
LAYOUTS = {path: read(path, "", "", con) for path, con in DECLARED.items()}


# -- values ---------------------------------------------------------------------------------------------------


def flat(parsed: Any) -> Any:
    """What construct gives, as our decoding has it: dotted names, plain numbers, and nothing for what is not there."""
    if isinstance(parsed, list):
        return [flat(item) for item in parsed]
    if isinstance(parsed, Container):
        found: dict[str, Any] = {}
        for name, value in parsed.items():
            if isinstance(value, Container):
                found |= {f"{name}.{inner}": it for inner, it in flat(value).items()}
            elif name != "_io" and value is not None:
                found[name] = flat(value)
        return found
    return int(parsed) if hasattr(parsed, "intvalue") else parsed


def nested(values: Any) -> Any:
    """The other way: nested mappings for dotted names."""
    if isinstance(values, list):
        return [nested(item) for item in values]
    if not isinstance(values, dict):
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = name.split(".")
        inner = found
        for step in outer:
            inner = inner.setdefault(step, {})
        inner[last] = nested(value)
    return found


def places(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every integer by its place."""
    for name, value in values.items():
        if isinstance(value, int):
            yield f"{prefix}{name}", value
        elif isinstance(value, list):
            for number, item in enumerate(value):
                around = f"{prefix}{name}[{number}]"
                yield from places(item, f"{around}.") if isinstance(item, dict) else places({"": item}, around)


# -- the codec and construct ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "order"), EACH)
@FEW
@given(st.data())
def test_codec_is_construct(path: str, order: str, data: st.DataObject) -> None:
    """Values built by us or by construct are the same bytes, and those are the same values to both."""
    values = data.draw(values_of(LAYOUTS[path], RULES[path]))
    layout, con = LAYOUTS[path], TWINS[path, order]
    built = encode.whole(layout, values, order)
    parsed = con.parse(built)

    assert (
        whole(layout, built, order) == values == (flat(parsed) if isinstance(parsed, Container) else {"": flat(parsed)})
    )
    assert con.build(parsed) == built
    assert encode.whole(layout, nested(values), order) == built


@pytest.mark.parametrize("path", DECLARED)
@FEW
@given(st.data())
def test_counts_need_not_be_given(path: str, data: st.DataObject) -> None:
    """What counts follows from what is counted, in whatever list that is; what is fixed goes without saying."""
    layout = LAYOUTS[path]
    values = data.draw(values_of(LAYOUTS[path], RULES[path]))
    said = {row.item.path for row in layout.rows if isinstance(row.item, Field) and implied(row.item) is not None}
    counting = {name for name in layout.counting if name not in CHOOSING}
    few = {name: value for name, value in values.items() if name not in said | counting}
    again = whole(layout, encode.whole(layout, few, "<"), "<")

    assert {name: value for name, value in again.items() if name in few} == few
    for name in counting & values.keys():
        assert again[name] in (values[name], 0)  # none if it counts what is in an empty list


@pytest.mark.parametrize(("path", "order"), EACH)
@FEW
@given(st.binary(max_size=80))
def test_any_bytes(path: str, order: str, raw: bytes) -> None:
    """Any bytes are decoded or refused; what has been decoded is encoded to the same bytes."""
    layout = LAYOUTS[path]
    refused = None
    try:
        values = whole(layout, raw, order)
    except LayoutError as error:
        refused = error.at
    if refused is None:
        assert encode.whole(layout, values, order) == raw
    else:
        assert 0 <= refused <= len(raw)


@pytest.mark.parametrize(("path", "order"), EACH)
@FEW
@given(st.data())
def test_places(path: str, order: str, data: st.DataObject) -> None:
    """Each integer is found where it lies, wherever that is."""
    values = data.draw(values_of(LAYOUTS[path], RULES[path]))
    layout = LAYOUTS[path]
    built = encode.whole(layout, values, order)
    finder = Places(layout, len(built), order, lambda _: bytearray(built))
    for place, value in places(values):
        at, row, _ = finder.find(place)
        assert row.value(built[at:], "big" if order == ">" else "little") == value


def test_invented_have_everything() -> None:
    """The declarations above have every kind of item, also after others."""
    items = [item for path, layout in LAYOUTS.items() if path.startswith("invented.") for item in layout.items]

    assert {type(item).__name__ for item in items} == {"Block", "Part", "Choice"}
    assert any(
        isinstance(item, Part) and item.counted is not None and item.counted.up
        for layout in LAYOUTS.values()
        for row in layout.rows
        if isinstance(row.item, Part) and row.item.element
        for item in row.item.element.items
    )
