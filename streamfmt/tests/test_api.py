"""The Python interface: what `open` shows is what the reader reports, wherever the bytes come from and however they
are read."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..checks.layer import MODES
from ..checks.outcome import DOES_NOT_CONFORM
from ..cli.main import main
from ..reader.registry import DECLARED, GUESTS
from ..writer import Draft
from .support.corpus import EACH_SMALL, SMALL
from .support.good_streams import GOOD, HVM, LIBXL_HVM, REMUS_HVM, XL_HVM
from .support.listings import DATA, items, plainly, pulled, row

VECTORS = [vector for vector in EACH_SMALL if not vector.deep]
EACH_CLAUSE = pytest.mark.parametrize("clause", SMALL)


# -- open -----------------------------------------------------------------------------------------------------


@EACH_CLAUSE
def test_open_shows_what_the_reader_reports(clause: str) -> None:
    """Headers, records and offsets are those a plain sink gets, for good and for broken streams."""
    for name, vector in SMALL[clause].items():
        data = vector.data
        found = pulled(data, form=vector.form)

        assert items(found) == plainly(data, vector.form), name


@pytest.mark.parametrize("name", GOOD)
def test_items_tile_the_stream(name: str) -> None:
    """Headers, record headers, bodies and padding are the stream's bytes, each once and in order."""
    data = DATA[name]
    raw = bytearray()
    with streamfmt.open(data) as stream:
        for item in stream:
            assert item.offset == len(raw)
            if isinstance(item, streamfmt.Header):
                raw += item.data
            else:
                raw += data[item.offset : item.body]
                raw += item.read(1 << 22)
                raw += bytes(item.padding)
        assert stream.offset == len(data)
        assert stream.trailing is None

    assert raw == data


@given(st.data())
def test_partial_reads_disturb_nothing(data: st.DataObject) -> None:
    """Whatever is read of the bodies, in whatever pieces: what is read is right, and what follows is the same."""
    vector = VECTORS[data.draw(st.integers(0, len(VECTORS) - 1))]
    raw = vector.data

    def look(record: streamfmt.Record) -> None:
        at = record.body
        for _ in range(data.draw(st.integers(0, 3))):
            size = data.draw(st.sampled_from((1, 7, 8, 4096, 70_000)))
            for chunk in record.chunks(size):
                assert chunk == raw[at : at + len(chunk)]
                assert len(chunk) == min(size, record.length - (at - record.body), 65536) or at + len(chunk) == len(raw)
                at += len(chunk)
                if data.draw(st.booleans()):
                    break
        assert record.left == record.body + record.length - at
        if data.draw(st.booleans()):
            assert record.read(1 << 22) == raw[at : record.body + record.length]

    assert items(pulled(raw, look, form=vector.form)) == plainly(raw, vector.form)


@EACH_CLAUSE
def test_everything_decoded(clause: str) -> None:
    """Fields and pages of every record come or are refused with an offset in it; the stream goes on all the same."""
    refusals: list[tuple[int, int, int]] = []

    def look(record: streamfmt.Record) -> None:
        try:
            if record.name == "PAGE_DATA":
                entries = sum(len(batch.pfns) for batch in record.pages())
                assert entries >= (record.length - 8) // 4104
            else:
                record.fields()
        except (streamfmt.MalformedError, streamfmt.LimitError) as error:
            refusals.append((record.offset, error.offset, record.body + record.length))

    for vector in SMALL[clause].values():
        data = vector.data
        assert items(pulled(data, look, form=vector.form)) == plainly(data, vector.form)
    assert all(start <= at <= end for start, at, end in refusals)


@pytest.mark.parametrize("name", GOOD)
def test_fields_and_pages_of_good_streams(name: str) -> None:
    """All records of a good stream can be decoded; page batches have the schema's entries and contents, uncopied."""
    data = DATA[name]
    with streamfmt.open(data) as stream:
        for item in stream:
            if isinstance(item, streamfmt.Record) and item.name == "PAGE_DATA":
                found = [page for batch in item.pages() for page in _kept(batch, data)]
                with streamfmt.open(data) as again:
                    twin = next(other for other in again if other.offset == item.offset)
                    fields = twin.fields()
                assert [pfn for pfn, _, _ in found] == [entry["pfn"] for entry in fields["entries"]]
                assert [page for _, _, page in found if page is not None] == fields["pages"]
            else:
                assert isinstance(item.fields(), dict)


