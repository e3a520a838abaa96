"""A limit of speed is kept over any second, from above and from below, whatever is asked for when."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.flow import Output
from ..engine.pace import Pace
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter

_TOLERANCE = 1.05


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _sent_within(sent: list[tuple[float, int]], begin: float, seconds: float = 1.0) -> int:
    return sum(count for moment, count in sent if begin <= moment < begin + seconds)


@settings(max_examples=60)
@given(
    st.integers(200_000, 1 << 30),
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 1 << 20)), min_size=10, max_size=80),
)
def test_never_more_than_the_limit(limit: int, steps: list[tuple[float, int]]) -> None:
    """However long nothing went before, and whatever is wanted, no second has more than its share and a twentieth."""
    clock = Clock()
    pace = Pace(limit, clock)
    sent: list[tuple[float, int]] = []
    for waited, wanted in steps:
        clock.now += waited
        count = min(wanted, pace.room or 0)
        pace.took(count)
        sent.append((clock.now, count))

    assert all(_sent_within(sent, moment) <= limit * _TOLERANCE + 1 for moment, _ in sent)


@settings(max_examples=15)
@given(st.integers(200_000, 1 << 30), st.integers(1, 16 << 10), st.lists(st.floats(0, 0.015), min_size=1, max_size=9))
def test_never_less_where_there_is_enough(limit: int, wanted: int, late: list[float]) -> None:
    """A sender that waits for the moment it is given, and is late by up to 15 ms, sends the limit in any second.

    It sends pieces of up to a hundredth of that: a second may be one short of them.
    """
    wanted = min(wanted, limit // 100)
    clock = Clock()
    pace = Pace(limit, clock)
    pace.took(pace.room or 0)
    sent: list[tuple[float, int]] = []
    begin = clock.now
    while clock.now < begin + 1.6 and len(sent) < 600:
        moment = pace.moment(wanted)
        assert moment <= clock.now + (max(wanted, 4096) + 1) / limit
        clock.now = max(clock.now, moment) + late[len(sent) % len(late)] + 1e-7
        room = pace.room
        assert room is not None
        assert room >= min(wanted, 2048)
        pace.took(room)
        sent.append((clock.now, room))

    whole = [moment for moment, _ in sent if moment <= clock.now - 1.0]
    assert all(_sent_within(sent, moment) >= limit * 0.95 for moment in whole)


def test_what_was_too_much_is_waited_for() -> None:
    """A record that is longer than what may go at once is paid for afterwards."""
    clock = Clock()
    pace = Pace(1_000_000, clock)

    pace.took(1_040_000)

    assert pace.room == 0
    assert abs(pace.moment(1) - clock.now - 1.0) < 1e-4


def _room(pace: Pace) -> int | None:
    return pace.room


def test_limits_change_while_it_runs() -> None:
    """A new limit holds from then on; none is no limit, and what a higher one had left does not outlast it."""
    clock = Clock()
    pace = Pace(100_000_000, clock)
    clock.now += 10
    assert _room(pace) == 4_000_000
    pace.limit = 1_000_000
    assert _room(pace) == 40_000
    pace.took(40_000)
    pace.limit = 10_000_000
    clock.now += 0.001
    assert _room(pace) == 10_000
    pace.limit = 0
    pace.took(1 << 40)
    assert (_room(pace), pace.moment(1 << 40)) == (None, clock.now)


@settings(max_examples=30)
@given(st.sampled_from([1_000, 10_000, 60_000, 100_000, 400_000]), st.integers(1, 1 << 20))
def test_low_limits_are_kept_too(limit: int, size: int) -> None:
    """Less goes at once than is worth a call otherwise, but it goes; and who is to be asked meanwhile is."""
    clock, asked = Clock(), [0]

    class Sleeping(Waiter):
        def sleep(self, moment: float) -> None:
            clock.now = max(moment, clock.now)

    def ask() -> None:
        asked[0] += 1
        assert asked[0] < 200 + 200 * size / limit

    here, there = socket.socketpair()
    waiter = Sleeping(clock)
    with here, there, closing(waiter):
        here.setblocking(False)
        reader = threading.Thread(target=lambda: _read(there, size))
        reader.start()
        output = Output(SocketEnd(here, "here"), waiter, pace=Pace(limit, clock), check=ask)
        began = clock.now
        output.put([bytes(size)])
        output.flush()
        reader.join()

    assert output.sent == size
    assert clock.now - began >= (size - Pace(limit, clock).most) / limit - 0.1


def _read(sock: socket.socket, size: int) -> None:
    while size > 0 and (data := sock.recv(1 << 16)):
        size -= len(data)
