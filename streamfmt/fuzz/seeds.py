"""What coverage-guided fuzzers begin with: ``python -m streamfmt.fuzz.seeds DIRECTORY`` writes it.

streams/ has the corpus's good streams, recipes/ the same as recipes, and streamfmt.dict, for libFuzzer and AFL, the
bytes that mean something: magics, headers, record types, trailers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from .. import tables
from ..codec.decode import layouts
from ..corpus import entries
from ..recipes.dump import dump
from ..schema.layers import LAYERS
from ..schema.magic import MAGICS, TRAILERS
from ..schema.neighbours import NEIGHBOURS
from ..writer import HEADERS

# AFL takes no longer ones.
_LONGEST = 128


def tokens() -> Iterator[tuple[str, bytes]]:
    """Bytes that mean something, each with its name."""
    for magic in MAGICS:
        yield f"magic {magic.key}", magic.data
    for row in NEIGHBOURS:
        for mark in row.marks:
            yield f"magic {row.key}", mark.data
    for trailer in TRAILERS:
        yield "trailer", trailer.data
    for layer in LAYERS:
        header = layouts().get(f"{layer.name}.record_header")
        kind = header and next(row for row in header.fields if row.path == "type")
        for record in layer.records:
            if kind and not record.headless:
                order: Literal["big", "little"] = "big" if kind.big else "little"
                yield f"type {layer.name} {record.name}", record.code.to_bytes(kind.size, order, signed=record.code < 0)
            for field in layouts()[f"{layer.name}.{record.name}"].fields:
                if field.raw and field.constant:
                    yield f"mark {layer.name} {record.name}", field.constant
    for name in ("VCPU", "EXTV", "XCNT"):
        yield f"block {name}", getattr(tables, f"LEGACY_{name}_TAG")
    for entry in entries.collection(entries.BASES):
        for part in entry.recipe.stream:
            if part.path in HEADERS:
                yield f"header {part.path} {entry.name}", part.body("<")


def dictionary() -> str:
    """The tokens as libFuzzer and AFL read them, each once."""
    lines = ["# Bytes that mean something in migration streams, from streamfmt's schemas."]
    seen = set()
    for name, data in tokens():
        if data and data not in seen and len(data) <= _LONGEST:
            seen.add(data)
            word = "".join(c if c.isalnum() else "_" for c in name)
            lines.append(f'{word}_{len(seen)}="{"".join(map(_spelled, data))}"')
    return "\n".join(lines) + "\n"


def _spelled(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and chr(byte) not in '"\\'
    return chr(byte) if plain else f"\\x{byte:02x}"


def write(directory: Path) -> None:
    """Everything, below the directory.  Raises OSError."""
    for folder in ("streams", "recipes"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for entry in entries.collection(entries.BASES):
        (directory / "streams" / f"{entry.name}.bin").write_bytes(entry.recipe.stream.render())
        (directory / "recipes" / f"{entry.name}.toml").write_text(dump(entry.recipe), encoding="utf-8")
    (directory / "streamfmt.dict").write_text(dictionary(), encoding="ascii")


def main() -> None:
    """The command."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m streamfmt.fuzz.seeds DIRECTORY\nwrites streams/, recipes/ and streamfmt.dict there")
    try:
        write(Path(sys.argv[1]))
    except OSError as error:
        print(f"streamfmt: {error.filename}: cannot write: {error.strerror}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
