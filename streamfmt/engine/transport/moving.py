"""Moving bytes over the end of a link: all of some buffers, exactly so many, all that comes until the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...codec.content import Buffer
from ...errors import LateError, LinkError
from ..buffers import after, first
from ..interface import End
from ..pace import Pace
from ..waiting import READ, WRITE, Waiter
from .sockets import MANY

# What the other side said last is a line or two, or the fixed messages of a handshake.
_LAST = 4096
# Seconds of a limited speed that are worth a system call.
_WORTH = 0.005


def send_all(
    end: End,
    buffers: Sequence[Buffer],
    waiter: Waiter,
    deadline: float | None = None,
    pace: Pace | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """All bytes of these buffers, at the pace; returns how many they were.  `progress` is given each count that went.

    When the link fails midway, some of them have gone.

    :raises LinkError: the link failed.
    :raises LateError: they have not gone by the deadline, a moment of the clock.
    """
    left = [view for view in map(_flat, buffers) if len(view)]
    sent = at = 0
    while at < len(left):
        room = None if pace is None else pace.room
        if pace is not None and room is not None and room < (enough := int(pace.limit * _WORTH) + 1):
            _await(pace.moment(enough), waiter, deadline)
            continue
        try:
            went = end.send(first(left, at, MANY, room))
        except BlockingIOError:
            waiter.until(end.output(), WRITE, deadline, "the other side takes no more bytes")
            continue
        sent += went
        if pace is not None:
            pace.took(went)
        if progress is not None:
            progress(went)
        at = after(left, at, went)
    return sent


def _flat(buffer: Buffer) -> Buffer:
    return buffer.cast("B") if isinstance(buffer, memoryview) and buffer.format != "B" else buffer


def _await(moment: float, waiter: Waiter, deadline: float | None) -> None:
    if deadline is not None and moment > deadline:
        waiter.sleep(deadline)
        raise LateError("the speed that is allowed is too low for what has to go")
    waiter.sleep(moment)


def receive_some(end: End, view: memoryview, waiter: Waiter, deadline: float | None = None, what: str = "bytes") -> int:
    """Some bytes into `view`, which is not empty; returns how many, 0 at the end of what comes.

    :raises LinkError: the link failed.
    :raises LateError: none has come by the deadline.
    """
    while True:
        try:
            return end.receive_into(view)
        except BlockingIOError:
            waiter.until(end.fileno(), READ, deadline, f"the other side sends nothing: {what} did not come in time")


def receive_exactly(
    end: End, view: memoryview, waiter: Waiter, deadline: float | None = None, what: str = "bytes"
) -> None:
    """As many bytes as `view` holds; `what` they are is said when they do not come.

    :raises LinkError: the link failed, or ended before all had come.
    :raises LateError: not all have come by the deadline.
    """
    got = 0
    while got < len(view):
        count = receive_some(end, view[got:], waiter, deadline, what)
        if not count:
            missing = len(view) - got
            raise LinkError(f"the link has ended, and {missing:,} of {len(view):,} bytes are missing: {what}")
        got += count


def last_words(end: End, waiter: Waiter, seconds: float = 0.2) -> bytes:
    """What the other side said before the link failed: to be shown, or taken for an answer.  It raises nothing."""
    room = memoryview(bytearray(_LAST))
    got = 0
    deadline = waiter.clock() + seconds
    try:
        while got < len(room):
            count = receive_some(end, room[got:], waiter, deadline)
            if not count:
                break
            got += count
    except (LinkError, LateError):
        pass  # that the link failed is known
    return bytes(room[:got])


def part(end: End, waiter: Waiter, seconds: float = 5.0) -> None:
    """Leave in order: say that nothing more comes, wait until the other side has said so too, and close the end.

    To close a socket at once, while bytes that came have not been read, takes back from the other side what it has not
    read.  So the last thing that is said, such as why it ends, arrives.

    :raises LinkError: what was sent cannot be stored, if the end is a file.
    """
    room = memoryview(bytearray(64 << 10))
    deadline = waiter.clock() + seconds
    try:
        end.finish()
        _drain(end, room, waiter, deadline)
    finally:
        end.close()


def _drain(end: End, room: memoryview, waiter: Waiter, deadline: float) -> None:
    try:
        while receive_some(end, room, waiter, deadline) and waiter.clock() < deadline:
            pass
    except (LinkError, LateError):
        pass  # the other side has gone, or does not care
