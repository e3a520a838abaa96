"""What coverage-guided fuzzers begin with, and the harnesses for our own parsers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .. import data
from ..conformance.command import verified
from ..conformance.target import Input
from ..fuzz.seeds import write
from ..recipes.load import load
from ..schema import libxc
from ..schema.magic import MAGICS
from .support.good_streams import GOOD

ROOT = Path(data.path("spec")).parent
HARNESSES = ROOT / "conformance" / "fuzz"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fuzzers begin with."""
    directory = tmp_path_factory.mktemp("seeds")
    write(directory)
    return directory


def test_seeds_conform(seeds: Path) -> None:
    """Each stream conforms as what it is given out for, and its recipe makes the same bytes."""
    names = {path.stem for path in seeds.glob("streams/*.bin")}

    assert names == GOOD.keys()
    for name, stream in GOOD.items():
        raw = (seeds / "streams" / f"{name}.bin").read_bytes()
        outcome = verified(Input(raw, stream.form or "auto", "auto", deep=True))
        assert (outcome.verdict, outcome.counts) == ("conforms", {})
        assert load((seeds / "recipes" / f"{name}.toml").read_text()).stream.render() == raw


def test_dictionary(seeds: Path) -> None:
    """It has every magic and record type, each once, as AFL and libFuzzer read them."""
    lines = (seeds / "streamfmt.dict").read_text().splitlines()[1:]
    found = [re.fullmatch(r'\w+="((?:[ !#-\[\]-~]|\\x[0-9a-f]{2})+)"', line) for line in lines]
    tokens = [bytes.fromhex(re.sub(r"\\x(..)|(.)", lambda c: c[1] or f"{ord(c[2]):02x}", f[1])) for f in found if f]

    assert len(tokens) == len(set(tokens)) == len(lines)
    assert {magic.data for magic in MAGICS} <= set(tokens)
    assert {row.code.to_bytes(4, "little") for row in libxc.RECORDS} <= set(tokens)


@pytest.mark.parametrize("harness", sorted(HARNESSES.glob("fuzz_*.py")), ids=lambda path: path.stem)
def test_harness_replays(harness: Path, seeds: Path) -> None:
    """Without atheris, harnesses are given the files that are named, and find nothing."""
    files = seeds / ("recipes" if harness.stem == "fuzz_recipe" else "streams")
    command = [sys.executable, str(harness), "-max_len=9", str(files), str(seeds / "streamfmt.dict")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(seeds / "none"), str(ROOT)])}
    # Where atheris is installed it stays out of this.
    (seeds / "none").mkdir(exist_ok=True)
    (seeds / "none" / "atheris.py").write_text("raise ImportError")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(GOOD) + 1} inputs replayed\n", "")


def test_harnesses_and_their_build() -> None:
    """There is one for each parser, and the build takes all."""
    assert {path.stem for path in HARNESSES.glob("fuzz_*.py")} == {
        "fuzz_identify",
        "fuzz_open",
        "fuzz_recipe",
        "fuzz_from_stream",
        "fuzz_verify",
    }
    folder = ROOT / ".clusterfuzzlite"
    assert "conformance/fuzz/fuzz_*.py" in (folder / "build.sh").read_text()
    assert subprocess.run(["bash", "-n", str(folder / "build.sh")], check=False).returncode == 0
    assert os.access(folder / "build.sh", os.X_OK)
