"""An edit changes the bytes that it names and no other, in place as in a new file, or nothing at all."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import field_tables, payload_tables, tables
from ..cli.main import main
from ..codec.decode import layouts
from ..convert.edit import Edit
from ..convert.source_text import put
from ..errors import FieldError, StreamError
from ..field_tables import FIELDS, LISTS
from ..io.spliced import Spliced
from ..schema.model import Field, layouts_within
from ..schema.places import source as places_source
from ..writer import Draft, Part, context
from ..writer.builders import in_libvirt, in_xapi, in_xl
from ..writer.legacy import in_xend
from .support.good_streams import (
    GOOD,
    HVM,
    HVM_END_ENTRY,
    HVM_HEADER_ENTRY,
    LIBVIRT_HVM,
    LIBXL_HVM,
    REMUS_HVM,
    XAPI_HVM,
    XL_HVM,
)
from .support.kill_points import command, environment, killed_at
from .test_cli import conforms_to

JSON = b'{"c_info": {"type": "hvm", "name": "web01"}, "b_info": {"type.hvm": {"acpi": "True"}, "max_vcpus": 2}}'


def file_of(data: bytes) -> int:
    """A descriptor of a file without a name that has these bytes."""
    fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    os.write(fd, data)
    return fd


def edited(data: bytes, *fields: tuple[str, str], rewrite: Callable[[bytes], bytes] | None = None) -> bytes:
    """The bytes after an edit, as a new file has them.  Raises what making it does."""
    fd = file_of(data)
    try:
        edit = Edit(fd)
        edit.make(fields, rewrite)
        out = file_of(b"")
        try:
            Spliced(fd, edit.size, edit.splices).write(out)
            found = os.pread(out, edit.size + 100_000, 0)
        finally:
            os.close(out)
        if edit.fits:
            for start, stop, new in edit.splices:
                data = data[:start] + new + data[stop:]
            assert data == found
        return found
    finally:
        os.close(fd)


def places(part: Part) -> list[tuple[str, Field]]:
    """Fields of a part's fixed places, and of the first two elements of its lists, as an edit names them."""
    layout = layouts()[part.path]
    found = [(row.item.path, row.item) for row in layout.rows if isinstance(row.item, Field) and row.offset is not None]
    for name, (_, _, element, _) in LISTS.get(part.path, {}).items():
        inner = next(each.element for each in layout.parts if each.name == name)
        assert inner is not None
        for number in range(min(len(part.values.get(name, ())), 2)):
            found += [(f"{name}[{number}]" + (f".{row.path}" if row.path else ""), row) for row in inner.fields]
        assert inner.path == element
    return [(place, row) for place, row in found if place not in layout.counting]


@given(st.data())
@settings(max_examples=60)
def test_one_field(data: st.DataObject) -> None:
    """Any field of any header or record of a good stream: what the writer makes of that value too."""
    name = data.draw(st.sampled_from([name for name in GOOD if name != "back-channel"]))
    stream = GOOD[name]
    magic = {f"{row}.{layer.headers[0]}" for row, layer in _rows().items() if layer.headers}
    choices = [
        (number, place, row)
        for number, part in enumerate(stream.parts)
        if part.path in layouts() and part.path not in magic and part.path in FIELDS | LISTS
        for place, row in places(part)
    ]
    if not choices:
        return
    number, place, row = data.draw(st.sampled_from(choices))
    path = stream.parts[number].path
    nth = [part.path for part in stream.parts[:number]].count(path)
    if row.raw:
        value: int | bytes = data.draw(st.binary(min_size=row.size, max_size=row.size))
        word = bytes(value).hex()
    else:
        code = data.draw(st.integers(0, (1 << row.bits - row.signed) - 1))
        value, names = code, row.names
        word = data.draw(st.sampled_from([str(code), hex(code), names.get(code, str(code))]))
    before = stream.render()
    after = edited(before, (f"{path}[{nth}].{place}", word))

    assert after == stream.patch(path, place, value, nth).render()
    assert sum(old != new for old, new in zip(before, after, strict=True)) <= row.size


