"""What is no stream, and what has a magic but is not read: names of the one, and what to do with either.

It is loaded when no stream's magic is found.  The rows are schema.neighbours'.
"""

from __future__ import annotations

from struct import unpack_from

from ..schema.neighbours import HINTS, NEIGHBOURS
from .fields import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..schema.neighbours import Neighbour

# How many bytes show all marks; and those of text in evidence.
LONGEST = max(mark.offset + len(mark.data) for row in NEIGHBOURS for mark in row.marks)
_NAME_MAX = 64


def recognise(
    head: bytes, complete: bool, at: int, rows: Sequence[Neighbour] = NEIGHBOURS
) -> tuple[str, str, str, str, str] | None:
    """Key, kind, name, evidence and hint of what `head`, at offset `at` and all if it is `complete`, begins."""
    for row in rows:
        if all(head.startswith(mark.data, mark.offset) for mark in row.marks):
            sign = CHECKS[row.check](head, complete) if row.check else ""
            if sign is None:
                continue
            signs = [f"{quote(mark.data)} at offset {at + mark.offset}" for mark in row.marks if mark.data.strip(b"\0")]
            return row.key, "foreign", row.name, ", ".join(filter(None, (*signs, sign))), row.hint
    return None


def wanted(head: bytes) -> int:
    """How many bytes show all marks of the rows that may begin with `head`, by the mark at the beginning; or 0."""
    begun = [row for row in NEIGHBOURS if any(not it.offset and _alike(it.data, head) for it in row.marks)]
    return max((mark.offset + len(mark.data) for row in begun for mark in row.marks), default=0)


def _alike(data: bytes, head: bytes) -> bool:
    return data.startswith(head[: len(data)])


def hint(key: str) -> str:
    """What to do with what has a magic of its own, and is not read."""
    return HINTS.get(key, "")


# -- checks: what else rows ask for, in words (maybe none); None if it is not there ------------------------------


def _tar(head: bytes, _: bool) -> str | None:
    """The sum of a header's bytes, those of the sum itself taken for blanks, is what it says in octal."""
    try:
        said = int(head[148:156].rstrip(b" \0"), 8)
    except ValueError:
        return None
    name, padding = head[:100].split(b"\0", 1)[0], head[100:148]
    fits = len(head) >= 512 and sum(head[:148]) + 8 * ord(" ") + sum(head[156:512]) == said
    return f"a header's checksum, of a member {quote(name[:_NAME_MAX])}" if fits and name and padding else None


def _lzma(head: bytes, _: bool) -> str | None:
    """A dictionary of a size that encoders choose, an unknown or bearable size, and the first byte of the range coder.

    They are the bounds of liblzma's own decoder of such files (src/liblzma/common/alone_decoder.c).
    """
    if len(head) < 14 or head[13]:
        return None
    dictionary, size = unpack_from("<IQ", head, 1)
    while dictionary and not dictionary & 1:
        dictionary >>= 1
    known = size < 1 << 38
    if dictionary not in (1, 3) or not (known or size == (1 << 64) - 1):
        return None
    return f"{size:,} bytes" if known else "of unknown size"


def _xen_note(head: bytes, _: bool) -> str | None:
    """A section of notes, of which the first is Xen's and of a dump's kinds (docs/misc/dump-core-format.txt)."""
    if len(head) < 64 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order, wide = "<>"[head[5] - 1], head[4] == 2
    # Of the header: where sections begin, how long their headers are, how many; and of those kind and place.
    (start,) = unpack_from(order + "IQ"[wide], head, (32, 40)[wide])
    size, count = unpack_from(order + "HH", head, (46, 58)[wide])
    place, least = (16, 24)[wide], (40, 64)[wide]
    for number in range(min(count, len(head) // least) if size >= least else 0):
        header = start + number * size
        if header + least > len(head):
            break
        if unpack_from(order + "I", head, header + 4) != (7,):
            continue
        (note,) = unpack_from(order + "IQ"[wide], head, header + place)
        if note + 16 <= len(head) and head[note + 12 : note + 16] == b"Xen\0":
            (kind,) = unpack_from(order + "I", head, note + 8)
            if kind & ~3 == 0x2000000:
                return f"a note 'Xen' of kind {kind:#x} at offset {note}"
    return None


def _cloud_hypervisor(head: bytes, complete: bool) -> str | None:
    """Nothing more came, or another request: command, padding, length."""
    if len(head) == 16 and complete:
        return "the request to start, and nothing more"
    if len(head) < 32:
        return None
    command, length = unpack_from("<QQ", head, 16)
    # The configuration, which is JSON, or descriptors of memory.
    fits = head[32:33] == b"{" if command == 2 else command == 7 and 0 < length < 1 << 16
    return f"the request to start, and request {command}" if fits else None


CHECKS: dict[str, Callable[[bytes, bool], str | None]] = {
    "tar": _tar,
    "lzma": _lzma,
    "xen_note": _xen_note,
    "cloud_hypervisor": _cloud_hypervisor,
}
