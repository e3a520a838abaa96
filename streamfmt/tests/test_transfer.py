"""tee copies: whatever the input is and wherever it goes, all of it arrives, and the verdict is verify's."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..cli import tee
from ..io import transfer
from ..reader.identify import COMPRESSED
from ..reader.reader import Reader
from ..writer import Draft, pages
from .support.corpus import EACH_SMALL, SMALL
from .support.descriptors import OUTPUTS, WAYS, giving, taking
from .support.good_streams import HVM
from .support.hostile_streams import FLOODS, LIARS, cases
from .support.vector import Vector, judge, judged, reported

SAMPLES = ("hvm-64.bin.gz", "hvm-remus.bin.gz", "dm-pc-xenlike.bin")
EACH_WAY = pytest.mark.parametrize(("source", "target"), WAYS)
# Long enough for the kernel to move most of it.
LONG = HVM.swap("libxc.PAGE_DATA", pages(*((number, "NOTAB") for number in range(100)))).render()


@cache
def _bytes(number: int) -> bytes:
    return EACH_SMALL[number].stream.render()


def _copied(reader: Reader, fd: int, target: str, seed: int = 0, blocking: bool = True) -> bytes:
    """What arrives of what `fd` gives."""
    with taking(target, seed) as (out, arrived):
        os.set_blocking(fd, blocking)
        os.set_blocking(out, blocking)
        failures, count = tee.copy(reader, fd, out)
    assert failures == []
    assert count == len(arrived[0])
    return arrived[0]


def copied(
    vector: Vector, data: bytes, source: str, target: str, seed: int = 0, blocking: bool = True
) -> dict[str, Any]:
    """Copy a vector's bytes, which arrive as they are; what the verifier reports."""
    verifier = Verifier(vector.mode, vector.deep)
    reader = Reader(verifier, vector.form)
    with giving(source, data, seed) as fd:
        assert _copied(reader, fd, target, seed, blocking) == data
    return reported(Outcome(reader, verifier))


@given(
    number=st.integers(0, len(EACH_SMALL) - 1),
    way=st.sampled_from(WAYS),
    seed=st.integers(0, 1 << 16),
    blocking=st.booleans(),
)
def test_any_stream_any_way(number: int, way: tuple[str, str], seed: int, blocking: bool) -> None:
    """Good and broken streams arrive whole and are judged as ever, however they are cut and wherever they go."""
    vector, data = EACH_SMALL[number], _bytes(number)

    assert copied(vector, data, *way, seed=seed, blocking=blocking) == reported(judged(vector, [data]))


@given(raw=st.binary(max_size=3000), start=st.sampled_from((0, 24, 40, 300)), way=st.sampled_from(WAYS))
def test_any_bytes(raw: bytes, start: int, way: tuple[str, str]) -> None:
    """So does anything at all, after headers that are right and without them."""
    data = HVM.render()[:start] + raw
    assume(not data.startswith(tuple(COMPRESSED)))  # that is not judged by its own bytes

    assert copied(Vector(Draft(())), data, *way) == reported(judge([data]))


@pytest.mark.parametrize("clause", SMALL)
def test_every_vector(clause: str) -> None:
    """Every vector, one way or another."""
    for number, (name, vector) in enumerate(SMALL[clause].items()):
        data = vector.stream.render()
        for way in islice((WAYS * 2)[number % len(WAYS) :: 5], 2):
            assert copied(vector, data, *way, seed=number) == reported(judged(vector, [data])), (name, way)


@EACH_WAY
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "not"])
def test_long_streams(source: str, target: str, blocking: bool, sample: Callable[[str], bytes]) -> None:
    """What the kernel moves arrives in its place among what is read; descriptors may be non-blocking."""
    for data in (LONG, LONG + b"after it" * 9000, bytes(200_000), *map(sample, SAMPLES)):
        assert copied(Vector(Draft(())), data, source, target, blocking=blocking, seed=len(data)) == reported(
            judge([data])
        )


@pytest.mark.parametrize("name", [*LIARS, *FLOODS])
def test_hostile_streams(name: str) -> None:
    """Lengths that lie change nothing of what arrives."""
    for number, pieces in enumerate(islice(cases(name, 64 << 10), 40)):
        data = b"".join(islice(pieces, 20))[: 1 << 20]
        way = WAYS[number % len(WAYS)]

        assert copied(Vector(Draft(())), data, *way, seed=number) == reported(judge([data])), (number, way)


