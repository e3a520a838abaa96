"""Parts come out as they lie in the stream, however it comes in; what is not there whole does not come out at all."""

from __future__ import annotations

import gzip
import json
import os
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import tables
from ..api import Form
from ..cli.main import main
from ..codec.content import Buffer
from ..convert.extract import JSON, RAW, TEXT, USUAL, SeveralError, Taking
from ..convert.listing import MOST, Listing
from ..convert.parts import NAMED, NAMES, SECTIONS, Wanted
from ..errors import StreamError
from ..io.copying import Copying
from ..io.memory import MemorySource
from ..io.outputs import output
from ..io.sources import drive, source_for
from ..reader.registry import ROWS
from ..strategies import Sample, streams
from ..writer import Draft, pages, raw, sized
from .support.good_streams import GOOD, HVM, LIBXL_HVM, LIBXL_REMUS, MIGRATION, XAPI_UEFI, XL_HVM
from .test_cli import conforms_to, run

# All that hold a guest's memory and are generated.
FORMS: tuple[Form, ...] = ("libxl", "libxc", "xl", "libvirt", "xapi", "xl-migrate")
# What each layer's bytes are: those of its own headers and records, and of what is inside.
WITHIN = {"libxc": ("libxc",), "libxl": ("libxl", "libxc"), "legacy-64": ("legacy-64",), "legacy-32": ("legacy-32",)}
_WRAPS = ("xl", "libvirt", "xapi", "xend", "xapi-legacy")
WITHIN |= {name: (name, "libxl", "libxc", "legacy-64", "legacy-32") for name in _WRAPS}


def expected(stream: Draft) -> dict[tuple[str, int], bytes]:
    """Each part of a stream that is whole, by name and number."""
    found: dict[tuple[str, int], bytes] = {}
    counts: dict[str, int] = {}
    whole = stream.render()
    places = stream.offsets()
    outermost = stream.parts[0].layer
    for part, start, stop in zip(stream.parts, places, places[1:], strict=False):
        if part.path in NAMED:
            name = NAMED[part.path][0]
            fixed = tables.SIZES[part.path]
            body = whole[
                stop - len(part.body("<")) - (-len(part.body("<")) % (8 if part.layer == "libxl" else 1)) : stop
            ]
            body = body[fixed : len(part.body("<"))]
            if part.path == "xl.OPTIONAL_DATA":
                body = body[: int.from_bytes(whole[start : start + 4], "little")]
            found[name, counts.get(name, 0)] = body
            counts[name] = counts.get(name, 0) + 1
        if part.name == "QEMU_TO_END":
            found["emulator", 0] = b""
        if part.name == "QEMU_STATE":
            found["emulator", 0] += whole[start:stop]
        for layer, inside in WITHIN.items():
            if part.path in (f"{layer}.header", f"{layer}.image_header"):
                counts[layer] = counts.get(layer, 0) + 1
            if part.layer in inside and counts.get(layer) and not (layer == outermost and ROWS[layer].align == 1):
                key = layer, counts[layer] - 1
                found[key] = found.get(key, b"") + whole[start:stop]
    return found


def taken(data: bytes, part: str, how: str = USUAL) -> bytes:
    """A part of a stream in memory.  Raises StreamError."""
    taking = Taking(Wanted(part), how)
    into: list[bytes] = []

    class Out:
        def write(self, data: Buffer, /) -> int:
            into.append(bytes(data))
            return len(data)

    out = output(Out())
    Copying(MemorySource(data), out, taking.plan).run(taking)
    out.finish()
    taking.end()
    if taking.error is not None:
        raise taking.error
    return b"".join(into)


def listed(data: bytes) -> Listing:
    """The parts of a stream in memory."""
    listing = Listing()
    drive(listing, MemorySource(data))
    listing.end()
    return listing


def check(stream: Draft) -> None:
    """All parts are listed with their lengths, and come out as they lie."""
    data, parts = stream.render(), expected(stream)
    listing = listed(data)

    for part in listing.parts:
        if part.name.startswith(SECTIONS):  # test_inside says what they are
            parts[part.name, part.number] = data[part.offset : part.offset + part.length]

    assert {(part.name, part.number): part.length for part in listing.parts} == {k: len(v) for k, v in parts.items()}
    assert all(part.whole for part in listing.parts) or stream is LIBXL_REMUS or b"CHECKPOINT" in repr(stream).encode()
    for (name, number), body in parts.items():
        if part_is_open(listing, name, number):
            continue
        assert taken(data, f"{name}[{number}]", RAW) == body
    for part in listing.parts:
        if part.pieces == 1:
            assert data[part.offset : part.offset + part.length] == parts[part.name, part.number]


