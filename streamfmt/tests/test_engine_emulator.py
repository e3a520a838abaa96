"""An emulator in a process of its own: with its log no page is lost, without it one is; nothing is ever left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .. import verify
from ..engine import frames
from ..engine.emulated import Emulated, restore
from ..engine.emulator import record
from ..engine.emulator.dma import PAGE_SIZE, Ring, broken, write
from ..engine.emulator.handle import Emulator
from ..engine.interface import Guest
from ..engine.logdirty.forms import FORMS, MONITOR, SHARED
from ..engine.logdirty.shared import SharedLog
from ..engine.waiting import Waiter
from ..engine.xenstore.client import Client
from ..engine.xenstore.server import in_process
from ..errors import GuestError, LateError, LinkError
from ..writer import Draft
from ..writer.builders import emulator as emulator_part
from ..writer.qemu import Device, device_record
from .support.emulators import Plain, copied, ended, segments, until
from .support.good_streams import LIBXL_HVM
from .support.kill_points import environment
from .support.xenstores import OURS, REAL, xenstore

PAGES, RING = 96, Ring(20, 40)
AREA = "/local/domain/0/device-model/1/logdirty"


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    before = segments()
    yield
    assert until(lambda: segments() <= before)


@contextmanager
def made(form: str, folder: Path, which: str = OURS) -> Iterator[Emulated]:
    """A guest with an emulator of that form, and a xenstore if it needs one."""
    with ExitStack() as stack:
        path = ""
        if FORMS[form].way != MONITOR:
            path = stack.enter_context(xenstore(which, folder))
        monitor = "" if path else str(folder / "qmp")
        plain = Plain(PAGES)
        emulator = Emulator(plain, form, RING, rate=4000, store=path, monitor=monitor)
        stack.callback(emulator.close)
        waiter = Waiter()
        stack.callback(waiter.close)
        found = Emulated(plain, emulator, waiter, Client(path) if path else None)
        stack.callback(found.close)
        yield found
    assert not list(folder.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_with_its_log_no_page_is_lost(form: str, tmp_path: Path) -> None:
    """In each form: what was copied is what is there, and its invariant holds."""
    with made(form, tmp_path) as guest:
        guest.resume()
        assert until(lambda: bytes(guest.memory[20 * PAGE_SIZE : 20 * PAGE_SIZE + 8]) != bytes(8))
        copy = copied(guest)

        assert guest.emulated.ring.writes > 40
        assert copy == guest.memory
        assert broken(copy, guest.emulated.ring) == guest.broken() == []
        assert list(guest.emulated.log) == []


@pytest.mark.peer
@pytest.mark.parametrize("form", ["3.1", "3.2", "4.0", "4.2"])
def test_through_the_real_xenstored(form: str, tmp_path: Path) -> None:
    """The same, in as many processes: ours, the emulator's, and xenstored's."""
    with made(form, tmp_path, which=REAL) as guest:
        guest.resume()
        time.sleep(0.02)
        copy = copied(guest)
        assert guest.emulated.ring.writes > 0
        assert copy == guest.memory


def test_without_its_log_pages_are_lost(tmp_path: Path) -> None:
    """The hypervisor does not see what the emulator writes: who asks it alone loses pages, and it shows."""
    with made("3.2", tmp_path) as guest:
        guest.resume()
        time.sleep(0.02)
        copy = copied(guest, with_log=False)

        found = broken(copy, guest.emulated.ring)
        assert found
        assert "which the emulator has written" in found[0]
        assert guest.broken() == []


def test_it_goes_on_elsewhere(tmp_path: Path) -> None:
    """Its record says where it was; another one goes on from there, and nothing was written twice or never."""
    with made("4.3", tmp_path) as guest:
        guest.resume()
        time.sleep(0.03)
        copy, blob, ring = copied(guest), guest.emulator(), guest.emulated.ring
    other = Plain(PAGES)
    other.memory[:] = copy
    waiter = Waiter()
    moved: Guest = restore(other, blob, "4.3", waiter, rate=4000, monitor=str(tmp_path / "qmp"))
    assert isinstance(moved, Emulated)
    assert moved.emulated.ring == ring
    assert moved.emulator() == blob
    assert moved.broken() == []
    assert moved.populated() == frames.run(20, 40)
    moved.resume()
    time.sleep(0.02)
    moved.pause()
    assert moved.emulated.ring.writes > ring.writes
    assert moved.broken() == []
    assert moved.emulated.seconds > record.restored(blob)[1]
    moved.close()
    waiter.close()


def test_paused_it_writes_nothing(tmp_path: Path) -> None:
    """From the answer on, and in any number of pauses."""
    with made("4.3", tmp_path) as guest:
        for _ in range(3):
            guest.resume()
            guest.resume()
            guest.pause()
            guest.pause()
            before, digest = bytes(guest.memory), guest.digest()
            time.sleep(0.01)
            assert guest.memory == before
            assert guest.digest() == digest
            assert not guest.running


# -- ends -------------------------------------------------------------------------------------------------------------


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_an_emulator_that_is_killed(tmp_path: Path) -> None:
    """The saver gives up in time, its owner hears of it, the guest goes on."""
    with made("3.2", tmp_path) as guest:
        log = guest.dirty.emulator
        assert isinstance(log, SharedLog)
        log._form = replace(log._form, limit=0.1)
        guest.resume()
        guest.dirty.enable()
        _kill(guest.emulated.pid)
        with pytest.raises(LateError, match="did not change over"):
            guest.dirty.clean()
        with pytest.raises(GuestError, match="is gone: its status is -9"):
            guest.pause()
        with pytest.raises(GuestError, match="is gone"):
            guest.resume()
        assert guest.running
        guest.dirty.disable()


def test_an_emulator_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does nothing is found out in time, and still ended with its owner."""
    monkeypatch.setattr("streamfmt.engine.emulator.handle._ANSWER", 0.1)
    monkeypatch.setattr("streamfmt.engine.emulator.handle._END", 0.1)
    with made("4.3", tmp_path) as guest:
        os.kill(guest.emulated.pid, signal.SIGSTOP)
        with pytest.raises(LateError, match=r"did not answer within 0\.1 s"):
            guest.resume()
        pid = guest.emulated.pid
    assert ended(pid)


