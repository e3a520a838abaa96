"""The destination's side: a guest that comes from another place, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from .. import tables
from ..errors import MigrationError, PeerError
from ..schema import xl
from ..schema.transitions import RECEIVER
from . import configuration as configurations
from . import handshake
from .configuration import Configuration
from .flow import Input, shown
from .interface import End, Guest
from .judging import Judge
from .machine import Machine
from .restorer import Converted, Restorer
from .side import All, Asked, Side

# Gives the guest that is to be filled, paused and without contents: of its image's type ("hvm" or "pv"), and what is
# known of it.  Raises GuestError.
Make = Callable[[str, Configuration], Guest]
# Seconds that saying why it ends may take, and hearing it: the other side may have gone.
_LAST_WORDS = 1.0


@dataclass(frozen=True, slots=True)
class Taking:
    """How a guest is taken: `start` lets it run if it ran before; `emulator` is where its device model's state goes.

    `inspect` is called with the guest once it is complete, and paused still; what it raises is why it is not taken.
    """

    start: bool = True
    emulator: Path | None = None
    inspect: Callable[[Guest], None] | None = None


class Restoring(Side):
    """A guest comes out of a stream, paused."""

    def __init__(self, end: End, make: Make, taking: Taking, asked: Asked) -> None:
        super().__init__(end, asked)
        self.taking = taking
        self.guest: Guest | None = None
        self.configuration: Configuration | None = None
        self._make = make

    def stream(self) -> Guest:
        """Read the whole stream; raises what ended it, and leaves no guest then."""
        judge = Judge("xl")
        try:
            config, legacy = self.head(judge)
            restorer = Restorer(
                self.input,
                lambda kind: self._make(kind, config),
                emulator=self.taking.emulator,
                converter=self._converted,
                settle=judge.settle,
            )
            self.guest = restorer.run(legacy)
        except MigrationError:
            judge.settle()  # what broke a rule says more than what came of it
            raise
        finally:
            self.input.watcher = None
            judge.close()
        self.event("received", bytes=self.input.received)
        if self.taking.inspect is not None:
            self.taking.inspect(self.guest)
        return self.guest

    def head(self, judge: Judge) -> tuple[Configuration, bool]:
        """Read the container's header, and have all of the stream judged; as :func:`read_container`."""
        watchers = All(judge, self.asked.watcher)
        self.input.patience = self.patience.progress
        head = read_head(self.input)  # who speaks something else is told so, not judged
        self.input.watcher = watchers
        watchers.see([head])
        config, legacy = read_container(head, self.input)
        self.configuration = config
        self.name = config.name + configurations.INCOMING
        self.event("begun", type=config.type, frames=config.pages)
        return config, legacy

    def _converted(self, source: Input) -> Converted:
        from .legacy import Converting  # few streams are as old, and what converts them takes its time to load

        assert self.configuration is not None
        return Converting(source, self.configuration.image, self.waiter)

    def restore(self) -> Guest:
        """Take a guest from where nobody waits for an answer; raises why there is none."""
        try:
            guest = self.stream()
            self.begin()
        except BaseException:
            self.close()
            raise
        return guest

    def begin(self) -> None:
        """Let the guest run, if it is to.  Raises GuestError."""
        assert self.guest is not None
        assert self.configuration is not None
        running = self.taking.start and not self.configuration.paused
        if running:
            self.guest.resume()
        self.name = self.configuration.name
        self.event("started", running=running, moment=self.waiter.clock())

    def close(self) -> None:
        """End the guest, if there is one."""
        if self.guest is not None:
            self.guest.close()

    def give_up(self, error: BaseException | None) -> None:
        """End the guest, and say why to the other side, if that is there.  Raises nothing."""
        self.close()
        self.event("ended", error=f"{type(error).__name__}: {error}")
        try:
            self.output.patience = _LAST_WORDS
            self.say(refusal(error))
            self.end.finish()
            self.input.drain(_LAST_WORDS)
        except MigrationError:
            pass  # the other side has gone


