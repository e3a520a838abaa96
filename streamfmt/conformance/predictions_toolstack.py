"""What libxl and xl do with a stream by the clauses: as `predictions` has it for the other readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from zlib import crc32

from ..schema.clauses import FATAL, registry
from .cases_toolstack import cases_toolstack
from .conditions import Peer
from .conditions_libxl import LIBXL, as_read, closed, image_ends, open_tail
from .conditions_xl import XL
from .looks import LATER, Look, look
from .predictions import Comparison, Step

PEERS = {peer.name: peer for peer in (LIBXL, XL)}
# Streams on which a reader is expected never to end, each of which costs as long as is waited for it.
ENDLESS = 8


def _dropped(seen: Look, clause: str, at: int) -> bool:
    """Whether libxenguest reads it, keeps it aside and never applies it; libxl reads in the tails only."""
    tail = open_tail(seen)
    return seen.dropped(at - (clause == "LIBXC-VCPU0-BASIC")) and (tail is None or at < tail)


def _unread(seen: Look, at: int) -> bool:
    """Whether libxl waits there for a CHECKPOINT_END, and till then looks into nothing that it has read."""
    tail = open_tail(seen)
    return tail is not None and at >= tail


def _own(clause: str) -> bool:
    """Whether the clause says of libxl itself what it does."""
    return any(row.reader == LIBXL.name for row in registry()[clause].readers)


def _image(view: Look, step: Step) -> Step:
    """What libxenguest does happens in another process, and is over when the image is."""
    if step.clause.startswith(("LIBXC-", "CKPT-")) and not _own(step.clause):
        does = "reject" if step.does == "crash" else step.does
        return replace(step, does=does, at=image_ends(view) if step.at >= LATER else step.at)
    return step


def _first_image(view: Look) -> Look:
    """What libxenguest sees of it first, to which a PVH guest is an HVM one."""
    if view.case.guest == "pvh":
        view = replace(view, case=replace(view.case, guest="hvm"))
    if len(view.domains) > 1:
        view = replace(view, records=tuple(row for row in view.records if row.at < view.domains[1]))
    return view


def steps(seen: Look, peer: Peer) -> Iterator[Step]:
    """What the reader does with a case by the clauses, in no order."""
    view = as_read(seen)
    for finding in view.findings:
        if not _dropped(view, finding.clause, finding.offset):
            does = peer.does(view, finding)
            if _unread(view, finding.offset) and does not in FATAL:
                continue
            if does or registry()[finding.clause].severity == "error":
                yield _image(view, Step(peer.place(view, finding), finding.clause, does))
    inside = _first_image(view)
    said: set[str] = set()
    reader: Peer | None = peer
    while reader is not None:
        looked = view if reader.inner else inside
        for clause, keeps in reader.kept.items():
            found = keeps(looked) if reader.kept_rows(clause) else None
            if found is not None:
                yield _image(view, Step(found[1], clause, found[0], kept=True))
        for clause, shows in reader.context.items():
            place = shows(looked)
            if place is not None:
                yield _image(view, Step(place, clause, reader.does_at(looked, clause, place)))
        for clause, shown in reader.shown.items():
            what = None if clause in said else shown(seen if reader.inner else inside)
            said.add(clause)
            if what is not None:
                yield _image(view, Step(what[1], clause, what[0]))
        reader = reader.inner.of(peer.release) if reader.inner else None


@cache
def looks() -> tuple[Look, ...]:
    """Our own look at each case."""
    return tuple(map(look, cases_toolstack()))


def sample(every: int, corpus: bool = True) -> tuple[Look, ...]:
    """Of what was done to good streams each so many-th, spread over all, and perhaps all that the corpus has."""
    found = (case for case in cases_toolstack() if ":" in case.name or corpus)
    return tuple(look(case) for case in found if ":" not in case.name or not crc32(case.name.encode()) % every)


def compared(peer: Peer, seen: tuple[Look, ...] | None = None, endless: int = ENDLESS) -> list[Comparison]:
    """Every case that the reader is asked about, in order, or those seen; with so many that never end.

    Raises MissingPeerError if the reader is not installed.
    """
    table: list[tuple[Look, tuple[Step, ...]]] = []
    for each in looks() if seen is None else seen:
        if peer.takes(each):
            follows = tuple(steps(each, peer))
            hangs = any(step.does == "hang" for step in follows)
            endless -= hangs
            if not hangs or endless >= 0:
                table.append((closed(each), follows))
    verdicts = peer.ask([each for each, _ in table], peer.release)
    return [Comparison(each, follows, said) for (each, follows), said in zip(table, verdicts, strict=True)]
