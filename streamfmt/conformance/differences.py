"""What real readers do with thousands of streams, and docs/differences.md, the page about it.

`python -m streamfmt.conformance.differences` asks the readers and writes the page; it takes a checkout, where
`make peers` has built them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .. import data
from ..schema.clauses import Behaviour, registry
from . import peers
from .cases import cases
from .conditions import RELEASE, Peer
from .conditions_xenguest import XENGUEST
from .looks import Look, look
from .predictions import PEERS, Comparison, steps


@cache
def looks() -> tuple[Look, ...]:
    """Our own look at each case, which is the same for all readers."""
    return tuple(map(look, cases()))


def compared(peer: Peer) -> list[Comparison]:
    """Every case that the reader can be asked about, in order; the script takes no stream that is declared Remus.

    Raises MissingPeerError if the reader is not installed.
    """
    if peer is XENGUEST:
        asked = [seen for seen in looks() if seen.case.image]
        verdicts = peers.xenguest((seen.case.kind, seen.data) for seen in asked)
    else:
        asked = [seen for seen in looks() if seen.case.mode != "remus"]
        verdicts = peers.script((seen.case.form, seen.data) for seen in asked)
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
    """The reader's part of the page."""
    verdicts = Counter(row.verdict.verdict for row in table)
    found = tallies(table)
    other = {clause: tally for clause, tally in found.items() if differs(clause, tally.did)}
    same = {clause: tally for clause, tally in found.items() if clause not in other}
    excuses = Counter(row.excuse for row in table if row.excuse)
    summary = ", ".join(f"{verdicts[word]:,} {word}" for word in _WORDS if verdicts[word])
    lines = [f"## {peer.name} {RELEASE}", "", f"{len(table):,} streams: {summary}.", ""]
    lines += ["### Unlike streamfmt", "", *_table(other), "", "Details from the clauses:", ""]
    lines += _listed((clause, row) for clause in other for row in peer.rows(clause))
    kept = [(clause.id, row) for clause in registry().values() for row in clause.known(peer.name, RELEASE) if row.kept]
    if kept:
        lines += ["", "It fails on these, although the rule is kept:", "", *_listed(kept)]
    lines += ["", "### Like streamfmt", "", *_table(same)]
    if excuses:
        lines += ["", "### Not the reader's doing", "", "The hypervisor below it is a fake one here.", ""]
        lines += [f"- {why}: {count} streams." for why, count in sorted(excuses.items())]
    return "\n".join(lines) + "\n"


_HEADING = """\
<!-- generated by `python -m streamfmt.conformance.differences` from what the peers did; do not edit -->

# Where readers differ

Several thousand streams, each a valid one with one change, were given to streamfmt and to real readers.
The clauses that a stream breaks, and their `readers` data, predict what each reader does with it.
A test runs the readers again: every prediction holds, except where the fake hypervisor below a reader is to blame.

In the tables `streams` is how many streams break a clause.
An accepted stream counts for every clause it breaks; any other counts for the clause that stopped the reader.
`it should` is what the clause requires of readers; a reader may reject a stream for other reasons of its own.
`streamfmt explain` shows the full text of a clause.
"""


def page(sections: Iterable[str]) -> str:
    """The text of docs/differences.md."""
    return "\n".join([_HEADING, *sections])


def main() -> None:
    """Write the page."""
    target = Path(data.path("docs"), "differences.md")
    target.write_text(page(section(peer, compared(peer)) for peer in PEERS.values()), encoding="utf-8")


if __name__ == "__main__":
    main()
