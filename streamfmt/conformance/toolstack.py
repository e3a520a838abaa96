"""Real libxl and xl, asked for their verdicts on many streams at once: what `peers` is for the other readers.

Each stream is restored on a host of Xen's own programs (see `host`); several hosts work side by side.

  python -m streamfmt.conformance.toolstack [--release 4.20] --kind hvm STREAM...

prints the verdicts, a line of JSON for each stream.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import MissingPeerError
from .host import LIBXLPEER
from .peers import RELEASE, RELEASES, Verdict, require

# Hosts side by side; a restore is mostly waiting for processes that start.
HOSTS = 2


def ask(streams: Iterable[tuple[str, bytes]], release: str = RELEASE, hosts: int = HOSTS) -> list[Verdict]:
    """The verdicts of that release of Xen on streams, each with its kind.

    Libxl is asked about the kinds hvm, pv and pvh, and with -remus, -colo or -legacy after these, xl about those with
    xl- before them.  Raises MissingPeerError, and RuntimeError if a host stops.
    """
    require(LIBXLPEER, release)
    with tempfile.TemporaryDirectory() as folder:
        asked = 0
        with ExitStack() as files:
            requests = [files.enter_context(open(f"{folder}/{at}", "wb")) for at in range(hosts)]
            for kind, data in streams:
                requests[asked % hosts].write(b"%s %d\n" % (kind.encode(), len(data)) + data)
                asked += 1
        children = [_started(release, f"{folder}/{at}") for at in range(hosts)]
        for child in children:
            child.wait()
        answers = [_answers(release, child, f"{folder}/{at}") for at, child in enumerate(children)]
    found = [said for turn in zip_longest(*answers) for said in turn if said is not None]
    if len(found) != asked:
        raise RuntimeError(f"Xen {release} answered {len(found)} of {asked} requests")
    return found


def _started(release: str, path: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", f"{__package__}.toolstack_driver", release]
    with open(path, "rb") as requests, open(f"{path}.out", "wb") as out, open(f"{path}.err", "wb") as err:
        return subprocess.Popen(command, stdin=requests, stdout=out, stderr=err)


def _answers(release: str, child: subprocess.Popen[bytes], path: str) -> list[Verdict]:
    with open(f"{path}.out", encoding="utf-8") as out, open(f"{path}.err", encoding="utf-8") as err:
        if child.returncode:
            raise RuntimeError(f"the host of Xen {release} ended with status {child.returncode}: {err.read().strip()}")
        return [_said(json.loads(line)) for line in out]


def _said(row: dict[str, Any]) -> Verdict:
    return Verdict(**{**row, "lines": tuple(row["lines"])})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What libxl or xl does with streams, in JSON.")
    parser.add_argument("--release", default=RELEASE, choices=RELEASES, help="of Xen (default: %(default)s)")
    parser.add_argument(
        "--kind", required=True, help="hvm, pv or pvh; with -remus after it; xl-hvm, xl-pv for xl files"
    )
    parser.add_argument("streams", nargs="+", metavar="STREAM")
    given = parser.parse_args()
    data = [Path(name).read_bytes() for name in given.streams]
    try:
        answers = ask([(given.kind, each) for each in data], given.release)
    except MissingPeerError as missing:
        sys.exit(str(missing))
    for name, said in zip(given.streams, answers, strict=True):
        print(json.dumps({"stream": name, **said._asdict()}))


if __name__ == "__main__":
    main()
