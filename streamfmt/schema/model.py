"""What a schema consists of: the words it is written in, and the typed, immutable description that is read off it.

The schemas are ordinary construct declarations, written as the format stands on x86 (little-endian, but for the
headers that are big-endian always).  The first half of this module adds the few words construct lacks: a set of
allowed values that can be printed, a bit field inside an integer of either byte order, and the row that gives a
record its code, name, legal guests and length.

The second half is what :mod:`.catalogue` makes of a declaration: a :class:`Layout`, whose items stand in the order of
the bytes.  Tables, diagrams, annotated dumps, the codec and the reader's tables all walk these; only this package
looks at construct's objects.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    BytesInteger,
    ByteSwapped,
    Const,
    FormatField,
    GreedyBytes,
    IfThenElse,
    Struct,
    Subconstruct,
    Switch,
)
from construct.core import Construct, Renamed, Transformed, ValidationError, Validator, bytes2bits, swapbytes

# The bit of a libxl or libxc record's type by which a reader may skip what it does not know.
OPTIONAL_BIT = 31

LIBXC_SPEC = "docs/specs/libxc-migration-stream.pandoc"
LIBXL_SPEC = "docs/specs/libxl-migration-stream.pandoc"


class Allowed(Validator):
    """A field whose value must be one of `values`: construct's OneOf, but the values can be read back."""

    def __init__(self, subcon: Construct, values: Collection[int]) -> None:
        super().__init__(subcon)
        self.values = tuple(values)

    def _validate(self, obj: Any, context: Any, path: str) -> bool:
        return int(obj) in self.values

    def _decode(self, obj: Any, context: Any, path: str) -> Any:
        if not self._validate(obj, context, path):
            raise ValidationError(f"{obj!r} is not one of {self.values!r}", path=path)
        return obj


def reserved(size: int) -> Construct:
    """`size` bytes that writers leave zero."""
    return Const(bytes(size), Bytes(size))


def reserved_bits(count: int) -> Construct:
    """`count` bits that writers leave zero."""
    return Const(0, BitsInteger(count))


def little_bits(*fields: Construct) -> Construct:
    """Bit fields of one little-endian integer, named from the most significant bit down."""
    return ByteSwapped(BitStruct(*fields))


def big_endian(con: Construct) -> Construct:
    """The same declaration with every little-endian integer turned big-endian."""
    if isinstance(con, FormatField):
        return FormatField(">", con.fmtstr[1:])
    if isinstance(con, BytesInteger):
        return BytesInteger(con.length, con.signed)
    if isinstance(con, Struct):
        return Struct(*map(big_endian, con.subcons))
    if isinstance(con, Switch):
        cases = {key: big_endian(case) for key, case in con.cases.items()}
        return Switch(con.keyfunc, cases, big_endian(con.default))
    if isinstance(con, IfThenElse):
        return IfThenElse(con.condfunc, big_endian(con.thensubcon), big_endian(con.elsesubcon))
    if isinstance(con, Transformed) and con.decodefunc is swapbytes:
        return con.subcon
    if isinstance(con, Transformed) and con.decodefunc is bytes2bits:
        return con
    if isinstance(con, Subconstruct):
        twin = copy.copy(con)
        twin.subcon = big_endian(con.subcon)
        return twin
    return con


@dataclass(frozen=True, slots=True)
class RecordType:
    """One record type of a layer: its code on the wire, its name, what may carry it, and how long it may be.

    `least` and `most` bound the variable part of the body, counted in its elements (bytes for an opaque one).
    `lengths` is for a variable part of a few fixed sizes.  `version` is the image version that brought it, if
    that is not the first; `since` and `until` are the first and the last release that wrote it, where they matter.  A
    `headless` one has no record header, in a layer whose others have one.
    """

    code: int
    name: str
    body: Construct
    doc: str
    source: str
    guests: tuple[str, ...] = ("pv", "hvm")
    version: int = 0
    least: int = 0
    most: int | None = None
    lengths: tuple[int, ...] = ()
    since: str = ""
    until: str = ""
    headless: bool = False

    @property
    def releases(self) -> str:
        """The releases that wrote it, in words; empty where they do not matter."""
        until = f" to {self.until}" if self.until != self.since else ""
        return f"Xen {self.since}{until}" if self.since else ""


