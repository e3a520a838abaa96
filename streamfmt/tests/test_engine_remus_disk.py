"""The disk of a protected guest: the standby's copy is that of its last whole checkpoint, wherever the stream ends."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.checkpointing.devices import Devices, HeldOutput
from ..engine.checkpointing.disk import EPOCH_MAX, SIZE_MAX, Disk, Replica
from ..engine.checkpointing.primary import Remus, RemusPrimary
from ..engine.checkpointing.standby import RemusStandby
from ..engine.interface import Guest
from ..engine.migrate import Asked, Taking
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import GuestError, OversizeError, PeerError, TakenOverError
from ..schema.checkpointing import DISK_MAGIC
from .support.moving import Kept, another, way, working
from .support.protecting import QUICK, pair, replayed

_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"


class _Recorded:
    """A protection of a guest with a disk: its stream, where its checkpoints end, and the image at each."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "primary"
        self.ends: list[int] = []
        self.images: list[bytes] = []
        self.replica = folder / "standby"
        guest, disk, copy = working(), Disk(self.image), Replica(self.replica)
        here, there = pair()
        kept, waiters = Kept(), (Waiter(), Waiter())
        outer = self

        class Log:
            """The guest writes how far it is: at its disk's end, and over its beginning."""

            held = 0

            def postsuspend(self) -> None:
                disk.append(b"%d\n" % guest.done)
                disk.write(0, b"%09d" % guest.done)
                outer.images.append(outer.image.read_bytes())

            def preresume(self) -> None:
                pass

            def commit(self) -> None:
                outer.ends.append(primary.output.sent)

            def release(self) -> None:
                pass

            def drop(self) -> None:
                pass

        remus = Remus(0.001, True, Devices([Log(), disk]), most=5)
        primary = RemusPrimary(guest, SocketEnd(here, "here"), way(), remus, Asked(waiters[0], QUICK, watcher=kept))
        standby = RemusStandby(SocketEnd(there, "there"), another, Taking(), Asked(waiters[1], QUICK), disk=copy)
        arrived: list[Guest] = []
        thread = threading.Thread(target=lambda: arrived.append(standby.stand_by()))
        thread.start()
        with pytest.raises(TakenOverError):
            primary.protect()
        here.close()
        thread.join(10)
        there.close()
        for guest_of in (guest, *arrived):
            guest_of.close()
        for each in (*waiters, disk, copy):
            each.close()
        self.stream = bytes(kept.data)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> _Recorded:
    return _Recorded(tmp_path_factory.mktemp("disk"))


def test_both_disks_are_the_same(good: _Recorded) -> None:
    """After a protection that went well."""
    assert good.replica.read_bytes() == good.image.read_bytes() == good.images[-1]
    assert len({*good.images}) == 5


@settings(max_examples=1000 if _THOROUGH else 15)
@given(data=st.data())
def test_wherever_the_stream_ends(
    good: _Recorded, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """No write of a checkpoint that is not whole, and all of those that are."""
    near = [end - some for end in good.ends for some in (0, 1, 9, 40)]
    at = data.draw(st.integers(0, len(good.stream)) | st.sampled_from(near))
    path = tmp_path_factory.mktemp("copy") / "image"
    with ExitStack() as opened:
        copy = Replica(path)
        opened.callback(copy.close)
        _, guest, _ = replayed(good.stream[:at], disk=copy)
        if guest is not None:
            guest.close()
    whole = sum(end <= at for end in good.ends)

    assert path.read_bytes() == (good.images[whole - 1] if whole else b"")


def test_who_has_no_disk_passes_over_it(good: _Recorded) -> None:
    """As the specification has it."""
    standby, guest, error = replayed(good.stream)
    assert error is None
    assert standby.count == 5
    guest.close()


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (bytes(15), PeerError),
        (bytes(8) + (1).to_bytes(8, "little"), PeerError),
        (SIZE_MAX.to_bytes(8, "little") + (1).to_bytes(8, "little") + b"x", OversizeError),
    ],
)
def test_writes_that_cannot_be(tmp_path: Path, rest: bytes, error: type[Exception]) -> None:
    """They are refused, and nothing is written."""
    copy = Replica(tmp_path / "image")
    with pytest.raises(error):
        copy.take(DISK_MAGIC + rest)
    copy.take(b"another's record")
    copy.drop()
    copy.commit()
    copy.close()
    assert (tmp_path / "image").read_bytes() == b""


def test_what_an_epoch_may_write_is_bounded(tmp_path: Path) -> None:
    """The standby holds it, so there is a limit; a commit makes room."""
    disk = Disk(tmp_path / "image")
    disk.write(0, bytes(EPOCH_MAX - 100))
    with pytest.raises(GuestError, match="has written more than"):
        disk.write(0, bytes(200))
    assert disk.carried() == b""
    disk.postsuspend()
    assert len(disk.carried()) % 8 == 0
    assert disk.held
    disk.commit()
    assert (disk.held, disk.carried()) == (0, b"")
    disk.write(0, bytes(200))
    disk.drop()
    assert disk.held == 0
    disk.close()
    disk.close()


def test_a_disk_that_cannot_be_had(tmp_path: Path) -> None:
    """Neither at the primary nor at the standby."""
    for kind in (Disk, Replica):
        with pytest.raises(GuestError, match="cannot be had"):
            kind(tmp_path / "none" / "image")
    assert HeldOutput(bytes, lambda data: None).held == 0
