"""One value of XML or an S-expression changes, and nothing else, by whatever reads the text."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..convert.source_text import put
from ..errors import FieldError
from ..reader.configuration_sexpr import lists

NAMES = st.sampled_from(["a", "b", "name", "disk-x", "é"])
TEXTS = st.text("ab é<&>\"'\\()\n;|", max_size=6)


# -- XML ------------------------------------------------------------------------------------------------------------


def element(name: str, attributes: dict[str, str], inside: str | list[Any]) -> ElementTree.Element:
    found = ElementTree.Element(name, attributes)
    if isinstance(inside, str):
        found.text = inside
    else:
        found.extend(inside)
    return found


ELEMENTS: Any = st.recursive(
    st.builds(element, NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), TEXTS),
    lambda inner: st.builds(element, NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), st.lists(inner, max_size=3)),
    max_leaves=6,
)


def written(root: ElementTree.Element, space: str) -> str:
    """The element as text, with white space where it means nothing to anybody."""
    attributes = "".join(f"{space or ' '}{name}={quoteattr(value)}" for name, value in root.attrib.items())
    inside = f"{space}".join(written(each, space) for each in root)
    if not len(root) and not root.text:
        return f"<{root.tag}{attributes}/>" if space else f"<{root.tag}{attributes}></{root.tag}>"
    return f"<{root.tag}{attributes}{space}>{escape(root.text or '')}{inside}</{root.tag}>"


def leaves(root: ElementTree.Element, prefix: str = "") -> list[tuple[str, ElementTree.Element, str]]:
    """Paths of texts and attributes: what they lie in, and the attribute's name, "" of a text."""
    found = []
    names = [each.tag for each in root]
    for name in root.attrib:
        if name not in names:
            found.append((f"{prefix}{name}", root, name))
    for number, each in enumerate(root):
        nth = names[:number].count(each.tag)
        path = f"{prefix}{each.tag}[{nth}]"
        if not len(each):
            found.append((path, each, ""))
        found += leaves(each, f"{path}.")
    return found


def same(one: ElementTree.Element, other: ElementTree.Element) -> bool:
    alike = one.tag == other.tag and one.attrib == other.attrib and (len(one) or (one.text or "") == (other.text or ""))
    return bool(alike) and len(one) == len(other) and all(map(same, one, other))


@given(ELEMENTS, TEXTS | st.text("a\r\n\t", max_size=3), st.sampled_from(["", " ", "\n  "]), st.data())
@settings(max_examples=80)
def test_xml(root: ElementTree.Element, value: str, space: str, data: st.DataObject) -> None:
    """Any element that has text, and any attribute."""
    text = written(root, space)
    found = leaves(root)
    if not found:
        return
    path, inside, attribute = data.draw(st.sampled_from(found))
    if not attribute and not inside.text and space:
        return  # a tag that is beginning and end has no place for a text
    after = put(text.encode(), path, value).decode()
    if attribute:
        inside.set(attribute, value)
    else:
        inside.text = value

    assert same(ElementTree.fromstring(after), root)


@pytest.mark.parametrize("value", ["a\x01", "\udcff", "\ufffe"])
def test_values_that_no_xml_has(value: str) -> None:
    """A value that would make the text no XML is refused; so is one that is no UTF-8 in JSON."""
    with pytest.raises(FieldError, match="which XML cannot have"):
        put(b"<a><b>c</b></a>", "b", value)
    with pytest.raises(FieldError, match="not UTF-8"):
        put(b'{"b": "c"}', "b", f"{value}\udc80")


# -- S-expressions --------------------------------------------------------------------------------------------------

ATOMS = st.text("ab1/.:-", min_size=1, max_size=5) | TEXTS


def atom(text: str, bare: bool) -> str:
    if bare and text and not {*text} & {*" é<&>\"'\\()\n;|"}:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def spelt(tree: Any, space: str, bare: bool) -> str:
    """A tree of lists, atoms, and texts that are lists again, as text."""
    if isinstance(tree, tuple):
        return atom(spelt(list(tree), " ", bare), False)
    if isinstance(tree, list):
        return "(" + space.join(spelt(each, space, bare) for each in tree) + ")"
    return atom(tree, bare)


PAIRS: Any = st.recursive(
    st.builds(lambda name, value: [name, value], NAMES, ATOMS),
    lambda inner: (
        st.builds(lambda name, rest: [name, *rest], NAMES, st.lists(inner, max_size=3))
        | st.builds(lambda name, rest: [name, tuple(rest)], NAMES, st.lists(inner, min_size=1, max_size=2))
    ),
    max_leaves=8,
)


def values(tree: Any, prefix: str = "") -> list[tuple[str, list[Any]]]:
    """Paths of the lists that have one atom as their value."""
    found = []
    members = [each for each in tree if isinstance(each, list)]
    for number, each in enumerate(members):
        name = each[0]
        path = f"{prefix}{name}[{[other[0] for other in members[:number]].count(name)}]"
        rest = each[1:]
        if len(rest) == 1 and isinstance(rest[0], str):
            found.append((path, each))
        found += values(rest[0] if len(rest) == 1 and isinstance(rest[0], tuple) else rest, f"{path}.")
    return found


def plain(tree: Any) -> Any:
    """What a reader makes of a tree that was spelt, texts in atoms read too."""
    if isinstance(tree, bytes):
        inner, error = lists(tree) if tree.startswith(b"(") else ([], "none")
        return tuple(map(plain, inner[0])) if not error and len(inner) == 1 else tree.decode()
    return [*map(plain, tree)]


@given(st.lists(PAIRS, min_size=1, max_size=3), ATOMS, st.sampled_from([" ", "\n "]), st.booleans(), st.data())
@settings(max_examples=80)
def test_sexpr(tree: Any, value: str, space: str, bare: bool, data: st.DataObject) -> None:
    """Any value, in a text within the text too."""
    found = values(tree)
    if not found or "(" in value:
        return
    path, inside = data.draw(st.sampled_from(found))
    after = put(spelt(tree, space, bare).encode(), path, value)
    inside[1] = value
    read, error = lists(after)

    assert not error
    assert plain(read[0]) == plain(lists(spelt(tree, space, bare).encode())[0][0])


@given(st.sampled_from("<("), st.text("<>/ab=\"'() \\!-[];&", max_size=30), st.text("ab.[]01", max_size=6))
@settings(max_examples=100)
def test_any_text(first: str, text: str, key: str) -> None:
    """Nothing comes of any other text but an error."""
    try:
        put((first + text).encode(), key, "x")
    except FieldError:
        pass
