"""What real readers do with the streams of `differential`, held against what the clauses say they do.

From the clauses we find broken and their `readers` follows one verdict for each stream; `conditions` picks the rows
where there are several.  What is left must be the fake hypervisor's, by its own word or by a table here.
`python -m streamfmt.tests.differences` writes docs/differences.md from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .. import data
from ..checks.findings import Finding
from ..schema.clauses import Behaviour, registry
from . import peers
from .conditions import CONTEXT, GOOD, KEPT, RELEASE, SCRIPT, XENGUEST, does, goes_on, place, rows
from .differential import cases
from .looking import LATER, Look, look
from .peers import Verdict

# As the clauses name them, and what `make peers` has to have made to ask them.
PEERS = {XENGUEST: "xenpeer", SCRIPT: "verify-stream-v2"}
FORMS = {XENGUEST: ("libxc",), SCRIPT: ("libxc", "libxl", "xl")}
# Hypercalls that xenpeer's hypervisor refuses as Xen does, for what no stream shows: who restores it, and where.
HYPERVISOR = {
    "set_address_size": "the hypervisor here has no guests of 32 bits",
    "set_cpu_policy": "the host has no such CPUID leaf, MSR or value",
    "set_ext_vcpucontext": "a vcpu's extended state has no such size",
    "set_param": "there is no such parameter, or it can be set once only",
    "settscinfo": "there is no such TSC mode",
}
# Clauses that are Xen's to judge, of which the hypervisor here looks at too little to refuse their breach.
UNSEEN = {
    "LIBXC-HVMCTX-LEN": "the hypervisor here does not look at the length of an entry of the HVM context",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What the peer does by `clause` when it gets to byte `at`; `does` is empty if the clause leaves that open.

    A `kept` step is about what a stream has that keeps the rule.
    """

    at: int
    clause: str
    does: str
    kept: bool = False


def _as_read(seen: Look) -> Look:
    """The case as the script reads it, which never sees that a header announces big-endian order."""
    raw = bytearray(seen.data)
    for finding in seen.findings:
        if finding.field == "options.endian":
            raw[finding.offset + finding.length - 1] &= ~1
    return seen if raw == seen.data else look(seen.case, bytes(raw))


_LACKING = frozenset(("LIBXC-VCPU0-BASIC",))


def _breaches(seen: Look, peer: str) -> Iterator[tuple[Look, Finding]]:
    """The findings that the peer comes upon, each in the look at the case that tells more of it."""
    if peer == XENGUEST:
        # What a whole checkpoint lacks is told where the next one would begin.
        yield from ((seen, row) for row in seen.findings if not seen.dropped(row.offset - (row.clause in _LACKING)))
        return
    own = _as_read(seen)
    if own is not seen:
        yield from ((seen, row) for row in seen.findings if row.field == "options.endian")
    end = goes_on(own)
    yield from ((own, row) for row in own.findings if end is None or row.offset < end)


def steps(seen: Look, peer: str) -> Iterator[Step]:
    for view, finding in _breaches(seen, peer):
        told = does(view, finding, peer)
        if told or registry()[finding.clause].severity == "error":
            yield Step(place(view, finding, peer), finding.clause, told)
    view = seen if peer == XENGUEST else _as_read(seen)
    for (clause, reader), keeps in KEPT.items():
        found = keeps(view) if reader == peer else None
        if found:
            yield Step(found[1], clause, found[0], kept=True)
    for (clause, reader), shows in CONTEXT.items():
        at = shows(view) if reader == peer else None
        if at is not None:
            yield Step(at, clause, "".join(row.does for row in rows(clause, peer)))


@dataclass(frozen=True, slots=True)
class Row:
    """A case as we see it, what a peer does with it by the clauses, and what it did."""

    seen: Look
    steps: tuple[Step, ...]
    verdict: Verdict

    @property
    def ended(self) -> Step | None:
        """The first step that ends the reading before its time."""
        return next((step for step in sorted(self.steps, key=lambda step: step.at) if step.does not in GOOD), None)

    @property
    def told(self) -> str:
        """The verdict that follows from the clauses; empty if one leaves it open."""
        ended = self.ended
        return "" if any(not step.does for step in self.steps) else "accept" if ended is None else ended.does

    def shows(self, step: Step) -> bool:
        """Whether the verdict is as that step has it."""
        return self.verdict.verdict == ("accept" if step.does in GOOD else step.does)

    @property
    def astray(self) -> bool:
        """Whether a reader that refuses the stream has stopped elsewhere than at the record where it should."""
        ended, stopped = self.ended, self.verdict.offset
        if self.verdict.verdict != "reject" or ended is None or ended.at >= LATER or stopped is None:
            return False
        first, last = self.seen.extent(ended.at)
        return not first <= stopped <= last

    @property
    def excuse(self) -> str:
        """Why a verdict that is not the one told is the hypervisor's; empty if it is not."""
        did = self.verdict.verdict
        if not self.told or (did == self.told and not self.astray):
            return ""
        if did == "reject" and self.verdict.refused:
            return HYPERVISOR.get(self.verdict.refused.partition(":")[0], "")
        if did == "accept":
            why = {UNSEEN.get(step.clause, "") for step in self.steps if step.does not in GOOD}
            return why.pop() if len(why) == 1 else ""
        return ""


@cache
def looks() -> tuple[Look, ...]:
    """Our own look at each case, which is the same for all peers."""
    return tuple(map(look, cases()))


