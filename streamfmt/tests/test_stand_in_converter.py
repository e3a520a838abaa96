"""Our convert-legacy-stream and Xen's: the same bytes where Xen's is right, each exception with its reason."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import pytest

from .. import data, tables
from ..cli.convert_legacy_stream import main
from ..conformance import converters
from ..conformance.converters import Conversion, options
from ..conformance.peers import RELEASE, RELEASES
from ..convert.rules import RULES
from ..schema.clauses import CONVERTER
from .support import peers
from .support.plain_drawn import UNUSUAL
from .support.plain_guests import Setup, pieces, saved
from .support.plain_memory_v3 import listed
from .support.plain_setups import named, setups
from .support.vector import judge
from .test_converter import CALLS, HVM, PARTS, PV

pytestmark = pytest.mark.peer

# What Xen's converter takes and makes otherwise, or should not take: the rule or clause that says why.
CHANGED = {
    "two vcpu blocks": "LIBXC-PVINFO-ONCE",
    "a batch of 1024": "DROP-XTAB",
    "holes with bits are kept": "DROP-XTAB",
    "nothing but holes": "DROP-EMPTY-BATCH",
    "verify mode": "MAP-VERIFY",
    "no vcpu map": "LIBXC-VCPU0-BASIC",
    "a second checkpoint": "MAP-FLATTEN",
    "parameters as they come": "LEGACY-PARAM-ZERO",
    "half of a pair": "DROP-IOREQ",
}
REFUSED = {
    "a longer xcnt": "LEGACY-EXTINFO-BLOCKS",
    "hvm of no pages": "LEGACY-P2M-SIZE",
    "hvm of 2^28 pages": "LEGACY-P2M-SIZE",
    "types 5 to 8": "LEGACY-PAGE-TYPE",
    "bits above the type": "LEGACY-PAGE-RESERVED",
    "a page beyond the last": "LEGACY-PAGE-PFN",
    "vcpu -1": "LEGACY-VCPU-ID",
    "toolstack version 2 to libxc": "LEGACY-TOOLSTACK",
    "toolstack of no bytes": "LEGACY-TOOLSTACK",
    "more in toolstack than counted": "LEGACY-TOOLSTACK",
    "qemu's state is anything": "LEGACY-QEMU-FORM",
}
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


def test_known_of_xens(ask: Ask) -> None:
    """Every row of what is known of Xen's: the same bytes, but for the exceptions; and no failure that it has not."""
    peers.require(CONVERTER)
    theirs = converters.convert([(row.words, row.data) for row in PARTS.values()])
    wrong, same = [], 0
    for (name, row), said in zip(PARTS.items(), theirs, strict=True):
        ours = ask((*row.words, "-v"), row.data)
        if name in REFUSED:
            right = (said.status, ours.status) == (0, 1) and REFUSED[name] in ours.error
        elif name in CHANGED:
            why = CHANGED[name]
            reported = (
                why in ours.said if why in RULES else why in (judge([said.output]).counts | judge([row.data]).counts)
            )
            right = (said.status, ours.status) == (0, 0) and reported and ours.output != said.output
        elif said.status:
            right = ours.status == 0 or (ours.status == 1 and "Stream Error" in ours.error)
        else:
            right = ours.status == 0 and ours.output == said.output
            same += right
        wrong += [] if right else [f"{name}: {said.status} and {ours.status} {ours.error}"]

    assert not wrong
    assert same > 15


def test_exceptions_are_documented() -> None:
    """The manual has each, with its reason, and no other."""
    with open(data.path("docs", "convert-legacy-stream.md"), encoding="utf-8") as page:
        names = [line.split("|")[1].strip() for line in page if line.startswith("| ")]
    found = [name for name in names if name in RULES or name in tables.SEVERITY]

    assert len(set(found)) == len(found)
    assert set(found) == {*CHANGED.values(), *REFUSED.values()}


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


def _compare(words: Sequence[str], setup: Setup, stream: bytes, said: Conversion, ask: Ask) -> bool:
    """Hold ours to what Xen's converter `said`; whether the bytes are the same."""
    ours = ask(words, stream)
    if said.status or ours.status:
        # Xen's converter takes what a judge does not, and has a fault of its own for much that it should take.
        return False
    if setup.checkpoints:
        assert "MAP-FLATTEN" in ask((*words, "-v"), stream).said
        return False
    theirs = _records(said.output, True)
    assert _records(ours.output, False) == theirs, (named(setup), words)
    exact = not setup.verify and theirs == listed(said.output)
    assert not exact or ours.output == said.output, (named(setup), words)
    return exact


def test_what_releases_wrote(ask: Ask) -> None:
    """Guests of all releases, saved in all their ways."""
    peers.require(CONVERTER)
    some = setups()[::5]
    asked = [
        (options(8 * setup.word, setup.guest, ("libxc", "libxl")[at % 2]), saved(setup))
        for at, setup in enumerate(some)
    ]
    theirs = converters.convert(asked)
    same = [
        _compare(words, setup, stream, said, ask)
        for setup, (words, stream), said in zip(some, asked, theirs, strict=True)
    ]

    assert all(said.status or ask(*one).status == 0 for one, said in zip(asked, theirs, strict=True))
    assert sum(same) > 5


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
    theirs = converters.convert(asked)
    same = [
        _compare(words, Setup("4.4", guest), stream, said, ask)
        for (words, stream), said in zip(asked, theirs, strict=True)
    ]

    assert sum(same) > 4
