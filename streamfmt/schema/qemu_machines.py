"""What QEMU's machine types write, by release: spec/qemu-machines.toml, as streamfmt/qemu_tables.py has it.

Sets of releases, and of versions of machine types, are numbers there: bit n is the n-th of RELEASES, or of VERSIONS.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from .. import data
from ..errors import SchemaError
from . import qemu_stream

_HEADING = '''"""Machine types of QEMU, written by `python -m streamfmt.schema.compile`.  Do not edit.

spec/qemu-machines.toml has it all, with sources, and `schema.qemu_machines` says what the values are.
"""

from __future__ import annotations
'''
_TYPES = {
    "MACHINES": "dict[str, tuple[str, str, dict[int, int], dict[int, int], tuple[bytes, ...]]]",
    "SECTIONS": "dict[tuple[bytes, int], "
    "tuple[str, tuple[tuple[int, int], ...], tuple[tuple[bytes, int, int, int, int, bool, int, int], ...]]]",
}


def read() -> Mapping[str, Any]:
    """The data file as it stands."""
    with open(data.path("spec", "qemu-machines.toml"), "rb") as file:
        return tomllib.load(file)


def tables(found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Each literal by name.  Raises SchemaError."""
    found = read() if found is None else found
    releases, versions = found["releases"], found["versions"]

    def when(text: str) -> int:
        return span(releases, text)

    refused = found["refused"]
    codes = {row.name: row.code for row in qemu_stream.RECORDS}
    machines = {name: _machine(releases, versions, row) for name, row in found["machine"].items()}
    sections = {
        (name.encode(), row["version"]): (row.get("machine", ""), *_section(releases, versions, row))
        for name, row in found["section"].items()
    }
    for name, row in found["machine"].items():
        _source(name, row)
    for row in (*found["section"].values(), *found["order"], *refused):
        _source(repr(row), row)
    return {
        "RELEASES": tuple(releases),
        "VERSIONS": tuple(versions),
        "MACHINES": machines,
        "SECTIONS": sections,
        "ORDERS": tuple((row["first"].encode(), row["then"].encode(), when(row["releases"])) for row in found["order"]),
        "WRITTEN": {qemu_stream.COMMANDS[row["command"]]: when(row["written"]) for row in refused if "written" in row},
        "REFUSED_COMMANDS": {
            qemu_stream.COMMANDS[row["command"]]: when(row["releases"]) for row in refused if "command" in row
        },
        "REFUSED_WORDS": {
            code: when(row["releases"])
            for row in refused
            for name, code in codes.items()
            if "word" in row and name in (row["word"], f"{row['word']}_OF")
        },
        "REFUSED_CAPABILITIES": {
            row["capability"].encode(): when(row["releases"]) for row in refused if "capability" in row
        },
        "REFUSED_SECTIONS": {row["section"].encode(): when(row["releases"]) for row in refused if "section" in row},
    }


def plain() -> dict[str, Any]:
    """What is needed of every stream: lengths of sections by name and version, and names of those that show more."""
    found = read()
    known = tables(found)
    showing = {name for name, _ in known["SECTIONS"]} | {name for *names, _ in known["ORDERS"] for name in names}
    showing |= {name for *_, names in known["MACHINES"].values() for name in names}
    return {
        "QEMU_SECTION_LENGTHS": dict(_lengths(found["lengths"], known["SECTIONS"])),
        "QEMU_SHOWING": frozenset(showing),
    }


def span(names: Sequence[str], text: str) -> int:
    """The set that spans such as "1.4-1.7, 2.0-" are, of these names in their order.  Raises SchemaError."""
    found = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last or (names[-1] if dash else first)
        try:
            low, high = names.index(first), names.index(last)
        except ValueError:
            raise SchemaError("spec/qemu-machines.toml", f"{text!r} names none of {', '.join(names)}") from None
        if low > high:
            raise SchemaError("spec/qemu-machines.toml", f"{text!r} ends before it begins")
        found |= (1 << high + 1) - (1 << low)
    return found


def _source(what: str, row: Mapping[str, Any]) -> None:
    if not row.get("source"):
        raise SchemaError("spec/qemu-machines.toml", f"of {what} no source is given")


def _machine(releases: Sequence[str], versions: Sequence[str], row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Alias, whose devices it has, versions by release, what its name alone means by release, sections of its own."""
    has = {releases.index(release): span(versions, text) for release, text in row.get("has", {}).items()}
    means = {releases.index(release): versions.index(text) for release, text in row.get("means", {}).items()}
    if bool(has) == row.get("unversioned", False):
        raise SchemaError("spec/qemu-machines.toml", f"a machine type has versions or none: {row}")
    newest = {release: known.bit_length() - 1 for release, known in has.items()}
    return (
        row.get("alias", ""),
        row.get("like", ""),
        has,
        newest | means,
        tuple(n.encode() for n in row.get("shown", ())),
    )


def _section(releases: Sequence[str], versions: Sequence[str], row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Layouts: bytes, versions.  Parts: name, bytes, more, versions, releases, may, and which of both take it."""
    layouts = tuple((layout["bytes"], span(versions, layout["versions"])) for layout in row["layouts"])
    for (_, one), (_, other) in combinations(layouts, 2):
        if one & other:
            raise SchemaError("spec/qemu-machines.toml", f"a version has two layouts: {row}")
    every = (1 << len(releases)) - 1
    return layouts, tuple(
        (
            part["name"].encode(),
            part["bytes"],
            part.get("more", 0),
            span(versions, part.get("versions", f"{versions[0]}-")),
            span(releases, part["releases"]) if "releases" in part else every,
            part.get("may", False),
            span(releases, part["known"]) if "known" in part else every,
            span(versions, part.get("taken", f"{versions[0]}-")),
        )
        for part in row.get("parts", ())
    )


def _lengths(
    plain: Mapping[str, Any], sections: Mapping[tuple[bytes, int], tuple[Any, ...]]
) -> Iterator[tuple[tuple[bytes, int], tuple[int, ...]]]:
    """Lengths by name and version; of sections of several, with any of their parts."""
    for name, row in plain.items():
        if name != "source":
            version, *lengths = row
            yield (name.encode(), version), tuple(sorted(lengths))
    for key, (_, layouts, parts) in sections.items():
        sums = {0}
        for _, size, *_ in parts:
            sums |= {total + size for total in sums}
        yield key, tuple(sorted({size + more for size, _ in layouts for more in sums}))


def source() -> str:
    """The text of streamfmt/qemu_tables.py."""
    lines = [_HEADING]
    for name, it in tables().items():
        typed = f": {_TYPES[name]}" if name in _TYPES else ""
        if isinstance(it, dict) and len(repr(it)) > 100:
            lines += [f"{name}{typed} = {{", *(f"    {key!r}: {row!r}," for key, row in it.items()), "}"]
        elif isinstance(it, tuple) and len(repr(it)) > 300:
            lines += [f"{name} = (", *(f"    {row!r}," for row in it), ")"]
        else:
            lines.append(f"{name}{typed} = {it!r}")
    return "\n".join(lines) + "\n"
