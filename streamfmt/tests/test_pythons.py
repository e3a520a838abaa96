"""Every Python that we claim finds the same in the same streams, and what we say about Pythons is one thing everywhere.

What is judged is what a wheel installs.  A thousand streams are made once, by the Python that runs the tests.
"""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .. import tables
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM
from ..recipes import load as recipes
from ..schema.clauses import registry
from ..strategies import Sample, inputs
from .support import pythons, verdicts
from .support.good_streams import HVM
from .support.vector import judge, reported

GENERATED, RUNS = 400, 100
# A hang guard for an interpreter that takes a few seconds.
HANG = 300


# -- one-entry records -----------------------------------------------------------------------------------------------


def _single(content: bool, high: int, low: int = 0, reserved: int = 0) -> bytes:
    """A record of one entry whose two highest bytes are `high` and `low`."""
    head, _ = tables.RUN_DATA if content else tables.RUN_BARE
    return head[:-1] + bytes([reserved, 7, 0, 0, 0, 0, 0, low, high]) + bytes(4096 * content)


_TSC = HVM.offset("libxc.X86_TSC_INFO")
# Records by name, and the rule that each breaks.
SINGLES = {
    "page": (_single(True, 0), ""),
    "table": (_single(True, 0x90), ""),
    "table of a far frame": (_single(True, 0x90, 0x0F), "LIBXC-PAGE-PFN-MAX"),
    "hole": (_single(False, 0xF0), ""),
    "pinned": (_single(False, 0xD0), ""),
    "reserved type": (_single(False, 0x50), "LIBXC-PAGE-TYPE"),
    "reserved type of a page": (_single(True, 0x80), "LIBXC-PAGE-TYPE"),
    "reserved bit": (_single(False, 0xF0, 0x10), "LIBXC-PAGE-ENT-RSVD"),
    "reserved bit of a page": (_single(True, 0, 0x80), "LIBXC-PAGE-ENT-RSVD"),
    "reserved header": (_single(False, 0xF0, 0, 1), "LIBXC-PAGE-HDR-RSVD"),
    "no content": (_single(False, 0), "LIBXC-PAGE-LEN"),
}
Runs = list[tuple[str, int]]
RUNS_OF = st.lists(st.tuples(st.sampled_from(sorted(SINGLES)), st.integers(1, 80)), min_size=1, max_size=8)


