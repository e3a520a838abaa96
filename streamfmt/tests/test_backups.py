"""Images in tar archives, XVA exports and VHDs are read as if they were files of their own, however the backup comes."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import data
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..cli import inputs
from ..cli.main import main
from ..errors import DamagedError
from ..io import backups, spans, tar, vhd, xva
from ..io.memory import MemorySource
from ..io.sources import Source, drive
from ..reader import identify
from ..reader.reader import Reader
from .support import backups as made
from .test_cli import conforms_to, run

MADE = Path(data.path("corpus", "streams", "made"))
STREAMS = {
    name: gzip.decompress((MADE / f"{name}.bin.gz").read_bytes()) for name in ("xapi-uefi", "xl-hvm", "libvirt-old")
}
XAPI = STREAMS["xapi-uefi"]
WRAPPERS = tuple(made.wrappers(XAPI))


def judged(source: Source) -> dict[str, Any]:
    """All that verify says of what comes from there."""
    verifier = Verifier()
    reader = Reader(verifier)
    drive(reader.pump, source)
    return Outcome(reader, verifier).as_dict()


def memory_span(raw: bytes) -> spans.Span:
    """Bytes that can be read in any order."""
    return spans.Headed(spans.StreamSpan(MemorySource(b"")), raw)


def found(raw: bytes, wanted: str = "", deep: bool = False) -> tuple[backups.Backup, list[dict[str, Any]]]:
    """What is found in a backup that comes through a pipe, and the verdict on each image."""
    backup = backups.Backup(wanted, deep)
    return backup, [judged(image.source()) for image in backup.within(spans.StreamSpan(MemorySource(raw)))]


# -- the same as bare -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", WRAPPERS)
@settings(max_examples=12)
@given(st.sampled_from(sorted(STREAMS)), st.integers(200, 1 << 14), st.lists(st.integers(7, 9000), min_size=1))
def test_an_image_in_a_backup_is_judged_like_a_bare_one(wrapper: str, name: str, cut: int, sizes: list[int]) -> None:
    """Whole or cut, from a file or a pipe, in pieces of any sizes: nothing differs from the bytes by themselves."""
    packed, bare = made.wrappers(STREAMS[name][:cut])[wrapper]
    wanted = judged(MemorySource(bare))

    piped = list(backups.Backup().within(spans.StreamSpan(made.Dribble(packed, sizes))))[:0]
    for image in backups.Backup().within(spans.StreamSpan(made.Dribble(packed, sizes))):
        piped.append(image)
        assert judged(image.source()) == wanted
    assert len(piped) == 1


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_an_image_is_the_same_from_a_file(wrapper: str, tmp_path: Path) -> None:
    """From a file, byte for byte what was put in; `offset` is where it begins, if it is not compressed."""
    packed, bare = made.wrappers(XAPI)[wrapper]
    path = tmp_path / "backup"
    path.write_bytes(packed)
    with path.open("rb") as file:
        (image,) = backups.Backup().within(spans.FileSpan(file.fileno(), 0, len(packed)))
        room = memoryview(bytearray(len(bare) + 1))
        source = image.source()
        got = 0
        while more := source.read_into(room[got:]):
            got += more

    assert room[:got] == bare
    assert packed.startswith(XAPI[:15], image.offset) or "gzip" in image.words


def test_as_much_is_looked_at_as_identification_needs() -> None:
    """The beginning of a member that is kept in memory is all that can identify it."""
    assert backups.HEAD == identify._GUESS
    assert set(inputs.BACKUPS) == set(backups._OPENS) - {"compressed"}


# -- tar: real tools write it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "posix"])
@pytest.mark.parametrize("sparse", ["", "0.0", "0.1", "1.0"])
def test_gnu_tar(form: str, sparse: str, tmp_path: Path) -> None:
    """Archives of GNU tar in all its formats, with and without holes, have the members that it put in."""
    if sparse and form in ("v7", "ustar"):
        return  # they know no holes
    long = "d" * 60 + "/" + "n" * (90 if form not in ("v7",) else 20)
    holed = bytearray(5 << 20)
    holed[: len(XAPI)] = XAPI
    for place in range(1 << 20, 5 << 20, 64 << 10):
        holed[place : place + 4096] = b"\xaa" * 4096
    (tmp_path / long).parent.mkdir()
    (tmp_path / long).write_bytes(XAPI)
    with (tmp_path / "holed").open("wb") as file:
        for at in range(0, len(holed), 4096):
            block = holed[at : at + 4096]
            os.pwrite(file.fileno(), block, at) if any(block) else None
        file.truncate(len(holed))
    options = [f"--format={form}", *(["--sparse", f"--sparse-version={sparse}"] if sparse else [])]
    done = subprocess.run(
        ["tar", *options, "-C", str(tmp_path), "-cf", "-", long, "holed"], capture_output=True, check=True
    )

    span = memory_span(done.stdout)
    members = {member.name: member.span.read(0, 1 << 24) for member in tar.members(span)}
    assert members == {long: XAPI, "holed": holed}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(st.lists(st.tuples(st.text("abcé/ n", min_size=1, max_size=40), st.binary(max_size=1200)), max_size=6))
@settings(max_examples=15)
def test_tarfile(form: int, files: list[tuple[str, bytes]]) -> None:
    """Archives of Python's tarfile have the members that it reads in them."""
    raw = made.tar({f"x{n}{name}x": content for n, (name, content) in enumerate(files)}, form)
    members = [(member.name, member.span.read(0, 1 << 20)) for member in tar.members(memory_span(raw))]

    assert members == [(f"x{n}{name}x", content) for n, (name, content) in enumerate(files)]


