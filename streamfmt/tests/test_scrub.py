"""A scrubbed stream breaks the same rules at the same places, and has nothing left of what is private."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import data, tables
from ..checks.verifier import Verifier
from ..cli.main import main
from ..convert.scrub import Scrub, UnscrubbedError
from ..convert.scrub_minimal import minimal
from ..convert.scrub_overlay import Overlay, Stretches
from ..convert.scrub_text import scrub
from ..corpus import entries
from ..io.spans import FileSpan
from ..strategies import mutations, streams
from .support.good_streams import HVM, PV, XL_HVM
from .support.salvaged import items
from .support.vector import judge
from .test_cli import conforms_to


def scrubbed(given_: bytes, form: str = "auto", mode: str = "auto", tables_: bool = False) -> tuple[Scrub, bytes]:
    """What was done to some bytes, and what they are then; both are judged alike."""
    fd, out = (os.open("/tmp", os.O_TMPFILE | os.O_RDWR) for _ in range(2))
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(given_)
        found = Scrub(fd, form, None, mode, tables_)
        found.run()
        Overlay(fd, found.size, found.rows).write(out, found.contents)
        found.check(FileSpan(out, 0, os.fstat(out).st_size))
        return found, os.pread(out, len(given_) + 1, 0)
    finally:
        os.close(fd)
        os.close(out)


# For each rule that a stream can show, the first vector that breaks it.
BROKEN = {
    entry.collection: entry
    for entry in reversed(list(entries.entries()))
    if entry.kind == "broken" and entry.recipe.stream.size <= 1 << 20
}
COMPRESSED: set[str] = set()


@pytest.mark.parametrize("clause", BROKEN)
def test_each_rule(clause: str) -> None:
    """The same clauses at the same fields and offsets, of a stream that is as long as it was."""
    made = BROKEN[clause].recipe
    before = made.stream.render()
    if made.stream.guest and ("COMPRESSED" in clause or clause in COMPRESSED):  # of a legacy stream
        with pytest.raises(UnscrubbedError, match="come compressed"):
            scrubbed(before, made.form, made.mode, made.deep)
        return
    _, after = scrubbed(before, made.form, made.mode, made.deep)

    assert len(after) == len(before)
    outcomes = [judge([raw], made.form, made.mode, deep=made.deep) for raw in (before, after)]
    keys = [
        [(one.clause, one.offset, one.length, one.field, one.record) for one in outcome.findings]
        for outcome in outcomes
    ]
    assert keys[0] == keys[1]
    assert outcomes[0].verdict == outcomes[1].verdict


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_anything(drawn: st.DataObject) -> None:
    """And of streams that are damaged anywhere; that what comes out is judged alike is checked on the way."""
    sample = drawn.draw(streams("libxc") | streams("libxl") | streams("xl"))
    given_ = drawn.draw(mutations(sample))
    try:
        found, after = scrubbed(given_)
    except UnscrubbedError:
        return

    assert len(after) == len(given_)
    assert scrubbed(after)[1] == after or found.kept


def test_pages_and_registers() -> None:
    """Nothing of the guest's memory is left, nor of what its vcpus computed with; sizes and frames are as they were."""
    for stream in (HVM, PV, XL_HVM):
        before = stream.render()
        found, after = scrubbed(before)
        assert [(item.start, item.name) for item in items(after)] == [(item.start, item.name) for item in items(before)]
        for old, new in zip(items(before), items(after), strict=True):
            assert [page[:2] for page in old.pages] == [page[:2] for page in new.pages]
            assert not any(any(content) for _, _, content in new.pages)
        assert not found.kept
        assert found.counts()["contents of pages"] == sum(
            len(content) for item in items(before) for _, _, content in item.pages
        )
    real = gzip.decompress(Path(data.path("corpus", "real", "hvm-64.bin.gz")).read_bytes())
    found, after = scrubbed(real)
    assert not found.kept
    context = real.index(b"\x02\0\0\0\x08\x04\0\0") + 8
    assert real[context + 512 : context + 640] != after[context + 512 : context + 640]
    assert after[context : context + 512] == bytes(512)
    assert after[context + 648 : context + 1000] == real[context + 648 : context + 1000]


