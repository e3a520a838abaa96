"""Records that are broken alike, thousands in a row: counted at once, where each by itself would only be counted.

What such a record does is not worked out from its bytes but seen on one of them: it was judged like any other, and
nothing came of that but numbers.  Then those that are like it do the same again.
"""

from __future__ import annotations

from .. import tables
from ..reader.events import Record
from . import page_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.events import Run
    from .layer import Context


class Mark:
    """Where a context stands after a record, and in `added` what that one has added, once that is known.

    That is for each clause how often it was broken, and where last, from the record's offset on.
    """

    __slots__ = ("_counts", "_fixed", "_next", "_pages", "added", "entries", "pages")

    def __init__(self, context: Context, record: Record) -> None:
        checks = context.checks(record.layer)
        findings = context.findings
        self._next = record.index + 1
        self._counts = findings.counts.copy()
        self._pages = context.page_entries, context.content_pages
        # What must be as it was before the record, for another one to do the same.
        self._fixed = checks, record.type, record.length, len(findings.kept), checks.seen, len(checks.fired)
        self.added: dict[str, tuple[int, int]] = {}
        self.entries = self.pages = 0

    def follows(self, before: Mark | None, context: Context, record: Record) -> bool:
        """Whether the record came right after one of its kind, and changed nothing but numbers, now in `added`."""
        if before is None or before._next != record.index or before._fixed != self._fixed:
            return False
        for clause, count in self._counts.items():
            if often := count - before._counts.get(clause, 0):
                at = context.findings.last(clause)[0]
                self.added[clause] = often, at - record.offset
        (entries, pages), (entries_before, pages_before) = self._pages, before._pages
        self.entries, self.pages = entries - entries_before, pages - pages_before
        # A frame is judged by itself, and those of the records to come are others.
        return page_data.BEYOND not in self.added


def mark(context: Context, record: Record) -> Mark | None:
    """A mark after the record; none where more than its own bytes matters to those that are like it."""
    layer = record.layer
    if context.deep or layer.judge is not layer:
        return None
    if record.type != tables.LIBXC_PAGE_DATA and record.type in tables.RECORDS[layer.name]:
        return None
    return Mark(context, record)


def count(context: Context, mark: Mark, record: Record, run: Run) -> int:
    """Count the records of the run, each as if it had been judged like `record`; how many have been."""
    number = run.count
    if mark.entries and run.layer.guest == "pv":
        checks: Any = context.checks(run.layer)
        number = page_data.note_alike(checks.memory, run)
        if not number:
            return 0
    last = Record(run.layer, record.type, run.offset + run.size * (number - 1), record.length)
    last.index = run.index + number - 1
    for clause, (often, at) in mark.added.items():
        context.findings.again(clause, often * number, last, at)
    context.latest = last
    context.records += number
    context.page_entries += mark.entries * number
    if mark.pages:
        context.content_pages += mark.pages * (number - 1)
        context.carries(mark.pages, last.end)
    return number
