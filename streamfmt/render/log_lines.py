"""What lines of logs mean, for a person, within 80 columns, and as plain values for machines."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, shorten

from ..schema.clauses import registry
from ..schema.log_lines import Found, causes, words
from .rules import FORMAT, WIDTH, facts

_ROLES = {
    "cause": "",
    "effect": "what followed from an error before it",
    "progress": "no error",
}
_EVIDENCE = {"run": "seen running", "read": "read"}


def full(found: Found, count: int = 1) -> str:
    """A line in full; `count` is how often the log has it."""
    known = found.known
    again = f", {count:,} times" if count > 1 else ""
    if found.guess:
        lines = [
            fill(f"Not a known line: {_clear(found.line)}", WIDTH),
            "",
            fill(f"A guess, by its words: {known.reader} prints one like it, ... {found.pattern} ...", WIDTH),
        ]
    else:
        lines = [fill(f"{known.reader}{again}: {_clear(found.line)}", WIDTH)]
    reasons = [*causes(known)]
    numbered = [f"{number}. {text}" for number, text in enumerate(reasons, 1)] if len(reasons) > 1 else reasons
    reader = f"{known.reader}, {words()['readers'][known.reader]}"
    since = f"Xen {known.releases}, " if known.releases else ""
    titles = [f"{name}: {registry()[name].title}" for name in known.clauses]
    commands = [*known.next, *(f"streamfmt explain {name}" for name in known.clauses[:1])]
    lines += ["", fill(known.means.strip(), WIDTH), ""]
    lines += facts(
        role=_ROLES[known.role],
        clause="\n".join(titles),
        values=", ".join(f"{name} {_clear(value)}" for name, value in found.values.items()),
        reader=reader,
        evidence=f"{since}{_EVIDENCE[known.evidence]}: {known.source}",
        causes="\n".join(numbered),
        next="\n".join(commands),
    )
    return "\n".join(lines)


def short(found: Found, count: int = 1) -> str:
    """A line that is no cause beside those that are: who says it, and what it means, in two lines at most."""
    again = f" ({count:,} times)" if count > 1 else ""
    head = f"  {found.known.reader:<12} "
    said = shorten(f"{_clear(found.line)}{again}", WIDTH - len(head), placeholder=" ...")
    means = shorten(found.known.means.strip(), WIDTH - len(head), placeholder=" ...")
    return f"{head}{said}\n{' ' * len(head)}{means}"


def log_text(rows: Sequence[tuple[Found, int]]) -> str:
    """All that a log says, the causes in full; each with how often the log has it."""
    causing = [row for row in rows if row[0].known.role == "cause" or row[0].guess]
    in_full = causing or [row for row in rows if row[0].known.role == "effect"] or rows
    rest = [row for row in rows if row not in in_full]
    texts = [full(*row) for row in in_full]
    if rest:
        texts.append("\n".join(["Also in the log:", "", *(short(*row) for row in rest)]))
    return "\n\n".join(texts)


def line_dict(found: Found, count: int) -> dict[str, object]:
    """A line as plain values; spec/json/explain.json describes them."""
    known = found.known
    return {
        "format": FORMAT,
        "line": found.line,
        "count": count,
        "guess": found.guess,
        "pattern": found.pattern,
        "values": dict(found.values),
        "reader": known.reader,
        "releases": known.releases,
        "evidence": known.evidence,
        "role": known.role,
        "source": known.source,
        "means": known.means.strip(),
        "clauses": list(known.clauses),
        "causes": list(causes(known)),
        "next": list(known.next),
    }


def _clear(text: str) -> str:
    """Text of others in characters that any terminal takes."""
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)
