"""Some of the corpus for people without Python: streams are chosen, and packed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from .. import data
from ..codec.content import Buffer
from . import conversions, store
from .store import Row

FOLDER = "streamfmt-corpus"
TABLE = "index.txt"
# What an archive has beside streams and index.
_BESIDE = {
    "index.schema.json": store.SCHEMA,
    "conversions.schema.json": conversions.SCHEMA,
    "README.md": ("corpus", "ARCHIVE.md"),
    "LICENSE": ("LICENSE",),
}


def clauses(row: Row) -> set[str]:
    """The clauses that a stream is about: the one it was made for, and those it breaks."""
    return {found["clause"] for found in row["findings"]} | ({row["clause"]} if row["clause"] else set())


# What streams are chosen by: each has patterns, of which one has to match.
BY: dict[str, Callable[[Row], Iterable[str]]] = {
    "stream": lambda row: [row["id"]],
    "clause": clauses,
    "format": lambda row: [row["format"]],
}


def chosen(rows: Iterable[Row], patterns: dict[str, Sequence[str]]) -> Iterator[Row]:
    """Those of `rows` that every one of these, by the names of :data:`BY`, lets through; one without patterns does."""
    for row in rows:
        if all(
            not asked or any(fnmatchcase(value, pattern) for value in BY[by](row) for pattern in asked)
            for by, asked in patterns.items()
        ):
            yield row


def of(rows: Iterable[Row]) -> list[Row]:
    """The golden conversions of these streams.  Raises CorpusError and OSError."""
    names = {row["id"] for row in rows}
    return [row for row in conversions.read_index() if row["input"] in names]


def pack(rows: Sequence[Row], progress: Callable[[int], None] | None = None) -> bytes:
    """A tar archive, compressed, with each stream as .bin and its row as .json, all rows, and checksums.

    The golden conversions of these streams are in it, too.
    The same rows make the same archive.  Raises CorpusError and OSError.
    """
    listed = []
    sums = []
    made = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=made, mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w") as tar,
    ):

        def add(name: str, size: int, pieces: Iterable[Buffer]) -> None:
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = size
            reading = _Reading(pieces)
            tar.addfile(info, reading)  # type: ignore[arg-type] # it wants no more than to read
            sums.append(f"{reading.digest.hexdigest()}  {name}\n")

        def add_all(name: str, content: bytes) -> None:
            add(name, len(content), [content])

        for count, row in enumerate(rows):
            # Here it lies as it is, below its own id.
            listed.append(row | {"file": f"{row['id']}.bin"})
            add(f"{row['id']}.bin", row["size"], store.pieces(row))
            add_all(f"{row['id']}.json", json.dumps(listed[-1], indent=2).encode() + b"\n")
            if progress is not None:
                progress(count + 1)
        add_all(store.INDEX, store.index_text(listed).encode())
        table = "".join(f"{row['reader']['does']}\t{row['format']}\t{row['file']}\n" for row in listed)
        add_all(TABLE, table.encode())
        add_all(conversions.INDEX, conversions.text_of(of(rows)).encode())
        for name, path in _BESIDE.items():
            add_all(name, Path(data.path(*path)).read_bytes())
        add_all("SHA256SUMS", "".join(sums).encode())
    return made.getvalue()


class _Reading:
    """Pieces of bytes, read like a file, and their checksum."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")
        self.digest = sha256()

    def read(self, size: int) -> bytes:
        """As many bytes as are asked for, unless fewer are left."""
        got = bytearray()
        while len(got) < size:
            if not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._left = memoryview(piece).cast("B")
                continue
            taken = size - len(got)
            got += self._left[:taken]
            self._left = self._left[taken:]
        self.digest.update(got)
        return bytes(got)