def _rows() -> dict:  # type: ignore[type-arg] # of the registry's rows
    from ..reader.registry import ROWS

    return ROWS


@pytest.mark.parametrize(
    ("path", "value", "place", "number"),
    [
        ("HVM_PARAMS.STORE_PFN", "0xfeffd", "params[0].value", 0xFEFFD),
        ("libxc.HVM_PARAMS.1", "7", "params[0].value", 7),
        ("xl/libxl/libxc/HVM_PARAMS.ioreq_pfn", "7", "params[1].value", 7),
        ("record[11].params[0].index", "CONSOLE_PFN", "params[0].index", 17),
    ],
)
def test_elements_by_name(path: str, value: str, place: str, number: int) -> None:
    """Parameters have names; a record may be named by the number that show gives it."""
    assert edited(XL_HVM.render(), (path, value)) == XL_HVM.patch("libxc.HVM_PARAMS", place, number).render()


def test_context_entries() -> None:
    """A bit of a timer of a real guest's HPET, and bytes of its vcpu."""
    data = gzip.decompress((Path(__file__).parents[2] / "corpus" / "real" / "hvm-64.bin.gz").read_bytes())
    entries: dict[int, int] = {}
    at = data.index(b"\x01\0\0\0\x18\0\0\0\x86\x12\x38\x54")
    while data[at] or data[at + 4]:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        entries.setdefault(data[at], at + 8)
        at += 8 + length
    timers = entries[12] + 256
    after = edited(data, ("HVM_CONTEXT.HPET.timers[1].config.periodic", str(1 - (data[timers + 32] >> 3 & 1))))

    assert after == data[: timers + 32] + bytes([data[timers + 32] ^ 8]) + data[timers + 33 :]
    assert edited(data, ("HVM_CONTEXT.CPU[0]@0x10", "0102")) == (
        data[: entries[2] + 16] + b"\1\2" + data[entries[2] + 18 :]
    )
    assert edited(data, ("@0x3", "aa")) == data[:3] + b"\xaa" + data[4:]


def test_inside_of_payloads() -> None:
    """Registers, their bits and those of policies have names; the guest's width says how its pages are laid out."""
    data, pv = (
        gzip.decompress((Path(__file__).parents[2] / "corpus" / "real" / f"{name}.bin.gz").read_bytes())
        for name in ("hvm-64", "pv-24")
    )
    cases = (
        (data, "HVM_CONTEXT.CPU.rip", "0x1000", 292872, "0010000000000000"),
        (data, "HVM_CONTEXT.CPU.cr4.pae", "0", 292912, "d238e5ccb7b084d4"),
        (data, "HVM_CONTEXT.CPU.fpu_regs.st[2].value", "00112233445566778899", 292296, "00112233445566778899"),
        (data, "HVM_CONTEXT.PIC[1].modes.is_master", "0", 293293, "2b"),
        (data, "X86_CPUID_POLICY.avx2", "0", 228, "9b6f1c00"),
        (data, "X86_CPUID_POLICY.physical_address_bits", "36", 680, "24300000"),
        (data, "X86_MSR_POLICY.rdcl_no", "0", 728, "6a00000000000000"),
        (pv, "X86_PV_VCPU_BASIC.context.flags.online", "0", 103960, "0400000000000000"),
        (pv, "SHARED_INFO.page.arch.max_pfn", "7", 102424, "0700000000000000"),
        (pv, "X86_PV_VCPU_XSAVE.context.legacy.mxcsr", "0x1f80", 108752, "801f0000"),
    )
    for before, path, value, at, raw in cases:
        new = bytes.fromhex(raw)
        assert edited(before, (path, value)) == before[:at] + new + before[at + len(new) :], path


