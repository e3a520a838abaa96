"""Streams that real programs wrote: Xen's own saver, and QEMU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, Outcome
from ..checks.verifier import Verifier
from ..io.sources import FileSource, drive
from ..reader.reader import Reader
from ..schema import libxc
from ..schema.clauses import registry
from .support.vector import judge

Sample = Callable[[str], bytes]

_NAMES = {row.code: row.name for row in libxc.RECORDS}


@pytest.mark.parametrize("name", ["hvm-64.bin.gz", "pv-list.bin.gz"])
def test_plain(name: str, sample: Sample) -> None:
    """A plain stream of Xen's saver conforms, with nothing above a note."""
    outcome = judge([sample(name)])

    assert outcome.verdict == CONFORMS
    assert (outcome.errors, outcome.warnings) == (0, 0)
    assert not outcome.verifier.abstained


@pytest.mark.parametrize("name", ["hvm-64.bin.gz", "pv-list.bin.gz"])
def test_deep(name: str, sample: Sample) -> None:
    """The same with --deep, but for what is inside state that the stand-in for Xen has filled at random."""
    counts = judge([sample(name)], deep=True).verifier.findings.counts
    inside = {clause.id for clause in registry().values() if clause.deep and clause.id != "LIBXC-PTE-PFN"}

    assert counts.keys() - judge([sample(name)]).verifier.findings.counts.keys() <= inside


@pytest.mark.parametrize("name", ["mig-none-1M.bin.gz", "dm-pc-xenlike.bin"])
def test_qemu(name: str, sample: Sample) -> None:
    """QEMU's records conform, to their last byte."""
    data = sample(name)
    outcome = judge([data])

    assert (outcome.verdict, outcome.size) == (CONFORMS, len(data))
    assert outcome.verifier.findings.counts == {}


# -- the checkpointed stream ----------------------------------------------------------------------------------


def _records(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each record of a bare image."""
    at = 40
    while at + 8 <= len(data):
        kind, length = (int.from_bytes(data[place : place + 4], "little") for place in (at, at + 4))
        end = at + 8 + (length + 7 & ~7)
        yield _NAMES[kind], at, end
        at = end


def _checkpoints(data: bytes) -> list[int]:
    """Where each checkpoint ends."""
    return [end for name, _, end in _records(data) if name == "CHECKPOINT"]


def _expect(outcome: Outcome, cut: int, whole: list[int], size: int) -> None:
    """The verdict that a checkpointed stream gets when it stops at `cut`."""
    done = sum(end <= cut for end in whole)
    counts = dict(outcome.verifier.findings.counts)
    counts.pop("LIBXC-HVMPARAMS-ORDER", None)
    if cut in whole or cut == size:
        assert (outcome.verdict, counts) == (CONFORMS, {}), cut
    elif done:
        assert counts == {"CKPT-CUT": 1}, cut
        assert outcome.verdict == CONFORMS, cut
        assert (outcome.errors, outcome.warnings) == (0, 1), cut
        assert f"as of checkpoint {done}" in outcome.verifier.findings.kept[-1].message
    else:
        assert counts == {"LIBXC-REC-TRUNC": 1}, cut
        assert outcome.verdict == DOES_NOT_CONFORM, cut


@pytest.mark.parametrize("mode", ["auto", "remus"])
def test_checkpointed(mode: str, sample: Sample) -> None:
    """A Remus stream conforms: the mode is inferred where it is not declared."""
    data = sample("hvm-remus.bin.gz")
    outcome = judge([data], mode=mode)

    assert outcome.verdict == CONFORMS
    assert (outcome.errors, outcome.warnings) == (0, 0)
    assert outcome.verifier.checkpoints == len(_checkpoints(data)) > 1


def test_checkpointed_declared_plain(sample: Sample) -> None:
    """The same stream breaks a rule if it is declared plain."""
    outcome = judge([sample("hvm-remus.bin.gz")], mode="plain")

    assert outcome.verdict == DOES_NOT_CONFORM
    assert "LIBXC-CKPT-PLAIN" in outcome.verifier.findings.counts


def test_checkpointed_cut_between_records(sample: Sample) -> None:
    """Cut at every record boundary: fine after a checkpoint, a warning inside a later one, an error before."""
    data = sample("hvm-remus.bin.gz")
    whole = _checkpoints(data)
    for _, start, _ in _records(data):
        for cut in (start - 1, start, start + 1, start + 8):
            _expect(judge([data[:cut]]), cut, whole, len(data))


@pytest.mark.parametrize("number", [0, 1])
def test_checkpointed_cut_around_a_checkpoint(number: int, sample: Sample) -> None:
    """Cut at every byte around a checkpoint's end."""
    data = sample("hvm-remus.bin.gz")
    whole = _checkpoints(data)
    for cut in range(whole[number] - 220, whole[number] + 120):
        _expect(judge([data[:cut]]), cut, whole, len(data))


# From the beginning of a record on every byte is a cut, as far as its header and first fields go.
_DENSE = 64


def _cuts(data: bytes) -> Iterator[int]:
    """Most bytes outside page contents, of long bodies every seventh, and of pages every 1009th.

    In the thorough profile it is all of them.
    """
    thorough = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"
    step, stride = (1, 1) if thorough else (1009, 7)
    yield from range(40)
    for name, start, end in _records(data):
        first = start
        if name == "PAGE_DATA":
            count = int.from_bytes(data[start + 8 : start + 12], "little")
            first = min(start + 16 + 8 * count + 1, end)
        dense = min(start + _DENSE, end)
        yield from range(start, dense)
        yield from range(dense, first if name == "PAGE_DATA" else end, stride)
        if name == "PAGE_DATA":
            yield from range(first, end, step)
    yield len(data)


@pytest.mark.parametrize("mode", ["auto", "remus"])
def test_checkpointed_cut_anywhere(mode: str, sample: Sample) -> None:
    """The verdict at every cut is the one that the checkpoints before it give."""
    data = sample("hvm-remus.bin.gz")
    whole = _checkpoints(data)
    file = os.memfd_create("cut")
    try:
        os.write(file, data)
        for cut in sorted(_cuts(data), reverse=True):
            os.ftruncate(file, cut)
            os.lseek(file, 0, os.SEEK_SET)
            verifier = Verifier(mode)
            reader = Reader(verifier, "libxc")
            source = FileSource(file)
            drive(reader.pump, source)
            source.close()
            _expect(Outcome(reader, verifier), cut, whole, len(data))
    finally:
        os.close(file)
