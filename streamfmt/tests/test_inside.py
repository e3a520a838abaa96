"""Frames of device records inside other streams are reached by name as those of a device record by itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamfmt.corpus.entries import unpacked

from .. import data
from ..cli.main import main
from ..convert.extract import JSON, TEXT, SeveralError
from ..errors import FieldError, MalformedError, RecipeError, StreamError
from ..recipes.load import load, read
from ..recipes.toml import LIMITS, Source
from ..schema import qemu
from ..writer.qemu import Device, device_record, frame
from .test_edit import edited
from .test_extract import listed, taken

# Recipes of streams that have such a record, and what is put around it.
_GUEST = """recipe = 1
guest = "hvm"
form = "{}"
{}
[memory]
pages = 1
[emulator]
kind = "{}"
context = {{ hex = "{}" }}
"""
HOLDERS = {
    "libxl": ("libxl", "", "upstream"),
    "remus": ("xl", "checkpoints = 1", "upstream"),
    "xapi": ("xapi", "", "upstream"),
    "0002": ("legacy-64", 'release = "4.4"', "0002"),
    "to-end": ("legacy-64", 'release = "4.0"', "to-end"),
}


def held(holder: str, record: bytes) -> tuple[bytes, int]:
    """A stream that has the record, and the record's offset there."""
    raw = load(_GUEST.format(*HOLDERS[holder], record.hex())).stream.render()
    return raw, raw.index(record)


