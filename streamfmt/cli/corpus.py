"""List the corpus of streams, show one, check them, build them from recipes, or
pack them for other programs.

Every stream has an id, such as good/libxl-hvm or LIBXC-PAGE-COUNT/broken/empty.
So has every golden conversion, which says what a converter has to make of one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import fill

from ..io.sources import reason
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from ..codec.content import Buffer
    from ..corpus.store import Row

EXAMPLES = """examples:
  streamfmt corpus list 'LIBXC-PAGE-*'
  streamfmt corpus list --clause 'XAPI-*' --format xapi
  streamfmt corpus show LIBXC-PAGE-COUNT/broken/empty
  streamfmt corpus check
  streamfmt corpus export -o corpus.tar.gz
  streamfmt corpus export --format libxl --clause 'CKPT-*' -o - | tar xz
  streamfmt corpus export --stream good/libxl-hvm -o - | streamfmt verify -
  streamfmt corpus list --conversions 'libxl/*'
  streamfmt corpus export --conversion libxl/good/legacy-hvm -o expected.sav

exit status: 0 done, and nothing is wrong; 1 a stream or the index is wrong;
2 wrong usage, or no such stream; 3 could not read or write
"""
# Those that do something, and say with --json what they did.
_RUNS = ("check", "build", "export")
_JSON = "print an object that says what was done; streamfmt help json describes it"


class _MisuseError(Exception):
    """What is wrong with the arguments."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", title="verbs", metavar="VERB", required=True)
    listing = verbs.add_parser(
        "list", help="list streams: id, size, what a reader must do, other clauses that it breaks"
    )
    listing.add_argument("pattern", metavar="ID", nargs="*", default=[], help="as with --stream (default: all)")
    listing.add_argument(
        "--conversions",
        action="store_true",
        help="list golden conversions: id, size of the output, what Xen's own converter does; ID is that of one",
    )
    _add_choice(listing)
    listing.add_argument("--json", action="store_true", help="print rows of the index, one per line")
    show = verbs.add_parser("show", help="print everything about one stream, or one golden conversion")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="print its row of the index")
    check = verbs.add_parser("check", help="build every stream, judge it, and compare it with its file and the index")
    check.add_argument("--json", action="store_true", help=_JSON)
    build = verbs.add_parser("build", help="build the corpus from its recipes")
    build.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="where to write it, without real/ (default: its own folder, in a checkout)",
    )
    build.add_argument("--json", action="store_true", help=_JSON)
    export = verbs.add_parser(
        "export",
        help="pack streams, index and checksums into a tar archive; or write one stream",
        description="A single --stream without * and ? is written as it is; otherwise an archive is.",
    )
    _add_choice(export)
    export.add_argument("--conversion", metavar="ID", help="write the output that this golden conversion has to have")
    export.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the archive, a .tar.gz, or the stream; - is standard output",
    )
    export.add_argument("--json", action="store_true", help=f"{_JSON}; on standard error with -o -")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    """What chooses streams."""
    choice = parser.add_argument_group(
        "which streams",
        "Patterns may have * and ?.  Repeating an option adds streams; different options must all match.",
    )
    choice.add_argument("--stream", metavar="ID", action="append", default=[], help="the stream with that id")
    choice.add_argument(
        "--clause", metavar="ID", action="append", default=[], help="streams made for that clause, or that break it"
    )
    choice.add_argument(
        "--format", metavar="FORM", action="append", default=[], help="streams of that form: libxc, libxl, xl ..."
    )
    choice.add_argument("--stored", action="store_true", help="leave out the few over 1 MiB, which are made on demand")


def run(args: argparse.Namespace) -> int:
    from ..errors import CorpusError, RecipeError

    try:
        return _VERBS[args.what](args)
    except _MisuseError as error:
        inputs.say(f"streamfmt corpus: {error}")
        return 2
    except CorpusError as error:
        return _failed(args, 1, f"{error}; streamfmt corpus build rebuilds it")
    except RecipeError as error:
        return _failed(args, 1, str(error))
    except OSError as error:
        if not error.filename:
            raise  # standard output's
        return _failed(args, 3, f"{inputs.shown(str(error.filename))}: {reason(error)}")


