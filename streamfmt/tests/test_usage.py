"""What the command says without a verb, or with one that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import data
from ..cli.main import VERBS, main


def _said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main(words)
    shown = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, shown.out, shown.err


def test_bare(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word there is a short help: the five things people do first."""
    status, out, err = _said([], capsys)
    lines = err.splitlines()

    assert (status, out) == (2, "")
    assert [
        line.split("streamfmt ")[1].split()[0] for line in lines if line.startswith("  ") and "streamfmt" in line
    ] == [
        "identify",
        "verify",
        "show",
        "explain",
        "tee",
    ]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("verfy x", "there is no verb verfy; did you mean verify?"),
        ("version", "did you mean --version?"),
        ("qqqqqq", "there is no verb qqqqqq, and no such file"),
        ("--verify x", "in lower case: streamfmt verify x"),
        ("VERIFY x", "in lower case: streamfmt verify x"),
        ("--json verify x", "options go after it: streamfmt verify --json x"),
        ("-V", "there is no option -V before the verb\n"),
        ("-", "standard input is an input, not a verb; to judge it: streamfmt verify -"),
        ("help verfy", "there is no help on verfy; did you mean verify?"),
        ("help qqqqqq", "there is help on each verb"),
        ("help nosuch", "there is help on each verb"),
        ("help ../../etc/passwd", "there is no help on"),
    ],
)
def test_wrong(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said with the command that was meant."""
    status, out, err = _said(words.split(), capsys)

    assert (status, out) == (2, "")
    assert message in " ".join(err.split(" "))


def test_file_for_a_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name alone gets a command to paste."""
    path = tmp_path / "my guest.sav"
    path.touch()
    status, _, err = _said([str(path)], capsys)

    assert status == 2
    assert f"to judge it: streamfmt verify '{path}'\n" in err


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """ "help VERB" is "VERB --help"."""
    assert _said(["help", verb], capsys) == _said([verb, "--help"], capsys)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """ "help" alone is --help; a page of the manual is printed."""
    assert _said(["help"], capsys) == _said(["--help"], capsys)
    assert max(map(len, _said(["help"], capsys)[1].splitlines())) <= 80
    status, out, err = _said(["help", "json"], capsys)
    assert (status, err) == (0, "")
    assert out.startswith("# JSON output\n")
    assert out.split() == Path(data.path("docs", "json.md")).read_text().split()
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An object a line, of one stream of the corpus too."""
    assert main(["corpus", "show", "--json", "good/hvm"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
