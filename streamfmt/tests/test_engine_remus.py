"""Remus: whatever ends it, at whatever byte, the standby has the last whole checkpoint or nothing; and no output that
was seen is undone.

More cases: ``STREAMFMT_HYPOTHESIS=thorough python -m pytest streamfmt/tests/test_engine_remus.py``.
"""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .. import verify
from ..engine.checkpointing import witness as witnesses
from ..engine.checkpointing.devices import Devices
from ..engine.checkpointing.epochs import KEPT, Epoch, Epochs
from ..engine.checkpointing.primary import ACKNOWLEDGEMENT, Remus, RemusPrimary, protect
from ..engine.configuration import Configuration
from ..engine.framing_xen import PAGE
from ..engine.handshake import GREETING
from ..engine.interface import Guest
from ..engine.migrate import Asked, Taking
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import (
    CancelledError,
    GuestError,
    LateError,
    LinkError,
    MigrationError,
    OversizeError,
    PeerError,
    TakenOverError,
)
from ..render import checkpointing as rendered
from ..schema import checkpointing as tables
from ..schema.transitions import faults
from ..writer.part import record
from .support.moving import PAGES, another, way, working
from .support.protecting import QUICK, SHORT, Protected, Seen, pair, protected, replayed

_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", tables.CHECKPOINTING, ids=lambda machine: machine.name)
def test_tables_are_sound(machine: Any) -> None:
    """Every name is explained and used, and each state leads to an end when something fails and goes on failing."""
    assert faults(machine) == []
    for state in machine.states:
        reached = state
        for _ in range(3):
            _, reached = machine.step(reached, "failed")
        assert reached in machine.ends


def test_only_one_side_may_run_it() -> None:
    """A standby is nobody's guest before it claims, and the primary's copy is none after it has yielded."""
    assert tables.REMUS_STANDBY.owners["standing by"] == tables.REMUS_PRIMARY.owners["sending"] == "source"
    assert tables.REMUS_STANDBY.owners["running"] == tables.REMUS_PRIMARY.owners["taken over"] == "destination"


def test_the_document_is_current() -> None:
    """docs/remus-states.md is what `make generate` writes."""
    assert Path(rendered.TARGET).read_text() == rendered.text()


# -- a protection that goes well --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good() -> Iterator[Protected]:
    found = protected()
    yield found
    found.close()


def test_the_guest_goes_on_at_the_standby(good: Protected) -> None:
    """With the state of the last checkpoint, while the copy at the primary stands."""
    assert isinstance(good.errors.pop("primary"), TakenOverError)
    assert good.errors == {}
    assert (good.primary.machine.state, good.standby.machine.state) == ("taken over", "running")
    assert good.arrived.running
    assert not good.guest.running
    assert good.digest == good.digests.digests[-1]
    assert len({*good.digests.digests}) == good.standby.count == good.primary.epochs.count == 4


def test_its_stream_conforms(good: Protected) -> None:
    """By the rules for Remus, as what it is: a stream that has broken off after a checkpoint."""
    outcome = verify(io.BytesIO(good.stream), mode="remus")

    assert [finding.clause for finding in outcome.findings if finding.severity == "error"] == []


def test_output_leaves_after_its_checkpoint(good: Protected) -> None:
    """Each packet was seen, in order, and only once its checkpoint was acknowledged."""
    assert good.seen.given == good.seen.taken[: len(good.seen.given)]
    assert len(good.seen.given) == 4
    assert all(row.held == 8 for row in good.primary.epochs)


def test_figures(good: Protected) -> None:
    """Those of each checkpoint, and of all."""
    rows = list(good.primary.epochs)
    figures = good.primary.epochs.figures()

    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert rows[0].frames == 0
    assert all(0 < row.frames <= 33 for row in rows[1:])
    assert all(0 < row.stood <= row.latency for row in rows)
    assert figures["checkpoints"] == 4
    assert figures["sent"] == sum(row.sent for row in rows)
    assert [event["number"] for event in good.events["primary"] if event["event"] == "checkpoint"] == [0, 1, 2, 3]


