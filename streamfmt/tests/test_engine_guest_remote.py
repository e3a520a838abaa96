"""Guests in processes of their own: what they do for others, how they end, and what serves where one cannot be made."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..engine import frames as sets
from ..engine.guest import kvm_machine, makes, pagemap, programs, wire
from ..engine.guest.makes import Wanted
from ..engine.guest.memory import PAGE, Memory
from ..engine.guest.programs import Work
from ..engine.guest.remote import RemoteGuest
from ..errors import GuestError
from .support.guests import need, until
from .support.kill_points import environment
from .support.moved import copied, moved, records

PAGES = 512
Make = Callable[..., RemoteGuest]


@pytest.fixture(params=["kvm", "process"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes guests of one kind; their processes are gone when the test is over."""
    kind = request.param
    need(kind)
    made: list[RemoteGuest] = []

    def one(works: tuple[Work, ...] = (), pages: int = PAGES) -> RemoteGuest:
        made.append(RemoteGuest.make(kind, Memory(pages), works))
        return made[-1]

    yield one
    for guest in made:
        process = guest.process
        guest.close()
        guest.close()
        assert not _alive(process)


def _alive(process: int) -> bool:
    """Whether there is such a process, that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_guest_of_another_process_moves_while_it_runs(make: Make) -> None:
    """Rounds, state, digests, the log in all its ways, a console: as if it were here."""
    works = (Work(pages=200, stride=7, batch=10, interval=500), Work("console", interval=100))
    guest, other = make(works), make()
    assert (guest.type, guest.pages, guest.running, guest.types()) == ("hvm", PAGES, False, None)
    guest.dirty.enable()
    guest.resume()
    frames = guest.populated()
    for _ in range(3):
        copied(guest, other, frames)
        until(lambda: guest.dirty.peek() != 0)
        peeked = guest.dirty.peek()
        frames = guest.dirty.clean()
        assert peeked & ~frames == 0
    assert guest.running
    until(lambda: guest.console().startswith(b"All"))
    guest.pause()
    copied(guest, other, frames | guest.dirty.clean())
    guest.dirty.disable()
    other.load(records(guest))

    assert other.digest() == guest.digest()
    assert guest.broken() == other.broken() == []
    other.forget_gap()
    other.resume()
    until(lambda: (other.gap() or 0) > 0)
    other.pause()
    assert other.broken() == []
    with pytest.raises(GuestError, match="no HVM context"):
        other.load([])
    with pytest.raises(GuestError, match="does not understand"):
        other.call("fly")


def test_others_use_it_and_leave_it(make: Make) -> None:
    """A saver in a third process has all of it; when it is gone, the guest goes on and nothing is logged any more."""
    guest = make((Work(pages=64, batch=4, interval=500),))
    guest.resume()
    link = guest.share()
    program = (
        "import socket, sys, time\n"
        "from streamfmt.engine.guest.remote import RemoteGuest\n"
        "guest = RemoteGuest.join(socket.socket(fileno=int(sys.argv[1])))\n"
        "guest.dirty.enable()\n"
        "while not guest.dirty.peek(): time.sleep(0.01)\n"
        "print(guest.dirty.clean() != 0, guest.pages, guest.running)\n"
        "print(guest.memory[0x2000:0x2004].hex(), flush=True)\n"
        "time.sleep(60)\n"
    )
    saver = subprocess.Popen(
        [sys.executable, "-c", program, str(link.fileno())],
        pass_fds=[link.fileno()],
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    link.close()
    assert saver.stdout is not None
    with saver.stdout:
        said = [saver.stdout.readline() for _ in range(2)]
    saver.kill()
    saver.wait()

    assert said == [f"True {PAGES} True\n", f"{guest.memory[0x2000:0x2004].hex()}\n"]
    assert guest.running
    until(lambda: guest.dirty.peek() == 0 if guest.kind == "kvm" else True)
    guest.pause()
    assert guest.broken() == []


def test_a_guest_whose_process_is_gone_says_so(make: Make) -> None:
    """Whatever it is asked; what it wrote can still be read, and it can be closed."""
    guest = make((Work(pages=64),))
    guest.resume()
    until(lambda: guest.memory[16 * PAGE] > 0)
    os.kill(guest.process, signal.SIGKILL)

    for call in (guest.pause, guest.state, guest.digest, guest.share, guest.dirty.enable):
        with pytest.raises(GuestError):
            call()
    assert not guest.running
    guest.dirty.disable()
    assert guest.memory[16 * PAGE] > 0


def test_a_guest_ends_with_who_made_it() -> None:
    """However that ends: its process, which stood, is gone too."""
    need("process")
    program = (
        "import os, signal\n"
        "from streamfmt.engine.guest.memory import Memory\n"
        "from streamfmt.engine.guest.remote import RemoteGuest\n"
        "from streamfmt.engine.guest.programs import Work\n"
        "guest = RemoteGuest.make('process', Memory(512), [Work(pages=64)])\n"
        "guest.resume(); os.kill(guest.process, signal.SIGSTOP); print(guest.process, flush=True); signal.pause()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment(), text=True)
    assert owner.stdout is not None
    with owner.stdout:
        process = int(owner.stdout.readline())
    assert _alive(process)

    owner.kill()
    owner.wait()

    until(lambda: not _alive(process))


def test_a_guest_that_cannot_be_made_leaves_no_process() -> None:
    """The error of the other process comes here; memory that was given is closed."""
    memory = Memory(PAGES)
    with pytest.raises(GuestError, match="no guest of kind 'none'"):
        RemoteGuest.make("none", memory)
    assert memory.descriptor == -1


def test_a_guest_of_a_thread_outlives_it() -> None:
    """A thread that ends does not take the guests with it that it made."""
    need("process")
    program = (
        "import threading, time\n"
        "from streamfmt.engine.guest.memory import Memory\n"
        "from streamfmt.engine.guest.remote import RemoteGuest\n"
        "made = []\n"
        "thread = threading.Thread(target=lambda: made.append(RemoteGuest.make('process', Memory(64))))\n"
        "thread.start(); thread.join(); time.sleep(0.1)\n"
        "print(len(made[0].digest())); made[0].close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment(), text=True, check=True
    )

    assert done.stdout == "64\n"


# -- makes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", makes.KINDS)
def test_guests_are_made_by_the_name_of_their_kind(kind: str) -> None:
    """One that runs, and one that is filled with it: the same for all kinds."""
    need(kind)
    wanted = Wanted("hvm", PAGES, filled=100, written=40, rate=20_000.0, locality="scattered")
    guest, other = makes.running(kind, wanted), makes.empty(kind, "hvm", PAGES)
    try:
        assert guest.running
        time.sleep(0.05)
        guest.pause()
        moved(guest, other)

        assert guest.broken() == other.broken() == []
        assert other.digest() == guest.digest()
        assert guest.populated() & ~other.populated() == 0
        assert any(guest.memory[110 * PAGE : 111 * PAGE])
        around = makes.around(kind, "hvm", Memory.adopt(os.dup(guest.descriptor)))
        around.load(records(guest))
        assert around.digest() == guest.digest()
        around.close()
    finally:
        guest.close()
        other.close()


def test_what_is_missing_and_what_serves_instead_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /dev/kvm a process, without tracking a model; a kind that there is not is none."""
    monkeypatch.setitem(makes._MISSING, "kvm", lambda: "/dev/kvm: permission denied")
    monkeypatch.setitem(makes._MISSING, "process", lambda: "")
    assert makes.available() == {"kvm": "/dev/kvm: permission denied", "process": "", "model": ""}
    words = r"here: /dev/kvm: permission denied; a guest of kind process can$"
    with pytest.raises(GuestError, match=words):
        makes.empty("kvm", "hvm", 64)
    with pytest.raises(GuestError, match=words):
        makes.running("kvm", Wanted("hvm", 64))
    monkeypatch.setitem(makes._MISSING, "process", lambda: "the kernel has no PAGEMAP_SCAN (Linux 6.7)")
    with pytest.raises(GuestError, match=r"no PAGEMAP_SCAN \(Linux 6\.7\); a guest of kind model can$"):
        makes.empty("process", "hvm", 64)
    with pytest.raises(GuestError, match="no guest of kind 'xen'"):
        makes.empty("xen", "hvm", 64)
    memory = Memory(64)
    with pytest.raises(GuestError, match="model can"):
        makes.around("process", "hvm", memory)
    assert memory.descriptor == -1