def _among_others(runs: Runs) -> bytes:
    """A guest whose memory has these records so many times in a row, those with content a tenth as often."""
    whole = HVM.render()
    records = (record * (times if len(record) < 4096 else -(-times // 10)) for record, times in _rows(runs))
    return b"".join((whole[:_TSC], *records, whole[_TSC:]))


def _rows(runs: Runs) -> Iterator[tuple[bytes, int]]:
    return ((SINGLES[name][0], times) for name, times in runs)


@given(runs=RUNS_OF)
def test_runs_of_single_records(runs: Runs) -> None:
    """Each record that breaks a rule is found, wherever in runs of others, and no other."""
    content = _among_others(runs)
    whole = judge([content])
    broken = {SINGLES[name][1] for name, _ in runs} - {""}
    wrong = any(registry()[clause].severity == "error" for clause in broken)

    assert whole.verdict == (DOES_NOT_CONFORM if wrong else CONFORMS)
    assert set(whole.verifier.findings.counts) == broken
    assert reported(whole) == reported(judge([content[at : at + 777] for at in range(0, len(content), 777)]))


def test_the_smallest_case() -> None:
    """Holes among pages, a record each: that some Python found broken."""
    recipe = """
        recipe = 1
        guest = "hvm"
        form = "libxc"
        [memory]
        frames = "0-0x3f, 0x40-0x41 XTAB, 0x42"
        batch = 1
    """
    outcome = judge(recipes.load(recipe).stream.pieces())

    assert (outcome.verdict, outcome.verifier.findings.counts) == (CONFORMS, {})
    assert (outcome.verifier.page_entries, outcome.verifier.content_pages) == (67, 65)


# -- other Pythons ---------------------------------------------------------------------------------------------------


def _generated() -> list[verdicts.Asked]:
    found: list[verdicts.Asked] = []
    once = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))

    @seed(10)
    @settings(once, max_examples=GENERATED - RUNS)
    @given(inputs())
    def any_kind(sample: Sample) -> None:
        found.append((sample.form, sample.mode, sample.deep, sample.data))

    @seed(11)
    @settings(once, max_examples=RUNS)
    @given(RUNS_OF)
    def singles(runs: Runs) -> None:
        found.append(("auto", "auto", False, _among_others(runs)))

    any_kind()
    singles()
    return found


def _environment(folder: Path, packages: Path) -> dict[str, str]:
    path = f"{folder / 'wheel'}{os.pathsep}{packages}"
    return {"PATH": os.defpath, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _answers(python: pythons.Python, folder: Path) -> list[str]:
    """What this Python finds, with nothing but an unpacked wheel and the packages that that asks for."""
    command = [str(python.path), "-s", "-P", verdicts.__file__, str(folder / "streams")]
    environment = _environment(folder, pythons.packages(python))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert not done.stderr, f"Python {python.version} ({python.path}): {done.stderr}"
    assert not done.returncode
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A folder with an unpacked wheel, the streams, and what our own Python finds in them.

    It is made once, by the first of the processes that run the tests.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pythons"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "answers").exists():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "wheel")
            verdicts.write(folder / "streams", _generated())
            own = pythons.Python(Path(sys.executable), platform.python_version())
            (folder / "answers.new").write_text("\n".join(_answers(own, folder)), encoding="utf-8")
            (folder / "answers.new").rename(folder / "answers")
    return folder


def test_what_is_asked(made: Path) -> None:
    """Hundreds of streams, each twice, of both verdicts; nothing is wrong with the corpus or the patterns."""
    answers = (made / "answers").read_text(encoding="utf-8").splitlines()
    streams = list(verdicts.read(made / "streams"))

    assert len(streams) == GENERATED
    assert answers[2 * len(streams) :] == []
    for verdict in (CONFORMS, DOES_NOT_CONFORM):
        assert sum(f'"verdict": "{verdict}"' in line for line in answers) > GENERATED // 10


@pytest.mark.parametrize("minor", pythons.claimed())
def test_same_verdicts(minor: str, made: Path) -> None:
    """Each other Python of this version here finds word for word the same, and nothing wrong with the corpus."""
    found = [python for python in pythons.others() if python.minor == minor]
    if not found:
        own = f"; {platform.python_version()} runs the tests" if platform.python_version().startswith(minor) else ""
        pytest.skip(f"there is no other python{minor} on this machine{own} (make pythons fetches some)")
    expected = (made / "answers").read_text(encoding="utf-8").splitlines()
    for python in found:
        if not pythons.packages(python).is_dir():
            remedy = "python -m streamfmt.tests.support.pythons installs them"
            reason = f"python{minor} ({python.path}) has no packages ({remedy})"
            if str(python.path) == os.environ.get(pythons.REQUIRED):
                pytest.fail(reason)
            pytest.skip(reason)
        answers = _answers(python, made)
        differing = [number for number, pair in enumerate(zip(answers, expected, strict=False)) if pair[0] != pair[1]]
        where = f"Python {python.version} ({python.path})"
        assert not differing, f"{where}: {answers[differing[0]]}\n{platform.python_version()}: {expected[differing[0]]}"
        assert len(answers) == len(expected), f"{where}: {answers[len(expected) :]}"


def test_the_required_one_is_asked() -> None:
    """CI names a Python that must not be missing: it is among those that are asked, or runs the tests."""
    required = os.environ.get(pythons.REQUIRED)
    if required is None:
        pytest.skip(f"{pythons.REQUIRED} names no Python that must be asked")
    python = pythons.asked(Path(required))

    assert python is not None, f"{pythons.REQUIRED}: {required} does not run"
    assert python.minor in pythons.claimed()
    assert python.version in {platform.python_version(), *(other.version for other in pythons.others())}


def test_a_wheel_verifies(made: Path) -> None:
    """The command itself, by each other Python: a good stream, and a broken one."""
    real = pythons.ROOT / "corpus" / "real"
    for python in pythons.others():
        if pythons.packages(python).is_dir():
            environment = _environment(made, pythons.packages(python))
            for name, status in (("hvm-64.bin.gz", 0), ("hvm-64-broken.bin.gz", 1)):
                command = [str(python.path), "-s", "-P", "-m", "streamfmt", "verify", str(real / name)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                assert (done.returncode, done.stderr) == (status, ""), python


# -- what we say -----------------------------------------------------------------------------------------------------


def test_what_we_say_is_one_thing() -> None:
    """The oldest and the newest version are the same in pyproject.toml, the Makefile, README and the page."""
    claimed = pythons.claimed()
    oldest, newest = claimed[0], claimed[-1]
    numbers = [int(minor.partition(".")[2]) for minor in claimed]
    names = ("README.md", "Makefile", "docs/pythons.md")
    texts = {name: (pythons.ROOT / name).read_text(encoding="utf-8") for name in names}

    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert pythons.project()["requires-python"] == f">={oldest}"
    assert f"sys.version_info < (3, {numbers[0]})" in texts["Makefile"]
    assert f"Python {oldest} or later" in texts["Makefile"]
    for name in ("README.md", "docs/pythons.md"):
        assert f"Python {oldest} to {newest}" in texts[name], name


def test_each_version_has_its_line() -> None:
    """The page has a line for at least one Python of each version that we claim, and for no others."""
    lines = (pythons.ROOT / "docs" / "pythons.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split("|")[1].strip() for line in lines if line.startswith("| 3.")]

    assert {".".join(version.split(".")[:2]) for version in listed} == set(pythons.claimed())