def _kept(batch: streamfmt.PageBatch, data: bytes) -> list[tuple[int, str, bytes | None]]:
    assert batch.contents.readonly
    assert batch.contents == data[batch.offset : batch.offset + len(batch.contents)]
    return [(pfn, kind, None if page is None else bytes(page)) for pfn, kind, page in batch]


def test_what_is_lent_is_taken_back() -> None:
    """A chunk cannot be looked at once the stream has gone on, nor a record's body."""
    with streamfmt.open(DATA["hvm"]) as stream:
        records = (item for item in stream if isinstance(item, streamfmt.Record))
        first = next(records)
        chunk = next(first.chunks(8))
        kept = next(record for record in records if record.name == "PAGE_DATA")
        with pytest.raises(ValueError, match="released"):
            bytes(chunk)
        with pytest.raises(ValueError, match="has gone on"):
            first.read()
        pages = kept.pages()
    with pytest.raises(ValueError, match="closed"):
        next(pages)
    with pytest.raises(ValueError, match="closed"):
        next(stream)
    with pytest.raises(ValueError, match="closed"):
        kept.read()


def test_pages_are_taken_back() -> None:
    """A page of a batch is released with the batch, so that it can never show other bytes."""
    with streamfmt.open(DATA["hvm"]) as stream:
        batch = next(_record(stream, "PAGE_DATA").pages())
        page = next(page for _, _, page in batch if page is not None)
        next(stream)
        with pytest.raises(ValueError, match="released"):
            bytes(page)
        with pytest.raises(ValueError, match="released"):
            bytes(batch.contents)


def _record(stream: streamfmt.Stream, name: str) -> streamfmt.Record:
    """The next record of that name."""
    return next(item for item in stream if isinstance(item, streamfmt.Record) and item.name == name)


@pytest.mark.parametrize("clause", ["LIBXC-PAGE-COUNT", "CKPT-CKPT-REC", "XAPI-MEMORY"])
def test_an_outcome_goes_to_other_processes(clause: str) -> None:
    """An outcome can be pickled, holds no window of the stream, and is the same afterwards."""
    for vector in SMALL[clause].values():
        options: dict[str, Any] = {"form": vector.form}
        outcome = streamfmt.verify(vector.data, **options)
        raw = pickle.dumps(outcome)
        again = pickle.loads(raw)
        assert (again.as_dict(), again.findings, again.describe()) == (
            outcome.as_dict(),
            outcome.findings,
            outcome.describe(),
        )
        assert len(raw) < 16 << 10


@pytest.mark.parametrize(
    "error",
    [
        streamfmt.TruncatedError(40, "a record header", 3),
        streamfmt.MalformedError(7, "it is not so"),
        streamfmt.LimitError(9, "bytes", 10_000, 10),
        streamfmt.NotAStreamError(streamfmt.verify(b"").identity, 3),
    ],
)
def test_errors_go_to_other_processes(error: streamfmt.StreamError) -> None:
    """An error that is raised in a pool of processes arrives as it was."""
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()


def test_limits() -> None:
    """What is longer than the caller takes is refused before it is read, and can still be read in pieces."""
    data = DATA["hvm"]
    for ask in (lambda it: it.read(100), lambda it: it.fields(100), lambda it: list(it.pages(3))):
        with streamfmt.open(data) as stream:
            record = _record(stream, "PAGE_DATA")
            with pytest.raises(streamfmt.LimitError, match="the limit is") as caught:
                ask(record)
            assert caught.value.offset == record.offset
            assert caught.value.size > caught.value.limit
            rest = b"".join(map(bytes, record.chunks()))
            assert data[record.body : record.body + record.length].endswith(rest)
            assert len(rest) >= record.length - 8


def test_misuse() -> None:
    """What cannot be asked for is said to be so."""
    with streamfmt.open(DATA["hvm"]) as stream:
        record = _record(stream, "PAGE_DATA")
        next(record.chunks(1))
        with pytest.raises(ValueError, match="read from already"):
            record.fields()
        with pytest.raises(ValueError, match="read from already"):
            next(record.pages())
        with pytest.raises(ValueError, match="chunks of 0"):
            next(record.chunks(0))
        with pytest.raises(ValueError, match="no pages"):
            next(_record(stream, "X86_TSC_INFO").pages())


