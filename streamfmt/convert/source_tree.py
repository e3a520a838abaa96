"""Values of libvirt's XML and of S-expressions by their paths: "devices.disk[0].source.file", "image.hvm.kernel".

Either text becomes a tree of names.  Where an element or list has several children of a name, a number in brackets says
which; an attribute of XML has its name like a child.  In a XENOPS record of XAPI the guest is a text of its own in an
atom: "vm_str.name".
"""

from __future__ import annotations

import re

from ..errors import FieldError
from ..reader.configuration_sexpr import unescaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Bytes of a text that a tree is made of: more than any toolstack writes, and the tree takes fifty times as many.
TREE_MAX = 256 << 10
_DEPTH = 64
# Names that an error lists.
_LISTED = 24


class Node:
    """A value's name, those under it, the `place` of its text if it is text, and how a new one is written."""

    __slots__ = ("name", "nodes", "place", "write")

    def __init__(self, name: str, place: tuple[int, int] | None = None, write: Callable[[str], str] = str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.place = place
        self.write = write


def find(nodes: Sequence[Node], path: str, key: str) -> tuple[Node, tuple[int, int]]:
    """The node of a path that has a text, and its place.  Raises FieldError."""
    where = "the configuration"
    while True:
        names = dict.fromkeys(node.name for node in nodes)
        fitting = [name for name in names if path == name or path.startswith((f"{name}.", f"{name}["))]
        if not fitting:
            known = ", ".join([*names][:_LISTED])
            raise FieldError(key, f"{where} has only {known}" if known else f"{where} has nothing under it")
        name = max(fitting, key=len)
        several = [node for node in nodes if node.name == name]
        number, path = _numbered(path[len(name) :])
        if number is None and len(several) > 1:
            raise FieldError(key, f"there are {len(several)} of {name}, from {name}[0] on")
        if (number or 0) >= len(several):
            raise FieldError(key, f"there {'is' if len(several) == 1 else 'are'} {len(several)} of {name}, from [0] on")
        node = several[number or 0]
        if not path:
            break
        where, nodes = name, node.nodes
    if node.place is None:
        inner = ", ".join(dict.fromkeys(each.name for each in node.nodes))
        raise FieldError(key, f"{name} is no single value" + (f"; it has {inner}" if inner else ""))
    return node, node.place


def _numbered(rest: str) -> tuple[int | None, str]:
    """The number in brackets that the rest of a path begins with, if any, and what comes after it and its dot."""
    number, bracket, after = rest[1:].partition("]") if rest[:1] == "[" else ("", "", rest)
    if bracket and number.isdecimal() and len(number) <= 9:
        return int(number), after.removeprefix(".")
    return None, rest.removeprefix(".")


def _short(text: str | bytes, key: str) -> None:
    if len(text) > TREE_MAX:
        raise FieldError(key, f"values of so long a text ({len(text):,} bytes) are not set by name; use --editor")


# -- S-expressions --------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""[ \t\r\n\f]+|(?P<mark>[()])|"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"|(?P<bare>[^ \t\r\n\f()"]+)""", re.DOTALL
)
_BARE = re.compile(r"""[^\s()"';#|\\]+""")
# A text that is in quotes, piece by piece: an escape or a character.
_PIECE = re.compile(r"\\(?:[0-9]{3}|x[0-9A-Fa-f]{2}|\r?\n[ \t]*|.)|[^\\]", re.DOTALL)


class _Atom:
    """An atom: its text as it stands, with what is in quotes, where it begins, and whether it is quoted."""

    __slots__ = ("at", "quoted", "text")

    def __init__(self, text: str, at: int, quoted: bool) -> None:
        self.text = text
        self.at = at
        self.quoted = quoted


def sexpr(text: str, key: str, value: str) -> tuple[int, int, str]:
    """Where a value stands in an S-expression, and what is to stand there.  Raises FieldError."""
    _short(text, key)
    node, (start, stop) = find([*_nodes(_lists(text, key), key)], key, key)
    return start, stop, node.write(value)


def _lists(text: str, key: str) -> list[object]:
    """The members of the list that a text is."""
    top: list[object] = []
    stack = [top]
    at = 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        if found["mark"] == "(":
            if len(stack) > _DEPTH:
                raise FieldError(key, "the configuration nests too deep")
            inner: list[object] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif found["mark"]:
            if len(stack) == 1:
                break
            stack.pop()
        elif found["bare"] is not None:
            stack[-1].append(_Atom(found["bare"], found.start(), False))
        elif found["quoted"] is not None:
            stack[-1].append(_Atom(found["quoted"], found.start() + 1, True))
    if at < len(text) or len(stack) > 1 or len(top) != 1 or not isinstance(top[0], list):
        raise FieldError(key, f"the configuration is no valid S-expression from character {at} on")
    return top[0]


