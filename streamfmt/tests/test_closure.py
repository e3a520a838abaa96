"""Every clause that a stream alone can break has a check, and streams that prove it.

A breaking vector triggers its clause and no other, so each check is needed; an accepting one triggers nothing, so
none goes too far.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from .. import data, payload_tables, tables
from ..checks import qemu_channels
from ..checks.findings import SEVERITIES, Finding
from ..checks.outcome import CONFORMS, Outcome
from ..checks.targets import several
from ..checks.verifier import Verifier
from ..reader.registry import ROWS
from ..schema import model
from ..schema.catalogue import catalogue
from ..schema.clauses import Clause, registry
from ..writer import HEADERS, Draft, p2m, unknown
from ..writer.builders import in_xl
from .support.corpus import ACCEPTED, ACCEPTING, BREAKING
from .support.good_streams import GOOD, LIBXL_HVM, PV, PV_LAST, REMUS_HVM
from .support.vector import Vector, judge, judged

STREAM = [clause for clause in registry().values() if clause.judged == "stream" and not clause.withdrawn]
FROM_STREAM = {clause.id for clause in STREAM}
ID = re.compile(r"(?:STREAM|LIBXL|LIBXC|CKPT|REMUS|COLO|XL|XAPI|LIBVIRT|XEND|LEGACY|QEMU|VFIO[12]?)(?:-[A-Z0-9]+)+")
LEVELS = {"must", "must not", "should", "should not", "may", "none"}
REACTIONS = {"reject", "fail", "ignore", "accept", "not require"}
# Rules about where a stream ends: their findings point at the end of the input.
ENDS = ("CKPT-CUT", *(clause for clause in FROM_STREAM if clause.endswith("-TRUNC")))


# -- vectors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clause", sorted(FROM_STREAM))
def test_every_clause_has_a_breaking_vector(clause: str) -> None:
    """No rule is only text."""
    assert BREAKING.get(clause)


@pytest.mark.parametrize("clause", STREAM, ids=lambda clause: clause.id)
def test_every_clause_has_an_accepting_vector(clause: Clause) -> None:
    """Some accepting stream has what the clause is about, unless that must not be there at all."""
    streams = [*GOOD.values(), *(vector.stream for vector in ACCEPTING.get(clause.id, {}).values())]
    about = {".".join(path.split(".")[:2]) for path in clause.applies}

    present = {path for stream in streams for path in _paths(stream)}

    assert clause.writer == "must not" or about <= present


def _paths(stream: Draft) -> Iterator[str]:
    for path in stream.paths:
        yield path
        if path and path not in HEADERS:
            yield f"{path.partition('.')[0]}.record_header"


def test_vectors_are_of_clauses() -> None:
    """No vector is for a clause that does not exist or that nothing but a reader can show."""
    assert (set(BREAKING) | set(ACCEPTING)) <= {c.id for c in registry().values() if c.judged != "reader"}


def test_declared_contexts_are_judged() -> None:
    """A clause that needs a declared mode, and has a check, has a breaking vector with one."""
    context = {clause.id for clause in registry().values() if clause.judged == "context"}
    checked = context & (_tabled() | set(ID.findall(_source("checks"))))
    # Those about files beside a stream are tested where there are such.
    checked -= set(ID.findall(Path(qemu_channels.__file__).read_text(encoding="utf-8")))

    assert checked <= set(BREAKING)
    assert all(vector.mode != "auto" or vector.target for clause in checked for vector in BREAKING[clause].values())


@pytest.mark.parametrize("clause", ACCEPTED)
def test_accepted(clause: str) -> None:
    """An accepting vector conforms, and nothing at all is said about it."""
    for name, vector in ACCEPTED[clause].items():
        outcome = judged(vector)

        assert _lines(outcome) == [], name
        assert outcome.verdict == CONFORMS, name


@pytest.mark.parametrize("clause", BREAKING)
def test_broken(clause: str) -> None:
    """A breaking vector triggers its clause and no other, at the clause's severity and inside the stream."""
    severity = registry()[clause].severity
    for name, vector in BREAKING[clause].items():
        outcome = judged(vector)
        size = sum(map(len, vector.pieces()))

        assert set(outcome.verifier.findings.counts) == {clause}, (name, _lines(outcome))
        for finding in outcome.verifier.findings.kept:
            assert finding.severity == severity, name
            assert finding.message, name
            if clause in ENDS:
                assert finding.offset == size, name
            else:
                assert 0 <= finding.offset <= finding.offset + finding.length <= size, name
        assert (outcome.verdict != CONFORMS) >= (severity == "error"), name


