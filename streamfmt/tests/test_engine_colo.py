"""COLO between two sides of ours: the same guest at each checkpoint, whatever either wrote, and who goes on."""

from __future__ import annotations

import io

from .. import verify
from ..engine.checkpointing.verdicts import KEPT
from ..engine.colo.party import Colo
from ..engine.framing_xen import PAGE
from ..engine.guest.model import Model
from ..errors import GuestError, LinkError, TakenOverError
from .support.colo import Pair, paired
from .support.moving import working


def test_both_guests_are_the_same_at_each_checkpoint() -> None:
    """Both write all the time, each its own; after each checkpoint memory and state are the primary's."""
    pair = paired(working(rate=50_000.0), 12)

    assert isinstance(pair.error, TakenOverError)
    assert isinstance(pair.secondary.lost, LinkError)
    assert len(pair.digests["primary"]) == 13
    assert pair.digests["primary"] == pair.digests["secondary"]
    assert len(set(pair.digests["primary"])) == 13
    assert pair.primary.epochs.count == 13
    assert (pair.primary.machine.state, pair.secondary.machine.state) == ("ended", "survived")
    assert not pair.primary.guest.running
    pair.close()


def test_the_stream_conforms() -> None:
    """To the verifier in the mode of COLO, where it ends after a checkpoint was announced."""
    pair = paired(working(), 4)
    result = verify(io.BytesIO(bytes(pair.stream.data)), mode="colo")

    assert result.verdict == "conforms", result.findings
    for side in (pair.primary, pair.secondary):
        assert {*side.verdicts.values()} == {KEPT}
    pair.close()


def test_what_the_secondary_alone_wrote_is_sent_again() -> None:
    """Frames that only its guest has written are in the next checkpoint, with the primary's contents."""
    guest = working(rate=0.0)
    seen: list[int] = []
    pairs: list[Pair] = []

    def write(number: int) -> None:
        arrived = pairs[0].secondary.guest
        assert isinstance(arrived, Model)
        arrived.memory[200 * PAGE : 200 * PAGE + 4] = b"mine"
        arrived.dirty.note(1 << 200)
        seen.append(number)

    pair = paired(guest, 3, before=write, each=pairs.append)

    assert seen == [0, 1, 2, 3]
    assert pair.digests["primary"] == pair.digests["secondary"]
    assert [event["theirs"] for event in pair.events["primary"] if event["event"] == "checkpoint"] == [0, 1, 1, 1]
    pair.close()


def test_a_pv_guest_is_refused_before_anything_goes() -> None:
    """And goes on as before."""
    guest = working("pv")
    pair = paired(guest)

    assert isinstance(pair.error, GuestError)
    assert guest.running
    assert pair.stream.data == b""
    assert pair.taken is None
    pair.close()


def test_a_divergence_is_a_reason() -> None:
    """A checkpoint comes at once, and says why."""
    asked = []

    def diverged() -> str:
        asked.append(1)
        return "they differ" if len(asked) % 3 == 0 else ""

    pair = paired(working(), 3, ours=Colo(30.0, diverged=diverged))
    reasons = [event["reason"] for event in pair.events["primary"] if event["event"] == "checkpoint"]

    assert reasons == ["", *["they differ"] * 3]
    pair.close()
