"""What a reader does where that depends on the breach: the `when` of the clauses' `readers`, as functions.

The clauses say it in words, for people.  Here each pair of a clause and a reader that has such rows has a function
that picks the row, by what the case holds and not by what the reader did; so the words cannot excuse a verdict that
they do not mean.  `KEPT` has the rows about streams that keep a rule, `CONTEXT` rules that no stream alone shows.
Those of libxenguest are in `conditions_xenguest`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..checks.findings import Finding
from ..schema import libxc
from ..schema.clauses import Behaviour, registry
from . import conditions_xenguest
from .conditions_xenguest import no_room, vcpu_id, vcpu_pfn
from .looking import HEADER, LATER, Look, actual, look

XENGUEST, SCRIPT = "libxenguest", "verify-stream-v2"
RELEASE = "4.17"
GOOD = {"accept", "ignore"}


@cache
def rows(clause: str, peer: str) -> tuple[Behaviour, ...]:
    """What the clause says of the release of the peer that we have, where it is broken."""
    return tuple(row for row in registry()[clause].known(peer, RELEASE) if not row.kept)


def does(seen: Look, finding: Finding, peer: str) -> str:
    """What the peer does about one breach; empty if the clause does not say."""
    pick = DEPENDS.get((finding.clause, peer))
    if pick is not None:
        return pick(seen, finding)
    return "".join(row.does for row in rows(finding.clause, peer))


def place(seen: Look, finding: Finding, peer: str) -> int:
    """Where the peer comes upon the breach: of a record it looks at the length before all else."""
    if (finding.clause, peer) in PLACES:
        return PLACES[finding.clause, peer](seen)
    if finding.field == "length" and finding.record:
        return finding.offset - 4
    # Where a finding is about a field of a record but names the record.
    return finding.offset + HEADER if finding.clause == "LIBXC-P2M-E0" else finding.offset


# -- verify-stream-v2 -------------------------------------------------------------------------------------------


def _byte_order(layer: str, told: str = "accept") -> Callable[[Look, Finding], str]:
    """Whether only the flag says so, or the bytes are as it says."""
    return lambda seen, _: "reject" if layer in seen.case.stream.big else told


def _wrong_guest(seen: Look, finding: Finding) -> str:
    """The body is judged as that of an image of the other kind: whatever breaks another rule then, breaks it here."""
    place = max(at for at in seen.domains if at < finding.offset)
    kind = libxc.GUESTS["pv"] + libxc.GUESTS["hvm"] - seen.data[place]
    other = look(seen.case, seen.data[:place] + bytes([kind]) + seen.data[place + 1 :])
    own = [row for row in other.findings if row.record == finding.record and row.index == finding.index]
    return "reject" if any(does(other, row, SCRIPT) not in GOOD for row in own) else "accept"


def _too_long(seen: Look, finding: Finding) -> str:
    return "accept" if finding.offset + 4 + actual(finding) <= len(seen.data) else "reject"


def _reserved(_: Look, finding: Finding) -> str:
    return "accept" if finding.field.startswith("msrs[") else "reject"


def _width_and_levels(seen: Look, finding: Finding) -> str:
    row = next(row for row in seen.records if row.at <= finding.offset < row.at + HEADER + row.length)
    return "accept" if seen.number(row, 0, 1) in (4, 8) and seen.number(row, 1, 1) in (3, 4) else "reject"


def _whole_frames(_: Look, finding: Finding) -> str:
    length = actual(finding)
    return "accept" if length >= HEADER and length % 8 == 0 else "reject"


def _reserved_options(_: Look, finding: Finding) -> str:
    """Its mask takes bits 2 to 15 of the word, of which the field leaves out the lowest two."""
    return "reject" if actual(finding) & 0x3FFF else "accept"


def _emulator(_: Look, finding: Finding) -> str:
    return "reject" if actual(finding) else "accept"


def _state_length(_: Look, finding: Finding) -> str:
    return "accept" if actual(finding) else "reject"


def _flag(seen: Look, _: Finding) -> str:
    inside = seen.data[seen.case.stream.offsets()[2] :]
    flagged = seen.data[36] & 2
    return "accept" if not flagged and inside.startswith(b"\xff" * 8) else "reject"


def _strings(seen: Look) -> tuple[str, int] | None:
    """Xenstore data: a header alone passes."""
    rows = [row for row in seen.records if row.name == "libxl.EMULATOR_XENSTORE_DATA"]
    if not rows:
        return None
    full = [row for row in rows if row.length > HEADER]
    return ("reject", full[0].at) if full else ("accept", rows[0].at)


def goes_on(seen: Look) -> int | None:
    """Where libxc's records go on behind a CHECKPOINT within a libxl stream, as the script thinks they always do."""
    if seen.case.form == "libxc" or not seen.whole:
        return None
    parts = dict(zip(seen.case.stream.offsets(), seen.case.stream, strict=False))
    follows = parts.get(seen.whole[0])
    return seen.whole[0] if follows is not None and follows.path.startswith("libxc.") else None


