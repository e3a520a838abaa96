"""The tests have the same names in every process: pytest-xdist refuses to run what its workers name differently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Another day and another order of sets: what a name was made of a moment ago shows itself.
_LATER = "import sys, time; now = time.time; time.time = lambda: now() + 1e6; import pytest; sys.exit(pytest.main())"


def test_names_hang_on_no_clock_and_no_hash(request: pytest.FixtureRequest) -> None:
    """What this session collected is what another process collects a week later, with another seed of its hashes."""
    here = {item.nodeid for item in request.session.items}
    files = {name.split("::")[0] for name in here}
    there = subprocess.run(
        [sys.executable, "-c", _LATER, "--collect-only", "-q", "-o", "addopts=", *files],
        env={**os.environ, "PYTHONHASHSEED": "17", "PYTEST_ADDOPTS": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert there.returncode == 0, there.stdout + there.stderr
    assert here <= set(there.stdout.splitlines())
