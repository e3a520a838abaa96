"""Devices that carry their own state move with their guest, by each interface, whatever they write meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..engine import migrate_qemu
from ..engine.migrate_qemu import Taking, Terms
from ..engine.orders import Orders
from ..engine.policies import policy
from ..engine.precopy import Settings
from ..engine.too_fast import remedy
from ..engine.vfio import proposal, proposal_user, region, region_user, states
from ..engine.vfio.device import BLOCK, Device
from ..engine.vfio.loading import Loader, ProposalLoader, RegionLoader, StatesLoader
from ..engine.vfio.packets import QUEUED_MOST, PacketLoader, packets
from ..engine.vfio.saving import ProposalSaver, RegionSaver, Saver, StatesSaver
from ..engine.vfio.working import Working
from ..errors import CancelledError, DeviceError, GuestError, InDoubtError, LinkError, MigrationError, PeerError
from ..schema import vfio as schema
from .support.qemu_moves import PATIENCE, Guest, Recorded, Side, pair, received, sent

NAME = "0000:00:05.0/vfio"
PAGES, SIZE = 12, 64 * BLOCK
TERMS = Terms(settings=Settings(policy("rounds=3"), remedy("go-on")), patience=PATIENCE)
_P2P = schema.CAN_STOP_COPY | schema.CAN_P2P

Ends = tuple[Callable[[Device], Saver], Callable[[Device], Loader]]
KINDS: dict[str, Ends] = {
    "proposal": (
        lambda device: ProposalSaver(NAME, proposal_user.User(proposal.Driver(device, memory=100))),
        lambda device: ProposalLoader(NAME, proposal_user.User(proposal.Driver(device, memory=256))),
    ),
    "proposal-wide": (
        lambda device: ProposalSaver(NAME, proposal_user.User(proposal.Driver(device)), b"\1" * 32 + bytes(4)),
        lambda device: ProposalLoader(NAME, proposal_user.User(proposal.Driver(device)), wide=True),
    ),
    "v1": (
        lambda device: RegionSaver(
            NAME, region_user.User(region.Driver(device, 500)), lambda count: device.take_pages(0, count)
        ),
        lambda device: RegionLoader(NAME, region_user.User(region.Driver(device, 96))),
    ),
    "v1-5.2": (
        lambda device: RegionSaver(NAME, region_user.User(region.Driver(device)), old=True),
        lambda device: RegionLoader(NAME, region_user.User(region.Driver(device)), old=True),
    ),
    "v2": (
        lambda device: StatesSaver(NAME, states.Driver(device), PAGES, switchover=True),
        lambda device: StatesLoader(NAME, states.Driver(device)),
    ),
    "v2-stop-copy": (
        lambda device: StatesSaver(NAME, states.Driver(device, schema.CAN_STOP_COPY), PAGES),
        lambda device: StatesLoader(NAME, states.Driver(device, schema.CAN_STOP_COPY)),
    ),
    "v2-p2p": (
        lambda device: StatesSaver(NAME, states.Driver(device, _P2P)),
        lambda device: StatesLoader(NAME, states.Driver(device)),
    ),
}
EACH = pytest.mark.parametrize("kind", KINDS)


def _alike(one: Device, other: Device) -> bool:
    """Whether both have the same state, and go on alike."""
    before = one.digest() == other.digest()
    one.running = other.running = True
    one.work(9)
    other.work(9)
    return before and one.digest() == other.digest()


@EACH
@given(st.integers(0, 150), st.integers(0, 30), st.integers(0, 1000))
@settings(max_examples=6)
def test_a_device_moves_with_its_guest(kind: str, before: int, steps: int, seed: int) -> None:
    """Its memory, its registers, and what it wrote to the guest until its stop are there; the stream conforms."""
    guest, recorded = Guest(PAGES, {0: b"\1" * 4096}), Recorded()
    guest.running = True
    device, other = Device(SIZE, guest.memory, seed), Device(SIZE)
    device.work(before)
    saver, loader = KINDS[kind][0](device), KINDS[kind][1](other)
    terms = replace(TERMS, live=(Working(saver, device, steps),), watcher=recorded, orders=Orders())
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(loader,))))
        sent(guest, mine, terms)
        found = side.done()

    assert isinstance(found, migrate_qemu.Received), found
    assert found.guest is not None
    assert (device.running, other.running) == (False, True)
    assert bytes(found.guest.memory) == bytes(guest.memory)
    device.guest = other.guest = None
    assert _alike(device, other)
    assert streamfmt.verify(bytes(recorded.data)).findings == []


@EACH
def test_a_device_that_writes_faster_than_it_is_sent(kind: str) -> None:
    """All of its memory is written anew between any two looks: it ends by the stop, with the same state."""
    guest = Guest(PAGES)
    guest.running = True
    device, other = Device(SIZE, guest.memory), Device(SIZE)
    saver, loader = KINDS[kind][0](device), KINDS[kind][1](other)
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(loader,))))
        sent(guest, mine, replace(TERMS, live=(Working(saver, device, 4 * SIZE // BLOCK),), orders=Orders()))
        found = side.done()

    assert found.guest is not None
    assert bytes(found.guest.memory) == bytes(guest.memory)
    assert device.digest() == other.digest()


@EACH
def test_a_migration_that_is_cancelled(kind: str) -> None:
    """The device runs on where it was, with what it had, and can be moved after that."""
    guest = Guest(PAGES)
    guest.running = True
    device = Device(SIZE, guest.memory)
    device.work(50)
    saver, orders = KINDS[kind][0](device), Orders()
    before = device.digest()
    orders.cancelled = "enough"
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(KINDS[kind][1](Device(SIZE)),))))
        with pytest.raises(CancelledError):
            sent(guest, mine, replace(TERMS, live=(saver,), orders=orders))
        mine.close()
        side.done()

    assert device.running
    assert guest.running
    assert device.digest() == before
    test_a_device_that_writes_faster_than_it_is_sent(kind)


@EACH
def test_a_device_that_is_another(kind: str) -> None:
    """Of another size: it is refused before the guest is given up, and goes on where it was."""
    guest = Guest(PAGES)
    guest.running = True
    device, other = Device(SIZE, guest.memory), Device(SIZE // 2)
    device.work(300)
    saver = KINDS[kind][0](device)
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(KINDS[kind][1](other),))))
        with pytest.raises(PeerError):
            sent(guest, mine, replace(TERMS, live=(saver,), orders=Orders()))
        mine.close()
        assert isinstance(side.done(), DeviceError)

    assert (device.running, guest.running) == (True, True)


def _put(loader: Loader, data: bytes) -> None:
    """A part of a section that has this, in pieces."""
    for at in range(0, len(data), 1000):
        loader.put(data[at : at + 1000])
    loader.end()


def test_a_device_that_nobody_has() -> None:
    """A receiver without it refuses the stream."""
    guest = Guest(PAGES)
    device = Device(SIZE, guest.memory)
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE)))
        with pytest.raises(PeerError):
            sent(guest, mine, replace(TERMS, live=(KINDS["v2"][0](device),), orders=Orders()))
        mine.close()
        assert "which this guest does not have" in str(side.done())
    assert device.running


def test_a_device_without_stop_copy() -> None:
    """It cannot be migrated at all."""
    with pytest.raises(DeviceError, match="VFIO2-NEED-STOPCOPY"):
        StatesSaver(NAME, states.Driver(Device(SIZE), 0))


@pytest.mark.parametrize(
    ("kind", "data", "clause"),
    [
        ("v2", b"\xff\xff\xff\xff\xef\x10\0\x09", "VFIO-MARK-KNOWN"),
        ("v2", b"\xff\xff\xff\xff\xef\x10\0\3\xff\xff\xff\xff\xef\x10\0\3", "VFIO-SETUP-EOS"),
        ("v2", b"\xff\xff\xff\xff\xef\x10\0\1more", "VFIO-CFG-LAST"),
        ("v2", b"\xff\xff\xff\xff\xef\x10\0", "VFIO-DATA-LEN"),
        ("v2", b"\xff\xff\xff\xff\xef\x10\0\4" + bytes(7) + b"\x0cXXXX" + bytes(8), "VFIO-DEVICE-DATA"),
        ("v2", b"\xff\xff\xff\xff\xef\x10\0\2" + bytes(120_000), "VFIO-CFG-EOS"),
        ("proposal", b"\3", "VFIO-P-FLAG"),
        ("proposal", b"\4" + b"\x7f" * 8, "VFIO-P-MEMSIZE"),
        ("proposal", b"\2" + bytes(7) + b"\1x", "VFIO-CONFIG-DATA"),
    ],
)
def test_a_section_that_means_nothing(kind: str, data: bytes, clause: str) -> None:
    """Each is refused with its clause, by the loader alone as well."""
    loader = KINDS[kind][1](Device(SIZE))
    loader.setup()
    with pytest.raises(GuestError) as error:
        _put(loader, data)
    assert isinstance(error.value, DeviceError)
    assert error.value.clause == clause


WAYS = {
    "proposal": (proposal.Driver, "_set_state", schema.PROPOSAL_SAVES, schema.PROPOSAL_LOADS),
    "v1": (region.Driver, "_set_state", schema.V1_SAVES, schema.V1_LOADS),
    "v2": (states.Driver, "set_state", schema.V2_SAVES, schema.V2_LOADS),
}


@pytest.mark.parametrize("kind", WAYS)
def test_states_of_a_migration_are_those_of_the_table(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends ask for the states that the document names, in that order."""
    driver, method, saves, loads = WAYS[kind]
    asked: dict[Device, list[str]] = {}
    does = getattr(driver, method)
    names: dict[object, str] = {value: name for name, (value, _) in schema.PROPOSAL_STATES.items()}
    if kind == "v1":
        names = {value: name for name, (value, _) in schema.V1_STATES.items()}

    def seen(self: Any, state: Any) -> Any:
        asked.setdefault(self.device, ["RUNNING"]).append(names.get(state, state))
        return does(self, state)

    monkeypatch.setattr(driver, method, seen)
    if kind == "proposal":
        monkeypatch.setitem(proposal._WRITTEN, "device_state", seen)
    guest = Guest(PAGES)
    guest.running = True
    device, other = Device(SIZE, guest.memory), Device(SIZE)
    saver, loader = KINDS[kind][0](device), KINDS[kind][1](other)
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(loader,))))
        sent(guest, mine, replace(TERMS, live=(saver,), orders=Orders()))
        assert isinstance(side.done(), migrate_qemu.Received)

    assert asked == {device: list(saves), other: list(loads)}


