"""Lengths that lie and floods of bad records cost neither memory nor sense."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED
from .support.hostile_streams import FLOODS, LIARS

_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"
_SIZE = (16 if _THOROUGH else 1) << 19
# Floods of 24-byte records, what most of an image could be made of.
_LONG = [name for name in FLOODS if name.startswith("entries-")] if _THOROUGH else ["entries-mixed"]
_LONG_SIZE = (64 if _THOROUGH else 8) << 20
_SHORT = [name for name in (*LIARS, *FLOODS) if name not in _LONG]
_GROUPS = [(name, _LONG_SIZE) for name in _LONG], *([(name, _SIZE) for name in _SHORT[at::3]] for at in range(3))

# What a stream of any size may take, and a short one, in which a leak has less time to show.
_MEMORY = 16 << 20
_MEMORY_SHORT = 3 << 20

# Not streams at all, so nothing is found in them; and what follows END is not judged.
_NO_STREAM = {"noise", "zeros", "text-endless", "text-of-one-line", "text-too-long", "http-endless", "magics-as-text"}
_CONFORMING = {"trailing-zeros", "trailing-noise", "trailing-image", "trailing-handshakes", "xapi-slack"}


@pytest.mark.parametrize("number", range(len(_GROUPS)))
def test_memory(number: int) -> None:
    """Each case ends in a finding or a refusal, and takes no more memory than a good stream of any size."""
    group = _GROUPS[number]
    size = group[0][1]
    command = [sys.executable, "-m", "streamfmt.tests.support.hostile_streams", str(size), *(name for name, _ in group)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600 if _THOROUGH else 300, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == [name for name, _ in group]
    for name, case in found.items():
        assert "died" not in case, name
        assert case["growth"] < (_MEMORY if size > _SIZE else min(_MEMORY, _MEMORY_SHORT + size)), (name, case)
        expected = NOT_JUDGED if name in _NO_STREAM else CONFORMS if name in _CONFORMING else DOES_NOT_CONFORM
        assert case["verdicts"] == [expected], name
        assert (case["least_findings"] > 0) == (expected != NOT_JUDGED), name
