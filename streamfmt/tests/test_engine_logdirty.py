"""Dirty logging: no frame that was written is lost, in any form; who does not answer is given up in time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine import frames
from ..engine.interface import DirtySource
from ..engine.logdirty import segment
from ..engine.logdirty.answering import Answerer, CommandAnswerer, SharedAnswerer, answerer
from ..engine.logdirty.forms import COMMAND, FORMS, MONITOR, SHARED, segment_size
from ..engine.logdirty.hypervisor import Count, Hypervisor
from ..engine.logdirty.merged import Merged, emulators_log
from ..engine.logdirty.reported import Reported
from ..engine.logdirty.shared import SharedLog, sweep
from ..engine.waiting import READ, Waiter
from ..engine.xenstore.client import Client
from ..engine.xenstore.server import in_thread
from ..errors import GuestError, LateError, LinkError, PeerError
from .support.emulators import Written, answering, segments
from .support.xenstores import REAL, xenstore

PAGES = 200
IN_XENSTORE = [name for name, form in FORMS.items() if form.way != MONITOR]
AREA = "/local/domain/0/device-model/1/logdirty"


@dataclass
class Pair:
    """A saver's log and the emulator's side of it, both in our thread."""

    log: DirtySource
    answerer: Answerer
    store: Client
    waiter: Waiter
    said: list[str]
    paused: bool = False


@contextmanager
def paired(path: str, name: str, pages: int = PAGES, theirs: int = 0, limit: float | None = None) -> Iterator[Pair]:
    """Both in a form, the emulator with another number of pages and with another limit if they are given."""
    form, waiter = FORMS[name], Waiter()
    form = form if limit is None else replace(form, limit=limit)
    said: list[str] = []
    with ExitStack() as stack:
        store, other = stack.enter_context(Client(path)), stack.enter_context(Client(path))
        stack.callback(waiter.close)
        reported = Reported(pages)
        stack.callback(reported.close)
        side = answerer(form, other, 1, theirs or pages, reported, said.append)
        pair = Pair(Written(), side, store, waiter, said)
        log = emulators_log(form, pages, lambda: pair.paused, waiter, store=store, reported=reported)
        pair.log = log
        stack.enter_context(answering(waiter, other, side))
        try:
            yield pair
        finally:
            log.disable()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    with xenstore("ours", tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    before = segments()
    yield
    assert segments() <= before


# -- each form --------------------------------------------------------------------------------------------------------


def _losing_nothing(pair: Pair, seed: int) -> None:
    """Write, clean and peek in any order: what is written comes with the next clean, and with the last iteration."""
    draw = random.Random(seed)
    pair.log.enable()
    pair.log.clean()
    written = frames.NONE
    for _ in range(20):
        frame, count = draw.randrange(PAGES), draw.randrange(1, 4)
        count = min(count, PAGES - frame)
        pair.answerer.mark(frame, count)
        written |= frames.run(frame, count)
        if draw.random() < 0.3:
            assert pair.log.peek() & written == written
        if draw.random() < 0.3:
            found = pair.log.clean()
            assert found & written == written
            assert found.bit_length() <= PAGES
            written = frames.NONE
    pair.paused = True
    assert pair.log.clean() & written == written


@pytest.mark.parametrize("name", IN_XENSTORE)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost(path: str, name: str, seed: int) -> None:
    """In every form that talks through our xenstore."""
    with paired(path, name) as pair:
        _losing_nothing(pair, seed)
        assert pair.said == []


@pytest.mark.peer
@pytest.mark.parametrize("name", IN_XENSTORE)
def test_nothing_is_lost_through_xenstored(name: str, tmp_path: Path) -> None:
    """And through the real one."""
    with xenstore(REAL, tmp_path) as path, paired(path, name) as pair:
        _losing_nothing(pair, 1)


@pytest.mark.parametrize("name", IN_XENSTORE)
def test_again_and_again(path: str, name: str) -> None:
    """A second migration of a guest begins as the first did; and also after one that came to no end."""
    with paired(path, name) as pair:
        for _ in range(3):
            pair.log.enable()
            pair.answerer.mark(5)
            assert pair.log.clean() & frames.run(5, 1)
            pair.log.disable()
        assert pair.log.clean() == pair.log.peek() == frames.NONE
        pair.log.enable()
        pair.log.enable()
        pair.answerer.mark(6)
        assert pair.log.clean() & frames.run(6, 1)


# -- the segment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "area"), [("3.1", "/local/domain/1/logdirty"), ("3.2", AREA)])
def test_the_handshake_of_2007(path: str, name: str, area: str) -> None:
    """Nodes are where that release had them, and say what they said there."""
    with paired(path, name) as pair:
        pair.log.enable()
        key = pair.store.read(f"{area}/key")
        assert len(key) == 16
        assert int(key, 16)
        assert key == key.lower()
        assert pair.store.read(f"{area}/next-active") == pair.store.read(f"{area}/active") == b"0"
        for bitmap in b"1", b"0", b"1":
            pair.log.clean()
            assert pair.store.read(f"{area}/next-active") == pair.store.read(f"{area}/active") == bitmap
        pair.log.disable()
        assert pair.store.directory(area) == []


def test_the_size_lies_over_the_first_bitmap(path: str) -> None:
    """Its bits are spurious frames of the first harvest, none of which is beyond the guest; later there are none."""
    with paired(path, "3.2", pages=70) as pair:
        pair.log.enable()
        assert segment_size(70) == 16
        assert pair.log.peek() == pair.log.clean() == frames.run(4, 1)
        assert [pair.log.clean() for _ in range(3)] == [frames.NONE] * 3
    with paired(path, "3.2", pages=3) as pair:
        pair.log.enable()
        assert pair.log.clean() == frames.NONE


def test_the_last_iteration(path: str) -> None:
    """With the guest paused nobody is asked to change over, and what is read stays."""
    with paired(path, "3.2") as pair:
        pair.log.enable()
        pair.log.clean()
        pair.answerer.mark(150)
        pair.paused = True
        before = pair.store.read(f"{AREA}/next-active")
        assert pair.log.clean() == pair.log.clean() == frames.run(150, 1)
        assert pair.store.read(f"{AREA}/next-active") == before
        # The migration is given up, and the guest runs again: the frame is not lost.
        pair.paused = False
        assert pair.log.clean() == frames.run(150, 1)
        assert pair.log.clean() == frames.NONE


def test_frames_beyond_the_bitmap(path: str) -> None:
    """The emulator says them, and marks nothing."""
    with paired(path, "3.2", pages=64) as pair:
        pair.log.enable()
        pair.log.clean()
        pair.answerer.mark(63, 2)
        assert pair.log.clean() == frames.run(63, 1)
        assert pair.said == ["frame 0x40 is beyond the bitmap of dirty frames"]


@pytest.mark.parametrize(("name", "limit"), [("3.1", 5), ("3.2", 5), ("4.0", 5), ("4.2", 10)])
def test_limits(name: str, limit: float) -> None:
    """Those of the releases."""
    assert FORMS[name].limit == limit


def test_sizes_that_do_not_agree(path: str) -> None:
    """The emulator does not answer, says why, and the saver gives up."""
    with paired(path, "3.2", theirs=PAGES + 64, limit=0.1) as pair:
        with pytest.raises(LateError, match=r"did not change over to bitmap 0 .* within 0.1 s.*number of frames agree"):
            pair.log.enable()
        assert pair.said
        assert "bitmaps of 32 bytes, this guest's have 40" in pair.said[0]
        assert pair.store.directory(AREA) == []


@pytest.mark.parametrize("name", ["3.1", "3.2", "4.0", "4.2"])
def test_nobody_answers(path: str, name: str) -> None:
    """It is said in time, and nothing is left: the next attempt is a new one."""
    form, waiter = replace(FORMS[name], limit=0.05), Waiter()
    with Client(path) as store:
        reported = Reported(PAGES)
        log = emulators_log(form, PAGES, lambda: False, waiter, store=store, reported=reported)
        for _ in range(2):
            began = waiter.clock()
            with pytest.raises(LateError, match=r"the emulator did not .* within 0.05 s"):
                log.enable()
            assert 0.05 <= waiter.clock() - began < 1
        reported.close()
        waiter.close()


def test_an_emulator_that_says_something_else(path: str) -> None:
    """Each event gives it time again, but not for ever."""
    form, waiter = replace(FORMS["3.2"], limit=0.1, whole=0.3), Waiter()
    with Client(path) as store, Client(path) as other:
        log = SharedLog(form, store, 1, PAGES, lambda: False, waiter)
        other.watch(f"{AREA}/active", "mine")

        def noise() -> None:
            other.pump()
            if not other.take():
                return
            with Client(path) as third:  # its event comes by itself, not with an answer to `other`
                third.write(f"{AREA}/active", "2")

        waiter.serve(other.fileno(), READ, noise)
        store.write(f"{AREA}/active", "2")
        began = waiter.clock()
        with pytest.raises(LateError):
            log.enable()
        assert 0.3 <= waiter.clock() - began < 1.5
        other.unwatch(f"{AREA}/active", "mine")
        waiter.close()


@contextmanager
def answered(
    path: str, node: str, answers: Callable[[bytes], list[tuple[str, bytes]]]
) -> Iterator[tuple[Client, Waiter]]:
    """A saver's client and its waiter, and somebody who writes nodes whenever this one has a value."""
    waiter = Waiter()
    with Client(path) as store, Client(path) as other:
        other.watch(f"{AREA}/{node}", "mine")

        def answer() -> None:
            other.pump()
            while other.take():
                for name, value in answers(other.find(f"{AREA}/{node}") or b""):
                    other.write(f"{AREA}/{name}", value)

        waiter.serve(other.fileno(), READ, answer)
        yield store, waiter
        store.remove(AREA)
    waiter.close()


