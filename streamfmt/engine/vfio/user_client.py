"""A device of v2 at the other end of a vfio-user socket, to which it is what a driver here would be.

Source: libvfio-user docs/vfio-user.rst.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from contextlib import suppress

from ...errors import DeviceError, LinkError, PeerError
from ...schema import vfio, vfio_user
from .. import frames as sets
from ..waiting import READ, WRITE, Waiter
from .device import PAGE
from .states import Session
from .user_messages import Message, Messages

PATIENCE = 30.0
_REFUSED, _DATA = "VFIO-USER-REFUSED", "VFIO2-DATAFD"
_NUMBERS = {name: number for name, (number, _) in vfio.V2_STATES.items()}
_STATES = {number: name for name, number in _NUMBERS.items()}


class RemoteDevice:
    """A device that a server has; `flags` are what it can do.

    :param patience: seconds in which each answer has to come.
    :raises PeerError: the server is of another version, or says what means nothing; LinkError, LateError: the link's.
    """

    def __init__(self, link: socket.socket, waiter: Waiter, patience: float = PATIENCE) -> None:
        self._link, self._waiter, self._patience = link, waiter, patience
        link.setblocking(False)
        self._messages = Messages()
        self._came: deque[Message] = deque()
        self._number = 0
        self._transfer = self._greet()
        (self.flags,) = vfio_user.MIGRATION.unpack(self._feature("MIGRATION", vfio.GET, room=vfio_user.MIGRATION.size))
        # Whether a read of pre-copy has found nothing: nobody says how much there was at its beginning.
        self._first = True

    def _greet(self) -> int:
        """Say the version; returns how many bytes of data a message may have."""
        text = json.dumps(
            {"capabilities": {"max_data_xfer_size": vfio_user.TRANSFER, "migration": {"pgsize": PAGE}}}
        ).encode()
        said = vfio_user.VERSION.pack(vfio_user.MAJOR, vfio_user.MINOR) + text + b"\0"
        reply = self._ask("VERSION", said)
        if len(reply) < vfio_user.VERSION.size or vfio_user.VERSION.unpack_from(reply)[0] != vfio_user.MAJOR:
            raise PeerError("the server is of another version of vfio-user")
        try:
            found = json.loads(reply[vfio_user.VERSION.size :].rstrip(b"\0") or b"{}")
            most = found.get("capabilities", {}).get("max_data_xfer_size", vfio_user.TRANSFER)
        except (ValueError, AttributeError, RecursionError):
            raise PeerError("the server says what it can in another way than the protocol has it") from None
        if not isinstance(most, int) or most <= 0:
            raise PeerError(f"the server takes messages of {most} bytes of data")
        return min(most, vfio_user.TRANSFER)

    # -- messages ------------------------------------------------------------------------------------------------------

    def _ask(self, command: str, body: bytes, descriptors: tuple[int, ...] = (), clause: str = _REFUSED) -> bytes:
        """Send a command, and return what the reply has.

        :raises DeviceError: the server refuses it, by `clause` most likely; PeerError: it answers something else.
        """
        self._number = self._number + 1 & 0xFFFF
        deadline = self._waiter.clock() + self._patience
        self._send(Message(self._number, command, body).render(), descriptors, deadline)
        while not self._came:
            self._receive(deadline, command)
        reply = self._came.popleft()
        if not reply.reply or reply.number != self._number or reply.command != command:
            raise PeerError(f"the server answers {command} with {reply.command} {reply.number}")
        if reply.error:
            raise DeviceError(clause, f"the server refuses {command}: {os.strerror(reply.error)}")
        return reply.body

    def _send(self, data: bytes, descriptors: tuple[int, ...], deadline: float) -> None:
        left = memoryview(data)
        try:
            while left:
                with suppress(BlockingIOError):
                    sent = socket.send_fds(self._link, [left], descriptors) if descriptors else self._link.send(left)
                    left, descriptors = left[sent:], ()
                    continue
                self._waiter.until(self._link.fileno(), WRITE, deadline, "the server to take a command")
        except OSError as error:
            raise LinkError(f"the server's link failed: {error}") from error

    def _receive(self, deadline: float, command: str) -> None:
        self._waiter.until(self._link.fileno(), READ, deadline, f"the server's answer to {command}")
        try:
            data = self._link.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkError(f"the server's link failed: {error}") from error
        if not data:
            raise LinkError(f"the server closed the link instead of answering {command}")
        self._came += self._messages.put(data)

    def _feature(self, name: str, asked: int, data: bytes = b"", room: int = 0, clause: str = _REFUSED) -> bytes:
        """Ask for a feature; returns what it has."""
        size = vfio_user.FEATURE.size
        head = vfio_user.FEATURE.pack(size + max(room, len(data)), vfio.FEATURES[name] | asked)
        reply = self._ask("DEVICE_FEATURE", head + data, clause=clause)
        if len(reply) < size + room:
            raise PeerError(f"the server's answer about {name} has {len(reply)} bytes, not {size + room}")
        return reply[size : size + room] if room else reply[size:]

    # -- what a driver is ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state the device is in, which is asked for each time."""
        number, _ = vfio_user.STATE.unpack(self._feature("MIG_DEVICE_STATE", vfio.GET, room=vfio_user.STATE.size))
        if number not in _STATES:
            raise PeerError(f"the server's device is in state {number}, which is none")
        return _STATES[number]

    def set_state(self, state: str) -> Session | None:
        """Have it go to a state."""
        before = self.state
        self._feature("MIG_DEVICE_STATE", vfio.SET, vfio_user.STATE.pack(_NUMBERS[state], -1), clause="VFIO2-ARC")
        self._first = self._first or not state.startswith("PRE_COPY")
        steps = vfio.way(before, state, self.flags) or ()
        return Session() if vfio.OPENS in (effect for _, effect in steps) else None

    def read(self, session: Session, size: int) -> bytes | None:
        """Read some of the session."""
        size = min(size, self._transfer)
        head = vfio_user.MIG_DATA.size
        reply = self._ask("MIG_DATA_READ", vfio_user.MIG_DATA.pack(head + size, size), clause=_DATA)
        if len(reply) < head:
            raise PeerError("the server's answer with data is cut")
        length = vfio_user.MIG_DATA.unpack_from(reply)[1]
        if length > size or len(reply) < head + length:
            raise PeerError(
                f"the server says that it gives {length:,} bytes of {size:,}, and gives {len(reply) - head:,}"
            )
        if length:
            return reply[head : head + length]
        if self.state.startswith("PRE_COPY"):
            self._first = False
            return None
        return b""

    def write(self, session: Session, data: bytes) -> None:
        """Write more of the session."""
        for at in range(0, len(data), self._transfer):
            some = data[at : at + self._transfer]
            head = vfio_user.MIG_DATA.pack(vfio_user.MIG_DATA.size + len(some), len(some))
            self._ask("MIG_DATA_WRITE", head + some, clause=_DATA)

    def precopy(self) -> tuple[int, int]:
        """Whether there are still first data: the protocol has no question about how much there is."""
        return int(self._first), 0

    def stop_copy_length(self) -> int:
        """About how many bytes there will be; as many as go at once, if the server does not say."""
        try:
            found = self._feature("MIG_DATA_SIZE", vfio.GET, room=vfio_user.DATA_SIZE.size)
        except DeviceError:
            return vfio_user.TRANSFER
        return int(vfio_user.DATA_SIZE.unpack(found)[0])

    def log_start(self, first: int, count: int) -> None:
        """Log which of these pages it writes."""
        area = vfio_user.RANGE.pack(first * PAGE, count * PAGE)
        self._feature("DMA_LOGGING_START", vfio.SET, vfio_user.LOG_START.pack(PAGE, 1, 0) + area)

    def log_stop(self) -> None:
        """End that."""
        self._feature("DMA_LOGGING_STOP", vfio.SET)

    def log_report(self, first: int, count: int) -> int:
        """Those that it wrote since."""
        asked = vfio_user.LOG_REPORT.pack(first * PAGE, count * PAGE, PAGE)
        room = len(asked) + (count + 63) // 64 * 8
        return sets.from_bitmap(self._feature("DMA_LOGGING_REPORT", vfio.GET, asked, room)[len(asked) :])

    def reset(self) -> None:
        """Reset it."""
        self._ask("DEVICE_RESET", b"")

    # -- the rest of a device ------------------------------------------------------------------------------------------

    def map(self, descriptor: int, size: int, offset: int = 0) -> None:
        """Give it so many bytes of memory, which are 0 and what follows for it, wherever they are in the guest's."""
        flags = vfio_user.DMA_READABLE | vfio_user.DMA_WRITABLE
        body = vfio_user.DMA_MAP.pack(vfio_user.DMA_MAP.size, flags, offset, 0, size)
        self._ask("DMA_MAP", body, (descriptor,))

    def work(self, steps: int) -> None:
        """Have it do so many steps."""
        body = vfio_user.ACCESS.pack(0, vfio_user.BAR0, 4) + steps.to_bytes(4, "little")
        self._ask("REGION_WRITE", body)

    def memory(self) -> bytes:
        """All of its own memory."""
        asked = vfio_user.REGION_INFO.pack(vfio_user.REGION_INFO.size, 0, vfio_user.BAR0, 0, 0, 0)
        reply = self._ask("DEVICE_GET_REGION_INFO", asked)
        if len(reply) < vfio_user.REGION_INFO.size:
            raise PeerError("the server's answer about a region is cut")
        size, made = vfio_user.REGION_INFO.unpack_from(reply)[4], []
        for at in range(0, size, self._transfer):
            count = min(self._transfer, size - at)
            found = self._ask("REGION_READ", vfio_user.ACCESS.pack(at, vfio_user.BAR0, count))
            made.append(found[vfio_user.ACCESS.size :])
        return b"".join(made)
