"""What the tests of `streamfmt show` share: how a stream is shown, and how its output is read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from streamfmt import data, tables
from streamfmt.reader.events import PAGE
from streamfmt.reader.registry import ROWS
from streamfmt.schema.model import big_endian

from ... import writer
from ...writer import RECORDS, Draft
from . import good_streams

Show = Callable[..., tuple[int, str]]
Row = dict[str, Any]

REAL = ("hvm-64.bin.gz", "hvm-remus.bin.gz", "pv-list.bin.gz")
LITTLE = Draft((*good_streams.HVM.parts[:5], writer.pages((9, "XTAB")), *good_streams.HVM.parts[-4:]))
ANNOUNCING = {"libxl.header", "libxc.image_header"}
DUMP_LINE = re.compile(r"^ *0x([0-9a-f]+)  ([0-9a-f]{2}(?: [0-9a-f]{2})*)(?:  +(.*))?$")
# The column where the words about a field begin; the text of opaque bytes does further on.
_WORDS = 38


def real(name: str) -> str:
    return data.path("corpus", "real", name)


def objects(output: str) -> list[Row]:
    return [json.loads(line) for line in output.splitlines()]


def records(output: str) -> list[Row]:
    """The objects about records, without headers and the end."""
    return [row for row in objects(output) if "number" in row]


def dumped(output: str) -> Iterator[tuple[int, bytes, str]]:
    """Offset, bytes and words of each line of a dump that has bytes."""
    for line in output.splitlines():
        found = DUMP_LINE.match(line)
        if found:
            yield int(found[1], 16), bytes.fromhex(found[2]), found[3] or ""


def described(output: str) -> Iterator[tuple[int, str]]:
    """Offset and words of each line of a dump that has a field, and not the text of opaque bytes."""
    for line in output.splitlines():
        found = DUMP_LINE.match(line)
        if found and found.start(3) == _WORDS and " = " in found[3]:
            yield int(found[1], 16), found[3]


def head(row: Row) -> int:
    """Bytes of the header before the record's body."""
    layer = row["layer"].rpartition("/")[2]
    return 0 if row["type"] in ROWS[layer].headless else tables.SIZES.get(f"{layer}.record_header", 0)


def parsed(row: Row, raw: bytes, big: bool = False) -> Any:
    """What construct makes of the body of a row's record."""
    body = RECORDS[f"{row['layer'].rpartition('/')[2]}.{row['name']}"].body
    start = row["offset"] + head(row)
    content = raw[start : start + row["length"]]
    if row.get("pages") == 0:
        content += bytes(PAGE * row["entries"])  # construct wants it even where it comes compressed
    return (big_endian(body) if big else body).parse(content)


def reach(value: Any, path: str) -> Any:
    """The part of a parsed record that a path such as "leaves[0].eax" names."""
    for name in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict) and path in value:
            return value[path]  # bits of a number, which have dotted names
        value = value[int(name)] if name.isdigit() else value[name]
        path = path.partition("].")[2] if name.isdigit() else path
    return value
