"""What a layout cannot have is refused when the catalogue is made, by the path of the declaration and its file."""

from __future__ import annotations

import pytest
from construct import (
    Aligned,
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    ByteSwapped,
    Computed,
    Const,
    Construct,
    Container,
    Enum,
    Flag,
    Float32l,
    GreedyBytes,
    GreedyRange,
    Hex,
    If,
    Int8sl,
    Int8ul,
    Int16ul,
    Int32ul,
    Int32un,
    NullTerminated,
    Optional,
    Padding,
    PascalString,
    Pass,
    Peek,
    Pointer,
    Prefixed,
    PrefixedArray,
    Rebuild,
    RepeatUntil,
    Struct,
    Switch,
    Tell,
    Terminated,
    VarInt,
    len_,
    this,
)
from construct.core import Renamed

from ..errors import SchemaError
from ..schema import libxc, libxl, model
from ..schema.catalogue import catalogue, read
from ..schema.model import Allowed, little_bits

_N = "n" / Int8ul
_STRING = NullTerminated(GreedyBytes)

# A member, the end of its path, and words of the reason.
REFUSED: dict[str, tuple[Construct, str, str]] = {
    "float": ("x" / Float32l, "t.x", "'<f' is no integer"),
    "this machine's byte order": ("x" / Int32un, "t.x", "byte order is that of this machine"),
    "flag": ("x" / Flag, "t.x", "Flag is nothing that a layout can have"),
    "padding": ("x" / Padding(3), "t.x", "Padded is nothing"),
    "alignment": ("x" / Aligned(4, Int8ul), "t.x", "Aligned is nothing"),
    "pass": ("x" / Pass, "t.x", "Pass is nothing"),
    "computed": ("x" / Computed(3), "t.x", "Computed is nothing"),
    "rebuilt": ("x" / Rebuild(Int8ul, len_(this.y)), "t.x", "Rebuild is nothing"),
    "variable integer": ("x" / VarInt, "t.x", "VarInt is nothing"),
    "display": ("x" / Hex(Int8ul), "t.x", "Hex is nothing"),
    "peek": ("x" / Peek(Int8ul), "t.x", "Peek is nothing"),
    "pointer": ("x" / Pointer(0, Int8ul), "t.x", "Pointer is nothing"),
    "place": ("x" / Tell, "t.x", "Tell is nothing"),
    "end": ("x" / Terminated, "t.x", "Terminated is nothing"),
    "optional": ("x" / Optional(Int8ul), "t.x", "Select is nothing"),
    "swapped": ("x" / ByteSwapped(Int32ul), "t.x", "Transformed is nothing"),
    "prefixed": ("x" / Prefixed(Int8ul, GreedyBytes), "t.x", "Prefixed is nothing"),
    "prefixed list": ("x" / PrefixedArray(Int8ul, Int8ul), "t.x", "FocusedSeq is nothing"),
    "text": ("x" / PascalString(Int8ul, "utf8"), "t.x", "StringEncoded is nothing"),
    "repeat until": ("x" / RepeatUntil(lambda it, _, __: it == 0, Int8ul), "t.x", "RepeatUntil is nothing"),
    "no name": (Int8ul, "t", "a member has no name"),
    "bad name": ("a.b" / Int8ul, "t", "a member has the name 'a.b'"),
    "no name inside": ("x" / Struct(Renamed(Int8ul, newname="y"), Int8ul), "t.x", "a member has no name"),
    "name twice": ("x" / Struct("y" / Int8ul, "y" / Int8ul), "t.x", "two members have the name y"),
    "constant of another length": ("x" / Const(b"abc", Bytes(4)), "t.x", "its constant has 3 bytes, not 4"),
    "impossible value": ("x" / Allowed(Int8ul, (1, 256)), "t.x", "allows 256, which is not within 0 to 255"),
    "impossible name": ("x" / Enum(Int8sl, A=128), "t.x", "allows 128, which is not within -128 to 127"),
    "allowed bytes": ("x" / Allowed(Bytes(2), (1,)), "t.x", "bytes have no allowed numbers"),
    "bits outside": ("x" / BitsInteger(3), "t.x", "bits stand outside of a BitStruct"),
    "odd bits": ("x" / little_bits("a" / BitsInteger(7)), "t.x", "it has 7 bits, which are not whole bytes"),
    "signed bits": ("x" / BitStruct("a" / BitsInteger(8, signed=True)), "t.x.a", "bits of an unsigned integer"),
    "flags in bits": ("x" / BitStruct("a" / Flag, "b" / BitsInteger(7)), "t.x.a", "Flag is nothing"),
    "unnamed bits": ("x" / BitStruct(BitsInteger(8)), "t.x", "some of its bits have no name"),
    "text with another end": ("x" / NullTerminated(GreedyBytes, term=b"\n"), "t.x", "text ends with one NUL"),
    "text with its end": ("x" / NullTerminated(GreedyBytes, include=True), "t.x", "text ends with one NUL"),
    "what ends with a NUL": ("x" / NullTerminated(Int8ul), "t.x", "what ends with a NUL is not bytes"),
    "expression": ("x" / Bytes(this.n - 1), "t.x", "(this['n'] - 1) is not the name of a field"),
    "length of a list": ("x" / Bytes(len_(this.n)), "t.x", "is not the name of a field"),
    "lambda": ("x" / Bytes(lambda it: it.n), "t.x", "a function counts it, and no rule judges how many there are then"),
    "function": ("x" / Array(ord, Int8ul), "t.x", "is not the name of a field"),
    "unknown field": ("x" / Bytes(this.m), "t.x", "this['m'] names no field that is always there before it"),
    "field after it": (
        "x" / Struct("y" / Bytes(this.z), "z" / Int8ul),
        "t.x.y",
        "this['z'] names no field that is always there before it",
    ),
    "field outside": ("x" / Bytes(this._.n), "t.x", "names no field"),
    "field of a case": (
        "x" / Struct("y" / If(this._.n, Int8ul), "z" / Bytes(this.y)),
        "t.x.z",
        "this['y'] names no field that is always there",
    ),
    "counted by bytes": ("x" / Struct("y" / Bytes(1), "z" / Bytes(this.y)), "t.x.z", "no unsigned integer"),
    "counted by what has a sign": ("x" / Struct("y" / Int8sl, "z" / Bytes(this.y)), "t.x.z", "no unsigned integer"),
    "counted by less than none": ("x" / Array(-1, Int8ul), "t.x", "it cannot be there -1 times"),
    "discarded": ("x" / Array(2, Int8ul, discard=True), "t.x", "its elements are discarded"),
    "empty elements": ("x" / GreedyRange(Struct()), "t.x", "its elements may be empty"),
    "elements that may be empty": ("x" / Array(this.n, Struct("y" / Bytes(this._.n))), "t.x", "may be empty"),
    "endless elements": ("x" / Array(2, Struct("y" / GreedyBytes)), "t.x", "one element goes to the end"),
    "after the end": ("x" / Struct("y" / GreedyBytes, "z" / Int8ul), "t.x.z", "x.y before it goes to the end"),
    "after a list to the end": ("x" / Struct("y" / GreedyRange(Int8ul), "z" / _STRING), "t.x.z", "goes to the end"),
    "after what a function counts": (
        "x" / Struct("y" / Array(libxc.data_pages, Int8ul), "z" / Int8ul),
        "t.x.z",
        "goes to the end",
    ),
    "after a case to the end": (
        "x" / Struct("y" / If(this._.n, GreedyBytes), "z" / Int8ul),
        "t.x.z",
        "x.y before it goes to the end",
    ),
    "switch on an expression": ("x" / Switch(this.n & 1, {1: Int8ul}), "t.x", "is not the name of a field"),
    "switch on a function": ("x" / Switch(lambda it: it.n, {1: Int8ul}), "t.x", "is not the name of a field"),
    "case of another kind": ("x" / Switch(this.n, {"A": Int8ul}), "t.x", "n is never 'A'"),
    "if of a comparison": ("x" / If(this.n > 1, Int8ul), "t.x", "is not the name of a field"),
    "if of two fields": ("x" / Struct("m" / Int8ul, "y" / If(this.m == this.m, Int8ul)), "t.x.y", "with no value"),
    "if of bytes": ("x" / Struct("m" / Bytes(2), "y" / If(this.m, Int8ul)), "t.x.y", "compare it with a value"),
    "bad case": ("x" / Switch(this.n, {1: Struct("y" / Float32l)}), "t.x.y", "is no integer"),
    "bad element": ("x" / Array(this.n, Struct("y" / Struct("z" / Flag))), "t.x.y.z", "Flag is nothing"),
    "lists of one path": (
        "x" / Switch(this.n, {1: Struct("l" / Array(2, Int8ul)), 2: Struct("l" / Array(2, Int16ul))}),
        "t.x.l",
        "there are two lists of that path",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str) -> None:
    """What no layout can express raises, and says where and why."""
    member, path, reason = REFUSED[name]
    with pytest.raises(SchemaError) as error:
        read("t", "", "", Struct(_N, member))

    assert error.value.path == path
    assert reason in error.value.reason
    assert str(error.value) == f"{error.value.path}: {error.value.reason}"


def test_functions_that_count() -> None:
    """What a function counts is decoded to the end, so there has to be a rule that judges it: no other will do."""

    def twice(context: Container) -> int:
        return 2 * int(context.n)

    with pytest.raises(SchemaError, match="no rule judges how many"):
        read("t", "", "", Struct(_N, "x" / Array(twice, Int8ul)))
    read("t", "", "", Struct(_N, "x" / Array(libxc.data_pages, Int8ul)))


def test_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration of the catalogue is named with the file it stands in: a header, a record, a format within."""
    drafts = {64: libxl.DRAFT_XENSTORE_DATA[64], 65: Struct("x" / Struct("y" / Float32l))}
    monkeypatch.setattr(libxl, "DRAFT_XENSTORE_DATA", drafts)
    with pytest.raises(SchemaError) as error:
        catalogue()

    assert (error.value.path, error.value.file) == ("libxl.XENSTORE_DATA_65.x.y", "streamfmt/schema/libxl.py")
    assert str(error.value).startswith("streamfmt/schema/libxl.py: libxl.XENSTORE_DATA_65.x.y: ")
    monkeypatch.undo()
    for con, path in ((libxl.HEADER, "libxl.header.x"), (libxc.RECORDS[1].body, "libxc.PAGE_DATA.x")):
        con.subcons.append("x" / Flag)
        try:
            with pytest.raises(SchemaError) as error:
                catalogue()
        finally:
            con.subcons.pop()
        assert error.value.path == path
        assert error.value.file == f"streamfmt/schema/{path.partition('.')[0]}.py"


def test_two_of_one_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two declarations have the same path."""
    monkeypatch.setattr(libxl, "DRAFT_XENSTORE_DATA", {64: libxl.DRAFT_XENSTORE_DATA[64], "64": Struct()})
    with pytest.raises(SchemaError, match="it is declared twice"):
        catalogue()


def test_places_of_rows() -> None:
    """Offsets are numbers as long as all before is of fixed size, in each case of a choice."""
    con = Struct(
        "a" / Int8ul,
        "b" / Array(4, Int16ul),
        "c" / Int32ul,
        "d" / Switch(this.a, {1: Struct("x" / Int8ul, "y" / Int16ul), 2: Bytes(3)}, default=Bytes(3)),
        "e" / Int8ul,
        "f" / _STRING,
        "g" / Int8ul,
    )
    layout = read("t", "", "", con)

    assert [(row.item.path, row.offset, row.when) for row in layout.rows] == [
        ("a", 0, ""),
        ("b", 1, ""),
        ("c", 9, ""),
        ("d.x", 13, "a is 1"),
        ("d.y", 14, "a is 1"),
        ("d", 13, "a is 2"),
        ("d", 13, "a is any other"),
        ("e", 16, ""),
        ("f", 17, ""),
        ("g", None, ""),
    ]
    assert (layout.size, layout.least, layout.extent) == (1, 19, None)
    assert layout.counting == {"a"}
    assert [inner.path for inner in model.layouts_within(layout)] == ["t", "t.b"]
