"""The machines of the protocol: what they forbid is what the verifier finds, and a wrong one is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

import streamfmt

from ..checks.verifier import Verifier
from ..errors import SchemaError
from ..reader.events import HEADER, Layer, Record, Run, Sink
from ..reader.legacy_state import State
from ..reader.pump import Window
from ..reader.reader import Reader
from ..render.machines import drawing, label
from ..schema import libxl, protocol, protocol_legacy
from ..schema.catalogue import catalogue
from ..schema.layers import LAYERS
from ..schema.machine import ANY, EITHER, MODES, Machine, of_image, ruled
from ..schema.states import OrderRule
from ..writer import Draft, control, record
from .support.plain_guests import saved
from .support.plain_setups import setups

CODES = {f"{layer.name}.{row.name}": row.code for layer in LAYERS for row in layer.records}
GUESTS = {f"{layer.name}.{row.name}": row.guests for layer in LAYERS for row in layer.records}
# Records that no release knows and that may be skipped.
UNKNOWN = {"libxl": "libxl.type 0x80000000", "libxc": "libxc.type 0x80000000"}
# Rules that a stream breaks by stopping where it must not.
CUT = {"LIBXC-REC-TRUNC", "LIBXL-REC-TRUNC", "CKPT-CUT"}
# Those of machines that a reader goes by: it takes nothing for a record that has no place there.
BY_PLACE = {"LEGACY-TRUNC", "LEGACY-QEMU-PRESENT"}
LEGACY = protocol_legacy.PV.layer


WINDOW = Window()


class Stream:
    """The verifier, shown records without bodies as the reader would show it those of a stream."""

    def __init__(self, form: str, guest: str, version: int, mode: str) -> None:
        self.verifier = Verifier(mode)
        self.verifier.window = WINDOW
        self.verifier.exact = True  # what follows END is not looked at there
        self.outer = Layer(form)
        self.outer.version = 2
        self.image = self.outer if form == "libxc" else Layer("libxc", self.outer)
        self.image.guest, self.image.version = guest, version
        self.at = 0
        if form == "xapi":
            self.outer.guest = guest  # a device's record before the memory is out of order anyway
        elif form == LEGACY:
            self.outer.guest, self.outer.version, self.outer.facts = guest, 0, State(self.outer)

    def come(self, path: str) -> set[str]:
        """The clauses that a record breaks which comes next."""
        before = len(self.verifier.findings.kept)
        layer = self.image if path.startswith("libxc.") else self.outer
        kind = CODES.get(path, 0x80000000)
        self.verifier.record(Record(layer, kind, 0, 0))
        layer.index += 1
        self.at += 1  # one byte a record is enough to show where a checkpoint ended
        if path.endswith((".END", ".END_OF_IMAGE")):
            self.verifier.ended(layer, 0)
        elif path == "libxc.CHECKPOINT":
            layer.close_checkpoint(self.at)
            self.verifier.checkpoint(layer, self.at)
        elif path == "libxl.CHECKPOINT_END":
            layer.close_checkpoint(self.at)
        elif path == "libxl.LIBXC_CONTEXT":
            self.outer.guest = self.image.guest
        return {finding.clause for finding in self.verifier.findings.kept[before:]}

    def stop(self) -> set[str]:
        """The clauses that the stream breaks by stopping here."""
        before = len(self.verifier.findings.kept)
        self.verifier.truncated(self.outer, None, self.at, HEADER, "the stream")
        return {finding.clause for finding in self.verifier.findings.kept[before:]}


def replayed(choice: tuple[Any, ...], path: tuple[str, ...]) -> Stream:
    """The verifier after these records, none of which breaks a rule of order."""
    stream = Stream(*choice)
    for name in path:
        stream.come(name)
    return stream


def candidates(machines: tuple[Machine, ...], states: tuple[str, ...], guest: str) -> Iterator[str]:
    """The records that a reader can meet in these states."""
    turn = next((row.turns[state] for row, state in zip(machines, states, strict=True) if row.turns), machines[0].layer)
    for path in (*CODES, *UNKNOWN.values()):
        layer = path.partition(".")[0]
        fits = layer != "libxc" or guest in GUESTS.get(path, guest)
        if fits and (layer == turn or (turn == EITHER and (layer == "libxc" or path == "libxl.CHECKPOINT_STATE"))):
            yield path


CHOICES = [
    choice
    for choice in product(("libxl", "libxc", "xapi", LEGACY), ("hvm", "pv"), (3, 2), MODES)
    # COLO is for HVM guests and for libxl streams; XAPI images and legacy streams are plain here, and have no version.
    if choice[3] != "colo" or (choice[0] == "libxl" and choice[1] == "hvm")
    if choice[0] not in ("xapi", LEGACY) or choice[2:] == (3, "plain")
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(map(str, choice)))
def test_what_machines_forbid_is_what_is_found(choice: tuple[str, str, int, str]) -> None:
    """After all records that may come: where one has no place, the clauses found are those of the machines it breaks.

    Every state that the machines can be in together is visited once, with each record that a reader can meet there.
    """
    form, guest, version, mode = choice
    machines = of_image(protocol.MACHINES[form], guest, version)
    machines = tuple(row for row in machines if not set(row.clauses) <= BY_PLACE)
    clauses = {clause for row in machines for clause in row.clauses}
    left: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(tuple(row.begins(mode) for row in machines), ())]
    seen = {left[0][0]}
    wrong: list[tuple[object, ...]] = []
    while left:
        states, path = left.pop(0)
        names = list(candidates(machines, states, guest))
        if names and form in ("libxl", "libxc"):
            stops = all(state in row.stops for row, state in zip(machines, states, strict=True))
            if stops == bool(replayed(choice, path).stop() & CUT):
                wrong.append((path, states, "stops" if stops else "goes on"))
        for name in names:
            after = [row.step(state, name) for row, state in zip(machines, states, strict=True)]
            breaks = [row for row, state in zip(machines, after, strict=True) if state is None]
            found = replayed(choice, path).come(name) & clauses
            if found - {clause for row in breaks for clause in row.clauses} or bool(found) != bool(breaks):
                wrong.append((path, name, sorted(found), [row.name for row in breaks]))
            then = tuple(state for state in after if state is not None)
            if not breaks and then not in seen:
                seen.add(then)
                left.append((then, (*path, name)))

    assert wrong == []


# Rules of order that no table of rules has, each with the reason.
BESIDE = {
    "LIBXC-REC-TRUNC": "a stream that ends breaks it, no record does",
    "CKPT-CUT": "likewise",
    "LIBXC-CKPT-PLAIN": "only the declared mode shows it",
    "LIBXL-CKPTSTATE-ID": "only what comes in place of the announcement shows it, in another layer",
    "LIBXC-DIRTY-FWD": "the record itself is the breach, wherever it comes",
    "LIBXC-TOOLSTACK": "likewise",
    "COLO-NEW-FWD": "the back channel has no table of rules",
    "COLO-DIRTY-POS": "likewise",
    "LIBXL-BACK-TYPES": "likewise",
    "LEGACY-TRUNC": "what has no number is known by its place, so that nothing else can be there",
    "LEGACY-QEMU-PRESENT": "likewise",
}


def test_every_rule_of_order_has_a_machine() -> None:
    """Machines stand for the clauses of all order rules of their layers, and for those others."""
    machines = {row for rows in protocol.MACHINES.values() for row in rows}
    drawn = {row.layer for row in machines}
    rules = {rule.clause for layer in LAYERS for rule in layer.rules if layer.name in drawn}
    aliases = {layer.alias for layer in LAYERS if layer.name in drawn and layer.alias}

    assert {clause for row in machines for clause in row.clauses} == rules | set(BESIDE)
    assert not [layer for layer in LAYERS if layer.rules and layer.name not in drawn and layer.alias not in aliases]


class Paths(Sink):
    """The schema paths of the records that come, batches among them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def record(self, record: Record) -> None:
        self.found.append(record.path)

    def pages(self, run: Run) -> None:
        self.found.append(run.record().path)


