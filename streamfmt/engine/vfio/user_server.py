"""The model's device as a vfio-user server: what it answers, and the socket it answers on.

Whoever has a client of vfio-user can point it at this: QEMU's ``vfio-user-pci``, libvfio-user's, or ours.  The device's
memory is region 0; a number written to its beginning has the device do as many steps.  Where the client gives memory
with a descriptor the device's DMA goes there.
Source: libvfio-user lib/libvfio-user.c, lib/migration.c and lib/tran.c, for what a server answers.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from ...errors import DeviceError, LateError, LinkError, PeerError
from ...schema import vfio, vfio_user
from ...writer.vfio import space
from .. import frames as sets
from ..waiting import READ, WRITE, Waiter
from .device import PAGE, Device
from .states import ALL, Driver
from .user_messages import Message, Messages

_NUMBERS = {name: number for name, (number, _) in vfio.V2_STATES.items()}
_STATES = {number: name for name, number in _NUMBERS.items()}
_FEATURES = {number: name for name, number in vfio.FEATURES.items()}
_CAN = {
    "MIGRATION": vfio.GET,
    "MIG_DEVICE_STATE": vfio.GET | vfio.SET,
    "DMA_LOGGING_START": vfio.SET,
    "DMA_LOGGING_STOP": vfio.SET,
    "DMA_LOGGING_REPORT": vfio.GET,
    "MIG_DATA_SIZE": vfio.GET,
    "MIG_PRECOPY_INFO_V2": vfio.SET,
}
_OPERATIONS = vfio.GET | vfio.SET | vfio.PROBE
# Steps that one write to the device may have it do.
STEPS_MOST = 1 << 16
# Seconds between what a busy device does by itself.
BUSY = 0.01
# Pieces of memory that a client may give.
MAPS_MOST = 1 << 10
# Descriptors that come with one message.
FDS_MOST = 1


class _RefusedError(Exception):
    """A request fails, with that errno."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class Service:
    """Answers the messages of one client about one device; the device stays when the client goes."""

    def __init__(self, device: Device, flags: int = ALL) -> None:
        self.driver = Driver(device, flags)
        self._device = device
        self._space = space()
        self._greeted = False
        # When a device that works by itself does so next.
        self.due = 0.0
        self._transfer = vfio_user.TRANSFER
        # The client's memory by its address: bytes, and how it is mapped, if it came with a descriptor.
        self._maps: dict[int, tuple[int, mmap.mmap | None, memoryview | None]] = {}

    def close(self) -> None:
        """Let go of the client's memory."""
        for address in [*self._maps]:
            self._drop(address)

    def _drop(self, address: int) -> None:
        _, area, view = self._maps.pop(address)
        if not address:
            self._device.guest = None
        if area is not None and view is not None:
            view.release()
            area.close()

    def answer(self, message: Message, descriptors: list[int]) -> Message | None:
        """The reply to a message, None if none is wanted.  Descriptors are taken, or closed.

        :raises PeerError: the client is of another version, or asks for things before that is known.
        """
        error, body = 0, b""
        try:
            if message.reply:
                raise PeerError("the client replies to what it was not asked")
            if not self._greeted and message.command != "VERSION":
                raise PeerError(f"the client begins with {message.command}, and no version")
            work = _ANSWERS.get(message.command)
            if work is None:
                raise _RefusedError(errno.ENOTSUP)
            body = work(self, message.body, descriptors)
        except _RefusedError as refused:
            error = refused.number
        except DeviceError:
            error = errno.EINVAL
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            descriptors.clear()
        return None if message.quiet else Message(message.number, message.command, body, reply=True, error=error)

    # -- what a client begins with -----------------------------------------------------------------------------------

    def _version(self, body: bytes, _: list[int]) -> bytes:
        if len(body) < vfio_user.VERSION.size or self._greeted:
            raise PeerError("the client says no version, or says it again")
        major, minor = vfio_user.VERSION.unpack_from(body)
        if major != vfio_user.MAJOR:
            raise PeerError(f"the client speaks version {major}.{minor}, and this {vfio_user.MAJOR}.{vfio_user.MINOR}")
        said = _capabilities(body[vfio_user.VERSION.size :])
        transfer, migration = said.get("max_data_xfer_size"), said.get("migration")
        pages = migration.get("pgsize") if isinstance(migration, dict) else None
        if isinstance(transfer, int) and transfer > 0:
            self._transfer = min(transfer, vfio_user.TRANSFER)
        if pages not in (None, vfio_user.PAGE_SIZE):
            raise PeerError(f"the client has pages of {pages} bytes, and only those of {vfio_user.PAGE_SIZE} are known")
        self._greeted = True
        ours = {
            "max_msg_fds": FDS_MOST,
            "max_data_xfer_size": vfio_user.TRANSFER,
            "migration": {"pgsize": vfio_user.PAGE_SIZE},
        }
        text = json.dumps({"capabilities": ours}).encode() + b"\0"
        return vfio_user.VERSION.pack(vfio_user.MAJOR, min(minor, vfio_user.MINOR)) + text

    def _info(self, body: bytes, _: list[int]) -> bytes:
        _whole(body, vfio_user.INFO.size)
        flags = vfio_user.INFO_RESET | vfio_user.INFO_PCI
        return vfio_user.INFO.pack(vfio_user.INFO.size, flags, vfio_user.REGIONS, vfio_user.IRQS)

    def _region_info(self, body: bytes, _: list[int]) -> bytes:
        _whole(body, vfio_user.REGION_INFO.size)
        index = vfio_user.REGION_INFO.unpack_from(body)[2]
        if index >= vfio_user.REGIONS:
            raise _RefusedError(errno.EINVAL)
        sizes = {vfio_user.BAR0: len(self._device.memory), vfio_user.SPACE: len(self._space)}
        size = sizes.get(index, 0)
        flags = (vfio_user.REGION_READABLE | vfio_user.REGION_WRITABLE) * bool(size)
        return vfio_user.REGION_INFO.pack(vfio_user.REGION_INFO.size, flags, index, 0, size, 0)

    def _irq_info(self, body: bytes, _: list[int]) -> bytes:
        _whole(body, vfio_user.IRQ_INFO.size)
        index = vfio_user.IRQ_INFO.unpack_from(body)[2]
        if index >= vfio_user.IRQS:
            raise _RefusedError(errno.EINVAL)
        return vfio_user.IRQ_INFO.pack(vfio_user.IRQ_INFO.size, 0, index, 0)

    def _reset(self, body: bytes, _: list[int]) -> bytes:
        self.driver.reset()
        return b""

    # -- regions and memory --------------------------------------------------------------------------------------------

    def _area(self, body: bytes, data: int) -> tuple[int, int, int]:
        """Region, offset and bytes of an access, which has so many bytes of data."""
        _whole(body, vfio_user.ACCESS.size)
        offset, region, count = vfio_user.ACCESS.unpack_from(body)
        sizes = {vfio_user.BAR0: len(self._device.memory), vfio_user.SPACE: len(self._space)}
        if count > self._transfer or offset + count > sizes.get(region, 0) or (data >= 0 and data != count):
            raise _RefusedError(errno.EINVAL)
        return region, offset, count

    def _read(self, body: bytes, _: list[int]) -> bytes:
        region, offset, count = self._area(body, -1)
        found = self._space if region == vfio_user.SPACE else bytes(self._device.memory)
        return vfio_user.ACCESS.pack(offset, region, count) + found[offset : offset + count]

    def _write(self, body: bytes, _: list[int]) -> bytes:
        data = body[vfio_user.ACCESS.size :]
        region, offset, count = self._area(body, len(data))
        if region == vfio_user.BAR0 and not offset and count in (4, 8):
            self._device.work(min(int.from_bytes(data, "little"), STEPS_MOST))
        return vfio_user.ACCESS.pack(offset, region, count)

    def _map(self, body: bytes, descriptors: list[int]) -> bytes:
        _whole(body, vfio_user.DMA_MAP.size)
        _, _, offset, address, size = vfio_user.DMA_MAP.unpack_from(body)
        if not size or size % PAGE or address % PAGE or address + size > 1 << 64:
            raise _RefusedError(errno.EINVAL)
        if any(address < begin + held and begin < address + size for begin, (held, _, _) in self._maps.items()):
            raise _RefusedError(errno.EEXIST)
        if len(self._maps) >= MAPS_MOST:
            raise _RefusedError(errno.ENOSPC)
        if not descriptors or address:
            # DMA goes to what is at 0, and only where it can be written without asking the client.
            self._maps[address] = size, None, None
            return b""
        try:
            if os.fstat(descriptors[0]).st_size < offset + size:
                raise _RefusedError(errno.EINVAL)  # access beyond its end would be a signal
            area = mmap.mmap(descriptors[0], size, offset=offset)
        except (OSError, ValueError, OverflowError):
            raise _RefusedError(errno.EINVAL) from None
        view = memoryview(area)
        self._maps[address] = size, area, view
        self._device.guest = view
        return b""

    def _unmap(self, body: bytes, _: list[int]) -> bytes:
        _whole(body, vfio_user.DMA_UNMAP.size)
        _, _, address, size = vfio_user.DMA_UNMAP.unpack_from(body)
        if self._maps.get(address, (0,))[0] != size or not size:
            raise _RefusedError(errno.ENOENT)
        self._drop(address)
        return body

    # -- migration -----------------------------------------------------------------------------------------------------

    def _feature(self, body: bytes, _: list[int]) -> bytes:
        _whole(body, vfio_user.FEATURE.size)
        room, word = vfio_user.FEATURE.unpack_from(body)
        name, asked = _FEATURES.get(word & vfio_user.FEATURE_INDEX, ""), word & ~vfio_user.FEATURE_INDEX
        can = _CAN.get(name, 0)
        if not can or not asked or asked & ~(can | vfio.PROBE):
            raise _RefusedError(errno.EINVAL)
        data = body[vfio_user.FEATURE.size :]
        if asked & vfio.PROBE:
            found = data
        elif asked == vfio.GET:
            found = _GOT[name](self, data)
        elif asked == vfio.SET:
            _SET[name](self, data)
            found = data
        else:
            raise _RefusedError(errno.EINVAL)
        if room < vfio_user.FEATURE.size + len(found):
            raise _RefusedError(errno.EINVAL)
        return vfio_user.FEATURE.pack(vfio_user.FEATURE.size + len(found), word) + found

    def _get_flags(self, _: bytes) -> bytes:
        return vfio_user.MIGRATION.pack(self.driver.flags)

    def _get_state(self, _: bytes) -> bytes:
        return vfio_user.STATE.pack(_NUMBERS[self.driver.state], -1)

    def _set_state(self, data: bytes) -> None:
        _whole(data, vfio_user.STATE.size)
        self.driver.set_state(_STATES.get(vfio_user.STATE.unpack_from(data)[0], "ERROR"))

    def _get_size(self, _: bytes) -> bytes:
        return vfio_user.DATA_SIZE.pack(self.driver.stop_copy_length())

    def _log_start(self, data: bytes) -> None:
        _whole(data, vfio_user.LOG_START.size + vfio_user.RANGE.size)
        size, count, _ = vfio_user.LOG_START.unpack_from(data)
        address, length = vfio_user.RANGE.unpack_from(data, vfio_user.LOG_START.size)
        if size != PAGE or count != 1 or address % PAGE or length % PAGE:
            raise _RefusedError(errno.EINVAL)
        self.driver.log_start(address // PAGE, length // PAGE)

    def _log_stop(self, _: bytes) -> None:
        self.driver.log_stop()

    def _log_report(self, data: bytes) -> bytes:
        _whole(data, vfio_user.LOG_REPORT.size)
        address, length, size = vfio_user.LOG_REPORT.unpack_from(data)
        if size != PAGE or address % PAGE or length % PAGE or length // PAGE > 8 * self._transfer:
            raise _RefusedError(errno.EINVAL)
        pages = self.driver.log_report(address // PAGE, length // PAGE)
        return vfio_user.LOG_REPORT.pack(address, length, size) + sets.to_bitmap(pages, length // PAGE)

    def _data_of(self, body: bytes) -> int:
        _whole(body, vfio_user.MIG_DATA.size)
        room, size = vfio_user.MIG_DATA.unpack_from(body)
        if size > self._transfer or room < vfio_user.MIG_DATA.size + size or self.driver.session is None:
            raise _RefusedError(errno.EINVAL)
        return int(size)

    def _data_read(self, body: bytes, _: list[int]) -> bytes:
        size, session = self._data_of(body), self.driver.session
        assert session is not None, "it was asked for"
        # There is no ENOMSG here: pre-copy that has nothing for now has 0 bytes, as the end has.
        found = self.driver.read(session, size) or b""
        return vfio_user.MIG_DATA.pack(vfio_user.MIG_DATA.size + len(found), len(found)) + found

    def _data_write(self, body: bytes, _: list[int]) -> bytes:
        size, session = self._data_of(body), self.driver.session
        assert session is not None, "it was asked for"
        data = body[vfio_user.MIG_DATA.size :]
        if len(data) != size:
            raise _RefusedError(errno.EINVAL)
        self.driver.write(session, data)
        return b""


def _whole(body: bytes, least: int) -> None:
    if len(body) < least:
        raise _RefusedError(errno.EINVAL)


def _capabilities(text: bytes) -> dict[str, object]:
    """What a client says that it can, in JSON with a zero after it; nothing if it says nothing."""
    if not text.rstrip(b"\0"):
        return {}
    try:
        found = json.loads(text.rstrip(b"\0"))
    except (ValueError, RecursionError):
        raise PeerError("the client says what it can in no JSON") from None
    said = found.get("capabilities", {}) if isinstance(found, dict) else None
    if not isinstance(said, dict):
        raise PeerError("the client says what it can in another way than the protocol has it")
    return said


_ANSWERS: dict[str, Callable[[Service, bytes, list[int]], bytes]] = {
    "VERSION": Service._version,
    "DEVICE_GET_INFO": Service._info,
    "DEVICE_GET_REGION_INFO": Service._region_info,
    "DEVICE_GET_IRQ_INFO": Service._irq_info,
    "DEVICE_SET_IRQS": lambda service, body, descriptors: b"",
    "DEVICE_RESET": Service._reset,
    "REGION_READ": Service._read,
    "REGION_WRITE": Service._write,
    "DMA_MAP": Service._map,
    "DMA_UNMAP": Service._unmap,
    "DEVICE_FEATURE": Service._feature,
    "MIG_DATA_READ": Service._data_read,
    "MIG_DATA_WRITE": Service._data_write,
}
_GOT: dict[str, Callable[[Service, bytes], bytes]] = {
    "MIGRATION": Service._get_flags,
    "MIG_DEVICE_STATE": Service._get_state,
    "MIG_DATA_SIZE": Service._get_size,
    "DMA_LOGGING_REPORT": Service._log_report,
}
_SET: dict[str, Callable[[Service, bytes], None]] = {
    "MIG_DEVICE_STATE": Service._set_state,
    "DMA_LOGGING_START": Service._log_start,
    "DMA_LOGGING_STOP": Service._log_stop,
    "MIG_PRECOPY_INFO_V2": lambda service, data: service.driver.report_reinit(),
}


def _message(link: socket.socket, service: Service, waiter: Waiter, idle: float, busy: int) -> None:
    """Wait for something of the client's; meanwhile the device does its work."""
    deadline = waiter.clock() + idle
    while busy and waiter.clock() < deadline:
        if waiter.clock() >= service.due:
            service.driver.device.work(busy)
            service.due = waiter.clock() + BUSY
        with suppress(LateError):
            waiter.until(link.fileno(), READ, min(deadline, service.due))
            return
    waiter.until(link.fileno(), READ, deadline, "a message of the client")


def serve(link: socket.socket, service: Service, waiter: Waiter, idle: float = 600.0, busy: int = 0) -> None:
    """Answer one client until it closes its side, or nothing comes for `idle` seconds; the client's memory is let go.

    :param busy: how many steps the device does by itself, each hundredth of a second.

    :raises PeerError: it sends what is no message; LinkError: the link failed, or ended inside a message;
        LateError: nothing came, or nothing was taken, in time.
    """
    messages = Messages()
    link.setblocking(False)
    descriptors: list[int] = []
    try:
        while True:
            _message(link, service, waiter, idle, busy)
            try:
                data, more, _, _ = socket.recv_fds(link, 1 << 16, FDS_MOST)
            except BlockingIOError:
                continue
            descriptors += more
            if not data:
                break
            for message in messages.put(data):
                reply = service.answer(message, descriptors)
                if reply is not None:
                    _send(link, reply.render(), waiter, waiter.clock() + idle)
    except OSError as error:
        raise LinkError(f"the client's link failed: {error}") from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        service.close()
    if messages.inside:
        raise LinkError("the client closed the link inside a message")


def _send(link: socket.socket, data: bytes, waiter: Waiter, deadline: float) -> None:
    """Send all of it."""
    left = memoryview(data)
    while left:
        with suppress(BlockingIOError):
            left = left[link.send(left) :]
            continue
        waiter.until(link.fileno(), WRITE, deadline, "the client to take a reply")