# Entries of a context: their codes, and how long the newest form of each is.
ENTRIES = {
    name: (code, lengths[-1])
    for code, (name, lengths, *_) in tables.HVM_TYPES.items()
    if f"hvm.{name}" in payload_tables.FIELDS
}


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_with_a_layout(name: str) -> None:
    """What the schema says of an entry an edit finds in it, without a word about that entry."""
    code, length = ENTRIES[name]
    blob = context(HVM_HEADER_ENTRY, (code, 3, bytes(length)), HVM_END_ENTRY)
    data = XL_HVM.swap("libxc.HVM_CONTEXT", blob).render()
    start = data.index(struct.pack("<HHI", code, 3, length)) + 8
    rows = [(place, row) for place, row in payload_tables.FIELDS[f"hvm.{name}"].items() if row[0] + row[1] <= length]
    for place, (offset, size, shift, bits, big, raw, signed, _) in rows:
        new = b"\xff" * size if raw else ((1 << bits) - 1 << shift).to_bytes(size, "big" if big else "little")
        word = new.hex() if raw else "-1" if signed else hex((1 << bits) - 1)
        at = start + offset
        assert edited(data, (f"HVM_CONTEXT.{name}[3].{place}", word)) == data[:at] + new + data[at + size :]
    assert rows


def test_context_of_a_legacy_stream() -> None:
    """Its entries lie after a length, and have the same names."""
    data = GOOD["legacy-hvm"].render()
    at = data.index(struct.pack("<HHI", 3, 0, 8)) + 8

    assert edited(data, ("HVM_CONTEXT.PIC[0]@0x7", "aa")) == data[: at + 7] + b"\xaa" + data[at + 8 :]
    with pytest.raises(FieldError, match="1 byte is given, and 0 are there"):
        edited(data, ("HVM_CONTEXT.PIC[0]@0x8", "aa"))


def test_several_edits_of_one_word() -> None:
    """Flags of the same integer do not undo one another."""
    after = edited(
        XL_HVM.render(), ("xl.header.mandatory_flags.json", "0"), ("xl.header.mandatory_flags.stream_v2", "0")
    )

    assert after[36:40] == bytes(4)


WRONG = {
    "HVM_PARAM.x": "no header or record HVM_PARAM",
    "libxl.HVM_PARAMS.count": "libxl has no header or record HVM_PARAMS",
    "HVM_PARAMS": "which field",
    "HVM_PARAMS.VIRIDIAN": "has no VIRIDIAN",
    "HVM_PARAMS.NO_SUCH": "no number; there are CALLBACK_IRQ",
    "HVM_PARAMS.params[99].value": "there are 3 of them",
    "HVM_PARAMS.params[0].other": "no field other",
    "HVM_PARAMS[1].count": "only 1 of HVM_PARAMS",
    "SHARED_INFO.page": "no SHARED_INFO",
    "header.version": "several of header",
    "END.x": "libxc.END or libxl.END",
    "record[99].x": "no record",
    "record.x": "which record",
    "HVM_CONTEXT.CPU[0].rax": "no entry CPU",
    "HVM_CONTEXT.PIC.x": "several of PIC",
    "HVM_CONTEXT.PIC[0].x": "hvm.PIC has no such field",
    "X86_CPUID_POLICY.cet_sss": "no leaf 0x7, subleaf 0x1",
    "X86_CPUID_POLICY.no_such": "no such field",
    "@0xffffff": "and 0 are there",
    "HVM_CONTEXT@0x1000": "and 0 are there",
    "xl.header.mandatory_flags.json=2": "not within 0 to 1",
    "xl.header.mandatory_flags.json=x": "no number",
    "libxl.header.ident=00": "1 bytes, not 8",
    "xl.header.magic=zz": "hexadecimal",
}


@pytest.mark.parametrize("path", WRONG)
def test_wrong_paths(path: str) -> None:
    """What does not name a field, or cannot be its value, is refused with a reason."""
    place, _, value = path.partition("=")
    with pytest.raises(FieldError) as error:
        edited(XL_HVM.render(), (place, value or "00"))

    assert WRONG[path] in str(error.value)


