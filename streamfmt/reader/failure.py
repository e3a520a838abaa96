"""Why an input was not read to its end, where the stream itself is not to blame.

What a stream breaks is a finding.  A file that is missing, compressed data that is damaged, or a person who presses
Ctrl-C is none: it leaves what was found so far unfinished, and has an exit status of its own.
"""

from __future__ import annotations

from ..errors import DamagedError, TerminatedError, UnopenedError, UnreadableError, UnwritableError

# By kind: the exit status that it costs.
STATUS = {
    "damaged": 1,
    "internal": 1,
    "unopened": 3,
    "unreadable": 3,
    "unwritable": 3,
    "memory": 3,
    "interrupted": 130,
    "terminated": 143,
}
# Which error is which kind, the first that fits, and what to say of it.
_KINDS: tuple[tuple[type[BaseException], str, str], ...] = (
    (UnreadableError, "unreadable", "cannot read: {}"),
    (UnwritableError, "unwritable", "cannot write: {}"),
    (UnopenedError, "unopened", "{}"),
    (DamagedError, "damaged", "{}"),
    (MemoryError, "memory", "not enough memory"),
    (TerminatedError, "terminated", "terminated"),
    (KeyboardInterrupt, "interrupted", "interrupted"),
)


class Failure:
    """Why an input was not read to its end.

    `kind` is one of those in spec/json/verify.json, such as "damaged"; `reason` is a line of text; `offset` is how many
    bytes of the uncompressed stream came before.  Not to be changed.
    """

    __slots__ = ("kind", "offset", "reason")

    def __init__(self, kind: str, reason: str, offset: int) -> None:
        self.kind = kind
        self.reason = reason
        self.offset = offset

    def __repr__(self) -> str:
        return f"<Failure {self.kind}: {self.reason} at {self.offset}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.kind, self.reason, self.offset))

    @property
    def status(self) -> int:
        """Exit status: 1 for damaged input and our own faults, 3 for what the system refuses, 130 or 143 if stopped."""
        return STATUS[self.kind]

    @property
    def foreign(self) -> bool:
        """Whether the input is not to blame either: that is complained of, while damage is a result."""
        return self.kind != "damaged"

    def as_dict(self) -> dict[str, str | int]:
        """The failure as plain values."""
        return {"kind": self.kind, "reason": self.reason, "offset": self.offset}

    def __str__(self) -> str:
        return f"{self.reason} (after {self.offset:,} bytes of content)" if self.offset else self.reason


def failed(error: BaseException, offset: int, where: str = "") -> Failure:
    """What an input failed by, that `error` kept from being read on from `offset`; `where` begins the reason.

    An error that no input should make is a fault of our own.
    """
    for of, kind, words in _KINDS:
        if isinstance(error, of):
            return Failure(kind, where + words.format(error), offset)
    return Failure("internal", fault(error), offset)


def fault(error: BaseException) -> str:
    """What to say, in a line, of a fault of our own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2] if trace else ""
    place = f" ({file}:{trace.tb_lineno})" if trace else ""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal error, please report it: {words}{place}"
