"""`streamfmt show --hexdump`: every byte once, beside the fields it belongs to."""

from __future__ import annotations

import re

import pytest

from streamfmt import tables
from streamfmt.render.hexdump import BYTES_MAX, ELEMENTS_MAX, hanging
from streamfmt.schema import libxc

from .. import writer
from ..writer import Draft
from .support import good_streams
from .support.good_streams import GOOD
from .support.show_output import Show, dumped, head, parsed, reach, records

# -- dumps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("name", GOOD)
def test_full_dump_has_every_byte_once(name: str, big: bool, show: Show) -> None:
    """--hexdump --full shows each byte once, as it is; only page contents are left out, and counted."""
    stream = GOOD[name].big_endian("libxl", "libxc") if big else GOOD[name]
    ends = stream.parts[-1].path.endswith(".END")
    data = stream.render() + (b"and what follows" if ends else b"")
    status, output = show(data, "--hexdump", "--full")
    seen: dict[int, int] = {}
    for at, shown, _ in dumped(output):
        for place, byte in enumerate(shown, at):
            assert place not in seen
            seen[place] = byte
    elided = set()
    for row in records(show(data, "--json", "--records", ":")[1]):
        if "pages" in row and row["layer"] != "qemu":  # whose pages are fields among others
            end = row["offset"] + head(row) + row["length"]
            elided |= set(range(end - row["pages"] * libxc.PAGE_SIZE, end))

    assert status == 0
    assert set(range(len(data))) - elided == set(seen)
    assert bytes(seen[place] for place in sorted(seen)) == bytes(data[place] for place in sorted(seen))
    assert sum(int(count) for count in re.findall(r"\.\.\. (\d+) pages? of content", output)) * 4096 == len(elided)


@pytest.mark.parametrize("name", ["libxl-hvm", "pv"])
def test_dumped_values_are_what_construct_reads(name: str, show: Show) -> None:
    """Every value beside its bytes is construct's, by its path, bit fields and elements included."""
    data = GOOD[name].render()
    rows = records(show(data, "--json", "--records", ":")[1])
    count = 0
    for row in rows:
        _, output = show(data, "--hexdump", "--full", "--records", str(row["number"]))
        oracle = parsed(row, data)
        lines = [words for at, _, words in dumped(output) if at >= row["offset"] + 8 and " = " in words]
        for line in lines:
            prefix = ""
            for shown_name, text in re.findall(r"(\S+) = ([^,]+)", line):
                path = prefix + shown_name
                prefix = path[: len(path) - len(path.rpartition(".")[2])]
                if re.split(r"[.\[]", path)[0] not in oracle:
                    continue  # inside of what is opaque to it: test_payload holds that
                value = reach(oracle, path)
                first = text.split()[0]
                if path.endswith(".typecode"):
                    value = tables.HVM_TYPES[value][0]
                elif isinstance(value, bytes):
                    value = int.from_bytes(value, "little")
                assert first == str(value) if first.isidentifier() else int(first, 0) == value
                count += 1

    assert count > 40


def test_dump_names(show: Show) -> None:
    """A dump has names for record types, parameters, page types, context entries and strings."""
    _, output = show(good_streams.LIBXL_HVM, "--hexdump")

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
        "... 1 page of content, 4,096 bytes",
    ):
        assert words in output
    wrong = good_streams.HVM.patch("libxc.PAGE_DATA", "entries[1].reserved", 9).patch(
        "libxc.X86_TSC_INFO", "reserved", 1
    )
    _, output = show(wrong, "--hexdump")
    assert "entries[1].type = XTAB, reserved = 9 (unexpected), pfn = 1" in " ".join(output.split())
    assert "reserved = 1 (unexpected)" in output


def test_limits_of_a_dump(show: Show) -> None:
    """Opaque parts and arrays are cut short and say so; --full lifts that; a selection leaves the headers out."""
    many = writer.pages(*((pfn, "XTAB") for pfn in range(ELEMENTS_MAX + 5)))
    opaque = writer.record("libxc.TOOLSTACK", data=bytes(5168))
    stream = Draft((*good_streams.PV.parts[:-1], many, opaque, good_streams.END))
    for words, elements, data, headers in (
        (["--hexdump"], ELEMENTS_MAX, BYTES_MAX, 2),
        (["--hexdump", "--full"], ELEMENTS_MAX + 5, 5168, 2),
        (["--hexdump", "--records", "5:"], ELEMENTS_MAX, BYTES_MAX, 0),
    ):
        _, output = show(stream, *words)
        assert f"entries[{elements - 1}].type" in output
        assert f"entries[{elements}].type" not in output
        assert ("... 5 more of entries" in output) == (elements == ELEMENTS_MAX)
        assert (f"... {5168 - BYTES_MAX:,} more bytes" in output) == (data == BYTES_MAX)
        assert output.count("marker = ") + output.count("xen_major = ") == headers


def test_long_details_hang() -> None:
    """Details are broken between phrases and cut after some lines; a long phrase goes below, whole."""
    text = "one of it, something rather long that stays together, " + ", ".join(f"number {n}" for n in range(99))
    lines = ("x" * 40 + hanging(text, 80, 40, 20, 4)).splitlines()

    assert lines[:2] == ["x" * 40 + "one of it,", " " * 20 + "something rather long that stays together, number 0,"]
    assert (len(lines), lines[-1][-4:]) == (4, " ...")
    assert max(map(len, lines)) <= 80
    assert hanging("no room", 10, 12, 2) == "\n  no room"
