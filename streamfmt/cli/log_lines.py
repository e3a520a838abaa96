"""Lines of logs for `explain`: which of the words are such, and what they say."""

from __future__ import annotations

import sys
from collections import Counter

from ..errors import UnreadableError
from ..io.sources import reason
from ..render.log_lines import line_dict, log_text
from ..schema.log_lines import LINE_MAX, Found, LogLine, logged, nearest, recognised
from .inputs import complain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

UNREADABLE = 3
# If none of a log's lines is known, the nearest known ones of this many are a guess.
_GUESSES = 3
_ALARM = ("error", "fail", "invalid", "unable", "cannot", "bad ", "wrong", "unexpected", "refus", "truncat")
_UNLIKE = "no reader is known to print such a line, or one like it"


def blank(name: str) -> bool:
    """Whether there are blanks within a word, as in a quoted phrase."""
    return any(map(str.isspace, name.strip()))


def divided(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines among the words, "-" for those of standard input, and the other words.

    A word with blanks in it is a line if it is recognised, or begins as lines of logs do; several words are one if
    they are recognised together, as without quotes.
    """
    if len(names) > 1 and not any(map(blank, names)) and recognised(" ".join(names)):
        return [" ".join(names)], []
    lines: list[str] = []
    others: list[str] = []
    for name in names:
        pieces = [line for line in name.splitlines() if line.strip()]
        if name == "-" or (blank(name) and any(recognised(line) or logged(line) for line in pieces)):
            lines += pieces
        else:
            others.append(name)
    return lines, others


def run(lines: Sequence[str], machine: bool, unlike: str = _UNLIKE) -> int:
    """Print what lines say, "-" being those of standard input; `unlike` is said if they are like none.

    Returns the exit status.
    """
    try:
        found, unknown = explained(one for line in lines for one in (_input() if line == "-" else [line]))
    except UnreadableError as error:
        complain("-", error)
        return UNREADABLE
    if not found:
        say(f"streamfmt: {unlike}")
        return 2
    if machine:
        from json import dumps

        for row in found:
            print(dumps(line_dict(*row)))
    else:
        print(log_text(found))
    if unknown and not found[0][0].guess:
        say(f"streamfmt: {unknown:,} more line{'s are' if unknown > 1 else ' is'} not known")
    return 0


def _input() -> Iterator[str]:
    """The lines of standard input.  Raises UnreadableError."""
    if sys.stdin is None:
        raise UnreadableError("it is closed")
    try:
        # A piece at a time, so that no line takes the machine's memory.
        while line := sys.stdin.buffer.readline(LINE_MAX):
            if b"\0" in line:
                raise UnreadableError("it is no text; to judge a stream: streamfmt verify -")
            yield line.decode(errors="replace")
    except OSError as error:
        raise UnreadableError(reason(error)) from error


def explained(lines: Iterable[str]) -> tuple[list[tuple[Found, int]], int]:
    """What lines say, each thing once with its count, in the order of the log; and how many lines are not known.

    If none is known, the nearest of the known ones are a guess for the first that sound like errors, or for any.
    """
    found: dict[LogLine, Found] = {}
    counts: Counter[LogLine] = Counter()
    alarming: list[str] = []
    others: list[str] = []
    unknown = 0
    for line in lines:
        known = recognised(line)
        for row in known:
            found.setdefault(row.known, row)
        counts.update({row.known for row in known})
        if not known and line.strip():
            unknown += 1
            kept = alarming if any(word in line.lower() for word in _ALARM) else others
            if len(kept) < _GUESSES:
                kept.append(line)
    if found:
        return [(row, counts[known]) for known, row in found.items()], unknown
    guesses = {row.known: row for row in map(nearest, alarming or others) if row}
    return [(row, 1) for row in guesses.values()], unknown
