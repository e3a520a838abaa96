"""Recognising legacy streams by shape: what must be known for one, and what must not."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfmt import identify
from streamfmt.reader.identify import named
from streamfmt.reader.legacy_guess import HEAD_MAX, guess_legacy, perhaps_legacy

from .support.plain_drawn import UNUSUAL
from .support.plain_guests import Setup, pieces, saved
from .support.plain_setups import setups

PAGE = 4096
XTAB = 0xF0000000
END = struct.pack("<i", 0)
VCPUS = struct.pack("<iIQ", -2, 0, 1)
TSC = struct.pack("<iIQII", -7, 1, 123456789, 2_400_000, 1)
TMEM = struct.pack("<i7I", -5, 1, 16, 0xFFFFFFFF, 0, 0, 0, 0xFFFFFFFF) + struct.pack("<I", 0xFFFFFFFF)
CHUNKS_4_5 = (
    VCPUS + struct.pack("<iIQ", -3, 0, 0xFEFFE) + struct.pack("<iI", -18, 8) + bytes(8) + struct.pack("<i", -9) + END
)


def words(width: int, *values: int) -> bytes:
    return struct.pack(f"<{len(values)}{'I' if width == 32 else 'Q'}", *values)


def batch(width: int, entries: list[int]) -> bytes:
    """A page batch; its pages look like code, not like a table."""
    pages = sum(entry >> 28 < 0xD for entry in entries)
    return (
        struct.pack("<i", len(entries))
        + words(width, *entries)
        + b"\x55\x48\x89\xe5\xc3\xcc\x90\xf4" * (pages * PAGE // 8)
    )


def extended(width: int, p2m_size: int, vcpu: int) -> bytes:
    """PV with extended info: 'vcpu' and 'extv', the frame list, the begin of a body."""
    ones = (1 << width) - 1
    blocks = b"vcpu" + struct.pack("<I", vcpu) + b"\x5a" * vcpu + b"extv" + bytes(4)
    frames = -(-p2m_size * (4 if vcpu == 2800 else 8) // PAGE)
    return (
        words(width, p2m_size, ones)
        + struct.pack("<I", len(blocks))
        + blocks
        + words(width, *range(900, 900 + frames))
        + batch(width, [0, 1, 2])
        + CHUNKS_4_5
    )


def listed(width: int, p2m_size: int, first: int, body: bytes) -> bytes:
    """PV without extended info: the frame list from PFN `first` on, then `body`."""
    frames = -(-p2m_size * (width // 8) // PAGE)
    return words(width, p2m_size, *range(first, first + frames)) + body


def permuted(p2m_size: int, count: int) -> list[int]:
    """The first PFNs in the order of Xen 3.0 to 3.2."""
    bits = (p2m_size - 1).bit_length()
    order = []
    for index in range(count):
        pfn = index
        while True:
            pfn = (pfn >> (bits - 10) | pfn << 10) & ((1 << bits) - 1)
            if pfn < p2m_size:
                break
        order.append(pfn)
    return order


FULL = list(range(1024))

# name: (head, width, guest, guest width)
POSITIVE = {
    "pv64": (extended(64, 0x40000, 5168), 64, "pv", 64),
    "pv32 on 64": (extended(64, 0x40000, 2800), 64, "pv", 32),
    "pv32": (extended(32, 0x40000, 2800), 32, "pv", 32),
    "pv64 on 32": (extended(32, 0x40000, 5168), 32, "pv", 64),
    "hvm64": (words(64, 0x40000) + batch(64, FULL), 64, "hvm", None),
    "hvm32": (words(32, 0x40000) + batch(32, FULL), 32, "hvm", None),
    "hvm64 tsc": (words(64, 0x40000) + TSC + batch(64, FULL), 64, "hvm", None),
    "hvm32 tsc": (words(32, 0x40000) + TSC + batch(32, FULL), 32, "hvm", None),
    "hvm64 tmem": (words(64, 0x40000) + TMEM + batch(64, FULL), 64, "hvm", None),
    "hvm32 tmem": (words(32, 0x40000) + TMEM + batch(32, FULL), 32, "hvm", None),
    "hvm64 voids": (words(64, 0x40000) + batch(64, [XTAB] * 1024), 64, "hvm", None),
    "hvm32 voids": (words(32, 0x40000) + batch(32, [XTAB] * 1024), 32, "hvm", None),
    "hvm64 holes": (words(64, 0x40000) + batch(64, [*range(160), *[XTAB] * 96, *range(256, 1024)]), 64, "hvm", None),
    "hvm64 alloc": (words(64, 0x40000) + batch(64, [0xE0000000 | pfn for pfn in FULL]), 64, "hvm", None),
    "hvm64 small": (words(64, 16) + batch(64, [0, 1, 2, 3]) + CHUNKS_4_5, 64, "hvm", None),
    "hvm32 small": (words(32, 16) + batch(32, [0, 1, 2, 3]) + CHUNKS_4_5, 32, "hvm", None),
    "hvm64 small alloc": (
        words(64, 16) + batch(64, [0xE0000000, 0xD0000001, XTAB, 3]) + CHUNKS_4_5,
        64,
        "hvm",
        None,
    ),
    "hvm32 of xen 3.2": (words(32, 0x2F000) + batch(32, permuted(0x2F000, 1024)), 32, "hvm", None),
    "hvm64 of xen 3.2": (words(64, 0x140000) + batch(64, permuted(0x140000, 1024)), 64, "hvm", None),
    "pv64 listed": (listed(64, 0x8000, 0x700, batch(64, FULL)), 64, "pv", 64),
    "pv32 listed": (listed(32, 0x8000, 0x700, batch(32, FULL)), 32, "pv", 32),
    "pv32 listed low": (listed(32, 0x8000, 300, batch(32, FULL)), 32, "pv", 32),
    "pv64 listed, 3.0": (listed(64, 0x8000, 0x700, batch(64, permuted(0x8000, 1024))), 64, "pv", 64),
    "pv32 listed, 3.0": (listed(32, 0x8000, 0x700, batch(32, permuted(0x8000, 1024))), 32, "pv", 32),
    "pv32 listed, types": (
        listed(32, 0x8000, 0x700, batch(32, [pfn | (pfn % 5) << 28 | (pfn % 5 and 1) << 31 for pfn in FULL])),
        32,
        "pv",
        32,
    ),
    "pv32 listed, 3.0, mfns": (
        listed(32, 0x8000, 0x700, batch(32, [*range(20), *[XTAB | 0xABCDEF] * 20, *range(40, 1024)])),
        32,
        "pv",
        32,
    ),
    "pv32 listed small": (listed(32, 2048, 5, batch(32, [0, 1, 2, 3, 4, 5, 6, 7]) + VCPUS + END), 32, "pv", 32),
    "pv64 listed, beyond the head": (listed(64, 0x800000, 0x700, b""), 64, "pv", 64),
}

# A list that begins below PFN 1024 and has over 1024 frames holds a whole HVM batch too; the list goes on to PFN 0.
RIVALS = listed(32, 0x200000, 300, batch(32, FULL))
# A batch that does not begin at PFN 0 is a list as well, and the word after that list a batch's count.
UNDECIDED = words(32, 0x40000) + batch(32, list(range(16, 1040)))

NOISE = random.Random(4)
TEXT = b"#!/usr/bin/env python3\n# Once upon a time there was a guest that wished to move house.\n" * 40
NEGATIVE = {
    "empty": b"",
    "zeros": bytes(8192),
    "ones": b"\xff" * 8192,
    "random": NOISE.randbytes(HEAD_MAX),
    "text": TEXT,
    "short lines": b"".join(b"\n%c%c%c" % (122 - n // 26, 97 + n % 26, 97) for n in range(400)),
    "utf-16": TEXT.decode().encode("utf-16-le"),
    "utf-32": TEXT.decode().encode("utf-32-le"),
    "libxc image": b"\xff" * 8 + struct.pack(">IIHHI", 0x58454E46, 2, 0, 0, 0) + struct.pack("<IHHII", 1, 12, 0, 4, 6),
    "libxl": b"LibxlFmt" + struct.pack(">II", 2, 0) + bytes(64),
    "qemu": b"QEVM" + struct.pack(">I", 3) + b"\x01\0\0\0\x02" + bytes(64),
    "hvm context": struct.pack("<HHIIIQII", 1, 0, 24, 0x54381286, 2, 0, 0, 0) + bytes(256),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQ", 2, 62, 1, 0x1000000, 64, 0) + bytes(64),
    "gzip": gzip.compress(NOISE.randbytes(2000), mtime=1_400_000_000),
    "gzip -n": gzip.compress(NOISE.randbytes(2000), mtime=0),
    "zip": struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0x6B21, 0x4A5C, 0x12345678, 99, 100, 5, 0) + b"a.txt",
    "pcapng": struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28) + bytes(64),
    "executable": b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40" + bytes(35) + b"\x80\0\0\0",
    "python cache": struct.pack("<IIII", 0x0A0D0DA7, 0, 1_700_000_000, 4321) + b"\xe3" + bytes(16),
    "table of offsets": struct.pack("<202I", 90000, 200, *range(808, 808 + 200 * 400, 400)),
    "table of empty slots": struct.pack("<202I", 90000, 200, *[0xFFFFFFFF] * 200),
    "quiet sound": struct.pack("<512i", *(NOISE.randrange(-20, 20) for _ in range(512))),
    "one page of zeros": words(64, 5) + batch(64, [0])[:12] + bytes(2 * PAGE),
}


@pytest.mark.parametrize("name", POSITIVE)
def test_recognised(name: str) -> None:
    """A stream of every kind is recognised with its width and guest, and the evidence is words."""
    head, width, guest, guest_width = POSITIVE[name]
    found = guess_legacy(head)

    assert found is not None
    assert (width, guest) == found[:2]
    assert f"p2m_size is {width}-bit" in found[2]
    assert (f"{guest_width}-bit PV guest" if guest_width else "HVM guest") in found[2].split(";")[-1]


@pytest.mark.parametrize("name", POSITIVE)
def test_prefixes(name: str) -> None:
    """A head cut anywhere says less, or nothing, but never something else."""
    head, width, guest, _ = POSITIVE[name]
    near = range(min(len(head), 1 << 9))
    coarse = range(0, min(len(head), HEAD_MAX), 509 if len(head) < 1 << 14 else 4099)
    for length in (*near, *coarse):
        found = guess_legacy(head[:length])
        if found is not None:
            assert width == found[0]
            assert found[1] in (None, guest)
    assert guess_legacy(head[:12]) is None


@pytest.mark.parametrize("name", NEGATIVE)
def test_not_recognised(name: str) -> None:
    """What is no legacy stream is not taken for one, nor is any beginning of it."""
    head = NEGATIVE[name]

    assert guess_legacy(head) is None
    assert not [length for length in range(min(len(head), 400)) if guess_legacy(head[:length])]


# Batches of so many pages, and which pages the guest does not have; and how a stream may begin that no release wrote,
# and all readers took.
SIZES: tuple[tuple[int, tuple[int, ...]], ...] = ((1, ()), (2, (19, 20)), (1024, (12,)))
OPENINGS = ("types with a pin", "announced", "only holes")


@pytest.mark.parametrize("number", range(3))
def test_each_release(number: int) -> None:
    """What each release wrote is recognised, in batches of any size and with any page type in the first."""
    for place, setup in enumerate(setups(), number):
        size, holes = SIZES[place % len(SIZES)]
        streams = [saved(setup._replace(batch=size, holes=holes))] if place % 2 else []
        if not setup.verify and not setup.checkpoints:
            streams.append(opened(setup, OPENINGS[place % len(OPENINGS)]))
        for stream in streams:
            found = guess_legacy(stream)

            assert found is not None, setup
            assert found[:2] == (8 * setup.word, setup.guest), found[2]


def opened(setup: Setup, opening: str) -> bytes:
    """The stream of a guest, with something before its first batch."""
    parts = pieces(setup)
    UNUSUAL[opening](setup, parts)
    return b"".join(data for _, data in parts)


@pytest.mark.parametrize("name", ["pv64", "pv32", "hvm64", "hvm32", "hvm64 small", "pv32 listed small"])
def test_undecided_beginnings(name: str) -> None:
    """Where a head proves too little, what it looks like is said, and by which options it is read."""
    head, width, guest, _ = POSITIVE[name]
    weak = [size for size in range(12, 160, 4) if perhaps_legacy(head[:size]) and not guess_legacy(head[:size])]
    for size in weak:
        found = identify(head[:size])

        assert (found.key, found.kind, found.known) == ("", "unknown", False)
        assert found.description == f"perhaps a {named(width, guest)}"
        assert f"--as legacy-{width} --guest {guest}" in found.hint
    assert weak


@pytest.mark.parametrize("name", NEGATIVE)
def test_nothing_is_perhaps_one(name: str) -> None:
    """What is no legacy stream does not look like one either."""
    assert perhaps_legacy(NEGATIVE[name]) is None


def test_random_heads() -> None:
    """Chance does not make a legacy stream: none in 20,000 heads of 64 bytes."""
    noise = random.Random(20)

    assert not [head for head in (noise.randbytes(64) for _ in range(20_000)) if guess_legacy(head)]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=4096))
def test_any_bytes(head: bytes) -> None:
    """No bytes whatever raise."""
    guess_legacy(head)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged(data: st.DataObject) -> None:
    """Nor do streams with a few bytes overwritten; the bytes that give the width decide alone."""
    head = bytearray(data.draw(st.sampled_from([row[0][:4096] for row in POSITIVE.values()])))
    for at in data.draw(st.lists(st.integers(0, len(head) - 1), max_size=4)):
        head[at] = data.draw(st.integers(0, 255))
    found = guess_legacy(bytes(head))

    assert found is None or found[0] == (32 if any(head[4:8]) else 64)


def test_undecided() -> None:
    """Where the bytes fit an HVM batch and a frame list, the guest is None and the evidence says so."""
    found = guess_legacy(UNDECIDED)

    assert found is not None
    assert found[:2] == (32, None)
    assert "HVM" in found[2]
    assert "PV" in found[2]
    assert "unknown" in found[2]


def test_decided_by_page_zero() -> None:
    """A frame list that reads as a batch is one all the same if one from PFN 0 follows; cut before, who knows."""
    found = guess_legacy(RIVALS)
    cut = guess_legacy(RIVALS[: 4 * 1500])

    assert found is not None
    assert cut is not None
    assert found[1] == "pv"
    assert "32-bit PV guest" in found[2]
    assert cut[:2] == (32, None)


def test_decided_by_defect() -> None:
    """A reading without a defect beats one that has proved much and then meets one."""
    found = guess_legacy(words(32, 0x40000) + batch(32, list(range(16, 416))))

    assert found is not None
    assert found[1] == "hvm"


@pytest.mark.parametrize("width", [32, 64])
def test_defect_far_in(width: int) -> None:
    """A stream that has proved itself stays recognised when its 500th entry, or what follows the batch, is broken."""
    entries = [*FULL[:500], 0x50000001, *FULL[501:]]
    after = words(width, 0x40000) + batch(width, [0, 1, 2, *[XTAB] * 200]) + struct.pack("<i", -99)
    for head in (words(width, 0x40000) + batch(width, entries), after):
        found = guess_legacy(head)

        assert found is not None
        assert found[:2] == (width, "hvm")


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(
    "flaw",
    [
        {"p2m_size": 0},
        {"p2m_size": 0x10000000},
        {"p2m_size": 15},
        {"count": 1025},
        {"count": -21},
        {"count": 0},
        {"entry": 0x40000},
        {"entry": 0x50000005},
        {"entry": 0x10000005},
        {"entry": 4},
    ],
    ids=str,
)
def test_flaw_early(width: int, flaw: dict[str, int]) -> None:
    """A p2m_size, count or early entry no writer of an HVM stream emits refutes it."""
    entries = [*range(5), flaw.get("entry", 5), *range(6, 1024)]
    body = struct.pack("<i", flaw.get("count", 1024)) + words(width, *entries)

    assert guess_legacy(words(width, flaw.get("p2m_size", 0x40000)) + body) is None


def test_bounds_of_a_batch() -> None:
    """A batch has at most p2m_size entries, and no PFN equals p2m_size."""
    assert guess_legacy(words(64, 20) + batch(64, [XTAB] * 20)) is not None
    assert guess_legacy(words(64, 20) + batch(64, [XTAB] * 21)) is None
    assert guess_legacy(words(64, 20) + batch(64, [*range(18), 19])) is not None
    assert guess_legacy(words(64, 20) + batch(64, [*range(18), 20])) is None


def test_largest_list() -> None:
    """Without extended info a 32-bit toolstack has no guest above 64 GiB, so text, whose bytes are large, is none."""
    frames = range(0x700, 0x780)

    assert guess_legacy(words(32, 1 << 24, *frames)) is not None
    assert guess_legacy(words(32, (1 << 24) + 1, *frames)) is None


def test_upper_half() -> None:
    """A 64-bit entry has nothing in its upper half."""
    assert guess_legacy(words(64, 0x40000) + batch(64, [0, 1, 1 << 32 | 2, *range(3, 1024)])) is None


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(
    ("at", "value"), [(0, 5168 + 7), (0, 1 << 20), (4, 0x75706378), (8, 5167)], ids=["short", "long", "tag", "size"]
)
def test_extended_info(width: int, at: int, value: int) -> None:
    """Extended info needs a length its 'vcpu' block fits in, and a block of a known size."""
    head = bytearray(extended(width, 0x40000, 5168))
    struct.pack_into("<I", head, width // 4 + at, value)

    assert guess_legacy(bytes(head)) is None


@pytest.mark.parametrize("width", [32, 64])
def test_frame_list(width: int) -> None:
    """Frames are distinct, not 0 and below p2m_size."""
    p2m_size = 2 * PAGE // (width // 8)

    assert guess_legacy(words(width, p2m_size, 7, 8) + batch(width, FULL)) is not None
    for frames in ((7, 7), (0, 7), (7, p2m_size)):
        assert guess_legacy(words(width, p2m_size, *frames) + batch(width, FULL)) is None


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(
    "chunk",
    [
        struct.pack("<iIQII", -7, 4, 1, 2_400_000, 1),
        struct.pack("<i7I", -5, 1, 16, 0, 0, 0, 0, 0),
        struct.pack("<iI65Q", -2, 4096, 1, *[0] * 64),
        struct.pack("<iQ", -12, 0),
        struct.pack("<i", -1),
        struct.pack("<i", -21),
    ],
    ids=["tsc mode", "tmem", "vcpus", "compressed", "verify", "unknown"],
)
def test_opening_chunk(width: int, chunk: bytes) -> None:
    """A chunk that cannot stand after p2m_size, or has impossible content, refutes whatever batch follows it."""
    assert guess_legacy(words(width, 0x40000) + chunk + batch(width, FULL)) is None


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(
    "chunk",
    [
        VCPUS,
        struct.pack("<iI65Q", -2, 4095, 1, *[0] * 64)[:-8],
        struct.pack("<iIQ", -20, 0, 7),
        struct.pack("<iI8s", -18, 8, b"toolkits"),
        struct.pack("<i", -9),
        struct.pack("<iIQII", -7, 1, 1, 7, 1),
    ],
    ids=["vcpus", "many vcpus", "parameter", "toolstack", "last", "tsc frequency"],
)
def test_opening_chunk_proves_little(width: int, chunk: bytes) -> None:
    """Other chunks there are no evidence by themselves, but leave it to the batch that follows."""
    head = words(width, 0x40000) + chunk
    found = guess_legacy(head + batch(width, FULL))

    assert guess_legacy(head) is None
    assert found is not None
    assert found[:2] == (width, "hvm")


def test_opening_chunk_needs_a_rest() -> None:
    """A sound TSC chunk proves nothing when no chunk follows it."""
    assert guess_legacy(words(64, 0x40000) + TSC) is not None
    assert guess_legacy(words(64, 0x40000) + TSC + struct.pack("<i", 4711)) is None


@pytest.mark.parametrize(
    "unit", [b"\xff\xff\xff\xff", struct.pack("<iI", 1, XTAB), struct.pack("<iI", 1, 0), struct.pack("<iI", -18, 0)]
)
def test_bounded(unit: bytes) -> None:
    """The longest walk is short, and no more than 64 KiB are looked at."""
    head = words(32, 0x40000) + batch(32, FULL[:1])[:8] + bytes(PAGE) + unit * (1 << 20)
    start = time.process_time()
    found = guess_legacy(head)

    assert time.process_time() - start < 0.5
    assert found == guess_legacy(head[:HEAD_MAX])


def test_imports() -> None:
    """The module costs no start-up time: none of the slow parts of the standard library comes with it."""
    slow = {"dataclasses", "typing", "enum", "pathlib", "logging", "re"}
    code = "import sys; had = set(sys.modules); import streamfmt.reader.legacy_guess; print(*sys.modules.keys() - had)"
    command = [sys.executable, "-S", "-c", code]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

    assert "streamfmt.reader.legacy_guess" in loaded
    assert not loaded & slow
