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

from . import index, sources

INDEX = "index.json"


def read_index() -> list[dict[str, Any]]:
    """The rows of the index that is stored."""
    stored = json.loads((sources.folder() / INDEX).read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = stored["streams"]
    return found


def index_text(rows: list[dict[str, Any]]) -> str:
    """The index as it is stored: a row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{{"format": "{index.FORMAT}", "streams": [\n{lines}\n]}}\n'


def packed(octets: bytes) -> bytes:
    """Octets as they are stored: compressed, without a date."""
    return gzip.compress(octets, 9, mtime=0)


def build(target: Path) -> int:
    """Write all that recipes make below `target`, and the index; how many streams that are.  Raises OSError.

    Files that hold the same octets already are left as they are.
    """
    rows = list(index.rows())
    count = 0
    for entry in sources.entries():
        path = target / index.file_of(entry)
        if entry.recipe.stream.size > index.STORED:
            continue
        octets = entry.recipe.stream.render()
        if not path.exists() or unpacked(path) != octets:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed(octets))
        count += 1
    for path in _strays(target, rows):
        path.unlink()
    (target / INDEX).write_text(index_text(rows), encoding="utf-8")
    return count


def unpacked(path: Path) -> bytes:
    """The octets of a stored file; none if it is damaged."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError):
        return b""


def _strays(target: Path, rows: list[dict[str, Any]]) -> Iterator[Path]:
    """Files among the streams that no row names."""
    known = {row["file"] for row in rows}
    for path in sorted((target / index.STREAMS).rglob("*.gz")):
        if path.relative_to(target).as_posix() not in known:
            yield path


def check() -> Iterator[str]:
    """What is not as it should be, in words: each stream is made, judged and held against its file and its row."""
    rows = {row["id"]: row for row in read_index()}
    folder = sources.folder()
    for now in index.rows():
        row = rows.pop(now["id"], None)
        if row is None:
            yield f"{now['id']}: the index has no such stream"
        elif row != now:
            keys = sorted(key for key in row.keys() | now.keys() if row.get(key) != now.get(key))
            yield f"{now['id']}: the index tells another {', '.join(keys)}"
        if now["file"] is not None:
            path = folder / now["file"]
            if not path.exists():
                yield f"{now['id']}: {now['file']} is not there"
            elif sha256(unpacked(path)).hexdigest() != now["sha256"]:
                yield f"{now['id']}: {now['file']} holds other octets"
    yield from (f"{name}: the index has it, and nothing makes it" for name in rows)
    yield from (f"{path.name}: no row of the index names this file" for path in _strays(folder, read_index()))


def export(target: Path) -> int:
    """A tar archive with each stored stream as .bin and its row as .json, and checksums; how many streams.

    The same corpus makes the same archive.  Raises OSError.
    """
    rows = [row for row in read_index() if row["file"] is not None]
    sums = []
    # Without the archive's own name in it.
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w") as archive,
    ):

        def add(name: str, octets: bytes) -> None:
            info = tarfile.TarInfo(f"streamfmt-corpus/{name}")
            info.size = len(octets)
            archive.addfile(info, io.BytesIO(octets))
            sums.append(f"{sha256(octets).hexdigest()}  {name}\n")

        for row in rows:
            name = row["id"]
            add(f"{name}.bin", unpacked(sources.folder() / row["file"]))
            add(f"{name}.json", json.dumps(row | {"file": f"{name}.bin"}, indent=2).encode() + b"\n")
        add("index.json", (sources.folder() / INDEX).read_bytes())
        add("SHA256SUMS", "".join(sums).encode())
    return len(rows)
