"""What a stream is, by its first bytes.

Known magics decide; a bare legacy stream has none and is guessed from its shape.  :class:`Identity` names the
find and the evidence.
"""

from __future__ import annotations

from .. import tables
from .fields import damaged, quote, text_size
from .pump import CAPACITY
from .registry import ALIASES, ALWAYS, FORMS, READ, ROWS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from .pump import Window

# No legacy stream is shorter: a page of memory, with a header and a tail around it.
LEGACY_LEAST = 4 << 10
# How many bytes show a container's namesakes, and all that has a magic.
_NAMESAKES = {of: size for of, *_, size in tables.NAMESAKES}
_LONGEST = max(*_NAMESAKES.values(), *(offset + len(data) for _, _, offset, data, _ in tables.MAGICS))
# A first batch of a legacy stream, or its frame list, is judged on this many bytes at most; and text is passed over.
_GUESS = 64 << 10
# Magics of compressed data, which is opened before anything looks at it; and how many bytes show that.
COMPRESSED = {data: key for key, kind, _, data, _ in tables.MAGICS if kind == "compressed"}
COMPRESSED_HEAD = max(map(len, COMPRESSED))
# Layers that begin with a line of text, after which more text may come.
_SPOKEN = {name for name, row in ROWS.items() if row.text}
# Layers whose magic has a legacy stream after it, which begins with the number of pages; and how many of the bytes of
# that, the least first, may happen to be text: with a fourth one the guest would have over half a TiB.
_COUNTED, _COUNT = {name for name, row in ROWS.items() if row.legacy == ALWAYS}, 3
# Kinds of what may have text before it; magics that may be such text; and those after which there may be more to see.
_PREFACED = ("stream", "container", "compressed")
_TEXTS = ("xapi-http",)
_LOOKED_INTO = (*_TEXTS, *(name for name, row in ROWS.items() if row.look))
# What ends the head of a request, and the reply that may have got between it and what was asked for.
_EMPTY_LINE, _REPLY = b"\r\n\r\n", tables.REPLY
# Bytes of text that are quoted.
_FIRST = 40
# Nothing that is read is shorter.
_SHORTEST = 8


class Identity:
    """What the first bytes of an input, or of a layer inside it, say it is.

    `key` is the short name ("libxl", "xl", "legacy", or "" if unknown); `kind` is one of schema.magic's, or "legacy",
    "damaged", "empty", "unknown", "unread".  `name` and `evidence` are text, and so are what speaks against it
    (`doubt`) and what to do with what is not read (`hint`), if there is any.  For text before a stream, `sizes` are the
    sizes of its records in bytes, and `inner` is the key of the stream.  `configuration` is the guest's where a
    container has it that is only named.
    """

    __slots__ = (
        "configuration",
        "doubt",
        "evidence",
        "guest",
        "hint",
        "inner",
        "key",
        "kind",
        "name",
        "sizes",
        "width",
    )

    def __init__(
        self, key: str, kind: str, name: str, evidence: str, width: int | None = None, guest: str | None = None
    ) -> None:
        self.key = key
        self.kind = kind
        self.name = name
        self.evidence = evidence
        self.width = width
        self.guest = guest
        self.doubt = self.hint = ""
        self.sizes: tuple[int, ...] = ()
        self.inner = ""
        self.configuration: Any = None  # a Configuration


def forced(key: str) -> Identity:
    """The identity the caller declares."""
    kind, name = next((kind, name) for of, kind, _, _, name in tables.MAGICS if of == key)
    return Identity(key, kind, name, "declared with --as")


def unread(reason: str) -> Identity:
    """The identity of an input of which not even the first bytes were had."""
    return Identity("", "unread", "not read", reason)


