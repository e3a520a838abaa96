"""Records of QEMU's devices inside other streams: judged and shown where they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfmt import data
from streamfmt.cli.main import main
from streamfmt.corpus.entries import unpacked

from ..codec.decode import layouts
from ..schema import qemu
from ..writer import Draft, emulator, sized
from ..writer.qemu import small_record
from .support.good_streams import LIBXL_HVM, XAPI_HVM
from .support.vector import judge, reported

CONTEXT, TRAD = "libxl.EMULATOR_CONTEXT", "xapi.QEMU_TRAD"
_REAL = sorted(Path(data.path("corpus", "real")).glob("qemu-dm-*xenlike*.gz"))


def _held(record: bytes) -> tuple[Draft, Draft]:
    """Streams of libxl and XAPI that have the record as their device model's state."""
    return LIBXL_HVM.swap(CONTEXT, emulator(record)), XAPI_HVM.swap(TRAD, sized("QEMU_TRAD", record))


def test_places_are_those_of_the_schema() -> None:
    """Each place is a part of a record that there is."""
    for path, name in qemu.HOLDERS.items():
        assert name in {part.name for part in layouts()[path].parts}, path


@pytest.mark.parametrize("path", _REAL, ids=lambda path: path.name)
def test_real_records(path: Path) -> None:
    """What QEMU writes under Xen is good inside libxl's and XAPI's streams, in pieces of any size."""
    assert len(_REAL) >= 2
    for stream in _held(unpacked(path)):
        raw = bytes(stream.render())
        whole = judge([raw])

        assert whole.conforms
        assert not {clause for clause in whole.counts if clause.startswith("QEMU")}
        assert not whole.verifier.abstained
        assert reported(judge([raw[at : at + 4093] for at in range(0, len(raw), 4093)])) == reported(whole)


@given(st.binary(max_size=80), st.integers(1, 40))
def test_anything_may_be_inside(junk: bytes, step: int) -> None:
    """What has the magic is judged, however it goes on: findings lie in the record, and pieces change nothing."""
    for stream in _held(qemu.HEADER + junk):
        raw = bytes(stream.render())
        start = raw.index(qemu.HEADER + junk)
        whole = judge([raw])

        for finding in whole.findings:
            inside = finding.layer.endswith("/qemu")
            assert not inside or start <= finding.offset <= start + len(qemu.HEADER + junk)
        pieces = [raw[:start], *(raw[at : at + step] for at in range(start, len(raw), step))]
        assert reported(judge(pieces)) == reported(whole)


def test_a_broken_record_names_its_place() -> None:
    """The finding has the offset in the whole stream, and the way in."""
    record = small_record(b"\1\2\3")[:-1] + b"\4\0\0\0\0\5other" + bytes(8) + b"\0"
    bad = qemu.HEADER + b"\x09" + record[len(qemu.HEADER) :]
    for stream, layer in zip(_held(bad), ("libxl/qemu", "xapi/qemu"), strict=True):
        raw = bytes(stream.render())
        (finding,) = judge([raw]).findings

        assert (finding.clause, finding.layer) == ("QEMU-SEC-TYPE", layer)
        assert finding.offset == raw.index(bad) + len(qemu.HEADER)


def test_a_cut_stream_says_nothing_of_what_is_inside() -> None:
    """Where the stream ends inside the record its length may be what is wrong."""
    raw = bytes(_held(small_record(b"\1\2\3"))[0].render())
    end = raw.index(qemu.HEADER) + 20

    assert set(judge([raw[:end]]).counts) == {"LIBXL-REC-TRUNC"}


def test_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In a line, as fields, in a dump and as JSON."""
    path = tmp_path / "guest"
    path.write_bytes(_held(small_record(b"\1\2\3", b""))[0].render())
    words = ["show", "--type", "EMULATOR_CONTEXT", str(path)]

    assert main(words) == 0
    assert "2 sections, timer, timer 1" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--hexdump"]) == 0
    out = capsys.readouterr().out
    assert "qemu.SECTION_FULL, timer 1, 18 bytes:" in out
    assert "version_id = 2" in out
    assert main([*words, "--decode"]) == 0
    assert "idstr = 'timer'" in capsys.readouterr().out
    path.write_bytes(_held(small_record(bytes(range(200)) * 3))[0].render())
    for form in ("--hexdump", "--decode"):
        assert main([*words, form]) == 0
        assert "344 more bytes\n      qemu.EOF" in re.sub(" +qemu", "      qemu", capsys.readouterr().out)
    path.write_bytes(_held(small_record(b"\1\2\3", b""))[0].render())
    assert main([*words, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = [row for row in rows if row.get("name") == "EMULATOR_CONTEXT"]
    assert [frame["name"] for frame in row["fields"]["frames"]] == ["SECTION_FULL", "SECTION_FULL", "EOF"]
    assert row["fields"]["frames"][1]["fields"]["instance_id"] == 1
