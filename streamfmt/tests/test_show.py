"""`streamfmt show`: listings, selections, JSON and dumps say what is in the stream, whatever the stream says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfmt import data
from streamfmt.cli import inputs
from streamfmt.cli.main import main
from streamfmt.reader import literals as L
from streamfmt.render.hexdump import ELEMENTS_MAX, OCTETS_MAX, hanging
from streamfmt.render.records import Pages, layouts
from streamfmt.schema import libxc
from streamfmt.schema.build import big_endian

from . import good, streams
from .good import GOOD
from .streams import RECORDS, Stream

Show = Callable[..., tuple[int, str]]
Row = dict[str, Any]

REAL = ("hvm-64.bin.gz", "hvm-remus.bin.gz", "pv-list.bin.gz")
LITTLE = Stream((*good.HVM.parts[:5], streams.pages((9, "XTAB")), *good.HVM.parts[-4:]))
ANNOUNCING = {"libxl.header", "libxc.image_header"}
DUMP_LINE = re.compile(r"^ *0x([0-9a-f]+)  ([0-9a-f]{2}(?: [0-9a-f]{2})*)(?:  +(.*))?$")


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command on a stream's octets; returns exit status and output."""

    def shown(octets: bytes | Stream, *words: str) -> tuple[int, str]:
        path = tmp_path / "input"
        with path.open("wb") as file:
            file.writelines(octets.pieces() if isinstance(octets, Stream) else [octets])
        status = main(["show", *words, str(path)])
        return status, capsys.readouterr().out

    return shown


def real(name: str) -> str:
    return data.path("corpus", "real", name)


def objects(output: str) -> list[Row]:
    return [json.loads(line) for line in output.splitlines()]


def records(output: str) -> list[Row]:
    """The objects about records, without headers and the end."""
    return [row for row in objects(output) if "number" in row]


def dumped(output: str) -> Iterator[tuple[int, bytes, str]]:
    """Offset, octets and words of each line of a dump that has octets."""
    for line in output.splitlines():
        found = DUMP_LINE.match(line)
        if found:
            yield int(found[1], 16), bytes.fromhex(found[2]), found[3] or ""


def parsed(row: Row, octets: bytes, big: bool = False) -> Any:
    """What construct makes of the body of a row's record."""
    body = RECORDS[f"{row['layer'].rpartition('/')[2]}.{row['name']}"].body
    content = octets[row["offset"] + 8 : row["offset"] + 8 + row["length"]]
    return (big_endian(body) if big else body).parse(content)


def reach(value: Any, path: str) -> Any:
    """The part of a parsed record that a path such as "leaves[0].eax" names."""
    for name in re.findall(r"[^.\[\]]+", path):
        value = value[int(name)] if name.isdigit() else value[name]
    return value


# -- listings ---------------------------------------------------------------------------------------------------


def test_real_hvm_listing(capsys: pytest.CaptureFixture[str]) -> None:
    """A real HVM image: headers, then each record with number, offset, length, name and what it carries."""
    assert main(["show", real("hvm-64.bin.gz")]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[:4] for line in lines if re.match(r" +\d+ +0x", line)] == [
        ["0", "0x28", "648", "X86_CPUID_POLICY"],
        ["1", "0x2b8", "32", "X86_MSR_POLICY"],
        ["2", "0x2e0", "0", "STATIC_DATA_END"],
        ["3", "0x2e8", "291400", "PAGE_DATA"],
        ["4", "0x47538", "24", "X86_TSC_INFO"],
        ["5", "0x47558", "4112", "HVM_CONTEXT"],
        ["6", "0x48570", "184", "HVM_PARAMS"],
        ["7", "0x48630", "0", "END"],
    ]
    text = " ".join(" ".join(lines).split())
    for words in (
        "x86 HVM, 4 KiB pages, Xen 4.17",
        "27 leaves",
        "2 MSRs: 0xce=0x80000000, 0x10a=0x6b",
        "72 entries, pfns 0x0-0x47: 71 NOTAB, 1 XTAB",
        "mode 0, 2400000 kHz, 78188493531 ns, incarnation 1",
        "18 entries: HEADER, CPU, PIC x2, IOAPIC, LAPIC, LAPIC_REGS, PCI_IRQ, ISA_IRQ",
        "11 parameters: STORE_PFN=0x44, IOREQ_PFN=0x45,",
        "SHARING_RING_PFN=0x42, and 5 more",
    ):
        assert words in text
    assert lines[-1] == "8 records, 296504 octets"


