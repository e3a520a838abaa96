"""What real readers do with the streams of `differential`, held against what the clauses say they do.

A row is explained if the clauses that we find broken (or, for a reader that cannot cope, the ones whose subject is
there) say what the reader did.  `python -m streamfmt.tests.differences` writes docs/differences.md from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import data
from ..reader.events import Layer
from ..reader.stack import Reader
from ..schema.clauses import Behaviour, Clause, registry
from ..verify.verifier import Verifier
from . import peers
from .differential import Case, cases

RELEASE = "4.17"
# As the clauses name them, and what `make peers` has to have made to ask them.
PEERS = {"libxenguest": "xenpeer", "verify-stream-v2": "verify-stream-v2"}
_GOOD = {"accept", "ignore"}
_NARROW_WIDTH = 4
# Clauses whose breach makes a peer read all that follows in another way than we do, so that only they tell.
_MISREAD = {"verify-stream-v2": {"LIBXC-IHDR-ENDIAN", "LIBXL-HDR-ENDIAN"}}

# What the reader leaves to the hypervisor, which is a fake one here, or to the receiving host: the values of these
# fields conform as far as a stream shows, and what became of them says nothing about either reader.
HYPERVISOR = {
    "libxc.PAGE_DATA.entries.pfn": "how many frames there is room for",
    "libxc.HVM_PARAMS.params.index": "which parameters there are, and which can be set once only",
    "libxc.X86_TSC_INFO.mode": "which modes there are",
    "libxc.X86_CPUID_POLICY.leaves.leaf": "which leaves the host has",
    "libxc.X86_CPUID_POLICY.leaves.subleaf": "which leaves the host has",
    "libxc.X86_MSR_POLICY.msrs.index": "which registers the host has",
    "libxc.X86_MSR_POLICY.msrs.value": "which values the host's registers take",
    "libxc.X86_PV_VCPU_BASIC.vcpu_id": "how many vcpus the domain was made with",
    "libxc.X86_PV_VCPU_EXTENDED.vcpu_id": "how many vcpus the domain was made with",
    "libxc.X86_PV_VCPU_XSAVE.vcpu_id": "how many vcpus the domain was made with",
    "libxc.X86_PV_VCPU_MSRS.vcpu_id": "how many vcpus the domain was made with",
    "libxc.X86_MSR_POLICY": "how many registers the host has",
}
# Likewise, by the beginning of a vector's name.
NAMED = {
    "LIBXC-VCPU-EXT-LEN ": "which sizes a vcpu's extended state may have",
    "LIBXC-VCPU-REPEAT accepted highest-vcpu": "how many vcpus the domain was made with",
}
_NARROW = "guests of 32 bits: the fake hypervisor has none"
# What a vcpu's context says is not judged by us yet: libxenguest refuses frames in it that are not what it needs.
CONTEXT = "the frames that vcpu 0's context names, into which we do not look yet"
NAMES_FRAMES = ("libxc.PAGE_DATA.entries.type", "LIBXC-P2M-E0 accepted two-pages")
# Clauses about the contents of a blob that libxenguest hands to Xen, of which the fake one looks at little.
BLOBS = {
    "LIBXC-HVMCTX-LEN": "the length of each entry of the HVM context",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What we find of one case: the clauses broken, by where; where the last checkpoint was whole."""

    clauses: frozenset[str]
    dropped: frozenset[str]


class _Watching(Verifier):
    """A verifier that remembers where the last CHECKPOINT ended."""

    def __init__(self) -> None:
        super().__init__(deep=True)
        self.whole = 0

    def checkpoint(self, layer: Layer, at: int) -> None:
        super().checkpoint(layer, at)
        self.whole = at


def found(case: Case) -> Finding:
    """Judge a case ourselves.

    What comes behind the last CHECKPOINT is `dropped`: a reader of checkpoints keeps it aside until it is whole
    (CKPT-BUFFER, CKPT-DROP), so that it has no say in what the reader does.
    """
    verifier = _Watching()
    reader = Reader(verifier, case.form)
    reader.engine.feed(case.octets)
    reader.engine.end()
    late = {row.clause for row in verifier.findings.kept if verifier.whole and row.offset >= verifier.whole}
    early = {row.clause for row in verifier.findings.kept if not verifier.whole or row.offset < verifier.whole}
    return Finding(frozenset(early), frozenset(late - early))


@cache
def rows(clause: str, peer: str) -> tuple[Behaviour, ...]:
    """What the clause says of the release of the peer that we have."""
    return registry()[clause].known(peer, RELEASE)


@cache
def _kept() -> tuple[tuple[Clause, Behaviour], ...]:
    return tuple((clause, row) for clause in registry().values() for row in clause.readers if row.kept)


def expected(case: Case, finding: Finding, peer: str) -> set[str]:
    """What the peer may do with the case by what the clauses say; empty if they leave it open."""
    clauses = finding.clauses
    if peer != "libxenguest" or not case.remus:
        clauses |= finding.dropped
    clauses = clauses & _MISREAD.get(peer, set()) or clauses
    does: set[str] = set()
    good = True
    for clause in clauses:
        told = {row.does for row in rows(clause, peer) if not row.kept}
        if not told and registry()[clause].severity == "error":
            return set()
        does |= told - _GOOD
        good = good and (not told or bool(told & _GOOD))
    for subject in {clause for clause, row in _kept() if case.stream.paths & set(clause.applies)}:
        told = {row.does for row in rows(subject.id, peer) if row.kept}
        does |= told - _GOOD
        good = good and (not told or bool(told & _GOOD))
    return does | ({"accept"} if good else set())


