"""Which rows of the clauses' `readers` the peers bear out, and the files of clauses, which say so.

A row names in `ran` the releases of its reader that were seen to do what it says, on the streams of the differential
set; where `ran` is empty we know it from the code alone.  `make differences` writes these lines.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .. import data
from ..checks.qemu_target import LOST, MACHINE, REFUSED
from ..schema.clauses import FILES, registry
from .conditions import GOOD
from .predictions import UNSEEN, Comparison

# What is said for a declared target, which no stream of the set has; test_qemu_machines asks about it.
ASIDE = frozenset((LOST, MACHINE, REFUSED))
_OPENS = re.compile(r"\[\[?(?P<clause>[A-Z0-9-]+)(?P<row>\.readers)?\]\]?\n")


class Claim(NamedTuple):
    """What a clause says of a reader, where it is broken or, if `kept`, where it is not."""

    clause: str
    does: str
    kept: bool = False


def borne_out(table: Iterable[Comparison]) -> set[Claim]:
    """What a release of a reader was seen to do with a stream that is as the clause has it, and where it should."""
    return {
        Claim(step.clause, step.does, step.kept)
        for row in table
        if not row.excuse and not row.astray
        for step in row.steps
        if row.shows(step) and (step.does in GOOD or step.clause not in UNSEEN)
    }


def record(seen: Mapping[str, Mapping[str, set[Claim]]]) -> None:
    """Write into the files of clauses what was seen, by reader and release; rows of other readers stay as they are."""
    for name in FILES:
        path = os.path.join(data.path("spec", "clauses"), f"{name}.toml")
        with open(path, encoding="utf-8") as file:
            old = file.readlines()
        new = "".join(_lines(old, seen))
        if new != "".join(old):
            with open(path, "w", encoding="utf-8") as file:
                file.write(new)


def _lines(lines: Iterable[str], seen: Mapping[str, Mapping[str, set[Claim]]]) -> Iterator[str]:
    places: dict[str, int] = defaultdict(int)
    ran: tuple[str, ...] | None = None
    for line in lines:
        opens = _OPENS.fullmatch(line)
        if opens:
            ran = _ran(opens["clause"], places, seen) if opens["row"] else None
        if ran is None or not line.startswith(("evidence = ", "ran = ")):
            yield line
        elif line.startswith("evidence = "):
            yield f'evidence = "{"run" if ran else "read"}"\n'
            if ran:
                yield f"ran = [{', '.join(map(_quoted, ran))}]\n"


def _ran(clause: str, places: dict[str, int], seen: Mapping[str, Mapping[str, set[Claim]]]) -> tuple[str, ...] | None:
    """What the next row of a clause is to name; None if its reader was not asked."""
    row = registry()[clause].readers[places[clause]]
    places[clause] += 1
    if row.reader not in seen:
        return None
    claim = Claim(clause, row.does, row.kept)
    # What some reader does not survive is stored nowhere: what was seen of that before stays.
    known = () if registry()[clause].survived and clause not in ASIDE else row.ran
    return tuple(
        release
        for release, claims in seen[row.reader].items()
        if row.covers(release) and (claim in claims or release in known)
    )


def _quoted(word: str) -> str:
    return f'"{word}"'
