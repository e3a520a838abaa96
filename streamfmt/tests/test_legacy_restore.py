"""Real libxl and xl restore what was saved before Xen 4.6, by the converter that they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conformance import converters
from ..conformance.converters import options
from ..conformance.host import LIBXLPEER, Host
from ..conformance.peers import CONVERTER, RELEASES, XENPEER
from ..conformance.restored import restore, taken
from .support import peers, plain_memory_legacy, plain_wrappers
from .support.plain_guests import Setup, saved
from .support.plain_legacy import Physmap
from .support.restored import unlike

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


@pytest.mark.parametrize("name", GUESTS)
def test_libxl_restores(here: Host, name: str) -> None:
    """The guest has the memory that its stream has, and QEMU its state and regions."""
    setup = GUESTS[name]
    stream = saved(setup)
    found = restore(here, f"{setup.guest}-legacy", stream)

    assert found.verdict.verdict == "accept", found.verdict
    assert unlike(plain_memory_legacy.read(stream, 8, setup.guest), found) == []


@pytest.mark.parametrize("release", RELEASES)
def test_libxenguest_takes_what_was_converted(release: str) -> None:
    """The library alone finds in the converter's image what a plain reader finds in the legacy one."""
    peers.require(XENPEER, release)
    peers.require(CONVERTER, release)
    asked = [(options(64, setup.guest), saved(setup)) for setup in GUESTS.values()]
    for setup, (_, stream), said in zip(GUESTS.values(), asked, converters.convert(asked, release), strict=True):
        found = taken(setup.guest, said.output, release)

        assert found.accepted, found.log
        assert unlike(plain_memory_legacy.read(stream, 8, setup.guest), found) == []
        other = plain_memory_legacy.read(saved(setup._replace(seed=1)), 8, setup.guest)
        assert "page 0 differs" in unlike(other, found)


@pytest.mark.parametrize(("name", "guest"), [("legacy-44-hvm-64", "hvm"), ("legacy-44-pv-64-live", "pv")])
def test_libxl_restores_what_the_real_saver_wrote(
    host: Host, name: str, guest: str, sample: Callable[[str], bytes]
) -> None:
    """Streams of Xen 4.4's own xc_domain_save()."""
    stream = sample(f"{name}.bin.gz")
    found = restore(host, f"{guest}-legacy", stream)

    assert found.verdict.verdict == "accept", found.verdict
    assert unlike(plain_memory_legacy.read(stream, 8, guest), found) == []


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
    assert unlike(plain_memory_legacy.read(stream, 8, setup.guest), found) == []


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
    """Its exit status is enough, though its output is whole; libxl may die of that in its clean-up."""
    found = restore(here, "hvm-legacy", saved(GUESTS["hvm"]), converter(tmp_path, '$REAL "$@"; exit 1'))

    assert found.verdict.verdict in ("reject", "crash")
    assert found.pages == {}


def test_a_converter_that_is_wrong(here: Host, tmp_path: Path) -> None:
    """Other pages than the stream's are noticed: here it converts another guest."""
    setup = GUESTS["hvm of 4.5"]
    other = tmp_path / "other"
    other.write_bytes(saved(setup._replace(seed=1, holes=(14,))))
    script = f"cat <&$2 >/dev/null; exec $REAL --in {other} --out $4 --width 64 --guest hvm --format libxl"
    found = restore(here, "hvm-legacy", saved(setup), converter(tmp_path, script))

    assert found.verdict.verdict == "accept"
    assert unlike(plain_memory_legacy.read(saved(setup), 8, "hvm"), found)[:2] == [
        "pages [12, 13, 14] are there or not",
        "page 0 differs",
    ]