# -- streams that break off, and what is none -----------------------------------------------------------------


@pytest.mark.parametrize("stream", [HVM, LIBXL_HVM, XL_HVM, REMUS_HVM], ids=["hvm", "libxl", "xl", "remus"])
def test_every_cut(stream: Draft) -> None:
    """Cut anywhere, a stream shows the items that are there, then one error that says where; bodies read or not."""
    data = stream.render()
    whole = {row[2] if isinstance(row[1], str) else row[4] for row in items(pulled(data))} | {len(data)}
    if stream is REMUS_HVM:
        whole = {len(data)} | {row[4] + 8 for row in items(pulled(data)) if row[2] == "CHECKPOINT"}
    for cut in range(12, len(data), 1 if len(data) < 3000 else 97):
        found = pulled(data[:cut])
        read = pulled(data[:cut], _drained)
        if cut in whole and stream is REMUS_HVM:
            assert len(found[-1]) != 2, cut
        else:
            assert found[-1][0] == "TruncatedError", cut
            assert f"ends at {cut}," in found[-1][1]
        assert items(found) == items(read) == [row for row in items(pulled(data)) if row in found]
        assert found[-1] == read[-1]


def _drained(record: streamfmt.Record) -> None:
    for _ in record.chunks():
        pass


def test_an_error_is_raised_again() -> None:
    """Who goes on after the error that ends a stream does not take it for the end of a whole one."""
    data = DATA["pv"]
    with streamfmt.open(data[:-4]) as stream:
        for _ in range(2):
            with pytest.raises(streamfmt.TruncatedError) as caught:
                for _ in stream:
                    pass
    assert (caught.value.offset, caught.value.missing) == (len(data) - 4, 4)


@pytest.mark.parametrize(
    "data", [b"", bytes(64), b"hello, world", b"\x7fELF" + bytes(60), b"PUT /services/xenops/" + bytes(60)]
)
def test_what_is_no_stream(data: bytes) -> None:
    """It is not opened, and the error says what it is instead; identify and verify say the same without one."""
    with pytest.raises(streamfmt.NotAStreamError) as caught:
        streamfmt.open(data)

    found = streamfmt.identify(data)
    outcome = streamfmt.verify(data)
    assert caught.value.identity.evidence == found.evidence == outcome.identity.evidence
    assert outcome.verdict == "not judged"


def test_a_container_of_something_else() -> None:
    """What lies in a container and is no stream is named with its offset, after the items that are there."""
    data = DATA["xl-hvm"]
    at = XL_HVM.offset("libxl.header")
    for inside in (b"garbage " * 20, data):
        with streamfmt.open(data[:at] + inside) as stream:
            assert [row(next(stream))[1], row(next(stream))[2]] == ["header", "OPTIONAL_DATA"]
            with pytest.raises(streamfmt.NotAStreamError) as caught:
                next(stream)
        assert caught.value.offset == at


def _xapi(kind: int, body: bytes = b"") -> bytes:
    """A record of a XAPI image."""
    return kind.to_bytes(8, "little") + len(body).to_bytes(8, "little") + body


def test_xapi() -> None:
    """A XAPI image's records lie around its libxc image's; one without an end is where reading stops, and is named."""
    before = b"XenSavedDomv2-\n" + _xapi(0xF, b"(xenops)") + _xapi(0xF0)
    data = before + DATA["hvm"] + _xapi(0xF00, b"QEVM") + _xapi(0xFFFF)
    found = pulled(data)

    assert found == plainly(data, "auto")
    assert [it[0:3] for it in found if it[0] == "xapi" and len(it) > 4] == [
        ("xapi", 0, "XENOPS"),
        ("xapi", 1, "LIBXC"),
        ("xapi", 2, "QEMU_TRAD"),
        ("xapi", 3, "END_OF_IMAGE"),
    ]
    assert next(it[4] for it in found if it[0] == "xapi/libxc" and len(it) > 4) == len(before) + 40
    demu = pulled(before + DATA["hvm"] + _xapi(0xF10) + bytes(99))
    assert demu[-1][0] == "NotAStreamError"
    assert "Demu" in demu[-1][1]


def test_what_follows_the_end() -> None:
    """Bytes after END are reported when all has been read."""
    data = DATA["hvm"]
    with streamfmt.open(data + b"more") as stream:
        assert [row(item) for item in stream] == plainly(data, "auto")
        assert stream.trailing == (len(data), 4)


