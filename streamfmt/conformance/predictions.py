"""What real readers do with a stream by the clauses, compared with what they did.

From the clauses we find broken and their `readers` follows one verdict for each stream; `conditions` picks the rows
where there are several.  What is left must be the fake hypervisor's, by its own word or by a table here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..checks.duties import EITHER
from ..checks.findings import Finding
from ..schema.clauses import registry
from .conditions import GOOD, Peer
from .conditions_colo import met
from .conditions_script import SCRIPT, goes_on
from .conditions_xenguest import XENGUEST
from .looks import LATER, Look, look
from .peers import Verdict

# The readers, by the names that the clauses have for them.
PEERS = {peer.name: peer for peer in (XENGUEST, SCRIPT)}
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
    """What the reader does by `clause` when it gets to byte `at`; `does` is empty if the clause leaves that open.

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


def _breaches(seen: Look, peer: Peer) -> Iterator[tuple[Look, Finding]]:
    """The findings that the reader comes upon, each in the look at the case that shows more of it."""
    if seen.case.back:
        yield from ((seen, row) for row in met(seen))
        return
    if peer.name == XENGUEST.name:
        # What a whole checkpoint lacks is found where the next one would begin.
        yield from ((seen, row) for row in seen.findings if not seen.dropped(row.offset - (row.clause in _LACKING)))
        return
    own = _as_read(seen)
    if own is not seen:
        yield from ((seen, row) for row in seen.findings if row.field == "options.endian")
    end = goes_on(own)
    yield from ((own, row) for row in own.findings if end is None or row.offset < end)


def steps(seen: Look, peer: Peer) -> Iterator[Step]:
    """What the reader does with a case by the clauses, in no order."""
    for view, finding in _breaches(seen, peer):
        does = peer.does(view, finding)
        if does or registry()[finding.clause].severity == "error":
            yield Step(peer.place(view, finding), finding.clause, does)
    view = seen if peer.name == XENGUEST.name else _as_read(seen)
    for clause, keeps in peer.kept.items():
        found = keeps(view) if peer.kept_rows(clause) else None
        if found:
            yield Step(found[1], clause, found[0], kept=True)
    for clause, shows in peer.context.items():
        at = shows(view)
        if at is not None:
            yield Step(at, clause, peer.does_at(view, clause, at))
    for clause, shown in peer.shown.items():
        what = shown(view)
        if what is not None:
            yield Step(what[1], clause, what[0])


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case as we see it, what a reader does with it by the clauses, and what it did."""

    seen: Look
    steps: tuple[Step, ...]
    verdict: Verdict

    @property
    def ended(self) -> Step | None:
        """The first step that ends the reading before its time."""
        return next((step for step in sorted(self.steps, key=lambda step: step.at) if step.does not in GOOD), None)

    @property
    def chance(self) -> bool:
        """Whether the reader may refuse the stream before its time, or crash, by chance."""
        ended = self.ended
        return any(step.does == EITHER and (ended is None or step.at <= ended.at) for step in self.steps)

    @property
    def expected(self) -> str:
        """The verdict that follows from the clauses; empty if one leaves it open."""
        ended = self.ended
        return "" if any(not step.does for step in self.steps) else "accept" if ended is None else ended.does

    def shows(self, step: Step) -> bool:
        """Whether the verdict is as that step has it."""
        if step.does == EITHER:
            return self.verdict.verdict != "hang"
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
        """Why a verdict that is not the expected one is the hypervisor's; empty if it is not."""
        did = self.verdict.verdict
        if not self.expected or (did == self.expected and not self.astray):
            return ""
        if did == "reject" and self.verdict.refused:
            return HYPERVISOR.get(self.verdict.refused.partition(":")[0], "")
        if did == "accept":
            why = {UNSEEN.get(step.clause, "") for step in self.steps if step.does not in GOOD}
            return why.pop() if len(why) == 1 else ""
        return ""
