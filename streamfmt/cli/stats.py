"""Print numbers about a stream: its bytes, how memory was sent, what is in it.

All page contents are read for that, unless --quick is given.
"""

from __future__ import annotations

import os

from ..errors import LimitError, UnwritableError
from ..io.sources import drive, reason
from ..memory.statistics import Statistics
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..io.sources import Driven, Source

FORMAT = "streamfmt-stats-1"
EXAMPLES = """examples:
  streamfmt stats guest.sav
  streamfmt stats --quick --json guest.sav
  streamfmt stats --svg guest.svg guest.sav
  ssh host xl save guest /dev/stdout | streamfmt stats -

exit status: 0 all of it was read; 1 the input breaks off, or is not a stream
we read; 2 wrong usage; 3 could not read or write; 130 interrupted,
143 terminated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="file to read; - is standard input")
    parser.add_argument("--quick", action="store_true", help="read no page contents: nothing is said of them")
    parser.add_argument("--svg", metavar="OUT", help="draw pictures of the stream and of memory into an SVG file")
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")
    inputs.add_form(parser)


def run(args: argparse.Namespace) -> int:
    if args.svg == "-":
        inputs.say("streamfmt stats: error: --svg takes the name of a file")
        return 2
    statistics = Statistics(args.form, args.guest, not args.quick)

    def by(pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
        statistics.reading(source)
        try:
            drive(pump, source, progress)
        except LimitError as error:
            statistics.failure = error

    failure = inputs.run_reader(args.file, statistics.reader, by=by)
    statistics.end()
    status = max(failure.status if failure else 0, int(statistics.failure is not None))
    if args.json:
        from json import dumps

        from ..reader.identification import named

        found = {"format": FORMAT} | named(args.file) | {"status": status}
        found |= {"failure": failure.as_dict() if failure else None} | statistics.as_dict()
        print(dumps(found))
    elif statistics.layers:
        from ..render.stats import text

        print(inputs.fitted(f"{inputs.shown(args.file)}: {statistics.description}; {statistics.size:,} bytes"))
        for line in text(statistics):
            print(line)
    if failure is not None:
        inputs.complain(args.file, failure)
    elif statistics.failure is not None and not args.json:
        inputs.complain(args.file, f"stopped: {statistics.failure}")
    if args.svg and statistics.layers:
        status = max(status, _draw(args.svg, os.path.basename(args.file), statistics))
    return status


def _draw(path: str, name: str, statistics: Statistics) -> int:
    """Write the pictures; the exit status."""
    from ..io.outputs import write
    from ..render.stats_svg import drawing

    try:
        write(path, drawing(inputs.shown(name), statistics).encode())
    except OSError as error:
        inputs.complain(path, f"cannot write: {UnwritableError(reason(error))}")
        return 3
    return 0