# -- packets of multifd -----------------------------------------------------------------------------------------------


def _packets() -> tuple[Device, list[bytes]]:
    """A device that was stopped, and its packets."""
    device = Device(SIZE)
    device.work(100)
    saver = StatesSaver(NAME, _Small(device))
    saver.setup()
    saver.stop()
    return device, [*packets(saver)]


class _Small(states.Driver):
    """A device that gives few bytes at a time."""

    def stop_copy_length(self) -> int:
        return 700


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_packets_in_any_order(random: Random) -> None:
    """They come through channels as they will, and the state is the same."""
    device, sent = _packets()
    assert len(sent) > 4
    random.shuffle(sent)
    other = Device(SIZE)
    loader = StatesLoader(NAME, states.Driver(other))
    loader.setup()
    taking = PacketLoader(loader)
    for packet in sent:
        taking.put(packet)
    taking.end()
    loader.start()

    assert taking.queued == 0
    assert len(loader.config) == 276
    assert _alike(device, other)


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda sent: [*sent[:2], sent[1]], "VFIO-MFD-INDEX"),
        (lambda sent: [*sent[:2], *sent[3:]], "VFIO-MFD-ORDER"),
        (lambda sent: sent[:-1], "VFIO-MFD-ORDER"),
        (lambda sent: [sent[-1], b"\0\0\0\0\0\0\1\0\0\0\0\0"], "VFIO-MFD-ORDER"),
        (lambda sent: [sent[0], b"\0\0\0\0\0\0\1\0\0\0\0\0", sent[-1]], "VFIO-MFD-ORDER"),
        (lambda sent: [b"short"], "VFIO-MFD-SHORT"),
        (lambda sent: [b"\0\0\0\1" + bytes(8)], "VFIO-MFD-VERSION"),
        (lambda sent: [bytes(11) + b"\2"], "VFIO-MFD-FLAGS"),
        (lambda sent: [b"\0\0\0\0\xff\xff\xff\xff" + bytes(4)], "VFIO-MFD-INDEX"),
        (lambda sent: [b"\0\0\0\0\0\0\0\1" + bytes(4) + bytes(QUEUED_MOST + 1)], "VFIO-MFD-QUEUE"),
    ],
)
def test_packets_that_are_wrong(change: Callable[[list[bytes]], list[bytes]], clause: str) -> None:
    """Each is refused with its clause."""
    loader = StatesLoader(NAME, states.Driver(Device(SIZE)))
    loader.setup()
    taking = PacketLoader(loader)
    with pytest.raises(DeviceError) as error:
        _take(taking, change(_packets()[1]))
    assert error.value.clause == clause


