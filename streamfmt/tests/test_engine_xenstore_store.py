"""The core of our xenstore alone: any bytes in any pieces, quotas, permissions, and clients that do not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..engine.xenstore.state import DOMAIN_0, GUEST, PENDING, PENDING_MAX, Connection
from ..engine.xenstore.store import Store
from ..engine.xenstore.tree import Node, Permission, Tree, absolute, below, parent, permission
from ..engine.xenstore.wire import ERRORS, HEADER, PAYLOAD_MAX, Kind, Message, strings, take, unpacked
from ..errors import PeerError, StoreError

MESSAGES = st.builds(
    Message,
    st.one_of(st.sampled_from([*map(int, Kind)]), st.integers(0, 0xFFFFFFFF)),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 3),
    st.one_of(
        st.binary(max_size=40),
        st.lists(st.sampled_from(("/", "/a", "/a/b", "rel", "@introduceDomain", "1", "0", "T", "n0", ""))).map(
            lambda words: strings(*words)
        ),
    ),
)


def _answers(connection: Connection) -> list[Message]:
    found = []
    while message := take(connection.output):
        found.append(message)
    return found


def _ask(store: Store, connection: Connection, kind: Kind, *words: str | bytes, transaction: int = 0) -> bytes | str:
    """What is answered: the payload, or an error's name; events before it are dropped."""
    store.feed(connection, Message(kind, 7, transaction, strings(*words)).encoded())
    answer = next(row for row in _answers(connection) if row.kind != Kind.WATCH_EVENT)
    assert answer.request == 7
    return answer.payload.rstrip(b"\0").decode() if answer.kind == Kind.ERROR else answer.payload


def _write(store: Store, connection: Connection, path: str, value: bytes = b"", transaction: int = 0) -> bytes | str:
    store.feed(connection, Message(Kind.WRITE, 7, transaction, strings(path) + value).encoded())
    answer = next(row for row in _answers(connection) if row.kind != Kind.WATCH_EVENT)
    return answer.payload.rstrip(b"\0").decode() if answer.kind == Kind.ERROR else answer.payload


def _sound(store: Store) -> bool:
    """Whether the tree is one: each node is its parent's child, each child a node, and owners are counted."""
    nodes = store.tree.nodes
    children = {(path.rstrip("/") + f"/{name}") for path, node in nodes.items() for name in node.children}
    owners = {owner: count for owner, count in store.tree.owned.items() if count}
    counted = {domain: sum(node.owner == domain for node in nodes.values()) for domain in owners}
    return children | {"/"} == set(nodes) and counted == owners and sum(owners.values()) == len(nodes)


@given(
    messages=st.lists(MESSAGES, max_size=30),
    cuts=st.lists(st.integers(1, 60), min_size=1),
    domain=st.sampled_from((0, 5)),
)
def test_any_requests_in_any_pieces(messages: list[Message], cuts: list[int], domain: int) -> None:
    """Each gets one answer with its numbers, in their order, however they come; the tree stays one."""
    data = b"".join(message.encoded() for message in messages)
    stores = Store(), Store()
    whole, cut = (each.connect(domain) for each in stores)
    stores[0].feed(whole, data)
    at = 0
    while at < len(data):
        step = cuts[at % len(cuts)]
        stores[1].feed(cut, data[at : at + step])
        at += step

    assert whole.output == cut.output
    answers = [row for row in _answers(whole) if row.kind != Kind.WATCH_EVENT or row.request]
    assert [(row.request, row.transaction) for row in answers] == [(row.request, row.transaction) for row in messages]
    for answer, message in zip(answers, messages, strict=True):
        if answer.kind == Kind.ERROR:
            assert answer.payload.rstrip(b"\0").decode() in ERRORS
        else:
            assert answer.kind == message.kind
    assert _sound(stores[0])


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """They are requests, or the client is cut off; never anything else."""
    store = Store()
    connection = store.connect()
    try:
        store.feed(connection, data)
    except PeerError:
        assert any(int.from_bytes(data[at + 12 : at + 16], "little") > PAYLOAD_MAX for at in range(len(data)))
    assert _sound(store)


@given(message=MESSAGES, more=st.binary(max_size=20))
def test_messages_are_kept(message: Message, more: bytes) -> None:
    """What is encoded is taken, and what follows is left."""
    received = bytearray(message.encoded() + more)

    assert take(received) == message
    assert received == more


def test_headers_are_little_endian() -> None:
    """As on every machine that has Xen's domains of x86."""
    assert Message(2, 0x11223344, 5, b"a\0").encoded() == bytes.fromhex("02000000 44332211 05000000 02000000 6100")


@given(words=st.lists(st.binary(max_size=5).filter(lambda word: b"\0" not in word)))
def test_strings(words: list[bytes]) -> None:
    """Each has a NUL; without the last one they are none."""
    assert unpacked(strings(*words)) == words
    assert unpacked(strings(*words) + b"x") is None


