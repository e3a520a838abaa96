"""`streamfmt fuzz` finds planted bugs and makes them small; the same seed gives the same inputs."""

from __future__ import annotations

import re
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given

from .. import tables
from ..checks.duties import duty
from ..conformance.command import Ours, verified
from ..conformance.result import ACCEPT, CRASH, HANG, REJECT, Result
from ..conformance.target import OURS, Input, parse
from ..fuzz.running import Run, Summary
from ..fuzz.running import run as search
from ..fuzz.search import Failure, Judge, given_by
from ..recipes.load import load
from ..strategies import Sample, inputs
from .support.planted_bugs import DYING, FUZZED


def found(spec: str, count: int, against: str = "", seed: int = 1, jobs: int = 1, most: int = 100) -> Summary:
    """What a search of so many inputs finds."""
    asked = Run(parse(spec), parse(against) if against else None, None, count, seed, jobs, 10.0, most)
    return search(asked, lambda failure: None, None)


def only(summary: Summary) -> Failure:
    assert not summary.problems
    (failure,) = summary.failures.values()
    assert failure.steady
    return failure


def test_crash() -> None:
    """An exception is found by its type and place, and the stream made small: one record with a length that is odd."""
    failure = only(found(f"{FUZZED}.crashing", 400, most=1))

    assert failure.kind == CRASH
    assert re.fullmatch(r"KeyError: \d+ \(.*planted_bugs.py:\d+\)", failure.what)
    # A PV guest, which the search may come upon first, has three pages at least; a legacy one with its vcpus six.
    assert len(failure.given.data) < 8 * tables.PAGE_SIZE
    assert load(failure.recipe).stream.render() == failure.given.data


def test_hang() -> None:
    """An endless loop is killed, and the function goes on in another process."""
    asked = Run(parse(f"{FUZZED}.looping"), None, None, 400, seed=1, jobs=1, timeout=0.3, failures=1)
    failure = only(search(asked, lambda failure: None, None))

    assert failure.kind == HANG
    assert len(failure.given.data) < 16


def test_memory() -> None:
    """Memory without bound is a crash, and not the machine's."""
    failure = only(found(f"{FUZZED}.greedy", 60))

    assert failure.what.startswith("MemoryError")


def test_signal() -> None:
    """A function that takes its process with it is reported with the signal."""
    failure = only(found(f"{FUZZED}.dying", 60, most=1))

    assert failure.what == "killed by SIGSEGV"


def test_killed_command() -> None:
    """So is a command."""
    failure = only(found(DYING, 60, most=1))

    assert (failure.kind, failure.what) == (CRASH, "killed by SIGSEGV")


def test_disagreement() -> None:
    """A reader that accepts too much differs from us by single clauses where one is enough."""
    summary = found(f"{FUZZED}.credulous", 80, against=OURS, most=2)
    clauses = [key.clauses for key in summary.failures]

    assert {key.how[:2] for key in summary.failures} >= {(ACCEPT, REJECT)}
    assert any(len(some) == 1 for some in clauses)
    assert not any(one is not other and one.covers(other) for one in summary.failures for other in summary.failures)


class Fixed:
    """A target that knows what a reader has to do, and does `does` of that."""

    def __init__(self, **does: str) -> None:
        self._does = does

    def run(self, given: Input) -> Result:
        what, _ = duty(verified(given))
        return Result(self._does[what], what)

    def close(self) -> None:
        pass


LENIENT, STERN, CREDULOUS, OBSTINATE = (
    Judge(parse("it"), Fixed(accept=good, reject=bad, either=other), (parse(OURS), Ours()))
    for good, bad, other in (
        (ACCEPT, REJECT, ACCEPT),
        (ACCEPT, REJECT, REJECT),
        (ACCEPT, ACCEPT, ACCEPT),
        (REJECT, REJECT, REJECT),
    )
)


