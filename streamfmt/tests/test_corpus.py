"""The corpus: its index is current and true, its files are what recipes make, and every clause has its streams."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import jsonschema
import pytest

from .. import data
from ..checks.outcome import CONFORMS
from ..cli.main import main
from ..corpus import entries, index, store
from ..recipes.load import Recipe
from ..schema.clauses import registry

ROWS = store.read_index()


def test_all_is_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stream is made, judged and held against its row and its file."""
    assert main(["corpus", "check"]) == 0
    assert capsys.readouterr().out == f"{store.counted(ROWS)}: all as expected\n"


def test_the_index_is_as_its_schema_says() -> None:
    """The whole of it."""
    schema = json.loads(Path(data.path("spec", "json", "corpus.json")).read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((entries.folder() / store.INDEX).read_text(encoding="utf-8")), schema)
    assert len({row["id"] for row in ROWS}) == len(ROWS)


def test_it_is_small() -> None:
    """All files together, and each stream that is stored."""
    assert sum(path.stat().st_size for path in entries.folder().rglob("*") if path.is_file()) < 5 << 20
    assert all(row["size"] <= index.STORED for row in ROWS if row["file"] and not row["id"].startswith("real/"))


@pytest.mark.parametrize("clause", [clause.id for clause in registry().values() if clause.judged == "stream"])
def test_each_clause_has_its_streams(clause: str) -> None:
    """One that breaks it and nothing else; what keeps it is good.toml, and its own where it takes more than that.

    A breach that a real reader does not survive is not stored.
    """
    broken = [row for row in ROWS if row["id"].startswith(f"{clause}/broken/")]

    assert bool(broken) == registry()[clause].survived
    for row in broken:
        assert {finding["clause"] for finding in row["findings"]} == {clause}, row["id"]
    for row in ROWS:
        if row["id"].startswith((f"{clause}/accepted/", "good/")):
            assert clause not in {finding["clause"] for finding in row["findings"]}, row["id"]


def test_good_ones_are_good() -> None:
    """They break no rule at all, and every reader has to take them."""
    good = [row for row in ROWS if row["id"].startswith("good/")]

    assert len(good) > 20
    assert all(row["findings"] == [] and row["reader"]["does"] == "accept" for row in good)


def test_every_place_is_legal() -> None:
    """A record in any place that the rules leave it breaks none that a reader would mind, nor is it odd."""
    places = [row for row in ROWS if row["id"].startswith("places/")]

    assert len(places) > 100
    for row in places:
        assert {finding["severity"] for finding in row["findings"]} <= {"note"}, row["id"]
        assert row["reader"]["does"] == "accept", row["id"]


def test_what_readers_have_to_do() -> None:
    """A stream that must be rejected does not conform; one that conforms must be accepted, or may be."""
    for row in ROWS:
        assert row["reader"]["does"] != "reject" or not row["conforms"], row["id"]
    assert {row["reader"]["does"] for row in ROWS} == {"accept", "reject", "either"}


@pytest.mark.parametrize(
    ("name", "does"),
    [
        # A limit that a reader may have; without it the input ends inside the record, or the body is there.
        ("LIBXC-REC-LENGTH-MAX/broken/end", "reject"),
        ("LIBXC-REC-LENGTH-MAX/broken/inside", "either"),
        ("LIBXC-REC-LENGTH-MAX/broken/whole", "either"),
        # Readers have to refuse a body that is too short, and only that.
        ("LIBXC-PVINFO-LEN/broken/short", "reject"),
        ("LIBXC-PVINFO-LEN/broken/long", "either"),
        # What a guest has is known to who has it.
        ("hostile/vcpu-below-zero", "either"),
    ],
)
def test_what_a_reader_has_to_do_with(name: str, does: str) -> None:
    """Where the levels of the clauses alone would say something else."""
    assert next(row["reader"]["does"] for row in ROWS if row["id"] == name) == does


def test_a_receiver_knows_more() -> None:
    """A clause that no stream alone shows is not judged from any, and what readers do by it is in the index."""
    rows = {row["id"]: row for row in ROWS}
    named = [entry for entry in entries.entries() if entry.either in registry()]

    assert named
    for entry in named:
        assert registry()[entry.either].judged != "stream", entry.id
        assert entry.either in {known["clause"] for known in rows[entry.id]["known"]}, entry.id


# -- the commands ---------------------------------------------------------------------------------------------


