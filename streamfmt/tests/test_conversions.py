"""The golden conversions: what they cover, that our programs make them, that guests stay the same, what Xen's does."""

from __future__ import annotations

import ast
import json
import os
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import jsonschema
import pytest

from .. import data
from ..cli import convert_legacy_stream
from ..cli.main import main
from ..conformance import predictions_converter
from ..conformance.peers import RELEASE, RELEASES, script_modules
from ..convert.rules import MENDED, RULES
from ..convert.script import BROKEN, KEPT
from ..corpus import conversions, entries, store
from ..errors import CorpusError
from ..schema import legacy
from ..schema.clauses import CONVERTER, registry
from .support import peers, plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support.plain_memory import differences

STREAMS = {row["id"]: row for row in store.read_index()}
ROWS = conversions.read_index()
GROUPS = {group.name: group for group in conversions.groups()}
# With STREAMFMT_WHOLE=1 in the environment Xen's own converter of each release is asked about all of them; else about
# each so many-th, fewer in other releases than the machine's, whose text is the same.
WHOLE = os.environ.get("STREAMFMT_WHOLE") == "1"
EVERY = {RELEASE: 2}
FEW = 16
# Of those that break a rule so many-th are refused by the commands, too: all are by the converter below them.
BROKEN_EVERY = 3


@cache
def stream(name: str) -> bytes:
    """The bytes of a stream."""
    return bytes(conversions.stream(STREAMS[name]))


# -- what there is --------------------------------------------------------------------------------------------


def test_the_index_is_as_its_schema_says() -> None:
    """The whole of it, and each has a name of its own."""
    schema = json.loads(Path(data.path("spec", "json", "conversions.json")).read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((entries.folder() / conversions.INDEX).read_text(encoding="utf-8")), schema)

    assert len({row["id"] for row in ROWS}) == len(ROWS)


def test_every_pattern_means_something() -> None:
    """No group names inputs that there are none of."""
    inputs = {name: {row["input"] for row in ROWS if row["id"].startswith(f"{name}/")} for name in GROUPS}
    unused = [
        (one.name, pattern)
        for one in GROUPS.values()
        for pattern in one.inputs
        if not any(conversions.matches(name, [pattern]) for name in inputs[one.name])
    ]

    assert unused == []


def test_every_chunk_is_converted() -> None:
    """Each that savers wrote, of either width, but for transcendent memory of Xen 4.0, whose pages have no words."""
    names = {chunk for row in ROWS if row["output"] for chunk in _chunks(row["input"])}
    known = {f"legacy-{8 * word}.{record.name}" for word in legacy.WORDS for record in legacy.RECORDS[word]}

    assert known - names == {f"legacy-32.TMEM_{name}_0" for name in ("PAGE", "POOL_END", "FLUSHED")}


@cache
def _chunks(name: str) -> set[str]:
    if name.startswith("real/"):
        return set()
    return {part.path for part in entries.entry(name).recipe.stream}


def test_every_kind_is_there() -> None:
    """Guests, widths, releases, containers, ways of changing what there is."""
    done = [STREAMS[row["input"]] for row in ROWS if row["output"]]
    kinds = {(row["guest"], row["format"]) for row in done}
    releases = {row["id"].split("legacy-")[1][:3] for row in done if row["id"].startswith("history/legacy-")}

    assert kinds >= {(guest, f"legacy-{8 * word}") for guest in ("hvm", "pv") for word in legacy.WORDS}
    assert {form for _, form in kinds} >= {"xl", "libvirt", "xapi", "xapi-legacy", "xend", "libxl", "libxc"}
    assert releases >= {"3-0", "3-1", "3-2", "3-3", "3-4", "4-0", "4-1", "4-2", "4-3", "4-4", "4-5"}
    assert {name for one in GROUPS.values() for name in one.options} == {
        *("format", "skip-qemu", "xl", "allow-loss", "checkpoints", "to", "repair", "container", "emulator")
    }


# What no stream of the corpus that is stored shows, or what takes other options than these have.
ELSEWHERE = {
    *("AFTER-END", "AFTER-END-UNKNOWN", "COLO-DIRTY-HDR", "DROP-CUT", "DROP-TRAILING", "DROP-VERIFY", "EMULATOR-ID"),
    *("LEGACY-BIT", "LIBXC-PVINFO-FIRST", "LOSE-NAME", "LOSE-UNMAPPED", "MAP-ONLINE", "REFUSE-BARE", "REFUSE-BASE"),
    *("REFUSE-LIBXL", "REFUSE-NEW", "REFUSE-RECORD", "REFUSE-SECOND", "REFUSE-STATE", "REFUSE-WIDTH", "REFUSE-XML"),
    *("XAPI-QEMU-MAX", "XENOPS"),
}


