"""XAPI suspend images beyond single clauses: where judging stops and goes on, what else is named, and two oracles.

The oracle of XENOPS texts reads one the plain way: byte by byte, whole, into nested lists.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from .. import data
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED, Outcome
from ..cli.main import main
from ..reader import sexpr
from ..render.text import summary
from ..schema import libxc, qemu, xapi
from ..schema.model import RecordType
from ..writer import Draft, Part, raw, sized, unsized
from ..writer.builders import XENOPS, in_xapi
from .support.corpus import BREAKING
from .support.good_streams import CHECKPOINT, HVM, LIBXL_HVM, QEMU_TRAD, SWTPM, VARSTORED, XAPI_HVM, XAPI_PV, XAPI_UEFI
from .support.paths import FIRMWARE, IMAGE_RECORD, QEMU, TPM, X_END, XAPI_END, XENOPS_RECORD
from .support.show_output import Show, objects
from .support.vector import judge, judged, reported
from .test_legacy_guess import POSITIVE

DEMU = (unsized("DEMU"), raw(b"state of a GPU, as long as it pleases"))


def _verdict(stream: Draft, mode: str = "auto") -> Outcome:
    return judge(stream.pieces(), mode=mode)


# -- where judging stops --------------------------------------------------------------------------------------


def test_gpu_on_the_main_descriptor() -> None:
    """Judging ends at a GPU's state, and the verdict says where and why; errors before it decide all the same."""
    stream = in_xapi(HVM, *DEMU)
    at = stream.offset("xapi.DEMU") + 16
    clean, wrong = (
        _verdict(stream),
        _verdict(stream.edit(IMAGE_RECORD, declared_length=1).edit(XENOPS_RECORD, code=0x0F01)),
    )

    assert (clean.verdict, clean.status, clean.verifier.findings.kept) == (NOT_JUDGED, 1, [])
    assert f"not judged: what follows from {at} on, state of a virtual GPU (Demu)" in summary(clean)
    assert wrong.verdict == DOES_NOT_CONFORM
    assert f"what follows from {at} on" in summary(wrong)


