"""Guests that run: each kind that this machine has, moved by hand in the middle of its work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest

from ..engine import frames as sets
from ..engine.guest import hvm, hvm_cpu, kvm_api, kvm_run, kvm_state, pagemap, programs, workload
from ..engine.guest.kinds import Local
from ..engine.guest.kvm import KvmGuest
from ..engine.guest.kvm_machine import LOW_FRAMES
from ..engine.guest.memory import PAGE, Memory
from ..engine.guest.process import ProcessGuest
from ..engine.guest.programs import Work
from ..errors import GuestError
from .support.guests import need, until
from .support.moved import copied, image, moved, records
from .support.vector import judge

KINDS: dict[str, Callable[..., Local]] = {"kvm": KvmGuest, "process": ProcessGuest}
PAGES = 512
TEXT = b"All is well.\n"
Make = Callable[..., Local]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes guests of one kind, which are closed when the test is over."""
    yield from _makes(request.param)


@pytest.fixture
def make_kvm() -> Iterator[Make]:
    """Makes virtual machines."""
    yield from _makes("kvm")


@pytest.fixture
def make_process() -> Iterator[Make]:
    """Makes guests that are threads here."""
    yield from _makes("process")


def _makes(kind: str) -> Iterator[Make]:
    need(kind)
    made: list[Local] = []

    def make(pages: int = PAGES, works: Sequence[Work] = (), **more: object) -> Local:
        made.append(KINDS[kind](pages, works, **more))
        return made[-1]

    yield make
    for guest in made:
        guest.close()
        guest.close()


def ran(guest: Local, pages: int = 300) -> None:
    """Have it write so many pages more, then stop it."""
    before = done(guest)
    guest.resume()
    until(lambda: sum(_counts(guest)) > before + pages)
    guest.pause()


def _counts(guest: Local) -> list[int]:
    """How often each page was written, by the pages."""
    return [int.from_bytes(guest.memory[at * PAGE : at * PAGE + 4], "little") for at in range(16, 80)]


def done(guest: Local) -> int:
    """How many pages its first vcpu has written, by its registers."""
    registers = guest.registers()[0]
    return registers["rbp"] | registers["rcx"] << 32


def test_a_new_guest_is_paused_and_empty(make: Make) -> None:
    """It has no contents, and it runs when it is let."""
    guest = make()

    assert not guest.running
    assert not guest.populated()
    assert (guest.type, guest.pages, len(guest.memory)) == ("hvm", PAGES, PAGES * PAGE)
    assert guest.types() is None
    guest.pause()
    assert not guest.running


def test_a_guest_moves_again_and_again_in_the_middle_of_its_work(make: Make) -> None:
    """Memory and state, several times: digests agree, no page is lost or repeated, and it goes on where it was."""
    guest = make(PAGES, [Work(pages=64, stride=5)])
    for _ in range(4):
        ran(guest)
        other = make()
        moved(guest, other)

        assert other.digest() == guest.digest()
        assert hvm.still(other.entries()) == hvm.still(guest.entries())
        assert records(other)[:-1] == records(guest)[:-1]
        assert done(other) == done(guest) > 0
        assert guest.broken() == other.broken() == []
        guest.close()
        guest = other
    assert done(guest) > 1000


def test_a_page_that_is_lost_or_repeated_shows(make: Make) -> None:
    """One page of an earlier moment, or memory of a later one than the state, is found by the guest's invariant."""
    guest = make(PAGES, [Work(pages=64)])
    ran(guest)
    earlier = bytes(guest.memory[20 * PAGE : 21 * PAGE])
    other, third = make(), make()
    state = records(guest)
    copied(guest, third, guest.populated())
    ran(guest)
    moved(guest, other)
    assert other.broken() == []

    other.memory[20 * PAGE : 21 * PAGE] = earlier
    copied(guest, third, guest.populated())
    third.load(state)

    assert "frame 20 " in other.broken()[0]
    assert third.broken()


def test_the_log_has_all_that_is_written(make: Make) -> None:
    """Whatever differs between two moments is logged between them: peeked at, then taken, and then anew."""
    guest = make(PAGES, [Work(pages=64, batch=4, interval=2000)])
    guest.dirty.enable()
    guest.resume()
    for _ in range(5):
        guest.pause()
        guest.dirty.clean()
        before = bytes(guest.memory)
        guest.resume()
        until(lambda: guest.dirty.peek() != 0)
        peeked = guest.dirty.peek()
        time.sleep(0.005)
        guest.pause()
        logged = guest.dirty.clean()

        changed = [
            at
            for at in range(PAGES)
            if before[at * PAGE : (at + 1) * PAGE] != guest.memory[at * PAGE : (at + 1) * PAGE]
        ]
        assert changed
        assert sets.of(changed, PAGES) & ~logged == 0
        assert peeked & ~logged == 0
        assert guest.dirty.clean() == 0


