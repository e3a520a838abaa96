"""Real QEMU of four releases at the other end: our guest goes into it and back, and its own streams are stored.

`make peers` brings it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import streamfmt

from ..bench import qemu_moves
from ..conformance import qemu
from ..conformance.qemu import Machine
from ..engine import migrate_qemu, qemu_receiving
from ..engine.framing_qemu import SHAPES
from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.interface import End
from ..engine.migrate_qemu import Taking, Terms
from ..engine.orders import Orders
from ..engine.policies import policy
from ..engine.precopy import Settings
from ..engine.too_fast import remedy
from ..engine.transport.ends import connect, listen
from ..engine.transport.files import reading
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import InDoubtError, LateError, LinkError, MigrationError, PeerError
from .support import peers
from .support.qemu_moves import PAGE, PATIENCE, Guest, Recorded

pytestmark = pytest.mark.peer
PAGES = 512
ROOT = Path(streamfmt.__file__).parents[1]
TERMS = Terms(patience=PATIENCE)
TAKING = Taking(patience=PATIENCE)
_RANDOM = Random(0)
CONTENTS = {frame: _RANDOM.randbytes(PAGE) for frame in range(0, PAGES, 3)}
ROUNDS = [{frame: _RANDOM.randbytes(PAGE) for frame in range(at, 200, 7)} | {399: bytes(PAGE)} for at in range(2)]
MACHINE = ("-M", "none", "-m", f"{PAGES * PAGE}B")


class Link:
    """A machine, and links to it and from it."""

    def __init__(self, machine: Machine, waiter: Waiter) -> None:
        self.machine = machine
        self.waiter = waiter

    @contextmanager
    def into(self, *capabilities: str) -> Iterator[End]:
        """The end by which it is sent something."""
        path = self.machine.folder / "in"
        self.machine.allow(*capabilities)
        self.machine.execute("migrate-incoming", uri=f"unix:{path}")
        end = connect(f"unix:{path}", self.waiter, self.waiter.clock() + PATIENCE)
        try:
            yield end
        finally:
            end.close()

    @contextmanager
    def back(self, *capabilities: str) -> Iterator[End]:
        """The end by which it sends itself."""
        path = self.machine.folder / "out"
        listener = listen(f"unix:{path}")
        try:
            self.machine.allow(*capabilities)
            self.machine.execute("migrate", uri=f"unix:{path}")
            end = listener.accept(self.waiter, self.waiter.clock() + PATIENCE)
        finally:
            listener.close()
        try:
            yield end
        finally:
            end.close()

    def memory(self) -> str:
        """A digest of its memory."""
        path = self.machine.folder / "memory"
        self.machine.execute("pmemsave", val=0, size=PAGES * PAGE, filename=str(path))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def status(self) -> str:
        """The state that it is in."""
        while (found := self.machine.execute("query-status")["status"]) == "finish-migrate":
            time.sleep(0.01)
        return str(found)


@contextmanager
def _machine(release: str, *options: str) -> Iterator[Link]:
    peers.require_qemu(release)
    waiter = Waiter()
    try:
        with Machine(release, *(options or MACHINE), "-incoming", "defer") as machine:
            yield Link(machine, waiter)
    finally:
        waiter.close()


def _digest(guest: Guest) -> str:
    return hashlib.sha256(guest.memory).hexdigest()


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_our_guest_goes_and_comes_back(release: str, tmp_path: Path) -> None:
    """Live into QEMU, whose memory is then the guest's; and from it, running, into a new guest and into a file."""
    guest = Guest(PAGES, CONTENTS, ROUNDS)
    guest.running = True
    recorded = Recorded()
    with _machine(release) as link:
        with link.into() as end:
            terms = replace(TERMS, shape=SHAPES[release], watcher=recorded, orders=Orders())
            statistics = migrate_qemu.send(guest, end, link.waiter, terms)
        assert link.machine.migrated() == "completed"
        assert link.memory() == _digest(guest)
        assert not guest.running
        assert len(statistics.rounds) > 1

        stored = tmp_path / "stored"
        with link.back("return-path") as end:
            size = migrate_qemu.store(end, stored, link.waiter, TAKING).size
        assert link.machine.migrated() == "completed"
        assert stored.stat().st_size == size

        link.machine.execute("cont")
        with link.back() as end:
            found = migrate_qemu.receive(end, Guest, link.waiter, TAKING)
        assert link.machine.migrated() == "completed"
        assert isinstance(found.guest, Guest)
        assert _digest(found.guest) == _digest(guest)
        assert (found.state, found.guest.running) == ("running", True)
    raw = bytes(recorded.data)
    assert not streamfmt.verify(raw).findings
    # What we write has the sections that QEMU's own has, by number, name and version.
    assert _sections(raw) == _sections(stored.read_bytes())

    # What is stored is loaded again; and what all releases take is what we write where none is named.
    with _machine(release) as link:
        with link.into() as end:
            migrate_qemu.play(stored, end, link.waiter, patience=PATIENCE)
        assert link.machine.migrated() == "completed"
        assert link.memory() == _digest(guest)
    with _machine(release) as link:
        with link.into() as end:
            migrate_qemu.send(found.guest, end, link.waiter, replace(TERMS, return_path=False, orders=Orders()))
        assert link.machine.migrated() == "completed"
        assert link.memory() == _digest(guest)