def by_magic(head: bytes, complete: bool, at: int) -> Identity | None:
    """The identity whose magic `head`, at stream offset `at`, has, or begins with if it is all (`complete`)."""
    for key, kind, offset, data, name in tables.MAGICS:
        if head[offset : offset + len(data)] == data:
            evidence = f"{quote(data)} at offset {at + offset}"
            found = _named(head, key, kind, name, evidence)
            if kind == "compressed" and not at:
                found.evidence += "; what is compressed is opened once, and this was compressed twice"
                found.hint = "decompress it once by hand: zcat, xzcat or zstdcat FILE | streamfmt verify -"
            return found
    if not head:
        return Identity("", "empty", "empty", "the input is empty")
    if complete:
        for key, kind, offset, data, name in tables.MAGICS:
            if kind in ("stream", "container") and not offset and len(head) >= 4 and data.startswith(head):
                evidence = f"its {len(head)} bytes are how one begins, and there are no more"
                return Identity(key, kind, name, evidence)
    return None


def following(head: bytes, count: int, zero: bool) -> tuple[bool, str]:
    """What `count` bytes after END are, which begin with `head` and are all zero or not, in words.

    The first of the two says whether known tools leave such bytes there.
    """
    for magic, whole, name in tables.TRAILERS:
        if head.startswith(magic) and (not whole or count == len(magic)):
            return True, name
    if zero:
        return True, "zeros up to the end, as on a block device"
    other = by_magic(head, False, 0) or neighbour(head, False, 0)
    return False, f"another {other.name}" if other else f"nothing known, beginning {head[:16].hex(' ')}"


def neighbour(head: bytes, complete: bool, at: int) -> Identity | None:
    """The identity of what is no stream and begins with `head`, at stream offset `at`, or is that (`complete`)."""
    from .neighbours import recognise  # most inputs are streams

    found = recognise(head, complete, at)
    if found is None:
        return None
    identity = Identity(*found[:-1])
    identity.hint = found[-1]
    return identity


def by_damaged_magic(head: bytes, at: int) -> Identity | None:
    """The identity whose magic `head`, at stream offset `at`, has but for a few bytes."""
    # Magics may be so alike that what is damaged in one is not far from another: the nearest is meant.
    rows = [(len(wrong), row) for row in tables.MAGICS if (wrong := damaged(row[0], head))]
    if not rows:
        return None
    count, (key, kind, _, data, name) = min(rows, key=lambda found: found[0])
    but = f"its magic but for {count} of {len(data)} bytes"
    return _named(head, key, kind, name, f"{quote(head[: len(data)])} at offset {at}, {but}")


def _recoded(head: bytes, at: int) -> Identity | None:
    """The identity of what had a magic before a transfer changed it to what `head` is, at stream offset `at`."""
    from .damage import recoded  # most inputs are as they were

    found = recoded(head)
    if found is None:
        return None
    name, says, hint, size = found
    identity = Identity(
        "", "damaged", f"{name}, damaged on the way", f"{quote(head[: min(size, 32)])} at offset {at}: {says}"
    )
    identity.hint = hint
    return identity


def _remains(start: bytes, complete: bool, at: int) -> Identity | None:
    """The identity of what is left of a stream, or is one in another form, and begins with `start`."""
    from .remains import recognise  # most inputs are whole

    found = recognise(start, complete, at)
    if found is None:
        return None
    identity = Identity("", "damaged", *found[:-1])
    identity.hint = found[-1]
    return identity


def _named(head: bytes, key: str, kind: str, name: str, evidence: str) -> Identity:
    """What has the magic of `key`, unless what follows that in `head` is a namesake's."""
    for of, other, family, pattern, title, sign, _ in tables.NAMESAKES:
        if of != key:
            continue
        from re import match  # it takes longer to load than most streams to read

        if match(pattern, head):
            return Identity(other, family, title, f"{evidence}, {sign}")
    return Identity(key, kind, name, evidence)


