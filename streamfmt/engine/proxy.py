"""A proxy between two ends of a migration, which does to the link what may happen to links.

Bytes go on as they came, in order; what may happen is that the link is cut or stalls at a place in the stream, that it
is slow, that bytes come in crumbs, and that two crumbs change places.  An end that one side says is said to the other;
an error is an error there.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..codec.content import Buffer
from ..errors import LinkError
from ..reader.events import Sink
from .interface import End
from .pace import Pace
from .places import Finder, Passing, Place
from .transport.sockets import SocketEnd
from .waiting import READ, WRITE, Waiter

# Bytes that are on their way through one direction, at most.
_HELD = 256 << 10
# Sizes of crumbs: odd ones, so that every header is cut somewhere; and how long some of them wait, in seconds.
_SIZES = (1, 2, 3, 7, 8, 9, 61, 1000, 4095, 4097, 20_001, 65_537)
_DELAY, _DELAYED = 0.002, 0.1
# Bytes of each of two crumbs that change places, where so many come.
_SWAPPED = 61
# Bytes of a record's header, at most: what is held back until it can be read, where a place in a record is looked for.
_HEADER = 64
# Seconds that one side's last words may take to the other after the link has failed.
_PARTING, _UNSENT = 1.0, 0.2
_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to one direction.  A stall lasts for `seconds`, or for ever; `speed` is in bytes a second."""

    cut: Place | None = None
    stall: Place | None = None
    seconds: float | None = None
    speed: float = 0.0
    crumbs: bool = False
    swap: Place | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for place in (self.cut, self.stall, self.swap) if place is not None)


NONE = Faults()


@dataclass(slots=True)
class Passed:
    """What went through one direction; `ended` is whether its sender said that it has finished."""

    bytes: int = 0
    pieces: int = 0
    first: float | None = None  # seconds from the beginning to the first byte
    last: float | None = None
    stalled: float | None = None  # seconds from the beginning to the stall
    swapped: float | None = None  # likewise, to when two crumbs changed places
    ended: bool = False
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(slots=True)
class Result:
    """How it ended: of both directions what passed, and what cut the link, in words, if something did."""

    forward: Passed = field(default_factory=Passed)
    back: Passed = field(default_factory=Passed)
    cut: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "forward": self.forward.as_dict(),
            "back": self.back.as_dict(),
            "cut": self.cut or None,
            "seconds": self.seconds,
        }


class Direction:
    """One direction of the link.

    :param sink: who reads what goes on, None for nobody; `form` is what it is read as.
    :param record: takes the bytes that went on.
    """

    def __init__(
        self,
        faults: Faults = NONE,
        sink: Sink | None = None,
        form: str = "auto",
        record: Callable[[Buffer], object] | None = None,
        seed: int = 0,
    ) -> None:
        self.faults = faults
        self.finder = Finder(faults.places)
        # Places are looked for in what has come, before it goes on.
        self.coming = None if self.finder.done else Passing(self.finder, form)
        self.passing = None if sink is None else Passing(sink, form)
        self.record = record
        self.rng = Random(seed)


