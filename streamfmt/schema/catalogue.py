"""Every layout that the schemas declare, read off construct's own objects.

construct ships no types and cannot say at which byte a field lies, so nobody but this package touches it.  What it
can declare is more than a :class:`~.model.Layout` says; the rest is refused here, when the catalogue is made, with the
path of the declaration and the file it stands in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from operator import eq, ne
from types import FunctionType
from typing import Any, NoReturn

from construct import (
    Array,
    BitsInteger,
    Bytes,
    BytesInteger,
    Const,
    Enum,
    FormatField,
    GreedyBytes,
    GreedyRange,
    IfThenElse,
    NullTerminated,
    Pass,
    Struct,
    Switch,
)
from construct.core import Construct, Renamed, Transformed, bytes2bits, swapbytes
from construct.expr import BinExpr

from ..errors import SchemaError
from . import hvm, libxc, libxl, machine, protocol
from .layers import LAYERS, LayerType, check
from .model import (
    TO_END,
    TO_NUL,
    Allowed,
    Block,
    Choice,
    Field,
    Item,
    Layout,
    Part,
    RecordType,
    Reference,
    layouts_within,
)

CONTEXT_TYPES = {row.code: row for row in hvm.CONTEXT_TYPES}

_NAME = re.compile(r"[A-Za-z_]\w*")
_PLACE = re.compile(r"this(?:\['\w+'\])+")
# struct's letters for integers; construct has others, for floats.
_INTEGERS = frozenset("bBhHlLqQ")


class _Scope:
    """One of construct's contexts: the layout it belongs to lies in `depth` lists, and its names begin with `prefix`.

    `known` are the layout's fields so far by path.
    """

    __slots__ = ("depth", "known", "outer", "prefix")

    def __init__(self, outer: _Scope | None, depth: int, prefix: str, known: dict[str, Field]) -> None:
        self.outer = outer
        self.depth = depth
        self.prefix = prefix
        self.known = known

    def inner(self, depth: int, prefix: str) -> _Scope:
        """The context of a structure within this one."""
        return _Scope(self, depth, prefix, self.known if depth == self.depth else {})

    def case(self) -> _Scope:
        """The same for a case of a choice: what it declares nothing after it can refer to."""
        return _Scope(self.outer, self.depth, self.prefix, dict(self.known))


class _Draft:
    """The items of a layout, or of a case of a choice, as far as they have been read."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.endless = ""  # the item that goes to the end

    def take(self, path: str, item: Item) -> None:
        """The next item; a block that follows another becomes one with it."""
        if self.endless:
            _refuse(path, f"{self.endless} before it goes to the end of the bytes")
        last = self.items[-1] if self.items else None
        if isinstance(item, Block) and isinstance(last, Block):
            self.items[-1] = Block((*last.fields, *item.fields), last.size + item.size)
        else:
            self.items.append(item)

    @property
    def at(self) -> int:
        """Where in its block the next field is."""
        last = self.items[-1] if self.items else None
        return last.size if isinstance(last, Block) else 0


def _refuse(path: str, reason: str) -> NoReturn:
    raise SchemaError(path, reason)


def read(path: str, doc: str, source: str, con: Construct, record: RecordType | None = None) -> Layout:
    """The layout that `con` declares, with names and texts for it.  Raises SchemaError where there is none."""
    found = _layout(path, doc, source, con, None, 0, record)
    paths = [inner.path for inner in layouts_within(found)]
    for inner in paths:
        if paths.count(inner) > 1:
            _refuse(inner, "there are two lists of that path, in cases of a choice")
    return found


def _layout(
    path: str, doc: str, source: str, con: Construct, outer: _Scope | None, depth: int, record: RecordType | None = None
) -> Layout:
    draft = _Draft()
    scope = _Scope(None, depth, "", {}) if outer is None else outer
    con = _unwrapped(con)
    if isinstance(con, Struct):
        _structure(draft, "", con, outer, depth, path, source)
    else:
        _member(draft, "", doc, con, scope, depth, path, source)
    return Layout(path, doc, source, tuple(draft.items), record)


def _structure(
    draft: _Draft, prefix: str, con: Struct, outer: _Scope | None, depth: int, path: str, source: str
) -> None:
    """The members of a structure, whose names begin with `prefix`."""
    scope = _Scope(None, depth, prefix, {}) if outer is None else outer.inner(depth, prefix)
    names = [member.name for member in con.subcons]
    for member in con.subcons:
        if member.name is None or not _NAME.fullmatch(member.name):
            _refuse(path, f"a member has {'no name' if member.name is None else f'the name {member.name!r}'}")
        if names.count(member.name) > 1:
            _refuse(path, f"two members have the name {member.name}")
        doc = str(member.docs)
        _member(draft, prefix + member.name, doc, _unwrapped(member), scope, depth, f"{path}.{member.name}", source)


