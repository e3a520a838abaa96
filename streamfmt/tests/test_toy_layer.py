"""A new container and a new record format cost a schema, a program, checks, clauses and a row: every command has them.

The toys are in support/toy_*.py; nothing of the product names them.  Each command runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ..errors import SchemaError
from ..schema.clauses import registry
from ..schema.layer_type import check, check_code
from ..schema.layers import LAYERS

RECIPE = """\
recipe = 1

[[part]]
header = "crate.header"

[[part]]
record = "crate.LABEL"
fields = { "size.width" = 3, "size.height" = 4, kind = 1, owner = 7 }

[[part]]
header = "beads.header"

[[part]]
record = "beads.STRING"
fields = { beads = [{ length = 3, name = "red" }, { length = 4, name = "blue" }] }

[[part]]
record = "beads.END"
"""
STREAM = b"toycrate\x09\0\0\0\3\0\4\1\7\0\0\0BEADS\n\1\x0c\0\2\3red\4bluenk\0\0\0"


def toy(*words: str) -> tuple[int, str]:
    """The command's status and what it prints."""
    found = subprocess.run(
        [sys.executable, "-m", "streamfmt.tests.support.toy", *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in found.stderr, found.stderr
    return found.returncode, found.stdout + found.stderr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole crate."""
    found = tmp_path / "crate"
    found.write_bytes(STREAM)
    return found


def test_built_from_a_recipe(tmp_path: Path, path: Path) -> None:
    """A recipe names its parts, and `show --recipe` gives the recipe back."""
    recipe, built = tmp_path / "toy.toml", tmp_path / "built"
    recipe.write_text(RECIPE)

    assert toy("build", str(recipe), "-o", str(built))[0] == 0
    assert built.read_bytes() == STREAM
    assert toy("show", "--recipe", str(path)) == (0, RECIPE)


def test_what_breaks_a_rule_is_not_built(tmp_path: Path) -> None:
    """The writer holds to the new rules."""
    recipe = tmp_path / "toy.toml"
    recipe.write_text(RECIPE.replace('"size.width" = 3', '"size.width" = 9'))

    status, text = toy("build", str(recipe), "-o", str(tmp_path / "built"))
    assert (status, (tmp_path / "built").exists()) == (2, False)
    assert "CRATE-WIDE at 11: it is 9 wide and 4 high" in text


def test_identified(path: Path) -> None:
    """By its magic, which is in the schema alone."""
    assert toy("identify", str(path)) == (0, f"{path}: crate > beads\n  because: 'toycrate' at offset 0\n")


def test_verified() -> None:
    """Field rules, order rules, framing and the layer's own checks, each with the clause it has."""
    cases = {
        b"": "",
        STREAM: "",
        _with(12, b"\x09"): "CRATE-WIDE",
        _with(15, b"\x03"): "CRATE-KIND",
        _with(25, b"!"): "BEADS-IDENT",
        _with(26, b"\7"): "BEADS-NONE BEADS-UNKNOWN",
        STREAM[:26] + STREAM[-3:]: "BEADS-NONE",
        STREAM[:27] + b"\x0b\0\2\2re\4bluenk\1\0\0\0": "BEADS-PADDING",
        _with(27, b"\x41"): "BEADS-LONG",
        STREAM + b"more": "BEADS-LAST",
    }
    program = f"""
import streamfmt
for stream, clauses in {cases!r}.items():
    found = streamfmt.verify(stream).counts
    assert " ".join(sorted(found)) == clauses, (stream, clauses, found)
"""
    assert toy("-c", program) == (0, "")


def _with(place: int, new: bytes) -> bytes:
    """The stream with other bytes in a place."""
    return STREAM[:place] + new + STREAM[place + len(new) :]


def test_cut() -> None:
    """Wherever it ends early, that is what is found."""
    program = f"""
import streamfmt
for size in range(8, {len(STREAM)}):
    found = streamfmt.verify({STREAM!r}[:size])
    assert not found.conforms and all(clause.endswith("-CUT") for clause in found.counts), (size, found.counts)
"""
    assert toy("-c", program) == (0, "")


def test_shown(path: Path) -> None:
    """Each record and field has its place and its name."""
    status, text = toy("show", "--hexdump", str(path))

    assert status == 0
    for line in ("size.height = 4", "owner = 7", "beads[1].length = 4", "knot = 27502 (0x6b6e)"):
        assert line in text
    assert "crate/beads" in text
    assert "header             length 9" in toy("show", str(path))[1]


def test_explained() -> None:
    """Its clauses and its records, with fields where they lie."""
    assert "There is a string before the end." in toy("explain", "BEADS-NONE")[1]
    assert "    then     2  knot   What keeps them together. Always 27502." in toy("explain", "STRING")[1]


def test_generated() -> None:
    """Streams of either, what breaks a field of them, and streams cut, damaged and at boundaries."""
    program = """
from hypothesis import HealthCheck, given, settings
from streamfmt.strategies import boundaries, breaking, cuts, mutations, streams

def held(strategy, wanted):
    found = []
    some = settings(max_examples=20, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    some(given(strategy)(lambda sample: found.append(sample)))()
    assert found and all(wanted(sample) for sample in found), found

for form in ("crate", "beads"):
    held(streams(form), lambda sample: sample.verify().conforms)
held(breaking("CRATE-KIND"), lambda sample: list(sample.verify().counts) == ["CRATE-KIND"])
held(breaking("BEADS-IDENT"), lambda sample: list(sample.verify().counts) == ["BEADS-IDENT"])
for make in (mutations, boundaries, cuts):
    held(streams("crate").flatmap(make), lambda given: True)
"""
    assert toy("-c", program) == (0, "")


# -- rows that cannot be --------------------------------------------------------------------------------------

FILE = "streamfmt/schema/layers.py"
FIRST, *REST = LAYERS
WRONG = {
    "it has two rows": (*LAYERS, FIRST),
    "it has the magic of libxl": (*LAYERS, replace(FIRST, name="other")),
    "it holds nothing, which no row is about": (replace(FIRST, holds=("nothing",)), *REST),
    "it holds another, which no row is about": (replace(FIRST, opens=(("LIBXC_CONTEXT", "another"),)), *REST),
    "it has no record LAST": (replace(FIRST, end="LAST"), *REST),
    "no header of it has a field idnt": (replace(FIRST, magic=("idnt",)), *REST),
    "no header of it has a field verzion": (replace(FIRST, version="verzion"), *REST),
    "what its records are padded to is no power of two": (replace(FIRST, align=6), *REST),
    "it has no clause for padding": (replace(FIRST, padding=""), *REST),
    "it has no clause for streams that end inside it": (replace(FIRST, truncated=""), *REST),
    "it has not a clause for each kind of unknown types": (replace(FIRST, unknown=FIRST.unknown[:1]), *REST),
    "it has no clause for records that are too long": (replace(FIRST, length_max=9), *REST),
    "it has no clause for what follows its end": (replace(FIRST, trailing=""), *REST),
}
WRONG_CODE = {
    "there is no reader.libxl:absent for its program": {"program": "reader.libxl:absent"},
    "there is no reader.absent:program for its program": {"program": "reader.absent:program"},
    "there is no checks.libxl:Absent for its checks": {"checks": "checks.libxl:Absent"},
    "there is no clause ABSENT": {"trailing": "ABSENT"},
}


@pytest.mark.parametrize("reason", WRONG)
def test_rows_that_do_not_fit(reason: str) -> None:
    """A row that cannot be is an error with the layer and the file, before anything is read by it."""
    check(LAYERS)

    with pytest.raises(SchemaError, match=reason) as raised:
        check(WRONG[reason])
    assert str(raised.value).startswith(f"{FILE}: layer '")


@pytest.mark.parametrize("reason", WRONG_CODE)
def test_rows_that_name_what_is_not_there(reason: str) -> None:
    """So is one that names a missing program, class or clause."""
    check_code(LAYERS, registry())

    with pytest.raises(SchemaError, match=reason):
        check_code((replace(FIRST, **WRONG_CODE[reason]), *REST), registry())  # type: ignore[arg-type] # by name