def _take(taking: PacketLoader, sent: list[bytes]) -> None:
    for packet in sent:
        taking.put(packet)
    taking.end()


# -- links that end ---------------------------------------------------------------------------------------------------


def _recorded(kind: str) -> tuple[Device, bytes]:
    """A device that was moved with its guest, and all that was sent for that, as into a file."""
    guest, recorded = Guest(PAGES, {0: b"\1" * 4096}), Recorded()
    guest.running = True
    device = Device(SIZE, guest.memory)
    device.work(50)
    saver, loader = KINDS[kind][0](device), KINDS[kind][1](Device(SIZE))
    terms = replace(TERMS, live=(Working(saver, device, 9),), watcher=recorded, return_path=False, orders=Orders())
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(loader,))))
        sent(guest, mine, terms)
        assert isinstance(side.done(), migrate_qemu.Received)
    return device, bytes(recorded.data)


@EACH
@given(st.floats(0, 1))
@settings(max_examples=6)
def test_whatever_byte_the_link_ends_at(kind: str, part: float) -> None:
    """The receiver's device runs if all of it came, with the same state, and never otherwise."""
    device, stream = _recorded(kind)
    size = int(len(stream) * part)
    other = Device(SIZE)
    loader = KINDS[kind][1](other)
    with pair() as (mine, there):
        side = Side(lambda: received(Guest, there, Taking(patience=PATIENCE, live=(loader,))))
        link = socket.socket(fileno=os.dup(mine.fileno()))
        link.setblocking(True)
        with link:
            with suppress(OSError):
                link.sendall(stream[:size])
            mine.close()
        found = side.done()

    if isinstance(found, migrate_qemu.Received):
        device.guest = None
        assert _alike(device, other)
    else:
        assert isinstance(found, MigrationError)
        # It has not been stopped yet, if nothing of its section came; the guest does not run in any case.
        assert not other.running or other.steps == 0


