"""The corpus as files: made from the recipes, held against the index, and packed for people without Python."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from .. import data
from ..writer.sinks import write
from . import index, sources

INDEX = "index.json"
SCHEMA = ("spec", "json", "corpus.json")
# What an archive has beside streams and index.
_BESIDE = {"index.schema.json": SCHEMA, "LICENSE": ("LICENSE",)}


class CorpusError(Exception):
    """A file of the corpus is not what it has to be."""


def read_index(folder: Path | None = None) -> list[dict[str, Any]]:
    """The rows of the index that is stored.  Raises CorpusError and OSError."""
    path = (folder or sources.folder()) / INDEX
    try:
        stored = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorpusError(f"{path} is damaged: {error}") from None
    form = stored.get("format") if isinstance(stored, dict) else None
    if form != index.FORMAT:
        raise CorpusError(f"{path} is no index that is known: its format is {form!r}, expected {index.FORMAT!r}")
    schema = json.loads(Path(data.path(*SCHEMA)).read_bytes())
    keys = set(schema["$defs"]["stream"]["required"])
    rows = stored.get("streams")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and keys <= row.keys() for row in rows):
        raise CorpusError(f"{path} is damaged: a row lacks what spec/json/corpus.json asks for")
    return rows


def index_text(rows: list[dict[str, Any]]) -> str:
    """The index as it is stored: a row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{{"format": "{index.FORMAT}", "streams": [\n{lines}\n]}}\n'


def packed(octets: bytes) -> bytes:
    """Octets as they are stored: compressed, without a date."""
    return gzip.compress(octets, 9, mtime=0)


def build(target: Path) -> int:
    """Write all that recipes make below `target`, and the index; how many streams that are.  Raises OSError.

    Files that hold the same octets already are left as they are, and those that no index has named are none of ours.
    """
    rows = []
    count = 0
    for row, octets in index.streams():
        rows.append(row)
        if octets is None:
            continue
        path = target / row["file"]
        if not path.exists() or sources.unpacked(path) != octets:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, packed(octets))
        count += 1
    try:
        before = {row["file"] for row in read_index(target)}
    except (FileNotFoundError, CorpusError):
        before = set()
    for name in _strays(target, rows):
        if name in before:
            (target / name).unlink()
    write(target / INDEX, index_text(rows).encode())
    return count


def _strays(folder: Path, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Files among the streams that no row names."""
    known = {row["file"] for row in rows} | {sources.PROVENANCE}
    for inner in (index.STREAMS, sources.REAL):
        for path in sorted((folder / inner).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name not in known and not path.is_dir():
                yield name


def check() -> Iterator[str]:
    """What is not as it should be, in words: each stream is made, judged and held against its file and its row.

    Raises CorpusError and OSError.
    """
    stored = read_index()
    rows = {row["id"]: row for row in stored}
    folder = sources.folder()
    for now, octets in index.streams():
        row = rows.pop(now["id"], None)
        if row is None:
            yield f"{now['id']}: the index has no such stream"
        elif row != now:
            keys = sorted(key for key in row.keys() | now.keys() if row.get(key) != now.get(key))
            yield f"{now['id']}: the index tells another {', '.join(keys)}"
        if octets is not None:
            path = folder / now["file"]
            if not path.exists():
                yield f"{now['id']}: {now['file']} is not there"
            elif sources.unpacked(path) != octets:
                yield f"{now['id']}: {now['file']} holds other octets"
    yield from (f"{name}: the index has it, and nothing makes it" for name in rows)
    yield from (f"{name}: no row of the index names this file" for name in _strays(folder, stored))


def archive() -> tuple[bytes, int]:
    """A tar archive with each stored stream as .bin and its row as .json, and checksums; and how many streams.

    The same corpus makes the same archive.  Raises CorpusError and OSError.
    """
    rows = []
    sums = []
    made = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=made, mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w") as tar,
    ):

        def add(name: str, octets: bytes) -> None:
            info = tarfile.TarInfo(f"streamfmt-corpus/{name}")
            info.size = len(octets)
            tar.addfile(info, io.BytesIO(octets))
            sums.append(f"{sha256(octets).hexdigest()}  {name}\n")

        for row in read_index():
            if row["file"] is None:
                rows.append(row)
                continue
            octets = sources.unpacked(sources.folder() / row["file"])
            if sha256(octets).hexdigest() != row["sha256"]:
                raise CorpusError(f"{row['file']} does not hold what the index says")
            # Here it lies as it is, below its own id.
            rows.append(row | {"file": f"{row['id']}.bin"})
            add(f"{row['id']}.bin", octets)
            add(f"{row['id']}.json", json.dumps(rows[-1], indent=2).encode() + b"\n")
        add(INDEX, index_text(rows).encode())
        for name, path in _BESIDE.items():
            add(name, Path(data.path(*path)).read_bytes())
        add("SHA256SUMS", "".join(sums).encode())
    return made.getvalue(), sum(row["file"] is not None for row in rows)