def _member(
    draft: _Draft, name: str, doc: str, con: Construct, scope: _Scope, depth: int, path: str, source: str
) -> None:
    """Whatever stands under one name: onto the draft.  Raises SchemaError."""
    if isinstance(con, Struct):
        _structure(draft, f"{name}." if name else "", con, scope, depth, path, source)
    elif isinstance(con, (Switch, IfThenElse)):
        _choice(draft, name, doc, con, scope, depth, path, source)
    elif (part := _part(name, doc, con, scope, depth, path, source)) is not None:
        draft.take(path, part)
        draft.endless = name if part.open else ""
    else:
        fields = tuple(_fixed(con, name, doc, draft.at, path))
        draft.take(path, Block(fields, fields[0].size))
        if depth == scope.depth:
            scope.known.update((row.path, row) for row in fields)


# -- fields of fixed size -------------------------------------------------------------------------------------


def _fixed(con: Construct, name: str, doc: str, offset: int, path: str) -> Iterator[Field]:
    """The field, or those of the bits of an integer."""
    bits = _bits(con)
    if bits is None:
        leaf, allowed, names = _plain(con, path)
        raw = isinstance(leaf, Bytes)
        size, signed, big = (int(leaf.length), False, False) if raw else _integer(leaf, path)
        constant = con.value if isinstance(con, Const) and raw else None
        if constant is not None and len(constant) != size:
            _refuse(path, f"its constant has {len(constant)} bytes, not {size}")
        _fits(path, allowed, 8 * size, signed)
        yield Field(name, offset, size, 0, 8 * size, big and size > 1, raw, signed, allowed, names, constant, doc)
        return
    members = []
    for member in bits[0].subcons:
        if member.name is None or not _NAME.fullmatch(member.name):
            _refuse(path, "some of its bits have no name")
        inner = f"{path}.{member.name}"
        leaf, allowed, names = _plain(_unwrapped(member), inner)
        if not isinstance(leaf, BitsInteger) or not isinstance(leaf.length, int) or leaf.signed or leaf.swapped:
            _refuse(inner, "it is not so many bits of an unsigned integer")
        _fits(inner, allowed, leaf.length, False)
        members.append((member, leaf.length, allowed, names))
    shift = sum(width for _, width, _, _ in members)
    size, odd = divmod(shift, 8)
    if odd or not size:
        _refuse(path, f"it has {shift} bits, which are not whole bytes")
    prefix = f"{name}." if name else ""
    for member, width, allowed, names in members:
        shift -= width
        inner, text = prefix + member.name, str(member.docs)
        yield Field(inner, offset, size, shift, width, bits[1], False, False, allowed, names, None, text)


def _bits(con: Construct) -> tuple[Struct, bool] | None:
    """The bit fields of an integer and whether it is big-endian, or None for something else."""
    swapped = isinstance(con, Transformed) and con.decodefunc is swapbytes
    inner = _unwrapped(con.subcon) if swapped else con
    if isinstance(inner, Transformed) and inner.decodefunc is bytes2bits and isinstance(inner.subcon, Struct):
        return inner.subcon, not swapped
    return None


def _plain(con: Construct, path: str) -> tuple[Construct, tuple[int, ...] | None, dict[int, str]]:
    """The plain integer or bytes inside constraints, the values they allow, and the names they give."""
    allowed: tuple[int, ...] | None = None
    names: dict[int, str] = {}
    while not isinstance(con, (FormatField, BytesInteger, BitsInteger, Bytes)):
        if isinstance(con, Const) and isinstance(con.value, int):
            allowed = (con.value,)
        elif isinstance(con, Allowed):
            allowed = con.values
        elif isinstance(con, Enum):
            names = {int(value): str(label) for label, value in con.encmapping.items()}
            allowed = tuple(names)
        elif not isinstance(con, Renamed) and not (isinstance(con, Const) and isinstance(con.value, bytes)):
            _refuse(path, f"{type(con).__name__} is nothing that a layout can have")
        con = con.subcon
    if isinstance(con, Bytes) and allowed is not None:
        _refuse(path, "bytes have no allowed numbers")
    return con, allowed, names