@pytest.mark.parametrize("clause", BREAKING)
def test_broken_where(clause: str) -> None:
    """What a finding points at lies in the record it names, and its field is one of that record's schema."""
    for name, vector in BREAKING[clause].items():
        spans = dict(_spans(vector))
        for finding in judged(vector).verifier.findings.kept:
            if finding.record and (finding.layer, finding.index or 0) not in spans:
                # It is in a device model's record, which has another's bytes.
                outer, _, layer = finding.layer.rpartition("/")
                around = [(start, stop) for (within, _), (_, start, stop) in spans.items() if within == outer]
                assert any(start < finding.offset < stop for start, stop in around), name
                known = finding.record in tables.RECORDS[layer].values()
                assert not known or _is_field(finding, f"{layer}.{finding.record}"), (name, finding.field)
            elif finding.record:
                path, start, stop = spans[finding.layer, finding.index or 0]
                assert start <= finding.offset <= stop, name
                assert finding.record == path.partition(".")[2] or finding.record.startswith("type "), name
                assert _is_field(finding, path), (name, finding.field)


def _spans(vector: Vector) -> Iterator[tuple[tuple[str, int], tuple[str, int, int]]]:
    """Path, start and end of each record, by its layer's path and its index there; of a later image the last."""
    stream = vector.stream
    paths: dict[str, str] = {}
    counts: dict[str, int] = {}
    back = vector.form == "back-channel" or not stream.paths & HEADERS.keys()
    if back:
        # A back channel has no header that says so, and the records of both layers.
        paths = {name: f"back-channel/{name}" for name in ("libxl", "libxc")}
        counts = dict.fromkeys(paths, 0)
    for part, (start, stop) in zip(stream, pairwise(stream.offsets()), strict=True):
        layer = part.path.partition(".")[0]
        if layer in ("text", "http") and layer not in paths:
            # They have no header, and may stand before any other.
            paths[layer], counts[layer] = "/".join((*(() if back else paths), layer)), 0
        elif part.path in ("libxc.image_header", f"{layer}.header") and not back:
            paths[layer] = "/".join((*(name for name in paths if name != "libxc"), layer))
            counts[layer] = 0
        if part.path and part.path not in HEADERS:
            yield (paths[layer], counts[layer]), (part.path, start, stop)
            counts[layer] += 1


@cache
def _fields(path: str) -> frozenset[str]:
    """What of a record a finding may be about, by its schema."""
    layer = path.partition(".")[0]
    header = catalogue().get(f"{layer}.record_header")
    known = {"", "padding", *(row.path for row in (header.fields if header else ()))}
    for layout in model.layouts_within(catalogue()[path]):
        inner = layout.path[len(path) + 1 :]
        known |= {".".join(filter(None, (inner, row.item.path))) for row in layout.rows}
    return frozenset(known)


def _is_field(finding: Finding, path: str) -> bool:
    field = re.sub(r"\[\d+\]", "", finding.field)
    return field in _fields(path) or field == "pages.pfn"  # of an entry of a page table, which has a schema of its own


