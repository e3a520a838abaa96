"""Files of memory have every page at its address, and other tools read them so."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from struct import unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..cli.main import main
from ..codec.content import Buffer
from ..errors import LimitError
from ..io.memory import MemorySource
from ..io.outputs import FileOutput, Output
from ..io.sources import drive
from ..memory import KINDS
from ..memory.collector import Collector
from ..memory.contents import Contents
from ..memory.frames import HERE, Frames
from ..memory.registers import Vcpus, notes
from ..memory.writing import write
from ..strategies import Sample, streams
from .support import plain_legacy, plain_memory_v3
from .support.plain_guests import saved
from .test_cli import run
from .test_legacy_restore import GUESTS

Sampled = Callable[[str], bytes]
ROOT = Path(__file__).parents[2]
PAGE = 4096


def pages_of(kind: str, data: bytes) -> dict[int, bytes]:
    """The pages in a file, read plainly: of a raw one those that are not zero."""
    found: dict[int, bytes] = {}

    def take(address: int, at: int, size: int) -> None:
        assert address % PAGE == size % PAGE == 0
        assert at + size <= len(data)
        for place in range(0, size, PAGE):
            found[(address + place) // PAGE] = data[at + place : at + place + PAGE]

    if kind == "raw":
        take(0, 0, len(data))
        return {pfn: page for pfn, page in found.items() if any(page)}
    if kind == "lime":
        at = 0
        while at < len(data):
            magic, version, first, last, _ = unpack_from("<IIQQQ", data, at)
            assert (magic, version) == (0x4C694D45, 1)
            take(first, at + 32, last + 1 - first)
            at += 32 + last + 1 - first
        return found
    assert data[:7] == b"\x7fELF\2\1\1"
    kind_, machine = unpack_from("<HH", data, 16)
    offset, sections = unpack_from("<QQ", data, 32)
    size, count = unpack_from("<HH", data, 54)
    assert (kind_, machine, size) == (4, 62, 56)
    if count == 0xFFFF:
        (count,) = unpack_from("<I", data, sections + 44)
    for number in range(count):
        what, _, at, _, address, length, memory, _ = unpack_from("<IIQQQQQQ", data, offset + 56 * number)
        if what == 1:
            assert length == memory
            assert at % PAGE == 0
            take(address, at, length)
    return found


def written(kind: str, stream: bytes, path: Path) -> None:
    """Write a stream's memory, all of which it has."""
    collector = Collector()
    source = MemorySource(stream)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    out = FileOutput(path, sync=False)
    write(kind, collector.frames, collector.contents, out)
    out.finish()


@settings(max_examples=25)
@given(st.sampled_from(KINDS), streams("libxc", guest="pv") | streams("libxl", guest="hvm"))
def test_files_have_every_page(tmp_path_factory: pytest.TempPathFactory, kind: str, sample: Sample) -> None:
    """Of whatever stream, each kind of file has the pages that a plain reader finds, and no other."""
    data = sample.data
    pages = {pfn: page for pfn, (_, page) in plain_memory_v3.read(data).pages.items()}
    path = tmp_path_factory.getbasetemp() / f"memory.{kind}"
    try:
        written(kind, data, path)
    except LimitError:
        assert kind == "raw"
        assert max(pages) >= (4 << 20) + 16 * len(pages)
        return
    if kind == "raw":
        assert path.stat().st_size == (max(pages) + 1) * PAGE
        if path.stat().st_size > 1 << 28:
            return  # a hole that a plain reader would read for minutes
        pages = {pfn: page for pfn, page in pages.items() if any(page)}
    assert pages_of(kind, path.read_bytes()) == pages


def _kept(pieces: list[bytes], buffers: Sequence[Buffer]) -> None:
    pieces += map(bytes, buffers)


def test_zero_pages_are_holes(tmp_path: Path) -> None:
    """Pages of zeros that a stream has take no room, nor do those that it only allocates; a pipe gets them all."""
    frames, page = Frames(), bytes(range(256)) * 16
    stored = page + bytes(PAGE) * 300 + page
    frames.entries = 302
    frames.put_row(0, 302, 0 << 8 | HERE, 0)
    contents = Contents(lambda room, at: MemorySource(stored[at - PAGE :]).read_into(room))
    frames.put_row(0, 302, PAGE << 8 | HERE, PAGE)
    frames.put_row(400, 5, HERE, 0)
    for kind in KINDS:
        out = FileOutput(tmp_path / kind, sync=False)
        done = write(kind, frames, contents, out)
        out.finish()
        found = os.stat(tmp_path / kind)
        assert (done.pages, done.zero, done.size) == (307, 305, found.st_size)
        assert found.st_blocks * 512 < 16 * PAGE
        piped: list[bytes] = []
        write(kind, frames, contents, Output(partial(_kept, piped)))
        assert b"".join(piped) == (tmp_path / kind).read_bytes()


