"""Whether what was salvaged conforms; and what of it breaks a rule by itself is left out."""

from __future__ import annotations

from .. import tables
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..io.sources import drive
from ..io.spans import SpanSource
from ..io.spliced import Spliced
from ..reader.events import Record
from ..reader.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .salvage_state import Salvaged

# So many records that break a rule are left out.
_MOST = 1000
# Rules about which records come, and in what order: leaving out a record mends none.
_ORDER = {
    clause
    for rules in tables.ORDER.values()
    for turns in rules.values()
    for rows in turns.values()
    for clause, *_ in rows
}


class _Judge(Verifier):
    """A verifier that keeps which records break rules: `broken` has their ends and names by their offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[int, tuple[int, str, str]] = {}

    def report(self, clause: str, where: Any, message: str, **more: Any) -> None:
        bad = isinstance(where, Record) and self.findings.severity[clause] == "error" and clause not in _ORDER
        if bad and len(self.broken) < _MOST and where.layer.header_size and where.length:
            self.broken.setdefault(where.offset, (where.end + where.padding, where.name, clause))
        super().report(clause, where, message, **more)


def judge(salvage: Salvaged) -> Outcome:
    """Judge what is to be written; records that break a rule of their own are left out if the stream does without."""
    _headers(salvage)
    outcome, broken = _judged(salvage)
    first = salvage.layers[0] if salvage.layers else None
    if not outcome.conforms and first is not None and not first.row.form:
        # Text that came before the stream.
        begin = min((at for at, _, _ in salvage.headers.values() if at >= 0), default=0)
        salvage.pieces.drop(0, begin)
        salvage.left_out.append(f"at 0: {begin:,} bytes that come before the stream")
        outcome, broken = _judged(salvage)
    if outcome.conforms or not broken:
        return outcome
    before = list(salvage.pieces.rows), list(salvage.left_out)
    for start, (stop, name, clause) in sorted(broken.items(), reverse=True):
        salvage.pieces.drop(start, stop)
        salvage.left_out.append(f"{name}, which breaks {clause}")
    mended, _ = _judged(salvage)
    if mended.errors < outcome.errors and mended.conforms:
        return mended
    salvage.pieces.rows, salvage.left_out = before
    return outcome


def _judged(salvage: Salvaged) -> tuple[Outcome, dict[int, tuple[int, str, str]]]:
    verifier = _Judge()
    reader = Reader(verifier, "auto" if salvage.bare else salvage.form, guest=salvage.guest)
    try:
        spliced = Spliced(salvage.fd, salvage.size, salvage.pieces.splices(salvage.size))
        drive(reader.pump, SpanSource(spliced), salvage.progress)
    finally:
        reader.close()
    return Outcome(reader, verifier), verifier.broken


def _headers(salvage: Salvaged) -> None:
    """Fields of headers that cannot be right are set to what they must be, where that is one value."""
    for path, (at, raw, broken) in salvage.headers.items():
        bad = [row for row in broken if tables.SEVERITY[row[0]] == "error"]
        if at < 0 or not bad:
            continue
        data = bytearray(raw)
        for _, name, offset, size, _, _, big, allowed in bad:
            value = allowed if isinstance(allowed, bytes) else None
            if value is None and (len(allowed) == 1 or name == "type"):
                kind = next(code for code, guest in tables.GUESTS.items() if guest == salvage.guest_seen())
                number = allowed[0] if len(allowed) == 1 else kind
                value = number.to_bytes(size, "big" if big else "little")
            data[offset : offset + size] = value or data[offset : offset + size]
        if bytes(data) != raw and salvage.pieces.replace(at, at + len(raw), bytes(data)):
            salvage.made += [f"{row[1]} of {path}" for row in bad]