@given(inputs())
def test_agreement_with_the_format(sample: Sample) -> None:
    """Readers may do what they like with a stream where its clauses let them, and there only."""
    stream = given_by(sample)
    does, why = duty(verified(stream))

    assert LENIENT.failure(stream) is None
    assert STERN.failure(stream) is None
    for judge, wrong in ((CREDULOUS, "reject"), (OBSTINATE, "accept")):
        failure = judge.failure(stream)
        assert (failure is not None) == (does == wrong)
        if failure is not None:
            assert failure.what.endswith(f"by the format a reader has to {does} it ({why})")


@pytest.mark.parametrize(("words", "how"), [("true", (ACCEPT, REJECT)), ("false", (REJECT, ACCEPT))])
def test_readers_that_do_not_look(words: str, how: tuple[str, str]) -> None:
    """One that takes everything and one that takes nothing are found at once."""
    summary = found(words, 300, against=OURS, most=1)

    assert only(summary).key.how[:2] == how
    assert summary.inputs < 100


def test_one_form() -> None:
    """A reader of one form is given no other."""
    asked = Run(parse("sh -c 'test {form} = xl || kill -9 $$'"), None, None, 20, seed=1, jobs=1, timeout=10, form="xl")
    summary = search(asked, lambda failure: None, None)

    assert (summary.failures, summary.problems, summary.inputs) == ({}, [], 20)


def test_target_that_goes_away(tmp_path: Path) -> None:
    """What was found before it could not be run any more is kept."""
    once = tmp_path / "once"
    once.write_text("#!/bin/sh\nrm -- $0\nkill -SEGV $$\n")
    once.chmod(0o755)
    summary = found(str(once), 5)

    assert [failure.what for failure in summary.failures.values()] == ["killed by SIGSEGV"]
    assert summary.unrunnable == f"cannot run '{once}': No such file or directory"
    assert (summary.inputs, summary.result, summary.status) == (1, "failures", 3)


def test_target_that_goes_away_silently(tmp_path: Path) -> None:
    """A search that could not go on has not found that there is no failure, and says how far it came."""
    once = tmp_path / "once"
    once.write_text(f"#!/bin/sh\necho >>{tmp_path}/log\ntest $(wc -l <{tmp_path}/log) -lt 3 || rm -- $0\n")
    once.chmod(0o755)
    summary = found(str(once), 9)

    assert summary.unrunnable == f"cannot run '{once}': No such file or directory"
    assert (summary.inputs, summary.result, summary.status) == (3, "unfinished", 3)


def test_no_room() -> None:
    """A failure that cannot be written ends the search, and stays."""

    def full(failure: Failure) -> None:
        raise OSError(28, "No space left on device")

    summary = search(Run(parse(DYING), None, None, 200, seed=1, jobs=1, timeout=10), full, None)

    assert len(summary.failures) == 1
    assert (str(summary.unwritable), summary.problems) == ("[Errno 28] No space left on device", [])


def test_no_room_for_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot write its stream says why, and is no fault of ours."""
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda prefix: nullcontext(str(tmp_path / "none")))
    summary = found("cat", 1)

    assert summary.problems == []
    assert summary.unrunnable.startswith(str(tmp_path / "none"))
    assert summary.unrunnable.endswith(": No such file or directory")


def test_no_failure() -> None:
    """A reader that never fails passes, and all inputs are tried."""
    summary = found(f"{FUZZED}.sound", 31, jobs=2)

    assert (summary.failures, summary.problems, summary.inputs) == ({}, [], 31)


def test_what_hypothesis_knows_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its own variable says, so that the next search need not find it out again."""
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))
    found(f"{FUZZED}.sound", 5)

    assert list(tmp_path.glob("*/*"))


def test_refusals() -> None:
    """Those exceptions by which readers refuse are no crash."""
    assert not found(f"{FUZZED}.refusing", 30).failures


def test_same_seed_same_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed and jobs decide on the inputs, and nothing else does; another seed gives others."""
    seen = []
    for number, seed in enumerate((5, 5, 6)):
        log = tmp_path / str(number)
        monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
        found(f"{FUZZED}.counting", 30, seed=seed)
        seen.append(log.read_bytes())

    assert len(seen[0]) == 30 * 16
    assert seen[0] == seen[1] != seen[2]
