"""Clauses and layouts for a person, within 80 columns, and as plain values for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill, indent, wrap
from typing import Any

from ..schema.clauses import Clause
from ..schema.model import TO_NUL, Field, Layout, Row, layouts_within
from .reference import length_rule, value_text

FORMAT = "streamfmt-explain-2"
WIDTH = 79
_LABEL = 12
_JUDGED = {
    "stream": "a stream alone shows a breach",
    "context": "only a declared mode, guest or receiver shows it",
    "reader": "only a reader's behaviour shows it",
}


def clauses_about(path: str, clauses: Iterable[Clause]) -> list[Clause]:
    """The clauses that are about a layout, or about something in it."""
    return [c for c in clauses if any(place == path or place.startswith(f"{path}.") for place in c.applies)]


def listed(clauses: Sequence[Clause], margin: str = "") -> Iterator[str]:
    """A list of clauses: id, severity and title."""
    width = max((len(clause.id) for clause in clauses), default=0)
    for clause in clauses:
        head = f"{margin}{clause.id:<{width}}  {clause.severity or 'reader':<7}  "
        yield fill(clause.title, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def clause_text(clause: Clause) -> str:
    """One clause in full."""
    lines = [f"{clause.id}: {clause.title}", "", fill(clause.text.strip(), WIDTH), ""]
    lines += facts(
        writer=clause.writer,
        reader=clause.reader,
        judged=_JUDGED[clause.judged] + (", with --deep" if clause.deep else ""),
        severity=clause.severity,
        since=clause.since + (f", until {clause.until}" if clause.until else ""),
        about=", ".join(clause.applies),
        source=clause.source,
        hint=clause.hint,
        merged=", ".join(clause.merged),
        withdrawn=clause.withdrawn,
    )
    if clause.readers:
        lines += ["", "Known readers, on meeting the breach:"]
        width = max(17, *(len(row.reader) for row in clause.readers))
        for row in clause.readers:
            seen = f"seen running: {', '.join(row.ran)}" if row.ran else "read in its code"
            lines.append(f"  {row.reader:<{width}} {row.releases:<10} {row.words:<7} ({seen})")
            when = "though the rule is kept" if row.kept else row.when
            for words in filter(None, (when and f"when: {when}", row.note, row.why and f"streamfmt: {row.why}")):
                lines.append(indent(fill(words, 70), " " * 6))
    return "\n".join(lines)


def layout_text(layout: Layout, clauses: Sequence[Clause]) -> str:
    """One header or record: what it is, its fields, and the clauses about it."""
    record = layout.record
    lines = [*fill(f"{layout.path}: {layout.doc}", WIDTH).splitlines(), ""]
    if record is not None:
        lines += facts(
            type=f"{record.code} ({record.code:#010x})" if record.code >= 0 else str(record.code),
            guests=" and ".join(guest.upper() for guest in record.guests),
            since=f"image version {record.version}" if record.version else None,
            written=f"by {record.releases}" if record.releases else None,
        )
    lines += facts(length=length_rule(layout).replace("·", " x "), source=layout.source)
    for inner in layouts_within(layout):
        if rows := [*map(_row, inner.rows)]:
            lines += ["", f"Fields of {inner.path}:" if inner is not layout else "Fields:", *_columns(rows)]
    if clauses:
        lines += ["", "Clauses:", *listed(clauses, "  ")]
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    """Offset, size, name and meaning of fields, as a table."""
    table = [("offset", "size", "field", "meaning"), *rows]
    places, sizes, names = (max(len(row[column]) for row in table) for column in range(3))
    for place, size, name, meaning in table:
        head = f"  {place:>{places}}  {size:>{sizes}}  {name:<{names}}  "
        yield "\n".join(wrap(meaning, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))) or head.rstrip()


def _row(row: Row) -> tuple[str, str, str, str]:
    """A field or a part: where, how long, its name and its meaning."""
    item, doc = row.item, _doc(row)
    if not isinstance(item, Field):
        count = item.count if item.open or item.count == TO_NUL else f"{item.count} of them"
        return "then", str(item.unit) if item.unit > 1 else "", item.name or "value", f"{doc} ({count})"
    place = "then" if row.offset is None else str(row.offset)
    if item.bitfield:
        place += f" bit {item.shift}" if item.bits == 1 else f" bits {item.shift + item.bits - 1}-{item.shift}"
    values = _values(item)
    return place, str(item.size), item.path or "value", doc + (f" {values}" if values else "")


def _doc(row: Row) -> str:
    return f"If {row.when}: {row.item.doc}" if row.when else row.item.doc


def _values(row: Field) -> str:
    """What may stand in a field, as a sentence; empty where everything may or a table of the site has it."""
    if row.constant is not None:
        text = row.constant.decode("latin-1")
        return f"Always {ascii(text) if text.isascii() and any(row.constant) else row.constant.hex(' ')}."
    if row.names:
        return f"{', '.join(f'{value} {name}' for value, name in row.names.items())}."
    if row.allowed is not None:
        return f"Always {' or '.join(map(value_text, row.allowed))}."
    return ""


def facts(**labelled: str | None) -> Iterator[str]:
    """Labels and words beside them, if there are any; lines of their own, such as commands, stay lines."""
    for label, words in labelled.items():
        if words:
            lines = (fill(line, WIDTH - _LABEL, break_on_hyphens=False) for line in words.strip().splitlines())
            yield f"  {label:<9} " + "\n".join(lines).replace("\n", "\n" + " " * _LABEL)


# -- for machines -----------------------------------------------------------------------------------------------


def clause_dict(clause: Clause) -> dict[str, object]:
    """The clause as plain values; spec/json/explain.json describes them."""
    names = (name for name in clause.__slots__ if name != "readers")
    readers = [{name: getattr(row, name) for name in row.__slots__} for row in clause.readers]
    return {"format": FORMAT} | {name: getattr(clause, name) for name in names} | {"readers": readers}


def layout_dict(layout: Layout, clauses: Sequence[Clause]) -> dict[str, object]:
    """The header or record as plain values; spec/json/explain.json describes them."""
    record = layout.record
    return {
        "format": FORMAT,
        "path": layout.path,
        "doc": layout.doc,
        "type": record.code if record else None,
        "guests": list(record.guests) if record else [],
        "length": length_rule(layout),
        "source": layout.source,
        "fields": [_field_dict(inner, row) for inner in layouts_within(layout) for row in inner.rows],
        "clauses": [clause.id for clause in clauses],
    }


def _field_dict(layout: Layout, row: Row) -> dict[str, Any]:
    item = row.item
    path = f"{layout.path}.{item.path}" if item.path else layout.path
    if isinstance(item, Field):
        found = {"offset": row.offset, "size": item.size, "bits": item.bits, "shift": item.shift, "count": ""}
    else:
        found = {"offset": None, "size": item.unit or None, "bits": None, "shift": None, "count": item.count}
    return {"path": path, **found, "doc": _doc(row)}
