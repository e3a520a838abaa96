"""What a reader does with a breach, by the clauses and by what the case holds.

The clauses say `when` a reader does what in words, for people.  Each clause of which a reader has such rows has a
function that picks the row, by what the case holds and not by what the reader did; so the words cannot excuse a
verdict that they do not mean.  `conditions_script` and `conditions_xenguest` have those of each reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from ..checks.findings import Finding
from ..schema.clauses import SCRIPT_RELEASE, Behaviour, registry
from .looks import HEADER, Look

# Both readers are of one release of Xen.
RELEASE = SCRIPT_RELEASE
# What lets a reader go on.
GOOD = frozenset(("accept", "ignore"))


@cache
def _rows(clause: str, peer: str, release: str) -> tuple[Behaviour, ...]:
    return tuple(row for row in registry()[clause].known(peer, release) if not row.kept)


@dataclass(frozen=True)
class Peer:
    """A reader as the clauses name it, and its functions by clause.

    `depends` picks what it does about a breach; `places` says where it comes upon one, if not where that lies.
    `kept` is about streams that keep a rule, what it does and where, and `context` about rules that no stream alone
    shows: where it comes upon the breach, None if there is none.  `shown` is about
    breaches that the case shows and no finding does, what it does and where.  To `inner` it leaves what is inside:
    clauses of which nothing is known of this reader itself.
    """

    name: str
    depends: Mapping[str, Callable[[Look, Finding], str]]
    places: Mapping[str, Callable[[Look], int]]
    context: Mapping[str, Callable[[Look], int | None]]
    kept: Mapping[str, Callable[[Look], tuple[str, int] | None]] = field(default_factory=dict)
    shown: Mapping[str, Callable[[Look], tuple[str, int] | None]] = field(default_factory=dict)
    inner: Peer | None = None
    release: str = RELEASE

    def of(self, release: str) -> Peer:
        """The same reader of another release."""
        return replace(self, release=release)

    def rows(self, clause: str) -> tuple[Behaviour, ...]:
        """What the clause says of the release of the reader that we have, where the clause is broken."""
        own = _rows(clause, self.name, self.release)
        return own if own or self.inner is None else self.inner.of(self.release).rows(clause)

    def says(self, clause: str) -> str:
        """What the reader does about every breach of the clause, as far as that does not depend on the case."""
        return "".join(row.does for row in self.rows(clause))

    def does(self, seen: Look, finding: Finding) -> str:
        """What the reader does about one breach; empty if the clause does not say."""
        pick = self.depends.get(finding.clause)
        if pick is None and self.inner is not None and not _rows(finding.clause, self.name, self.release):
            return self.inner.of(self.release).does(seen, finding)
        return self.says(finding.clause) if pick is None else pick(seen, finding)

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
