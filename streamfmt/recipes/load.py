"""Recipes: a stream described in TOML, for people to read and write.  docs/recipes.md lists the keys.

A recipe says what guest it is (`guests`), or lists the parts, or begins with another recipe; then come faults, which
are edits of the list of parts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from ..checks.layer import MODES
from ..checks.targets import several
from ..errors import FieldError, RecipeError
from ..reader.registry import FORMS as READ
from ..writer.draft import ORDERED, Draft, with_length
from ..writer.part import HEADERS, RECORDS, Part
from . import guest, inside, legacy
from .faults import Edited, Spot
from .memory import Many, Pages
from .pairs import with_value
from .parse import MOST, around, check, misfit, part_of, parts_of, patch_value, renamed
from .toml import LIMITS, Source, Table, chained, integer, shown
from .widths import qualified

FORMAT = 1
# How many recipes may be made from one another: more would be too many for Python's stack.
_DEEP = 32
FORMS = (*READ, "auto")
_KEYS = (*guest.KEYS, *legacy.KEYS)

# Schema paths by what faults call them.
_PATHS: dict[str, list[str]] = {}
for _path in (*HEADERS, *RECORDS):
    for _name in (_path, _path.partition(".")[2]):
        _PATHS.setdefault(_name, []).append(_path)

Fetch = Callable[[str], "Recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A loaded recipe: its stream, and how to verify it.

    `form`, `mode`, `deep` and `target` are those of :func:`streamfmt.verify`.  `faults` says whether it is broken on
    purpose.  `keys` are its TOML values, for recipes that are `like` it.
    """

    stream: Draft
    form: str = "auto"
    mode: str = "auto"
    deep: bool = False
    about: str = ""
    faults: bool = False
    target: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def guest(self) -> str | None:
        """Whose a legacy stream is, which it does not say itself: None of other streams."""
        return self.stream.guest


def load(text: str, file: str = "recipe", fetch: Fetch | None = None) -> Recipe:
    """Load a recipe from TOML.

    :param text: the recipe.
    :param file: its name, for error messages.
    :param fetch: returns the recipe of a given name, for `base` and `like`; raises KeyError if there is none.
    :returns: the recipe.
    :raises RecipeError: it is wrong, or over a limit.
    """
    return read(Source(text, file).top(), fetch, whole=True)


