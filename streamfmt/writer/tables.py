"""A recipe's TOML, key by key: what is asked for, of which kind, and where in the file it stands if it is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")

_HEADING = re.compile(r"\s*(\[\[?)\s*([\w.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_WORDS = {
    bool: "true or false",
    int: "a number",
    str: "a text",
    dict: "a table",
    list: "a list",
    float: "a number with a point",
}
Place = tuple[str | int, ...]


class RecipeError(Exception):
    """What is wrong with a recipe: `line` counts from 1, `key` is the place in it, empty for the file as a whole."""

    def __init__(self, file: str, line: int, key: str, message: str) -> None:
        super().__init__(file, line, key, message)
        self.file = file
        self.line = line
        self.key = key
        self.message = message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {f'{self.key}: ' if self.key else ''}{self.message}"


class Table:
    """A TOML table whose keys are taken one by one from `values`; what is left when all have been is not known."""

    def __init__(self, source: Source, values: Mapping[str, Any], place: Place = ()) -> None:
        self.source = source
        self.place = place
        self.values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fail(self, message: str, key: str | int | None = None) -> RecipeError:
        """The error to raise about a key, or about the table."""
        return self.source.error((*self.place, *([] if key is None else [key])), message)

    def take(self, key: str, kind: type[T], default: T) -> T:
        """The key's value, if it is of that kind.  Raises RecipeError."""
        self._asked.add(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(f"{_shown(value)} is not {_WORDS[kind]}", key)
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
            raise self.fail(f"{word!r} is none of {', '.join(words)}{_meant(word, words)}", key)
        return word

    def number(self, key: str, default: int, least: int = 0, most: int = (1 << 64) - 1) -> int:
        """A number, which may be written as a text such as "0xfeffc", within limits."""
        self._asked.add(key)
        value = self.values.get(key, default)
        found = integer(value)
        if found is None:
            raise self.fail(f"{_shown(value)} is not a number", key)
        if not least <= found <= most:
            raise self.fail(f"{found} is not within {least} to {most}", key)
        return found

    def any(self, key: str) -> Any:
        """The value as it is; None if there is none."""
        self._asked.add(key)
        return self.values.get(key)

    def table(self, key: str) -> Table:
        """A table within; empty if it is not there."""
        return Table(self.source, self.take(key, dict, {}), (*self.place, key))

    def tables(self, key: str) -> Iterator[Table]:
        """Tables of a list, such as [[part]]."""
        for number, row in enumerate(self.take(key, list, [])):
            if not isinstance(row, dict):
                raise self.fail(f"{_shown(row)} is not a table", key)
            yield Table(self.source, row, (*self.place, key, number))

    def each(self) -> Iterator[tuple[str, Any]]:
        """All keys, which may be any, and their values."""
        self._asked |= self.values.keys()
        yield from self.values.items()

    def done(self, *others: str) -> None:
        """Nothing else may be in the table; `others` are keys that it could have had in the place of some."""
        for key in self.values:
            if key not in self._asked:
                known = sorted(self._asked.union(others))
                raise self.fail(f"there is no such key here{_meant(key, known)}; known: {', '.join(known)}", key)


class Source:
    """The text of a recipe, `file` for what people call it."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def top(self) -> Table:
        """The whole of it.  Raises RecipeError."""
        try:
            return Table(self, tomllib.loads(self.text))
        except RecursionError:
            raise RecipeError(self.file, 1, "", "its lists and tables lie too deep in one another") from None
        except ValueError as error:  # TOMLDecodeError is one; so is what Python says of a number of 5,000 digits
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            raise RecipeError(self.file, line, "", f"this is not TOML: {error}") from None

    def error(self, place: Place, message: str) -> RecipeError:
        """What is wrong at a place."""
        shown = ""
        for step in place:
            shown += f"[{step}]" if isinstance(step, int) else f".{step}" if shown else step
        return RecipeError(self.file, self.line(place), shown, message)

    def line(self, place: Place) -> int:
        """The line where a place begins, or the nearest thing around it that begins a line."""
        best, deepest = 1, 0
        counts: dict[Place, int] = {}
        around: Place = ()
        for number, text in enumerate(self.text.splitlines(), 1):
            heading = _HEADING.match(text)
            if heading and "=" not in text.split("]")[0]:
                names = tuple(_steps(heading[2]))
                if heading[1] == "[[":
                    counts[names] = counts.get(names, -1) + 1
                # Within the last table of each list on the way.
                around = ()
                for depth, name in enumerate(names, 1):
                    around = (*around, name, *([counts[names[:depth]]] if names[:depth] in counts else []))
                here = around
            else:
                key = _KEY.match(text)
                if key is None:
                    continue
                here = (*around, *_steps(key[1]))
            here = here[: len(place)]
            if here == place[: len(here)] and len(here) > deepest:
                best, deepest = number, len(here)
        return best


def integer(value: object) -> int | None:
    """The number that a value is or, for those that TOML has not, that its text says; None if it is none."""
    if isinstance(value, str) and re.fullmatch(r"-?(0x[0-9a-fA-F]{1,32}|[0-9]{1,32})", value):
        return int(value, 16 if "x" in value else 10)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _steps(name: str) -> Iterator[str]:
    for found in re.finditer(r"""[\w-]+|"[^"]*"|'[^']*'""", name):
        yield found[0].strip("\"'")


def _meant(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), 1)
    return f" (is {close[0]} meant?)" if close else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