class Proxy:
    """Carries bytes between two ends, which it closes when it is done.

    :param reset: whether a cut looks to both sides as if the other had crashed, where the link has that.
    """

    def __init__(
        self, left: End, right: End, forward: Direction, back: Direction, waiter: Waiter, reset: bool = False
    ) -> None:
        self.result = Result()
        self._waiter = waiter
        self._reset = reset
        self._ends = left, right
        self._began = waiter.clock()
        self._ways = (
            _Way(left, right, forward, self.result.forward, waiter, self._began),
            _Way(right, left, back, self.result.back, waiter, self._began),
        )

    def run(self) -> Result:
        """Until both directions have ended, or the link is cut, or fails."""
        failed = False
        until: float | None = None
        try:
            while not all(way.over for way in self._ways):
                moved = [way.step() for way in self._ways]
                if cut := next((way for way in self._ways if way.cut), None):
                    self.result.cut = f"at {cut.direction.faults.cut}, after {cut.passed.bytes:,} bytes"
                    failed = self._reset
                    break
                if any(way.abandoned for way in self._ways) and any(way.over for way in self._ways):
                    failed = self._reset
                    break
                if any(way.passed.error for way in self._ways):
                    # What the other side said last still goes through, for a moment.
                    failed = True
                    until = self._waiter.clock() + _PARTING if until is None else until
                    if self._waiter.clock() >= until or all(way.over or way.resting for way in self._ways):
                        break
                if not any(moved):
                    self._wait(until)
        finally:
            for way in self._ways:
                way.end()
            for end in self._ends:
                if failed:
                    _break(end, self._waiter)
                end.close()
        self.result.seconds = self._waiter.clock() - self._began
        return self.result

    def _wait(self, until: float | None) -> None:
        """Until one of the directions can go on."""
        wanted: dict[int, int] = {}
        moments = [] if until is None else [until]
        for way in self._ways:
            descriptor, events, moment = way.waits()
            if descriptor >= 0:
                wanted[descriptor] = wanted.get(descriptor, 0) | events
            if moment is not None:
                moments.append(moment)
        try:
            for descriptor, events in wanted.items():
                self._waiter.serve(descriptor, events, _nothing)
            self._waiter.step(min(moments, default=None))
        finally:
            for descriptor in wanted:
                self._waiter.drop(descriptor)


def _nothing() -> None:
    """What is ready is looked at afterwards."""