def test_legacy_stream_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record for a legacy stream is noted, and that is read and judged."""
    stream = Draft((*XAPI_HVM.parts[:2], unsized("LIBXC_LEGACY"), raw(POSITIVE["hvm64"][0])))
    outcome = _verdict(stream)
    path = tmp_path / "image"
    path.write_bytes(stream.render())

    assert outcome.verifier.findings.counts == {"XAPI-LIBXC-LEGACY": 1, "LEGACY-TRUNC": 1}
    assert main(["identify", str(path)]) == 0
    assert "xapi v2 > legacy-64, x86 HVM" in capsys.readouterr().out


def test_judging_goes_on() -> None:
    """After a QEMU record that is too long, a broken text and a reserved type, the rest is judged as ever."""
    long = Part(QEMU, data=qemu.EMPTY).filled(xapi.QEMU_MAX)
    stream = in_xapi(HVM, sized("QEMU_XEN", b"?"), VARSTORED, SWTPM, long, xenops=b")").edit(TPM, data=b"?")
    counts = _verdict(stream).verifier.findings.counts

    clauses = ("XAPI-XENOPS-FORM", "XAPI-RESERVED", "XAPI-SWTPM-TEXT", "XAPI-QEMU-MAX")
    assert counts == dict.fromkeys(clauses, 1)


def test_an_image_is_plain() -> None:
    """A checkpoint in the memory image makes a cut after it no less of a loss."""
    stream = in_xapi(HVM.before(X_END, CHECKPOINT))
    cut = _verdict(stream.upto(XAPI_END))

    assert _verdict(stream).verifier.findings.counts == {"LIBXC-CKPT-PLAIN": 1}
    assert cut.verifier.findings.counts == {"LIBXC-CKPT-PLAIN": 1, "XAPI-TRUNC": 1}


def test_comments_are_not_judged() -> None:
    """Readers know comments, writers write none: the rule is left open and the output says so."""
    for comment in (b"; to the end\n", b"#| to here |#", b"#;(time then)"):
        for text in (comment + XENOPS, b"(" + comment + XENOPS[1:], XENOPS[:-1] + comment + b")", XENOPS + comment):
            outcome = _verdict(in_xapi(HVM, xenops=text))

            assert (outcome.verdict, outcome.verifier.findings.kept) == (CONFORMS, [])
            assert set(outcome.verifier.abstained) == {"XAPI-XENOPS-FORM"}


@pytest.mark.parametrize("row", xapi.RECORDS, ids=lambda row: row.name)
def test_each_type_alone(row: RecordType) -> None:
    """An image of one record is judged by what that is, and none but the memory makes it one that can be resumed."""
    body = {"XENOPS": XENOPS, "SWTPM": b"AAAA", "QEMU_TRAD": qemu.EMPTY}.get(row.name, b"")
    inside = HVM.parts if row.name == "LIBXC" else ()
    end = () if row.name == "END_OF_IMAGE" else (unsized("END_OF_IMAGE"),)
    outcome = _verdict(Draft((XAPI_HVM.parts[0], sized(row.name, body), *inside, *end)))
    clauses = set(outcome.verifier.findings.counts) - {"XAPI-XENOPS-FIRST", "XAPI-ORDER"}

    assert clauses == {
        "LIBXC": set(),
        "DEMU": set(),
        "LIBXC_LEGACY": {"XAPI-LIBXC-LEGACY"},
        "LIBXL": {"XAPI-RESERVED"},
        "QEMU_XEN": {"XAPI-RESERVED", "XAPI-MEMORY"},
        "SWTPM0": {"XAPI-SWTPM0", "XAPI-MEMORY"},
    }.get(row.name, {"XAPI-MEMORY"})
    assert outcome.verdict == {"LIBXC": CONFORMS, "DEMU": NOT_JUDGED, "LIBXC_LEGACY": NOT_JUDGED}.get(
        row.name, DOES_NOT_CONFORM
    )


def test_slack_is_said() -> None:
    """What follows the image is a note that says where it begins and how, by name if it is a stream."""
    end = len(XAPI_HVM.render())
    for tail, words in (
        ((raw(b"", fill=1000),), "1,000 bytes follow END_OF_IMAGE: zeros"),
        ((raw(bytes(range(40))),), "40 bytes follow END_OF_IMAGE: nothing known, beginning 00 01 02 03 04 05 06 07"),
        (XAPI_PV.parts, "another XAPI suspend image"),
        (LIBXL_HVM.parts, "another libxl stream"),
    ):
        outcome = _verdict(XAPI_HVM.then(*tail))
        (finding,) = outcome.verifier.findings.kept

        assert outcome.verdict == CONFORMS
        assert (finding.severity, finding.offset) == ("note", end)
        assert words in finding.message


def test_no_memory_is_named() -> None:
    """The finding says in words what such an image is good for."""
    (finding,) = _verdict(Draft((*XAPI_HVM.parts[:2], XAPI_HVM.parts[-1]))).verifier.findings.kept

    assert finding.message == "the image ends without the guest's memory: well-formed, and of no use"


# -- what identify names --------------------------------------------------------------------------------------


def _identified(content: bytes, path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    path.write_bytes(content)
    assert main(["identify", "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_identify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image is named with what is inside, one without memory with what it lacks, and compressed ones are opened."""
    path = tmp_path / "image"
    content = XAPI_UEFI.render()
    useless = Draft((*XAPI_HVM.parts[:2], XAPI_HVM.parts[-1])).render()

    for packed in (content, zstandard.ZstdCompressor().compress(content)):
        found = _identified(packed, path, capsys)
        assert (found["description"], found["doubt"]) == ("xapi v2 > libxc v3, x86 HVM, Xen 4.17", None)
        assert main(["verify", str(path)]) == 0
        assert capsys.readouterr().out.endswith(": conforms\n")
    found = _identified(useless, path, capsys)
    assert (found["description"], found["doubt"]) == (
        "xapi v2",
        f"it ends at offset {len(useless)} without a guest's memory",
    )


