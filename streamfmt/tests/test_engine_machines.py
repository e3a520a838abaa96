"""The machines of savers, restorers and both sides of `xl migrate`: whole, drawn, and ended once whatever happens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .. import tables
from ..engine import handshake
from ..engine.flow import Input, Output
from ..engine.machine import Machine
from ..engine.restorer import Restorer
from ..engine.saver import Saver
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import CancelledError, LinkError
from ..render import automata
from ..schema.transitions import AUTOMATA, OTHER, READER, RECEIVER, SENDER, WRITER, Automaton, faults
from .support.moving import working

EACH = pytest.mark.parametrize("machine", AUTOMATA, ids=lambda machine: machine.name)


@EACH
def test_a_machine_is_whole(machine: Automaton) -> None:
    """States, events and actions are explained, used and reached; no state has two answers."""
    assert faults(machine) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"moves": READER.moves[1:]}, "action"),
        ({"moves": (*READER.moves, READER.moves[0])}, "two rows"),
        ({"moves": (*READER.moves, ("normal", "start", "lost", "normal"))}, "not explained"),
        ({"moves": (*READER.moves, ("done", "start", "", "done"))}, "is an end"),
        ({"states": {**READER.states, "lost": "nowhere"}}, "never reached"),
        ({"events": {**READER.events, "rain": "falls"}}, "never matters"),
        ({"owners": {"idle": "source"}}, "no owner"),
    ],
)
def test_what_is_wrong_with_a_machine_is_found(change: dict[str, object], words: str) -> None:
    """Each kind of fault is, by its name."""
    moves = [row for row in READER.moves if row[2] != "convert"] if words == "action" else None
    changed = replace(READER, **({"moves": tuple(moves)} if moves else change))

    assert any(words in fault for fault in faults(changed))


@EACH
def test_there_is_an_answer_to_everything(machine: Automaton) -> None:
    """In any state, to any event; an end stays an end, and a failure or the wish to end leads towards one."""
    for state, event in product(machine.states, machine.events):
        action, after = machine.step(state, event)

        assert after in machine.states
        assert action in (*machine.actions, "")
        if state in machine.ends:
            assert (action, after) == ("", state)
        elif event in ("failed", "abort") and state != "idle":
            assert _ends(machine, after)


def _ends(machine: Automaton, state: str) -> bool:
    """Whether an end can be reached from there."""
    seen, left = {state}, [state]
    while left:
        at = left.pop()
        if at in machine.ends:
            return True
        found = {machine.step(at, event)[1] for event in (*machine.events, "torn down")} - seen
        seen |= found
        left += found
    return False


def test_the_reader_knows_each_record() -> None:
    """Each record of libxl's is an event of it."""
    assert {*tables.RECORDS["libxl"].values()} <= READER.events.keys()


def test_the_document_is_current() -> None:
    """docs/engine-states.md is what `make generate` writes, and says each state, event and action."""
    text = automata.text()

    assert Path(automata.TARGET).read_text() == text
    for machine in AUTOMATA:
        for name in (*machine.states, *machine.events, *machine.actions):
            assert f"| {name} |" in text


# -- whatever happens, it ends once ------------------------------------------------------------------------------


class _Once:
    """A completion that counts."""

    def __init__(self) -> None:
        self.errors: list[BaseException | None] = []

    def __call__(self, error: BaseException | None) -> None:
        self.errors.append(error)


@pytest.fixture
def dead() -> Iterator[tuple[SocketEnd, Waiter]]:
    """A link whose other side has gone."""
    here, there = socket.socketpair()
    there.close()
    here.setblocking(False)
    end, waiter = SocketEnd(here, "here"), Waiter()
    yield end, waiter
    end.close()
    waiter.close()


