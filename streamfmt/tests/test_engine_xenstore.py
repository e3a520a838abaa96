"""Our xenstore does as the real xenstored does: the same tests, by the same client, against both."""

from __future__ import annotations

import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.xenstore.client import Client, Event
from ..engine.xenstore.server import in_process, in_thread
from ..engine.xenstore.wire import HEADER, PAYLOAD_MAX, Kind, Message, strings
from ..errors import LateError, LinkError, StoreError
from .support.emulators import until
from .support.xenstores import OURS, REAL, RELEASES, events, xenstore

WHICH = [OURS, *(pytest.param(release, marks=pytest.mark.peer) for release in RELEASES)]


@pytest.fixture(scope="module", params=WHICH)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with xenstore(request.param, tmp_path_factory.mktemp("xs")) as found:
        yield found


@pytest.fixture
def store(path: str) -> Iterator[Client]:
    with Client(path) as client:
        client.mkdir("/test")
        yield client
        client.remove("/test")


def _refused(client: Client, kind: Kind, *words: str | bytes, transaction: int = 0) -> str:
    with pytest.raises(StoreError) as error:
        client.request(kind, strings(*words), transaction)
    return error.value.name


def test_values_are_kept(store: Client) -> None:
    """What is written is read, whatever its bytes; nodes above it are made, and go with it."""
    store.write("/test/a/b", b"\0\xff\n")
    store.write("/test/a/c", "")

    assert store.read("/test/a/b") == b"\0\xff\n"
    assert store.read("/test/a") == store.read("/test/a/c") == b""
    assert store.directory("/test/a") == ["b", "c"]
    store.remove("/test/a")
    assert store.find("/test/a/b") is None
    assert store.directory("/test") == []


def test_relative_paths_are_below_the_domain(store: Client) -> None:
    """A path without a slash at its beginning is one of the client's domain."""
    store.write("test-relative/x", "1")

    assert store.domain_path(0) == "/local/domain/0"
    assert store.domain_path(7) == "/local/domain/7"
    assert store.read("/local/domain/0/test-relative/x") == b"1"
    store.remove("test-relative")


def test_refusals_have_names(store: Client) -> None:
    """Each error is the one that xenstored gives."""
    assert _refused(store, Kind.READ, "/test/none") == "ENOENT"
    assert _refused(store, Kind.DIRECTORY, "/none/none") == "ENOENT"
    assert _refused(store, Kind.RM, "/none/none") == "ENOENT"
    assert _refused(store, Kind.RM, "/") == "EINVAL"
    for name in ("/test/", "//test", "/test/!", "", "@x"):
        assert _refused(store, Kind.READ, name) == "EINVAL", name
    assert _refused(store, Kind.WRITE) == "EINVAL"
    assert _refused(store, Kind.WATCH, "/test") == "EINVAL"
    assert _refused(store, Kind.UNWATCH, "/test", "none") == "ENOENT"
    assert _refused(store, Kind.TRANSACTION_END, "T") == "ENOENT"
    assert _refused(store, Kind.READ, "/test", transaction=99) == "ENOENT"
    assert _refused(store, Kind.RELEASE, "0") == "EINVAL"
    assert _refused(store, Kind.SET_PERMS, "/test", "x0") == "EINVAL"
    assert _refused(store, Kind.CONTROL, "nonsense") == "EINVAL"
    assert _refused(store, Kind.ERROR) == "ENOSYS"


def test_removing_what_is_not_there(store: Client) -> None:
    """It is no error, if the node above it is there."""
    assert store.request(Kind.RM, strings("/test/none")) == strings("OK")


def test_permissions(store: Client) -> None:
    """They are kept, and new nodes have those of the one above."""
    store.permit("/test", ["r0", "b0"])
    store.write("/test/a", "1")

    assert store.permissions("/test") == store.permissions("/test/a") == ["r0", "b0"]


def test_domains(store: Client) -> None:
    """Domain 0 is there, others are not."""
    assert store.request(Kind.IS_DOMAIN_INTRODUCED, strings("0")) == strings("T")
    assert store.request(Kind.IS_DOMAIN_INTRODUCED, strings("4321")) == strings("F")


def test_long_directories(store: Client) -> None:
    """Names that fit no single answer come in parts."""
    names = [f"a-rather-long-name-{number:03}" for number in range(400)]
    for name in names:
        store.mkdir(f"/test/{name}")

    assert store.directory("/test") == names
    assert _refused(store, Kind.DIRECTORY, "/test") == "E2BIG"