@EACH
@given(st.integers(0, 60_000), st.booleans())
@settings(max_examples=8)
def test_whatever_byte_the_receiver_goes_at(kind: str, size: int, asked: bool) -> None:
    """The sender's device runs on with its guest, with what it had, unless the receiver could have both."""
    guest = Guest(PAGES, {0: b"\1" * 4096})
    guest.running = True
    device = Device(SIZE, guest.memory)
    device.work(50)
    before = device.digest()
    saver = KINDS[kind][0](device)
    with pair() as (mine, there):

        def work() -> None:
            taken, link = 0, socket.socket(fileno=os.dup(there.fileno()))
            link.settimeout(0.05)  # more does not come, of a sender that waits for an answer
            with link, suppress(TimeoutError):
                while taken < size and (data := link.recv(min(4096, size - taken))):
                    taken += len(data)
            there.close()

        side = Side(work)
        failed: MigrationError | None = None
        try:
            sent(guest, mine, replace(TERMS, live=(saver,), return_path=asked, orders=Orders()))
        except MigrationError as error:
            failed = error
        mine.close()
        side.done()

    assert device.digest() == before
    # Who is asked for answers has to give some before anything is given up.
    assert not asked or isinstance(failed, LinkError)
    if failed is None or isinstance(failed, InDoubtError):
        assert (guest.running, device.running) == (False, False)
    else:
        assert (guest.running, device.running) == (True, True)