def test_memory_of_the_standby_is_that_of_one_checkpoint(good: Protected) -> None:
    """What waits is one checkpoint's pages, their numbers, and a header for each record."""
    most = max(row.frames for row in good.primary.epochs)

    assert 0 < good.standby.held <= most * (PAGE + 8) + 64


def test_a_pv_guest() -> None:
    """PV guests too, which have no device model."""
    found = protected(working("pv"))

    assert found.digest == found.digests.digests[-1]
    assert found.arrived.running
    found.close()


def test_a_guest_that_stands() -> None:
    """One that does not run is protected as it is, and does not run over there either."""
    guest = working()
    guest.pause()
    found = protected(guest)

    assert found.digest == found.digests.digests[0]
    assert not found.arrived.running
    found.close()


def test_figures_of_many_checkpoints_take_no_more_room() -> None:
    """Sums go on; the last rows are kept."""
    epochs = Epochs()
    for number in range(KEPT + 10):
        epochs.add(Epoch(number, 2, 100, 0.5, 1.0, number))

    assert len([*epochs]) == KEPT
    assert (epochs.count, epochs.frames, epochs.most_held) == (KEPT + 10, 2 * (KEPT + 10), KEPT + 9)
    assert epochs.medians()["latency"] == 1.0
    assert epochs.last is not None
    assert epochs.last.number == KEPT + 9


# -- the primary dies, at any byte ------------------------------------------------------------------------------------


@settings(max_examples=3000 if _THOROUGH else 30)
@given(data=st.data())
def test_wherever_the_stream_ends(good: Protected, data: st.DataObject) -> None:
    """The standby has the last checkpoint that it got whole, sound and equal; before the first, it has nothing."""
    ends = good.digests.ends
    at = data.draw(
        st.integers(0, len(good.stream)) | st.sampled_from([each + some for each in ends for some in (-1, 0)])
    )
    digests: list[str] = []
    standby, guest, error = replayed(good.stream[:at], taking=Taking(inspect=lambda it: digests.append(it.digest())))
    whole = sum(end <= at for end in ends)

    assert standby.count == whole
    if not whole:
        assert guest is None
        assert isinstance(error, LinkError)
        return
    assert error is None
    assert guest.running
    assert digests == [good.digests.digests[whole - 1]]
    # Nothing was seen that this guest has not done, nor could have been.
    guest.pause()
    assert all(number <= guest.done for number in good.seen.taken[:whole])
    assert guest.broken() == []
    guest.close()


def test_silence_is_not_waited_for(good: Protected) -> None:
    """A primary that says nothing any more has gone, as far as anybody can tell."""
    standby, guest, _ = replayed(good.stream[: good.digests.ends[1]], patience=SHORT, stays=True)

    assert isinstance(standby.lost, LateError)
    assert guest.running
    guest.close()
    standby, guest, error = replayed(good.stream[: good.digests.ends[0] - 1], patience=SHORT, stays=True)
    assert (guest, standby.machine.state) == (None, "ended")
    assert isinstance(error, LateError)


# -- each cell of the table of outcomes -------------------------------------------------------------------------------

_PFN_BEYOND = record(
    "libxc.PAGE_DATA", (1).to_bytes(4, "little") + bytes(4) + (1 << 30).to_bytes(8, "little") + bytes(PAGE)
)


def _bytes(part: Any) -> bytes:
    return b"".join(part.buffers("<"))


def _refusing(image: str, config: Configuration) -> Guest:
    """A guest whose state cannot be had."""
    guest = another(image, config)

    def refuse(_: Any) -> None:
        raise GuestError("it is not taken")

    setattr(guest, "load", refuse)  # noqa: B010 - a fault
    return guest


