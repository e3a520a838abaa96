"""The writer: what it writes is what was asked for, it refuses what verification finds, and it leaves nothing half."""

from __future__ import annotations

import io
import os
import socket
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from .. import tables
from ..codec import encode, plan
from ..codec.decode import layouts
from ..errors import FieldError
from ..io import outputs
from ..schema import libxc
from ..writer import HEADERS, BreachError, Draft, Part, Writer, unknown
from ..writer.builders import CONFIGURATION
from .support.corpus import SMALL
from .support.good_streams import GOOD, HVM, TSC
from .support.listings import DATA
from .support.vector import Vector, judge

EACH_CLAUSE = pytest.mark.parametrize("clause", SMALL)
# Rules that verification judges by what follows, which no writer has seen yet: all that it says of their streams.
# It may name another place, too, or another rule, and nothing if that is one whose breach is a warning.
AHEAD: dict[str, set[str]] = {
    "STREAM-TEXT": {"XL-MAGIC"},
    "STREAM-FRAMING-LOST": {"STREAM-FRAMING-LOST", "LIBXC-REC-UNKNOWN-MAND"},
    # Zeros come after an END that lacks records before it.
    "STREAM-ZEROS": {
        "",
        "LIBXC-HVMCTX-PRESENT",
        "LIBXC-HVMPARAMS-PRESENT",
        "LIBXC-TSC-PRESENT",
        "LIBXC-VCPU0-BASIC",
        "LIBXL-EMU-CTX",
        "LIBXL-LIBXC-ONCE",
    },
    "LIBXC-END-LAST": {"LIBXC-END-LAST"},
    "COLO-DIRTY-HDR": {"LIBXL-BACK-TYPES"},
    "LIBXL-BACK-NOHDR": {"LIBXL-BACK-TYPES"},
}
# Clauses of streams that conform though there is no whole of them that could be copied.
CUT = {"CKPT-CUT", "XL-MIGRATE-UNFINISHED", "QEMU-DESC-OPT"}


def _form(vector: Vector) -> str:
    """What a writer has to be given; empty for what none writes: text before a stream, and bytes of no form."""
    return vector.stream.form if vector.form == "auto" else vector.form


def _written(stream: Draft, form: str, **options: Any) -> tuple[bytes, str]:
    """The bytes, and the clause that ended it."""
    out = io.BytesIO()
    writer = Writer(out, form, **options)
    try:
        for part in stream:
            writer.put(part)
        writer.close()
    except BreachError as error:
        with pytest.raises(ValueError, match=r"nothing can follow|closed"):
            writer.put(TSC)
        return out.getvalue(), f"{error.finding.clause} at {error.finding.offset}"
    return out.getvalue(), ""


# -- what is written ------------------------------------------------------------------------------------------


@EACH_CLAUSE
def test_it_refuses_what_verification_finds(clause: str) -> None:
    """A stream is written as it is, or the first error or warning that its bytes have is raised, before it is out."""
    said = set()
    for name, vector in SMALL[clause].items():
        form = _form(vector)
        if not form or vector.stream.big or vector.stream.cut is not None:
            continue
        data = vector.stream.render()
        options: dict[str, Any] = {"mode": vector.mode, "deep": vector.deep}
        outcome = judge([data], form, vector.mode, deep=vector.deep)
        for strict, grave in ((True, ("error", "warning")), (False, ("error",))):
            written, message = _written(vector.stream, form, strict=strict, **options)
            found = [f"{row.clause} at {row.offset}" for row in outcome.findings if row.severity in grave]
            if found and clause in AHEAD:
                assert message or not strict, name
                said.add(message.partition(" ")[0])
            else:
                assert message == (found[0] if found else ""), name
            if not found:
                assert written == data, name
        assert _written(vector.stream, form, judge=False) == (data, ""), name
    assert said == AHEAD.get(clause, set())


