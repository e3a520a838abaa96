"""Lost framing is one finding; records of unknown types that sound ones follow are what they are."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from .. import tables
from ..errors import MalformedError
from ..writer import Draft, raw, unknown
from .support.good_streams import GOOD, HVM, LIBXL_HVM, PV, REMUS_HVM, XL_HVM
from .support.show_output import Show
from .support.vector import judge, reported

LOST = "STREAM-FRAMING-LOST"
OPTIONAL = 1 << 31
_PAGE = tables.PAGE_SIZE


def _gap(words: list[int], count: int, drop: int) -> tuple[bytes, int]:
    """An image with `count` batches whose pages hold `words`, and `drop` bytes left out in the second; and where."""
    head, tail = HVM.upto("libxc.PAGE_DATA").render(), HVM.render()[HVM.offset("libxc.X86_TSC_INFO") :]
    page = pack("<512Q", *(words * 512)[:512])
    batches = [pack("<4I4Q", 1, 8 + 4 * (8 + _PAGE), 4, 0, *range(n, n + 4)) + page * 4 for n in range(0, 4 * count, 4)]
    data = bytearray(head + b"".join(batches) + tail)
    second = len(head) + len(batches[0])
    del data[second + 5000 : second + 5000 + drop]
    return bytes(data), second


# What pages hold: numbers of frames, pointers of kernels and of programs, text.
_WORDS = st.one_of(
    st.lists(st.integers(0x13, 1 << 20), min_size=1, max_size=3),
    st.lists(st.integers(0xFFFF_8000_0000_0000, (1 << 64) - 1).map(lambda raw: raw | 0x4000), min_size=1, max_size=9),
    st.lists(st.binary(min_size=8, max_size=8).map(lambda raw: 0x2020202020202020 | raw[0]), min_size=1, max_size=9),
)


@settings(max_examples=60, deadline=None)
@given(words=_WORDS, drop=st.integers(6, 500).map(lambda n: 8 * n))
def test_bytes_lost_inside_a_page(words: list[int], drop: int) -> None:
    """One error, in the record that lost them; where the next should begin reading stops; what came before counts."""
    data, second = _gap(words, 4, drop)
    outcome = judge([data])

    assert outcome.counts == {LOST: 1}
    (finding,) = outcome.findings
    assert (finding.offset, finding.record) == (second, "PAGE_DATA")
    assert outcome.verifier.stopped == (second + 16 + 8 + 4 * 8 + 4 * _PAGE - 8, "the framing is lost")
    assert outcome.verifier.content_pages == 4
    assert "4 pages of the guest came whole; HVM_CONTEXT" in finding.message


@settings(max_examples=30, deadline=None)
@given(words=_WORDS, sizes=st.lists(st.sampled_from((1, 7, 24, 4096, 5000)), min_size=1, max_size=3))
def test_however_it_comes(words: list[int], sizes: list[int]) -> None:
    """The same in one piece and in many."""
    data, second = _gap(words, 2, 1448)
    start = second + 4 * _PAGE
    pieces, at, number = [data[:start]], start, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(data[at : at + size])
        at, number = at + size, number + 1

    assert reported(judge(pieces)) == reported(judge([data]))


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.integers(0x13, 0x40) | st.integers(OPTIONAL, OPTIONAL | OPTIONAL - 1), min_size=1, max_size=5),
    body=st.integers(1, 40),
)
def test_a_newer_writers_records(kinds: list[int], body: int) -> None:
    """Records with bodies, of types next to the known or that may be skipped, are no loss: each is reported."""
    parts = [unknown("libxc", kind, b"\x5a" * body) for kind in kinds]
    outcome = judge(HVM.before("libxc.X86_TSC_INFO", *parts).pieces())
    mandatory = sum(kind < OPTIONAL for kind in kinds)

    expected = {"LIBXC-REC-UNKNOWN-MAND": mandatory, "LIBXC-REC-UNKNOWN-OPT": len(kinds) - mandatory}
    assert outcome.counts == {clause: count for clause, count in expected.items() if count}
    assert outcome.verifier.stopped is None


@pytest.mark.parametrize("count", [1, 2, 500])
def test_one_type_again_and_again(count: int) -> None:
    """A flood of records of one type, with bodies, is a patched writer's: counted, and what follows is judged."""
    part = unknown("libxc", 0x4242, bytes(16))
    outcome = judge(HVM.before("libxc.X86_TSC_INFO", *[part] * count).pieces())

    assert outcome.counts == {"LIBXC-REC-UNKNOWN-MAND": count}
    assert outcome.verifier.complete


