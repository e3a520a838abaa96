"""What a plan says becomes of a stream's bytes does, whatever the input is, wherever it goes, however it is cut."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from io import BytesIO
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..errors import UnreadableError, UnwritableError
from ..io.copying import Copying, Plan
from ..io.memory import MemorySource, ObjectSource, from_object
from ..io.outputs import output
from ..io.sources import NEAR, Source, source_for
from ..reader.events import Layer, Record, Run, Sink
from ..reader.pump import CAPACITY
from ..reader.reader import Reader
from ..writer import pages
from .support.corpus import EACH_SMALL
from .support.descriptors import WAYS, giving, taking
from .support.good_streams import HVM

LONG = HVM.swap("libxc.PAGE_DATA", pages(*((number, "NOTAB") for number in range(100)))).render()
HEADER = 8


class Editor(Sink):
    """Does something to each record and header, as `seed` has it, and knows what should come of that.

    `edits` are start, stop and what comes into the place; each starts where the one before stops, or later.
    """

    def __init__(self, seed: int, copying: bool) -> None:
        self.plan = Plan(copying)
        self.edits: list[tuple[int, int, bytes]] = []
        self._copying = copying
        self._random = Random(seed)
        self.every_page = bool(seed & 1)

    def _edit(self, start: int, stop: int) -> None:
        if start == stop:
            return
        data = self._random.randbytes(self._random.choice((1, 16, 5000)))
        what = self._random.choice(("before", "after", "drop", "replace", "copy", "nothing"))
        if what == "before":
            self.plan.put(start, data)
            self.edits.append((start, start, data))
        elif what == "after":
            # Out of turn: what is said of the bytes before follows.
            self.plan.put(stop, data)
            self.plan.put(start, b"early")
            self.edits += [(start, start, b"early"), (stop, stop, data)]
        elif what == "drop" and self._copying:
            self.plan.drop(start, stop)
            self.edits.append((start, stop, b""))
        elif what == "replace" and self._copying:
            self.plan.replace(start, stop, data)
            self.edits.append((start, stop, data))
        elif what == "copy" and not self._copying:
            self.plan.copy(start, stop)
            self.edits.append((start, stop, b"the bytes themselves"))

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._edit(at, at + len(raw))

    def record(self, record: Record) -> None:
        start, stop = self._random.choice(((record.offset, record.body), (record.offset, record.end)))
        self._edit(start, stop)

    def pages(self, run: Run) -> None:
        self._edit(run.offset, run.offset + run.size * run.count)

    def expected(self, data: bytes, stop: int) -> bytes:
        """What comes of `data`, of which the reader went as far as `stop`, plainly."""
        found, at = b"", 0
        for start, end, new in self.edits:
            if start > stop or (start == stop and at == stop and end > start):
                break
            found += data[at:start] if self._copying else b""
            found += data[start : min(end, stop)] if new == b"the bytes themselves" else new
            at = min(end, stop)
        return found + (data[at:stop] if self._copying else b"")


def _run(reader: Reader, source: Source, plan: Plan, target: Any) -> int:
    out = output(target)
    copying = Copying(source, out, plan)
    copying.run(reader.pump)
    out.finish()
    source.close()
    return copying.written


@given(
    number=st.integers(-1, len(EACH_SMALL) - 1),
    seed=st.integers(0, 1 << 16),
    copying=st.booleans(),
    way=st.sampled_from(WAYS),
    exact=st.booleans(),
    blocking=st.booleans(),
)
def test_any_plan(number: int, seed: int, copying: bool, way: tuple[str, str], exact: bool, blocking: bool) -> None:
    """The output is what plain slices say, of any stream as far as it can be read."""
    data = LONG if number < 0 else EACH_SMALL[number].data
    editor = Editor(seed, copying)
    reader = Reader(editor, exact=exact)
    with giving(way[0], data, seed) as fd, taking(way[1], seed) as (out, arrived):
        os.set_blocking(fd, blocking)
        os.set_blocking(out, blocking)
        written = _run(reader, source_for(fd, reader), editor.plan, out)
        reading = reader.window.position
        os.set_blocking(fd, True)
        while os.read(fd, 1 << 20):
            pass  # so that the writer ends

    assert arrived[0] == editor.expected(data, reading)
    assert written == len(arrived[0])


@given(seed=st.integers(0, 1 << 16), copying=st.booleans())
def test_objects_and_compressed_inputs(seed: int, copying: bool) -> None:
    """So it is from memory, from a file object, and from what is opened on the way."""
    results = []
    for kind in ("memory", "object", "compressed"):
        editor = Editor(seed, copying)
        reader = Reader(editor)
        source: Source = MemorySource(LONG)
        if kind == "object":
            source = ObjectSource(BytesIO(LONG))
        elif kind == "compressed":
            source = from_object(MemorySource(gzip.compress(LONG, 1)), reader)
        found = BytesIO()
        _run(reader, source, editor.plan, found)
        results.append(found.getvalue() == editor.expected(LONG, len(LONG)))

    assert results == [True] * 3


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_exact(kind: str) -> None:
    """With `exact` the descriptor is left after END, for somebody who reads on."""
    reader = Reader(Sink(), exact=True)
    with giving(kind, LONG + b"what follows", 3) as fd, taking("pipe", 3) as (out, arrived):
        _run(reader, source_for(fd, reader), Plan(), out)
        rest = os.read(fd, 100)

    assert arrived[0] == LONG
    assert rest == b"what follows"[: len(rest)]
    assert rest


def test_pages_are_moved_by_the_kernel_into_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied into a pipe is not read but for what lies near a header."""
    moved = 0
    splice = os.splice

    def counted(*words: Any) -> int:
        nonlocal moved
        count = splice(*words)
        moved += count
        return count

    data = HVM.swap("libxc.HVM_CONTEXT", HVM.part("libxc.HVM_CONTEXT").filled(4 << 20)).render()
    monkeypatch.setattr(os, "splice", counted)
    for kind in ("file", "pipe"):
        moved = 0
        reader = Reader(Sink())
        with giving(kind, data, 1) as fd, taking("pipe", 1) as (out, arrived):
            _run(reader, source_for(fd, reader), Plan(), out)
        assert arrived[0] == data
        assert moved > (4 << 20) - CAPACITY - NEAR


def test_what_has_gone_by_is_not_planned_any_more() -> None:
    """It would be lost in silence otherwise."""
    plan = Plan()
    plan.at = 100

    with pytest.raises(ValueError, match="offset 99 has gone by; the output is at 100"):
        plan.put(99, b"late")


def test_errors(tmp_path: Any) -> None:
    """The system's errors are said to be of reading or of writing."""
    path = tmp_path / "input"
    path.write_bytes(LONG)
    with open("/dev/full", "wb", buffering=0) as full, path.open("rb") as file:
        reader = Reader(Sink())
        copying = Copying(source_for(file.fileno(), reader), output(full.fileno()), Plan())
        with pytest.raises(UnwritableError, match="No space left on device"):
            copying.run(reader.pump)

    reader = Reader(Sink())
    copying = Copying(ObjectSource(_Broken()), output(BytesIO()), Plan())
    with pytest.raises(UnreadableError, match="Input/output error"):
        copying.run(reader.pump)


class _Broken(BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")

    read1 = read
