"""Each constant of the schema is altered: all that follows from it changes with it, and nothing else knows it.

Beside the deletion of every field (`test_tables`) this is what holds "no fact is written twice".  An alteration happens
in a process of its own, in the source of a module of the schema (see `support.alterations`); tables, documentation,
builder, recipes, reader and checks are made anew from that.  Then

- streams that are built conform, are identified as what they are, and their recipes make them again; with a constant
  of legacy streams, these are converted to what conforms: else something knows the constant by itself;
- other streams are written, or something else is read in, said of or made of those that were built before: else nothing
  knows it, whatever the tables and the documentation have.  The few of which that is so are listed, with the reason.

`make test` alters the constants in groups, and a few alone;
``STREAMFMT_HYPOTHESIS=thorough pytest streamfmt/tests/test_alteration.py`` alters each alone, in some six minutes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import pytest

from ..schema.clauses import registry
from .support import alterations, altered_backups, altered_streams
from .support.alterations import Case
from .support.altered_streams import Sample

# The whole campaign alters each constant alone; it takes minutes.
THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"
CASES = alterations.cases() if THOROUGH else alterations.cases()[:: len(alterations.cases()) // 10]
GROUPS = alterations.groups(12)
# Clauses of what is inside state, whose facts are in modules that are not altered here (`alterations.PAYLOADS`).
INSIDE = {clause.id for clause in registry().values() if clause.deep} - {"LIBXC-PTE-PFN"}
# What a constant may be in: the tables and the documentation, and then what is written, read and judged.
KNOWN = {"tables", "reference"}
EVERYTHING = KNOWN | {"bytes", "recipe", "records", "verdict", "findings", "message", "converted", "backups", "memory"}
# What is compared of a sample as it is; the names of `EVERYTHING`.
_COMPARED = ("identity", "evidence", "verdict", "records", "converted", "memory")
# Constants that are in no stream and change nothing that is said of one, and why.
_LEVEL = "the level of a page table that is not a guest's top: only its name, and the documentation, have it"
_SOME = "nothing at all is no record of this kind: the reader does not come to judge its length"
_NAMESAKE = "how much is looked at: more than is needed changes nothing"
WITHOUT_EFFECT = {
    **{f"libxc.PAGE_TYPES-{place}": _LEVEL for place in ("2-0x1", "10-0x1", "12-0x2")},
    "libxc.RECORDS-2-0x1": "a batch of no pages breaks a rule of its own, before any length is judged",
    "legacy.CHUNKS-3-0x1": "the highest vcpu's number, which is not negative, says how many words follow",
    "legacy_tail.TAILS-0-0x1": "a context of no bytes breaks a rule of its own: it lacks its first entry",
    "legacy_tail.DEVICE_MODELS-0-0xa": "bytes of a KiB, in which the documentation counts",
    "legacy_tail.DEVICE_MODELS-1-0x1": _SOME,
    "xend.RECORDS-1-0x1": "a configuration of no bytes breaks a rule of the header, which says its length",
    "xl_migrate.TEXT-1-0x1": _SOME,
    "xl_migrate.HTTP-1-0x1": _SOME,
    "qemu_stream.MEMORY-17-0xa": "bytes of a KiB, in which the documentation counts",
    "qemu_stream.MEMORY-18-0x1": _SOME,
    "qemu_stream.BLOCKS_MAX_SECTIONS_MAX-1-0x10": "only a stream of more sections shows it, which is read for seconds",
    "magic.NAMESAKES-1-0x4": _NAMESAKE,
    "magic.NAMESAKES-2-0x1": _NAMESAKE,
    "magic.NAMESAKES-4-0x4": _NAMESAKE,
    "magic.NAMESAKES-5-0x1": _NAMESAKE,
    "magic.TEXT-4-0x100": "no text in UTF-8 has a byte of 255",
}


class Base(NamedTuple):
    """What the schema as it is says of everything."""

    tables: dict[str, Any]
    reference: str
    backups: dict[str, bytes]
    opened: dict[str, list[Any]]
    samples: dict[str, Sample]
    probes: dict[str, Sample]
    seen: dict[str, dict[str, Any]]
    recipes: dict[str, str]


class Result(NamedTuple):
    """What altering one constant did: what `wrong` came of it, and what `changed`."""

    values: Mapping[Case, int | bytes]
    wrong: list[str]
    changed: set[str]


@cache
def base() -> Base:
    from .. import tables
    from ..schema import libvirt, magic
    from .support.corpus import BREAKING

    samples = altered_streams.samples()
    probes = dict(samples)
    request = magic.REQUEST + b"migrate/mem/1 HTTP/1.0\r\n\r\n"
    probes["xapi-http-migrate"] = Sample(request + samples["xapi"].data)
    for clause, vectors in BREAKING.items():
        for name, vector in vectors.items():
            if not vector.large or clause == "XAPI-QEMU-MAX":
                probes[f"{clause}:{name}"] = Sample(vector.data, vector.form, vector.mode, vector.deep)
    length = slice(len(libvirt.MAGIC), len(libvirt.MAGIC) + 4)
    namesake = bytearray(samples["namesake"].data)
    namesake[length] = (3).to_bytes(4, "little")  # too short for any XML
    probes["namesake-short"] = Sample(bytes(namesake))
    seen = {name: altered_streams.seen(sample) for name, sample in probes.items()}
    recipes = {name: altered_streams.recipe(sample)[0] for name, sample in samples.items() if seen[name]["identity"][3]}
    backups = altered_backups.examples(samples["libxl"].data)
    opened = {name: altered_backups.opened(raw) for name, raw in backups.items()}
    documents = altered_streams.reference()
    return Base(alterations.constants(tables), documents, backups, opened, samples, probes, seen, recipes)


def _examine(values: Mapping[Case, int | bytes]) -> Result:
    """In a process of its own: alter, rebuild, and compare with what was."""
    gc.disable()
    was = base()
    changed = set()
    wrong = []
    legacy = all(case.module.startswith("legacy") for case in values)
    if alterations.install(values) != was.tables:
        changed.add("tables")
    if altered_streams.reference() != was.reference:
        changed.add("reference")
    for name, sample in altered_streams.samples().items():
        old, new = was.seen.get(name), altered_streams.seen(sample)
        if old is None:
            continue  # of one that there was not, nothing is known
        other = sample.data != was.samples[name].data
        if other:
            changed.add("bytes")
        if not name.startswith("magic"):
            had, has = ([row[0] for row in seen["findings"]] for seen in (old, new))
            left = [clause for clause in has if clause not in INSIDE]
            if left != had or (left == has and new["verdict"] != old["verdict"]):
                wrong.append(f"{name}: {new['verdict']}, {new['findings'][:2]}")
        if (new["identity"][0], new["identity"][3]) != (old["identity"][0], old["identity"][3]):
            wrong.append(f"{name} is identified as {new['identity']}, {new['evidence']}")
        if other and name in was.recipes:
            text, same = altered_streams.recipe(sample)
            if not same:
                wrong.append(f"{name}: its recipe makes other bytes")
            if text != was.recipes[name]:
                changed.add("recipe")
        if sample.converts and legacy and new["converted"][0] != old["converted"][0]:
            wrong.append(f"{name} is converted to what is {new['converted'][0]!r}")
    if any(altered_backups.opened(raw) != was.opened[name] for name, raw in was.backups.items()):
        changed.add("backups")
    for name, probe in was.probes.items():
        if changed >= EVERYTHING or (len(values) == 1 and changed - KNOWN):
            break  # of one constant one effect is enough
        old, new = was.seen[name], altered_streams.seen(probe)
        changed.update(key for key in _COMPARED if new[key] != old[key])
        if [row[:2] for row in new["findings"]] != [row[:2] for row in old["findings"]]:
            changed.add("findings")
        before = {row[:2]: row[2] for row in old["findings"]}
        if any(before.get(row[:2], row[2]) != row[2] for row in new["findings"]):
            changed.add("message")
    return Result(values, wrong, changed)


def _altered(case: Case) -> Result:
    """What altering a constant does: it becomes the first value with which the schema can be compiled."""
    why = ""
    for value in case.values:
        try:
            found: Result = alterations.in_process(partial(_examine, {case: value}))
            return found
        except RuntimeError as error:
            why += f"{value!r}: {error}\n"
    raise AssertionError(why)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{len(group)}-constants")
def test_nothing_else_knows_a_constant(group: Mapping[Case, int | bytes]) -> None:
    """With many constants altered at once, streams that are built conform to what they are now, and are known."""
    base()
    found: Result = alterations.in_process(partial(_examine, group))

    assert not found.wrong, [case.id for case in group]
    assert found.changed >= EVERYTHING


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_constant(case: Case) -> None:
    """One constant alone: the same, and it shows in the tables, and in streams or what is said of them."""
    base()
    found = _altered(case)

    assert not found.wrong
    assert found.changed
    assert bool(found.changed - KNOWN) == (case.id not in WITHOUT_EFFECT)


def test_without_an_alteration_nothing_changes() -> None:
    """Else what is said to follow from one would not."""
    base()
    found: Result = alterations.in_process(partial(_examine, {}))

    assert (found.wrong, found.changed) == ([], set())
