"""The corpus is made where it may be, whole or not at all as far as one sees, and again after whatever a kill left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..cli.main import main
from ..corpus import conversions, entries, store
from ..io import beside
from .conftest import _forget_corpus
from .support.kill_points import WAYS, command, environment, killed_at

ROWS = store.read_index()


def _files(folder: Path) -> dict[str, bytes]:
    """All that lies below a folder, by names, without compression."""
    return {str(path.relative_to(folder)): entries.unpacked(path) for path in folder.rglob("*") if path.is_file()}


def test_building_elsewhere_makes_the_same(tmp_path: Path) -> None:
    """In an empty folder, the same streams and the same index."""
    assert main(["corpus", "build", "-o", str(tmp_path)]) == 0
    made = _files(tmp_path)
    kept = entries.folder()

    assert made == {path: entries.unpacked(kept / path) for path in made}
    files = {row["file"] for row in ROWS if row["file"] and "real/" not in row["file"]}
    assert made.keys() == files | {store.INDEX, conversions.INDEX}


def test_streams_that_are_no_more_are_removed(few: Path) -> None:
    """Those that the index named before, and the folders that are empty then."""
    assert main(["corpus", "build"]) == 0
    assert (few / "streams" / "LIBXC-TSC-LEN" / "broken" / "short.bin.gz").exists()
    (few / "recipes" / "LIBXC-TSC-LEN.toml").unlink()
    _forget_corpus()

    assert main(["corpus", "build"]) == 0
    assert not (few / "streams" / "LIBXC-TSC-LEN").exists()
    assert main(["corpus", "check"]) == 0


def test_what_is_right_is_left(few: Path) -> None:
    """A second run writes nothing."""
    assert main(["corpus", "build"]) == 0
    before = {path: path.stat().st_ino for path in few.rglob("*")}
    assert main(["corpus", "build"]) == 0
    assert {path: path.stat().st_ino for path in few.rglob("*")} == before


# -- what a kill leaves ---------------------------------------------------------------------------------------

MOMENTS = {
    "a stray is removed": (killed_at("unlink", 1, after=True), True),
    "the index is written": (killed_at("fsync"), True),
    "the first stream is written": (killed_at("fsync", 2), False),
    "the tenth stream is written": (killed_at("fsync", 11), False),
    "a folder is made": (killed_at("mkdir", 2, after=True), False),
    "a stream is renamed": (killed_at("replace", 2), True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(moment: str, way: str, few: Path) -> None:
    """Whenever it is killed, and whether or not the recipes are the same then: the next run leaves what is to be."""
    program, again = MOMENTS[moment]
    recipe = few / "recipes" / "LIBXC-TSC-LEN.toml"
    text = recipe.read_text(encoding="utf-8")
    if again:
        # There is a corpus of which a stream has changed and another one is no more.
        assert main(["corpus", "build"]) == 0
        (few / "recipes" / "LIBXL-HDR-IDENT.toml").unlink()
        recipe.write_text(text.replace("to = 23", "to = 22"), encoding="utf-8")
    aside = (
        f"import pathlib; from streamfmt.corpus import entries; entries.folder = lambda: pathlib.Path({str(few)!r})\n"
    )
    words = command(f"{WAYS[way]}{aside}{program}", "corpus", "build")
    child = subprocess.run(words, env=environment(), check=False, stdout=subprocess.DEVNULL)
    assert child.returncode in (-signal.SIGKILL, 0)
    if (way, moment) != ("without a name", "a stray is removed"):
        assert child.returncode == -signal.SIGKILL

    # What was made for it must not stay either.
    recipe.write_text(text.replace("short", "shorter"), encoding="utf-8")
    _forget_corpus()
    assert main(["corpus", "build"]) == 0
    assert main(["corpus", "check"]) == 0
    rows = store.read_index()
    assert {path.relative_to(few).as_posix() for path in few.rglob("*.*") if "recipes" not in path.parts} == {
        *(row["file"] for row in rows),
        store.INDEX,
        conversions.INDEX,
        entries.PROVENANCE,
    }
    assert not [path for path in (few / "streams").rglob("*") if path.is_dir() and not any(path.iterdir())]


# -- what cannot be written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk(way: str, few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The one file that has no room is named, with the reason; with room again, all is made."""
    if WAYS[way]:
        monkeypatch.setattr(beside, "_nameless", lambda folder: -1)
    left = [9]

    def full(fd: int, buffers: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writev(fd, buffers)

    writev = os.writev
    monkeypatch.setattr(os, "writev", full)
    assert main(["corpus", "build"]) == 3
    out, error = capsys.readouterr()
    made = {path.removeprefix("streams/") for path in _files(few) if path.startswith("streams/")}
    name = error.removeprefix(f"streamfmt corpus: {few}/streams/").removesuffix(": No space left on device\n")
    assert (out, error.count("\n"), len(made)) == ("", 1, 8)
    assert f"streams/{name}" in {row["file"] for row in store.read_index()}
    assert name not in made
    monkeypatch.setattr(os, "writev", writev)
    assert main(["corpus", "build"]) == 0
    assert main(["corpus", "check"]) == 0


def test_no_place(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in the way is named."""
    assert main(["corpus", "build", "-o", "/dev/null/corpus"]) == 3
    assert "/dev/null/corpus: Not a directory" in capsys.readouterr().err


def test_an_installed_one_stays_as_it_is(tmp_path: Path, wheel: Path) -> None:
    """An installed package's own corpus is not written to; another directory is."""
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    corpus = installed / "streamfmt" / "_data" / "corpus"
    # Were it written to, these would come back.
    (corpus / "streams" / "good" / "hvm.bin.gz").unlink()
    (corpus / store.INDEX).unlink()
    words = [sys.executable, "-P", "-m", "streamfmt", "corpus", "build"]
    env = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(installed.rglob("*"))
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "give -o DIR" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(installed.rglob("*")) == before
