"""The generated tables are what the schemas say, and every field of every schema matters.

Deleting a field must show in the reader's tables, in the documentation's, and in what comes out of reading and
judging streams.  Each deletion happens in memory, with a private copy of the reading modules.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from construct import Struct
from construct.core import Construct, Renamed, Subconstruct

import streamfmt
from streamfmt import tables
from streamfmt.errors import SchemaError
from streamfmt.render import reference
from streamfmt.schema import compile as compiler
from streamfmt.schema import libxc, libxl
from streamfmt.schema.layers import LAYERS
from streamfmt.schema.model import little_bits

from ..writer import record
from .support.corpus import EACH_SMALL
from .support.good_streams import HVM

ROOTS: dict[str, Construct] = {
    "libxc.pte": libxc.PTE,
    **{f"libxl.XENSTORE_DATA_{width}": con for width, con in libxl.DRAFT_XENSTORE_DATA.items()},
    **{f"{layer.name}.{name}": con for layer in LAYERS for name, _, _, con in layer.headers},
    **{f"{layer.name}.{row.name}": row.body for layer in LAYERS for row in layer.records},
}


def structs(con: Construct, path: str) -> Iterator[tuple[str, Struct]]:
    """Every Struct inside a declaration, with its path."""
    if isinstance(con, Renamed) and con.name and not path.endswith(f".{con.name}"):
        path = f"{path}.{con.name}"
    if isinstance(con, Struct):
        yield path, con
        for member in con.subcons:
            yield from structs(member, path)
    elif isinstance(con, Subconstruct):
        yield from structs(con.subcon, path)


# What two layers have in common is declared once, and asked about once.
DECLARED = {id(struct): (path, struct) for root, con in ROOTS.items() for path, struct in structs(con, root)}
# The whole campaign takes out each field alone; it takes minutes.
EVERY = 1 if os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough" else 4
FIELDS = [
    pytest.param(struct, number, id=f"{path}.{struct.subcons[number].name}")
    for path, struct in DECLARED.values()
    for number in range(len(struct.subcons))
][::EVERY]


@contextmanager
def without(struct: Struct, number: int) -> Iterator[None]:
    """The declaration with one field taken out of it."""
    saved = list(struct.subcons)
    del struct.subcons[number]
    try:
        yield
    finally:
        struct.subcons[:] = saved


# What reads and judges, with the tables it runs on.
_READING = ("streamfmt.tables", "streamfmt.reader", "streamfmt.io", "streamfmt.checks")


@contextmanager
def reading_with(values: dict[str, Any]) -> Iterator[ModuleType]:
    """A private copy of the reading modules that runs on other tables; yields its checks.outcome."""
    names = [name for name in sys.modules if name.startswith(_READING)]
    saved = {name: sys.modules.pop(name) for name in names}
    replaced = ModuleType("streamfmt.tables")
    replaced.__dict__.update(values)
    try:
        sys.modules["streamfmt.tables"] = replaced
        setattr(streamfmt, "tables", replaced)  # noqa: B010 - what an import of the submodule would do
        yield importlib.import_module("streamfmt.checks.outcome")
    finally:
        for name in [n for n in sys.modules if n.startswith(_READING)]:
            del sys.modules[name]
        sys.modules.update(saved)
        for name, module in saved.items():
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, module)


def outcomes(values: dict[str, Any], order: Sequence[int]) -> Iterator[Any]:
    """What comes out of judging the probes with these tables, in that order; an exception's type where it fails."""
    try:
        with reading_with(values) as report:
            stack = importlib.import_module("streamfmt.reader.reader")
            verifier_module = importlib.import_module("streamfmt.checks.verifier")
            for number in order:
                try:
                    verifier = verifier_module.Verifier(deep=True)
                    reader = stack.Reader(verifier)
                    reader.pump.feed(probes()[number])
                    reader.pump.end()
                    yield report.Outcome(reader, verifier).as_dict()
                except Exception as error:  # a reader built on a mutilated schema may fail in any way
                    yield type(error).__name__
    except Exception as error:  # likewise on import
        yield type(error).__name__


@cache
def probes() -> list[bytes]:
    """All small vectors, the good ones first, and the record that no stored stream has, as a script raises an error."""
    toolstack = [HVM.before("libxc.X86_TSC_INFO", record("libxc.TOOLSTACK", data=data)) for data in (b"", bytes(8))]
    streams = [vector.stream for vector in EACH_SMALL if vector.form == "auto"]
    return [stream.render() for stream in (*streams, *toolstack)]


@pytest.fixture(scope="module")
def baseline() -> tuple[dict[str, Any], str, list[Any]]:
    """Tables, documentation and outcomes by the schemas as they are, by which the probes are rendered too."""
    order = range(len(probes()))
    return compiler.tables(), reference.text(), list(outcomes(compiler.tables(), order))


# The probes that came out otherwise without a field, the latest first: the next field's may well be one of them.
_NOTICED: list[int] = []


def test_literals_are_current() -> None:
    """streamfmt/tables.py is what `make generate` writes."""
    assert Path(str(tables.__file__)).read_text() == compiler.source()


def test_literals_are_data() -> None:
    """The generated module holds constants only: executing its text gives the compiler's values back."""
    scope: dict[str, Any] = {}
    exec(compiler.source(), scope)
    assert compiler.tables() == {name: scope[name] for name in compiler.tables()}


def test_every_literal_is_read() -> None:
    """Some module of the product reads each of them, record types apart: others are not generated."""
    package = Path(str(streamfmt.__file__)).parent
    files = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in ("tests", "schema")]
    read = {name for path in files for name in re.findall(r"\btables\.([A-Z]\w+)", path.read_text(encoding="utf-8"))}
    types = {
        f"{layer.alias or layer.name}_{row.name}".upper().replace("-", "_") for layer in LAYERS for row in layer.records
    }

    assert compiler.tables().keys() - types == read - types


@pytest.mark.parametrize(("struct", "number"), FIELDS)
def test_every_field_matters(struct: Struct, number: int, baseline: tuple[dict[str, Any], str, list[Any]]) -> None:
    """Without the field the reader's tables, the documentation and the findings are others."""
    with without(struct, number):
        try:
            values = compiler.tables()
        except (LookupError, ValueError):
            values = {}  # what counts another has to be there, and the reader's fast path stands on some fields
        try:
            redocumented = reference.text()
        except SchemaError:
            redocumented = ""

    usual, documented, expected = baseline
    assert values != usual
    assert redocumented != documented
    order = list(dict.fromkeys((*_NOTICED, *range(len(expected)))))
    others = zip(order, outcomes(values, order), strict=False)
    noticed = next((number for number, new in others if new != expected[number]), None)
    assert noticed is not None
    _NOTICED.insert(0, noticed)


def test_big_endian_twin() -> None:
    """A little-endian bit field and its big-endian twin read mirrored bytes alike."""
    from streamfmt.schema.model import big_endian

    entry = libxc.PAGE_ENTRY
    data = entry.build({"type": "L2TAB", "reserved": 0, "pfn": 0x1234})

    assert big_endian(entry).parse(data[::-1]) == entry.parse(data)
    assert big_endian(little_bits(*entry.subcon.subcon.subcons)).parse(data[::-1]) == entry.parse(data)
