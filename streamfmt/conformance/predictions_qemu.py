"""What QEMU does with a stream by the clauses, compared with what it did: as `predictions` has it for Xen's readers.

A loader knows how long each device's state is, which a stream does not say, so what it makes of a stream follows from
the clauses that we find broken and from what it has: its machine, devices, memory and capabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from ..checks.duties import EITHER
from ..checks.findings import Finding
from ..schema import qemu_stream as schema
from ..schema.clauses import registry
from .bases_qemu import SETUPS
from .cases_qemu import FORM, cases_qemu
from .conditions import GOOD, Peer
from .evidence import Claim
from .loader import walk
from .looks import LATER, Look, look
from .predictions import Comparison, Step
from .qemu import QEMU, RELEASE, ask

# What a file's pages are aligned to.
_ALIGNED = 1 << 20


def _ends_early(seen: Look, finding: Finding) -> bool:
    """Whether a name has a zero in it, and what is before that is a name that is known."""
    name = seen.data[finding.offset : finding.offset + finding.length]
    return name.partition(b"\0")[0] == schema.RAM_NAME != name


def _within(seen: Look, finding: Finding) -> bool:
    """Whether it is the bitmap that is elsewhere, where the file has something, and the pages lie where they can."""
    bitmap, pages = (int(word, 0) for word in str(finding.actual).split(", "))
    return bitmap < len(seen.data) and pages > 0 and not pages % _ALIGNED


PEER = Peer(
    "qemu",
    QEMU,
    ask=lambda seen, release: ask(((SETUPS[each.case.guest], each.data) for each in seen), release),
    takes=lambda seen: seen.case.form == FORM,
    depends={
        "QEMU-MAP-PLACE": lambda seen, finding: "accept" if _within(seen, finding) else "reject",
        "QEMU-RAM-BLOCK": lambda seen, finding: "accept" if _ends_early(seen, finding) else "reject",
    },
    places={},
    context={},
    release=RELEASE,
    usual=RELEASE,
)


def steps(seen: Look, peer: Peer) -> Iterator[Step]:
    """What the loader does with a case by the clauses, in no order."""
    met = list(walk(seen.data, seen.case.guest))
    found = [Step(at, clause, _does(peer, clause, word)) for at, clause, word in met if clause]
    # What is wrong after its end it never reads, nor what comes after something that it refuses.
    end = min([at for at, clause, _ in met if not clause], default=LATER)
    refused = min([step.at for step in found if step.does == "reject"], default=LATER)
    for finding in seen.findings:
        does = peer.does(seen, finding)
        error = registry()[finding.clause].severity == "error" and finding.offset < refused
        if does in GOOD or (finding.offset <= end and (does or error)):
            yield Step(peer.place(seen, finding), finding.clause, does)
    yield from found


# What the rows mean that say `when`, by words of `walk`.
WHEN = {"QEMU-SEC-VERSION": {"newer": "reject", "older": EITHER}}


def _does(peer: Peer, clause: str, word: str) -> str:
    """What the loader does about what it has otherwise."""
    rows = peer.rows(clause)
    return WHEN[clause][word] if word else rows[0].does if rows else ""


def compared(peer: Peer, seen: Iterable[Look]) -> list[Comparison]:
    """What the loader did with these, and what it should.  Raises MissingPeerError if it is not there."""
    asked = [each for each in seen if SETUPS[each.case.guest].known(peer.release)]
    verdicts = peer.ask(asked, peer.release)
    return [Comparison(each, tuple(steps(each, peer)), verdict) for each, verdict in zip(asked, verdicts, strict=True)]


def borne_out(table: Iterable[Comparison]) -> set[Claim]:
    """What the loader was seen to do: of what it refuses it says nothing of what comes after."""
    found = set()
    for row in table:
        ended = row.ended
        agreed = not row.chance and row.verdict.verdict == row.expected
        for step in row.steps if agreed else ():
            if step == ended or (step.does in GOOD and (ended is None or step.at < ended.at)):
                found.add(Claim(step.clause, step.does))
    return found


@cache
def looks() -> tuple[Look, ...]:
    """Our own look at each case."""
    return tuple(map(look, cases_qemu()))
