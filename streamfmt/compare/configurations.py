"""Guests' configurations compared: texts of one form value by value, of two forms by what both say.

Values have paths: "b_info.max_vcpus", "devices/disk[1]/source@file", "vcpus".  None of this judges; what is not
understood is compared as lines.
"""

from __future__ import annotations

from ..reader.configuration import form_of, parse
from ..reader.configuration_forms import decoded
from ..reader.configuration_sexpr import lists
from .leaves import Leaf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    from .leaves import Leaves

    Pairs: TypeAlias = Iterator[tuple[str, str]]

# A value lies in so many others at most, and a text has so many.
_DEEP, _VALUES_MAX = 64, 1 << 16


class _NotUnderstoodError(Exception):
    """The text is not as its form has it."""


def leaves_of(a: Leaves, b: Leaves) -> tuple[Leaves, Leaves]:
    """The values of two texts, each of which is the only leaf."""
    texts = [next(iter(one.values())).value for one in (a, b)]
    one, other = (text.partition(b"\0")[0] if isinstance(text, bytes) else b"" for text in texts)
    forms = form_of(one), form_of(other)
    if forms[0] == forms[1]:
        try:
            return _leaves(forms[0], one), _leaves(forms[0], other)
        except _NotUnderstoodError:
            return _lines(one), _lines(other)
    said = []
    for text in (one, other):
        values = parse(text).as_dict()
        del values["form"]
        said.append({name: Leaf(str(value)) for name, value in values.items()})
    # What one form does not say is no difference.
    both = said[0].keys() & said[1].keys()
    left, right = ({name: leaf for name, leaf in one.items() if name in both} for one in said)
    return left, right


def _leaves(form: str, text: bytes) -> Leaves:
    found: Leaves = {}
    many: dict[str, int] = {}
    for path, value in _FORMS[form](text):
        name, number = path, many.get(path, 1)
        while name in found:
            number += 1
            name = f"{path} ({number})"
        many[path] = number
        found[name] = Leaf(value)
        if len(found) > _VALUES_MAX:
            raise _NotUnderstoodError
    return found


def _lines(text: bytes) -> Leaves:
    lines = text.decode(errors="backslashreplace").splitlines()
    return {f"line {number}": Leaf(line) for number, line in enumerate(lines[:_VALUES_MAX], 1)}


def _json(text: bytes) -> Pairs:
    try:
        whole = decoded(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        raise _NotUnderstoodError from None
    stack: list[tuple[str, Any]] = [("", whole)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            rows = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
        elif isinstance(value, list):
            rows = [(f"{path}[{number}]", inner) for number, inner in enumerate(value)]
        else:
            yield path, str(value)
            continue
        if not rows:
            yield path, "{}" if isinstance(value, dict) else "[]"
        stack += reversed(rows)


def _text(text: bytes) -> Pairs:
    """Assignments of xl's text, a list as one value with its blanks taken together."""
    name, value, depth = "", "", 0
    for line in text.decode(errors="backslashreplace").splitlines():
        bare = line.strip()
        if not depth:
            if not bare or bare.startswith("#"):
                continue
            name, equal, value = (word.strip() for word in bare.partition("="))
            if not equal:
                raise _NotUnderstoodError
        else:
            value += " " + bare
        depth = value.count("[") - value.count("]")
        if depth <= 0:
            depth = 0
            yield name, " ".join(value.split())
    if depth:
        raise _NotUnderstoodError


def _xml(text: bytes) -> Pairs:
    """Elements and attributes below the outermost; those of one name have numbers, from the second on."""
    from xml.parsers import expat

    found: list[tuple[str, str]] = []
    paths = [""]
    counts: list[dict[str, int]] = [{}]
    texts: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(paths) > _DEEP or len(found) > _VALUES_MAX:
            raise _NotUnderstoodError
        number = counts[-1][name] = counts[-1].get(name, -1) + 1
        own = f"{name}[{number}]" if number else name
        path = f"{paths[-1]}/{own}" if len(paths) > 2 else own if len(paths) == 2 else ""
        paths.append(path)
        counts.append({})
        texts.append("")
        found.extend((f"{path}@{key}", value) for key, value in attributes.items())
        if not attributes:
            found.append((path, ""))

    def end(_: str) -> None:
        path, said = paths.pop(), texts.pop().strip()
        counts.pop()
        if said:
            found.append((f"{path}#", said))

    def characters(data: str) -> None:
        if texts:
            texts[-1] += data

    def doctype(*_: object) -> None:
        raise _NotUnderstoodError

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        raise _NotUnderstoodError from None
    said = {path.removesuffix("#") for path, _ in found if path.endswith("#")}
    for path, value in found:
        if path.endswith("#"):
            yield path[:-1], value
        elif value or "@" in path or path not in said:
            yield path, value


def _sexpr(text: bytes) -> Pairs:
    """Lists by the atoms that they begin with; what XAPI has in vm_str is taken apart."""
    top, error = lists(text)
    if error:
        raise _NotUnderstoodError
    stack: list[tuple[str, Any]] = [("", item) for item in reversed(top)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, bytes):
            yield path, item.decode(errors="backslashreplace")
            continue
        name, rest = "", item
        if item and isinstance(item[0], bytes):
            name, rest = item[0].decode(errors="backslashreplace"), item[1:]
        inner = f"{path}.{name}" if path and name else path or name
        if name == "vm_str" and len(rest) == 1 and isinstance(rest[0], bytes):
            parsed, error = lists(rest[0])
            rest = rest if error else parsed
        if not rest:
            yield path, name
        stack += ((inner, one) for one in reversed(rest))


_FORMS: dict[str, Callable[[bytes], Pairs]] = {"json": _json, "text": _text, "xml": _xml, "sexpr": _sexpr}
