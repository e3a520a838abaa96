"""Links: addresses are read, or refused with the right form; every kind carries all bytes, in order, to their end."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.interface import End
from ..engine.pace import Pace
from ..engine.transport import children, uris
from ..engine.transport.children import ChildEnd
from ..engine.transport.ends import REFUSAL, connect, listen
from ..engine.transport.moving import last_words, part, receive_exactly, receive_some, send_all
from ..engine.transport.sockets import MANY, SocketEnd
from ..engine.waiting import Waiter
from ..errors import LateError, LinkError
from .support.kill_points import wait_until

SECONDS = 20.0


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    with closing(Waiter()) as made:
        yield made


@contextmanager
def beside(work: Callable[[Waiter], None]) -> Iterator[None]:
    """The other side, in a thread with a waiter of its own; what it raises is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        with closing(Waiter()) as waiter:
            try:
                work(waiter)
            except BaseException as error:
                errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]


def everything(end: End, waiter: Waiter, rng: Random | None = None) -> bytes:
    """All that comes until the end, in pieces of any size."""
    found = bytearray()
    room = memoryview(bytearray(1 << 20))
    while got := receive_some(
        end, room[: rng.randint(1, 9000) if rng else len(room)], waiter, waiter.clock() + SECONDS
    ):
        found += room[:got]
    return bytes(found)


def descriptors() -> set[str]:
    return {f"{fd}:{os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd") if _open(int(fd))}


def _open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("tcp:host:4444", uris.Tcp("host", 4444)),
        ("tcp::0", uris.Tcp("", 0)),
        ("tcp:[::1]:65535", uris.Tcp("::1", 65535)),
        ("tcp:127.0.0.1:080", uris.Tcp("127.0.0.1", 80)),
        ("unix:/run/a:b", uris.Unix("/run/a:b")),
        ("exec:ssh host cat >x", uris.Exec("ssh host cat >x")),
        ("fd:7", uris.Descriptors(7, 7)),
        ("fd:3,4", uris.Descriptors(3, 4)),
        ("-", uris.Descriptors(0, 1)),
        ("file:tcp:a:1", uris.File("tcp:a:1")),
        ("guest.sav", uris.File("guest.sav")),
        ("/dir/a:b", uris.File("/dir/a:b")),
        ("1:2", uris.File("1:2")),
    ],
)
def test_addresses(text: str, uri: uris.Uri) -> None:
    """Each form is read, and what is written of it is read as the same."""
    assert uris.parse(text) == uri
    assert uris.parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tpc:host:1", "begins with 'tpc:', which names no link; the forms are tcp:HOST:PORT"),
        ("tcp:host", "has no port; the form is tcp:HOST:PORT"),
        ("tcp:host:", "has no port"),
        ("tcp:[::1]", "has no port"),
        ("tcp:host:http", "has 'http' for a port"),
        ("tcp:host:-1", "has '-1' for a port"),
        ("tcp:host:\u0663", "for a port"),
        ("tcp:host:65536", "ports end at 65535"),
        ("tcp:host:" + "9" * 5000, "ports end at 65535"),
        ("tcp:::1:80", "IPv6 address without brackets; the form is tcp:HOST:PORT, or tcp:[ADDRESS]:PORT"),
        ("tcp:[::1:80", "brackets that do not enclose"),
        ("tcp:a b:80", "a space"),
        ("unix:", "has no path; the form is unix:PATH"),
        ("unix:/" + "x" * 107, "has a path of 108 bytes; the system takes 107"),
        ("unix:a\0b", "zero byte"),
        ("exec: ", "has no command; the form is exec:COMMAND"),
        ("fd:", "lacks a number; the form is fd:N, or fd:IN,OUT"),
        ("fd:1,", "lacks a number"),
        ("fd:1,2,3", "more than two"),
        ("fd:\u00b2", "is no number"),
        ("", "has no path"),
        ("file:", "has no path; the form is file:PATH"),
    ],
)
def test_wrong_addresses(text: str, says: str) -> None:
    """What is wrong is said, and the right form is shown."""
    with pytest.raises(LinkError) as caught:
        uris.parse(text)

    assert says in str(caught.value)


