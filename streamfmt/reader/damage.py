"""Streams that were damaged on their way, by what has become of their bytes: the cause, and what mends it.

A magic that was changed by a transfer is known by what that transfer makes of each magic.  It is looked for only where
no magic is found, or none where there should be one.
"""

from __future__ import annotations

from struct import calcsize, unpack_from

from .. import tables
from .fields import quote, text_size
from .registry import FORMS, ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a magic is of, if it begins a stream, or a file that is opened for one.
_OURS = ("stream", "container", "compressed")
# A magic that was changed has to have so many bytes left, and one at a later offset so many, to be taken for one.
_SHORTEST, _LONG = 4, 8
# How gzip's magic goes on: its only method, and the flags that gzip itself writes (RFC 1952, 2.3.1).
_GZIP_FLAGS = (b"\x08\0", b"\x08\x08")
# Of a magic in the place of another's header so many bytes are enough; a field with so many values says nothing.
_PART, _VALUES = 16, 4
# Bytes of text that are quoted; so many records in a row are no chance.
_QUOTED, _CHAIN = 40, 2


def _utf8(data: bytes, encoding: str) -> bytes:
    return data.decode(encoding, "replace").encode()


def _other(data: bytes, by: bytes) -> bytes:
    """With something else for each byte above 127."""
    return b"".join(bytes([byte]) if byte < 0x80 else by for byte in data)


def _swapped(data: bytes, size: int) -> bytes:
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data) // size * size, size))


def _wide(data: bytes) -> bytes:
    """In UTF-16, as far as the first line feed, of which such a transfer may make something else."""
    return data.split(b"\n")[0].decode("latin-1").encode("utf-16-le")


TEXT_MODE = "fetch the original again in binary mode (scp, rsync, ftp's binary), which changes no line ends"
_BINARY = "fetch the original again by a way that leaves bytes alone (scp, rsync; no terminal, no text field)"
_HIGH = bytes(range(0x80, 0x100))
# What a transfer did; what it makes of bytes; bytes that are nowhere after it; what to do about it.
_TRANSFERS: tuple[tuple[str, Callable[[bytes], bytes], bytes, str], ...] = (
    ("each line feed became CR LF", lambda data: data.replace(b"\n", b"\r\n"), b"", TEXT_MODE),
    ("each carriage return was dropped", lambda data: data.replace(b"\r", b""), b"\r", TEXT_MODE),
    ("each carriage return became a line feed", lambda data: data.replace(b"\r", b"\n"), b"\r", TEXT_MODE),
    ("each carriage return became CR LF", lambda data: data.replace(b"\r", b"\r\n"), b"", TEXT_MODE),
    ("each line feed became a carriage return", lambda data: data.replace(b"\n", b"\r"), b"\n", TEXT_MODE),
    ("each line feed was dropped", lambda data: data.replace(b"\n", b""), b"\n", TEXT_MODE),
    ("zero bytes were dropped", lambda data: data.replace(b"\0", b""), b"\0", _BINARY),
    ("zero bytes became spaces", lambda data: data.replace(b"\0", b" "), b"\0", _BINARY),
    ("bytes above 127 were encoded as UTF-8", lambda data: _utf8(data, "latin-1"), b"", _BINARY),
    ("bytes above 127 were encoded as UTF-8", lambda data: _utf8(data, "cp1252"), b"", _BINARY),
    ("bytes that are not UTF-8 became U+FFFD, its replacement", lambda data: _utf8(data, "utf-8"), b"", _BINARY),
    ("bytes above 127 became question marks", lambda data: _other(data, b"?"), _HIGH, _BINARY),
    ("bytes above 127 lost their highest bit", lambda data: bytes(byte & 0x7F for byte in data), _HIGH, _BINARY),
    ("bytes above 127 were dropped", lambda data: _other(data, b""), _HIGH, _BINARY),
    (
        "it became UTF-16, as by > in PowerShell",
        lambda data: b"\xff\xfe" + _wide(data),
        b"",
        "save it again without a redirection that takes it for text",
    ),
    ("it became UTF-16", _wide, b"", _BINARY),
    (
        "the bytes of each pair were swapped",
        lambda data: _swapped(data, 2),
        b"",
        "swap them back into another file: dd conv=swab if=FILE of=COPY",
    ),
    ("the bytes of each four were reversed", lambda data: _swapped(data, 4), b"", _BINARY),
)


