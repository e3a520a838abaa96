"""The proxy: bytes go through unchanged; what is asked for happens at its place; ends, errors and last words too."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..checks.verifier import Verifier
from ..cli.main import main
from ..engine import places
from ..engine.interface import End
from ..engine.places import Finder, Passing, Place
from ..engine.proxy import Direction, Faults, Proxy, Result
from ..engine.transport.ends import connect, listen
from ..engine.transport.moving import last_words, receive_some, send_all
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import LinkError
from ..reader.pump import Pump
from .support.good_streams import HVM, XL_HVM
from .support.kill_points import environment

SECONDS = 20.0
STREAM = bytes(XL_HVM.render())


class Link:
    """Two ends with a proxy between them, which runs in a thread of its own."""

    def __init__(
        self, forward: Direction, back: Direction | None = None, tcp: bool = False, reset: bool = False
    ) -> None:
        self.waiter = Waiter()
        self.left, left = _pair(tcp)
        self.right, right = _pair(tcp)
        self.results: list[Result] = []

        def run() -> None:
            with closing(Waiter()) as waiter:
                proxy = Proxy(left, right, forward, Direction(), waiter, reset)
                self.results.append(proxy.run())

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def result(self) -> Result:
        """What came of it, once it is over."""
        self.thread.join(SECONDS)
        (found,) = self.results
        return found

    def close(self) -> None:
        self.left.close()
        self.right.close()
        self.thread.join()
        self.waiter.close()


def _pair(tcp: bool) -> tuple[SocketEnd, SocketEnd]:
    if not tcp:
        one, other = socket.socketpair()
        return SocketEnd(one, "outer"), SocketEnd(other, "inner")
    with closing(Waiter()) as waiter, closing(listen("tcp:127.0.0.1:0")) as listener:
        end = connect(listener.uri, waiter)
        accepted = listener.accept(waiter, waiter.clock() + SECONDS)
    assert isinstance(end, SocketEnd)
    assert isinstance(accepted, SocketEnd)
    return end, accepted


@pytest.fixture
def link() -> Iterator[Callable[..., Link]]:
    made: list[Link] = []

    def make(forward: Direction, tcp: bool = False, reset: bool = False) -> Link:
        made.append(Link(forward, tcp=tcp, reset=reset))
        return made[-1]

    yield make
    for it in made:
        it.close()


def _sends(end: End, data: bytes, finish: bool = True) -> threading.Thread:
    """Send from another thread, as far as that goes."""

    def run() -> None:
        with closing(Waiter()) as waiter:
            try:
                send_all(end, [data], waiter, waiter.clock() + SECONDS)
            except LinkError:
                return
            if finish:
                end.finish()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _all(end: End, waiter: Waiter) -> bytes:
    found, room = bytearray(), memoryview(bytearray(1 << 16))
    try:
        while got := receive_some(end, room, waiter, waiter.clock() + SECONDS):
            found += room[:got]
    except LinkError:
        pass
    return bytes(found)


@pytest.mark.parametrize("crumbs", [False, True])
def test_both_directions(link: Callable[..., Link], crumbs: bool) -> None:
    """Every byte goes through, in order, and each side's end; with crumbs in many more pieces."""
    data = Random(1).randbytes(3_000_000)
    it = link(Direction(Faults(crumbs=crumbs)))
    sending = _sends(it.left, data)
    assert _all(it.right, it.waiter) == data
    # One side has ended: the other still has its say.
    send_all(it.right, [b"thank you"], it.waiter)
    it.right.finish()
    assert _all(it.left, it.waiter) == b"thank you"
    sending.join()
    result = it.result()
    assert (result.forward.bytes, result.back.bytes) == (len(data), 9)
    assert result.forward.ended
    assert result.back.ended
    assert (result.forward.pieces > 200) == crumbs
    assert not result.cut


@settings(max_examples=30)
@given(at=st.integers(0, len(STREAM)), seed=st.integers(0, 100), crumbs=st.booleans())
def test_cut_at_any_byte(at: int, seed: int, crumbs: bool) -> None:
    """Exactly so many bytes arrive, and both sides see that the link is gone."""
    it = Link(Direction(Faults(cut=Place(at), crumbs=crumbs), seed=seed))
    sending = _sends(it.left, STREAM, finish=False)
    assert _all(it.right, it.waiter) == STREAM[:at]
    assert _all(it.left, it.waiter) == b""
    sending.join()
    assert it.result().forward.bytes == at
    it.close()