def load_file(path: str | os.PathLike[str]) -> Recipe:
    """Load a recipe from a file; recipes that it refers to are in the same directory.

    :param path: the file.
    :returns: the recipe.
    :raises RecipeError: it is wrong, or over a limit.
    :raises OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return load_from(file, Path(path))


def load_from(file: BinaryIO, path: Path) -> Recipe:
    """As `load_file`, from an open file; of `path` only the directory and the name are used."""
    return _Files().load(file, path, ())


class _Files:
    """Recipes that are made from one another: each is read once, and all have one room together."""

    def __init__(self) -> None:
        self._room = dict(LIMITS)
        self._made: dict[Path, Recipe] = {}

    def load(self, file: BinaryIO, path: Path, within: tuple[Path, ...]) -> Recipe:
        """The recipe in an open file; `within` are the files of those that it is fetched for."""
        inner = (*within, _real(path))
        most = LIMITS["bytes of text"]
        data = file.read(most + 1)
        if len(data) > most:
            raise RecipeError(str(path), 1, "", f"this is over {most:,} bytes, too long for a recipe")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise RecipeError(str(path), line, "", "this is not UTF-8, which TOML is written in") from None
        del data
        source = Source(text, str(path), self._room, tuple(each.stem for each in inner))
        return read(source.top(), lambda name: self._fetched(path.parent / f"{name}.toml", name, inner), whole=True)

    def _fetched(self, path: Path, name: str, within: tuple[Path, ...]) -> Recipe:
        """The recipe that another names.  Raises ValueError, FileNotFoundError and RecipeError."""
        if "\0" in name:
            raise FileNotFoundError(name)  # no file has such a name, and the system is not asked for one
        real = _real(path)
        if real in within:
            names = [each.stem for each in within[within.index(real) :]]
            raise ValueError(f"{shown(name)} is made from itself{chained([*names, names[0]]) if names[1:] else ''}")
        if len(within) > _DEEP:
            raise ValueError(f"over {_DEEP} recipes are made from one another{chained([each.stem for each in within])}")
        if real not in self._made:
            try:
                kind = os.stat(path).st_mode
                if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # a pipe would be waited for
                    raise ValueError(f"{shown(name)} cannot be read: it is no regular file")
                with open(path, "rb") as opened:
                    self._made[real] = self.load(opened, path, within)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise ValueError(f"{shown(name)} cannot be read: {error.strerror}") from None
        return self._made[real]


def _real(path: Path) -> Path:
    """Where a path leads.  Of links in a circle, opening it complains; `Path.resolve` would do so here, in its way."""
    return Path(os.path.realpath(path))


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
            target=_target(top, made.target),
        )
        faulty = top.take("broken", bool, False) or made.faults
        stream = made.stream
        if top.take("fault", list, []):
            draft = Edited(stream)
            for fault in top.tables("fault"):
                _fault(draft, fault, fetch)
            stream = draft.stream()
            faulty = True
    except FieldError as error:
        raise top.fail(str(error)) from None
    if "guest" not in top:
        for key in _KEYS:
            if key in top:
                raise top.fail("it is for a recipe with a guest", key)
    top.done("base", "guest", "part", "like", *(_KEYS if "guest" in top else ()))
    return replace(made, stream=stream, faults=faulty, keys=top.values)


def _target(top: Table, made: str) -> str:
    """What the stream is for."""
    target: str = top.take("target", str, made)
    try:
        several((target,) if target else ())
    except ValueError as error:
        raise top.fail(str(error), "target") from None
    return target


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
    # That it is a recipe each says for itself, and has been seen to.
    other.pop("recipe", None)
    own = {key: it for key, it in top.values.items() if key not in ("like", "without", "recipe")}
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
    form = top.one_of("form", FORMS, "libxl" if "guest" in top and "release" not in top else "auto")
    if "guest" in top and legacy.wanted(top, form):
        return Recipe(legacy.compose(top, form), "auto", "auto")
    if "guest" in top:
        stream = guest.compose(top, form, top.one_of("mode", MODES, "auto"))
        if "checkpoints" not in top:
            top.spend("parts and rows", len(stream.parts))
        # What a stream's first bytes say needs no word.
        return Recipe(stream, "auto", "auto")
    if "part" not in top:
        raise top.fail("it says nothing of a stream: give it a guest, parts, or a base")
    return Recipe(Draft(tuple(parts_of(top, "part", lambda row, key: _fetched(row, key, fetch).stream))), form)


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


# -- faults ---------------------------------------------------------------------------------------------------


def _named(draft: Edited, table: Table, key: str) -> Spot:
    """Where the part is that a key names, such as "PAGE_DATA" or "libxc.END#1"."""
    text = table.need(key, str)
    name, _, number = text.partition("#")
    paths = _PATHS.get(name, ())
    here = [path for path in paths if draft.has(path)]
    if len(here) != 1:
        found = f"it is in {' and '.join(here)}: say which" if here else "there is none in the stream"
        known = sorted({path.partition(".")[2] for path, count in draft.paths.items() if count and "." in path})
        missing = f"there is no such header or record; the stream has {', '.join(known)}"
        raise table.fail(f"{name!r}: {found if paths else missing}", key)
    try:
        spot = draft.find(here[0], int(number or 0))
    except (ValueError, IndexError):
        count = draft.paths[here[0]]
        raise table.fail(f"{text!r}: of {here[0]} there are {count}, #0 to #{count - 1}", key) from None
    if isinstance(draft.part(spot), Many) and key not in ("before", "after", "drop"):
        raise table.fail(
            f"{text!r}: there are too many records of this to change one; list some as memory.records", key
        )
    return spot


def _fault(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    """One edit, of the stream or of the device record in one of its parts."""
    renamed(table)
    if "in" not in table:
        _edit(draft, table, fetch)
        return
    spot = _named(draft, table, "in")
    inner, put_back = inside.taken_apart(draft.part(spot), ">" if draft.part(spot).layer in draft.big else "<", table)
    _edit(inner, table, fetch)
    part = put_back(inner.stream().render())
    table.spend("steps", check(part))
    draft.swap(spot, part)


def _edit(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    """One edit of these parts."""
    does = [name for name in _FAULTS if name in table]
    if len(does) != 1:
        raise table.fail(f"a fault is one of {', '.join(_FAULTS)}, here are {len(does)}")
    draft.fresh.clear()
    try:
        _FAULTS[does[0]](draft, table, fetch)
        table.spend("steps", 8 + sum(check(part) + _weight(part) for part in draft.fresh))
    except FieldError as error:
        raise (table.fail(str(error), "field") if "field" in table else misfit(table, error)) from None


def _weight(part: Part) -> int:
    """How many things a part is made of."""
    if part.data is not None or isinstance(part.values, Pages):
        return 0
    lists = [value for value in part.values.values() if isinstance(value, list) and value]
    return sum(len(value) * (8 if isinstance(value[0], Mapping) else 1) for value in lists)


def _set(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    spot = _named(draft, table, "set")
    field = qualified(draft, spot, table.need("field", str))
    part = draft.part(spot)
    if (paired := with_value(part, field, table, ">" if part.layer in draft.big else "<")) is not None:
        draft.swap(spot, paired)
        return
    table.spend("steps", draft.patch(spot, field, patch_value(table, "to")))


def _put(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    spot = _named(draft, table, "put")
    part = draft.part(spot)
    table.need("fields", dict)
    new = part_of(part.path, table, "fields")
    draft.swap(spot, replace(part, values={**part.values, **new}))


def _drop(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    draft.swap(_named(draft, table, "drop"))


def _move(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    spot = _named(draft, table, "move")
    part = draft.part(spot)
    draft.swap(spot)
    if "after" in table:
        draft.after(_named(draft, table, "after"), part)
    else:
        draft.before(_named(draft, table, "before"), part)


def _insert(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    def named(row: Table, key: str) -> Part:
        return draft.part(_named(draft, row, key))

    parts = tuple(parts_of(table, "insert", lambda row, key: _fetched(row, key, fetch).stream, named))
    for key, edit in (("before", draft.before), ("after", draft.after), ("instead", draft.swap)):
        if key in table:
            edit(_named(draft, table, key), *parts)
            return
    draft.then(*parts)


def _change(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    """What is around a record's body, or all of the body."""
    spot = _named(draft, table, "change")
    if not any(key in table for key in ("length", "type", "padding", "bytes", "zeros")):
        raise table.fail("change one of length, type, padding, bytes, zeros")
    part = draft.part(spot)
    if "bytes" in table:
        part = replace(part, patches=())
    draft.swap(spot, around(part, table))


def _resize(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    spot = _named(draft, table, "resize")
    if "to" not in table:
        raise table.fail("it has no to, a number")
    draft.swap(spot, with_length(draft.part(spot), table.number("to", 0, most=MOST)))


def _cut(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    if integer(table.any("cut")) is not None:
        draft.cut = table.number("cut", 0, most=draft.size)
        return
    at = draft.offset(_named(draft, table, "cut")) + table.number("at", 0, -(1 << 64))
    if not 0 <= at <= draft.size:
        raise table.fail("that is " + ("before the stream begins" if at < 0 else "after its end"), "at")
    draft.cut = at


def _big(draft: Edited, table: Table, fetch: Fetch | None) -> None:
    layers = table.take("big_endian", list, [])
    if not set(map(str, layers)) <= set(ORDERED):
        raise table.fail(f"{layers} is not some of {', '.join(ORDERED)}", "big_endian")
    if not layers or not set(layers) <= draft.headed():
        raise table.fail(f"{layers} is not some of the layers in the stream that have a header", "big_endian")
    draft.big = frozenset(layers)


_FAULTS: dict[str, Callable[[Edited, Table, Fetch | None], None]] = {
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
