"""Tell what a rule says, who must keep it, where it comes from, and what real
readers do.

Without a clause it lists them all; a beginning such as LIBXC-PAGE lists those.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from textwrap import fill, indent

from ..schema.clauses import Clause, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt explain LIBXC-PAGE-COUNT
  streamfmt explain LIBXL-EMU
  streamfmt explain --json LIBXC-PAGE-COUNT
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clauses", metavar="CLAUSE", nargs="*", help="clause id, or its beginning")
    parser.add_argument("--json", action="store_true", help="print JSON; see docs/json.md")


def run(args: argparse.Namespace) -> int:
    clauses = registry()
    chosen: list[Clause] = []
    for wanted in [name.upper() for name in args.clauses] or [""]:
        found = [clauses[wanted]] if wanted in clauses else [c for c in clauses.values() if c.id.startswith(wanted)]
        if not found:
            close = get_close_matches(wanted, clauses, 3, 0.5)
            near = f"; did you mean {', '.join(close)}?" if close else ""
            print(f"streamfmt: there is no clause {wanted}{near}", file=sys.stderr)
            return 2
        chosen += found
    if args.json:
        from json import dumps

        for clause in chosen:
            print(dumps(as_dict(clause)))
    elif len(chosen) > len(args.clauses):
        width = max(len(clause.id) for clause in chosen)
        for clause in chosen:
            print(f"{clause.id:<{width}}  {clause.severity or 'reader':<7}  {clause.title}")
    else:
        print("\n\n".join(text(clause) for clause in chosen))
    return 0


def as_dict(clause: Clause) -> dict[str, object]:
    """The clause as plain values; spec/json/explain.json describes them."""
    names = (name for name in clause.__slots__ if name != "readers")
    readers = [{name: getattr(row, name) for name in row.__slots__} for row in clause.readers]
    return {"format": "streamfmt-explain-1"} | {name: getattr(clause, name) for name in names} | {"readers": readers}


def text(clause: Clause) -> str:
    """The clause for a person, within 80 columns."""
    judged = {
        "stream": "a stream alone shows a breach",
        "context": "only a declared mode, guest or receiver shows it",
        "reader": "only a reader's behaviour shows it",
    }[clause.judged]
    lines = [f"{clause.id}: {clause.title}", ""]
    lines += [fill(clause.text.strip(), 78), ""]
    lines.append(f"  writer    {clause.writer}")
    lines.append(f"  reader    {clause.reader}")
    lines.append(f"  judged    {judged}")
    if clause.severity:
        lines.append(f"  severity  {clause.severity}")
    lines.append(f"  since     {clause.since}" + (f", until {clause.until}" if clause.until else ""))
    lines.append(f"  about     {_wrapped(', '.join(clause.applies))}")
    lines.append(f"  source    {_wrapped(clause.source)}")
    if clause.hint:
        lines.append(f"  hint      {_wrapped(clause.hint)}")
    if clause.merged:
        lines.append(f"  merged    {_wrapped(', '.join(clause.merged))}")
    if clause.withdrawn:
        lines.append(f"  withdrawn {_wrapped(clause.withdrawn)}")
    if clause.readers:
        lines += ["", "Known readers, on meeting the breach:"]
        width = max(17, *(len(row.reader) for row in clause.readers))
        for row in clause.readers:
            seen = "seen running" if row.evidence == "run" else "read in its code"
            lines.append(f"  {row.reader:<{width}} {row.releases:<10} {row.does:<7} ({seen})")
            when = "though the rule is kept" if row.kept else row.when
            for words in filter(None, (when and f"when: {when}", row.note)):
                lines.append(indent(fill(words, 70), " " * 6))
    return "\n".join(lines)


def _wrapped(words: str) -> str:
    return fill(words, 66).replace("\n", "\n" + " " * 12)
