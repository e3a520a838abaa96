"""Records that are broken alike are counted many at once: nothing that comes out may show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .. import tables
from ..bench import generate
from ..checks import findings, pv_memory
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..reader.events import Record, Sink
from ..reader.reader import Reader
from ..writer import p2m
from .support.good_streams import HVM, LIBXL_HVM, PV

PAGE = tables.PAGE_SIZE
# Clauses fill up at once here, so that short runs are enough.
KEPT = 3
_XTAB, _BROKEN, _NORMAL = 15, 5, 0
_VERIFY = next(code for code, name in tables.RECORDS["libxc"].items() if name == "VERIFY")
_UNKNOWN = max(tables.RECORDS["libxc"]) + 1
_END_PFN = 40


def _entry(kind: int, pfn: int, reserved: int = 0) -> int:
    return kind << 60 | reserved << 52 | pfn


def _page_data(order: str, entry: int, count: int = 1, reserved: int = 0, pages: int = 0, extra: int = 0) -> bytes:
    way: Any = "big" if order == ">" else "little"
    words = (1, 16 + PAGE * pages + extra, count, reserved)
    fixed = b"".join(value.to_bytes(4, way) for value in words) + entry.to_bytes(8, way)
    # What a page holds may be taken for entries, by what a record's count says.
    page = _entry(_BROKEN if entry % 2 else _XTAB, entry & 0xFF).to_bytes(8, way).ljust(PAGE, b"\0")
    return fixed + page * pages + bytes(extra + -extra % 8)


def _other(order: str, kind: int, length: int, padding: int = 0) -> bytes:
    way: Any = "big" if order == ">" else "little"
    pad = bytes([padding]) * (-length % 8)
    return kind.to_bytes(4, way) + length.to_bytes(4, way) + b"\x17" * length + pad


def _units(order: str, pfn: int) -> list[bytes]:
    """One record of each kind: good, and broken in its way."""
    return [
        _page_data(order, _entry(_XTAB, pfn)),
        _page_data(order, _entry(_XTAB, pfn), reserved=1),
        _page_data(order, _entry(_BROKEN, pfn)),
        _page_data(order, _entry(_BROKEN, pfn, 7), reserved=2),
        _page_data(order, _entry(_XTAB, pfn, 9)),
        _page_data(order, _entry(_XTAB, pfn), count=0),
        _page_data(order, _entry(_XTAB, pfn), count=2),
        _page_data(order, _entry(_NORMAL, pfn)),
        _page_data(order, _entry(_NORMAL, pfn), pages=1),
        _page_data(order, _entry(_NORMAL, pfn), reserved=1, pages=1),
        _page_data(order, _entry(_BROKEN, pfn), pages=1),
        _page_data(order, _entry(_XTAB, pfn), pages=1),
        _page_data(order, _entry(_XTAB, pfn), count=2, reserved=1, pages=1),
        _page_data(order, _entry(_XTAB, pfn), extra=8),
        _other(order, _UNKNOWN, 16),
        _other(order, _UNKNOWN, 0),
        _other(order, _UNKNOWN, 13),
        _other(order, _UNKNOWN, 13, padding=1),
        _other(order, _UNKNOWN | 1 << 31, 16),
        _other(order, tables.LIBXC_X86_PV_INFO, 8),
        _other(order, tables.LIBXC_HVM_PARAMS, 8),
        _other(order, _VERIFY, 0),
        _other(order, tables.LIBXC_CHECKPOINT, 0),
    ]


STARTS = {
    "hvm": (HVM.upto("libxc.X86_TSC_INFO").render(), "<", HVM),
    "pv": (PV.upto("libxc.X86_TSC_INFO").render(), "<", PV),
    "pv-early": (PV.upto("libxc.X86_PV_P2M_FRAMES").render(), "<", PV),
    "big-endian": (HVM.big_endian("libxc").upto("libxc.X86_TSC_INFO").render(), ">", HVM),
    "libxl": (LIBXL_HVM.upto("libxc.X86_TSC_INFO").render(), "<", LIBXL_HVM),
}
_SEGMENTS = st.lists(
    st.tuples(st.integers(0, len(_units("<", 0)) - 1), st.integers(1, 40), st.integers(0, _END_PFN), st.integers(0, 1)),
    min_size=1,
    max_size=8,
)


@contextmanager
def _kept(most: int) -> Iterator[None]:
    with mock.patch.object(findings, "KEPT", most):
        yield


class OneByOne(Verifier):
    """A verifier that takes no records together."""

    def steady(self, record: Record) -> bool:
        return False


def _memory(verifier: Verifier) -> list[object]:
    """What is remembered of each layer, and of where pages end."""
    kept: list[object] = [verifier._carried, verifier._batch_end]
    for checks in verifier._checks.values():
        kept += [checks.seen, checks.fired]
        memory = getattr(checks, "memory", None)
        if memory is not None:
            kept += [memory.vcpus, memory.frames_from, memory.end_pfn, memory.pfns.types, memory.pfns.known]
            kept += [memory.pfns.why, memory.pfns._entries * memory.pfns.known]
    return kept


def _all(verifier: Verifier, data: bytes, sizes: Sequence[int]) -> tuple[dict[str, Any], list[object]]:
    reader = Reader(verifier)
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        reader.pump.feed(data[at : at + size])
        at, number = at + size, number + 1
    reader.pump.end()
    remembered = _memory(verifier)
    found = Outcome(reader, verifier).as_dict()
    found["lasts"] = {clause: verifier.findings.last(clause) for clause in verifier.findings.counts}
    return found, remembered


@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=40, deadline=None)
@example(segments=[(1, 40, 10, -1)], sizes=[1 << 20])  # from beyond a PV guest's end into it
@given(segments=_SEGMENTS, sizes=st.lists(st.sampled_from((1 << 20, 5000, 997, 48, 24)), min_size=1, max_size=3))
def test_taking_them_together_changes_nothing(
    start: str, segments: list[tuple[int, int, int, int]], sizes: list[int]
) -> None:
    """Findings, counts, last places, records, entries and what is remembered are those of one by one."""
    head, order, _ = STARTS[start]
    parts = [head]
    for kind, count, pfn, step in segments:
        parts += [_units(order, max(pfn + step * n, 0))[kind] for n in range(count)]
    data = b"".join(parts)

    for end in (len(data), len(data) - 9):
        with _kept(KEPT):
            assert _all(Verifier(), data[:end], sizes) == _all(OneByOne(), data[:end], sizes)


@pytest.mark.parametrize("kind", generate.BAD)
def test_floods_are_judged_together(kind: str) -> None:
    """Of thousands of records that break a rule alike few more than those that are kept are judged one by one."""
    alone = 0

    class Counting(Verifier):
        def record(self, record: Record) -> Any:
            nonlocal alone
            alone += 1
            return super().record(record)

    data = b"".join(bytes(piece) for piece in generate.SAMPLES[kind](1 << 19).pieces())
    whole = _all(Counting(), data, [1 << 20])

    assert whole == _all(OneByOne(), data, [1 << 20])
    assert whole[0]["counts"][generate.BAD[kind][0]] == (1 << 19) // 24
    assert alone < 200


def test_sparse_frames_are_not_noted_together() -> None:
    """A map that would have given up at a record gives up, however many have come by the end of the run."""
    start = PV.swap("libxc.X86_PV_P2M_FRAMES", p2m(0, (1 << 14) - 1, *[0] * 32)).upto("libxc.PAGE_DATA").render()
    for far in (90, 150, 151, 152, 300, 9000):
        pfns = (*[0] * 50, far, *range(200))
        data = start + b"".join(_page_data("<", _entry(_XTAB, pfn), reserved=1) for pfn in pfns)
        with _kept(KEPT), mock.patch.object(pv_memory, "_SLACK", 100):
            found = _all(Verifier(), data, [1 << 20])
            assert found == _all(OneByOne(), data, [1 << 20])
            assert ("sparse" in str(found[1])) == (far > 150)


@pytest.mark.parametrize("clause", ["LIBXC-PAGE-HDR-RSVD"])
def test_ignored_clauses_are_counted_together(clause: str) -> None:
    """A clause that is only counted needs no finding kept before."""
    data = STARTS["hvm"][0] + _page_data("<", _entry(_XTAB, 1), reserved=1) * 50
    severity = tables.SEVERITY | {clause: findings.IGNORED}

    assert _all(Verifier(severity=severity), data, [100]) == _all(OneByOne(severity=severity), data, [100])


def test_other_sinks_see_each() -> None:
    """Records come together only to a sink that asks for it."""
    seen: list[int] = []

    class Plain(Sink):
        def record(self, record: Record) -> None:
            seen.append(record.index)

    data = STARTS["hvm"][0]
    reader = Reader(Plain())
    reader.pump.feed(data + _other("<", _UNKNOWN, 16) * 1000)
    reader.pump.end()

    assert len(seen) > 1000
    assert seen[-1000:] == list(range(seen[-1000], seen[-1000] + 1000))
