"""Finds regular expressions that hold what they have matched: possessive repeats and atomic groups.

CPython 3.11.2 counts half a repeat as matched where such a group fails in the middle, so nothing of ours has one.
There are two nets: the strings of a source, whatever becomes of them, and what re is given while a program runs.
Only what the standard library has is imported here, for verdicts.py runs under other Pythons.
"""

from __future__ import annotations

import ast
import re
import re._parser as parser  # type: ignore[import-not-found] # not public, and the only one that knows the syntax
import sys
from collections.abc import Iterator
from typing import Any

_HOLDING = {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}
# Shorter than any table of characters.
_SHORT = 32
_SIGN = re.compile(r"[*+?}]\+|\(\?>")


def holding(pattern: str | bytes, flags: int = 0) -> bool:
    """Whether the pattern has such a group.  Raises re.error."""
    return _within(parser.parse(pattern, flags))


def _within(item: Any) -> bool:
    if isinstance(item, (list, tuple, parser.SubPattern)):
        return any(map(_within, item))
    return str(item) in _HOLDING


def written(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string in a module that is such a pattern, or could be the end of one.

    Docstrings are none, nor are tables of characters in their order.
    """
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in said:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            table = len(text) > _SHORT and sorted(set(text)) == list(text)
            if _SIGN.search(text) and not table and _suspicious(text):
                yield node.lineno, text


def _suspicious(text: str) -> bool:
    found = []
    for flags in (0, re.VERBOSE):
        try:
            found.append(holding(text, flags))
        except (re.error, OverflowError):
            pass
    # What is no pattern by itself is a piece of one.
    return any(found) or not found


def watch(package: str) -> list[str]:
    """From now on, every such pattern that a module of the package has compiled is added to the list."""
    found: list[str] = []
    parse = parser.parse

    def watched(pattern: str | bytes, flags: int = 0, *rest: Any) -> Any:
        tree = parse(pattern, flags, *rest)
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in ("re", "functools", "enum"):
            frame = frame.f_back
        name = frame.f_globals["__name__"]
        if name.partition(".")[0] == package and _within(tree):
            found.append(f"{name}: {pattern!r}")
        return tree

    parser.parse = watched
    return found
