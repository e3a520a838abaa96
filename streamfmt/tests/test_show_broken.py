"""`streamfmt show` on streams that break off, lie or are none, and on outputs that fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from streamfmt import tables
from streamfmt.cli.main import main

from .. import writer
from ..writer import RECORDS, Draft
from .support import good_streams
from .support.good_streams import GOOD
from .support.show_output import LITTLE, REAL, Show, dumped, objects, real, records

# -- broken and hostile streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "step"),
    [(LITTLE, 13), (good_streams.wrapped(LITTLE, good_streams.XENSTORE, good_streams.EMULATOR), 1)],
    ids=["libxc", "libxl"],
)
def test_truncation_anywhere(stream: Draft, step: int, show: Show) -> None:
    """A stream cut at any byte is listed or dumped up to there, says where it stops, and exits with 1."""
    data = stream.render()
    for size in range(0, len(data), step):
        status, output = show(data[:size], *(["--json"] if size % 2 else ["--hexdump", "--full"]))
        assert status == 1
        if size % 2:
            end = objects(output)[-1]
            assert end["stopped"]["offset"] in (size, 0)
        else:
            assert sum(len(raw) for _, raw, _ in dumped(output)) == (size if size >= 4 else 0)
            assert "ends" in output or "nothing to show" in output


@pytest.mark.parametrize("name", ["pv", "libxl-hvm"])
@pytest.mark.parametrize("declared_length", [0, 7, 4095, 1 << 27, (1 << 32) - 1])
def test_any_claim_is_survived(name: str, declared_length: int, show: Show) -> None:
    """Whatever length any record claims, both forms end with a status and no exception."""
    for number, part in enumerate(GOOD[name].parts):
        if part.path in RECORDS:
            paths = [other.path for other in GOOD[name].parts[:number]]
            data = GOOD[name].edit(part.path, paths.count(part.path), declared_length=declared_length).render()
            assert show(data, "--hexdump")[0] in (0, 1)
            assert show(data, "--json")[0] in (0, 1)


NOTHING = {
    "empty": b"",
    "text": b"hello\n" * 20,
    "disk image": b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(100),
    "xend of Xen 2.0": b"LinuxGuestRecord" + (65536).to_bytes(4, "little") + bytes(60),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_show(name: str, show: Show) -> None:
    """What is no libxl or libxc stream is named in one sentence, with exit status 1."""
    status, output = show(NOTHING[name])
    (end,) = objects(show(NOTHING[name], "--json")[1])

    assert status == 1
    assert max(map(len, output.splitlines()[1:])) <= 80
    assert "; nothing to show" in output
    assert end["stopped"]["reason"] in " ".join(output.split())
    assert show(NOTHING[name], "--as", "libxc")[0] == 1


def test_unreadable_input(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read exits with 3, and files before it are shown."""
    assert main(["show", "--json", real(REAL[0]), "/nonexistent"]) == 3
    shown = capsys.readouterr()

    assert json.loads(shown.out.splitlines()[-1])["end"]
    assert shown.err == "streamfmt: /nonexistent: cannot read: No such file or directory\n"


def test_damaged_compression(show: Show) -> None:
    """A compressed input that ends early is shown up to there, with the reason and exit status 1."""
    with open(real(REAL[0]), "rb") as file:
        status, output = show(file.read()[:100_000])

    assert status == 1
    assert "X86_MSR_POLICY" in output
    assert "data ends early" in output.splitlines()[-1]