# -- the system's moods ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1 << 16), way=st.sampled_from(WAYS))
def test_kernel_in_any_mood(seed: int, way: tuple[str, str]) -> None:
    """Calls that move less than asked, nothing, or fail for once or for good, lose nothing and double nothing."""
    rng = Random(seed)

    def moody(fd: int, out: int, count: int) -> int:
        mood = rng.randrange(12)
        if mood == 0:
            raise OSError(22, "refused")
        if mood == 1:
            return 0
        if mood < 5:
            raise BlockingIOError
        data = os.read(fd, min(count, rng.choice((1, 100, 5000, 70_000))))
        view = memoryview(data)
        while view:
            view = view[os.write(out, view) :]
        return len(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_ways", lambda *_: [moody] * 3)
        assert copied(Vector(Draft(())), LONG, *way, seed=seed) == reported(judge([LONG]))


@EACH_WAY
def test_without_help_of_the_kernel(source: str, target: str) -> None:
    """A system that moves nothing by itself has its bytes read and written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(os, "splice")
        assert copied(Vector(Draft(())), LONG, source, target) == reported(judge([LONG]))


EXPECTED_MOVES = {
    ("file", "file"): "copy_file_range",
    ("file", "append"): None,
    ("file", "pipe"): "splice",
    ("file", "socket"): "sendfile",
    ("pipe", "file"): "splice",
    ("pipe", "append"): None,
    ("pipe", "pipe"): "splice",
    ("pipe", "socket"): "splice",
    ("socket", "file"): None,
    ("socket", "append"): None,
    ("socket", "pipe"): "splice",
    ("socket", "socket"): None,
}


@EACH_WAY
def test_pages_are_not_read(source: str, target: str) -> None:
    """Where the kernel can move a guest's pages, it is let."""
    moved = dict.fromkeys(("copy_file_range", "splice", "sendfile"), 0)

    def counting(name: str, call: Callable[..., int]) -> Callable[..., int]:
        def counted(*words: Any) -> int:
            count = call(*words)
            moved[name] += count
            return count

        return counted

    data = HVM.swap("libxc.HVM_CONTEXT", HVM.part("libxc.HVM_CONTEXT").filled(4 << 20)).render()
    with pytest.MonkeyPatch.context() as patch:
        for name in moved:
            patch.setattr(os, name, counting(name, getattr(os, name)))
        copied(Vector(Draft(())), data, source, target, seed=3)
    expected = EXPECTED_MOVES[source, target]

    assert {name for name, count in moved.items() if count} == {expected} - {None}
    assert not expected or moved[expected] > 3 << 20


@pytest.mark.parametrize("target", OUTPUTS)
def test_files_whose_size_is_not_known(target: str) -> None:
    """A file of a pseudo file system, which says its size is 0, is copied all the same."""
    with open("/proc/filesystems", "rb", buffering=0) as file:
        expected = file.readall()
        file.seek(0)
        assert os.fstat(file.fileno()).st_size == 0
        assert _copied(Reader(Verifier()), file.fileno(), target) == expected


@given(seed=st.integers(0, 1 << 16), way=st.sampled_from(WAYS))
def test_nothing_follows_what_is_lost(seed: int, way: tuple[str, str]) -> None:
    """After a write that failed nothing more goes out, even if it could again."""
    source, target = way
    real, calls = os.write, Random(seed).randrange(6)

    def failing(fd: int, raw: memoryview) -> int:
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise OSError(28, "for once")
        return real(fd, raw[: max(len(raw) // 2, 1)])

    with giving(source, LONG, seed) as fd:
        with taking(target, seed) as (out, arrived), pytest.MonkeyPatch.context() as patch:
            patch.setattr(transfer, "os", _Os(write=failing))
            failures, copied = tee.copy(Reader(Verifier()), fd, out)
        while os.read(fd, 1 << 20):
            pass  # so that the writer ends

    assert [(failure.kind, failure.reason) for failure in failures] == [
        ("unwritable", "standard output: cannot write: for once")
    ]
    assert copied == len(arrived[0])
    assert LONG.startswith(arrived[0])
    assert len(arrived[0]) < len(LONG)


class _Os:
    """The module os, with something in place of a function."""

    def __init__(self, **instead: Any) -> None:
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)