def test_an_answer_without_the_segment(path: str) -> None:
    """Who says that a bitmap is in use and has attached none is not believed: its writes would be lost."""
    form = replace(FORMS["3.2"], limit=0.1)
    with answered(path, "next-active", lambda value: [("active", value)] if value else []) as (store, waiter):
        log = SharedLog(form, store, 1, PAGES, lambda: False, waiter)
        with pytest.raises(LateError):
            log.enable()


@pytest.mark.parametrize("name", ["4.0", "4.2"])
def test_an_earlier_answer_once_more(path: str, name: str) -> None:
    """An emulator that has had two events about an earlier command answers that twice, and then the new one."""
    said = {b"enable": [("ret", b"disable"), ("ret", b"enable")], b"disable": [("ret", b"enable"), ("ret", b"disable")]}
    with answered(path, "cmd", lambda value: said.get(value, [])) as (store, waiter):
        reported = Reported(PAGES)
        log = emulators_log(FORMS[name], PAGES, lambda: False, waiter, store=store, reported=reported)
        for _ in range(3):
            log.enable()
            log.disable()
        reported.close()


def test_an_emulator_that_goes(path: str) -> None:
    """Between two cleans: the saver gives up in time, and nothing is left of the segment."""
    with paired(path, "3.2", limit=0.05) as pair:
        pair.log.enable()
        pair.answerer.close()
        pair.waiter.drop(pair.answerer._store.fileno())  # type: ignore[attr-defined]
        merged = Merged(Hypervisor(Written()), pair.log)
        with pytest.raises(LateError):
            merged.clean()


