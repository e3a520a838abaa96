"""What Xen does with a stream: `python -m streamfmt.conformance.ask [--release R]... [--mode M] [--as FORM] FILE...`.

The readers are the real ones of each release, which `make peers` brings in a checkout; which of them is asked follows
from the file's form.  One line of JSON for each file and release says what it did, and what the clauses foretell.
Files are read whole; compressed ones are to be decompressed first.  The exit status is 0 if all could be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import api
from ..api import Form
from ..errors import MissingPeerError
from ..writer import Draft, raw
from .cases import BACK, Case
from .conditions import Peer
from .conditions_xenguest import XENGUEST
from .looks import LATER, look
from .peers import RELEASES
from .predictions import Comparison, steps


class Asked(NamedTuple):
    """Who reads a form."""

    peer: Peer


# By the form that the file has by its first bytes.  A reader of another form has its row here.
READERS = {
    "libxc": Asked(XENGUEST),
    BACK: Asked(XENGUEST),
}


class UnaskedError(Exception):
    """No reader can be asked about a file; the text says why, and what to do."""


def case_of(name: str, data: bytes, mode: str = "", form: Form = "auto") -> Case:
    """The file as a case: what it is declared to be is what it has in it, unless said otherwise.

    :raises UnaskedError: no reader here takes its form.
    """
    found = api.identify(data, form=form, exact=True)
    key = found.key if form == "auto" else form
    if key not in READERS:
        raise UnaskedError(f"{name}: {found.description}; the readers here take {', '.join(READERS)}")
    stream = Draft((raw(data),))
    case = Case(name, stream, key, found.guest or "hvm", mode or ("colo" if key == BACK else "auto"))
    if not mode and case.image and not look(case).whole:
        case = Case(name, stream, key, case.guest, "plain")
    return case


def asked(case: Case, release: str) -> dict[str, Any]:
    """What the form's reader of that release did with a case, and what the clauses have it do.

    :raises MissingPeerError: there is no such reader on this machine.
    """
    peer = READERS[case.form].peer.of(release)
    seen = look(case)
    (verdict,) = peer.ask([seen], release)
    row = Comparison(seen, tuple(steps(seen, peer)), verdict)
    ended = row.ended
    foretold: dict[str, Any] = {"verdict": row.expected or "open"}
    if ended is not None:
        foretold |= {"clause": ended.clause, "offset": None if ended.at >= LATER else ended.at}
    if row.chance:
        foretold["chance"] = True
    did = {key: value for key, value in verdict._asdict().items() if value not in ("", None)}
    return {"file": case.name, "reader": peer.name, "release": release, **did, "clauses": foretold}


def main(words: Sequence[str] | None = None) -> int:
    """Ask, and print the answers; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m streamfmt.conformance.ask", description=__doc__.partition("\n")[0])
    parser.add_argument("--release", action="append", choices=RELEASES, help="of Xen; may be repeated; default: all")
    parser.add_argument("--mode", choices=("plain", "remus", "colo"), default="", help="what it is restored as")
    parser.add_argument(
        "--as", dest="form", choices=("auto", *READERS), default="auto", help="its form, if not by its looks"
    )
    parser.add_argument("file", nargs="+")
    options = parser.parse_args(words)
    status = 0
    for name in options.file:
        for release in options.release or RELEASES:
            try:
                answer = asked(case_of(name, Path(name).read_bytes(), options.mode, options.form), release)
            except (MissingPeerError, UnaskedError, OSError) as error:
                print(error, file=sys.stderr)
                status = 3
                continue
            print(json.dumps(answer), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
