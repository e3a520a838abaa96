"""Whether the corpus would notice: each check and each constraint of the schemas is switched off in turn.

A check is a place in `verify` where a finding is made; a constraint is a row of the tables that the schemas and the
order rules are compiled to.  Streams of the clause that it is of are judged without it, and one has to come out
otherwise; the others are not looked at.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .. import data, tables
from ..checks.findings import Reports
from ..checks.verifier import Verifier
from ..schema.layers import LAYERS
from .support.corpus import BREAKING, SEVERAL
from .support.drawn import displaced
from .support.vector import judged, reported

HERE = Path(data.__file__).parent / "checks"
_FAULT = Verifier.report
# The module of what all checks report by.
_REPORTS = Reports.__module__.rpartition(".")[2]
Place = tuple[str, int]
Function = tuple[str, str]
_DISPLACED = displaced()
STREAMS = {
    clause: {**vectors, **SEVERAL.get(clause, {}), **_DISPLACED.get(clause, {})} for clause, vectors in BREAKING.items()
}
_MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.py"))}
_FUNCTIONS: dict[Function, ast.FunctionDef] = {
    (module, node.name): node
    for module, tree in _MODULES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef)
}


def _called(module: str, call: ast.Call) -> Function | None:
    """The function of `checks` that is called, if it is one: a module's own, or the context's and all layers'."""
    if isinstance(call.func, ast.Name):
        return next((key for key in ((module, call.func.id),) if key in _FUNCTIONS), None)
    if isinstance(call.func, ast.Attribute):
        owners = (
            [_REPORTS, "layer"] if ast.unparse(call.func.value).endswith("context") else [module, "layer", _REPORTS]
        )
        return next((key for owner in owners if (key := (owner, call.func.attr)) in _FUNCTIONS), None)
    return None


def _calls(module: str, within: ast.AST) -> Iterator[tuple[ast.Call, Function]]:
    for node in ast.walk(within):
        found = _called(module, node) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and found is not None:
            yield node, found


def _helpers() -> set[Function]:
    """Functions that make a finding whatever they are given: it is their callers that check."""
    found: set[Function] = {(_REPORTS, "report")}
    used = {called for module, tree in _MODULES.items() for _, called in _calls(module, tree)}
    more = found
    while more:
        more = {key for key, node in _FUNCTIONS.items() if key in used - found and _always(key[0], node, found)}
        found |= more
    return found


def _always(module: str, function: ast.FunctionDef, helpers: set[Function]) -> bool:
    """Whether nothing comes between the function's beginning and a finding."""
    for line in function.body:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Call) and _called(module, line.value) in helpers:
            return True
        # A generator is not on the stack of its caller.
        if any(isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) for node in ast.walk(line)):
            return False
    return False


_HELPERS = _helpers()


def _places() -> Iterator[tuple[str, ast.Call]]:
    """The calls that make findings, in the modules of `verify`."""
    for module, tree in _MODULES.items():
        inside = {id(node) for key in _HELPERS if key[0] == module for node in ast.walk(_FUNCTIONS[key])}
        for node, called in _calls(module, tree):
            if called in _HELPERS and id(node) not in inside:
                yield module, node


# What channels are to one another and to their main stream: `test_qemu_multifd` has sets of files that break each rule.
_OF_SETS = "qemu_channels"
PLACES: dict[Place, ast.Call] = {(name, node.lineno): node for name, node in _places() if name != _OF_SETS}


def _caller() -> Place:
    """The place that the finding is made at: two calls up, or as many more as put findings together."""
    frame = sys._getframe(2)
    while (Path(frame.f_code.co_filename).stem, frame.f_code.co_name) in _HELPERS and frame.f_back is not None:
        frame = frame.f_back
    name, line = Path(frame.f_code.co_filename).stem, frame.f_lineno
    return next(
        place
        for place, node in PLACES.items()
        if place[0] == name and node.lineno <= line <= (node.end_lineno or node.lineno)
    )


def _plain(clause: str, name: str) -> dict[str, Any]:
    """What verification says of a stream as things are."""
    return STREAMS[clause][name].whole


def _noticed(clauses: Iterator[str] | set[str]) -> bool:
    """Whether one stream of these clauses comes out otherwise now, the shortest being asked first."""
    vectors = [(clause, name, vector) for clause in clauses for name, vector in STREAMS.get(clause, {}).items()]
    for clause, name, vector in sorted(vectors, key=lambda row: row[2].stream.size):
        before = _plain(clause, name)
        if reported(judged(vector)) != before:
            return True
    return False


# -- checks ---------------------------------------------------------------------------------------------------


@cache
def _reached() -> dict[Place, list[tuple[str, str]]]:
    """By check, the streams that make it find something."""
    found: dict[Place, list[tuple[str, str]]] = defaultdict(list)

    def fault(self: Verifier, *args: Any, **more: Any) -> None:
        place = _caller()
        if here not in found[place]:
            found[place].append(here)
        _FAULT(self, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Verifier, "report", fault)
        for clause, vectors in STREAMS.items():
            for name, vector in vectors.items():
                here = clause, name
                if vector.stream.size < 1 << 20:
                    judged(vector)
    return found


