"""What a reader does with a breach, by the clauses and by what the case holds.

The clauses say `when` a reader does what in words, for people.  Each clause of which a reader has such rows has a
function that picks the row, by what the case holds and not by what the reader did; so the words cannot excuse a
verdict that they do not mean.  `conditions_script` and `conditions_xenguest` have those of each reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from ..checks.duties import EITHER
from ..checks.findings import Finding
from ..schema.clauses import Behaviour, registry
from .looks import HEADER, Look
from .peers import RELEASE, Verdict

# What lets a reader go on; where it is left to chance it may.
GOOD = frozenset(("accept", "ignore", EITHER))


def refusing(bad: Callable[[Look, Finding], bool], otherwise: str = "accept") -> Callable[[Look, Finding], str]:
    """That a reader refuses a breach where `bad` says so, and what it does about the others."""
    return lambda seen, finding: "reject" if bad(seen, finding) else otherwise


@cache
def _rows(clause: str, peer: str, release: str) -> tuple[Behaviour, ...]:
    return tuple(row for row in registry()[clause].known(peer, release) if not row.kept)


@dataclass(frozen=True)
class Peer:
    """A reader as the clauses name it, in one release, and its functions by clause.

    `ask` has its verdicts on looks of which `takes` is true.  `program` is what `make peers` brings for it.
    `depends` picks what it does about a breach, and `varies` where that has changed from release to release, too;
    `places` says where it comes upon one, if not where that lies.
    `kept` is about streams that keep a rule, what it does and where, and `context` about rules that no stream alone
    shows: where it comes upon the breach, None if there is none; `chosen` picks what a release does about these.
    `shown` is about breaches that the case shows and no finding does, what it does and where.  To `inner` it leaves
    what is inside, and all clauses that say nothing of this reader itself.  `usual` is the release that the page about
    differences describes in full.
    """

    name: str
    program: str
    ask: Callable[[Iterable[Look], str], list[Verdict]]
    takes: Callable[[Look], bool]
    depends: Mapping[str, Callable[[Look, Finding], str]]
    places: Mapping[str, Callable[[Look], int]]
    context: Mapping[str, Callable[[Look], int | None]]
    kept: Mapping[str, Callable[[Look], tuple[str, int] | None]] = field(default_factory=dict)
    chosen: Mapping[str, Callable[[Look, int, str], str]] = field(default_factory=dict)
    varies: Mapping[str, Callable[[Look, Finding, str], str]] = field(default_factory=dict)
    release: str = RELEASE
    usual: str = RELEASE
    shown: Mapping[str, Callable[[Look], tuple[str, int] | None]] = field(default_factory=dict)
    inner: Peer | None = None

    def of(self, release: str) -> Peer:
        """The same reader in another release."""
        return replace(self, release=release)

    def rows(self, clause: str) -> tuple[Behaviour, ...]:
        """What the clause says of this release of the reader, where the clause is broken."""
        own = self.own_rows(clause)
        return own if own or self.inner is None else self.inner.of(self.release).rows(clause)

    def own_rows(self, clause: str) -> tuple[Behaviour, ...]:
        """What it says of the reader itself."""
        return _rows(clause, self.name, self.release)

    def kept_rows(self, clause: str) -> tuple[Behaviour, ...]:
        """The same where it is kept."""
        return tuple(row for row in registry()[clause].known(self.name, self.release) if row.kept)

    def does(self, seen: Look, finding: Finding) -> str:
        """What the reader does about one breach; empty if the clause does not say."""
        rows = self.own_rows(finding.clause)
        if not rows and self.inner is not None:
            return self.inner.of(self.release).does(seen, finding)
        if any(row.when for row in rows):
            varies = self.varies.get(finding.clause)
            return varies(seen, finding, self.release) if varies else self.depends[finding.clause](seen, finding)
        return rows[0].does if rows else ""

    def does_at(self, seen: Look, clause: str, at: int) -> str:
        """What the reader does where no stream alone shows the breach."""
        rows = self.own_rows(clause)
        return self.chosen[clause](seen, at, self.release) if any(row.when for row in rows) else rows[0].does

    def place(self, seen: Look, finding: Finding) -> int:
        """Where the reader comes upon the breach: of a record it looks at the length before all else."""
        find = self.places.get(finding.clause)
        if find is not None:
            return find(seen)
        if self.inner is not None:
            return self.inner.place(seen, finding)
        if finding.field == "length" and finding.record:
            return finding.offset - 4
        # Where a finding is about a field of a record but names the record.
        return finding.offset + HEADER if finding.clause == "LIBXC-P2M-E0" else finding.offset
