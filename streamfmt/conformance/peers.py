"""Xen's own readers, asked for their verdicts on many streams at once.

`make peers` in a checkout installs and builds them; the environment variable STREAMFMT_XENPEER names a xenpeer that
is elsewhere.  `xenguest` asks libxenguest, the C library that restores guests, through xenpeer; `script` asks the
modules of Xen's verify-stream-v2.  Both are there in several releases of Xen, of which the machine's own is `RELEASE`.
"""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ..errors import MissingPeerError
from ..schema.clauses import CONVERTER, SCRIPT, SCRIPT_RELEASE
from .host import LIBXLPEER, installation

_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(os.path.dirname(_HERE))
XENPEER = "xenpeer"
# The release that the machine has installed, and all those that `make peers` brings, which unpacks the others.
RELEASE = SCRIPT_RELEASE
RELEASES = ("4.14", RELEASE, "4.20")


class Verdict(NamedTuple):
    """What a peer says of a stream.

    `verdict` is "accept", "reject", "crash" or "hang"; `message` the peer's own words, empty if it has none;
    `offset` how far it had read, None if that is not known; `refused` the last hypercall that it was refused, if
    there was one and it did not crash.  Of libxl and xl there is more: `died` is the signal that ended them in their
    clean-up, after a refusal; `lines` all that was logged for people; `model` how many bytes the device model got, None
    if it was not started.
    """

    verdict: str
    message: str
    offset: int | None
    refused: str = ""
    died: str = ""
    lines: tuple[str, ...] = ()
    model: int | None = None


def minor(release: str) -> int:
    """The number of a series of Xen 4."""
    return int(release.split(".")[1])


def find_script(release: str = RELEASE, name: str = SCRIPT) -> str | None:
    """Where Xen's verify-stream-v2 is, or another script; None without one.

    Of the machine's own, the newest if there are several.
    """
    places = f"usr/lib/xen-*/bin/{name}"
    if release != RELEASE:
        return next(glob.iglob(os.path.join(_ROOT, ".peers", release, "root", places)), None)
    found = glob.glob(f"/{places}")
    return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path)], default=None)


def script_modules(script: str) -> str:
    """Where the modules of such a verify-stream-v2 are, which it looks for on PYTHONPATH."""
    return os.path.normpath(os.path.join(os.path.dirname(script), "..", "lib", "python"))


def _find_xenpeer(release: str) -> str | None:
    """Where xenpeer is: STREAMFMT_XENPEER says, or it was built where its sources are, in a checkout."""
    path = os.environ.get("STREAMFMT_XENPEER", "") if release == RELEASE else ""
    path = path or os.path.join(_ROOT, "conformance", XENPEER, f"build-{release}", XENPEER)
    return path if os.access(path, os.X_OK) else None


def _find_toolstack(release: str) -> str | None:
    """Where Xen's toolstack is, if all that a host of it needs is there."""
    found = installation(release)
    return str(found.binaries) if found.complete else None


def require(name: str, release: str = RELEASE) -> str:
    """Where a program of that release is: "xenpeer", "libxlpeer", "verify-stream-v2" or "convert-legacy-stream".

    Raises MissingPeerError.
    """
    finders: dict[str, Callable[[str], str | None]] = {
        XENPEER: _find_xenpeer,
        LIBXLPEER: _find_toolstack,
        SCRIPT: find_script,
        CONVERTER: partial(find_script, name=CONVERTER),
    }
    found = finders[name](release)
    if found is None:
        raise MissingPeerError(name if release == RELEASE else f"{name} of Xen {release}")
    return found


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


def xenguest(streams: Iterable[tuple[str, bytes]], release: str = RELEASE) -> list[Verdict]:
    """Libxenguest's verdicts on libxc streams, each with its kind.

    That is hvm, pv, hvm-remus, pv-remus or hvm-colo; or hvm-colo-back for what a COLO secondary sends
    back, of which libxenguest reads the lists only.

    Raises MissingPeerError without xenpeer, and RuntimeError if it stops.
    """
    return _asked([require(XENPEER, release), "judge"], streams)


def script(streams: Iterable[tuple[str, bytes]], release: str = RELEASE) -> list[Verdict]:
    """The verdicts of verify-stream-v2's modules on streams, each with its form: libxc, libxl or xl.

    "reject" is the script's exit status 1, "crash" its status 2.  Raises MissingPeerError without the script, and
    RuntimeError if it stops.
    """
    driver = os.path.join(_HERE, "script_driver.py")
    modules = script_modules(require(SCRIPT, release))
    return _asked([sys.executable, "-P", driver], streams, {**os.environ, "PYTHONPATH": modules})