def _tail(stream: bytes, end: int) -> int:
    """Where the tail of a checkpoint begins that ends there; pages may have the same bytes as its mark."""
    mark = _bytes(record("libxc.CHECKPOINT"))
    return stream.rindex(mark, 0, end) + len(mark)


_MANDATORY = (0x7FFFFF).to_bytes(4, "little") + bytes(4)
_HUGE = (1).to_bytes(4, "little") + b"\xff\xff\xff\x7f"
_LIBXC_END = bytes(8)


def _reached(good: Protected, place: str, event: str) -> tuple[bytes, Any]:
    """A stream in which that happens there, and what makes guests; empty where it cannot."""
    first, second = good.digests.ends[:2]
    stream = good.stream
    early = stream.index(_bytes(record("libxc.STATIC_DATA_END")))
    at = {
        "initial": early,
        "first tail": _tail(stream, first),
        "records": first,
        "tail": _tail(stream, second),
    }.get(place)
    if at is not None:
        after = {tables.LOST: b"", tables.WITHDRAWN: _LIBXC_END, tables.BROKEN: _MANDATORY}
        return (
            (stream[:at] + after[event] + stream[at:] * bool(after[event]), another) if event in after else (b"", None)
        )
    if event != tables.BROKEN:
        return b"", None  # nothing is read there
    if place == "first applying":
        return stream, _refusing
    return stream[:first] + _bytes(_PFN_BEYOND) + stream[first:second], another


@pytest.mark.parametrize(("place", "event"), sorted(product(tables.PLACES, tables.EVENTS)))
def test_outcomes(good: Protected, place: str, event: str) -> None:
    """What the table says comes of it, where it can happen at all."""
    stream, make = _reached(good, place, event)
    if not stream:
        assert event == tables.CANCELLED or place.endswith("applying")
        return
    digests: list[str] = []
    taking = Taking(inspect=lambda it: digests.append(it.digest()))
    standby, guest, error = replayed(stream, make=make, taking=taking)

    assert standby._restorer is not None
    assert standby._restorer.place == place
    assert (guest is not None) == (tables.OUTCOMES[place, event] == tables.TAKES_OVER)
    if guest is None:
        assert isinstance(error, MigrationError)
    else:
        assert digests == [good.digests.digests[0]]
        guest.close()


def test_a_record_too_long_is_as_if_the_link_had_failed(good: Protected) -> None:
    """Its length is not believed, and the last checkpoint is what is left."""
    first = good.digests.ends[0]
    standby, guest, _ = replayed(good.stream[:first] + _HUGE + bytes(100))

    assert "claims" in str(standby.lost)
    guest.close()