class Receiving(Restoring):
    """A guest comes from another place, by the table of the destination."""

    def __init__(self, end: End, make: Make, taking: Taking, asked: Asked) -> None:
        super().__init__(end, make, taking, asked)
        self.machine = Machine(RECEIVER, {name: getattr(self, f"_{name}") for name in RECEIVER.actions})

    def receive(self) -> Guest:
        """Take a guest; returns it, or raises why there is none here.

        A link that fails once the guest runs here changes nothing about that.
        """
        self.machine.happen("start")
        if self.machine.owner == "source":
            raise self.machine.error or PeerError("the guest was given up")
        assert self.guest is not None
        return self.guest

    def _receive(self) -> str:
        self.say(handshake.GREETING)
        self.stream()
        return "received"

    def _offer(self) -> str:
        self.say(handshake.READY)
        return self.await_message(self.machine, self.patience.answer)

    def _start_guest(self) -> str:
        self.begin()
        return "started"

    def _tell(self) -> str:
        self.say(handshake.answer(handshake.STARTED))
        return "reported"

    def _decline(self) -> str:
        self.close()
        self.event("declined", error=f"{type(self.machine.error).__name__}: {self.machine.error}")
        self.say(handshake.answer(handshake.NOT_STARTED))
        return "reported"

    def _end_own(self) -> str:
        self.give_up(self.machine.error)
        return ""

    def _finish(self) -> str:
        self.event("running")
        return ""


def refusal(error: BaseException | None) -> bytes:
    """What a receiver says instead of the next message, for people at the other side."""
    text = f"{type(error).__name__}: {error}" if error and str(error) else "it was interrupted or given up there"
    return f"streamfmt: {text}\n".encode("ascii", "replace")[:400]


_HEADER = Struct("<" + tables.FORMATS["xl.header"])
_LENGTH = Struct("<" + tables.FORMATS["xl.OPTIONAL_DATA"])


# What comes instead of an xl header, by its first bytes, and what to do about it.
_OTHERS = {
    b"QEVM": "a migration of QEMU's: receive it with --qemu",
    b"LibxlFmt": "libxl's stream without xl's header, which says what guest to make",
    b"\xff" * 8: "a libxc image without the headers around it, which say what guest to make",
    b"\x16\x03": "a handshake of TLS: give this side its certificates, or let the sender do without",
}


def read_head(source: Input) -> bytes:
    """An xl header.

    :raises PeerError: it is none.
    """
    magic = b""
    while len(magic) < len(xl.MAGIC) and xl.MAGIC.startswith(magic):  # who says less and waits is answered at once
        magic += source.take(1, "xl's header")
    if magic != xl.MAGIC:
        found = magic + source.last_words()
        hint = next((words for start, words in _OTHERS.items() if found.startswith(start)), "")
        raise PeerError(f"what came is no xl header, but {hint or shown(found)}")
    return magic + source.take(_HEADER.size - len(magic), "xl's header")


def read_container(head: bytes, source: Input) -> tuple[Configuration, bool]:
    """The configuration after an xl header, and whether a legacy stream follows it.

    :raises PeerError: the header is none that is taken here, or has no configuration.
    """
    _, order, flags, _, length = _HEADER.unpack(head)
    unknown = flags & ~sum(tables.XL_FLAGS.values())
    if order != tables.XL_BYTE_ORDER or unknown or length > configurations.SIZE_MAX:
        raise PeerError(f"an xl header with flags {flags:#x} and {length} bytes of configuration is not taken here")
    data = source.take(length, "the guest's configuration") if length else b""
    if len(data) < _LENGTH.size:
        raise PeerError("the stream has no configuration of the guest")
    (size,) = _LENGTH.unpack_from(data)
    return configurations.parse(data[_LENGTH.size : _LENGTH.size + size]), not flags & xl.STREAM_V2
