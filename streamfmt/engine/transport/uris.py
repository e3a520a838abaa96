"""Addresses of links, as people write them: what stands in them, and what is wrong with one that cannot be read.

The forms are those of QEMU's ``-incoming`` (qapi/migration.json and migration/migration.c name them), and a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ...errors import LinkError

# What the address of a Unix socket holds, with the zero that ends it (unix(7)).
UNIX_LENGTH = 108
_PORTS = range(1 << 16)


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP port.  An empty host is every address of this machine to listen at, and this machine to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A Unix socket, by its path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Exec:
    """A command for the shell, which the link's bytes go into and come out of."""

    command: str

    def __str__(self) -> str:
        return f"exec:{self.command}"


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors that this process has been given: where to read, and where to write; the same for a socket."""

    read: int
    write: int

    def __str__(self) -> str:
        return f"fd:{self.read}" if self.read == self.write else f"fd:{self.read},{self.write}"


@dataclass(frozen=True, slots=True)
class File:
    """A file, which is written or read from its beginning to its end."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


Uri: TypeAlias = Tcp | Unix | Exec | Descriptors | File


def _tcp(rest: str) -> Uri | str:
    host, colon, port = rest.rpartition(":")
    if not colon or "]" in port:
        return "has no port"
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if "[" in host or "]" in host:
        return "has brackets that do not enclose the address"
    if ":" in host and not bracketed:
        return "has an IPv6 address without brackets"
    if not (port.isascii() and port.isdigit()):
        return f"has {port!r} for a port, which is no number" if port else "has no port"
    if len(port) > 5 or int(port) not in _PORTS:
        return f"has port {port}; ports end at {_PORTS[-1]}"
    if "\0" in host or any(letter.isspace() for letter in host):
        return "has a host with a space in it"
    return Tcp(host, int(port))


def _unix(rest: str) -> Uri | str:
    if not rest:
        return "has no path"
    if "\0" in rest:
        return "has a zero byte in its path"
    length = len(rest.encode(errors="surrogateescape"))
    if length >= UNIX_LENGTH:
        return f"has a path of {length} bytes; the system takes {UNIX_LENGTH - 1}"
    return Unix(rest)


def _exec(rest: str) -> Uri | str:
    if not rest.strip():
        return "has no command"
    return "has a zero byte in its command" if "\0" in rest else Exec(rest)


def _fd(rest: str) -> Uri | str:
    numbers = rest.split(",")
    for number in numbers:
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            return f"has {number!r} for a descriptor, which is no number" if number else "lacks a number"
    if len(numbers) > 2:
        return "has more than two descriptors"
    return Descriptors(int(numbers[0]), int(numbers[-1]))


def _file(rest: str) -> Uri | str:
    if not rest:
        return "has no path"
    return "has a zero byte in its path" if "\0" in rest else File(rest)


# By what an address begins with: what reads the rest, and the form to show.  A reader returns what is wrong as a text.
_FORMS: dict[str, tuple[Callable[[str], Uri | str], str]] = {
    "tcp": (_tcp, "tcp:HOST:PORT, or tcp:[ADDRESS]:PORT for IPv6"),
    "unix": (_unix, "unix:PATH"),
    "exec": (_exec, "exec:COMMAND"),
    "fd": (_fd, "fd:N, or fd:IN,OUT"),
    "file": (_file, "file:PATH"),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
FORMS = "; ".join(form for _, form in _FORMS.values())


def parse(text: str) -> Uri:
    """What an address says.  ``-`` is standard input and output, and what has no ``NAME:`` in front is a file.

    :raises LinkError: it has no such form.
    """
    if text == "-":
        return Descriptors(0, 1)
    named = _SCHEME.match(text)
    scheme, rest = (named[1], text[named.end() :]) if named else ("file", text)
    if scheme not in _FORMS:
        raise LinkError(f"{text!r} begins with '{scheme}:', which names no link; the forms are {FORMS}")
    read, form = _FORMS[scheme]
    found = read(rest)
    if isinstance(found, str):
        raise LinkError(f"{text!r} {found}; the form is {form}")
    return found
