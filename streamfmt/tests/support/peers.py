"""Xen's readers, and QEMU, for tests: without them a test is skipped, or fails if STREAMFMT_REQUIRE_PEERS is 1.

That demands the release that a machine installs, and of QEMU the one of its suite, and no other: those are unpacked
where there is access to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from ...conformance import peers, qemu
from ...conformance.peers import RELEASE, XENPEER, Verdict
from ...errors import MissingPeerError
from ...schema.clauses import SCRIPT


def require(name: str, release: str = RELEASE) -> str:
    """Where the program is, "xenpeer" or "verify-stream-v2"."""
    try:
        return peers.require(name, release)
    except MissingPeerError as missing:
        if release == RELEASE and os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1":
            pytest.fail(f"{missing}, and STREAMFMT_REQUIRE_PEERS=1 wants it")
        pytest.skip(str(missing))


def require_qemu(release: str) -> str:
    """Where QEMU of that release is."""
    try:
        return qemu.require(release)
    except MissingPeerError as missing:
        if release == qemu.RELEASE and os.environ.get("STREAMFMT_REQUIRE_PEERS") == "1":
            pytest.fail(f"{missing}, and STREAMFMT_REQUIRE_PEERS=1 wants it")
        pytest.skip(str(missing))


def xenguest(streams: Iterable[tuple[str, bytes]], release: str = RELEASE) -> list[Verdict]:
    """Libxenguest's verdicts, as :func:`streamfmt.conformance.peers.xenguest` gives them."""
    require(XENPEER, release)
    return peers.xenguest(streams, release)


def script(streams: Iterable[tuple[str, bytes]]) -> list[Verdict]:
    """The script's verdicts, as :func:`streamfmt.conformance.peers.script` gives them."""
    require(SCRIPT)
    return peers.script(streams)
