"""`streamfmt show`: listings, selections and JSON say what is in the stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfmt import tables
from streamfmt.cli import inputs
from streamfmt.cli.main import main
from streamfmt.codec.decode import layouts

from ..schema.model import Field
from ..writer import RECORDS
from .support import good_streams
from .support.good_streams import GOOD
from .support.show_output import ANNOUNCING, REAL, Show, described, dumped, head, objects, parsed, reach, real, records

# -- listings ---------------------------------------------------------------------------------------------------


def test_real_hvm_listing(capsys: pytest.CaptureFixture[str]) -> None:
    """A real HVM image: headers, then each record with number, offset, length, name and what it carries."""
    assert main(["show", real("hvm-64.bin.gz")]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[:4] for line in lines if re.match(r" +\d+ +0x", line)] == [
        ["0", "0x28", "648", "X86_CPUID_POLICY"],
        ["1", "0x2b8", "32", "X86_MSR_POLICY"],
        ["2", "0x2e0", "0", "STATIC_DATA_END"],
        ["3", "0x2e8", "291,400", "PAGE_DATA"],
        ["4", "0x47538", "24", "X86_TSC_INFO"],
        ["5", "0x47558", "4,112", "HVM_CONTEXT"],
        ["6", "0x48570", "184", "HVM_PARAMS"],
        ["7", "0x48630", "0", "END"],
    ]
    text = " ".join(" ".join(lines).split())
    for words in (
        "x86 HVM, 4 KiB pages, Xen 4.17",
        "27 leaves, GenuineIntel, family 6 model 79 stepping 1",
        "2 MSRs: 0xce=0x80000000, 0x10a=0x6b",
        "72 entries, pfns 0x0-0x47: 71 NOTAB, 1 XTAB",
        "mode 0, 2400000 kHz, 78188493531 ns, incarnation 1",
        "18 entries: HEADER, CPU, PIC x2, IOAPIC, LAPIC, LAPIC_REGS, PCI_IRQ, ISA_IRQ",
        "11 parameters: STORE_PFN=0x44, IOREQ_PFN=0x45,",
        "SHARING_RING_PFN=0x42, and 5 more",
    ):
        assert words in text
    assert lines[-1] == "8 records, 296,504 bytes"


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
    frames = rows["X86_PV_P2M_FRAMES"]["fields"]
    assert (frames["start_pfn"], frames["end_pfn"], len(frames["frames"])) == (0, 2047, 4)
    assert rows["X86_PV_VCPU_XSAVE"]["summary"] == "vcpu 0, 848 bytes, xcr0 x87 sse avx"
    assert rows["X86_TSC_INFO"]["fields"]["nsec"] == hex(78189493531)
    info = rows["SHARED_INFO"]["fields"]
    assert (info["page"]["bytes"], len(info["page"]["first"])) == (4096, 512)
    assert info["decoded"]["arch.max_pfn"] == "0x800"
    assert sum(int(last, 16) - int(first, 16) + 1 for first, last, _ in batches["frames"]) == 2333
    assert batches["frames_left"] == 0


def test_remus_stops_between_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpointed stream that stops after a checkpoint has been read to its end."""
    assert main(["show", real("hvm-remus.bin.gz")]) == 0
    output = capsys.readouterr().out

    assert "closes checkpoint 4" in output
    assert "no END after checkpoint 4" in output.splitlines()[-1]


def test_libxl_layers(show: Show) -> None:
    """In a libxl stream each layer has its heading, and records both their numbers."""
    status, output = show(good_streams.LIBXL_HVM)
    rows = records(show(good_streams.LIBXL_HVM, "--json")[1])

    assert status == 0
    assert [line for line in output.splitlines() if line.startswith("libxl")] == ["libxl", "libxl/libxc", "libxl"]
    assert [(row["layer"], row["index"], row["number"]) for row in rows][-4:] == [
        ("libxl/libxc", 11, 12),
        ("libxl", 1, 13),
        ("libxl", 2, 14),
        ("libxl", 3, 15),
    ]
    assert rows[-3]["summary"] == "QEMU_UPSTREAM, index 0, 3 pairs"
    assert rows[-2]["summary"] == "QEMU_UPSTREAM, index 0, 9 bytes, beginning with QEVM"
    assert show(good_streams.LIBXL_COLO)[1].count(" NEW\n") == 2