def test_a_sound_record_ends_a_row() -> None:
    """Odd ones that sound ones come between are no loss, however many."""
    stream = HVM
    for _ in range(9):
        stream = stream.before("libxc.X86_TSC_INFO", unknown("libxc", 0x5234, b""), HVM.part("libxc.PAGE_DATA"))

    assert set(judge(stream.pieces()).counts) == {"LIBXC-REC-UNKNOWN-MAND"}


def test_cut_inside_what_is_none() -> None:
    """A body of a type that nothing comes near, which the input ends inside, is not reported as cut as well."""
    data = HVM.upto("libxc.X86_TSC_INFO").render() + pack("<II", 0x52346712, 5000) + bytes(100)

    assert judge([data]).counts == {LOST: 1}


@pytest.mark.parametrize("stream", [HVM, PV, LIBXL_HVM, XL_HVM], ids=["hvm", "pv", "libxl", "xl"])
def test_output_of_a_program(stream: Draft) -> None:
    """Text between records is quoted, with where records go on."""
    text = b"xc: info: Saving memory: 4/16  25%\r\n"
    broken = stream.before("libxc.X86_TSC_INFO", raw(text))
    outcome = judge(broken.pieces())

    assert outcome.counts == {LOST: 1}
    at = stream.offset("libxc.X86_TSC_INFO")
    (finding,) = outcome.findings
    assert "'xc: info: Saving memory: 4/16  25%'" in finding.message
    assert f"at {at + len(text)} records go on, so these {len(text)} bytes were added" in finding.message


@pytest.mark.parametrize("name", ["hvm", "libxl-hvm", "xl-hvm", "libvirt-hvm", "xapi-hvm"])
@pytest.mark.parametrize("first", ["remus-hvm", "libxl-remus-hvm"])
def test_second_stream_after_a_checkpoint(first: str, name: str) -> None:
    """It is named, and the guest of the first is as of its last checkpoint."""
    data = GOOD[first].render()
    outcome = judge([data + GOOD[name].render()])

    assert outcome.counts == {LOST: 1}
    (finding,) = outcome.findings
    assert finding.offset == len(data)
    assert "but another " in finding.message
    assert f"usable as of checkpoint {outcome.verifier.checkpoints}" in finding.message


def test_what_a_cut_leaves() -> None:
    """A stream that ends early says what of the guest has come."""
    for path, words in {
        "libxc.HVM_PARAMS": "HVM_CONTEXT (its vcpus and devices) and HVM_PARAMS (its parameters) never came",
        "libxc.HVM_CONTEXT": "whole; HVM_CONTEXT (its vcpus and devices) never came",
        "libxc.END": "its state came, too",
    }.items():
        (finding,) = judge(HVM.upto(path).pieces()).findings
        assert words in finding.message
    (finding,) = judge(PV.upto("libxc.SHARED_INFO").pieces()).findings
    assert "X86_PV_VCPU_BASIC (the registers of its vcpus) and SHARED_INFO (its shared info) never" in finding.message


def test_others_stop_there_too(show: Show) -> None:
    """`show` and `streamfmt.open` end at the same place, with the same words."""
    data, second = _gap([0x20], 3, 1448)
    _, text = show(data)
    at = second + 4 * (8 + _PAGE) + 16
    assert f"stopped at {at}" in text
    assert "the framing is lost" in text
    with streamfmt.open(data) as stream, pytest.raises(MalformedError) as caught:
        list(stream)
    assert caught.value.offset == at


def test_exactly() -> None:
    """Exact reading finds it as well."""
    assert streamfmt.verify(_gap([0x20], 3, 1448)[0], exact=True).counts == {LOST: 1}
    text = REMUS_HVM.before("libxc.X86_TSC_INFO", raw(b"libxl: error: it failed\n")).render()
    assert streamfmt.verify(text, exact=True).counts == {LOST: 1}


def _counts(data: bytes) -> dict[str, int]:
    """How often each clause is broken that is more than a note."""
    counts = streamfmt.verify(data).counts
    return {clause: count for clause, count in counts.items() if tables.SEVERITY[clause] != "note"}


