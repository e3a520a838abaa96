"""explain: what a name or words mean, for people and for machines."""

from __future__ import annotations

import json
import re

import pytest

from ..cli.main import main
from ..schema.catalogue import catalogue
from ..schema.clauses import registry
from .test_cli import conforms_to

LISTS = ["", "LIBXC-REC", "*", "LIBX?-PAGE-*", "padding", "page type", "libxl"]


def _explain(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    return shown.out


@pytest.mark.parametrize("path", sorted(catalogue()))
def test_layouts(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every record and header is explained within 80 columns, with its fields and clauses, under either name."""
    shown = _explain(capsys, path)
    layout = catalogue()[path]

    assert max(map(len, shown.splitlines())) <= 80
    assert all(f"  {row.path}  " in shown for row in layout.fields if row.path)
    assert re.search(rf"type +{layout.record.code}\b", shown) if layout.record else True
    about = {c.id for c in registry().values() for place in c.applies if f"{place}.".startswith(f"{path}.")}
    row = json.loads(_explain(capsys, "--json", path))
    conforms_to("explain", row)
    assert set(row["clauses"]) == about
    assert all(f"  {clause}  " in shown for clause in about)
    alike = _explain(capsys, "--json", path.partition(".")[2].upper())
    assert path in {json.loads(line).get("path") for line in alike.splitlines()}


@pytest.mark.parametrize("words", LISTS)
def test_lists_fit(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists of clauses fit 80 columns, and name none twice."""
    lines = _explain(capsys, *words.split(), *words.split()).splitlines()
    ids = [line.split()[0] for line in lines if not line.startswith(" ")]

    assert max(map(len, lines)) <= 80
    assert len(ids) == len(set(ids)) > 2


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Clauses that have all words are listed, those with them in their ids first; with names, nothing is lost."""
    ids = [json.loads(line)["id"] for line in _explain(capsys, "--json", "page", "type").splitlines()]
    texts = {name: f"{c.id} {c.title} {c.text}".lower() for name, c in registry().items()}

    assert ids[0] == "LIBXC-PAGE-TYPE"
    assert all("page" in texts[name] and "type" in texts[name] for name in ids)
    both = _explain(capsys, "LIBXL-EMU-ID", "PAGE_DATA", "padding")
    assert both.count("LIBXL-EMU-ID ") == 1
    assert "libxc.PAGE_DATA: " in both
    assert "LIBXL-REC-PAD " in both
    assert _explain(capsys, "PADDING") == _explain(capsys, "padding")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("PAGE_DTA", "there is no clause or record PAGE_DTA; did you mean PAGE_DATA"),
        ("libxc.page_dat", "did you mean libxc.PAGE_DATA"),
        ("LIBXC-PAGE-COUTN", "did you mean LIBXC-PAGE-COUNT"),
        ("LIBXC-NO-*", "there is no clause or record LIBXC-NO-*"),
        ("paddding", "no clause has paddding; did you mean padding, "),
        ("padding colo xapi", "no clause has padding and colo and xapi; try fewer of them"),
        ("zzz", "no clause has zzz\n"),
        ("PAGE_DATA zzz", "no clause has zzz\n"),
        ("A\x1b[31m", "no clause or record A\\x1b[31m"),
        ("x" * 9000, f"no clause has {'x' * 300}"),
    ],
)
def test_unknown(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is not is said in a line, with what is near."""
    assert main(["explain", *words.split()]) == 2
    shown = capsys.readouterr()

    assert not shown.out
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert len(shown.err) < 1000


def test_words_in_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """Words are words in one piece, too."""
    assert _explain(capsys, "page type") == _explain(capsys, "page", "type")
