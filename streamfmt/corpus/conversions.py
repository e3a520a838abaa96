"""Golden conversions: streams of the corpus, options, and what a converter has to make of them.

corpus/conversions.toml has groups, each of which is done to all streams that it names; corpus/conversions.json, which
is made from it, has a row for each conversion.  No outputs are stored: their sizes and checksums are, and our own
converter makes them where they are wanted.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, NamedTuple

from ..codec.content import Buffer, joined
from ..convert import script
from ..convert.asked import of_convert, of_script
from ..convert.part import Options
from ..convert.run import Result, convert
from ..convert.wrappers import WRAPPERS
from ..errors import CorpusError
from ..io.outputs import output
from ..schema.clauses import CONVERTER, Behaviour
from . import entries

FORMAT = "streamfmt-conversions-1"
INDEX = "conversions.json"
SOURCE = "conversions.toml"
SCHEMA = ("spec", "json", "conversions.json")
# The commands whose options these are, with how each is called; both take descriptors, too.
CONVERT = "streamfmt convert"
COMMANDS = (CONVERT, CONVERTER)
Row = dict[str, Any]


class Group(NamedTuple):
    """Conversions with the same options, of all streams whose ids and forms match one of the patterns.

    `configuration` is the text of the file that is given with --configuration; empty if none is.
    """

    name: str
    about: str
    command: str
    inputs: tuple[str, ...]
    forms: tuple[str, ...] = ("*",)
    options: Mapping[str, Any] = {}
    configuration: str = ""

    def takes(self, row: Row) -> bool:
        """Whether it is done to that stream."""
        return matches(row["id"], self.inputs) and matches(row["format"], self.forms)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is as one of the patterns has it."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def groups() -> tuple[Group, ...]:
    """What corpus/conversions.toml says; nothing if there is no such file.  Raises CorpusError."""
    path = entries.folder() / SOURCE
    try:
        top = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{path} is damaged: {error}") from None
    try:
        found = tuple(_group(name, table) for name, table in top.items())
    except (TypeError, AttributeError) as error:
        raise CorpusError(f"{path} is wrong: {error}") from None
    for group in found:
        if group.command not in COMMANDS:
            raise CorpusError(f"{path} is wrong: [{group.name}] has command {group.command!r}")
    return found


def _group(name: str, table: Mapping[str, Any]) -> Group:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Group(name, **values)


# -- options --------------------------------------------------------------------------------------------------


def given(group: Group, row: Row) -> dict[str, Any]:
    """The options by their long names: those of the group, and what has to be said of the stream."""
    found: dict[str, Any] = dict(group.options)
    width = next((name.partition("-")[2] for name in layers(row) if name.startswith("legacy-")), None)
    if group.command == CONVERTER:
        return {"width": width or "64", "guest-type": row["guest"] or "pv", **found}
    if row["as"] != "auto":
        found = {"as": row["as"], **found}
    if width is not None and row["guest"]:
        found = {"guest": row["guest"], **found}
    return found


def layers(row: Row) -> Iterator[str]:
    """The names of what is in a stream."""
    return (layer["path"].rpartition("/")[2] for layer in row["layers"])


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as they are given to the command."""
    return [
        word for name, value in options.items() for word in ([f"--{name}"] if value is True else [f"--{name}", value])
    ]


def asked(row: Row) -> Options:
    """What the options of a conversion ask for."""
    found = read(row["options"])
    if row["command"] == CONVERTER:
        return of_script(found)
    container = found.pop("container", None)
    text = row["configuration"]
    configuration = None if text is None else text.encode()
    found["wrapper"] = container and WRAPPERS[container](configuration, found.pop("emulator", "upstream"))
    found["form"] = found.pop("as", "auto")
    found = {name.replace("-", "_"): True if value == "" else value for name, value in found.items()}
    return of_convert(**found)


def read(options: Iterable[str]) -> dict[str, Any]:
    """Options by their long names; those without a value have an empty one."""
    found: dict[str, Any] = {}
    name = ""
    for word in options:
        if word.startswith("--"):
            name = word.removeprefix("--")
            found[name] = ""
        else:
            found[name] = word
    return found


# -- conversions ----------------------------------------------------------------------------------------------