def test_damage_is_said(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with other bytes, one that is missing, one too many, and a row that is not true."""
    streams = small / index.STREAMS / "good"
    (streams / "hvm.bin.gz").write_bytes(gzip.compress(b"other"))
    (streams / "pv.bin.gz").unlink()
    (streams / "stray.bin.gz").write_bytes(b"")
    (small / "real" / "stray.bin").write_bytes(b"")
    (streams / "hvm-v2.bin.gz").write_bytes(b"no gzip")
    text = (small / store.INDEX).read_text(encoding="utf-8")
    (small / store.INDEX).write_text(text.replace('"id": "good/xl-hvm"', '"id": "good/xl"'), encoding="utf-8")

    assert main(["corpus", "check"]) == 1
    out, error = capsys.readouterr()
    assert sorted(out.splitlines()) == [
        "good/hvm-v2: streams/good/hvm-v2.bin.gz holds other bytes",
        "good/hvm: streams/good/hvm.bin.gz holds other bytes",
        "good/pv: streams/good/pv.bin.gz is not there",
        "good/xl-hvm: the index has no such stream",
        "good/xl: the index has it, and nothing makes it",
        "real/stray.bin: no row of the index names this file",
        "streams/good/stray.bin.gz: no row of the index names this file",
    ]
    assert "7 complaints" in error

    assert main(["corpus", "build"]) == 0
    assert main(["corpus", "check"]) == 1
    # What somebody else put there is not ours to remove.
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert (streams / "stray.bin.gz").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": "streamfmt-corpus-3", "streams": [{"id": "good/hvm"}]}',
        '{"format": "streamfmt-corpus-3"}',
        '{"format": "streamfmt-corpus-1", "streams": []}',
        '{"format": "streamfmt-corpus-3", "streams": [',
    ],
)
@pytest.mark.parametrize("words", [["list"], ["show", "good/hvm"], ["check"], ["export", "-o", "none.tar.gz"]], ids=str)
def test_an_index_of_another_kind(few: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]) -> None:
    """One line says what is wrong with it; building makes it anew."""
    (few / store.INDEX).write_text(text, encoding="utf-8")

    assert main(["corpus", *words]) == 1
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith(f"streamfmt corpus: {few / store.INDEX} is ")
    assert not Path("none.tar.gz").exists()


def _edit(small: Path, text: str) -> None:
    """Let a recipe say that in the place of "to = 23"."""
    path = small / "recipes" / "LIBXC-TSC-LEN.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("to = 23", text), encoding="utf-8")


def test_a_recipe_that_is_wrong(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported with its line, and nothing is made."""
    _edit(small, "two = 23")

    assert main(["corpus", "check"]) == 1
    error = capsys.readouterr().err
    assert "LIBXC-TSC-LEN.toml:" in error
    assert error.count("\n") == 1


def test_a_changed_recipe_is_said(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the row nor the file fits it any more."""
    _edit(small, "to = 22")

    assert main(["corpus", "check"]) == 1
    out = capsys.readouterr().out
    assert "LIBXC-TSC-LEN/broken/short: the index has another sha256\n" in out
    assert "LIBXC-TSC-LEN/broken/short: streams/LIBXC-TSC-LEN/broken/short.bin.gz holds other bytes" in out


def test_list_and_show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By pattern, for people and for machines; what is not there is reported with what is meant."""
    assert main(["corpus", "list", "good/*"]) == 0
    assert "good/libxl-hvm " in capsys.readouterr().out
    assert main(["corpus", "list", "--json", "good/hvm"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == next(row for row in ROWS if row["id"] == "good/hvm")
    assert main(["corpus", "show", "--json", "good/hvm"]) == 0
    assert json.loads(capsys.readouterr().out) == row
    assert main(["corpus", "show", "CKPT-CUT/accepted/after-first"]) == 0
    out = capsys.readouterr().out
    assert "a reader  has to accept it" in out
    assert main(["corpus", "show", "good/hmv"]) == 2
    assert "did you mean good/hvm" in capsys.readouterr().err
    assert main(["corpus", "list", "nothing*"]) == 2
    capsys.readouterr()
    # How rows look does not take that the index is read again for each.
    monkeypatch.setattr(store, "read_index", lambda: ROWS)
    for row in ROWS[::7]:
        assert main(["corpus", "show", row["id"]]) == 0
        # Only what has no space in it, such as a long name, may be longer.
        lines = capsys.readouterr().out.splitlines()[1:]
        assert all(len(line) <= 80 or " " not in line[12:] for line in lines), row["id"]


def test_every_recipe_says_what_it_is() -> None:
    """Streams that no clause explains have a word about them, and no two the same."""
    for kinds in (("good", "made"), ("history",), ("hostile",)):
        chosen: list[Recipe] = [entry.recipe for entry in entries.entries() if entry.kind in kinds]

        assert chosen
        assert all(recipe.about for recipe in chosen)
        assert len({recipe.about for recipe in chosen}) == len(chosen)


def test_hostile_streams_are_small() -> None:
    """It is their claims that are huge; and neither they nor history's repeat a stream of another collection."""
    rows = [row for row in ROWS if row["id"].startswith(("history/", "hostile/"))]
    others = {row["sha256"] for row in ROWS if row not in rows}

    assert len(rows) > 90
    assert not [row["id"] for row in rows if row["sha256"] in others]
    assert all(row["size"] < 1 << 16 for row in rows)


def test_legacy_streams_are_of_each_release() -> None:
    """What Xen 3.0 to 4.5 wrote conforms, by itself and in each file that may have it."""
    rows = [row for row in ROWS if row["id"].startswith("history/legacy-")]

    assert len(rows) >= 60
    assert {row["verdict"] for row in rows} == {CONFORMS}
    assert {row["format"] for row in rows} >= {"legacy-64", "legacy-32", "xapi-legacy", "xapi", "xend", "xl", "libvirt"}
    assert {finding["severity"] for row in rows for finding in row["findings"]} == {"note"}
