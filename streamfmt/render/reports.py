"""Reports of `verify` for other programs: SARIF 2.1.0, JUnit's XML and GitHub's workflow commands.

Each is an object with :func:`add`, which takes one outcome and gives what can be printed by then, and :func:`end`,
which gives the rest.  What they hold until the end is bounded: a clause has at most 100 findings in each outcome.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_from_bytes
from xml.etree import ElementTree

from .. import __version__
from ..checks.outcome import NOT_JUDGED
from ..reader.identification import named
from ..schema.clauses import registry
from .text import finding_lines, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..checks.findings import Finding
    from ..checks.outcome import Outcome


class Report(Protocol):
    """What every form of report does.  Names are those of the inputs; both methods return text to be printed."""

    def add(self, outcome: Outcome, name: str) -> str: ...
    def end(self) -> str: ...


class Sarif:
    """SARIF 2.1.0, OASIS standard: one run, a result for each finding that was kept, offsets in bytes."""

    def __init__(self) -> None:
        self._results = 0
        self._rules: dict[str, int] = {}
        self._notices: list[dict[str, Any]] = []

    def add(self, outcome: Outcome, name: str) -> str:
        artifact = {"artifactLocation": {"uri": _uri(name)}}
        # A stream that ends early does not conform, whatever is ignored: then no result says so.
        unsaid = not outcome.verifier.complete and not outcome.errors
        if outcome.verdict == NOT_JUDGED or outcome.failure or unsaid:
            text = {"text": summary(outcome)}
            place = [{"physicalLocation": artifact}]
            self._notices.append({"level": "error", "message": text, "locations": place})
        return "".join(self._result(finding, artifact) for finding in outcome.findings)

    def _result(self, finding: Finding, artifact: dict[str, Any]) -> str:
        rule = self._rules.setdefault(finding.clause, len(self._rules))
        region = {"byteOffset": finding.offset, "byteLength": finding.length}
        more = {"layer": finding.layer, "record": finding.record, "index": finding.index, "field": finding.field}
        result = {
            "ruleId": finding.clause,
            "ruleIndex": rule,
            "level": finding.severity,
            "message": {"text": finding.message},
            "locations": [{"physicalLocation": artifact | {"region": region}}],
            "properties": more | {"expected": finding.expected, "actual": finding.actual},
        }
        self._results += 1
        return (_SARIF if self._results == 1 else ",\n") + json.dumps(result)

    def end(self) -> str:
        driver = {
            "name": "streamfmt",
            "version": __version__,
            "rules": [_rule(clause) for clause in self._rules],
        }
        invocation = {"executionSuccessful": not self._notices, "toolExecutionNotifications": self._notices}
        rest = json.dumps({"tool": {"driver": driver}, "invocations": [invocation]})
        return ("" if self._results else _SARIF) + "\n],\n" + rest[1:] + "]}\n"


_SARIF = '{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{"results": [\n'


def _rule(clause: str) -> dict[str, Any]:
    found = registry()[clause]
    rule: dict[str, Any] = {
        "id": clause,
        "shortDescription": {"text": found.title},
        "fullDescription": {"text": found.text.strip()},
        "defaultConfiguration": {"level": found.severity},
    }
    return rule | ({"help": {"text": found.hint}} if found.hint else {})


def _uri(name: str) -> str:
    """A path as a URI reference, relative if it is; whatever bytes are in it."""
    file = named(name)
    return quote_from_bytes(bytes.fromhex(file["file_bytes"]) if "file_bytes" in file else name.encode())


class JUnit:
    """JUnit's XML, as CI servers read it: a case for each input, which fails where it does not conform."""

    def __init__(self) -> None:
        self._suite = ElementTree.Element("testsuite", name="streamfmt verify")
        self._counts = Counter(tests=0, failures=0, errors=0)

    def add(self, outcome: Outcome, name: str) -> str:
        case = ElementTree.SubElement(
            self._suite, "testcase", classname="streamfmt.verify", name=_legal(named(name)["file"])
        )
        self._counts["tests"] += 1
        if not outcome.conforms:
            kind = "error" if outcome.failure else "failure"
            self._counts[f"{kind}s"] += 1
            fault = ElementTree.SubElement(case, kind, message=_legal(summary(outcome)), type=outcome.verdict)
            fault.text = _legal("\n".join(line for _, line in finding_lines(outcome)))
        return ""

    def end(self) -> str:
        for name, count in self._counts.items():
            self._suite.set(name, str(count))
        ElementTree.indent(self._suite)
        body = ElementTree.tostring(self._suite, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _legal(text: str) -> str:
    """Text without the characters that XML 1.0 has no way to write (section 2.2)."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


class GitHub:
    """Workflow commands, which GitHub Actions turns into annotations: one for each clause that an input breaks."""

    def add(self, outcome: Outcome, name: str) -> str:
        seen: set[str] = set()
        lines = []
        for finding in outcome.findings:
            if finding.clause in seen:
                continue
            seen.add(finding.clause)
            count = outcome.counts[finding.clause]
            often = f" ({count:,} times in all)" if count > 1 else ""
            words = f"at {finding.offset}: {finding.message}{often}"
            lines.append(_command(finding.severity, name, finding.clause, words))
        if not outcome.conforms:
            lines.append(_command("error", name, outcome.verdict, summary(outcome)))
        return "".join(lines) or f"{named(name)['file']}: {summary(outcome)}\n"

    def end(self) -> str:
        return ""


def _command(severity: str, name: str, title: str, words: str) -> str:
    level = "notice" if severity == "note" else severity
    properties = f"file={_escaped(named(name)['file'], ':,')},title={_escaped(title, ':,')}"
    return f"::{level} {properties}::{_escaped(words)}\n"


def _escaped(text: str, more: str = "") -> str:
    """Characters that end a command or one of its properties, as GitHub's runner reads them back."""
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in text)


FORMS: dict[str, Callable[[], Report]] = {"sarif": Sarif, "junit": JUnit, "github": GitHub}
