"""Say what files and streams are, and how that shows.

Payloads and legacy streams are named; containers, libxl and libxc streams are read as far as their headers.
"""

from __future__ import annotations

from ..reader.headers import Headers, Identification
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt identify guest.sav
  streamfmt identify --json /var/lib/xen/save/*

exit status: 0 all belong to a migration; 1 one does not; 2 wrong usage;
3 one could not be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    status = 0
    for name in args.files:
        headers = Headers(args.form)
        try:
            inputs.run_reader(name, headers.reader, headers)
        except inputs.InputError as error:
            inputs.complain(name, str(error))
            status = max(status, error.status)
            continue
        finally:
            headers.reader.close()
        found = Identification(headers)
        status = max(status, int(not found.known))
        if args.json:
            from json import dumps

            print(dumps(found.as_dict(name)))
        else:
            print(f"{inputs.shown(name)}: {found.description}\n  because: {found.evidence}")
            if found.doubt:
                print(f"  but: {found.doubt}")
    return status