def _records() -> list[tuple[str, str, int, int]]:
    """Layer, name, offset and end of each record of the stream, as `open` has them."""
    from ..api import Record
    from ..api import open as opened

    with opened(STREAM) as stream:
        rows = [item for item in stream if isinstance(item, Record)]
        return [(it.layer.rpartition("/")[2], it.name, it.offset, it.body + it.length + it.padding) for it in rows]


@settings(max_examples=30)
@given(data=st.data(), crumbs=st.booleans(), verify=st.booleans())
def test_cut_at_any_record(data: st.DataObject, crumbs: bool, verify: bool) -> None:
    """After a record, or inside it, whatever pieces it comes in, and whether it is judged too."""
    rows = _records()
    layer, name, offset, end = data.draw(st.sampled_from(rows))
    number = sum(row[:2] == (layer, name) and row[2] <= offset for row in rows)
    more = data.draw(st.none() | st.integers(0, end - offset))
    place = Place(more, name, number, layer)
    it = Link(Direction(Faults(cut=place, crumbs=crumbs), Verifier() if verify else None))
    rng = Random(1)

    def sends() -> None:
        left = memoryview(STREAM)
        with closing(Waiter()) as waiter:
            try:
                while left:
                    count = rng.choice((1, 3, 24, 5000))
                    send_all(it.left, [left[:count]], waiter, waiter.clock() + SECONDS)
                    left = left[count:]
            except LinkError:
                pass

    thread = threading.Thread(target=sends)
    thread.start()
    expected = end if more is None else offset + more
    assert len(_all(it.right, it.waiter)) == expected
    thread.join()
    assert str(place) in it.result().cut
    it.close()


def test_reset(link: Callable[..., Link]) -> None:
    """Over TCP a cut can look like a crash, and what was let through before it arrives all the same."""
    it = link(Direction(Faults(cut=Place(5))), tcp=True, reset=True)
    send_all(it.left, [b"0123456789"], it.waiter)
    it.thread.join(SECONDS)
    room = memoryview(bytearray(5))
    assert receive_some(it.right, room, it.waiter) == 5
    with pytest.raises(LinkError, match="reset by peer"):
        receive_some(it.right, room, it.waiter, it.waiter.clock() + SECONDS)
    with pytest.raises(LinkError, match="reset by peer"):
        receive_some(it.left, room, it.waiter, it.waiter.clock() + SECONDS)


def test_stall(link: Callable[..., Link]) -> None:
    """Nothing goes on for as long as asked, and then the rest."""
    it = link(Direction(Faults(stall=Place(1000), seconds=0.2)))
    data = Random(2).randbytes(5000)
    _sends(it.left, data).join()
    room = memoryview(bytearray(10_000))
    got = 0
    while got < 1000:
        got += receive_some(it.right, room[got:], it.waiter)
    begin = time.monotonic()
    while count := receive_some(it.right, room[got:], it.waiter, it.waiter.clock() + SECONDS):
        if got == 1000:
            assert time.monotonic() - begin > 0.1
        got += count
    assert bytes(room[:got]) == data
    it.right.finish()
    assert it.result().forward.stalled is not None


@pytest.mark.parametrize(("size", "each"), [(5000, 61), (1100, 50), (1007, 3), (1001, 0), (1000, 0)])
def test_crumbs_change_places(link: Callable[..., Link], size: int, each: int) -> None:
    """Two of them, once, whatever sizes they came in; all else is as it was."""
    it = link(Direction(Faults(swap=Place(1000), crumbs=size < 5000)))
    data = Random(3).randbytes(size)
    _sends(it.left, data)
    it.right.finish()
    there = _all(it.right, it.waiter)
    middle = data[1000 + each : 1000 + 2 * each] + data[1000 : 1000 + each]

    assert there == data[:1000] + middle + data[1000 + 2 * each :]
    assert (it.result().forward.swapped is not None) == bool(each)


def test_swapped_crumbs_do_not_wait_for_more(link: Callable[..., Link]) -> None:
    """Where the sender waits for an answer, those change places that are here."""
    it = link(Direction(Faults(swap=Place(0))))
    send_all(it.left, [b"abcd"], it.waiter)
    room = memoryview(bytearray(4))
    got = 0
    while got < 4:
        got += receive_some(it.right, room[got:], it.waiter, it.waiter.clock() + SECONDS)

    assert bytes(room) == b"cdab"