def part_is_open(listing: Listing, name: str, number: int) -> bool:
    """Whether a part has no end of its own, as those of checkpointed streams that just stop."""
    return not next(part for part in listing.parts if (part.name, part.number) == (name, number)).whole


@pytest.mark.parametrize("name", [name for name in GOOD if name != "back-channel"])
def test_parts_of_good_streams(name: str) -> None:
    """Of every container and stream."""
    check(GOOD[name])


@settings(max_examples=30)
@given(st.sampled_from(FORMS).flatmap(streams))
def test_parts_of_any_stream(sample: Sample) -> None:
    """Of whatever the strategies make."""
    if sample.form != "back-channel":
        check(sample.stream)


@given(st.sampled_from([XL_HVM, XAPI_UEFI, MIGRATION, LIBXL_HVM]), st.data())
def test_cut_anywhere(stream: Draft, data: st.DataObject) -> None:
    """Of a stream that breaks off a part comes out whole, or not."""
    whole = stream.render()
    parts = {name: body for (name, number), body in expected(stream).items() if not number}
    name = data.draw(st.sampled_from(sorted(parts)))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        assert taken(whole[:cut], f"{name}[0]", RAW) == parts[name]
    except StreamError:
        assert taken(whole, f"{name}[0]", RAW) == parts[name]
        at = next(part for part in listed(whole).parts if part.name == name)
        assert cut < at.offset + at.length


def test_usual_forms() -> None:
    """A configuration has no NUL at its end, base64 is decoded, pairs are lines."""
    xl, xapi = XL_HVM.render(), XAPI_UEFI.render()
    config = taken(xl, "configuration", RAW)
    tpm = taken(xapi, "vtpm[0]", RAW)

    assert taken(xl, "configuration") == config[:-1]
    assert (
        json.loads(taken(xl, "configuration", TEXT))
        == json.loads(taken(xl, "configuration", JSON))
        == json.loads(config[:-1])
    )
    assert taken(xapi, "vtpm[0]") == b64decode(tpm)
    assert taken(xl, "xenstore").splitlines()[-1] == b'name = ""'
    strings = taken(xl, "xenstore", RAW).split(b"\0")
    assert [(row["key"].encode(), row["value"].encode()) for row in json.loads(taken(xl, "xenstore", JSON))] == [
        *zip(strings[:-1:2], strings[1::2], strict=True)
    ]
    assert b"(vm_str" in taken(xapi, "configuration", TEXT)


@given(st.binary(max_size=200_000))
def test_base64_in_pieces(state: bytes) -> None:
    """A TPM's state of any length comes out decoded."""
    from base64 import b64encode

    stream = XAPI_UEFI.swap("xapi.SWTPM", sized("SWTPM", b64encode(state)))

    assert taken(stream.render(), "vtpm[0]") == state


@pytest.mark.parametrize("text", [b"ab", b"!!!!", b"QUJD=", b"QQ==QQ=="])
def test_broken_base64(text: bytes) -> None:
    """What is no base64 does not come out, but as it lies."""
    data = XAPI_UEFI.swap("xapi.SWTPM", sized("SWTPM", text)).render()

    assert taken(data, "vtpm[0]", RAW) == text
    with pytest.raises(StreamError, match="base64"):
        taken(data, "vtpm[0]")


def test_several() -> None:
    """Where there are several the name alone does not say which."""
    data = XAPI_UEFI.render()
    with pytest.raises(SeveralError):
        taken(data, "vtpm")

    assert taken(data, "vtpm[1]") != b""
    with pytest.raises(StreamError, match=r"no vtpm\[2\]"):
        taken(data, "vtpm[2]")


def test_image_in_pieces() -> None:
    """The image of a checkpointed stream is put together from its pieces."""
    stream = LIBXL_REMUS
    image = b"".join(b"".join(part.buffers("<")) for part in stream.parts if part.layer == "libxc")
    listing = listed(stream.render())
    part = next(part for part in listing.parts if part.name == "libxc")

    assert part.pieces > 1
    assert part.length == len(image)


def test_many_parts_are_counted() -> None:
    """More than are kept are only counted."""
    stream = XAPI_UEFI.swap("xapi.SWTPM", *[sized("SWTPM", b"")] * (MOST + 10))
    listing = listed(stream.render())

    assert len(listing.parts) == MOST
    assert listing.more > 10
    conforms_to(
        "extract", {"format": "streamfmt-extract-1", "file": "x", "status": 0, "failure": None} | listing.as_dict()
    )