def test_rounds_under_a_running_guest_lose_nothing(make: Make) -> None:
    """Frames are copied while it writes, those that were written since again, and the last ones while it stands."""
    guest, other = make(PAGES, [Work(pages=300, stride=7)]), make()
    guest.resume()
    guest.dirty.enable()
    frames = guest.populated()
    for _ in range(5):
        copied(guest, other, frames)
        frames = guest.dirty.clean()
    guest.pause()
    copied(guest, other, frames | guest.dirty.clean())
    guest.dirty.disable()
    other.load(records(guest))

    assert other.digest() == guest.digest()
    assert other.broken() == []


# Moves in a row: more where one looks for what is rare.
MANY = 150 if os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough" else 5


def test_many_moves_of_which_some_are_given_up(make: Make) -> None:
    """Rounds under a running guest, however many; where it is given up the source goes on, and all of it holds."""
    random = Random(MANY)
    timer = 11_932 if make(64).kind == "kvm" else 0
    works = [
        Work(pages=101, stride=7, batch=3, divisor=timer),
        Work("console"),
        Work(first=200, pages=100, interval=300),
    ]
    guest = make(PAGES, works)
    written = bytearray()
    for _ in range(MANY):
        other = make()
        guest.dirty.enable()
        guest.resume()
        frames = guest.populated()
        for _ in range(random.randrange(4)):
            copied(guest, other, frames)
            time.sleep(random.random() * 0.003)
            frames = guest.dirty.clean()
        guest.pause()
        copied(guest, other, frames | guest.dirty.clean())
        guest.dirty.disable()
        other.load(records(guest))
        assert other.digest() == guest.digest()
        assert guest.broken() == other.broken() == []
        written += guest.console()
        given_up, kept = (other, guest) if random.random() < 0.3 else (guest, other)
        given_up.close()
        guest = kept

    assert bytes(written) == (TEXT * len(written))[: len(written)]


def test_what_comes_before_enabling_is_not_logged(make: Make) -> None:
    """Nor what comes after disabling; what is on already goes on."""
    guest = make(PAGES, [Work(pages=64)])
    assert guest.dirty.peek() == guest.dirty.clean() == 0
    ran(guest)
    guest.dirty.enable()
    assert guest.dirty.peek() == 0
    ran(guest)
    guest.dirty.enable()
    assert guest.dirty.peek()
    guest.dirty.disable()
    ran(guest)
    assert guest.dirty.peek() == guest.dirty.clean() == 0
    guest.dirty.enable()
    assert guest.dirty.clean() == 0


def some(guest: Local) -> bytes:
    """Some characters that it writes."""
    found = bytearray()

    def enough() -> bool:
        found.extend(guest.console())
        return len(found) >= 40

    until(enough)
    return bytes(found)


def test_a_console_loses_no_character_on_the_way(make: Make) -> None:
    """What source and destination write is one text, without a gap or a repeat."""
    guest = make(PAGES, [Work("console", text=TEXT)])
    written = b""
    for _ in range(4):
        guest.resume()
        written += some(guest)
        guest.pause()
        assert guest.broken() == []
        other = make()
        moved(guest, other)
        written += guest.console()
        guest.close()
        guest = other

    assert len(written) > 100
    assert written == (TEXT * len(written))[: len(written)]


def test_a_clock_goes_on_and_never_back(make: Make) -> None:
    """The times in its pages are in the order of its writes, over moves; a page of an earlier round does not fit."""
    guest = make(PAGES, [Work("clock", first=16, pages=61, stride=7)])
    for _ in range(2):
        ran(guest, 400)
        assert guest.broken() == []
        other = make()
        moved(guest, other)
        guest.close()
        guest = other
    ran(guest, 400)
    written = done(guest)
    frame = 16 + (written - 9) % 61 * 7 % 61
    at = frame * PAGE + programs.TIME
    then = int.from_bytes(guest.memory[at : at + 4], "little")
    guest.memory[at : at + 4] = (then - 30_000_000 & 0xFFFFFFFF).to_bytes(4, "little")

    assert written > 1000
    assert any(f"frame {frame}" in words and "earlier" in words for words in guest.broken())