@pytest.mark.parametrize("name", [name for name in GOOD if name != "xapi-http"])
def test_read_then_write_is_the_same(name: str) -> None:
    """What `open` shows of a stream makes the same stream: copied, and built again from its fields."""
    for by_fields in (False, True):
        out = io.BytesIO()
        with streamfmt.open(DATA[name]) as stream:
            writer = Writer(out, _form(Vector(GOOD[name])))
            for item in stream:
                if not by_fields:
                    writer.copy(item)
                elif isinstance(item, streamfmt.Header):
                    writer.put(Part(f"{item.layer.rpartition('/')[2]}.{item.name}", item.fields()))
                else:
                    writer.put(_of_fields(item))
            writer.close()
        assert out.getvalue() == DATA[name]


def _of_fields(item: streamfmt.Record) -> Part:
    path = f"{item.layer.rpartition('/')[2]}.{item.name}"
    claim = item.length if path == "xapi.LIBXC" else None
    return Part(path, item.fields(), declared_length=claim)


@EACH_CLAUSE
def test_any_conforming_stream_is_copied_byte_by_byte(clause: str) -> None:
    """Padding, reserved fields, unknown records and what comes twice: a copy is the same, warnings and all."""
    for name, vector in SMALL[clause].items():
        form = _form(vector)
        data = vector.stream.render()
        options: dict[str, Any] = {"form": form, "mode": vector.mode}
        if not form or streamfmt.verify(data, **options).verdict != "conforms":
            continue
        out = io.BytesIO()
        writer = Writer(out, form, mode=vector.mode, strict=False)
        with streamfmt.open(data, form=options["form"]) as stream, suppress(streamfmt.TruncatedError):
            for item in stream:
                writer.copy(item)
            writer.close()
            end = stream.trailing[0] if stream.trailing else len(data)
            assert out.getvalue() == data[:end], name
            continue
        assert clause in CUT, name  # inside a checkpoint that is lost: there is no end to copy
        assert data.startswith(out.getvalue())


# -- how it is written ----------------------------------------------------------------------------------------


def _guest(writer: Writer, pages: int = 2100) -> None:
    """An HVM guest whose memory comes in batches, from buffers that are used again."""
    room = bytearray(libxc.PAGE_SIZE * libxc.BATCH_MAX)
    writer.begin("hvm", config=CONFIGURATION if writer.form == "xl" else None)
    writer.put(HVM.part("libxc.X86_CPUID_POLICY"))
    writer.put(HVM.part("libxc.X86_MSR_POLICY"))
    writer.record("STATIC_DATA_END")
    for start in range(0, pages, libxc.BATCH_MAX):
        pfns = range(start, min(start + libxc.BATCH_MAX, pages))
        for place, pfn in enumerate(pfns):
            room[place * libxc.PAGE_SIZE : place * libxc.PAGE_SIZE + 8] = pfn.to_bytes(8, "little")
        writer.pages(pfns, "NOTAB", [memoryview(room)[: len(pfns) * libxc.PAGE_SIZE]])
    writer.record("X86_TSC_INFO", mode=0, khz=1, nsec=0, incarnation=0)
    writer.put(HVM.part("libxc.HVM_PARAMS"))
    writer.put(HVM.part("libxc.HVM_CONTEXT"))
    writer.end()
    writer.record("EMULATOR_CONTEXT", emulator_id="QEMU_UPSTREAM", context=b"QEVM\0\0\0\3\0")
    writer.end()


