"""Remus between us and Xen's own xl: whoever protects is killed, and the other side has the last checkpoint."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..conformance.host import LIBXLPEER, PROJECT, Host
from ..conformance.peers import RELEASES
from ..conformance.restored import Restored, present
from ..engine.checkpointing.devices import Devices
from ..engine.checkpointing.primary import Remus, RemusPrimary
from ..engine.guest.model import Model
from ..engine.interface import Guest
from ..engine.migrate import Asked, Patience
from ..engine.transport.ends import connect
from ..engine.waiting import Waiter
from ..errors import TakenOverError
from .support import peers
from .support.moving import way, working
from .support.same_memory import ZERO, contents, levels, own
from .test_engine_xen_peers import recorded

SLOW = Patience(20.0, 20.0, 20.0, 20.0)
KINDS = pytest.mark.parametrize("kind", ["hvm", "pv"])


class _Memory:
    """A device that keeps the memory of the last checkpoint that was safe."""

    held = 0

    def __init__(self, guest: Model) -> None:
        self.guest = guest
        self.pages: list[dict[int, bytes]] = []
        self.levels: dict[int, int] = {}

    def postsuspend(self) -> None:
        self.pages.append(contents(self.guest))
        self.levels = levels(self.guest)

    def preresume(self) -> None:
        pass

    def commit(self) -> None:
        pass

    def release(self) -> None:
        pass

    def drop(self) -> None:
        pass


def _there(host: Host, folder: Path) -> str:
    """A command that stands by with xl on a host; all of its environment is in it."""
    names = [*(name for name in host.environment if host.environment[name] != os.environ.get(name))]
    words = [f"{name}={shlex.quote(host.environment[name])}" for name in names]
    return f"exec env {' '.join(words)} {host.program('xl')} -vvv migrate-receive -r -e 2>{folder}/log"


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_xl_takes_over_from_us(release: str, kind: str, tmp_path: Path) -> None:
    """`xl migrate-receive --remus` has the memory of our last checkpoint, and starts the guest, when we have gone."""
    peers.require(LIBXLPEER, release)
    guest = working(kind, 1e4)
    memory = _Memory(guest)
    with Host(release) as host:
        waiter = Waiter()
        end = connect(f"exec:{_there(host, tmp_path)}", waiter)
        remus = Remus(0.005, False, Devices([memory]), most=6)
        primary = RemusPrimary(guest, end, way(), remus, Asked(waiter, SLOW))
        try:
            with pytest.raises(TakenOverError):
                primary.protect()
        finally:
            end.close()
            waiter.close()
        log = (tmp_path / "log").read_text()
        pages, frames = present(host, kind == "pv")
        listed = host.run([host.program("xl"), "list"]).stdout.splitlines()
        found = Restored(None, pages, frames, b"", {})  # type: ignore[arg-type] # xl has no verdict here

        assert primary.epochs.count == 6, log
        assert len({hash(tuple(sorted(each.items()))) for each in memory.pages}) == 6  # it went on between them
        assert "Failover for domain" in log
        assert_equal_to(found.canonical(memory.levels), memory.pages[-1], guest)
        assert listed[2].split()[0] == "guest"
    guest.close()


def assert_equal_to(pages: Mapping[int, bytes], due: Mapping[int, bytes], guest: Guest) -> None:
    """Pages of the guest are the same, where those that are not named are zeros, but for what a restorer writes."""
    frames = {*pages, *due} - own(guest)
    differing = [pfn for pfn in frames if pages.get(pfn, ZERO) != due.get(pfn, ZERO)]
    assert [pfn for pfn in differing if pfn < guest.pages] == []


_STANDBY = """\
import pickle, sys
sys.path.insert(0, {project!r})
from streamfmt.engine.checkpointing.standby import RemusStandby
from streamfmt.engine.migrate import Asked, Patience, Taking
from streamfmt.engine.transport.ends import listen
from streamfmt.engine.waiting import Waiter
from streamfmt.tests.support.moving import another
from streamfmt.tests.support.same_memory import contents
waiter = Waiter()
end = listen("fd:0,1", waiter).accept(waiter)
found = []
taking = Taking(inspect=lambda guest: found.append(contents(guest)))
side = RemusStandby(end, another, taking, Asked(waiter, Patience()))
guest = side.stand_by()
with open({said!r} + ".part", "wb") as said:
    pickle.dump((side.count, str(side.lost), guest.running, found[0]), said)
import os
os.rename({said!r} + ".part", {said!r})
"""


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_we_take_over_from_xl(release: str, tmp_path: Path) -> None:
    """`xl remus` is killed; our guest runs, with the memory of the last checkpoint."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded("hvm")
    path, said = tmp_path / "guest.sav", tmp_path / "said"
    path.write_bytes(stream)
    (tmp_path / "standby.py").write_text(_STANDBY.format(project=str(PROJECT), said=str(said)))
    script = tmp_path / "standby.sh"
    python = f"env -u LD_PRELOAD -u PYTHONPATH -u LD_LIBRARY_PATH {sys.executable}"
    script.write_text(f"#!/bin/sh\nexec {python} {tmp_path}/standby.py 2>{tmp_path}/log\n")
    script.chmod(0o755)
    with Host(release) as host:
        assert host.xl("restore", "-e", path).status == 0
        words = ["remus", "-F", "-u", "-n", "-d", "-e", "-i", "20", "-s", "", "guest", str(script)]
        with (tmp_path / "xl.log").open("wb") as log:
            xl = subprocess.Popen(
                [host.program("xl"), "-vvv", *words],
                env={**host.environment, "FAKEXEN_DIRTY": "20", "FAKEXEN_DIRTY_LAST": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            time.sleep(1.5)
            alive = xl.poll() is None
            children = Path(f"/proc/{xl.pid}/task/{xl.pid}/children").read_text().split() if alive else []
            xl.kill()
            xl.wait()
            for child in children:
                if b"standby" not in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), 9)
        deadline = time.monotonic() + 10
        while not said.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        pages, _ = present(host, False)
        assert alive, (tmp_path / "xl.log").read_text()[-2000:] + (tmp_path / "log").read_text()
        assert said.exists(), (tmp_path / "log").read_text()
    count, lost, running, found = pickle.loads(said.read_bytes())

    assert count > 5
    assert running
    assert "LinkError" in repr(lost) or "closed" in lost
    assert_equal_to(pages, found, guest)
    # It has written meanwhile, or being equal would say little.
    before = contents(guest)
    assert sum(page != before.get(pfn, ZERO) for pfn, page in found.items()) > 20
    guest.close()


def test_a_difference_would_show() -> None:
    """Of a page, or of one that is missing."""
    guest = working("hvm", 0.0)
    for wrong in ({1: b"\1" * 4096}, {1: b"\2" * 4096, 2: b"\2" * 4096}):
        with pytest.raises(AssertionError):
            assert_equal_to(wrong, {1: b"\2" * 4096}, guest)
    assert_equal_to({1: ZERO}, {}, guest)
    guest.close()
