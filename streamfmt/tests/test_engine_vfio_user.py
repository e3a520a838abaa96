"""The model's device over vfio-user: moved by messages as it is by calls, and nothing a client sends does harm."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..cli import migrate_device
from ..cli.main import main
from ..cli.parser import inner
from ..engine.vfio import states, user_server
from ..engine.vfio.device import BLOCK, PAGE, Device
from ..engine.vfio.loading import StatesLoader
from ..engine.vfio.probe import probe
from ..engine.vfio.saving import StatesSaver
from ..engine.vfio.user_client import RemoteDevice
from ..engine.vfio.user_messages import Message, Messages
from ..engine.vfio.user_server import Service, serve
from ..engine.waiting import Waiter
from ..errors import DeviceError, LateError, LinkError, PeerError
from ..schema import vfio, vfio_user
from ..schema.clauses import registry

SIZE, PAGES, PATIENCE = 64 * BLOCK, 8, 5.0
NAME = "0000:00:05.0/vfio"
FLAGS = (vfio.CAN_STOP_COPY, vfio.CAN_STOP_COPY | vfio.CAN_PRE_COPY, states.ALL)


@contextmanager
def _served(device: Device, flags: int = states.ALL) -> Iterator[RemoteDevice]:
    """The device, as a client has it that is served by a thread."""
    mine, other = socket.socketpair()
    failed: list[Exception] = []

    def work() -> None:
        waiter = Waiter()
        try:
            serve(other, Service(device, flags), waiter, PATIENCE)
        except Exception as error:
            failed.append(error)
        finally:
            waiter.close()
            other.close()

    thread = threading.Thread(target=work)
    thread.start()
    waiter = Waiter()
    try:
        yield RemoteDevice(mine, waiter, PATIENCE)
    finally:
        mine.close()
        waiter.close()
        thread.join(2 * PATIENCE)
    assert not thread.is_alive()
    assert not failed


@pytest.mark.parametrize("flags", FLAGS)
def test_a_device_moves_over_sockets(flags: int) -> None:
    """From one server to another, with DMA into memory that was given by descriptor, and the same state after it."""
    device, other = Device(SIZE), Device(SIZE)
    memory = os.memfd_create("guest")
    os.ftruncate(memory, PAGES * PAGE)
    area = mmap.mmap(memory, PAGES * PAGE)
    try:
        with _served(device, flags) as here, _served(other, flags) as there:
            here.map(memory, PAGES * PAGE)
            saver, loader = StatesSaver(NAME, here, PAGES, switchover=True), StatesLoader(NAME, there)
            loader.setup()
            pieces = [saver.setup()]
            written = 0
            for _ in range(4):
                here.work(40)
                written |= saver.pages(PAGES)
                pieces.append(saver.iterate())
            pieces += [saver.iterate(), saver.iterate()]
            saver.stop()
            pieces += [saver.complete(), saver.state()]
            for piece in pieces:
                loader.put(piece)
                loader.end()
            loader.stop()
            assert loader.sent == bool(flags & vfio.CAN_PRE_COPY)
            assert there.state == "STOP"
            saver.done()
            loader.start()
            assert (here.state, there.state) == ("STOP", "RUNNING")
            assert there.memory() == bytes(device.memory)
        assert device.digest() == other.digest()
        assert device.steps == 160
        assert written == sum(1 << page for page in range(PAGES) if any(area[page * PAGE : (page + 1) * PAGE]))
        assert device.guest is None
    finally:
        area.close()
        os.close(memory)


def test_states_over_a_socket() -> None:
    """A way there is not is refused there, and the state stays; what was written wrongly ends in ERROR."""
    with _served(Device(SIZE)) as device:
        device.set_state("STOP_COPY")
        with pytest.raises(DeviceError) as error:
            device.set_state("PRE_COPY")
        assert (error.value.clause, device.state) == ("VFIO2-ARC", "STOP_COPY")
        session = device.set_state("RESUMING")
        assert session is not None
        with pytest.raises(DeviceError):
            device.write(session, b"\xff" * 12)
        with pytest.raises(DeviceError):
            device.set_state("STOP")
        assert device.state == "ERROR"
        device.reset()
        assert device.state == "RUNNING"
        assert device.stop_copy_length() > SIZE


# -- a service alone --------------------------------------------------------------------------------------------------


def _greeted(transfer: int = 64) -> Service:
    service = Service(Device(SIZE))
    text = b'{"capabilities": {"max_data_xfer_size": %d}}\0' % transfer
    reply = service.answer(Message(1, "VERSION", vfio_user.VERSION.pack(0, 1) + text), [])
    assert reply is not None
    assert not reply.error
    return service


def _feature(name: int, flags: int, data: bytes = b"", room: int = 256) -> bytes:
    return vfio_user.FEATURE.pack(room, name | flags) + data


def _state(number: int) -> bytes:
    return _feature(2, vfio.SET, struct.pack("<Ii", number, -1))


REFUSED: list[tuple[str, bytes, int]] = [
    ("DEVICE_FEATURE", b"", errno.EINVAL),
    ("DEVICE_FEATURE", _feature(99, vfio.GET), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(1, vfio.SET), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(2, vfio.GET | vfio.SET), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(2, 0), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(1, vfio.GET, room=8), errno.EINVAL),
    ("DEVICE_FEATURE", _state(0), errno.EINVAL),
    ("DEVICE_FEATURE", _state(77), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(6, vfio.SET, struct.pack("<QIIQQ", PAGE, 2, 0, 0, PAGE)), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(8, vfio.GET, struct.pack("<QQQ", 0, PAGE, PAGE)), errno.EINVAL),
    ("DEVICE_FEATURE", _feature(8, vfio.GET, struct.pack("<QQQ", 0, 1 << 62, PAGE)), errno.EINVAL),
    ("MIG_DATA_READ", vfio_user.MIG_DATA.pack(72, 64), errno.EINVAL),
    ("MIG_DATA_WRITE", vfio_user.MIG_DATA.pack(12, 4) + b"data", errno.EINVAL),
    ("REGION_READ", vfio_user.ACCESS.pack(SIZE, vfio_user.BAR0, 1), errno.EINVAL),
    ("REGION_READ", vfio_user.ACCESS.pack(0, 3, 1), errno.EINVAL),
    ("REGION_WRITE", vfio_user.ACCESS.pack(0, vfio_user.BAR0, 8) + b"four", errno.EINVAL),
    ("DEVICE_GET_REGION_INFO", vfio_user.REGION_INFO.pack(32, 0, 9, 0, 0, 0), errno.EINVAL),
    ("DMA_MAP", vfio_user.DMA_MAP.pack(32, 3, 0, 0, PAGE + 1), errno.EINVAL),
    ("DMA_MAP", vfio_user.DMA_MAP.pack(32, 3, 0, (1 << 64) - PAGE, 2 * PAGE), errno.EINVAL),
    ("DMA_UNMAP", vfio_user.DMA_UNMAP.pack(24, 0, 0, PAGE), errno.ENOENT),
    ("DMA_READ", b"", errno.ENOTSUP),
    ("99", b"", errno.ENOTSUP),
]


@pytest.mark.parametrize(("command", "body", "error"), REFUSED)
def test_what_is_refused(command: str, body: bytes, error: int) -> None:
    """With an error in the reply, and the device as it was."""
    service = _greeted()
    before = service.driver.device.digest()

    reply = service.answer(Message(7, command, body), [])

    assert reply is not None
    assert (reply.error, reply.number, reply.body) == (error, 7, b"")
    assert (service.driver.state, service.driver.device.digest()) == ("RUNNING", before)


def test_data_no_longer_than_was_agreed() -> None:
    """Of a client that takes 64 bytes."""
    service = _greeted()
    service.driver.set_state("PRE_COPY")
    for size, error in ((64, 0), (65, errno.EINVAL)):
        reply = service.answer(Message(1, "MIG_DATA_READ", vfio_user.MIG_DATA.pack(8 + size, size)), [])
        assert reply is not None
        assert (reply.error, len(reply.body)) == (error, 0 if error else 8 + size)


def test_memory_that_is_shorter_than_is_said() -> None:
    """It is not mapped, since access beyond its end would end the process; the descriptor is closed."""
    service = _greeted()
    memory = os.memfd_create("short")
    reply = service.answer(Message(1, "DMA_MAP", vfio_user.DMA_MAP.pack(32, 3, 0, 0, PAGE)), [memory])
    assert reply is not None
    assert reply.error == errno.EINVAL
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)


def test_memory_in_pieces() -> None:
    """As many as a client has, none over another; DMA goes to the first, and only while it is mapped."""
    service = _greeted()
    memory = os.memfd_create("pieces")
    os.ftruncate(memory, 2 * PAGE)
    for address, size, error in (
        (0, PAGE, 0),
        (PAGE, PAGE, 0),
        (0, PAGE, errno.EEXIST),
        (PAGE, 3 * PAGE, errno.EEXIST),
    ):
        body = vfio_user.DMA_MAP.pack(32, 3, 0, address, size)
        reply = service.answer(Message(1, "DMA_MAP", body), [memory] if not address and not error else [])
        assert reply is not None
        assert reply.error == error
    device = service.driver.device
    assert device.guest is not None
    device.work(8)
    assert device.writes == 2
    for address, error in ((0, 0), (0, errno.ENOENT), (PAGE, 0)):
        reply = service.answer(Message(1, "DMA_UNMAP", vfio_user.DMA_UNMAP.pack(24, 0, address, PAGE)), [])
        assert reply is not None
        assert reply.error == error
    assert device.guest is None


@given(st.lists(st.tuples(st.sampled_from([*vfio_user.COMMANDS]), st.binary(max_size=48)), max_size=12))
@settings(max_examples=40)
def test_any_commands(commands: list[tuple[str, bytes]]) -> None:
    """Each is answered, or ends the link for a reason that is said; the device is in a state that there is."""
    service = _greeted()
    for command, body in commands:
        try:
            reply = service.answer(Message(3, command, body), [])
        except PeerError:
            assert command == "VERSION"
            continue
        assert reply is not None
        assert service.driver.state in vfio.V2_STATES
    service.close()


@given(st.binary(max_size=80), st.integers(1, 9))
@settings(max_examples=40)
def test_any_bytes(data: bytes, step: int) -> None:
    """They are messages, or are refused; cut in any way they are the same."""
    found: list[Any] = []
    for size in (len(data) or 1, step):
        messages, seen = Messages(), list[Any]()
        try:
            for at in range(0, len(data), size):
                seen += messages.put(data[at : at + size])
        except PeerError:
            seen.append("refused")
        found.append(seen)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (Message(1, "DEVICE_GET_INFO", bytes(16)), "no version"),
        (Message(1, "VERSION", vfio_user.VERSION.pack(1, 0)), "speaks version"),
        (Message(1, "VERSION", b"\0"), "no version"),
        (Message(1, "VERSION", vfio_user.VERSION.pack(0, 1) + b"{]"), "no JSON"),
        (Message(1, "VERSION", vfio_user.VERSION.pack(0, 1) + b'{"capabilities": 3}'), "another way"),
        (Message(1, "VERSION", vfio_user.VERSION.pack(0, 1) + b'{"capabilities":{"migration":{"pgsize":1}}}'), "pages"),
        (Message(1, "VERSION", bytes(4), reply=True), "replies"),
    ],
)
def test_a_client_of_another_kind(first: Message, why: str) -> None:
    """The link is ended, with the reason."""
    with pytest.raises(PeerError, match=why):
        Service(Device(SIZE)).answer(first, [])


# -- links ------------------------------------------------------------------------------------------------------------


def _against(reply: bytes | None) -> type[Exception]:
    """What a client comes to whose server sends this and nothing else; or closes the link."""
    mine, other = socket.socketpair()
    waiter = Waiter()
    try:
        if reply is None:
            other.shutdown(socket.SHUT_WR)
        else:
            other.sendall(reply)
        with pytest.raises(Exception) as error:  # noqa: PT011 - which it is is what the caller asks
            RemoteDevice(mine, waiter, 0.05)
        return error.type
    finally:
        mine.close()
        other.close()
        waiter.close()


def test_servers_that_do_not_serve() -> None:
    """No answer, none in time, another's, one of another version, and what is no message."""
    version = Message(1, "VERSION", vfio_user.VERSION.pack(0, 1), reply=True)
    assert _against(b"") is LateError
    assert _against(None) is LinkError
    assert _against(b"\0" * 16) is PeerError
    assert _against(Message(2, "VERSION", version.body, reply=True).render()) is PeerError
    assert _against(Message(1, "VERSION", vfio_user.VERSION.pack(9, 1), reply=True).render()) is PeerError
    assert _against(Message(1, "VERSION", reply=True, error=22).render()) is DeviceError
    assert _against(version.render()) is LateError