@pytest.mark.parametrize("form", ["libxl", "xl"])
def test_a_guest_to_every_target(form: str, tmp_path: Path) -> None:
    """File, descriptor, pipe, socket and object get the same bytes, whatever becomes of the buffers afterwards."""
    path = tmp_path / "guest.sav"
    with Writer(path, form) as writer:
        _guest(writer)
        assert not path.exists()
    data = path.read_bytes()
    outcome = streamfmt.verify(data)
    assert (outcome.verdict, outcome.findings) == ("conforms", [])
    with streamfmt.open(data) as stream:
        batches = [batch for item in stream if getattr(item, "name", "") == "PAGE_DATA" for batch in item.pages()]  # type: ignore[union-attr] # a record by its name
    assert [pfn for batch in batches for pfn in batch.pfns] == list(range(2100))
    assert os.listdir(tmp_path) == ["guest.sav"]

    memory = io.BytesIO()
    with Writer(memory, form) as writer:
        _guest(writer)
    assert memory.getvalue() == data
    with (tmp_path / "again").open("wb") as file, Writer(file.fileno(), form) as writer:
        _guest(writer)
    assert (tmp_path / "again").read_bytes() == data

    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    for target, read in ((ours, theirs.recv), (into, partial(os.read, out))):
        got = bytearray()

        def drain(read: Any = read, got: bytearray = got) -> None:
            while piece := read(99_999):
                got.extend(piece)

        thread = threading.Thread(target=drain)
        thread.start()
        with Writer(target, form) as writer:
            _guest(writer)
        target.close() if isinstance(target, socket.socket) else os.close(target)
        thread.join()
        assert got == data
    theirs.close()
    os.close(out)


def test_page_contents_are_not_copied() -> None:
    """An object that is written to gets the very memory that the caller gave."""
    seen: list[Any] = []

    class Target:
        def write(self, data: Any) -> int:
            seen.append(data)
            return len(data)

    page = bytearray(libxc.PAGE_SIZE)
    writer = Writer(Target(), "libxc")
    writer.begin("hvm")
    writer.put(HVM.part("libxc.X86_CPUID_POLICY"))
    writer.put(HVM.part("libxc.X86_MSR_POLICY"))
    writer.record("STATIC_DATA_END")
    writer.pages([1, 2], ["NOTAB", "XTAB"], [page])

    assert any(memoryview(piece).obj is page for piece in seen)


@given(st.lists(st.integers(1, 5000), min_size=1))
def test_a_target_that_takes_little(sizes: list[int]) -> None:
    """Whatever a system call takes at a time, all bytes come out once and in order."""
    got = bytearray()
    turn = iter(sizes * 100_000)

    def take(buffers: Any) -> int:
        some = b"".join(buffers)[: next(turn)]
        got.extend(some)
        return len(some)

    buffers = [bytes([n % 256]) * (n * 37 % 4000) for n in range(40)]
    outputs.send(take, buffers, -1)
    assert got == b"".join(buffers)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_target_that_does_not_block_is_waited_for(kind: str) -> None:
    """Another program may have made it so, as ssh does with standard output."""
    got = bytearray()
    ends: Any
    target: Any
    if kind == "pipe":
        ends = [os.fdopen(fd, mode, buffering=0) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]
        target, read = ends[1].fileno(), ends[0].read
        os.set_blocking(target, False)
    else:
        ends = socket.socketpair()
        target, read = ends[1], ends[0].recv
        target.setblocking(False)

    def collect() -> None:
        while piece := read(65536):
            got.extend(piece)

    # It begins when the target has long been full.
    reader = threading.Timer(0.1, collect)
    pages = [bytes([number]) * libxc.PAGE_SIZE for number in range(200)]
    reader.start()
    with Writer(target, "libxc", judge=False) as writer:
        writer.pages(range(200), "NOTAB", pages)
    ends[1].close()
    reader.join()
    ends[0].close()
    assert got.endswith(b"".join(pages))
    assert len(got) == writer.offset


# -- what goes wrong ------------------------------------------------------------------------------------------


def _write(path: str | Path, do: Callable[[Writer], object]) -> None:
    with Writer(path, "libxc") as writer:
        writer.begin("hvm")
        do(writer)


def _hvm(writer: Writer) -> None:
    for part in HVM.parts[2:]:
        writer.put(part)


