"""Captures of migrations, text before streams, and libvirt's namesake: what they are called, wherever they end."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from .. import tables
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED
from ..reader.events import Sink
from ..reader.identify import Identity, by_magic
from ..reader.reader import Reader
from ..render.text import summary
from ..schema import xl_migrate
from ..writer import Draft, after_text, in_migration, raw, record
from ..writer.builders import in_xl
from .support.good_streams import (
    BACK,
    GOOD,
    HTTP_HEAD,
    HVM,
    LIBVIRT_HVM,
    LIBXL_HVM,
    MIGRATION,
    SENDER,
    XAPI_HTTP,
    XL_HVM,
)
from .support.paths import GO, LIBVIRT_HEADER, READY, XL_HEADER
from .support.vector import judge

BANNER = b"Last login: today\r\n"
HANDSHAKEN = MIGRATION.render()
# The text that is looked at, at most.
BOUND = 64 << 10


def identified(data: bytes, exact: bool = False) -> Identity:
    """What the input is."""
    reader = Reader(Sink(), exact=exact)
    reader.pump.feed(data)
    reader.pump.end()
    assert reader.identity is not None
    return reader.identity


def clauses(data: bytes) -> set[str]:
    return set(judge([data]).verifier.findings.counts)


# -- xl migrate -------------------------------------------------------------------------------------------------


def test_messages_are_xl_s() -> None:
    """The fixed texts have the lengths that both sides of every xl read."""
    sizes = [tables.SIZES[f"xl-migrate.{name}"] for name in tables.RECORDS["xl-migrate"].values()]

    assert len(xl_migrate.GREETING) == 54
    assert sizes == [34, 44, 39, 1, 44]


def test_every_cut_of_a_capture() -> None:
    """Before END the stream is incomplete; after it the guest is whole and the handshake is not; then all is well."""
    data = MIGRATION.render()
    ready, inner = MIGRATION.offset(READY), MIGRATION.offset("libxl.header")
    # Fewer than four bytes of the inner stream show nothing of what it is.
    for at in (*range(4, inner + 1), *range(inner + 4, 250), *range(ready - 40, len(data) + 1)):
        outcome = judge([data[:at]])
        found = outcome.verifier.findings.counts
        if at < ready:
            assert outcome.verdict == DOES_NOT_CONFORM, at
            assert all(clause.endswith("-TRUNC") for clause in found), at
        else:
            assert outcome.verdict == CONFORMS, at
            assert found == ({"XL-MIGRATE-UNFINISHED": 1} if at < len(data) else {}), at


def test_one_side_alone() -> None:
    """The sender's side is an xl file with a trailer; the receiver's holds no stream, and is named for that."""
    receiver = Draft(tuple(part for part in MIGRATION if part.path.startswith("xl-migrate.") and part.path != GO))
    for data in (receiver.render(), receiver.upto(READY, extra=3).render()):
        outcome = judge([data])
        assert outcome.verdict == NOT_JUDGED
        assert "the receiver's side of a migration alone" in summary(outcome)

    assert identified(SENDER.render()).key == "xl"
    assert clauses(SENDER.render()) == {"STREAM-TRAILER"}


@given(byte=st.integers(0, 254), status=st.integers(0, 255))
def test_one_byte_of_a_message(byte: int, status: int) -> None:
    """Each byte of each message counts, and any status but 0 is reported with the giving back that must follow."""
    good = HANDSHAKEN[:-1] + bytes([status]) + (xl_migrate.GO if status else b"")
    whole = judge([good])
    # Of the messages before the status, and after it.
    places = [*range(len(HANDSHAKEN) - 118, len(HANDSHAKEN) - 1), *range(len(HANDSHAKEN), len(good))]
    place = places[byte % len(places)]
    bad = judge([good[:place], bytes([good[place] ^ 1]), good[place + 1 :]])

    assert (whole.verdict, set(whole.verifier.findings.counts)) == (
        CONFORMS,
        {"XL-MIGRATE-STATUS"} if status else set(),
    )
    assert (bad.verdict, set(bad.verifier.findings.counts)) == (DOES_NOT_CONFORM, {"XL-MIGRATE-MESSAGE"})


# -- text -------------------------------------------------------------------------------------------------------


STREAMS = {
    "libxc": HVM,
    "libxl": LIBXL_HVM,
    "xl": XL_HVM,
    "xl-migrate": MIGRATION,
    "xapi-legacy": GOOD["xapi-legacy"],
    "xend": GOOD["xend-pv"],
}
PRINTABLE = st.text("\t\n\r" + "".join(map(chr, range(32, 127))), min_size=1).map(str.encode)


@given(text=st.one_of(PRINTABLE, st.binary(min_size=1, max_size=40)), key=st.sampled_from(sorted(STREAMS)))
def test_text_is_passed_over(text: bytes, key: str) -> None:
    """Text that is no magic, and nothing else, is passed over, and what follows is found where it begins."""
    assume(by_magic(text, False, 0) is None)
    found = identified(text + STREAMS[key].render())
    try:
        plain = not [c for c in text.decode() if (c < " " and c not in "\t\n\r\x1b") or c == "\x7f"]
    except UnicodeDecodeError:
        plain = False

    assert (found.key == "text") == plain
    if plain:
        assert (found.sizes, found.inner) == ((len(text),), key)
        assert f"{len(text):,} byte{'s' if len(text) > 1 else ''} of text before " in found.name
        assert f"at offset {len(text)})" in found.evidence


def test_text_has_a_bound() -> None:
    """Text is searched past within 64 KiB, the magic and one byte included, and never where bytes are counted."""
    stream = LIBXL_HVM.render()
    magic = len("LibxlFmt") + 1

    assert identified(b"x" * (BOUND - magic) + stream).key == "text"
    assert identified(b"x" * (BOUND - magic + 1) + stream).key == ""
    assert identified(BANNER + stream, exact=True).key == ""


@pytest.mark.parametrize("text", [b"see LibxlFmt below\n", b"XenSavedDomv2-\n or so\n", b"LibxlFm"])
def test_a_magic_in_prose_is_none(text: bytes) -> None:
    """Text that only mentions a magic is text, with a stream after it or without one."""
    assert identified(b"> " + text + bytes(100)).key == ""
    assert identified(b"> " + text + LIBXL_HVM.render()).sizes == (2 + len(text),)


def test_http_head_belongs_before_an_image_only() -> None:
    """XAPI's request is no text where it belongs, and text elsewhere."""
    assert (
        identified(XAPI_HTTP.render()).name == f"{len(HTTP_HEAD)} bytes of HTTP request head before XAPI suspend image"
    )
    assert clauses(XAPI_HTTP.render()) == set()
    assert clauses(after_text(LIBXL_HVM, HTTP_HEAD).render()) == {"STREAM-TEXT"}


