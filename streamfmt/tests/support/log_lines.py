"""What the peers print: lines of real readers on the corpus's streams, and the messages in their programs."""

from __future__ import annotations

import glob
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...conformance.cases import from_corpus
from ...conformance.conditions import Peer
from ...conformance.looks import Look, look
from ...conformance.predictions import Comparison, steps
from ...schema.log_lines import recognised
from . import peers

# Where the programs of the readers are that can run here.
_XEN = "/usr/lib/xen-4.17"
PROGRAMS = {
    "libxenguest": ["/usr/lib/*/libxenguest.so.4.17*", "/usr/lib/*/libxenctrl.so.4.17*"],
    "libxl": ["/usr/lib/*/libxenlight.so.4.17*"],
    "xl": [f"{_XEN}/bin/xl"],
    "verify-stream-v2": [f"{_XEN}/bin/verify-stream-v2", f"{_XEN}/lib/python/xen/migration/*.py"],
    "convert-legacy-stream": [f"{_XEN}/bin/convert-legacy-stream"],
}
# How the lines of libxl and xl begin.
_BEGINS = re.compile(r"(libxl|xc|xl): |[A-Z][a-z]+ [a-z]+")
_SIGNALS = [signal.strsignal(number) for number in signal.valid_signals()]
_CONVERSION = re.compile(r"%[-+# 0]*[\d.*]*(?:hh|ll|[hlzjt])?[diouxXcsp]")


@dataclass(frozen=True)
class Printed:
    """Lines that a reader printed of a stream, and the clauses that decide what it does with it.

    `refused` says whether it was the stream's reader that refused it, and not the hypervisor below.
    """

    seen: Look
    lines: tuple[str, ...]
    clauses: frozenset[str]
    refused: bool


def asked(peer: Peer) -> list[Comparison]:
    """What a reader says of each small stream of the corpus that it can be given."""
    peers.require(peer.program)
    given = [seen for seen in map(look, from_corpus()) if peer.takes(seen)]
    answers = zip(given, peer.ask(given, peer.release), strict=True)
    return [Comparison(seen, tuple(steps(seen, peer)), verdict) for seen, verdict in answers]


def printed(table: Iterable[Comparison]) -> Iterator[Printed]:
    """What a reader printed of streams."""
    for row in table:
        verdict = row.verdict
        clauses = {found.clause for found in row.seen.findings} | {step.clause for step in row.steps}
        # Of a reader that is killed the message is the signal.
        lines = [line for line in verdict.lines or (verdict.message,) if line not in ("", *_SIGNALS)]
        if verdict.lines:
            # A value of the stream may have line breaks, and a parser shows where in a configuration it is.
            lines = [line for line in lines if _BEGINS.match(line)]
        refused = verdict.verdict != "accept" and not verdict.refused
        yield Printed(row.seen, tuple(lines), frozenset(clauses), refused)


# What libxl says of a helper that it has ended itself.
_ENDED = f"died due to fatal signal {signal.strsignal(signal.SIGTERM)}"


def strange(rows: Iterable[Printed]) -> Iterator[tuple[str, str]]:
    """Lines that are not known, and those of a refusal whose rules the stream keeps; with the stream's name.

    A line that is about no rule is not the stream's doing, nor is any about a stream that breaks none.  Of checkpoints
    the end of the input ends each reading, whatever is refused afterwards.  That libxl ends its helper is no crash.
    """
    for row in rows:
        ends = {"CKPT-CUT"} if row.seen.case.remus and row.seen.whole else set()
        for line in row.lines:
            found = recognised(line)
            if found and line.endswith(_ENDED):
                continue
            about = {*found[0].known.clauses} if found and found[0].known.role != "progress" else set()
            if not found or (row.refused and about and row.clauses and not about & (row.clauses | ends)):
                yield row.seen.case.name, line


def whole_logs(streams: Iterable[tuple[str, bytes]], folder: Path) -> Iterator[str]:
    """Every line that libxenguest logs of streams, each with the kind it is restored as."""
    program = peers.require("xenpeer")
    for kind, data in streams:
        path = folder / "image"
        path.write_bytes(data)
        guest, _, mode = kind.partition("-")
        command = [program, "restore", f"--{guest}", *([f"--{mode}"] if mode else []), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        yield from done.stderr.splitlines()


def messages(reader: str) -> str:
    """The text of a reader's programs with a number for each conversion; empty if they are not installed."""
    found = []
    for path in [one for pattern in PROGRAMS[reader] for one in glob.glob(pattern)]:
        raw = Path(path).read_bytes()
        found += [_CONVERSION.sub("7", text.decode()) for text in re.findall(rb"[\t -~]{5,}", raw)]
    return "\n".join(" ".join(text.split()) for text in found)
