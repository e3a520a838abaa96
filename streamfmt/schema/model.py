"""A typed, immutable description of every schema, read off construct's own objects.

construct ships no types and cannot say at which octet a field lies, so nobody but this package touches it:
tables, diagrams, annotated dumps and the reader's tables all walk what :func:`catalogue` returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from construct import (
    Array,
    BitsInteger,
    Bytes,
    Const,
    Enum,
    FormatField,
    GreedyBytes,
    GreedyRange,
    NullTerminated,
    Struct,
)
from construct.core import Construct, Renamed, Transformed, bytes2bits, swapbytes

from . import hvm, libxc, libxl, machine, protocol
from .build import Allowed, RecordType
from .layers import LAYERS


@dataclass(frozen=True, slots=True)
class Field:
    """One field of fixed size.

    `offset` and `size` are octets from the start of the layout that holds it; a bit field lies in an integer of
    that place and size, `bits` wide and `shift` bits above the least significant.  `big` means big-endian
    whatever the stream announces.  `raw` fields are octets, not integers.
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
        """The field's integer in `data`, the layout's octets; `order` is "little" or "big"."""
        whole = data[self.offset : self.offset + self.size]
        number = int.from_bytes(whole, "big" if self.big else order, signed=self.signed)  # type: ignore[arg-type] # order is one of the two literals
        return number if self.signed else number >> self.shift & (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Part:
    """A variable part of a layout: `count` says how often `element` repeats, in words.

    `element` is None for octets nobody here looks into; `unit` is its size in octets, 0 where that varies.
    """

    name: str
    count: str
    element: Layout | None
    unit: int
    doc: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A header or a record's body: fields of fixed size, then the variable parts in order.

    `kept` is for what `encode` works out about it once.
    """

    path: str
    doc: str
    source: str
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]
    record: RecordType | None = field(default=None)
    kept: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Octets of the fixed fields."""
        return max((f.offset + f.size for f in self.fields), default=0)


def _name_of_count(count: Any) -> str:
    """How often an array repeats, in a form people can read: a field's name, or a named function's."""
    if isinstance(count, FunctionType):
        return count.__name__
    return repr(count).removeprefix("this['").removesuffix("']")


def _integer(con: Construct) -> tuple[Construct, tuple[int, ...] | None, dict[int, str]]:
    """The plain integer inside constraints, the values they allow, and the names they give."""
    allowed: tuple[int, ...] | None = None
    names: dict[int, str] = {}
    while not isinstance(con, (FormatField, BitsInteger, Bytes)):
        if isinstance(con, Const) and isinstance(con.value, int):
            allowed = (con.value,)
        elif isinstance(con, Allowed):
            allowed = con.values
        elif isinstance(con, Enum):
            names = {int(value): str(name) for name, value in con.encmapping.items()}
            allowed = tuple(names)
        elif not isinstance(con, (Const, Renamed)):
            raise TypeError(f"no fixed field: {con!r}")
        con = con.subcon
    return con, allowed, names


def _bits(con: Construct) -> tuple[Struct, bool] | None:
    """The bit fields of an integer and whether it is big-endian, or None for something else."""
    swapped = isinstance(con, Transformed) and con.decodefunc is swapbytes
    inner = con.subcon if swapped else con
    if isinstance(inner, Transformed) and inner.decodefunc is bytes2bits:
        return inner.subcon, not swapped
    return None


def _fixed(con: Construct, path: str, doc: str, offset: int) -> Iterator[Field]:
    bits = _bits(con)
    if bits is None:
        leaf, allowed, names = _integer(con)
        size = leaf.sizeof()
        raw = isinstance(leaf, Bytes)
        constant = con.value if isinstance(con, Const) and raw else None
        big = not raw and leaf.fmtstr[0] == ">" and size > 1
        signed = not raw and leaf.fmtstr[1].islower()
        yield Field(path, offset, size, 0, 8 * size, big, raw, signed, allowed, names, constant, doc)
        return
    members = []
    for member in bits[0].subcons:
        leaf, allowed, names = _integer(member.subcon)
        members.append((member, int(leaf.length), allowed, names))
    total = sum(width for _, width, _, _ in members)
    size = (total + 7) // 8
    shift = total
    prefix = f"{path}." if path else ""
    for member, width, allowed, names in members:
        shift -= width
        name = prefix + member.name
        yield Field(name, offset, size, shift, width, bits[1], False, False, allowed, names, None, member.docs)


def _unwrap(con: Construct) -> Construct:
    while isinstance(con, Renamed):
        con = con.subcon
    return con


def _part(name: str, doc: str, con: Construct, path: str, source: str) -> Part | None:
    """The variable part `con` declares, or None if its size is fixed."""
    con = _unwrap(con)
    if isinstance(con, Array):
        count, element = _name_of_count(con.count), _unwrap(con.subcon)
    elif isinstance(con, GreedyRange):
        count, element = "to the end", _unwrap(con.subcon)
    elif isinstance(con, NullTerminated):
        return Part(name, "to a NUL", None, 0, doc)
    elif con is GreedyBytes:
        return Part(name, "to the end", None, 1, doc)
    elif isinstance(con, Bytes) and not isinstance(con.length, int):
        return Part(name, _name_of_count(con.length), None, 1, doc)
    else:
        return None
    if isinstance(element, Bytes):
        return Part(name, count, None, element.sizeof(), doc)
    inner = _layout(f"{path}.{name}", doc, source, element)
    return Part(name, count, inner, 0 if inner.parts else inner.size, doc)


def _layout(path: str, doc: str, source: str, con: Construct, record: RecordType | None = None) -> Layout:
    fields: list[Field] = []
    parts: list[Part] = []
    offset = 0
    members = con.subcons if isinstance(con, Struct) else [Renamed(con, newname="", newdocs=doc)]
    for member in members:
        part = _part(member.name, member.docs, member.subcon, path, source)
        if part is not None:
            parts.append(part)
            continue
        fields.extend(_fixed(_unwrap(member.subcon), member.name or "", member.docs, offset))
        offset = fields[-1].offset + fields[-1].size
    return Layout(path, doc, source, tuple(fields), tuple(parts), record)


def catalogue() -> dict[str, Layout]:
    """Every header, record and nested format by path, such as "libxc.PAGE_DATA", as the schemas stand now.

    Raises SchemaError for a machine of the protocol that cannot be.
    """
    found: dict[str, Layout] = {}
    machine.check(
        [row for rows in protocol.MACHINES.values() for row in rows],
        {layer.name: [row.name for row in layer.records] for layer in LAYERS},
        {layer.name: [name for rule in layer.rules for name in rule.names] for layer in LAYERS},
        {"libxl.CHECKPOINT_STATE": libxl.CHECKPOINT_STATES},
        protocol.__name__.replace(".", "/") + ".py",
    )
    for layer in LAYERS:
        for name, doc, source, con in layer.headers:
            found[f"{layer.name}.{name}"] = _layout(f"{layer.name}.{name}", doc, source, con)
        for row in layer.records:
            path = f"{layer.name}.{row.name}"
            found[path] = _layout(path, row.doc, row.source, row.body, row)
    for path, doc, source, con in (
        ("libxc.pte", "Entry of a PV page table.", libxc.PTE_SOURCE, libxc.PTE),
        *(
            (f"libxl.XENSTORE_DATA_{width}", "Draft of July 2015, never released.", libxl.DRAFT_SOURCE, con)
            for width, con in libxl.DRAFT_XENSTORE_DATA.items()
        ),
    ):
        found[path] = _layout(path, doc, source, con)
    return found


def layouts_within(layout: Layout) -> Iterator[Layout]:
    """The layout itself, then those of its elements, outermost first."""
    yield layout
    for part in layout.parts:
        if part.element is not None:
            yield from layouts_within(part.element)


CONTEXT_TYPES = {row.code: row for row in hvm.CONTEXT_TYPES}