def test_every_rule_is_followed() -> None:
    """But for a few that other tests have; and each clause of legacy streams that is broken has its refusal."""
    seen = {line["rule"] for row in ROWS for line in (*row["report"], *row["refused"])}
    errors = {
        clause.id
        for clause in registry().values()
        if clause.id.startswith("LEGACY-") and clause.judged == "stream" and clause.severity == "error"
    }

    assert set(RULES) - seen == ELSEWHERE
    # A guest without pages is in a file of xend's, and its clause in that is another's.
    assert errors - seen == {"LEGACY-PAGES"}
    assert {name for name in seen if name in RULES and RULES[name].kind == MENDED}


# -- what comes of them ---------------------------------------------------------------------------------------


def test_programs_make_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Both commands, from file to file, with the options as they are in the index; and the guest is the input's."""
    wrong = []
    for row in ROWS:
        if row["id"].startswith("broken/") and crc32(row["id"].encode()) % BROKEN_EVERY:
            continue
        status, made = _made(row, tmp_path)
        expected = row["output"] and (row["output"]["size"], row["output"]["sha256"])
        if (status, made and (len(made), sha256(made).hexdigest())) != (row["status"], expected):
            wrong.append(row["id"])
        elif made is not None and STREAMS[row["input"]]["format"] not in NOT_PLAIN:
            wrong += [f"{row['id']}: {found}" for found in _changes(row, made)]
    capfd.readouterr()

    assert wrong == []


def _made(row: conversions.Row, folder: Path) -> tuple[int, bytes | None]:
    """Exit status and output of the command."""
    source, target, text = (folder / name for name in ("source", "target", "configuration"))
    source.write_bytes(stream(row["input"]))
    more = []
    if row["configuration"] is not None:
        text.write_text(row["configuration"], encoding="utf-8")
        more = ["--configuration", str(text)]
    if row["command"] == CONVERTER:
        status = convert_legacy_stream.main(["-i", str(source), "-o", str(target), *row["options"]])
    else:
        status = main(["convert", "--quiet", *row["options"], *more, str(source), str(target)])
    made = target.read_bytes() if target.exists() else None
    target.unlink(missing_ok=True)
    return status, made


# What the plain readers do not know, beside guests.
NOT_PLAIN = ("back-channel", "xl-migrate", "http")
PAE_ENABLED = 4