def test_a_request_without_an_image() -> None:
    """XAPI's request is named whatever follows it: nothing, replies alone, or an image that has to be unpacked."""
    packed = b"\x28\xb5\x2f\xfd" + bytes(100)
    for rest in (b"", b"\0\0", b"\0\0\0\0\0\0", b"\0\x05wrong"):
        assert identified(HTTP_HEAD + rest).key == "xapi-http"
        assert judge([HTTP_HEAD + rest]).verdict == NOT_JUDGED
    for reply in (b"", b"\0\0"):
        found = identified(HTTP_HEAD + reply + packed)
        assert found.key == "zstd"
        assert found.name == f"{len(HTTP_HEAD + reply)} bytes of HTTP request head before zstd data"


@pytest.mark.parametrize("key", ["gzip", "xz", "zstd"])
def test_text_before_what_is_only_named(key: str) -> None:
    """What is not read after text is named all the same, with its place."""
    data = next(row[3] for row in tables.MAGICS if row[0] == key)
    found = identified(BANNER + data + bytes(100))

    assert found.key == key
    assert found.name.startswith(f"{len(BANNER)} bytes of text before ")
    assert f"at offset {len(BANNER)}; it begins 'Last login" in found.evidence
    assert judge([BANNER + data + bytes(100)]).verdict == NOT_JUDGED


