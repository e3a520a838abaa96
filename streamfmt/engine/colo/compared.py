"""Outputs of both guests, compared: what is equal may be seen, what differs is the reason for a checkpoint.

The primary's packets wait until the secondary has put out the same, or until a checkpoint has made both guests equal
again.  TCP is compared as the bytes of each direction, however they are cut and numbered; of all else one packet is
compared with one (net/colo-compare.c of QEMU, which Xen's COLO uses, goes by the same rules).

Packets go between both sides as on QEMU's socket networks: a length of 4 bytes, most significant first, and a frame.
An empty one says that the secondary's guest was suspended: what follows belongs to the next epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from struct import Struct

from ...errors import LateError, LinkError, PeerError
from ..flow import Output
from ..interface import End
from ..waiting import READ, Waiter

# Ethernet, IPv4 and TCP or UDP: where what is, and the numbers that say so (RFC 894, 791, 9293).
_ETHERNET, _IPV4, _VERSION, _TCP, _UDP = 14, 0x0800, 4, 6, 17
_PROTOCOL, _SOURCE, _ADDRESSES, _PORTS, _OFFSET = 9, 12, 8, 4, 12
# Seconds for which a packet of the primary's waits for another like it (compare_timeout), and bytes that wait.
LIMIT, MOST = 3.0, 1 << 20
_LENGTH = Struct(">I")
_FRAME_MAX, _SOME = 1 << 16, 1 << 16

Flow = tuple[bytes, bool]
Classify = Callable[[bytes], tuple[Flow, bytes]]


def flow(packet: bytes) -> tuple[Flow, bytes]:
    """What a packet belongs to, whether that is a stream of bytes, and what of it is compared."""
    ip = packet[_ETHERNET:]
    ethernet = int.from_bytes(packet[_ETHERNET - 2 : _ETHERNET], "big")
    if ethernet != _IPV4 or len(ip) < 20 or ip[0] >> 4 != _VERSION:
        return (b"", False), packet
    body = ip[(ip[0] & 15) * 4 : int.from_bytes(ip[2:4], "big")]
    key = ip[_PROTOCOL : _PROTOCOL + 1] + ip[_SOURCE : _SOURCE + _ADDRESSES]
    if ip[_PROTOCOL] == _TCP and len(body) >= 20:
        return (key + body[:_PORTS], True), body[(body[_OFFSET] >> 4) * 4 :]
    if ip[_PROTOCOL] == _UDP and len(body) >= 8:
        return (key + body[:_PORTS], False), body[8:]
    return (key, False), body


def console(data: bytes) -> tuple[Flow, bytes]:
    """What a guest writes to a console is one stream."""
    return (b"", True), data


@dataclass(slots=True)
class _Queue:
    """One flow: the primary's packets that wait, and what either side has put out that has no counterpart yet.

    Of each packet that waits `ours` has how much of the flow has to be equal for it to go, and since when it waits.
    """

    packets: deque[tuple[bytes, int, float]] = field(default_factory=deque)
    left: deque[bytes] = field(default_factory=deque)
    right: deque[bytes] = field(default_factory=deque)
    put: int = 0
    equal: int = 0


class Compared:
    """The primary's output device.  `held` is how many bytes wait, `most` the largest such number so far.

    :param take: gives the packets that the guest has put out since it was last asked.
    :param give: takes a packet that may be seen.
    :param limit: for how many seconds one waits for its like.
    :param room: how many bytes may wait.
    :param classify: says of a packet what it is compared with.
    """

    def __init__(
        self,
        take: Callable[[], Iterable[bytes]],
        give: Callable[[bytes], None],
        clock: Callable[[], float],
        limit: float = LIMIT,
        room: int = MOST,
        classify: Classify = flow,
    ) -> None:
        self.held = self.most = 0
        self._take, self._give, self._clock, self._limit, self._room = take, give, clock, limit, room
        self._flow = classify
        self._queues: dict[Flow, _Queue] = {}
        self._closed: list[bytes] = []
        self._differs = ""
        # The secondary's bytes without a counterpart; how many checkpoints after the first each side is beyond; and the
        # secondary's packets after one that is not committed here.
        self._unmatched = 0
        self._epoch, self._their_epoch = -1, 0
        self._ahead: list[bytes] = []

    # -- both guests run ------------------------------------------------------------------------------------------

    def diverged(self) -> str:
        """Why a checkpoint is needed, empty if it is not."""
        self._pull()
        if self._differs:
            return self._differs
        if max(self.held, self._unmatched) > self._room:
            return f"{max(self.held, self._unmatched)} bytes wait to be compared"
        now = self._clock()
        for row in self._queues.values():
            if row.packets and now - row.packets[0][2] > self._limit:
                return f"a packet has had no counterpart for {self._limit:g} seconds"
        return ""

    def theirs(self, packet: bytes) -> None:
        """The secondary's guest has put out this; an empty one says that it was suspended."""
        if not packet:
            self._their_epoch += 1
        elif self._their_epoch > self._epoch:
            self._ahead.append(packet)
        elif self._their_epoch == self._epoch:
            key, data = self._flow(packet)
            self._queues.setdefault(key, _Queue()).right.append(data)
            self._unmatched += len(data)
            self._match(key)

    # -- the device -----------------------------------------------------------------------------------------------

    def postsuspend(self) -> None:
        """The guest stands: what it has put out until now goes when the checkpoint is there."""
        self._pull()
        self._closed += [packet for row in self._queues.values() for packet, _, _ in row.packets]
        self._queues.clear()

    def preresume(self) -> None:
        """There is nothing to do."""

    def commit(self) -> None:
        """Both guests are equal: let go what waited, and begin to compare anew."""
        closed, self._closed = self._closed, []
        self._epoch += 1
        self._differs = ""
        # What the secondary put out before it was suspended may have come after the guest here was.
        self._queues.clear()
        self._unmatched = 0
        for packet in closed:
            self._let_go(packet)
        ahead, self._ahead = self._ahead, []
        for packet in ahead:
            self.theirs(packet)

    def release(self) -> None:
        """Nobody is compared with any more."""
        self.postsuspend()
        closed, self._closed = self._closed, []
        for packet in closed:
            self._let_go(packet)

    def drop(self) -> None:
        """Let nothing go."""
        self._queues.clear()
        self._closed, self.held = [], 0

    # -- comparing ------------------------------------------------------------------------------------------------

    def _pull(self) -> None:
        now = self._clock()
        for packet in self._take():
            key, data = self._flow(packet)
            row = self._queues.setdefault(key, _Queue())
            row.put += len(data) if key[1] else 1
            row.packets.append((packet, row.put, now))
            row.left.append(data)
            self.held += len(packet)
            self.most = max(self.most, self.held)
            self._match(key)

    def _match(self, key: Flow) -> None:
        """Compare what both have of a flow, and let go what is equal."""
        row = self._queues[key]
        while row.left and row.right and not self._differs:
            ours, theirs = row.left[0], row.right[0]
            count = min(len(ours), len(theirs)) if key[1] else len(ours)
            if ours[:count] != theirs[:count] or (not key[1] and ours != theirs):
                self._differs = "the guests put out different packets"
                return
            for queue, data in ((row.left, ours), (row.right, theirs)):
                if key[1] and count < len(data):
                    queue[0] = data[count:]
                else:
                    queue.popleft()
            self._unmatched -= count
            row.equal += count if key[1] else 1
        while row.packets and row.packets[0][1] <= row.equal and not self._differs:
            self._let_go(row.packets.popleft()[0])

    def _let_go(self, packet: bytes) -> None:
        self.held -= len(packet)
        self._give(packet)


