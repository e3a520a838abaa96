"""What is found does not depend on how the bytes came: cut anywhere, from a file, through a pipe, or ended early."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..checks.outcome import CONFORMS, Outcome
from ..checks.verifier import Verifier
from ..io.sources import FileSource, PipeSource, Source, drive
from ..reader.reader import Reader
from ..schema.clauses import registry
from ..writer import Draft, p2m, pages
from ..writer.builders import in_xapi
from .support.corpus import EACH_SMALL, SMALL
from .support.good_streams import (
    EMULATOR,
    GOOD,
    HVM,
    LIBXL_REMUS,
    PV32,
    QEMU_TRAD,
    REMUS_HVM,
    SWTPM,
    VARSTORED,
    XL_HVM,
    wrapped,
)
from .support.vector import Vector, judge, judged, reported

SAMPLES = ("hvm-64.bin.gz", "hvm-remus.bin.gz", "pv-list.bin.gz", "mig-none-1M.bin.gz", "dm-pc-xenlike.bin")
# So many bytes at a part's beginning and end, or before a cut, come one by one.
_FIRST, _LAST = 600, 40
EACH_CLAUSE = pytest.mark.parametrize("clause", SMALL)


@cache
def _bytes(number: int) -> bytes:
    return EACH_SMALL[number].data


def _byte_by_byte(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[at : at + 1] for at in range(len(view)))


def _nearly_byte_by_byte(stream: Draft, data: bytes) -> Iterator[memoryview]:
    """One at a time, but for the middle of long parts: there is nothing there that the first bytes have not shown."""
    view = memoryview(data)
    for start, stop in pairwise(stream.offsets()):
        at = start
        while at < min(stop, len(view)):
            length = max(stop - _LAST - at, 1) if at == start + _FIRST else 1
            yield view[at : at + length]
            at += length


def _cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def _random_cuts(data: bytes, seed: int) -> list[bytes]:
    """Pieces of sizes that are mostly small, with some that leap over whole records."""
    rng = Random(seed)
    places, at = [], 0
    while at < len(data):
        at += rng.choice((1, 2, 3, 7, 8, 9, 24, 63, 700, 4095, 4096, 4097, 20_000, 300_000))
        places.append(min(at, len(data)))
    return _cut(data, places)


# -- feed -----------------------------------------------------------------------------------------------------


@EACH_CLAUSE
def test_byte_by_byte(clause: str) -> None:
    """One byte at a time gives the same result as all at once."""
    for name, vector in SMALL[clause].items():
        data = vector.data
        pieces = _byte_by_byte(data) if clause == "good" else _nearly_byte_by_byte(vector.stream, data)
        assert vector.whole == reported(judged(vector, pieces)), name


@EACH_CLAUSE
def test_random_cuts(clause: str) -> None:
    """Pieces of any sizes give the same result as all at once, empty ones included."""
    for name, vector in SMALL[clause].items():
        data = vector.data
        for seed in range(3):
            assert vector.whole == reported(judged(vector, [b"", *_random_cuts(data, seed), b""])), (name, seed)


@given(number=st.integers(0, len(EACH_SMALL) - 1), places=st.lists(st.integers(0, 1 << 20), max_size=30))
def test_any_cuts(number: int, places: list[int]) -> None:
    """No choice of cuts changes what is reported."""
    vector, data = EACH_SMALL[number], _bytes(number)
    assert vector.whole == reported(judged(vector, _cut(data, places)))


def _substance(outcome: dict[str, Any]) -> dict[str, Any]:
    """What was reported but for the wording, and for what only --deep looks into."""
    found = {
        key: outcome[key] for key in ("records", "page_entries", "pages_with_content", "bytes", "layers", "abstained")
    }
    found["abstained"] = {key: why for key, why in outcome["abstained"].items() if not registry()[key].deep}
    found["counts"] = {key: count for key, count in outcome["counts"].items() if not registry()[key].deep}
    found["findings"] = [
        (row["clause"], row["offset"], row["length"], row["index"], row["record"], row["field"], row["actual"])
        for row in outcome["findings"]
        if not registry()[row["clause"]].deep
    ]
    return found


@EACH_CLAUSE
def test_fast_path_judges_as_the_slow_one(clause: str) -> None:
    """Clean batches recognised in passing, and batches judged entry by entry, come to the same."""
    for name, vector in SMALL[clause].items():
        if vector.deep and vector.stream.guest:
            continue  # of a legacy stream, in which --deep judges what others do without
        data = vector.data
        fast = reported(judge([data], vector.form, vector.mode))
        slow = reported(judge([data], vector.form, vector.mode, deep=True))

        assert _substance(fast) == _substance(slow), name


# -- drivers --------------------------------------------------------------------------------------------------


def _driven(vector: Vector, make: Callable[[], Source], exact: bool = False) -> dict[str, Any]:
    verifier = Verifier(vector.mode, vector.deep)
    reader = Reader(verifier, vector.form, exact)
    source = make()
    try:
        drive(reader.pump, source)
    finally:
        source.close()
    return reported(Outcome(reader, verifier))


def _from_file(vector: Vector, data: bytes, path: Path) -> dict[str, Any]:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return _driven(vector, lambda: FileSource(fd))
    finally:
        os.close(fd)


def _from_pipe(vector: Vector, pieces: Sequence[bytes]) -> dict[str, Any]:
    """Through a pipe that a thread writes the pieces into, one write each."""
    out, into = os.pipe()

    def write() -> None:
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(into, view) :]
        except BrokenPipeError:
            pass  # the reader may stop before the end
        finally:
            os.close(into)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return _driven(vector, lambda: PipeSource(out))
    finally:
        os.close(out)
        writer.join()


@EACH_CLAUSE
def test_file_and_pipe(clause: str, tmp_path: Path) -> None:
    """A file, and a pipe written in small pieces, give the same result as memory."""
    for name, vector in SMALL[clause].items():
        data = vector.data

        assert vector.whole == _from_file(vector, data, tmp_path / "stream"), name
        assert vector.whole == _from_pipe(vector, _random_cuts(data, 7)), name


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name: str, sample: Callable[[str], bytes], tmp_path: Path) -> None:
    """Real streams are judged alike whichever way they come."""
    data = sample(name)
    vector = Vector(Draft(()))
    whole = reported(judge([data]))

    assert whole == _from_file(vector, data, tmp_path / "stream")
    assert whole == _from_pipe(vector, _random_cuts(data, 1))
    assert whole == reported(judge(_random_cuts(data, 2)))
    if len(data) < 400_000:
        assert whole == reported(judge(_byte_by_byte(data)))


# What has an end, and nothing before its beginning: that is searched past only where bytes are not counted.
_ENDS = {"libxc.END", "libxl.END", "xapi.END_OF_IMAGE", "xl-migrate.STATUS"}
_PLAIN = [
    name
    for name, stream in GOOD.items()
    if stream.parts[-1].path in _ENDS and stream.parts[0].path not in {"text.TEXT", "http.HEAD"}
]


@pytest.mark.parametrize("name", _PLAIN)
def test_exact(name: str, tmp_path: Path) -> None:
    """Exact reading takes nothing that follows END, from a file or a pipe, and finds the same."""
    vector, data = Vector(GOOD[name]), GOOD[name].render()
    after = b"LibxlFmt and what else belongs to others"
    whole = reported(judge([data]))
    path = tmp_path / "stream"
    path.write_bytes(data + after)
    out, into = os.pipe()
    os.write(into, data + after)
    os.close(into)
    fd = os.open(path, os.O_RDONLY)
    try:
        from_file = _driven(vector, lambda: FileSource(fd, exact=True), exact=True)
        from_pipe = _driven(vector, lambda: PipeSource(out, exact=True), exact=True)

        assert os.read(fd, 100) == after
        assert os.read(out, 100) == after
    finally:
        os.close(fd)
        os.close(out)
    for found in (from_file, from_pipe):
        assert {**whole, "identity": None} == {**found, "identity": None}


# -- streams that end early -----------------------------------------------------------------------------------

_BATCH = pages((0, "NOTAB"), (1, "XTAB"))
_TINY_HVM = Draft((*HVM.parts[: HVM.find("libxc.PAGE_DATA")], _BATCH, *HVM.parts[HVM.find("libxc.X86_TSC_INFO") :]))
_TINY_PV = (
    PV32.swap("libxc.X86_PV_P2M_FRAMES", p2m(0, 2, 0))
    .swap("libxc.PAGE_DATA", pages((0, "NOTAB"), (2, "L3TAB")))
    .resized("libxc.X86_PV_VCPU_XSAVE", 27)
)
TINY = {
    "hvm": _TINY_HVM,
    "pv": _TINY_PV,
    "libxl": wrapped(_TINY_HVM, EMULATOR),
    "remus": REMUS_HVM,
    "libxl-remus": LIBXL_REMUS,
    "xapi": in_xapi(_TINY_HVM, VARSTORED, SWTPM, QEMU_TRAD),
}
_PARTS = 6


def _whole_at(stream: Draft) -> set[int]:
    """Where a stream may end: after its END, and after each checkpoint."""
    close = "libxl.CHECKPOINT_END" if "libxl.header" in stream.paths else "libxc.CHECKPOINT"
    ends = {stop for part, (_, stop) in zip(stream, pairwise(stream.offsets()), strict=True) if part.path == close}
    return ends | {len(stream.render())}


def _interesting(stream: Draft) -> set[int]:
    """Places that are not well inside content that is not looked into, and a few that are."""
    found = set()
    for part, (start, stop) in zip(stream, pairwise(stream.offsets()), strict=True):
        inside = range(start + 128, stop - 64) if part.path != "libxc.HVM_CONTEXT" else range(0)
        found |= {at for at in range(start, stop) if at not in inside or at % 61 == 0}
    return found


@pytest.mark.parametrize("part", range(_PARTS))
@pytest.mark.parametrize("name", TINY)
def test_every_cut(name: str, part: int) -> None:
    """A stream cut anywhere gives one verdict however it came, and passes without a word only where it may end."""
    stream = TINY[name]
    data, whole, interesting = stream.render(), _whole_at(stream), _interesting(stream)
    if part == 0:
        assert judge([data]).verdict == CONFORMS

    for cut in range(len(data))[part::_PARTS] if len(data) < 10_000 else sorted(interesting)[part::_PARTS]:
        outcome = judge([data[:cut]])
        if cut >= 4:
            # Fewer bytes than a magic has are no stream yet.
            # After a whole checkpoint a cut is a warning, before it an error.
            usable = cut in whole or any(end < cut for end in whole)
            assert (outcome.verdict == CONFORMS) == usable, cut
            assert (outcome.errors, outcome.warnings) == (int(not usable), int(usable and cut not in whole)), cut
        if cut not in whole and outcome.identity.kind == "stream":
            assert [finding.offset for finding in outcome.verifier.findings.kept] == [cut]
        if cut in interesting:
            start = max(cut - _LAST, 0)
            assert reported(outcome) == reported(judge([data[:start], *_byte_by_byte(data[start:cut])])), cut


def test_exact_of_an_unknown_stream() -> None:
    """What a container holds is looked at whole, however few bytes exact reading asks for."""
    data = XL_HVM.patch("libxl.header", "ident", b"whatever").render()
    out, into = os.pipe()
    os.write(into, data)
    os.close(into)
    try:
        found = _driven(Vector(XL_HVM), lambda: PipeSource(out, exact=True), exact=True)
    finally:
        os.close(out)

    assert list(found["counts"]) == ["STREAM-FRAMING-LOST"]
