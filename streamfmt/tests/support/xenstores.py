"""Xenstores for tests: our service, and the real xenstored on a host of Xen's own programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...conformance.host import LIBXLPEER, Host
from ...conformance.peers import RELEASE, RELEASES
from ...engine.xenstore.client import Client, Event
from ...engine.xenstore.server import in_thread
from ...errors import LateError
from . import peers

OURS = "ours"
REAL = RELEASE


@contextmanager
def xenstore(which: str, folder: Path) -> Iterator[str]:
    """The path of the socket of a xenstore: ours, or the one of a release."""
    if which == OURS:
        path = str(folder / "socket")
        with in_thread({0: path}):
            yield path
        assert not Path(path).exists()
        return
    peers.require(LIBXLPEER, which)
    with Host(which) as host:
        yield str(host.folder / "xs/socket")


def events(client: Client) -> list[Event]:
    """All events that have come by the time at which the store has answered once more, in their order."""
    client.domain_path(0)
    found: list[Event] = []
    try:
        while True:
            found.append(client.event(None, 0.0))
    except LateError:
        return found


__all__ = ["OURS", "REAL", "RELEASES", "events", "xenstore"]