# -- sources --------------------------------------------------------------------------------------------------


class _Trickle(io.RawIOBase):
    """A file object that cannot seek and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 777))


def _piped(data: bytes) -> int:
    out, into = os.pipe()

    def write() -> None:
        with open(into, "wb") as file:
            file.write(data)

    threading.Thread(target=write).start()
    return out


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["hvm", "pv", "libxl-remus-hvm", "xl-hvm", "back-channel"])
def test_sources(name: str, packed: bool, tmp_path: Path) -> None:
    """A stream is the same from every kind of source, and all of it comes through."""
    data = DATA[name]
    raw = gzip.compress(data) if packed else data
    path = tmp_path / "stream"
    path.write_bytes(raw)
    whole = pulled(data)
    verdict = streamfmt.verify(data).as_dict()
    identified = streamfmt.identify(data).as_dict()
    fd = os.open(path, os.O_RDONLY)
    sources: list[Callable[[], Any]] = [
        lambda: path,
        lambda: str(path),
        lambda: os.lseek(fd, 0, os.SEEK_SET) or fd,
        lambda: raw,
        lambda: bytearray(raw),
        lambda: memoryview(raw),
        lambda: io.BytesIO(raw),
        lambda: gzip.GzipFile(path) if packed else path.open("rb"),
        lambda: _Trickle(raw),
    ]
    for make in sources:
        for look in (lambda _: None, lambda record: record.read(1 << 22)):
            with _closing(make()) as source:
                assert pulled(source, look) == whole
        with _closing(make()) as source:
            assert streamfmt.verify(source).as_dict() == verdict
        with _closing(make()) as source:
            assert streamfmt.identify(source).as_dict() == identified
    os.fstat(fd)  # it is the caller's, and still open
    os.close(fd)
    out = _piped(raw)
    assert pulled(out) == whole
    os.close(out)


class _closing:  # noqa: N801 - like contextlib's, for what may have nothing to close
    def __init__(self, source: Any) -> None:
        self._source = source

    def __enter__(self) -> Any:
        return self._source

    def __exit__(self, *_: object) -> None:
        if hasattr(self._source, "close"):
            self._source.close()


@pytest.mark.parametrize("how", [-1, 0, None], ids=["buffered", "unbuffered", "descriptor"])
def test_what_has_arrived_is_shown(how: int | None) -> None:
    """A pipe whose writer pauses shows the items that have arrived, however it is wrapped."""
    data, at = DATA["hvm"], HVM.offset("libxc.PAGE_DATA") + 8
    out, into = os.pipe()
    os.write(into, data[:at])
    late = threading.Timer(5, os.close, (into,))  # so that a reader who waits for more fails, and does not hang
    late.start()
    with _closing(out if how is None else open(out, "rb", buffering=how)) as source:
        with streamfmt.open(source) as stream:
            assert _record(stream, "PAGE_DATA").offset == at - 8
        assert late.is_alive()
    late.cancel()
    os.close(into)
    if how is None:
        os.close(out)


def test_seekable_objects_are_not_read_through() -> None:
    """Contents that are not asked for are skipped by seeking, also at the end of a file that is cut within them."""

    class Counting(io.BytesIO):
        got = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.got += len(data)
            return data

    head = HVM.upto("libxc.PAGE_DATA").render()
    entries = b"".join(n.to_bytes(8, "little") for n in range(1024))
    data = head + b"".join(n.to_bytes(4, "little") for n in (1, 8 + 1024 * 4104, 1024, 0)) + entries + bytes(4 << 20)
    tail = DATA["hvm"][HVM.offset("libxc.X86_TSC_INFO") :]
    file = Counting(data + tail)

    assert pulled(file) == pulled(data + tail)
    assert file.got < 600_000
    for cut in (1, 4096, 3 << 20):
        assert pulled(Counting(data[:-cut])) == pulled(data[:-cut])


@pytest.mark.parametrize("name", ["hvm", "libxl-pv", "xl-hvm"])
def test_exact(name: str, tmp_path: Path) -> None:
    """With `exact` what follows END is there for further reading, from every kind of source."""
    data, after = DATA[name], b"LibxlFmt and more"
    path = tmp_path / "stream"
    path.write_bytes(data + after)

    for look in (lambda _: None, lambda record: record.read(1 << 22)):
        with path.open("rb") as file:
            assert items(pulled(file, look, exact=True)) == plainly(data, "auto")
            assert file.read() == after
        with path.open("rb", buffering=0) as file:
            assert items(pulled(file.fileno(), look, exact=True)) == plainly(data, "auto")
            assert file.read() == after
    with path.open("rb") as file:
        assert streamfmt.verify(file, exact=True).errors == 0
        assert file.read() == after


def test_what_is_no_source(tmp_path: Path) -> None:
    """What cannot be read is said at once, in the words Python users know."""
    with pytest.raises(FileNotFoundError):
        streamfmt.open(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        streamfmt.verify(tmp_path)
    with pytest.raises(TypeError, match="NoneType"):
        streamfmt.open(None)  # type: ignore[arg-type] # this is what is tested
    with pytest.raises(TypeError, match="open for text"):
        streamfmt.identify(io.StringIO("LibxlFmt"))  # type: ignore[arg-type] # likewise
    with pytest.raises(ValueError, match="form 'xen'"):
        streamfmt.open(b"", form="xen")  # type: ignore[arg-type] # likewise
    with pytest.raises(ValueError, match="mode 'fast'"):
        streamfmt.verify(b"", mode="fast")  # type: ignore[arg-type] # likewise
    with pytest.raises(streamfmt.DamagedError):
        streamfmt.open(gzip.compress(DATA["hvm"])[:40])


def test_failing_file_object() -> None:
    """The error of a source that fails comes out as it is."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(256)

    with streamfmt.open(Failing(DATA["hvm"])) as stream, pytest.raises(OSError, match="Input/output") as caught:
        for _ in stream:
            pass
    assert caught.value.errno == 5


