"""What README and docs/ show is what the commands print.

A ``console`` block holds commands and their output, on standard error too where standard output goes elsewhere.  A
line "..." stands for any lines, and one that ends in "..." for any ending.  Commands without output shown, or on files
that are not in the corpus, are only examples.

The ``python`` blocks of a page are run one after another; each prints what the ``text`` block after it shows.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamfmt

ROOT = Path(streamfmt.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {
    "streamfmt": "-m streamfmt",
    "verify-stream-v2": "-m streamfmt.cli.verify_stream_v2",
    "convert-legacy-stream": "-m streamfmt.cli.convert_legacy_stream",
    "python": "",
}
NAMES = "|".join(COMMANDS)
# Files on the left of a pipe are in the corpus, or examples of a page.
RUNNABLE = re.compile(rf"((?:zcat|head -c \d+) (?:corpus|docs/examples)/\S+ \| )?({NAMES}) [^|]*$")
PROGRAM = re.compile(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def shown() -> Iterator[tuple[str, str, str]]:
    """Page, command and output of every command that a page shows with its output."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                if output.strip() and RUNNABLE.match(command):
                    yield page.name, command, output.strip("\n")


EXAMPLES = list(shown())


def pattern(output: str) -> str:
    """A regular expression for the output that a page shows."""
    lines = []
    for line in output.splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*")
        else:
            lines.append(re.escape(line.removesuffix("...")) + (".*" if line.endswith("...") else "") + r"\n")
    return "".join(lines)


@pytest.mark.parametrize(("page", "command", "output"), EXAMPLES, ids=[f"{p}:{c}" for p, c, _ in EXAMPLES])
def test_example(page: str, command: str, output: str) -> None:
    """Running the command in the checkout prints what the page shows."""
    before, name, arguments = re.split(rf"({NAMES})(?= )", command, maxsplit=1)
    words = f"{before}{shlex.quote(sys.executable)} {COMMANDS[name]}{arguments}"
    errors = subprocess.STDOUT if ">" in command else subprocess.DEVNULL
    done = subprocess.run(words, shell=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    printed = done.stdout

    assert re.fullmatch(pattern(output), printed), printed


@pytest.mark.parametrize("command", [command for page, command, _ in EXAMPLES if page == "README.md"])
def test_readme_with_the_installed_command(command: str) -> None:
    """With the environment's commands on the PATH, as README says, its examples work as they are typed."""
    commands = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    output = next(output for page, other, output in EXAMPLES if (page, other) == ("README.md", command))
    errors = subprocess.STDOUT if ">" in command else subprocess.DEVNULL
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
    )

    assert (commands / "streamfmt").exists()
    assert re.fullmatch(pattern(output), done.stdout), done.stdout


# The one of corpus.md reads an archive, over which test_corpus_export.py runs it.
PROGRAMS = {
    page.name: found for page in PAGES if page.name != "corpus.md" and (found := PROGRAM.findall(page.read_text()))
}


@pytest.mark.parametrize("page", PROGRAMS)
def test_programs(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python that a page shows runs in the checkout, and prints what the page says."""
    monkeypatch.chdir(ROOT)
    scope: dict[str, object] = {"__name__": "__main__"}
    for program, output in PROGRAMS[page]:
        exec(compile(program, page, "exec"), scope)
        printed = capsys.readouterr().out
        assert re.fullmatch(pattern(output), printed), f"{program}\n{printed}"


def test_there_are_examples() -> None:
    """Each command's page shows it at work."""
    assert {"api.md", "strategies.md", "writer.md"} <= PROGRAMS.keys()
    assert {
        "README.md",
        "identify.md",
        "verify.md",
        "show.md",
        "explain.md",
        "diff.md",
        "fuzz.md",
        "tee.md",
        "compatibility.md",
        "convert-legacy-stream.md",
        "recipes.md",
    } <= {page for page, _, _ in EXAMPLES}


def test_pages_keep_a_sentence_per_line() -> None:
    """Prose has one sentence a line, so that a review shows which one changed."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for line in text.splitlines():
            if not line.startswith(("|", "<!--")):
                assert not re.search(r"[a-z)`]\. [A-Z]", line), f"{page.name}: {line}"
