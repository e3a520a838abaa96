"""The plain reader of new streams that conversions are judged by: it finds what real readers find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..conformance.peers import XENPEER
from ..conformance.restored import taken
from .support import peers
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
