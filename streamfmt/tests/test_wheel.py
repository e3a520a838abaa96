"""The wheel has what an installed streamfmt needs, under one import name, and nothing that it does not."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import streamfmt
from streamfmt.cli.main import VERBS

CHECKOUT = Path(streamfmt.__file__).parent.parent


def test_one_import_name(wheel: Path) -> None:
    """Only streamfmt lands in site-packages, beside its metadata."""
    tops = {path.name for path in zipfile.Path(wheel).iterdir()}

    assert {name for name in tops if not name.endswith(".dist-info")} == {"streamfmt"}


def test_data_is_inside(wheel: Path) -> None:
    """The clauses, the log lines, the JSON Schemas and the corpus of the checkout are all there."""
    packed = zipfile.Path(wheel)
    for folder, pattern in (
        ("spec/clauses", "*.toml"),
        ("spec/log-lines", "*.toml"),
        ("spec/json", "*.json"),
        ("spec", "*.magic"),
        ("corpus", "**/*.*"),
    ):
        for path in (CHECKOUT / folder).glob(pattern):
            carried = packed / "streamfmt" / "_data" / folder / str(path.relative_to(CHECKOUT / folder))
            assert carried.read_bytes() == path.read_bytes()


def test_every_module_is_inside_but_tests_and_benchmarks(wheel: Path) -> None:
    """All modules are carried, except those only a checkout needs."""
    packed = zipfile.Path(wheel) / "streamfmt"
    for path in (CHECKOUT / "streamfmt").rglob("*.py"):
        name = path.relative_to(CHECKOUT / "streamfmt")
        assert (packed / str(name)).exists() == (name.parts[0] not in ("tests", "bench"))
    assert (packed / "py.typed").exists()


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked where there is no checkout."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _printed(folder: Path, *words: str) -> str:
    """What a command of the unpacked wheel prints."""
    command = [sys.executable, "-P", "-m", *words]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout


def test_help_names_what_is_shipped(unpacked: Path) -> None:
    """No help text of an installed command points to a file, and the pages of the manual that they name are there."""
    commands = [["streamfmt"], *(["streamfmt", verb] for verb in VERBS), ["streamfmt.cli.verify_stream_v2"]]
    commands += [["streamfmt", "corpus", verb] for verb in ("list", "show", "check", "build", "export")]
    texts = [_printed(unpacked, *command, "--help") for command in commands]
    pages = {page for text in texts for page in re.findall(r"streamfmt help (\w+)", " ".join(text.split()))}

    assert not [text for text in texts if re.search(r"\bdocs/|\.md\b", text)]
    assert {"json", "recipes"} <= pages
    for page in pages:
        shown = _printed(unpacked, "streamfmt", "help", page)
        assert shown.split() == (CHECKOUT / "docs" / f"{page}.md").read_text().split()


def test_works_from_the_wheel(unpacked: Path) -> None:
    """Unpacked somewhere else, it verifies a stream and explains a rule from the data it carries."""
    sample = CHECKOUT / "corpus" / "real" / "hvm-64.bin.gz"
    for words in (["verify", str(sample)], ["explain", "LIBXC-PAGE-COUNT"], ["corpus", "check"]):
        assert _printed(unpacked, "streamfmt", *words)