@given(st.sampled_from([XL_HVM, LIBXL_HVM, XAPI_HVM]), st.text(max_size=40), st.text(max_size=10))
@settings(max_examples=40)
def test_any_path(stream: Draft, path: str, value: str) -> None:
    """No path makes anything but an edit or an error."""
    try:
        edited(stream.render(), (path, value))
    except FieldError:
        pass


@given(st.integers(0, 13_000))
@settings(max_examples=20)
def test_cut_streams(cut: int) -> None:
    """Of a stream that breaks off what is there can be edited; what is not there is missed."""
    data = XL_HVM.render()[:cut]
    at = XL_HVM.offset("libxc.HVM_PARAMS")
    try:
        assert edited(data, ("libxc.HVM_PARAMS.STORE_PFN", "5"))[at + 24 : at + 32] == b"\5" + bytes(7)
        assert cut >= at + 32
    except (StreamError, FieldError):
        assert cut < at + 32


# -- the configuration ----------------------------------------------------------------------------------------------

XEND_PV = GOOD["xend-pv"]
CONFIGURED: dict[str, tuple[Draft, Callable[[bytes], Draft]]] = {
    "xl": (XL_HVM, lambda text: in_xl(LIBXL_HVM, text + b"\0")),
    "xl, as text": (in_xl(LIBXL_HVM, b"name = 'a'\n", json=0), lambda text: in_xl(LIBXL_HVM, text + b"\0")),
    "xl, with more": (in_xl(LIBXL_HVM, b"{}\0", rest=b"more"), lambda text: in_xl(LIBXL_HVM, text + b"\0", b"more")),
    "xl, without": (in_xl(LIBXL_HVM, b""), lambda text: in_xl(LIBXL_HVM, text + b"\0")),
    "libvirt": (LIBVIRT_HVM, lambda text: in_libvirt(LIBXL_HVM, text + b"\0")),
    "xend": (XEND_PV, lambda text: in_xend(replace(XEND_PV, parts=XEND_PV.parts[2:]), text)),
    "xapi": (
        XAPI_HVM,
        lambda text: replace(XAPI_HVM, parts=(*in_xapi(HVM, xenops=text).parts[:2], *XAPI_HVM.parts[2:])),
    ),
}


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("text", [JSON, b'{"a": 1}', b"{" + b" " * 9000 + b"}"])
def test_another_configuration(name: str, text: bytes) -> None:
    """The lengths and the flag around it follow; all else stays as it is."""
    before, after = CONFIGURED[name]

    assert edited(before.render(), rewrite=lambda _: text) == after(text).render()


def test_another_form_of_configuration() -> None:
    """In an xl file a NUL ends JSON, and none xl's text."""
    text, given = in_xl(LIBXL_HVM, b"name = 'a'\n", json=0), in_xl(LIBXL_HVM, JSON + b"\0")

    assert edited(given.render(), rewrite=lambda _: b"name = 'a'\n") == text.render()
    assert edited(text.render(), rewrite=lambda _: JSON) == given.render()


def test_no_configuration() -> None:
    """A stream without a container has none."""
    with pytest.raises(FieldError, match="there is none"):
        edited(LIBXL_HVM.render(), rewrite=lambda text: text)
    with pytest.raises(StreamError):
        edited(b"hello", rewrite=lambda text: text)


_KEYS = st.text('abc.[]"\\é ', min_size=1, max_size=4)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


def _paths(value: object, prefix: str = "") -> list[tuple[str, object]]:
    """Paths of the strings and numbers in a JSON value that no other path is mistaken for."""
    if isinstance(value, dict):
        plain = {key: inner for key, inner in value.items() if not {*".[]"} & {*key}}
        return [row for key, inner in plain.items() for row in _paths(inner, f"{prefix}.{key}" if prefix else key)]
    if isinstance(value, list):
        return [row for number, inner in enumerate(value) for row in _paths(inner, f"{prefix}[{number}]")]
    return [(prefix, value)] if type(value) in (str, int) and prefix else []