def test_keep_tables() -> None:
    """With `keep_tables` the page tables of a PV guest stay, and so does what verify --deep says of them."""
    before = PV.render()
    found, after = scrubbed(before, tables_=True)
    kept = [
        (old[2], new[2])
        for one, other in zip(items(before), items(after), strict=True)
        for old, new in zip(one.pages, other.pages, strict=True)
        if int(old[1], 16) in tables.PAGE_TYPES_TABLE
    ]

    assert kept
    assert all(old == new for old, new in kept)
    assert found.contents


PRIVATE = {
    "json": (
        b'{"c_info": {"type": "hvm", "name": "web01", "uuid": "0f3c9a77-1234-4abc-9def-001122334455"}, "b_info": '
        b'{"max_vcpus": 2, "vnc": {"passwd": "4711", "pass2": 5, "seed": 99}}, "nics": [{"mac": "00:16:3e:aa:bb:cc"}], '
        b'"disks": [{"pdev_path": "/dev/vg/\\u00e9web \\"q\\"", "format": "raw"}]}\0',
        b'{"c_info": {"type": "hvm", "name": "xxx00", "uuid": "00000000-0000-0000-0000-000000000000"}, "b_info": '
        b'{"max_vcpus": 2, "vnc": {"passwd": "0000", "pass2": 5, "seed": 00}}, "nics": [{"mac": "00:00:00:00:00:00"}], '
        b'"disks": [{"pdev_path": "/xxx/xx/\\u0078xxx \\"x\\"", "format": "raw"}]}\0',
    ),
    "text": (
        b'name = "web01"\nmemory = 512\n# of bob\nvncpasswd=\'s3cret\'\ndisk = ["phy:/dev/vg/web,xvda,w"]\n',
        b'name = "xxx00"\nmemory = 512\n# xx xxx\nvncpasswd=\'x0xxxx\'\ndisk = ["xxx:/xxx/xx/xxx,xxxx,x"]\n',
    ),
    "xml": (
        b"<domain type='xen'><name>web01</name><memory unit='KiB'>524288</memory><os><type arch='x86_64'>hvm</type>"
        b"<kernel>/boot/a &amp; b</kernel></os><!-- bob --><graphics type='vnc' passwd='1234'/></domain>\0",
        b"<domain type='xen'><name>xxx00</name><memory unit='KiB'>524288</memory><os><type arch='x86_64'>hvm</type>"
        b"<kernel>/xxxx/x &amp; x</kernel></os><!-- xxx --><graphics type='vnc' passwd='0000'/></domain>\0",
    ),
    "sexpr": (
        b'((time 20240301T09:30:00Z)(word_size 64)(vm_str "{\\"id\\": \\"web\\"}")(vm(name web01)(id1 7)))',
        b'((time 20240301T09:30:00Z)(word_size 64)(vm_str "{\\"xx\\": \\"xxx\\"}")(vm(name xxx00)(xx0 7)))',
    ),
}


@pytest.mark.parametrize("form", PRIVATE)
def test_configurations(form: str) -> None:
    """Names, addresses, paths and passwords are gone; what says what kind of guest it is, and punctuation, stays."""
    before, after = PRIVATE[form]

    assert scrub(before) == after
    assert scrub(after) == after


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=99) | st.text(max_size=40).map(str.encode))
def test_any_text(text: bytes) -> None:
    """Any bytes stay as long as they are."""
    assert len(scrub(text)) == len(text)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.booleans())), st.integers(1, 30))