class _Without(Verifier):
    """A verifier whose check for one clause is switched off."""

    def __init__(self, off: str, vector: Vector) -> None:
        super().__init__(vector.mode, vector.deep, targets=several([vector.target] if vector.target else ()))
        self.off = off

    def report(self, clause: str, *args: Any, **more: Any) -> None:
        if clause != self.off:
            super().report(clause, *args, **more)


@pytest.mark.parametrize("clause", BREAKING)
def test_check_is_needed(clause: str) -> None:
    """With the one check off a vector passes, unless the reader had to stop: no other check stands in for it."""
    for name, vector in BREAKING[clause].items():
        verifier = _Without(clause, vector)
        outcome = judge(vector.pieces(), vector.form, verifier=verifier)

        assert _lines(outcome) == [], name
        assert outcome.verdict == CONFORMS or verifier.stopped or verifier.unjudged, name


def test_repeated_frame_list_is_pointed_at() -> None:
    """A bad entry of a second list is reported in that list, and once."""
    path = "libxc.X86_PV_P2M_FRAMES"
    stream = PV.after(path, p2m(0, PV_LAST, PV_LAST))
    found = [row for row in judge(stream.pieces()).verifier.findings.kept if row.clause == "LIBXC-P2M-ENTRY"]

    assert len(found) <= 1
    assert {row.offset for row in found} <= {stream.offset(path, 1) + 8 + 8}


def _lines(outcome: Outcome) -> list[str]:
    return [repr(finding) for finding in outcome.verifier.findings.kept]


# -- checks ---------------------------------------------------------------------------------------------------


def _source(*folders: str) -> str:
    """The text of the modules that judge, without the generated tables."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    texts = []
    for folder in folders:
        for name in sorted(os.listdir(os.path.join(root, folder))):
            if name.endswith(".py") and name != "tables.py":
                with open(os.path.join(root, folder, name), encoding="utf-8") as file:
                    texts.append(file.read())
    return "\n".join(texts)


def _tabled() -> set[str]:
    """Clauses that the generated tables judge, or that a layer's row has for what is the same in all layers."""
    framing = {
        clause
        for row in ROWS.values()
        for clause in (row.truncated, row.padding, row.too_long, row.trailing, *row.unknown)
    }
    found = {row[0] for rows in tables.RULES.values() for row in rows} | {row[0] for row in tables.LENGTHS.values()}
    found |= {row[7] for rows in payload_tables.BOUNDS.values() for row in rows}
    for by_image in tables.ORDER.values():
        found |= {row[0] for table in by_image.values() for rows in table.values() for row in rows}
    return found | framing - {""}


def test_every_clause_has_a_check() -> None:
    """A clause that a stream shows is in the tables or is named by the code."""
    assert set() == FROM_STREAM - _tabled() - set(ID.findall(_source("checks", "reader")))


def test_every_id_in_the_code_is_a_clause() -> None:
    """Code and tables name no clause that does not exist."""
    assert (set(ID.findall(_source("checks", "reader"))) | _tabled()) <= set(registry())


def test_checks_are_not_of_behaviour() -> None:
    """What only a reader's behaviour can show is not judged here."""
    behaviour = {clause.id for clause in registry().values() if clause.judged == "reader"}
    assert set() == behaviour & (_tabled() | set(ID.findall(_source("checks"))))


# -- the registry ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clause", registry().values(), ids=lambda clause: clause.id)
def test_clause_is_sound(clause: Clause) -> None:
    """Levels, severity, judged and the id itself are of the vocabulary that design and readers rely on."""
    reader, _, reaction = clause.reader.partition(" ")
    if clause.reader.startswith(("must not", "should not")):
        reader, reaction = " ".join(clause.reader.split()[:2]), " ".join(clause.reader.split()[2:])
        reaction = f"not {reaction}" if reaction == "require" else reaction

    assert ID.fullmatch(clause.id)
    assert clause.writer in LEVELS
    assert reader in LEVELS
    assert not reaction or reaction in REACTIONS
    assert clause.judged in {"stream", "context", "reader"}
    assert clause.severity in ({""} if clause.judged == "reader" else set(SEVERITIES))
    if clause.severity == "error":
        assert clause.writer in {"must", "must not"}
    assert clause.title
    assert not clause.title.endswith(".")
    assert clause.text.strip().endswith(".")
    assert clause.source.strip()
    assert clause.applies


