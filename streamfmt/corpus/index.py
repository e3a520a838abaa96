"""The index: what each stream of the corpus is, what verification finds, and what readers have to do and do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..checks.duties import EITHER, duty
from ..checks.outcome import CONFORMS, Outcome
from ..checks.targets import several
from ..codec.content import Buffer
from ..convert import script
from ..reader.reader import Reader
from ..recipes.load import Recipe
from ..schema.clauses import CONVERTER, Behaviour, Clause, registry
from ..writer import Draft
from . import entries

if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.pump import Program

FORMAT = "streamfmt-corpus-3"
# Larger streams are made where they are wanted, and not stored.
STORED = 1 << 20
STREAMS = "streams"


def streams(progress: Callable[[int], None] | None = None) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    """A row for each stream, as spec/json/corpus.json describes it, and the bytes of those to make and store.

    `progress` is called with how many have been made.
    """
    for count, found in enumerate(_streams()):
        yield found
        if progress is not None:
            progress(count + 1)


def _streams() -> Iterator[tuple[dict[str, Any], bytes | None]]:
    for real in entries.real():
        data = entries.unpacked(entries.folder() / real.file)
        yield _row(real.id, real.file, Recipe(Draft(()), about=real.about), [data], real.provenance), None
    for entry in entries.entries():
        made = entry.recipe
        kept = made.stream.render() if made.stream.size <= STORED else None
        file = None if kept is None else f"{STREAMS}/{entry.id}.bin.gz"
        pieces = made.stream.pieces() if kept is None else [kept]
        provenance = f"recipes/{entry.collection}.toml [{entry.kind}.{entry.name}]"
        clause = entry.collection if entry.kind in ("accepted", "broken", "several") else None
        yield _row(entry.id, file, made, pieces, provenance, clause, entry.either), kept


def _row(
    name: str,
    file: str | None,
    made: Recipe,
    pieces: Iterable[Buffer],
    provenance: str,
    clause: str | None = None,
    either: str = "",
) -> dict[str, Any]:
    """The row of a stream, whose bytes are judged as its recipe says."""
    outcome, digest, noting = _judged(pieces, made)
    fails = _fails(outcome, noting, pieces[0]) if isinstance(pieces, list) else ()
    return {
        "id": name,
        "file": file,
        **_common(outcome, digest),
        "as": made.form,
        "mode": made.mode,
        "deep": made.deep,
        **({"target": made.target} if made.target else {}),
        **_expected(outcome, either, noting.paths, fails),
        "about": made.about,
        "clause": clause,
        "provenance": provenance,
    }


class _Noting(script.Watching):
    """A verifier that notes which records the stream has, by schema path."""

    def __init__(self, made: Recipe) -> None:
        super().__init__(made.mode, made.deep)
        self.targets = several((made.target,) if made.target else ())
        self.paths: set[str] = set()

    def record(self, record: Record) -> Program | None:
        self.paths.add(record.path)
        return super().record(record)


def _judged(pieces: Iterable[Buffer], made: Recipe) -> tuple[Outcome, str, _Noting]:
    verifier = _Noting(made)
    reader = Reader(verifier, made.form)
    digest = sha256()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        reader.pump.feed(piece)
    reader.pump.end()
    outcome = Outcome(reader, verifier)
    outcome.size = size
    return outcome, digest.hexdigest(), verifier


def _fails(outcome: Outcome, noting: _Noting, data: Buffer) -> tuple[str, ...]:
    """The clauses that a bare legacy stream keeps, and with which Xen's own converter cannot cope."""
    image = next(iter(outcome.verifier.layers), None)
    if image is None or not image.row.alias or not image.guest:
        return ()
    options = {"width": image.name.partition("-")[2], "guest-type": image.guest, "format": "libxl"}
    return tuple(step.clause for step in script.steps(script.Look(data, options, noting)) if step.row and step.row.kept)


def _common(outcome: Outcome, digest: str) -> dict[str, Any]:
    layers = outcome.verifier.layers
    image = next((layer for layer in layers if layer.row.image), None)
    return {
        "size": outcome.size,
        "sha256": digest,
        "format": outcome.identity.key or outcome.identity.kind,
        "description": outcome.describe(),
        "guest": image.guest if image else outcome.identity.guest,
        # A layer that has no version has 0, as one has whose header breaks off.
        "version": (image.version or None) if image else None,
        "layers": [{"path": layer.path, "version": layer.version or None} for layer in layers],
    }


def _expected(outcome: Outcome, either: str, paths: set[str], fails: Sequence[str]) -> dict[str, Any]:
    clauses = [registry()[clause] for clause in dict.fromkeys(row.clause for row in outcome.findings)]
    does, why = duty(outcome)
    if either:
        does, why = EITHER, either
        if either in registry():
            clauses.append(registry()[either])
            why = f"{either}, which no stream alone shows: {clauses[-1].reader}"
    return {
        "verdict": outcome.verdict,
        "conforms": outcome.verdict == CONFORMS,
        "findings": [
            {"clause": row.clause, "severity": row.severity, "offset": row.offset} for row in outcome.findings
        ],
        "reader": {"does": does, "why": why},
        "known": [_known(clause, row) for clause in clauses for row in clause.readers if not row.kept]
        + [
            _known(clause, row)
            for clause in registry().values()
            for row in clause.readers
            if row.kept and row.reader != CONVERTER and clause not in clauses and paths.intersection(clause.applies)
        ]
        + [
            _known(registry()[name], row)
            for name in fails
            for row in registry()[name].readers
            if row.kept and row.reader == CONVERTER
        ],
    }


def _known(clause: Clause, row: Behaviour) -> dict[str, Any]:
    found: dict[str, Any] = {"clause": clause.id, "reader": row.reader, "releases": row.releases, "does": row.does}
    return found | ({"when": row.when} if row.when else {}) | ({"kept": True} if row.kept else {})
