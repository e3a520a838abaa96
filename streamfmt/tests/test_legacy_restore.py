"""Real libxl and xl restore what was saved before Xen 4.6, by the converter that they are given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..cli.convert_legacy_stream import main
from ..conformance import converters
from ..conformance.converters import options
from ..conformance.host import LIBXLPEER, Host
from ..conformance.peers import RELEASES, XENPEER
from ..conformance.restored import restore, taken
from ..schema.clauses import CONVERTER
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


def ours(folder: Path) -> str:
    """Our convert-legacy-stream as a console script, which leaves word that it was started."""
    path = folder / "convert-legacy-stream"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom streamfmt.cli.convert_legacy_stream import entry\n"
        f"open({str(folder / 'started')!r}, 'w').write(' '.join(sys.argv[1:]))\nentry()\n"
    )
    path.chmod(0o755)
    return str(path)


# Guests that Xen's converter cannot take: without extended info, checkpointed and compressed, QEMU's older record.
OLDER = {
    "pv of 3.1": Setup("3.1", "pv", vcpus=(0, 1)),
    "pv of 3.0": Setup("3.0.2", "pv", vcpus=(0,), highest=None),
    "hvm of 3.4": Setup("3.4", "hvm"),
    "hvm of remus": Setup("4.4", "hvm", checkpoints=2, compressed=True),
}


@pytest.mark.parametrize("name", ["hvm", *OLDER])
def test_libxl_restores_by_ours(here: Host, name: str, tmp_path: Path) -> None:
    """Ours is started by LIBXL_CONVERT_HELPER, and the guest is the same; those too that Xen's cannot take."""
    setup = (GUESTS | OLDER)[name]
    stream = saved(setup)
    found = restore(here, f"{setup.guest}-legacy", stream, ours(tmp_path))

    assert found.verdict.verdict == "accept", found.verdict
    assert "--guest" in (tmp_path / "started").read_text()
    assert unlike(plain_memory_legacy.read(stream, 8, setup.guest), found) == []


def test_xl_restores_by_ours(here: Host, tmp_path: Path) -> None:
    """A whole file of xl 4.0.1 to 4.4 by way of -x beforehand, and by itself."""
    setup = GUESTS["pv"]
    file = plain_wrappers.xl(saved(setup), CONFIGURATION % setup.guest.encode())
    source, result = tmp_path / "old", tmp_path / "new"
    source.write_bytes(file)
    words = ["-x", "-i", str(source), "-o", str(result), "-w", "64", "-g", setup.guest, "-f", "libxl"]
    assert main(words) == 0
    for data, started in ((file, True), (result.read_bytes(), False)):
        (tmp_path / "started").unlink(missing_ok=True)
        found = restore(here, f"xl-{setup.guest}", data, ours(tmp_path))
        assert found.verdict.verdict == "accept", found.verdict
        assert (tmp_path / "started").exists() == started
        assert unlike(plain_memory_legacy.read(saved(setup), 8, setup.guest), found) == []


def test_libxl_heeds_what_ours_refuses(here: Host, tmp_path: Path) -> None:
    """A stream that breaks a rule at its end is no guest afterwards."""
    stream = saved(GUESTS["hvm"])
    at = stream.index(b"DeviceModelRecord") + 25
    found = restore(here, "hvm-legacy", stream[:at] + b"X" + stream[at + 1 :], ours(tmp_path))

    assert found.verdict.verdict in ("reject", "crash")


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
