"""Parts as text for people and as JSON: configurations, and strings in pairs."""

from __future__ import annotations

import re
from collections.abc import Callable
from json import dumps, loads
from typing import Any

from ..reader import configuration
from ..reader.configuration_sexpr import lists
from .parts import PAIRS, SOURCE


def _strings(data: bytes) -> list[tuple[str, str]]:
    """Keys with their values, each ended by a NUL.  Raises ValueError."""
    *found, rest = data.split(b"\0")
    if rest or len(found) % 2:
        raise ValueError("it does not consist of pairs of strings, each with a NUL at its end")
    words = [word.decode(errors="backslashreplace") for word in found]
    return list(zip(words[::2], words[1::2], strict=True))


def _lines(data: bytes) -> bytes:
    """A line for each pair: the key, and the value in quotes."""
    return "".join(f"{key} = {dumps(value)}\n" for key, value in _strings(data)).encode()


def _objects(data: bytes) -> bytes:
    """A JSON list of objects."""
    return (dumps([{"key": key, "value": value} for key, value in _strings(data)], indent=1) + "\n").encode()


def _plain(data: bytes) -> bytes:
    return data.removesuffix(b"\0")


def _readable(data: bytes) -> bytes:
    """A configuration for people: JSON and S-expressions indented, the one in vm_str as lists; others as they are."""
    data = _plain(data)
    return _READABLE.get(configuration.form_of(data), _ended)(data)


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"


def _json(data: bytes) -> bytes:
    """The configuration, if it is JSON.  Raises ValueError."""
    data = _plain(data)
    form = configuration.form_of(data)
    if form != "json":
        raise ValueError(f"it is not JSON but {configuration.WORDS[form]}")
    try:
        loads(data)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    return _ended(data)


_TOKEN = r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{},:]|[^][{},:"\s]+'


def _indented(data: bytes) -> bytes:
    """JSON with a line for each member; every token stays as it is."""
    text, depth, last = [], 0, ""
    for token in re.findall(_TOKEN, data.decode(errors="surrogateescape"), re.DOTALL):
        depth -= token in ("]", "}")
        margin = " " * 4 * min(max(depth, 0), _DEEP)
        if last in ("[", "{"):
            text.append("" if token in ("]", "}") else f"\n{margin}")
        elif last == "," or token in ("]", "}"):
            text.append(f"\n{margin}")
        text.append(": " if token == ":" else token)
        depth += token in ("[", "{")
        last = token
    return ("".join(text) + "\n").encode(errors="surrogateescape")


# Members are moved to the right so often at most, and a list stays in a line that is no longer than this.
_DEEP, _WIDTH = 16, 78
_BARE = re.compile(rb"[!-~]+")
_MARKS = b'"();#|\\'


def _nested(data: bytes) -> bytes:
    """An S-expression with a line for each list that does not fit into one; the one in vm_str is taken apart."""
    top, error = lists(data)
    if error:
        raise ValueError(error)
    lines: list[bytes] = []
    for item in top:
        _list(item, 0, lines)
    return b"\n".join(lines) + b"\n"


def _list(item: Any, depth: int, into: list[bytes]) -> None:
    if isinstance(item, list) and len(item) == 2 and item[0] == b"vm_str" and isinstance(item[1], bytes):
        inner, error = lists(item[1])
        item = [b"vm_str", *inner] if not error else item
    whole, margin = _word(item), b" " * 2 * min(depth, _DEEP)
    if not isinstance(item, list) or len(margin) + len(whole) <= _WIDTH:
        into.append(margin + whole)
        return
    first, *rest = item
    if isinstance(first, list):
        into.append(margin + b"(")
        rest = item
    else:
        into.append(margin + b"(" + _word(first))
    for one in rest:
        _list(one, depth + 1, into)
    into[-1] += b")"


def _word(item: Any) -> bytes:
    """An item in one line."""
    if isinstance(item, list):
        return b"(" + b" ".join(map(_word, item)) + b")"
    if _BARE.fullmatch(item) and not any(mark in item for mark in _MARKS):
        return bytes(item)
    escaped: bytes = item.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


_READABLE: dict[str, Callable[[bytes], bytes]] = {"json": _indented, "sexpr": _nested}
CONVERTERS: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    (PAIRS, ""): _lines,
    (PAIRS, "text"): _lines,
    (PAIRS, "json"): _objects,
    (SOURCE, "text"): _readable,
    (SOURCE, "json"): _json,
}
