"""The magics for file(1) are what the rows say, and file(1) says of each stream of the corpus what identify does."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from streamfmt import tables
from streamfmt.api import identify
from streamfmt.reader.registry import ALIASES, ROWS
from streamfmt.render import magic5

from .support.beside_streams import CONFIGURATION, DEVICE, EXAMPLES, MEMORY, SUBSECTION, libvirt_qemu, qemu, xend

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "spec" / magic5.NAME
FILE = shutil.which("file")
# file(1) looks at no more.
MOST = 1 << 20
needs_file = pytest.mark.skipif(FILE is None, reason="file(1) is not installed")
# Rules whose streams have no magic, or not all of it or of a header: file(1) cannot know what they were to be.
DAMAGED = re.compile(r"-(?:MAGIC|IDENT|MARKER|GREETING|HELLO|TRUNC)$|^LIBXC-IHDR-ID$")
_IMAGES_WITHOUT = (name for name, row in ROWS.items() if row.image and not row.magic)
FORMS_WITHOUT = ("text", "http", *_IMAGES_WITHOUT, *ALIASES, "damaged", "unknown")


def said(paths: list[Path]) -> list[str]:
    """What file(1) says of files by our magics alone."""
    assert FILE is not None
    found: list[str] = []
    for start in range(0, len(paths), 200):
        command = [FILE, "-b", "-m", str(PUBLISHED), *map(str, paths[start : start + 200])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not done.stderr
        found += done.stdout.splitlines()
    return found


def test_file_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """spec/streamfmt.magic is what `python -m streamfmt.render.magic5` writes."""
    monkeypatch.setattr(magic5, "TARGET", str(tmp_path))
    magic5.main()

    assert (tmp_path / magic5.NAME).read_text() == PUBLISHED.read_text() == magic5.text()


def test_lines_are_well_formed() -> None:
    """Each has a place, a type, a test and a message that file(1) does not cut; none stands two levels down."""
    before = -1
    for line in PUBLISHED.read_text().splitlines():
        if line.startswith("#"):
            continue
        depth = len(line) - len(line.lstrip(">"))
        place, _, _, *message = line.split(" ", 3)
        assert depth <= before + 1
        assert re.fullmatch(r"&?\d+|\(\d+\.[lLqQ]\+\d+\)", place.lstrip(">"))
        assert len("".join(message)) <= 63
        assert line.isascii()
        before = depth


@needs_file
def test_file_has_no_complaint() -> None:
    """It takes all lines without a warning."""
    assert FILE is not None
    done = subprocess.run([FILE, "-c", "-m", str(PUBLISHED)], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if "Warning" in line and "regular magic file" not in line]


def _rows() -> list[dict[str, Any]]:
    index = json.loads((ROOT / "corpus" / "index.json").read_text())
    rows: list[dict[str, Any]] = [row for row in index["streams"] if (ROOT / "corpus" / (row["file"] or "?")).is_file()]
    return rows


def _begins(row: dict[str, Any]) -> bytes:
    data = (ROOT / "corpus" / row["file"]).read_bytes()
    return (gzip.decompress(data) if row["file"].endswith(".gz") else data)[:MOST]


@needs_file
def test_file_names_the_corpus(tmp_path: Path) -> None:
    """All streams have the words of identify, or their first ones where more lies where no header says.

    Those without magic have no name of a stream: text before one, legacy ones, remains, damaged magics and headers.
    """
    rows = _rows()
    paths = []
    for number, row in enumerate(rows):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(_begins(row))
    named = equal = 0
    magics = [data for _, _, offset, data, _ in tables.MAGICS if not offset]
    for row, path, words in zip(rows, paths, said(paths), strict=True):
        due = row["description"]
        damaged = DAMAGED.search(row["clause"] or "") and "/broken/" in row["id"]
        if row["as"] != "auto" or row["format"] in FORMS_WITHOUT or damaged:
            known = path.read_bytes().startswith(tuple(magics))
            assert known or words in ("data", "empty") or "text" in words, row["id"]
            continue
        named, equal = named + 1, equal + (due == words)
        # Of images side by side, the first.
        one = re.sub(r"( \+ libxc v\d+)+", "", due)
        words = re.sub(r", guest '.*", "", words)  # noqa: PLW2901 - what identify says elsewhere
        same = words == one or one.startswith((f"{words} > ", f"{words}, "))
        assert same or (one != due and words.partition(",")[0] == one.partition(",")[0]), (row["id"], due, words)

    assert equal > 0.9 * named


@needs_file
def test_file_names_the_neighbours(tmp_path: Path) -> None:
    """Each row that file(1) can know has its name there."""
    paths, names = [], []
    others = {
        "device": qemu(DEVICE),
        "migration": qemu(CONFIGURATION, MEMORY),
        "mapped": qemu(CONFIGURATION, SUBSECTION, b"\x0amapped-ram", MEMORY),
        "old": qemu(bytes(8), version=2),
        "doubtful": qemu(bytes(8), version=9),
        "xend": xend(),
        "xend-2": b"LinuxGuestRecord" + (65536).to_bytes(4, "little") + bytes(4096),
        "part": libvirt_qemu(b"LibvirtQemudPart"),
        **{name: data for name, (row, data) in EXAMPLES.items() if row.marks},
    }
    for name, data in others.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
        names.append(identify(data).description)

    for path, name, words in zip(paths, names, said(paths), strict=True):
        # file(1) has code of its own for tar archives, and adds what it finds in ELF files.
        assert words.startswith((name, "POSIX tar archive")), path.name