@pytest.mark.parametrize("number", range(2))
def test_legacy_layouts(number: int) -> None:
    """What each release wrote, of that width, has its place in all machines, and ends where it may."""
    (form,) = [form for form, rows in protocol.MACHINES.items() if protocol_legacy.PV in rows]
    left = {row.name: row for row in protocol.MACHINES[form]}
    for setup in [setup for setup in setups() if form.endswith(str(8 * setup.word))][number::2]:
        reader = Reader(paths := Paths(), form, guest=setup.guest)
        reader.pump.feed(saved(setup))
        reader.pump.end()
        for row in of_image(protocol.MACHINES[form], setup.guest, 3):
            if row.clauses == ("LEGACY-VCPU-INFO",) and not setup.variant.words:
                continue  # that 3.0 has no map of vcpus is noted
            state: str | None = row.start
            for path in paths.found:
                assert state is not None, (setup, row.name)
                state = row.step(state, path)
            assert state in row.stops, (setup, row.name)
            left.pop(row.name, None)

    assert not left


# -- the back channel -----------------------------------------------------------------------------------------


def symbols(machine: Machine) -> list[str]:
    """What the back channel's machine names, but for the wildcards."""
    return [path for path in machine.names if not path.endswith(ANY)]


@pytest.mark.parametrize("sequence", list(product(symbols(protocol.BACK_CHANNEL), repeat=3)), ids=", ".join)
def test_back_channel(sequence: tuple[str, ...]) -> None:
    """Where the machine has no move for an answer, a rule is broken at that record and at no earlier one."""
    parts = []
    for symbol in sequence:
        path, _, name = symbol.partition(" ")
        parts.append(control(libxl.CHECKPOINT_STATES[name]) if name else record(path, pfns=()))
    row = protocol.BACK_CHANNEL
    state: str | None = row.start
    expected = None
    for number, symbol in enumerate(sequence):
        assert state is not None
        state = row.step(state, symbol)
        if state is None:
            expected = number
            break
    report = streamfmt.verify(Draft(tuple(parts)).render(), form="back-channel")
    starts = [sum(part.extent for part in parts[:number]) for number in range(len(parts) + 1)]
    broken = [next(n for n in range(len(parts)) if f.offset < starts[n + 1]) for f in report.findings]

    assert min(broken, default=None) == expected
    assert {finding.clause for finding in report.findings} <= set(row.clauses)


