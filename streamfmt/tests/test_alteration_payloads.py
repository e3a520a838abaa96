"""Each constant of the payloads' declarations is altered, as those of streams are in `test_alteration`.

Then recipes that set fields by name break the clauses that they broke, at the same fields, and no others: else
something knows by itself where a field lies; and what is decoded, built, judged, named, put into a core file and
documented is another than it was: else nothing knows the constant.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import pytest

from ..schema import payloads
from .support import alterations, altered_payloads
from .support.alterations import Case

# What fields may be, and what bits are called: another number there means another thing, and says something else.
MEANINGS = frozenset(name for name in alterations.PAYLOADS if name in ("features", "payload_rules", "hvm_params"))
# Components of an XSAVE area must not overlap: they have a test of their own.
_SHARED = frozenset(("payload_xsave", "payloads"))
# Names have numbers of registers.
_NAMES = "hvm_cpu.GENERAL"
LAYOUT = tuple(
    case for case in alterations.cases(alterations.PAYLOADS - MEANINGS - _SHARED) if not case.id.startswith(_NAMES)
)
# A length that is stated beside a declaration is compared with it; a constant is what is written, and what it may be
# beside is a rule's.
_ALONE = [case for case in LAYOUT if case.target in ("REDIRECTION", "HPET_TIMER", "CONTEXT_64", "CHANNEL", "STIMER")]
GROUPS = alterations.spread(2, LAYOUT)


class Result(NamedTuple):
    """What came of it: streams of which others is said than of those before, and what is another."""

    wrong: list[Any]
    changed: set[str]


@cache
def base() -> tuple[dict[str, int], dict[str, Any], dict[str, Any]]:
    from .. import payload_tables

    lengths = {row.path: row.size for row in payloads.PAYLOADS}
    return lengths, alterations.constants(payload_tables), altered_payloads.seen(lengths)


def _examine(values: Mapping[Case, int | bytes]) -> Result:
    """In a process of its own: alter, rebuild, and compare with what was."""
    gc.disable()
    lengths, tables, was = base()
    changed = {"tables"} if alterations.install_payloads(values) != tables else set()
    now = altered_payloads.seen(lengths)
    changed.update(key for key in was if now[key] != was[key])
    wrong = [
        (name, found)
        for name, found in now["findings"].items()
        if [row[:2] for row in found] != [row[:2] for row in was["findings"][name]]
    ]
    return Result(wrong, changed)


def test_what_is_given_breaks_what_it_is_to() -> None:
    """Each recipe breaks its clause and nothing else."""
    found = dict(base()[2]["findings"])

    assert not found.pop("edit")
    assert found.pop("qemu")
    assert {name: {row[0] for row in rows} for name, rows in found.items()} == {
        name: {row.breaks} - {""} for name, row in altered_payloads.given().items()
    }


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{len(group)}-constants")
def test_nothing_else_knows_where_a_field_lies(group: Mapping[Case, int | bytes]) -> None:
    """With half of the constants altered, fields that are set by name are judged as they were, wherever they lie."""
    base()
    found: Result = alterations.in_process(partial(_examine, group))

    assert not found.wrong, [case.id for case in group]
    assert found.changed >= {"tables", "documents", "decoded", "bytes"}


def test_registers_of_a_core() -> None:
    """They are read where the declaration has them: behind a longer area of the floating point unit, further on."""
    base()
    case = next(case for case in LAYOUT if case.target == "FXSAVE" and case.values[0] == 9)
    found: Result = alterations.in_process(partial(_examine, {case: 9}))

    assert found.changed >= {"tables", "documents", "decoded", "bytes"}
    assert not found.changed & {"core", "findings"}


def _areas(values: Mapping[Case, int | bytes]) -> list[tuple[bytes, list[str]]]:
    alterations.install_payloads(values)
    return altered_payloads.areas()


def test_areas_of_xsave() -> None:
    """With twice as much room between components, and more in each, what is set by name goes along."""
    base()
    values = {
        case: case.value + (case.value - 576 if case.value > 576 else 1)
        for case in alterations.cases(frozenset(("payload_xsave",)))
        if isinstance(case.value, int) and case.target != "_NOWHERE"
    }
    before, after = altered_payloads.areas(), alterations.in_process(partial(_areas, values))
    found: Result = alterations.in_process(partial(_examine, values))

    assert len(values) > 20
    assert not any(clauses for _, clauses in (*before, *after))
    assert all(len(now) > len(was) for (was, _), (now, _) in zip(before, after, strict=True))
    assert not found.wrong
    assert found.changed >= {"tables", "documents", "decoded"}


@pytest.mark.parametrize("case", _ALONE[::7], ids=lambda case: case.id)
def test_constant(case: Case) -> None:
    """One alone shows in the tables, in the documents and in what is decoded."""
    base()
    found: Result = alterations.in_process(partial(_examine, {case: case.values[0]}))

    assert found.changed >= {"tables", "documents", "decoded"}
    assert not found.wrong


def test_meanings() -> None:
    """With every other number of what fields may be, and of what bits are called, that is judged and shown by them."""
    base()
    found: Result = alterations.in_process(partial(_examine, alterations.spread(2, alterations.cases(MEANINGS))[0]))

    assert found.changed >= {"tables", "documents", "findings", "named"}
    assert not found.changed & {"bytes", "core"}
