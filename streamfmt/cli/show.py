"""List a stream's records, or dump them with their fields.

Page batches that follow one another make one line, unless records are selected.  Nothing is judged here: that is
what verify does.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from ..codec.decode import layouts
from ..reader.events import Body, Headless, Layer, Record, Run, Sink
from ..reader.failure import STATUS
from ..reader.identify import Identity, following
from ..reader.qemu_inside import TYPES, lies_in
from ..reader.reader import Reader
from ..reader.registry import READ, load
from ..render.decoded import Decoded
from ..render.hexdump import Dump
from ..render.listing import JsonLines, Row, Table
from ..render.page_dump import PageDump, PageObject
from ..render.pages import Pages, number
from ..render.records import ALL, BATCHES, FEW, PAGE_DATA, Brief, batch, brief
from . import inputs
from .parser import whole
from .selection import frame, record_range, record_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from ..reader.pump import Program, Window
    from .inputs import Job

EXAMPLES = """examples:
  streamfmt show guest.sav
  streamfmt show --type HVM_PARAMS --hexdump guest.sav
  streamfmt show --type HVM_CONTEXT --decode guest.sav
  streamfmt show --type SECTION_FULL --decode guest.sav
  streamfmt show --page 0x5 guest.sav
  streamfmt show --records 4:8 --json guest.sav.zst
  streamfmt show --recipe guest.sav >guest.toml