@pytest.mark.parametrize("tcp", [False, True])
def test_stall_for_ever(link: Callable[..., Link], tcp: bool) -> None:
    """It ends when both sides have gone, though nobody reads from the sender; the other direction is as ever."""
    it = link(Direction(Faults(stall=Place(0))), tcp=tcp)
    send_all(it.left, [bytes(10)], it.waiter)
    send_all(it.right, [b"are you there?"], it.waiter)
    assert receive_some(it.left, memoryview(bytearray(100)), it.waiter, it.waiter.clock() + SECONDS) == 14
    assert it.thread.is_alive()
    it.left.close()
    it.thread.join(0.1)
    assert it.thread.is_alive()  # nothing passes: the receiver cannot know
    assert not it.results
    it.right.close()
    assert it.result().forward.bytes == 0


def test_speed(link: Callable[..., Link]) -> None:
    """No more goes through in a second."""
    it = link(Direction(Faults(speed=10e6)))
    begin = time.monotonic()
    sending = _sends(it.left, bytes(3_000_000))
    assert len(_all(it.right, it.waiter)) == 3_000_000
    took = time.monotonic() - begin
    sending.join()
    it.right.finish()
    assert 0.2 < took < 15
    assert it.result().forward.bytes == 3_000_000


@pytest.mark.parametrize("tcp", [False, True])
def test_receiver_that_goes(link: Callable[..., Link], tcp: bool) -> None:
    """What it said last reaches the sender, and then that it has gone."""
    it = link(Direction(), tcp=tcp)
    sending = _sends(it.left, bytes(64 << 20))
    receive_some(it.right, memoryview(bytearray(100)), it.waiter)
    send_all(it.right, [b"no room here\n"], it.waiter)
    it.right.close()
    assert last_words(it.left, it.waiter, SECONDS) == b"no room here\n"
    sending.join(SECONDS)
    assert not sending.is_alive()
    result = it.result()
    assert result.forward.error or result.back.error  # whichever direction meets it first
    assert result.back.bytes == 13


def test_sender_that_crashes(link: Callable[..., Link]) -> None:
    """Over TCP the receiver sees a crash too, not an end."""
    it = link(Direction(), tcp=True)
    send_all(it.left, [b"some"], it.waiter)
    room = memoryview(bytearray(4))
    assert receive_some(it.right, room, it.waiter, it.waiter.clock() + SECONDS) == 4
    it.left.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
    it.left.close()
    with pytest.raises(LinkError, match="reset by peer"):
        receive_some(it.right, room, it.waiter, it.waiter.clock() + SECONDS)
    assert "reset by peer" in it.result().forward.error


def test_records_what_arrived(link: Callable[..., Link]) -> None:
    """What is recorded is what went on, not what was cut off."""
    kept = bytearray()
    it = link(Direction(Faults(cut=Place(700)), record=kept.extend))
    _sends(it.left, STREAM)
    _all(it.right, it.waiter)
    it.result()
    assert kept == STREAM[:700]


def test_reader_at_fault(monkeypatch: pytest.MonkeyPatch, link: Callable[..., Link]) -> None:
    """A bug in the reader does not hold up a byte."""
    passing = Direction(sink=Verifier())
    assert passing.passing is not None
    monkeypatch.setattr(Pump, "feed", lambda pump, data: 1 // 0)
    it = link(passing)
    _sends(it.left, STREAM)
    assert _all(it.right, it.waiter) == STREAM
    it.right.finish()
    it.result()
    assert passing.passing.failure is not None
    assert "ZeroDivisionError" in passing.passing.failure.reason


# -- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0", Place(0)),
        ("3MiB", Place(3 << 20)),
        ("page_data", Place(None, "PAGE_DATA")),
        ("libxl.END", Place(None, "END", 1, "libxl")),
        ("CHECKPOINT:2+4", Place(4, "CHECKPOINT", 2)),
        ("END+0", Place(0, "END")),
    ],
)
def test_places(text: str, place: Place) -> None:
    """Bytes, or a record."""
    assert places.parse(text) == place
    if place.record:
        assert places.parse(str(place)) == place


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no place; the form is BYTES, or RECORD"),
        ("-1", "is no place"),
        ("5MB", "is no place"),
        ("PAGE_DATE", "no record of any layer is called PAGE_DATE"),
        ("libxl.PAGE_DATA", "no record of libxl is called PAGE_DATA"),
        ("what.END", "no record of what is called END"),
        ("END:0", "records are counted from 1"),
    ],
)
def test_wrong_places(text: str, says: str) -> None:
    """What is wrong is said."""
    with pytest.raises(ValueError, match=re.escape(says)):
        places.parse(text)