def test_odd_records(show: Show) -> None:
    """Remarks are made on what does not fit; no such record is taken together with others."""
    parts = good_streams.HVM.parts
    odd = (
        (writer.unknown("libxc", 0x80000001, b"x"), "unknown, may be skipped"),
        (writer.unknown("libxc", 0x77), "unknown, and mandatory"),
        (writer.record("libxc.X86_TSC_INFO", bytes(4)), "too short, its fixed fields are 24 bytes"),
        (writer.record("libxc.STATIC_DATA_END", bytes(4)), "4 bytes more than it should have"),
        (writer.record("libxc.PAGE_DATA", bytes(8)), "no entries"),
        (writer.record("libxc.PAGE_DATA", bytes(4)), "too short, its fixed fields are 8 bytes"),
        (writer.record("libxc.PAGE_DATA", b"\x09" + bytes(15)), "room for 1 of 9 entries; "),
        (writer.record("libxc.PAGE_DATA", b"\1" + bytes(15)), "length should be 4,112; 1 entry, pfn 0x0: 1 NOTAB"),
        (writer.record("libxc.PAGE_DATA", b"\1" + bytes(14) + b"\x50"), "1 entry, pfn 0x0: 1 type 5"),
        (writer.record("libxc.PAGE_DATA", b"\1" + bytes(13) + b"\x10\xf0"), "reserved bits set; 1 entry, pfn 0x0"),
        (writer.record("libxc.HVM_PARAMS", b"\2" + bytes(23)), "1 parameter, count says 2: CALLBACK_IRQ=0x0"),
        (writer.record("libxc.X86_MSR_POLICY", bytes(17)), "1 MSR, then 1 odd byte: 0x0=0x0"),
        (writer.record("libxc.HVM_CONTEXT", b"\1\0\0\0\xff" + bytes(5)), "1 entry: HEADER, cut: it claims 255 bytes"),
        (writer.record("libxc.HVM_CONTEXT", b"\x63\0" + bytes(7)), "1 entry: type 99, then 1 more byte"),
        (
            writer.record("libxc.HVM_CONTEXT", bytes(4) + b"\3\0\0\0abcd"),
            "1 entry: END; END claims 3 bytes, then 4 more bytes",
        ),
        (writer.record("libxc.CHECKPOINT_DIRTY_PFN_LIST", bytes(24)), "3 pfns"),
        (writer.record("libxc.TOOLSTACK", bytes(3)), "3 bytes"),
    )
    for part, summary in odd:
        status, output = show(Draft((*parts[:5], part, parts[5], parts[-1])), "--json")
        assert status == 0
        assert records(output)[3]["summary"].startswith(summary)
        assert records(output)[4]["number"] == 4


def test_oversize_record(show: Show) -> None:
    """A record longer than any reader accepts is listed, its header dumped, and reading stops at it."""
    stream = good_streams.HVM.edit("libxc.HVM_PARAMS", declared_length=tables.RECORD_LENGTH_MAX + 1)
    status, output = show(stream, "--json")

    assert status == 1
    assert records(output)[-1]["summary"] == "longer than any reader accepts"
    assert objects(output)[-1]["stopped"]["offset"] == records(output)[-1]["offset"]
    *_, before, last = dumped(show(stream, "--hexdump")[1])
    assert [words for _, _, words in (before, last)] == ["type = HVM_PARAMS", "length = 0x8000001"]


def huge() -> Iterator[tuple[str, writer.Part, str]]:
    """Records of many MiB, each with how their summary has to end."""
    fill = 12 << 20
    claimed = fill // 16
    yield "context", writer.record("libxc.HVM_CONTEXT", b"").filled(fill), "1 entry: END, then 12,582,904 more bytes"
    count = claimed.to_bytes(4, "little") + bytes(4)
    yield "params", writer.record("libxc.HVM_PARAMS", count).filled(fill), f"and {claimed - 64:,} more"
    yield "xenstore", writer.record("libxl.EMULATOR_XENSTORE_DATA", b"\2" + bytes(7)).filled(fill), "more bytes"
    yield "emulator", writer.record("libxl.EMULATOR_CONTEXT", b"\2" + bytes(7)).filled(fill), "beginning 00 00 00 00"


@pytest.mark.parametrize(("part", "ending"), [row[1:] for row in huge()], ids=[row[0] for row in huge()])
def test_huge_records_cost_little(part: writer.Part, ending: str, show: Show) -> None:
    """A body of any length is summed up and dumped in constant memory, with the rest counted."""
    if part.path.startswith("libxl"):
        stream = good_streams.wrapped(LITTLE, part)
    else:
        stream = Draft((*LITTLE.parts[:-1], part, good_streams.END))
    show(good_streams.HVM)  # what is imported and cached stays
    tracemalloc.start()
    try:
        _, listing = show(stream, "--json")
        _, dump = show(stream, "--hexdump")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    (row,) = [row for row in records(listing) if row["length"] > 1 << 20]
    assert row["summary"].endswith(ending)
    assert len(row["summary"]) < 1200
    assert dump.count("\n") < 600
    assert peak < 2 << 20


def test_output_that_goes_away() -> None:
    """When the output has no reader any more, the command ends without a word, and not as if the input were bad."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "streamfmt", "show", "--hexdump", real(REAL[0])]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (3, b"")


def test_output_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar does not take over a standard output that is no terminal."""
    from streamfmt.cli.line import Line

    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes standard error for a terminal
    before = sys.stdout
    line = Line()
    line.update(completed=1)
    during = sys.stdout
    line.end()

    assert during is before