SAVER = """
import sys
from streamfmt.engine.logdirty import segment
from streamfmt.engine.logdirty.forms import FORMS
from streamfmt.engine.logdirty.shared import SharedLog
from streamfmt.engine.waiting import Waiter
from streamfmt.engine.xenstore.client import Client
path, pages, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if stop == "made":
    create = segment.create
    def created(size, publish):
        found = create(size, publish)
        print("ready", flush=True)
        sys.stdin.read()
    segment.create = created
log = SharedLog(FORMS["3.2"], Client(path), 1, pages, lambda: False, Waiter())
log.enable()
print("ready", flush=True)
while True:
    log.clean()
"""


MOMENTS = 60 if os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough" else 0


@pytest.mark.skipif(not MOMENTS, reason="many processes are killed with STREAMFMT_HYPOTHESIS=thorough")
def test_a_saver_that_is_killed_at_any_moment(tmp_path: Path) -> None:
    """From its first request to its last: nothing is left, and the next saver can work."""
    with made("3.2", tmp_path) as guest:
        guest.resume()
        before, path = segments(), str(tmp_path / "socket")
        words = [sys.executable, "-c", SAVER, path, str(PAGES), ""]
        for moment in range(MOMENTS):
            with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment()) as saver:
                with Client(path) as store:
                    store.watch(AREA, "begins")
                    store.take()
                    with suppress(LateError):
                        store.event("begins", store.now() + 5)
                time.sleep(moment * 0.0002)
                saver.kill()
            assert until(lambda: segments() == before)
            assert broken(copied(guest), guest.emulated.ring) == []
            guest.resume()