@given(st.text(max_size=40) | st.from_regex(r"(tcp|unix|exec|fd|file):[\x00-\x7f]{0,30}", fullmatch=True))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Nothing else happens, and an address that is read reads the same again."""
    try:
        uri = uris.parse(text)
    except LinkError:
        return
    assert uris.parse(str(uri)) == uri


# -- what every link does ---------------------------------------------------------------------------------------------

LISTENED = ("tcp:127.0.0.1:0", "tcp:localhost:0", "tcp:[::1]:0", "tcp::0", "unix:{}/socket")


def _pair(uri: str, folder: Path) -> tuple[End, End, Callable[[], None]]:
    """Both ends of a link, and what is closed after them."""
    waiter = Waiter()
    listener = listen(uri.format(folder))
    one = connect(listener.uri, waiter, waiter.clock() + SECONDS)
    other = listener.accept(waiter, waiter.clock() + SECONDS)

    def close() -> None:
        listener.close()
        waiter.close()

    return one, other, close


def _pipes() -> tuple[End, End, Callable[[], None]]:
    waiter = Waiter()
    (r1, w1), (r2, w2) = os.pipe(), os.pipe()
    one, other = connect(f"fd:{r1},{w2}", waiter), listen(f"fd:{r2},{w1}").accept(waiter)
    return one, other, waiter.close


@pytest.mark.parametrize("uri", [*LISTENED, "pipes"])
def test_both_directions_and_half_close(uri: str, tmp_path: Path) -> None:
    """All bytes arrive in order, in more buffers than one call takes; one side's end leaves the other its say."""
    before = descriptors()
    rng = Random(uri)
    pages = [rng.randbytes(rng.choice((0, 1, 17, 4096))) for _ in range(3 * MANY)]
    answer = rng.randbytes(300_000)
    one, other, close = _pipes() if uri == "pipes" else _pair(uri, tmp_path)

    def answers(waiter: Waiter) -> None:
        assert everything(other, waiter, Random(1)) == b"".join(pages)
        send_all(other, [answer], waiter, waiter.clock() + SECONDS)
        part(other, waiter)

    with closing(Waiter()) as waiter, beside(answers):
        assert send_all(one, pages, waiter, waiter.clock() + SECONDS) == sum(map(len, pages))
        one.finish()
        assert everything(one, waiter) == answer
        assert one.receive_into(memoryview(bytearray(1))) == 0
        one.close()
        one.close()
    close()

    assert descriptors() == before
    assert not list(tmp_path.iterdir())


def _fill(end: End) -> None:
    """Send until nothing more fits, not even a few bytes."""
    while end.send([bytes(10)]):
        pass


@pytest.mark.parametrize("uri", ["tcp:127.0.0.1:0", "unix:{}/socket", "pipes"])
def test_nothing_blocks(uri: str, tmp_path: Path, waiter: Waiter) -> None:
    """An end from which nothing comes, or into which nothing more fits, says so; waits have their limit."""
    one, other, close = _pipes() if uri == "pipes" else _pair(uri, tmp_path)
    room = memoryview(bytearray(10))
    with pytest.raises(BlockingIOError):
        one.receive_into(room)
    with pytest.raises(LateError, match="the size did not come in time"):
        receive_exactly(one, room, waiter, waiter.clock() + 0.01, "the size")
    with pytest.raises(LateError, match="takes no more bytes"):
        send_all(one, [bytes(64 << 20)], waiter, waiter.clock() + 0.05)
    with pytest.raises(BlockingIOError):
        _fill(one)
    for it in (one, other):
        it.close()
    close()