def made(row: Row, data: Buffer) -> tuple[Result, bytes]:
    """What our converter makes of a conversion's input; no bytes if it refuses it."""
    source, target = os.memfd_create("input"), os.memfd_create("output")
    try:
        with open(source, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(source, 0, os.SEEK_SET)
        result = convert(source, lambda: output(target), asked(row), lambda size: nullcontext(None))
        return result, os.pread(target, result.written, 0) if result.done else b""
    finally:
        os.close(source)
        os.close(target)


def rows(streams: list[Row]) -> list[Row]:
    """A row for each conversion of these streams, as spec/json/conversions.json describes it.

    Raises CorpusError and RecipeError.
    """
    known = groups()
    names: dict[str, str] = {}
    for row in streams:
        names.setdefault(row["sha256"], row["id"])
    found: list[list[Row]] = [[] for _ in known]
    for row in streams:
        data: Buffer | None = None
        for group, those in zip(known, found, strict=True):
            if group.takes(row):
                data = stream(row) if data is None else data
                those.append(_row(group, row, data, names))
    return [row for those in found for row in those]


def stream(row: Row) -> Buffer:
    """The bytes of a stream, as they are stored or made.  Raises CorpusError and RecipeError."""
    if row["id"].startswith(f"{entries.REAL}/"):
        return entries.unpacked(entries.folder() / row["file"])
    return joined(tuple(entries.entry(row["id"]).recipe.stream.pieces()))


def _row(group: Group, of: Row, data: Buffer, names: Mapping[str, str]) -> Row:
    row: Row = {
        "id": f"{group.name}/{of['id']}",
        "about": group.about,
        "input": of["id"],
        "command": group.command,
        "options": words(given(group, of)),
        "configuration": group.configuration or None,
    }
    result, made_of_it = made(row, data)
    digest = sha256(made_of_it).hexdigest()
    output = {"size": len(made_of_it), "sha256": digest, "stream": names.get(digest)}
    return row | {
        "status": result.status,
        "output": output if result.done else None,
        "refused": [] if result.done else _refused(result),
        "report": [{"rule": line.rule, "kind": line.kind, "count": line.count} for line in result.report]
        if result.done
        else [],
        "script": _script(row, data, result.done) if group.command == CONVERTER else None,
    }


def _refused(result: Result) -> list[Row]:
    """By which clauses, or which rules of conversion, there is no output, and where that shows first."""
    if result.sound:
        return [{"rule": line.rule, "offset": line.offset} for line in result.unfit]
    first: dict[str, int] = {}
    for finding in result.outcome.findings:
        if finding.severity == "error" and finding.clause not in result.mended:
            first.setdefault(finding.clause, finding.offset)
    return [{"rule": clause, "offset": at} for clause, at in first.items()]


def _script(row: Row, data: Buffer, done: bool) -> Row:
    """What Xen's own converter makes of it by the clauses, and which say so."""
    found = script.steps(script.look(data, read(row["options"])))
    does = script.expected(found)
    if does == script.ACCEPT:
        does = "other" if not done or any(step.differs for step in found) else "same"
    by: dict[str, Row] = {}
    for step in found:
        if step.row is not None:
            by.setdefault(f"{step.clause} {step.does}", _behaviour(step.clause, step.row))
    return {"does": does, "by": list(by.values())}


def _behaviour(clause: str, row: Behaviour) -> Row:
    found = {"clause": clause, "releases": row.releases, "does": row.does}
    more: Row = {"when": row.when, "note": row.note, "why": row.why, "kept": row.kept}
    return found | {name: value for name, value in more.items() if value}


def text_of(found: list[Row]) -> str:
    """The index as it is stored: a row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    return f'{{"format": "{FORMAT}", "conversions": [\n{lines}\n]}}\n'


def read_index() -> list[Row]:
    """The rows that are stored.  Raises CorpusError and OSError."""
    path = entries.folder() / INDEX
    try:
        stored = json.loads(path.read_bytes())
        if stored["format"] != FORMAT:
            raise CorpusError(f"{path} is not a known index: its format is {stored['format']!r}, expected {FORMAT!r}")
        found: list[Row] = stored["conversions"]
    except (ValueError, LookupError, TypeError) as error:
        raise CorpusError(f"{path} is damaged: {error}") from None
    return found