def test_watches(store: Client) -> None:
    """The first event comes at once; then one for each change of the path or below, by any client."""
    store.watch("/test/a", "token")
    assert events(store) == [("/test/a", "token")]

    store.write("/test/a/b/c", "1")
    store.write("/test/a", "2")
    store.write("/test/ab", "3")
    store.mkdir("/test/a")
    store.permit("/test/a/b", ["n0"])
    assert events(store) == [("/test/a/b/c", "token"), ("/test/a", "token"), ("/test/a/b", "token")]

    assert _refused(store, Kind.WATCH, "/test/a", "token") == "EEXIST"
    store.watch("/test/a/b/c", "deep")
    store.take()
    store.remove("/test/a")
    assert events(store) == [("/test/a/b/c", "deep"), ("/test/a", "token")]

    store.unwatch("/test/a", "token")
    store.unwatch("/test/a/b/c", "deep")
    store.write("/test/a", "4")
    assert events(store) == []


def test_watches_of_relative_paths(store: Client) -> None:
    """Their events have relative paths, too."""
    store.watch("test-relative", "token")
    store.write("/local/domain/0/test-relative/a", "1")

    assert events(store) == [("test-relative", "token"), ("test-relative/a", "token")]
    store.unwatch("test-relative", "token")
    store.remove("test-relative")


def test_other_clients_are_heard(store: Client, path: str) -> None:
    """What one writes is an event of another one; it comes before the answer to what that asks later."""
    store.watch("/test", "token")
    with Client(path) as other:
        other.write("/test/a", "1")

    assert store.read("/test/a") == b"1"
    assert [store.take(), store.take(), store.take()] == [Event("/test", "token"), Event("/test/a", "token"), None]


def test_watches_end_with_their_client(store: Client, path: str) -> None:
    """Nothing is left of one that is gone."""
    with Client(path) as other:
        other.watch("/test", "token")
        other.request(Kind.TRANSACTION_START, strings(""))
    store.write("/test/a", "1")

    assert store.read("/test/a") == b"1"


def test_transactions_happen_at_once(store: Client) -> None:
    """Nobody sees anything of them before their end, and one event for each node that differs after it."""
    store.watch("/test", "token")
    store.take()

    def work(number: int) -> str:
        store.write("/test/a", "1", number)
        store.write("/test/b", "1", number)
        store.write("/test/a", "2", number)
        store.remove("/test/b", number)
        assert store.read("/test/a", number) == b"2"
        assert store.find("/test/a") is None
        assert events(store) == []
        return "done"

    assert store.transact(work) == "done"
    assert store.directory("/test") == ["a"]
    assert events(store) == [("/test/a", "token")]


def test_transactions_conflict(store: Client) -> None:
    """One that has looked at what has changed since has no effect, and is tried again."""
    store.write("/test/a", "1")
    tried: list[bytes] = []

    def work(number: int) -> None:
        value = store.read("/test/a", number)
        if not tried:
            store.write("/test/a", "7")
        tried.append(value)
        store.write("/test/b", value, number)

    store.transact(work)

    assert tried == [b"1", b"7"]
    assert store.read("/test/b") == b"7"

    def in_vain(number: int) -> None:
        store.read("/test/a", number)
        store.write("/test/a", "8")

    with pytest.raises(StoreError, match="EAGAIN"):
        store.transact(in_vain, attempts=3)


def test_transactions_that_are_given_up(store: Client) -> None:
    """Nothing of them is done."""

    def work(number: int) -> None:
        store.write("/test/a", "1", number)
        store.read("/test/none", number)

    with pytest.raises(StoreError, match="ENOENT"):
        store.transact(work)
    assert store.find("/test/a") is None


def test_no_transaction_in_another(store: Client) -> None:
    """A number goes with one at a time."""
    number = int(store.request(Kind.TRANSACTION_START, strings("")).rstrip(b"\0"))

    assert _refused(store, Kind.TRANSACTION_START, "", transaction=number) == "EBUSY"
    store.request(Kind.TRANSACTION_END, strings("F"), number)
    assert _refused(store, Kind.READ, "/test", transaction=number) == "ENOENT"


def test_long_values(store: Client) -> None:
    """What fits a message is taken."""
    value = bytes(PAYLOAD_MAX - len(strings("/test/a")))
    store.write("/test/a", value)

    assert store.read("/test/a") == value
    with pytest.raises(StoreError, match="E2BIG"):
        store.write("/test/a", value + b"x")