@pytest.mark.parametrize("stream", [HVM, LIBXL_HVM, XL_HVM], ids=["hvm", "libxl", "xl"])
@pytest.mark.parametrize(
    "got",
    [
        pack("<II", 0, 2_400_000),
        pack("<II", 0, 4) + bytes(8) + b"\x5a" * 64,
        pack("<II", 0x18000000, 0) + pack("<II", 0, 8),
    ],
    ids=["beyond", "then-nothing-known", "after-an-odd-one"],
)
def test_what_reads_as_an_early_end(stream: Draft, got: bytes) -> None:
    """An END with a body, that records which every saver sends have not come before, nor anything known after it."""
    outcome = streamfmt.verify(stream.upto("libxc.X86_TSC_INFO").render() + got + b"\x5a" * 40)

    assert outcome.counts == {LOST: 1}
    assert outcome.findings[0].message.count("never came") == 1


@pytest.mark.parametrize("stream", [HVM, LIBXL_HVM, XL_HVM], ids=["hvm", "libxl", "xl"])
def test_zeros_before_a_record(stream: Draft) -> None:
    """A few zeros where HVM_PARAMS should be are not the ENDs that they look like: a record of the image follows."""
    broken = stream.before("libxc.HVM_PARAMS", raw(bytes(16)))

    assert _counts(broken.render()) == {"STREAM-ZEROS": 1}


def test_an_early_end_is_one_where_sound_records_follow() -> None:
    """One that only lacks records is judged by those, whatever is wrong with its own length."""
    early = LIBXL_HVM.without("libxc.HVM_PARAMS")
    data = bytearray(early.render())
    assert _counts(bytes(data)) == {"LIBXC-HVMPARAMS-PRESENT": 1}

    at = early.offset("libxc.END")
    data[at : at + 8] = pack("<II", 0, 8) + bytes(8)
    assert _counts(bytes(data)) == {"LIBXC-HVMPARAMS-PRESENT": 1, "LIBXC-REC-ZEROLEN": 1}


def test_a_context_that_lost_bytes() -> None:
    """What the rest of a body breaks is part of the loss; what is quoted is there, even if the input ends soon."""
    data, at = HVM.upto("libxc.END").render() + b"\xa5" * 40, HVM.offset("libxc.HVM_CONTEXT") + 40
    outcome = streamfmt.verify(data[:at] + data[at + 3 :])

    assert outcome.counts == {LOST: 1}
    assert "another" not in outcome.findings[0].message
    assert "a5 a5 a5" in outcome.findings[0].message


def test_zeros_from_inside_a_record_on() -> None:
    """What a record breaks whose rest is zeros is part of the same loss, which begins with it."""
    stream = HVM.without("libxc.HVM_PARAMS")
    data, at = stream.render(), stream.offset("libxc.HVM_CONTEXT")
    (finding,) = streamfmt.verify(data[: at + 60] + bytes(len(data) - at)).findings

    assert (finding.clause, finding.offset) == ("STREAM-ZEROS", at)
    assert "and in HVM_CONTEXT before that" in finding.message


@pytest.mark.parametrize("name", ["xl-hvm", "xl-remus"])
def test_wherever_zeros_begin(name: str) -> None:
    """A tail that was never written is one finding at most, of a file and of a stream of checkpoints."""
    data = GOOD[name].render()

    for at in (*range(36, 64, 3), *range(64, 220, 7), *range(len(data) - 130, len(data) - 40, 5)):
        outcome = judge([data[:at] + bytes(len(data) - at)])
        found = [one.clause for one in outcome.findings if one.severity != "note"]
        assert len(found) <= 1, at
        assert found or at > len(data) - 200, "only in the last record zeros may be what was there"


def test_text_inside_a_body() -> None:
    """The rest of a body that a program's text got into is not taken for where records go on."""
    at = HVM.offset("libxc.X86_MSR_POLICY") + 20
    data, text = HVM.render(), b"xc: info: Saving memory: iter 4/16\r\n"
    outcome = streamfmt.verify(data[:at] + text + data[at:])

    assert outcome.counts == {LOST: 1}
    assert "go on" not in outcome.findings[0].message


def test_an_endless_length_after_an_odd_record() -> None:
    """A length that nothing has ends a row of odd records though its type is known."""
    data = HVM.upto("libxc.X86_TSC_INFO").render() + pack("<4I", 0x18000000, 0, 0, 0xDB000000) + bytes(64)

    assert streamfmt.verify(data).counts == {LOST: 1}


def test_a_configuration_that_lost_bytes() -> None:
    """Its text and the stream that begins too early are one finding."""
    data = bytearray(XL_HVM.render())
    at = XL_HVM.offset("libxl.header") - 30
    del data[at : at + 7]

    outcome = streamfmt.verify(bytes(data))
    assert outcome.counts == {LOST: 1}
    assert "in the configuration" in outcome.findings[0].message
