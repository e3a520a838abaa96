"""The reference of all formats is current and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from construct import Array, Bytes, Enum, GreedyRange, Int8ul, Int16ul, Int32ul, Struct, Switch, this
from construct.core import Construct, Renamed, Transformed

from streamfmt.render import reference
from streamfmt.schema import hvm, libxc, magic, model, neighbours, states, xapi
from streamfmt.schema.catalogue import catalogue, declarations, read

TEXT = reference.text()
LAYOUTS = [inner for layout in catalogue().values() for inner in model.layouts_within(layout)]


def section(path: str) -> str:
    """What the document says of one layout, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(path)}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{path} has no section"
    return found[1]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_document_is_current() -> None:
    """docs/formats.md is what `python -m streamfmt.render.reference` writes."""
    assert Path(reference.TARGET).read_text() == TEXT


def table_of(path: str) -> list[list[str]]:
    """The rows of one layout's table, without the heading."""
    return [cells(line) for line in section(path).splitlines() if line[:1] == "|"][2:]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.path)
def test_layout_is_said(layout: model.Layout) -> None:
    """Each layout has a source; each of its fields and parts has a row with its place, its size and a meaning."""
    words = section(layout.path)
    rows = {row[3].strip("`").partition("[")[0]: row for row in table_of(layout.path)}

    assert layout.source
    assert f"Source: {layout.source}." in words
    assert layout.doc in words
    assert len(rows) == len(layout.rows)
    for item, at, _ in layout.rows:
        offset, size, bits, _, values, doc = rows[item.path or "value"]
        assert values
        assert doc == item.doc != ""
        assert at is None or offset == str(at)
        if isinstance(item, model.Field):
            assert (size, bool(bits)) == (str(item.size), item.bitfield)
        else:
            assert size


def declared(con: Construct, path: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names in the order in which construct reads them, each with the layout it belongs to."""
    while isinstance(con, Renamed | Transformed):
        con = con.subcon
    if isinstance(con, Struct):
        for member in con.subcons:
            yield from declared(member.subcon, path, f"{prefix}.{member.name}".strip("."))
        return
    yield path, prefix or "value"
    if isinstance(con, Array | GreedyRange) and not isinstance(con.subcon, Bytes):
        yield from declared(con.subcon, f"{path}.{prefix}")


@pytest.mark.parametrize(("path", "con"), [(row[0], row[3]) for row in declarations()], ids=lambda it: str(it)[:60])
def test_order_is_construct(path: str, con: Construct) -> None:
    """The rows of a table are in the order of the declaration."""
    order: dict[str, list[str]] = {path: []}
    for layout, name in declared(con, path):
        order.setdefault(layout, []).append(name)

    assert {layout: [row[3].strip("`").partition("[")[0] for row in table_of(layout)] for layout in order} == order


def test_variable_parts_have_formulas() -> None:
    """After a part of variable length the offset is a sum; after one that no number gives, it says so."""
    found = {
        path: {row[3].strip("`").partition("[")[0]: row[:2] for row in table_of(path)}
        for path in ("libxc.PAGE_DATA", "libxl.EMULATOR_XENSTORE_DATA.pairs", "libxl.XENSTORE_DATA_64.entries")
    }

    assert found["libxc.PAGE_DATA"]["pages"] == ["8 + 8·count", "4096·data_pages"]
    assert found["libxl.EMULATOR_XENSTORE_DATA.pairs"]["value"] == ["after the previous", "varies"]
    assert found["libxl.XENSTORE_DATA_64.entries"]["padding"] == ["28 + namelen", "4"]


def test_structures_and_choices_are_described() -> None:
    """Fields of a structure have dotted names; those of a choice say in which case they are there."""
    con = Struct(
        "head" / Struct("kind" / Enum(Int8ul, A=1) * "Kind.", "size" / Int16ul * "Size."),
        "four" / Array(4, Int32ul) * "Four.",
        "body" / Switch(this.head.kind, {"A": Struct("x" / Int32ul * "X.")}, default=Bytes(this.head.size)) * "Body.",
        "end" / Int8ul * "End.",
    )
    rows = list(reference.layout_lines(read("t", "Text.", "Source", con), 3))

    assert [cells(line) for line in rows if line[:1] == "|"][2:] == [
        ["0", "1", "", "`head.kind`", "1 A", "Kind."],
        ["1", "2", "", "`head.size`", "any", "Size."],
        ["3", "16", "", "`four[4]`", "see `t.four`", "Four."],
        ["19", "varies", "", "`body`", "by `head.kind`", "Body."],
        ["19", "4", "", "`body.x`", "any", "If head.kind is A: X."],
        ["19", "head.size", "", "`body`", "any", "If head.kind is any other: Body."],
        ["after the previous", "1", "", "`end`", "any", "End."],
    ]


def test_length_rules() -> None:
    """A body's length is stated as the schema bounds it."""
    rules = {path: reference.length_rule(layout) for path, layout in catalogue().items()}

    assert rules["libxc.END"] == "0 bytes"
    assert rules["libxc.X86_PV_VCPU_BASIC"] == "8 + 2800 or 8 + 5168 bytes"
    assert rules["libxc.X86_PV_VCPU_EXTENDED"] == "8 + n bytes, n at least 1 and at most 128"
    assert rules["libxc.X86_CPUID_POLICY"] == "24·n bytes, n at least 1"


def test_every_table_is_whole() -> None:
    """Page types, parameters, context entries, order rules, magics and trailers are all in the document."""
    rows = [cells(line) for line in TEXT.splitlines() if line.startswith("|")]
    codes = {tuple(row[:2]) for row in rows}
    sources = [row[-1] for row in rows]
    clauses = [row[0] for row in rows]

    assert {(str(row.code), f"`{row.name}`") for row in libxc.PAGE_TYPES} <= codes
    assert {(str(number), f"`{name}`") for name, number in hvm.PARAMS.items()} <= codes
    assert {(str(row.code), f"`{row.name}`") for row in hvm.CONTEXT_TYPES} <= codes
    assert {(f"`{row.name}`", row.form) for row in xapi.XENOPS_KEYS} <= codes
    for rule in (*states.LIBXC_RULES, *states.LIBXL_RULES, *states.XAPI_RULES):
        assert f"`{rule.clause}`" in clauses
    for rows_of in (magic.MAGICS, neighbours.NEIGHBOURS, magic.NAMESAKES, magic.PREFACES, magic.TRAILERS):
        assert {row.source for row in rows_of} <= set(sources)


def test_document_is_well_formed() -> None:
    """Tables have equal rows, headings are unique, links lead to headings, and a line of prose is one sentence."""
    lines = TEXT.splitlines()
    headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    width = 0
    for line in lines:
        if not line.startswith("|"):
            width = 0
            assert not re.search(r"[a-z)]\. [A-Z]", line), line
            continue
        assert width in (0, len(cells(line))), line
        width = len(cells(line))

    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    assert lines[0].startswith("<!-- generated by")


def test_cells_are_escaped() -> None:
    """A bar inside a cell ends no cell."""
    assert reference.table(("a", "b"), [("x|y", 1)])[2] == r"| x\|y | 1 |"


def test_main_writes_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running the module writes the text to its target."""
    monkeypatch.setattr(reference, "TARGET", str(tmp_path / "formats.md"))
    reference.main()

    assert (tmp_path / "formats.md").read_text() == TEXT
