"""Images in tar archives, XVA exports and VHDs are read as if each were a file of its own."""

from __future__ import annotations

import gzip
import json
import os
import re
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

import streamfmt

from .. import data
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..cli import inputs
from ..cli.main import main
from ..errors import DamagedError
from ..io import backups, spans, tar, vhd
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


def complaint(raw: bytes, wanted: str = "", deep: bool = False) -> str:
    """What is wrong with a backup, or with what is in it."""
    backup = backups.Backup(wanted, deep)
    try:
        for image in backup.within(made.MemorySpan(raw)):
            made.drained(image)
    except DamagedError as error:
        return str(error)
    return "; ".join(backup.remarks)


def found(raw: bytes, wanted: str = "", deep: bool = False) -> tuple[backups.Backup, list[dict[str, Any]]]:
    """What is found in a backup that comes through a pipe, and the verdict on each image."""
    backup = backups.Backup(wanted, deep)
    return backup, [judged(image.source()) for image in backup.within(spans.StreamSpan(MemorySource(raw)))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with backups, which we are in."""
    monkeypatch.chdir(tmp_path)
    inner = made.tar({"a/guest.sav": XAPI, "readme": b"of today\n"})
    (tmp_path / "b.tar").write_bytes(made.tar({"inner.tar": inner, "xl.sav": STREAMS["xl-hvm"]}))
    (tmp_path / "none.tar").write_bytes(made.tar({"readme": b"of today\n"}))
    return tmp_path


# -- the same as bare -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", WRAPPERS)
@settings(max_examples=12)
@given(st.sampled_from(sorted(STREAMS)), st.integers(200, 1 << 14), st.lists(st.integers(7, 9000), min_size=1))
def test_an_image_in_a_backup_is_judged_like_a_bare_one(wrapper: str, name: str, cut: int, sizes: list[int]) -> None:
    """Whole or cut, from a file or a pipe, in pieces of any sizes: nothing differs from the bytes by themselves."""
    packed, bare = made.wrappers(STREAMS[name][:cut])[wrapper]
    wanted = judged(MemorySource(bare))

    piped = []
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

    span = made.MemorySpan(done.stdout)
    members = {member.name: member.span.read(0, 1 << 24) for member in tar.members(span)}
    assert members == {long: XAPI, "holed": holed}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(st.lists(st.tuples(st.text("abcé/ n", min_size=1, max_size=40), st.binary(max_size=1200)), max_size=6))
@settings(max_examples=15)
def test_tarfile(form: int, files: list[tuple[str, bytes]]) -> None:
    """Archives of Python's tarfile have the members that it reads in them."""
    raw = made.tar({f"x{n}{name}x": content for n, (name, content) in enumerate(files)}, form)
    members = [(member.name, member.span.read(0, 1 << 20)) for member in tar.members(made.MemorySpan(raw))]

    assert members == [(f"x{n}{name}x", content) for n, (name, content) in enumerate(files)]


def test_memory_does_not_depend_on_the_number_of_members() -> None:
    """A thousand members are looked at one by one, and nothing of them is kept."""
    raw = made.tar({f"{n}": b"x" for n in range(1000)}, tarfile.USTAR_FORMAT)
    peaks = []
    for size in (1, 100, 1000):
        some = raw[: 1024 * size]
        tracemalloc.start()
        backup, images = found(some)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (backup.members, images) == (size, [])

    assert peaks[2] < peaks[1] + (16 << 10)


# -- VHD: qemu-img judges -------------------------------------------------------------------------------------------


def qemu_img() -> str:
    """The program; without it a test is skipped, or fails if peers are required."""
    program = shutil.which("qemu-img")
    if program is None:
        wanted = os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1"
        (pytest.fail if wanted else pytest.skip)("qemu-img is missing (make peers)")
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

    assert vhd.Disk(made.MemorySpan(packed)).read(0, 1 << 20) == disk == (tmp_path / "raw").read_bytes()


def test_blocks_in_any_order_need_a_file() -> None:
    """A pipe cannot go back: that is refused, and said so, with what to do."""
    disk = made.padded(XAPI.ljust(200 << 10, b"\1"))
    packed = made.dynamic(disk, order=range(24, -1, -1))
    expected = vhd.Disk(made.MemorySpan(packed)).read(0, 1 << 20)

    assert expected == disk
    with pytest.raises(DamagedError, match="save it to a file that is not compressed"):
        found(packed)


# -- XVA ------------------------------------------------------------------------------------------------------------


def test_an_xva_says_whose_disk_it_is() -> None:
    """The VM's name and UUID are from ova.xml, as is which disk is its suspend VDI; other disks are no images."""
    disks = {"Ref:12": made.blocks(made.padded(XAPI), 4096), "Ref:7": made.blocks(bytes(9000), 4096)}
    raw = made.xva(made.ova("Ref:12", disks=("Ref:12",)), disks)
    backup = backups.Backup()
    (image,) = backup.within(made.MemorySpan(raw))

    assert image.path == "Ref:12"
    assert image.words == (
        "disk Ref:12 'web & db Ref:12', the suspend VDI of 'web & db' (0d1e2f3a-0000-4000-8000-000000000001), "
        "in an XVA export"
    )
    assert (backup.members, backup.remarks) == (2, [])


def test_an_xva_whose_suspend_vdi_is_missing() -> None:
    """ova.xml says that the VM is suspended, and where its memory is: that is not in the file."""
    backup, images = found(made.xva(made.ova("Ref:12"), {"Ref:7": {0: b"x"}}))

    assert images == []
    assert backup.remarks == ["'web & db' is Suspended, and its suspend VDI Ref:12 is not in the file"]


def test_a_suspend_vdi_without_an_image_is_named() -> None:
    """What should be an image is judged, whatever it is."""
    backup, (image,) = found(made.xva(made.ova("Ref:12"), {"Ref:12": {0: bytes(5000)}}))

    assert image["verdict"] == "not judged"
    assert backup.images == 1


def test_an_xva_may_have_other_members() -> None:
    """An archive that begins with an ova.xml may be no XVA at all: its members are looked at."""
    raw = made.tar({"ova.xml": made.ova("NULL"), "saves/web.sav": STREAMS["xl-hvm"], "sda/00000000.gz": b"\x1f\x8b"})
    backup, images = found(raw)

    assert [image["verdict"] for image in images] == ["conforms"]
    assert backup.remarks == ["sda/00000000.gz: the gzip data ends early"]


def test_a_differencing_vhd_says_what_it_differs_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a result of one line, which names the parent, and there is nothing on standard error."""
    parent = "C:\\base.vhd"
    (folder / "d.vhd").write_bytes(made.footer(1 << 20, 4, 512) + made.header(1, 1 << 20, 1536, parent))
    assert main(["identify", "d.vhd"]) == main(["verify", "d.vhd"]) == 1
    printed = capsys.readouterr()

    assert f"differs from its parent {parent!r}" in printed.out.splitlines()[-1]
    assert printed.err == ""


def test_blocks_are_counted_as_xapi_counts_them() -> None:
    """Blocks that are left out are as long as the first; an empty one, against idle connections, has a number alone."""
    disk = b"a" * 4096 + b"b" * 4096 + bytes(3 * 4096) + b"c" * 100
    numbered = {0: b"a" * 4096, 1: b"", 2: b"b" * 4096, 6: b"c" * 100}
    raw = made.xva(made.ova("Ref:1"), {"Ref:1": numbered})
    (image,) = backups.Backup("Ref:1").within(made.MemorySpan(raw))

    assert image.span.read(0, 1 << 20) == disk


@pytest.mark.parametrize("sums", [".checksum", ".xxhash"])
def test_deep_holds_blocks_against_their_checksums(sums: str) -> None:
    """A bit that differs in a page is no matter for the rules; with `deep` the block is named, and its place."""
    raw = bytearray(made.xva(made.ova("Ref:1"), {"Ref:1": made.blocks(made.padded(XAPI), 4096)}, sums))
    place = raw.index(b"Ref:1/00000001") + 512 + 2000
    whole = found(bytes(raw), deep=True)[1]
    raw[place] ^= 1

    assert [image["verdict"] for image in whole] == ["conforms"]
    assert len(found(bytes(raw))[1]) == 1
    assert re.search(
        r"block 'Ref:1/00000001' at \d+ .* is not what its checksum says", complaint(bytes(raw), deep=True)
    )


# -- hostile --------------------------------------------------------------------------------------------------------


def _header(change: dict[tuple[int, int], bytes]) -> bytes:
    """A header of tar with fields changed, and a sum that fits."""
    block = made.tar({"x": b"y" * 600}, tarfile.GNU_FORMAT)[:512]
    return made.with_sum(block, {start: value.ljust(stop - start, b"\0") for (start, stop), value in change.items()})


_SIZE, _KIND = (124, 136), (156, 157)
_BIG = b"\x80" + bytes(3) + (1 << 61).to_bytes(8, "big")
HOSTILE_TARS = {
    "a size beyond all": (_header({_SIZE: b"\x80" + b"\xff" * 11}), "has a size that is no number"),
    "a negative size": (_header({_SIZE: b"\xff" * 12}), "has a size that is no number"),
    "a size that is no number": (_header({_SIZE: b"12x"}), "has a size that is no number"),
    "a member of exabytes": (_header({_SIZE: _BIG}) + b"y" * 600, "inside its member 'x'"),
    "an endless name": (_header({_SIZE: _BIG, _KIND: b"L"}), "bytes of names or attributes at 512"),
    "endless attributes": (_header({_SIZE: _BIG, _KIND: b"x"}), "bytes of names or attributes at 512"),
    "attributes of nothing": (
        _header({_SIZE: b"1000", _KIND: b"x"}) + b"0 path=x\n".ljust(512),
        "has attributes that cannot be read at 512",
    ),
    "holes out of order": (
        _header({_SIZE: b"2000", _KIND: b"S", (386, 434): b"2000".ljust(12, b"\0") * 4}),
        "are not in order",
    ),
    "holes beyond the end": (
        _header({_SIZE: b"1000", _KIND: b"S", (386, 410): b"1000".ljust(12, b"\0") * 2}),
        "do not fit its size",
    ),
    "no header": (_header({}) + b"y" * 1024 + b"\1" * 512, "has no header at 1536 (0x600)"),
    "half a header": (_header({}) + b"y" * 1024 + b"\1" * 100, "ends inside a header at 1536"),
}


@pytest.mark.parametrize("case", HOSTILE_TARS)
def test_hostile_tars(case: str) -> None:
    """Each ends in a line that says what is wrong and where."""
    raw, message = HOSTILE_TARS[case]

    assert message in complaint(raw)
    assert message in complaint(made.tar({"inner": raw}))


def _vhd(disk: bytes = made.padded(XAPI), **fields: int) -> bytes:
    """A dynamic VHD with fields of its header, or the first entries of its table, changed; sums fit."""
    raw = bytearray(made.dynamic(disk))
    places = {"table": (512 + 16, ">Q"), "entries": (512 + 28, ">I"), "block": (512 + 32, ">I")}
    places |= {"first": (1536, ">I"), "second": (1540, ">I")}
    for name, value in fields.items():
        place, form = places[name]
        raw[place : place + struct.calcsize(form)] = struct.pack(form, value)
    raw[512 + 36 : 512 + 40] = bytes(4)
    raw[512 + 36 : 512 + 40] = struct.pack(">I", ~sum(raw[512:1536]) & 0xFFFFFFFF)
    return bytes(raw)


HOSTILE_VHDS = {
    "a table outside": (_vhd(table=1 << 40), "lies outside the file"),
    "a table nowhere": (_vhd(table=(1 << 64) - 1), "is nowhere"),
    "a table too short": (_vhd(entries=1), "has 1 entries, and its disk needs 2"),
    "tiny blocks": (_vhd(block=512), "has blocks of 512 bytes"),
    "odd blocks": (_vhd(block=5000), "has blocks of 5,000 bytes"),
    "blocks in one another": (_vhd(second=5), "in it"),
    "one block twice": (_vhd(first=4, second=4), "says that one block lies at 2048, and another at 2048"),
    "a block in the header": (_vhd(first=1), "before the table's end"),
    "a block outside": (_vhd(second=1 << 30), "block 1 of the VHD lies at 549755813888"),
    "a damaged header": (made.dynamic(made.padded(XAPI))[:600] + b"\1" + bytes(9000), "its checksum is wrong"),
    "no header": (made.dynamic(XAPI)[:512] + bytes(9000), "no header at 512"),
    "a huge disk": (
        made.footer(1 << 60, 3, 512) + made.header(1 << 31, 1 << 20, 1536) + bytes(5000),
        "the limit is 1,048,576",
    ),
    "a differencing disk": (
        made.footer(1 << 20, 4, 512) + made.header(1, 1 << 20, 1536, "../base \u00fc.vhd") + bytes(5000),
        "its parent '../base \u00fc.vhd'",
    ),
}


@pytest.mark.parametrize("case", HOSTILE_VHDS)
def test_hostile_vhds(case: str) -> None:
    """Each is refused, or what it has is read and the rest is refused, in a line that says what and where."""
    raw, message = HOSTILE_VHDS[case]

    assert message in complaint(raw)
    assert message in complaint(made.tar({"inner": raw}))


def test_a_damaged_first_footer_is_replaced_by_the_last() -> None:
    """The copy at the beginning is one of two."""
    raw = bytearray(made.dynamic(made.padded(XAPI)))
    raw[100] ^= 1

    assert vhd.Disk(made.MemorySpan(bytes(raw))).read(0, 1 << 20) == made.padded(XAPI)
    with pytest.raises(DamagedError, match="the copy at 0 has a wrong checksum, and none is at the end"):
        vhd.Disk(made.MemorySpan(bytes(raw[:-1])))


BOMB = b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><value>&b;</value>"
HOSTILE_MANIFESTS = {
    "entities": (BOMB, "it declares a document type, which is not read"),
    "depth": (b"<value>" * 200, "it nests too deep"),
    "no XML": (b"<value><struct>", "not valid XML: no element found"),
    "many objects": (made.ova("NULL", disks=[f"Ref:{n}" for n in range(5000)]), "more than 4,096 VMs and disks"),
    "much of it": (b"<value>" + b" " * (65 << 20), "it is longer than 67,108,864 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE_MANIFESTS)
def test_hostile_manifests(case: str) -> None:
    """ova.xml that is not read to its end does not keep the disks from being looked at."""
    text, message = HOSTILE_MANIFESTS[case]
    backup, images = found(made.xva(text, {"Ref:1": made.blocks(made.padded(XAPI))}))

    assert message in backup.remarks[0]
    assert [image["verdict"] for image in images] == ["conforms"]


HOSTILE_BLOCKS = {
    "out of order": ({1: b"a" * 512, 0: b"b" * 512}, "has number 0 after 1"),
    "far away": ({0: XAPI[:4096], 99_999_999: b"b"}, "has number 99,999,999 after 0"),
    "too large": ({0: XAPI.ljust((16 << 20) + 1)}, "has 16,777,217 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE_BLOCKS)
def test_hostile_blocks(case: str) -> None:
    """Blocks that cannot be a disk's are refused, each with its name and place."""
    numbered, message = HOSTILE_BLOCKS[case]

    assert message in complaint(made.xva(made.ova("Ref:1"), {"Ref:1": numbered}))


def test_holes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes may claim a hole of terabytes: of that no more is read than a bound."""
    monkeypatch.setattr(spans, "HOLE_MAX", 1 << 20)
    raw = made.xva(made.ova("Ref:1"), {"Ref:1": {0: made.padded(XAPI, 4096), 10_000_000: b"x"}})
    _, (image,) = found(raw)

    assert image["verdict"] == "conforms"
    assert image["bytes"] < 4 << 20


@given(st.data())
@settings(max_examples=60)
def test_damaged_backups_end_in_a_line(data: st.DataObject) -> None:
    """Whatever bytes are changed or missing: images, or DamagedError with a line of text; never anything else."""
    packed = bytearray(made.wrappers(XAPI[:3000])[data.draw(st.sampled_from(WRAPPERS))][0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(packed), 5000) - 1))
        packed[at] = data.draw(st.sampled_from((0, 1, 0x31, 0x80, 0xFF)))
    cut = bytes(packed[: data.draw(st.sampled_from((len(packed), len(packed) - 1, len(packed) // 2)))])
    for span in (made.MemorySpan(cut), spans.StreamSpan(MemorySource(cut))):
        message = ""
        try:
            for image in backups.Backup().within(span):
                judged(image.source())
        except DamagedError as error:
            message = str(error)
        assert message.isprintable()


# -- commands -------------------------------------------------------------------------------------------------------


def test_commands_take_backups_and_members(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each image has its line and its object; a member can be given; what is in a member, too."""
    names = ["b.tar/inner.tar/a/guest.sav", "b.tar/xl.sav"]
    for words, wanted in (
        (["b.tar"], names),
        (["b.tar/inner.tar"], names[:1]),
        (names, names),
        (["b.tar/inner.tar/a"], names[:1]),
    ):
        assert main(["verify", "-q", *words]) == 0
        lines = capsys.readouterr().out.splitlines()[: len(wanted)]
        assert [line.split(": ")[0] for line in lines] == wanted
    assert main(["identify", "--json", "b.tar"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for value in objects:
        conforms_to("identify", value)
    assert [value["file"] for value in objects] == names
    assert objects[0]["backup"] == {"in": "a tar archive in a tar archive", "offset": 1024}
    assert main(["show", "--json", names[1]]) == 0
    assert {json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()} == {names[1]}
    assert main(["show", "--recipe", names[1]]) == 0
    assert 'header = "xl.header"' in capsys.readouterr().out


def test_python_takes_members(folder: Path) -> None:
    """A path may be that of a member; without such a member there is no such file."""
    path = folder / "b.tar" / "inner.tar" / "a" / "guest.sav"
    (folder / "saves.tar.gz").write_bytes(gzip.compress((folder / "b.tar").read_bytes()))

    assert streamfmt.identify(path).key == "xapi"
    assert streamfmt.verify("saves.tar.gz/xl.sav").conforms
    with streamfmt.open(os.fspath(path)) as stream:
        assert stream.identity.key == "xapi"
    with pytest.raises(FileNotFoundError, match="no member 'none' with an image"):
        streamfmt.verify("b.tar/none")
    with pytest.raises(NotADirectoryError):
        streamfmt.verify("b.tar/")


def test_a_file_is_never_taken_for_a_member(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what goes on after a file's name is one: it could not be a file's name itself."""
    (folder / "d.tar").mkdir()
    (folder / "d.tar" / "xl.sav").write_bytes(STREAMS["xl-hvm"])
    assert main(["verify", "-q", "d.tar/xl.sav"]) == 0
    assert main(["verify", "-q", "d.tar/none", "b.tar/", "none.tar/xl.sav", "b.tar/xl", "b.tar/xl.sav/x"]) == 3
    errors = capsys.readouterr().err.splitlines()

    assert errors[0] == "streamfmt: d.tar/none: cannot read: No such file or directory"
    assert errors[1] == "streamfmt: b.tar/: cannot read: Not a directory"
    assert [line.split(": ")[1] for line in errors[2:]] == ["none.tar/xl.sav", "b.tar/xl", "b.tar/xl.sav/x"]
    assert all("streamfmt identify" in line for line in errors[2:])


def test_a_backup_without_an_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is said, with how many members were looked at, or what VMs there are; nothing is judged."""
    (folder / "v.xva").write_bytes(made.xva(made.ova("OpaqueRef:NULL", state="Halted"), {"Ref:7": {0: b"x" * 512}}))
    assert main(["identify", "none.tar"]) == 1
    assert "no suspend image is in it: 1 member looked at" in capsys.readouterr().out
    assert main(["identify", "v.xva"]) == 1
    assert "'web & db' is Halted, 1 member looked at" in " ".join(capsys.readouterr().out.split())
    assert main(["verify", "none.tar"]) == 1
    assert capsys.readouterr().out.startswith("none.tar: not judged: tar archive (")


def test_a_backup_that_is_cut(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images before that place are judged; the backup itself is a result that says where it ends."""
    raw = (folder / "b.tar").read_bytes()
    (folder / "cut.tar").write_bytes(raw[: raw.index(b"xl.sav") + 1000])
    assert main(["verify", "-q", "cut.tar"]) == 1
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "cut.tar/inner.tar/a/guest.sav: conforms"
    assert lines[1].startswith("cut.tar/xl.sav: does not conform")
    assert lines[2].startswith("cut.tar: not judged: the tar archive ends at ")


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_backups_from_a_pipe_and_compressed(wrapper: str) -> None:
    """Standard input may be a backup, compressed or not."""
    packed, _ = made.wrappers(XAPI)[wrapper]
    done = run("verify", "-q", "-", stdin=gzip.compress(packed, 1))

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().rpartition(": conforms")[0]


def test_compression_that_is_damaged_early(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where less can be had than identification wants, what there is of a backup is looked into."""
    packed = gzip.compress((folder / "b.tar").read_bytes())
    (folder / "b.tar.gz").write_bytes(packed[:-20])
    assert main(["verify", "-q", "b.tar.gz"]) == 1
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "b.tar.gz/inner.tar/a/guest.sav: conforms"
    assert lines[-2] == "b.tar.gz: not judged: the gzip data ends early"


@pytest.mark.parametrize("place", [-1, -6])
def test_compression_is_checked_to_its_end(folder: Path, capsys: pytest.CaptureFixture[str], place: int) -> None:
    """Checksums come after all: that one is wrong or missing is said of the backup, outside or inside another."""
    packed = bytearray(gzip.compress((folder / "b.tar").read_bytes()))
    packed[place] ^= 1
    (folder / "b.tar.gz").write_bytes(packed)
    (folder / "c.tar").write_bytes(made.tar({"b.tar.gz": bytes(packed), "last.sav": XAPI}))
    assert main(["verify", "-q", "b.tar.gz", "c.tar", "c.tar/b.tar.gz"]) == 1
    lines = capsys.readouterr().out.splitlines()

    assert lines[2].startswith("b.tar.gz: not judged: the gzip data is damaged: incorrect ")
    assert "b.tar.gz: the gzip data is damaged: incorrect " in lines[6]
    assert lines[5] == "c.tar/last.sav: conforms"
    assert lines[9].startswith("c.tar/b.tar.gz: not judged: b.tar.gz: the gzip data is damaged")


def test_exact_reads_no_backup(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --exact nothing is read that is not needed, and a declared form is not looked behind."""
    assert main(["verify", "-q", "--exact", "b.tar"]) == 1
    assert main(["verify", "-q", "--as", "libxc", "b.tar"]) == 1
    assert capsys.readouterr().out.count("b.tar: ") == 2
    assert main(["verify", "-q", "--exact", "b.tar/xl.sav"]) == 0


def test_examples_are_made_of_the_corpus() -> None:
    """The backups that docs/backups.md shows are what our writers make of two of its streams."""
    for name, raw in made.examples(XAPI, STREAMS["xl-hvm"]).items():
        path = Path(data.path("docs")) / "examples" / f"{name}.gz"
        assert gzip.decompress(path.read_bytes()) == raw, path