# -- quotas -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Store:
    made = Store()
    owner = made.connect()
    _ask(made, owner, Kind.MKDIR, "/local/domain/5")
    _ask(made, owner, Kind.SET_PERMS, "/local/domain/5", "n5")
    return made


def test_a_guest_has_so_many_nodes(store: Store) -> None:
    """One of its own is its home; what it removes it may make again."""
    guest = store.connect(5, replace(GUEST, nodes=4))
    assert [_write(store, guest, name) for name in ("a", "b/c", "d")] == [b"OK\0", b"OK\0", "ENOSPC"]
    assert _ask(store, guest, Kind.RM, "a") == b"OK\0"
    assert _write(store, guest, "d") == b"OK\0"
    assert _ask(store, guest, Kind.MKDIR, "e") == "ENOSPC"


def test_nodes_of_a_transaction_count(store: Store) -> None:
    """Before its end, and not at all if it comes to none."""
    guest = store.connect(5, replace(GUEST, nodes=2))
    number = 1
    assert _ask(store, guest, Kind.TRANSACTION_START, "") == b"1\0"
    assert _write(store, guest, "a", transaction=number) == b"OK\0"
    assert _write(store, guest, "b", transaction=number) == "ENOSPC"
    assert _ask(store, guest, Kind.TRANSACTION_END, "F", transaction=number) == b"OK\0"
    assert _write(store, guest, "b") == b"OK\0"


@pytest.mark.parametrize(
    ("quotas", "ask", "error"),
    [
        (replace(GUEST, size=30), lambda s, c: _write(s, c, "a", bytes(31)), "ENOSPC"),
        (replace(GUEST, size=30), lambda s, c: _write(s, c, "a" * 30), "ENOSPC"),
        (replace(GUEST, watches=0), lambda s, c: _ask(s, c, Kind.WATCH, "a", "t"), "E2BIG"),
        (replace(GUEST, transactions=0), lambda s, c: _ask(s, c, Kind.TRANSACTION_START, ""), "ENOSPC"),
        (
            replace(GUEST, permissions=1),
            lambda s, c: _ask(s, c, Kind.SET_PERMS, "/local/domain/5", "n5", "r1"),
            "ENOSPC",
        ),
        (replace(DOMAIN_0, nodes=5), lambda s, c: _write(s, c, "/a/b/c"), "ENOSPC"),
        (replace(DOMAIN_0, nodes=6), lambda s, c: _write(s, c, "/a/b"), b"OK\0"),
    ],
    ids=["value", "path", "watches", "transactions", "permissions", "nodes", "nodes-enough"],
)
def test_quotas(store: Store, quotas: object, ask: Callable[[Store, Connection], object], error: object) -> None:
    """What is too much is refused, by name, and nothing is changed."""
    domain = 0 if getattr(quotas, "nodes", 0) < 10 else 5
    client = store.connect(domain, quotas)  # type: ignore[arg-type]  # the table has Quotas
    before = dict(store.tree.nodes)

    assert ask(store, client) == error
    assert error == b"OK\0" or store.tree.nodes == before


def test_a_transaction_looks_at_so_much(store: Store) -> None:
    """Its memory is bounded, too."""
    client = store.connect(0, replace(DOMAIN_0, looks=3))
    _ask(store, client, Kind.TRANSACTION_START, "")

    assert [_ask(store, client, Kind.READ, f"/{name}", transaction=1) for name in "abcd"][-1] == "ENOSPC"