def _failed(args: argparse.Namespace, status: int, message: str) -> int:
    inputs.say(f"streamfmt corpus: {message}")
    if args.json and args.what in _RUNS:
        _report(args, status, [], error=message)
    return status


def _report(
    args: argparse.Namespace, status: int, rows: list[Row], complaints: list[str] | None = None, error: str = ""
) -> None:
    """Print what was done, as spec/json/corpus-run.json describes it."""
    from ..corpus.store import on_demand

    output = getattr(args, "output", None)
    run = {
        "format": "streamfmt-corpus-run-1",
        "verb": args.what,
        "status": status,
        "streams": len(rows),
        "on_demand": on_demand(rows),
        "output": None if output == "-" else output,
        "complaints": complaints or [],
        "error": error or None,
    }
    print(json.dumps(run), file=sys.stderr if output == "-" else sys.stdout)


# -- list and show --------------------------------------------------------------------------------------------


def _chosen(args: argparse.Namespace, streams: list[str]) -> list[Row]:
    """The rows that the options choose, at least one.  Raises _MisuseError."""
    from ..corpus import archive, store

    stored: list[Row] = store.read_index()
    asked = {"stream": streams, "clause": args.clause, "format": args.format}
    rows = [row for row in archive.chosen(stored, asked) if row["file"] or not args.stored]
    if rows:
        return rows
    for by, patterns in asked.items():
        if patterns and not any(archive.chosen(stored, {by: patterns})):
            names = sorted({name for row in stored for name in archive.BY[by](row)})
            raise _unknown(by, patterns, names)
    options = ", ".join(f"--{by}" for by, patterns in asked.items() if patterns)
    options += ", --stored" if args.stored else ""
    raise _MisuseError(f"no stream matches all of {options}; leave one out")


def _unknown(what: str, patterns: list[str], names: list[str]) -> _MisuseError:
    """That no stream has such a name, and which has one like it."""
    of = {"stream": "", "clause": " of clause", "format": " of format"}[what]
    asked = " or ".join(map(repr, patterns))
    hint = f"; there are {', '.join(names)}" if what == "format" else inputs.near(names, *patterns)
    return _MisuseError(f"there is no stream{of} {asked}{hint}")


def _list(args: argparse.Namespace) -> int:
    if args.conversions:
        return _list_conversions(args)
    for row in _chosen(args, args.pattern + args.stream):
        print(json.dumps(row, ensure_ascii=False) if args.json else _line(row))
    return 0


def _line(row: Row) -> str:
    """A row in a line, or in more if it breaks many clauses."""
    # Ids begin with the clause that a stream is about.
    others = dict.fromkeys(found["clause"] for found in row["findings"] if found["clause"] != row["clause"])
    line = f"{row['id']:<46} {row['size']:>11,}  {row['reader']['does']}"
    if not others:
        return line
    return f"{line}\n{_wrapped('   ', ', '.join(others))}"


def _show(args: argparse.Namespace) -> int:
    from ..corpus import store

    rows: list[Row] = store.read_index()
    row = next((row for row in rows if row["id"] == args.id), None)
    if row is None:
        from . import conversions

        row = conversions.find(args.id)
        if row is None:
            raise _unknown("stream", [args.id], [row["id"] for row in rows])
        print(json.dumps(row, ensure_ascii=False) if args.json else conversions.text(row))
        return 0
    print(json.dumps(row, ensure_ascii=False) if args.json else _text(row))
    return 0


def _list_conversions(args: argparse.Namespace) -> int:
    """List golden conversions: by their own ids, or those of the streams that the options choose."""
    from ..corpus import archive
    from . import conversions

    found = [row for row in archive.of(_chosen(args, args.stream)) if conversions.matches(row, args.pattern)]
    if not found:
        raise _MisuseError("there is no such golden conversion; streamfmt corpus list --conversions lists all")
    for row in found:
        print(json.dumps(row, ensure_ascii=False) if args.json else conversions.line(row))
    return 0


