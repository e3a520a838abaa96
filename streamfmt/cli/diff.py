"""Compare two streams by what a restore would have, not by how they were sent.

Records, fields, parameters, features, device state, configuration and memory are
compared, whatever container, version, order or batches they come in.
"""

from __future__ import annotations

import sys

from ..compare.comparison import ALL, FORMAT, KEPT, Comparison, compare
from ..compare.side import Side
from ..errors import LimitError, StreamError
from ..io.sources import drive
from ..memory.frames import PAGE
from ..reader.failure import Failure
from ..reader.registry import READ
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..io.sources import Driven, Source

EXAMPLES = """examples:
  streamfmt diff before.sav after.sav
  streamfmt diff --all --json before.sav after.sav
  streamfmt diff --records sent.bin received.bin
  ssh host xl save guest /dev/stdout | streamfmt diff guest.sav -
  streamfmt diff --policy host.json guest.sav

exit status: 0 they are alike, or the host has all that the guest needs;
1 they differ, or one breaks off or is not a stream we read; 2 wrong usage;
3 could not read; 130 interrupted, 143 terminated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="the first; - is standard input")
    parser.add_argument("b", metavar="B", help="the second; - is standard input")
    parser.add_argument("--all", action="store_true", help="show all differences, not the first of each kind")
    parser.add_argument("--no-contents", action="store_true", help="of memory compare only which frames there are")
    parser.add_argument("-q", "--quiet", action="store_true", help="print one line only")
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")
    inputs.add_form(parser)


def run(args: argparse.Namespace) -> int:
    if args.a == args.b == "-":
        print("streamfmt diff: error: only one of the two can be standard input", file=sys.stderr)
        return 2
    with inputs.Input(args.a) as a, inputs.Input(args.b) as b:
        job = _Job(args)
        try:
            for given in (a, b):
                if not job.read(given):
                    return job.end()
            job.compare()
            return job.end()
        finally:
            job.close()


class _Job:
    """Two inputs on their way; `failures` are why one was not read to its end."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self.sides: list[Side] = []
        self.failures: dict[str, Failure | str] = {}
        self.status = 0
        self.found: Comparison | None = None

    def close(self) -> None:
        for side in self.sides:
            side.close()

    def read(self, given: inputs.Input) -> bool:
        """Read one of them; whether there is something to compare."""
        side = Side(self._args.form, self._args.guest)
        self.sides.append(side)
        name = "ab"[len(self.sides) - 1]

        def by(pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
            side.reading(source)
            try:
                drive(pump, source, progress)
            except LimitError as error:
                side.failure = error

        failure = inputs.attempt(side.reader, lambda: given.drive(side.reader.pump, given.source(side.reader), by))
        side.end()
        side.reader.close()
        identity = side.reader.identity
        if failure is not None:
            self._fails(name, failure)
            return not failure.foreign and bool(side.layers)
        if identity is None or identity.key not in READ or not side.layers:
            self._fails(name, str(side.failure or "there is no stream in it"))
            return False
        return True

    def _fails(self, name: str, failure: Failure | str) -> None:
        self.failures[name] = failure
        self.status = max(self.status, failure.status if isinstance(failure, Failure) else 1)

    def compare(self) -> None:
        """Compare them, once both have been read."""
        a, b = self.sides
        args = self._args

        def act() -> None:
            frames = min(sum(count for _, count in side.frames.ranges()) for side in self.sides)
            with inputs.Stoppable(), inputs.Progress(frames * PAGE) as progress:
                try:
                    self.found = compare(a, b, ALL if args.all else KEPT, not args.no_contents, progress)
                except StreamError as error:
                    self._fails("b", f"it has changed meanwhile: {error}")

        failure = inputs.attempt(a.reader, act)
        if failure is not None:
            self._fails("b", failure)
        if self.found is not None:
            self.status = max(self.status, int(not self.found.alike))

    def end(self) -> int:
        """Print what came of it; the exit status."""
        args = self._args
        names = {"a": args.a, "b": args.b}
        if args.json:
            self._json(names)
        elif self.found is not None:
            self._text(names)
        for side, failure in self.failures.items():
            inputs.complain(names[side], failure)
        return self.status

    def _text(self, names: dict[str, str]) -> None:
        from ..compare import text

        assert self.found is not None, "they have been compared"
        if self._args.quiet:
            print(text.summary(self.found))
        else:
            for line in text.lines(self.found, {side: inputs.shown(names[side]) for side in names}, self._args.all):
                print(line)
        for side, trouble in self.found.troubles.items():
            if side not in self.failures:
                inputs.complain(names[side], trouble)

    def _json(self, names: dict[str, str]) -> None:
        from json import dumps

        from ..reader.identification import named

        rows: dict[str, object] = {"format": FORMAT, "status": self.status}
        for place, (side, name) in enumerate(names.items()):
            read = self.sides[place] if place < len(self.sides) else None
            failure = self.failures.get(side)
            trouble = (self.found.troubles.get(side) if self.found is not None else None) or failure
            rows[side] = named(name) | {
                "description": read.description if read is not None else "",
                "bytes": read.size if read is not None else 0,
                "stopped": str(trouble) if trouble is not None else None,
            }
        print(dumps(rows | {"found": self.found.as_dict() if self.found is not None else None}))