def test_a_checkpoint_larger_than_any_is(good: Protected) -> None:
    """What waits is bounded: the guest's memory twice, and a little; then it is as if the link had failed."""
    first, second = good.digests.ends[:2]
    pages = good.stream[first : _tail(good.stream, second)]
    pages = pages[: 8 + int.from_bytes(pages[4:8], "little")]
    assert pages[:4] == (1).to_bytes(4, "little")
    times = ((2 * PAGES * PAGE + (16 << 20)) // len(pages)) + 1
    standby, guest, _ = replayed(good.stream[:first] + pages * times)

    assert isinstance(standby.lost, OversizeError)
    guest.close()


def test_a_standby_that_is_cancelled(good: Protected) -> None:
    """Its caller wants the end, with a checkpoint or without: there is no guest."""

    class Cancels:
        def see(self, buffers: Any) -> None:
            raise CancelledError("enough")

    here, there = pair()
    waiter = Waiter()
    from ..engine.checkpointing.standby import stand_by

    here.setblocking(True)
    thread = threading.Thread(target=lambda: here.sendall(good.stream[:5000]))
    thread.start()
    with pytest.raises(CancelledError):
        stand_by(SocketEnd(there, "there"), another, asked=Asked(waiter, QUICK, watcher=Cancels()))
    thread.join(5)
    for each in (here, there, waiter):
        each.close()


@settings(max_examples=3000 if _THOROUGH else 15, deadline=None)
@given(data=st.data())
def test_whatever_comes(good: Protected, data: st.DataObject) -> None:
    """Bytes that are changed, lost or come twice: a guest that can run, or an error that says why there is none."""
    ends = (0, *good.digests.ends)
    at = data.draw(
        st.integers(0, len(good.stream) - 1) | st.sampled_from(ends).flatmap(lambda end: st.integers(end, end + 64))
    )
    lost = data.draw(st.sampled_from([0, 1, 8, 4096]))
    put = data.draw(st.binary(max_size=24))
    twice = data.draw(st.sampled_from([0, 8, 200_000]))
    stream = (
        good.stream[:at] + put + good.stream[at - twice : at] * bool(twice and at > twice) + good.stream[at + lost :]
    )
    standby, guest, error = replayed(stream, patience=SHORT)

    assert standby.machine.ended
    if guest is None:
        assert isinstance(error, MigrationError)
        return
    guest.pause()
    guest.digest()
    guest.close()


def test_verdicts_by_clause(good: Protected) -> None:
    """What somebody's primary breaks is named; what it has not come to, too."""
    first = good.digests.ends[0]
    static = _bytes(record("libxc.STATIC_DATA_END"))
    standby, _, _ = replayed(good.stream[:first] + static + good.stream[first:])
    assert standby.verdicts["CKPT-STATIC-ONCE"].startswith(f"error at {first}")
    standby, guest, _ = replayed(good.stream[: first + 10])
    assert set(standby.verdicts.values()) == {"not seen"}
    guest.close()
    standby, guest, _ = replayed(good.stream)
    assert set(standby.verdicts.values()) == {"kept"}
    guest.close()


# -- the standby dies -------------------------------------------------------------------------------------------------


def _against(guest: Any, remus: Remus, standby: Any, patience: Any = QUICK) -> tuple[RemusPrimary, MigrationError]:
    """A primary whose other side is a function on a socket, in a thread."""
    here, there = pair()
    there.setblocking(True)
    there.settimeout(10)
    waiter = Waiter()

    def play() -> None:
        with there:
            try:
                standby(there)
            except OSError:
                pass

    thread = threading.Thread(target=play)
    thread.start()
    primary = RemusPrimary(guest, SocketEnd(here, "here"), way(), remus, Asked(waiter, patience))
    try:
        with pytest.raises(MigrationError) as caught:
            primary.protect()
    finally:
        here.close()
        thread.join(10)
        waiter.close()
    assert not thread.is_alive()
    return primary, caught.value


def _reads(count: int, acknowledged: list[int] = []) -> Any:  # noqa: B006 - never changed
    """A standby that greets, reads so many bytes, acknowledges where a checkpoint ended, and dies."""

    def play(link: socket.socket) -> None:
        link.sendall(GREETING)
        link.settimeout(0.05)  # where it waits for us, it dies as well
        seen, due = 0, list(acknowledged)
        while seen < count:
            data = link.recv(min(count - seen, 1 << 16))
            if not data:
                return
            seen += len(data)
            while due and due[0] <= seen:
                due.pop(0)
                link.sendall(ACKNOWLEDGEMENT)

    return play


@settings(max_examples=500 if _THOROUGH else 12, deadline=None)
@given(at=st.integers(0, 700_000), acknowledged=st.booleans())
@example(at=0, acknowledged=True)
@example(at=10_000_000, acknowledged=False)
def test_the_primary_goes_on(at: int, acknowledged: bool) -> None:
    """Whenever its standby dies: the guest runs, sound; all output of its past has left, in order."""
    guest = working()
    seen = Seen(guest)
    primary, error = _against(guest, Remus(0.0005, acknowledged, Devices([seen.device()]), most=0), _reads(at))

    assert isinstance(error, LinkError)
    assert primary.machine.state == "unprotected"
    assert guest.running
    guest.pause()
    assert guest.broken() == []
    assert seen.given == seen.taken
    assert sorted(seen.given) == seen.given
    guest.close()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"streamfmt: no memory\n", PeerError),
        (b"\0" * 8, PeerError),
        (ACKNOWLEDGEMENT * 2, PeerError),
        (b"", LateError),
    ],
)
def test_a_standby_that_says_something_else(said: bytes, error: type[Exception]) -> None:
    """Refusals, too many acknowledgements, and silence: the guest goes on here."""

    def play(link: socket.socket) -> None:
        link.sendall(GREETING + said)
        while link.recv(1 << 16):
            pass

    guest = working()
    primary, caught = _against(guest, Remus(0.001), play, SHORT)

    assert isinstance(caught, error)
    assert ("it has sent" in primary.verdicts["REMUS-BACK"]) == bool(said)
    assert primary.machine.state == "unprotected"
    assert guest.running
    guest.close()


