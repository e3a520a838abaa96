"""A stream without what is private in it, that breaks the same rules at the same places.

What may be private is replaced by as many other bytes, record by record: pages by zeros, configurations by text of the
same form.  Then the result is judged like the input, and where a finding has moved, as little as possible is put back.
"""

from __future__ import annotations

import os

from .. import tables
from ..checks.verifier import Verifier
from ..errors import UnreadableError
from ..io.sources import FileSource, drive, reason
from ..io.spans import FileSpan, SpanSource
from ..reader.events import PAGE, Sink
from ..reader.identify import following
from ..reader.reader import Reader
from .scrub_bodies import BODIES, page_stretches
from .scrub_overlay import Overlay, Stretches, Units
from .scrub_text import head, scrub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..io.spans import Span
    from ..reader.events import Layer, Record, Run
    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .scrub_overlay import Row

# The longest text that is replaced word by word; longer ones become zeros, as all that nothing is known of.
TEXT_MAX = 16 << 20
# Judgements that finding what has to stay may take, and the fewest bytes that are tried apart.
TRIES_MAX = 400
_LEAST = 16
# How much of what follows the end says what it is; how many records that are not known are listed.
_HEAD = 64
_WARNED = 20
_PAGES = "contents of pages"


class UnscrubbedError(Exception):
    """What a stream breaks could not be kept."""


class Group:
    """Stretches of one record, or of what is none, that are replaced together: `what` it is, and its `rows`."""

    __slots__ = ("rows", "what")

    def __init__(self, what: str, rows: list[Row]) -> None:
        self.what = what
        self.rows = rows

    def parts(self) -> list[Group]:
        """The same in two parts; none if it is too small for that."""
        if len(self.rows) > 1:
            half = len(self.rows) // 2
            return [Group(self.what, self.rows[:half]), Group(self.what, self.rows[half:])]
        start, stop, data = self.rows[0]
        if stop - start <= _LEAST:
            return []
        half = (start + stop) // 2
        first, last = (None, None) if data is None else (data[: half - start], data[half - start :])
        return [Group(self.what, [(start, half, first)]), Group(self.what, [(half, stop, last)])]


class Blinds(Sink):
    """Finds what is to be replaced: `groups` of stretches, `contents` of pages, and what it cannot know (`warnings`).

    `stop` is from where on nothing was read, -1 if all was.  `batches` and `others` are records that
    could be dropped.
    """

    def __init__(self, span: Span, size: int, keep_tables: bool) -> None:
        self._span = span
        self._size = size
        self._keep_tables = keep_tables
        self.groups: list[Group] = []
        self.contents = Stretches()
        self.warnings: list[str] = []
        self.stop = -1
        self.batches, self.others = Units(), Units()

    def group(self, what: str, rows: list[Row]) -> None:
        """Have stretches replaced, as far as there are such."""
        rows = [row for row in rows if row[0] < row[1]]
        if rows:
            self.groups.append(Group(what, rows))

    def record(self, record: Record) -> Program | None:
        layer, path, stop = record.layer, record.path, min(record.end, self._size)
        if layer.row.alias and record.type == tables.LEGACY_COMPRESSED_DATA:
            raise UnscrubbedError(
                "its pages come compressed, which is not taken apart here: streamfmt convert it first"
            )
        pages = layer.row.image and record.type == (
            tables.LEGACY_PAGE_BATCH if layer.row.alias else tables.LIBXC_PAGE_DATA
        )
        if (
            record.end <= self._size
            and not layer.row.alias
            and layer.header_size
            and record.type not in layer.row.opens
        ):
            (self.batches if pages else self.others).add(record.offset, record.end + record.padding)
        if pages:
            for start, last in page_stretches(self._span, record, self._size, self._keep_tables):
                self.group(_PAGES, [(start, last, None)])
        elif path == layer.row.configuration or not layer.row.form:
            fixed = tables.SIZES[path] * layer.row.form
            self._text(record.name, record.body + fixed, stop, scrub if layer.row.form else head)
        elif path in BODIES:
            self.group(record.name, BODIES[path](self._span, record, stop))
        elif record.type not in tables.RECORDS[layer.name]:
            self.group(record.name, [(record.body, stop, None)])
            if len(self.warnings) < _WARNED:
                self.warnings.append(f"{record.name} at {record.offset} is not known: its body was replaced")
        return None

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        self.group("padding", [(at, at + len(raw), b"\x01" * len(raw))])

    def _text(self, what: str, start: int, stop: int, change: Callable[[bytes], bytes]) -> None:
        if stop - start > TEXT_MAX:
            self.group(what, [(start, stop, None)])
        elif start < stop:
            self.group(what, [(start, stop, change(self._span.read(start, stop - start)))])

    def pages(self, run: Run) -> None:
        each = run.pages // run.stretches * PAGE
        if not run.layer.row.alias:
            for start in range(run.offset, run.end, run.size):
                self.batches.add(start, start + run.size)
        if not each:
            return
        if self._keep_tables and run.layer.row.image and not run.layer.row.alias:
            for number in range(run.count):  # of which each has one entry, if they are several
                for start, stop in page_stretches(self._span, run.record(number), self._size, True):
                    self.contents.add(start, stop)
            return
        for end in range(run.offset + run.size, run.end + 1, run.size):
            self.contents.add(end - each, min(end, self._size))

    # -- where reading stops --------------------------------------------------------------------------------------

    def oversize(self, record: Record) -> None:
        self.stop = record.body

    def framing_lost(self, record: Record, sample: bytes) -> None:
        self.stop = record.offset

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.stop = at

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if not read:
            self.stop = at

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        if not zero:
            # What is known is so by how it begins; what is not must not become zeros, which are.
            first, last = at + min(_HEAD, count), at + count
            begin: list[Row] = [] if following(head, count, zero)[0] else [(at, first, b"\1" * (first - at))]
            self.group("what follows the end", [*begin, (first, last, None)])
            self.others.add(first, last)