@given(st.dictionaries(_KEYS, _VALUES, max_size=4), st.data(), st.sampled_from([None, 1, 4]))
def test_a_value_of_json(whole: dict[str, object], data: st.DataObject, indent: int | None) -> None:
    """One value changes, and all other characters of the text stay."""
    paths = _paths(whole)
    if not paths:
        return
    path, old = data.draw(st.sampled_from(paths))
    new: object = data.draw(st.text(max_size=5) if isinstance(old, str) else st.integers())
    text = json.dumps(whole, indent=indent).encode()
    after = put(text, path, str(new))
    word = json.dumps(new).encode()

    assert dict(_paths(json.loads(after))) == dict(paths) | {path: new}
    at = next(at for at in range(len(after)) if after[:at] + json.dumps(old).encode() + after[at + len(word) :] == text)
    assert after[at : at + len(word)] == word


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ("name = 'a' # b\nmemory=512\n", "memory", "1024", "name = 'a' # b\nmemory=1024\n"),
        ('name = "a\\"b"\nx=1', "name", 'c"d', 'name = "c\\"d"\nx=1'),
        ("disk = [ 'a,xvda,w', # 'no'\n 'b,xvdb,w' ]", "disk[1]", "x", "disk = [ 'a,xvda,w', # 'no'\n 'x' ]"),
        ("a = 1; a = 2\n", "a", "3", "a = 1; a = 3\n"),
        ("a = 0x1f # b\n", "a", "0x20", "a = 0x20 # b\n"),
        ('{"a": null}', "a", "b", '{"a": "b"}'),
        ('{"type.hvm": {"a": "x"}}', "type.hvm.a", "y", '{"type.hvm": {"a": "y"}}'),
        ('{"a": 1, "a": 2}', "a", "3", '{"a": 3, "a": 2}'),
        ('{"a": {"b": 1}}', "a", '{"c":2}', '{"a": {"c":2}}'),
        ("<d id='1'>\n <n>a</n></d>", "n", "b<&", "<d id='1'>\n <n>b&lt;&amp;</n></d>"),
        ("<d id='1'>\n <n>\xe9</n></d>", "id", "\"'", "<d id='&quot;&apos;'>\n <n>\xe9</n></d>"),
        ("<d><v f='\xe9'/><v><s f=\"b\"/></v></d>", "v[1].s.f", "c", "<d><v f='\xe9'/><v><s f=\"c\"/></v></d>"),
        ("(domain (name a) (image (hvm (k /b))))", "name", "c d", '(domain (name "c d") (image (hvm (k /b))))'),
        ("(domain (name a) (image (hvm (k /b))))", "image.hvm.k", "/c", "(domain (name a) (image (hvm (k /c))))"),
        ("(domain (v (x 1)) (v (x 2)))", "v[1].x", "3", "(domain (v (x 1)) (v (x 3)))"),
        ("((t 1)(p ((k a)(l b))))", "p.l", "c", "((t 1)(p ((k a)(l c))))"),
        ('((s "((n \\"\\\\\\"b\\\\\\"\\")(m 2))")(t 1))', "s.m", "3", '((s "((n \\"\\\\\\"b\\\\\\"\\")(m 3))")(t 1))'),
        ('((s "((n \\"a\\")(m 2))"))', "s.n", 'c"d', '((s "((n \\"c\\\\\\"d\\")(m 2))"))'),
    ],
)  # fmt: skip
def test_values_of_a_configuration(text: str, key: str, value: str, after: str) -> None:
    """In xl's text and in JSON."""
    assert put(text.encode(), key, value).decode() == after