def test_real_pv_listing(capsys: pytest.CaptureFixture[str]) -> None:
    """A real PV image: batches in a row are one line with their range, frames and types."""
    assert main(["show", "--json", real("pv-list.bin.gz")]) == 0
    rows = {row["name"]: row for row in records(capsys.readouterr().out)}

    assert len(rows) == 13
    batches = rows["PAGE_DATA"]
    assert (batches["number"], batches["records"], batches["entries"], batches["pages"]) == (5, 4, 2333, 2251)
    assert (batches["first_pfn"], batches["last_pfn"]) == ("0x0", "0x7ff")
    assert batches["types"] == {"NOTAB": 2241, "L1TAB": 5, "L2TAB": 2, "L3TAB": 2, "L4TAB_PINNED": 1, "XTAB": 82}
    assert rows["X86_PV_INFO"]["summary"] == "64-bit guest, 4 levels"
    assert rows["X86_PV_P2M_FRAMES"]["summary"] == "frames 0x0-0x7ff, 4 entries"
    assert rows["X86_PV_P2M_FRAMES"]["fields"] == {"start_pfn": 0, "end_pfn": 2047}
    assert rows["X86_PV_VCPU_XSAVE"]["summary"] == "vcpu 0, 848 octets"
    assert rows["X86_TSC_INFO"]["fields"]["nsec"] == hex(78189493531)
    assert rows["SHARED_INFO"]["fields"] == {}


def test_remus_stops_between_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpointed stream that stops after a checkpoint has been read to its end."""
    assert main(["show", real("hvm-remus.bin.gz")]) == 0
    output = capsys.readouterr().out

    assert "closes checkpoint 4" in output
    assert "no END after checkpoint 4" in output.splitlines()[-1]


def test_libxl_layers(show: Show) -> None:
    """In a libxl stream each layer has its heading, and records both their numbers."""
    status, output = show(good.LIBXL_HVM)
    rows = records(show(good.LIBXL_HVM, "--json")[1])

    assert status == 0
    assert [line for line in output.splitlines() if line.startswith("libxl")] == ["libxl", "libxl/libxc", "libxl"]
    assert [(row["layer"], row["index"], row["number"]) for row in rows][-4:] == [
        ("libxl/libxc", 11, 12),
        ("libxl", 1, 13),
        ("libxl", 2, 14),
        ("libxl", 3, 15),
    ]
    assert rows[-3]["summary"] == "QEMU_UPSTREAM, index 0, 3 pairs"
    assert rows[-2]["summary"] == "QEMU_UPSTREAM, index 0, 8 octets, beginning with QEVM"
    assert show(good.LIBXL_COLO)[1].count(" NEW\n") == 2


@pytest.mark.parametrize("words", [(), ("--hexdump",), ("--records", ":")], ids=" ".join)
@pytest.mark.parametrize("name", GOOD)
def test_lines_fit_80_columns(name: str, words: tuple[str, ...], show: Show) -> None:
    """Every line but that of the file's name fits 80 columns and has nothing but printable ASCII."""
    status, output = show(GOOD[name], *words)

    assert status == 0
    for line in output.splitlines()[1:]:
        assert len(line) <= 80, line
        assert line.isascii()
        assert line.isprintable()