def _checkpoints(seen: Look) -> tuple[str, int] | None:
    """Checkpoints: libxl records that follow one are taken for libxc's, and an END is wanted."""
    if not seen.whole:
        return None
    ended = goes_on(seen) or (seen.case.form == "libxc" and any(row.name == "libxc.END" for row in seen.records))
    if ended:
        return "accept", seen.whole[0]
    # CHECKPOINT_END has the number of a libxc record that is never empty.
    return "reject", seen.first("libxl.CHECKPOINT_END")


DEPENDS: dict[tuple[str, str], Callable[[Look, Finding], str]] = {
    **{(clause, XENGUEST): pick for clause, pick in conditions_xenguest.DEPENDS.items()},
    ("LIBXC-IHDR-ENDIAN", SCRIPT): _byte_order("libxc"),
    ("LIBXL-HDR-ENDIAN", SCRIPT): _byte_order("libxl"),
    ("LIBXC-REC-WRONG-GUEST", SCRIPT): _wrong_guest,
    ("LIBXC-REC-LENGTH-MAX", SCRIPT): _too_long,
    ("LIBXC-REC-RSVD", SCRIPT): _reserved,
    ("LIBXC-PVINFO-COMBO", SCRIPT): _width_and_levels,
    ("LIBXC-P2M-LEN", SCRIPT): _whole_frames,
    ("LIBXL-HDR-OPT-RSVD", SCRIPT): _reserved_options,
    ("LIBXL-EMU-ID", SCRIPT): _emulator,
    ("LIBXL-CKPTSTATE-LEN", SCRIPT): _state_length,
    ("XL-BYTEORDER", SCRIPT): _byte_order("xl", "ignore"),
    ("XL-FLAG-STREAM", SCRIPT): _flag,
}
# Where a reader comes upon a breach, if not where it lies.
PLACES: dict[tuple[str, str], Callable[[Look], int]] = {
    **{(clause, XENGUEST): find for clause, find in conditions_xenguest.PLACES.items()},
    # It wants as many bytes as a length of the wrong order says.
    ("XL-BYTEORDER", SCRIPT): lambda _: LATER,
}
KEPT: dict[tuple[str, str], Callable[[Look], tuple[str, int] | None]] = {
    ("LIBXL-EMUXS-PAIRS", SCRIPT): _strings,
    ("CKPT-CKPT-REC", SCRIPT): _checkpoints,
}
CONTEXT: dict[tuple[str, str], Callable[[Look], int | None]] = {
    **{(clause, XENGUEST): shows for clause, shows in conditions_xenguest.CONTEXT.items()},
    ("LIBXC-VCPU-ID", SCRIPT): vcpu_id,
    ("LIBXC-PAGE-PFN-HVM", SCRIPT): no_room,
    ("LIBXC-VCPU-PFN", SCRIPT): vcpu_pfn,
}
