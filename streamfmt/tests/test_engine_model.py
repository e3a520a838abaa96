"""The model guest: what it writes is known, what it is goes into images and comes out of them, PV and HVM."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..conformance.peers import RELEASES, XENPEER
from ..conformance.restored import taken
from ..engine import frames as sets
from ..engine.framing_xen import Framer
from ..engine.guest.model import Model
from ..engine.guest.model_workload import FIRST, LOCALITIES, Loop, Workload
from ..engine.guest.models import model
from ..engine.guest.pv_layout import Layout
from ..engine.guest.pv_tables import XENS, Host, localised, normalised
from ..errors import GuestError
from ..writer import Draft, builders, record
from .support.peers import require

PAGE = 4096
_PAGES = 400
_TYPES = ("hvm", "pv")


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _made(kind: str, pages: int = _PAGES, host: int = 0, vcpus: int = 1) -> Model:
    return model(pages, kind, host=host, vcpus=vcpus, clock=Clock())


def _run(guest: Model, seconds: float = 0.375, locality: str = "hot") -> Model:
    """A guest that has run for so long, and is paused."""
    guest.boot(Workload.of(90, 1000, locality), filled=120, seed=7)
    guest.resume()
    guest.advance(seconds)
    guest.pause()
    return guest


def _image(guest: Model, *passes: int) -> bytes:
    """An image of it: its records and its memory, by the saver's own framing."""
    static = list(guest.static())
    lists = [part for part in static if part.name == "X86_PV_P2M_FRAMES"]
    before = [*builders.image_headers(guest.type), *(part for part in static if part not in lists)]
    before += [record("libxc.STATIC_DATA_END"), *lists]
    framer = Framer(guest)
    found = Draft(tuple(before)).render()
    for frames in passes or (sets.run(0, guest.pages),):
        for _, buffers in framer.records(frames):
            found += b"".join(buffers)
    return found + Draft((*guest.state(), record("libxc.END"))).render()


def _loaded(data: bytes, into: Model) -> Model:
    """The guest of an image, as a restorer fills it."""
    records = []
    with streamfmt.open(data) as stream:
        for item in stream:
            if not isinstance(item, streamfmt.Record) or item.name in ("END", "VERIFY"):
                continue
            body = item.read(1 << 26)
            if item.name == "PAGE_DATA":
                _place(into, body)
            else:
                records.append((item.name, body))
    into.load(records)
    return into


def _place(guest: Model, body: bytes) -> None:
    count = int.from_bytes(body[:4], "little")
    at = 8 + 8 * count
    for number in range(count):
        entry = int.from_bytes(body[8 + 8 * number : 16 + 8 * number], "little")
        kind, frame = entry >> 60, entry & (1 << 52) - 1
        size = PAGE if kind not in (0xD, 0xE, 0xF) else 0
        if accept := getattr(guest, "accept", None):
            accept(frame, [kind], body[at : at + size])
        elif size:
            guest.memory[frame * PAGE : (frame + 1) * PAGE] = body[at : at + size]
        at += size


@pytest.fixture
def closing() -> Iterator[list[Model]]:
    """Guests that are closed in the end."""
    guests: list[Model] = []
    yield guests
    for guest in guests:
        guest.close()


@pytest.mark.parametrize("kind", _TYPES)
def test_it_moves(kind: str, closing: list[Model]) -> None:
    """An image of it conforms with all that can be judged; what it is filled with is the same guest, and goes on."""
    guest = _run(_made(kind, host=1, vcpus=3))
    other = _made(kind, host=2)
    closing += [guest, other]
    data = _image(guest)
    outcome = streamfmt.verify(data, form="libxc", deep=True)
    assert [finding for finding in outcome.findings if finding.severity != "note"] == []
    assert outcome.conforms

    _loaded(data, other)

    assert other.digest() == guest.digest()
    assert guest.broken() == other.broken() == []
    assert _image(other) != data or kind == "hvm"
    other.resume()
    other.advance(0.5)
    other.pause()
    assert other.broken() == []
    assert other.digest() != guest.digest()
    third = _made(kind, host=3)
    closing.append(third)
    assert _loaded(_image(other), third).digest() == other.digest()