@pytest.mark.parametrize("uri", ["tcp:127.0.0.1:0", "unix:{}/socket", "pipes"])
def test_other_side_is_gone(uri: str, tmp_path: Path, waiter: Waiter) -> None:
    """Sending is an error then, without a signal; what it had said is still there, and that too little came shows."""
    one, other, close = _pipes() if uri == "pipes" else _pair(uri, tmp_path)
    send_all(other, [b"I leave"], waiter)
    other.close()
    with pytest.raises(LinkError, match="cannot send"):
        send_all(one, [bytes(1 << 20)] * 64, waiter, waiter.clock() + SECONDS)
    assert last_words(one, waiter) == b"I leave"
    one.close()
    close()


def test_too_little_comes(waiter: Waiter) -> None:
    """It is said what of it is missing."""
    one, other = (SocketEnd(it, "pair") for it in socket.socketpair())
    send_all(other, [b"abc"], waiter)
    part_of_it = memoryview(bytearray(10))
    other.finish()
    with pytest.raises(LinkError, match="7 of 10 bytes are missing: the header"):
        receive_exactly(one, part_of_it, waiter, None, "the header")
    assert bytes(part_of_it[:3]) == b"abc"
    one.close()
    other.close()


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=2000), max_size=40), st.integers(0, 1 << 30))
def test_any_buffers_arrive(buffers: list[bytes], seed: int) -> None:
    """Whatever the sizes, and however little fits at a time, all of it arrives once and in order."""
    rng = Random(seed)

    class Narrow(SocketEnd):
        def send(self, buffers: object) -> int:
            assert isinstance(buffers, list)
            if rng.random() < 0.2:
                raise BlockingIOError
            first: bytes = b"".join(buffers)
            return super().send([first[: rng.randint(1, 700)]])

    one, other = socket.socketpair()
    ours, theirs = Narrow(one, "narrow"), SocketEnd(other, "wide")
    with closing(Waiter()) as waiter:
        counts: list[int] = []
        total = send_all(ours, buffers, waiter, waiter.clock() + SECONDS, progress=counts.append)
        ours.finish()
        assert everything(theirs, waiter) == b"".join(buffers)
    assert total == sum(counts) == sum(map(len, buffers))
    ours.close()
    theirs.close()


