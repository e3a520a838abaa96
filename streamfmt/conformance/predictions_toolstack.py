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


def own(clause: str, peer: Peer) -> bool:
    """Whether the clause says of libxl or xl itself what they do."""
    outer = {peer.name, LIBXL.name}
    return any(row.reader in outer for row in registry()[clause].readers)


def _image(peer: Peer, view: Look, step: Step) -> Step:
    """What libxenguest does happens in another process, and is over when the image is."""
    if step.clause.startswith(("LIBXC-", "CKPT-")) and not own(step.clause, peer):
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
                yield _image(peer, view, Step(peer.place(view, finding), finding.clause, does))
    # To libxenguest a PVH guest is an HVM one.
    inside = replace(view, case=replace(view.case, guest="hvm")) if view.case.guest == "pvh" else view
    reader: Peer | None = peer
    while reader is not None:
        for clause, shows in reader.context.items():
            place = shows(view if reader.inner else inside)
            if place is not None:
                yield _image(peer, view, Step(place, clause, reader.says(clause)))
        for clause, shown in reader.shown.items():
            what = shown(seen)
            if what is not None:
                yield Step(what[1], clause, what[0])
        reader = reader.inner