def _changes(row: conversions.Row, made: bytes) -> list[str]:
    """In words, what the guest in the output has not in common with that in the input, by readers of our own tests."""
    of = STREAMS[row["input"]]
    inner, after = plain_wrappers.inside(stream(row["input"])), plain_wrappers.inside(made)
    width = next((int(name[-2:]) for name in conversions.layers(of) if name.startswith("legacy-")), None)
    if width is None:
        before = plain_memory_v3.read(inner)
        # Version 3 has no such parameter: LIBXC-HVMPARAMS-PAE.
        before.params.pop(PAE_ENABLED, None)
        return differences(before, plain_memory_v3.read(after))
    if GROUPS[row["id"].partition("/")[0]].options.get("container"):
        return [] if inner == after else ["another legacy stream"]
    guest = plain_memory_legacy.read(inner, width // 8, of["guest"], qemu="--skip-qemu" not in row["options"])
    return differences(guest, plain_memory_v3.read(after))


# -- Xen's own ------------------------------------------------------------------------------------------------


def _asked(release: str) -> list[predictions_converter.Compared]:
    every = 1 if WHOLE else EVERY.get(release, FEW)
    rows = [row for row in ROWS if not crc32(row["id"].encode()) % every]
    return predictions_converter.compared(predictions_converter.cases(rows), release)


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_xens_converter(release: str) -> None:
    """Each release's makes the same bytes but where a clause says why not; what the index says of it is so."""
    peers.require(CONVERTER, release)
    table = _asked(release)
    does = {row["id"]: row["script"]["does"] for row in ROWS if row["script"]}

    assert len(table) > 10
    assert [row.wrong for row in table if row.wrong] == []
    assert {row.case.name: row.did for row in table} == {row.case.name: does[row.case.name] for row in table}
    if WHOLE:
        page = Path(data.path("docs", "differences.md"))
        assert predictions_converter.section(table, release) in page.read_text(encoding="utf-8"), "make differences"


def test_exceptions_are_documented() -> None:
    """The manual of our command has each, with its reason, as the clauses have it."""
    text = Path(data.path("docs", "convert-legacy-stream.md")).read_text(encoding="utf-8")

    assert predictions_converter.manual(text) == text, "docs/convert-legacy-stream.md is stale: make differences"


def _code(script: str) -> dict[str, str]:
    """The converter and its modules, without comments."""
    files = [Path(script), *Path(script_modules(script), "xen", "migration").glob("*.py")]
    return {path.name: ast.unparse(ast.parse(path.read_bytes())) for path in files if path.name != "tests.py"}


@pytest.mark.peer
@pytest.mark.parametrize("release", [release for release in RELEASES if release != RELEASE])
def test_releases_have_the_same_code(release: str) -> None:
    """What one does they all do, and the clauses say the same of them."""
    mine, other = (peers.require(CONVERTER, each) for each in (RELEASE, release))
    rows = [row for clause in registry().values() for row in clause.readers if row.reader == CONVERTER]

    assert _code(mine) == _code(other)
    assert not [row for row in rows if (RELEASE in row.ran) != (release in row.ran)]


def test_conditions_are_those_of_the_clauses() -> None:
    """What depends on the stream has a function that picks the row, and nothing else has one."""
    rows = {
        (clause.id, kept): [row for row in clause.readers if row.reader == CONVERTER and row.kept == kept]
        for clause in registry().values()
        for kept in (False, True)
    }

    assert {name for (name, kept), found in rows.items() if not kept and any(row.when for row in found)} == set(BROKEN)
    assert {name for (name, kept), found in rows.items() if kept and found} == set(KEPT)
    assert not [name for name, found in rows.items() if len({row.does for row in found}) < len(found)]


# -- the commands ---------------------------------------------------------------------------------------------


def _lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["corpus", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_list_show_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """By id or by the input, for people and for machines; the output of one is made as the index has it."""
    chosen = [json.loads(line) for line in _lines(capsys, "list", "--conversions", "libxc/good/*", "--json")]
    assert chosen == [row for row in ROWS if row["id"].startswith("libxc/good/")]
    lines = _lines(capsys, "list", "--conversions", "--format", "xend")
    assert {
        STREAMS[next(row for row in ROWS if row["id"] == line.split()[0])["input"]]["format"] for line in lines
    } == {"xend"}
    assert all(len(line) <= 100 for line in _lines(capsys, "list", "--conversions"))
    row = next(row for row in ROWS if row["id"] == "libxl/good/legacy-hvm")
    assert json.loads(_lines(capsys, "show", "--json", row["id"])[0]) == row
    target = tmp_path / "expected"
    _lines(capsys, "export", "--conversion", row["id"], "-o", str(target))
    assert sha256(target.read_bytes()).hexdigest() == row["output"]["sha256"]
    for words in (
        ["list", "--conversions", "none"],
        ["export", "--conversion", "loss-refused/good/xend-hvm", "-o", "x"],
    ):
        assert main(["corpus", *words]) == 2
        assert "no such golden conversion" in (said := capsys.readouterr().err) or "that has an output" in said
    monkeypatch.setattr(conversions, "read_index", lambda: ROWS)
    monkeypatch.setattr(store, "read_index", list)
    for name in [row["id"] for row in ROWS][::9]:
        assert all(len(line) <= 80 or " " not in line[12:] for line in _lines(capsys, "show", name)[1:]), name


def test_what_is_wrong_is_said(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is not true, one too many, one that is missing, a table that cannot be."""
    source, index = few / conversions.SOURCE, few / conversions.INDEX
    source.write_text('[three]\nabout = "a"\ncommand = "streamfmt convert"\ninputs = ["good/hvm-v2", "good/pv-v2"]\n')
    assert main(["corpus", "build"]) == 0
    assert main(["corpus", "check"]) == 0
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace('"id": "three/good/hvm-v2"', '"id": "other"').replace('"rule"', '"role"', 1))
    capsys.readouterr()
    assert main(["corpus", "check"]) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "other: conversions.json has it, and nothing makes it",
        "three/good/hvm-v2: there is no such conversion in conversions.json",
    ]
    index.write_text(text.replace('"status": 0', '"status": 1', 1))
    assert main(["corpus", "check"]) == 1
    assert capsys.readouterr().out == "three/good/hvm-v2: conversions.json has another status\n"


@pytest.mark.parametrize("table", ['what = "a"', 'about = "a"\ncommand = "cp"\ninputs = []', "what"])
def test_tables_that_are_wrong(few: Path, table: str) -> None:
    """They are refused in a line that names the file."""
    (few / conversions.SOURCE).write_text(f"[three]\n{table}\n")
    with pytest.raises(CorpusError, match=conversions.SOURCE):
        conversions.groups()


@pytest.mark.parametrize("text", ["{}", "", '{"format": "streamfmt-conversions-0", "conversions": []}'])
def test_an_index_of_another_kind(few: Path, text: str) -> None:
    """So is what has not been built by this version."""
    (few / conversions.INDEX).write_text(text)
    with pytest.raises(CorpusError, match=conversions.INDEX):
        conversions.read_index()