@pytest.mark.parametrize("stop", ["made", "running"])
def test_a_saver_that_is_killed(stop: str, tmp_path: Path) -> None:
    """Whenever that is: the emulator goes on, the segment goes, and the next saver finds all as at first."""
    with made("3.2", tmp_path) as guest:
        guest.resume()
        before = segments()
        path = str(tmp_path / "socket")
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, path, str(PAGES), stop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        ) as saver:
            try:
                assert saver.stdout
                assert saver.stdout.readline() == b"ready\n"
                assert len(segments() - before) == 1
                time.sleep(0.02)
            finally:
                saver.kill()
        # The emulator, which has it from its key on, sees within a quarter of a second that it is alone.
        assert until(lambda: segments() == before)
        with Client(path) as store:
            assert until(lambda: store.directory(AREA) == [])
        assert broken(copied(guest), guest.emulated.ring) == []


OWNER = """
import sys, time
from streamfmt.engine.emulator.dma import Ring
from streamfmt.engine.emulator.handle import Emulator
from streamfmt.engine.emulated import Emulated
from streamfmt.engine.waiting import Waiter
from streamfmt.engine.xenstore.client import Client
from streamfmt.engine.xenstore.server import in_process
from streamfmt.tests.support.emulators import Plain
folder, form = sys.argv[1:]
path, monitor = (folder + "/xs", "") if form != "4.3" else ("", folder + "/qmp")
with in_process({0: folder + "/xs"}) as service:
    guest = Plain(96)
    emulator = Emulator(guest, form, Ring(20, 40), store=path, monitor=monitor)
    whole = Emulated(guest, emulator, Waiter(), Client(path) if path else None)
    whole.resume()
    whole.dirty.enable()
    print(emulator.pid, service.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("form", ["3.2", "4.3"])
def test_an_owner_that_is_killed(form: str, tmp_path: Path) -> None:
    """The emulator and the xenstore that it has started end with it; no segment and no socket is left."""
    before = segments()
    command = [sys.executable, "-c", OWNER, str(tmp_path), form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as owner:
        assert owner.stdout
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(map(ended, pids))
        owner.kill()
    assert until(lambda: all(map(ended, pids)))
    assert until(lambda: segments() <= before)
    assert until(lambda: not list(tmp_path.iterdir()))


def _ticks(pid: int) -> int:
    """Hundredths of a second that a process has computed."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_xenstore_that_is_killed(tmp_path: Path) -> None:
    """The emulator goes on writing, and says that it answers no savers any more."""
    path = str(tmp_path / "xs")
    with in_process({0: path}) as service, ExitStack() as stack:
        plain = Plain(PAGES)
        stack.callback(plain.close)
        emulator = Emulator(plain, "3.2", RING, store=path)
        stack.callback(emulator.close)
        emulator.resume()
        service.kill()
        service.wait()
        emulator.pause()
        writes = emulator.ring.writes
        emulator.resume()
        time.sleep(0.03)
        emulator.pause()
        assert emulator.ring.writes > writes
        assert emulator.broken(plain.memory) == []
        before = _ticks(emulator.pid)
        time.sleep(0.4)
        assert _ticks(emulator.pid) - before < 10  # of 40: it does not go round and round
        assert any("no more answers about dirty frames" in row for row in emulator.log)


# -- what cannot be had -----------------------------------------------------------------------------------------------


def test_guests_that_have_no_descriptor(tmp_path: Path) -> None:
    """Another process cannot write their memory; nor frames that they do not have."""
    plain = Plain(PAGES)
    descriptor = plain.descriptor
    plain.descriptor = -1
    with pytest.raises(GuestError, match="has no descriptor"):
        Emulator(plain, "4.3", RING)
    plain.descriptor = descriptor
    for ring in (Ring(90, 7), Ring(-1, 2), Ring(0, 0)):
        with pytest.raises(GuestError, match="are not all among 96"):
            Emulator(plain, "4.3", ring)
    os.ftruncate(descriptor, PAGE_SIZE)
    with pytest.raises(GuestError, match="smaller than its frames"):
        Emulator(plain, "4.3", RING)
    plain.close()
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_had(tmp_path: Path) -> None:
    """No xenstore, and a monitor's path in use: errors, and no process."""
    plain = Plain(PAGES)
    (tmp_path / "qmp").touch()
    with pytest.raises(LinkError, match="cannot listen at"):
        Emulator(plain, "4.3", RING, monitor=str(tmp_path / "qmp"))
    with pytest.raises(GuestError, match="the emulator gives up: no xenstore at"):
        Emulator(plain, "3.2", RING, store=str(tmp_path / "none"))
    with pytest.raises(GuestError, match=r"the emulator gives up: dirty logging as of Xen 3.1 needs a xenstore"):
        Emulator(plain, "3.1", RING)
    plain.close()
    assert FORMS["3.1"].way == SHARED
    (tmp_path / "qmp").unlink()