def test_what_is_missing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the presence of a file: by what it gives."""
    monkeypatch.setattr(kvm_machine, "DEVICE", "/dev/null")
    assert kvm_machine.missing() == "/dev/null: a machine cannot be made: inappropriate ioctl for device"
    monkeypatch.setattr(kvm_machine, "DEVICE", "/dev/none")
    assert kvm_machine.missing() == "/dev/none: no such file or directory"
    monkeypatch.setattr(pagemap, "_CALLS", {})
    assert "is not known" in pagemap.missing()


@pytest.mark.parametrize("kind", ["kvm", "process"])
def test_only_models_are_pv(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And say so."""
    monkeypatch.setitem(makes._MISSING, kind, lambda: "")
    with pytest.raises(GuestError, match="one of type pv is a model"):
        makes.empty(kind, "pv", 64)
    with pytest.raises(GuestError, match="one of type pv is a model"):
        makes.running(kind, Wanted("pv", 64))


def test_a_rate_is_batches_and_rests() -> None:
    """As many pages a second as were asked for, in batches of about a hundredth of a second."""
    for rate in (1e-3, 0.5, 3.0, 100.0, 12_345.0, 1e6, 1e9):
        batch, interval = makes.pace(rate)
        assert interval < 1 << 32
        assert interval == pytest.approx(batch / rate * 1e6, rel=0.01, abs=0.6)
    assert makes.pace(float("inf")) == (64, 0)


