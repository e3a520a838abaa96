"""Streams that were damaged on their way, by what has become of their bytes: the cause, and what mends it.

A magic that was changed by a transfer is known by what that transfer makes of each magic.  Other marks are a header
at a later offset, records without what was before them, and text that is a paste of bytes.  All of it is looked for
only where no magic is found, or none where there should be.
"""

from __future__ import annotations

from struct import calcsize, unpack_from

from .. import tables
from .fields import MAGICS, broken_rules, quote, text_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .events import Layer

# What a magic is of, if it begins a stream, or a file that is opened for one.
_OURS = ("stream", "container", "compressed")
# A magic that was changed has to have so many bytes left, and one at a later offset so many, to be taken for one.
_SHORTEST, _LONG = 4, 8
# How gzip's magic goes on: its only method, and the flags that gzip itself writes (RFC 1952, 2.3.1).
_GZIP_FLAGS = (b"\x08\0", b"\x08\x08")
# Bytes of text that are quoted.
_QUOTED = 40


def _utf8(data: bytes, encoding: str) -> bytes:
    return data.decode(encoding, "replace").encode()


def _other(data: bytes, by: bytes) -> bytes:
    """With something else for each byte above 127."""
    return b"".join(bytes([byte]) if byte < 0x80 else by for byte in data)


def _swapped(data: bytes, size: int) -> bytes:
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data) // size * size, size))


def _wide(data: bytes, codec: str) -> bytes:
    """As far as its first line feed, of which such a transfer may make something else."""
    return data.split(b"\n")[0].decode("latin-1").encode(codec)


_TEXT_MODE = "it was transferred in text mode; fetch the original again in binary mode (scp, rsync, ftp's binary)"
_BINARY = "fetch the original again by a way that leaves bytes alone (scp, rsync, a file, no terminal, no text field)"
# What a transfer did, what it makes of bytes, and what to do about it.
_TRANSFERS: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("each line feed became CR LF", lambda data: data.replace(b"\n", b"\r\n"), _TEXT_MODE),
    ("each carriage return was dropped", lambda data: data.replace(b"\r", b""), _TEXT_MODE),
    ("each carriage return became a line feed", lambda data: data.replace(b"\r", b"\n"), _TEXT_MODE),
    ("each carriage return became CR LF", lambda data: data.replace(b"\r", b"\r\n"), _TEXT_MODE),
    ("each line feed became a carriage return", lambda data: data.replace(b"\n", b"\r"), _TEXT_MODE),
    ("each line feed was dropped", lambda data: data.replace(b"\n", b""), _TEXT_MODE),
    ("zero bytes were dropped", lambda data: data.replace(b"\0", b""), _BINARY),
    ("zero bytes became spaces", lambda data: data.replace(b"\0", b" "), _BINARY),
    ("bytes above 127 were encoded as UTF-8", lambda data: _utf8(data, "latin-1"), _BINARY),
    ("bytes above 127 were encoded as UTF-8", lambda data: _utf8(data, "cp1252"), _BINARY),
    (
        "bytes above 127 became U+FFFD, the character for what is not UTF-8",
        lambda data: data.decode("utf-8", "replace").encode(),
        _BINARY,
    ),
    ("bytes above 127 became question marks", lambda data: _other(data, b"?"), _BINARY),
    ("bytes above 127 lost their highest bit in a seven-bit channel", lambda data: bytes(b & 0x7F for b in data), _BINARY),
    ("bytes above 127 were dropped", lambda data: _other(data, b""), _BINARY),
    (
        "it became UTF-16, as by > in a PowerShell",
        lambda data: b"\xff\xfe" + _wide(data, "utf-16-le"),
        "save again without a text redirection (in cmd.exe, or on the host itself)",
    ),
    ("it became UTF-16", lambda data: _wide(data, "utf-16-le"), _BINARY),
    (
        "the bytes of each two were swapped",
        lambda data: _swapped(data, 2),
        "swap them back, into another file: dd conv=swab if=FILE of=COPY",
    ),
    ("the bytes of each four were reversed", lambda data: _swapped(data, 4), _BINARY),
)


def _magics(kinds: tuple[str, ...] = _OURS) -> Iterator[tuple[str, bytes, str]]:
    """Key, bytes and name of each magic of those kinds that is at the beginning, with what always follows it."""
    for key, kind, offset, data, name in tables.MAGICS:
        if kind in kinds and not offset:
            for more in _GZIP_FLAGS if key == "gzip" else (b"",):
                yield key, data + more, name


def recoded(head: bytes, layer: str = "") -> tuple[str, str, str] | None:
    """What `head`, the first bytes of a file, was, what a transfer has done to it, and what to do about that.

    None if no magic, or not that of `layer`, would look so after any.
    """
    found: tuple[int, str, str, str] | None = None
    for key, data, name in _magics():
        if layer and key != layer:
            continue
        for says, change, do in _TRANSFERS:
            changed = change(data)
            size = len(changed)
            if size >= _SHORTEST and head.startswith(changed) and not data.startswith(changed[:size]):
                if found is None or size > found[0]:
                    found = size, name, says, do
    return found and found[1:]


def stranger(head: bytes) -> str:
    """What begins with `head` where a record should begin, if that is no record but text or another stream."""
    size = text_size(head)
    if size >= min(_LONG, len(head)):
        first = head[:size].strip().splitlines() or [b""]
        return f"text, as other programs print: {quote(first[0][:_QUOTED])}"
    for _, data, name in _magics():
        if len(data) >= _LONG and (head.startswith(data) or data.startswith(head)):
            return f"another {name}: {quote(data)}"
    return ""


def resumes(layer: Layer, sample: bytes) -> int:
    """How many bytes of text `sample` begins with, after which a record of the layer's follows; 0 if none does."""
    size = text_size(sample)
    header = tables.FORMATS[f"{layer.name}.record_header"]
    # The lowest byte of a header may be one that text has too.
    for at in (size, size - 1):
        if 0 < at <= len(sample) - calcsize(header):
            kind, length = unpack_from(layer.order + header, sample, at)
            if kind in tables.RECORDS[layer.name] and length <= tables.RECORD_LENGTH_MAX:
                return at
    return 0