def opaque(name: str, doc: str) -> Construct:
    """The rest of a body, whose meaning belongs to somebody else."""
    return Renamed(GreedyBytes, newname=name, newdocs=doc)


# -- descriptions ---------------------------------------------------------------------------------------------

# How often a part repeats that no number says.
TO_END, TO_NUL = "to the end", "to a NUL"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of fixed size.

    `offset` and `size` are bytes from the start of the block that holds it; a bit field lies in an integer of that
    place and size, `bits` wide and `shift` bits above the least significant.  `big` means big-endian whatever the
    stream announces.  `raw` fields are bytes, not integers.
    """

    path: str
    offset: int
    size: int
    shift: int
    bits: int
    big: bool
    raw: bool
    signed: bool
    allowed: tuple[int, ...] | None
    names: dict[int, str]
    constant: bytes | None
    doc: str

    @property
    def reserved(self) -> bool:
        return self.path.rsplit(".", 1)[-1].startswith("reserved") or (self.allowed == (0,) and "flag" in self.path)

    @property
    def bitfield(self) -> bool:
        return self.bits != 8 * self.size

    def value(self, data: bytes, order: str) -> int:
        """The field's integer in `data`, the block's bytes; `order` is "little" or "big"."""
        whole = data[self.offset : self.offset + self.size]
        number = int.from_bytes(whole, "big" if self.big else order, signed=self.signed)  # type: ignore[arg-type] # order is one of the two literals
        return number if self.signed else number >> self.shift & (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that counts or chooses something after it: of the same layout, or of one that is `up` lists around it."""

    up: int
    field: Field


@dataclass(frozen=True, slots=True)
class Block:
    """Fields of fixed size that follow one another."""

    fields: tuple[Field, ...]
    size: int

    @property
    def least(self) -> int:
        """Bytes at least."""
        return self.size

    @property
    def extent(self) -> int | None:
        """Bytes always."""
        return self.size


@dataclass(frozen=True, slots=True)
class Part:
    """What repeats: `count` says how often `element` does, in words, which `times` or `counted` say exactly.

    `element` is None for bytes that are not looked into here; `unit` is its size in bytes, 0 where that varies.  A part
    whose count a function gives is the last of its layout: how many elements there are then is for rules to judge.
    """

    name: str
    count: str
    element: Layout | None
    unit: int
    doc: str
    times: int | None = None
    counted: Reference | None = None

    @property
    def path(self) -> str:
        return self.name

    @property
    def open(self) -> bool:
        """Whether it goes as far as the bytes do."""
        return self.times is None and self.counted is None and self.count != TO_NUL

    @property
    def listed(self) -> bool:
        """Whether it is a list, of elements or of blocks of bytes."""
        return self.element is not None or self.unit > 1

    @property
    def least(self) -> int:
        """Bytes at least."""
        if self.count == TO_NUL:
            return 1
        return (self.times or 0) * (self.element.least if self.element is not None else self.unit)

    @property
    def extent(self) -> int | None:
        """Bytes always; None if that varies."""
        return None if self.times is None or not self.unit else self.times * self.unit


@dataclass(frozen=True, slots=True)
class Choice:
    """Items of which the value of field `on` chooses: those of its case, or `default`.

    Their paths begin with `name`.
    """

    name: str
    on: Reference
    cases: tuple[tuple[int | bytes, tuple[Item, ...]], ...]
    default: tuple[Item, ...]
    doc: str

    def chosen(self, value: int | bytes) -> tuple[Item, ...]:
        """The items where field `on` has that value."""
        return next((items for code, items in self.cases if code == value), self.default)

    @property
    def all(self) -> Iterator[tuple[str, tuple[Item, ...]]]:
        """Items of each case, and when it is the one."""
        row = self.on.field
        name = "outer " * self.on.up + row.path
        for code, items in self.cases:
            yield f"{name} is {row.names.get(code, code) if isinstance(code, int) else ascii(code)[1:]}", items
        yield f"{name} is any other", self.default

    @property
    def least(self) -> int:
        """Bytes at least."""
        return min(sum(item.least for item in items) for _, items in self.all)

    @property
    def extent(self) -> int | None:
        """Bytes always; None if that varies."""
        extents = {extent_of(items) for _, items in self.all}
        return extents.pop() if len(extents) == 1 else None