exit status: 0 read to its end; 1 it breaks off, or is not a stream we read;
2 wrong usage; 3 could not be read; 130 interrupted, 143 terminated
"""
# The record that begins with the bytes of a guest's word.
_SAYS_WIDTH = "libxc.X86_PV_INFO"
# Bytes of a recipe that are kept in memory; a longer one goes to a temporary file.
_SPOOL = 16 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    parser.add_argument(
        "--records", metavar="N:M", type=record_range, help="only records N to M-1, counted from 0 over all layers"
    )
    parser.add_argument(
        "--type", metavar="NAME", type=record_types, action="append", help="only records of this type; may be repeated"
    )
    parser.add_argument("--hexdump", action="store_true", help="show the records' bytes, their fields beside them")
    parser.add_argument(
        "--decode",
        action="store_true",
        help="show what the records' fields say, down into the state of processors and devices",
    )
    parser.add_argument(
        "--page", metavar="PFN", type=frame, help="show what this page of the guest holds, each time it comes"
    )
    parser.add_argument("--full", action="store_true", help="shorten nothing but page contents")
    parser.add_argument("--recipe", action="store_true", help="print a recipe that builds the same stream")
    parser.add_argument(
        "--contents",
        metavar="N",
        type=whole,
        help="with --recipe: keep up to N pages whose contents follow no rule (default: 64)",
    )


def run(args: argparse.Namespace) -> int:
    misuse = ""
    if args.json and (args.hexdump or args.decode):
        misuse = f"--{'hexdump' if args.hexdump else 'decode'} is text; --json has the fields in any case"
    if args.page is not None and (args.hexdump or args.decode or args.records or args.type):
        misuse = "--page says it all of one page: it excludes --hexdump, --decode, --records and --type"
    if args.hexdump and args.decode:
        misuse = "--hexdump has the fields that --decode shows: only one of them"
    if args.contents is not None and not args.recipe:
        misuse = "--contents needs --recipe"
    if args.recipe and (args.json or args.hexdump or args.decode or args.full or args.records or args.type):
        misuse = (
            "--recipe prints the whole stream as TOML: "
            "it excludes --json, --hexdump, --decode, --full, --records and --type"
        )
    if args.recipe and args.page is not None:
        misuse = "--recipe prints the whole stream as TOML, and --page one page"
    if args.recipe and len(args.files) > 1:
        misuse = "--recipe takes one file"
    if misuse:
        inputs.say(f"streamfmt show: {misuse}")
        return 2
    if args.recipe:
        return _recipe(args.files[0], args.form, args.guest, args.contents)
    status = 0
    for name in args.files:
        status = max(status, _show(name, args))
        if status >= STATUS["interrupted"]:
            break
    return status


def _show(given: str, args: argparse.Namespace) -> int:
    """Show one input, or each image in it; the exit status."""
    types = None if args.type is None else set().union(*args.type)
    width, write = _width(), print
    kind = Dump if args.hexdump else Decoded if args.decode else None

    def make(name: str) -> Job[tuple[Reader, Listing]]:
        out = (
            JsonLines(sys.stdout.write, name, args.full)
            if args.json
            else Table(write, inputs.shown(name), width, spaced=bool(kind), coloured=inputs.colour(), full=args.full)
        )
        dump = kind(write, args.full, width) if kind else None
        listing = Listing(out, args.records, types, dump, args.full)
        if args.page is not None:
            listing.page = PageObject(args.page) if args.json else PageDump(write, args.page, width)
            listing.selecting = listing.every_page = True
        reader = Reader(listing, args.form, guest=args.guest)
        return reader, reader.pump, (reader, listing)

    status = 0
    for name, (reader, listing), failure, _ in inputs.results(given, make):
        if failure is not None:
            listing.stopped = failure.offset, failure.reason
        # Of what is not there, the complaint on standard error says all.
        if args.json or reader.identity is not None or failure is None or not failure.foreign:
            listing.finish(reader)
        status = max(status, failure.status if failure else 0, int(listing.stopped is not None))
        if inputs.gave_up(name, failure):
            break
    return status


def _recipe(name: str, form: str, guest: str | None, pages: int | None) -> int:
    """Print a recipe of one input; the exit status is that of `show`.

    The recipe's head says whether the stream breaks a rule, which is only known at the stream's end.
    """
    from shutil import copyfileobj
    from tempfile import SpooledTemporaryFile

    from ..recipes import dump
    from ..recipes.from_stream import PAGES, FromStream

    status = 0
    with SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8") as parts:
        recipe = FromStream(parts.write, form, PAGES if pages is None else pages, guest)
        failure = inputs.run_reader(name, recipe.reader, recipe)
        if failure is not None:
            inputs.complain(name, failure)
            status = failure.status
            if recipe.reader.identity is None:
                return status
            parts.write(f"\n# {failure}\n")
        recipe.end()
        if recipe.failure is not None:
            status = max(status, 1)
            inputs.complain(name, f"stopped: {recipe.failure}")
            parts.write(f"\n# reading stopped: {recipe.failure}\n")
        sys.stdout.write(dump.head(recipe.form, broken=recipe.broken))
        parts.seek(0)
        copyfileobj(parts, sys.stdout)
    for message in recipe.lost:
        inputs.complain(name, message)
    return status


def _width() -> int:
    if not sys.stdout.isatty():
        return 80
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, 80)


class Listing(Sink):
    """Numbers the records, picks those that are wanted, takes page batches together, and sees where reading ends."""

    def __init__(
        self,
        out: Table | JsonLines,
        numbers: range | None,
        types: Collection[tuple[str, int]] | None,
        dump: Dump | None,
        full: bool = False,
    ) -> None:
        self.out = out
        self.numbers = numbers
        self.types = types
        self.dump = dump
        self.full = full
        self.spans = isinstance(out, JsonLines)
        self.selecting = numbers is not None or types is not None
        self.every_page = self.selecting or dump is not None
        self.count = self.shown = 0
        self.page: PageDump | None = None
        # Whether there was a record that it could be in.
        self._paged = False
        self.stopped: tuple[int, str] | None = None
        self.remarks: list[str] = []
        frames = types is not None and not TYPES.isdisjoint(types)
        self._within = load("cli.show_inside:Within")(out, types, self._shown) if frames else None
        # Clean page batches that have come in a row; the record whose padding has not come yet.
        self._batches: Row | None = None
        self._unpadded: Record | None = None

    def _settle(self) -> None:
        """Show what was waiting for the next event."""
        if self._batches is not None:
            self.out.row(self._batches)
            self._batches = None
        if self._unpadded is not None and self.dump is not None and self._unpadded.padding:
            self.dump.padding(self._unpadded.end, bytes(self._unpadded.padding))
        self._unpadded = None

    def _wanted(self, record: Record) -> bool:
        """Whether the next record is to be shown.  Counts it."""
        self.count += 1
        wanted = (self.numbers is None or self.count - 1 in self.numbers) and (
            self.types is None or (record.layer.name, record.type) in self.types
        )
        self.shown += wanted
        return wanted

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._settle()
        self.out.header(layer, path, at, raw, broken)
        if self.dump is not None and not self.selecting:
            self.dump.header(layer, path, at, raw)

    def record(self, record: Record) -> Program | None:
        if self._batches is None or record.path not in BATCHES:
            self._settle()
        if self.page is not None:
            return self._with_page(record, self.page)
        wanted, place = self._wanted(record), self.count - 1
        if wanted and self.dump is not None:
            self._unpadded = record
        if self._within is not None and lies_in(record) and (self.numbers is None or place in self.numbers):
            program: Program = self._within.read(Body(self.window, record), place, wanted)
            return program
        if record.path == _SAYS_WIDTH:
            return self._noting_width(record, self._shown(record, self.window, place) if wanted else None)
        return self._shown(record, self.window, place) if wanted else None

    def _shown(self, record: Record, window: Window, place: int) -> Program:
        if self.dump is None:
            return self._brief(record, window, place)
        self.out.row(Row(record, place, Brief({}, "")))
        return self.dump.record(record, window)

    def _with_page(self, record: Record, page: PageDump) -> Program | None:
        """A record in which the page may be: listed if it is."""
        number, self.count = self.count, self.count + 1
        if record.path != PAGE_DATA:
            return None
        self._paged = True
        seen, row = page.found, Row(record, number, Brief({}, ""))
        out = self.out
        if isinstance(page, PageObject) and isinstance(out, JsonLines):
            page.emit = partial(out.object, row)

        def begin() -> None:
            if page.found == seen + 1:
                self.shown += 1
                if not isinstance(page, PageObject):
                    out.row(row)

        return page.record(record, self.window, begin)

    def _noting_width(self, record: Record, program: Program | None) -> Program:
        """With the width of the guest, by which pages that come later have their layout, kept for those."""
        if record.length and (yield from Body(self.window, record).need(1)):
            record.layer.width = self.window.buf[self.window.lo]
        if program is not None:
            yield from program

    def _brief(self, record: Record, window: Window, place: int) -> Program:
        if record.path in BATCHES or not isinstance(self.out, JsonLines):
            found = yield from brief(record, window, ALL if self.full else FEW, self.spans)
        else:
            found = yield from self.out.begin(record, place, window)
        row = Row(record, place, found)
        if row.brief.pages is None or not row.brief.clean or self.every_page:
            self._settle()
            self.out.row(row)
        else:
            self._batch(row, row.brief.pages)

    def pages(self, run: Run) -> None:
        record = run.record()
        pages = batch(record, self.spans, run.count)
        pages.length = run.end - run.offset if isinstance(record, Headless) else pages.length
        pages.add(run.raw(), run.pages)
        # As they are clean, no field but one says anything.
        others = {row.path: 0 for row in layouts()[record.path].fields}
        fields = others | {"count": run.entries} if run.count == 1 and others else {}
        self._batch(Row(record, self.count, Brief(fields, "", pages)), pages)
        self.count += run.count
        self.shown += run.count

    def _batch(self, row: Row, pages: Pages) -> None:
        """Take clean page batches together with those before them, if they are of one kind."""
        if self._batches is not None and self._batches.record.path != row.record.path:
            self._settle()
        if self._batches is None:
            self._batches = row
        elif self._batches.brief.pages is not None:
            self._batches.brief.pages.merge(pages)
            self._batches.brief.fields = {}

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        if self._unpadded is record and self.dump is not None:
            self.dump.padding(at, raw)
            self._unpadded = None

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        if record is not None and record is self._unpadded:
            self._unpadded = None  # it ends before its padding does
        self._settle()
        left = self.window.hi - self.window.lo
        if left and self.dump is not None and not self.selecting:
            self.dump.data(self.window.position, self.window.take(left), f"what there is of {what}")
        if layer.between_checkpoints(at):
            self.remarks.append(f"no END after checkpoint {layer.checkpoints}: a checkpointed stream may simply stop")
        else:
            self.stopped = at, f"the input ends inside {what}, at least {number(missing, 'byte', 'bytes')} short"

    def ended(self, layer: Layer, at: int) -> None:
        variant = layer.facts.variant() if layer.row.surveys and layer.facts else None
        if variant is not None:
            self.remarks.append(f"machine of {layer.path}: {variant.words()}")

    def oversize(self, record: Record) -> None:
        self._settle()
        if self._wanted(record):
            self.out.row(Row(record, self.count - 1, Brief({}, "longer than any reader accepts")))
            if self.dump is not None:
                self.dump.record_header(record)
        limit = record.layer.row.length_max
        than = f"the limit is {limit:,}" if limit else "more than any writer makes"
        self.stopped = record.offset, f"a record of {record.length:,} bytes, {than}"

    def framing_lost(self, record: Record, sample: bytes) -> None:
        from ..reader.damage import stranger

        self._settle()
        what = stranger(sample)[0] or sample[:16].hex(" ")
        self.stopped = record.offset, f"the framing is lost: no record begins here, but {what}"

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.stopped = at, f"not a valid {layer.name} {what}, cannot continue"

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        self._settle()
        if not read:
            self.stopped = at, f"{identity.name} ({identity.evidence})"

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        self._settle()
        _, what = following(head, count, zero)
        self.remarks.append(f"after END, at {at} ({at:#x}): {number(count, 'byte', 'bytes')}, {what}")
        if self.dump is not None and not self.selecting:
            self.dump.data(at, head[:count], f"after END, the first of {count}")

    def finish(self, reader: Reader) -> None:
        """The input has been read."""
        self._settle()
        if self._within is not None:
            self._within.end()
            self.count, self.shown = self.count + self._within.count, self.shown + self._within.shown
            self.stopped = self.stopped or self._within.stopped
        identity = reader.identity
        if self.stopped is None and identity is not None and identity.key not in READ:
            hint = f": {identity.hint}" if identity.hint else ""
            self.stopped = 0, f"{identity.name} ({identity.evidence}); nothing to show{hint}"
        if self.page is not None and not self.page.found:
            other = (
                "" if self._paged else "; they are shown of libxc images, and extract --memory takes pages out of any"
            )
            self.remarks.append(f"no PAGE_DATA has this page{other}")
        shown = self.shown if self.selecting else None
        self.out.end(reader.window.position, self.count, shown, self.stopped, self.remarks)