@pytest.mark.parametrize("kind", _TYPES)
def test_live_passes_end_in_the_same(kind: str, closing: list[Model]) -> None:
    """What is sent while it runs, and what was written since, make up the guest as it is when it is paused."""
    guest, other = _made(kind, host=1), _made(kind, host=2)
    closing += [guest, other]
    guest.boot(Workload.of(120, 3000, "scattered"), filled=60)
    guest.resume()
    guest.dirty.enable()
    static, framer = list(guest.static()), Framer(guest)
    pieces: list[bytes] = []

    def send(frames: int) -> None:
        for _, buffers in framer.records(frames):
            pieces.append(b"".join(buffers)[8:])

    send(sets.run(0, guest.pages))
    deferred = sets.NONE
    for _ in range(4):
        guest.advance(0.0113)
        deferred |= framer.deferred
        send(guest.dirty.clean() | framer.deferred)
    deferred |= framer.deferred
    guest.pause()
    send(guest.dirty.clean() | framer.deferred)
    guest.dirty.disable()

    for body in pieces:
        _place(other, body)
    bodies = [(part.name, part.body("<")) for part in (*static, *guest.state())]
    other.load(bodies)

    assert not framer.deferred
    assert bool(deferred) is (kind == "pv")
    assert other.digest() == guest.digest()
    assert other.broken() == []


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", _TYPES)
def test_readers_of_xen_take_it(kind: str, release: str, closing: list[Model]) -> None:
    """Libxenguest restores it, and has the same memory then, but for what it has to write itself."""
    require(XENPEER, release)
    guest = _run(_made(kind, 700, vcpus=2))
    closing.append(guest)

    found = taken(kind, _image(guest), release)

    assert found.accepted, found.log
    layout = Layout.of(700)
    own = {"hvm": {8, 9, 10, 11}, "pv": {layout.start, layout.store, layout.console, *range(layout.top, 700)}}[kind]
    for frame in range(700):
        if frame not in own:
            page = guest.memory[frame * PAGE : (frame + 1) * PAGE]
            if kind == "pv":
                page = guest.contents(frame, 1)  # type: ignore[attr-defined] # a PV guest's
            assert found.pages.get(frame, bytes(PAGE)) == bytes(page), frame


@pytest.mark.parametrize("kind", _TYPES)
def test_it_is_the_same_each_time(kind: str, closing: list[Model]) -> None:
    """With a clock that stands, images are equal byte by byte; in steps or at once it does the same."""
    first, second, other = _run(_made(kind)), _made(kind), _run(_made(kind), 0.5)
    closing += [first, second, other]
    second.boot(Workload.of(90, 1000, "hot"), filled=120, seed=7)
    second.resume()
    for _ in range(48):
        second.advance(1 / 128)
        second.dirty.peek()
    second.pause()

    assert first.digest() == second.digest() != other.digest()
    assert _image(first) == _image(_run(_made(kind)))


@pytest.mark.parametrize("kind", _TYPES)
def test_time_passes_by_its_clock(kind: str, closing: list[Model]) -> None:
    """It goes on when somebody looks, for as long as it ran; not while it is paused, nor after its end."""
    clock = Clock()
    guest = model(_PAGES, kind, clock=clock)
    closing.append(guest)
    guest.boot(Workload.of(50, 128))
    guest.dirty.enable()
    clock.now = 5.0
    assert guest.dirty.clean() == sets.NONE
    guest.resume()
    guest.dirty.clean()
    clock.now = 5.25
    assert guest.dirty.peek().bit_count() == guest.dirty.clean().bit_count() == 32
    clock.now = 5.375
    guest.pause()
    clock.now = 50.0
    guest.pause()
    guest.advance(3.0)
    written = guest.dirty.clean() & ~sets.run(0, FIRST) & sets.run(0, FIRST + 50)
    assert written == sets.run(FIRST + 32, 16)
    assert guest.broken() == []
    guest.dirty.disable()
    assert guest.dirty.peek() == sets.NONE
    guest.close()
    guest.resume()
    assert not guest.running
    guest.close()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(LOCALITIES)),
    st.integers(2, 80),
    st.lists(st.floats(0, 0.2), max_size=5),
    st.integers(0, 79),
    st.sampled_from((-1, 1, 5)),
)
def test_a_lost_or_repeated_page_shows(locality: str, pages: int, steps: list[float], which: int, by: int) -> None:
    """All writes, and only those, are what is logged; a page that is older or newer than it has to be is named."""
    guest = _made("hvm")
    try:
        guest.boot(Workload.of(pages, 400, locality))
        guest.resume()
        guest.dirty.enable()
        for step in steps:
            before = [bytes(guest.memory[at : at + 16]) for at in range(0, _PAGES * PAGE, PAGE)]
            guest.dirty.clean()
            guest.advance(step)
            after = [bytes(guest.memory[at : at + 16]) for at in range(0, _PAGES * PAGE, PAGE)]
            changed = [frame for frame in range(_PAGES) if before[frame] != after[frame]]
            assert sets.of(changed, _PAGES) == guest.dirty.peek()
        guest.pause()
        assert guest.broken() == []
        at = (FIRST + which % pages) * PAGE
        count = int.from_bytes(guest.memory[at : at + 8], "little")
        guest.memory[at : at + 8] = max(count + by, 0).to_bytes(8, "little")
        assert bool(guest.broken()) is (count + by >= 0 or count > 0)
    finally:
        guest.close()


