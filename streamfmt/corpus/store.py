"""The corpus as files: built from the recipes, and compared with the index."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from .. import data
from ..codec.content import Buffer
from ..errors import CorpusError
from ..io.beside import clean
from ..io.outputs import write
from . import conversions, entries, index

INDEX = "index.json"
SCHEMA = ("spec", "json", "corpus.json")
Row = dict[str, Any]


def read_index(folder: Path | None = None) -> list[Row]:
    """The rows of the index that is stored.  Raises CorpusError and OSError."""
    path = (folder or entries.folder()) / INDEX
    try:
        stored = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorpusError(f"{path} is damaged: {error}") from None
    form = stored.get("format") if isinstance(stored, dict) else None
    if form != index.FORMAT:
        raise CorpusError(f"{path} is not a known index: its format is {form!r}, expected {index.FORMAT!r}")
    schema = json.loads(Path(data.path(*SCHEMA)).read_bytes())
    keys = set(schema["$defs"]["stream"]["required"])
    rows = stored.get("streams")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and keys <= row.keys() for row in rows):
        raise CorpusError(f"{path} is damaged: a row lacks what spec/json/corpus.json asks for")
    return rows


def index_text(rows: list[Row]) -> str:
    """The index as it is stored: a row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{{"format": "{index.FORMAT}", "streams": [\n{lines}\n]}}\n'


def on_demand(rows: Iterable[Row]) -> int:
    """How many of these streams are not stored, but made where they are wanted."""
    return sum(row["file"] is None for row in rows)


def counted(rows: list[Row]) -> str:
    """How many streams these are, in words."""
    made = on_demand(rows)
    text = f"{len(rows):,} stream{'s' * (len(rows) != 1)}"
    return text + (f", {made:,} of them made on demand" if made else "")


def pieces(row: Row) -> Iterable[Buffer]:
    """A stream's bytes: those of its file, or as they are made.  Raises CorpusError if they are not these, OSError."""
    if row["file"] is not None:
        raw = entries.unpacked(entries.folder() / row["file"])
        if sha256(raw).hexdigest() != row["sha256"]:
            raise CorpusError(f"{row['file']} does not hold what the index says")
        return [raw]
    try:
        stream = entries.entry(row["id"]).recipe.stream
    except KeyError:
        raise CorpusError(f"{row['id']}: the index has it, and nothing makes it") from None
    # Made twice, so that nothing is handed out before it is known to be right.
    digest = sha256()
    for piece in stream.pieces():
        digest.update(piece)
    if digest.hexdigest() != row["sha256"]:
        raise CorpusError(f"{row['id']} is made otherwise than the index says")
    return stream.pieces()


def build(target: Path, progress: Callable[[int], None] | None = None) -> list[Row]:
    """Write all that recipes make below `target`, and the index; its rows.  Raises OSError and RecipeError.

    Files that hold the same bytes already are not written again, and those that no index has named are not ours to
    remove.  At any time an index names all files of ours: the old one until those it alone names are removed, then the
    new one.  So the next call finds whatever a kill leaves, whether or not the recipes are the same.
    """
    rows = []
    changed = {}
    for row, raw in index.streams(progress):
        rows.append(row)
        if raw is not None and not _holds(target / row["file"], raw):
            changed[row["file"]] = gzip.compress(raw, 9, mtime=0)  # as it is stored: without a date
    before = _named(target)
    for folder, _, _ in os.walk(target / index.STREAMS):
        clean(folder)
    for name in _strays(target, rows):
        if name in before:
            (target / name).unlink()
    made = conversions.text_of(conversions.rows(rows))
    target.mkdir(parents=True, exist_ok=True)
    clean(target)
    _put(target / INDEX, index_text(rows).encode())
    for name, raw in changed.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, raw)
    _put(target / conversions.INDEX, made.encode())
    _remove_empty(target / index.STREAMS)
    return rows


def _put(path: Path, text: bytes) -> None:
    """Write a file unless it has that text already."""
    try:
        same = path.read_bytes() == text
    except OSError:
        same = False
    if not same:
        write(path, text)


def _holds(path: Path, raw: bytes) -> bool:
    """Whether a stored file is what it has to be."""
    try:
        return entries.unpacked(path) == raw
    except OSError:
        return False  # if it cannot be written either, that is what there is to say


def _named(folder: Path) -> set[str]:
    """The files that an index names, of whatever version and however damaged."""
    try:
        rows = json.loads((folder / INDEX).read_bytes())["streams"]
        return {row["file"] for row in rows if isinstance(row["file"], str)}
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
        return set()


def _remove_empty(folder: Path) -> None:
    """Remove the folders below `folder` that have nothing in them."""
    for path, _, _ in os.walk(folder, topdown=False):
        if path != str(folder):
            try:
                os.rmdir(path)
            except OSError:
                pass  # something is in it


def _strays(folder: Path, rows: list[Row]) -> Iterator[str]:
    """Files among the streams that no row names."""
    known = {row["file"] for row in rows} | {entries.PROVENANCE}
    for inner in (index.STREAMS, entries.REAL):
        for path in sorted((folder / inner).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name not in known and not path.is_dir():
                yield name


def check(progress: Callable[[int], None] | None = None) -> Iterator[str]:
    """What is wrong, in words: each stream is built, judged and compared with its file and its row.

    Raises CorpusError and OSError.
    """
    stored = read_index()
    rows = {row["id"]: row for row in stored}
    folder = entries.folder()
    for now, raw in index.streams(progress):
        row = rows.pop(now["id"], None)
        if row is None:
            yield f"{now['id']}: the index has no such stream"
        elif row != now:
            keys = sorted(key for key in row.keys() | now.keys() if row.get(key) != now.get(key))
            yield f"{now['id']}: the index has another {', '.join(keys)}"
        if raw is not None:
            path = folder / now["file"]
            if not path.exists():
                yield f"{now['id']}: {now['file']} is not there"
            elif entries.unpacked(path) != raw:
                yield f"{now['id']}: {now['file']} holds other bytes"
    yield from (f"{name}: the index has it, and nothing makes it" for name in rows)
    yield from (f"{name}: no row of the index names this file" for name in _strays(folder, stored))
    yield from _conversions(stored)


def _conversions(streams: list[Row]) -> Iterator[str]:
    """What is wrong with the golden conversions of these streams."""
    rows = {row["id"]: row for row in conversions.read_index()}
    for now in conversions.rows(streams):
        row = rows.pop(now["id"], None)
        if row is None:
            yield f"{now['id']}: there is no such conversion in {conversions.INDEX}"
        elif row != now:
            keys = sorted(key for key in row.keys() | now.keys() if row.get(key) != now.get(key))
            yield f"{now['id']}: {conversions.INDEX} has another {', '.join(keys)}"
    yield from (f"{name}: {conversions.INDEX} has it, and nothing makes it" for name in rows)