def _text(row: Row) -> str:
    """A row for people."""
    lines = [row["id"]]
    read_as = [f"--as {row['as']}"] * (row["as"] != "auto") + [f"--mode {row['mode']}"] * (row["mode"] != "auto")
    does = row["reader"]["does"]
    facts = {
        "about": row["about"],
        "file": row["file"] or f"made on demand: streamfmt corpus export --stream {row['id']} -o FILE",
        "bytes": f"{row['size']:,}",
        "sha256": row["sha256"],
        "is": row["description"],
        "read it": " ".join(read_as + ["--deep"] * row["deep"]),
        "verdict": row["verdict"],
        "a reader": "may accept or reject it" if does == "either" else f"has to {does} it",
        "because": row["reader"]["why"],
        "made by": row["provenance"],
    }
    lines += [_wrapped(f"  {name:<9}", text) for name, text in facts.items() if text]
    lines += [f"  {row['severity']:<9} {row['clause']} at {row['offset']}" for row in row["findings"]]
    for known in row["known"]:
        when = f", when {known['when']}" if "when" in known else ""
        text = f"{known['reader']} {known['releases']}: {known['does']}{when} ({known['clause']})"
        lines.append(_wrapped("  known    ", text))
    return "\n".join(lines)


def _wrapped(ahead: str, text: str) -> str:
    """A line after `ahead` and a space, broken at 80 columns where there are spaces."""
    ahead = f"{ahead} "
    rest = " " * len(ahead)
    return fill(text, 80, initial_indent=ahead, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


# -- check, build and export ----------------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> int:
    from ..corpus import store

    rows: list[Row] = store.read_index()
    complaints = []
    with inputs.Progress(len(rows), streams=True) as progress:
        for complaint in store.check(progress):
            complaints.append(complaint)
            if not args.json:
                print(complaint)
    status = int(bool(complaints))
    if complaints:
        inputs.say(f"streamfmt corpus: {len(complaints)} complaints; streamfmt corpus build rebuilds it")
    elif not args.json:
        print(f"{store.counted(rows)}: all as expected")
    if args.json:
        _report(args, status, rows, complaints)
    return status


def _build(args: argparse.Namespace) -> int:
    from .. import data
    from ..corpus import entries, store

    if not args.output and not data.checkout():
        raise _MisuseError("this is an installed streamfmt, whose own corpus is not rebuilt; give -o DIR")
    target = Path(args.output) if args.output else entries.folder()
    with inputs.Writing(), inputs.Progress(entries.number(), streams=True) as progress:
        rows = store.build(target, progress)
    if args.json:
        _report(args, 0, rows)
    else:
        print(f"{inputs.shown(str(target))}: {store.counted(rows)}")
    return 0


def _output(name: str, rows: list[Row]) -> tuple[list[Row], Iterable[Buffer]]:
    """The input of a golden conversion, and its output.  Raises _MisuseError."""
    from . import conversions

    golden = conversions.find(name)
    if golden is None or golden["output"] is None:
        raise _MisuseError(f"there is no golden conversion {name!r} that has an output")
    of = next(row for row in rows if row["id"] == golden["input"])
    return [of], [conversions.expected(golden, of)]


def _export(args: argparse.Namespace) -> int:
    from ..corpus import archive, store
    from ..io import outputs

    if args.output == "-" and sys.stdout.isatty():
        raise _MisuseError("standard output is a terminal; give -o a file, or a pipe")
    rows = _chosen(args, args.stream)
    one = len(args.stream) == 1 and args.stream[0] == rows[0]["id"]
    with inputs.Progress(len(rows), streams=True) as progress:
        if args.conversion is not None:
            rows, pieces = _output(args.conversion, rows)
        else:
            pieces = store.pieces(rows[0]) if one else [archive.pack(rows, progress)]
    try:
        with inputs.Writing():
            outputs.write_all(1 if args.output == "-" else args.output, pieces)
    except OSError as error:
        if args.output == "-":
            raise
        return _failed(args, 3, f"{inputs.shown(args.output)}: cannot write: {reason(error)}")
    if args.json:
        _report(args, 0, rows)
    elif args.output != "-":
        print(f"{inputs.shown(args.output)}: {store.counted(rows)}")
    return 0


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "build": _build,
    "export": _export,
}
