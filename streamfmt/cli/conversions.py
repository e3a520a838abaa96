"""Golden conversions for `streamfmt corpus`: found, shown, and their outputs made."""

from __future__ import annotations

from hashlib import sha256
from shlex import join
from textwrap import fill

from ..codec.content import joined
from ..corpus import conversions, store
from ..corpus.store import Row
from ..errors import CorpusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What Xen's own converter does, in words.
_DOES = {"same": "the same bytes", "other": "something else", "reject": "refuses it", "": "not known"}


def find(name: str) -> Row | None:
    """The golden conversion with that id, if there is one.  Raises CorpusError and OSError."""
    return next((row for row in conversions.read_index() if row["id"] == name), None)


def matches(row: Row, patterns: Sequence[str]) -> bool:
    """Whether its id matches one of the patterns, if there are any."""
    return not patterns or conversions.matches(row["id"], patterns)


def line(row: Row) -> str:
    """A row in a line."""
    made = f"{row['output']['size']:,}" if row["output"] else "refused"
    return f"{row['id']:<56} {made:>11}  {row['script']['does'] if row['script'] else '-'}"


def text(row: Row) -> str:
    """A row for people."""
    output = row["output"]
    facts = {
        "about": row["about"],
        "input": row["input"],
        "command": f"{row['command']} {join(row['options'])}",
        "text": row["configuration"] and f"{row['configuration']} in the file that --configuration names",
        "status": str(row["status"]),
        "output": output and f"{output['size']:,} bytes, sha256 {output['sha256']}",
        "which is": output and output["stream"],
    }
    lines = [row["id"], *(_wrapped(f"  {name:<9}", value) for name, value in facts.items() if value)]
    lines += [f"  refused   {found['rule']} at {found['offset']}" for found in row["refused"]]
    lines += [f"  {done['kind']:<9} {done['rule']}, {done['count']} times" for done in row["report"]]
    if row["script"]:
        lines.append(f"  Xen's     {_DOES[row['script']['does']]}")
        for known in row["script"]["by"]:
            words = "; ".join(known[key] for key in ("does", "note", "why") if key in known)
            lines.append(_wrapped("           ", f"{known['clause']}: {words}"))
    return "\n".join(lines)


def _wrapped(ahead: str, words: str) -> str:
    ahead = f"{ahead} "
    rest = " " * len(ahead)
    return fill(words, 80, initial_indent=ahead, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def expected(row: Row, of: Row) -> bytes:
    """The output that a conversion of that stream has to have.  Raises CorpusError if it is made otherwise, OSError."""
    _, made = conversions.made(row, joined(tuple(store.pieces(of))))
    if sha256(made).hexdigest() != row["output"]["sha256"]:
        raise CorpusError(f"{row['id']} is made otherwise than {conversions.INDEX} says")
    return made