def test_vcpus_go_on_side_by_side(make: Make) -> None:
    """Each with its own pages; one halts."""
    works = [Work(pages=64, stride=5), Work("idle"), Work(first=100, pages=50, stride=3), Work("console", interval=100)]
    guest = make(PAGES, works)
    ran(guest)
    other = make()
    moved(guest, other)
    written = done(guest)
    guest.close()
    other.resume()
    until(lambda: other.memory[100 * PAGE] > 1 and bool(other.console()))
    other.pause()
    ran(other)

    assert other.broken() == []
    assert len(other.registers()) == 4
    assert other.registers()[2]["rbp"]
    assert done(other) > written


def test_the_image_conforms(make: Make) -> None:
    """What a saver would write is sound, inside its payloads too, without a warning."""
    guest = make(PAGES, [Work(pages=64), Work("idle")])
    ran(guest)

    outcome = judge([image(guest)], deep=True)

    assert outcome.conforms
    assert not [finding for finding in outcome.findings if finding.severity != "note"]


def test_a_guest_feels_how_long_it_stood(make: Make) -> None:
    """By the clock that it asks: at least for as long as it was paused, until that is forgotten."""
    guest = make(PAGES, [Work(pages=64, batch=2)])
    ran(guest)
    guest.forget_gap()
    time.sleep(0.05)
    ran(guest)
    felt = guest.gap()
    guest.forget_gap()

    assert felt is not None
    assert felt >= 0.05
    assert guest.gap() == 0
    assert make().gap() is None


def test_a_rate_is_kept(make: Make) -> None:
    """A batch is followed by a rest: no more pages come than were asked for."""
    guest = make(PAGES, [Work(pages=64, batch=4, interval=10_000)])
    begun = time.monotonic()
    guest.resume()
    until(lambda: sum(_counts(guest)) >= 40)
    guest.pause()
    passed = time.monotonic() - begun

    assert 40 <= done(guest) <= 4 * (passed / 0.01 + 2)


def test_a_stopped_clock_gives_a_gap_of_nothing(make: Make) -> None:
    """The guest's clock is the one it was given."""
    guest = make(PAGES, [Work(pages=64, batch=2)], clock=lambda: 5)
    ran(guest)

    assert guest.gap() == 0


def test_state_is_asked_for_while_it_stands(make: Make) -> None:
    """A guest that runs has none, and takes none; an ended one neither."""
    guest = make(PAGES, [Work(pages=64)])
    state = records(guest)
    guest.resume()
    for call in (guest.state, guest.registers, guest.digest, lambda: guest.load(state)):
        with pytest.raises(GuestError):
            call()
    guest.close()
    with pytest.raises(GuestError):
        guest.resume()


def test_a_guest_that_is_closed_leaves_nothing(make: Make) -> None:
    """No descriptor and no thread, whether it runs or stands, and also of one that could not be made."""

    def held() -> tuple[list[str], int]:
        return sorted(os.listdir("/proc/self/fd")), threading.active_count()

    make(64).close()
    before = held()
    for _ in range(2):
        guest = make(PAGES, [Work(pages=64), Work("idle")])
        guest.dirty.enable()
        guest.resume()
        guest.close()
        with pytest.raises(GuestError):
            make(PAGES, [Work("none")])
    assert held() == before


@pytest.mark.parametrize("works", [[Work(first=3)], [Work("none")]])
def test_what_cannot_be_run_leaves_nothing(make: Make, works: list[Work]) -> None:
    """Memory that was given is closed with it."""
    memory = Memory(PAGES)
    with pytest.raises(GuestError):
        make(PAGES, works, memory=memory)
    assert memory.descriptor == -1


def test_kvm_goes_on_with_what_a_process_did(make_kvm: Make, make_process: Make) -> None:
    """Records say all of it; the other way a process refuses what was stopped inside a page."""
    guest, machine = make_process(PAGES, [Work(pages=64, stride=5), Work("console", interval=100)]), make_kvm()
    ran(guest)
    moved(guest, machine)
    ran(machine)

    assert machine.broken() == []
    assert done(machine) > done(guest)
    inside = make_kvm(PAGES, [Work(pages=64)])
    with pytest.raises(GuestError, match="KVM can go on there"):
        guest.load(records(inside))


