"""Every layout that the schemas declare, read off construct's own objects.

construct ships no types and cannot say at which byte a field lies, so only this package touches it.  What it
can declare is more than a :class:`~.model.Layout` says; the rest is refused here, when the catalogue is made, with the
path of the declaration and the file it stands in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from operator import eq, ne
from types import FunctionType
from typing import Any

from construct import Array, Bytes, GreedyBytes, GreedyRange, IfThenElse, NullTerminated, Pass, Struct, Switch
from construct.core import Construct
from construct.expr import BinExpr

from ..errors import SchemaError
from . import legacy, libxc, libxl, machine, protocol
from .layer_type import check
from .layers import LAYERS
from .model import TO_END, TO_NUL, Block, Choice, Field, Item, Layout, Part, RecordType, Reference, layouts_within
from .numbers import NAME, fields, unwrapped

_PLACE = re.compile(r"this(?:\['\w+'\])+")


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
            raise SchemaError(path, f"{self.endless} before it goes to the end of the bytes")
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


def read(path: str, doc: str, source: str, con: Construct, record: RecordType | None = None) -> Layout:
    """The layout that `con` declares, with names and texts for it.  Raises SchemaError where there is none."""
    found = _layout(path, doc, source, con, None, 0, record)
    paths = [inner.path for inner in layouts_within(found)]
    for inner in paths:
        if paths.count(inner) > 1:
            raise SchemaError(inner, "there are two lists of that path, in cases of a choice")
    return found


def _layout(
    path: str, doc: str, source: str, con: Construct, outer: _Scope | None, depth: int, record: RecordType | None = None
) -> Layout:
    draft = _Draft()
    scope = _Scope(None, depth, "", {}) if outer is None else outer
    con = unwrapped(con)
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
        if member.name is None or not NAME.fullmatch(member.name):
            raise SchemaError(path, f"a member has {'no name' if member.name is None else f'the name {member.name!r}'}")
        if names.count(member.name) > 1:
            raise SchemaError(path, f"two members have the name {member.name}")
        doc = str(member.docs)
        _member(draft, prefix + member.name, doc, unwrapped(member), scope, depth, f"{path}.{member.name}", source)


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
        rows = tuple(fields(con, name, doc, draft.at, path))
        draft.take(path, Block(rows, rows[0].size))
        if depth == scope.depth:
            scope.known.update((row.path, row) for row in rows)


# -- what varies ----------------------------------------------------------------------------------------------


def _part(name: str, doc: str, con: Construct, scope: _Scope, depth: int, path: str, source: str) -> Part | None:
    """The part that repeats which `con` declares, or None if it is none."""
    times, counted = None, None
    if con is GreedyBytes:
        return Part(name, TO_END, None, 1, doc)
    if isinstance(con, NullTerminated):
        if (con.term, con.include, con.consume, con.require) != (b"\0", False, True, True):
            raise SchemaError(path, "text ends with one NUL, which does not belong to it")
        if unwrapped(con.subcon) is not GreedyBytes:
            raise SchemaError(path, "what ends with a NUL is not bytes")
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
        raise SchemaError(path, "its elements are discarded")
    element = unwrapped(con.subcon)
    if isinstance(element, Bytes) and isinstance(element.length, int) and element.length > 0:
        return Part(name, count, None, element.length, doc, times, counted)
    inner = _layout(path if name else f"{path}[]", doc, source, element, scope, depth + 1)
    if times is None and not inner.least:
        raise SchemaError(path, "its elements may be empty, so there could be any number of them")
    if any(row.item.open for row in inner.rows if isinstance(row.item, Part)):
        raise SchemaError(path, "one element goes to the end of the bytes")
    return Part(name, count, inner, inner.extent or 0, doc, times, counted)


def _count(count: Any, scope: _Scope, depth: int, path: str) -> tuple[str, int | None, Reference | None]:
    """How often something repeats: in words, and as a number or a field where it is one."""
    if isinstance(count, int):
        if count < 0:
            raise SchemaError(path, f"it cannot be there {count} times")
        return str(count), count, None
    if isinstance(count, FunctionType):
        if count not in (libxc.data_pages, legacy.data_pages):
            raise SchemaError(path, "a function counts it, and no rule judges how many there are then")
        return count.__name__, None, None
    found = _reference(count, scope, depth, path)
    if found.field.raw or found.field.signed:
        raise SchemaError(path, f"{found.field.path} is no unsigned integer, so it counts nothing")
    return "outer " * found.up + found.field.path, None, found


def _reference(expr: Any, scope: _Scope, depth: int, path: str) -> Reference:
    """The field that an expression of construct's names, seen from inside `depth` lists."""
    if not _PLACE.fullmatch(text := repr(expr)):
        raise SchemaError(path, f"{text} is not the name of a field")
    names = re.findall(r"\w+", text)[1:]
    at: _Scope | None = scope
    while names and names[0] == "_" and at is not None:
        at = at.outer
        names = names[1:]
    row = at.known.get(at.prefix + ".".join(names)) if at is not None else None
    if at is None or row is None:
        raise SchemaError(path, f"{text} names no field that is always there before it")
    return Reference(depth - at.depth, row)


def _choice(
    draft: _Draft, name: str, doc: str, con: Switch | IfThenElse, scope: _Scope, depth: int, path: str, source: str
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
        if unwrapped(case) is not Pass:
            _member(inner, name, doc, unwrapped(case), scope.case(), depth, path, source)
        endless = endless or inner.endless
        return tuple(inner.items)

    codes = {label: code for code, label in on.field.names.items()}
    for key, case in cases.items():
        code = codes.get(key, key) if isinstance(key, str) else key
        if not isinstance(code, bytes if on.field.raw else int):
            raise SchemaError(path, f"{on.field.path} is never {key!r}")
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
            raise SchemaError(path, f"{test!r} compares with no value")
        yes, no = (con.thensubcon, con.elsesubcon) if test.op is eq else (con.elsesubcon, con.thensubcon)
        return on, {test.rhs: yes}, no
    on = _reference(test, scope, depth, path)
    if on.field.raw or on.field.names:
        raise SchemaError(path, f"{on.field.path} is not a number; compare it with a value")
    return on, {0: con.elsesubcon}, con.thensubcon


# -- all of them ----------------------------------------------------------------------------------------------


def catalogue() -> dict[str, Layout]:
    """Every header, record and nested format by path, such as "libxc.PAGE_DATA", as the schemas stand now.

    Raises SchemaError for a declaration that no layout can express, a layer's row that does not fit, and a machine of
    the protocol that cannot be.
    """
    check(LAYERS)
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
                raise SchemaError(path, "it is declared twice")
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
    for name, module in list(sys.modules.items()):
        for value in list(vars(module).values()) if getattr(module, "__file__", None) else ():
            values = value.values() if type(value) is dict else value if type(value) in (list, tuple) else (value,)
            if any(each is declared for each in values):
                return name.replace(".", "/") + ".py"
    return ""