def test_places_in_page_records() -> None:
    """Records of pages are counted one by one, although readers take clean ones together."""
    rows = [row for row in _records() if row[1] == "PAGE_DATA"]
    wanted = tuple(Place(None, "PAGE_DATA", number + 1) for number in range(len(rows)))
    finder = Finder(wanted)
    passing = Passing(finder, "auto")
    passing.see(STREAM)
    assert [finder.found[place] for place in wanted] == [end for _, _, _, end in rows]
    assert finder.done


# -- the command ------------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Between two links, with its result and its verdict as JSON; and a cut by a record's name."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(STREAM)
    words = [f"exec:cat {source}", f"exec:cat >{target}"]
    assert main(["migrate", "proxy", *words, "--verify", "--json", "--record", str(tmp_path / "record")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["listening", "result"]
    assert lines[-1]["forward"]["bytes"] == len(STREAM)
    assert lines[-1]["verified"]["verdict"] == "conforms"
    assert target.read_bytes() == STREAM == (tmp_path / "record").read_bytes()

    assert main(["migrate", "proxy", *words, "--cut-after", "libxc.END"]) == 0
    _, _, _, end = next(row for row in _records() if row[:2] == ("libxc", "END"))
    assert target.read_bytes() == STREAM[:end]
    assert "streamfmt: cut at libxc.END:1, after" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--cut-after", "CHECKPOINT"], 1, "the cut at CHECKPOINT:1 did not happen: 10"),
        (["--verify"], 1, "source: does not conform"),
        (["--cut-after", "PAGE_DATE"], 2, "no record of any layer is called PAGE_DATE"),
        (["--cut-after", "END", "--back"], 2, "a place in the direction back has to be in bytes"),
        (["--speed", "fast"], 2, "is not a speed"),
        (["--for", "-1"], 2, "is no number of seconds"),
        (["--record", "/none/record"], 3, "No such file or directory"),
    ],
)
def test_command_says_what_is_wrong(
    words: list[str], status: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults that do not happen, streams that do not conform, and wrong words."""
    (tmp_path / "source").write_bytes(bytes(HVM.render())[:10] if "--verify" not in words else STREAM[:-30])
    try:
        found = main(["migrate", "proxy", f"exec:cat {tmp_path}/source", "exec:cat >/dev/null", *words])
    except SystemExit as left:
        found = int(str(left.code))
    assert found == status
    assert says.replace("source", "forward") in capsys.readouterr().err


def test_command_as_a_pipe(tmp_path: Path) -> None:
    """With - it carries what its standard input and output have, and says the rest on standard error."""
    path = tmp_path / "socket"
    with closing(Waiter()) as waiter, closing(listen(f"unix:{path}")) as listener:
        command = [sys.executable, "-m", "streamfmt", "migrate", "proxy", "-", f"unix:{path}", "--json"]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert child.stdin is not None
        child.stdin.write(b"question")
        child.stdin.close()
        child.stdin = None
        end = listener.accept(waiter, waiter.clock() + SECONDS)
        assert _all(end, waiter) == b"question"
        send_all(end, [b"answer"], waiter)
        end.close()
        out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (0, b"answer")
    assert json.loads(err.splitlines()[-1])["forward"]["bytes"] == 8


def test_second_sender(tmp_path: Path) -> None:
    """It is refused while the first goes on; and a receiver that is not there is said to the first by an end."""
    one, two = tmp_path / "one", tmp_path / "two"
    with closing(Waiter()) as waiter:
        command = [sys.executable, "-m", "streamfmt", "migrate", "proxy", f"unix:{one}", f"unix:{two}", "--json"]
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment())
        assert child.stdout is not None
        assert b"listening" in child.stdout.readline()  # the path alone is there a moment too soon
        first = connect(f"unix:{one}", waiter, waiter.clock() + SECONDS)
        assert _all(first, waiter) == b""
        first.close()
        _, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 1
    assert b"nobody listens there" in err
    assert not one.exists()
    assert not os.listdir(tmp_path)