@pytest.mark.parametrize("words", [(), ("--hexdump",), ("--decode",), ("--records", ":")], ids=" ".join)
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
    plain = show(good_streams.LIBXL_HVM)[1]
    monkeypatch.setattr(inputs, "colour", lambda: True)
    coloured = show(good_streams.LIBXL_HVM)[1]

    assert "\x1b" not in plain
    assert "\x1b[1m" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == plain.splitlines()


# -- JSON -------------------------------------------------------------------------------------------------------


def integers(oracle: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """All numbers of what construct has read, by their paths."""
    for key, value in oracle.items():
        if isinstance(value, dict):
            yield from integers(value, f"{prefix}{key}.")
        elif not key.startswith("_") and not isinstance(value, (bytes, list)):
            yield prefix + key, int(value)


@pytest.mark.parametrize("name", GOOD)
def test_fields_are_what_construct_reads(name: str, show: Show) -> None:
    """Decoded fields are all integers and bytes of construct's own parse of the body, of either byte order."""
    for stream in (GOOD[name], GOOD[name].big_endian("libxl", "libxc")):
        data = stream.render()
        rows = records(show(data, "--json", "--records", ":")[1])
        assert len(rows) == sum(part.path in RECORDS for part in stream)
        for row in rows:
            oracle = parsed(row, data, row["layer"].rpartition("/")[2] in stream.big)
            expected = dict(integers(oracle))
            layout = layouts()[f"{row['layer'].rpartition('/')[2]}.{row['name']}"]
            every = [it.item for it in layout.rows if isinstance(it.item, Field)]
            found = {field.path: str(row["fields"].get(field.path)) for field in every if not field.raw}
            assert {key: int(value, 0) for key, value in found.items()} == expected
            raws = {field.path: field for field in every if field.raw and field.size <= 64}
            assert {key: row["fields"][key] for key in raws} == {key: oracle[key].hex() for key in raws}


@pytest.mark.parametrize("name", GOOD)
def test_json_has_what_the_dump_has(name: str, show: Show) -> None:
    """Every field of the dump, of arrays, lists and choices too, is in the record's object; page entries as runs."""
    raw = GOOD[name].render()
    rows = records(show(raw, "--json", "--full", "--records", ":")[1])
    lines = list(described(show(raw, "--hexdump", "--full")[1]))
    for row in rows:
        body = row["offset"] + head(row)
        for words in [words for at, words in lines if body <= at < body + row["length"]]:
            path, _, value = words.partition(" = ")
            if "pages" in row and path.startswith(("entries", "pages[")):
                continue
            if re.split(r"[.\[]", path)[0] not in row["fields"]:
                continue  # inside a payload: test_payload holds that
            found = reach(row["fields"], path)
            number = re.search(r"^(\d+|0x[0-9a-f]+)( \(0x[0-9a-f]+\))?$", value)
            assert number is None or int(str(found), 0) == int(number[1], 0)
        if "pages" in row:
            count = sum(int(last, 16) - int(first, 16) + 1 for first, last, _ in row["frames"])
            assert (count, row["frames_left"]) == (row["entries"], 0)


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
        assert {part["name"] for part in parts} == {row["name"]} <= {"PAGE_DATA", "PAGE_BATCH"}
        assert (row["offset"], row["index"]) == (parts[0]["offset"], parts[0]["index"])
        for key in ("length", "entries", "pages", "frames_left"):
            assert row[key] == sum(part[key] for part in parts)
        assert int(row["first_pfn"], 16) == min(int(part["first_pfn"], 16) for part in parts)
        assert int(row["last_pfn"], 16) == max(int(part["last_pfn"], 16) for part in parts)
        assert row["frames"][0][0] == parts[0]["frames"][0][0]
        assert row["types"] == {kind: sum(p["types"].get(kind, 0) for p in parts) for kind in row["types"]}


@pytest.mark.parametrize("words", [(), ("--records", ":")], ids=" ".join)
def test_types_of_pages_are_the_formats_own(words: tuple[str, ...], show: Show) -> None:
    """A legacy batch's entries have that format's names, and content where its readers look for any."""
    good = GOOD["legacy-hvm"]
    paged = good.patch("legacy-64.PAGE_BATCH", "entries[0].type", tables.LEGACY_PAGEDTAB)
    (was, *_), (row, *_) = (
        [row for row in records(show(stream, "--json", "--as", "legacy", *words)[1]) if "pages" in row]
        for stream in (good, paged)
    )

    assert row["types"] == was["types"] | {"NOTAB": was["types"]["NOTAB"] - 1, "PAGEDTAB": 1}
    assert row["frames"][0] == ["0x0", "0x0", "PAGEDTAB"]
    assert row["pages"] == was["pages"] == sum(row["types"].get(kind, 0) for kind in ("NOTAB", "PAGEDTAB"))


def test_json_ends_with_the_end(show: Show) -> None:
    """The last object says how much was read and where reading stopped, if it did."""
    data = good_streams.HVM.render()
    whole = objects(show(data, "--json")[1])[-1]
    cut = objects(show(data[:-5], "--json")[1])[-1]
    trailing = objects(show(data + bytes(100), "--json")[1])[-1]

    assert (whole["end"], whole["bytes"], whole["stopped"], whole["remarks"]) == (True, len(data), None, [])
    assert cut["stopped"] == {
        "offset": len(data) - 5,
        "reason": "the input ends inside a record header, at least 5 bytes short",
    }
    assert trailing["stopped"] is None
    assert trailing["remarks"] == [
        f"after END, at {len(data)} ({len(data):#x}): 100 bytes, zeros up to the end, as on a block device"
    ]


# -- selections -------------------------------------------------------------------------------------------------


@given(start=st.none() | st.integers(0, 30), stop=st.none() | st.integers(0, 30))
def test_record_ranges_are_slices(start: int | None, stop: int | None) -> None:
    """N:M picks what the same Python slice picks."""
    from streamfmt.cli.selection import record_range

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
    everything = records(show(good_streams.LIBXL_HVM, "--json", "--records", ":")[1])

    for words, chosen in (
        (["hvm_params"], {"HVM_PARAMS"}),
        (["END", "0x10"], {"END", "STATIC_DATA_END"}),
        (["3"], {"EMULATOR_CONTEXT"}),
        (["page_data", "Emulator_Context"], {"PAGE_DATA", "EMULATOR_CONTEXT"}),
        (["0x80000000"], set()),
    ):
        options = [word for name in words for word in ("--type", name)]
        found = records(show(good_streams.LIBXL_HVM, "--json", *options)[1])
        assert found == [row for row in everything if row["name"] in chosen]
    rows = records(show(good_streams.LIBXL_HVM, "--json", "--type", "page_data", "--records", "5:7")[1])
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
        (["--type", "0x10000000000000000"], "does not fit into 64 bits"),
        (["--full", "--recipe"], "it excludes --json, --hexdump, --decode, --full"),
        (["--json", "--hexdump"], "--hexdump is text"),
        (["--json", "--decode"], "--decode is text"),
        (["--hexdump", "--decode"], "only one of them"),
        (["--page", "1", "--decode"], "--page says it all of one page"),
        (["--page", "x"], "is not a frame number"),
        (["--recipe", "--page", "1"], "--page one page"),
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
