"""Identify files and streams, and print the evidence.

Payloads and legacy streams are named; containers, libxl and libxc streams are read as far as their headers.
"""

from __future__ import annotations

from ..reader.identification import Headers, Identification
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..io.backups import Image
    from .inputs import Job

EXAMPLES = """examples:
  streamfmt identify guest.sav
  streamfmt identify --json /var/lib/xen/save/*
  streamfmt identify backup.xva disk.vhd saves.tar.gz

exit status: 0 all belong to a migration; 1 one does not; 2 wrong usage;
3 one could not be read; 130 interrupted, 143 terminated
"""
_COLUMNS = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    def make(_: str) -> Job[Headers]:
        headers = Headers(args.form, guest=args.guest)
        return headers.reader, headers, headers

    status = 0
    for given in args.files:
        for name, headers, failure, image in inputs.results(given, make):
            found = Identification(headers, failure)
            status = max(status, found.status)
            if args.json:
                from json import dumps

                backup = {"backup": {"in": image.words, "offset": image.offset}} if image else {}
                print(dumps(found.as_dict(name) | backup))
            elif failure is None or not failure.foreign or found.kind != "unread":
                print("\n".join(_lines(name, found, image)))
            if inputs.gave_up(name, failure):
                return status
    return status


def _lines(name: str, found: Identification, image: Image | None) -> Iterator[str]:
    """What is found, for people."""
    yield inputs.fitted(f"{inputs.shown(name)}: {found.description}")
    if found.configuration is not None and (words := found.configuration.words()):
        yield _line("guest", words)
    if found.variant is not None:
        yield _line("machine", found.variant.words())
    if image is not None:
        where = f", from {image.offset} ({image.offset:#x}) on" if image.offset >= 0 else ""
        yield _line("in", inputs.shown(image.words) + where)
    yield _line("because", found.evidence)
    if found.doubt and found.doubt != found.evidence:
        yield _line("but", found.doubt)
    if found.hint:
        yield _line("next", found.hint)


def _line(label: str, text: str) -> str:
    """A line below an input's, or more within 80 columns."""
    line = f"  {label}: {text}"
    if len(line) <= _COLUMNS:
        return line
    from textwrap import fill  # short lines need none

    return fill(line, _COLUMNS, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)