def test_no_output_before_the_acknowledgement() -> None:
    """A standby that acknowledges nothing sees none of it leave."""
    guest = working()
    seen = Seen(guest)
    given: list[int] = []

    def play(link: socket.socket) -> None:
        link.sendall(GREETING)
        link.settimeout(0.2)
        try:
            while link.recv(1 << 20):
                pass
        except TimeoutError:
            given.extend(seen.given)

    primary, _ = _against(guest, Remus(0.001, devices=Devices([seen.device()])), play)

    assert given == []
    assert primary.epochs.count == 0
    guest.close()


def test_xens_standby_acknowledges_nothing(good: Protected) -> None:
    """Then what went counts as being there; and acknowledgements that come all the same do no harm."""
    found = protected(acknowledged=False)

    assert found.digest == found.digests.digests[-1]
    assert found.primary.epochs.count == 4
    found.close()


@pytest.mark.parametrize("step", ["postsuspend", "preresume", "commit"])
def test_a_device_that_fails(step: str) -> None:
    """The protection ends, and the guest goes on at exactly one side."""
    guest = working()

    class Fails:
        held = 0

        def _nothing(self) -> None:
            pass

        def _fail(self) -> None:
            raise GuestError(f"{step} failed")

    for name in ("postsuspend", "preresume", "commit", "release", "drop"):
        setattr(Fails, name, Fails._fail if name == step else Fails._nothing)
    primary, error = _against(guest, Remus(0.001, False, Devices([Fails()])), _reads(1 << 30))  # type: ignore[list-item]

    assert str(error) == f"{step} failed"
    assert primary.machine.state == "unprotected"
    assert guest.running
    guest.close()


# -- who may go on ----------------------------------------------------------------------------------------------------


def test_a_witness_decides_once(tmp_path: Path) -> None:
    """Whoever comes first has it, and keeps it."""
    witness = witnesses.File(tmp_path / "witness")
    witness.fresh()

    assert witness.claim("standby")
    assert not witness.claim("primary")
    assert witness.claim("standby")
    assert os.listdir(tmp_path) == ["witness"]
    with pytest.raises(LinkError, match="has decided already"):
        witness.fresh()


