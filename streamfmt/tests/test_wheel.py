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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """A wheel built from the checkout, as a folder to look into."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.Path(built)


def test_one_import_name(wheel: zipfile.Path) -> None:
    """Only streamfmt lands in site-packages, beside its metadata."""
    tops = {path.name for path in wheel.iterdir()}

    assert {name for name in tops if not name.endswith(".dist-info")} == {"streamfmt"}


def test_data_is_inside(wheel: zipfile.Path) -> None:
    """The clauses, the log lines, the JSON Schemas and the corpus of the checkout are all there."""
    for folder, pattern in (
        ("spec/clauses", "*.toml"),
        ("spec/log-lines", "*.toml"),
        ("spec/json", "*.json"),
        ("spec", "*.magic"),
        ("corpus", "**/*.*"),
    ):
        for path in (CHECKOUT / folder).glob(pattern):
            carried = wheel / "streamfmt" / "_data" / folder / str(path.relative_to(CHECKOUT / folder))
            assert carried.read_bytes() == path.read_bytes()


def test_every_module_is_inside_but_tests_and_benchmarks(wheel: zipfile.Path) -> None:
    """All modules are carried, except those only a checkout needs."""
    for path in (CHECKOUT / "streamfmt").rglob("*.py"):
        name = path.relative_to(CHECKOUT / "streamfmt")
        assert (wheel / "streamfmt" / str(name)).exists() == (name.parts[0] not in ("tests", "bench"))
    assert (wheel / "streamfmt" / "py.typed").exists()


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked where there is no checkout."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(str(wheel.root.filename)) as archive:
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


def test_works_from_the_wheel(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Unpacked somewhere else, it verifies a stream and explains a rule from the data it carries."""
    with zipfile.ZipFile(str(wheel.root.filename)) as archive:
        archive.extractall(tmp_path)
    sample = CHECKOUT / "corpus" / "real" / "hvm-64.bin.gz"
    for words in (["verify", str(sample)], ["explain", "LIBXC-PAGE-COUNT"], ["corpus", "check"]):
        command = [sys.executable, "-P", "-m", "streamfmt", *words]
        shown = subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        assert shown.stdout
        assert not shown.stderr
