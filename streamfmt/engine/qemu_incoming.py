"""A migration of QEMU as it comes in: read by our own reader, judged on the way, its commands answered.

QEMU's streams do not say where they end for a reader of sockets: after the end a description may follow, and a sender
that waits for an answer keeps the link open.  So what follows the end is only waited for a short time.
Sources: QEMU migration/savevm.c (loadvm_process_command, qemu_loadvm_state), migration/migration.c.
"""

from __future__ import annotations

from typing import Protocol

from .. import tables
from ..api import identify
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..errors import LateError, LinkError, PeerError
from ..reader.both import Both
from ..reader.events import Body, Layer, Record, Run, Sink
from ..reader.qemu_sizes import size_of
from ..reader.reader import Reader
from ..schema.qemu_stream import COMMANDS
from .qemu_link import Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.pump import Program

# Seconds in which the description begins to come after the end, if it does: QEMU writes both together.
DESCRIPTION = 2.0
# What the stream is read as; and how many of its first bytes are looked at to say what it is instead.
FORM, _HEAD = "qemu", 4096
# What of a broken stream's findings a message has.
_SHOWN = 3
# A stream that leaves memory out is no whole guest, though each of its frames is sound.
_WHOLE = "QEMU-RAM-COVER"
_COMMAND = size_of("COMMAND", 0)
# What a part of the memory consists of in which there is nothing.
_EMPTY = frozenset((tables.QEMU_SECTION_PART, tables.QEMU_RAM_EOS, tables.QEMU_SECTION_FOOTER))
# Commands that only a receiver understands which takes part in more than a migration.
_OTHER = frozenset(COMMANDS[name] for name in ("ENABLE_COLO", "POSTCOPY_RESUME", "RECV_BITMAP"))


_IDLE = (
    "the sender has sent nothing of its guest for {:g} seconds; if it waits for word that the devices are ready here, "
    "ask for that (switchover-ack)"
)


class Follower(Sink):
    """Follows the frames of the stream: what a receiver does about them, beside judging.

    :param ready: whether to tell the sender that the devices are ready for the guest's stop, once all parts of the
        stream have begun: a sender with the capability switchover-ack waits for that.
    """

    answering = True

    def __init__(self, link: Receiver, ready: bool = False) -> None:
        self._link = link
        self._ready = ready
        self.over = False
        self.described = -1
        # Whether anything has come since that was last asked but parts of the memory with nothing in them.
        self.moved = False
        # Where the next bytes go that the reader lets go by, as far as it is long; None if nobody wants them.
        self.place: memoryview | None = None

    def pages(self, run: Run) -> None:
        self.moved = True

    def record(self, record: Record) -> Program | None:
        self.moved = self.moved or record.type not in _EMPTY
        if record.type == tables.QEMU_COMMAND:
            return self._command(Body(self.window, record))
        if record.type == tables.QEMU_VMDESCRIPTION:
            self.described = record.end
        elif record.type == tables.QEMU_SECTION_PART and self._ready and self._link.opened:
            self._ready = False
            self._link.answer("SWITCHOVER_ACK")
        return None

    def ended(self, layer: Layer, at: int) -> None:
        self.over = True

    def _command(self, body: Body) -> Program:
        """Program that carries out a command."""
        raw = yield from body.take(_COMMAND)
        kind = int.from_bytes(raw[:2], "big")
        if kind == tables.QEMU_OPEN_RETURN_PATH:
            self._link.open()
        elif kind == tables.QEMU_PING and body.left == 4:
            data = yield from body.take(4)
            if len(data) == 4 and self._link.opened:
                self._link.answer("PONG", int.from_bytes(data, "big"))
        elif kind in _OTHER:
            name = tables.QEMU_COMMANDS[kind]
            raise PeerError(f"at offset {body.record.offset}: the sender asks for {name}, which is not offered here")


class Tap(Protocol):
    """Who gets the bytes as they come."""

    def write(self, data: memoryview) -> None:
        """These bytes; they stay as they are only until it returns."""


class Incoming:
    """Reads one migration from a link.

    :param follower: what is done about its frames.
    :param tap: gets the bytes as they come.
    """

    def __init__(self, link: Receiver, follower: Follower, tap: Tap | None = None, strict: bool = False) -> None:
        self._link = link
        self._follower = follower
        self._tap = tap
        self._strict = strict
        self._verifier = Verifier()
        # Not identified by the reader, which would look farther ahead than a sender goes that waits for an answer.
        self._reader = Reader(Both(self._verifier, follower), FORM)
        self._head = b""
        self._cut = False

    def read(self) -> Outcome:
        """Read all of it; returns what the verifier says of it.

        :raises PeerError: it is no migration of QEMU, or breaks a rule.
        :raises LinkError: the link failed, or ended too early.
        :raises LateError: nothing came for too long.
        """
        try:
            self._pump()
        finally:
            self._reader.close()
        outcome = Outcome(self._reader, self._verifier, self._strict)
        found = outcome.findings
        if self._cut and not self._follower.over:
            where = f", {self._verifier.stopped[1]}" if self._verifier.stopped is not None else ""
            raise LinkError(f"the sender closed the link after {outcome.size:,} bytes{where}")
        if not outcome.conforms:
            wrong = [f"{each.clause} at {each.offset}: {each.message}" for each in found if each.severity == "error"]
            raise PeerError(f"what the sender sends is not sound: {'; '.join(wrong[:_SHOWN]) or outcome.describe()}")
        missing = [each.message for each in found if each.clause == _WHOLE]
        if missing:
            raise PeerError(f"the sender leaves memory out: {missing[0]}")
        return outcome

    def _pump(self) -> None:
        pump, window, follower = self._reader.pump, self._reader.window, self._follower
        scratch = memoryview(bytearray(1 << 16))
        limit = self._link.deadline()
        while want := pump.run():
            self._look()
            if follower.over and 0 <= follower.described <= window.position:
                break
            if follower.moved:
                follower.moved = False
                limit = self._link.deadline()
            elif self._link.waiter.clock() > limit:
                raise LateError(_IDLE.format(self._link.patience))
            if want > 0:
                room = window.room()
            else:
                place = follower.place
                room = scratch[:-want] if place is None else place
            count = self._some(room)
            if not count:
                self._cut = True
                break
            if len(self._head) < len(tables.QEMU_MAGIC):
                self._head = bytes(room[:count])[:_HEAD] if not self._head else self._head + bytes(room[:count])
                self._look()
            if self._tap is not None:
                self._tap.write(room[:count])
            if want > 0:
                window.hi += count
            else:
                pump.skip(count)
                follower.place = room[count:] if place is not None and count < len(place) else None
        pump.end()

    def _some(self, room: memoryview) -> int:
        """Read some bytes; 0 if no more are to come."""
        link, follower = self._link, self._follower
        link.flush()
        if not follower.over or follower.described >= 0:
            return link.receive(room, "more of the stream")
        try:
            return link.receive(room, "the description", link.waiter.clock() + DESCRIPTION)
        except LateError:
            return 0

    def _look(self) -> None:
        """Give up a stream that is something else, or broken, as soon as that is known."""
        if self._head and not tables.QEMU_MAGIC.startswith(self._head[: len(tables.QEMU_MAGIC)]):
            found = identify(self._head)
            raise PeerError(f"the sender sends no migration of QEMU, but {found.description} ({found.evidence})")
        findings = self._verifier.findings
        if len(findings.counts) and findings.number("error"):
            kept = next(each for each in findings.kept if each.severity == "error")
            raise PeerError(f"what the sender sends breaks {kept.clause} at {kept.offset}: {kept.message}")
