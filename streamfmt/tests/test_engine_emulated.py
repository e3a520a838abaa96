"""A guest with an emulator migrates like any other: by the whole engine, in each form of dirty logging."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .. import verify
from ..cli.main import main
from ..codec.content import Buffer
from ..engine.emulated import Emulated, restore
from ..engine.emulator.dma import Ring, broken
from ..engine.emulator.handle import Emulator
from ..engine.guest import makes
from ..engine.guest.model import Model
from ..engine.logdirty.forms import FORMS, MONITOR
from ..engine.migrate import Taking
from ..engine.orders import Orders
from ..engine.waiting import Waiter
from ..engine.xenstore.client import Client
from ..errors import CancelledError
from .support.emulators import copied, ended, segments, until
from .support.kill_points import environment
from .support.moving import PAGES, Moved, moved, way, working
from .support.xenstores import xenstore

# After what the workload and its random contents take.
RING = Ring(PAGES - 50, 40)


@contextmanager
def emulated(form: str, folder: Path) -> Iterator[tuple[Emulated, str]]:
    """A model guest that works, with an emulator that does, and the path of their xenstore."""
    with ExitStack() as stack:
        path = stack.enter_context(xenstore("ours", folder))
        monitor = str(folder / "qmp") if FORMS[form].way == MONITOR else ""
        model = working()
        emulator = Emulator(model, form, RING, rate=4000, store="" if monitor else path, monitor=monitor)
        stack.callback(emulator.close)
        waiter = Waiter()
        stack.callback(waiter.close)
        guest = Emulated(model, emulator, waiter, Client(path))
        stack.callback(guest.close)
        guest.resume()
        yield guest, path


@pytest.mark.parametrize("form", FORMS)
def test_migration(form: str, tmp_path: Path) -> None:
    """Memory arrives as it is, both workloads' invariants hold, and the emulator goes on where it was."""
    before = segments()
    blob = tmp_path / "blob"
    with emulated(form, tmp_path) as (guest, _):
        time.sleep(0.02)
        found: Moved = moved(guest, way("rounds=3"), taking=Taking(start=False, emulator=blob))
        assert found.errors == {}
        assert found.guest is not None
        assert found.guest.digest() == guest.guest.digest()
        assert [*verify(found.stream, form="xl", deep=True).findings] == []
        ring = guest.emulated.ring
        assert ring.writes > 0
        assert guest.broken() == []
    arrived = found.guest
    assert isinstance(arrived, Model)
    assert arrived.broken() == []
    shared = working()
    shared.pause()
    shared.memory[:] = arrived.memory  # that of our receiver is private
    waiter = Waiter()
    there = restore(shared, blob.read_bytes(), "4.3", waiter, monitor=str(tmp_path / "there"))
    assert there.emulated.ring == ring
    assert there.emulated.broken(arrived.memory) == []
    there.emulated.resume()
    time.sleep(0.02)
    there.emulated.pause()
    assert there.emulated.ring.writes > ring.writes
    assert there.emulated.broken(there.memory) == []
    there.close()
    arrived.close()
    waiter.close()
    assert until(lambda: segments() <= before)


@pytest.mark.parametrize("kind", makes.KINDS)
@pytest.mark.parametrize("with_log", [True, False], ids=["with", "without"])
def test_no_kind_of_guest_sees_what_the_emulator_writes(kind: str, with_log: bool, tmp_path: Path) -> None:
    """Neither KVM's log nor the kernel's has its pages: with its own log none is lost, without it some are."""
    if missing := makes.available()[kind]:
        pytest.skip(f"no guest of kind {kind}: {missing}")
    with ExitStack() as stack:
        path = stack.enter_context(xenstore("ours", tmp_path))
        guest = makes.running(kind, makes.Wanted("hvm", PAGES, filled=20, written=32, rate=5000.0))
        stack.callback(guest.close)
        emulator = Emulator(guest, "3.2", RING, rate=4000, store=path)
        stack.callback(emulator.close)
        waiter = Waiter()
        stack.callback(waiter.close)
        both = Emulated(guest, emulator, waiter, Client(path))
        stack.callback(both.close)
        both.resume()
        time.sleep(0.02)
        copy = copied(both, with_log)

        assert both.broken() == []
        assert (broken(copy, both.emulated.ring) == []) is with_log
        assert (copy == both.memory) is with_log


@dataclass
class After:
    """Cancels a migration once so many bytes have passed, while frames are logged."""

    left: int
    orders: Orders

    def see(self, buffers: Sequence[Buffer]) -> None:
        self.left -= sum(memoryview(buffer).nbytes for buffer in buffers)
        if self.left < 0:
            self.orders.cancelled = "enough"


@pytest.mark.parametrize("form", ["3.1", "4.2"])
def test_cancelled(form: str, tmp_path: Path) -> None:
    """Both go on at the source, nothing was lost, and the next migration is like the first."""
    before = segments()
    with emulated(form, tmp_path) as (guest, _):
        orders = Orders()
        found = moved(guest, way("rounds=3", orders=orders), watcher=After(300_000, orders))
        assert isinstance(found.errors["source"], CancelledError)
        assert "begun" in found.events["source"]
        assert guest.running
        assert guest.emulated.running
        again = moved(guest, way("rounds=3"), taking=Taking(start=False, emulator=tmp_path / "blob"))
        assert again.errors == {}
        assert again.guest is not None
        assert again.guest.digest() == guest.guest.digest()
        assert guest.broken() == []
        again.guest.close()
    assert until(lambda: segments() <= before)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A demonstration with an emulator: memory is the same over there, and nothing is left."""
    before = segments()
    figures = ["--memory", "2MiB", "--working-set", "64KiB", "--run", "0", "--after", "0.03"]
    words = ["migrate", "demo", "--logdirty", "3.2", "--emulator-rate", "5000", *figures]
    assert main(words) == 0
    assert "the guest is the same over there, and sound" in capsys.readouterr().out
    assert until(lambda: segments() <= before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--type", "pv"], "a guest of type pv has no emulator that writes its memory"),
        (["--working-set", "3MiB"], "the emulator writes the last 256 of 1024 frames"),
        (["--xenstore", "/nonexistent/socket"], "no xenstore at /nonexistent/socket"),
    ],
)
def test_what_the_command_cannot_do(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, before anything is sent."""
    command = ["migrate", "send", "unix:/nonexistent/here", "--after", "0", "--logdirty", "3.1", "--memory", "4MiB"]
    assert main([*command, *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("form", ["3.2", "4.3"])
def test_a_command_that_is_killed(form: str) -> None:
    """Its emulator and its xenstore end with it, and remove their sockets and the folder of these."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:  # pytest's own is too deep for the address of a socket
        _killed(form, Path(folder))


def _killed(form: str, tmp_path: Path) -> None:
    before = segments()
    words = [sys.executable, "-m", "streamfmt", "migrate", "send", "unix:/nonexistent", "--after", "60"]
    environ = {**environment(), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([*words, "--logdirty", form], env=environ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wanted = 2 if form == "3.2" else 1
        try:
            assert until(lambda: len(children.read_text().split()) == wanted)
            assert until(lambda: len([*tmp_path.glob("*/*")]) == 1)
            pids = children.read_text().split()
        finally:
            process.kill()
    assert until(lambda: all(map(ended, pids)))
    assert until(lambda: not list(tmp_path.iterdir()))
    assert until(lambda: segments() <= before)