def peek(window: Window, exact: bool, text: bool = False) -> Generator[int, int, Identity]:
    """Program that identifies what begins here, without consuming it.

    With `exact` no more bytes are asked for than anything that begins like this has.  Text before it is looked past
    only where there may be `text`.
    """
    if exact:
        yield _SHORTEST
        head = window.head(_SHORTEST)
        longest = max(
            (
                _NAMESAKES.get(key, len(data))
                for key, _, offset, data, _ in tables.MAGICS
                if not offset and (data.startswith(head) or damaged(key, head, len(head)))
            ),
            default=_SHORTEST,
        )
        if longest == _SHORTEST and not by_magic(head, False, 0):
            from .neighbours import wanted

            longest = max(longest, wanted(head))
        complete = not (yield longest)
    else:
        complete = not (yield _LONGEST)
        longest = _LONGEST
    head = window.head(longest)
    at = window.position
    found = by_magic(head, complete, at) or _recoded(head, at) or by_damaged_magic(head, at)
    if exact:
        found = found or neighbour(head, complete, at)
        if found is None and not complete:
            yield LEGACY_LEAST
            found = legacy(window.head(LEGACY_LEAST))
    elif found is None or found.key in _LOOKED_INTO:
        complete = not (yield _GUESS)
        start = window.head(_GUESS)
        found = (
            (_prefaced(start, at) if text and (found is None or found.key in _TEXTS) else None)
            or (found and _within(found, start, at))
            or neighbour(start, complete, at)
            or (yield from _legacy(window, start))
            or _remains(start, complete, at)
        )
    # What shows a legacy stream within so many bytes that it proves none is in the window by now.
    return _advised(found or _perhaps(window.head(_GUESS)) or _unknown(head, at))


def _legacy(window: Window, start: bytes) -> Generator[int, int, Identity | None]:
    """Program of the legacy stream that begins with `start`; what that leaves open the rest of the window decides."""
    found = legacy(start)
    if found is None or found.guest is None:
        yield CAPACITY
        found = legacy(window.head(CAPACITY)) or found
    return found


def _advised(found: Identity) -> Identity:
    """What is found, with what to do next if it is not read."""
    if found.key and found.key not in READ and not found.hint:
        from .neighbours import hint  # most inputs are read

        found.hint = hint(found.key)
    return found


def _preface(request: bytes, data: bytes) -> tuple[int, ...]:
    """Sizes of the records of a preface that these bytes begin with, by schema.magic's `request`; none without one."""
    if not request:
        size = text_size(data)
        return (size,) if size else ()
    from re import match  # it keeps what it has compiled; few streams have a request before them

    found = match(request, data)
    if found is None:
        return ()
    first, end = found.end(), data.find(_EMPTY_LINE, found.end() - 2)
    # An empty line ends the head, so whatever is no text in the lines before it is a stray half of a line's end.
    if end < 0 or data[first : end + 2].replace(b"\r\n", b"").translate(None, tables.HEAD_LINE):
        return ()
    end += len(_EMPTY_LINE)
    return (end, len(_REPLY)) if data.startswith(_REPLY, end) else (end,)