def _magics(kinds: tuple[str, ...] = _OURS) -> Iterator[tuple[str, bytes, str]]:
    """Key, bytes and name of each magic of those kinds that is at the beginning, with what always follows it."""
    for key, kind, offset, data, name in tables.MAGICS:
        if kind in kinds and not offset:
            for more in _GZIP_FLAGS if key == "gzip" else _next_field(key, len(data)):
                yield key, data + more, name


def _next_field(key: str, at: int) -> list[bytes]:
    """What may come after the magic of a layer of that name, `at` bytes long, if the schema knows."""
    path = f"{key}.{ROWS[key].headers[0]}" if key in ROWS and ROWS[key].headers else ""
    for _, _, offset, size, _, _, big, allowed in tables.RULES.get(path, ()):
        if offset == at and not isinstance(allowed, bytes) and len(allowed) < _VALUES:
            return [value.to_bytes(size, "big" if big else "little") for value in allowed]
    return [b""]


def recoded(head: bytes, layer: str = "") -> tuple[str, str, str, int] | None:
    """What has the first bytes `head`: its name, what a transfer has done to it, what to do, how many bytes show it.

    None if no magic, or not that of `layer`, would look so after any.
    """
    found: tuple[str, str, str, int] | None = None
    for key, data, name in _magics():
        if layer and key != layer:
            continue
        for says, change, gone, do in _TRANSFERS:
            changed = change(data)
            size = len(changed)
            if len(head) >= _PART:
                size = min(size, len(head))  # a header, or the first bytes, may be all that is there
            if size < _SHORTEST or head[:size] != changed[:size] or data.startswith(changed[:size]):
                continue
            if len(head.translate(None, gone)) == len(head) and (found is None or size > found[3]):
                found = name, says, do, size
    return found


def instead(layer: str, outermost: bool, raw: bytes) -> str:
    """What `raw` is, which is in the place of the first header of `layer`, in words after a semicolon; maybe none."""
    if found := recoded(raw, layer):
        _, says, do, _ = found
        return f"; {says} on the way: {do}"
    for key, data, name in _magics():
        if key != layer and (raw.startswith(data) or (len(raw) >= _LONG and data.startswith(raw))):
            form = f"--as {key}, or " if key in FORMS else ""
            return f"; so begins another form: {name}" + (f"; try {form}no --as" if outermost else "")
    if not any(raw):
        return "; only zeros are there, as where data was not written"
    return "; that is text, and no stream" if text_size(raw) == len(raw) else ""


def stranger(head: bytes) -> tuple[str, bool]:
    """What begins with `head` where a record should, if that is text or another stream; and whether it is text."""
    for _, data, name in _magics():
        if len(data) >= _LONG and (head.startswith(data) or (len(head) >= _SHORTEST and data.startswith(head))):
            return f"another {name}: {quote(data)}", False
    size = text_size(head)
    if head and size >= min(_LONG, len(head)):
        first = head[:size].strip().splitlines() or [b""]
        return f"text: {quote(first[0][:_QUOTED])}", True
    return "", False


def resumes(layer: str, order: str, sample: bytes) -> int:
    """How many bytes of text `sample` begins with, after which a record of the layer's follows; 0 if none does."""
    size = text_size(sample)
    # The lowest byte of a header may be one that text has too.
    return next((at for at in (size, size - 1) if at > 0 and _records(layer, order, sample, at)), 0)


def _records(layer: str, order: str, sample: bytes, at: int) -> bool:
    """Whether a record begins at `at`, and others after it, as far as is in sight; zeros are one at the end only."""
    header, seen = tables.FORMATS[f"{layer}.record_header"], 0
    while seen < _CHAIN and at <= len(sample) - calcsize(header):
        kind, length = unpack_from(order + header, sample, at)
        if kind not in tables.RECORDS[layer] or length > tables.RECORD_LENGTH_MAX:
            return False
        _, fixed, unit, *_ = tables.LENGTHS.get(f"{layer}.{tables.RECORDS[layer][kind]}", ("", 0, 1))
        # Without a unit the fixed part is all there is.
        if length < fixed or ((length - fixed) % unit if unit else length > fixed):
            return False
        if not kind | length and len(sample) - at > _QUOTED:
            return False
        at += calcsize(header) + length + (-length & ROWS[layer].align - 1)
        seen += 1
    return seen > 0