def judged(peer: str) -> list[Row]:
    """Every case that the peer can be asked about, in order; the script cannot be told that a stream is of Remus."""
    asked = [
        seen for seen in looks() if seen.case.form in FORMS[peer] and (peer == XENGUEST or seen.case.mode != "remus")
    ]
    if peer == XENGUEST:
        verdicts = peers.xenguest(
            (seen.case.guest + ("-remus" if seen.case.remus else ""), seen.data) for seen in asked
        )
    else:
        verdicts = peers.script((seen.case.form, seen.data) for seen in asked)
    return [Row(seen, tuple(steps(seen, peer)), verdict) for seen, verdict in zip(asked, verdicts, strict=True)]


def unexplained(peer: str, table: Iterable[Row]) -> Iterator[str]:
    """The rows that no clause accounts for, in words."""
    for row in table:
        if (row.verdict.verdict != row.told or row.astray) and not row.excuse:
            clauses = ", ".join(f"{step.clause} {step.does or 'open'}" for step in row.steps) or "no finding"
            why = f" at {row.verdict.offset} ({row.verdict.message}; refused {row.verdict.refused or 'nothing'})"
            yield f"{row.seen.case.name}: {peer} does {row.verdict.verdict}{why}, {row.told or 'nothing'} by {clauses}"


def untold(peer: str, table: Iterable[Row]) -> Iterator[str]:
    """Conditions that pick what no row of their clause says, and rows seen running that no stream shows to be so."""
    taken = {(step.clause, step.does) for row in table for step in row.steps}
    shown = {(step.clause, step.does) for row in table if not row.excuse for step in row.steps if row.shows(step)}
    # Where another breach would have had the same outcome, nobody knows which of them had it.
    decided = {
        (row.ended.clause, row.ended.does)
        for row in table
        if row.ended is not None and not row.excuse and [step.does for step in row.steps].count(row.ended.does) == 1
    }
    for clause in registry().values():
        told = {row.does: row.evidence for row in clause.known(peer, RELEASE)}
        yield from (
            f"{clause.id}: no row says {word}" for name, word in taken if name == clause.id and word not in told
        )
        for word, evidence in told.items():
            if evidence == "run" and (clause.id, word) not in shown:
                yield f"{clause.id}: no stream shows that {peer} does {word}"
            if evidence != "run" and (clause.id, word) in decided:
                yield f"{clause.id}: {peer} was seen to {word}"


def unused(table: Iterable[Row]) -> set[str]:
    """Excuses that no stream needs."""
    return {*HYPERVISOR.values(), *UNSEEN.values()} - {row.excuse for row in table}


# -- the page ---------------------------------------------------------------------------------------------------

_WORDS = ("accept", "reject", "crash", "hang")


@dataclass
class Tally:
    """How many streams break a clause, and what the peer did with those where that decides it."""

    streams: int = 0
    did: Counter[str] = field(default_factory=Counter)


def tallies(table: Iterable[Row]) -> dict[str, Tally]:
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
    """Whether the peer takes what is an error to us, refuses what is none, or fails itself."""
    error = registry()[clause].severity in ("error", "")
    return bool(did["crash"] + did["hang"] + (did["accept"] if error else did["reject"]))


def _table(found: dict[str, Tally]) -> list[str]:
    lines = ["| clause | it should | streams | accepts | rejects | crashes |", "|---|---|--:|--:|--:|--:|"]
    for clause, tally in found.items():
        numbers = " | ".join(str(tally.did[word] or "") for word in ("accept", "reject", "crash"))
        lines.append(f"| {clause} | {registry()[clause].reader} | {tally.streams} | {numbers} |")
    return lines


def _listed(told: Iterable[tuple[str, Behaviour]]) -> Iterator[str]:
    """Rows of the clauses that have something to tell, in words, a sentence a line."""
    for clause, row in told:
        if row.when or row.note:
            yield f"- `{clause}`: {row.does}" + (f", when {row.when}" if row.when else "") + "."
            yield from (f"  {sentence.rstrip('.')}." for sentence in row.note.split(". ") if sentence)


def section(peer: str, table: Sequence[Row]) -> str:
    """The peer's part of the page."""
    verdicts = Counter(row.verdict.verdict for row in table)
    found = tallies(table)
    other = {clause: tally for clause, tally in found.items() if differs(clause, tally.did)}
    same = {clause: tally for clause, tally in found.items() if clause not in other}
    excuses = Counter(row.excuse for row in table if row.excuse)
    summary = ", ".join(f"{verdicts[word]:,} {word}" for word in _WORDS if verdicts[word])
    lines = [f"## {peer} {RELEASE}", "", f"{len(table):,} streams: {summary}.", ""]
    lines += ["### Unlike streamfmt", "", *_table(other), "", "Details from the clauses:", ""]
    lines += _listed((clause, row) for clause in other for row in rows(clause, peer))
    kept = [(clause.id, row) for clause in registry().values() for row in clause.known(peer, RELEASE) if row.kept]
    if kept:
        lines += ["", "It fails on these, although the rule is kept:", "", *_listed(kept)]
    lines += ["", "### Like streamfmt", "", *_table(same)]
    if excuses:
        lines += ["", "### Not the reader's doing", "", "The hypervisor below it is a fake one here.", ""]
        lines += [f"- {why}: {count} streams." for why, count in sorted(excuses.items())]
    return "\n".join(lines) + "\n"


_HEADING = """\
<!-- generated by `python -m streamfmt.tests.differences` from what the peers did; do not edit -->

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
    target = Path(data.path("docs"), "differences.md")
    target.write_text(page(section(peer, judged(peer)) for peer in PEERS), encoding="utf-8")


if __name__ == "__main__":
    main()