@pytest.mark.parametrize("state", READER.states)
def test_a_restorer_ends_once(state: str, dead: tuple[SocketEnd, Waiter]) -> None:
    """From any state, after any event, and whatever fails then: one completion, and no more of it after abort."""
    for event in READER.events:
        once = _Once()
        restorer = Restorer(Input(*dead), lambda image: working(), completion=once)
        if state not in ("idle", "stopping", "done"):
            restorer.queue.extend([("END", b"")] * 2)
        restorer.machine.state = state
        restorer.machine.happen(event)
        restorer.abort()
        restorer.abort()

        assert restorer.machine.ended or restorer.machine.state == "idle" or state == "stopping", event
        assert len(once.errors) == (restorer.machine.ended and state != "done"), event
        assert not restorer.queue, event


@pytest.mark.parametrize("state", WRITER.states)
def test_a_saver_ends_once(state: str, dead: tuple[SocketEnd, Waiter]) -> None:
    """Likewise."""
    guest = working()
    for event in WRITER.events:
        once = _Once()
        saver = Saver(guest, Output(*dead), lambda: None, completion=once)
        saver.machine.state = state
        saver.machine.happen(event)
        saver.abort()

        assert saver.machine.ended or saver.machine.state == "idle" or state == "stopping", event
        assert len(once.errors) == (saver.machine.ended and state != "done"), event
    guest.close()


@given(st.data())
def test_any_course_ends_once(data: st.DataObject) -> None:
    """Whatever actions come to, and whatever is asked for: one completion."""
    machine = data.draw(st.sampled_from((READER, WRITER)))
    reports: list[int] = []
    events = st.sampled_from([*machine.events, OTHER])

    def done(name: str) -> str:
        if name == "report":
            reports.append(1)
            return ""
        if name in ("tear_down", "refuse"):
            return "torn down"
        if len(reports) < 50 and data.draw(st.booleans()):
            raise LinkError("cut")
        return ""

    run = Machine(machine, {name: lambda name=name: done(name) for name in machine.actions})  # type: ignore[misc]
    for event in data.draw(st.lists(events, max_size=12)):
        run.happen(event)
    began = run.state != "idle"
    run.happen("abort")
    run.happen("abort")

    assert len(reports) == run.ended
    assert run.ended or not began or run.state == "stopping"


def test_an_action_that_is_interrupted_ends_it() -> None:
    """Ctrl-C in an action is one more reason to end, and is what is raised."""

    def interrupted() -> str:
        raise KeyboardInterrupt

    actions = {name: (lambda: "torn down") for name in WRITER.actions} | {"write_header": interrupted}
    run = Machine(WRITER, actions | {"report": lambda: ""})
    run.happen("start")

    assert run.ended
    assert isinstance(run.error, KeyboardInterrupt)


def test_a_machine_wants_all_its_actions() -> None:
    """One that has nothing to do something with is refused."""
    with pytest.raises(ValueError, match="write_end"):
        Machine(WRITER, {name: (lambda: "") for name in WRITER.actions if name != "write_end"})


def test_a_restorer_that_was_ended_says_so(dead: tuple[SocketEnd, Waiter]) -> None:
    """Its error is that somebody asked for the end."""
    once = _Once()
    restorer = Restorer(Input(*dead), lambda image: working(), completion=once)
    restorer.machine.state = "normal"
    restorer.abort()

    assert [type(error) for error in once.errors] == [CancelledError]


# -- who has the guest -------------------------------------------------------------------------------------------

# What each action sends, by side.
_SAYS = {
    "give": ("GO",),
    "tell": ("REPORT", "started"),
    "decline": ("REPORT", "not started", "GIVE_BACK"),
    "offer": ("READY",),
    "receive": ("GREETING",),
}
# The events that an action may end with by itself; others wait for a message.
_OUTCOMES = {
    "send_stream": ("sent",),
    "start_guest": ("started",),
    "receive": ("received",),
    "tell": ("reported",),
    "decline": ("reported",),
}
_State = tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _courses() -> set[_State]:
    """Every state that both sides can be in together, whatever is lost, and whenever either fails.

    A state has both sides' own, the messages on their way to each, and what each may do by itself.
    """
    begin: _State = (SENDER.start, RECEIVER.start, (), (), ("start",), ("start",))
    seen, left = {begin}, [begin]
    while left:
        for after in _after(left.pop()):
            if after not in seen:
                seen.add(after)
                left.append(after)
    return seen


