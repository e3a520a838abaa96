"""Comparing outputs: what may be seen is what both guests have put out, or what a checkpoint covers; never more."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..engine.colo.compared import Compared, Forwarded, Packets, flow
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter


def packet(data: bytes, port: int = 80, protocol: int = 17, identification: int = 0, sequence: int = 0) -> bytes:
    """An Ethernet frame with IPv4 and UDP, or TCP."""
    ports = port.to_bytes(2, "big") + (1000).to_bytes(2, "big")
    if protocol == 6:
        body = ports + sequence.to_bytes(4, "big") + bytes(4) + b"\x50\x10" + bytes(6) + data
    else:
        body = ports + (8 + len(data)).to_bytes(2, "big") + bytes(2) + data
    size = (20 + len(body)).to_bytes(2, "big")
    head = b"\x45\0" + size + identification.to_bytes(2, "big") + bytes(3) + bytes([protocol]) + bytes(2)
    return bytes(12) + b"\x08\0" + head + bytes(8) + body


class Sides:
    """A comparator, its packets and what has left."""

    def __init__(self, limit: float = 3.0, room: int = 1 << 20) -> None:
        self.now = 0.0
        self.put: list[bytes] = []
        self.seen: list[bytes] = []
        self.compared = Compared(self._take, self.seen.append, lambda: self.now, limit, room)
        self.compared.postsuspend()
        self.compared.commit()

    def _take(self) -> list[bytes]:
        put, self.put = self.put, []
        return put

    def ours(self, *packets: bytes) -> str:
        """The primary's guest puts these out; whether a checkpoint is needed then."""
        self.put += packets
        return self.compared.diverged()

    def theirs(self, *packets: bytes) -> str:
        """The secondary's does."""
        for one in packets:
            self.compared.theirs(one)
        return self.compared.diverged()


def test_what_is_equal_leaves() -> None:
    """Whoever is first; identifications of IP do not matter."""
    sides = Sides()

    assert sides.ours(packet(b"a")) == ""
    assert sides.seen == []
    assert sides.theirs(packet(b"a", identification=9), packet(b"b")) == ""
    assert sides.seen == [packet(b"a")]
    assert sides.ours(packet(b"b")) == ""
    assert sides.seen == [packet(b"a"), packet(b"b")]
    assert sides.compared.held == 0


def test_what_differs_waits_for_the_checkpoint() -> None:
    """It is the reason for one, and leaves when that is there."""
    sides = Sides()
    sides.ours(packet(b"a"), packet(b"c"))

    assert "different" in sides.theirs(packet(b"b"))
    assert sides.theirs(packet(b"c"))
    assert sides.seen == []
    sides.compared.postsuspend()
    assert sides.seen == []
    sides.compared.commit()
    assert sides.seen == [packet(b"a"), packet(b"c")]
    assert sides.compared.diverged() == ""
    assert sides.compared.most == len(packet(b"a")) * 2


def test_tcp_is_a_stream() -> None:
    """However it is cut, and whatever its first number was."""
    sides = Sides()
    sides.ours(packet(b"abcd", protocol=6, sequence=1), packet(b"ef", protocol=6, sequence=5))

    assert sides.theirs(packet(b"ab", protocol=6, sequence=77)) == ""
    assert sides.seen == []
    assert sides.theirs(packet(b"cde", protocol=6, sequence=79)) == ""
    assert sides.seen == [packet(b"abcd", protocol=6, sequence=1)]
    assert "different" in sides.theirs(packet(b"g", protocol=6, sequence=82))
    assert len(sides.seen) == 1


def test_flows_do_not_wait_for_each_other() -> None:
    """By protocol, addresses and ports; what is no IP is one flow."""
    sides = Sides()
    sides.ours(packet(b"a", 1), packet(b"b", 2), b"arp")
    sides.theirs(b"arp", packet(b"b", 2))

    assert sides.seen == [b"arp", packet(b"b", 2)]
    assert len({flow(one)[0] for one in (packet(b"a", 1), packet(b"a", 2), packet(b"a", 1, 6), b"arp")}) == 4


def test_what_has_no_counterpart_is_a_reason_in_time() -> None:
    """And so is what fills the room."""
    sides = Sides(limit=3.0)
    sides.ours(packet(b"a"))
    sides.now = 3.0
    assert sides.compared.diverged() == ""
    sides.now = 3.1
    assert "no counterpart" in sides.compared.diverged()

    assert "wait" in Sides(room=100).ours(packet(bytes(100)))
    assert "wait" in Sides(room=100).theirs(packet(bytes(200)))


def test_an_old_packet_is_not_compared_with_a_new_one() -> None:
    """What the secondary put out before a checkpoint, and came late, counts for nothing; what came early is kept."""
    sides = Sides()
    sides.compared.postsuspend()
    sides.compared.commit()
    sides.ours(packet(b"a"))
    sides.theirs(packet(b"a"))
    assert sides.seen == []  # it had not been suspended when it put that out
    sides.theirs(b"", packet(b"a"))
    assert sides.seen == [packet(b"a")]

    sides.theirs(b"", packet(b"b"))
    sides.ours(packet(b"b"))
    assert sides.seen == [packet(b"a")]
    sides.compared.postsuspend()
    sides.compared.commit()
    assert sides.ours(packet(b"b")) == ""
    assert sides.seen == [packet(b"a"), packet(b"b"), packet(b"b")]