# -- machines that cannot be ----------------------------------------------------------------------------------

GOOD = Machine(
    "lamp",
    "libxl",
    "On and off.",
    "here",
    (),
    start="off",
    stops=("off",),
    moves=(("off", ("LIBXC_CONTEXT",), "on"), ("on", ("CHECKPOINT_STATE NEW", "libxc.END"), "off")),
)
WRONG: dict[str, dict[str, Any]] = {
    "state 'dim' cannot be reached": {"moves": (*GOOD.moves, ("dim", ("END",), "off"))},
    "from state 'on' no end can be reached": {"moves": (GOOD.moves[0], ("on", ("END",), "on"))},
    "state 'dim' has no move and is none to stop in": {"moves": (*GOOD.moves, ("on", ("END",), "dim"))},
    "no layer has a record libxl.LAMP": {"moves": (*GOOD.moves, ("off", ("LAMP",), "off"))},
    "no layer has a record moon.END": {"never": ("moon.END",)},
    "libxl.CHECKPOINT_STATE has no id OLD": {"never": ("CHECKPOINT_STATE OLD",)},
    "END has two moves in state 'off'": {"moves": (*GOOD.moves, ("off", ("END",), "on"), ("off", ("END",), "off"))},
    "LIBXC_CONTEXT never comes": {"never": ("LIBXC_CONTEXT",)},
    "mode 'dark' is none of auto, plain, remus, colo": {"declared": {"dark": "on"}},
    "turn 'moon' is no layer's": {"turns": {"on": "moon"}},
    "state 'new' has no move and is none to stop in": {"start": "new"},
    "state 'old' has no move and is none to stop in": {"declared": {"colo": "old"}},
}


