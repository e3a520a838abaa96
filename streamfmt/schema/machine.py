"""State machines of a protocol: which record may come next, said positively.

The order rules of :mod:`.states` say what is forbidden, and with which clause; a machine says what may come.  Each
follows one subject of its layer and leaves other records alone, so what may come next in a stream is what all of its
machines allow.  Where order rules alone are about a subject its machine is made of them (:func:`ruled`).  A test holds
all to what the verifier finds: a record has no place in some machine exactly where a rule is broken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ..errors import SchemaError
from .libxc import VERSIONS
from .states import FRESH, TAIL, OrderRule, seen_after

# Any other record of the layer, known or not: all that the machine does not name.
ANY = "*"
# Whose turn it is, where the record itself shows that.
EITHER = "either"
# A declared mode that decides where a machine starts; "auto" is none.
MODES = ("auto", "plain", "remus", "colo")


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """One machine: `moves` are (state, records, next state).

    Records are names in `layer`, schema paths of another layer ("libxc.END"), or one of them and the id it carries
    ("CHECKPOINT_STATE NEW").  A record that the machine names, in a move or among those that `never` come, is forbidden
    in a state without a move for it; other records leave the machine alone.  `start` is where a stream begins, unless
    `declared` says otherwise of its mode; it may end in one of `stops`.  `turns` says of states whose records come: a
    layer's, "either" if the next record shows it, none after the end.  `guests` and `versions` say which images it
    is for, `clauses` what it stands for.
    """

    name: str
    layer: str
    doc: str
    source: str
    clauses: tuple[str, ...]
    start: str = "stream"
    stops: tuple[str, ...] = ("stream",)
    moves: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    never: tuple[str, ...] = ()
    declared: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[str, str] = field(default_factory=dict)
    guests: tuple[str, ...] = ("pv", "hvm")
    versions: tuple[int, ...] = VERSIONS

    def path(self, name: str) -> str:
        """The schema path of a record that is named in this machine."""
        return name if "." in name else f"{self.layer}.{name}"

    @property
    def states(self) -> tuple[str, ...]:
        """All its states, in the order of the moves."""
        ends = (*(move[0] for move in self.moves), *(move[2] for move in self.moves))
        return tuple(dict.fromkeys((self.start, *ends, *self.declared.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """Schema paths of the records that it is about."""
        return tuple(dict.fromkeys(self.path(name) for _, names, _ in self.moves for name in names)) + tuple(
            map(self.path, self.never)
        )

    def begins(self, mode: str = "auto") -> str:
        """The state in which a stream begins that is declared to be of `mode`."""
        return self.declared.get(mode, self.start)

    def rows(self) -> Mapping[str, Mapping[str, str | None]]:
        """By state, the next state for each record that the machine is about; None where that is forbidden."""
        return _rows(self)

    def step(self, state: str, path: str) -> str | None:
        """The state after the record at schema path `path` has come in `state`; None if it must not come there.

        A path that no layer has, such as "libxc.type 0x80000001", is that of an unknown record.
        """
        row = _rows(self)[state]
        return row.get(path, row.get(f"{path.partition('.')[0]}.{ANY}", state))

    def comes(self, path: str, mode: str) -> bool:
        """Whether there is a place for that record in a stream that is declared to be of `mode`."""
        return any(self.step(state, path) is not None for state in _reached(_rows(self), [self.begins(mode)]))


@cache
def _rows(machine: Machine) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {state: dict.fromkeys(machine.names) for state in machine.states}
    for state, names, after in machine.moves:
        found[state].update((machine.path(name), after) for name in names)
    return found


def of_image(machines: Iterable[Machine], guest: str | None, version: int) -> tuple[Machine, ...]:
    """Those of the machines that an image of this version has; of a guest of unknown kind (None), those of all guests.

    A machine that only the other kind of guest has is not among them.
    """
    kinds = {"pv", "hvm"} if guest is None else {guest}
    return tuple(row for row in machines if kinds <= set(row.guests) and version in row.versions)


def bound(machines: Iterable[Machine], closing: Collection[str]) -> frozenset[tuple[str, str]]:
    """Pairs of schema paths of which the first, where both come, comes first, up to a record of `closing`."""
    found: set[tuple[str, str]] = set()
    for machine in machines:
        rows = {
            state: {path: after for path, after in row.items() if after is not None and path not in closing}
            for state, row in machine.rows().items()
        }
        follows = {
            (path, later)
            for row in rows.values()
            for path, after in row.items()
            for reached in _reached(rows, [after])
            for later in rows[reached]
        }
        named = [path for path in machine.names if path not in closing]
        found |= {(path, later) for path in named for later in named if path != later and (later, path) not in follows}
    return frozenset(found)


def _reached(rows: Mapping[str, Mapping[str, str | None]], states: Iterable[str]) -> set[str]:
    """The states that can be reached from `states`, these included."""
    found: set[str] = set()
    left = list(states)
    while left:
        state = left.pop()
        if state not in found:
            found.add(state)
            left += (after for after in rows[state].values() if after is not None)
    return found


def ruled(name: str, layer: str, doc: str, source: str, rules: Sequence[OrderRule], end: str = "END") -> Machine:
    """The machine of what is left by `rules`, of which the first says for which images it is.

    Its states are what may come, each named by the record that first leads there; a stream may end where `end` may
    come.
    Where the same may come first and then something else, :func:`check` refuses the machine: it has two moves.
    """
    marks = {mark for rule in rules for mark in rule.names[len(rule.on) :]}
    again = ("CHECKPOINT",) if marks.intersection((FRESH, *TAIL)) else ()
    records = [it for it in dict.fromkeys((*(it for rule in rules for it in rule.names), *again, ANY)) if it != FRESH]

    @cache
    def forbidden(seen: frozenset[str]) -> frozenset[str]:
        return frozenset(record for record in records if any(rule.broken(record, seen) for rule in rules))

    left = [frozenset[str]()]
    titles = {forbidden(left[0]): "at first"}
    moves: dict[tuple[str, str], dict[str, None]] = {}
    for seen in left:
        never = forbidden(seen)
        for record in records:
            if record not in never:
                then = seen_after(seen, record) & marks
                target = titles.setdefault(forbidden(then), f"after {record}")
                moves.setdefault((titles[never], target), {})[record] = None
                left += [then] if then not in left else []
    # What changes nothing anywhere, if that is so of any other record.
    idle = {*records}.difference(*titles, *(names for (state, target), names in moves.items() if state != target))
    return Machine(
        name,
        layer,
        doc,
        source,
        tuple(dict.fromkeys(rule.clause for rule in rules)),
        "at first",
        tuple(title for never, title in titles.items() if end not in never),
        tuple(
            (state, found, target)
            for (state, target), names in moves.items()
            if (found := tuple(it for it in names if ANY not in idle or it not in idle))
        ),
        tuple(record for record in records if all(record in never for never in titles)),
        guests=rules[0].guests,
        versions=rules[0].versions,
    )


# -- what is wrong with a machine ------------------------------------------------------------------------------


def check(
    machines: Sequence[Machine],
    records: Mapping[str, Collection[str]],
    ruled: Mapping[str, Collection[str]],
    ids: Mapping[str, Collection[str]],
    file: str,
) -> None:
    """Raise SchemaError, which names the machine and `file`, for the first that is wrong.

    `records` are the names of each layer's records, `ruled` those that an order rule is about, `ids` those that a
    record at a path may carry.  A layer that has machines has one about each record of its rules.
    """
    named: set[str] = set()
    for machine in machines:
        for fault in _faults(machine, records, ids):
            raise SchemaError(f"machine {machine.name!r}", fault, file)
        named.update(path.partition(" ")[0] for path in machine.names)
    for layer in {machine.layer for machine in machines}:
        for name in ruled.get(layer, ()):
            if name in records[layer] and f"{layer}.{name}" not in named:
                raise SchemaError(f"machines of {layer}", f"no machine is about {name}, an order rule is", file)


def _faults(
    machine: Machine, records: Mapping[str, Collection[str]], ids: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """What is wrong with one machine, in words."""
    known = {state for state, _, _ in machine.moves} | set(machine.stops)
    used = {machine.start, *machine.declared.values(), *machine.turns, *(after for _, _, after in machine.moves)}
    for state in sorted(used - known):
        yield f"state {state!r} has no move and is none to stop in"
    yield from (f"mode {mode!r} is none of {', '.join(MODES)}" for mode in machine.declared if mode not in MODES)
    for turn in set(machine.turns.values()) - {"", EITHER, *records}:
        yield f"turn {turn!r} is no layer's"
    for path in machine.names:
        layer, _, rest = path.partition(".")
        name, _, number = rest.partition(" ")
        if name not in (ANY, *records.get(layer, ())):
            yield f"no layer has a record {path.partition(' ')[0]}"
        elif number and number not in ids.get(f"{layer}.{name}", ()):
            yield f"{layer}.{name} has no id {number}"
    seen: set[tuple[str, str]] = set()
    for state, names, _ in machine.moves:
        for name in names:
            if (state, name) in seen or name in machine.never:
                yield f"{name} has two moves in state {state!r}" if name not in machine.never else f"{name} never comes"
            seen.add((state, name))
    rows = machine.rows()
    reached = _reached(rows, {machine.start, *machine.declared.values()})
    for state in rows:
        if state not in reached:
            yield f"state {state!r} cannot be reached"
        elif not _reached(rows, [state]) & set(machine.stops):
            yield f"from state {state!r} no end can be reached"
