"""What real readers do with thousands of streams, and docs/differences.md, the page about it.

`python -m streamfmt.conformance.differences` asks the readers in all releases, and writes the page and into the clauses
what was seen; it takes a checkout, where `make peers` has built them.  With `xen` or `qemu` it asks only their readers.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .. import data
from ..schema.clauses import CONVERTER, Behaviour, registry
from . import predictions_converter, predictions_qemu, predictions_toolstack, qemu
from .cases import cases
from .conditions import Peer
from .evidence import Claim, borne_out, record
from .looks import Look, look
from .peers import RELEASE, RELEASES
from .predictions import PEERS, Comparison, steps


@cache
def looks() -> tuple[Look, ...]:
    """Our own look at each case, which is the same for all readers."""
    return tuple(map(look, cases()))


def compared(peer: Peer, seen: Sequence[Look] | None = None) -> list[Comparison]:
    """Every case that the reader can be asked about, in order, or those `seen`.

    Raises MissingPeerError if it is not installed.
    """
    if peer.inner is not None:
        return predictions_toolstack.compared(peer)
    asked = [each for each in (looks() if seen is None else seen) if peer.takes(each)]
    verdicts = peer.ask(asked, peer.release)
    return [Comparison(seen, tuple(steps(seen, peer)), verdict) for seen, verdict in zip(asked, verdicts, strict=True)]


# -- the page ---------------------------------------------------------------------------------------------------

_WORDS = ("accept", "reject", "crash", "hang")


@dataclass
class Tally:
    """How many streams break a clause, and what the reader did with those where that decides it."""

    streams: int = 0
    did: Counter[str] = field(default_factory=Counter)


def tallies(table: Iterable[Comparison]) -> dict[str, Tally]:
    """By clause: a stream that is taken is so with all that it breaks; what is not is so for one clause."""
    found: dict[str, Tally] = {}
    for row in table:
        broken = {step.clause for step in row.steps if not step.kept}
        ended = row.ended
        deciding = broken if ended is None else broken & {ended.clause}
        for clause in broken:
            found.setdefault(clause, Tally()).streams += 1
        for clause in () if row.excuse else deciding:
            found[clause].did[row.verdict.verdict] += 1
    return dict(sorted(found.items()))


def differs(clause: str, did: Counter[str]) -> bool:
    """Whether the reader accepts what is an error to us, refuses what is not, or fails itself."""
    error = registry()[clause].severity in ("error", "")
    return bool(did["crash"] + did["hang"] + (did["accept"] if error else did["reject"]))


def _table(found: dict[str, Tally]) -> list[str]:
    lines = ["| clause | it should | streams | accepts | rejects | crashes |", "|---|---|--:|--:|--:|--:|"]
    for clause, tally in found.items():
        numbers = " | ".join(str(tally.did[word] or "") for word in ("accept", "reject", "crash"))
        lines.append(f"| {clause} | {registry()[clause].reader} | {tally.streams} | {numbers} |")
    return lines


def _listed(found: Iterable[tuple[str, Behaviour]]) -> Iterator[str]:
    """Rows of the clauses that have a condition or a note, in words, a sentence a line."""
    for clause, row in found:
        if row.when or row.note:
            yield f"- `{clause}`: {row.does}" + (f", when {row.when}" if row.when else "") + "."
            yield from (f"  {sentence.rstrip('.')}." for sentence in row.note.split(". ") if sentence)


def section(peer: Peer, table: Sequence[Comparison]) -> str:
    """The reader's part of the page: of the release that machines install all, of others what they do otherwise."""
    table = [row for row in table if not row.chance]
    verdicts = Counter(row.verdict.verdict for row in table)
    summary = ", ".join(f"{verdicts[word]:,} {word}" for word in _WORDS if verdicts[word])
    lines = [f"## {peer.name} {peer.release}", "", f"{len(table):,} streams: {summary}.", ""]
    lines += _whole(peer, table) if peer.release == peer.usual else _apart(peer, table)
    return "\n".join(lines) + "\n"


def _whole(peer: Peer, table: Sequence[Comparison]) -> list[str]:
    found = tallies(table)
    other = {clause: tally for clause, tally in found.items() if differs(clause, tally.did)}
    same = {clause: tally for clause, tally in found.items() if clause not in other}
    excuses = Counter(row.excuse for row in table if row.excuse)
    lines = ["### Unlike streamfmt", "", *_table(other), "", "Details from the clauses:", ""]
    lines += _listed((clause, row) for clause in other for row in peer.rows(clause))
    kept = [(clause, row) for clause in registry() for row in peer.kept_rows(clause)]
    if kept:
        lines += ["", "It fails on these, although the rule is kept:", "", *_listed(kept)]
    lines += ["", "### Like streamfmt", "", *_table(same)]
    if excuses:
        lines += ["", "### Not the reader's doing", "", "The hypervisor below it is a fake one here.", ""]
        lines += [f"- {why}: {count} streams." for why, count in sorted(excuses.items())]
    return lines