@pytest.mark.parametrize("reason", WRONG)
def test_machines_that_cannot_be(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is not made of them; the error names the machine and the file."""
    monkeypatch.setitem(protocol.MACHINES, "lamp", (GOOD,))
    catalogue()
    monkeypatch.setitem(protocol.MACHINES, "lamp", (replace(GOOD, **WRONG[reason]),))
    with pytest.raises(SchemaError) as caught:
        catalogue()

    assert str(caught.value) == f"streamfmt/schema/protocol.py: machine 'lamp': {reason}"


def test_rules_that_no_machine_of_theirs_can_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """States of which the same is forbidden have to have the same future: else the machine of the rules is refused."""
    rule = OrderRule("XL-TRUNC", on=("END",), seen=("LIBXC_CONTEXT",), unless=("CHECKPOINT_END",))
    monkeypatch.setitem(protocol.MACHINES, "lamp", (ruled("lamp", "libxl", "On and off.", "here", [rule]),))
    with pytest.raises(SchemaError, match="LIBXC_CONTEXT has two moves in state 'at first'"):
        catalogue()


def test_a_record_that_no_machine_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of order about a record needs a machine that knows it."""
    monkeypatch.setitem(protocol.MACHINES, "xapi", protocol.MACHINES["xapi"][1:])
    with pytest.raises(
        SchemaError, match=r"streamfmt/schema/protocol\.py: machines of xapi: no machine is about XENOPS"
    ):
        catalogue()


@pytest.mark.parametrize("row", [row for rows in protocol.MACHINES.values() for row in rows], ids=lambda row: row.name)
def test_steps(row: Machine) -> None:
    """A record that a machine does not know leaves it where it is; every move leads where it says."""
    for state, names, after in row.moves:
        for name in names:
            path = row.path(name).replace(ANY, "type 0x80000000")
            assert row.step(state, path) == after
    for state in row.states:
        assert row.step(state, "moon.LAMP") == state


@pytest.mark.parametrize("row", [row for rows in protocol.MACHINES.values() for row in rows], ids=lambda row: row.name)
def test_drawing(row: Machine) -> None:
    """It has a box for each state, beneath it the records that may come there, and fits a terminal."""
    lines = drawing(row)
    below: dict[str, str] = {}
    state = ""
    for line in lines:
        if found := re.match(r"\| ([\w ]+?)(?:: (\w+))? *\|(<-)?", line):
            state = found[1]
            below[state] = ""
            others = {origin for origin, _, target in row.moves if target == state} - {state}
            before = list(below)[-2:-1]
            assert (found[2] or "") == row.turns.get(state, "")
            assert bool(found[3]) == bool(others - set(before))
        elif state:
            below[state] += re.sub(r"^ *\|? |[-|+ ]*$", " ", line)

    assert list(below) == list(row.states)
    assert max(map(len, lines)) <= 80
    for origin, names, target in row.moves:
        text = " ".join(below[origin].split())
        assert all(label(name) in text for name in names)
        assert ("stays: " in text) == any(start == end == origin for start, _, end in row.moves), target


def test_names_are_unique() -> None:
    """One machine, one name; the tables and the documentation go by it."""
    machines = {row for rows in protocol.MACHINES.values() for row in rows}

    assert len({row.name for row in machines}) == len(machines)
