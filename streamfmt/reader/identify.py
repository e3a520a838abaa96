"""What a stream is, by its first octets.

Known magics decide; a bare legacy stream has none and is guessed from its shape.  :class:`Identity` names the
find and the evidence.
"""

from __future__ import annotations

from . import literals as L

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .events import Layer
    from .window import Window

_LONGEST = max(offset + len(octets) for _, _, offset, octets, _ in L.MAGICS)
# A first batch of a legacy stream, or its frame list, is judged on this many octets at most.
_GUESS = 64 << 10
# Magics of compressed data, which is opened before anything looks at it; and how many octets tell.
COMPRESSED = {octets: key for key, kind, _, octets, _ in L.MAGICS if kind == "compressed"}
COMPRESSED_HEAD = max(map(len, COMPRESSED))
# Nothing that is read is shorter.
_SHORTEST = 8
# What is read, not only named: what --as takes, beside "auto".
READ = ("libxl", "libxc", "back-channel", "xl", "libvirt", "xapi")


class Identity:
    """`key` is the short name ("libxl", "xl", "legacy", "" for nothing known); `kind` is one of schema.magic's,
    or "legacy", "empty", "unknown".  `name` and `evidence` are for people."""

    __slots__ = ("evidence", "guest", "key", "kind", "name", "width")

    def __init__(
        self, key: str, kind: str, name: str, evidence: str, width: int | None = None, guest: str | None = None
    ) -> None:
        self.key = key
        self.kind = kind
        self.name = name
        self.evidence = evidence
        self.width = width
        self.guest = guest


def forced(key: str) -> Identity:
    """The identity the caller declares."""
    kind, name = next((row[1], row[4]) for row in L.MAGICS if row[0] == key)
    return Identity(key, kind, name, "declared with --as")


def by_magic(head: bytes, complete: bool) -> Identity | None:
    """The identity whose magic `head` has, or begins with if it is all there is (`complete`)."""
    for key, kind, offset, octets, name in L.MAGICS:
        if head[offset : offset + len(octets)] == octets:
            return Identity(key, kind, name, f"{_quote(octets)} at offset {offset}")
    if not head:
        return Identity("", "empty", "empty", "there is not one octet")
    if complete:
        for key, kind, offset, octets, name in L.MAGICS:
            if kind in ("stream", "container") and not offset and len(head) >= 4 and octets.startswith(head):
                evidence = f"its {len(head)} octets are how one begins, and there are no more"
                return Identity(key, kind, name, evidence)
    return None


def peek(window: Window, exact: bool) -> Generator[int, int, Identity]:
    """Program that identifies what begins here, without consuming it.

    With `exact` no more octets are asked for than anything that begins like this has.
    """
    if exact:
        yield _SHORTEST
        head = bytes(window.buf[window.lo : min(window.hi, window.lo + _SHORTEST)])
        longest = max((len(row[3]) for row in L.MAGICS if not row[2] and row[3].startswith(head)), default=_SHORTEST)
        complete = not (yield longest)
    else:
        complete = not (yield _LONGEST)
        longest = _LONGEST
    head = bytes(window.buf[window.lo : min(window.hi, window.lo + longest)])
    found = by_magic(head, complete)
    if (found is None or found.key == "xapi-legacy") and not exact:
        yield _GUESS
        start = bytes(window.buf[window.lo : min(window.hi, window.lo + _GUESS)])
        found = _legacy(start) if found is None else _within(found, start)
    return found or _unknown(head)


def _within(found: Identity, start: bytes) -> Identity:
    """A container that is not read, with what its octets show to be inside."""
    at = next(len(octets) for key, _, _, octets, _ in L.MAGICS if key == found.key)
    inside = _legacy(start[at:])
    if inside is None:
        return found
    name = f"{found.name} > {inside.name}"
    evidence = f"{found.evidence}; from {at} on {inside.evidence}"
    return Identity(found.key, found.kind, name, evidence, inside.width, inside.guest)


def describe(layers: Sequence[Layer]) -> str:
    """What a stream of these layers is, in a line: "xl > libxl v2 > libxc v3, x86 HVM, Xen 4.17"."""
    parts = []
    for layer in layers:
        if layer.version or layer.wraps:
            version = f" v{layer.version}" if layer.version else ""
            parts.append(layer.name + version + (", big-endian" if layer.order == ">" else ""))
    guest = ""
    for layer in layers:
        if layer.name == "libxc" and layer.guest:
            guest = f", x86 {layer.guest.upper()}"
            guest += ", Xen {}.{}".format(*layer.xen) if layer.xen[0] else ", from the legacy converter"
    return " > ".join(parts) + guest


def _legacy(head: bytes) -> Identity | None:
    from .guess import guess_legacy  # needed for streams without a magic only

    found = guess_legacy(head)
    if found is None:
        return None
    guest = {"pv": "PV", "hvm": "HVM", None: "PV or HVM"}[found.guest]
    name = f"legacy stream (Xen 3.0 to 4.5), {found.width}-bit toolstack, {guest}"
    return Identity("legacy", "legacy", name, found.evidence, found.width, found.guest)


def _unknown(head: bytes) -> Identity:
    if not any(head):
        return Identity("", "unknown", "not a migration stream", f"the first {len(head)} octets are zero")
    if all(octet in b"\t\n\r\f" or 32 <= octet < 127 for octet in head):
        return Identity("", "unknown", "not a migration stream", f"it begins with text: {_quote(head[:32])}")
    return Identity(
        "", "unknown", "not a migration stream", f"no known magic at offset 0; it begins {_quote(head[:16])}"
    )


def _quote(octets: bytes) -> str:
    """Octets for a person: as text where they are text, else in hexadecimal."""
    text = octets.rstrip(b"\0")
    if text and all(32 <= octet < 127 or octet in b"\n\0\r" for octet in text):
        return repr(text.decode("latin-1"))
    return octets.hex(" ")
