"""What readers print about streams, and what it means: the lines of spec/log-lines, and the search among them.

A line of a log is recognised by short parts of its message, so whatever toolstacks and loggers put before and after
a message does not matter.  The keys of the data are explained at the top of spec/log-lines/libxenguest.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any

from .. import data

FILES = ("libxenguest", "libxl", "xl", "scripts", "xen", "toolstacks", "qemu")
_PLACE = re.compile(r"\{(\w*)\}")
# Of a longer line only this much is looked at: no message is as long.
LINE_MAX = 4096
# What stands before messages: stamps, hosts, programs with their numbers, levels, and places in a source.
_BEFORE = re.compile(
    r"""\s*(?:
      (?:\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?(?:\ UTC|\ GMT)?:?     # a stamp
        |[A-Z][a-z]{2}\s+\d+\s\d\d:\d\d:\d\d(?:\s\d{4})?)                        # or one of syslog,
      (?:\s[\w.-]+(?=\s[^\s:]+:))?                                               # and a host
    | \((?:XEN|d\d+(?:v\d+)?)\)                                                  # the hypervisor
    | \[[^\]]{0,200}\]:?                                                         # anything in brackets
    | (?:fatal\ )?(?:error|warning|notice|info|debug|detail|verbose|progress)\ ?:
    | [\w./-]+(?:\[\d+\])?:(?=\s)                                                # a program, or a thread
    | \w+(?:\.c)?:\d+\ ?:(?:\w+:)?                                              # a place in a source
    | Domain\ \d+:
    )""",
    re.VERBOSE,
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_AFTER = re.compile(r":? Internal error\s*$")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")
# How alike a line must be to a known one to be taken for a form of it: the part of their words that both have.
_ALIKE = 0.4


@dataclass(frozen=True, slots=True)
class LogLine:
    """A thing that a reader says: how to recognise it, and what it means."""

    patterns: tuple[str, ...]
    reader: str
    releases: str
    evidence: str
    clauses: tuple[str, ...]
    means: str
    causes: tuple[str, ...]
    source: str
    role: str = "cause"
    next: tuple[str, ...] = ("streamfmt verify FILE",)


@dataclass(frozen=True, slots=True)
class Found:
    """A line, or part of one, and what it was recognised as; `guess` if it is only the nearest of the known ones."""

    line: str
    known: LogLine
    pattern: str
    values: Mapping[str, str]
    guess: bool = False


def _load(name: str) -> dict[str, Any]:
    with open(os.path.join(data.path("spec", "log-lines"), f"{name}.toml"), "rb") as file:
        return tomllib.load(file)


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """What the readers are, and the usual causes, by their names in the data."""
    return _load("words")


@cache
def known_lines() -> tuple[LogLine, ...]:
    """Every line that is known, in the order of the files.  Raises TypeError for a key that no line has."""
    found = []
    for name in FILES:
        file = _load(name)
        rows = file.pop("line")
        for row in rows:
            pairs = (file | row).items()
            values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in pairs}
            found.append(LogLine(**values))
    return tuple(found)


def literal(pattern: str) -> str:
    """The part of a pattern that is literal."""
    return _PLACE.sub("", pattern)


def filled(pattern: str, value: str) -> str:
    """A message that a pattern is of: with a value in each of its places."""
    return _PLACE.sub(value, pattern)


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = _PLACE.split(pattern)
    text = ""
    for number, piece in enumerate(pieces):
        if number % 2:
            last = number == len(pieces) - 2 and not pieces[-1]
            # At the end a value takes all but punctuation, before more text as little as will do.
            word = r"\S*[^\s,;:.()\[\]'\"`]" if last else r"\S{1,400}?"
            text += f"(?P<{piece}>{word})" if piece else f"(?:{word})"
        else:
            text += re.escape(piece)
    before = r"(?<![A-Za-z0-9])" if pattern[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if pattern[-1].isalnum() else ""
    return re.compile(before + text + after)


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str], LogLine], ...]:
    """The patterns, those with the most literal text first: they say the most.

    Beside each is its longest literal piece: to look for that is a hundred times faster than to search.
    """
    rows = [
        (pattern, max(_PLACE.split(pattern)[::2], key=len), _compiled(pattern), line)
        for line in known_lines()
        for pattern in line.patterns
    ]
    return tuple(sorted(rows, key=lambda row: -len(literal(row[0]))))


def recognised(line: str) -> list[Found]:
    """What a line says: what went wrong first, then what followed from it; empty if it is not known.

    A toolstack may quote the message of another in its own, so a line can say several things.
    """
    line = _bare(" ".join(_COLOUR.sub("", line[:LINE_MAX]).split()))
    found: list[tuple[int, int, Found]] = []
    for pattern, piece, compiled, known in _patterns():
        match = compiled.search(line) if piece in line else None
        if match and not any(match.start() < end and start < match.end() for start, end, _ in found):
            values = {name: value.strip("'\"`") for name, value in match.groupdict().items()}
            found.append((*match.span(), Found(message(line), known, pattern, values)))
    roles = ("cause", "effect", "progress")
    return [row for _, _, row in sorted(found, key=lambda row: (roles.index(row[2].known.role), row[0]))]


def _bare(line: str) -> str:
    """A line without the quotes that it may have been copied with."""
    line = line.strip()
    return line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'`" else line


def message(line: str) -> str:
    """A line without what loggers put before the message, if anything is left then."""
    start = 0
    while (match := _BEFORE.match(line, start)) and match.end() > start:
        start = match.end()
    return _AFTER.sub("", line[start:]).strip() or line.strip()


def logged(line: str) -> bool:
    """Whether a line begins as lines of logs do."""
    return _BEFORE.match(_bare(line)) is not None


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))


@cache
def _weights() -> tuple[Mapping[str, float], tuple[tuple[frozenset[str], str, LogLine], ...]]:
    """How much each word says of a pattern, and the words of each."""
    rows = tuple((_words(literal(pattern)), pattern, line) for pattern, _, _, line in _patterns())
    counts: dict[str, int] = {}
    for having, _, _ in rows:
        for word in having:
            counts[word] = counts.get(word, 0) + 1
    return {word: log(len(rows) / count) for word, count in counts.items()}, rows


def nearest(line: str) -> Found | None:
    """The known line that has most words in common with one that is not known; None if none is alike."""
    weights, rows = _weights()
    unknown = log(len(rows))
    own = _words(message(line[:LINE_MAX]))

    def alike(having: frozenset[str]) -> float:
        total = sum(weights.get(word, unknown) for word in own | having)
        return sum(weights[word] for word in own & having) / total if total else 0

    best = max(rows, key=lambda row: alike(row[0]))
    return Found(message(line), best[2], best[1], {}, guess=True) if alike(best[0]) >= _ALIKE else None


def causes(line: LogLine) -> Iterator[str]:
    """The usual causes of a line, as sentences, the likeliest first."""
    for name in line.causes:
        yield words()["causes"][name].strip()