def test_a_saver_that_goes(path: str) -> None:
    """The emulator, who sees that it is alone, detaches the segment and removes the saver's nodes."""
    waiter = Waiter()
    said: list[str] = []
    with Client(path) as store, Client(path) as other:
        side = SharedAnswerer(FORMS["3.2"], other, 1, PAGES, said.append)
        with answering(waiter, other, side):
            log = SharedLog(FORMS["3.2"], store, 1, PAGES, lambda: False, waiter)
            log.enable()
            side.look()
            assert store.find(f"{AREA}/key")
            assert log._segment
            log._segment.close()
            side.look()
            assert store.directory(AREA) == []
            assert said == ["the saver is gone: its segment is, too"]
        store.unwatch(f"{AREA}/active", "qemu-active-buffer")
    waiter.close()


def test_a_segment_that_nobody_attached(path: str) -> None:
    """A saver that died before the emulator heard of it leaves a key by which its segment is found and removed."""
    with Client(path) as store:
        for release in ("3.1", "3.2"):
            area = SharedLog(FORMS[release], store, 1, PAGES, lambda: False, Waiter()).area
            assert not sweep(FORMS[release], store, 1)
            left = segment.create(64, partial(store.write, f"{area}/key"))
            assert not sweep(FORMS[release], store, 1)  # its saver is alive
            left.close()
            assert sweep(FORMS[release], store, 1)
            assert not sweep(FORMS[release], store, 1)
            store.remove(area)