@pytest.mark.parametrize(
    ("text", "key", "value", "message"),
    [
        ("name = 'a'", "nam", "b", "only name"),
        ("name = 'a'", "name[0]", "b", "no list"),
        ("disk = ['a']", "disk", "b", "a list of 1"),
        ("disk = ['a']", "disk[1]", "b", "a list of 1"),
        ("memory = 1", "memory", "b", "no number"),
        ("memory = 1", "memory", "08", "no number"),
        ('{"a": 1}', "a", "NaN", "another type"),
        ('{"a": {"b": 1}}', "a.c", "1", "a has only b"),
        ('{"a": [1]}', "a[1]", "1", "a list of 1"),
        ('{"a": 1}', "a", "x", "another type"),
        ('{"a": 1}', "a", '"x"', "another type"),
        ('{"a": 1', "a", "2", "not valid JSON"),
        ('{"a" 1}', "a", "2", "not valid JSON"),
        ('{"b": ' + "[" * 100_000, "a", "2", "nests too deep"),
        ("<domain/>", "a", "2", "nothing under it"),
        ("<d><a/><a/></d>", "a", "2", "2 of a, from a.0."),
        ("<d><a x='1'>b<c/></a></d>", "a", "2", "no single value; it has c, x"),
        ("<d><a x='1'/></d>", "a[1].x", "2", "is 1 of a"),
        ("<d><a>1</d>", "a", "2", "not valid XML"),
        ("<!DOCTYPE d [<!ENTITY e 'f'>]><d><a>&e;</a></d>", "a", "2", "document type"),
        ("<d>" * 100, "a", "2", "nests too deep"),
        ("((a 1) (b 2)", "a", "2", "no valid S-expression"),
        ("((a 1))(b 2)", "a", "2", "no valid S-expression"),
        ("((a 1) (b 2))", "c", "2", "only a, b"),
        ("(d (v (x 1)) (v (x 2)))", "v.x", "2", "2 of v"),
        ("((a (1 2)))", "a", "2", "no single value"),
        ("(" * 100, "a", "2", "nests too deep"),
        (f"((a {'1' * (300 << 10)}))", "a", "2", "so long a text"),
    ],
)  # fmt: skip
def test_wrong_values_of_a_configuration(text: str, key: str, value: str, message: str) -> None:
    """What is not there, or of another type, is refused."""
    with pytest.raises(FieldError, match=message):
        put(text.encode(), key, value)


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """An xl file."""
    path = tmp_path / "guest.sav"
    path.write_bytes(XL_HVM.render())
    return path


def test_in_place_and_new(guest: Path, tmp_path: Path) -> None:
    """The same bytes come of it either way; in place only the named ones are written."""
    words = ["edit", str(guest), "--set", "HVM_PARAMS.STORE_PFN=5", "--set-config", "c_info.name=other"]
    before = guest.read_bytes()
    new = tmp_path / "new.sav"
    written: list[tuple[int, int]] = []
    pwrite = os.pwrite

    assert main([*words, "--dry-run"]) == 0
    assert guest.read_bytes() == before
    assert main([*words, "-o", str(new)]) == 0
    assert guest.read_bytes() == before
    with pytest.MonkeyPatch.context() as patch:

        def noting(fd: int, data: memoryview, at: int) -> int:
            written.append((at, len(data)))
            return pwrite(fd, data, at)

        patch.setattr(os, "pwrite", noting)
        assert main([*words, "--in-place"]) == 0
    assert guest.read_bytes() == new.read_bytes() != before
    assert [length for _, length in written] == [5, 8]
    assert sorted(os.listdir(tmp_path)) == ["guest.sav", "new.sav"]


def test_in_place_with_another_length(guest: Path) -> None:
    """A longer configuration needs a new file, which takes the place of the old one when it is complete."""
    assert main(["edit", str(guest), "--set-config", "c_info.name=a longer name", "--in-place"]) == 0

    assert json.loads(_config(guest))["c_info"]["name"] == "a longer name"
    assert os.listdir(guest.parent) == ["guest.sav"]


