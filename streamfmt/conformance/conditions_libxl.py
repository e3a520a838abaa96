"""What libxl does where that depends on the breach, or on what no stream shows; the image inside is libxenguest's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .. import tables
from ..checks.findings import Finding
from . import toolstack
from .cases import Case
from .conditions import Peer
from .conditions_xenguest import XENGUEST
from .host import MEMORY
from .looks import HEADER, LATER, Look, actual, look
from .peers import Verdict

_CONTEXT, _XENSTORE = "libxl.EMULATOR_CONTEXT", "libxl.EMULATOR_XENSTORE_DATA"
# Of a body that is missing, so many bytes are made up at most.
_CHECKPOINT, _CLOSED = "libxc.CHECKPOINT", "libxl.CHECKPOINT_END"
_MADE = 1 << 16
# A header or body that is cut, and then the END.
_CUTS = 3


def as_read(seen: Look) -> Look:
    """The case as libxl reads it: what is missing of a header or a body at the end of the input counts as zeros.

    Where a whole header is missing, that is an END.
    """
    for _ in range(_CUTS):
        cut = next((row for row in seen.findings if row.clause == "LIBXL-REC-TRUNC"), None)
        if cut is None:
            break
        data, missing = seen.data, cut.length
        if missing > _MADE:
            # As good as the same record, whole and shorter: after it nothing comes.
            at = seen.records[-1].at + 4
            have = len(data) - at - 4
            data = data[:at] + max(have, HEADER).to_bytes(4, "little") + data[at + 4 :]
            missing = max(HEADER - have, -have % 8)
        seen = look(seen.case, data + bytes(missing))
    return closed(seen)


def closed(seen: Look) -> Look:
    """A checkpoint is whole where libxl's records of it are: only then libxenguest applies what it has kept aside."""
    ends = []
    opened = False
    for row in seen.records:
        if opened and row.name == _CLOSED:
            ends.append(row.at + HEADER)
        opened = row.name == _CHECKPOINT or (opened and row.name != _CLOSED)
    return replace(seen, whole=tuple(ends) if seen.whole else ())


def image_ends(seen: Look) -> int:
    """Where libxenguest finds what the whole image lacks."""
    return seen.first("libxc.END", "libxc.CHECKPOINT")


def open_tail(seen: Look) -> int | None:
    """Where libxl's records of a checkpoint begin that no CHECKPOINT_END closes."""
    opened = None
    for row in seen.records:
        if row.name in (_CHECKPOINT, _CLOSED):
            opened = row.at + HEADER if row.name == _CHECKPOINT else None
    return opened if seen.case.remus else None


def _tail_cut(seen: Look) -> tuple[str, int] | None:
    """Inside libxl's records of a checkpoint it makes up an END for ever, but for one that the stream has."""
    tail = open_tail(seen)
    if tail is None or any(row.name == "libxl.END" and row.at >= tail for row in seen.records):
        return None
    last = seen.records[-1]
    cut = seen.data[last.at + HEADER + last.length + -last.length % HEADER :]
    # What is missing of a header counts as zeros here, too.
    return None if cut and int.from_bytes(cut[:4], "little") == tables.LIBXL_CHECKPOINT_END else ("hang", LATER)


def _emulator_context(seen: Look, _: Finding) -> str:
    """Of several the last counts."""
    return "accept" if any(row.name == _CONTEXT for row in seen.records) else "reject"


def _emulator_missing(seen: Look) -> tuple[str, int] | None:
    """At the end of an HVM guest's stream libxl hands the device model its state, if there has been any."""
    if seen.case.guest != "hvm" or any(row.name == _CONTEXT for row in seen.records):
        return None
    return "reject", LATER


def _emulator_unwanted(seen: Look) -> int | None:
    """A PV guest has no device model, nor has a PVH guest, which its stream does not show."""
    if seen.case.guest == "hvm":
        return None
    return next((row.at for row in seen.records if row.name in (_CONTEXT, _XENSTORE)), None)


def _too_long(seen: Look) -> tuple[str, int] | None:
    """A body is read into memory of the size that the record claims."""
    rows = (row.at - 1 for row in seen.records if row.name.startswith("libxl.") and row.length >= MEMORY)
    return next((("crash", at) for at in rows), None)


def _end_in_a_tail(seen: Look, finding: Finding) -> str:
    """An END among libxl's records of a checkpoint is one too many."""
    tail = open_tail(seen)
    ended = [row for row in seen.records if row.name == "libxl.END" and tail is not None and row.at >= tail]
    return "crash" if ended and ended[0].at == finding.offset else "accept"


def _state_length(seen: Look, finding: Finding) -> str:
    """It looks into the body only where it expects the record."""
    return "accept" if actual(finding) or "LIBXL-CKPTSTATE-CTX" in seen.clauses else "crash"


def kind(case: Case) -> str:
    """What a host is asked to restore a case as."""
    return f"xl-{case.guest}" if case.form == "xl" else case.kind


def asked(looks: Iterable[Look], release: str) -> list[Verdict]:
    """The verdicts of libxl, or of xl, on the cases looked at."""
    return toolstack.ask(((kind(seen.case), seen.data) for seen in looks), release)


LIBXL = Peer(
    "libxl",
    "libxlpeer",
    ask=asked,
    takes=lambda seen: seen.case.form == "libxl",
    depends={
        "LIBXL-EMU-CTX": _emulator_context,
        "CKPT-CUT": lambda _, __: "accept",
        "CKPT-CKPT-REC": _end_in_a_tail,
        "LIBXL-CKPTSTATE-LEN": _state_length,
    },
    places={},
    context={"LIBXL-EMU-HVM-ONLY": _emulator_unwanted},
    shown={"CKPT-CUT": _tail_cut, "LIBXL-EMU-CTX": _emulator_missing, "LIBXL-REC-LEN-MAX": _too_long},
    inner=XENGUEST,
)