class Scrub:
    """A file of descriptor `fd` without what is private in it.

    `rows` and `contents` are what is replaced, and by what; `kept` are stretches that had to stay.
    """

    def __init__(
        self, fd: int, form: str = "auto", guest: str | None = None, mode: str = "auto", keep_tables: bool = False
    ) -> None:
        self.fd = fd
        self._form = form
        self._guest = guest
        self._mode = mode
        self.deep = keep_tables
        os.lseek(fd, 0, os.SEEK_SET)
        self.size = FileSource(fd).size or 0
        self.replaced: dict[str, int] = {}
        self.kept: list[Group] = []
        # Is given how far each reading of it has come.
        self.progress: Callable[[int], None] | None = None
        self._tries = TRIES_MAX
        self._taken: list[Row] = []

    def run(self) -> None:
        """Find what is replaced.  Raises UnscrubbedError and UnreadableError."""
        try:
            self.before = self._judged([])
            span = FileSpan(self.fd, 0, self.size)
            blinds = Blinds(span, self.size, self.deep)
            reader = Reader(blinds, self._form, guest=self._guest)
            drive(reader.pump, SpanSource(span), self.progress)
            self._rest(blinds, blinds.stop if blinds.stop >= 0 else reader.window.position)
            reader.close()
            self._settle(_apart(blinds.groups))
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        self.contents = blinds.contents
        self.batches, self.others = blinds.batches, blinds.others
        self.warnings = blinds.warnings
        self.rows = sorted(self._taken, key=lambda row: row[0])

    def _rest(self, blinds: Blinds, at: int) -> None:
        """What is not read: how it begins is apart, since that says what it is."""
        for first, last in ((at, at + 16), (at + 16, at + 4096), (at + 4096, self.size)):
            blinds.group("what cannot be read", [(first, min(last, self.size), None)])
            if first < self.size:
                blinds.others.add(first, min(last, self.size))

    def _settle(self, groups: list[Group]) -> None:
        """Take all groups after which the same is found, and put back as little as possible of the others."""
        if not groups or self._same([row for group in groups for row in group.rows]):
            for group in groups:
                self._take(group)
            return
        if len(groups) > 1:
            half = len(groups) // 2
            self._settle(groups[:half])
            self._settle(groups[half:])
        elif parts := groups[0].parts():
            self._settle(parts[:1])
            self._settle(parts[1:])
        else:
            self.kept.append(groups[0])

    def _take(self, group: Group) -> None:
        self._taken += group.rows
        count = sum(stop - start for start, stop, _ in group.rows)
        self.replaced[group.what] = self.replaced.get(group.what, 0) + count

    def _same(self, rows: list[Row]) -> bool:
        self._tries -= 1
        if self._tries < 0:
            raise UnscrubbedError(f"what it breaks depends on too much of it: {TRIES_MAX} attempts were not enough")
        rows = sorted([*self._taken, *rows], key=lambda row: row[0])
        return bool(self._judged(rows) == self.before)

    def check(self, span: Span) -> None:
        """That what was written breaks what the input breaks.  Raises UnscrubbedError."""
        if self.judged(span) != self.before:
            raise UnscrubbedError("what was written is not judged like the input; please report this")

    @property
    def findings(self) -> int:
        """How many findings there are, before and after."""
        return sum(self.before[1].values())

    def counts(self) -> dict[str, int]:
        """Bytes that are replaced, by what they are."""
        pages = sum(stop - start for start, stop in self.contents)
        found = dict(sorted(self.replaced.items()))
        if pages:
            found = {_PAGES: pages + found.pop(_PAGES, 0)} | found
        return found

    def _judged(self, rows: Sequence[Row]) -> Any:
        return self.judged(Overlay(self.fd, self.size, rows))

    def judged(self, span: Span) -> Any:
        """What is found in a span: clauses, places and fields, and where it stops; no words, which may quote it."""
        verifier = Verifier(self._mode, self.deep)
        reader = Reader(verifier, self._form, guest=self._guest)
        drive(reader.pump, SpanSource(span), self.progress)
        reader.close()
        found = verifier.findings
        return (
            [(one.clause, one.layer, one.index, one.record, one.offset, one.length, one.field) for one in found.kept],
            dict(found.counts),
            verifier.stopped and verifier.stopped[0],
            verifier.complete,
            reader.identity and reader.identity.key,
        )


def _apart(groups: list[Group]) -> list[Group]:
    """Groups in order, none of which reaches into the next: bodies that break off may claim what others are."""
    found: list[Group] = []
    end = 0
    for group in sorted(groups, key=lambda group: group.rows[0][0]):
        rows = [
            (max(start, end), stop, data if data is None else data[max(end - start, 0) :])
            for start, stop, data in group.rows
        ]
        rows = [row for row in rows if row[0] < row[1]]
        if rows:
            found.append(Group(group.what, rows))
            end = rows[-1][1]
    return found
