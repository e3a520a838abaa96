"""Recipes: a stream described in TOML, for people to read and write.  docs/recipes.md tells the keys.

A recipe says what guest it is (`guests`), or lists the parts, or begins with another recipe; then come faults, which
are edits of the list of parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from ..schema.encode import FieldError
from . import guests
from .memory import Many
from .parts import HEADERS, RECORDS
from .spelling import MOST, around, check, misfit, part_of, parts_of, patch_value
from .streams import Stream
from .tables import RecipeError, Source, Table, integer, shown

FORMAT = 1
# How many recipes may be made from one another: more would be too many for Python's stack.
_DEEP = 32
FORMS = ("libxl", "libxc", "xl", "libvirt", "xapi", "xl-migrate", "back-channel", "auto")
MODES = ("auto", "plain", "remus", "colo")

Fetch = Callable[[str], "Recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe makes: the stream, and how it is to be read.

    `form` and `mode` are those of ``verify --as`` and ``--mode``; with `deep` page tables are judged.  `faults` says
    whether it is broken on purpose.  `keys` are what the recipe says, for others that are like it.
    """

    stream: Stream
    form: str = "auto"
    mode: str = "auto"
    deep: bool = False
    about: str = ""
    faults: bool = False
    keys: Mapping[str, Any] = field(default_factory=dict, repr=False)


def load(text: str, file: str = "recipe", fetch: Fetch | None = None) -> Recipe:
    """The recipe that a text is.  `fetch` finds others that it is made from, by name.  Raises RecipeError."""
    return read(Source(text, file).top(), fetch, whole=True)