@pytest.mark.parametrize("blanks", range(3))
def test_text_of_other_languages_is_quoted(blanks: int) -> None:
    """A character that the quotation ends inside is left out of it."""
    (finding, *_) = judge([b" " * blanks + "\N{EURO SIGN}".encode() * 30 + b"\n" + XL_HVM.render()]).findings

    assert finding.clause == "STREAM-TEXT"
    assert finding.message.endswith("\N{EURO SIGN}'")
    assert judge([b"\n" + XL_HVM.render()]).findings[0].message.startswith("1 byte of text comes first")


def test_text_after_the_greeting_is_of_the_sender_only() -> None:
    """Text between the greeting and xl's header is passed over; before anything else it is no header."""
    greeting = xl_migrate.GREETING

    bare = in_migration(in_xl(LIBXL_HVM, b"", json=0)).before(XL_HEADER, record("text.TEXT", BANNER))

    assert clauses(greeting + BANNER + HANDSHAKEN[len(greeting) :]) == {"STREAM-TEXT"}
    assert clauses(bare.render()) == {"STREAM-TEXT", "XL-MIGRATE-CONFIG"}
    for after in (HANDSHAKEN, LIBXL_HVM.render(), b""):
        assert clauses(greeting + BANNER * 9 + after) == {"XL-MAGIC"}


def test_text_inside_a_container_is_not_passed_over() -> None:
    """After a header readers go on at once: there text is where the stream should be."""
    outcome = judge(XL_HVM.before("libxl.header", raw(BANNER)).pieces())

    assert set(outcome.verifier.findings.counts) == {"STREAM-FRAMING-LOST"}
    assert f"after {len(BANNER)} bytes of text" in summary(outcome)


def test_evidence_counts_from_the_start_of_the_input() -> None:
    """What shows the stream inside a container is quoted with its place in the input."""
    outcome = judge(XL_HVM.patch(XL_HEADER, "mandatory_flags.stream_v2", 0).pieces())
    at = XL_HVM.offset("libxl.header")

    assert f"'LibxlFmt' at offset {at}" in outcome.verifier.findings.kept[0].message


# -- libvirt's namesake -------------------------------------------------------------------------------------------


def _cloud_hypervisor(length: int) -> bytes:
    return tables.MAGICS[4][3] + length.to_bytes(4, "little") + bytes(44) + b"<domain type='kvm'/>".ljust(length, b"\0")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("length", [21, 4096, 1 << 20])
def test_cloud_hypervisor(length: int, exact: bool) -> None:
    """The file of libvirt's other driver is named, and is no migration's."""
    found = identified(_cloud_hypervisor(length), exact)

    assert (found.key, found.kind) == ("cloud-hypervisor", "foreign")
    assert judge([_cloud_hypervisor(length)]).verdict == NOT_JUDGED
    assert identified(BANNER + _cloud_hypervisor(length)).key == ""


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 47])
def test_malformed_libvirt_files_stay_libvirt_s(version: int, length: int) -> None:
    """No version or length that a damaged file of the Xen driver may have makes it one of the other."""
    stream = LIBVIRT_HVM.patch(LIBVIRT_HEADER, "version", version).patch(LIBVIRT_HEADER, "xml_len", length)

    assert identified(stream.render()).key == "libvirt"


@pytest.mark.parametrize("noise", ["Größe:\n", "\x1b[31mred\x1b[0m\n", "日本\n"], ids=["umlaut", "colour", "wide"])
def test_text_of_other_languages(noise: str) -> None:
    """What a shell of another language prints, or in colour, is text as well."""
    found = identified(noise.encode() + XL_HVM.render())

    assert (found.key, found.inner) == ("text", "xl")


def test_receivers_side_of_colo() -> None:
    """After the greeting there may be what a COLO secondary answers."""
    outcome = judge([xl_migrate.GREETING + BACK.render()])

    assert (outcome.verdict, outcome.verifier.findings.counts) == (CONFORMS, {})
    assert outcome.verifier.layers[0].name == "xl-migrate"