def test_overlay(rows: list[tuple[int, int, bool]], step: int) -> None:
    """Read in pieces, and written, a file with bytes replaced is what replacing them makes it."""
    base, expected = bytes(range(1, 201)), bytearray(range(1, 201))
    at, made, zeros = 0, [], Stretches()
    for gap, length, late in rows:
        start, stop = at + gap, min(at + gap + length, 200)
        if start >= stop:
            break
        expected[start:stop] = bytes(stop - start) if late else b"\xee" * (stop - start)
        if late:
            zeros.add(start, stop)
        else:
            made.append((start, stop, b"\xee" * (stop - start)))
        at = stop
    fd, out = (os.open("/tmp", os.O_TMPFILE | os.O_RDWR) for _ in range(2))
    try:
        os.write(fd, base)
        Overlay(fd, 200, made).write(out, zeros)
        assert os.pread(out, 300, 0) == expected
        span = Overlay(fd, 200, sorted([*made, *((start, stop, None) for start, stop in zeros)]))
        assert b"".join(span.read(at, min(step, 200 - at)) for at in range(0, 200, step)) == expected
    finally:
        os.close(fd)
        os.close(out)


@pytest.mark.parametrize(
    "clause", ["LIBXC-HVMPARAMS-INDEX", "LIBXC-PAGE-TYPE", "LIBXL-EMUXS-PAIRS", "STREAM-FRAMING-LOST"]
)
def test_minimize(clause: str) -> None:
    """What is left of a stream breaks the same rules, and has far fewer records and bytes."""
    made = BROKEN[clause].recipe
    before = made.stream.render()
    fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    try:
        os.write(fd, before)
        found = Scrub(fd)
        found.run()
        small = minimal(found)
        span = small.span()
        after = span.read(0, small.size)
    finally:
        os.close(fd)

    assert small.dropped
    assert len(after) == small.size < len(before)
    counts = [judge([raw]).counts for raw in (before, after)]
    grave = [{name for name in each if Verifier().findings.severity[name] != "note"} for each in counts]
    assert grave[0] == grave[1] == {clause}


# -- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--minimize"], ["--keep-tables"]], ids=["plain", "minimal", "tables"])
def test_command(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report in words and in JSON; the input stays as it is."""
    source, target = tmp_path / "broken.sav", tmp_path / "report.sav"
    source.write_bytes(before := XL_HVM.patch("libxc.HVM_PARAMS", "params[0].index", 77).render())
    status = main(["scrub", str(source), str(target), *more])
    out = capsys.readouterr().out

    assert status == 0
    assert "bytes of contents of pages" in out
    assert source.read_bytes() == before
    assert main(["verify", "-q", str(target)]) == 1
    capsys.readouterr()
    assert main(["scrub", "--json", str(source), str(target), *more]) == 0
    values = json.loads(capsys.readouterr().out)
    conforms_to("scrub", values)
    assert values["bytes"] == target.stat().st_size
    assert values["findings"] == 1


def test_what_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bodies of records that nothing is known of are replaced, with a warning; so is what follows the end."""
    from ..writer import raw, unknown

    source, target = tmp_path / "odd.sav", tmp_path / "report.sav"
    stream = HVM.before("libxc.X86_TSC_INFO", unknown("libxc", 0x80000077, b"secret!!")).then(raw(b"\1more secrets"))
    source.write_bytes(stream.render())
    main(["scrub", str(source), str(target)])

    assert "type 0x80000077" in capsys.readouterr().out
    assert b"secret" not in target.read_bytes()


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pipes, compressed files, and an output that is the input, are refused with what to do; nothing is written."""
    source = tmp_path / "guest.sav"
    source.write_bytes(HVM.render())
    packed = tmp_path / "guest.sav.gz"
    packed.write_bytes(b"\x1f\x8b\x08\0" + bytes(100))
    for words in (["-", "x"], *([str(source), out] for out in ("-", os.devnull, str(source))), [str(packed), "x"]):
        assert main(["scrub", *words]) == 2
    assert main(["scrub", str(tmp_path / "none"), "x"]) == 3
    source.write_bytes(BROKEN["LEGACY-COMPRESSED-COUNT"].recipe.stream.render())
    assert main(["scrub", str(source), str(tmp_path / "x")]) == 1
    assert "come compressed" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
