"""Stored streams of QEMU on their way into a QEMU that waits for one, and devices' state as a record of its own.

A stream that was received over a socket may open the return path itself; into any other the same two commands are put
after its configuration, as QEMU does, so that the receiver answers.
Sources: QEMU migration/savevm.c (qemu_savevm_state_setup), migration/migration.c (migration_thread).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .. import tables
from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..errors import InDoubtError, LateError, LinkError, MigrationError, UnplayableError
from ..io.feed import Feed
from ..io.outputs import write_all
from ..reader.both import Both
from ..reader.events import Body, Layer, Record, Sink
from ..reader.reader import Reader
from ..schema import qemu_stream as schema
from ..writer import qemu
from .framing_qemu import GLOBAL_STATE, LOADED, PING, ping, render
from .interface import End
from .orders import Orders
from .pace import Pace
from .qemu_incoming import FORM
from .qemu_link import PATIENCE, Sender
from .qemu_sections import Sections
from .qemu_sending import Events, nobody
from .waiting import Waiter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.pump import Program

# Bytes that are given to the link at a time.
_PIECE = 1 << 20
_OPENS = schema.COMMANDS["OPEN_RETURN_PATH"]
_RUNS = schema.COMMANDS["POSTCOPY_RUN"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a stored stream.

    `configured` is where its configuration ends, and `ending` where its end begins; `opened` says whether it opens the
    return path, and `postcopy` whether it ends in post-copy, in which a receiver asks for pages.
    """

    size: int
    configured: int
    ending: int
    opened: bool
    postcopy: bool


class _Look(Sections):
    """Finds where the configuration of a stream ends, what commands it has, and the state of its devices."""

    def __init__(self) -> None:
        super().__init__()
        self.configured = self.ending = 0
        self.commands: set[int] = set()
        self._over = False

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[object]) -> None:
        self.configured = at + len(raw)

    def ended(self, layer: Layer, at: int) -> None:
        self.ending = at - layer.header_size

    def record(self, record: Record) -> Program | None:
        if record.type == tables.QEMU_COMMAND:
            self._over = True
            return self._command(Body(self.window, record))
        if record.type in (tables.QEMU_CONFIGURATION, tables.QEMU_SUBSECTION) and not self._over:
            self.configured = record.end
        else:
            self._over = True
        return super().record(record)

    def _command(self, body: Body) -> Program:
        self.commands.add(int.from_bytes((yield from body.take(2)), "big"))


def _judged(path: str | os.PathLike[str], sink: Sink) -> Outcome:
    """What the verifier says of the stream in a file, which `sink` has seen.

    :raises UnplayableError: it is none of QEMU's, or does not conform; OSError: it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        begins = file.read(len(tables.QEMU_MAGIC))
    if begins != tables.QEMU_MAGIC:
        raise UnplayableError(f"{name} does not begin as QEMU's streams do; streamfmt identify says what it is")
    verifier = Verifier()
    reader = Reader(Both(verifier, sink), FORM)
    feed = Feed(path, reader)
    try:
        feed.drive(reader.pump)
    finally:
        feed.close()
        reader.close()
    outcome = Outcome(reader, verifier)
    if not outcome.conforms:
        raise UnplayableError(f"{name} does not conform: {outcome.findings[0].message}")
    return outcome


def look(path: str | os.PathLike[str]) -> Stored:
    """What is known of the stream in a file, once it has been judged.

    :raises UnplayableError: it is no migration, does not conform, or has pages in places of a file.
    :raises OSError: it cannot be read.
    """
    found = _Look()
    outcome = _judged(path, found)
    facts = outcome.verifier.layers[0].facts
    name = os.fspath(path)
    if not facts.blocks:
        raise UnplayableError(f"{name} has no memory: it is a record of devices, and no migration")
    if tables.QEMU_MAPPED_RAM in facts.capabilities:
        raise UnplayableError(f"{name} has its pages at places of a file (mapped-ram), which no link has")
    return Stored(outcome.size, found.configured, found.ending, _OPENS in found.commands, _RUNS in found.commands)


def play(
    path: str | os.PathLike[str],
    end: End,
    waiter: Waiter,
    *,
    return_path: bool = True,
    orders: Orders | None = None,
    patience: float = PATIENCE,
    events: Events = nobody,
) -> int:
    """Send a stored stream to a QEMU that waits for one; returns how many bytes were sent.

    :param return_path: whether the receiver has to say that it has loaded it; a stream that opens the return path
        itself has it in any case.
    :raises UnplayableError: the stream cannot be sent; OSError: it cannot be read.
    :raises PeerError: the receiver cannot load it; LinkError: the link failed; LateError: the receiver does nothing.
    :raises InDoubtError: the receiver has all of it, and nothing said whether it could load it.
    """
    stored = look(path)
    orders = orders or Orders()
    pace = Pace(orders.speed, waiter.clock)
    link = Sender(end, waiter, patience, pages=stored.postcopy, pace=pace, check=orders.check)
    answered = stored.opened or return_path
    began = waiter.clock()
    with _mapped(path) as view:
        try:
            link.send([view[: stored.configured]])
            if answered and not stored.opened:
                link.send([opening()])
            for at in range(stored.configured, stored.ending, _PIECE):
                orders.check()
                pace.limit = orders.speed
                link.send([view[at : min(at + _PIECE, stored.ending)]])
            if answered:
                # Until the end is sent nothing runs there, whatever becomes of the link.
                link.send([render(ping(LOADED))])
                link.wait_for(lambda: LOADED in link.pongs, "word that memory and devices are loaded")
        except MigrationError:
            end.finish()
            raise
        _ended(link, view[stored.ending :], answered)
    events({"event": "sent", "seconds": round(waiter.clock() - began, 6), "bytes": link.sent})
    events({"event": "moved", "seconds": round(waiter.clock() - began, 6)})
    return link.sent


def opening() -> bytes:
    """The two commands that open the return path."""
    return render(qemu.command("OPEN_RETURN_PATH"), ping(PING))


@contextmanager
def _mapped(path: str | os.PathLike[str]) -> Iterator[memoryview]:
    """What a file has; it is let go of when nobody looks at it any more, as an error may."""
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = memoryview(mapped)
    try:
        yield view
    finally:
        with suppress(BufferError):
            view.release()
            mapped.close()


def _ended(link: Sender, ending: memoryview, answered: bool) -> None:
    """Send the end, and wait until the receiver says that it has loaded the stream, or at least has read all of it."""
    link.committed()
    try:
        link.send([ending])
        if answered:
            link.wait_for(lambda: link.shut is not None, "word that the stream is loaded")
            with suppress(MigrationError):
                link.finished()
        else:
            link.finished()
    except (LinkError, LateError) as error:
        raise InDoubtError(f"all was sent, and nothing said whether it was loaded: {error}") from error


# -- devices ----------------------------------------------------------------------------------------------------------


def devices(path: str | os.PathLike[str]) -> tuple[qemu.Device, ...]:
    """The devices in a stored stream, or in a record of devices, but for the state that the machine was in.

    :raises UnplayableError: it is none of QEMU's, or does not conform; OSError: it cannot be read.
    """
    found = _Look()
    _judged(path, found)
    return found.rows


def store_devices(path: str | os.PathLike[str], rows: Sequence[qemu.Device]) -> None:
    """Write devices' state as a record with footers, as xen-save-devices-state does outside Xen.  Raises OSError."""
    write_all(path, [qemu.device_record([row for row in rows if row.name != GLOBAL_STATE], footers=True).render()])