def test_gpu_stream_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A GPU's state on a descriptor of its own has no signature: its first header shows it."""
    path = tmp_path / "gpu"
    found = _identified(Draft((*DEMU, unsized("END_OF_IMAGE"))).render(), path, capsys)

    assert (found["key"], found["kind"]) == ("xapi-vgpu", "payload")
    assert main(["verify", str(path)]) == 1
    assert "not judged: state of a virtual GPU" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["hvm32", "hvm64", "pv32", "pv64 listed, 3.0"])
def test_legacy_images_are_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A legacy image is named with the stream in it, and why that is taken for one."""
    stream, width, guest, _ = POSITIVE[name]
    path = tmp_path / "legacy"
    found = _identified(b"XenSavedDomain\n" + stream, path, capsys)

    assert (found["key"], found["toolstack_width"], found["guest"]) == ("xapi-legacy", width, guest)
    assert found["description"] == f"xapi-legacy > legacy-{width}, x86 {guest.upper()}"
    assert "; at 15 " in found["evidence"]


# -- show -----------------------------------------------------------------------------------------------------


def test_show(show: Show) -> None:
    """Records are summed up: the description's keys, the guest's name, lengths, and how states begin."""
    words = " ".join(show(XAPI_UEFI)[1].split())

    assert "XENOPS time 20240301T09:30:00Z, word_size 64, vm_str of 93 bytes for 'a \"guest\"'" in words
    assert "xs_subtree empty" in words
    assert "VARSTORED 21 bytes, beginning 56 41 52 53" in words
    assert "SWTPM up to 12 bytes, in base64" in words
    assert "QEMU_TRAD 52 bytes, beginning with QEVM: 1 section, timer" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"((time a)(word_size 0x40)(xs_subtree((a b))))", "time a, word_size 0x40, xs_subtree of 7 bytes"),
        (b'((time a)(word_size 64)(vm_str "((id 1)(name b))"))', "vm_str of 18 bytes for 'b'"),
        (b'((time a)(word_size 64)(vm_str "((id 1)(name\\"B\\\\195\\\\188ro\\"))"))', "for 'B\\xfcro'"),
        (b'((time a)(word_size 64)(vm_str "((name b))"))', "vm_str of 12 bytes"),
        (b'((time "\x1b[31m")(word_size 64))', "time \\x1b[31m"),
        (b"((time a)(word_size", "broken at 50: the key word_size has no value"),
    ],
)
def test_show_description(text: bytes, words: str, show: Show) -> None:
    """Names are read out of their escapes, nothing goes to the terminal raw, and a broken text is said to be one."""
    assert words in " ".join(show(in_xapi(HVM, xenops=text))[1].split())


@pytest.mark.parametrize("declared_length", [0, 7, -1, -(1 << 63), 1 << 31, 1 << 62, (1 << 63) - 1])
def test_any_claim_is_survived(declared_length: int, show: Show) -> None:
    """Whatever length any record claims, each form ends with a status, and JSON keeps to its schema."""
    with open(data.path("spec", "json", "show.json"), encoding="utf-8") as file:
        validator = jsonschema.Draft202012Validator(json.load(file))
    for path in (XENOPS_RECORD, IMAGE_RECORD, FIRMWARE, TPM, QEMU, XAPI_END):
        stream = XAPI_UEFI.edit(path, declared_length=declared_length)
        assert show(stream, "--hexdump")[0] in (0, 1)
        status, output = show(stream, "--json")
        assert status in (0, 1)
        for row in objects(output):
            validator.validate(row)


def test_unknown_types_are_shown(show: Show) -> None:
    """An unknown type is listed by number, whatever that is, and the listing says why it ends there."""
    for code in (0x1234, 1 << 31, -1):
        stream = XAPI_HVM.before(QEMU, Part(XAPI_END, code=code))
        status, output = show(stream)

        assert status == 1
        assert f"type {code:#x}" in output
        assert "may be skipped" not in output
        assert f"(record type {code:#x})" in output


# -- the description's text against an oracle -----------------------------------------------------------------


def _parsed(text: bytes) -> Any:
    """The one S-expression that the text is; ValueError if it is none, LookupError if there is a comment."""
    stack: list[list[Any]] = [[]]
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b";" or text[at : at + 2] in (b"#|", b"#;"):
            raise LookupError
        if byte == b"(":
            stack.append([])
        elif byte == b")":
            closed = stack.pop()
            if not stack:
                raise ValueError
            stack[-1].append(closed)
        elif byte == b'"':
            stop = at + 1
            while text[stop : stop + 1] != b'"':
                number = text[stop + 1 : stop + 4]
                if stop >= len(text) or (
                    text[stop] == ord("\\") and len(number) == 3 and number.isdigit() and int(number) > 255
                ):
                    raise ValueError
                stop += 2 if text[stop] == ord("\\") else 1
            stack[-1].append(text[at + 1 : stop])
            at = stop
        elif byte not in (b" ", b"\t", b"\r", b"\n", b"\f"):
            stop = at
            while stop < len(text) and text[stop] not in b' \t\r\n\f();"':
                stop += 1
            if b"#|" in text[at:stop] or b"|#" in text[at:stop]:
                raise ValueError
            stack[-1].append(text[at:stop])
            at = stop - 1
        at += 1
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError
    return stack[0][0]


def _is_description(text: bytes) -> bool:
    """Whether xenopsd's generated parser takes the text."""
    found = _parsed(text)
    if not isinstance(found, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in found):
        return False
    keys = [bytes(key) if isinstance(key, bytes) else b"" for key, _ in found]
    values = dict(zip(keys, (value for _, value in found), strict=True))
    forms = {row.name.encode(): row for row in xapi.XENOPS_KEYS}
    if len(values) != len(keys) or not {k for k, row in forms.items() if row.required} <= set(keys) <= set(forms):
        return False
    for key, value in values.items():
        form = forms[key].form
        if form == "pairs":
            if not isinstance(value, list):
                return False
            if not all(isinstance(pair, list) and [type(atom) for atom in pair] == [bytes] * 2 for pair in value):
                return False
        elif not isinstance(value, bytes) or (form == "integer" and sexpr.number(value) is None):
            return False
    return True