def _break(end: End, waiter: Waiter) -> None:
    """Have the other side see that the link broke, not that it ended, if it is a TCP connection.

    A reset drops what has not been acknowledged, so what was said before gets a moment.
    """
    if not isinstance(end, SocketEnd) or end.socket.family == socket.AF_UNIX:
        return
    until = waiter.clock() + _UNSENT
    try:
        while int.from_bytes(fcntl.ioctl(end.socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            if waiter.clock() >= until:
                break
            waiter.sleep(waiter.clock() + 0.005)
        end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    except OSError:
        pass  # it broke by itself


class _Way:
    """One direction at work: what has come and not gone on is in `_held`."""

    def __init__(
        self, source: End, target: End, direction: Direction, passed: Passed, waiter: Waiter, began: float
    ) -> None:
        self.direction = direction
        self.passed = passed
        self.cut = False
        self.over = False  # all has gone on, and the target knows that nothing more comes
        self.abandoned = False  # it stalls for ever, and its source has finished, or gone
        self.resting = False  # it waits for its source, and has nothing
        self._source, self._target = source, target
        self._clock, self._began = waiter.clock, began
        self._pace = Pace(direction.faults.speed, waiter.clock)
        self._room = memoryview(bytearray(_HELD))
        self._held = self._room[:0]
        self._back = 0  # bytes of `_held` that wait for the rest of a header
        self._at_end = False
        self._blocked = False  # the target takes nothing
        self._until: float | None = None  # it does nothing before this moment
        self._crumb = 0
        self._watch: select.epoll | None = None  # readable once the source has gone

    def step(self) -> bool:
        """Do what can be done now; whether anything was."""
        self.resting = self._blocked = False
        if self.over:
            return False
        if self._until is not None and self._clock() < self._until:
            return self._look()
        self._until = None
        self._forget()
        if self._due(self.direction.faults.stall) and self.passed.stalled is None:
            self.passed.stalled = self._clock() - self._began
            seconds = self.direction.faults.seconds
            self._until = float("inf") if seconds is None else self._clock() + seconds
            if seconds is None:
                self._watch = select.epoll()
                self._watch.register(self._source.fileno(), select.EPOLLRDHUP)
            return False
        if self._due(self.direction.faults.cut):
            self.cut = self.over = True
            return True
        try:
            if self._due(self.direction.faults.swap) and self.passed.swapped is None and not self._swap():
                return not self.resting
            return self._give() if len(self._held) > self._back else self._take()
        except LinkError as error:
            self.passed.error = str(error)
            self.over = True
            return True

    def _look(self) -> bool:
        """While this stalls for ever: see whether the source has gone, as nobody else does; whether that is new."""
        if self.abandoned or self._watch is None or not self._watch.poll(0):
            return False
        self.abandoned = True
        return True

    def _due(self, place: Place | None) -> bool:
        return place is not None and self.direction.finder.found.get(place, self.passed.bytes + 1) <= self.passed.bytes

    def _swap(self) -> bool:
        """Have the next two crumbs change places; False if more of them may come first."""
        if len(self._held) < 2 * _SWAPPED and not self._at_end and self._take():
            return False
        size = min(_SWAPPED, len(self._held) // 2)
        if size:
            self.passed.swapped = self._clock() - self._began
            self._held[: 2 * size] = bytes(self._held[size : 2 * size]) + bytes(self._held[:size])
        return bool(size) or self._at_end

    def _take(self) -> bool:
        """Read some, and have it looked at."""
        if self._at_end:
            self._target.finish()
            self.over = self.passed.ended = True
            return True
        kept = len(self._held)
        self._room[:kept] = bytes(self._held)
        try:
            got = self._source.receive_into(self._room[kept:])
        except BlockingIOError:
            self.resting = True
            return False
        self._held = self._room[: kept + got]
        self._at_end = not got
        self._back = 0
        coming, finder = self.direction.coming, self.direction.finder
        if coming is not None and got:
            coming.see(self._room[kept : kept + got])
            if not finder.done and finder.open and coming.waiting < _HEADER:
                self._back = min(coming.waiting, len(self._held))
        return True

    def _give(self) -> bool:
        """Send some on, as much as what is to happen lets through."""
        count = len(self._held) - self._back
        for place in self.direction.faults.places:
            at = self.direction.finder.found.get(place)
            if at is not None and at > self.passed.bytes:
                count = min(count, at - self.passed.bytes)
        if self.direction.faults.crumbs:
            self._crumb = self._crumb or self.direction.rng.choice(_SIZES)
            count = min(count, self._crumb)
        room = self._pace.room
        if room is not None and room < count:
            enough = min(count, int(self._pace.limit * 0.005) + 1)
            if room < enough:
                self._until = self._pace.moment(enough)
                return False
            count = room
        some = self._held[:count]
        try:
            went = self._target.send([some])
        except BlockingIOError:
            self._blocked = True
            return False
        self._gone(some[:went])
        return True

    def _gone(self, some: memoryview) -> None:
        now = self._clock() - self._began
        self.passed.first = now if self.passed.first is None else self.passed.first
        self.passed.last = now
        self.passed.bytes += len(some)
        self.passed.pieces += 1
        self._pace.took(len(some))
        self._crumb = 0
        if self.direction.faults.crumbs and self.direction.rng.random() < _DELAYED:
            self._until = self._clock() + self.direction.rng.random() * _DELAY
        if self.direction.record is not None:
            self.direction.record(some)
        if self.direction.passing is not None:
            self.direction.passing.see(some)
        self._held = self._held[len(some) :]

    def waits(self) -> tuple[int, int, float | None]:
        """A descriptor, -1 for none, events and a moment: what it waits for."""
        if self.over:
            return -1, 0, None
        if self._until is not None:
            watched = -1 if self._watch is None or self.abandoned else self._watch.fileno()
            return watched, READ, None if self._until == float("inf") else self._until
        return (self._target.output(), WRITE, None) if self._blocked else (self._source.fileno(), READ, None)

    def end(self) -> None:
        """Nothing more goes through: let the reader judge what did."""
        self._forget()
        if self.direction.passing is not None:
            self.direction.passing.end()

    def _forget(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
