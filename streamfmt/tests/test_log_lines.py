"""Lines of logs: recognised in whatever stands around them, explained by data that the readers themselves confirm."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..cli.main import main
from ..conformance.cases import PV_HOLE, rings
from ..conformance.conditions import Peer
from ..conformance.peers import RELEASE
from ..conformance.predictions import PEERS
from ..corpus.entries import REAL, folder
from ..schema.clauses import registry
from ..schema.log_lines import Found, LogLine, filled, known_lines, literal, logged, message, nearest, recognised, words
from .support import log_lines, peers
from .support.good_streams import HVM, PV
from .test_cli import conforms_to

LINES = known_lines()
PATTERNS = [(pattern, line) for line in LINES for pattern in line.patterns]
# What stands before and after messages, in the logs that people have.
AROUND = {
    "nothing": ("", ""),
    "libxenguest": ("xc: error: ", ": Internal error"),
    "libxl": ("libxl: error: libxl_stream_read.c:646:process_record: Domain 12:", ""),
    "syslog": ("Nov 29 02:13:01 host-1.example libxl-save-helper[4321]: xc: error: ", " (22 = Invalid argument)"),
    "journal": ("Nov 29 02:13:01 host xl[99]: ", ""),
    "stamp": ("2026-11-29T02:13:01.123456+00:00 host xenguest-5-build[77]: xc: error: ", ": Internal error"),
    "XAPI": ("[20261129T02:13:01.123Z|error|host|12 |Async.VM.resume R:0a1b|xenops] ", ""),
    "old XAPI": ("Nov 29 02:13:01 host xenopsd-xc: [error||12 |Async.VM.resume|emu-manager] ", ""),
    "libvirt": ("2026-11-29 02:13:01.123+0000: 4321: error : libxlDomainSaveImageOpen:520 : ", ""),
    "hypervisor": ("(XEN) [2026-11-29 02:13:01] ", "\r\n"),
    "QEMU": ("qemu-system-i386: ", ""),
    "quoted": ('Xenops_interface.Internal_error("Emu_manager_failure(', ')")'),
    "colours": ("\x1b[31m", "\x1b[0m"),
}


def _explain(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[str, str]:
    assert main(["explain", *words]) == status
    shown = capsys.readouterr()
    return shown.out, shown.err


# -- the data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.patterns[0])
def test_the_data_is_sound(line: LogLine) -> None:
    """Names are of what there is, and each line has a meaning, a source and what to do."""
    assert set(line.clauses) <= registry().keys()
    assert not [name for name in line.clauses if registry()[name].withdrawn]
    assert set(line.causes) <= words()["causes"].keys()
    assert line.reader in words()["readers"]
    assert (line.evidence, line.role) in {(e, r) for e in ("run", "read") for r in ("cause", "effect", "progress")}
    assert line.means
    assert line.source
    assert line.role == "progress" or (line.causes and line.next)
    # Short parts of messages are facts; whole ones would be other people's text.
    assert all(6 <= len(literal(pattern)) <= 66 for pattern in line.patterns)


def test_nothing_is_there_twice_or_for_nothing() -> None:
    """Each pattern is one line's, and each cause and reader is some line's."""
    patterns = [pattern for pattern, _ in PATTERNS]

    assert len(patterns) == len(set(patterns))
    assert {name for line in LINES for name in line.causes} == words()["causes"].keys()
    assert {line.reader for line in LINES} == words()["readers"].keys()


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_each_pattern_is_recognised(around: tuple[str, str]) -> None:
    """A message of each pattern is recognised as that line's, with its values, whatever stands around it."""
    before, after = around
    for pattern, line in PATTERNS:
        for value in ("7", "0x12345678"):
            found = recognised(before + filled(pattern, value) + after)
            own = [row for row in found if row.pattern == pattern]

            assert own, (pattern, [row.pattern for row in found])
            assert own[0].known is line
            assert set(own[0].values) == set(re.findall(r"\{(\w+)\}", pattern))
            assert set(own[0].values.values()) <= {value}
            assert {row.known.reader for row in found if row.known is not line} <= {"XAPI"}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_loggers_add_is_taken_off(around: tuple[str, str]) -> None:
    """What is shown of a line, and compared with known ones, is the message."""
    before, after = around
    if not before.isprintable() or "(" in before[4:]:
        return

    shown = message(f"{before}Cannot frobnicate the widget{after}")

    assert shown.startswith("Cannot frobnicate the widget")