def test_what_came_between_both_stops_is_forgotten() -> None:
    """A secondary that was ahead, and is suspended after the primary: the next epoch begins with nothing."""
    sides = Sides()
    sides.compared.postsuspend()
    sides.theirs(packet(b"late"), b"")
    sides.compared.commit()
    sides.ours(packet(b"a"))

    assert sides.theirs(packet(b"a")) == ""
    assert sides.seen == [packet(b"a")]


def test_nothing_is_held_when_there_is_no_secondary() -> None:
    """And nothing leaves when the guest is the other side's."""
    sides = Sides()
    sides.ours(packet(b"a"))
    sides.compared.release()
    assert sides.seen == [packet(b"a")]
    sides = Sides()
    sides.ours(packet(b"a"))
    sides.compared.drop()
    sides.compared.release()
    assert sides.seen == []
    assert sides.compared.held == 0


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ours"), st.integers(1, 2), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("theirs"), st.integers(1, 2), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("follow"), st.integers(1, 2), st.binary(min_size=1, max_size=1)),
        st.tuples(st.just("checkpoint"), st.just(0), st.just(b"")),
    ),
    max_size=40,
)


@given(steps=_STEPS, protocol=st.sampled_from([6, 17]))
def test_nothing_uncommitted_is_seen(steps: list[tuple[str, int, bytes]], protocol: int) -> None:
    """Of each flow a beginning of what the primary put out, and no more than is covered or equal."""
    sides = Sides()
    put: dict[int, list[bytes]] = {1: [], 2: []}
    since: dict[int, int] = {1: 0, 2: 0}  # packets that the last checkpoint covers
    other: dict[int, list[bytes]] = {1: [], 2: []}
    for what, port, data in steps:
        if what == "checkpoint":
            sides.compared.postsuspend()
            # The secondary was ahead, and is suspended later than the primary.
            sides.compared.theirs(packet(b"late", 1, protocol))
            sides.compared.theirs(b"")
            sides.compared.commit()
            since = {key: len(rows) for key, rows in put.items()}
            other = {1: [], 2: []}
        elif what == "ours":
            put[port].append(data)
            sides.ours(packet(data, port, protocol))
        else:
            # What follows is what the primary has put out, if it is ahead.
            left = put[port][since[port] :][len(other[port]) :]
            said = left[0] if what == "follow" and left else data
            other[port].append(said)
            sides.theirs(packet(said, port, protocol))
        for key, rows in put.items():
            seen = [one for one in sides.seen if flow(one)[0] == flow(packet(b"", key, protocol))[0]]
            assert seen == [packet(one, key, protocol) for one in rows[: len(seen)]]
            beyond = rows[since[key] : len(seen)]
            if protocol == 6:
                assert b"".join(other[key]).startswith(b"".join(beyond))
            else:
                assert other[key][: len(beyond)] == beyond
            assert what != "checkpoint" or len(seen) == len(rows)


def test_the_secondary_passes_on_until_it_is_alone() -> None:
    """Each epoch's end too; after that all is to be seen."""
    put = [b"a"]
    sent: list[bytes] = []
    seen: list[bytes] = []

    def take() -> list[bytes]:
        nonlocal put
        found, put = put, []
        return found

    device = Forwarded(take, seen.append, sent.append)
    device.poll()
    put = [b"b"]
    device.postsuspend()
    assert (sent, seen) == ([b"a", b"b", b""], [])
    put = [b"c"]
    device.release()
    assert (sent[3:], seen) == ([], [b"c"])
    device.drop()
    put = [b"d"]
    device.poll()
    assert seen == [b"c"]


@contextmanager
def _linked() -> Iterator[tuple[Packets, Packets, list[bytes], Waiter]]:
    here, there = socket.socketpair()
    waiter, came = Waiter(), list[bytes]()
    near = Packets(SocketEnd(here, "here"), waiter, came.append)
    far = Packets(SocketEnd(there, "there"), waiter)
    yield near, far, came, waiter
    near.close()
    far.close()
    waiter.close()


def test_packets_come_whole() -> None:
    """However the link cuts them, as QEMU has them on its socket networks."""
    with _linked() as (near, far, came, waiter):
        for one in (b"abc", b"", b"d" * 5000):
            far.send(one)
        while len(came) < 3:
            waiter.step(waiter.clock() + 1)
        assert came == [b"abc", b"", b"d" * 5000]
        assert near.failed is None


@pytest.mark.parametrize("how", ["closed", "too long"])
def test_a_link_of_packets_that_fails(how: str) -> None:
    """Is said, and raises nothing: it is for the other link to decide."""
    with _linked() as (near, far, came, waiter):
        if how == "closed":
            far.close()
        else:
            far.send(bytes((1 << 16) + 1))
        while near.failed is None:
            waiter.step(waiter.clock() + 1)
        near.send(b"more")
        assert came == []
    assert near.failed is not None
