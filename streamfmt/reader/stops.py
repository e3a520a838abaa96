"""Why reading stopped, for consumers that judge nothing: the base of those that look for something, or read items."""

from __future__ import annotations

from ..errors import MalformedError, NotAStreamError, StreamError, TruncatedError
from .events import Sink
from .registry import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .events import Layer, Record
    from .identify import Identity


class Stops(Sink):
    """A sink that knows why reading stopped: `failure`, if that was not the stream's end."""

    failure: StreamError | None = None

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        if not layer.between_checkpoints(at):
            self.failure = TruncatedError(at, what, missing)

    def oversize(self, record: Record) -> None:
        self.failure = MalformedError(
            record.offset, f"{record.name} claims {record.length} bytes, which no reader takes"
        )

    def framing_lost(self, record: Record, sample: bytes) -> None:
        self.failure = MalformedError(
            record.offset, f"no record begins here, but {sample[:16].hex(' ')}: framing is lost"
        )

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.failure = MalformedError(at, f"not a valid {layer.name} {what}, cannot continue")

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if not read:
            self.failure = NotAStreamError(identity, at)

    def finish(self, identity: Identity | None) -> None:
        """The reader has ended; `identity` is what it says the input is."""
        if self.failure is None and identity is not None and identity.key not in READ:
            self.failure = NotAStreamError(identity, 0)
