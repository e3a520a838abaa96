"""Configurations of guests: what is read of each form, and that no text can hurt."""

from __future__ import annotations

import json
import string
import tracemalloc
from collections.abc import Callable
from functools import partial
from tomllib import loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..checks.verifier import Verifier
from ..codec.content import joined
from ..reader.configuration import MOST, parse
from ..reader.configuration_forms import decoded
from ..reader.reader import Reader
from ..recipes import dump
from ..recipes.from_stream import from_bytes
from ..recipes.load import load
from ..recipes.parse import content_of
from ..writer import Draft
from ..writer.builders import in_libvirt, in_xapi, in_xl
from .support.good_streams import HVM

NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)
TYPES = st.sampled_from(["pv", "hvm", "pvh"])
COUNTS = st.integers(0, 1 << 40)
_BLANK = st.text(" \t\n\r\x0b", max_size=2)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
JSON_TEXT = st.builds(lambda before, value, after: before + json.dumps(value) + after, _BLANK, _VALUES, _BLANK)


@given(NAME, TYPES, COUNTS, COUNTS, st.booleans())
def test_libxl_json(name: str, kind: str, vcpus: int, memory: int, ascii_only: bool) -> None:
    whole = {
        "c_info": {"type": kind, "name": name, "uuid": "u", "domid": 7},
        "b_info": {"max_vcpus": vcpus, "max_memkb": memory, "type.hvm": {"viridian": "True"}},
    }
    found = parse(json.dumps(whole, ensure_ascii=ascii_only).encode() + b"\0")

    assert found.as_dict() == {
        "form": "json",
        "name": name,
        "uuid": "u",
        "type": kind,
        "vcpus": vcpus,
        "memory": memory,
        "domid": 7,
        "viridian": True,
    }