def test_colour(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour comes only where inputs.colour() says so, and changes nothing else."""
    plain = show(good.LIBXL_HVM)[1]
    monkeypatch.setattr(inputs, "colour", lambda: True)
    coloured = show(good.LIBXL_HVM)[1]

    assert "\x1b" not in plain
    assert "\x1b[1m" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == plain.splitlines()


# -- JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_fields_are_what_construct_reads(name: str, show: Show) -> None:
    """Decoded fields are all integers and octets of construct's own parse of the body, of either byte order."""
    for stream in (GOOD[name], GOOD[name].big_endian("libxl", "libxc")):
        octets = stream.render()
        rows = records(show(octets, "--json", "--records", ":")[1])
        assert len(rows) == sum(part.path in RECORDS for part in stream)
        for row in rows:
            oracle = parsed(row, octets, bool(stream.big))
            expected = {
                key: int(value)
                for key, value in oracle.items()
                if not key.startswith("_") and not isinstance(value, (bytes, list))
            }
            layout = layouts()[f"{row['layer'].rpartition('/')[2]}.{row['name']}"]
            found = {field.path: str(row["fields"].get(field.path)) for field in layout.fields if not field.raw}
            assert {key: int(value, 0) for key, value in found.items()} == expected
            raws = {field.path: field for field in layout.fields if field.raw and field.size <= 64}
            assert {key: row["fields"][key] for key in raws} == {key: oracle[key].hex() for key in raws}


@pytest.mark.parametrize("name", GOOD)
def test_byte_order_changes_nothing(name: str, show: Show) -> None:
    """A big-endian stream is listed and dumped with the same values as its little-endian twin."""
    twin = GOOD[name].big_endian("libxl", "libxc")
    for words in (("--json",), ("--json", "--records", ":")):
        little, big = (records(show(stream, *words)[1]) for stream in (GOOD[name], twin))
        assert big == little
    dumps = [show(stream, "--hexdump", "--full")[1] for stream in (GOOD[name], twin)]
    lines = [[(at, words) for at, _, words in dumped(dump) if not words.startswith("options.")] for dump in dumps]
    assert lines[0] == lines[1]
    assert [dump.count("endian = 1 (unexpected)") for dump in dumps] == [0, len(twin.paths & ANNOUNCING)]


@pytest.mark.parametrize("name", GOOD)
def test_squashing_adds_up(name: str, show: Show) -> None:
    """Squashed batches are the sum of the records they stand for, and the rest of the listing is the same."""
    single = records(show(GOOD[name], "--json", "--records", ":")[1])
    for row in records(show(GOOD[name], "--json")[1]):
        parts = single[row["number"] : row["number"] + row.get("records", 1)]
        if len(parts) == 1:
            assert row == parts[0]
            continue
        assert {part["name"] for part in parts} == {"PAGE_DATA"}
        assert (row["offset"], row["index"]) == (parts[0]["offset"], parts[0]["index"])
        for key in ("length", "entries", "pages"):
            assert row[key] == sum(part[key] for part in parts)
        assert int(row["first_pfn"], 16) == min(int(part["first_pfn"], 16) for part in parts)
        assert int(row["last_pfn"], 16) == max(int(part["last_pfn"], 16) for part in parts)
        assert row["types"] == {kind: sum(p["types"].get(kind, 0) for p in parts) for kind in row["types"]}


def test_json_ends_with_the_end(show: Show) -> None:
    """The last object says how much was read and where reading stopped, if it did."""
    octets = good.HVM.render()
    whole = objects(show(octets, "--json")[1])[-1]
    cut = objects(show(octets[:-5], "--json")[1])[-1]
    trailing = objects(show(octets + bytes(100), "--json")[1])[-1]

    assert (whole["end"], whole["octets"], whole["stopped"], whole["remarks"]) == (True, len(octets), None, [])
    assert cut["stopped"] == {
        "offset": len(octets) - 5,
        "reason": "the input ends inside a record header, at least 5 octets short",
    }
    assert trailing["stopped"] is None
    assert trailing["remarks"] == [f"after END, at {len(octets)} ({len(octets):#x}): 100 octets, zeros"]


# -- selections -------------------------------------------------------------------------------------------------


@given(start=st.none() | st.integers(0, 30), stop=st.none() | st.integers(0, 30))
def test_record_ranges_are_slices(start: int | None, stop: int | None) -> None:
    """N:M picks what the same Python slice picks."""
    from streamfmt.cli.show import record_range

    text = f"{'' if start is None else start}:{'' if stop is None else stop}"
    assert [number for number in range(25) if number in record_range(text)] == list(range(25))[start:stop]


@pytest.mark.parametrize("words", ["2:5", ":3", "9:", "4", "7:2", "1000:"])
@pytest.mark.parametrize("name", ["hvm", "libxl-remus-hvm"])
def test_selections_are_slices_of_the_listing(name: str, words: str, show: Show) -> None:
    """--records gives the slice of the whole listing; headers stay, and a table says how many there were."""
    everything = records(show(GOOD[name], "--json", "--records", ":")[1])
    first, colon, last = words.partition(":")
    stop = (int(last) if last else None) if colon else int(words) + 1
    chosen = everything[int(first or 0) : stop]

    assert records(show(GOOD[name], "--json", "--records", words)[1]) == chosen
    assert f"{len(chosen)} of {len(everything)} records shown" in show(GOOD[name], "--records", words)[1]


def test_types(show: Show) -> None:
    """--type takes names in any case and numbers, for both layers, and may be repeated."""
    everything = records(show(good.LIBXL_HVM, "--json", "--records", ":")[1])

    for words, chosen in (
        (["hvm_params"], {"HVM_PARAMS"}),
        (["END", "0x10"], {"END", "STATIC_DATA_END"}),
        (["3"], {"EMULATOR_CONTEXT"}),
        (["page_data", "Emulator_Context"], {"PAGE_DATA", "EMULATOR_CONTEXT"}),
        (["0x80000000"], set()),
    ):
        options = [word for name in words for word in ("--type", name)]
        found = records(show(good.LIBXL_HVM, "--json", *options)[1])
        assert found == [row for row in everything if row["name"] in chosen]
    rows = records(show(good.LIBXL_HVM, "--json", "--type", "page_data", "--records", "5:7")[1])
    assert [row["number"] for row in rows] == [5, 6]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--records", "a:b"], "'a:b' is not N:M"),
        (["--records", "1:2:3"], "is not N:M"),
        (["--records=-1"], "is not N:M"),
        (["--records", ""], "is not N:M"),
        (["--type", "HVM_PARAM"], "there is no record type HVM_PARAM; did you mean HVM_PARAMS"),
        (["--type", "%%%"], "there is no record type %%%"),
        (["--type", "0x100000000"], "does not fit into 32 bits"),
        (["--full"], "--full needs --hexdump"),
        (["--json", "--hexdump"], "--hexdump is for people"),
    ],
)
def test_wrong_usage(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage exits with 2, with the reason on standard error and nothing else."""
    try:
        status: Any = main(["show", *words, real(REAL[0])])
    except SystemExit as left:
        status = left.code
    shown = capsys.readouterr()

    assert status == 2
    assert reason in shown.err
    assert not shown.out


# -- dumps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("name", GOOD)
def test_full_dump_has_every_octet_once(name: str, big: bool, show: Show) -> None:
    """--hexdump --full shows each octet once, as it is; only page contents are left out, and counted."""
    stream = GOOD[name].big_endian("libxl", "libxc") if big else GOOD[name]
    ends = stream.parts[-1].path.endswith(".END")
    octets = stream.render() + (b"and what follows" if ends else b"")
    status, output = show(octets, "--hexdump", "--full")
    seen: dict[int, int] = {}
    for at, shown, _ in dumped(output):
        for place, octet in enumerate(shown, at):
            assert place not in seen
            seen[place] = octet
    elided = set()
    for row in records(show(octets, "--json", "--records", ":")[1]):
        if row["name"] == "PAGE_DATA":
            end = row["offset"] + 8 + row["length"]
            elided |= set(range(end - row["pages"] * libxc.PAGE_SIZE, end))

    assert status == 0
    assert set(range(len(octets))) - elided == set(seen)
    assert bytes(seen[place] for place in sorted(seen)) == bytes(octets[place] for place in sorted(seen))
    assert sum(int(count) for count in re.findall(r"\.\.\. (\d+) pages? of content", output)) * 4096 == len(elided)


@pytest.mark.parametrize("name", ["libxl-hvm", "pv"])
def test_dumped_values_are_what_construct_reads(name: str, show: Show) -> None:
    """Every value beside its octets is construct's, by its path, bit fields and elements included."""
    octets = GOOD[name].render()
    rows = records(show(octets, "--json", "--records", ":")[1])
    count = 0
    for row in rows:
        _, output = show(octets, "--hexdump", "--full", "--records", str(row["number"]))
        oracle = parsed(row, octets)
        lines = [words for at, _, words in dumped(output) if at >= row["offset"] + 8 and " = " in words]
        for line in lines:
            prefix = ""
            for name_told, text in re.findall(r"(\S+) = ([^,]+)", line):
                path = prefix + name_told
                prefix = path[: len(path) - len(path.rpartition(".")[2])]
                value = reach(oracle, path)
                told = text.split()[0]
                if path.endswith(".typecode"):
                    value = L.HVM_TYPES[value][0]
                elif isinstance(value, bytes):
                    value = int.from_bytes(value, "little")
                assert told == str(value) if told.isidentifier() else int(told, 0) == value
                count += 1

    assert count > 40


def test_dump_names(show: Show) -> None:
    """A dump has names for record types, parameters, page types, context entries and strings."""
    _, output = show(good.LIBXL_HVM, "--hexdump")

    for words in (
        "type = HVM_PARAMS",
        "type = x86 HVM",
        "params[1].index = IOREQ_PFN",
        "entries[3].type = XALLOC, pfn = 3",
        "options.legacy = 0, endian = 0",
        "context[2].typecode = PIC",
        "pairs[0].key = 'physmap/f0000000/start_addr'",
        "ident = 'LibxlFmt'",
        "marker = all ones",
        "... 1 page of content, 4096 octets",
    ):
        assert words in output
    wrong = good.HVM.patch("libxc.PAGE_DATA", "entries[1].reserved", 9).patch("libxc.X86_TSC_INFO", "reserved", 1)
    _, output = show(wrong, "--hexdump")
    assert "entries[1].type = XTAB, reserved = 9 (unexpected), pfn = 1" in " ".join(output.split())
    assert "reserved = 1 (unexpected)" in output


def test_limits_of_a_dump(show: Show) -> None:
    """Opaque parts and arrays are cut short and say so; --full lifts that; a selection leaves the headers out."""
    many = streams.pages(*((pfn, "XTAB") for pfn in range(ELEMENTS_MAX + 5)))
    stream = Stream((*good.PV.parts[:-1], many, good.END))
    for words, elements, octets, headers in (
        (["--hexdump"], ELEMENTS_MAX, OCTETS_MAX, 2),
        (["--hexdump", "--full"], ELEMENTS_MAX + 5, 5168, 2),
        (["--hexdump", "--records", "5:"], ELEMENTS_MAX, OCTETS_MAX, 0),
    ):
        _, output = show(stream, *words)
        assert f"entries[{elements - 1}].type" in output
        assert f"entries[{elements}].type" not in output
        assert ("... 5 more of entries" in output) == (elements == ELEMENTS_MAX)
        assert (f"... {5168 - OCTETS_MAX} more octets" in output) == (octets == OCTETS_MAX)
        assert output.count("marker = ") + output.count("xen_major = ") == headers


# -- broken and hostile streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "step"), [(LITTLE, 13), (good.wrapped(LITTLE, good.XENSTORE, good.EMULATOR), 1)], ids=["libxc", "libxl"]
)
def test_truncation_anywhere(stream: Stream, step: int, show: Show) -> None:
    """A stream cut at any octet is listed or dumped up to there, says where it stops, and exits with 1."""
    octets = stream.render()
    for size in range(0, len(octets), step):
        status, output = show(octets[:size], *(["--json"] if size % 2 else ["--hexdump", "--full"]))
        assert status == 1
        if size % 2:
            end = objects(output)[-1]
            assert end["stopped"]["offset"] in (size, 0)
        else:
            assert sum(len(raw) for _, raw, _ in dumped(output)) == (size if size >= 4 else 0)
            assert "ends" in output or "nothing to show" in output