def _prefaced(start: bytes, at: int) -> Identity | None:
    """What comes after the text, or the request, that `start` begins with, at stream offset `at`.

    A magic is looked for where the text ends, with as much of it as is text before that place, if that is in sight;
    only the greeting of xl, which is all text, may have more of it after it, and a number a few bytes.
    """
    text = start[: text_size(start)]
    places = {(text.find(data), data) for key, _, _, data, _ in tables.MAGICS if key in _SPOKEN}
    if len(text) < len(start):
        places |= {(len(text) - text_size(data), data) for _, _, _, data, _ in tables.MAGICS}
        places |= {
            (place, data)
            for key, _, _, data, _ in tables.MAGICS
            if key in _COUNTED and len(text) - _COUNT <= (place := text.rfind(data)) + len(data)
        }
        places |= {(sum(_preface(request, start)), b"") for _, request, _, _ in tables.PREFACES}
    for size, data in sorted(places):
        if size <= 0 or not start.startswith(data, size):
            continue
        inner = by_magic(start[size : size + _LONGEST], False, at + size)
        if inner is None or inner.kind not in _PREFACED:
            continue
        for key, request, before, words in tables.PREFACES:
            sizes = _preface(request, start[:size])
            if sum(sizes) != size or (before and inner.key in FORMS and inner.key not in before):
                continue
            first = text[:size].split(b"\n", 1)[0].rstrip()[:_FIRST].decode(errors="ignore")
            name = f"{size:,} byte{'s' if size > 1 else ''} of {words} before {inner.name}"
            if inner.key not in FORMS:
                # What is only named without text before it is only named with it.
                return Identity(inner.key, inner.kind, name, f"{inner.evidence}; it begins {first!r}")
            found = Identity(key, "container", name, f"{name} ({inner.evidence}), beginning {first!r}")
            found.sizes, found.inner = sizes, inner.key
            return found
    return None


def _within(found: Identity, start: bytes, base: int) -> Identity:
    """What is at stream offset `base`, named by what its bytes show, or with what they show to be inside."""
    row = ROWS.get(found.key)
    if row is not None and row.look:
        load(row.look)(found, start)
        return found
    at = next(len(data) for key, _, _, data, _ in tables.MAGICS if key == found.key)
    inside = by_magic(start[at : at + _LONGEST], False, base + at) or legacy(start[at:])
    if inside is None or inside.kind == "empty":
        return found
    name = f"{found.name} > {inside.name}"
    evidence = f"{found.evidence}; from {base + at} on {inside.evidence}"
    identity = Identity(found.key, found.kind, name, evidence, inside.width, inside.guest)
    identity.doubt, identity.hint = found.doubt, found.hint
    return identity


def legacy(head: bytes, width: int | None = None, guest: str | None = None, declared: bool = False) -> Identity | None:
    """What legacy stream begins with `head`, None if it shows no sign of one; the rest is as for guess_legacy.

    Its key is that of a layer only where its guest is known.
    """
    from .legacy_guess import guess_legacy  # needed for streams without a magic only

    found = guess_legacy(head, width, guest, declared)
    if found is None:
        return None
    bits, kind, evidence = found
    return Identity(widths()[bits] if kind else ALIASES[0], "legacy", named(bits, kind), evidence, bits, kind)


def _perhaps(head: bytes) -> Identity | None:
    """What looks like the beginning of a legacy stream, and may be anything else."""
    from .legacy_guess import perhaps_legacy

    found = perhaps_legacy(head)
    if found is None:
        return None
    bits, guest, evidence = found
    identity = Identity(
        "", "unknown", f"perhaps a {named(bits, guest)}", f"no known magic; {evidence}: that is too little to tell"
    )
    kinds = f"--guest {guest}" if guest else "--guest pv or --guest hvm"
    identity.hint = f"if Xen 3.0 to 4.5 saved it, give --as {widths()[bits]} {kinds}"
    return identity


def named(bits: int, guest: str | None) -> str:
    """A legacy stream of that width and guest in words."""
    return f"legacy stream (Xen 3.0 to 4.5), {bits}-bit toolstack, {guest.upper() if guest else 'PV or HVM'}"


def widths() -> dict[int, str]:
    """The layers of legacy streams by the bits of the toolstack's words."""
    return {8 * tables.SIZES[f"{name}.{row.headers[0]}"]: name for name, row in ROWS.items() if row.alias}


def _unknown(head: bytes, at: int) -> Identity:
    if not any(head):
        evidence = f"the first {len(head)} bytes are zero"
    elif all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        evidence = f"it begins with text: {quote(head[:32])}"
    else:
        evidence = f"no known magic at offset {at}; it begins {quote(head[:16])}"
    return Identity("", "unknown", "not a migration stream", evidence)