def _nodes(items: Sequence[object], key: str) -> Iterator[Node]:
    """The lists with a name among the members of a list; of lists without one their members."""
    for item in items:
        if not isinstance(item, list) or not item:
            continue
        first, *rest = item
        if not isinstance(first, _Atom):
            yield from _nodes(item, key)
            continue
        node = Node(_plain(first.text) if first.quoted else first.text)
        node.nodes += _nodes(rest, key)
        if len(rest) == 1 and isinstance(rest[0], _Atom):
            _valued(node, rest[0], key)
        yield node


def _valued(node: Node, atom: _Atom, key: str) -> None:
    """Let a node have an atom's text; if that is a list, what is in it too."""
    start, stop = atom.at, atom.at + len(atom.text)
    if atom.quoted:
        node.place, node.write = (start, stop), _escaped
        if atom.text.startswith("("):
            node.nodes += _inside(atom, key)
    else:
        node.place, node.write = (start, stop), lambda new: new if _BARE.fullmatch(new) else f'"{_escaped(new)}"'


def _inside(atom: _Atom, key: str) -> list[Node]:
    """The nodes of the text that a quoted atom stands for, if it is a list, at their places in the whole text."""
    places, plain = [], []
    for piece in _PIECE.finditer(atom.text):
        for letter in _plain(piece[0]) if piece[0].startswith("\\") else piece[0]:
            places.append(atom.at + piece.start())
            plain.append(letter)
    places.append(atom.at + len(atom.text))
    inner = "".join(plain)
    try:
        found = [*_nodes(_lists(inner, key), key)]
    except FieldError:
        return []  # it only begins like one
    waiting = [*found]
    while waiting:
        node = waiting.pop()
        waiting += node.nodes
        if node.place is not None:
            start, stop = node.place
            node.place = places[start], places[stop]
            node.write = lambda new, write=node.write: _escaped(write(new))  # type: ignore[misc] # its own
    return found


def _plain(text: str) -> str:
    """What a text in quotes stands for."""
    return unescaped(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")


def _escaped(text: str) -> str:
    """A text as it stands in quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


# -- XML ------------------------------------------------------------------------------------------------------------

_TAG = re.compile(rb"""<[^\s/>]+(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s([^\s=/>"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_ENTITIES |= {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# What no XML 1.0 can have: other control characters, bytes that are no UTF-8, and two that are no characters.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml(text: str, key: str, value: str) -> tuple[int, int, str]:
    """As :func:`sexpr`, in XML."""
    if _NO_XML.search(value):
        raise FieldError(key, f"{value[:40]!r} has a control character or is not UTF-8, which XML cannot have")
    data = text.encode(errors="surrogateescape")
    _short(data, key)
    node, (start, stop) = find(_elements(data, key), key, key)
    first, last = (len(data[:at].decode(errors="surrogateescape")) for at in (start, stop))
    return first, last, node.write(value)


def _elements(data: bytes, key: str) -> list[Node]:
    """What is in the root element of a text; places are those of bytes."""
    from xml.parsers import expat

    stack = [(Node(""), 0)]

    def start(name: str, _: object) -> None:
        if len(stack) > _DEPTH:
            raise FieldError(key, "the configuration nests too deep")
        node = Node(name)
        stack[-1][0].nodes.append(node)
        stack.append((node, parser.CurrentByteIndex))

    def end(_: str) -> None:
        node, at = stack.pop()
        tag, stop = _TAG.match(data, at), parser.CurrentByteIndex
        assert tag, "the parser has found one there"
        # Its text, unless there are elements or comments in it, or its tag is both beginning and end.
        if not tag[0].endswith(b"/>") and b"<" not in data[tag.end() : stop]:
            node.place, node.write = (tag.end(), stop), _marked
        names = {each.name for each in node.nodes}
        for found in _ATTRIBUTE.finditer(data, at, tag.end()):
            if (name := found[1].decode(errors="replace")) not in names:
                node.nodes.append(Node(name, found.span(2 if found[2] is not None else 3), _marked))

    def doctype(*_: object) -> None:
        raise FieldError(key, "the configuration declares a document type, which is not read")

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    root = stack[0][0]
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FieldError(key, f"the configuration is not valid XML: {error}") from None
    return root.nodes[0].nodes


def _marked(text: str) -> str:
    """A text as it stands in XML."""
    return "".join(_ENTITIES.get(letter, letter) for letter in text)