def test_a_saver_that_goes_at_once(path: str) -> None:
    """The emulator waits for a segment whose key is there, and at last removes key and segment."""
    now = [0.0]
    with Client(path) as store, Client(path) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamfmt.engine.logdirty.answering.time.monotonic", lambda: now[0])
        said: list[str] = []
        side = SharedAnswerer(FORMS["3.2"], other, 1, PAGES, said.append)
        left = segment.create(segment_size(PAGES), lambda key: store.write(f"{AREA}/key", key))
        left._memory.write(bytes(4), 0)  # it came no further than that
        left.close()
        side.look()
        other.domain_path(0)
        while event := other.take():
            side.hear(event.token)
        side.look()
        assert store.find(f"{AREA}/key")
        now[0] = 6.0
        side.look()
        assert store.find(f"{AREA}/key") is None
        assert said == ["a segment whose saver is gone is removed"]
        side.close()


@pytest.mark.parametrize("key", [b"", b"x", b"0" * 16, b"f" * 16, b"\xff" * 40])
def test_keys_that_are_none(path: str, key: bytes) -> None:
    """They are said, and nothing is attached."""
    with pytest.raises(PeerError, match="key of the segment"):
        segment.attach(key, 64)
    with Client(path) as store, Client(path) as other:
        said: list[str] = []
        side = SharedAnswerer(FORMS["3.2"], other, 1, PAGES, said.append)
        store.write(f"{AREA}/key", key)
        side.hear("logdirty")
        side.look()
        assert said
        assert all("key of the segment" in row for row in said)
        side.close()
        store.remove(AREA)