def _sections(raw: bytes) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for item in streamfmt.open(raw):
        if item.name in ("SECTION_START", "SECTION_FULL"):
            row = item.fields()
            found.append((item.name, row["section_id"], row["idstr"], row["version_id"], len(row["payload"])))
        elif item.name == "SECTION_END":
            found.append((item.name, item.fields()["section_id"]))
    return found


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_what_qemu_cannot_load(release: str) -> None:
    """A machine with other memory, and one that is killed meanwhile: the guest runs on here, and it is said why."""
    for case in ("size", "killed"):
        guest = Guest(PAGES // 2 if case == "size" else PAGES, CONTENTS if case != "size" else {0: b"\1" * PAGE})
        guest.running = True
        with _machine(release) as link, link.into() as end:
            if case == "killed":
                orders = Orders(speed=1 << 20)

                def killed(event: object, link: Link = link) -> None:
                    link.machine.process.kill()
                    link.machine.process.wait()

                terms = replace(TERMS, orders=orders, events=killed)
            else:
                terms = replace(TERMS, orders=Orders())
            with pytest.raises(MigrationError) as caught:
                migrate_qemu.send(guest, end, link.waiter, terms)

            assert isinstance(caught.value, (PeerError, LinkError))
            assert not isinstance(caught.value, InDoubtError)
            assert guest.running
            assert link.machine.process.poll() is None or case == "killed" or link.machine.log


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_qemu_keeps_what_is_refused(release: str) -> None:
    """A machine with devices, or with other memory, is not ours: it is told, and goes on as it did."""
    peers.require_qemu(release)
    waiter = Waiter()
    try:
        with Machine(release, "-M", "isapc", "-m", "1M") as machine:
            link = Link(machine, waiter)
            machine.execute("cont")
            with link.back("return-path") as end, pytest.raises(PeerError, match="isapc"):
                migrate_qemu.receive(end, Guest, waiter, TAKING)
            assert machine.migrated() == "failed"
            assert link.status() == "running"
    finally:
        waiter.close()


@pytest.mark.parametrize(
    ("release", "ready", "status", "then"),
    [
        ("10.0", False, "failed", "running"),
        ("10.0", True, "completed", "postmigrate"),
        ("11.1", False, "completed", "postmigrate"),
    ],
)
def test_senders_that_wait_for_devices(
    release: str, ready: bool, status: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU 10.0 waits for word that devices are ready, and is given up, or told; 11.1 waits where a device asks."""
    monkeypatch.setattr(qemu_receiving, "LINGER", 0.1)
    peers.require_qemu(release)
    waiter = Waiter()
    taking = replace(TAKING, patience=0.2 if status == "failed" else PATIENCE, ready=ready)
    try:
        with Machine(release, *MACHINE) as machine:
            link = Link(machine, waiter)
            machine.execute("cont")
            given_up = pytest.raises(LateError, match="switchover-ack") if status == "failed" else nullcontext()
            with link.back("return-path", "switchover-ack") as end, given_up:
                migrate_qemu.store(end, tmp_path / "stored", waiter, taking)
            assert (machine.migrated(), link.status()) == (status, then)
            assert (tmp_path / "stored").exists() == (status == "completed")
    finally:
        waiter.close()


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_a_whole_machine_is_stored(release: str, tmp_path: Path) -> None:
    """A PC with all its devices is stored, and loaded by another; one of another type says that it cannot."""
    peers.require_qemu(release)
    machine = ("-M", "pc", "-m", "1M", "-device", "e1000,romfile=")
    stored = tmp_path / "stored"
    waiter = Waiter()
    try:
        with Machine(release, *machine) as source, Link(source, waiter).back("return-path") as end:
            migrate_qemu.store(end, stored, waiter, TAKING)
            assert source.migrated() == "completed"
    finally:
        waiter.close()
    with _machine(release, *machine) as link, link.into() as end:
        migrate_qemu.play(stored, end, link.waiter, patience=PATIENCE)
        assert link.machine.migrated() == "completed"
    with _machine(release) as link, link.into() as end, pytest.raises((PeerError, LinkError)):
        migrate_qemu.play(stored, end, link.waiter, patience=PATIENCE)


@pytest.mark.parametrize("release", [qemu.RELEASE, qemu.RELEASES[-1]])
def test_a_guest_that_works_meanwhile(release: str) -> None:
    """A model guest that writes all the time, as fast as it is asked to: QEMU has its memory as it stopped."""
    guest = model(PAGES)
    guest.boot(Workload.of(200, 20_000.0), filled=250)
    guest.resume()
    with closing(guest), _machine(release) as link:
        with link.into() as end:
            terms = replace(TERMS, settings=Settings(policy("rounds=4"), remedy("go-on")), orders=Orders())
            statistics = migrate_qemu.send(guest, end, link.waiter, terms)
        assert link.machine.migrated() == "completed"
        assert link.memory() == hashlib.sha256(guest.memory).hexdigest()
        assert sum(row.dirty for row in statistics.rounds) > 0

        with link.back("return-path") as end:
            found = migrate_qemu.receive(end, lambda pages: model(pages, private=True), link.waiter, TAKING)
        assert found.guest is not None
        with closing(found.guest):
            assert found.guest.memory == guest.memory


def test_how_qemu_moves_a_guest() -> None:
    """What is measured beside our own: a guest that writes 8 MiB over and over stands for a while; all is counted."""
    peers.require_qemu(qemu.RELEASE)
    found = qemu_moves.move("loop-8", qemu.RELEASE)

    assert 0 < found.pause < found.total < PATIENCE
    assert found.rounds > 1
    # The first round has it, and the last has it again.
    assert found.sent > 2 * 8 * qemu_moves.MIB
    assert min(found.source, found.destination) > 8 * qemu_moves.MIB


class Monitor:
    """A second monitor, on a socket: by it descriptors can be given, which it alone then knows by their names."""

    OPTIONS = ("-qmp", "unix:monitor,server=on,wait=off")

    def __init__(self, machine: Machine) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(machine.folder / "monitor"))
        self._socket.recv(4096)
        self.execute("qmp_capabilities")

    def execute(self, name: str, *descriptors: int, **arguments: str) -> None:
        """Have a command carried out."""
        line = json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"
        socket.send_fds(self._socket, [line], descriptors)
        while b'"return"' not in (answer := self._socket.recv(4096)):
            assert b'"error"' not in answer, answer

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_other_links(release: str, tmp_path: Path) -> None:
    """TCP, a socket that it is given, and a command that it starts, each with word that all has come."""
    guest = Guest(PAGES, CONTENTS)
    with ExitStack() as opened:
        link = opened.enter_context(_machine(release, *MACHINE, *Monitor.OPTIONS))
        waiter, machine = link.waiter, link.machine
        monitor = opened.enter_context(closing(Monitor(machine)))

        def given(name: str, command: str) -> End:
            mine, its = socket.socketpair()
            end = opened.enter_context(closing(SocketEnd(mine, "the socket")))
            with its:
                monitor.execute("getfd", its.fileno(), fdname=name)
            monitor.execute(command, uri=f"fd:{name}")
            return end

        machine.allow()
        end = given("in", "migrate-incoming")
        migrate_qemu.send(guest, end, waiter, replace(TERMS, orders=Orders()))
        assert machine.migrated() == "completed"

        machine.allow("return-path")
        listener = opened.enter_context(closing(listen("tcp:127.0.0.1:0")))
        machine.execute("migrate", uri=str(listener.uri))
        end = opened.enter_context(closing(listener.accept(waiter, waiter.clock() + PATIENCE)))
        found = migrate_qemu.receive(end, Guest, waiter, TAKING)
        end.close()
        assert isinstance(found.guest, Guest)
        assert machine.migrated() == "completed"
        assert _digest(found.guest) == _digest(guest) == link.memory()

        machine.execute("cont")
        end = given("out", "migrate")
        migrate_qemu.store(end, tmp_path / "by-fd", waiter, TAKING)
        end.close()
        assert machine.migrated() == "completed"

        machine.execute("cont")
        words = ["-m", "streamfmt", "migrate", "receive", "--qemu", "fd:0,1", "--store", str(tmp_path / "by-exec")]
        command = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, *words])
        machine.execute("migrate", uri=f"exec:{command} 2>{tmp_path}/said")
        assert machine.migrated() == "completed", (tmp_path / "said").read_text()
        # What was stored is read again, where nobody waits for an answer.
        for name in ("by-fd", "by-exec"):
            end = opened.enter_context(closing(reading(str(tmp_path / name))))
            found = migrate_qemu.receive(end, Guest, waiter, replace(TAKING, answering=False))
            assert isinstance(found.guest, Guest)
            assert _digest(found.guest) == _digest(guest)
