"""What transfers do to streams, and what else people hold in their place, is named with what to do about it."""

from __future__ import annotations

import base64
import binascii
import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from .. import tables
from ..cli.main import main
from ..reader.fields import MAGICS
from ..reader.pastes import recognise as pasted
from .support.good_streams import GOOD
from .test_damaged_magics import STREAMS

DATA = {layer: GOOD[name].render() for layer, name in STREAMS.items()}
XL, LIBXC, LIBXL = DATA["xl"], DATA["libxc"], DATA["libxl"]


def _latin(data: bytes) -> bytes:
    return data.decode("latin-1").encode()


# What a transfer does, and what is said of it.
TRANSFERS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "crlf": (lambda data: data.replace(b"\n", b"\r\n"), "each line feed became CR LF"),
    "no-cr": (lambda data: data.replace(b"\r", b""), "each carriage return was dropped"),
    "cr-to-lf": (lambda data: data.replace(b"\r", b"\n"), "each carriage return became a line feed"),
    "utf-8": (_latin, "bytes above 127 were encoded as UTF-8"),
    "replaced": (lambda data: data.decode("utf-8", "replace").encode(), "became U+FFFD"),
    "question": (lambda data: bytes(byte if byte < 128 else 0x3F for byte in data), "became question marks"),
    "seven-bit": (lambda data: bytes(byte & 0x7F for byte in data), "lost their highest bit"),
    "utf-16": (lambda data: b"\xff\xfe" + data.decode("latin-1").encode("utf-16-le"), "it became UTF-16"),
    "swapped": (lambda data: b"".join(data[n : n + 2][::-1] for n in range(0, len(data) // 2 * 2, 2)), "were swapped"),
}


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("layer", ["xl", "libvirt", "libxc", "libxl"])
def test_transfers(layer: str, transfer: str) -> None:
    """A magic that the transfer changes shows it; where it is ASCII, the image inside does; nothing is a version."""
    change, words = TRANSFERS[transfer]
    data = change(DATA[layer])
    if data == DATA[layer]:
        return  # nothing in it that such a transfer changes
    identity, outcome = streamfmt.identify(data), streamfmt.verify(data)
    said = f"{identity.description} {identity.evidence} {identity.doubt}"

    assert not outcome.conforms
    if change(MAGICS[layer] + b"\x04\x03") != MAGICS[layer] + b"\x04\x03":
        assert (identity.key, identity.kind, identity.status) == ("", "damaged", 1)
        assert words in identity.evidence
        assert identity.hint
        assert not outcome.findings
    elif change(MAGICS["libxc"]) != MAGICS["libxc"] and transfer != "utf-16":
        assert words in said
        assert [words in finding.message for finding in outcome.findings] == [True]
    assert "v3" not in said.replace("v3, x86", "")
    assert all("convert" not in str(finding.as_dict()) for finding in outcome.findings)


@pytest.mark.parametrize("transfer", ["utf-8", "replaced"])
def test_compressed(transfer: str) -> None:
    """Compressed data is known after a recoding, too."""
    identity = streamfmt.identify(TRANSFERS[transfer][0](gzip.compress(XL, mtime=0)))

    assert identity.description == "gzip data, damaged on the way"


@settings(max_examples=60, deadline=None)
@given(
    layer=st.sampled_from(sorted({"xl", "libvirt", "libxc", "libxl"})),
    before=st.integers(1, 40000),
    byte=st.integers(0, 255),
)
def test_later(layer: str, before: int, byte: int) -> None:
    """A stream at a later offset is found, and the hint's command begins there."""
    identity = streamfmt.identify(bytes([byte]) * before + DATA[layer])

    if byte or identity.kind == "damaged":
        assert f"at offset {before}" in f"{identity.description} {identity.evidence}" or byte in tables.TEXT
    if identity.kind == "damaged":
        assert f"tail -c +{before + 1} FILE" in identity.hint


@pytest.mark.parametrize("before", [1, 7, 512, 4096, 65000])
def test_later_after_zeros(before: int) -> None:
    """Sectors, and odd offsets."""
    identity = streamfmt.identify(bytes(before) + XL)

    assert identity.description == f"xl save file, at offset {before}"
    assert streamfmt.identify((bytes(before) + XL)[before:]).key == "xl"


def test_a_magic_alone_is_no_stream() -> None:
    """Programs and documents have magics in them, and no header after those."""
    for layer in ("xl", "libvirt", "libxc", "libxl"):
        assert streamfmt.identify(b"\x80program" + MAGICS[layer] + b"\x80more" * 20).kind == "unknown"


@pytest.mark.parametrize("layer", ["xl", "libvirt", "libxc"])
def test_first_bytes_missing(layer: str) -> None:
    """One to four bytes fewer."""
    for lost in range(1, 5):
        identity = streamfmt.identify(DATA[layer][lost:])
        assert f"without its first {lost} byte" in identity.description


def test_near_miss() -> None:
    """More than damage leaves: which bytes differ."""
    identity = streamfmt.identify(b"Xen saved domain, my own format!" + XL[32:])

    assert identity.kind == "damaged"
    assert "byte 18 is 0x6d, expected 0x78" in identity.evidence


def test_parts() -> None:
    """A part of a file that begins with pages, or in them, or after them, is one."""
    draft = GOOD["xl-hvm"]
    for path in ("libxc.PAGE_DATA", "libxc.HVM_CONTEXT"):
        for more in (-100, 0):
            identity = streamfmt.identify(XL[draft.offset(path) + more :])
            assert identity.description == "part of a libxc image, whose beginning is missing", (path, more)


@pytest.mark.parametrize("size", [1, 16, 4096, 300000])
def test_zeros(size: int) -> None:
    """Nothing but zeros is said to be that."""
    outcome = streamfmt.verify(bytes(size))

    assert "zero" in outcome.identity.evidence
    assert not outcome.conforms


# -- pastes ---------------------------------------------------------------------------------------------------


def _hexdump(data: bytes, width: int = 16) -> bytes:
    lines = []
    for at in range(0, len(data), width):
        piece = data[at : at + width]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:08x}  {piece[:8].hex(' ')}  {piece[8:].hex(' ')}  |{shown}|\n")
    return "".join(lines).encode()


def _xxd(data: bytes) -> bytes:
    return "".join(f"{n:08x}: {data[n : n + 16].hex(' ', -2)}  ....\n" for n in range(0, len(data), 16)).encode()


def _words(data: bytes) -> bytes:
    pairs = [data[n : n + 2][::-1].hex() for n in range(0, len(data) // 2 * 2, 2)]
    return "".join(f"{2 * n:07x} {' '.join(pairs[n : n + 8])}\n" for n in range(0, len(pairs), 8)).encode()


PASTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "hexdump": (_hexdump, "a hex dump"),
    "xxd": (_xxd, "a hex dump"),
    "words": (_words, "a hex dump"),
    "plain": (lambda data: data.hex("\n", 30).encode(), "hex digits"),
    "array": (lambda data: ", ".join(f"0x{byte:02x}" for byte in data).encode(), "hex digits"),
    "base64": (base64.encodebytes, "base64"),
    "base64 in a line": (base64.b64encode, "base64"),
    "uu": (lambda data: b"begin 644 g\n" + b"".join(map(binascii.b2a_uu, _cut(data, 45))), "uuencoded text"),
    "octal": (
        lambda data: b"".join(
            b"%07o %s\n" % (16 * n, b" ".join(b"%03o" % byte for byte in piece))
            for n, piece in enumerate(_cut(data, 16))
        ),
        "an octal dump",
    ),
}


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[n : n + size] for n in range(0, len(data) // size * size, size)]


@pytest.mark.parametrize("form", PASTES)
@pytest.mark.parametrize("layer", ["xl", "libvirt", "libxc"])
def test_pastes(layer: str, form: str) -> None:
    """The form and what it is of."""
    make, name = PASTES[form]
    identity = streamfmt.identify(b"Hello,\n\nthese are its first bytes:\n\n" + make(DATA[layer][:960]))

    assert identity.description.startswith(f"{name} of what begins as ")
    assert identity.hint


def _lines(form: str, size: int, of: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
    """A dump of lines of so many bytes, each made of its address and those."""
    return lambda data: "".join(form % (size * n, of(piece)) for n, piece in enumerate(_cut(data, size))).encode()


# Marks of quotation, letters beside the bytes, and lines around them: no command turns those back.
SURROUNDED: dict[str, Callable[[bytes], bytes]] = {
    "a quotation": _lines("> %08x  %s  |a fed bee|\n", 16, lambda data: data.hex(" ")),
    "indented": _lines("    %08x  %s  |a fed bee|\n", 16, lambda data: data.hex(" ")),
    "a packet": _lines("\t0x%04x:  %s  a.fed.bee\n", 16, lambda data: data.hex(" ", -2)),
    "text after it": _lines("%04x   %s   a fed bee\n", 16, lambda data: data.hex(" ")),
    "long lines": _lines("%08x: %s  a fed bee\n", 32, lambda data: data.hex(" ", -2)),
    "a program": lambda data: b"char face[] = {\n" + PASTES["array"][0](data) + b"\n};\nint face_len = 960;\n",
    "armour": lambda data: b"-----BEGIN DATA-----\n" + base64.encodebytes(data) + b"-----END DATA-----\n",
    "a letter": lambda data: b"Content-Type: application/data\n\n" + base64.encodebytes(data),
}


@pytest.mark.parametrize("form", ["hexdump", "xxd", "words", "plain", "array", "base64", *SURROUNDED])
def test_hints_turn_pastes_back(form: str, tmp_path: Path) -> None:
    """The command does what it promises, on a copy."""
    if not any(Path(folder, "xxd").exists() for folder in ("/usr/bin", "/bin", "/usr/local/bin")):
        pytest.skip("xxd is not installed")
    text = (PASTES[form][0] if form in PASTES else SURROUNDED[form])(LIBXC[:960])
    (tmp_path / "FILE").write_bytes(text)
    command = streamfmt.identify(text).hint.removeprefix("turn it back: ")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)

    assert (tmp_path / "COPY").read_bytes() == LIBXC[:960]
    assert (tmp_path / "FILE").read_bytes() == text


@given(text=st.text(max_size=400).map(str.encode))
def test_text_is_no_paste(text: bytes) -> None:
    """Text that says nothing of the kind, whatever it is, has no other name; nothing fails."""
    found = pasted(text)

    assert found is None or "dump" in found[0]


# -- elsewhere ------------------------------------------------------------------------------------------------


def test_after_compressed_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes after the compressed data are said to be there."""
    path = tmp_path / "guest.gz"
    path.write_bytes(gzip.compress(LIBXL) + b"and more")

    assert main(["verify", str(path)]) == 0
    assert "8 bytes follow END: they come after the gzip data, not compressed" in " ".join(
        capsys.readouterr().out.split()
    )


def test_twice_compressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and how to open it."""
    path = tmp_path / "guest.gz"
    path.write_bytes(gzip.compress(gzip.compress(LIBXL)))

    assert main(["verify", str(path)]) == 1
    assert "this was compressed twice); decompress it once by hand: zcat" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["xl", "libxl", "libxc", "libvirt", "xapi"])
@pytest.mark.parametrize("layer", ["xl", "libxl", "libxc", "libvirt", "xapi"])
def test_as_another_form(layer: str, form: Any) -> None:
    """One error, and what it looks like."""
    outcome = streamfmt.verify(DATA[layer], form=form)
    if layer == form:
        assert outcome.verifier.stopped is None
        return
    (finding,) = outcome.findings
    assert f"try --as {layer}, or no --as" in finding.message
    assert f"try --as {layer}" in streamfmt.identify(DATA[layer], form=form).doubt


@pytest.mark.parametrize("layer", ["xl-migrate", "xl"])
def test_a_long_magic_in_utf_16(layer: str) -> None:
    """What a transfer has made longer than the first bytes that are looked at is known by those."""
    data = b"\xff\xfe" + MAGICS[layer].decode("latin-1").encode("utf-16-le") + bytes(64)

    assert "it became UTF-16" in streamfmt.identify(data).evidence


def test_one_zero() -> None:
    """One byte is no bytes."""
    assert streamfmt.identify(b"\0").evidence == "its one byte is zero"
