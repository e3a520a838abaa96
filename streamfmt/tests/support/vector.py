"""What a vector is, and how one is judged: through `Pump.feed`, which every driver amounts to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...checks.outcome import Outcome
from ...checks.targets import several
from ...checks.verifier import Verifier
from ...codec.content import Buffer
from ...reader.reader import Reader
from ...writer import Draft


@dataclass(frozen=True)
class Vector:
    """A stream and how it is to be read, for which `target`; `large` ones are not worth feeding in small pieces."""

    stream: Draft
    form: str = "auto"
    mode: str = "auto"
    deep: bool = False
    large: bool = False
    target: str = ""

    @cached_property
    def _kept(self) -> bytes:
        return self.stream.render()

    @property
    def data(self) -> bytes:
        """The stream's bytes: those of small ones are made once, and judged by dozens of tests."""
        return self.stream.render() if self.large else self._kept

    @cached_property
    def whole(self) -> dict[str, Any]:
        """All that is reported of it, if its bytes come at once."""
        return reported(judged(self))

    def pieces(self) -> Iterable[Buffer]:
        """The bytes as they cost least: in one piece, or those of large ones a few at a time."""
        return self.stream.pieces() if self.large else (self.data,)


Table = dict[str, dict[str, Vector]]


def judge(
    pieces: Iterable[Buffer],
    form: str = "auto",
    mode: str = "auto",
    *,
    deep: bool = False,
    strict: bool = False,
    target: str = "",
    guest: str | None = None,
    verifier: Verifier | None = None,
) -> Outcome:
    """Verify bytes that come in these pieces."""
    verifier = Verifier(mode, deep, targets=several([target] if target else ())) if verifier is None else verifier
    reader = Reader(verifier, form, guest=guest)
    for piece in pieces:
        reader.pump.feed(piece)
    reader.pump.end()
    return Outcome(reader, verifier, strict)


def judged(vector: Vector, pieces: Iterable[Buffer] | None = None) -> Outcome:
    """Verify a vector, its bytes cut as it pleases or into the given pieces."""
    whole = vector.pieces() if pieces is None else pieces
    return judge(whole, vector.form, vector.mode, deep=vector.deep, target=vector.target)


def reported(outcome: Outcome) -> dict[str, Any]:
    """All that a verification says, for comparing two of them."""
    return outcome.as_dict()