@given(st.text(max_size=300))
def test_any_text_is_a_line(text: str) -> None:
    """Nothing is too odd to be looked at, and what is found in it is shorter."""
    for row in (*recognised(text), nearest(text)):
        assert row is None or len(row.line) <= len(text)


def test_a_long_line_takes_no_time() -> None:
    """Lines that no message is as long as are looked at in part, and no pattern goes back and forth over them."""
    for piece in ("a", " ", "(", "Record ", "PAGE_DATA record wrong size: length ", "\x1b[31m", "[x] ", "Domain 1:"):
        recognised(piece * 100_000)
        nearest(piece * 100_000)


# -- the readers ------------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_readers_print_what_is_known(peer: Peer, tmp_path: Path) -> None:
    """Every line of a reader that refuses a stream is recognised, and its clauses are among the stream's.

    Lines that the data says were seen running are printed here; no pattern is a guess.
    """
    rows = [*log_lines.printed(log_lines.asked(peer))]
    lines = [line for row in rows for line in row.lines]
    if peer.name == "libxenguest":
        lines += log_lines.whole_logs(_telling(rows), tmp_path)
    seen = [row for line in lines for row in recognised(line)]
    own = [line for line in LINES if line.reader == peer.name]

    assert [line for line in lines if not recognised(line)] == []
    assert [*log_lines.strange(rows)] == []
    known = {row.known for row in seen}
    assert [line.patterns for line in own if line.evidence == "run" and line not in known] == []
    text, printed = log_lines.messages(peer.name), {row.pattern for row in seen}
    assert [p for line in own for p in line.patterns if p not in printed and not _in(text, p) and _ours(line)] == []


def _telling(rows: list[log_lines.Printed]) -> Iterator[tuple[str, bytes]]:
    """A stream for each thing that libxenguest says last, and some that it takes: with all that it says before."""
    kinds = {
        recognised(line)[0].pattern: row.seen.case
        for row in rows
        for line in row.lines
        if row.seen.case.mode != "colo"  # a secondary needs a pair of pipes
    }
    yield from ((case.kind, case.data) for case in kinds.values())
    yield "hvm", gzip.decompress((folder() / REAL / "hvm-64.bin.gz").read_bytes())
    yield "pv", rings(PV, PV_HOLE).render()
    yield "hvm", HVM.patch("libxc.domain_header", "xen_major", 0).render()


@pytest.mark.peer
@pytest.mark.parametrize("reader", log_lines.PROGRAMS)
def test_patterns_are_in_the_programs(reader: str) -> None:
    """What no stream of the corpus makes a reader print is at least in its program, piece by piece."""
    text = log_lines.messages(reader)
    if not text:
        peers.require(f"the program of {reader}")
    mine = [(pattern, line) for pattern, line in PATTERNS if line.reader == reader and line.evidence == "read"]

    assert mine
    assert [pattern for pattern, line in mine if not _in(text, pattern) and _ours(line)] == []


def _ours(line: LogLine) -> bool:
    """Whether the release that is installed says it."""
    last = line.releases.partition("-")[2]
    return not last or int(last.split(".")[1]) >= int(RELEASE.split(".")[1])


def _in(text: str, pattern: str) -> bool:
    """Whether all pieces of a pattern are in a program's text, or its words where a message is put together of less.

    The C library's word for a failed assertion is not.
    """
    pieces = [piece.strip(" ()[].,") for piece in re.split(r"\{\w*\}|: ?|\(\w+__|Assertion", pattern)]
    return all(piece in text for piece in pieces) or all(word in text for word in re.findall(r"[A-Za-z]{3,}", pattern))