def _after(at: _State) -> Iterator[_State]:
    sender, receiver, to_sender, to_receiver, own_s, own_r = at
    mine = [(event, to_sender) for event in (*own_s, "failed", "abort")]
    mine += [(to_sender[0], to_sender[1:])] if to_sender and not own_s else []
    for event, rest in mine:
        action, after = SENDER.step(sender, event)
        says = _SAYS.get(action, ()) if action == "give" else ()
        ends = after in SENDER.ends
        yield after, receiver, () if ends else rest, (*to_receiver, *says), _OUTCOMES.get(action, ()), own_r
        # What was said may be lost on the way, and then all that follows.
        if says:
            yield after, receiver, rest, to_receiver, _OUTCOMES.get(action, ()), own_r
    theirs = [(event, to_receiver) for event in (*own_r, "failed", "abort")]
    theirs += [(to_receiver[0], to_receiver[1:])] if to_receiver and not own_r else []
    for event, rest in theirs:
        action, after = RECEIVER.step(receiver, event)
        says = _SAYS.get(action, ())
        for many in range(len(says) + 1):
            yield sender, after, (*to_sender, *says[:many]), rest, own_s, _OUTCOMES.get(action, ())


def test_messages_are_those_of_xl() -> None:
    """By the sizes that captures of xl migrate show; who gives the guest back says what hands it over."""
    sizes = {name: len(message) for name, message in handshake.MESSAGES.items()}

    assert sizes == {"GREETING": 54, "READY": 34, "GO": 44, "REPORT": 39, "GIVE_BACK": 44}
    assert handshake.GO == handshake.GIVE_BACK
    assert handshake.answer(handshake.STARTED) == handshake.REPORT + b"\0"
    assert handshake.answer(3) == handshake.REPORT + b"\3" + handshake.GO
    assert [handshake.judged(status) for status in (0, 3, 0xFF)] == ["started", "not started", "not started"]
    assert [handshake.in_words(status) for status in (3, 0xFF)] == ["libxl's return code -3", "its own return code 1"]
    states = {(machine.name, state) for machine in (SENDER, RECEIVER) for state in machine.states}
    assert handshake.AWAITED.keys() <= states
    for (name, state), awaited in handshake.AWAITED.items():
        machine = {"sender": SENDER, "receiver": RECEIVER}[name]
        assert (state, awaited.event) in {move[:2] for move in machine.moves}


def test_never_two_guests_run_and_never_none_is_left() -> None:
    """Over all courses of both sides together: see the table's own words on owners."""
    running = {"starting", "telling", "running"}
    courses = _courses()
    ends = {(at[0], at[1]) for at in courses if at[0] in SENDER.ends and at[1] in RECEIVER.ends}

    assert len(courses) > 100
    # Where the source lets its guest go on, the other side's copy does not run, and will not.
    kept = [at for at in courses if at[0] == "kept"]
    assert kept
    assert not [at for at in kept if at[1] in running or ("GO" in at[3] and at[1] == "complete")]
    # Only one that runs over there is given up here.
    assert {there for here, there in ends if here == "moved"} == {"running"}
    # Nowhere do both sides say that the guest is theirs.
    both = {at[:2] for at in courses if SENDER.owners[at[0]] == "source" and RECEIVER.owners[at[1]] == "destination"}
    assert {there for here, there in both} <= {"declining"}
    # The rest is what cannot be known: the source keeps its copy, paused.
    assert {there for here, there in ends if here == "in doubt"} == {"running", "ended", "returned"}
