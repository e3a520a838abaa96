"""Bytes of a stream that were written out as text: dumps, base64 and their like, known by what they turn back into."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp, a2b_uu

from .. import tables
from .fields import quote, text_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Of a text so many lines are looked at; of a magic so many bytes are enough where a line has no more.
_LINES, _ENOUGH = 40, 16
_QUOTED = 48
# Lines of dumps: an address, then groups of digits up to what is no digit.
_ADDRESSED = re.compile(
    rb"[^0-9A-Za-z]{0,4}(?:0x)?([0-9A-Fa-f]{4,16})(:?)\s+"
    rb"((?:[0-9A-Fa-f]{2}[ -]{1,2}){4,32}|(?:[0-9A-Fa-f]{4} {1,2}){4,16}|(?:[0-9A-Fa-f]{8} {1,2}){2,8})"
)
_OCTAL = re.compile(rb"[0-7]{7}((?: [0-7]{6}){8}|(?: [0-7]{3}){16})$")
_PLAIN = re.compile(rb"[^0-9A-Za-z]*((?:(?:0x)?[0-9A-Fa-f]{2}[ ,]{0,2}){8,})\W*$")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}$")
_OURS = ("stream", "container", "compressed")

# Marks of a quotation may be before an address, and text after the bytes.
_ADDRESS = "s/^[^0-9A-Fa-f]*(0x)?[0-9A-Fa-f]+:?//"
_COLON = "turn it back: xxd -r -c {size} FILE >COPY"
_BYTES = f"turn it back: sed -E '{_ADDRESS}; s/^ *//; s/( {{3,}}|[|>]).*//' FILE | xxd -r -p >COPY"
_TCPDUMP = f"turn it back: sed -E '{_ADDRESS}; s/^ *//; s/ {{2,}}.*//' FILE | xxd -r -p >COPY"
_WORDS = f"turn it back: sed -E '{_ADDRESS}' FILE | xxd -r -p | dd conv=swab >COPY"
_HEX = "turn it back: sed 's/,//g' FILE | xxd -r -p >COPY"
# Between them there may be words of a program, with letters that are digits.
_CONSTANTS = "turn it back: grep -oE '0x[0-9A-Fa-f]{2}' FILE | cut -c3- | xxd -r -p >COPY"
_LETTERS = "turn it back: sed '/-/d' FILE | base64 -d >COPY"
_ASK = "get the file itself"


def recognise(start: bytes) -> tuple[str, str, str] | None:
    """What `start` is a paste of, the evidence, and how to turn it back; None if it is none that is known."""
    size = text_size(start)
    if size < min(len(start), _QUOTED):
        return None
    lines = start[:size].splitlines()[:_LINES]
    for number, line in enumerate(lines):
        made = list(_made(line, lines[number + 1 : number + 2]))
        # Bytes in the order in which they are a stream come first.
        for name, do, data in sorted(made, key=lambda row: not _of(row[2])):
            of = _of(data)
            if not of and not _steps(lines[number : number + 2], len(data)):
                continue
            gaps = re.search(rb"^\*\r?$", start[:size], re.MULTILINE) is not None
            more = "; its lines of * stand for repeats left out: dump again with -v, or get the file" if gaps else ""
            what = f"{name} of {of}" if of else f"{name}, text in the place of bytes"
            return what, f"line {number + 1} is {quote(line.rstrip()[:_QUOTED])}", _from(number, do) + more
    return None


def _from(number: int, do: str) -> str:
    """What to do with the lines from that number on, which are counted from 0: what is before them stays out."""
    if not number or ">COPY" not in do:
        return do
    return do.replace(" FILE", "").replace("back: ", f"back: tail -n +{number + 1} FILE | ")


def _made(line: bytes, after: list[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """The forms that a line can be of, how each is turned back, and what bytes the line would be."""
    line = line.rstrip()
    if found := _ADDRESSED.match(line + b"  "):
        groups = found[3].replace(b"-", b" ").split()
        size = len(groups[0]) // 2
        data = bytes.fromhex(b"".join(groups).decode())
        do = _BYTES if not found[2] else _TCPDUMP if b"0x" in line else _COLON.format(size=len(data))
        yield "a hex dump", do, data
        if size > 1:
            data = b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))
            yield "a hex dump", _WORDS if size == 2 else _ASK, data
    elif found := _OCTAL.match(line):
        numbers = [int(group, 8) for group in found[1].split()]
        size = 1 if len(numbers) > 8 else 2
        if max(numbers) >> 8 * size == 0:
            yield "an octal dump", _ASK, b"".join(number.to_bytes(size, "little") for number in numbers)
    elif _PLAIN.match(line):
        # A line may be shorter than a magic.
        digits = b"".join(found[1] for part in (line, *after) if (found := _PLAIN.match(part.rstrip())))
        yield (
            "hex digits",
            _CONSTANTS if b"0x" in line else _HEX,
            bytes.fromhex(re.sub(rb"0x|[ ,]", b"", digits).decode()),
        )
    elif _BASE64.match(line):
        try:
            yield "base64", _LETTERS, a2b_base64(line[: len(line) // 4 * 4])
        except Error:
            pass
    elif line.startswith(b"begin ") and after:
        try:
            yield "uuencoded text", "turn it back: uudecode -o COPY FILE", a2b_uu(after[0])
        except Error:
            pass
    elif b"=" in line:
        yield "quoted-printable text", _ASK, a2b_qp(b"\n".join((line, *after)))


def _of(data: bytes) -> str:
    """What begins so, if that is something that we read or open."""
    for _, kind, offset, magic, name in tables.MAGICS:
        if (
            kind in _OURS
            and not offset
            and (data.startswith(magic) or (len(data) >= _ENOUGH and magic.startswith(data)))
        ):
            return f"what begins as {name}"
    return ""


def _steps(lines: list[bytes], size: int) -> bool:
    """Whether these are two lines of a dump, the address of the second being that much further."""
    found = [_ADDRESSED.match(line.rstrip() + b"  ") for line in lines]
    places = [match[1] for match in found if match]
    for base, digits in ((16, rb"[0-9A-Fa-f]+"), (10, rb"[0-9]+"), (8, rb"[0-7]+")):
        if len(places) != 2 or not all(re.fullmatch(digits, place) for place in places):
            continue
        if int(places[1], base) - int(places[0], base) == size:
            return True
    return False
