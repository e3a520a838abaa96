"""The plain readers that conversions are judged by find what real readers find."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

import pytest

from ..conformance import converters
from ..conformance.converters import options
from ..conformance.peers import XENPEER
from ..conformance.restored import taken
from ..schema.clauses import CONVERTER
from .support import peers, plain_memory_legacy
from .support.good_streams import LIBXL_HVM, LIBXL_REMUS, XL_HVM
from .support.plain_memory import Image, PlainError, Vcpu, differences
from .support.plain_memory_v3 import listed, read
from .support.restored import unlike

Sample = Callable[[str], bytes]


@pytest.mark.peer
@pytest.mark.parametrize(("name", "kind"), [("hvm-64", "hvm"), ("hvm-remus", "hvm-remus"), ("pv-list", "pv")])
def test_it_finds_what_libxenguest_finds(name: str, kind: str, sample: Sample) -> None:
    """Of streams that Xen's own writer made."""
    peers.require(XENPEER)
    data = sample(f"{name}.bin.gz")
    image = read(data)

    assert image.end == len(data)
    assert (image.complete > 1) == kind.endswith("remus")
    assert unlike(image, taken(kind, data)) == []


def test_the_last_whole_checkpoint_counts(sample: Sample) -> None:
    """A stream cut anywhere between two checkpoints has the guest of the one before; before the first it has none."""
    data = sample("hvm-remus.bin.gz")
    at, ends = 40, []
    for _, kind, body in listed(data):
        at += 8 + len(body) + -len(body) % 8
        ends += [at] if kind == 0x0E else []
    first, second = (read(data[:end]) for end in ends[:2])

    assert (first.complete, second.complete) == (1, 2)
    assert first.pages != second.pages
    assert differences(read(data[: ends[1] - 1]), first) == []
    with pytest.raises(PlainError):
        read(data[: ends[0] - 1])


def test_libxl_s_streams() -> None:
    """The device model's state and its keys are read; in a checkpointed stream those of the last whole one."""
    one = read(LIBXL_HVM.render())
    checkpointed = LIBXL_REMUS.render()
    last = read(checkpointed)

    assert one.emulator
    assert one.xenstore
    assert differences(read(XL_HVM.render()), one) == []
    assert last.complete > 1
    assert [layer for layer, kind, _ in listed(checkpointed) if kind == 4 and layer == "libxl"]
    assert read(checkpointed[:-1]).complete == last.complete - 1


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("guest", "pv", "hvm"),
        ("frames", (1,), (2,)),
        ("p2m_size", 1, 2),
        ("guest_word", 4, 8),
        ("shared_info", b"a", b"b"),
        ("params", {}, {1: 2}),
        ("context", b"", None),
        ("tsc", None, (0, 0, 0, 0)),
        ("broken", set(), {1}),
        ("xenstore", (), ((b"a", b"b"),)),
        ("emulator", b"a", b"b"),
        ("page", {1: (0, b"a")}, {1: (0, b"b")}),
        ("page", {1: (0, b"a")}, {1: (1, b"a")}),
        ("page", {1: (0, b"a")}, {}),
        ("vcpu", {0: Vcpu(b"a")}, {0: Vcpu(b"b")}),
        ("vcpu", {0: Vcpu(b"a")}, {0: Vcpu(b"a", xsave=b"x")}),
        ("vcpu", {0: Vcpu(b"a")}, {}),
    ],
)
def test_each_difference_is_found(name: str, one: object, other: object) -> None:
    """Nothing that a guest has may differ unnoticed."""
    field = {"page": "pages", "vcpu": "vcpus"}.get(name, name)
    left, right = Image(guest="pv"), Image(guest="pv")
    setattr(left, field, one)
    setattr(right, field, other)
    (found, *_) = differences(left, right)

    assert found.startswith(name)
    assert differences(left, left) == []


# Of the streams that Xen's old saver wrote: the toolstack's word, the guest, its checkpoints, and a digest of its
# memory as Xen 4.5.0's own xc_domain_restore() was seen to leave it, but for what that writes itself.
LEGACY = {
    "legacy-44-hvm-64": (8, "hvm", 1, "28f6d82074c7770a"),
    "legacy-44-hvm-32-live": (4, "hvm", 1, "e4c5e43251320761"),
    "legacy-44-hvm-32-remus": (4, "hvm", 4, "dadb700de48c17d6"),
    "legacy-45-hvm-64-verify": (8, "hvm", 1, "e2d8b6a54b6f21b4"),
    "legacy-45-hvm-64-remus": (8, "hvm", 4, "dadb700de48c17d6"),
    "legacy-44-pv-64-live": (8, "pv", 1, "2cc15983df14d95d"),
    "legacy-44-pv-64-on-32": (4, "pv", 1, "24d06a427e88ccfa"),
    "legacy-44-pv-32": (4, "pv", 1, "4ab135d64b611afb"),
    "legacy-45-pv-32-on-64-remus": (8, "pv", 4, "c88b739249f1b1e5"),
}


def digest(image: Image) -> str:
    """Of all pages that a restore does not write itself: rings of HVM guests, start info and p2m table of PV guests."""
    own = {image.params.get(index) for index in (1, 5, 6, 17)} | set(image.frames)
    if image.guest == "pv":
        size = 8 if image.guest_word == 8 else 4
        at = 616 if size == 8 else 524
        own.add(int.from_bytes(image.vcpus[0].basic[at : at + size], "little"))
    found = hashlib.blake2b(digest_size=8)
    for pfn, (kind, data) in sorted(image.pages.items()):
        if pfn not in own:
            found.update(struct.pack("<QQ", pfn, kind) + data)
    return found.hexdigest()


@pytest.mark.parametrize("name", LEGACY)
def test_old_streams_of_the_real_saver(name: str, sample: Sample) -> None:
    """They are read to their ends, for the memory that the real reader of their time left."""
    word, guest, complete, memory = LEGACY[name]
    data = sample(f"{name}.bin.gz")
    image = plain_memory_legacy.read(data, word, guest)

    assert (image.end, image.complete) == (len(data), complete)
    assert digest(image) == memory
    assert (image.verified, image.broken) == (
        name in ("legacy-45-hvm-64-verify", "legacy-44-pv-32"),
        {30} if name == "legacy-45-hvm-64-verify" else set(),
    )


@pytest.mark.peer
def test_converter_takes_what_the_real_saver_wrote(sample: Sample) -> None:
    """What has one checkpoint: the same guest comes out."""
    peers.require(CONVERTER)
    names = [name for name, (_, _, complete, _) in LEGACY.items() if complete == 1]
    asked = [(options(8 * LEGACY[name][0], LEGACY[name][1], "libxl"), sample(f"{name}.bin.gz")) for name in names]
    for name, (_, data), said in zip(names, asked, converters.convert(asked), strict=True):
        word, guest, _, _ = LEGACY[name]

        assert said.status == 0, (name, said.error)
        assert differences(plain_memory_legacy.read(data, word, guest), read(said.output)) == [], name