def _integer(leaf: Construct, path: str) -> tuple[int, bool, bool]:
    """Size of an integer, whether it has a sign, and whether it is big-endian."""
    if isinstance(leaf, BytesInteger):
        if not isinstance(leaf.length, int) or not isinstance(leaf.swapped, bool) or leaf.length < 1:
            _refuse(path, "its size is not a number of bytes")
        return leaf.length, bool(leaf.signed), not leaf.swapped
    if isinstance(leaf, BitsInteger):
        _refuse(path, "bits stand outside of a BitStruct")
    order, letter = leaf.fmtstr[0], leaf.fmtstr[1]
    if letter not in _INTEGERS:
        _refuse(path, f"{leaf.fmtstr!r} is no integer")
    size = int(leaf.sizeof())
    if order not in "<>" and size > 1:
        _refuse(path, "its byte order is that of this machine")
    return size, letter.islower(), bool(order == ">")


def _fits(path: str, allowed: tuple[int, ...] | None, bits: int, signed: bool) -> None:
    """Refuse allowed values that the field cannot have."""
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    for value in allowed or ():
        if not least <= value <= most:
            _refuse(path, f"it allows {value}, which is not within {least} to {most}")


# -- what varies ----------------------------------------------------------------------------------------------


def _part(name: str, doc: str, con: Construct, scope: _Scope, depth: int, path: str, source: str) -> Part | None:
    """The part that repeats which `con` declares, or None if it is none."""
    element = None
    times, counted = None, None
    if con is GreedyBytes:
        return Part(name, TO_END, None, 1, doc)
    if isinstance(con, NullTerminated):
        if (con.term, con.include, con.consume, con.require) != (b"\0", False, True, True):
            _refuse(path, "text ends with one NUL, which does not belong to it")
        if _unwrapped(con.subcon) is not GreedyBytes:
            _refuse(path, "what ends with a NUL is not bytes")
        return Part(name, TO_NUL, None, 0, doc)
    if isinstance(con, Bytes) and not isinstance(con.length, int):
        count, times, counted = _count(con.length, scope, depth, path)
        return Part(name, count, None, 1, doc, times, counted)
    if isinstance(con, Array):
        count, times, counted = _count(con.count, scope, depth, path)
    elif isinstance(con, GreedyRange):
        count = TO_END
    else:
        return None
    if con.discard:
        _refuse(path, "its elements are discarded")
    element = _unwrapped(con.subcon)
    if isinstance(element, Bytes) and isinstance(element.length, int) and element.length > 0:
        return Part(name, count, None, element.length, doc, times, counted)
    inner = _layout(path if name else f"{path}[]", doc, source, element, scope, depth + 1)
    if times is None and not inner.least:
        _refuse(path, "its elements may be empty, so there could be any number of them")
    if any(row.item.open for row in inner.rows if isinstance(row.item, Part)):
        _refuse(path, "one element goes to the end of the bytes")
    return Part(name, count, inner, inner.extent or 0, doc, times, counted)


def _count(count: Any, scope: _Scope, depth: int, path: str) -> tuple[str, int | None, Reference | None]:
    """How often something repeats: in words, and as a number or a field where it is one."""
    if isinstance(count, int):
        if count < 0:
            _refuse(path, f"it cannot be there {count} times")
        return str(count), count, None
    if isinstance(count, FunctionType):
        if not _NAME.fullmatch(count.__name__):
            _refuse(path, "the function that counts it has no name")
        return count.__name__, None, None
    found = _reference(count, scope, depth, path)
    if found.field.raw or found.field.signed:
        _refuse(path, f"{found.field.path} is no unsigned integer, so it counts nothing")
    return "outer " * found.up + found.field.path, None, found


def _reference(expr: Any, scope: _Scope, depth: int, path: str) -> Reference:
    """The field that an expression of construct's names, seen from inside `depth` lists."""
    if not _PLACE.fullmatch(text := repr(expr)):
        _refuse(path, f"{text} is not the name of a field")
    names = re.findall(r"\w+", text)[1:]
    at: _Scope | None = scope
    while names and names[0] == "_" and at is not None:
        at = at.outer
        names = names[1:]
    row = at.known.get(at.prefix + ".".join(names)) if at is not None else None
    if at is None or row is None:
        _refuse(path, f"{text} names no field that is always there before it")
    return Reference(depth - at.depth, row)


