"""The plain writer and readers of legacy streams that tests judge by: they agree, and know what is written of both."""

from __future__ import annotations

import ast
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .support import plain_drawn, plain_guests, plain_legacy, plain_memory_legacy, plain_remus
from .support.plain_guests import Setup, kept, order, pieces, saved
from .support.plain_memory import PlainError
from .support.plain_releases import VARIANTS
from .support.plain_setups import named, setups

SUPPORT = Path(plain_guests.__file__).parent


@pytest.mark.parametrize("release", VARIANTS)
def test_reader_finds_what_the_writer_put(release: str) -> None:
    """All pages, the state, and the end."""
    for setup in setups():
        if setup.release != release:
            continue
        stream = saved(setup)
        image = plain_memory_legacy.read(stream, setup.word, setup.guest)
        live = setup.vcpus if setup.variant.words else (0,)

        assert image.end == len(stream), named(setup)
        assert image.pages == kept(setup), named(setup)
        assert image.complete == 1 + setup.checkpoints
        assert image.broken == (set(setup.broken) if setup.variant.broken else set())
        assert list(image.vcpus) == (list(live) if setup.pv else [])
        assert bool(image.tmem) == setup.tmem
        assert (image.tsc is not None) == setup.variant.tsc
        assert image.verified == setup.verify
        assert (image.emulator is None) == setup.pv


@pytest.mark.parametrize("compressed", [False, True])
def test_half_a_checkpoint_is_none(compressed: bool) -> None:
    """Cut anywhere in a checkpoint, the guest is as the one before it left it; the first has to be whole."""
    setup = Setup(checkpoints=2, compressed=compressed, rounds=2, p2m_size=24, holes=())
    parts = pieces(setup)
    ends = [at + 1 for at, (name, _) in enumerate(parts) if name == "QEMU"]
    first = len(b"".join(data for _, data in parts[: ends[0]]))
    stream = saved(setup)
    for count in range(len(ends)):
        whole = b"".join(data for _, data in parts[: ends[count]])
        cut = whole if count == 2 else stream[: len(whole) + 5000]
        image = plain_memory_legacy.read(cut, 8, "hvm")

        assert image.complete == count + 1
        assert image.pages == kept(setup._replace(checkpoints=count))
        assert image.end == len(whole)
    for size in (0, 7, 8, 11, 5000, first - 1):
        with pytest.raises(PlainError):
            plain_memory_legacy.read(stream[:size], 8, "hvm")


def test_page_coding() -> None:
    """A page's coding, as Xen's code was seen to give it."""
    sender = plain_remus.Compressor()
    page = bytes(range(256)) * 16
    other = bytearray(page)
    other[8:12] = other[4092:4096] = b"\xde\xad\xbe\xef"
    inverse = bytes(byte ^ 0xFF for byte in page)

    assert sender.add(5, page) == b"\x80" + page
    assert sender.add(5, page) == b"\0"
    assert sender.add(5, bytes(other)).hex() == "8201deadbeef" + "ff" * 8 + "8401deadbeef"
    assert len(sender.add(5, inverse)) == 4105
    assert sender.add(5, inverse, table=True) == b"\x80" + inverse
    assert sender.add(5, inverse) == b"\x80" + inverse  # a table was forgotten
    assert plain_remus.decoded(page, plain_remus.encoded(page, inverse), 0) == (inverse, 4105)
    assert plain_remus.decoded(page, b"\xff" * 8 + b"\x88", 0) == (page, 9)


@pytest.mark.parametrize("coding", ["", "01", "0100000000", "80" + "00" * 4095, "ff" * 9, "ff00", "ff80", "ff" * 8])
def test_wrong_page_coding(coding: str) -> None:
    """What is cut short, overshoots, or has a whole page's mark inside a page."""
    with pytest.raises(ValueError, match=r"coding|page|run"):
        plain_remus.decoded(bytes(4096), bytes.fromhex(coding), 0)


def test_sender_forgets_the_oldest() -> None:
    """The page that was sent longest ago makes room."""
    sender = plain_remus.Compressor(cache=2)
    page = bytes(4096)
    codings = [len(sender.add(pfn, page)) for pfn in (1, 2, 1, 3, 1, 2)]

    assert codings == [4097, 4097, 1, 4097, 1, 4097]


def test_context_offsets() -> None:
    """The fields of a context lie where the public headers of 4.4 have them."""
    small = plain_legacy.vcpu_context(4, dx=1, cr3=2, vm_assist=3, gdt_ents=4)
    large = plain_legacy.vcpu_context(8, dx=1, cr3=2, vm_assist=3, gdt_ents=4)

    assert {at: small[at] for at in (524, 2728, 2796, 2704)} == {524: 1, 2728: 2, 2796: 3, 2704: 4}
    assert {at: large[at] for at in (616, 5008, 5136, 4960)} == {616: 1, 5008: 2, 5136: 3, 4960: 4}


@pytest.mark.parametrize("path", sorted(SUPPORT.glob("plain_*.py")), ids=lambda path: path.stem)
def test_nothing_of_the_product(path: Path) -> None:
    """A judge that used the product's code would share its mistakes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [name.name for name in node.names]

            assert node.level == 1
            assert all(name and name.startswith("plain_") for name in names)
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("streamfmt") for name in node.names)


def test_order_of_old_savers() -> None:
    """Of guests of more than 1,024 pages they visited the pages in turns."""
    large = order(Setup("3.2", "hvm", p2m_size=1500))

    assert large[:6] == [0, 1024, 1, 1025, 2, 1026]
    assert sorted(large) == list(range(1500))
    assert order(Setup("3.2", "hvm", p2m_size=1024)) == list(range(1024))
    assert order(Setup("3.3", "hvm", p2m_size=1500)) == list(range(1500))


def test_states_of_several_sizes() -> None:
    """Vcpus' extended states differ in size since 4.2.4: the size that stands before each counts."""
    setup = Setup("4.4", "pv", vcpus=(0, 1, 2), xsave=(592, 832))
    stream = saved(setup)
    image = plain_memory_legacy.read(stream, 8, "pv")

    assert image.end == len(stream)
    assert [len(vcpu.xsave) for vcpu in image.vcpus.values()] == [592, 832, 592]


@settings(max_examples=25, deadline=None)
@given(plain_drawn.setups())
def test_drawn_guests_are_read(setup: Setup) -> None:
    """Whatever the strategies save, the plain reader finds again."""
    stream = saved(setup)
    image = plain_memory_legacy.read(stream, setup.word, setup.guest)

    assert image.end == len(stream)
    assert image.pages == kept(setup)


@settings(max_examples=25, deadline=None)
@given(plain_drawn.unusual())
def test_drawn_changes_are_read(drawn: plain_drawn.Drawn) -> None:
    """What no release wrote is read to its end as well."""
    image = plain_memory_legacy.read(drawn.stream, drawn.setup.word, drawn.setup.guest)

    assert image.end == len(drawn.stream)
    assert image.pages.keys() >= kept(drawn.setup).keys()


@settings(max_examples=25, deadline=None)
@given(st.one_of(plain_drawn.cut(), plain_drawn.mutated()))
def test_drawn_damage_is_survived(drawn: plain_drawn.Drawn) -> None:
    """The plain reader ends with a guest or its own error."""
    with suppress(PlainError):
        plain_memory_legacy.read(drawn.stream, drawn.setup.word, drawn.setup.guest)
