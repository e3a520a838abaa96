"""What libxl and xl do with a stream by the clauses: as `predictions` has it for the other readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..schema.clauses import registry
from .conditions import Peer
from .conditions_libxl import LIBXL, as_read, image_ends, open_tail
from .conditions_xl import XL
from .looks import LATER, Look
from .predictions import Step

PEERS = {peer.name: peer for peer in (LIBXL, XL)}


def _dropped(seen: Look, clause: str, at: int) -> bool:
    """Whether libxenguest reads it, keeps it aside and never applies it; libxl reads in the tails only."""
    tail = open_tail(seen)
    return seen.dropped(at - (clause == "LIBXC-VCPU0-BASIC")) and (tail is None or at < tail)


def _own(clause: str) -> bool:
    """Whether the clause says of libxl itself what it does."""
    return any(row.reader == LIBXL.name for row in registry()[clause].readers)


def _image(view: Look, step: Step) -> Step:
    """What libxenguest does happens in another process, and is over when the image is."""
    if step.clause.startswith(("LIBXC-", "CKPT-")) and not _own(step.clause):
        does = "reject" if step.does == "crash" else step.does
        return replace(step, does=does, at=image_ends(view) if step.at >= LATER else step.at)
    return step


def steps(seen: Look, peer: Peer) -> Iterator[Step]:
    """What the reader does with a case by the clauses, in no order."""
    view = as_read(seen)
    for finding in view.findings:
        if not _dropped(view, finding.clause, finding.offset):
            does = peer.does(view, finding)
            if does or registry()[finding.clause].severity == "error":
                yield _image(view, Step(peer.place(view, finding), finding.clause, does))
    # To libxenguest a PVH guest is an HVM one.
    inside = replace(view, case=replace(view.case, guest="hvm")) if view.case.guest == "pvh" else view
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
            what = shown(seen)
            if what is not None:
                yield Step(what[1], clause, what[0])
        reader = reader.inner.of(peer.release) if reader.inner else None