Item: TypeAlias = Block | Part | Choice


def extent_of(items: tuple[Item, ...]) -> int | None:
    """Bytes that all of them have together; None if that varies."""
    extents = [item.extent for item in items]
    return None if None in extents else sum(extent or 0 for extent in extents)


class Row(NamedTuple):
    """A field or a part where it stands: `offset` is None after what varies, `when` says in which case it is there."""

    item: Field | Part
    offset: int | None
    when: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A header or a record's body: its `items` in the order of their bytes.

    `fields` are those it begins with, of fixed size and at fixed offsets, `size` bytes together; `parts` are those
    that repeat.  `extent` is the size of the whole in bytes, None if that varies, `least` the least it can be.
    `counting` are the paths of fields that count or choose what comes after them.  `kept` is for what `encode` works
    out about it once.
    """

    path: str
    doc: str
    source: str
    items: tuple[Item, ...]
    record: RecordType | None = None
    fields: tuple[Field, ...] = field(init=False, repr=False, compare=False)
    parts: tuple[Part, ...] = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)
    least: int = field(init=False, repr=False, compare=False)
    extent: int | None = field(init=False, repr=False, compare=False)
    counting: frozenset[str] = field(init=False, repr=False, compare=False)
    kept: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = self.items[0] if self.items else None
        leading = first if isinstance(first, Block) else Block((), 0)
        derived = {
            "fields": leading.fields,
            "parts": tuple(item for item in self.items if isinstance(item, Part)),
            "size": leading.size,
            "least": sum(item.least for item in self.items),
            "extent": extent_of(self.items),
            "counting": frozenset(ref.field.path for ref in _references(self.items) if not ref.up),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def rows(self) -> list[Row]:
        """Every field and part, of all cases, in the order of their bytes."""
        return list(_rows(self.items, 0, ""))


def _references(items: tuple[Item, ...]) -> Iterator[Reference]:
    """What counts or chooses them and what is in them, seen from where they stand."""
    for item in items:
        if isinstance(item, Part):
            if item.counted is not None:
                yield item.counted
            for ref in _references(item.element.items) if item.element is not None else ():
                if ref.up:
                    yield Reference(ref.up - 1, ref.field)
        elif isinstance(item, Choice):
            yield item.on
            for _, inner in item.all:
                yield from _references(inner)


def _rows(items: tuple[Item, ...], at: int | None, when: str) -> Iterator[Row]:
    for item in items:
        if isinstance(item, Block):
            yield from (Row(row, None if at is None else at + row.offset, when) for row in item.fields)
        elif isinstance(item, Part):
            yield Row(item, at, when)
        else:
            for case, inner in item.all:
                yield from _rows(inner, at, f"{when} and {case}" if when else case)
        at = None if at is None or item.extent is None else at + item.extent


def members(items: tuple[Item, ...], decide: Callable[[Choice], tuple[Item, ...]]) -> Iterator[Field | Part]:
    """The fields and parts there are where `decide` says which items of a choice there are."""
    for item in items:
        if isinstance(item, Block):
            yield from item.fields
        elif isinstance(item, Part):
            yield item
        else:
            yield from members(decide(item), decide)


def layouts_within(layout: Layout) -> Iterator[Layout]:
    """The layout itself, then those of its elements, outermost first."""
    yield layout
    for row in layout.rows:
        if isinstance(row.item, Part) and row.item.element is not None:
            yield from layouts_within(row.item.element)
