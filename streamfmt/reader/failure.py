"""Why an input was not read to its end, where the stream itself is not to blame.

What a stream breaks is a finding.  A file that is missing, compressed data that is damaged, or a person who presses
Ctrl-C is none: it leaves what was found so far unfinished, and has an exit status of its own.
"""

from __future__ import annotations

# By kind: the exit status that it costs.
STATUS = {
    "damaged": 1,
    "internal": 1,
    "unopened": 3,
    "unreadable": 3,
    "unwritable": 3,
    "memory": 3,
    "interrupted": 130,
}


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
        """Exit status: 1 for damaged input and faults of our own, 3 for what the system refuses, 130 if interrupted."""
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