def _apart(peer: Peer, table: Sequence[Comparison]) -> list[str]:
    usual = peer.of(peer.usual)
    rows = [*registry()]
    apart = [name for name in rows if peer.rows(name) != usual.rows(name)]
    kept = [name for name in rows if peer.kept_rows(name) != usual.kept_rows(name)]
    if not apart and not kept:
        return [f"The clauses say the same of it as of {peer.usual}."]
    found = tallies(table)
    lines = [f"What the clauses say of it is as for {peer.usual}, but for these:", ""]
    counted = {name: found[name] for name in apart if name in found}
    lines += [*_table(counted), ""] if counted else []
    lines += _listed((name, row) for name in apart for row in peer.rows(name))
    lines += [f"- `{name}`: as streamfmt, where the rule is kept." for name in kept if not peer.kept_rows(name)]
    lines += _listed((name, row) for name in kept for row in peer.kept_rows(name))
    return lines


_HEADING = """\
<!-- generated by `python -m streamfmt.conformance.differences` from what the peers did; do not edit -->

# Where readers differ

Several thousand streams, each a valid one with one change, were given to streamfmt and to real readers.
The clauses that a stream breaks, and their `readers` data, predict what each reader does with it.
A test runs the readers again: every prediction holds, except where the fake hypervisor below a reader is to blame.
Streams of which the outcome is left to chance are not counted.
QEMU was given streams into machines that had been started to wait for them; of its clauses those at the end of the
list are about what such a machine has otherwise than the stream.

In the tables `streams` is how many streams break a clause.
An accepted stream counts for every clause it breaks; any other counts for the clause that stopped the reader.
`it should` is what the clause requires of readers; a reader may reject a stream for other reasons of its own.
`streamfmt explain` shows the full text of a clause.
"""


def page(sections: Iterable[str]) -> str:
    """The text of docs/differences.md."""
    return "\n".join([_HEADING, *sections])


Asked = tuple[dict[str, dict[str, set[Claim]]], list[str]]


def _xen() -> Asked:
    """What was seen of Xen's readers, and their parts of the page."""
    asked = PEERS | predictions_toolstack.PEERS
    converted = {
        release: predictions_converter.compared(predictions_converter.cases(), release) for release in RELEASES
    }
    tables = {name: {release: compared(peer.of(release)) for release in RELEASES} for name, peer in asked.items()}
    seen = {name: {release: borne_out(table) for release, table in found.items()} for name, found in tables.items()}
    seen[CONVERTER] = {release: predictions_converter.borne_out(table) for release, table in converted.items()}
    order = sorted(RELEASES, key=lambda release: release != RELEASE)
    sections = [section(asked[name].of(release), tables[name][release]) for name in asked for release in order]
    sections += [predictions_converter.section(converted[release], release) for release in order]
    manual = Path(data.path("docs"), "convert-legacy-stream.md")
    manual.write_text(predictions_converter.manual(manual.read_text(encoding="utf-8")), encoding="utf-8")
    return seen, sections


def _qemu() -> Asked:
    """The same of QEMU."""
    peer = predictions_qemu.PEER
    order = sorted(qemu.RELEASES, key=lambda release: release != peer.usual)
    tables = {release: predictions_qemu.compared(peer.of(release), predictions_qemu.looks()) for release in order}
    seen = {peer.name: {release: predictions_qemu.borne_out(tables[release]) for release in qemu.RELEASES}}
    return seen, [section(peer.of(release), tables[release]) for release in order]


# Whose readers there are, in the order of the page, and how their sections begin.
_QEMU = predictions_qemu.PEER.name
_WHOSE = {"xen": _xen, _QEMU: _qemu}


def _there() -> dict[str, list[str]]:
    """The parts that the page has now."""
    text = Path(data.path("docs"), "differences.md").read_text(encoding="utf-8")
    parts = [f"## {part}" for part in text.split("\n## ")[1:]]
    return {name: [part for part in parts if part.startswith(f"## {_QEMU} ") == (name == _QEMU)] for name in _WHOSE}


def main(words: Sequence[str]) -> None:
    """Ask all releases of all readers, or of those named, write what was seen into the clauses, and the page."""
    sections = _there()
    for name in words or _WHOSE:
        seen, sections[name] = _WHOSE[name]()
        record(seen)
    text = page(part.rstrip("\n") + "\n" for name in _WHOSE for part in sections[name])
    Path(data.path("docs"), "differences.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