# -- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.patterns[0])
def test_lines_are_explained(line: LogLine, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is explained within 80 columns, with its reader, clauses and commands; JSON follows its schema."""
    text = f"xc: error: {filled(line.patterns[-1], '17')}: x"
    shown, _ = _explain(capsys, text)
    row = json.loads(_explain(capsys, "--json", text)[0].splitlines()[0])

    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith(f"{line.reader}: ")
    assert all(f"{name}: {registry()[name].title[:9]}" in shown for name in line.clauses)
    assert all(command in shown for command in line.next)
    conforms_to("explain", row)
    assert row["clauses"] == [*line.clauses]
    assert (row["reader"], row["guess"], row["count"]) == (line.reader, False, 1)


SAID = "xc: error: PAGE_DATA record wrong size: length 17, expected 8 + 8 + 4096: Internal error"
LOG = f"""\
xc: info: Found x86 HVM domain from Xen 4.17
{SAID}
{SAID}
xc: error: Restore failed (0 = Success): Internal error
libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 3:cannot (re-)build domain: -3
something else
"""


def test_a_line_in_any_form(capsys: pytest.CaptureFixture[str]) -> None:
    """In quotes, without them, and with its values; names beside it are explained, too."""
    shown, _ = _explain(capsys, SAID)

    assert "LIBXC-PAGE-LEN: PAGE_DATA is as long as its entries say" in shown
    assert "length 17, header 8, entries 8, pages 4096" in shown
    assert _explain(capsys, *SAID.split())[0] == shown
    both, _ = _explain(capsys, SAID, "LIBXC-PAGE-COUNT")
    assert both.startswith(shown)
    assert "LIBXC-PAGE-COUNT: " in both
    assert "did you mean LIBXC-PAGE-COUNT" in _explain(capsys, SAID, "LIBXC-PAGE-COUTN", status=2)[1]


@pytest.mark.parametrize("way", ["argument", "input"])
def test_a_whole_log(way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log the causes are explained in full, each once; what followed from them is listed, the rest counted."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LOG.encode())))
    argument = LOG if way == "argument" else "-"

    shown, errors = _explain(capsys, argument)

    assert shown.startswith("libxenguest, 2 times: PAGE_DATA record wrong size")
    assert shown.index("Also in the log:") < shown.index("Restore failed") < shown.index("cannot (re-)build")
    assert errors == "streamfmt: 1 more line is not known\n"
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("line", "reader"),
    [
        ("xc: error: PAGE_DATA record has the wrong size, length 17: Internal error", "libxenguest"),
        ("libxl: error: libxl_stream_read.c:9:f: Received emulator context record, none was expected", "libxl"),
        ("Savefile has mandatory flags not supported", "xl"),
    ],
)
def test_the_nearest_is_a_guess(line: str, reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that no reader is known to print gets the known one that is most like it, and is said to be a guess."""
    shown, _ = _explain(capsys, line)
    row = json.loads(_explain(capsys, "--json", line)[0])

    assert shown.startswith("Not a known line: ")
    assert f"A guess, by its words: {reader} prints one like it" in shown
    assert (row["guess"], row["reader"], row["values"]) == (True, reader, {})
    conforms_to("explain", row)


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"", 2, "streamfmt: no reader is known to print such a line, or one like it\n"),
        (b"nothing of note\n", 2, "streamfmt: no reader is known to print such a line, or one like it\n"),
        (b"a\0b", 3, "streamfmt: standard input: it is no text; to judge a stream: streamfmt verify -\n"),
        (b"\xff\xfe\xc3 " * 9000, 2, "streamfmt: no reader is known to print such a line, or one like it\n"),
    ],
)
def test_input_without_lines(
    data: bytes, status: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says nothing is said to, in a line."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    assert _explain(capsys, "-", status=status) == ("", message)


def test_names_and_words_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A phrase that is no line lists rules, as it did; one that is neither is answered as words are."""
    assert _explain(capsys, "page type")[0] == _explain(capsys, "page", "type")[0]
    assert _explain(capsys, "zzz padding", status=2)[1] == "streamfmt: no clause has zzz\n"
    assert "Fields:" in _explain(capsys, "PAGE_DATA")[0]


def test_a_line_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Characters that terminals obey are shown as escapes."""
    shown, _ = _explain(capsys, "xc: error: Mandatory record \x1b[2J\x07 (x) not handled\x1b]0;t\x07")

    assert all(text.isprintable() for text in shown.splitlines())
    assert "\\x1b[2J" in shown


def test_quoted_lines_say_both(capsys: pytest.CaptureFixture[str]) -> None:
    """A toolstack's line with another's in it: what went wrong first comes first."""
    found: list[Found] = recognised(f'Emu_manager_failure("Received error from emu-manager: xenguest {SAID}")')

    assert [row.known.reader for row in found] == ["libxenguest", "XAPI", "XAPI"]


@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_a_line_with_its_quotes(quote: str) -> None:
    """Quotes around a line are no part of it; one at an end is."""
    line = "xc: error: Failed to read Record Header from stream (0 = Success): Internal error"
    (whole,), (quoted,), (one,) = map(recognised, (line, f"{quote}{line}{quote}", line + quote))

    assert quoted == whole
    assert logged(f"{quote}{line}{quote}")
    assert one.known == whole.known