def _first_counts(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return dict(reversed(pairs))


def _said(read: Callable[[str], object], text: str) -> str:
    try:
        return repr(read(text))
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


@given(JSON_TEXT | st.text('{}[]:,"\\u0 -1.eENaInfity\x0b\x0c\n\ud800'))
def test_any_json_text_says_what_json_reads(text: str) -> None:
    """Values and errors are those of json itself."""
    assert _said(decoded, text) == _said(partial(json.loads, object_pairs_hook=_first_counts), text)


def test_of_two_equal_keys_the_first_counts() -> None:
    assert decoded(' {"a": 1, "b": {"c": 2, "c": 3}, "a": 4}\n') == {"a": 1, "b": {"c": 2}}


# How xl takes a number: decimal, hexadecimal or octal.
WRITTEN = st.sampled_from(["{}", "{:#x}", "0{:o}"])


@given(
    NAME,
    TYPES,
    st.integers(1, 1 << 20),
    st.integers(1, 1 << 20),
    st.sampled_from("\"'"),
    st.sampled_from("\n;"),
    WRITTEN,
)
def test_xl_text(name: str, kind: str, vcpus: int, memory: int, mark: str, end: str, written: str) -> None:
    quoted = mark + "".join("\\" + c if c in "\\\"'" else c for c in name) + mark
    lines = [
        "disk = [ \"name = 'other'\",",
        " 'type=\"x\"' ] # name = 'not this'",
        f"name={quoted}{end} vcpus = {written.format(vcpus)}",
        f'type = "{kind}"',
        f"memory={memory}",
        "viridian = [ 'base', 'freq' ]",
        "altp2m = 0",
    ]
    found = parse("\n".join(lines).encode())

    assert (found.form, found.name, found.type, found.vcpus, found.memory) == ("text", name, kind, vcpus, memory << 10)
    assert found.viridian is True
    assert found.error == ""


@given(NAME.filter(lambda name: name == name.strip()), st.integers(0, 1 << 30))
def test_libvirt_xml(name: str, memory: int) -> None:
    from xml.sax.saxutils import escape

    text = (
        f"<domain type='xen' id='4'><name>{escape(name)}</name><uuid>u</uuid><metadata><name>other</name></metadata>"
        f"<memory unit='KiB'>{memory}</memory><vcpu current='1'>3</vcpu><os><type arch='x86_64'>xenpvh</type></os>"
        "<devices><disk><name>deep</name></disk></devices></domain>"
    )
    found = parse(text.encode() + b"\0")

    assert found.error == ""
    assert (found.form, found.name, found.uuid, found.type, found.vcpus, found.domid) == (
        "xml",
        name,
        "u",
        "pvh",
        3,
        4,
    )
    assert found.memory == (memory or None)


@given(NAME)
def test_sexpr_of_xapi(name: str) -> None:
    def atom(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    guest = f"((id 1)(name {atom(name)})(platformdata((a b)(viridian true)))(ty(HVM((x y))))(vcpu_max 4)"
    guest += "(memory_static_max 1073741824))"
    found = parse(f"((time x)(word_size 64)(vm_str {atom(guest)})(xs_subtree()))".encode())

    assert found.error == ""
    assert (found.name, found.type, found.vcpus, found.memory, found.viridian) == (name, "hvm", 4, 1 << 20, True)


def test_sexpr_of_xend() -> None:
    found = parse(b"(domain (domid 7) (name web01) (memory 384) (image (linux (kernel /boot/vmlinuz))))\0\0")

    assert found.as_dict() == {"form": "sexpr", "domid": 7, "name": "web01", "memory": 384 << 10, "type": "pv"}


def test_the_first_of_two_equal_keys_counts() -> None:
    """libxl looks keys up from the beginning."""
    assert parse(b'{"c_info": {"name": "a", "name": "b"}, "c_info": {"name": "c"}}').name == "a"


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", b"{", b"<", b"(", b'{"c_info":', b"((vm_str ", b'name="', b"<domain>"):
        found = parse(start + data)
        assert len(found.name) <= 256
        found.words()
        json.dumps(found.as_dict())


PIECES = [b"(", b"()", b"{", b"[", b'{"a":', b"{},", b"<a>", b"<a/>", b'"\\"', b'"\\', b"\\", b"a=[", b"'\\'", b"\xff"]
PIECES += [b"((a b)", b"a=1\n"]


@pytest.mark.parametrize("start", [b"", b"(", b'("', b"[", b'{"a":[', b'{"a":"', b"<a>", b'a="', b'((vm_str "'])
@pytest.mark.parametrize("piece", PIECES)
def test_long_and_deep(start: bytes, piece: bytes) -> None:
    """Much of anything is read in one pass, without recursion and in little memory."""
    parse(start)  # what is imported stays
    tracemalloc.start()
    try:
        parse(start + piece * (2 * MOST // len(piece)) + b'"')
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 7 << 19


def test_what_stops_it() -> None:
    assert parse(b"(" * 1000).error == "it nests too deep"
    assert parse(b'{"a":' * 13000).error


def test_no_entities() -> None:
    text = b"<!DOCTYPE d [<!ENTITY a 'x'>]><domain><name>&a;</name></domain>"
    assert parse(text).error == "it declares a document type, which is not read"
    assert parse(text).name == ""


TEXTS = (
    in_xl(HVM, b'{"c_info": {"name": "web01"}}\0'),
    in_xl(HVM, b'name = "web01"', b"a rest", json=0),
    in_libvirt(HVM, b"<domain><name>web01</name></domain>\0"),
    in_xapi(HVM, xenops=b'((time t)(word_size 64)(vm_str "((id 1)(name web01))"))'),
)


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
@pytest.mark.parametrize("stream", TEXTS)
def test_read_in_pieces(stream: Draft, step: int) -> None:
    """Each container's record is found, and what is read does not depend on how the bytes came."""
    data = stream.render()
    verifier = Verifier()
    reader = Reader(verifier)
    for at in range(0, len(data), step):
        reader.pump.feed(data[at : at + step])
    reader.pump.end()

    assert verifier.configuration is not None
    assert verifier.configuration.name == "web01"
    assert verifier.complete


def test_cut_inside() -> None:
    """A configuration that is not all there is none."""
    verifier = Verifier()
    reader = Reader(verifier)
    reader.pump.feed(TEXTS[0].render()[:60])
    reader.pump.end()

    assert verifier.configuration is None


@given(st.lists(st.sampled_from(['"', '""', "\\", "\n", "\r", "\t", "a", "\xe9", "\x7f", "\u2028", "'", " ", "\0"])))
def test_lines_in_recipes(letters: list[str]) -> None:
    """Whatever a text has in it, the recipe gives the same bytes."""
    data = "".join(letters).encode()
    made = loads(f"data = {dump.data(data)}")["data"]

    assert bytes(joined((content_of(made),))) == data


def test_configurations_can_be_edited() -> None:
    """A recipe has the configuration's lines as they are, and another one of any length fits in its place."""
    text = b'{\n    "c_info": {\n        "name": "web01"\n    }\n}\0'
    stream = in_xl(HVM, text)
    recipe, _ = from_bytes(stream.render())
    longer = load(recipe.replace('"web01"', '"another name"')).stream.render()

    assert '\n        "name": "web01"\n' in recipe
    assert load(recipe).stream.render() == stream.render()
    assert longer == in_xl(HVM, text.replace(b"web01", b"another name")).render()
