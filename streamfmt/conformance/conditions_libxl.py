"""What libxl does where that depends on the breach, or on what no stream shows; the image inside is libxenguest's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .. import tables
from ..checks.findings import Finding
from ..reader.registry import ROWS
from . import toolstack
from .cases_toolstack import ASKED, kind
from .conditions import Peer, refusing
from .conditions_xenguest import XENGUEST, lacking
from .host import LIBXLPEER, MEMORY
from .looks import HEADER, LATER, Look, actual, look
from .peers import Verdict

_IMAGE = "libxl.LIBXC_CONTEXT"
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
    """Where checkpoints are taken, libxl's records of one are all read before any is looked at, up to CHECKPOINT_END.

    Only then libxenguest applies what it has kept aside.
    """
    if not seen.case.remus or not seen.whole:
        return seen
    tails = []
    opened = None
    for row in seen.records:
        if row.name == _CHECKPOINT and opened is None:
            opened = row.at + HEADER
        elif row.name == _CLOSED and opened is not None:
            tails.append((opened, row.at + HEADER))
            opened = None
    ends = tuple(end for _, end in tails)
    return replace(seen, whole=ends, tails=(*tails, *([(opened, LATER)] if opened is not None else [])))


def open_tail(seen: Look) -> int | None:
    """Where libxl's records of a checkpoint begin that no CHECKPOINT_END closes."""
    return next((first for first, last in closed(seen).tails if last == LATER), None)


def image_ends(seen: Look) -> int:
    """Where libxenguest finds what a whole image lacks; what it has of a checkpointed one it uses in the end."""
    return LATER if seen.case.remus else seen.first("libxc.END")


def _end_in_a_tail(seen: Look, at: int) -> bool:
    """Whether an END among libxl's records of a checkpoint is there, and something after it."""
    tail = open_tail(seen)
    row = next((row for row in seen.records if row.name == "libxl.END" and row.at == at), None)
    return tail is not None and row is not None and tail <= row.at < len(seen.case.data) - HEADER


def _tail_cut(seen: Look) -> tuple[str, int] | None:
    """Inside libxl's records of a checkpoint it makes up an END for ever, or does nothing."""
    for first, last in closed(seen).tails:
        image = [row.at for row in seen.records if row.name == _IMAGE and first <= row.at < last]
        if image:
            return None
    if open_tail(seen) is None or any(_end_in_a_tail(seen, row.at) for row in seen.records):
        return None
    last_row = seen.records[-1]
    cut = seen.data[last_row.at + HEADER + last_row.length + -last_row.length % HEADER :]
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
    """A body is read into memory of the size that the record claims, or what is taken for one where framing is lost."""
    rows = [(row.at, row.length) for row in seen.records if not ROWS[row.name.partition(".")[0]].image]
    if seen.lost is not None and not ROWS[seen.layer_lost].image:
        rows.append((seen.lost, int.from_bytes(seen.data[seen.lost + 4 : seen.lost + HEADER], "little")))
    return next((("crash", at - 1) for at, length in rows if length >= MEMORY), None)


def _checkpoint(seen: Look, finding: Finding) -> str:
    return "crash" if _end_in_a_tail(seen, finding.offset) else "accept"


def _image_again(seen: Look, finding: Finding) -> str:
    """An image among libxl's records of a checkpoint is never begun."""
    within = any(first <= finding.offset < last for first, last in closed(seen).tails)
    return "hang" if within else "accept"


def _state_length(seen: Look, finding: Finding) -> str:
    """It looks into the body only where it expects the record."""
    return "accept" if actual(finding) or "LIBXL-CKPTSTATE-CTX" in seen.clauses else "crash"


def _image_lacks(seen: Look, finding: Finding) -> bool:
    """Whether an image has begun and lacks what a guest cannot be restored without."""
    return bool(seen.domains) and lacking(seen, finding)


def asked(looks: Iterable[Look], release: str) -> list[Verdict]:
    """The verdicts of libxl, or of xl, on the cases looked at."""
    return toolstack.ask(((kind(seen.case), seen.data) for seen in looks), release)


def _other_image(seen: Look) -> tuple[str, int] | None:
    """Another image is of another kind of guest than the domain."""
    kinds = [seen.data[at : at + 4] for at in seen.domains]
    other = [at for at, found in zip(seen.domains, kinds, strict=True) if found != kinds[0]]
    return ("reject", other[0]) if other else None


LIBXL = Peer(
    "libxl",
    LIBXLPEER,
    ask=asked,
    takes=lambda seen: not ASKED[seen.case.form],
    depends={
        "LIBXL-EMU-CTX": _emulator_context,
        "CKPT-CUT": lambda _, __: "accept",
        "CKPT-CKPT-REC": _checkpoint,
        "STREAM-ZEROS": refusing(_image_lacks),
        "LIBXL-LIBXC-ONCE": _image_again,
        "LIBXL-CKPTSTATE-LEN": _state_length,
    },
    places={},
    context={"LIBXL-EMU-HVM-ONLY": _emulator_unwanted},
    shown={
        "CKPT-CUT": _tail_cut,
        "LIBXC-DHDR-TYPE": _other_image,
        "LIBXL-EMU-CTX": _emulator_missing,
        "LIBXL-REC-LEN-MAX": _too_long,
    },
    inner=XENGUEST,
)
