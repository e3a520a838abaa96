"""Where the corpus comes from: collections of recipes, and the streams that real software wrote.

corpus/recipes/good.toml has the streams that keep every rule, made.toml stand-ins for real ones, history.toml what
releases of Xen and its tools wrote or stumbled over, hostile.toml claims that are not to be believed.  Each other
collection is named for a clause, and has streams that keep it (`accepted`), streams that break it and nothing else
(`broken`), and streams that cannot break it without breaking others (`several`).

`either` says why a reader may accept or reject a stream where its findings do not show that: the id of a clause that
no stream alone shows, or a reason.
"""

from __future__ import annotations

import gzip
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import data
from ..recipes.load import Recipe, read
from ..recipes.toml import Source, Table

FORMAT = 1
BASES = "good"
# What a collection has, by kind.
KINDS = ("good", "made", "accepted", "broken", "several", "places", "history", "hostile")
REAL = "real"
PROVENANCE = f"{REAL}/provenance.toml"


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream of the corpus that a recipe makes: `collection` and `name` identify it, `kind` says what it is for.

    `either` is why readers may take it or not, if that is not seen from the stream.
    """

    collection: str
    kind: str
    name: str
    recipe: Recipe
    either: str = ""

    @property
    def id(self) -> str:
        """Its permanent name, such as "LIBXC-PAGE-COUNT/broken/zero"."""
        inner = () if self.collection == self.kind else (self.kind,)
        return "/".join((self.collection, *inner, self.name))


@dataclass(frozen=True, slots=True)
class Real:
    """A stream that real software wrote: its `file` below corpus/, what wrote it and what it is."""

    name: str
    file: str
    provenance: str
    about: str

    @property
    def id(self) -> str:
        return f"{REAL}/{self.name}"


def unpacked(path: Path) -> bytes:
    """The bytes of a stored file; none if it is damaged."""
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return b""


def folder() -> Path:
    """Where the corpus lies."""
    return Path(data.path("corpus"))


@cache
def names() -> tuple[str, ...]:
    """The collections, good.toml first."""
    found = sorted(path.stem for path in (folder() / "recipes").glob("*.toml"))
    return (BASES, *(name for name in found if name != BASES))


@cache
def _top(collection: str) -> Table:
    path = folder() / "recipes" / f"{collection}.toml"
    top = Source(path.read_text(encoding="utf-8"), str(path)).top()
    top.number("collection", 0, FORMAT, FORMAT)
    return top


@cache
def _base(name: str) -> Recipe:
    bases = _top(BASES).table(BASES)
    if name not in bases:
        raise KeyError(name)
    return read(bases.table(name), _base)


@cache
def collection(name: str) -> tuple[Entry, ...]:
    """What is in a collection, in its order.  Raises RecipeError."""
    top = _top(name)
    found = []
    for kind in KINDS:
        if kind in top:
            table = top.table(kind)
            for inner, _ in table.each():
                row = table.table(inner)
                either = row.take("either", str, "")
                own = {key: value for key, value in row.values.items() if key != "either"}
                made = _base(inner) if name == BASES else read(Table(row.source, own, row.place), _base)
                found.append(Entry(name, kind, inner, made, either))
    top.done()
    return tuple(found)


def entries() -> Iterator[Entry]:
    """All that recipes make, collection by collection."""
    for name in names():
        yield from collection(name)


def entry(name: str) -> Entry:
    """The entry with this id.  Raises KeyError if nothing makes such a stream, and RecipeError."""
    found = name.partition("/")[0]
    of = collection(found) if found in names() else ()
    try:
        return next(entry for entry in of if entry.id == name)
    except StopIteration:
        raise KeyError(name) from None


def real() -> Iterator[Real]:
    """All that real software wrote."""
    with (folder() / PROVENANCE).open("rb") as file:
        rows: Mapping[str, Mapping[str, str]] = tomllib.load(file)
    for name, row in rows.items():
        yield Real(name, f"{REAL}/{row['file']}", row["provenance"], row["about"])


def number() -> int:
    """How many streams there are.  Raises RecipeError."""
    return sum(1 for _ in entries()) + sum(1 for _ in real())