def test_memory_does_not_depend_on_the_number_of_members() -> None:
    """Ten thousand members and images in them are looked at one by one."""
    raw = made.tar({f"{n}": b"x" for n in range(10_000)}, tarfile.USTAR_FORMAT)
    tracemalloc.start()
    backup, images = found(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (backup.members, images) == (10_000, [])
    assert peak < 2 << 20


# -- VHD: qemu-img judges -------------------------------------------------------------------------------------------


def qemu_img() -> str:
    """The program.  Skips without it."""
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img is missing (make peers)")
    return program


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
def test_vhd_of_qemu(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What qemu-img makes of a suspend VDI conforms as it does by itself."""
    raw, disk = tmp_path / "raw", tmp_path / "disk.vhd"
    raw.write_bytes(made.padded(XAPI, 1 << 20))
    options = ["-f", "raw", "-O", "vpc", "-o", f"subformat={kind},force_size=on"]
    subprocess.run([qemu_img(), "convert", *options, str(raw), str(disk)], check=True)

    assert disk.read_bytes().endswith(made.SECTOR * b"\0") is False
    assert main(["verify", "--strict", "-q", str(disk), str(raw)]) == 0
    assert capsys.readouterr().out == f"{disk}: conforms: 1 note\n{raw}: conforms: 1 note\n2 inputs: 2 conform\n"


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(4))
def test_our_vhds_are_qemus(seed: int, tmp_path: Path) -> None:
    """A VHD of ours, with blocks in any order, is to qemu-img the disk that it is to us."""
    random = Random(seed)
    disk = b"".join(bytes([random.choice((0, 1))]) * made.SECTOR for _ in range(250))
    order = list(range(8))
    random.shuffle(order)
    packed = made.dynamic(disk, 16 << 10, order, stale=b"\0")
    (tmp_path / "disk.vhd").write_bytes(packed)
    convert = [qemu_img(), "convert", "-f", "vpc", "-O", "raw", str(tmp_path / "disk.vhd"), str(tmp_path / "raw")]
    subprocess.run(convert, check=True)

    assert vhd.Disk(memory_span(packed)).read(0, 1 << 20) == disk == (tmp_path / "raw").read_bytes()


def test_blocks_in_any_order_need_a_file() -> None:
    """A pipe cannot go back: that is refused, and said so, with what to do."""
    disk = made.padded(XAPI.ljust(90 << 10, b"\1"))
    packed = made.dynamic(disk, order=[11, 0, *range(1, 11)])
    expected = vhd.Disk(memory_span(packed)).read(0, 1 << 20)

    assert expected == disk
    with pytest.raises(DamagedError, match="save it to a file that is not compressed"):
        found(packed)
