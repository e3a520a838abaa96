"""A verb's words, read: the plain ones at once, all others by argparse, which takes longer to load than a stream does.

A verb declares what it takes once, to either parser.  :class:`Plain` knows nothing of errors, help or shortened
options: what it does not take without doubt is argparse's, and what it takes argparse would take alike.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any


class Values:
    """The values of a verb's arguments, as argparse's Namespace has them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


class NotPlainError(Exception):
    """The words, or what is declared, are for argparse."""


# What a plain option may be declared with, by its action; any other keyword makes it argparse's.
_TAKEN = {"action", "choices", "const", "default", "dest", "help", "metavar", "type"}


class Plain:
    """A parser of words that are plain, declared to as argparse's are."""

    def __init__(self) -> None:
        self.defaults: dict[str, Any] = {}
        # By its name: where an option's value goes, what is declared of it, and the group that it is alone of.
        self.options: dict[str, tuple[str, dict[str, Any], Plain | None]] = {}
        self.files = ""
        # Words that are no options, each with a name of its own, if there are such; the last may be left out.
        self.places: list[str] = []
        self.needed = 0
        self._group: Plain | None = None

    def add_mutually_exclusive_group(self) -> Plain:
        group = Plain()
        group.defaults, group.options, group._group = self.defaults, self.options, group
        return group

    def add_argument(self, *names: str, **how: Any) -> None:
        if not names[0].startswith("-"):
            self._place(names[0], how)
            return
        dest = how.get("dest") or next((n for n in names if n.startswith("--")), names[0]).lstrip("-").replace("-", "_")
        action = how.get("action", "store")
        default = how.get("default", False if action == "store_true" else None)
        if how.get("required") or (isinstance(default, str) and "type" in how):
            raise NotPlainError
        self.defaults.setdefault(dest, default)
        self.options |= dict.fromkeys(names, (dest, how, self._group))

    def _place(self, name: str, how: dict[str, Any]) -> None:
        """Declare words that are no options."""
        nargs = how.get("nargs")
        if how.keys() - {"help", "metavar", "nargs"} or self.files or self._group or nargs not in (None, "?", "+"):
            raise NotPlainError
        if nargs == "+":
            if self.places:
                raise NotPlainError
            self.files = name
            return
        if self.needed < len(self.places):
            raise NotPlainError  # after one that may be left out
        self.places.append(name)
        self.needed += nargs is None
        self.defaults[name] = None

    def add_subparsers(self, **_: Any) -> ModuleType:
        raise NotPlainError

    add_argument_group = add_subparsers

    def parse(self, words: Sequence[str]) -> Values:
        """The values of these words.  Raises NotPlainError."""
        values = self.defaults.copy()
        files: list[str] = []
        groups: dict[Plain, str] = {}
        rest = iter(words)
        before = ""
        for word in rest:
            if word == "-" or word[:1] != "-":
                if files and before != "file":
                    raise NotPlainError
                files.append(word)
                before = "file"
                continue
            before = "option"
            if word not in self.options:
                raise NotPlainError
            dest, how, group = self.options[word]
            if group is not None and groups.setdefault(group, word) != word:
                raise NotPlainError
            value = _value(how, rest)
            values[dest] = [*(values[dest] or ()), value] if how.get("action") == "append" else value
        if self.places:
            if not self.needed <= len(files) <= len(self.places):
                raise NotPlainError
            return Values(values | dict(zip(self.places, files, strict=False)))
        if bool(files) != bool(self.files):
            raise NotPlainError
        return Values(values | ({self.files: files} if files else {}))


def _value(how: dict[str, Any], rest: Any) -> Any:
    """The value of an option that is declared so, which may be the next word."""
    action = how.get("action", "store")
    if how.keys() - _TAKEN:
        raise NotPlainError
    if action == "store_true":
        return True
    if action == "store_const":
        return how["const"]
    word = next(rest, "--")
    if (
        action not in ("store", "append")
        or (word[:1] == "-" and word != "-")
        or word not in how.get("choices", (word,))
    ):
        raise NotPlainError
    if "type" in how:
        try:
            return how["type"](word)
        except Exception:
            raise NotPlainError from None  # argparse says what is wrong
    return word


def parse(verb: str, module: ModuleType, words: Sequence[str]) -> Any:
    """The values of a verb's arguments.  Raises SystemExit after --help and wrong usage, as argparse does."""
    plain = Plain()
    try:
        module.add_arguments(plain)
        return plain.parse(words)
    except NotPlainError:
        from .parser import inner

        parser = inner(verb, module)
        # Options may stand between words of which the last may be left out.
        return parser.parse_intermixed_args(words) if plain.needed < len(plain.places) else parser.parse_args(words)
