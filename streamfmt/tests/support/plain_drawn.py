"""Hypothesis strategies of legacy streams, over the plain writer; nothing of the product.

`setups` has what the releases wrote, `unusual` what none wrote but the format allows and readers of its time took,
`mutated` and `cut` have what is likely wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from . import plain_legacy as plain
from .plain_guests import Piece, Setup, pieces, saved
from .plain_legacy import L1, NOTAB, PAGE, XALLOC, XTAB, Physmap, entry
from .plain_releases import VARIANTS

_NAMES = st.none() | st.text("abcdefghijklmnopqrstuvwxyz.-/", max_size=24).map(str.encode)
_WORDS = st.integers(0, (1 << 64) - 1)
REGIONS = st.lists(st.builds(Physmap, _WORDS, _WORDS, _WORDS, _NAMES), max_size=3).map(tuple)
_STATES = st.binary(max_size=100).map(lambda data: plain.DEVICE + data.translate(None, bytes(range(9)) + b"\x7e"))


@st.composite
def setups(draw: st.DrawFn, release: str = "", guest: str = "", word: int = 0, checkpoints: bool = True) -> Setup:
    """Guests of all releases, saved in all ways that these had; what is given is fixed."""
    release = release or draw(st.sampled_from(list(VARIANTS)))
    own = VARIANTS[release]
    guest = guest or draw(st.sampled_from(["pv", "hvm"] if own.hvm else ["pv"]))
    word = word or draw(st.sampled_from([8, 4]))
    guest_word = 8
    if guest == "pv":
        guest_word = draw(st.sampled_from([8, 4])) if own.crossed else word
    p2m_size = draw(st.sampled_from([24, 32, 40, 40]) if guest == "pv" else st.integers(12, 48))
    free = range(19, p2m_size) if guest == "pv" else range(p2m_size - 8)
    some = st.lists(st.sampled_from(free), unique=True, max_size=4).map(sorted).map(tuple)
    holes = draw(some)
    highest = draw(st.integers(0, 5 if own.words >= 0 else 130)) if own.words else 0
    vcpus = sorted({0, *draw(st.lists(st.integers(0, highest), max_size=3))}) if own.words else [0]
    more = draw(st.integers(0, 2)) if own.remus and checkpoints else 0
    last = draw(st.integers(1, 3))
    return Setup(
        release,
        guest,
        word,
        guest_word,
        p2m_size,
        tuple(vcpus),
        draw(st.none() | st.just(highest)) if own.words else None,
        holes,
        tuple(pfn for pfn in draw(some) if pfn not in holes) if own.broken else (),
        last,
        draw(st.integers(1, 12) | st.just(1024)),
        # Only `xl migrate --debug` asks for it, never Remus: a reader would take nothing from a later checkpoint.
        verify=not more and draw(st.booleans()),
        tmem=own.tmem is not None and draw(st.booleans()),
        unmapped=draw(some),
        regions=draw(REGIONS),
        checkpoints=more,
        compressed=bool(more) and own.compression and draw(st.booleans()),
        sender=draw(st.sampled_from(["libxl", "xend"])),
        xsave=(draw(st.sampled_from([592, 832])),),
        state=draw(_STATES),
        seed=draw(st.integers(0, 3)),
    )


class Drawn(NamedTuple):
    """A stream, the guest that was saved in it before something was changed, and what was, in words."""

    setup: Setup
    stream: bytes
    change: str = ""

    def __repr__(self) -> str:
        return f"Drawn({self.setup}, {len(self.stream)} bytes, {self.change!r})"


def _joined(parts: list[Piece]) -> bytes:
    return b"".join(data for _, data in parts)


def _at(parts: list[Piece], name: str) -> int:
    return [found for found, _ in parts].index(name)


def _page(number: int) -> bytes:
    return bytes([number]) * PAGE


def _before(parts: list[Piece], name: str, new: bytes) -> None:
    parts.insert(_at(parts, name), ("NEW", new))


def _twice_in_a_batch(setup: Setup, parts: list[Piece]) -> None:
    values = [entry(NOTAB, 0), entry(XTAB, 0), entry(NOTAB, 0)]
    _before(parts, "END_OF_BODY", plain.batch(setup.word, values, _page(1) + _page(2)))


def _only_holes(setup: Setup, parts: list[Piece]) -> None:
    _before(parts, "PAGE_BATCH", plain.batch(setup.word, [entry(XTAB, 0)] * 3 + [entry(XTAB, 0xFFFFFF)], b""))


def _announced(setup: Setup, parts: list[Piece]) -> None:
    _before(parts, "PAGE_BATCH", plain.batch(setup.word, [entry(XALLOC, 0)], b""))


def _tables_first_pages_later(setup: Setup, parts: list[Piece]) -> None:
    kind = L1 if setup.pv else NOTAB
    _before(parts, "PAGE_BATCH", plain.batch(setup.word, [entry(kind, 0)], bytes(PAGE)))


def _pages_after_chunks(setup: Setup, parts: list[Piece]) -> None:
    at = _at(parts, "PAGE_BATCH")
    parts.insert(_at(parts, "END_OF_BODY") - 1, parts.pop(at))


def _reversed_chunks(setup: Setup, parts: list[Piece]) -> None:
    last = _at(parts, "END_OF_BODY")
    first = max(at for at in range(last) if parts[at][0] == "PAGE_BATCH") + 1
    parts[first:last] = reversed(parts[first:last])


def _vcpus_again(setup: Setup, parts: list[Piece]) -> None:
    if setup.variant.words:
        _before(parts, "PAGE_BATCH", plain.vcpu_info(2, [0, 1, 2]))


def _bits_above_the_highest(setup: Setup, parts: list[Piece]) -> None:
    if setup.variant.words:
        highest = max(setup.vcpus)
        words = highest // 64 + 1
        parts[_at(parts, "VCPU_INFO")] = "VCPU_INFO", plain.vcpu_info(highest, {*setup.vcpus, 64 * words - 1}, words)


def _parameters_again(setup: Setup, parts: list[Piece]) -> None:
    if not setup.pv:
        again = plain.parameter(plain.HVM_CONSOLE_PFN, 1) + plain.parameter(plain.HVM_CONSOLE_PFN, 2, padding=7)
        _before(parts, "END_OF_BODY", again + plain.parameter(plain.HVM_ACCESS_RING_PFN, 0))


def _half_a_pair(setup: Setup, parts: list[Piece]) -> None:
    if not setup.pv:
        _before(parts, "END_OF_BODY", plain.parameter(plain.HVM_NR_IOREQ_SERVER_PAGES, 0))
        _before(parts, "PAGE_BATCH", plain.parameter(plain.HVM_IOREQ_SERVER_PFN, 3))


def _unknown_blocks(setup: Setup, parts: list[Piece]) -> None:
    if setup.pv and setup.blocks:
        at = _at(parts, "EXTENDED_INFO")
        blocks = parts[at][1][setup.word + 4 :] + plain.block(b"what", b"ever") + plain.block(b"none")
        parts[at] = "EXTENDED_INFO", plain.extended_info(setup.word, blocks)


def _vcpu_block_again(setup: Setup, parts: list[Piece]) -> None:
    if setup.pv and setup.blocks:
        at = _at(parts, "EXTENDED_INFO")
        other = plain.block(b"vcpu", bytes(plain.VCPU_CONTEXT[12 - setup.guest_word]))
        parts[at] = "EXTENDED_INFO", plain.extended_info(setup.word, other + parts[at][1][setup.word + 4 :])


def _tsc_later(setup: Setup, parts: list[Piece]) -> None:
    _before(parts, "END_OF_BODY", plain.tsc_info(2, 5, 6, 7))


def _types_with_a_pin(setup: Setup, parts: list[Piece]) -> None:
    _before(parts, "PAGE_BATCH", plain.batch(setup.word, [entry(plain.PIN, 0)], _page(3)))


# What a reader of its time takes, though no release wrote it.
UNUSUAL: dict[str, Callable[[Setup, list[Piece]], None]] = {
    change.__name__.strip("_").replace("_", " "): change
    for change in (
        _twice_in_a_batch,
        _only_holes,
        _announced,
        _tables_first_pages_later,
        _pages_after_chunks,
        _reversed_chunks,
        _vcpus_again,
        _bits_above_the_highest,
        _parameters_again,
        _half_a_pair,
        _unknown_blocks,
        _vcpu_block_again,
        _tsc_later,
        _types_with_a_pin,
    )
}


@st.composite
def unusual(draw: st.DrawFn) -> Drawn:
    """Streams of `setups` without verify mode or checkpoints, changed in ways of UNUSUAL."""
    setup = draw(setups(checkpoints=False))._replace(verify=False)
    names = draw(st.lists(st.sampled_from(list(UNUSUAL)), unique=True, min_size=1, max_size=3))
    parts = pieces(setup)
    for name in names:
        UNUSUAL[name](setup, parts)
    return Drawn(setup, _joined(parts), ", ".join(names))


@st.composite
def cut(draw: st.DrawFn) -> Drawn:
    """Streams of `setups` that end early, often at the end of a part or near it."""
    setup = draw(setups())
    parts = pieces(setup)
    ends = [len(_joined(parts[:count])) for count in range(len(parts))]
    size = ends[-1] + len(parts[-1][1])
    near = st.builds(int.__add__, st.sampled_from(ends), st.sampled_from([-1, 0, 0, 1, 4, 8, 12]))
    at = min(max(draw(near | st.integers(0, size - 1)), 0), size - 1)
    return Drawn(setup, saved(setup)[:at], f"cut at {at}")


_NUMBERS = st.sampled_from([0, 1, 2, 20, 1024, 1025, 4095, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])


@st.composite
def mutated(draw: st.DrawFn) -> Drawn:
    """Streams of `setups` with a number put somewhere, or a few bytes taken out or put in, most in their headers."""
    setup = draw(setups())
    parts = pieces(setup)
    number = draw(st.integers(0, len(parts) - 1))
    start = len(_joined(parts[:number]))
    offset = start + draw(st.integers(0, min(len(parts[number][1]), 64) // 4)) * 4
    stream = bytearray(_joined(parts))
    how = draw(st.sampled_from(["put", "take out", "insert"]))
    size = draw(st.sampled_from([1, 4, 8]))
    if how == "put":
        stream[offset : offset + 4] = struct.pack("<I", draw(_NUMBERS | st.integers(0, 0xFFFFFFFF)))
    elif how == "take out":
        del stream[offset : offset + size]
    else:
        stream[offset:offset] = draw(st.binary(min_size=size, max_size=size))
    return Drawn(setup, bytes(stream), f"{how} at {offset}, in {parts[number][0]}")
