"""What people hold beside streams is named, with what to do next; and nothing else is called by these names."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamfmt.api import identify
from streamfmt.cli import verify_stream_v2
from streamfmt.cli.inputs import BACKUPS
from streamfmt.cli.main import main
from streamfmt.reader.neighbours import CHECKS, LONGEST, hint
from streamfmt.reader.qemu_look import Qemu
from streamfmt.reader.registry import READ
from streamfmt.schema import xl
from streamfmt.schema.magic import MAGICS, NAMESAKES
from streamfmt.schema.neighbours import HINTS, NEIGHBOURS, Neighbour, Xend

from .support.beside_streams import (
    CONFIGURATION,
    DEVICE,
    EXAMPLES,
    MEMORY,
    SUBSECTION,
    libvirt_qemu,
    qemu,
    xen_core,
    xend,
)
from .test_legacy_guess import POSITIVE

CORPUS = Path(__file__).parent.parent.parent / "corpus" / "real"


@pytest.mark.parametrize(("row", "data"), EXAMPLES.values(), ids=EXAMPLES)
def test_each_row_is_named(row: Neighbour, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """identify, verify, show and the drop-in name it and say what to do; JSON has both; nothing is read as a stream."""
    path = tmp_path / "input"
    path.write_bytes(data)
    answers = []
    for words in (["identify"], ["identify", "--json"], ["verify"], ["show"]):
        assert main([*words, str(path)]) == 1
        answers.append(capsys.readouterr().out)
    text, found, verdict, shown = answers
    assert verify_stream_v2.main(["-i", str(path)]) == 1

    assert "  next: " in text
    if row.key in BACKUPS:  # what is in it is looked at, and said
        assert json.loads(found)["key"] == row.key
        assert ": not judged: " in verdict
        return
    assert row.name in text.splitlines()[0]
    assert " ".join(row.hint.split()) in " ".join(text.split())
    assert max(map(len, text.splitlines()[1:])) <= 80
    parsed = json.loads(found)
    said = parsed["key"], parsed["kind"], parsed["description"], parsed["hint"]
    assert said == (row.key, "foreign", row.name, row.hint)
    assert verdict.count("\n") == 1
    assert verdict.startswith(f"{path}: not judged: {row.name} (")
    assert verdict.endswith(f"; {row.hint}\n")
    assert " ".join(shown.split()).endswith(f"nothing to show: {' '.join(row.hint.split())}")
    assert f"looks like: {row.name}; {row.hint}" in capsys.readouterr().err


def test_rows_are_whole() -> None:
    """Each has a source and a hint of one line; checks exist; what has a magic and is not read has a hint, too."""
    named = {row.key for row in MAGICS} | {row.key for row in NAMESAKES} | {"legacy"}
    for row in NEIGHBOURS:
        assert row.name
        assert row.source
        assert row.hint
        assert "\n" not in row.hint
        assert row.marks or row.check
        assert row.check in ("", *CHECKS)
        assert bool(row.lines) == bool(row.check and row.marks)
    assert named - set(READ) - {"xend"} == set(HINTS)
    assert not {row.key for row in NEIGHBOURS} & named
    assert not hint("libxc")


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_cut_and_damaged_ones_are_answered(name: str, data: st.DataObject) -> None:
    """Whatever becomes of such a header, it is named, or not; nothing in it stops us."""
    row, whole = EXAMPLES[name]
    changed = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at in data.draw(st.lists(st.integers(0, 255), max_size=4)):
        if at < len(changed):
            changed[at] = data.draw(st.integers(0, 255))
    found = identify(bytes(changed))

    assert found.description
    assert found.status == 1 or found.kind != "foreign"
    if changed == whole:
        assert found.key == row.key


@given(st.sampled_from([b"QEVM", b"LinuxGuestRecord", b"\x7fELF"]), st.binary(max_size=128))
@example(b"QEVM", b"LibxlFmt")
@example(b"LinuxGuestRecord", b"LibxlFmt")
def test_anything_may_follow(magic: bytes, rest: bytes) -> None:
    """What is looked at closely may be anything."""
    assert identify(magic + rest).key in ("qemu", "xend", "xend-2", "elf", "elf-core", "xen-core")


BEGUN = {name: it for name, it in EXAMPLES.items() if not it[0].check and not it[0].marks[0].offset}


@pytest.mark.parametrize(("row", "data"), BEGUN.values(), ids=BEGUN)
def test_exact_reading_names_what_marks_show(row: Neighbour, data: bytes) -> None:
    """Where no byte more may be read than is needed, those of the marks are, if one is at the beginning."""
    size = max(mark.offset + len(mark.data) for mark in row.marks)

    assert identify(data, exact=True).key == row.key
    assert identify(data[:size], exact=True).key == row.key
    assert size <= LONGEST < 1024


# -- real files ---------------------------------------------------------------------------------------------------


def _tar(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        member = tarfile.TarInfo("save/web01.sav")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("guest.sav", b"abc")
    return file.getvalue()


WRITTEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tar-gnu": ("tar", lambda: _tar(tarfile.GNU_FORMAT)),
    "tar-pax": ("tar", lambda: _tar(tarfile.PAX_FORMAT)),
    "tar-ustar": ("tar", lambda: _tar(tarfile.USTAR_FORMAT)),
    "zip": ("zip", _zip),
    "bzip2": ("bzip2", lambda: bz2.compress(bytes(1000))),
    "bzip2-empty": ("bzip2", lambda: bz2.compress(b"")),
    "lzma": ("lzma", lambda: lzma.compress(bytes(1000), lzma.FORMAT_ALONE)),
    "python": ("elf", lambda: Path(sys.executable).read_bytes()[:100_000]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_files_by_the_standard_library(name: str) -> None:
    """What Python writes and what it is are named."""
    key, make = WRITTEN[name]

    assert identify(make()).key == key


TOOLS = {
    "tar-v7": ("tar", ["tar", "--format=v7", "-Pcf", "{1}", "{0}"]),
    "lz4": ("lz4", ["lz4", "-q", "{0}", "{1}"]),
    "lz4-legacy": ("lz4", ["lz4", "-q", "-l", "{0}", "{1}"]),
    "lzop": ("lzop", ["lzop", "-q", "-o", "{1}", "{0}"]),
    "7z": ("7z", ["7z", "a", "-bso0", "{1}.7z", "{0}"]),
    "vmdk": ("vmdk", ["qemu-img", "create", "-q", "-f", "vmdk", "{1}", "8M"]),
    "vhdx": ("vhdx", ["qemu-img", "create", "-q", "-f", "vhdx", "{1}", "8M"]),
    "vhd": ("vhd", ["qemu-img", "create", "-q", "-f", "vpc", "{1}", "8M"]),
    "vdi": ("vdi", ["qemu-img", "create", "-q", "-f", "vdi", "{1}", "8M"]),
    "qcow2": ("qcow2", ["qemu-img", "create", "-q", "-f", "qcow2", "{1}", "8M"]),
}


@pytest.mark.parametrize("name", TOOLS)
def test_files_by_their_own_tools(name: str, tmp_path: Path) -> None:
    """What the tools write is named."""
    key, command = TOOLS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / "in").write_bytes(b"guest" * 1000)
    words = [word.format(tmp_path / "in", tmp_path / "out") for word in command]
    subprocess.run(words, check=True, capture_output=True)
    (made,) = tmp_path.glob("out*")

    assert identify(made).key == key


def test_system_files_get_no_such_name() -> None:
    """Programs, texts and modules are no streams; what is called an archive or a program begins as one does."""
    folders = (Path("/usr/bin"), Path("/usr/share"), Path(sysconfig.get_path("stdlib")))
    files = [path for folder in folders for path in sorted(folder.glob("*")) if path.is_file()][:400]
    begins = {"elf": b"\x7fELF", "zip": b"PK\3\4"}
    for path in files:
        found = identify(path)
        assert found.kind in ("foreign", "unknown", "empty", "compressed"), path
        if found.kind == "foreign":
            assert found.key in begins, path
            assert path.read_bytes()[:4] == begins[found.key], path

    assert len(files) > 20


# -- closer looks -------------------------------------------------------------------------------------------------

MAPPED = qemu(CONFIGURATION, SUBSECTION, Qemu.MAPPED, MEMORY)
QEMU = {
    "device": (qemu(DEVICE, b"\0"), "qemu", Qemu.NAME_RECORD, "'timer'"),
    "no-device": (qemu(b"\0"), "qemu", Qemu.NAME_RECORD, "its end"),
    "migration": (qemu(CONFIGURATION, MEMORY), "qemu", Qemu.NAME_STREAM, "'none'"),
    "migration-under-xen": (qemu(MEMORY), "qemu", Qemu.NAME_STREAM, "'ram'"),
    "return-path": (qemu(b"\x08\0\1\0\0"), "qemu", Qemu.NAME_STREAM, "command"),
    "mapped-ram": (MAPPED, "qemu", Qemu.NAME_MAPPED, "'none'"),
}


@pytest.mark.parametrize("name", QEMU)
def test_records_and_migrations_differ(name: str) -> None:
    """By the first frame; neither is doubted."""
    data, key, title, evidence = QEMU[name]
    found = identify(data)

    assert (found.key, found.kind, found.description, found.doubt, found.status) == (key, "stream", title, "", 0)
    assert evidence in found.evidence


def test_the_old_version_is_named() -> None:
    """With what is the matter with it."""
    found = identify(qemu(bytes(8), version=2))

    assert (found.key, found.description) == ("qemu", Qemu.NAME_OLD)
    assert "version" in found.doubt


def test_real_records_and_migrations() -> None:
    """QEMU's own: one by xen-save-devices-state, one by migrate."""
    assert identify(CORPUS / "dm-pc-xenlike.bin").description == Qemu.NAME_RECORD
    assert identify(CORPUS / "mig-none-1M.bin.gz").description == Qemu.NAME_STREAM


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\0\0\0\3", bytes(64), b"\0\0\0\3\x55" + bytes(60)])
def test_four_letters_alone_are_doubted(rest: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """QEVM is not enough."""
    path = tmp_path / "input"
    path.write_bytes(b"QEVM" + rest)
    found = identify(path)
    main(["identify", str(path)])

    assert found.doubt
    assert found.hint == Qemu.HINT_DOUBT
    assert "  but: " in capsys.readouterr().out
    assert main(["verify", str(path)]) == 1


def test_xend_names_its_guest() -> None:
    """The guest, and the stream inside with its offset; a file without configuration is of Xen 2.0, or doubted."""
    stream = POSITIVE["hvm64"][0]
    found = identify(xend(rest=stream))
    assert found.description == "xend > legacy-64, x86 HVM"
    assert (found.key, found.status, found.guest, found.toolstack_width) == ("xend", 0, "hvm", 64)
    assert found.configuration is not None
    assert (found.configuration.name, found.configuration.memory) == ("web01", 384 << 10)
    assert "; at 64 " in found.evidence
    assert xend(rest=stream)[64:] == stream

    bare = identify(xend(b"(domain (domid 7))"))
    assert (bare.key, bare.description) == ("xend", "xend")
    assert "it ends at offset" in bare.doubt

    old = identify(b"LinuxGuestRecord" + (65536).to_bytes(4, "little") + bytes(4096))
    assert (old.key, old.description, old.status) == ("xend-2", Xend.NAME_OLD, 0)

    broken = identify(b"LinuxGuestRecord" + b"\xff" * 64)
    assert (broken.key, bool(broken.doubt)) == ("xend", True)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("wide", [False, True])
def test_a_core_of_xen_has_its_note(order: str, wide: bool) -> None:
    """Either width and order; a note of another name or kind makes it another's core."""
    assert identify(xen_core(order=order, wide=wide)).key == "xen-core"
    assert identify(xen_core(0x2000003, order=order, wide=wide)).key == "xen-core"
    assert identify(xen_core(0x1000001, order=order, wide=wide)).key == "elf-core"
    assert identify(xen_core(name=b"GNU\0", order=order, wide=wide)).key == "elf-core"


def test_a_save_that_did_not_finish_is_called_that() -> None:
    """libvirt's QEMU driver changes the magic when a save is complete."""
    assert identify(libvirt_qemu()).description.startswith("save file of libvirt's QEMU driver")
    part = identify(libvirt_qemu(b"LibvirtQemudPart"))
    assert part.description.startswith("unfinished save file of libvirt's QEMU driver")
    assert "the save did not finish" in part.hint


def test_what_a_container_holds_is_named_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The doubt and the hint are about that."""
    path = tmp_path / "input"
    header = pack("<4I", xl.BYTE_ORDER, 3, 0, 4 + 3) + pack("<I", 3) + b"{}\0"
    path.write_bytes(xl.MAGIC + header + _tar(tarfile.GNU_FORMAT))
    assert main(["identify", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["key"] == "xl"
    assert "tar archive" in found["doubt"]
    assert found["hint"].startswith("unpack it")