def test_a_witness_that_many_ask_at_once(tmp_path: Path) -> None:
    """One of them has it."""
    won: list[str] = []
    barrier = threading.Barrier(8)

    def ask(name: str) -> None:
        barrier.wait()
        if witnesses.File(tmp_path / "witness").claim(name):
            won.append(name)

    threads = [threading.Thread(target=ask, args=(f"side{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(won) == 1


class _Cut:
    """A link between two sockets that is cut after some bytes, both ways at once, as a cable is."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0
        self.threads: list[threading.Thread] = []

    def __call__(self, here: socket.socket, there: socket.socket) -> tuple[socket.socket, socket.socket]:
        near, far = pair(), pair()
        for each in (here, there):
            each.close()
        for each in (near[1], far[0]):
            each.setblocking(True)
        for source, target, limit in ((near[1], far[0], self.at), (far[0], near[1], 1 << 60)):
            thread = threading.Thread(target=self._pass, args=(source, target, limit), daemon=True)
            thread.start()
            self.threads.append(thread)
        return near[0], far[1]

    def _pass(self, source: socket.socket, target: socket.socket, limit: int) -> None:
        left = limit
        try:
            while left and (data := source.recv(min(left, 1 << 16))):
                target.sendall(data)
                left -= len(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


@settings(max_examples=500 if _THOROUGH else 10, deadline=None)
@given(at=st.integers(0, 900_000))
@example(at=200_000)
def test_a_link_that_is_cut(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    """With a witness one guest goes on, wherever it was cut; what was seen is of its past."""
    witness = witnesses.File(tmp_path_factory.mktemp("witness") / "it")
    found = protected(between=_Cut(at), witness=witness, most=8)
    runs = [bool(found.arrived and found.arrived.running), found.guest.running]

    assert sum(runs) == 1
    alive = found.arrived if runs[0] else found.guest
    alive.pause()
    assert alive.broken() == []
    assert all(number <= alive.done for number in found.seen.given)
    assert all(earlier <= later for earlier, later in pairwise(found.seen.given))
    assert ("standby" in found.errors) == (not runs[0])
    found.close()


def test_a_witness_out_of_reach(tmp_path: Path, good: Protected) -> None:
    """Then nobody goes on: better none than two."""
    witness = witnesses.File(tmp_path / "none" / "it")
    _, guest, error = replayed(good.stream, witness=witness)
    assert guest is None
    assert isinstance(error, LinkError)

    guest = working()
    primary, _ = _against(guest, Remus(0.001, True, witness=witness), _reads(300_000))
    assert primary.machine.state == "taken over"
    assert not guest.running
    guest.close()


def test_what_ends_it_is_returned() -> None:
    """`protect` gives the reason."""
    here, there = pair()
    there.close()
    guest = working()
    assert isinstance(protect(guest, SocketEnd(here, "here"), way(), Remus()), LinkError)
    assert guest.running
    here.close()
    guest.close()


@pytest.mark.skipif(not _THOROUGH, reason="a hundred thousand checkpoints take minutes: STREAMFMT_HYPOTHESIS=thorough")
def test_a_hundred_thousand_checkpoints_leave_nothing() -> None:
    """Neither memory nor descriptors grow with their number."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    sizes: dict[int, tuple[int, int]] = {}
    here, there = pair()
    waiters = Waiter(), Waiter()
    from ..engine.checkpointing.standby import RemusStandby

    def note() -> None:
        if primary.epochs.count in (10_000, 100_000):
            sizes[primary.epochs.count] = resident(), len(os.listdir("/proc/self/fd"))

    guest = working()
    asked = Asked(waiters[0], QUICK, progress=note)
    primary = RemusPrimary(guest, SocketEnd(here, "here"), way(), Remus(0.0, most=100_000), asked)
    standby = RemusStandby(SocketEnd(there, "there"), another, Taking(), Asked(waiters[1], QUICK))
    arrived: list[Guest] = []
    thread = threading.Thread(target=lambda: arrived.append(standby.stand_by()))
    thread.start()
    with pytest.raises(TakenOverError):
        primary.protect()
    here.close()
    thread.join(20)
    there.close()
    for waiter in waiters:
        waiter.close()
    assert standby.count == 100_000
    assert sizes[100_000][1] == sizes[10_000][1]
    assert sizes[100_000][0] < sizes[10_000][0] + (4 << 20)
    arrived[0].pause()
    assert arrived[0].broken() == []
    for each in (guest, arrived[0]):
        each.close()