# -- verify and identify --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(0, len(EACH_SMALL), 25))
def test_verify_is_the_command(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """verify and identify give the commands' JSON."""
    for vector in EACH_SMALL[number : number + 25 : 3]:
        path = tmp_path / "stream"
        path.write_bytes(vector.data)
        words = ["--json", "--as", vector.form]
        options: dict[str, Any] = {"form": vector.form, "mode": vector.mode, "deep": vector.deep}
        main(["verify", *words, "--mode", vector.mode, *(["--deep"] if vector.deep else []), str(path)])
        assert streamfmt.verify(path, **options).as_dict(str(path)) == json.loads(capsys.readouterr().out)
        main(["identify", *words, str(path)])
        assert streamfmt.identify(path, form=options["form"]).as_dict(str(path)) == json.loads(capsys.readouterr().out)


def test_strict() -> None:
    """`strict` takes warnings for errors."""
    data = HVM.edit("libxc.X86_TSC_INFO", padding=None).render() + b"more"

    assert streamfmt.verify(data).verdict == "conforms"
    assert streamfmt.verify(data, strict=True).verdict == DOES_NOT_CONFORM


def test_options_are_those_there_are() -> None:
    """The types of `form`, `guest` and `mode` list what the reader and the verifier take."""
    from typing import get_args

    from ..api import Form, Guest, Mode

    assert get_args(Form) == DECLARED
    assert get_args(Guest) == GUESTS
    assert get_args(Mode) == MODES


# -- hostile input --------------------------------------------------------------------------------------------


def test_lengths_are_claims() -> None:
    """Records that claim the most there is cost no memory, whatever is asked of them."""
    import tracemalloc

    head = HVM.upto("libxc.X86_TSC_INFO").render()
    for kind, length in ((1, 128 << 20), (9, 128 << 20), (11, (128 << 20) - 1), (0x80000001, 128 << 20)):
        for words in ((128 << 17, 0), (0xFFFFFFFF, 0), (4, 0)):
            raw = b"".join(n.to_bytes(4, "little") for n in (kind, length, *words)) + bytes(5000)

            def look(record: streamfmt.Record, kind: int = kind) -> None:
                if record.type != kind or record.offset < len(head):
                    return
                with pytest.raises(streamfmt.LimitError):
                    record.read()
                if record.name == "PAGE_DATA":
                    with pytest.raises((streamfmt.LimitError, streamfmt.MalformedError)):
                        list(record.pages())
                else:
                    with pytest.raises(streamfmt.TruncatedError):
                        record.read(1 << 30)

            tracemalloc.start()
            found = pulled(head + raw, look)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert found[-1][0] == "TruncatedError"
            assert peak < 3 << 20