def _config(path: Path) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "streamfmt", "extract", str(path), "configuration"], capture_output=True, check=True
    )
    return done.stdout


def test_what_breaks_a_rule(guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused by the rule's id; --force does it, and mending is no breach."""
    before = guest.read_bytes()
    words = ["edit", str(guest), "--in-place", "--set", "xl.header.optional_flags={}"]

    assert main([word.format(1) for word in words]) == 2
    assert "XL-FLAGS-OPT at 40" in capsys.readouterr().err
    assert guest.read_bytes() == before
    assert main([*(word.format(1) for word in words), "--force"]) == 0
    assert "breaks XL-FLAGS-OPT" in capsys.readouterr().out
    assert guest.read_bytes()[40] == 1
    assert main([word.format(0) for word in words]) == 0
    assert guest.read_bytes() == before


def test_editor(guest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration as the editor leaves it; an editor that fails changes nothing."""
    before = guest.read_bytes()
    monkeypatch.setenv("VISUAL", "sed -i s/guest/sedge/")
    assert main(["edit", str(guest), "--editor", "--in-place"]) == 0
    assert guest.read_bytes() == before.replace(b'"guest"', b'"sedge"')
    for editor in ("false", "/no/such"):
        monkeypatch.setenv("VISUAL", editor)
        assert main(["edit", str(guest), "--editor", "--in-place"]) == 2
    monkeypatch.setenv("VISUAL", "true")
    assert main(["edit", str(guest), "--editor", "--in-place"]) == 0
    assert guest.read_bytes() == before.replace(b'"guest"', b'"sedge"')


def test_json(guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report as JSON is what the schema says."""
    for words in (["--dry-run"], ["--in-place", "--force"]):
        assert main(["edit", str(guest), "--json", "--set", "X86_TSC_INFO.khz=5", *words]) == 0
        found = json.loads(capsys.readouterr().out)
        conforms_to("edit", found)
        assert [row["after"] for row in found["changes"]] == ["05000000"]


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "nothing": (["{guest}", "--in-place"], 2, "nothing to change"),
    "nowhere": (["{guest}", "--set", "@1=00"], 2, "say where"),
    "both": (["{guest}", "--set", "@1=00", "--in-place", "--dry-run"], 2, "say where"),
    "stdin": (["-", "--set", "@1=00", "--in-place"], 2, "standard input"),
    "stdout": (["{guest}", "--set", "@1=00", "-o", "-"], 2, "name of a file"),
    "itself": (["{guest}", "--set", "@1=00", "-o", "{guest}"], 2, "the input itself"),
    "pipe": (["{pipe}", "--set", "@1=00", "--dry-run"], 2, "a pipe"),
    "compressed": (["{packed}", "--set", "@1=00", "--in-place"], 2, "compressed with gzip"),
    "directory": (["{folder}", "--set", "@1=00", "--dry-run"], 3, "directory"),
    "missing": (["{missing}", "--set", "@1=00", "--in-place"], 3, "No such file"),
    "configuration": (["{guest}", "--configuration", "{missing}", "--dry-run"], 2, "cannot read"),
    "no folder": (["{guest}", "--set", "@1=00", "--force", "-o", "{missing}/x"], 3, "cannot write"),
    "name": (["{guest}", "--set", "HVM_PARAMZ.count=1", "--dry-run"], 2, "did you mean HVM_PARAMS"),
    "no stream": (["{text}", "--set", "libxc.HVM_PARAMS.count=1", "--dry-run"], 1, "not a migration stream"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, guest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says why, and the file is as it was."""
    words, status, message = REFUSED[case]
    names = {name: tmp_path / name for name in ("pipe", "packed", "folder", "missing", "text")} | {"guest": guest}
    os.mkfifo(names["pipe"])
    names["packed"].write_bytes(gzip.compress(guest.read_bytes()))
    names["folder"].mkdir()
    names["text"].write_bytes(b"hello")
    before = sorted(os.listdir(tmp_path)), guest.read_bytes()

    assert main(["edit", *(word.format_map(names) for word in words)]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (sorted(os.listdir(tmp_path)), guest.read_bytes()) == before


def test_read_only(guest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that may not be written cannot be changed in place."""
    opened = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    assert main(["edit", str(guest), "--set", "@1=00", "--in-place"]) == 3
    assert "cannot write: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_in_place(moment: str, after: bool, guest: Path) -> None:
    """Each value is as it was or as it is to be, and the same command again makes all of them new."""
    before = guest.read_bytes()
    words = ["edit", str(guest), "--set-config", "c_info.name=other", "--set", "HVM_PARAMS.STORE_PFN=5", "--in-place"]
    done = subprocess.run(command(killed_at(moment, after=after), *words), env=environment(), check=False)
    left = guest.read_bytes()

    assert done.returncode == -signal.SIGKILL
    name, at = before.index(b'"guest"') + 1, XL_HVM.offset("libxc.HVM_PARAMS") + 24
    assert left[name : name + 5] in (b"guest", b"other")
    assert left[at : at + 8] in (before[at : at + 8], b"\5" + bytes(7))
    assert main(words) == 0
    assert guest.read_bytes() == edited(
        before, ("HVM_PARAMS.STORE_PFN", "5"), rewrite=lambda text: put(text, "c_info.name", "other")
    )


@pytest.mark.parametrize("moment", ["copy_file_range", "fsync"])
def test_killed_while_a_new_file_is_written(moment: str, guest: Path) -> None:
    """The old file is there, whole."""
    before = guest.read_bytes()
    words = ["edit", str(guest), "--set-config", "c_info.name=a longer name", "--in-place"]
    done = subprocess.run(command(killed_at(moment), *words), env=environment(), check=False)

    assert done.returncode == -signal.SIGKILL
    assert guest.read_bytes() == before
    assert main(words) == 0
    assert os.listdir(guest.parent) == ["guest.sav"]


def test_without_help_of_the_kernel(guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no bytes can be copied or shared in the kernel, they are read and written."""
    expected = edited(guest.read_bytes(), rewrite=lambda _: JSON)
    for way in ("copy_file_range", "splice", "sendfile"):
        monkeypatch.delattr(os, way)
    (tmp_path / "new").write_bytes(JSON)
    assert main(["edit", str(guest), "--configuration", str(tmp_path / "new"), "-o", str(tmp_path / "out")]) == 0

    assert (tmp_path / "out").read_bytes() == expected


def test_records_of_checkpoints() -> None:
    """Records come again in each checkpoint, and are counted."""
    data = REMUS_HVM.render()
    with pytest.raises(FieldError, match="several of HVM_PARAMS"):
        edited(data, ("HVM_PARAMS.STORE_PFN", "5"))

    assert edited(data, ("HVM_PARAMS[1].STORE_PFN", "5")) == (
        REMUS_HVM.patch("libxc.HVM_PARAMS", "params[0].value", 5, nth=1).render()
    )


def test_tables_are_the_schemas() -> None:
    """streamfmt/field_tables.py is what `make generate` writes."""
    every = [inner for layout in layouts().values() for inner in layouts_within(layout)]

    assert Path(str(field_tables.__file__)).read_text() == places_source(every)


def test_page(tmp_path: Path) -> None:
    """What docs/edit.md shows is what the commands print."""
    root = Path(__file__).parents[2]
    (tmp_path / "corpus").symlink_to(root / "corpus")
    shown = re.findall(r"```text\n(\$ .*?)```", (root / "docs" / "edit.md").read_text(), re.DOTALL)
    program = f'streamfmt() {{ {shlex.quote(sys.executable)} -m streamfmt "$@"; }}\n'
    for block in shown:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            words, _, output = part.partition("\n")
            done = subprocess.run(
                ["sh", "-c", f"{program}{words} 2>&1"],
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == output, words
    assert len(shown) > 1
