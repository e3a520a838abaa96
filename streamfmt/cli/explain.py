"""Explain rules, records, and lines of logs: what they say, where they come from,
and what real readers do.

Without a name it lists all rules.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from ..render import rules
from ..schema.catalogue import catalogue
from ..schema.clauses import Clause, registry
from ..schema.model import Layout
from . import log_lines
from .inputs import near, say, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

EXAMPLES = """examples:
  streamfmt explain LIBXC-PAGE-COUNT     one rule, by its id
  streamfmt explain 'LIBXC-PAGE-*'       the rules whose ids are like this
  streamfmt explain PAGE_DATA            a record: its fields, and its rules
  streamfmt explain page type            the rules with these words, best first
  streamfmt explain --json PAGE_DATA     the same for machines
  streamfmt explain 'xc: error: No STATIC_DATA_END seen: Internal error'
                                         a line of a log, in quotes
  xl restore guest.sav 2>&1 | streamfmt explain -
                                         the lines of standard input

exit status: 0 done; 2 nothing has that name or is like that line, or wrong
usage; 3 standard input cannot be read
"""
# What distinguishes the name of a clause or a record from a word.
_NAME = re.compile(r"[A-Z]|[^a-z]")
_GLOB = re.compile(r"[*?\[]")
# Characters of what is not known that are said again.
LONGEST = 400


class UnknownError(Exception):
    """There is nothing of that name; the message has what is near."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="id of a clause, its beginning or a pattern of ids; a record or header, such as PAGE_DATA or "
        "libxl.EMULATOR_CONTEXT; words in lower case; a line of a reader's log, in quotes; or - for lines on standard "
        "input",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")


def run(args: argparse.Namespace) -> int:
    lines, names = log_lines.divided(args.names)
    if not lines:
        return _run_names(names, args.json)
    status = log_lines.run(lines, args.json)
    if not names:
        return status
    print(end="" if args.json else "\n")
    return max(status, _run_names(names, args.json))


def _run_names(names: list[str], machine: bool) -> int:
    clauses = registry()
    try:
        found, whole = chosen(names, clauses)
    except UnknownError as error:
        if any(map(log_lines.blank, names)):
            return log_lines.run(names, machine, unlike=str(error))
        say(f"streamfmt: {shown(str(error)[:LONGEST])}")
        return 2
    if machine:
        from json import dumps

        for one in found:
            print(dumps(rules.clause_dict(one) if isinstance(one, Clause) else rules.layout_dict(one, _about(one))))
        return 0
    texts = [
        rules.layout_text(one, _about(one)) if isinstance(one, Layout) else rules.clause_text(one)
        for one in found
        if whole or isinstance(one, Layout)
    ]
    if not whole:
        texts.append("\n".join(rules.listed([one for one in found if isinstance(one, Clause)])))
    print("\n\n".join(filter(None, texts)))
    return 0


def _about(layout: Layout) -> list[Clause]:
    return rules.clauses_about(layout.path, registry().values())


def chosen(names: Iterable[str], clauses: Mapping[str, Clause]) -> tuple[list[Clause | Layout], bool]:
    """What the names and words mean, each once; and whether every clause has been named by its own id.

    Words may come in one argument, as a quoted phrase does.  Raises UnknownError.
    """
    names = [name for piece in names for name in piece.split()]
    found: dict[str, Clause | Layout] = {}
    words = []
    whole = True
    for name in names:
        if not _NAME.search(name):
            words.append(name)
            continue
        matches = named(name, clauses)
        whole = whole and (name.upper() in clauses or all(isinstance(one, Layout) for one in matches))
        if matches:
            found |= {one.id if isinstance(one, Clause) else one.path: one for one in matches}
        elif name.isalnum() and with_words([name], clauses):
            words.append(name)
        else:
            raise UnknownError(f"there is no clause or record {name}{near([*clauses, *_records()], name, cutoff=0.6)}")
    if words:
        whole = False
        having = with_words(words, clauses)
        if not having:
            missing = [word for word in words if not with_words([word], clauses)]
            hint = near(_vocabulary(clauses), missing[0], cutoff=0.6) if missing else "; try fewer of them"
            raise UnknownError(f"no clause has {' and '.join(missing or words)}{hint}")
        found |= {one.id: one for one in having}
    if not names:
        return [*clauses.values()], False
    return [*found.values()], whole


def named(name: str, clauses: Mapping[str, Clause]) -> list[Clause | Layout]:
    """What has that name: the clause of that id, else those whose ids match it, else records and beginnings of ids."""
    upper = name.upper()
    if upper in clauses:
        return [clauses[upper]]
    if _GLOB.search(name):
        return [clause for clause in clauses.values() if fnmatchcase(clause.id, upper)]
    layouts = [layout for path, layout in catalogue().items() if name.lower() in _names(path.lower())]
    beginning = f"{upper}-" if layouts else upper
    return [*layouts, *(clause for clause in clauses.values() if clause.id.startswith(beginning))]


def _names(path: str) -> tuple[str, str]:
    """What a layout may be called: its path, or that without its layer."""
    return path, path.partition(".")[2]


def _records() -> list[str]:
    return [name for path in catalogue() for name in _names(path)]


def with_words(words: Iterable[str], clauses: Mapping[str, Clause]) -> list[Clause]:
    """The clauses that have all of the words, or words that begin so: those in ids first, then in titles."""
    patterns = [re.compile(rf"(?<![a-z0-9]){re.escape(word.lower())}([a-z0-9]*)") for word in words]

    def points(clause: Clause) -> int:
        total = 0
        for pattern in patterns:
            best = 0
            for weight, text in ((9, clause.id), (4, clause.title), (1, clause.text)):
                endings = pattern.findall(text.lower())
                best += 2 * weight if "" in endings or "s" in endings else weight if endings else 0
            if not best:
                return 0
            total += best
        return total

    scored = {clause: points(clause) for clause in clauses.values()}
    return sorted(filter(scored.get, scored), key=lambda clause: -scored[clause])


def _vocabulary(clauses: Mapping[str, Clause]) -> list[str]:
    text = " ".join(f"{clause.id} {clause.title} {clause.text}" for clause in clauses.values())
    return sorted(set(re.findall(r"[a-z0-9]{3,}", text.lower())))
