"""Other people's readers, asked for their verdicts on many streams at once.

`make peers` installs and builds them.  `xenguest` asks libxenguest, the C library that restores guests, through
conformance/xenpeer; `script` asks the modules of Xen's verify-stream-v2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from ..bench import run

_HERE = Path(__file__).parent


class Verdict(NamedTuple):
    """What a peer says of a stream.

    `verdict` is "accept", "reject", "crash" or "hang"; `message` the peer's own words, empty if it has none;
    `offset` how far it had read, None if that is not known; `refused` the last hypercall that it was refused, if
    there was one and it did not crash.
    """

    verdict: str
    message: str
    offset: int | None
    refused: str = ""


def _find_xenpeer() -> str | None:
    """Where xenpeer is: STREAMFMT_XENPEER says, or it was built where its sources are."""
    path = os.environ.get("STREAMFMT_XENPEER") or str(_HERE.parents[1] / "conformance" / "xenpeer" / "xenpeer")
    return path if os.access(path, os.X_OK) else None


_FIND = {"xenpeer": _find_xenpeer, "verify-stream-v2": run.find_script}


def require(name: str) -> str:
    """Where the program is.  Without it the test is skipped, or fails if STREAMFMT_REQUIRE_PEERS is 1."""
    found = _FIND[name]()
    if found is not None:
        return found
    if os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is missing, and STREAMFMT_REQUIRE_PEERS=1 wants it (make peers)")
    pytest.skip(f"{name} is missing (make peers)")


def _asked(
    command: Sequence[str], streams: Iterable[tuple[str, bytes]], environment: Mapping[str, str] | None = None
) -> list[Verdict]:
    """The verdicts of a program that answers each "WORD LENGTH" and stream on its input by a line of JSON."""
    # A file takes all requests before the first answer comes: no pipe can fill up on either side.
    with tempfile.TemporaryFile() as requests:
        asked = 0
        for word, data in streams:
            requests.write(b"%s %d\n" % (word.encode(), len(data)))
            requests.write(data)
            asked += 1
        requests.seek(0)
        done = subprocess.run(command, stdin=requests, capture_output=True, text=True, env=environment, check=False)
    answers = [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode or len(answers) != asked:
        raise RuntimeError(
            f"{command[0]} answered {len(answers)} of {asked} requests, status {done.returncode}: {done.stderr.strip()}"
        )
    return answers


def xenguest(streams: Iterable[tuple[str, bytes]]) -> list[Verdict]:
    """Libxenguest's verdicts on libxc streams, each with its kind: hvm, pv, hvm-remus or pv-remus."""
    return _asked([require("xenpeer"), "judge"], streams)


def script(streams: Iterable[tuple[str, bytes]]) -> list[Verdict]:
    """The verdicts of verify-stream-v2's modules on streams, each with its form: libxc, libxl or xl.

    "reject" is the script's exit status 1, "crash" its status 2.
    """
    modules = run.script_modules(require("verify-stream-v2"))
    return _asked([sys.executable, "-P", str(_HERE / "peer_script.py")], streams, {**os.environ, "PYTHONPATH": modules})
