"""Identify files and streams, and print the evidence.

Payloads and legacy streams are named; containers, libxl and libxc streams are read as far as their headers.
"""

from __future__ import annotations

from ..reader.identification import Headers, Identification
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt identify guest.sav
  streamfmt identify --json /var/lib/xen/save/*

exit status: 0 all belong to a migration; 1 one does not; 2 wrong usage;
3 one could not be read; 130 interrupted, 143 terminated
"""
_COLUMNS = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    status = 0
    for name in args.files:
        headers = Headers(args.form, guest=args.guest)
        failure = inputs.run_reader(name, headers.reader, headers)
        found = Identification(headers, failure)
        status = max(status, found.status)
        if args.json:
            from json import dumps

            print(dumps(found.as_dict(name)))
        elif failure is None or not failure.foreign or found.kind != "unread":
            print(f"{inputs.shown(name)}: {found.description}")
            if found.configuration is not None and (words := found.configuration.words()):
                print(_line("guest", words))
            print(_line("because", found.evidence))
            if found.doubt and found.doubt != found.evidence:
                print(_line("but", found.doubt))
            if found.hint:
                print(_line("next", found.hint))
        if inputs.gave_up(name, failure):
            break
    return status


def _line(label: str, text: str) -> str:
    """A line below an input's, or more within 80 columns."""
    line = f"  {label}: {text}"
    if len(line) <= _COLUMNS:
        return line
    from textwrap import fill  # short lines need none

    return fill(line, _COLUMNS, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)