def test_many_ranges(tmp_path: Path) -> None:
    """An ELF core of more ranges than its header has room for says so where ELF has it."""
    frames, count = Frames(), 66_000
    frames.entries = 1 << 20
    for pfn in range(0, 2 * count, 2):
        frames.put(pfn, HERE)
    out = FileOutput(tmp_path / "core", sync=False)
    write("elf", frames, Contents(None), out)
    out.finish()
    assert sorted(pages_of("elf", (tmp_path / "core").read_bytes())) == list(range(0, 2 * count, 2))
    if shutil.which("readelf"):
        shown = readelf("-h", tmp_path / "core")
        assert f"65535 ({count})" in shown


def readelf(what: str, path: Path) -> str:
    """What binutils' readelf says; it fails if that is an error or a warning."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed (binutils)")
    done = subprocess.run(["readelf", "-W", what, path], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


@pytest.mark.peer
def test_readelf_reads_a_core(tmp_path: Path, sample: Sampled) -> None:
    """Segments and notes are what they are to be."""
    path, core = tmp_path / "guest.bin", tmp_path / "core"
    path.write_bytes(sample("pv-list.bin.gz"))
    assert main(["extract", "--memory", "elf", str(path), "-o", str(core)]) == 0
    segments = [line.split() for line in readelf("-l", core).splitlines() if line.strip().startswith(("LOAD", "NOTE"))]
    shown = readelf("-n", core)

    assert len(segments) == 42
    assert [int(row[3], 16) for row in segments if row[0] == "LOAD"][:3] == [0, 0x26000, 0x66000]
    assert "NT_PRSTATUS (prstatus structure)" in shown
    assert shown.count("QEMU") == 1


def volatility() -> str:
    """The Python that has volatility3."""
    found = os.environ.get("STREAMFMT_VOLATILITY", str(ROOT / ".volatility" / "bin" / "python"))
    if not os.path.exists(found):
        pytest.skip("volatility3 is not there: make volatility, or STREAMFMT_VOLATILITY=/its/python")
    return found


@pytest.mark.peer
@pytest.mark.parametrize("kind", KINDS)
def test_volatility_reads_the_file(kind: str, tmp_path: Path, sample: Sampled) -> None:
    """Its layers give every page, and know the ranges."""
    python, data = volatility(), sample("pv-list.bin.gz")
    pages = {pfn: page for pfn, (_, page) in plain_memory_v3.read(data).pages.items()}
    written(kind, data, tmp_path / "memory")
    words = [python, str(ROOT / "conformance" / "volatility_layers.py"), kind, str(tmp_path / "memory")]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    hashes = {int(pfn): of for pfn, of in found["pages"].items()}
    due = {pfn: hashlib.blake2b(page).hexdigest() for pfn, page in pages.items()}
    if kind == "raw":
        zero = hashlib.blake2b(bytes(PAGE)).hexdigest()
        due |= {pfn: zero for pfn in range(max(pages)) if pfn not in pages}
    else:
        assert len(found["ranges"]) == 41
    assert hashes == due


# -- registers ------------------------------------------------------------------------------------------------------


def registers(stream: bytes, guest: str | None = None) -> tuple[dict[int, dict[str, int]], bytes]:
    """Those that are found in a stream, and the notes about them."""
    collector = Collector("legacy-64" if guest else "auto", guest)
    collector.states = vcpus = Vcpus(collector)
    source = MemorySource(stream)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    return vcpus.registers, notes(vcpus.registers)


def test_registers_of_a_pv_guest(sample: Sampled) -> None:
    """They stand in NT_PRSTATUS in Linux's order, and in QEMU's note with the guest's CR3."""
    data = sample("pv-list.bin.gz")
    found, raw = registers(data)
    basic = plain_memory_v3.read(data).vcpus[0].basic
    (rsp,) = unpack_from("<Q", basic, 0x2A0)
    (rip,) = unpack_from("<Q", basic, 0x288)
    (cr3,) = unpack_from("<Q", basic, 0x1390)

    assert list(found) == [0]
    # Name, descriptor and type, then its name; 112 bytes; the registers.
    assert unpack_from("<3I", raw) == (5, 336, 1)
    status = unpack_from("<27Q", raw, 20 + 112)
    assert (status[16], status[19]) == (rip, rsp)
    at = 20 + 336
    assert unpack_from("<3I5s", raw, at) == (5, 440, 0, b"QEMU\0")
    general = unpack_from("<II18Q", raw, at + 20)
    assert general[:2] == (1, 440)
    assert (general[8], general[18]) == (rsp, rip)
    assert unpack_from("<5Q", raw, at + 20 + 8 + 18 * 8 + 240)[3] == cr3
    assert len(raw) == at + 20 + 440