_BITS = st.sampled_from(
    [*(bytes([byte]) for byte in b'()"\\ \n#|a\xff'), b"\\255", b"\\256", b"\\1", b"\\\\", b'\\"', b"(a b)"]
)
_ATOMS = st.one_of(
    st.binary(min_size=1, max_size=6).filter(lambda content: not set(content) & set(b' \t\r\n\f();"#|')),
    st.lists(st.sampled_from([b"a", b" ", b"(", b"\\\\", b'\\"', b"\\012", b"\\n", b"#|"]), max_size=5).map(
        lambda parts: b'"' + b"".join(parts) + b'"'
    ),
)
_SPACE = st.sampled_from([b" ", b"  ", b"\n", b"\t \r\n"])
_SUBTREES = st.lists(st.tuples(_SPACE, _ATOMS, _SPACE, _ATOMS), max_size=4).map(
    lambda rows: b"(" + b"".join(b"(" + b"".join(row) + b")" for row in rows) + b")"
)
_PAIRS = st.fixed_dictionaries(
    {b"time": _ATOMS, b"word_size": st.sampled_from([b"64", b"32", b'"64"', b"0x20"])},
    optional={b"vm_str": _ATOMS, b"xs_subtree": _SUBTREES},
).flatmap(lambda pairs: st.permutations(list(pairs.items())))
_TEXTS = st.builds(
    lambda pairs, space: b"(" + b"".join(b"(" + key + space + value + b")" for key, value in pairs) + b")" + space,
    _PAIRS,
    _SPACE,
)