def test_a_machine_comes_back_register_for_register(make_kvm: Make) -> None:
    """All that KVM has of it: but for clocks, which go on, and what has no meaning at the moment."""
    guest, other = make_kvm(PAGES, [Work(pages=64, divisor=20_000), Work(first=200, pages=9)]), make_kvm()
    ran(guest)
    moved(guest, other)
    mine, theirs = (it._stopped() for it in (guest, other) if isinstance(it, KvmGuest))

    for ours, there in zip(mine.vcpus, theirs.vcpus, strict=True):
        assert ours is not None
        assert there is not None
        assert {**ours.pieces, "events": b""} == {**there.pieces, "events": b""}
        assert {**ours.msrs, 0x10: 0} == {**there.msrs, 0x10: 0}
        assert 0 <= there.msrs[0x10] - ours.msrs[0x10] < 60 * mine.khz * 1000
        mine_events, there_events = (kvm_state.events(it.pieces["events"]) for it in (ours, there))
        assert {**mine_events, "interrupt_nr": 0} == {**there_events, "interrupt_nr": 0}
    for name in ("pic_master", "pic_slave"):
        assert {**kvm_state.pic(mine.machine[name]), "init4": 0} == {**kvm_state.pic(theirs.machine[name]), "init4": 0}
    assert mine.machine["ioapic"] == theirs.machine["ioapic"]


def ticking(guest: Local) -> None:
    """Run it until the timer has interrupted it a few times more."""
    ticks = workload.field(guest.held, 0, "ticks")
    guest.resume()
    until(lambda: workload.field(guest.held, 0, "ticks") > ticks + 2)


def test_the_timer_ticks_on_after_a_move(make_kvm: Make) -> None:
    """Interrupts of the interval timer come through controllers that were carried over."""
    guest = make_kvm(PAGES, [Work(pages=64, divisor=11_932)])
    for _ in range(3):
        ticking(guest)
        guest.pause()
        assert guest.broken() == []
        other = make_kvm()
        moved(guest, other)
        guest.close()
        guest = other


def test_instructions_are_whole_when_a_machine_stops(make_kvm: Make) -> None:
    """A machine reads its clock once for each page; stopped between reading and having read, it would read twice."""
    asked: list[int] = []
    guests: list[Any] = []

    def looked() -> int:
        """Have it stop while it reads its clock."""
        guests[-1]._runners[0].ask()
        asked.append(len(asked))
        return asked[-1]

    def stood(turn: int) -> bool:
        return len(asked) > turn and guests[-1]._runners[0].stopped

    guests.append(make_kvm(PAGES, [Work(pages=64, batch=1)], clock=looked))
    for turn in range(5):
        guests[-1].resume()
        until(partial(stood, turn))
        guests[-1].pause()
        guests.append(make_kvm(clock=looked))
        moved(guests[-2], guests[-1])
        guests[-2].close()

    assert len(asked) - done(guests[-1]) in {0, 1, 2}


