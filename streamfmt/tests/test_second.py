"""The second reader, conformance/second.py, and the first agree: neither alone judges the corpus.

It was written from the descriptions of the formats without a look at streamfmt, so a stream that only one of the two
accepts shows a defect in one of them, or a clause of `NOT_JUDGED`.
"""

from __future__ import annotations

import ast
import gzip
import importlib.util
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .. import data, tables
from ..checks.layer import MODES
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED, Outcome
from ..corpus import entries
from ..reader.registry import ROWS
from ..schema.clauses import registry
from ..schema.qemu import HEADER
from ..writer import Draft, emulator, record
from .support.campaign import one, seeds
from .support.corpus import SMALL
from .support.good_streams import BACK, GOOD, LIBXL_HVM, LIBXL_REMUS, PV, PV_LAST, REMUS_HVM, VERIFY
from .support.vector import Vector, judge, judged

_PATH = data.path("conformance", "second.py")
_JOBS = 10
_COUNT = 150 * (10 if os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough" else 1)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("second", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["second"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


second = _load()
_WORDS = {CONFORMS: "accept", DOES_NOT_CONFORM: "reject"}


def _alone(outcome: Outcome, *clauses: str) -> bool:
    """No other clause's error was found."""
    return all(finding.clause in clauses for finding in outcome.findings if finding.severity == "error")


def _cut_there(outcome: Outcome) -> bool:
    """All errors are in the record that a cut leaves unfinished."""
    cuts = [finding for finding in outcome.findings if finding.clause == "CKPT-CUT"]
    errors = [finding for finding in outcome.findings if finding.severity == "error"]
    return any(all((error.layer, error.index) == (cut.layer, cut.index) for error in errors) for cut in cuts)


def _inside(outcome: Outcome) -> bool:
    """All errors are in what lies in a record, and is no layer that the stream consists of."""
    read = {layer.path for layer in outcome.verifier.layers}
    return all(finding.layer not in read for finding in outcome.findings if finding.severity == "error")


_CUT = LIBXL_REMUS.put("libxl.EMULATOR_CONTEXT", 1, emulator_id=9).upto("libxl.EMULATOR_CONTEXT", 1, 16)

# What the second reader leaves to the first: why, when that explains a stream it accepts alone, and such a stream.
NOT_JUDGED_THERE: dict[str, tuple[str, Callable[[Outcome], bool], Vector]] = {
    "LIBXC-PTE-PFN": (
        "what pages and state hold is looked at on request only, and the second reader takes none",
        lambda outcome: _alone(outcome, *(clause.id for clause in registry().values() if clause.deep)),
        SMALL["LIBXC-PTE-PFN"]["broken:drawn-0"],
    ),
    "STREAM-ZEROS": (
        "an END before the guest is whole is one to the second reader whatever follows it, if not zeros",
        lambda outcome: _alone(outcome, "STREAM-ZEROS"),
        Vector(PV.without("libxc.SHARED_INFO").then(PV.part("libxc.SHARED_INFO"))),
    ),
    "CKPT-CUT": (
        "of a record that a cut left unfinished the second reader judges the header only",
        _cut_there,
        Vector(_CUT),
    ),
    "QEMU-SEC-TYPE": (
        "the second reader does not look into a device model's record",
        _inside,
        Vector(LIBXL_HVM.swap("libxl.EMULATOR_CONTEXT", emulator(HEADER + b"\x09"))),
    ),
}


def _agree(raw: bytes, outcome: Outcome, form: str = "auto", mode: str = "auto") -> str | None:
    """What the second reader says, None where it need not say anything; fails where the two differ."""
    verdict, offset, why = second.judge(raw, form, mode)
    assert 0 <= offset <= len(raw)
    if verdict == "unknown":
        return None
    if verdict != _WORDS.get(outcome.verdict):
        excuses = [clause for clause, (_, explains, _) in NOT_JUDGED_THERE.items() if explains(outcome)]
        found = [(finding.clause, finding.offset, finding.message) for finding in outcome.findings]
        assert verdict == "accept", (why, offset, found)
        assert excuses, found
    return str(verdict)


def _in_scope(vector: Vector) -> bool:
    return vector.form in {"auto", *second.FORMS}


# Layers that the second reader does not know: it names the forms as the first does.
_OTHERS = set(ROWS) - set(second.FORMS)


def _known(paths: Iterable[str]) -> bool:
    """Whether nothing is there, by paths that begin with a layer's name, that the second reader does not know."""
    return _OTHERS.isdisjoint(path.partition(".")[0] for path in paths)


def _layers(outcome: Outcome) -> list[str]:
    """The names of the layers that the first reader has found."""
    return [layer["path"].rpartition("/")[2] for layer in outcome.as_dict()["layers"]]


@pytest.mark.parametrize("clause", SMALL)
def test_vectors(clause: str) -> None:
    """Both readers judge each vector alike."""
    for vector in filter(_in_scope, SMALL[clause].values()):
        _agree(vector.stream.render(), judged(vector), vector.form, vector.mode)


def test_scope() -> None:
    """Most vectors are in the second reader's scope; it does not know what begins as anything else, or is older."""
    rows = [vector for cases in SMALL.values() for vector in cases.values() if _in_scope(vector)]
    known = [
        vector for vector in rows if second.judge(vector.stream.render(), vector.form, vector.mode)[0] != "unknown"
    ]

    assert len(known) > 600
    for name, stream in GOOD.items():
        assert second.judge(stream.render())[0] == ("accept" if _known(stream.paths) else "unknown"), name
    for raw in (
        b"",
        b"Libxl",
        bytes(100),
        b"QEVM\0\0\0\3",
        second.XL + b"\4\3\2\1" + bytes(4) + bytes(4) + b"\4" + bytes(8),
    ):
        assert second.judge(raw)[0] == "unknown"


@pytest.mark.parametrize("clause", NOT_JUDGED_THERE)
def test_differences_are_needed(clause: str) -> None:
    """Each entry of the table has a stream that the second reader accepts and the first, by that clause, does not."""
    _, explains, vector = NOT_JUDGED_THERE[clause]
    outcome = judged(vector)

    assert clause in tables.SEVERITY
    assert outcome.verdict == DOES_NOT_CONFORM
    assert explains(outcome)
    assert second.judge(vector.stream.render(), vector.form, vector.mode)[0] == "accept"


_CORPUS = [
    os.path.join(data.path("corpus", folder), name)
    for folder in ("real", "streams/made")
    for name in sorted(os.listdir(data.path("corpus", folder)))
    if name.endswith(".gz")
]


@pytest.mark.parametrize("path", _CORPUS, ids=os.path.basename)
def test_corpus(path: str) -> None:
    """Both readers judge the corpus's streams alike."""
    with gzip.open(path) as file:
        raw = file.read()
    outcome = judge([raw])

    verdict = _agree(raw, outcome)

    if verdict is None:
        assert outcome.verdict == NOT_JUDGED or not _known(_layers(outcome))


_TOLD = [entry for name in ("history", "hostile") for entry in entries.collection(name)]


@pytest.mark.parametrize("entry", _TOLD, ids=lambda entry: entry.id)
def test_history_and_hostile(entry: entries.Entry) -> None:
    """Both readers judge what tools wrote and what attackers might alike; the second does not know other layers."""
    made = entry.recipe
    assert made.form in {"auto", *second.FORMS}
    raw = made.stream.render()
    outcome = judge([raw], made.form, made.mode, deep=made.deep)

    verdict = _agree(raw, outcome, made.form, made.mode)

    if verdict is None:
        assert outcome.verdict == NOT_JUDGED or not _known(_layers(outcome))


def test_history_and_hostile_scope() -> None:
    """It knows most of those without other layers, and refuses and accepts some of each."""
    for name in ("history", "hostile"):
        made = [entry.recipe for entry in entries.collection(name) if _known(entry.recipe.stream.paths)]
        verdicts = [second.judge(recipe.stream.render(), recipe.form, recipe.mode)[0] for recipe in made]
        assert verdicts.count("unknown") < len(verdicts) // 2
        assert min(verdicts.count("accept"), verdicts.count("reject")) > 10


# One of each record, to be put anywhere.
_RECORDS = {
    part.path: part for stream in GOOD.values() for part in (*stream, VERIFY) if part.layer in {"libxc", "libxl"}
}


@pytest.mark.parametrize("name", ["hvm", "pv", "pv-v2", "libxl-hvm", "libxl-colo", "remus-pv"])
def test_any_record_anywhere(name: str) -> None:
    """Both readers know the same order: a record of any type, wherever it is put, is welcome to both or to neither."""
    parts = GOOD[name].parts
    seen = set()
    for place, part in product(range(1, len(parts) + 1), _RECORDS.values()):
        raw = Draft((*parts[:place], part, *parts[place:])).render()
        seen.add(_agree(raw, judge([raw])))
    assert seen >= {"accept", "reject"}


@pytest.mark.parametrize("name", ["hvm", "pv"])
def test_any_page_type(name: str) -> None:
    """Both readers know the same page types, with content and without."""
    verdicts = []
    for kind, content in product(range(16), (b"", bytes(second.PAGE))):
        body = struct.pack("<IIQ", 1, 0, kind << 60 | PV_LAST) + content  # of a frame that nothing names
        raw = GOOD[name].before("libxc.X86_TSC_INFO", record("libxc.PAGE_DATA", data=body)).render()
        verdicts.append(_agree(raw, judge([raw])))
    assert verdicts.count("accept") == 12


@pytest.mark.parametrize(("length", "verdict"), [(1 << 27, "accept"), ((1 << 27) + 1, "reject")])
def test_longest(length: int, verdict: str) -> None:
    """Both readers know how long a record may be: a header is enough where a stream may be cut short."""
    raw = REMUS_HVM.upto("libxc.CHECKPOINT", extra=8).render() + struct.pack("<II", 1 << 31, length)
    assert _agree(raw, judge([raw])) == verdict


@pytest.mark.parametrize("name", ["hvm", "pv", "libxl-hvm", "xl-hvm"])
def test_big_endian(name: str) -> None:
    """A big-endian stream is refused for what it says of itself."""
    layers = ("xl", "libxl", "libxc")
    for count in range(1, len(layers) + 1):
        stream = GOOD[name].big_endian(*layers[-count:])
        verdict, _, why = second.judge(stream.render())
        assert (verdict, why) == ("reject", second.BIG_ENDIAN)


# -- damage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", range(_JOBS))
def test_seeded(job: int) -> None:
    """Both readers judge thousands of damaged vectors and real streams alike, whatever was declared."""
    kinds = set()
    for number in range(job * _COUNT, (job + 1) * _COUNT):
        raw, rng = one("second", number)
        form, mode = rng.choice(("auto", "auto", *second.FORMS)), rng.choice(MODES)
        try:
            kinds.add(_agree(raw, judge([raw], form, mode), form, mode))
        except Exception as error:
            pytest.fail(f"campaign.one('second', {number}) as {form}, {mode}: {error!r}")
    assert kinds >= {"reject", None}


@cache
def _seeds() -> list[bytes]:
    return [seed.data for seed in seeds() if second.judge(seed.data)[0] == "accept"]


_EDITS = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=8), st.integers(0, 16)), max_size=4)


