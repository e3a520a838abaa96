"""What a vector is, and how one is judged: through `Pump.feed`, which every driver amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...checks.outcome import Outcome
from ...checks.verifier import Verifier
from ...codec.content import Buffer
from ...reader.reader import Reader
from ...writer import Draft


@dataclass(frozen=True, slots=True)
class Vector:
    """A stream and how it is to be read; `large` ones are not worth feeding in small pieces."""

    stream: Draft
    form: str = "auto"
    mode: str = "auto"
    deep: bool = False
    large: bool = False


Table = dict[str, dict[str, Vector]]


def judge(
    pieces: Iterable[Buffer],
    form: str = "auto",
    mode: str = "auto",
    *,
    deep: bool = False,
    strict: bool = False,
    verifier: Verifier | None = None,
) -> Outcome:
    """Verify bytes that come in these pieces."""
    verifier = Verifier(mode, deep) if verifier is None else verifier
    reader = Reader(verifier, form)
    for piece in pieces:
        reader.pump.feed(piece)
    reader.pump.end()
    return Outcome(reader, verifier, strict)


def judged(vector: Vector, pieces: Iterable[Buffer] | None = None) -> Outcome:
    """Verify a vector, its bytes cut as it pleases or into the given pieces."""
    return judge(vector.stream.pieces() if pieces is None else pieces, vector.form, vector.mode, deep=vector.deep)


def reported(outcome: Outcome) -> dict[str, Any]:
    """All that a verification says, for comparing two of them."""
    return outcome.as_dict()
