"""The service as a process: `python -m streamfmt.engine.xenstore DOMAIN=PATH...` serves at these paths until SIGINT.

As a part of something else it is `--descriptors END DOMAIN=LISTENER...`, numbers of descriptors: it serves at sockets
that listen already, until END, a socket that somebody holds the other end of, is closed there.
"""

from __future__ import annotations

import signal
import socket
import sys

from ...errors import LinkError
from ..local_sockets import listening
from .server import serve

_INSIDE = "--descriptors"


def _inside(words: list[str]) -> None:
    # Ctrl-C at a terminal ends our parent, and we end with that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end, *rows = words
    pairs = [row.partition("=") for row in rows]
    serve({int(domain): socket.socket(fileno=int(number)) for domain, _, number in pairs}, int(end))


def _alone(words: list[str]) -> int:
    mine, its = socket.socketpair()

    def close(number: int, _: object) -> None:
        mine.close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)
    try:
        listeners = {int(domain): listening(path) for domain, _, path in (word.partition("=") for word in words)}
    except (LinkError, ValueError) as error:
        print(f"streamfmt: {error}", file=sys.stderr)
        return 3 if isinstance(error, LinkError) else 2
    serve(listeners, its.fileno())
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [_INSIDE]:
        _inside(sys.argv[2:])
    elif len(sys.argv) > 1:
        sys.exit(_alone(sys.argv[1:]))
    else:
        sys.exit(__doc__)
