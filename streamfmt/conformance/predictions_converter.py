"""What Xen's convert-legacy-stream does with a stream by the clauses, compared with what it did, and with ours.

`convert.script` has what follows from the clauses; here the script is asked, about the golden conversions of the corpus
or any streams, and each difference between it and our command must be one that a clause has a reason for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from ..convert import script
from ..convert.script import ACCEPT, REJECT, Step
from ..corpus import conversions, store
from ..schema.clauses import CONVERTER, Behaviour, Clause, registry
from . import converters
from .converters import Conversion
from .evidence import Claim
from .peers import RELEASE

# Where a row's clause is one that we refuse a stream by, though nothing shows it but the conversion.
_REFUSED = ("LEGACY-LEVELS",)


class Case(NamedTuple):
    """A stream to convert, the options, and the checksum of what ours makes of it; None if it refuses it."""

    name: str
    words: Sequence[str]
    data: bytes
    ours: str | None


class Compared(NamedTuple):
    """A case, what the script does with it by the clauses, and what it did."""

    case: Case
    steps: tuple[Step, ...]
    theirs: Conversion

    @property
    def did(self) -> str:
        """What it did: "reject", "same" bytes as ours, or "other" bytes, or any where we have none."""
        if self.theirs.status:
            return REJECT
        return "same" if sha256(self.theirs.output).hexdigest() == self.case.ours else "other"

    @property
    def wrong(self) -> str:
        """In words, what no clause explains; empty if there is nothing."""
        expected = script.expected(self.steps)
        verdict = REJECT if self.did == REJECT else ACCEPT
        why = any(step.differs for step in self.steps)
        if verdict != expected:
            return f"{self.case.name}: {verdict}, expected {expected or 'nothing'}: {self.theirs.error}"
        if not why and (self.did == "other" or (self.did == REJECT and self.case.ours)):
            return f"{self.case.name}: ours is another, and no clause says why"
        return ""


def cases(rows: Iterable[Mapping[str, object]] | None = None) -> Iterator[Case]:
    """The golden conversions by the drop-in's options, or those given."""
    streams = {row["id"]: row for row in store.read_index()}
    for row in conversions.read_index() if rows is None else rows:
        if row["command"] == CONVERTER:
            output = row["output"]
            ours = output["sha256"] if output else None  # type: ignore[index] # a row of JSON
            yield Case(row["id"], row["options"], bytes(conversions.stream(streams[row["input"]])), ours)  # type: ignore[arg-type] # likewise


def compared(found: Iterable[Case], release: str = RELEASE) -> list[Compared]:
    """What a release's script does with these.  Raises MissingPeerError if it is not there."""
    table = list(found)
    said = converters.convert(((case.words, case.data) for case in table), release)
    looks = (script.look(case.data, conversions.read(case.words)) for case in table)
    return [
        Compared(case, tuple(script.steps(look)), theirs) for case, look, theirs in zip(table, looks, said, strict=True)
    ]


def borne_out(table: Iterable[Compared]) -> set[Claim]:
    """What the script was seen to do where a clause says so."""
    found = set()
    for row in table:
        steps = row.steps if row.did != REJECT else [step for step in row.steps if step.does == REJECT][:1]
        found |= {Claim(step.clause, step.does, step.row.kept) for step in steps if step.row is not None}
    return found


# -- pages ----------------------------------------------------------------------------------------------------


def exceptions() -> dict[str, list[tuple[Clause, Behaviour]]]:
    """What the clauses have reasons for, by what we do instead: "other" bytes, "refused", or "converted"."""
    found: dict[str, list[tuple[Clause, Behaviour]]] = {"other": [], "refused": [], "converted": []}
    for clause in registry().values():
        for row in clause.readers:
            if row.reader == CONVERTER and row.why:
                refused = (clause.severity == "error" and not row.kept) or clause.id in _REFUSED
                kind = "converted" if row.does == REJECT else "refused" if refused else "other"
                found[kind].append((clause, row))
    return found


_TITLES = {
    "other": "Other bytes than the script's",
    "refused": "Refused here, and not by the script",
    "converted": "Converted here, and not by the script",
}


def manual(text: str) -> str:
    """The text of docs/convert-legacy-stream.md, whose end says where the script and ours differ."""
    lines = [text.partition(f"## {_TITLES['other']}")[0].rstrip("\n"), ""]
    for kind, rows in exceptions().items():
        lines += [f"## {_TITLES[kind]}", "", "| by | the script | here, and why |", "|---|---|---|"]
        for clause, row in rows:
            when = f" ({row.when})" if row.when else ""
            lines.append(f"| {clause.id} | {row.note}{when} | {row.why.removeprefix(f'{kind}: ')} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def section(table: Sequence[Compared], release: str = RELEASE) -> str:
    """The part of docs/differences.md about a release of the script."""
    did = Counter(row.did for row in table)
    words = {"same": "the same bytes as ours", "other": "another output", REJECT: "refused"}
    summary = ", ".join(f"{did[word]} {text}" for word, text in words.items())
    lines = [f"## {CONVERTER} {release}", "", f"{len(table)} conversions of the corpus: {summary}.", ""]
    if release != RELEASE:
        return "\n".join([*lines, f"The clauses say the same of it as of {RELEASE}."]) + "\n"
    lines += ["Ours and its differ only by these clauses; [the manual](convert-legacy-stream.md) has the reasons.", ""]
    counts: dict[str, Counter[str]] = {}
    for row in table:
        for clause in dict.fromkeys(step.clause for step in row.steps if step.differs):
            counts.setdefault(clause, Counter())[row.did] += 1
    lines += ["| clause | conversions | other output | refused |", "|---|--:|--:|--:|"]
    for clause, tally in sorted(counts.items()):
        lines.append(f"| {clause} | {tally.total()} | {tally['other'] or ''} | {tally[REJECT] or ''} |")
    return "\n".join(lines) + "\n"