def test_a_name_that_is_taken_meanwhile(tmp_path: Path) -> None:
    """A file that cannot get its name at the end does not stay beside it."""
    path = tmp_path / "out"
    writer = Writer(path, "libxc")
    for part in HVM:
        writer.put(part)
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        writer.close()

    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("before", [None, b"as it was"])
def test_no_half_file(tmp_path: Path, before: bytes | None) -> None:
    """A breach, an exception and a stream that is not complete leave what was there, or nothing."""
    path = tmp_path / "guest.sav"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(BreachError, match="LIBXC-SDE-PRESENT at 40"):
        _write(path, lambda writer: writer.put(TSC))
    with pytest.raises(ZeroDivisionError):
        _write(path, lambda _: 1 / 0)
    with pytest.raises(BreachError, match="LIBXC-REC-TRUNC"):
        _write(path, lambda _: None)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    """What replaces a file has its mode, and a link goes on pointing to it; a device is written to as it is."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"")
    real.chmod(0o640)
    link.symlink_to(real)
    _write(link, _hvm)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_bytes() == DATA["hvm"]
    _write("/dev/null", _hvm)
    with pytest.raises(OSError, match="No space left"):
        _write("/dev/full", _hvm)
    with pytest.raises(OSError, match="No such file") as caught:
        Writer(tmp_path / "no" / "where")
    assert caught.value.filename == str(tmp_path / "no" / "where")
    with pytest.raises(TypeError, match="is wanted"):
        Writer(object())  # type: ignore[arg-type] # this is what is tested


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("X86_TSC_INFO", {"mode": 0}, "khz: it needs a value"),
        ("X86_TSC_INFO", {"mode": 1 << 32, "khz": 1, "nsec": 0, "incarnation": 0}, "mode: 4294967296 is not within"),
        ("X86_TSC_INFO", {"mood": 0}, "mood: libxc.X86_TSC_INFO has no such field, only"),
        ("HVM_PARAMS", {"params": [{"index": "NONE", "value": 1}]}, r"params\[0\].index: 'NONE' is none of"),
        ("SHARED_INFO", {"page": b"short"}, "page: 5 bytes, not 4096"),
        ("NOTHING", {}, "there is no header or record NOTHING"),
        ("libxc.NOTHING", {}, "libxc.NOTHING: there is no such header or record"),
        ("header", {}, "there is no header or record header"),
    ],
)
def test_values_that_cannot_be_written(name: str, values: dict[str, Any], message: str) -> None:
    """What does not fit is reported with its field, and the stream can go on."""
    writer = Writer(io.BytesIO(), "libxc", judge=False)
    writer.begin("hvm")
    with pytest.raises(ValueError, match=message):
        writer.record(name, **values)
    writer.record("STATIC_DATA_END")


def test_what_no_writer_writes() -> None:
    """A form or a mode that does not exist is refused with those that do, and so is one that `begin` cannot begin."""
    with pytest.raises(ValueError, match="form 'libvrt' is none of auto, libxl"):
        Writer(io.BytesIO(), "libvrt")
    with pytest.raises(ValueError, match="mode 'remsu' is none of auto, plain"):
        Writer(io.BytesIO(), mode="remsu")
    for form in ("libvirt", "xapi", "xl-migrate", "back-channel"):
        writer = Writer(out := io.BytesIO(), form)
        with pytest.raises(ValueError, match=f"begin writes libxc, libxl, xl; of form '{form}' put the parts"):
            writer.begin("hvm")
        assert (writer.offset, out.getvalue()) == (0, b"")


@pytest.mark.parametrize("form", ["libxl", "libxc", "xl"])
@pytest.mark.parametrize("guest", list(libxc.GUESTS))
@pytest.mark.parametrize("config", [None, b"", b"{}\0", bytes(range(256)) * 300])
def test_configuration_is_the_users(form: str, guest: str, config: bytes | None) -> None:
    """Every form writes the configuration that was given and no other: an xl file without one is not begun."""
    writer = Writer(out := io.BytesIO(), form, judge=False)
    if (config is None) == (form == "xl"):
        with pytest.raises(ValueError, match="config is for xl files, which need it"):
            writer.begin(guest, config=config)
        assert (writer.offset, out.getvalue()) == (0, b"")
        return
    writer.begin(guest, config=config)
    writer.close()
    if config is not None:
        body = out.getvalue()[tables.SIZES["xl.header"] :]
        assert body.startswith(len(config).to_bytes(4, "little") + config)


def test_pages_that_cannot_be_written() -> None:
    """Types and frame numbers are reported apart."""
    writer = Writer(io.BytesIO(), "libxc", judge=False)
    for pfns, types, message in (
        ([1], "PAGE", "types: 'PAGE' is none of NOTAB"),
        ([1, 2], ["NOTAB"], "types: 1 for 2 frames"),
        ([-1], "XTAB", "entries"),
    ):
        with pytest.raises(FieldError, match=message):
            writer.pages(pfns, types, [])
    with pytest.raises(FieldError, match=r"pages\[0\]: it is not 4096 bytes"):
        writer.pages([1], "NOTAB", [b"x"])


def test_names_are_those_of_the_layer_that_is_open() -> None:
    """END is the image's, then the stream's; records of checkpoints alternate between the layers."""
    out = io.BytesIO()
    with Writer(out, "libxl") as writer:
        for part in GOOD["libxl-remus-hvm"]:
            writer.header(part.name, **part.values) if part.path in HEADERS else writer.record(
                part.name, part.data, **part.values
            )
    assert out.getvalue() == DATA["libxl-remus-hvm"]


def test_an_unknown_record_ends_no_layer() -> None:
    """A record of an unknown type is no END, whatever it is built from."""
    out = io.BytesIO()
    with Writer(out, "libxl", judge=False) as writer:
        for part in (*GOOD["libxl-remus-hvm"].parts[:4], unknown("libxc", 1 << 31)):
            writer.put(part)
        writer.record("END")
        writer.put(unknown("libxl", 1 << 31))
        writer.record("END")
        with pytest.raises(ValueError, match=r"END is in libxl\.END, libxc\.END"):
            writer.record("END")


FIELDS = {path: layout for path, layout in layouts().items() if layout.fields}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("path", FIELDS)
def test_all_fields_at_once(path: str, order: str) -> None:
    """Fields packed together are the bytes that they are one by one; what cannot be packed is left to that way."""
    layout = FIELDS[path]
    head = plan.planned(layout).heads[id(layout.items[0])]
    taken = 0
    for row in layout.fields:
        bits = min(row.bits, 64)
        edges: list[Any] = [0, 1, (1 << bits - 1) - 1, -1, (1 << bits) - 1, 1 << bits, *row.names.values()]
        for value in [None, bytes(row.size), (bytes(range(256)) * 16)[: row.size], "no name", *edges]:
            others = {other.path: bytes(other.size) if other.raw else 1 for other in layout.fields}
            values = {**others, row.path: value}
            at_once = encode._packed(head, values, order)
            try:
                one_by_one = bytes(encode._fields(head, values, "", order))
            except FieldError:
                assert at_once is None
            else:
                # Bytes for an integer, which are the whole of the word that it may lie in with others, are not packed.
                assert at_once == (None if isinstance(value, bytes) and not row.raw else one_by_one)
                taken += 1

    assert taken >= 2 * len(layout.fields)


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**5000), "x" * 10**6, [1] * 10**5, object()],
    ids=["large", "small", "text", "list", "object"],
)
def test_no_value_is_too_long_for_its_message(value: object) -> None:
    """What a field cannot have is named by its beginning, however long it is."""
    for path, name in (("libxc.X86_TSC_INFO", "khz"), ("libxl.header", "ident"), ("libxc.SHARED_INFO", "shared_info")):
        with pytest.raises(FieldError) as error:
            encode.buffers(layouts()[path], {name: value}, "<")
        assert len(str(error.value)) < 200
