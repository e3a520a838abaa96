"""What a target is, as it is written on a command line, what it is given, and how a person repeats that."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from ..errors import SpecError

OURS = "streamfmt"
# What stands for the stream's file, or for what the stream is.
_PLACE = re.compile(r"\{(form|mode|guest)?\}")
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class Stop(BaseException):
    """The process that started the search wants it to end, or its time is up."""


@dataclass(frozen=True, slots=True)
class Input:
    """A stream as a target takes it."""

    data: bytes
    form: str
    mode: str
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """A command (`words`), a Python function ("module.function"), or our own verdict if it is neither."""

    words: tuple[str, ...] = ()
    function: str = ""

    @property
    def name(self) -> str:
        """Its name in messages."""
        if self.function:
            return f"python:{self.function}"
        return shlex.join(self.words) or OURS

    @property
    def ours(self) -> bool:
        """Whether it is our own verdict."""
        return not (self.function or self.words)

    @property
    def takes_file(self) -> bool:
        """Whether a command is given the name of a file instead of bytes on standard input."""
        return any("{}" in word for word in self.words)

    @property
    def takes_guest(self) -> bool:
        """Whether a command is given the kind of the guest."""
        return any("{guest}" in word for word in self.words)

    def filled(self, path: str, given: Input, guest: str) -> list[str]:
        """The command's words for one stream, which is in the file `path`."""
        names = {"{}": path, "{form}": given.form, "{mode}": given.mode, "{guest}": guest}
        return [_PLACE.sub(lambda found: names[found[0]], word) for word in self.words]

    def repeated(self, path: str, given: Input, guest: str) -> str:
        """The line for a shell that gives it the stream in the file `path`."""
        if self.function:
            module, _, function = self.function.rpartition(".")
            program = f'import sys, {module}; print({module}.{function}(open(sys.argv[1], "rb").read()))'
            return shlex.join(["python3", "-c", program, path])
        if self.ours:
            deep = ["--deep"] if given.deep else []
            return shlex.join([OURS, "verify", "--as", given.form, "--mode", given.mode, *deep, path])
        line = shlex.join(self.filled(path, given, guest))
        return line if self.takes_file else f"{line} < {shlex.quote(path)}"


def parse(text: str) -> Spec:
    """A target from a command line.  Raises SpecError."""
    if text == OURS:
        return Spec()
    kind, colon, function = text.partition(":")
    if colon and kind == "python":
        if not _FUNCTION.fullmatch(function):
            raise SpecError(f"{text!r} names no function; write python:module.function")
        return Spec(function=function)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SpecError(f"{text!r} is not a command: {error}") from None
    if not words:
        raise SpecError("the target is empty; give a command, or python:module.function")
    return Spec(words=tuple(words))