def test_a_large_guest_takes_what_it_writes(closing: list[Model]) -> None:
    """64 GiB, of which little is written: asking what is dirty or has contents takes milliseconds, and no memory."""
    pages = (64 << 30) // PAGE
    guest = _made("hvm", pages)
    closing.append(guest)
    guest.boot(Workload((Loop(pages - 3000, 2000, 1, 1024.0),)))
    guest.dirty.enable()
    guest.resume()
    guest.advance(1 / 8)
    times = []
    for _ in range(5):
        guest.advance(1 / 32)
        begin = time.perf_counter()
        assert guest.dirty.clean().bit_count() in (32, 160)
        assert guest.populated().bit_count() <= 1 + 128 + 5 * 32
        times.append(time.perf_counter() - begin)
    guest.pause()

    assert min(times) < 0.05
    assert guest.broken() == []


@pytest.mark.parametrize("kind", _TYPES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_states_that_are_wrong_are_refused(kind: str, data: st.DataObject) -> None:
    """Whatever comes as a state, it is taken over or refused in words, and the guest can be asked and closed then."""
    guest, other = _run(_made(kind, host=1)), _made(kind, host=2)
    try:
        _loaded(_image(guest), other)
        records = [(part.name, part.body("<")) for part in (*guest.static(), *guest.state())]
        number = data.draw(st.integers(0, len(records) - 1))
        name, body = records[number]
        how = data.draw(st.sampled_from(("cut", "leave out", "change", "more", "rename")))
        if how == "leave out":
            del records[number]
        elif how == "rename":
            records[number] = (
                data.draw(st.sampled_from(("TOOLSTACK", "HVM_CONTEXT", "SHARED_INFO", "X86_PV_INFO"))),
                body,
            )
        else:
            at = data.draw(st.integers(0, max(len(body) - 1, 0)))
            some = data.draw(st.binary(min_size=1, max_size=9))
            changed = body[:at] + some + body[at + len(some) :]
            records[number] = name, {"cut": body[:at], "change": changed, "more": body + some}[how]
        refused = None
        try:
            other.load(records)
        except GuestError as error:
            refused = error
        if refused is not None:
            assert str(refused)
        else:
            assert other.digest()
            assert isinstance(other.broken(), list)
    finally:
        guest.close()
        other.close()


def test_vcpus_that_name_other_pages(closing: list[Model]) -> None:
    """A top page table that did not come as one, and a frame of the guest's own that is a table, are refused."""
    guest, other = _run(_made("pv", host=1)), _made("pv", host=2)
    closing += [guest, other]
    _loaded(_image(guest), other)
    records = [(part.name, part.body("<")) for part in (*guest.static(), *guest.state())]
    layout = Layout.of(_PAGES)
    for frame, kind, due in (
        (layout.level_4, 0, "level 4"),
        (layout.gdt, 1, "ordinary"),
        (layout.start, 15, "ordinary"),
    ):
        before = other.types()
        assert before is not None
        kept = before[frame]
        other.accept(frame, [kind], bytes(PAGE) if kind != 15 else b"")  # type: ignore[attr-defined] # a PV guest's
        with pytest.raises(GuestError, match=due):
            other.load(records)
        other.accept(frame, [kept], guest.contents(frame, 1))  # type: ignore[attr-defined] # likewise
    other.load(records)
    assert other.digest() == guest.digest()


def test_memory_that_says_what_cannot_be(closing: list[Model]) -> None:
    """The frame that says what a guest does comes from elsewhere: loops beyond memory are refused, as are none."""
    for loop in (
        Loop(FIRST, _PAGES, 1, 1.0),
        Loop(0, 4, 1, 1.0),
        Loop(FIRST, 0, 1, 1.0),
        Loop(FIRST, 4, 2, 1.0),
        Loop(FIRST, 4, 1, float("nan")),
        Loop(FIRST, 4, 1, -1.0),
        Loop(FIRST, 4, 0, 1.0),
    ):
        guest = _made("hvm")
        closing.append(guest)
        guest.memory[:PAGE] = Workload((loop,)).page()
        with pytest.raises(GuestError, match="a workload writes"):
            guest.load([(part.name, part.body("<")) for part in guest.state()])
    page = bytearray(Workload.of(4, 1.0).page())
    page[8] = 3
    with pytest.raises(GuestError, match="loops"):
        Workload.read(bytes(page), _PAGES)
    assert Workload.read(bytes(PAGE), _PAGES) == Workload()


@pytest.mark.parametrize(
    ("pages", "kind", "vcpus", "words"),
    [
        (16, "hvm", 1, "more than 16 pages"),
        (60, "pv", 1, "needs more pages"),
        (400, "arm", 1, "hvm or pv"),
        (400, "hvm", 0, "vcpus"),
        (400, "pv", 9, "vcpus"),
    ],
)
def test_guests_that_cannot_be(pages: int, kind: str, vcpus: int, words: str) -> None:
    """It says why."""
    with pytest.raises(GuestError, match=words):
        model(pages, kind, vcpus=vcpus)


@settings(max_examples=60)
@given(st.integers(1, 4), st.lists(st.integers(0, (1 << 64) - 1), max_size=12), st.integers(70, 5000))
def test_page_tables_come_back(level: int, words: list[int], pages: int) -> None:
    """A table that goes to another host leads to the same frames there; what is not present stays as it is."""
    here, there = Host(pages, 1), Host(pages, 2)
    frame_bits = ((1 << 40) - 1) << 12
    entries = [
        word & ~frame_bits & ~0x80 | here.machine((word >> 12) % pages) << 12 if word & 1 else word for word in words
    ]
    page = b"".join(entry.to_bytes(8, "little") for entry in entries).ljust(PAGE, b"\0")

    saved = normalised(page, level, here)
    assert saved is not None
    arrived = localised(saved, level, there, pages)

    assert normalised(arrived, level, there) == saved
    for entry, own, moved in zip(entries, memoryview(saved).cast("Q"), memoryview(arrived).cast("Q"), strict=False):
        if entry & 1:
            assert own & ~frame_bits == moved & ~frame_bits == entry & ~frame_bits
            assert (
                here.frame((entry & frame_bits) >> 12)
                == (own & frame_bits) >> 12
                == there.frame((moved & frame_bits) >> 12)
            )
        else:
            assert entry == own == moved


def test_page_tables_that_cannot_go() -> None:
    """An entry for another's frame waits; one of a large page is an error, as is one beyond the guest that comes."""
    host = Host(100, 1)

    def table(entry: int, slot: int = 3) -> bytes:
        return entry.to_bytes(8, "little").rjust(8 * slot + 8, b"\0").ljust(PAGE, b"\0")

    assert normalised(table(host.foreign << 12 | 1), 1, host) is None
    assert normalised(table(host.foreign << 12 | 1, XENS[0]), 4, host) == bytes(PAGE)
    with pytest.raises(GuestError, match="large"):
        normalised(table(host.machine(5) << 12 | 0x81), 2, host)
    for level, entry in ((1, 100 << 12 | 1), (2, 5 << 12 | 0x81), (3, (1 << 39) << 12 | 1)):
        with pytest.raises(GuestError, match="frame"):
            localised(table(entry), level, host, 100)
    assert [host.frame(host.machine(frame)) for frame in range(100)] == list(range(100))
    assert host.list(90, 10) + host.list(0, 90) == b"".join(
        host.machine(frame).to_bytes(8, "little") for frame in (*range(90, 100), *range(90))
    )