@pytest.mark.parametrize("name", ["pv", "libxl-hvm"])
@pytest.mark.parametrize("claim", [0, 7, 4095, 1 << 27, (1 << 32) - 1])
def test_any_claim_is_survived(name: str, claim: int, show: Show) -> None:
    """Whatever length any record claims, both forms end with a status and no exception."""
    for number, part in enumerate(GOOD[name].parts):
        if part.path in RECORDS:
            paths = [other.path for other in GOOD[name].parts[:number]]
            octets = GOOD[name].edit(part.path, paths.count(part.path), claim=claim).render()
            assert show(octets, "--hexdump")[0] in (0, 1)
            assert show(octets, "--json")[0] in (0, 1)


NOTHING = {
    "empty": b"",
    "text": b"hello\n" * 20,
    "qemu": b"QEVM" + bytes(100),
    "xl": b"Xen saved domain, xl format\n \0 \r" + bytes(64),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_show(name: str, show: Show) -> None:
    """What is no libxl or libxc stream is named in one line, with exit status 1."""
    status, output = show(NOTHING[name])
    (end,) = objects(show(NOTHING[name], "--json")[1])

    assert status == 1
    assert output.count("\n") == 1
    assert output.endswith("; nothing to show\n")
    assert end["stopped"]["reason"] in output
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
    parts = good.HVM.parts
    odd = (
        (streams.unknown("libxc", 0x80000001, b"x"), "unknown, may be skipped"),
        (streams.unknown("libxc", 0x77), "unknown, and mandatory"),
        (streams.record("libxc.X86_TSC_INFO", bytes(4)), "too short, its fixed fields are 24 octets"),
        (streams.record("libxc.STATIC_DATA_END", bytes(4)), "4 octets more than it should have"),
        (streams.record("libxc.PAGE_DATA", bytes(8)), "no entries"),
        (streams.record("libxc.PAGE_DATA", bytes(4)), "too short, its fixed fields are 8 octets"),
        (streams.record("libxc.PAGE_DATA", b"\x09" + bytes(15)), "room for 1 of 9 entries; "),
        (streams.record("libxc.PAGE_DATA", b"\1" + bytes(15)), "length should be 4112; 1 entry, pfn 0x0: 1 NOTAB"),
        (streams.record("libxc.PAGE_DATA", b"\1" + bytes(14) + b"\x50"), "1 entry, pfn 0x0: 1 type 5"),
        (streams.record("libxc.PAGE_DATA", b"\1" + bytes(13) + b"\x10\xf0"), "reserved bits set; 1 entry, pfn 0x0"),
        (streams.record("libxc.HVM_PARAMS", b"\2" + bytes(23)), "1 parameter, count says 2: CALLBACK_IRQ=0x0"),
        (streams.record("libxc.X86_MSR_POLICY", bytes(17)), "1 MSR, then 1 odd octet: 0x0=0x0"),
        (streams.record("libxc.HVM_CONTEXT", b"\1\0\0\0\xff" + bytes(5)), "1 entry: HEADER, cut: it claims 255 octets"),
        (streams.record("libxc.HVM_CONTEXT", b"\x63\0" + bytes(7)), "1 entry: type 99, then 1 more octet"),
        (streams.record("libxc.CHECKPOINT_DIRTY_PFN_LIST", bytes(24)), "3 pfns"),
        (streams.record("libxc.TOOLSTACK", bytes(3)), "3 octets"),
    )
    for part, summary in odd:
        status, output = show(Stream((*parts[:5], part, parts[5], parts[-1])), "--json")
        assert status == 0
        assert records(output)[3]["summary"].startswith(summary)
        assert records(output)[4]["number"] == 4


def test_oversize_record(show: Show) -> None:
    """A record longer than any reader takes is listed, its header dumped, and reading stops at it."""
    stream = good.HVM.edit("libxc.HVM_PARAMS", claim=L.RECORD_LENGTH_MAX + 1)
    status, output = show(stream, "--json")

    assert status == 1
    assert records(output)[-1]["summary"] == "longer than any reader takes"
    assert objects(output)[-1]["stopped"]["offset"] == records(output)[-1]["offset"]
    *_, before, last = dumped(show(stream, "--hexdump")[1])
    assert [words for _, _, words in (before, last)] == ["type = HVM_PARAMS", "length = 0x8000001"]


def huge() -> Iterator[tuple[str, streams.Part, str]]:
    """Records of many MiB, each with how their summary has to end."""
    fill = 12 << 20
    claimed = fill // 16
    yield "context", streams.record("libxc.HVM_CONTEXT", b"").filled(fill), "then 12550144 more octets"
    count = claimed.to_bytes(4, "little") + bytes(4)
    yield "params", streams.record("libxc.HVM_PARAMS", count).filled(fill), f"and {claimed - 6} more"
    yield "xenstore", streams.record("libxl.EMULATOR_XENSTORE_DATA", b"\2" + bytes(7)).filled(fill), "more octets"
    yield "emulator", streams.record("libxl.EMULATOR_CONTEXT", b"\2" + bytes(7)).filled(fill), "beginning 00 00 00 00"


@pytest.mark.parametrize(("part", "ending"), [row[1:] for row in huge()], ids=[row[0] for row in huge()])
def test_huge_records_cost_little(part: streams.Part, ending: str, show: Show) -> None:
    """A body of any length is summed up and dumped in constant memory, with the rest counted."""
    if part.path.startswith("libxl"):
        stream = good.wrapped(LITTLE, part)
    else:
        stream = Stream((*LITTLE.parts[:-1], part, good.END))
    show(good.HVM)  # what is imported and cached stays
    tracemalloc.start()
    try:
        _, listing = show(stream, "--json")
        _, dump = show(stream, "--hexdump")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    (row,) = [row for row in records(listing) if row["length"] > 1 << 20]
    assert row["summary"].endswith(ending)
    assert len(row["summary"]) < 400
    assert dump.count("\n") < 600
    assert peak < 2 << 20


def test_output_that_goes_away() -> None:
    """When nobody reads the output any more, the command ends without a word, and not as if the input were bad."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "streamfmt", "show", "--hexdump", real(REAL[0])]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (3, b"")


def test_output_stays_where_it_was() -> None:
    """A progress bar does not take over a standard output that is no terminal."""
    from streamfmt.cli.inputs import Progress

    before = sys.stdout
    bar = Progress(None)
    bar._start()
    during = sys.stdout
    bar.__exit__()

    assert during is before


def test_long_details_hang() -> None:
    """Details are broken between phrases and cut after some lines; a long phrase goes below, whole."""
    text = "one of it, something rather long that stays together, " + ", ".join(f"number {n}" for n in range(99))
    lines = ("x" * 40 + hanging(text, 80, 40, 20, 4)).splitlines()

    assert lines[:2] == ["x" * 40 + "one of it,", " " * 20 + "something rather long that stays together, number 0,"]
    assert (len(lines), lines[-1][-4:]) == (4, " ...")
    assert max(map(len, lines)) <= 80
    assert hanging("no room", 10, 12, 2) == "\n  no room"


# -- page batches -----------------------------------------------------------------------------------------------

ENTRIES = st.lists(
    st.builds(lambda kind, pfn: kind << 60 | pfn, st.sampled_from(sorted(L.PAGE_TYPES)), st.integers(0, 40)),
    min_size=1,
    max_size=30,
)


def test_many_ranges_become_bounds() -> None:
    """A few ranges of frames are told one by one, many only by the lowest and the highest."""
    few, many = Pages(), Pages()
    few.add([1, 2, 3, 7, 9, 10])
    many.add([*range(100, 0, -2)])

    assert few.text() == "6 entries, pfns 0x1-0x3, 0x7, 0x9-0xa: 6 NOTAB"
    assert many.text() == "50 entries, pfns within 0x2-0x64: 50 NOTAB"
    assert many.ranges == []


@given(ENTRIES, st.lists(st.integers(1, 29), max_size=3))
def test_sums_do_not_depend_on_the_cut(entries: list[int], cuts: list[int]) -> None:
    """Batches taken together say the same however they were cut, merged or added."""
    whole, added, merged = Pages(), Pages(), Pages()
    whole.add(entries)
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    for start, stop in pairwise(edges):
        added.add(entries[start:stop])
        part = Pages()
        part.add(entries[start:stop])
        merged.merge(part)

    pfns = [entry & L.ENTRY_PFN_MASK for entry in entries]
    assert whole.text() == added.text() == merged.text()
    assert whole.as_dict() == added.as_dict() == merged.as_dict()
    assert (whole.low, whole.high, whole.entries) == (min(pfns), max(pfns), len(entries))
    assert whole.content == sum(entry >> L.ENTRY_TYPE_SHIFT in L.PAGE_TYPES_DATA for entry in entries)
    if whole.ranges:
        assert [pfn for first, last in whole.ranges for pfn in range(first, last + 1)] == pfns