# How sections begin.
NAMES = re.compile(rb"\x04\x00\x00\x00.[\x05\x03\x10](?:timer|cpu|i8259|0000:00:02.0/vga)", re.DOTALL)
ROWS = st.lists(
    st.builds(
        Device,
        st.sampled_from(("timer", "cpu", "i8259", "0000:00:02.0/vga")),
        st.one_of(st.binary(max_size=40), st.just(bytes(70_000))),
        st.integers(1, 3),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=4,
)
DEVICES = ROWS.map(lambda rows: bytes(device_record(rows).render()))
few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Shown:
    """What `show --json` says: its exit status, rows of frames, and why it stopped."""

    def __init__(self, capsys: pytest.CaptureFixture[str], tmp_path: Path, raw: bytes, *words: str) -> None:
        path = tmp_path / "guest"
        path.write_bytes(raw)
        self.status = main(["show", "--json", *words, str(path)])
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        self.stopped = self.rows[-1]["stopped"]
        self.frames = [row for row in self.rows if row.get("layer", "").endswith("qemu") and "name" in row]


# -- show -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", HOLDERS)
@few
@given(record=DEVICES)
def test_frames_are_shown_by_type(
    holder: str, record: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They are those of the record by itself, in another place."""
    raw, at = held(holder, record)
    words = ("--type", "SECTION_FULL", "--type", "section_data")
    alone, inside = (Shown(capsys, tmp_path, data, *words) for data in (record, raw))

    assert alone.frames
    assert (inside.status, inside.stopped) == (0, None)
    for row, other in zip(inside.frames, alone.frames, strict=True):
        assert row["layer"].endswith("/qemu")
        assert row["offset"] == at + other["offset"]
        assert row | {"layer": "", "offset": 0, "number": 0} == other | {"layer": "", "offset": 0, "number": 0}


@given(record=DEVICES, cut=st.integers(9, 21))
@few
def test_a_record_that_is_cut_stops_the_listing(
    record: bytes, cut: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the offset in the file; what comes before is shown, and the stream itself is read to its end."""
    cut = min(cut, len(record) - 1)
    raw, at = held("libxl", record[:cut])
    found = Shown(capsys, tmp_path, raw, "--type", "SECTION_FULL")

    assert found.status == 1
    assert at <= found.stopped["offset"] <= at + cut
    assert "ends inside" in found.stopped["reason"]
    assert found.rows[-1]["bytes"] == len(raw)


def test_shown_with_what_they_lie_in(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A record and its frames have one number, which selects both; in dumps they come one after the other."""
    record = bytes(device_record([Device("timer", b"abc"), Device("timer", b"", instance=1)]).render())
    path = tmp_path / "guest"
    path.write_bytes(held("libxl", record)[0])
    types = ["--type", "SECTION_FULL", "--type", "EMULATOR_CONTEXT"]

    rows = [row for row in Shown(capsys, tmp_path, path.read_bytes(), *types).rows if "number" in row]
    assert [row["name"] for row in rows] == ["EMULATOR_CONTEXT", "SECTION_FULL", "SECTION_FULL"]
    assert len({row["number"] for row in rows}) == 1
    for numbers, count in ((str(rows[0]["number"]), 3), ("0", 0)):
        assert main(["show", "--records", numbers, *types, str(path)]) == 0
        assert f"\n{count} of " in capsys.readouterr().out
    assert main(["show", "--decode", *types, str(path)]) == 0
    assert capsys.readouterr().out.count("payload = 'abc'") == 2
    assert main(["show", "--hexdump", "--type", "SECTION_FULL", str(path)]) == 0
    assert "idstr" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["--decode", "--hexdump", "--json"])
def test_a_record_that_no_window_holds(form: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It is read to its end, and so is the stream around it."""
    record = bytes(device_record([Device("timer", bytes(700_000)), Device("last", b"x")]).render())
    path = tmp_path / "guest"
    path.write_bytes(held("libxl", record)[0])

    assert main(["show", form, "--type", "EMULATOR_CONTEXT", str(path)]) == 0
    out = capsys.readouterr().out
    assert "last" in out
    assert "stopped at" not in out


# -- edit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", HOLDERS)
@given(record=DEVICES, number=st.integers(0, 4), place=st.sampled_from((".version_id=7", ".section_id=9", "@0x5=41")))
@settings(max_examples=8)
def test_fields_are_set_by_the_same_paths(holder: str, record: bytes, number: int, place: str) -> None:
    """What changes is what changes in the record by itself, and no other byte; what is refused there is refused."""
    raw, at = held(holder, record)
    path, _, value = place.partition("=")
    fields = [("qemu.header.version", "3"), (f"qemu.SECTION_FULL[{number}]{path}", value)]
    if number >= len(NAMES.findall(record)):
        with pytest.raises(FieldError, match="there is only"):
            edited(raw, *fields)
        return
    alone = edited(record, *fields)

    assert edited(raw, *fields) == raw[:at] + alone + raw[at + len(record) :]


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_cut_has_no_such_field(holder: str) -> None:
    """The refusal says where in the file the record ends; what is no such record has nothing inside."""
    record = bytes(device_record([Device("timer", b"abc")]).render())
    raw, at = held(holder, record[:-8])

    with pytest.raises(MalformedError, match="ends inside") as seen:
        edited(raw, ("SECTION_FULL[7].version_id", "1"))
    assert at < seen.value.offset <= at + len(record)
    with pytest.raises(FieldError, match="no header in it"):
        edited(raw.replace(qemu.MAGIC, b"QEVX"), ("qemu.header.version", "1"))


# -- extract ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["", *HOLDERS])
@given(rows=ROWS)
@settings(max_examples=8)
def test_payloads_are_parts(holder: str, rows: list[Device]) -> None:
    """Each section's payload is listed by its device's name, and comes out as it is."""
    record = bytes(device_record(rows).render())
    raw, _ = held(holder, record) if holder else (record, 0)
    parts = [part for part in listed(raw).parts if part.name.startswith("section.")]

    assert [part.name for part in parts] == [f"section.{row.name}" for row in rows]
    assert all(part.whole for part in parts)
    for part, row in zip(parts, rows, strict=True):
        assert part.layer.rpartition("/")[2] == "qemu"
        assert part.note.endswith(f", instance {row.instance}" if row.instance else f", version {row.version}")
        assert raw[part.offset : part.offset + part.length] == row.payload
        assert taken(raw, f"{part.name}[{part.number}]") == row.payload
        if sum(other.name == part.name for other in parts) > 1:
            with pytest.raises(SeveralError):
                taken(raw, part.name)


def test_texts_of_a_migration_are_parts() -> None:
    """The machine's name, the description, and devices' sections, not the memory's; one that is cut is not whole."""
    raw = unpacked(Path(data.path("corpus", "real", "qemu-mig-pc-4M-10.0.bin.gz")))
    parts = {part.name: part for part in listed(raw).parts}

    assert taken(raw, "machine", TEXT) == b"pc-i440fx-10.0\n"
    assert json.loads(taken(raw, "vmdesc", JSON)) == json.loads(taken(raw, "vmdesc"))
    assert parts["machine"].note == "pc-i440fx-10.0"
    assert "section.ram" not in parts
    assert len(taken(raw, "section.kvm-tpr-opt")) == parts["section.kvm-tpr-opt"].length > 0
    with pytest.raises(StreamError, match=r"no section.none in it, only machine, section.timer"):
        taken(raw, "section.none")
    last = parts["section.globalstate"]
    short = {part.name: part.whole for part in listed(raw[: last.offset + 10]).parts}
    assert short["section.acpi_build"]
    assert not short["section.globalstate"]


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_payload_that_is_cut_is_no_part(holder: str) -> None:
    """Inside another record, where the state ends before it does."""
    record = bytes(device_record([Device("timer", b"abc"), Device("cpu", b"defgh")]).render())
    raw, _ = held(holder, record[:-3])

    assert [part.name for part in listed(raw).parts if part.name.startswith("section.")] == ["section.timer"]
    with pytest.raises(StreamError, match=r"no section.cpu in it"):
        taken(raw, "section.cpu")


# -- recipes ----------------------------------------------------------------------------------------------------------


def _recipe(holder: str, record: bytes, faults: str) -> bytes:
    return bytes(load(_GUEST.format(*HOLDERS[holder], record.hex()) + faults).stream.render())


# What has the record, as faults call it.
PARTS = {
    "libxl": "EMULATOR_CONTEXT",
    "remus": "EMULATOR_CONTEXT",
    "xapi": "QEMU_TRAD",
    "0002": "QEMU_0002",
    "to-end": "QEMU_STATE",
}
SMALL = ROWS.map(lambda rows: [replace(row, payload=row.payload[:300]) for row in rows])


@pytest.mark.parametrize("holder", HOLDERS)
@given(rows=SMALL, data=st.data())
@settings(max_examples=10)
def test_faults_inside_a_record(holder: str, rows: list[Device], data: st.DataObject) -> None:
    """A recipe with faults inside is one with the record as they leave it, all lengths around it included."""
    record = device_record(rows)
    number = data.draw(st.integers(0, len(rows) - 1))
    path = "qemu.SECTION_FULL"
    new = frame("SECTION_FULL", section_id=77, idstr=b"new", instance_id=0, version_id=1, payload=b"\1\2\3")
    made = record.patch(path, "version_id", 9, nth=number).before("qemu.EOF", new).without(path, number)
    made = made.put(path, idstr=b"longer than before", nth=-1)
    faults = (
        f'set = "SECTION_FULL#{number}"\nfield = "version_id"\nto = 9',
        'insert = [{ record = "qemu.SECTION_FULL", fields = { section_id = 77, idstr = "new", instance_id = 0, '
        'version_id = 1, payload = { hex = "010203" } } }]\nbefore = "EOF"',
        f'drop = "SECTION_FULL#{number}"',
        'put = "qemu.SECTION_FULL#-1"\nfields = { idstr = "longer than before" }',
    )
    text = "".join(f'[[fault]]\nin = "{PARTS[holder]}"\n{fault}\n' for fault in faults)

    assert _recipe(holder, record.render(), text) == _recipe(holder, made.render(), "")


@pytest.mark.parametrize("holder", HOLDERS)
@given(rows=SMALL, junk=st.binary(max_size=40), cut=st.integers(9, 60))
@settings(max_examples=8)
def test_what_is_taken_apart_is_put_back(holder: str, rows: list[Device], junk: bytes, cut: int) -> None:
    """However little of it can be told apart: with a fault that changes nothing all bytes are as they were."""
    record = bytes(device_record(rows).render())[:cut] + junk
    same = f'[[fault]]\nin = "{PARTS[holder]}"\nset = "qemu.header"\nfield = "version"\nto = 3\n'

    assert _recipe(holder, record, same) == _recipe(holder, record, "")


@pytest.mark.parametrize(
    ("record", "fault", "message"),
    [
        ("", 'in = "PAGE_DATA"\ndrop = "EOF"', "in: libxc.PAGE_DATA has no device record; libxl.EMULATOR_CONTEXT, "),
        (
            "00",
            'in = "EMULATOR_CONTEXT"\ndrop = "EOF"',
            "in: it is no device record: it does not begin",
        ),
        ("", 'in = "EMULATOR_CONTEXT"\ndrop = "SECTION_FULL"', "drop: 'SECTION_FULL': there is none in the stream"),
        ("", 'in = "EMULATOR_CONTEXT"', "a fault is one of set, put, drop"),
        ("", 'in = "FOO"\ndrop = "EOF"', "in: 'FOO': there is no such header or record"),
    ],
)
def test_what_is_not_inside(record: str, fault: str, message: str) -> None:
    """The refusal has the line."""
    state = bytes.fromhex(record) or bytes(device_record([]).render())
    with pytest.raises(RecipeError) as seen:
        _recipe("libxl", state, f"[[fault]]\n{fault}\n")
    assert message in str(seen.value)


def test_taking_apart_has_a_price() -> None:
    """Hostile recipes come to an end."""
    record = device_record([Device("timer", bytes(24), 2, number) for number in range(50)]).render()
    fault = '[[fault]]\nin = "EMULATOR_CONTEXT"\nset = "qemu.header"\nfield = "version"\nto = 3\n'
    text = _GUEST.format(*HOLDERS["libxl"], record.hex())
    for count, steps in ((1, 5000), (4, 5000)):
        source = Source(text + fault * count, "recipe", LIMITS | {"steps": steps})
        if count == 1:
            read(source.top(), whole=True)
        else:
            with pytest.raises(RecipeError, match=r"recipe:\d+: fault\[1\].in: this makes over .* steps"):
                read(source.top(), whole=True)