class Forwarded:
    """The secondary's output device: its guest's packets go to the primary, and to be seen once there is none.

    :param send: takes a packet for the primary, an empty one when the guest is suspended.
    """

    held = 0

    def __init__(
        self, take: Callable[[], Iterable[bytes]], give: Callable[[bytes], None], send: Callable[[bytes], None]
    ) -> None:
        self._take, self._give, self._send = take, give, send
        self._alone = self._dropped = False

    def poll(self) -> None:
        """Pass on what there is."""
        for packet in self._take():
            if not self._dropped:
                (self._give if self._alone else self._send)(packet)

    def postsuspend(self) -> None:
        """The guest stands: its epoch is over."""
        self.poll()
        self._send(b"")

    def preresume(self) -> None:
        """There is nothing to do."""

    def commit(self) -> None:
        """Likewise."""

    def release(self) -> None:
        """The guest here is the only one: its output is to be seen from now on."""
        self._alone = True
        self.poll()

    def drop(self) -> None:
        """It is not."""
        self._dropped = True


class Packets:
    """Packets on a link of their own.  When the link fails nothing more goes or comes, and `failed` says why.

    What becomes of the guests is decided by the link that the stream is on.

    :param receive: takes each packet that comes, if this end is for that.
    """

    def __init__(self, end: End, waiter: Waiter, receive: Callable[[bytes], None] | None = None) -> None:
        self.failed: Exception | None = None
        self._end, self._waiter, self._receive = end, waiter, receive
        self._output = Output(end, waiter, LIMIT)
        self._came = bytearray()
        self._room = memoryview(bytearray(_SOME))
        if receive is not None:
            waiter.serve(end.fileno(), READ, self._come)

    def send(self, packet: bytes) -> None:
        """Send one; raises nothing."""
        if self.failed is None:
            try:
                self._output.put([_LENGTH.pack(len(packet)), packet])
                self._output.flush()
            except (LinkError, LateError) as error:
                self._fail(error)

    def close(self) -> None:
        """Receive nothing more, and close the link."""
        self._drop()
        self._end.close()

    def _come(self) -> None:
        assert self._receive is not None
        try:
            count = self._end.receive_into(self._room)
        except BlockingIOError:
            return
        except LinkError as error:
            self._fail(error)
            return
        if not count:
            self._fail(LinkError("the link of packets was closed by the other side"))
            return
        self._came += self._room[:count]
        at = 0
        while len(self._came) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._came, at)
            if length > _FRAME_MAX:
                self._fail(PeerError(f"a packet of {length} bytes came, {_FRAME_MAX} are the most"))
                return
            if len(self._came) - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            self._receive(bytes(self._came[at : at + length]))
            at += length
        del self._came[:at]

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self._drop()

    def _drop(self) -> None:
        if self._receive is not None:
            self._waiter.drop(self._end.fileno())