def test_who_does_not_read_is_cut_off(store: Store) -> None:
    """Requests wait while answers wait; events do not, and end the client's connection."""
    client, other = store.connect(), store.connect()
    _write(store, other, "/a", bytes(4000))
    ask = Message(Kind.READ, 1, 0, strings("/a")).encoded()
    store.feed(client, ask * 100)
    assert PENDING < len(client.output) < PENDING + 2 * PAYLOAD_MAX
    del client.output[:]
    store.feed(client)
    assert len(client.output) > PENDING

    del client.output[:], client.received[:]
    _ask(store, client, Kind.WATCH, "/", "t" * 1000)
    for _ in range(2 * PENDING_MAX // 1000):
        _write(store, other, "/a")
    assert PENDING_MAX < len(client.output) < PENDING_MAX + 2 * PAYLOAD_MAX


# -- permissions ------------------------------------------------------------------------------------------------------


def test_what_a_guest_may_do(store: Store) -> None:
    """Anything to its own, and to others' what they let it; it does not learn what else is there."""
    owner, guest = store.connect(), store.connect(5)
    _write(store, owner, "/shown", b"1")
    _ask(store, owner, Kind.SET_PERMS, "/shown", "n0", "r5")
    _write(store, owner, "/hidden/x", b"1")

    assert _write(store, guest, "own/deep", b"1") == b"OK\0"
    assert store.tree.nodes["/local/domain/5/own/deep"].owner == 5
    assert _ask(store, guest, Kind.READ, "/shown") == b"1"
    assert _write(store, guest, "/shown") == "EACCES"
    assert _ask(store, guest, Kind.RM, "/shown") == "EACCES"
    assert _write(store, guest, "/shown/x") == "EACCES"
    for path in ("/hidden", "/hidden/x", "/hidden/none", "/none"):
        assert _ask(store, guest, Kind.READ, path) == "EACCES", path
    assert _ask(store, guest, Kind.READ, "none") == "ENOENT"
    assert _ask(store, guest, Kind.SET_PERMS, "own", "n4") == "EPERM"
    assert _ask(store, guest, Kind.SET_PERMS, "/shown", "n5") == "EACCES"
    assert _ask(store, guest, Kind.SET_PERMS, "own", "r5") == b"OK\0"


def test_what_only_domain_0_may_do(store: Store) -> None:
    """Domains are its own business."""
    guest = store.connect(5)
    for kind, words in ((Kind.INTRODUCE, "511"), (Kind.RELEASE, "5"), (Kind.RESUME, "5"), (Kind.SET_TARGET, "56")):
        assert _ask(store, guest, kind, *words) == "EACCES"
    assert _ask(store, guest, Kind.CONTROL, "check") == "EACCES"


def test_domains_come_and_go(store: Store) -> None:
    """Who watches for that hears of it, if it is domain 0; a stub domain may do what its target may."""
    owner, guest, watcher = store.connect(), store.connect(5), store.connect()
    for client in (watcher, guest):
        for name in ("@introduceDomain", "@releaseDomain"):
            _ask(store, client, Kind.WATCH, name, "t")
        _answers(client)
    assert _ask(store, owner, Kind.INTRODUCE, "6", "1", "1") == b"OK\0"
    assert _ask(store, owner, Kind.IS_DOMAIN_INTRODUCED, "6") == b"T\0"
    assert _ask(store, owner, Kind.SET_TARGET, "6", "5") == "ENOENT"
    assert _ask(store, owner, Kind.INTRODUCE, "5", "1", "1") == b"OK\0"
    assert _ask(store, owner, Kind.SET_TARGET, "6", "5") == b"OK\0"
    stub = store.connect(6)
    assert _write(store, stub, "/local/domain/5/x") == b"OK\0"
    assert _ask(store, owner, Kind.RELEASE, "6") == b"OK\0"
    assert _write(store, stub, "/local/domain/5/y") == "EACCES"

    names = [row.payload.split(b"\0")[0] for row in _answers(watcher)]
    assert names == [b"@introduceDomain", b"@introduceDomain", b"@releaseDomain"]
    assert _answers(guest) == []


def test_no_events_about_what_may_not_be_read(store: Store) -> None:
    """A watch on everything shows a guest only what it may read."""
    owner, guest = store.connect(), store.connect(5)
    _ask(store, guest, Kind.WATCH, "/", "t")
    _answers(guest)
    _write(store, owner, "/hidden")
    _write(store, owner, "/local/domain/5/own")

    assert [row.payload for row in _answers(guest)] == [strings("/local/domain/5/own", "t")]


@given(text=st.binary(max_size=8) | st.from_regex(rb"[nrwbx][0-9]{0,6}", fullmatch=True))
def test_permissions_are_said_as_they_are_read(text: bytes) -> None:
    """A letter and a number, or an error."""
    if text[:1] in (b"n", b"r", b"w", b"b") and text[1:].isdigit() and len(text) < 7:
        assert permission(bytes(permission(text))) == permission(text)
    else:
        with pytest.raises(StoreError, match="EINVAL"):
            permission(text)


def test_permissions_of_others() -> None:
    """A row of its own goes before what all may do."""
    node = Node((Permission(3, 1), Permission(4, 0), Permission(5, 3)))

    assert [node.allows(domain, 1) for domain in (0, 3, 4, 5, 6)] == [True, True, False, True, True]
    assert [node.allows(domain, 2) for domain in (0, 3, 4, 5, 6)] == [True, True, False, True, False]


def test_paths() -> None:
    """What is a path, what is above and what is below."""
    assert absolute(b"a/b", 5) == "/local/domain/5/a/b"
    assert absolute(b"@x", 0, special=True) == "@x"
    assert parent("/a/b") == "/a"
    assert parent("/a") == parent("/") == "/"
    assert below("/a/b", "/a")
    assert below("/a", "/")
    assert not below("/ab", "/a")
    for bad in (b"/" + b"a" * 3080, b"a" * 2049, b"/a\n", b"/a/", b"\xff", b"/a b"):
        with pytest.raises(StoreError, match="EINVAL"):
            absolute(bad, 0)


def test_the_root_stays() -> None:
    """It is there from the beginning, and belongs to domain 0."""
    assert Tree().get("/") == Node((Permission(0, 0),))
    assert HEADER.size == 16
