"""What is made before anybody has come: a guest's process, its memory, and what judges the stream, in any pieces."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine import entries, frames
from ..engine.guest.makes import Ready, Wanted, empty, running
from ..engine.guest.memory import PAGE, Memory
from ..engine.guest.programs import FIRST, Work
from ..engine.guest.remote import RemoteGuest
from ..engine.judging import Judge, warm
from ..errors import GuestError, PeerError
from .support.guests import need
from .support.moving import moved, way, working

PAGES = 64


def alive(process: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("private", [True, False])
def test_memory_is_there(private: bool) -> None:
    """All of it has pages, of zeros, and keeps what it had."""
    memory = Memory(PAGES, private=private)
    memory.view[PAGE] = 7
    memory.populate()

    assert memory.populated() == frames.run(0, PAGES)
    assert memory.filled(memory.populated()) == 1 << 1
    memory.close()


@pytest.mark.parametrize("kind", ["process", "model"])
def test_a_guest_has_what_was_made_for_it(kind: str) -> None:
    """One of the size that was asked for has all of its memory; another has holes; both can go on."""
    need(kind)
    for pages in (PAGES, 2 * PAGES):
        ready = Ready(kind, PAGES)
        guest = empty(kind, "hvm", pages, ready=ready)
        wanted = frames.run(0, PAGES) if pages == PAGES else frames.NONE

        assert guest.pages == pages
        assert guest.populated() & wanted == wanted
        assert (guest.populated() == frames.run(0, pages)) == (pages == PAGES)
        ready.close()
        assert guest.digest()
        guest.close()


def test_a_process_is_taken_once_or_ended() -> None:
    """The guest lives in the one that was started ahead; what nobody took is ended, as is one whose guest fails."""
    need("process")
    ready = Ready("process")
    home = ready.home()
    guest = RemoteGuest.inside(home, "process", Memory(PAGES))
    assert guest.process == home.process.pid
    other = ready.home()
    assert other.process.pid != home.process.pid
    other.close()
    ready.close()
    assert alive(guest.process)
    guest.close()
    assert not alive(home.process.pid)

    unused = Ready("process", PAGES)
    process = unused._guest.process if unused._guest else 0
    assert alive(process)
    unused.close()
    unused.close()
    assert not alive(process)


def test_a_state_is_that_of_the_last_stop() -> None:
    """It is made when the guest stops; what it was at another stop, or before it was loaded, is not taken for it."""
    need("process")
    work = Work("counters", FIRST, 8)
    guest = RemoteGuest.make("process", Memory(PAGES), [work])
    states = []
    for _ in range(2):
        guest.resume()
        time.sleep(0.02)
        guest.pause()
        states.append([(part.name, bytes(part.body("<"))) for part in guest.state()])
    assert states[0] != states[1]
    guest.load(states[0])

    assert [(part.name, bytes(part.body("<"))) for part in guest.state()] == states[0]
    guest.close()


@pytest.fixture(scope="module")
def stream() -> bytes:
    """A guest on its way."""
    found = moved(working("hvm", 1e4), way())
    for guest in (found.guest, found.sending.guest):
        if guest is not None:
            guest.close()
    return found.stream


@settings(max_examples=25)
@given(st.data())
def test_a_stream_is_judged_in_any_pieces(stream: bytes, data: st.DataObject) -> None:
    """However it comes, and whenever it is settled: what does not conform is found, at the end at the latest."""
    warm()
    bad = data.draw(st.integers(0, 1))
    version = stream.index(b"LibxlFmt") + 11
    judged = bytearray(stream)
    judged[version] ^= bad
    cuts = sorted(data.draw(st.lists(st.integers(0, len(judged)), max_size=8)))
    settled = data.draw(st.integers(0, 1 << 9))
    judge = Judge("xl")
    try:
        for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(judged)], strict=True)):
            judge.see([judged[first:last]])
            if settled >> number & 1:
                judge.settle()
        judge.end()
    except PeerError:
        assert bad
    else:
        assert not bad
        assert judge.done
    finally:
        judge.close()


def test_what_is_kept_to_be_judged_is_bounded(stream: bytes) -> None:
    """However small the pieces are, they are judged before there are many."""
    judge = Judge("xl")
    for at in range(0, 4000, 2):
        judge.see([stream[at : at + 2]])

        assert len(judge._held) < 300
    judge.close()


@given(st.integers(0, 1 << 26), st.integers(1, 1024), st.sampled_from([0, 9, 0xE]))
def test_entries_have_frame_and_type(first: int, count: int, kind: int) -> None:
    """Wherever they are, and wherever what is prepared together ends."""
    entries.warm()
    found = bytes(entries.Entries(kind).slice(first, count))

    assert found == b"".join((kind << 60 | frame).to_bytes(8, "little") for frame in range(first, first + count))


def test_a_model_has_a_rate() -> None:
    """What writes as much as it can is a process or a machine."""
    with pytest.raises(GuestError, match="give it a rate"):
        running("model", Wanted("hvm", PAGES, written=4, rate=float("inf")))


def test_nothing_is_open_afterwards() -> None:
    """No descriptor is left by what nobody took."""
    need("process")
    Ready("process", PAGES).close()
    before = len(os.listdir("/proc/self/fd"))
    Ready("process", PAGES).close()
    Ready("model", PAGES).close()

    assert len(os.listdir("/proc/self/fd")) == before
