"""Our client of vfio-user, and QEMU's callbacks over it, with the sample server of libvfio-user.

No distribution has that: STREAMFMT_LIBVFIO_USER names the server that was built, ``build/samples/server``.  In releases
of 2026 its region 1 has to be made 0x4000 bytes long first, since the library takes powers of two alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..engine.vfio.loading import StatesLoader
from ..engine.vfio.saving import StatesSaver
from ..engine.vfio.user_client import RemoteDevice
from ..engine.waiting import Waiter
from ..errors import DeviceError
from ..schema import vfio, vfio_user

SERVER = os.environ.get("STREAMFMT_LIBVFIO_USER", "")
pytestmark = pytest.mark.skipif(not SERVER, reason="STREAMFMT_LIBVFIO_USER names no server of libvfio-user")
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


def test_its_states_are_those_of_the_table(tmp_path: Path) -> None:
    """STOP_COPY does not go back to pre-copy there either, and the state stays."""
    with _device(tmp_path / "a") as device:
        device.set_state("STOP_COPY")
        with pytest.raises(DeviceError, match="VFIO2-ARC"):
            device.set_state("PRE_COPY")
        assert device.state == "STOP_COPY"