def load_file(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a file; others that it is made from lie beside it.  Raises RecipeError and OSError."""
    with open(path, "rb") as file:
        return load_from(file, Path(path))


def load_from(file: BinaryIO, path: Path, within: tuple[Path, ...] = ()) -> Recipe:
    """As `load_file`, from a file that is open; `within` are those of the recipes that are made from it."""
    inner = (*within, path.resolve())

    def fetch(name: str) -> Recipe:
        other = path.parent / f"{name}.toml"
        if other.resolve() in inner:
            raise ValueError(f"{shown(name)} is made from itself")
        if len(inner) > _DEEP:
            raise ValueError(f"over {_DEEP} recipes are made from one another")
        try:
            with open(other, "rb") as opened:
                return load_from(opened, other, inner)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(f"{shown(name)} cannot be read: {error.strerror}") from None

    octets = file.read(MOST + 1)
    if len(octets) > MOST:
        raise RecipeError(str(path), 1, "", f"this is over {MOST:,} octets, too long for a recipe")
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise RecipeError(str(path), line, "", "this is not UTF-8, which TOML is written in") from None
    return load(text, str(path), fetch)


def read(top: Table, fetch: Fetch | None = None, *, whole: bool = False) -> Recipe:
    """The recipe that a table is; a `whole` file says that it is one.  Raises RecipeError."""
    if whole:
        top.need("recipe", int)
        top.number("recipe", FORMAT, FORMAT, FORMAT)
    top = _like(top, fetch)
    made = _made(top, fetch)
    try:
        made = replace(
            made,
            about=top.take("about", str, ""),
            mode=top.one_of("mode", MODES, made.mode),
            deep=top.take("deep", bool, made.deep),
        )
        stream = made.stream
        faulty = top.take("broken", bool, False) or made.faults
        for fault in top.tables("fault"):
            stream = _fault(stream, fault, fetch)
            faulty = True
    except FieldError as error:
        raise top.fail(str(error)) from None
    if "guest" not in top:
        for key in guests.KEYS:
            if key in top:
                raise top.fail("it is for a recipe with a guest", key)
    top.done("base", "guest", "part", "like", *(guests.KEYS if "guest" in top else ()))
    return replace(made, stream=stream, faults=faulty, keys=top.values)


def _like(top: Table, fetch: Fetch | None) -> Table:
    """The table with what it does not say itself taken over from the recipe that it is `like`."""
    without = top.take("without", list, [])
    if "like" not in top:
        if without:
            raise top.fail("it is like no other recipe, whose keys could be left out", "without")
        return top
    other = dict(_fetched(top, "like", fetch).keys)
    for number, key in enumerate(without):
        if not isinstance(key, str) or other.pop(key, None) is None:
            raise top.fail(f"{shown(top.values['like'])} has no such key", "without", number)
    own = {key: it for key, it in top.values.items() if key not in ("like", "without")}
    for key, it in other.items():
        # Tables are merged: what is said of one thing in them leaves the others.
        own[key] = {**it, **own[key]} if isinstance(it, dict) and isinstance(own.get(key), dict) else own.get(key, it)
    return Table(top.source, own, top.place)


def _made(top: Table, fetch: Fetch | None) -> Recipe:
    """What the faults are done to."""
    ways = [key for key in ("base", "guest", "part") if key in top]
    if len(ways) > 1:
        raise top.fail(f"it cannot have both {ways[0]} and {ways[1]}: a recipe begins with one of them", ways[1])
    if "base" in top:
        base = _fetched(top, "base", fetch)
        return replace(base, form=top.one_of("form", FORMS, base.form))
    form = top.one_of("form", FORMS, "libxl" if "guest" in top else "auto")
    if "guest" in top:
        stream = guests.compose(top, form, top.one_of("mode", MODES, "auto"))
        # What a stream's first octets say needs no word.
        return Recipe(stream, "auto", "auto")
    if "part" not in top:
        raise top.fail("it says nothing of a stream: give it a guest, parts, or a base")
    return Recipe(Stream(tuple(parts_of(top, "part", fetched(top, fetch)))), form)


def _fetched(table: Table, key: str, fetch: Fetch | None) -> Recipe:
    name = table.need(key, str)
    if fetch is None:
        raise table.fail("there are no other recipes to make this from", key)
    try:
        return fetch(name)
    except (KeyError, FileNotFoundError):
        raise table.fail(f"there is no recipe {shown(name)}", key) from None
    except ValueError as error:
        raise table.fail(str(error), key) from None


def fetched(table: Table, fetch: Fetch | None) -> Callable[[Table, str], Stream]:
    """What finds the stream of another recipe that a key of a table names."""
    return lambda within, key: _fetched(within, key, fetch).stream


# -- faults ---------------------------------------------------------------------------------------------------


def _named(stream: Stream, table: Table, key: str) -> tuple[str, int]:
    """Path and number of the part that a key names, such as "PAGE_DATA" or "libxc.END#1"."""
    text = table.need(key, str)
    name, _, number = text.partition("#")
    paths = [path for path in (*HEADERS, *RECORDS) if name in (path, path.partition(".")[2])]
    here = [path for path in paths if path in stream.paths]
    if len(here) != 1:
        told = f"it is in {' and '.join(here)}: say which" if here else "there is none in the stream"
        known = sorted({path.partition(".")[2] for path in stream.paths if "." in path})
        missing = f"there is no such header or record; the stream has {', '.join(known)}"
        raise table.fail(f"{name!r}: {told if paths else missing}", key)
    try:
        nth = int(number or 0)
        part = stream.part(here[0], nth)
    except (ValueError, IndexError):
        count = sum(part.path == here[0] for part in stream.parts)
        raise table.fail(f"{text!r}: of {here[0]} there are {count}, #0 to #{count - 1}", key) from None
    if isinstance(part, Many) and key not in ("before", "after", "drop"):
        raise table.fail(
            f"{text!r}: there are too many records of this to change one; list some as memory.records", key
        )
    return here[0], nth


def _fault(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    """One edit."""
    does = [name for name in _FAULTS if name in table]
    if len(does) != 1:
        raise table.fail(f"a fault is one of {', '.join(_FAULTS)}, here are {len(does)}")
    try:
        edited = _FAULTS[does[0]](stream, table, fetch)
        known = set(stream.parts)
        for part in edited.parts:
            if part not in known:
                check(part)
    except FieldError as error:
        raise (table.fail(str(error), "field") if "field" in table else misfit(table, error)) from None
    table.done()
    return edited


def _set(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    path, nth = _named(stream, table, "set")
    field = table.need("field", str)
    return stream.patch(path, field, patch_value(table, "to"), nth)


def _put(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    path, nth = _named(stream, table, "put")
    part = stream.part(path, nth)
    table.need("fields", dict)
    new = part_of(path, table, "fields")
    return stream.swap(path, replace(part, values={**part.values, **new}), nth=nth)


def _drop(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    path, nth = _named(stream, table, "drop")
    return stream.without(path, nth)


def _move(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    path, nth = _named(stream, table, "move")
    part = stream.part(path, nth)
    rest = stream.without(path, nth)
    if "after" in table:
        other, number = _named(rest, table, "after")
        return rest.after(other, part, nth=number)
    other, number = _named(rest, table, "before")
    return rest.before(other, part, nth=number)


def _insert(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    parts = tuple(parts_of(table, "insert", fetched(table, fetch), stream, _named))
    for key, edit in (("before", stream.before), ("after", stream.after), ("instead", stream.swap)):
        if key in table:
            path, nth = _named(stream, table, key)
            return edit(path, *parts, nth=nth)
    return stream.then(*parts)


def _change(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    """What is around a record's body, or all of the body."""
    path, nth = _named(stream, table, "change")
    if not any(key in table for key in ("length", "type", "padding", "octets", "zeros")):
        raise table.fail("change one of length, type, padding, octets, zeros")
    part = stream.part(path, nth)
    if "octets" in table:
        part = replace(part, patches=())
    return stream.swap(path, around(part, table), nth=nth)


def _resize(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    path, nth = _named(stream, table, "resize")
    if "to" not in table:
        raise table.fail("it has no to, a number")
    return stream.resized(path, table.number("to", 0, most=MOST), nth)


def _cut(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    if integer(table.any("cut")) is not None:
        return replace(stream, cut=table.number("cut", 0, most=stream.size))
    path, nth = _named(stream, table, "cut")
    at = stream.offset(path, nth) + table.number("at", 0, -(1 << 64))
    if not 0 <= at <= stream.size:
        raise table.fail("that is " + ("before the stream begins" if at < 0 else "behind its end"), "at")
    return replace(stream, cut=at)


def _big(stream: Stream, table: Table, fetch: Fetch | None) -> Stream:
    layers = table.take("big_endian", list, [])
    if not set(map(str, layers)) <= {"libxl", "libxc", "xl"}:
        raise table.fail(f"{layers} is not some of libxl, libxc, xl", "big_endian")
    edited = stream.big_endian(*layers)
    if not layers or edited.big != set(layers):
        raise table.fail(f"{layers} is not some of the layers in the stream that have a header", "big_endian")
    return edited


_FAULTS: dict[str, Callable[[Stream, Table, Fetch | None], Stream]] = {
    "set": _set,
    "put": _put,
    "drop": _drop,
    "move": _move,
    "insert": _insert,
    "change": _change,
    "resize": _resize,
    "cut": _cut,
    "big_endian": _big,
}