def _agrees(text: bytes) -> None:
    outcome = judge(in_xapi(HVM, xenops=text).pieces())
    clauses = set(outcome.verifier.findings.counts) - {"XAPI-WORD-SIZE"}
    try:
        good = _is_description(text)
    except ValueError:
        good = False
    except LookupError:
        return  # judged up to the comment, and not after it
    if not outcome.verifier.abstained:
        assert (not clauses) == good
    assert clauses <= {"XAPI-XENOPS-FORM", "XAPI-XENOPS-KEYS", "XAPI-XENOPS-VALUES"}
    content = in_xapi(HVM, xenops=text).render()
    start, stop = 31, 31 + len(text)
    pieces = [content[:start], *(content[at : at + 1] for at in range(start, stop)), content[stop:]]
    assert reported(judge(pieces)) == reported(outcome)


@given(_TEXTS)
def test_any_description(text: bytes) -> None:
    """Whatever is written by the grammar is taken, by the oracle and by us."""
    assert _is_description(text)
    _agrees(text)


@given(_TEXTS, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), _BITS), min_size=1, max_size=3))
def test_any_breakage(text: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    """A text with bytes replaced, taken out or put in is taken if the oracle takes it."""
    for at, out, put in edits:
        place = at % (len(text) + 1)
        text = text[:place] + put + text[place + out :]
    _agrees(text)


@given(st.lists(_BITS, max_size=12).map(b"".join))
def test_any_text(text: bytes) -> None:
    """Nor do we agree by chance on what is no such text at all."""
    _agrees(b"((time a)(word_size 64)(vm_str " + text + b"))")


@pytest.mark.parametrize(
    "text", [rb'((time "\256\12\1a")(word_size 64))', b"((time a#b|#c)(word_size 64)(xs_subtree((a b)(c))))"]
)
def test_cut_in_a_broken_text(text: bytes) -> None:
    """Where a text breaks off, and is broken before, the same is reported however the bytes came."""
    content = in_xapi(HVM, xenops=text).render()
    for cut in range(31, 31 + len(text)):
        bytewise = judge(content[at : at + 1] for at in range(cut))

        assert reported(bytewise) == reported(judge([content[:cut]]))
        assert "XAPI-TRUNC" in bytewise.verifier.findings.counts


@given(st.one_of(st.binary(max_size=9), st.text("Aa0+/=", max_size=13).map(str.encode)))
def test_any_base64(text: bytes) -> None:
    """A TPM's state is taken if the standard library decodes it strictly; spaces part such words."""
    counts = judge(in_xapi(HVM, VARSTORED, sized("SWTPM", text), QEMU_TRAD).pieces()).verifier.findings.counts
    try:
        for word in text.split(b" "):
            b64decode(word, validate=True)
            if len(word) % 4:
                raise binascii.Error("it passes over padding that closes nothing")
    except binascii.Error:
        assert counts == {"XAPI-SWTPM-TEXT": 1}
    else:
        assert counts == {}


def test_memory_images_of_any_version() -> None:
    """What is in the LIBXC record is judged by its own rules: its version decides nothing here."""
    for version in libxc.VERSIONS:
        stream = XAPI_PV.patch("libxc.image_header", "version", version)
        clauses = set(_verdict(stream).verifier.findings.counts)
        assert not {clause for clause in clauses if clause.startswith("XAPI")}


def test_images_side_by_side_are_described_so() -> None:
    """Two images of one file lie beside each other, not one in the other."""
    reported = judged(BREAKING["XAPI-MEMORY-ONCE"]["same"]).describe()

    assert reported == "xapi v2 > libxc v3 + libxc v3, x86 PV, Xen 4.17"