@given(number=st.deferred(lambda: st.integers(0, len(_seeds()) - 1)), edits=_EDITS, mode=st.sampled_from(MODES))
def test_any_edit(number: int, edits: list[tuple[int, bytes, int]], mode: str) -> None:
    """Bytes put in the place of others: both readers still agree."""
    raw = _seeds()[number]
    for place, new, gone in edits:
        at = place % (len(raw) + 1)
        raw = raw[:at] + new + raw[at + gone :]
    _agree(raw, judge([raw], mode=mode), mode=mode)


@given(
    beginning=st.sampled_from([b"", *second.BEGINNINGS]),
    raw=st.binary(max_size=300),
    form=st.sampled_from(["auto", *second.FORMS]),
    mode=st.sampled_from(MODES),
)
@example(beginning=b"", raw=b"", form="back-channel", mode="auto")
def test_any_bytes(beginning: bytes, raw: bytes, form: str, mode: str) -> None:
    """Whatever it is given and asked, the second reader has a verdict, and the first agrees."""
    raw = beginning + raw
    _agree(raw, judge([raw], form, mode), form, mode)


# -- as a program ---------------------------------------------------------------------------------------------


def _run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", _PATH, *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False)


def test_stands_alone() -> None:
    """It imports the standard library and nothing else, is small, and writes each fact itself."""
    with open(_PATH, encoding="utf-8") as file:
        source = file.read()
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert imported <= sys.stdlib_module_names | {"collections.abc"}
    assert source.count("\n") <= 400