def test_titles_are_unique() -> None:
    """No two clauses share a title."""
    titles = [clause.title for clause in registry().values()]

    assert [title for title in titles if titles.count(title) > 1] == []


@cache
def _schema_paths() -> set[str]:
    """Every layout, field and part that the schemas have."""
    found: set[str] = set()
    for outer in catalogue().values():
        for layout in model.layouts_within(outer):
            found.add(layout.path)
            found |= {f"{layout.path}.{row.item.path}" for row in layout.rows if row.item.path}
            # A bit field is reached through the integer it lies in.
            found |= {f"{layout.path}.{row.path.rpartition('.')[0]}" for row in layout.fields if "." in row.path}
    return found


@pytest.mark.parametrize("clause", registry().values(), ids=lambda clause: clause.id)
def test_clause_paths_exist(clause: Clause) -> None:
    """What a clause applies to, and the fields and lengths it leaves to the schema, are in the schema."""
    paths = {*clause.applies, *clause.fields, *clause.lengths}
    assert set() == paths - _schema_paths()


def test_order_rules_are_of_clauses() -> None:
    """Every row of the generated tables has a severity to be reported with."""
    assert _tabled() <= set(tables.SEVERITY)
    assert {clause.id: clause.severity for clause in registry().values() if clause.severity} == tables.SEVERITY


RELEASES = re.compile(r"\d+\.\d+(?:\.\d+)?(?:-(?:\d+\.\d+(?:\.\d+)?)?)?")


@pytest.mark.parametrize("clause", registry().values(), ids=lambda clause: clause.id)
def test_readers_releases(clause: Clause) -> None:
    """What a reader does is stated once for a release: ranges are well-formed and do not overlap."""
    spans: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}
    whens: dict[tuple[str, str], set[str]] = {}
    for row in clause.readers:
        assert row.does in {"accept", "reject", "crash", "hang", "ignore", "either"}
        assert row.evidence == ("run" if row.ran else "read")
        assert all(map(row.covers, row.ran))
        assert all(RELEASES.fullmatch(span) for span in row.releases.split(", ")), row.releases
        assert all(first <= last for first, last in row.spans())
        if row.when:
            whens.setdefault((row.reader, row.releases), set()).add(row.when)
        elif not row.kept:
            spans.setdefault(row.reader, []).extend(row.spans())
    assert all(len(cases) > 1 for cases in whens.values()), "one case needs no `when`"
    for ranges in spans.values():
        ordered = sorted(ranges)
        assert all(before[1] < after[0] for before, after in pairwise(ordered)), ranges


def test_clause_files_are_all_loaded() -> None:
    """No file of clauses is forgotten by the registry."""
    from ..schema.clauses import FILES

    assert sorted(f"{name}.toml" for name in FILES) == sorted(os.listdir(data.path("spec", "clauses")))


def test_a_container_in_a_container() -> None:
    """No tool puts one file into another: it is named where it begins, and not judged."""
    outcome = judge(in_xl(in_xl(LIBXL_HVM)).pieces())

    assert set(outcome.verifier.findings.counts) == {"XL-FLAG-STREAM"}
    assert outcome.verifier.unjudged is not None
    assert outcome.verifier.unjudged[1].key == "xl"


def test_cut_after_an_unknown_record() -> None:
    """An unknown record belongs to the next checkpoint as well: what it was for is lost."""
    counts = judge(REMUS_HVM.then(unknown("libxc", 1 << 31)).pieces()).verifier.findings.counts

    assert counts == {"LIBXC-REC-UNKNOWN-OPT": 1, "CKPT-CUT": 1}
