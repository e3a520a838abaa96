"""The service as a process: `python -m streamfmt.engine.xenstore END DOMAIN=LISTENER...`, numbers of descriptors.

It serves those who connect to the listeners until END, a socket that somebody holds the other end of, is closed there.
"""

from __future__ import annotations

import signal
import socket
import sys

from .server import serve

if __name__ == "__main__":
    # Whoever presses Ctrl-C ends our parent, and we end with that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end, *rows = sys.argv[1:]
    pairs = [row.partition("=") for row in rows]
    serve({int(domain): socket.socket(fileno=int(number)) for domain, _, number in pairs}, int(end))