def test_little_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file no contents of pages are read, nor anything after a part that is the only one."""
    batch = pages(*((number, "NOTAB") for number in range(1024)))
    image = HVM.swap("libxc.PAGE_DATA", *[batch] * 8)
    stream = Draft((*XL_HVM.parts[:4], *image.parts, *XL_HVM.parts[XL_HVM.find("libxc.END") + 1 :]))
    path = tmp_path / "guest.sav"
    path.write_bytes(stream.render())
    read = 0
    preadv = os.preadv

    def counted(*words: object) -> int:
        nonlocal read
        got = preadv(*words)  # type: ignore[arg-type] # the words it was called with
        read += got
        return got

    monkeypatch.setattr(os, "preadv", counted)
    for part, most in (("emulator", 0.02), ("configuration", 0.009)):
        read = 0
        assert main(["extract", str(path), part, "-o", str(tmp_path / "out")]) == 0
        assert 0 < read < most * path.stat().st_size


def test_ways(tmp_path: Path) -> None:
    """Files and pipes, compressed or not, in and out."""
    data = MIGRATION.render()
    path, packed, out = (tmp_path / name for name in ("a.sav", "a.sav.gz", "out"))
    path.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    for part in ("libxc", "xl", "emulator"):
        wanted = expected(MIGRATION)[part, 0]
        assert run("extract", str(path), part).stdout == wanted
        assert run("extract", "-", part, stdin=data).stdout == wanted
        assert main(["extract", str(packed), part, "-o", str(out)]) == 0
        assert out.read_bytes() == wanted


WRONG = {
    "no part": (["{good}"], 2, "name a PART"),
    "unknown": (["{good}", "emulater"], 2, "did you mean emulator"),
    "not text": (["{good}", "emulator", "--text"], 2, "not text"),
    "list and part": (["{good}", "libxc", "--list"], 2, "--list takes"),
    "itself": (["{good}", "libxc", "-o", "{good}"], 2, "the input itself"),
    "absent": (["{good}", "varstore"], 1, "there is no varstore in it, only configuration, libxl"),
    "cut": (["{cut}", "emulator"], 1, "the input ends at"),
    "cut, to a file": (["{cut}", "libxl", "-o", "{missing}"], 1, "the input ends at"),
    "no stream": (["{text}", "libxc"], 1, "not a migration stream"),
    "missing": (["{missing}", "libxc"], 3, "cannot read"),
    "directory": (["{folder}", "libxc"], 3, "directory"),
    "nowhere": (["{good}", "libxc", "-o", "{missing}/x"], 3, "cannot write"),
    "full": (["{good}", "libxc", "-o", "/dev/full"], 3, "cannot write"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str, tmp_path: Path) -> None:
    """One line says what is wrong, and there is no output."""
    words, status, message = WRONG[case]
    names = {name: tmp_path / name for name in ("good", "cut", "text", "missing", "folder")}
    data = XL_HVM.render()
    names["good"].write_bytes(data)
    names["cut"].write_bytes(data[:-30])
    names["text"].write_bytes(b"hello")
    names["folder"].mkdir()
    before = sorted(os.listdir(tmp_path))
    done = run("extract", *(word.format_map(names) for word in words))

    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert sorted(os.listdir(tmp_path)) == before
    assert names["good"].read_bytes() == data


def test_list_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every listing is what the schema says, of broken inputs too."""
    path = tmp_path / "x"
    for data in (XL_HVM.render(), LIBXL_REMUS.render(), XL_HVM.render()[:-30], b"", b"no stream"):
        path.write_bytes(data)
        main(["extract", "--list", "--json", str(path)])
        conforms_to("extract", json.loads(capsys.readouterr().out))
    path.write_bytes(XL_HVM.render())
    main(["extract", "--list", "--json", str(path)])
    assert {part["name"] for part in json.loads(capsys.readouterr().out)["parts"]} < {*NAMES, "libxl", "libxc"}


def test_after_a_part_the_input_may_break_off(tmp_path: Path) -> None:
    """What was whole comes out; that reading stopped after it is said."""
    path = tmp_path / "x"
    path.write_bytes(XL_HVM.then(raw(b"")).render()[:-8])
    done = run("extract", str(path), "emulator")

    assert done.returncode == 0
    assert done.stdout == taken(XL_HVM.render(), "emulator")
    assert b"after it, the input ends" in done.stderr


def test_descriptor_keeps_its_place(tmp_path: Path) -> None:
    """Reading a file by its descriptor leaves that where it was."""
    path = tmp_path / "x"
    path.write_bytes(XL_HVM.render())
    with open(path, "rb") as file:
        listing = Listing()
        source = source_for(file.fileno(), listing.reader)
        drive(listing, source)
        source.close()
        assert file.tell() == 0
