"""Compare two streams by what a restore would have, not by how they were sent.

Records, fields, parameters, features, device state, configuration and memory are
compared, whatever container, version, order or batches they come in.
"""

from __future__ import annotations

from ..compare.comparison import ALL, FORMAT, KEPT, A, B, Comparison, compare
from ..compare.side import Side
from ..errors import LimitError, TruncatedError
from ..io.sources import drive
from ..memory.frames import PAGE
from ..reader.failure import Failure
from ..reader.registry import DECLARED, READ, load
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

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
    parser.add_argument("b", metavar="B", nargs="?", help="the second; - is standard input")
    parser.add_argument(
        "--policy",
        metavar="HOST",
        help="name what a host lacks of the CPU policy in A: by its policy as JSON, xen-cpuid -p's output, or a stream",
    )
    parser.add_argument(
        "--records", action="store_true", help="compare record by record as they come: their bytes, batches and order"
    )
    parser.add_argument("--all", action="store_true", help="show all differences, not the first of each kind")
    parser.add_argument("--no-contents", action="store_true", help="of memory compare only which frames there are")
    parser.add_argument("-q", "--quiet", action="store_true", help="print one line only")
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")
    inputs.add_form(parser)
    parser.add_argument(
        "--as-b", dest="form_b", metavar="FORM", choices=DECLARED, help="read B as that form, whatever --as says"
    )


def run(args: argparse.Namespace) -> int:
    misuse = ""
    if args.policy is not None:
        others = args.b is not None or args.form_b or args.all or args.records or args.no_contents
        misuse = "--policy takes one stream, and no option but --json, -q, --as and --guest" if others else ""
    elif args.records and args.no_contents:
        misuse = "--records compares all bytes, and --no-contents leaves some out"
    elif args.b is None:
        misuse = "two streams are wanted, A and B"
    elif args.a == args.b == "-":
        misuse = "only one of the two can be standard input"
    if misuse:
        inputs.say(f"streamfmt diff: error: {misuse}")
        return 2
    if args.policy is not None:
        return int(load("cli.diff_policy:run")(args))  # it has a subject of its own
    job = Job(args)
    if args.records:
        load("cli.diff_records:run")(job)  # it reads them by other means
    else:
        _by_meaning(job)
    return job.end()


class Job:
    """Two inputs on their way: what is `found`, and the `failures` by which one was not read to its end.

    By side, `names` and `forms` are what they are called and read as, `descriptions` what they are, and `sizes` how
    many bytes were read.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.names = {A: args.a, B: args.b}
        self.forms = {A: args.form, B: args.form_b or args.form}
        self.failures: dict[str, Failure | str] = {}
        self.descriptions: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.status = 0
        self.found: Comparison | None = None

    @property
    def most(self) -> int:
        """Differences of each kind that are kept."""
        return ALL if self.args.all else KEPT

    def fails(self, side: str, failure: Failure | str) -> None:
        """One of them has not been read to its end."""
        self.failures[side] = failure
        self.status = max(self.status, failure.status if isinstance(failure, Failure) else 1)

    def end(self) -> int:
        """Print what came of it; the exit status."""
        if self.found is not None:
            self.status = max(self.status, int(not self.found.alike))
        troubles = (dict(self.found.troubles) if self.found is not None else {}) | self.failures
        if self.args.json:
            self._json(troubles)
        elif self.found is not None:
            self._text(self.found)
        for side in sorted(troubles):
            if not self.args.json or side in self.failures:
                inputs.complain(self.names[side], troubles[side])
        return self.status

    def _text(self, found: Comparison) -> None:
        from ..compare import text

        if self.args.quiet:
            print(inputs.fitted(text.summary(found)))
            return
        for line in text.lines(found, {side: inputs.shown(name) for side, name in self.names.items()}, self.args.all):
            print(line)

    def _json(self, troubles: Mapping[str, Failure | str]) -> None:
        from json import dumps

        from ..reader.identification import named

        rows: dict[str, object] = {"format": FORMAT, "status": self.status}
        for side, name in self.names.items():
            rows[side] = named(name) | {
                "description": self.descriptions.get(side, ""),
                "bytes": self.sizes.get(side, 0),
                "stopped": str(troubles[side]) if side in troubles else None,
            }
        print(dumps(rows | {"found": self.found.as_dict() if self.found is not None else None}))


def _by_meaning(job: Job) -> None:
    """Read both, and compare what a restore of either would have."""
    sides: list[Side] = []
    with inputs.Input(job.args.a) as a, inputs.Input(job.args.b) as b:
        try:
            for side, given in ((A, a), (B, b)):
                sides.append(Side(job.forms[side], job.args.guest))
                if not _read(job, side, given, sides[-1]):
                    return
            _compare(job, *sides)
        finally:
            for read in sides:
                read.close()


def _read(job: Job, side: str, given: inputs.Input, into: Side) -> bool:
    """Read one of them; whether there is something to compare."""

    def by(pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
        into.reading(source)
        try:
            drive(pump, source, progress)
        except LimitError as error:
            into.failure = error

    reader = into.reader
    failure = inputs.attempt(reader, lambda: given.drive(reader.pump, given.source(reader), by))
    into.end()
    reader.close()
    job.descriptions[side], job.sizes[side] = into.description, into.size
    if failure is not None:
        job.fails(side, failure)
        return not failure.foreign and bool(into.layers)
    identity = reader.identity
    if identity is None or identity.key not in READ or not into.layers:
        job.fails(side, str(into.failure or "there is no stream in it"))
        return False
    return True


def _compare(job: Job, a: Side, b: Side) -> None:
    """Compare them, once both have been read."""

    def act() -> None:
        frames = min(sum(count for _, count in side.frames.ranges()) for side in (a, b))
        with inputs.Stoppable(), inputs.Progress(frames * PAGE) as progress:
            try:
                job.found = compare(a, b, job.most, not job.args.no_contents, progress)
            except TruncatedError as error:
                job.fails(B, f"one of the two has become shorter meanwhile: {error}")

    failure = inputs.attempt(a.reader, act)
    if failure is not None:
        job.fails(A, failure)
