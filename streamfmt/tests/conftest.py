"""Hypothesis profiles, and fixtures the test modules share.

STREAMFMT_HYPOTHESIS chooses the profile: "fast" (the default) runs the same examples every time, "thorough" looks
for new ones.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .. import data
from ..cli.main import main
from ..corpus import entries
from ..writer import Draft
from .support.show_output import Show

# Examples come from builders that take longer than hypothesis likes under xdist on a busy machine.
_SLOW = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("fast", max_examples=100, derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=5000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("STREAMFMT_HYPOTHESIS", "fast"))
# Each process that `streamfmt fuzz` starts would find out again what Hypothesis keeps there: Unicode, our constants.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parents[2] / ".hypothesis"))

# A shell that starts this in the background has it ignore SIGINT, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _sample(name: str) -> bytes:
    path = data.path("corpus", "real", name)
    with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
        return bytes(file.read())


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    """The bytes of a file in corpus/real, decompressed."""
    return _sample


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the checkout, once, by the first of the processes that run the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
            subprocess.run(words, cwd=Path(data.path("corpus")).parent, check=True, capture_output=True)
            (folder / "done").touch()
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command on a stream's bytes; returns exit status and output."""

    def shown(raw: bytes | Draft, *words: str) -> tuple[int, str]:
        path = tmp_path / "input"
        with path.open("wb") as file:
            file.writelines(raw.pieces() if isinstance(raw, Draft) else [raw])
        status = main(["show", *words, str(path)])
        return status, capsys.readouterr().out

    return shown


def _forget_corpus() -> None:
    for kept in (entries.names, entries._top, entries._base, entries.collection):
        kept.cache_clear()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the corpus that may be damaged."""
    folder = tmp_path / "corpus"
    shutil.copytree(data.path("corpus"), folder)
    monkeypatch.setattr(entries, "folder", lambda: folder)
    _forget_corpus()
    yield folder
    _forget_corpus()


@pytest.fixture
def small(few: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The same with all that is made of them: a corpus of a few streams that may be damaged."""
    assert main(["corpus", "build"]) == 0
    capsys.readouterr()
    # The recipes are read again, for a test that changes them.
    _forget_corpus()
    return few


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The recipes of a few streams, of which nothing is made yet."""
    folder = tmp_path / "corpus"
    for name in ("good", "LIBXC-TSC-LEN", "LIBXL-HDR-IDENT"):
        path = folder / "recipes" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.path("corpus", "recipes", path.name), path)
    (folder / "real").mkdir()
    (folder / entries.PROVENANCE).touch()
    monkeypatch.setattr(entries, "folder", lambda: folder)
    _forget_corpus()
    yield folder
    _forget_corpus()
