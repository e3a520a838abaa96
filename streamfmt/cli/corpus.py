"""List the corpus of streams, show one, check it, make it from its recipes, or
pack it for others.

Every stream has an id, such as good/libxl-hvm or LIBXC-PAGE-COUNT/broken/empty.
"""

from __future__ import annotations

import fnmatch
import json
import sys
import textwrap
from pathlib import Path

from ..reader.sources import reason
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

EXAMPLES = """examples:
  streamfmt corpus list 'LIBXC-PAGE-*'
  streamfmt corpus show LIBXC-PAGE-COUNT/broken/empty
  streamfmt corpus check
  streamfmt corpus export -o corpus.tar.gz
  streamfmt corpus export -o - | tar xz

exit status: 0 done, and all is as it should be; 1 something is not; 2 wrong
usage, or no stream of that name; 3 could not read or write
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", title="verbs", metavar="VERB", required=True)
    listing = verbs.add_parser(
        "list", help="list streams: id, size, what a reader has to do, other clauses that it breaks"
    )
    listing.add_argument("pattern", metavar="PATTERN", nargs="?", default="*", help="ids, with * and ? (default: all)")
    listing.add_argument("--json", action="store_true", help="print rows of the index, one a line")
    show = verbs.add_parser("show", help="tell all about one stream")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="print its row of the index")
    verbs.add_parser("check", help="make every stream, judge it, and hold it against its file and the index")
    build = verbs.add_parser("build", help="make the corpus from its recipes")
    build.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="where to, without real/ (default: where it lies)",
    )
    export = verbs.add_parser("export", help="pack streams, index and checksums into a tar archive")
    export.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the archive, a .tar.gz; - is standard output"
    )


def run(args: argparse.Namespace) -> int:
    from ..corpus.store import CorpusError
    from ..writer.tables import RecipeError

    try:
        return _VERBS[args.what](args)
    except CorpusError as error:
        print(f"streamfmt corpus: {error}; streamfmt corpus build makes it anew", file=sys.stderr)
        return 1
    except RecipeError as error:
        print(f"streamfmt corpus: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not error.filename:
            raise  # standard output's
        print(f"streamfmt corpus: {inputs.shown(str(error.filename))}: {reason(error)}", file=sys.stderr)
        return 3


def _list(args: argparse.Namespace) -> int:
    from ..corpus import store

    rows = [row for row in store.read_index() if fnmatch.fnmatchcase(row["id"], args.pattern)]
    if not rows:
        print(f"streamfmt corpus: there is no stream {args.pattern!r}", file=sys.stderr)
        return 2
    for row in rows:
        if args.json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            # Ids begin with the clause that a stream is about.
            others = dict.fromkeys(found["clause"] for found in row["findings"] if found["clause"] != row["clause"])
            print(f"{row['id']:<46} {row['size']:>10,}  {row['reader']['does']:<6}  {', '.join(others)}".rstrip())
    return 0


def _show(args: argparse.Namespace) -> int:
    from ..corpus import store

    rows: list[dict[str, Any]] = store.read_index()
    row = next((row for row in rows if row["id"] == args.id), None)
    if row is None:
        from difflib import get_close_matches

        near = get_close_matches(args.id, [row["id"] for row in rows], 3, 0.5)
        hint = f"; is one of these meant: {', '.join(near)}?" if near else ""
        print(f"streamfmt corpus: there is no stream {args.id!r}{hint}", file=sys.stderr)
        return 2
    print(json.dumps(row, ensure_ascii=False, indent=2) if args.json else _text(row))
    return 0


def _text(row: dict[str, Any]) -> str:
    """A row for people."""
    lines = [row["id"]]
    read_as = [f"--as {row['as']}"] * (row["as"] != "auto") + [f"--mode {row['mode']}"] * (row["mode"] != "auto")
    told = {
        "about": row["about"],
        "file": row["file"] or "not stored: it is too large; streamfmt build makes it",
        "octets": f"{row['size']:,}",
        "sha256": row["sha256"],
        "is": row["description"],
        "read it": " ".join(read_as + ["--deep"] * row["deep"]),
        "verdict": row["verdict"],
        "a reader": f"has to {row['reader']['does']} it" if row["reader"]["does"] != "either" else "may take it or not",
        "because": row["reader"]["why"],
        "made by": row["provenance"],
    }
    lines += [_wrapped(name, text) for name, text in told.items() if text]
    lines += [f"  {row['severity']:<9} {row['clause']} at {row['offset']}" for row in row["findings"]]
    for known in row["known"]:
        when = f", when {known['when']}" if "when" in known else ""
        told_of = f"{known['reader']} {known['releases']}: {known['does']}{when} ({known['clause']})"
        lines.append(_wrapped("known", told_of))
    return "\n".join(lines)


def _wrapped(name: str, text: str) -> str:
    """A line of the row, broken at 80 columns where there are spaces."""
    ahead = f"  {name:<9} "
    rest = " " * len(ahead)
    return textwrap.fill(
        text, 80, initial_indent=ahead, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _check(_: argparse.Namespace) -> int:
    from ..corpus import store

    count = 0
    for complaint in store.check():
        print(complaint)
        count += 1
    if count:
        print(f"streamfmt corpus: {count} complaints; streamfmt corpus build makes it anew", file=sys.stderr)
        return 1
    print(f"{len(store.read_index()):,} streams are as they should be")
    return 0


def _build(args: argparse.Namespace) -> int:
    from ..corpus import sources, store

    target = Path(args.output) if args.output else sources.folder()
    print(f"{inputs.shown(str(target))}: {store.build(target):,} streams")
    return 0


def _export(args: argparse.Namespace) -> int:
    from ..corpus import store
    from ..writer.sinks import write

    if args.output == "-" and sys.stdout.isatty():
        print("streamfmt corpus: standard output is a terminal; give -o a file, or a pipe", file=sys.stderr)
        return 2
    archive, count = store.archive()
    if args.output == "-":
        write(1, archive)
        return 0
    try:
        write(args.output, archive)
    except OSError as error:
        inputs.complain(args.output, f"cannot write: {reason(error)}")
        return 3
    print(f"{inputs.shown(args.output)}: {count:,} streams")
    return 0


_VERBS = {"list": _list, "show": _show, "check": _check, "build": _build, "export": _export}
