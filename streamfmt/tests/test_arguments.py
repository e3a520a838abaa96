"""Plain words are read as argparse reads them, or left to it: the two cannot disagree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ..cli import arguments, parser
from ..cli.arguments import NotPlainError, Plain
from ..cli.main import VERBS

MODULES: dict[str, ModuleType] = {verb: import_module(f"streamfmt.cli.{verb}") for verb in VERBS}
# Verbs that are read without argparse where their words are plain.
QUICK = ("identify", "verify", "tee")
EDITING = (
    ("extract", ["a", "libxc"]),
    ("extract", ["--raw", "a", "libxc", "-o", "b"]),
    ("extract", ["a", "--list"]),
    ("edit", ["a", "--set", "x=1", "--set", "y=2", "--in-place"]),
    ("edit", ["--editor", "a", "-o", "b"]),
)
_STRAY = ("a", "b", "", "-", "--", "-x", "--x", "-1", "-qq", "--no", "--help", "-h", "--format=json", "--stri", "libxc")


def _vocabulary(module: ModuleType, verb: str) -> list[str]:
    """The verb's own options, short forms of them, and the values they take; and words that are none of these."""
    words = list(_STRAY)
    for action in parser.inner(verb, module)._actions:
        words += [*action.option_strings, *(name[:-1] for name in action.option_strings)]
        if action.option_strings and isinstance(action.choices, (list, tuple)):
            words += [*map(str, action.choices)]
    return [word for word in words if word]


def _values(read: Any) -> dict[str, Any] | None:
    """What words come to; None if they are wrong, or only help."""
    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            return dict(vars(read()))
    except (SystemExit, NotPlainError):
        return None


def _plain(module: ModuleType) -> Plain:
    plain = Plain()
    module.add_arguments(plain)
    return plain


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
@example(data=None)
def test_plain_words_are_read_as_argparse_reads_them(verb: str, data: st.DataObject | None) -> None:
    """What is taken without argparse has the values that argparse gives it, and is never wrong."""
    module = MODULES[verb]
    words = [] if data is None else data.draw(st.lists(st.sampled_from(_vocabulary(module, verb)), max_size=6))
    plain = _values(lambda: _plain(module).parse(words))
    if plain is not None:
        assert plain == _values(lambda: parser.inner(verb, module).parse_args(words)), words


def _single_options(verb: str) -> Iterator[list[str]]:
    files = [] if verb == "tee" else ["file"]
    yield files
    for action in parser.inner(verb, MODULES[verb])._actions:
        if action.dest in ("help", "ignore") or not action.option_strings:
            continue
        if action.nargs == "+":
            continue  # argparse's
        choices = ("qemu-11.1",) if action.dest == "target" else action.choices
        value = [str(next(iter(choices)))] if choices else []
        for name in action.option_strings:
            yield [name, *value, *files]
            yield [*files, *files, name, *value]


@pytest.mark.parametrize("verb", QUICK)
def test_what_people_type_is_plain(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and any whole option are read without argparse."""
    monkeypatch.setattr(parser, "inner", None)
    for words in _KNOWN[verb]:
        assert vars(arguments.parse(verb, MODULES[verb], words)) is not None


@pytest.mark.parametrize(("verb", "words"), EDITING)
def test_words_with_places_are_plain(verb: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """So are words that each have a name, and options that may be repeated."""
    expected = vars(parser.inner(verb, MODULES[verb]).parse_args(words))
    monkeypatch.setattr(parser, "inner", None)

    assert vars(arguments.parse(verb, MODULES[verb], words)) == expected


def test_options_between_words() -> None:
    """A word that may be left out may come after options, too."""
    found = arguments.parse("extract", MODULES["extract"], ["a", "--raw", "libxc"])

    assert (found.file, found.part, found.how) == ("a", "libxc", "raw")


_KNOWN = {verb: list(_single_options(verb)) for verb in QUICK}


@pytest.mark.parametrize(
    "how",
    [
        {"nargs": "?"},
        {"nargs": 2},
        {"action": "count"},
        {"action": "store_false"},
        {"required": True},
    ],
)
def test_rare_declarations_are_left_to_argparse(how: dict[str, Any]) -> None:
    """An option that is declared in a way that only argparse knows is never guessed at."""

    def read() -> object:
        plain = Plain()
        plain.add_argument("--it", **how)
        return plain.parse(["--it", "7"])

    with pytest.raises(NotPlainError):
        read()
