"""A guest's configuration changed in one place: every other byte of the text stays as it is.

A key is a path in libxl's JSON ("c_info.name", "disks[0].pdev_path"), or a name in xl's text, with the number of an
element in brackets if it is a list ("disk[0]"); for those of XML and of S-expressions see :mod:`source_tree`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json import JSONDecoder, dumps, loads
from json.decoder import scanstring  # type: ignore[attr-defined] # typeshed leaves it out; it is in json's own source

from ..errors import FieldError
from ..reader import configuration
from ..reader.registry import load

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"\[(\d{1,9})\]")
# Bytes of an argument that were no UTF-8, as Python has them.
_NO_UTF8 = re.compile("[\ud800-\udfff]")


def put(text: bytes, key: str, value: str) -> bytes:
    """The text with one value changed.  Raises FieldError."""
    form = configuration.form_of(text)
    whole = text.decode(errors="surrogateescape")
    start, stop, new = _FORMS[form](whole, key, value)
    return (whole[:start] + new + whole[stop:]).encode(errors="surrogateescape")


# -- libxl's JSON ---------------------------------------------------------------------------------------------------


def _json(text: str, key: str, value: str) -> tuple[int, int, str]:
    """Where a value stands, and what is to stand there."""
    try:
        start, stop = _place(text, _past(text, 0), key, key)
        old = loads(text[start:stop])
    except RecursionError:
        raise FieldError(key, "the configuration nests too deep") from None
    except (ValueError, IndexError, StopIteration) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(key, f"the configuration is not valid JSON: {error}") from None
    # What is unset is null: libxl writes that for strings only.
    if isinstance(old, str) or (old is None and value != "null"):
        if _NO_UTF8.search(value):
            raise FieldError(key, f"{value[:40]!r} is not UTF-8, as JSON has to be")
        return start, stop, dumps(value)
    try:
        new = loads(value, parse_constant=_number)
    except (ValueError, RecursionError):
        new = ...
    if type(new) is not type(old) and {type(new), type(old)} != {int, float}:
        raise FieldError(key, f"it is {text[start:stop][:40]} and cannot become {value[:40]!r}: that is another type")
    return start, stop, value


def _number(name: str) -> float:
    """Refuse what Python takes for a number, and JSON does not have: NaN and the infinities."""
    raise ValueError(name)


def _past(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _place(text: str, at: int, path: str, key: str) -> tuple[int, int]:
    """Where the value of a path stands in the value that begins at `at`."""
    if not path:
        return at, JSONDecoder().raw_decode(text, at)[1]
    members = list(_members(text, at))
    if text[at] == "[":
        number = _NUMBER.match(path)
        if number is None or int(number[1]) >= len(members):
            raise FieldError(key, f"{key[: len(key) - len(path)]} is a list of {len(members)}, from [0] on")
        return _place(text, members[int(number[1])][1], path[number.end() :].removeprefix("."), key)
    fitting = [name for name, _ in members if path == name or path.startswith((f"{name}.", f"{name}["))]
    if not fitting:
        known = ", ".join(dict.fromkeys(name for name, _ in members))
        where = key[: len(key) - len(path)].rstrip(".") or "the configuration"
        raise FieldError(key, f"{where} has only {known}" if known else f"{where} has no members")
    name = max(fitting, key=len)
    # Of two equal keys libxl takes the first.
    start = next(start for each, start in members if each == name)
    return _place(text, start, path[len(name) :].removeprefix("."), key)


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """The members of an object or a list that begins at `at`: names, and where their values begin."""
    closing = {"{": "}", "[": "]"}.get(text[at], "")
    if not closing:
        return
    decode = JSONDecoder().raw_decode
    named = closing == "}"
    at = _past(text, at + 1)
    while text[at] != closing:
        name = ""
        if named:
            if text[at] != '"':
                raise ValueError(f"no name at character {at}")
            name, at = scanstring(text, at + 1, True)
            at = _past(text, at)
            if text[at] != ":":
                raise ValueError(f"no colon at character {at}")
            at = _past(text, at + 1)
        yield name, at
        at = _past(text, decode(text, at)[1])
        if text[at] == ",":
            at = _past(text, at + 1)
        elif text[at] != closing:
            raise ValueError(f"no comma at character {at}")


# -- xl's text ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""[ \t\r\f]+ | \#[^\n]*
    | (?P<string>"[^"\\\n]*(?:\\.[^"\\\n]*)*" | '[^'\\\n]*(?:\\.[^'\\\n]*)*')
    | (?P<word>[A-Za-z_]\w*) | (?P<number>\d[0-9a-fx]*) | (?P<mark>\+?=|.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
# What strtoul takes, in the letters that xl's lexer has.
_XL_NUMBER = re.compile(r"[1-9]\d*|0[0-7]*|0x[0-9a-f]+", re.ASCII)
_KEY = re.compile(r"([A-Za-z_]\w*)(?:\[(\d{1,9})\])?", re.ASCII)


def _text(text: str, key: str, value: str) -> tuple[int, int, str]:
    """As above.  The last assignment of a name counts."""
    wanted = _KEY.fullmatch(key)
    if wanted is None:
        raise FieldError(key, "a name is wanted, such as memory, or disk[0] of a list")
    name, number = wanted[1], wanted[2]
    values = _assigned(text).get(name)
    if values is None:
        known = ", ".join(_assigned(text))
        raise FieldError(key, f"it is not assigned; only {known}" if known else "nothing is assigned")
    listed, places = values
    if listed != (number is not None) or (number is not None and int(number) >= len(places)):
        raise FieldError(key, f"it is a list of {len(places)}, from [0] on" if listed else "it is no list")
    start, stop = places[int(number or 0)]
    old = text[start:stop]
    if old[:1] in ("'", '"'):
        escaped = value.replace("\\", "\\\\").replace(old[0], f"\\{old[0]}").replace("\n", "\\n")
        return start, stop, old[0] + escaped + old[0]
    if not _XL_NUMBER.fullmatch(value):
        raise FieldError(key, f"it is {old} and cannot become {value[:40]!r}: that is no number")
    return start, stop, value


def _assigned(text: str) -> dict[str, tuple[bool, list[tuple[int, int]]]]:
    """For each name whether it is a list, and where its values stand."""
    found: dict[str, tuple[bool, list[tuple[int, int]]]] = {}
    name, assigned, depth = "", False, 0
    for token in _TOKEN.finditer(text):
        mark = token["mark"]
        if token["string"] or token["number"]:
            if assigned and name in found and (depth or not found[name][1]):
                found[name][1].append(token.span())
        elif depth:
            depth += (mark == "[") - (mark == "]")
        elif mark in ("\n", ";"):
            name, assigned = "", False
        elif mark in ("=", "+="):
            assigned = bool(name)
            if assigned and mark == "=":
                found[name] = False, []
        elif mark == "[" and assigned:
            depth = 1
            found[name] = True, found[name][1] if name in found else []
        elif token["word"] and not assigned:
            name = token["word"]
    return found


def _xml(text: str, key: str, value: str) -> tuple[int, int, str]:
    found: tuple[int, int, str] = load("convert.source_tree:xml")(text, key, value)
    return found


def _sexpr(text: str, key: str, value: str) -> tuple[int, int, str]:
    found: tuple[int, int, str] = load("convert.source_tree:sexpr")(text, key, value)
    return found


_FORMS: dict[str, Callable[[str, str, str], tuple[int, int, str]]] = {
    "json": _json,
    "text": _text,
    "xml": _xml,
    "sexpr": _sexpr,
}