def test_a_machine_is_stopped_where_records_have_all_of_it(make_kvm: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is let run on until then, and where that does not come it runs on, and the caller knows."""
    guest = make_kvm(PAGES, [Work(pages=64)])
    found = [["interrupt_shadow"], ["nmi_masked"], []]
    monkeypatch.setattr(hvm_cpu, "passing", lambda _: found.pop(0))
    guest.resume()
    guest.pause()
    assert (found, guest.running) == ([], False)

    monkeypatch.setattr(hvm_cpu, "passing", lambda _: ["nmi_masked"])
    guest.resume()
    with pytest.raises(GuestError, match="runs on"):
        guest.pause()
    assert guest.running
    before = _counts(guest)
    until(lambda: _counts(guest) != before)


def test_a_machine_that_fails_says_so(make_kvm: Make) -> None:
    """Memory without a program is no place to go on at; it can be stopped and closed."""
    guest = make_kvm(PAGES, [Work(pages=64)])
    guest.memory[programs.CODE * PAGE : (programs.CODE + 1) * PAGE] = b"\x0f\x0b" * (PAGE // 2)  # UD2
    guest.memory[programs.DESCRIPTORS * PAGE : (programs.DESCRIPTORS + 1) * PAGE] = bytes(PAGE)
    guest.resume()
    until(lambda: any(runner.failure for runner in guest._runners))  # type: ignore[union-attr] # a machine has some

    guest.pause()

    assert "vcpu 0 has stopped" in guest.broken()[0]


def test_a_machine_is_refused_state_that_kvm_does_not_take(make_kvm: Make) -> None:
    """With what KVM says; it can be closed."""
    guest, other = make_kvm(PAGES, [Work(pages=64)]), make_kvm()
    assert isinstance(guest, KvmGuest)
    pieces = kvm_state.sizes()
    vcpu = guest._fresh.vcpus[0]
    assert vcpu is not None
    segments, controls = kvm_state.sregs(vcpu.pieces["sregs"])
    broken = kvm_state.to_sregs(segments, {**controls, "cr0": 1 << 31, "efer": 1 << 10})
    wrong = kvm_state.Vcpu({**vcpu.pieces, "sregs": broken}, vcpu.msrs)
    assert len(broken) == pieces["sregs"]

    with pytest.raises(GuestError, match="KVM does not take"):
        other._take(kvm_state.State((wrong,), guest._fresh.machine))  # type: ignore[union-attr] # a machine has it


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file"),
        (PermissionError(13, "Permission denied"), "permission denied"),
    ],
)
def test_a_machine_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch, error: OSError, words: str) -> None:
    """Nothing of it is left."""

    def refuse(*_: object) -> int:
        raise error

    memory = Memory(PAGES)
    monkeypatch.setattr("streamfmt.engine.guest.kvm_machine.os.open", refuse)
    with pytest.raises(GuestError, match=f"/dev/kvm: {words}"):
        KvmGuest(PAGES, memory=memory)
    assert memory.descriptor == -1


def test_a_kernel_without_tracking_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of its parts is missing, and since when there is one."""
    need("process")
    monkeypatch.setattr(pagemap, "_FEATURES", 1 << 63)
    assert pagemap.missing() == "the kernel's userfaultfd has no WP_ASYNC (Linux 6.7)"
    with pytest.raises(GuestError, match="WP_ASYNC"):
        ProcessGuest(PAGES)
    monkeypatch.undo()
    monkeypatch.setattr(pagemap, "_SCAN", 0xC0606611)
    assert pagemap.missing() == "the kernel has no PAGEMAP_SCAN (Linux 6.7)"


def test_a_scan_of_sparse_memory_looks_at_little(make_process: Make) -> None:
    """64 GiB of which a few pages were written: all of these, and in no time."""
    guest = make_process(1 << 24)
    written = {16, 99, 1 << 20, (1 << 24) - 1}
    begun = time.process_time()
    guest.dirty.enable()
    for frame in written:
        guest.memory[frame * PAGE] = 1

    found = guest.dirty.clean()

    assert time.process_time() - begun < 0.2
    assert found == sets.of(written, 1 << 24)


def test_a_scan_goes_on_where_there_was_no_room(make_process: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges come a few at a time, and all come."""
    monkeypatch.setattr(pagemap, "_RANGES", 4)
    guest = make_process()
    guest.dirty.enable()
    written = range(16, PAGES, 7)
    for frame in written:
        guest.memory[frame * PAGE] = 1

    assert guest.dirty.peek() == sets.of(written, PAGES)
    assert guest.dirty.clean() == sets.of(written, PAGES)
    assert guest.dirty.clean() == 0


def test_memory_beyond_the_devices_is_a_region_of_its_own(make_kvm: Make) -> None:
    """3 GiB and some: the rest lies above 4 GiB, and the log is one of all frames."""
    pages = LOW_FRAMES + 300
    guest = make_kvm(pages, [Work(pages=64)])
    assert isinstance(guest, KvmGuest)
    guest.dirty.enable()
    ran(guest)
    logged = guest.dirty.clean()

    assert logged.bit_length() <= LOW_FRAMES
    assert sets.run(16, 64) & ~logged == 0
    assert guest._machine_of.regions == ((0, LOW_FRAMES, 0), (LOW_FRAMES, 300, 1 << 32))
    assert guest.broken() == []
    with pytest.raises(GuestError, match="its program"):
        make_kvm(pages, [Work(first=LOW_FRAMES, pages=8)])


def test_a_signal_that_nobody_catches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread cannot set up what stops vcpus."""
    monkeypatch.setattr("streamfmt.engine.guest.kvm_run.signal.getsignal", lambda _: None)
    monkeypatch.setattr("streamfmt.engine.guest.kvm_run.threading.main_thread", lambda: None)
    with pytest.raises(GuestError, match="main thread"):
        kvm_run.catch()


def test_structures_have_the_kernels_sizes() -> None:
    """Their numbers say how long they are (include/uapi/asm-generic/ioctl.h)."""
    for piece in (*kvm_api.VCPU, *kvm_api.MACHINE):
        for request in (piece.read, piece.write):
            assert request >> 16 & 0x3FFF == piece.size, piece.name
    sregs = kvm_api.SREGS_INTERRUPTS + kvm_api.INTERRUPTS_FORM.size
    assert {piece.name: piece.size for piece in kvm_api.VCPU if piece.name in {"regs", "sregs", "events"}} == {
        "regs": kvm_api.REGS_FORM.size,
        "sregs": sregs,
        "events": kvm_api.EVENTS_FORM.size,
    }