def test_without_the_package(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one form that needs sysv_ipc says so; it leaves nothing."""
    monkeypatch.setitem(__import__("sys").modules, "sysv_ipc", None)
    with Client(path) as store:
        log = SharedLog(FORMS["3.2"], store, 1, PAGES, lambda: False, Waiter())
        with pytest.raises(GuestError, match=r"needs the package sysv_ipc: pip install 'streamfmt\[engine\]'"):
            log.enable()


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["4.0", "4.1", "4.2"])
def test_commands(path: str, name: str) -> None:
    """The emulator begins and ends; what is left in xenstore is what that release's saver left."""
    with paired(path, name) as pair:
        pair.answerer.mark(1)
        pair.log.enable()
        left = {"4.0": [b"enable", b"enable"], "4.2": [None, None]}
        if name in left:
            assert [pair.store.find(f"{AREA}/{node}") for node in ("cmd", "ret")] == left[name]
        if name == "4.1":
            pair.waiter.step(pair.waiter.clock() + 1)
        pair.log.clean()
        pair.answerer.mark(2)
        assert pair.log.clean() & frames.run(1, 2) == frames.run(2, 1)
        pair.log.disable()
        if name == "4.1":
            assert pair.store.read(f"{AREA}/cmd") == b"disable"
            pair.waiter.step(pair.waiter.clock() + 1)
            assert pair.store.read(f"{AREA}/ret") == b"disable"
        else:
            assert pair.store.directory(AREA) == []
        pair.answerer.mark(3)
        assert pair.log.peek() & frames.run(3, 1) == frames.NONE
        pair.store.remove(AREA)


def test_without_waiting_all_may_be_written(path: str) -> None:
    """Where the answer is not waited for, all frames count as written until it is there: then none is lost."""
    everything = frames.run(0, PAGES)
    with paired(path, "4.1") as pair:
        pair.log.enable()
        pair.answerer.mark(7)  # not reported: the emulator has not heard yet
        assert pair.log.peek() == pair.log.clean() == pair.log.clean() == everything
        pair.waiter.step(pair.waiter.clock() + 1)
        assert pair.log.clean() == everything
        pair.answerer.mark(8)
        assert pair.log.clean() == frames.run(8, 1)


def test_a_command_that_stands(path: str) -> None:
    """Since 4.2 a command without its answer is an error: another saver may be at work."""
    with paired(path, "4.2") as pair:
        pair.waiter.step(pair.waiter.clock() + 0.1)
        pair.store.write(f"{AREA}/ret", "disable")
        pair.store.transact(lambda number: pair.store.write(f"{AREA}/cmd", "other", number))
        with pytest.raises(PeerError, match=r"cmd says b'other' and .*ret b'disable': another saver is at work"):
            pair.log.enable()
        pair.store.write(f"{AREA}/cmd", "disable")
        pair.log.enable()
        pair.store.remove(AREA)


@pytest.mark.parametrize("name", ["4.0", "4.2"])
def test_another_answer(path: str, name: str) -> None:
    """It is no answer: it may be the second one to an earlier command, and the right one may follow."""
    form = replace(FORMS[name], limit=0.05)
    with answered(path, "cmd", lambda value: [("ret", b"no")] if value else []) as (store, waiter):
        reported = Reported(PAGES)
        log = emulators_log(form, PAGES, lambda: False, waiter, store=store, reported=reported)
        with pytest.raises(PeerError, match="the emulator answers b'no' to 'enable'"):
            log.enable()
        reported.close()


def test_an_unknown_command(path: str) -> None:
    """The emulator says it, and does not answer."""
    with paired(path, "4.0") as pair:
        pair.store.write(f"{AREA}/cmd", "explode")
        pair.waiter.step(pair.waiter.clock() + 1)
        pair.answerer.hear("logdirty-cmd")
        assert "an unknown command about dirty logging: b'explode'" in pair.said
        assert pair.store.find(f"{AREA}/ret") is None
        pair.store.remove(AREA)


def test_xenstore_that_goes(tmp_path: Path) -> None:
    """A saver that has lost it says so, and can still be ended; nothing is left."""
    for name in ("3.2", "4.2"):
        path = str(tmp_path / name)
        with ExitStack() as stack:
            stack.enter_context(in_thread({0: path}))
            pair = stack.enter_context(paired(path, name))
            pair.log.enable()
            pair.store._socket.shutdown(2)
            with pytest.raises(LinkError, match="the connection to xenstore is gone"):
                pair.store.read("/")
            if FORMS[name].way == SHARED:
                with pytest.raises(LinkError):
                    pair.log.clean()


def test_forms_need_what_they_need(path: str) -> None:
    """A form without its xenstore, monitor or report is refused by name."""
    waiter = Waiter()
    with Client(path) as store:
        for name, given, monitor in (("3.1", None, ""), ("4.2", store, ""), ("4.3", None, "x"), ("4.2", None, "")):
            with pytest.raises(GuestError, match=r"dirty logging as of Xen .* needs"):
                emulators_log(FORMS[name], 1, bool, waiter, store=given, monitor=monitor)
    for name in FORMS:
        with pytest.raises(GuestError, match="needs a xenstore, or a report"):
            answerer(FORMS[name], None, 1, 1, None, print)
    assert {form.way for form in FORMS.values()} == {SHARED, COMMAND, MONITOR}


# -- both sources -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("mcpr"), st.integers(0, 99), st.integers(1, 5)), max_size=40))
def test_reported_frames(steps: list[tuple[str, int, int]]) -> None:
    """What was reported is found once, by either side's mapping."""
    mine = Reported(104)
    theirs = Reported(104, mine.descriptor)
    expected = frames.NONE
    for step, first, count in steps:
        if step == "m":
            theirs.mark(first, count)
            expected |= frames.run(first, count)
        elif step == "p":
            assert mine.peek() == expected
        else:
            assert mine.clean() == expected if step == "c" else mine.enable() is None  # type: ignore[func-returns-value]
            expected = frames.NONE
    assert mine.clean() == expected
    theirs.close()
    mine.close()
    mine.close()


def test_the_hypervisors_counts() -> None:
    """Scans and their frames are counted; while the log is off it knows nothing, and is not asked."""
    written = Written()
    log = Hypervisor(written)
    written.frames = 0b11
    assert log.clean() == log.peek() == frames.NONE
    assert written.frames == 0b11
    log.enable()
    assert written.on
    written.frames = 0b1011
    assert log.peek() == log.clean() == 0b1011
    written.frames = 0b1
    log.clean()
    assert log.count == Count(dirty=1, scans=2, frames=4, peeks=1)
    log.enable()  # somebody has left it on
    assert log.count == Count()
    log.disable()
    log.disable()
    assert not written.on


def test_both_or_neither() -> None:
    """Where the emulator cannot begin, the hypervisor's log is off again; where it fails later, nothing is lost."""
    one, other = Written(), Written()
    merged = Merged(one, other)
    merged.enable()
    one.frames, other.frames = 0b01, 0b10
    assert merged.peek() == 0b11

    def late() -> int:
        raise LateError("nobody")

    other.clean = late  # type: ignore[method-assign]
    with pytest.raises(LateError):
        merged.clean()
    del other.clean
    assert merged.peek() == merged.clean() == 0b11
    assert merged.clean() == frames.NONE
    merged.disable()
    other.enable = late  # type: ignore[assignment]
    with pytest.raises(LateError):
        merged.enable()
    assert not one.on


@given(size=st.integers(1, 300), bits=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3000)), max_size=20))
@settings(max_examples=min(settings().max_examples, 30))
def test_segments_hold_bits(size: int, bits: list[tuple[int, int]]) -> None:
    """Each bitmap for itself; another process finds it by its key, and both may end in any order."""
    keys: list[str] = []
    size = segment_size(size)
    made = segment.create(size, keys.append)
    found = segment.attach(keys[-1].encode(), size)
    assert found
    made.harvest(0, clear=True)
    expected = [frames.NONE, frames.NONE]
    for which, frame in bits:
        assert found.mark(which, frame) == (frame < size * 8)
        expected[which] |= frames.run(frame, 1) if frame < size * 8 else frames.NONE
    found.doom()
    found.doom()
    assert [frames.from_bitmap(made.harvest(which, clear=False)) for which in (0, 1)] == expected
    found.close()
    assert frames.from_bitmap(made.harvest(1, clear=True)) == expected[1]
    assert not any(made.harvest(1, clear=False))
    made.doom()
    made.close()
    made.close()
    made.doom()
    assert segment.attach(keys[-1].encode(), size) is None


def test_the_commands_answerer_hears_commands_only(path: str) -> None:
    """Another event is none for it."""
    with Client(path) as store:
        reported = Reported(8)
        side = CommandAnswerer(FORMS["4.0"], store, 1, reported, print)
        store.write(f"{AREA}/cmd", "enable")
        side.hear("other")
        side.mark(1)
        assert reported.peek() == frames.NONE
        side.hear("logdirty-cmd")
        side.mark(1)
        assert reported.peek() == 2
        reported.close()
        store.remove(AREA)