# -- anything ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(("a", "b", "a/a", "a/b", "b/a/a", "a/a/a", ""))
TOKENS = st.sampled_from(("x", "y"))


@dataclass
class Side:
    """One of two stores that are asked the same; what transactions are called may differ."""

    client: Client
    top: str
    numbers: list[int] = field(default_factory=lambda: [0])

    def ask(self, kind: Kind, name: str, rest: bytes, which: int) -> bytes | str:
        path = f"{self.top}/{name}".rstrip("/")
        number = self.numbers[which % len(self.numbers)]
        payload = strings(path) + rest
        if kind == Kind.TRANSACTION_END:
            payload = rest
            if number:
                self.numbers.remove(number)
        try:
            answer = self.client.request(kind, payload, number)
        except StoreError as error:
            return error.name
        if kind == Kind.TRANSACTION_START:
            self.numbers.append(int(answer.rstrip(b"\0")))
            return b""
        return answer

    def end(self) -> None:
        for number in self.numbers[1:]:
            self.client.request(Kind.TRANSACTION_END, strings("F"), number)
        self.client.request(Kind.RESET_WATCHES, b"")
        while self.client.take():
            pass
        self.client.remove(self.top)


PLAIN = (Kind.READ, Kind.DIRECTORY, Kind.GET_PERMS, Kind.MKDIR, Kind.RM)
REQUESTS = st.one_of(
    st.tuples(st.sampled_from(PLAIN), NAMES, st.just(b"")),
    st.tuples(st.just(Kind.WRITE), NAMES, st.binary(max_size=3)),
    st.tuples(st.just(Kind.SET_PERMS), NAMES, st.sampled_from((strings("n0"), strings("r0", "w0"), b"", b"q0\0"))),
    st.tuples(st.sampled_from((Kind.WATCH, Kind.UNWATCH)), NAMES, TOKENS.map(strings)),
    st.tuples(st.just(Kind.TRANSACTION_START), st.just(""), st.just(b"")),
    st.tuples(st.just(Kind.TRANSACTION_END), st.just(""), st.sampled_from((b"T\0", b"F\0", b"T\0", b"x\0"))),
)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Side]]:
    folder = tmp_path_factory.mktemp("sides")
    with xenstore(OURS, folder) as ours, xenstore(REAL, folder) as real, Client(ours) as one, Client(real) as other:
        yield [Side(one, "/test"), Side(other, "/test")]