def _all_zeros(end: End, waiter: Waiter, size: int) -> None:
    assert everything(end, waiter) == bytes(size // 4096 * 4096)


def test_pace(waiter: Waiter) -> None:
    """A speed is kept within a twentieth, and a deadline that cannot be met with it is an error in time."""
    one, other = (SocketEnd(it, "pair") for it in socket.socketpair())
    speed, size = 20e6, 4_000_000
    # What may go at once goes before the clock is looked at.
    pace = Pace(speed, waiter.clock)
    with beside(lambda its: _all_zeros(other, its, size)):
        begin = waiter.clock()
        send_all(one, [bytes(4096)] * (size // 4096), waiter, None, pace)
        took = waiter.clock() - begin
        one.finish()
    one.close()
    other.close()
    assert size / took <= speed * 1.25  # a fifth of a second, of which the burst is a fifth
    one, other = (SocketEnd(it, "pair") for it in socket.socketpair())
    pace.limit = 1000.0
    begin = waiter.clock()
    with pytest.raises(LateError, match="the speed that is allowed"):
        send_all(one, [bytes(1 << 20)], waiter, waiter.clock() + 0.1, pace)
    assert waiter.clock() - begin < 0.5
    one.close()
    other.close()


# -- listening and connecting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["tcp:127.0.0.1:0", "unix:{}/socket"])
def test_second_connection(uri: str, tmp_path: Path, waiter: Waiter) -> None:
    """It is refused with a reason, which both sides see, and the first goes on."""
    notices: list[str] = []
    with closing(listen(uri.format(tmp_path), notice=notices.append)) as listener:
        one = connect(listener.uri, waiter)
        other = listener.accept(waiter, waiter.clock() + SECONDS)
        second = connect(listener.uri, waiter)
        send_all(second, [b"something that is not read"], waiter)
        # Whoever waits serves those who come second.
        send_all(one, [b"12345"], waiter)
        receive_exactly(other, memoryview(bytearray(5)), waiter)
        while not notices:
            assert waiter.step(waiter.clock() + SECONDS)

        assert last_words(second, waiter) == REFUSAL
        assert len(notices) == 1
        assert "a second connection, from" in notices[0]
        send_all(one, [b"6"], waiter)
        receive_exactly(other, memoryview(bytearray(1)), waiter, waiter.clock() + SECONDS)
        with pytest.raises(LinkError, match="has a sender already"):
            listener.accept(waiter)
    for end in (one, other, second):
        end.close()


def test_no_room_for_a_second_connection(tmp_path: Path, waiter: Waiter) -> None:
    """That the system cannot take it is said once, and the first goes on."""
    notices: list[str] = []
    with closing(listen(f"unix:{tmp_path}/socket", notice=notices.append)) as listener:
        one = connect(listener.uri, waiter)
        other = listener.accept(waiter, waiter.clock() + SECONDS)
        second = connect(listener.uri, waiter)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (second.fileno(), before[1]))
        try:
            waiter.step(waiter.clock() + SECONDS)
            assert waiter.step() == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert notices == [f"{listener.uri}: cannot accept a connection: Too many open files"]
        send_all(one, [b"12345"], waiter)
        receive_exactly(other, memoryview(bytearray(5)), waiter, waiter.clock() + SECONDS)
    for end in (one, other, second):
        end.close()


def test_ports(waiter: Waiter) -> None:
    """One in use, one nobody listens at, and 0."""
    with closing(listen("tcp:127.0.0.1:0")) as listener:
        assert isinstance(listener.uri, uris.Tcp)
        assert listener.uri.port
        with pytest.raises(LinkError, match="Address already in use; somebody listens there already"):
            listen(listener.uri)
        with pytest.raises(LateError, match="nobody has connected in time"):
            listener.accept(waiter, waiter.clock() + 0.01)
    with pytest.raises(LinkError, match="Connection refused; nobody listens there: start the receiver first"):
        connect(listener.uri, waiter)
    with pytest.raises(LinkError, match="no port 0 to connect to"):
        connect("tcp:127.0.0.1:0", waiter)
    with pytest.raises(LinkError, match="none of this machine's"):
        listen("tcp:192.0.2.1:0")


def test_hosts(waiter: Waiter) -> None:
    """A name that nobody has, and one that cannot be one, are said to be so; a look-up has its time limit."""
    for name in ("no.such.host.invalid", "a" * 70 + ".invalid"):
        with pytest.raises((LinkError, LateError), match=name[:10]):
            connect(f"tcp:{name}:1", waiter, waiter.clock() + 2)


def test_slow_look_up(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits longer for the name of a host than it was asked to."""
    release, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, port: int, **how: int) -> object:
        if not how["flags"] & socket.AI_NUMERICHOST:
            release.wait(SECONDS)
        return real(host, port, flags=how["flags"] | socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    begin = time.monotonic()
    with pytest.raises(LateError, match=r"the name 'slow\.invalid' was not found in time"):
        connect("tcp:slow.invalid:1", waiter, waiter.clock() + 0.05)
    assert time.monotonic() - begin < 2
    before = threading.active_count()
    release.set()
    wait_until(lambda: threading.active_count() < before)


def test_no_answer(waiter: Waiter, tmp_path: Path) -> None:
    """A listener whose queue is full is waited for, and not longer than asked."""
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(str(tmp_path / "socket"))
        full.listen(0)
        first = connect(f"unix:{tmp_path}/socket", waiter)
        with pytest.raises(LateError, match="takes no connection"):
            connect(f"unix:{tmp_path}/socket", waiter, waiter.clock() + 0.05)
        first.close()


def test_unix_paths(tmp_path: Path, waiter: Waiter) -> None:
    """A path is removed if it is ours; a socket that nobody listens at any more is replaced; nothing else is."""
    path, uri = tmp_path / "socket", f"unix:{tmp_path}/socket"
    with pytest.raises(LinkError, match="nobody listens there"):
        connect(uri, waiter)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(LinkError, match="Connection refused; nobody listens there"):
        connect(uri, waiter)
    with closing(listen(uri)) as listener:
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(LinkError, match="somebody listens there already"):
            listen(uri)
        assert path.exists()
        # Somebody moves another there: it is not ours to remove.
        path.unlink()
        other = listen(uri)
        listener.close()
        assert path.exists()
        other.close()
    assert not path.exists()
    path.write_text("a file of somebody")
    with pytest.raises(LinkError, match="Address already in use; it is no socket"):
        listen(uri)
    with pytest.raises(LinkError):
        connect(uri, waiter)
    assert path.read_text() == "a file of somebody"
    with pytest.raises(LinkError, match="No such file or directory"):
        listen(f"unix:{tmp_path}/none/socket")


# -- commands ---------------------------------------------------------------------------------------------------------


def _group(number: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it has ended meanwhile
        if int(group) == number and state != "Z":
            found.append(path.parent.name)
    return found


def test_command(waiter: Waiter) -> None:
    """It gets what is sent on its standard input, and what it writes comes."""
    before = descriptors()
    end = connect("exec:rev", waiter)
    send_all(end, [b"drawer\n"], waiter)
    end.finish()
    assert everything(end, waiter) == b"reward\n"
    end.close()
    assert descriptors() == before


def test_command_that_fails(waiter: Waiter) -> None:
    """How it ended is said, when it is read from, and when it is written to."""
    with closing(connect("exec:echo so; exit 3", waiter)) as end, pytest.raises(LinkError, match="ended with status 3"):
        everything(end, waiter)
    with closing(connect("exec:kill -9 $$", waiter)) as end, pytest.raises(LinkError, match="was ended by signal 9"):
        send_all(end, [bytes(1 << 20)] * 4, waiter, waiter.clock() + SECONDS)
    with closing(connect("exec:exec <&-; sleep 60", waiter)) as end, pytest.raises(LinkError, match="no more input"):
        send_all(end, [bytes(1 << 20)] * 4, waiter, waiter.clock() + SECONDS)


def test_commands_are_ended_with_all_that_they_started(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing leaves no process, whether they heed SIGTERM or not, and waits for none that ends by itself."""
    end = connect("exec:(trap '' TERM; echo $$; exec sleep 300) & sleep 300", waiter)
    assert isinstance(end, ChildEnd)
    room = memoryview(bytearray(20))
    receive_some(end, room, waiter, waiter.clock() + SECONDS)
    assert len(_group(end.pid)) == 3
    begin = time.monotonic()
    monkeypatch.setattr(children, "_ABRUPT", 0.1)
    end.close()
    wait_until(lambda: not _group(end.pid), 2)
    assert not Path(f"/proc/{end.pid}").exists()
    assert time.monotonic() - begin < 2
    end.close()


def test_commands_have_time_to_tidy_up(waiter: Waiter, tmp_path: Path) -> None:
    """One whose input breaks off is not killed while it removes what it has."""
    with closing(connect(f"exec:cat >/dev/null; sleep 0.3; touch {tmp_path}/tidy", waiter)) as end:
        send_all(end, [b"half"], waiter)
    assert (tmp_path / "tidy").exists()


def test_command_whose_output_closes_early(waiter: Waiter, tmp_path: Path) -> None:
    """Its link ends when it does: only then it is known what came of it."""
    end = connect(f"exec:exec >{tmp_path}/saved; cat; sleep 0.05; exit 5", waiter)
    send_all(end, [b"stream"], waiter)
    end.finish()
    with pytest.raises(LinkError, match="status 5"):
        everything(end, waiter)
    end.close()
    assert (tmp_path / "saved").read_bytes() == b"stream"


# -- descriptors and files --------------------------------------------------------------------------------------------


def test_flags_of_shared_descriptors_stay(waiter: Waiter) -> None:
    """A pipe or a socket that others have too blocks for them as before."""
    read, write = os.pipe()
    one, other = socket.socketpair()
    one.setblocking(True)
    kept = os.dup(read), os.dup(write), os.dup(one.fileno())
    ends = connect(f"fd:{read},{write}", waiter), connect(f"fd:{one.detach()}", waiter)
    assert all(os.get_blocking(fd) for fd in kept)
    for end in ends:
        with pytest.raises(BlockingIOError):
            end.receive_into(memoryview(bytearray(1)))
        end.close()
    assert all(os.get_blocking(fd) for fd in kept)
    for fd in kept:
        os.close(fd)
    other.close()


def test_wrong_descriptors(waiter: Waiter, tmp_path: Path) -> None:
    """One that is not there, one for the other direction, a folder, and sockets that carry no stream."""
    with pytest.raises(LinkError, match="this process has no descriptor 987"):
        listen("fd:987")
    read, write = os.pipe()
    with pytest.raises(LinkError, match=rf"descriptor {read} was not opened to write"):
        connect(f"fd:{write},{read}".replace(str(write), str(os.open(os.devnull, os.O_RDONLY)), 1), waiter)
    os.close(write)
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(LinkError, match="is a directory"):
        connect(f"fd:{folder}", waiter)
    os.close(folder)
    datagrams, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with pytest.raises(LinkError, match="none of a stream"):
        connect(f"fd:{datagrams.detach()}", waiter)
    other.close()
    with pytest.raises(LinkError, match="is not connected"):
        connect(f"fd:{socket.socket().detach()}", waiter)
    os.close(read)


def test_files(tmp_path: Path, waiter: Waiter) -> None:
    """What is written appears when it is finished, or not at all; and is read to its end."""
    path = tmp_path / "guest.sav"
    path.write_bytes(b"before")
    end = connect(f"file:{path}", waiter)
    send_all(end, [bytes(10_000)], waiter)
    assert everything(end, waiter) == b""
    assert path.read_bytes() == b"before"
    end.close()
    assert path.read_bytes() == b"before"
    end = connect(str(path), waiter)
    send_all(end, [b"after"], waiter)
    # Whoever waits for it does not wait.
    waiter.until(end.fileno(), 1, waiter.clock())
    waiter.until(end.output(), 2, waiter.clock())
    part(end, waiter)
    assert path.read_bytes() == b"after"
    reading = listen(f"file:{path}").accept(waiter)
    with pytest.raises(LinkError, match="nothing can be sent there"):
        reading.send([b"x"])
    assert everything(reading, waiter) == b"after"
    reading.close()
    assert [it.name for it in tmp_path.iterdir()] == ["guest.sav"]
    for wrong in (f"file:{tmp_path}/none/x", f"file:{tmp_path}"):
        with pytest.raises(LinkError):
            connect(wrong, waiter)
        with pytest.raises(LinkError):
            listen(wrong).accept(waiter)


def test_named_pipes(tmp_path: Path, waiter: Waiter) -> None:
    """Each side waits for the other, within its time limit."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(LateError, match="nobody has opened the pipe"):
        connect(f"file:{path}", waiter, waiter.clock() + 0.05)
    with pytest.raises(LateError, match="nobody has written"):
        listen(f"file:{path}").accept(waiter, waiter.clock() + 0.05)

    def sends(its: Waiter) -> None:
        end = connect(f"file:{path}", its, its.clock() + SECONDS)
        send_all(end, [b"stream"], its)
        end.close()

    with beside(sends):
        end = listen(f"file:{path}").accept(waiter, waiter.clock() + SECONDS)
        assert everything(end, waiter) == b"stream"
        end.close()


def test_tls_is_for_tcp(waiter: Waiter) -> None:
    """Elsewhere it would be asked for in vain."""
    from ..engine.transport.tls import Tls

    with pytest.raises(LinkError, match="TLS is for tcp:HOST:PORT"):
        connect("unix:/x", waiter, tls=Tls("a", "b", "c"))


assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, "as Python sets it: a pipe without readers is an error"