# -- what it writes, and its record -----------------------------------------------------------------------------------


@given(count=st.integers(1, 9), writes=st.integers(0, 60), lost=st.integers(0, 60))
def test_a_lost_page_shows(count: int, writes: int, lost: int) -> None:
    """All writes, and the invariant holds; without one of the last turn, or with one more, it does not."""
    memory = memoryview(bytearray((count + 1) * PAGE_SIZE))
    ring = Ring(1, count)
    for number in range(writes):
        before = bytes(memory)
        ring, frame = write(memory, ring)
        assert frame == 1 + number % count
    assert ring.writes == writes
    assert broken(memory, ring) == []
    if writes:
        assert len(broken(before, ring)) == 1
    index = lost % count
    if ring.turn(index):
        memory[(1 + index) * PAGE_SIZE + PAGE_SIZE - 8] ^= 1
        assert len(broken(memory, ring)) == 1


def test_many_broken_pages_are_counted() -> None:
    """Ten are said, and how many more."""
    found = broken(bytes(40 * PAGE_SIZE), Ring(0, 40, 40))

    assert len(found) == 11
    assert found[-1] == "and 30 more of the emulator's"
    assert found[0] == (
        "frame 0x0, which the emulator has written 1 times, has turn 0 of frame 0x0, and turn 0 at its end"
    )


@given(
    first=st.integers(0, 2**40), count=st.integers(1, 2**40), writes=st.integers(0, 2**60), seconds=st.floats(0, 1e6)
)
def test_records_are_kept(first: int, count: int, writes: int, seconds: float) -> None:
    """What is saved is restored."""
    ring, clock = record.restored(record.saved(Ring(first, count, writes), seconds))

    assert ring == Ring(first, count, writes)
    assert clock == pytest.approx(seconds, abs=2e-9)
    assert record.saved(ring, clock) == record.saved(ring, seconds)


def test_its_record_is_one_of_qemus() -> None:
    """The verifier takes it as a device model's state, alone and in a stream of libxl's, strictly and in depth."""
    blob = record.saved(Ring(5, 7, 9), 1.5)
    parts = [emulator_part(blob) if part.path == "libxl.EMULATOR_CONTEXT" else part for part in LIBXL_HVM.parts]
    assert any(part.path == "libxl.EMULATOR_CONTEXT" for part in parts)

    for data, form in ((blob, "qemu"), (Draft(tuple(parts)).render(), "libxl")):
        outcome = verify(data, form=form, strict=True, deep=True)  # type: ignore[arg-type]  # one of its forms
        assert (outcome.conforms, [*outcome.findings]) == (True, [])


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"QEVM",
        b"no record",
        device_record([Device("timer", bytes(24), 2)]).render(),
        device_record([Device("timer", bytes(24), 2), Device("streamfmt-dma", bytes(24))]).render(),
        record.saved(RING)[:-30],
    ],
)
def test_records_of_others(blob: bytes) -> None:
    """They are refused, and it is said why."""
    with pytest.raises(GuestError, match=r"the device model's state is (not of this emulator|of an emulator without)"):
        record.restored(blob)


@given(blob=st.binary(max_size=120))
def test_any_record(blob: bytes) -> None:
    """Anything at all is refused as well."""
    for data in (blob, record.saved(RING)[:30] + blob):
        with pytest.raises(GuestError):
            record.restored(data)
