"""Real libxl and xl restore what was saved before Xen 4.6, by the converter that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conformance.host import LIBXLPEER, Host
from ..conformance.peers import CONVERTER, RELEASES
from ..conformance.restored import Restored, restore
from .support import peers, plain_memory_legacy, plain_wrappers
from .support.plain_guests import START_INFO, Setup, saved
from .support.plain_legacy import Physmap
from .support.plain_memory import ZERO, Image

pytestmark = pytest.mark.peer

REGIONS = (Physmap(0xF0000000, 0xE0000000, 0x800000, b"vga.vram"), Physmap(0xF1000000, 0xE1000000, 0x1000, b"rom"))
GUESTS = {
    "hvm": Setup("4.4", "hvm", rounds=3, batch=11, vcpus=(0, 1), regions=REGIONS),
    "hvm of 4.5": Setup("4.5", "hvm", broken=(20,)),
    "pv": Setup("4.2", "pv", rounds=2, vcpus=(0, 1, 3)),
    "pv of 3.4": Setup("3.4", "pv", holes=()),
}
CONFIGURATION = b'name = "guest"\nmemory = 4\nvcpus = 4\ntype = "%s"\nkernel = "/boot/vmlinuz"\n'


@pytest.fixture(scope="module", params=RELEASES)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each release."""
    peers.require(LIBXLPEER, request.param)
    peers.require(CONVERTER, request.param)
    with Host(request.param) as host:
        yield host


def unlike(setup: Setup, image: Image, found: Restored) -> list[int]:
    """The PFNs of pages that a restore has otherwise than the stream.

    What a restore is to write itself is left out: an HVM guest's rings, a PV guest's p2m table and start info, and the
    table that Xen's own slots are put into.
    """
    kept = {pfn: data for pfn, (_, data) in image.pages.items()}
    if setup.pv:
        own = {START_INFO, *setup.frames}
        tables = {pfn: kind & 7 for pfn, (kind, _) in image.pages.items() if kind & 7}
    else:
        own, tables = set(), {}
        kept |= {setup.special(name): ZERO for name in ("store", "ioreq", "buffered", "console")}
    pages = {
        pfn: found.canonical(pfn, tables[pfn] == 4) if pfn in tables else page for pfn, page in found.pages.items()
    }
    return [pfn for pfn in sorted(kept.keys() | pages.keys()) if pfn not in own and kept.get(pfn) != pages.get(pfn)]


@pytest.mark.parametrize("name", GUESTS)
def test_libxl_restores(host: Host, name: str) -> None:
    """The guest has the memory that its stream has, and QEMU its state and regions."""
    setup = GUESTS[name]
    stream = saved(setup)
    image = plain_memory_legacy.read(stream, 8, setup.guest)
    found = restore(host, f"{setup.guest}-legacy", stream)

    assert found.verdict.verdict == "accept", found.verdict
    assert unlike(setup, image, found) == []
    assert found.state == (image.emulator or b"")
    assert found.physmap == {key.decode(): value.decode() for key, value in image.xenstore} or setup.pv


@pytest.fixture(scope="module")
def here() -> Iterator[Host]:
    """A host of the machine's own release."""
    peers.require(LIBXLPEER)
    peers.require(CONVERTER)
    with Host() as host:
        yield host


@pytest.mark.parametrize("name", ["hvm", "pv"])
def test_xl_restores(here: Host, name: str) -> None:
    """A file of xl 4.0.1 to 4.4, its configuration in it."""
    setup = GUESTS[name]
    stream = saved(setup)
    file = plain_wrappers.xl(stream, CONFIGURATION % setup.guest.encode())
    found = restore(here, f"xl-{setup.guest}", file)

    assert found.verdict.verdict == "accept", found.verdict
    assert unlike(setup, plain_memory_legacy.read(stream, 8, setup.guest), found) == []


def converter(folder: Path, text: str) -> str:
    """A program that libxl is to start in place of Xen's converter, which it has as $REAL."""
    path = folder / "converter"
    path.write_text(f"#!/bin/sh\nREAL={peers.require(CONVERTER)}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_another_converter(here: Host, tmp_path: Path) -> None:
    """Libxl starts the one that it is given, with descriptors, and its own width."""
    setup = GUESTS["hvm"]
    said = tmp_path / "said"
    found = restore(here, "hvm-legacy", saved(setup), converter(tmp_path, f'echo "$@" >{said}; exec $REAL "$@"'))
    words = said.read_text().split()

    assert found.verdict.verdict == "accept"
    assert words[:4:2] == ["--in", "--out"]
    assert all(word.isdigit() for word in words[1:4:2])
    assert words[4:] == ["--width", "64", "--guest", "hvm", "--format", "libxl"]


def test_a_converter_that_fails(here: Host, tmp_path: Path) -> None:
    """Its exit status is enough, were its output whole."""
    found = restore(here, "hvm-legacy", saved(GUESTS["hvm"]), converter(tmp_path, '$REAL "$@"; exit 1'))

    assert found.verdict.verdict == "reject"
    assert found.pages == {}


def test_a_converter_that_is_wrong(here: Host, tmp_path: Path) -> None:
    """Other pages than the stream's are noticed: here it converts another guest."""
    setup = GUESTS["hvm of 4.5"]
    other = tmp_path / "other"
    other.write_bytes(saved(setup._replace(seed=1, holes=(14,))))
    script = f"cat <&$2 >/dev/null; exec $REAL --in {other} --out $4 --width 64 --guest hvm --format libxl"
    found = restore(here, "hvm-legacy", saved(setup), converter(tmp_path, script))

    assert found.verdict.verdict == "accept"
    assert {12, 13, 14} <= set(unlike(setup, plain_memory_legacy.read(saved(setup), 8, "hvm"), found))