def test_a_client_that_stops_inside_a_message() -> None:
    """Its link has ended too early, and one that says nothing is given up."""
    for sent, kind in ((b"\1\0", LinkError), (b"", LateError)):
        mine, other = socket.socketpair()
        waiter = Waiter()
        mine.sendall(sent)
        if sent:
            mine.close()
        with pytest.raises(kind):
            serve(other, Service(Device(SIZE)), waiter, 0.05)
        mine.close()
        other.close()
        waiter.close()


def test_every_clause_is_one() -> None:
    """Each id that the interfaces name is explained."""
    folder = Path(streamfmt.__file__).parent / "engine" / "vfio"
    text = "".join(path.read_text() for path in folder.glob("*.py"))

    assert set(re.findall(r"\bVFIO[12]?(?:-[A-Z0-9]+)+\b", text)) <= set(registry())


# -- asking somebody else's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", FLAGS)
def test_our_own_device_keeps_the_rules(flags: int) -> None:
    """Whatever it can do; afterwards it runs."""
    with _served(Device(SIZE), flags) as device:
        assert {(found.verdict, found.why) for found in probe(device)} == {("kept", "")}
        assert device.state == "RUNNING"


def _says(self: states.Driver, state: str) -> None:
    self.state = state


BROKEN: dict[str, tuple[str, str, Any]] = {
    "any state": ("VFIO2-ARC", "set_state", _says),
    "no state": ("VFIO2-ARC", "set_state", lambda self, state: None),
    "data of a device that runs": ("VFIO2-DATAFD", "MIG_DATA_READ", lambda *_: struct.pack("<II", 12, 4) + b"data"),
    "state without end": ("VFIO2-ENOMSG", "MIG_DATA_READ", lambda *_: struct.pack("<II", 12, 4) + b"data"),
    "no log": ("VFIO2-LOG", "log_report", lambda self, first, count: 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_devices_that_break_rules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clause is named, and why."""
    clause, method, wrong = BROKEN[name]
    if method in user_server._ANSWERS:
        monkeypatch.setitem(user_server._ANSWERS, method, wrong)
        monkeypatch.setattr("streamfmt.engine.vfio.probe._STATE_MOST", 100)
    else:
        monkeypatch.setattr(states.Driver, method, wrong)
    with _served(Device(SIZE)) as device:
        found = {verdict.clause: verdict for verdict in probe(device)}

    assert found[clause].verdict == "broken"
    assert found[clause].why


def test_a_device_that_cannot_be_migrated() -> None:
    """Nothing else is asked of it."""
    with _served(Device(SIZE), 0) as device:
        assert [found.verdict for found in probe(device)] == ["broken", *["not judged"] * 5]


def test_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is a device, the other asks it; verdicts are lines."""
    path = str(tmp_path / "device")
    parser = inner("migrate device", migrate_device)
    served: list[int] = []
    words = parser.parse_args([path, "--time-out", "5", "--features", "stop-copy", "--blocks", "8"])
    thread = threading.Thread(target=lambda: served.append(migrate_device.run(words)))
    thread.start()
    limit = time.monotonic() + PATIENCE
    asked = parser.parse_args(["--check", path, "--json"])
    while (status := migrate_device.run(asked)) == 3 and time.monotonic() < limit:
        time.sleep(0.01)
    thread.join(2 * PATIENCE)

    assert (served, status) == ([0], 0)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["verdict"] for row in rows] == ["kept"] * 6
    assert not (tmp_path / "device").exists()


def test_sockets_that_are_not_there(tmp_path: Path) -> None:
    """One that nobody serves, and a place where none can be."""
    parser = inner("migrate device", migrate_device)
    assert migrate_device.run(parser.parse_args(["--check", str(tmp_path / "none")])) == 3
    assert migrate_device.run(parser.parse_args([str(tmp_path / "no" / "such")])) == 3


# -- with a guest -----------------------------------------------------------------------------------------------------


@contextmanager
def _at(path: Path, device: Device, busy: int = 0, flags: int = states.ALL) -> Iterator[None]:
    """The device, served once at a socket."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)
    listening.settimeout(PATIENCE)
    failed: list[Exception] = []

    def work() -> None:
        waiter = Waiter()
        try:
            link, _ = listening.accept()
            with link:
                serve(link, Service(device, flags), waiter, PATIENCE, busy)
        except Exception as error:
            failed.append(error)
        finally:
            waiter.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(2 * PATIENCE)
        listening.close()
    assert not thread.is_alive()
    assert not failed


def test_two_devices_move_with_a_guest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, from sockets to sockets: they go on there with what they had, and with the guest's memory."""
    devices = [Device(SIZE, seed=seed) for seed in (1, 2, 1, 1)]
    paths = [tmp_path / f"device{number}" for number in range(4)]
    saved = f"file:{tmp_path / 'saved'}"
    words = ["--memory", "4MiB", "--fill", "1MiB", "--after", "0", "--policy", "rounds=3"]
    with _at(paths[0], devices[0], 50), _at(paths[1], devices[1], 30):
        chosen = [word for path in paths[:2] for word in ("--device", str(path))]
        assert main(["migrate", "send", "--qemu", saved, *words, *chosen, "--speed", "40MiB"]) == 0
    before = [device.digest() for device in devices[:2]]
    assert [(device.writes > 0, device.running) for device in devices[:2]] == [(True, False)] * 2
    assert streamfmt.verify(tmp_path / "saved").findings == []
    with _at(paths[2], devices[2]), _at(paths[3], devices[3]):
        chosen = [word for path in paths[2:] for word in ("--device", str(path))]
        assert main(["migrate", "receive", "--qemu", saved, "--run", "0", *chosen]) == 0
    assert [device.digest() for device in devices[2:]] == before
    assert all(device.running for device in devices[2:])
    capsys.readouterr()


def test_several_devices_need_p2p(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two one has none: they do not go together, and both run on."""
    devices = [Device(SIZE), Device(SIZE)]
    paths = [tmp_path / "one", tmp_path / "two"]
    chosen = [word for path in paths for word in ("--device", str(path))]
    saved = f"file:{tmp_path / 'saved'}"
    with _at(paths[0], devices[0]), _at(paths[1], devices[1], flags=vfio.CAN_STOP_COPY):
        assert main(["migrate", "send", "--qemu", saved, "--memory", "4MiB", "--after", "0", *chosen]) == 1
    assert "VFIO2-P2P-MULTI" in capsys.readouterr().err
    assert all(device.running for device in devices)


def test_devices_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody serves one; and without --qemu there is no way for its state."""
    words = ["migrate", "send", f"file:{tmp_path / 'saved'}", "--memory", "4MiB", "--after", "0", "--device", "none"]
    assert main([*words, "--qemu"]) == 3
    assert main(words) == 2
    assert "--device needs --qemu" in capsys.readouterr().err