def test_checks_are_found() -> None:
    """There are more than a hundred places that find something: what looks for them has not lost sight of them."""
    assert len(PLACES) > 100


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}-{place[1]}")
def test_each_check_is_needed(place: Place) -> None:
    """Without the findings of one place in the code, a stream that makes it find something comes out otherwise."""
    streams = _reached()[place]
    assert streams, f"no stream of the corpus makes {place[0]}.py:{place[1]} find anything"

    def fault(self: Verifier, *args: Any, **more: Any) -> None:
        if _caller() != place:
            _FAULT(self, *args, **more)

    clause, name = streams[0]
    before = _plain(clause, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Verifier, "report", fault)
        assert reported(judged(STREAMS[clause][name])) != before


# -- constraints ----------------------------------------------------------------------------------------------

RULES = [(path, row) for path, rows in tables.RULES.items() for row in rows]


@pytest.mark.parametrize(("path", "row"), RULES, ids=lambda it: it if isinstance(it, str) else it[1])
def test_each_field_rule_is_needed(path: str, row: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the schema does not allow in one field would pass."""
    clauses = {row[0]}
    for clause in clauses:
        for name in STREAMS[clause]:
            _plain(clause, name)
    monkeypatch.setitem(tables.RULES, path, tuple(it for it in tables.RULES[path] if it is not row))

    assert _noticed(clauses), f"no stream of {row[0]} has a wrong {path} {row[1]}"


# Bytes that are not looked into, however many: a body that any length is right for.
_OPAQUE = (0, 1, 0, None, ())
LENGTHS = [path for path, row in tables.LENGTHS.items() if row[1:] != _OPAQUE]


@pytest.mark.parametrize("path", LENGTHS)
def test_each_length_rule_is_needed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of a length that the schema does not allow would pass."""
    clause = tables.LENGTHS[path][0]
    for name in STREAMS[clause]:
        _plain(clause, name)
    monkeypatch.delitem(tables.LENGTHS, path)

    assert _noticed({clause}), f"no stream of {clause} has a wrong length of {path}"


def _looser() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Length rules that lack one of several things that they ask for."""
    for path, row in tables.LENGTHS.items():
        clause, fixed, unit, least, most, lengths = row
        for other in (
            (clause, fixed, min(unit, 1), least, most, lengths),
            (clause, fixed, unit, 0, most, lengths),
            (clause, fixed, unit, least, None, lengths),
            (clause, fixed, unit, least, most, ()),
        ):
            if other != row:
                yield path, other


@pytest.mark.parametrize(("path", "row"), [*_looser()], ids=str)
def test_each_part_of_a_length_rule_is_needed(path: str, row: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too short, too long, or holds part of an element would pass."""
    for name in STREAMS[row[0]]:
        _plain(row[0], name)
    monkeypatch.setitem(tables.LENGTHS, path, row)

    assert _noticed({row[0]}), f"no stream of {row[0]} distinguishes {tables.LENGTHS[path]} of {path} from {row}"


@pytest.mark.parametrize("kind", [kind for kind, guests in tables.LIBXC_GUESTS.items() if len(guests) == 1])
def test_each_guest_rule_is_needed(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of the other kind of guest would pass."""
    clause = "LIBXC-REC-WRONG-GUEST"
    for name in STREAMS[clause]:
        _plain(clause, name)
    monkeypatch.setitem(tables.LIBXC_GUESTS, kind, ("pv", "hvm"))

    assert _noticed({clause}), f"no stream of {clause} has a record of type {kind}"


# Each rule by itself, though two may be of one clause.
ORDER = sorted(
    {
        (layer, tables.RECORDS[layer][code], row)
        for layer, images in tables.ORDER.items()
        for table in images.values()
        for code, rows in table.items()
        for row in rows
    }
)


@pytest.mark.parametrize(("layer", "record", "rule"), ORDER, ids=str)
def test_each_order_rule_is_needed(
    layer: str, record: str, rule: tuple[str, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record in a place where an order rule does not have it would pass."""
    clause = rule[0]
    for name in STREAMS[clause]:
        _plain(clause, name)
    codes = {name: code for code, name in tables.RECORDS[layer].items()}
    images: dict[Any, Any] = {}
    for image, table in tables.ORDER[layer].items():
        kept = tuple(row for row in table.get(codes[record], ()) if row != rule)
        images[image] = {**table, codes[record]: kept}
    monkeypatch.setitem(tables.ORDER, layer, images)

    assert _noticed({clause}), f"no stream of {clause} has {record} in the wrong place"


def test_everything_is_tried() -> None:
    """The lists above hold what there is: no check, no rule of a field, and no order rule is left out."""
    assert {rule[0] for _, _, rule in ORDER} == {rule.clause for layer in LAYERS for rule in layer.rules}
    assert {row[0] for _, row in RULES} <= STREAMS.keys()
    assert len(PLACES) == len([name for name, _ in _places() if name != _OF_SETS])
