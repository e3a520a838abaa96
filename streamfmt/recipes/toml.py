"""A recipe's TOML, key by key: what is asked for, of which kind, and where in the file it stands if it is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import RecipeError
from .tokens import Place, measure, places

T = TypeVar("T")

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    str: "a text",
    dict: "a table",
    list: "a list",
}
# How much of a value that is wrong is shown at most.
_MOST = 600
# How much a recipe and all that it is made from may have together, so that it takes neither memory nor time without
# end; and how deep its lists and tables lie in one another, and how many names one key has.
LIMITS = {
    "bytes of text": 4 << 20,
    "words and marks": 3 << 17,
    "parts and rows": 1 << 15,
    "runs of frames": 1 << 17,
    "steps": 1 << 20,
}
_DEEPEST = 64
# Numbers may have any length in hexadecimal, and Python refuses to print such; this is out of range everywhere too.
_HUGE = 1 << 128


class Table:
    """A TOML table whose keys are taken one by one from `values`; what is left when all have been is not known."""

    def __init__(self, source: Source, values: Mapping[str, Any], place: Place = ()) -> None:
        self.source = source
        self.place = place
        self.values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fail(self, message: str, *place: str | int) -> RecipeError:
        """The error to raise about a key, or what lies in it, or about the table."""
        return self.source.error((*self.place, *place), message)

    def spend(self, kind: str, count: int, *place: str | int) -> None:
        """Take some of what the limits leave.  Raises RecipeError."""
        self.source.spend(kind, count, (*self.place, *place))

    def take(self, key: str, kind: type[T], default: T) -> T:
        """The key's value, if it is of that kind.  Raises RecipeError."""
        self._asked.add(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(f"{shown(value)} is not {_WORDS[kind]}", key)
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """The value of a key that must be there."""
        if key not in self.values:
            raise self.fail(f"it has no {key}, {_WORDS[kind]}")
        return self.take(key, kind, kind())

    def one_of(self, key: str, words: tuple[str, ...], default: str) -> str:
        """One of some words; without a default it must be there."""
        if key not in self.values and not default:
            raise self.fail(f"it has no {key}, one of {', '.join(words)}")
        word = self.take(key, str, default)
        if key in self.values and word not in words:
            raise self.fail(f"{shown(word)} is none of {', '.join(words)}{meant(word, words)}", key)
        return word

    def number(self, key: str, default: int, least: int = 0, most: int = (1 << 64) - 1) -> int:
        """A number, which may be written as a text such as "0xfeffc", within limits."""
        self._asked.add(key)
        value = self.values.get(key, default)
        found = integer(value)
        if found is None:
            raise self.fail(f"{shown(value)} is not a whole number", key)
        if not least <= found <= most:
            limits = f"within {least} to {most}" if least < most else str(least)
            raise self.fail(f"{shown(found)} is not {limits}", key)
        return found

    def any(self, key: str) -> Any:
        """The value as it is; None if there is none."""
        self._asked.add(key)
        return self.values.get(key)

    def table(self, key: str) -> Table:
        """A table within; empty if it is not there."""
        return Table(self.source, self.take(key, dict, {}), (*self.place, key))

    def tables(self, key: str) -> Iterator[Table]:
        """Tables of a list, such as [[part]]; each may have no more keys than are asked for before the next is."""
        for number, row in enumerate(self.take(key, list, [])):
            if not isinstance(row, dict):
                raise self.fail(f"{shown(row)} is not a table", key, number)
            table = Table(self.source, row, (*self.place, key, number))
            yield table
            table.done()

    def each(self) -> Iterator[tuple[str, Any]]:
        """All keys, which may be any, and their values."""
        self._asked |= self.values.keys()
        yield from self.values.items()

    def done(self, *others: str) -> None:
        """Nothing else may be in the table; `others` are keys that it could have had in the place of some."""
        for key in self.values:
            if key not in self._asked:
                known = sorted(self._asked.union(others))
                raise self.fail(f"there is no such key here{meant(key, known)}; known: {', '.join(known)}", key)


class Source:
    """The text of a recipe, `file` for what people call it.

    `room` is what is left of the limits, `chain` the names of the recipes on the way to it and its own.
    """

    def __init__(self, text: str, file: str, room: dict[str, int] | None = None, chain: tuple[str, ...] = ()) -> None:
        self.text = text
        self.file = file
        self._room = dict(LIMITS) if room is None else room
        self._chain = chain

    def spend(self, kind: str, count: int, place: Place = ()) -> None:
        """Take some of what the limits leave, for what stands at a place.  Raises RecipeError."""
        self._room[kind] -= count
        if self._room[kind] < 0:
            most = f"over {LIMITS[kind]:,} {kind}, the most that a recipe has with all it is made from"
            raise self.error(place, f"this makes {most}{chained(self._chain)}")

    def top(self) -> Table:
        """The whole of it.  Raises RecipeError."""
        if self.text.startswith("\ufeff"):
            raise self.error((), "it begins with a byte order mark, U+FEFF: TOML has none")
        count, depth, long = measure(self.text, LIMITS["words and marks"], _DEEPEST)
        if depth > _DEEPEST:
            raise self.error((), "its lists and tables lie too deep in one another")
        if long:
            raise RecipeError(self.file, long, "", "this number has too many digits")
        self.spend("bytes of text", len(self.text))
        self.spend("words and marks", count)
        try:
            return Table(self, tomllib.loads(self.text))
        except RecursionError:
            raise self.error((), "its lists and tables lie too deep in one another") from None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            raise RecipeError(self.file, line, "", f"this is not TOML: {error}") from None

    def error(self, place: Place, message: str) -> RecipeError:
        """What is wrong at a place."""
        key = ""
        for step in place:
            key += f"[{step}]" if isinstance(step, int) else f".{_cut(step)}" if key else _cut(step)
        return RecipeError(self.file, self.line(place), key, _cut(message, _MOST))

    def line(self, place: Place) -> int:
        """The line where a place begins, or the nearest thing around it that begins a line."""
        best, deepest = 1, 0
        for whole, number in places(self.text) if place else ():  # where it is no TOML, only the whole is spoken of
            here = whole[: len(place)]
            if here == place[: len(here)] and len(here) > deepest:
                best, deepest = number, len(here)
        return best


def integer(value: object) -> int | None:
    """The number that a value is or, for those that TOML has not, that its text says; None if it is none."""
    if isinstance(value, str) and re.fullmatch(r"-?(0x[0-9a-fA-F]{1,32}|[0-9]{1,32})", value):
        return int(value, 16 if "x" in value else 10)
    return max(-_HUGE, min(value, _HUGE)) if isinstance(value, int) and not isinstance(value, bool) else None


def shown(value: object) -> str:
    """A value in a line of an error."""
    for kind in (dict, list):
        if isinstance(value, kind):
            return _WORDS[kind]
    if isinstance(value, bool):
        return "true" if value else "false"
    found = integer(value)
    return _cut(repr(value) if isinstance(value, str) else str(value if found is None else found))


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def chained(names: Sequence[str]) -> str:
    """Names of recipes of which each is made from the next, in brackets; nothing if there is but one."""
    shown = [*names[:4], "...", *names[-4:]] if len(names) > 9 else names
    return f" ({' > '.join(map(_cut, shown))})" if len(names) > 1 else ""


def meant(word: str, known: Any) -> str:
    """A guess at what was to be written, in brackets; nothing if none is near."""
    close = get_close_matches(word[:60], list(known), 1)
    return f" (is {close[0]} meant?)" if close else ""
