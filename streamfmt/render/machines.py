"""Machines of the protocol, drawn in text: states in boxes from the top down, records beside the lines."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from ..schema.machine import ANY, Machine

LEGEND = """\
Each drawing follows one subject.
A record has to fit into every drawing that is for its guest and image version.
It begins in the box at the top; where the line of a box is double, the stream may end as far as this drawing goes.
Where layers take turns, a box says whose records come next, or "either" if the next record shows it.
A record that a drawing names must not come in a box that has no way for it; other records change nothing."""
# The line that leads from box to box, where names beside it begin, and how far apart the lines beside these are.
_SPINE, _BESIDE, _APART = 3, 6, 3
_NAMES = 52


def label(name: str) -> str:
    """A record's name in a drawing."""
    layer, _, rest = name.rpartition(".")
    return " ".join(filter(None, ("any other", layer, "record"))) if rest == ANY else name


def drawing(machine: Machine) -> list[str]:
    """The lines of one machine, at most 80 characters wide."""
    states = machine.states
    rows: list[str] = []
    boxes: dict[str, int] = {}
    # Lines from names to other boxes than the next: where they begin, and the state they lead to.
    ways: list[tuple[int, str]] = []
    width = max(len(_title(machine, state)) for state in states) + 4
    for number, state in enumerate(states):
        after = states[number + 1] if number + 1 < len(states) else ""
        out: dict[str, list[str]] = {}
        for origin, names, target in machine.moves:
            if origin == state:
                out.setdefault(target, []).extend(map(label, names))
        edge = "+" + ("=" if state in machine.stops else "-") * (width - 2) + "+"
        boxes[state] = len(rows) + 1
        rows += [edge, f"| {_title(machine, state):{width - 4}} |", edge]
        follows = after in out
        spine = " " * _SPINE + ("|" if follows else " ")
        # First what changes nothing, last what leads to the next box.
        for target in sorted(out, key=lambda target: (target == after) - (target == state)):
            text = ("stays: " if target == state else "") + ", ".join(out[target])
            rows += [f"{spine:{_BESIDE}}{line}" for line in wrap(text, _NAMES)]
            if target not in (state, after):
                ways.append((len(rows) - 1, target))
        if follows:
            rows.append(" " * _SPINE + "v")
        elif after:
            rows.append("")
    return [row.rstrip() for row in _joined(rows, boxes, ways)]


def _title(machine: Machine, state: str) -> str:
    """What stands in a state's box: its name, and whose turn it is."""
    turn = machine.turns.get(state)
    return f"{state}: {turn}" if turn else state


def _joined(rows: list[str], boxes: dict[str, int], ways: list[tuple[int, str]]) -> Iterator[str]:
    """The rows with a line at the right for each box that is reached from elsewhere than the one above."""
    targets = list(dict.fromkeys(target for _, target in ways))
    first = max(map(len, rows)) + 2
    canvas = [list(row.ljust(first + _APART * len(targets))) for row in rows]
    columns = {target: first + _APART * number for number, target in enumerate(targets)}
    ends = {target: [boxes[target], *(row for row, to in ways if to == target)] for target in targets}
    for target, column in columns.items():
        for row in range(min(ends[target]), max(ends[target]) + 1):
            canvas[row][column] = "|"
    for target, column in columns.items():
        for row in ends[target]:
            begin = len(rows[row])
            for place in range(begin + 1, column):
                if canvas[row][place] == " ":
                    canvas[row][place] = "-"
            canvas[row][column] = "+"
        canvas[boxes[target]][len(rows[boxes[target]])] = "<"
    yield from ("".join(row) for row in canvas)
