"""COLO's tables: whole, drawn, the same as what the sides do; and each side ends once, wherever it is ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..engine.colo.party import Colo
from ..engine.colo.primary import Primary
from ..engine.colo.secondary import Secondary
from ..engine.side import Asked, Patience
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..render import colo as drawn
from ..schema.colo import (
    AUTOMATA,
    DESTROYED,
    GOES_ON,
    OURS,
    PRIMARY,
    PRIMARY_DECISIONS,
    SECONDARY,
    SECONDARY_DECISIONS,
    SEQUENCE,
    STATUS,
    SURVIVES,
    THEIRS,
    Decision,
)
from ..schema.libxl import CHECKPOINT_STATES
from ..schema.transitions import Automaton, faults
from .support.moving import another, way, working

EACH = pytest.mark.parametrize("machine", AUTOMATA, ids=lambda machine: machine.name)
_ENDS = {"kept": GOES_ON, "ended": DESTROYED, "survived": SURVIVES, "destroyed": DESTROYED}
_SHORT = Patience(0.2, 0.2, 0.2, 0.2)


@EACH
def test_a_machine_is_whole(machine: Automaton) -> None:
    """As those of savers and restorers are."""
    assert faults(machine) == []
    for state in machine.states:
        for event in machine.events:
            action, after = machine.step(state, event)
            assert after in machine.states
            assert action in (*machine.actions, "")


def _outcome(machine: Automaton, row: Decision, whose: str) -> str:
    """Where the table leads from a decision's state by its event, when nothing more fails."""
    state, event = row.state, row.event
    while state not in machine.ends:
        action, state = machine.step(state, event)
        event = {"claim": whose, "fail_over": whose, "report": "", "": ""}.get(action, "torn down")
        if not event and state not in machine.ends:
            return GOES_ON  # it has not begun
    return _ENDS[state]


@pytest.mark.parametrize("row", SECONDARY_DECISIONS, ids=lambda row: row.key)
def test_the_secondary_decides_as_its_table_says(row: Decision) -> None:
    """And never survives where the witness has given the guest to the other side."""
    assert _outcome(SECONDARY, row, OURS) == row.ours
    assert _outcome(SECONDARY, row, THEIRS) == DESTROYED
    assert row.ours in (SURVIVES, DESTROYED)
    assert bool(row.why) == (row.xen != row.ours)


@pytest.mark.parametrize("row", PRIMARY_DECISIONS, ids=lambda row: row.key)
def test_the_primary_decides_as_its_table_says(row: Decision) -> None:
    """Likewise."""
    assert _outcome(PRIMARY, row, OURS) == row.ours == GOES_ON
    assert bool(row.why) == (row.xen != row.ours)
    if row.state != "idle":
        assert _outcome(PRIMARY, row, THEIRS) == DESTROYED


def test_every_failure_is_decided_on() -> None:
    """By at least one row for each state in which one side waits for, or says something to, the other."""
    assert {row.state for row in SECONDARY_DECISIONS} == {*STATUS} - {"idle"}
    used = {row.state for row in PRIMARY_DECISIONS}
    assert used == {*PRIMARY.states} - {"ending", "keeping", "destroying", *PRIMARY.ends}


def test_the_chart_has_each_message() -> None:
    """Each id of CHECKPOINT_STATE, towards the side that waits for it."""
    ids = {row.name.rpartition(" ")[2]: row.to for row in SEQUENCE if row.name.startswith("CHECKPOINT_STATE")}

    assert ids.keys() == CHECKPOINT_STATES.keys()
    assert {name for name, to in ids.items() if to == "primary"} == ids.keys() & PRIMARY.events.keys()
    assert {name for name, to in ids.items() if to == "secondary"} == ids.keys() & SECONDARY.events.keys()


def test_the_document_is_current() -> None:
    """docs/engine-colo.md is what `make generate` writes, and says each state, event, action and decision."""
    text = drawn.text()

    assert Path(drawn.TARGET).read_text() == text
    for machine in AUTOMATA:
        for name in (*machine.states, *machine.events, *machine.actions):
            assert f"| {name} |" in text
    for row in (*PRIMARY_DECISIONS, *SECONDARY_DECISIONS):
        assert f"| {row.what} | {row.xen} | {row.ours} |" in text
    for message in SEQUENCE:
        assert message.name.rpartition(" ")[2] in text


# -- whatever happens, it ends once ------------------------------------------------------------------------------


@pytest.fixture
def dead() -> Iterator[tuple[SocketEnd, Waiter]]:
    """A link whose other side has gone."""
    here, there = socket.socketpair()
    there.close()
    end, waiter = SocketEnd(here, "here"), Waiter()
    with closing(waiter), closing(end):
        yield end, waiter


@pytest.mark.parametrize("state", PRIMARY.states)
def test_a_primary_ends_once(state: str, dead: tuple[SocketEnd, Waiter]) -> None:
    """From any state, after any event: one completion, the guest as it was, and no more of it after abort."""
    for event in PRIMARY.events:
        guest, said = working(), list[BaseException | None]()
        end, waiter = dead
        primary = Primary(guest, end, way(), Colo(0.0), Asked(waiter, _SHORT), said.append)
        primary.machine.state = state
        primary.machine.happen(event)
        for _ in range(2):
            primary.abort()

        assert primary.machine.ended or state in ("idle", "ending", "keeping", "destroying"), event
        assert len(said) == (primary.machine.ended and state not in PRIMARY.ends), event
        if primary.machine.state == "kept" and state != "kept":
            assert guest.running
        guest.close()


@pytest.mark.parametrize("state", SECONDARY.states)
def test_a_secondary_ends_once(state: str, dead: tuple[SocketEnd, Waiter]) -> None:
    """Likewise."""
    for event in SECONDARY.events:
        said = list[BaseException | None]()
        end, waiter = dead
        secondary = Secondary(end, another, Colo(), Asked(waiter, _SHORT), said.append)
        secondary.machine.state = state
        secondary.machine.happen(event)
        for _ in range(2):
            secondary.abort()

        assert secondary.machine.ended or state in ("idle", "surviving", "destroying"), event
        assert len(said) == (secondary.machine.ended and state not in SECONDARY.ends), event