def excused(case: Case, finding: Finding, peer: str) -> str:
    """Why what the peer does is the fake hypervisor's doing, if it is."""
    if peer != "libxenguest":
        return ""
    if case.touched in HYPERVISOR:
        return HYPERVISOR[case.touched]
    if any(part.values.get("guest_width") == _NARROW_WIDTH for part in case.stream):
        return _NARROW
    if case.touched in NAMES_FRAMES or case.name in NAMES_FRAMES:
        return CONTEXT
    named = next((why for name, why in NAMED.items() if case.name.startswith(name)), "")
    return named or next((BLOBS[clause] for clause in finding.clauses if clause in BLOBS), "")


# -- the page ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A case, what we find of it, and what a peer did."""

    case: Case
    finding: Finding
    did: str


def judged(peer: str) -> list[Row]:
    """Every case that the peer can be asked about, in order."""
    forms = ("libxc",) if peer == "libxenguest" else ("libxc", "libxl", "xl")
    asked = [case for case in cases() if case.form in forms]
    if peer == "libxenguest":
        verdicts = peers.xenguest((case.guest + ("-remus" if case.remus else ""), case.octets) for case in asked)
    else:
        verdicts = peers.script((case.form, case.octets) for case in asked)
    return [Row(case, found(case), row.verdict) for case, row in zip(asked, verdicts, strict=True)]


def unexplained(peer: str, table: Iterable[Row]) -> Iterator[str]:
    """The rows that no clause accounts for, in words."""
    for row in table:
        told = expected(row.case, row.finding, peer)
        if row.did not in told and not excused(row.case, row.finding, peer):
            clauses = ", ".join(sorted(row.finding.clauses | row.finding.dropped)) or "no finding"
            yield f"{row.case.name}: {peer} does {row.did}, {' or '.join(sorted(told)) or 'nothing'} by {clauses}"


def _only(row: Row, peer: str) -> str:
    """The one clause that a case is about, if there is one and nothing hides it."""
    clauses = row.finding.clauses | row.finding.dropped
    if len(clauses) != 1 or excused(row.case, row.finding, peer):
        return ""
    if peer == "libxenguest" and row.case.remus and row.finding.dropped:
        return ""
    hidden = any(row.case.stream.paths & set(clause.applies) for clause, kept in _kept() if kept.reader == peer)
    return "" if hidden else next(iter(clauses))


def section(peer: str, table: Sequence[Row]) -> str:
    """The peer's part of the page."""
    alone: dict[str, Counter[str]] = {}
    excuses: Counter[str] = Counter()
    for row in table:
        clause = _only(row, peer)
        if clause:
            alone.setdefault(clause, Counter())[row.did] += 1
        why = excused(row.case, row.finding, peer)
        if why and row.did not in expected(row.case, row.finding, peer):
            excuses[why] += 1
    lines = [f"## {peer} {RELEASE}", "", f"{len(table):,} streams.", ""]
    lines += ["| clause | severity | streams | accepted | refused | crashed | when |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for clause, counts in sorted(alone.items()):
        severity = registry()[clause].severity
        differs = counts["accept"] if severity == "error" else counts["reject"] + counts["crash"]
        if differs or counts["crash"]:
            whens = "; ".join(f"{row.does}: {row.when}" for row in rows(clause, peer) if row.when and not row.kept)
            numbers = " | ".join(str(counts[name] or "") for name in ("accept", "reject", "crash"))
            lines.append(f"| {clause} | {severity} | {counts.total()} | {numbers} | {whens} |")
    kept = sorted((clause.id, row.does, row.when, row.note) for clause, row in _kept() if row.reader == peer)
    if kept:
        lines += ["", "It cannot cope with these, though the rule is kept:", ""]
        lines += [f"- {clause}: {does}" + (f", when {when}" if when else "") + "." for clause, does, when, _ in kept]
    if excuses:
        lines += ["", "Refused, though no rule that a stream shows is broken, for what the host or the hypervisor"]
        lines += ["(here a fake one) decides, or for what is named:", ""]
        lines += [f"- {why}: {count}." for why, count in sorted(excuses.items())]
    return "\n".join(lines) + "\n"


_HEADING = """\
<!-- generated by `python -m streamfmt.tests.differences` from what the peers did; do not edit -->

# Where readers differ

Several thousand streams, each a good one with one thing done to it, were given to streamfmt and to real readers.
Where a stream breaks one rule only, this is what they did, for each rule on which they and streamfmt differ:
an error that they accept, a warning or note that they refuse, and whatever makes them crash.
Each difference, alone or with others, follows from the clause's `readers` data, which `streamfmt explain` prints.
A test asks the readers again and compares.
"""


def page(sections: Iterable[str]) -> str:
    """The text of docs/differences.md."""
    return "\n".join([_HEADING, *sections])


def main() -> None:
    target = Path(data.path("docs"), "differences.md")
    target.write_text(page(section(peer, judged(peer)) for peer in PEERS), encoding="utf-8")


if __name__ == "__main__":
    main()