def test_registers_of_an_hvm_guest(sample: Sampled) -> None:
    """They come from the CPU entries of its context."""
    data = sample("hvm-64.bin.gz")
    found, _ = registers(data)
    context = plain_memory_v3.read(data).context or b""
    at = context.index(b"\2\0\0\0") + 8

    assert found[0]["rax"] == unpack_from("<Q", context, at + 0x200)[0]
    assert found[0]["cr3"] == unpack_from("<Q", context, at + 0x2A0)[0]
    assert found[0]["gs.base"] == unpack_from("<Q", context, at + 0x348)[0]


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_registers_in_legacy_streams(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vcpu has its own number."""
    setup, context = GUESTS[kind], plain_legacy.hvm_context
    cpus = [(2, vcpu, (vcpu + 7).to_bytes(8, "little").rjust(520, b"\0").ljust(1024, b"\0")) for vcpu in setup.vcpus]
    monkeypatch.setattr(plain_legacy, "hvm_context", lambda: context(*cpus))
    found, _ = registers(saved(setup), kind)

    assert sorted(found) == list(setup.vcpus)
    if kind == "hvm":
        assert [found[vcpu]["rax"] for vcpu in setup.vcpus] == [vcpu + 7 for vcpu in setup.vcpus]


# -- the command ----------------------------------------------------------------------------------------------------


def test_what_is_printed(tmp_path: Path, sample: Sampled, capsys: pytest.CaptureFixture[str]) -> None:
    """What was written, and that it is as of which checkpoint; a pipe gets the same bytes, a .gz gives them."""
    path, out = tmp_path / "guest.bin", tmp_path / "memory"
    data = sample("hvm-remus.bin.gz")
    path.write_bytes(data)
    assert main(["extract", "--memory", "lime", str(path), "-o", str(out)]) == 0
    assert f"{out.stat().st_size:,} bytes\n  480 pages in 10 ranges" in capsys.readouterr().out
    piped = run("extract", "--memory", "lime", str(path))
    assert piped.stdout == out.read_bytes()
    packed = tmp_path / "guest.gz"
    packed.write_bytes(gzip.compress(data))
    assert run("extract", "--memory", "lime", str(packed)).stdout == out.read_bytes()
    path.write_bytes(data[:-1000])
    assert main(["extract", "--memory", "lime", str(path), "-o", str(out)]) == 0
    assert "the memory is as of checkpoint 3; after it, the input ends at" in capsys.readouterr().err


def test_what_is_refused(tmp_path: Path, sample: Sampled, capsys: pytest.CaptureFixture[str]) -> None:
    """A cut stream by its rule, unless asked for what there is; nothing is left of a file then."""
    path, out = tmp_path / "guest.bin", tmp_path / "memory"
    path.write_bytes(sample("hvm-64.bin.gz")[:100_000])
    words = ["extract", "--memory", "raw", str(path), "-o", str(out)]
    assert main(words) == 1
    assert [line.split(": ", 2)[2][:30] for line in capsys.readouterr().err.splitlines()] == [
        "LIBXC-REC-TRUNC at 100000: the",
        "nothing was written; --allow-d",
    ]
    assert os.listdir(tmp_path) == ["guest.bin"]
    assert main([*words, "--allow-damaged"]) == 1
    assert out.stat().st_size == 24 * PAGE
    assert "memory is missing, or doubtful: the input ends at 100000" in capsys.readouterr().err
    path.write_bytes(b"MZ" * 100)
    assert main(words) == 1
    assert "not a migration stream" in capsys.readouterr().err


def test_no_memory(tmp_path: Path, sample: Sampled, capsys: pytest.CaptureFixture[str]) -> None:
    """An image without a frame gives no core."""
    path = tmp_path / "guest.bin"
    path.write_bytes(sample("hvm-64.bin.gz")[:700])
    assert main(["extract", "--memory", "elf", str(path), "-o", str(tmp_path / "core"), "--allow-damaged"]) == 1
    assert "no frame of memory" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["guest.bin"]


def test_the_index_beside_a_file(tmp_path: Path, sample: Sampled, capsys: pytest.CaptureFixture[str]) -> None:
    """It is made, used, and refused when the file is another."""
    path, out = tmp_path / "guest.bin", tmp_path / "memory"
    path.write_bytes(sample("hvm-64.bin.gz"))
    words = ["extract", "--memory", "raw", "--index", str(path), "-o", str(out)]
    assert main(words) == 0
    assert "the index is in" in capsys.readouterr().out
    first = out.read_bytes()
    assert main(words) == 0
    assert "by the index" in capsys.readouterr().out
    assert out.read_bytes() == first
    path.write_bytes(path.read_bytes() + b"\0")
    assert main(words) == 1
    assert "guest.bin.pages does not fit: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "libxc", "--memory", "raw"], "--memory takes no PART"),
        (["x", "--memory", "raw", "--json"], "--memory takes no PART"),
        (["-", "--memory", "raw", "--index"], "--index needs a file"),
        ([f"{__file__}/member", "--memory", "raw", "--index"], "--index needs a file"),
        (["x", "libxc", "--index"], "--index, --allow-damaged and --channels are for --memory"),
        (["x", "--list", "--memory", "raw"], "two tasks"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not go together is said."""
    assert main(["extract", *words]) == 2
    assert message in capsys.readouterr().err
