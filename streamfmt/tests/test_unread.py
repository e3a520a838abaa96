"""Memory may go by its headers alone, where a source can look ahead: all else is heard as if it were read."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from ..checks.verifier import Verifier
from ..convert.edit import Edit
from ..convert.listing import Listing
from ..convert.places import Locating, Target
from ..io.sources import FileSource, drive
from ..io.spliced import Spliced
from ..reader.reader import Reader
from ..writer import Draft, pages
from .support.good_streams import LIBXL_REMUS, PV, REMUS_HVM, XAPI_HVM, XL_HVM


def grown(stream: Draft) -> Draft:
    """A stream in the place of whose first batch are three of over 64 KiB, a small one, and another large one."""
    batch = pages(*((number, "NOTAB") for number in range(20)))
    small = pages((20, "NOTAB"), (21, "NOTAB"))
    place = stream.find("libxc.PAGE_DATA")
    return replace(stream, parts=(*stream.parts[:place], *[batch] * 3, small, batch, *stream.parts[place + 1 :]))


STREAMS = {
    "xl": grown(XL_HVM),
    "xapi": grown(XAPI_HVM),
    "remus": grown(REMUS_HVM),
    "remus in libxl": grown(LIBXL_REMUS),
    "pv": grown(PV),
}


def cuts(stream: Draft) -> list[int]:
    """Places around the beginnings of the records, and in the middle of each."""
    places = sorted({*stream.offsets(), len(stream.render())})
    found = {at + step for at in places for step in (-1, 0, 3, 8, 16)}
    found |= {(one + other) // 2 for one, other in pairwise(places)}
    return sorted(at for at in found if 0 < at <= places[-1])


def heard(data: bytes, look: bool) -> tuple[list[Any], int]:
    """What listeners that need no memory find in a file; and how many records went by unread."""
    passed = 0

    def noting(sink: Any, *words: Any) -> None:
        nonlocal passed
        passed += words[-1]
        type(sink).passed(sink, *words)

    found: list[Any] = []
    targets = [Target(text) for text in ("HVM_PARAMS.count", "X86_TSC_INFO.khz", "libxc.END@0")]
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for make in (Listing, partial(Locating, targets), Verifier):
            sink: Any = make()
            sink.trusting = True
            sink.passed = partial(noting, sink)
            reader = sink.reader if make is not Verifier else Reader(sink)
            file.seek(0)
            source = FileSource(file.fileno())
            if not look:
                source.look = lambda at, count: b""  # type: ignore[method-assign] # it sees nothing
            drive(sink if make is Listing else reader.pump, source)
            reader.close()
            if isinstance(sink, Listing):
                sink.end()
                found.append(sink.as_dict())
            elif isinstance(sink, Locating):
                found.append([[(each.body, each.length) for each in sink.found[target]] for target in targets])
                found.append(str(sink.failure))
            else:
                found += [sink.findings.counts, sink.complete, sink.stopped]
    return found, passed


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_is_heard(name: str) -> None:
    """Whole or cut anywhere, as if every batch were read; of a PV guest's memory none goes by in a judgement."""
    data = STREAMS[name].render()
    for cut in cuts(STREAMS[name]):
        one, passed = heard(data[:cut], look=True)
        other, none = heard(data[:cut], look=False)
        assert one == other, cut
        assert not none
    assert passed == 4 * (2 if name == "pv" else 3)


@pytest.mark.parametrize("length", [0, 5, 1 << 16, 1 << 27, (1 << 32) - 1])
def test_lengths_that_lie(length: int) -> None:
    """A batch that says it has another length leads where its reader would go, too."""
    stream = STREAMS["xl"]
    data = bytearray(stream.render())
    at = stream.offset("libxc.PAGE_DATA", 1)
    data[at + 4 : at + 8] = length.to_bytes(4, "little")

    assert heard(bytes(data), look=True)[0] == heard(bytes(data), look=False)[0]


def test_spans_see_what_is_put_in() -> None:
    """Bytes of a file in which some are exchanged, wherever they begin."""
    data = bytes(range(100))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        span = Spliced(file.fileno(), 100, [(10, 20, b"abc"), (50, 50, b"defg"), (90, 100, b"")])
        whole = data[:10] + b"abc" + data[20:50] + b"defg" + data[50:90]
        assert [span.look(at, 8) for at in range(110)] == [whole[at : at + 8] for at in range(110)]


@pytest.mark.parametrize(
    ("path", "value", "clauses"),
    [
        ("libxc.PAGE_DATA[1].reserved", "1", {"LIBXC-PAGE-HDR-RSVD"}),
        ("libxc.domain_header.page_shift", "13", {"LIBXC-DHDR-PAGESHIFT"}),
        ("HVM_PARAMS.reserved", "1", {"LIBXC-REC-RSVD"}),
        ("X86_TSC_INFO.khz", "7", set()),
    ],
)
def test_what_an_edit_breaks(path: str, value: str, clauses: set[str]) -> None:
    """In memory as beside it."""
    with tempfile.TemporaryFile() as file:
        file.write(STREAMS["xl"].render())
        file.flush()
        edit = Edit(os.dup(file.fileno()))
        edit.make([(path, value)], None)
        assert {finding.clause for finding in edit.breaches()} == clauses