@pytest.mark.parametrize("locality", ["loop", "scattered", "hot"])
@pytest.mark.parametrize("written", [1, 2, 9, 100])
def test_works_are_those_of_the_locality(locality: str, written: int) -> None:
    """All pages of the working set are written by somebody, none by two, at the rate all together."""
    works = makes.works(Wanted("hvm", PAGES, 3, written=written, rate=1000.0, locality=locality))
    writing = [work for work in works if work.program == "counters"]

    assert len(works) == 3
    assert sum(work.pages for work in writing) == written
    assert sets.of([work.first + at for work in writing for at in range(work.pages)], PAGES) == sets.run(
        programs.FIRST, written
    )
    rate = sum(work.batch / work.interval * 1e6 for work in writing)
    assert rate <= 1000 * 1.01
    assert makes.works(Wanted("hvm", PAGES, 2)) == [Work("idle")] * 2
    for wrong in (Wanted("hvm", PAGES, 1, written=99, rate=1.0, locality="hot"), Wanted("hvm", PAGES, 1, locality="x")):
        with pytest.raises(GuestError, match=r"locality|takes 2 vcpus"):
            makes.works(wrong)


# -- messages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"\1", bytes(7), b"\xff" * 8, b"\2\0\0\0\0\0\0\0{", b"\2\0\0\0\0\0\0\0[x", b"\2\0\0\0\4\0\0\0{}abc"],
    ids=["a byte", "half of the lengths", "lengths of anything", "half of the words", "no words", "half of the bytes"],
)
def test_a_process_that_says_something_else_is_an_error(sent: bytes) -> None:
    """Whatever it is, and if it ends in between."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(sent)
        theirs.close()
        with pytest.raises(GuestError, match="guest's process"):
            wire.receive(ours)


def test_a_process_that_says_nothing_is_an_error_in_time() -> None:
    """After the socket's time-out; one that has ended is none."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(GuestError, match="timed out"):
            wire.receive(ours)
        theirs.close()
        assert wire.receive(ours) is None
