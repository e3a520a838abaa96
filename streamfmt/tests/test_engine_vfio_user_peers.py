"""Our client of vfio-user with the sample server of libvfio-user, and our server with QEMU's client.

No distribution has that server: STREAMFMT_LIBVFIO_USER names the one that was built, ``build/samples/server``.  In 2026
its region 1 has to be made 0x4000 bytes long first, since the library takes powers of two alone.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..conformance import qemu
from ..engine.vfio.device import Device
from ..engine.vfio.loading import StatesLoader
from ..engine.vfio.saving import StatesSaver
from ..engine.vfio.user_client import RemoteDevice
from ..engine.vfio.user_messages import Message
from ..engine.vfio.user_server import Service, serve
from ..engine.waiting import Waiter
from ..errors import DeviceError, MissingPeerError
from ..schema import vfio, vfio_user

SERVER = os.environ.get("STREAMFMT_LIBVFIO_USER", "")
SAMPLE = pytest.mark.skipif(not SERVER, reason="STREAMFMT_LIBVFIO_USER names no server of libvfio-user")
PATIENCE = 10.0
# Its registers are a time at which it interrupts; its memory is region 1.
_TIMER, _MEMORY = 0, 1


@contextmanager
def _device(path: Path) -> Iterator[RemoteDevice]:
    with subprocess.Popen([SERVER, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        waiter, link = Waiter(), socket.socket(socket.AF_UNIX)
        try:
            limit = time.monotonic() + PATIENCE
            while time.monotonic() < limit:
                with suppress(OSError):
                    link.connect(str(path))
                    break
                time.sleep(0.05)
            yield RemoteDevice(link, waiter, PATIENCE)
        finally:
            link.close()
            waiter.close()
            server.terminate()
            server.wait(PATIENCE)


def _put(device: RemoteDevice, region: int, offset: int, data: bytes) -> None:
    device._ask("REGION_WRITE", vfio_user.ACCESS.pack(offset, region, len(data)) + data)


def _got(device: RemoteDevice, region: int, offset: int, size: int) -> bytes:
    reply = device._ask("REGION_READ", vfio_user.ACCESS.pack(offset, region, size))
    return reply[vfio_user.ACCESS.size :]


@SAMPLE
def test_a_device_of_another_makers_moves(tmp_path: Path) -> None:
    """What one server's device has is in the other's, by the callbacks that move ours."""
    with _device(tmp_path / "a") as here, _device(tmp_path / "b") as there:
        assert here.flags == vfio.CAN_STOP_COPY | vfio.CAN_PRE_COPY
        soon = (int(time.time()) + 1000).to_bytes(8, "little")
        _put(here, _TIMER, 0, soon)
        _put(here, _MEMORY, 100, b"what it has")
        saver, loader = StatesSaver("vfio", here), StatesLoader("vfio", there)
        saver.setup()
        # It gives the same again at the end, and takes it only once.
        assert len(saver.iterate()) > 0x4000
        saver.stop()
        loader.setup()
        for piece in (saver.complete(), saver.state()):
            loader.put(piece)
            loader.end()
        saver.done()
        loader.start()

        assert (here.state, there.state) == ("STOP", "RUNNING")
        # Whatever place of its memory is read, it gives it from the beginning.
        assert _got(there, _MEMORY, 0, 111)[100:] == b"what it has"


@SAMPLE
def test_its_states_are_those_of_the_table(tmp_path: Path) -> None:
    """STOP_COPY does not go back to pre-copy there either, and the state stays."""
    with _device(tmp_path / "a") as device:
        device.set_state("STOP_COPY")
        with pytest.raises(DeviceError, match="VFIO2-ARC"):
            device.set_state("PRE_COPY")
        assert device.state == "STOP_COPY"


@pytest.mark.peer
def test_qemu_has_our_device(tmp_path: Path) -> None:
    """QEMU 11.1 takes it as a device of a machine: resets it, gives it memory, and shows it on its bus."""
    path, firmware = tmp_path / "device", tmp_path / "firmware"
    try:
        command = qemu.program("11.1")
    except MissingPeerError as error:
        pytest.skip(str(error))
    firmware.write_bytes(bytes(1 << 16))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)
    listening.settimeout(PATIENCE)
    seen: list[str] = []
    done: list[Exception | None] = []

    def work() -> None:
        waiter = Waiter()
        try:
            link, _ = listening.accept()
            with link:
                serve(link, _Seeing(Device(1 << 14), seen), waiter, PATIENCE)
            done.append(None)
        except Exception as error:
            done.append(error)
        finally:
            waiter.close()

    thread = threading.Thread(target=work)
    thread.start()
    device = json.dumps({"driver": "vfio-user-pci", "socket": {"type": "unix", "path": str(path)}})
    memory = ("-object", "memory-backend-memfd,id=m,size=64M,share=on", "-M", "q35,memory-backend=m", "-m", "64M")
    words = (*memory, "-nodefaults", "-S", "-display", "none", "-monitor", "stdio", "-bios", str(firmware))
    asked = "info pci\nquit\n"
    line = [*command, *words, "-device", device]
    told = subprocess.run(line, input=asked, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
    thread.join(2 * PATIENCE)
    listening.close()

    assert not thread.is_alive()
    assert done == [None]
    assert "1af4:10ff" in told.stdout
    assert {"VERSION", "DMA_MAP", "DEVICE_GET_INFO", "DEVICE_RESET", "REGION_READ"} <= set(seen)


class _Seeing(Service):
    """Keeps which commands were asked for; each has to be done."""

    def __init__(self, device: Device, seen: list[str]) -> None:
        super().__init__(device)
        self._seen = seen

    def answer(self, message: Message, descriptors: list[int]) -> Message | None:
        reply = super().answer(message, descriptors)
        assert reply is None or not reply.error, message
        self._seen.append(message.command)
        return reply
