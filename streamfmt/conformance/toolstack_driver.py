"""Has real libxl and xl judge many streams on one host; `toolstack.ask` runs this module as a child.

Standard input has "KIND LENGTH" and the bytes of one stream after another, standard output gets a line of JSON each.
"""

from __future__ import annotations

import json
import re
import sys
from signal import Signals
from typing import TYPE_CHECKING

from .host import Host
from .peers import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from .host import Outcome

_NOISE = re.compile(r"(?:^|: )(?:debug|detail|progress): |^\s*$")
_FATAL = "FATAL ERROR"
_ERROR = re.compile(rf"error: |[Aa]ssertion|{_FATAL}")
_TAKEN = re.compile(r"process_record: Record: (\d+), length")
_LIBXC_CONTEXT = "1"
_LINES_MAX = 60


def _lines(log: str) -> tuple[str, ...]:
    """What is logged for people: not what only helps to find faults in libxl."""
    return tuple(line.strip() for line in log.splitlines() if not _NOISE.search(line))[-_LINES_MAX:]


def _verdict(did: Outcome, program: str) -> tuple[str, str]:
    """The verdict, and the signal of a death after it.

    Before libxl has taken up LIBXC_CONTEXT, a refusal is said and then libxl follows a null pointer as it cleans up.
    Libxl ends the program that calls it where it gets no memory, in some releases by a signal: a crash of that, but for
    xl a refusal.
    """
    if did.status is None:
        return "hang", ""
    if did.status in (0, 1) or (program and did.status > 0):
        return ("reject" if did.status else "accept"), ""
    name = Signals(-did.status).name if did.status < 0 else f"status {did.status}"
    said = [line for line in _lines(did.log) if _ERROR.search(line)]
    if any(_FATAL in line for line in said):
        return ("reject" if program else "crash"), name
    asserted = any("ssertion" in line for line in said)
    early = _LIBXC_CONTEXT not in _TAKEN.findall(did.log)
    return ("reject", name) if said and early and not asserted and did.status < 0 else ("crash", name)


def _xl(kind: str) -> bool:
    return kind.startswith("xl-")


def restored(host: Host, kind: str, path: Path, **more: str) -> Outcome:
    """Have libxl or xl restore a file on a host; kinds are as `toolstack.ask` has them, `more` is the environment's."""
    if _xl(kind):
        did = host.xl("restore", "-e", path, **more)
    else:
        guest, _, mode = kind.partition("-")
        did = host.restore(path, guest, *([f"--{mode}"] if mode else []), **more)
    host.clear()
    return did


def verdict_of(did: Outcome, kind: str) -> Verdict:
    """What such a restore says of the stream."""
    program = "xl" if _xl(kind) else ""
    verdict, died = _verdict(did, program)
    lines = _lines(did.log)
    message = next((line for line in lines if _ERROR.search(line)), "")
    own = json.loads(did.stdout) if not program and did.stdout.startswith("{") else {}
    if died and verdict == "crash" and not message:
        message = died
    return Verdict(verdict, message, own.get("offset"), own.get("refused", ""), died, lines, did.model.get("length"))


def main() -> None:
    """Judge until the end of standard input."""
    with Host(sys.argv[1]) as host:
        path = host.folder / "in.bin"
        for request in sys.stdin.buffer:
            kind, length = request.split()
            path.write_bytes(sys.stdin.buffer.read(int(length)))
            did = restored(host, kind.decode(), path)
            print(json.dumps(verdict_of(did, kind.decode())._asdict()), flush=True)


if __name__ == "__main__":
    main()
