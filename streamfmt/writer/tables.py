"""A recipe's TOML, key by key: what is asked for, of which kind, and where in the file it stands if it is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")

# What TOML consists of, where it is known to be TOML: line ends, texts, what holds things together, and other words.
_TOKEN = re.compile(
    r"""
    \n | \#[^\n]* | [][{}=,.]
    | \"{3} (?: [^"\\]+ | \\. | "(?!"") )*+ \"{3,5} | '{3} (?: [^']+ | '(?!'') )*+ '{3,5}
    | " (?: [^"\\\n]+ | \\. )*+ " | '[^'\n]*'
    | [^]\s[{}=,."'#]+
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    str: "a text",
    dict: "a table",
    list: "a list",
}
Place = tuple[str | int, ...]
# What is told of a value that is wrong at most.
_MOST = 600
# Numbers may have any length in hexadecimal, and Python refuses to print such; this is out of range everywhere too.
_HUGE = 1 << 128


class RecipeError(Exception):
    """What is wrong with a recipe: `line` counts from 1, `key` is the place in it, empty for the file as a whole."""

    def __init__(self, file: str, line: int, key: str, message: str) -> None:
        super().__init__(file, line, key, message)
        self.file = file
        self.line = line
        self.key = key
        self.message = message

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {f'{self.key}: ' if self.key else ''}{self.message}"
        return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


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
        """Tables of a list, such as [[part]]."""
        for number, row in enumerate(self.take(key, list, [])):
            if not isinstance(row, dict):
                raise self.fail(f"{shown(row)} is not a table", key, number)
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
                raise self.fail(f"there is no such key here{meant(key, known)}; known: {', '.join(known)}", key)


class Source:
    """The text of a recipe, `file` for what people call it."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def top(self) -> Table:
        """The whole of it.  Raises RecipeError."""
        if self.text.startswith("\ufeff"):
            raise RecipeError(self.file, 1, "", "it begins with a byte order mark, U+FEFF: TOML has none")
        try:
            return Table(self, tomllib.loads(self.text))
        except RecursionError:
            raise RecipeError(self.file, 1, "", "its lists and tables lie too deep in one another") from None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            raise RecipeError(self.file, line, "", f"this is not TOML: {error}") from None
        except ValueError:  # what Python says of a number of over 4,300 digits
            long = re.search(r"\d[\d_]{4300}", self.text)
            line = self.text.count("\n", 0, long.start() if long else 0) + 1
            raise RecipeError(self.file, line, "", "this number has too many digits") from None

    def error(self, place: Place, message: str) -> RecipeError:
        """What is wrong at a place."""
        key = ""
        for step in place:
            key += f"[{step}]" if isinstance(step, int) else f".{_cut(step)}" if key else _cut(step)
        return RecipeError(self.file, self.line(place), key, _cut(message, _MOST))

    def line(self, place: Place) -> int:
        """The line where a place begins, or the nearest thing around it that begins a line."""
        best, deepest = 1, 0
        for whole, number in self.places():
            here = whole[: len(place)]
            if here == place[: len(here)] and len(here) > deepest:
                best, deepest = number, len(here)
        return best

    def places(self) -> Iterator[tuple[Place, int]]:
        """Every key, heading and item of a list in TOML that tomllib has taken, and the line where it begins."""
        line, began = 1, 1
        around: Place = ()  # the table whose heading came last
        counts: dict[Place, int] = {}  # of [[...]], how many came before
        within: list[tuple[Place, int | None]] = []  # open brackets of values, in lists with the item's number
        here: Place = ()  # what the value belongs to
        names: list[str] = []
        heading = 0
        keyed = True  # a key is to come, not a value
        for found in _TOKEN.finditer(self.text):
            token, number = found[0], line
            line += token.count("\n")
            if token == "\n":
                if not within:
                    keyed, names, heading = True, [], 0
            elif token[0] == "#":
                pass
            elif not keyed:
                if token == ",":
                    place, item = within[-1]
                    keyed, names = item is None, []
                    if item is not None:
                        within[-1] = place, item + 1
                        here = (*place, item + 1)
                elif token in "]}":
                    within.pop()
                else:
                    yield here, number
                    if token == "[":
                        within.append((here, 0))
                        here = (*here, 0)
                    elif token == "{":
                        within.append((here, None))
                        keyed, names = True, []
            elif token == "[":
                heading += 1
            elif token == "]" and heading:
                around = ()
                for depth, name in enumerate(names, 1):
                    path = (*around, name)
                    if depth == len(names) and heading == 2:
                        counts[path] = counts.get(path, -1) + 1
                    # Within the last table of each list on the way.
                    around = (*path, counts[path]) if path in counts else path
                heading = 0
                yield around, number
            elif token == "=":
                here = (*(within[-1][0] if within else around), *names)
                keyed = False
                yield here, began
            elif token == "}":
                within.pop()
                keyed = False
            elif token not in ".]":
                began = number
                names.append(next(iter(tomllib.loads(f"{token} = 0"))) if token[0] in "\"'" else token)


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


def meant(word: str, known: Any) -> str:
    """A guess at what was to be written, in brackets; nothing if none is near."""
    close = get_close_matches(word[:60], list(known), 1)
    return f" (is {close[0]} meant?)" if close else ""
