"""Checkpoints of a guest that has written 1 MiB since the last one, ours and those of `xl remus`:
``python -m streamfmt.bench.remus``.

Both are between two sides on this machine, with an interval of 1 ms.  Xen's hypervisor is the stand-in of `make peers`,
whose guest has written as many pages whenever it is asked which; ours runs, and writes them over and over.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..conformance.host import Host
from ..engine.guest.makes import Wanted, running
from ..engine.migrate import Way, save
from ..engine.orders import Orders
from ..engine.policies import policy
from ..engine.precopy import Settings
from ..engine.too_fast import remedy
from ..engine.transport.ends import connect
from ..engine.waiting import Waiter
from ..errors import MissingPeerError
from .moves import Moved, Program, receiver
from .process import BenchError, NotMeasuredError

PAGES, MEMORY, INTERVAL = 256, "16MiB", 1
# Checkpoints of ours that are measured, and seconds for which xl's are; for which it begins, at most; and bytes that a
# checkpoint of so many pages has besides them, about: entries, headers and state.
_COUNT, _MEASURED, _BEGINS = 400, 1.5, 15.0
_PAGE, _BESIDES = 4096 + 8, 8192
# Pages a second that ours writes: all of them in each of a few milliseconds.
_RATE = 120_000


def ours(*words: str) -> Moved:
    """Checkpoints of ours: how long one takes in all, for how long the guest stands, and from the end of the link until
    the standby's guest runs, each the median, but the first, which is the mean."""
    with receiver("--remus") as (standby, uri):
        guest = ("--guest", "process", "--memory", MEMORY, "--working-set", "1MiB", "--dirty-rate", str(_RATE))
        with Program("send", uri, "--remus", f"{INTERVAL}ms", "--checkpoints", str(_COUNT), *guest, *words) as primary:
            # Whoever read what they say while they run would take time from them, as nobody does from xl.
            for side in (primary, standby):
                side.keep()
            primary.wait()
            rows = [primary.event("checkpoint") for _ in range(_COUNT)]
            primary.event("protected")
        lost = standby.event("failed over")
        runs = standby.event("running")
        ran = standby.event("ran")
        if ran["broken"]:
            raise BenchError(f"the guest is broken: {ran['broken'][0]}")
        few = [row["frames"] for row in rows[1:] if row["frames"] < PAGES]
        if len(few) > _COUNT // 10:
            raise BenchError(f"the guest writes too few pages: {median(few)} in a checkpoint")
        each = (rows[-1]["seconds"] - rows[0]["seconds"]) / (_COUNT - 1)
        stood = median(row["stood"] for row in rows)
        return Moved(each, runs["seconds"] - lost["seconds"], stood, sent=rows[-1]["bytes"])


def xens() -> Moved:
    """Those of xl: how long one takes, by the bytes that its helper writes.

    :raises NotMeasuredError: it is not there.
    """
    try:
        host = Host()
    except MissingPeerError as error:
        raise NotMeasuredError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="streamfmt-bench-") as name, ExitStack() as opened:
        folder = Path(name)
        path = folder / "guest.sav"
        _saved(path)
        source, target = opened.enter_context(host), opened.enter_context(Host())
        if (done := source.xl("restore", "-e", path)).status:
            raise BenchError(f"xl restore: {done.log[-500:]}")
        script = folder / "standby.sh"
        script.write_text(_command(target))
        script.chmod(0o755)
        words = ["remus", "-F", "-u", "-n", "-d", "-e", "-i", str(INTERVAL), "-s", "", "guest", str(script)]
        xl = subprocess.Popen(
            [source.program("xl"), *words],
            env={**source.environment, "FAKEXEN_DIRTY": str(PAGES), "FAKEXEN_DIRTY_LAST": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        opened.callback(_end, xl)
        helper = _helper(xl)
        begin, first = _written(helper)
        time.sleep(_MEASURED)
        end, last = _written(helper)
        return Moved((last - first) / ((end - begin) / (PAGES * _PAGE + _BESIDES)))


def _saved(path: Path) -> None:
    """A guest of that memory, as a file."""
    guest, waiter = running("model", Wanted("hvm", (16 << 20) >> 12, filled=2 * PAGES)), Waiter()
    chosen = policy("xen")
    try:
        end = connect(f"file:{path}", waiter)
        save(guest, end, Way(Settings(chosen, remedy("go-on")), Orders()))
        end.close()
    finally:
        waiter.close()
        guest.close()


def _command(host: Host) -> str:
    names = [name for name in host.environment if host.environment[name] != os.environ.get(name)]
    words = " ".join(f"{name}={shlex.quote(host.environment[name])}" for name in names)
    return f"#!/bin/sh\nunset LD_PRELOAD\nexec env {words} {host.program('xl')} migrate-receive -r -e 2>/dev/null\n"


def _helper(xl: subprocess.Popen[bytes]) -> int:
    """The process that writes the image, once it has written more than all memory."""
    deadline = time.monotonic() + _BEGINS
    while time.monotonic() < deadline and xl.poll() is None:
        for child in Path(f"/proc/{xl.pid}/task/{xl.pid}/children").read_text().split():
            try:
                if b"save-helper" in Path(f"/proc/{child}/cmdline").read_bytes() and _written(int(child))[0] > 64 << 20:
                    return int(child)
            except OSError:
                pass  # it has ended
        time.sleep(0.02)
    raise BenchError("xl remus has made no checkpoints")


def _written(process: int) -> tuple[int, float]:
    """Bytes that a process has written, and when that was asked."""
    lines = Path(f"/proc/{process}/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:")), time.monotonic()


def _end(xl: subprocess.Popen[bytes]) -> None:
    children = Path(f"/proc/{xl.pid}/task/{xl.pid}/children")
    ids = [int(child) for child in children.read_text().split()] if xl.poll() is None else []
    xl.kill()
    xl.wait()
    for child in ids:
        try:
            os.kill(child, 9)
        except ProcessLookupError:
            pass


@dataclass(frozen=True, slots=True)
class _Shown:
    name: str
    found: Moved


def main(words: list[str]) -> int:
    """Print both."""
    for _ in range(int(words[0]) if words else 1):
        for shown in (_Shown("ours", ours()), _Shown("xl remus", xens())):
            found = shown.found
            print(
                f"{shown.name:9} {1 / found.total:6.1f} checkpoints/s, stood {found.pause * 1e3:.2f} ms, "
                f"failover {found.downtime * 1e3:.1f} ms",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
