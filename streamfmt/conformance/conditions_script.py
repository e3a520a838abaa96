"""What Xen's verify-stream-v2 does where that depends on the breach, or on what no stream shows."""

from __future__ import annotations

from collections.abc import Callable

from ..checks.findings import Finding
from ..reader.registry import ROWS
from ..schema import clauses, libxc
from . import peers
from .cases import FORMS
from .conditions import GOOD, Peer, refusing
from .conditions_xenguest import SHOWN, no_room, start_info, vcpu_id
from .looks import HEADER, LATER, Look, actual, look


def _byte_order(layer: str, otherwise: str = "accept") -> Callable[[Look, Finding], str]:
    """Whether only the flag says so, or the bytes are as it says."""
    return refusing(lambda seen, _: layer in seen.case.stream.big, otherwise)


def _wrong_guest(seen: Look, finding: Finding) -> bool:
    """The body is judged as that of an image of the other kind: whatever breaks another rule then, breaks it here."""
    place = max(at for at in seen.domains if at < finding.offset)
    kind = libxc.GUESTS["pv"] + libxc.GUESTS["hvm"] - seen.data[place]
    other = look(seen.case, seen.data[:place] + bytes([kind]) + seen.data[place + 1 :])
    own = [row for row in other.findings if row.record == finding.record and row.index == finding.index]
    return any(SCRIPT.does(other, row) not in GOOD for row in own)


def _width_and_levels(seen: Look, finding: Finding) -> bool:
    row = next(row for row in seen.records if row.at <= finding.offset < row.at + HEADER + row.length)
    return seen.number(row, 0, 1) not in (4, 8) or seen.number(row, 1, 1) not in (3, 4)


def _flag(seen: Look, _: Finding) -> bool:
    inside = seen.data[seen.case.stream.offsets()[2] :]
    flagged = bool(seen.data[36] & 2)
    return flagged or not inside.startswith(b"\xff" * 8)


def _strings(seen: Look) -> tuple[str, int] | None:
    """Xenstore data: a header alone passes."""
    rows = [row for row in seen.records if row.name == "libxl.EMULATOR_XENSTORE_DATA"]
    if not rows:
        return None
    full = [row for row in rows if row.length > HEADER]
    return ("reject", full[0].at) if full else ("accept", rows[0].at)


def goes_on(seen: Look) -> int | None:
    """Where libxc's records go on after a CHECKPOINT within a libxl stream, as the script thinks they always do."""
    if seen.case.image or not seen.whole:
        return None
    parts = dict(zip(seen.case.stream.offsets(), seen.case.stream, strict=False))
    follows = parts.get(seen.whole[0])
    return seen.whole[0] if follows is not None and ROWS[follows.layer].image else None


def _checkpoints(seen: Look) -> tuple[str, int] | None:
    """Checkpoints: libxl records that follow one are taken for libxc's, and an END is wanted."""
    if not seen.whole:
        return None
    ended = goes_on(seen) or (seen.case.image and any(row.name == "libxc.END" for row in seen.records))
    if ended:
        return "accept", seen.whole[0]
    # EMULATOR_CONTEXT has the number of libxc's list of frames, of eight bytes each, and CHECKPOINT_END that of another
    # record, which is never empty.
    odd = (row.at for row in seen.records if row.name == "libxl.EMULATOR_CONTEXT" and row.length % 8)
    return "reject", min(seen.first("libxl.CHECKPOINT_END"), next((at for at in odd if at >= seen.whole[0]), LATER))


# Of what no finding shows, what it has rows for.
_SEEN = {"LIBXC-DHDR-XENVER", "LIBXC-PAGE-REPEAT", "LIBXC-PAGE-XTAB-THEN-DATA", "LIBXC-PAGE-DATA-THEN-XTAB"}


SCRIPT = Peer(
    clauses.SCRIPT,
    clauses.SCRIPT,
    ask=lambda looks, release: peers.script(((seen.case.form, seen.data) for seen in looks), release),
    # It takes no stream that is declared checkpointed.
    takes=lambda seen: seen.case.form in FORMS and seen.case.mode in ("auto", "plain"),
    depends={
        "LIBXC-IHDR-ENDIAN": _byte_order("libxc"),
        "LIBXL-HDR-ENDIAN": _byte_order("libxl"),
        "LIBXC-REC-WRONG-GUEST": refusing(_wrong_guest),
        "LIBXC-REC-LENGTH-MAX": refusing(lambda seen, finding: finding.offset + 4 + actual(finding) > len(seen.data)),
        "LIBXC-REC-RSVD": refusing(lambda _, finding: not finding.field.startswith("msrs[")),
        "LIBXC-PVINFO-COMBO": refusing(_width_and_levels),
        "LIBXC-P2M-LEN": refusing(lambda _, finding: actual(finding) < HEADER or actual(finding) % 8 != 0),
        # Its mask takes bits 2 to 15 of the word, of which the field leaves out the lowest two.
        "LIBXL-HDR-OPT-RSVD": refusing(lambda _, finding: actual(finding) & 0x3FFF != 0),
        "LIBXL-EMU-ID": refusing(lambda _, finding: actual(finding) != 0),
        "LIBXL-CKPTSTATE-LEN": refusing(lambda _, finding: actual(finding) == 0),
        "XL-BYTEORDER": _byte_order("xl", "ignore"),
        "XL-FLAG-STREAM": refusing(_flag),
    },
    # It wants as many bytes as a length of the wrong order says.
    places={
        "XL-BYTEORDER": lambda _: LATER,
        "STREAM-FRAMING-LOST": lambda seen: LATER if seen.lost is None else seen.lost,
    },
    context={"LIBXC-VCPU-ID": vcpu_id, "LIBXC-PAGE-PFN-HVM": no_room, "LIBXC-STARTINFO-PFN": start_info},
    shown={name: at for name, at in SHOWN.items() if name in _SEEN},
    kept={"LIBXL-EMUXS-PAIRS": _strings, "CKPT-CKPT-REC": _checkpoints},
)