def test_program(tmp_path: Path, sample: Callable[[str], bytes]) -> None:
    """One line for each input, and an exit status for all."""
    good, broken = tmp_path / "good", tmp_path / "broken"
    good.write_bytes(sample("hvm-64.bin.gz"))
    broken.write_bytes(sample("hvm-64-broken.bin.gz"))

    done = _run(str(good), str(broken))
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [
        f"{good}: accept at 296504: it breaks no rule",
        f"{broken}: reject at 752: the page type is reserved",
    ]
    assert _run(str(good)).returncode == 0
    assert _run("--as", "back-channel", "--mode", "colo", "-", given=BACK.render()).returncode == 0
    assert _run("-", given=LIBXL_HVM.render()).stdout.startswith(b"-: accept")
    for usage in ([], ["--as", "qcow2", "-"], ["--mode", "fast", "-"]):
        assert _run(*usage).returncode == 2
    assert b"--mode colo captured.bin" in _run("--help").stdout


def test_program_cannot_read(tmp_path: Path) -> None:
    """What cannot be opened is said in a line, and the next input is judged all the same."""
    done = _run(str(tmp_path / "missing"), str(tmp_path), "-", given=LIBXL_HVM.render())

    assert done.returncode == 1
    assert [line.count(b"unknown at 0: it cannot be read") for line in done.stdout.splitlines()] == [1, 1, 0]
    assert not done.stderr