def _choice(
    draft: _Draft,
    name: str,
    doc: str,
    con: Switch | IfThenElse,
    scope: _Scope,
    depth: int,
    path: str,
    source: str,
) -> None:
    """A Switch on a field, or an If on one or on what it equals."""
    if isinstance(con, Switch):
        on, cases, default = _reference(con.keyfunc, scope, depth, path), dict(con.cases), con.default
    else:
        on, cases, default = _condition(con, scope, depth, path)
    found: list[tuple[int | bytes, tuple[Item, ...]]] = []
    endless = ""

    def items(case: Construct) -> tuple[Item, ...]:
        nonlocal endless
        inner = _Draft()
        if _unwrapped(case) is not Pass:
            _member(inner, name, doc, _unwrapped(case), scope.case(), depth, path, source)
        endless = endless or inner.endless
        return tuple(inner.items)

    codes = {label: code for code, label in on.field.names.items()}
    for key, case in cases.items():
        code = codes.get(key, key) if isinstance(key, str) else key
        if not isinstance(code, bytes if on.field.raw else int):
            _refuse(path, f"{on.field.path} is never {key!r}")
        found.append((code, items(case)))
    draft.take(path, Choice(name, on, tuple(found), items(default), doc))
    draft.endless = endless


def _condition(
    con: IfThenElse, scope: _Scope, depth: int, path: str
) -> tuple[Reference, dict[Any, Construct], Construct]:
    """What an If looks at, its only case, and what else there is."""
    test = con.condfunc
    if isinstance(test, BinExpr) and test.op in (eq, ne):
        on = _reference(test.lhs, scope, depth, path)
        if not isinstance(test.rhs, (int, str, bytes)):
            _refuse(path, f"{test!r} compares with no value")
        yes, no = (con.thensubcon, con.elsesubcon) if test.op is eq else (con.elsesubcon, con.thensubcon)
        return on, {test.rhs: yes}, no
    on = _reference(test, scope, depth, path)
    if on.field.raw or on.field.names:
        _refuse(path, f"{on.field.path} is not a number; compare it with a value")
    return on, {0: con.elsesubcon}, con.thensubcon


def _unwrapped(con: Construct) -> Construct:
    while isinstance(con, Renamed):
        con = con.subcon
    return con


# -- all of them ----------------------------------------------------------------------------------------------


def catalogue() -> dict[str, Layout]:
    """Every header, record and nested format by path, such as "libxc.PAGE_DATA", as the schemas stand now.

    Raises SchemaError for a declaration that no layout can express, a layer's row that does not fit, and a machine of
    the protocol that cannot be.
    """
    check(LAYERS, LayerType.__module__.replace(".", "/") + ".py")
    machine.check(
        [row for rows in protocol.MACHINES.values() for row in rows],
        {layer.name: [row.name for row in layer.records] for layer in LAYERS},
        {layer.name: [name for rule in layer.rules for name in rule.names] for layer in LAYERS},
        {"libxl.CHECKPOINT_STATE": libxl.CHECKPOINT_STATES},
        protocol.__name__.replace(".", "/") + ".py",
    )
    found: dict[str, Layout] = {}
    for path, doc, source, con, record in declarations():
        declared = con if record is None else record
        try:
            if path in found:
                _refuse(path, "it is declared twice")
            found[path] = read(path, doc, source, con, record)
        except SchemaError as error:
            raise SchemaError(error.path, error.reason, _file_of(declared)) from None
    return found


def declarations() -> Iterator[tuple[str, str, str, Construct, RecordType | None]]:
    """Path, meaning, source and declaration of each, with the record it is the body of."""
    for layer in LAYERS:
        for name, doc, source, con in layer.headers:
            yield f"{layer.name}.{name}", doc, source, con, None
        for row in layer.records:
            yield f"{layer.name}.{row.name}", row.doc, row.source, row.body, row
    yield "libxc.pte", "Entry of a PV page table.", libxc.PTE_SOURCE, libxc.PTE, None
    for width, con in libxl.DRAFT_XENSTORE_DATA.items():
        yield f"libxl.XENSTORE_DATA_{width}", "Draft of July 2015, never released.", libxl.DRAFT_SOURCE, con, None


def _file_of(declared: object) -> str:
    """The file of the module that has the declaration, alone or among others; empty if none has."""
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()) if getattr(module, "__file__", None) else ():
            values = value.values() if type(value) is dict else value if type(value) in (list, tuple) else (value,)
            if any(each is declared for each in values):
                return str(module.__file__)
    return ""
