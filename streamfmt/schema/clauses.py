"""The clause registry: every rule of the formats, loaded from the TOML files in spec/clauses.

A clause has a permanent id.  Its keys are explained at the top of each file; :class:`Clause` says the same in
types.  Only printing a clause and compiling the reader's tables load it: verification itself runs on those.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from .. import data

FILES: tuple[str, ...] = (
    "stream",
    "containers",
    "xapi",
    "libxl",
    "libxc",
    "payloads",
    "checkpoint",
    "capture",
    "legacy",
    "qemu",
    "multifd",
    "vfio",
)
# Schema paths of layers that differ in the width of words only are written once.
_EITHER, _WIDTHS = "legacy-*.", ("legacy-64.", "legacy-32.")
# The reader and the release that our command of the same name stands in for.
SCRIPT, SCRIPT_RELEASE = "verify-stream-v2", "4.17"
# So does another of ours for Xen's converter of legacy streams.
CONVERTER = "convert-legacy-stream"
# What of `does` says that a reader does not survive: it ends by a fault, or it never ends.  Such a row is no recipe:
# it has no note, and where it depends on the breach no other words than these.
FATAL = frozenset(("crash", "hang"))
OTHERWISE = "it is broken otherwise"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one known reader does with the breach, in which of its releases.

    `releases` are spans, inclusive and perhaps open: "4.14-", or "4.6-4.18.4, 4.19.0-4.19.1".  A number without its
    last part stands for all of that series, or for its latest where one release is meant.  `evidence` is "run" if it
    was seen running, in the releases that `ran` names, and "read" if we know it from the code alone.  `does` is
    "accept", "reject", "ignore", "crash" or "hang", or "either" if that is left to chance.

    Where that depends on the breach there are several rows, each of which says `when` in words.  `kept` rows are about
    streams that keep the rule and have what it is about, for readers that cannot cope with these.

    `why` is the reason to do otherwise, of a reader that our own command stands in for: that refuses what the reader
    takes, takes what it refuses, or makes something else of it.
    """

    reader: str
    releases: str
    does: str
    evidence: str
    note: str = ""
    when: str = ""
    why: str = ""
    kept: bool = False
    ran: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it does, for people."""
        return "does not survive" if self.does in FATAL else self.does

    def covers(self, release: str) -> bool:
        """Whether this is about that release."""
        return any(first <= _number(release, _LATEST) <= last for first, last in self.spans())

    def spans(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The first and the last release of each span, as numbers of three parts."""
        ends = [span.strip().partition("-") for span in self.releases.split(",")]
        return [
            (_number(first, 0), _number(last or (str(_LATEST) if dash else first), _LATEST))
            for first, dash, last in ends
        ]


@dataclass(frozen=True, slots=True)
class Clause:
    """One rule.

    `writer` and `reader` are the levels (must, should, ...) for either side; `judged` says whether a stream
    alone shows the breach ("stream"), a declared mode or guest is needed ("context"), or only a reader's
    behaviour can show it ("reader").  `applies` are schema paths.  `fields` and `lengths` are the ones whose
    check follows from the schema alone.  A `deep` one is judged with --deep only.
    """

    id: str
    title: str
    text: str
    writer: str
    reader: str
    judged: str
    source: str
    applies: tuple[str, ...]
    deep: bool = False
    severity: str = ""
    fields: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    since: str = "4.6"
    until: str = ""
    hint: str = ""
    merged: tuple[str, ...] = ()
    withdrawn: str = ""
    readers: tuple[Behaviour, ...] = ()

    @property
    def survived(self) -> bool:
        """Whether no reader is known to crash or hang where the rule is broken: only then such streams are stored."""
        return not any(row.does in FATAL and not row.kept for row in self.readers)

    def known(self, reader: str, release: str) -> tuple[Behaviour, ...]:
        """What is known of that release of that reader."""
        return tuple(row for row in self.readers if row.reader == reader and row.covers(release))


# No series has as many releases, and no project as many series.
_LATEST = 9999


def _number(release: str, rest: int) -> tuple[int, ...]:
    """A release as three numbers, of which those that it does not give are the rest."""
    numbers = [*map(int, release.split("."))]
    return tuple(numbers + [rest] * (3 - len(numbers)))


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(_each(value)) if isinstance(value, list) else value for key, value in row.items()}


def _each(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, str) and value.startswith(_EITHER):
            yield from (value.replace(_EITHER, width) for width in _WIDTHS)
        else:
            yield value


def _clause(name: str, row: dict[str, Any]) -> Clause:
    readers = tuple(Behaviour(**_frozen(reader)) for reader in row.pop("readers", ()))
    return Clause(id=name, readers=readers, **_frozen(row))


@cache
def registry() -> Mapping[str, Clause]:
    """Every clause by id, in the order of the files.  Raises TypeError for a key that no clause has."""
    found: dict[str, Clause] = {}
    for name in FILES:
        with open(os.path.join(data.path("spec", "clauses"), f"{name}.toml"), "rb") as file:
            for key, row in tomllib.load(file).items():
                if key in found:
                    raise ValueError(f"clause {key} is in two files")
                found[key] = _clause(key, row)
    return MappingProxyType(found)