@pytest.mark.peer
@given(requests=st.lists(st.tuples(REQUESTS, st.integers(0, 3)), max_size=25))
@settings(max_examples=settings().max_examples // 2)
def test_any_requests_are_answered_alike(
    sides: list[Side], requests: list[tuple[tuple[Kind, str, bytes], int]]
) -> None:
    """Whatever is asked, in and out of transactions: the same answers, and the same events in the same order."""
    for side in sides:
        side.numbers = [0]
        side.client.mkdir("/test")
    try:
        for (kind, name, rest), which in requests:
            one, other = (side.ask(kind, name, rest, which) for side in sides)
            assert one == other, (kind, name, rest, which)
            one_events, other_events = (events(side.client) for side in sides)
            assert one_events == other_events, (kind, name, rest, which)
    finally:
        for side in sides:
            side.end()


# -- Debian's clients, and processes ----------------------------------------------------------------------------------


def _client(path: str, verb: str, *words: str) -> tuple[int, str]:
    command = shutil.which(f"xenstore-{verb}")
    if not command:
        pytest.skip("the package xenstore-utils is missing")
    done = subprocess.run(
        [command, *words], env={"XENSTORED_PATH": path}, capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.peer
def test_debians_clients(tmp_path: Path) -> None:
    """Xen's own programs write, read, list, remove and watch in our store."""
    path = str(tmp_path / "socket")
    with in_process({0: path}):
        assert _client(path, "write", "/a/b", "one", "/a/c", "two") == (0, "")
        assert _client(path, "read", "/a/b", "/a/c") == (0, "one\ntwo\n")
        assert _client(path, "list", "/a") == (0, "b\nc\n")
        assert _client(path, "chmod", "/a/b", "n0", "r5") == (0, "")
        assert _client(path, "ls", "-fp", "/a") == (0, '/a/b = "one"   (n0,r5)\n/a/c = "two"   (n0)\n')
        assert _client(path, "exists", "/a/b")[0] == 0
        assert _client(path, "exists", "/a/d")[0] == 1
        assert _client(path, "rm", "/a/b") == (0, "")
        assert _client(path, "read", "/a/b")[0] == 1
        assert _client(path, "watch", "-n", "1", "/a") == (0, "/a\n")
        for _ in range(300):
            Client(path).close()
        assert _client(path, "ls", "/") == (0, 'a = ""\n c = "two"\n')
    assert not Path(path).exists()


def test_a_path_in_use(tmp_path: Path) -> None:
    """It is said, and its owner keeps it."""
    path = str(tmp_path / "socket")
    with in_thread({0: path}), Client(path) as client:
        with pytest.raises(LinkError, match=r"cannot listen at .*socket: Address already in use"), in_thread({0: path}):
            pass
        client.write("/a", "1")
        assert client.read("/a") == b"1"
    with pytest.raises(LinkError, match="no xenstore at"):
        Client(path)


def test_who_announces_too_much_is_cut_off(tmp_path: Path) -> None:
    """And nobody else is."""
    path = str(tmp_path / "socket")
    with in_thread({0: path}), Client(path) as client, socket.socket(socket.AF_UNIX) as bare:
        bare.connect(path)
        bare.settimeout(5)
        bare.sendall(HEADER.pack(Kind.READ, 1, 0, PAYLOAD_MAX + 1))
        with suppress(ConnectionResetError):
            assert bare.recv(1) == b""
        assert client.read("/") == b""


def test_requests_that_wait_are_heard_of(tmp_path: Path) -> None:
    """One that asks faster than it reads is answered as it reads, and others hear at once of what it then writes."""
    path = str(tmp_path / "socket")
    with in_thread({0: path}), Client(path) as first, socket.socket(socket.AF_UNIX) as greedy, Client(path) as last:
        last.write("/large", bytes(4000))
        for client in (first, last):
            client.watch("/end", "token")
            client.take()
        greedy.connect(path)
        reads = [Message(Kind.READ, number, 0, strings("/large")).encoded() for number in range(2000)]
        write = Message(Kind.WRITE, 9999, 0, strings("/end") + b"x").encoded()
        thread = threading.Thread(target=greedy.sendall, args=(b"".join([*reads, write]),))
        thread.start()
        left = 2000 * (HEADER.size + 4000) + HEADER.size + 3
        while left:
            left -= len(greedy.recv(65536))
        thread.join()
        for client in (first, last):
            assert client.event("token", client.now() + 5) == Event("/end", "token")


def test_clients_beyond_what_there_are_descriptors_for(tmp_path: Path) -> None:
    """They wait until another one goes, and the service does not compute meanwhile."""
    path = str(tmp_path / "socket")
    with ExitStack() as stack:
        service = stack.enter_context(in_process({0: path}))
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (20, 20))
        clients = [stack.enter_context(Client(path)) for _ in range(30)]
        clients[0].write("/a", "1")
        clients[-1].patience = 0.3
        with pytest.raises(LateError):
            clients[-1].read("/a")
        ticks = sum(map(int, Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        assert ticks < 25
        for client in clients[:20]:
            client.close()
        assert clients[-2].read("/a") == b"1"


def test_an_event_that_does_not_come(store: Client) -> None:
    """Waiting for it ends at its time, and says what was waited for."""
    store.watch("/test", "token")
    store.take()
    with pytest.raises(LateError, match="somebody to write"):
        store.event("token", store.now() + 0.02, what="somebody to write")


def test_the_service_by_itself(tmp_path: Path) -> None:
    """It serves domains at paths until it is interrupted, and leaves none of them."""
    paths = [tmp_path / name for name in ("host", "guest")]
    words = [sys.executable, "-m", "streamfmt.engine.xenstore", f"0={paths[0]}", f"5={paths[1]}"]
    with subprocess.Popen(words) as service:
        assert until(lambda: all(path.exists() for path in paths))
        with Client(str(paths[0])) as host, Client(str(paths[1])) as guest:
            host.mkdir("/local/domain/5")
            host.permit("/local/domain/5", ["n5"])
            guest.write("name", "five")
            assert host.read("/local/domain/5/name") == b"five"
            with pytest.raises(StoreError, match="EACCES"):
                guest.write("/name", "five")
        service.send_signal(signal.SIGINT)
        assert service.wait(10) == 0
    assert not list(tmp_path.iterdir())
    (tmp_path / "host").touch()
    for words_, status in (([f"0={paths[0]}"], 3), (["nonsense"], 2), ([], 1)):
        done = subprocess.run([*words[:3], *words_], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == status
        assert done.stderr
