"""Our convert-legacy-stream and Xen's: the same bytes where Xen's is right, and each exception is one by a clause."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import product
from typing import NamedTuple

import pytest

from ..cli.convert_legacy_stream import main
from ..conformance import converters
from ..conformance.converters import options
from ..conformance.peers import RELEASE, RELEASES
from ..conformance.predictions_converter import Case, compared
from ..schema.clauses import CONVERTER
from .support import peers
from .support.plain_drawn import UNUSUAL
from .support.plain_guests import Setup, pieces, saved
from .support.plain_memory_v3 import listed
from .support.plain_setups import setups
from .test_converter import CALLS, HVM, PARTS, PV

pytestmark = pytest.mark.peer

# By these Xen's has other records altogether: of the first checkpoint, or of no vcpu.
APART = {"LEGACY-LAST-WHOLE", "LEGACY-VCPU-INFO"}
XTAB, PAGE_DATA, INFO, PARAMS, VERIFY = 0xF, 1, 2, 10, 13


class Ours(NamedTuple):
    """What our command did: its exit status, what it wrote, printed and complained of."""

    status: int
    output: bytes
    said: str
    error: str


Ask = Callable[[Sequence[str], bytes], Ours]


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    """Call ours as libxl does."""

    def asked(words: Sequence[str], stream: bytes) -> Ours:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
            given.write(stream)
            given.flush()
            given.seek(0)
            status = main(["--in", str(given.fileno()), "--out", str(written.fileno()), *words])
            said, error = capfd.readouterr()
            return Ours(status, os.pread(written.fileno(), 1 << 24, 0), said, " ".join(error.split()))

    return asked


def _case(name: str, words: Sequence[str], stream: bytes, ours: Ours) -> Case:
    return Case(name, words, stream, None if ours.status else sha256(ours.output).hexdigest())


def test_known_of_xens(ask: Ask) -> None:
    """Every row of what is known of Xen's: the same bytes, but where a clause has a reason; and no failure without."""
    peers.require(CONVERTER)
    ours = {name: ask((*row.words, "-v"), row.data) for name, row in PARTS.items()}
    table = compared(_case(name, row.words, row.data, ours[name]) for name, row in PARTS.items())

    assert {said.status for said in ours.values()} == {0, 1}
    assert all("Stream Error" in said.error for said in ours.values() if said.status)
    assert [row.wrong for row in table if row.wrong] == []
    assert sum(row.did == "same" for row in table) > 15


def test_options_of_xens(ask: Ask) -> None:
    """The same exit statuses, but for --version, which Xen's cannot say."""
    found = {name: ask(words, saved(PV)).status for name, (words, _, _) in CALLS.items()}

    assert found == {name: status for name, (_, status, _) in CALLS.items()} | {"--version": 0}


@pytest.mark.parametrize("release", [release for release in RELEASES if release != RELEASE])
def test_other_releases(release: str, ask: Ask) -> None:
    """Their converters write the same."""
    peers.require(CONVERTER, release)
    asked = [(options(64, guest.guest, form), saved(guest)) for guest in (PV, HVM) for form in ("libxc", "libxl")]
    for (words, stream), said in zip(asked, converters.convert(asked, release), strict=True):
        assert ask(words, stream) == Ours(0, said.output, "", "")


# -- any streams --------------------------------------------------------------------------------------------------


def _records(output: bytes, theirs: bool) -> list[tuple[str, int, bytes]]:
    """Records of an output: Xen's without what it should not have, ours without what Xen's lacks."""
    found: list[tuple[str, int, bytes]] = []
    for layer, kind, body in listed(output):
        new = body
        if layer == "libxc" and kind == VERIFY and not theirs:
            continue
        if layer == "libxc" and kind == INFO and theirs:
            found = [one for one in found if one[1] != INFO]
        if layer == "libxc" and kind == PAGE_DATA and theirs:
            new = _without_holes(body)
        if layer == "libxc" and kind == PARAMS and theirs:
            new = _as_receivers_set(body)
        if new or not body:
            found.append((layer, kind, new))
    return found


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _without_holes(body: bytes) -> bytes:
    """PAGE_DATA without XTAB entries, empty if there are no others; type 8 is that of an ordinary page."""
    count = _number(body[:4])
    kept = []
    for at in range(8, 8 + 8 * count, 8):
        entry = _number(body[at : at + 8])
        if entry >> 60 == 8:
            entry &= (1 << 60) - 1
        if entry >> 60 != XTAB:
            kept.append(entry.to_bytes(8, "little"))
    return len(kept).to_bytes(8, "little") + b"".join(kept) + body[8 + 8 * count :] if kept else b""


def _as_receivers_set(body: bytes) -> bytes:
    """HVM_PARAMS with the last value of each, without zeros and without half of a pair."""
    values = {}
    for at in range(8, len(body), 16):
        values[_number(body[at : at + 8])] = _number(body[at + 8 : at + 16])
    pair = bool(values.get(32)) and bool(values.get(33))
    kept = {index: value for index, value in values.items() if value and (pair or index not in {32, 33})}
    rows = b"".join(index.to_bytes(8, "little") + value.to_bytes(8, "little") for index, value in kept.items())
    return len(kept).to_bytes(8, "little") + rows if kept else b""


def _same(asked: Sequence[tuple[Sequence[str], bytes]], ask: Ask) -> int:
    """Hold ours to what Xen's converter makes of all these; of how many the bytes are the same."""
    ours = [ask(*one) for one in asked]
    table = compared(_case(str(at), *one, ours[at]) for at, one in enumerate(asked))
    assert [row.wrong for row in table if row.wrong] == []
    for row, made in zip(table, ours, strict=True):
        # What differs is the matter of the clauses, and nothing else.
        if not row.theirs.status and not made.status and APART.isdisjoint(step.clause for step in row.steps):
            assert _records(made.output, False) == _records(row.theirs.output, True), row.case.words
    return sum(row.did == "same" for row in table)


def test_what_releases_wrote(ask: Ask) -> None:
    """Guests of all releases, saved in all their ways."""
    peers.require(CONVERTER)
    asked = [
        (options(8 * setup.word, setup.guest, ("libxc", "libxl")[at % 2]), saved(setup))
        for at, setup in enumerate(setups()[::4])
    ]

    assert _same(asked, ask) > 15


@pytest.mark.parametrize("guest", ["pv", "hvm"])
def test_what_only_readers_took(guest: str, ask: Ask) -> None:
    """Streams that no release wrote: the same again, or one of the exceptions."""
    peers.require(CONVERTER)
    asked = []
    for word, change in product((4, 8), UNUSUAL.values()):
        setup = Setup("4.4", guest, word)
        parts = pieces(setup)
        change(setup, parts)
        asked.append((options(8 * word, guest), b"".join(data for _, data in parts)))

    assert _same(asked, ask) > 4
