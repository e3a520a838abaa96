"""Memory by descriptor: the same memory on both sides, at any size in no time; anything else that comes is refused."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ..engine.guest.memory import Memory
from ..engine.handing import hand_over, take_over
from ..engine.transport.moving import receive_exactly, send_all
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import LateError, LinkError, PeerError

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
GOOD = b"streamfmt guest memory by descriptor, pages 0000000000000001\n"


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    with closing(Waiter()) as made:
        yield made


@pytest.fixture
def ends() -> Iterator[tuple[SocketEnd, SocketEnd]]:
    one, other = (SocketEnd(it, "pair") for it in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def _memory(size: int, seals: int = SEALS) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def _say(sock: socket.socket, data: bytes, *descriptors: int) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def test_same_memory(ends: tuple[SocketEnd, SocketEnd], waiter: Waiter) -> None:
    """16 GiB in a few milliseconds, with what was written; the stream that follows is not touched."""
    memory = Memory(16 << 18)
    memory.view[4096:4101] = b"hello"
    begin = time.perf_counter()
    hand_over(ends[0], memory.descriptor, memory.pages, waiter, waiter.clock() + 5)
    send_all(ends[0], [b"the stream"], waiter)
    descriptor, pages = take_over(ends[1], waiter, waiter.clock() + 5)
    taken = Memory.adopt(descriptor)
    took = time.perf_counter() - begin
    rest = memoryview(bytearray(10))
    receive_exactly(ends[1], rest, waiter, waiter.clock() + 5)

    assert pages == taken.pages == memory.pages
    assert bytes(taken.view[4096:4101]) == b"hello"
    assert taken.populated() == memory.populated()
    assert bytes(rest) == b"the stream"
    assert took < 0.05
    assert not os.get_inheritable(descriptor)
    memory.close()
    assert bytes(taken.view[4096:4101]) == b"hello"
    taken.close()


def test_pieces(ends: tuple[SocketEnd, SocketEnd], waiter: Waiter) -> None:
    """The message may come in pieces, the descriptor beside any of them."""
    fd = _memory(4096)
    ends[0].socket.sendall(GOOD[:7])
    _say(ends[0].socket, GOOD[7:20], fd)
    ends[0].socket.sendall(GOOD[20:])
    descriptor, pages = take_over(ends[1], waiter, waiter.clock() + 5)
    assert pages == 1
    assert os.path.samestat(os.fstat(descriptor), os.fstat(fd))
    os.close(descriptor)
    os.close(fd)


def _open() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("count", "size", "seals", "message", "says"),
    [
        (0, 4096, SEALS, GOOD, "0 descriptors came, not one"),
        (2, 4096, SEALS, GOOD, "2 descriptors came, not one"),
        (50, 4096, SEALS, GOOD, "more descriptors came than one"),
        (1, 8192, SEALS, GOOD, "it has 8,192 bytes, not the 1 pages"),
        (1, 0, SEALS, GOOD.replace(b"01\n", b"00\n"), "it has 0 bytes"),
        (1, 4096, 0, GOOD, "its size is not sealed"),
        (1, 4096, fcntl.F_SEAL_GROW, GOOD, "its size is not sealed"),
        (1, 4096, SEALS, GOOD.replace(b"01\n", b"0x\n"), "is no number of pages"),
        (1, 4096, SEALS, GOOD.replace(b"01\n", b"01 "), "is no number of pages"),
        (1, 4096, SEALS, b"LibxlFmt" + bytes(100), "memory by descriptor was to come, not b'LibxlFmt"),
    ],
)
def test_what_else_comes(
    count: int, size: int, seals: int, message: bytes, says: str, ends: tuple[SocketEnd, SocketEnd], waiter: Waiter
) -> None:
    """It is refused with the reason, and no descriptor that came stays open."""
    fd = _memory(size, seals)
    before = _open()
    _say(ends[0].socket, message, *[fd] * count)
    with pytest.raises(PeerError, match=says):
        take_over(ends[1], waiter, waiter.clock() + 5)
    assert _open() == before
    os.close(fd)


@given(st.binary(max_size=100), st.integers(0, 3))
@example(GOOD, 1)
def test_any_message(message: bytes, count: int) -> None:
    """Whatever comes is memory of that size, or an error in time."""
    one, other = socket.socketpair()
    fd = _memory(4096)
    if message:
        _say(one, message, *[fd] * count)
    one.close()
    with closing(Waiter()) as waiter:
        try:
            descriptor, pages = take_over(SocketEnd(other, "pair"), waiter, waiter.clock() + 5)
        except (LinkError, PeerError):
            pass
        else:
            assert (message[: len(GOOD)], count, pages) == (GOOD, 1, 1)
            os.close(descriptor)
    other.close()
    os.close(fd)


def test_where_it_cannot_be(ends: tuple[SocketEnd, SocketEnd], waiter: Waiter, tmp_path: Path) -> None:
    """Other links, memory that has no descriptor, and what is no memory."""
    with socket.socket() as tcp, pytest.raises(LinkError, match="over unix:PATH only"):
        hand_over(SocketEnd(tcp, "tcp"), 0, 1, waiter)
    with pytest.raises(LinkError, match="this guest's memory has none"):
        hand_over(ends[0], -1, 1, waiter)
    with (tmp_path / "file").open("wb+") as file, pytest.raises(LinkError, match="is no memory file"):
        hand_over(ends[0], file.fileno(), 1, waiter)
    with pytest.raises(LateError, match="the sender sends nothing"):
        take_over(ends[1], waiter, waiter.clock() + 0.01)
