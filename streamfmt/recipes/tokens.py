"""What TOML consists of: where each key and value of a text stands, and how much there is of it.

The text is known to be TOML, or what comes after the place where it is none does not matter.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Place = tuple[str | int, ...]

# Line ends, comments, what holds things together, how texts begin, and other words.
_TOKEN = re.compile(r"""\n|#[^\n]*|[][{}=,.]|"(?:"")?|'(?:'')?|[^]\s[{}=,."'#]+""")
# What may be the end of a text, by how it begins.
_ENDS = {'"': re.compile(r'["\\\n]'), '"""': re.compile(r'"""|\\'), "'": re.compile(r"['\n]"), "'''": re.compile("'''")}


def tokens(text: str) -> Iterator[str]:
    """The tokens one by one, in time that grows with the text and no faster."""
    at = 0
    while found := _TOKEN.search(text, at):
        begin, at = found.span()
        token = found[0]
        if token[0] in "\"'":
            at = _end(text, at, token)
            if not at:
                return
            token = text[begin:at]
        yield token


def _end(text: str, at: int, quote: str) -> int:
    """Where the text ends whose quotes end at `at`; 0 if it does not."""
    while found := _ENDS[quote].search(text, at):
        at = found.end()
        if found[0] == quote:
            for _ in range(2 if len(quote) > 1 else 0):  # up to two quotes may come before those that end it
                at += text.startswith(quote[0], at)
            return at
        if found[0] == "\n":
            return 0
        at += 1  # what a backslash stands before
    return 0


# What dots and headings count for.
_DOT, _HEADING = 9, 9
# Digits of a number at most, as Python has it; tomllib's patterns take much memory for more.
_DIGITS = 4300


def measure(text: str, most: int, deepest: int) -> tuple[int, int, int]:
    """How many tokens a text has, and how deep they lie in one another or how many dots the longest key has.

    The third is the line of the first number that is longer than Python takes, 0 if there is none.  Headings and dots
    count for several: tomllib remembers more of them.  Over `most` or `deepest` nothing is looked at any further.
    """
    count = deep = long = 0
    depth = names = lines = 0
    line = 1
    last = "\n"
    for token in tokens(text):
        if token == "\n":
            lines += 1
        elif token == ".":
            names += 1
            count += _DOT
        else:
            if len(token) > _DIGITS and token[0] in "+-0123456789":
                long = line
            count += _HEADING if token == "[" and last == "\n" and not depth else 1
            depth += (token in "[{") - (token in "]}")
            if token in "=,[]{}":
                names = 0
        last = token
        line += token.count("\n")
        deep = max(deep, depth, names)
        if max(count, lines) > most or deep > deepest or long:
            break
    return max(count, lines), deep, long


def places(text: str) -> Iterator[tuple[Place, int]]:
    """Every key, heading and item of a list in TOML that tomllib has taken, and the line where it begins."""
    line, began = 1, 1
    around: Place = ()  # the table whose heading came last
    counts: dict[Place, int] = {}  # of [[...]], how many came before
    within: list[tuple[Place, int | None]] = []  # open brackets of values, in lists with the item's number
    here: Place = ()  # what the value belongs to
    names: list[str] = []
    heading = 0
    keyed = True  # a key is to come, not a value
    for token in tokens(text):
        number = line
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
