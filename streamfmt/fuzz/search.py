"""The search in one process: Hypothesis makes inputs and minimises those on which the target fails.

Inputs come in rounds, each with a seed of its own.  A round ends at its first failure that is not known, which
Hypothesis then shrinks.  What inputs there are depends on seed and process only, and on what the target does.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from hypothesis import Phase, Verbosity, find, settings
from hypothesis.errors import Flaky, HypothesisWarning, NoSuchExample, Unsatisfiable
from hypothesis.strategies import SearchStrategy

from ..conformance.command import Target, clauses
from ..conformance.result import CRASH, DISAGREEMENT, EITHER, HANG, Result
from ..conformance.target import Input, Spec, Stop
from ..errors import UnrunnableError
from ..recipes.dump import dump
from ..recipes.load import Recipe
from ..strategies import Sample

# Inputs of a round; Hypothesis keeps what it knows of each of them.
ROUND = 500
# Seconds that shrinking one failure may take, and any of them once the time is up.
SHRINKING = 60.0
FINISHING = 10.0
_OPTIONS = settings(
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    verbosity=Verbosity.quiet,
    print_blob=False,
)


@dataclass(frozen=True, slots=True)
class Key:
    """What distinguishes a failure: its kind, how it came about, and the clauses that two readers disagree on."""

    kind: str
    how: tuple[str, ...]
    clauses: frozenset[str] = frozenset()

    def covers(self, other: Key) -> bool:
        """Whether the other one is nothing new: the same, with more that is wrong with the stream."""
        return (self.kind, self.how) == (other.kind, other.how) and self.clauses <= other.clauses


@dataclass(frozen=True, slots=True)
class Failure:
    """A stream on which a target failed.

    `who` failed, or disagreed with `other`.  `steady` if it failed again.
    """

    kind: str
    who: Spec
    what: str
    key: Key
    given: Input
    other: Spec | None = None
    steady: bool = True
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """A target, and another to agree with."""

    spec: Spec
    target: Target
    against: tuple[Spec, Target] | None = None

    def failure(self, given: Input) -> Failure | None:
        first = self.target.run(given)
        if first.kind in (CRASH, HANG):
            return _failed(self.spec, first, given)
        if self.against is None:
            return None
        spec, target = self.against
        second = target.run(given)
        if second.kind in (CRASH, HANG):
            return _failed(spec, second, given)
        if first.kind == second.kind or EITHER in (first.kind, second.kind):
            return None
        what = f"{_does(self.spec, first)}; {_does(spec, second)}"
        # Our own reasons are the clauses.
        key = Key(DISAGREEMENT, (first.kind, second.kind, first.where or second.where), clauses(given))
        return Failure(DISAGREEMENT, self.spec, what, key, given, spec)


def _does(spec: Spec, result: Result) -> str:
    if spec.ours:
        return f"by the format a reader has to {result.kind} it ({result.what})"
    return f"{spec.name} {result.kind}s it ({result.what})"


def _failed(spec: Spec, result: Result, given: Input) -> Failure:
    return Failure(result.kind, spec, result.what, Key(result.kind, (spec.name, result.where)), given)


class Round:
    """The condition that Hypothesis looks for in a round: a failure that is not `known`, and then that one again.

    It is still that one if less is wrong with the stream.  `first` is given it as it was found.
    `tick` is called after each input, with whether it was a new one, and may raise Stop.
    """

    def __init__(
        self,
        judge: Judge,
        known: list[Key],
        tick: Callable[[bool], None],
        end: float,
        first: Callable[[Failure], None] = lambda _: None,
    ) -> None:
        self._judge = judge
        self._known = known
        self._tick = tick
        self._end = end
        self._first = first
        self._until = end
        self.best: tuple[Sample, Failure] | None = None
        self.key: Key | None = None

    def __call__(self, sample: Sample) -> bool:
        now = time.monotonic()
        if now >= self._until:
            raise Stop
        new = self.key is None
        failure = self._judge.failure(given_by(sample))
        wanted = failure is not None and self._wanted(failure.key)
        if failure is not None and wanted:
            self._keep(sample, failure)
        self._tick(new)
        return wanted

    def _keep(self, sample: Sample, failure: Failure) -> None:
        if self.key is None:
            self.key = failure.key
            self._until = min(time.monotonic() + SHRINKING, max(self._end, time.monotonic()) + FINISHING)
            self._first(replace(failure, recipe=recipe(sample)))
        if self.best is None or len(failure.given.data) <= len(self.best[1].given.data):
            self.best = sample, failure

    def _wanted(self, key: Key) -> bool:
        return (self.key is None or key.covers(self.key)) and not any(known.covers(key) for known in self._known)

    def run(self, random: Random, most: int, source: SearchStrategy[Sample]) -> Failure | None:
        """Look among `most` inputs of a `source`; the failure found, if there is one, as small as it got."""
        options = settings(_OPTIONS, max_examples=most)
        try:
            with warnings.catch_warnings():
                # The warning is that streams have long reprs, which are not printed here.
                warnings.simplefilter("ignore", HypothesisWarning)
                sample = find(source, self, settings=options, random=random, database_key=b"")
            return self._again(sample)
        except (NoSuchExample, Unsatisfiable):
            return None
        except Flaky:
            return self._smallest(steady=False)
        except Stop:
            return self._smallest(steady=True)
        except UnrunnableError:
            # It could be run before; the next input that is tried reports it.
            if self.best is None:
                raise
            return self._smallest(steady=False)

    def _again(self, sample: Sample) -> Failure | None:
        """The failure of that sample, tried once more."""
        found = self._judge.failure(given_by(sample))
        if found is None or not self._wanted(found.key):
            return self._smallest(steady=False)
        return replace(found, recipe=recipe(sample))

    def _smallest(self, steady: bool) -> Failure | None:
        return replace(self.best[1], steady=steady, recipe=recipe(self.best[0])) if self.best else None


def recipe(sample: Sample) -> str:
    """The stream as a recipe."""
    return dump(Recipe(sample.stream, sample.form, sample.mode, sample.deep))


def given_by(sample: Sample) -> Input:
    """A sample as targets take it."""
    return Input(sample.stream.render(), sample.form, sample.mode, sample.deep)
