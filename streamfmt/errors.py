"""All exceptions that leave the module they are raised in, in one tree::

Exception
|-- StreamError              the input is to blame
|   |-- NotAStreamError      it is something else, or nothing
|   |-- TruncatedError       it ends too early
|   |-- MalformedError       it cannot be read as what it should be
|   |-- LimitError           it is larger than the caller takes
|   |-- RefusedError         it breaks a rule, and is not to be converted
|   |-- UnfitError           it has what cannot be converted
|   |-- UnplayableError      it cannot be sent as it is stored
|   `-- DamagedError         its compression is damaged
|       `-- UnopenedError    or takes more memory than we give, or a dictionary
|-- UnreadableError          the system does not give the input
|-- UnwritableError          the system does not take the output
|-- TerminatedError          SIGTERM has come (a KeyboardInterrupt, in fact)
|-- StarvedError             nothing has arrived yet
|-- RecipeError              a recipe is wrong
|-- CorpusError              a file of the corpus is
|-- MissingPeerError         a program to compare with is not installed
|-- UnrunnableError          a target of fuzzing cannot be run
|   `-- UnendingError        or has started what cannot be ended
|-- MigrationError           a running guest could not be moved
|   |-- LinkError            a link cannot be made, or failed
|   |-- LateError            something did not happen in time
|   |-- PeerError            the other side refuses, or speaks something else
|   |   `-- StoreError       xenstore refuses a request
|   |-- GuestError           a guest cannot be made here, or not be filled with this state
|   |   `-- DeviceError      a device refuses a request, or what it gives breaks a rule
|   |-- TooFastError         the guest writes faster than the link takes
|   |-- CancelledError       it was given up because somebody asked for it
|   `-- InDoubtError         the link failed when both sides could have the guest
`-- ValueError               the caller is to blame
    |-- FieldError           a value that cannot be written
    |-- LayoutError          bytes that are too few or too many for a layout
    |-- BreachError          what is to be written breaks a rule
    |-- SpecError            a target that is written wrongly
    `-- SchemaError          a declaration that no layout can express
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .checks.findings import Finding
    from .reader.identify import Identity


class StreamError(Exception):
    """The input is at fault: the parent of all such errors."""


class NotAStreamError(StreamError):
    """The data at `offset` cannot be read; `identity` says what it is instead."""

    def __init__(self, identity: Identity, offset: int) -> None:
        super().__init__(identity, offset)
        self.identity = identity
        self.offset = offset

    def __str__(self) -> str:
        hint = f"; {self.identity.hint}" if self.identity.hint else ""
        return f"at offset {self.offset}: {self.identity.name} ({self.identity.evidence}){hint}"


class TruncatedError(StreamError):
    """The stream ends at `offset`, inside `what`; at least `missing` bytes more belong there."""

    def __init__(self, offset: int, what: str, missing: int) -> None:
        super().__init__(offset, what, missing)
        self.offset = offset
        self.what = what
        self.missing = missing

    def __str__(self) -> str:
        more = "1 more byte belongs" if self.missing == 1 else f"{self.missing:,} more bytes belong"
        return f"the input ends at {self.offset}, inside {self.what}; at least {more} there"


class MalformedError(StreamError):
    """The data at `offset` has a wrong form."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(offset, message)
        self.offset = offset
        self._message = message

    def __str__(self) -> str:
        return f"at offset {self.offset}: {self._message}"


class LimitError(StreamError):
    """The record at `offset` has `size` bytes or entries, more than the caller's `limit`; nothing else is wrong."""

    def __init__(self, offset: int, unit: str, size: int, limit: int) -> None:
        super().__init__(offset, unit, size, limit)
        self.offset = offset
        self.size = size
        self.limit = limit
        self._unit = unit

    def __str__(self) -> str:
        return f"at offset {self.offset}: {self.size:,} {self._unit}, the limit is {self.limit:,}"


class _OfFindingError(Exception):
    """An exception about a finding; it says the clause, the offset and the finding's message."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding)
        self.finding = finding

    def __str__(self) -> str:
        found = self.finding
        return f"{found.clause} at {found.offset}: {found.message}"


class RefusedError(_OfFindingError, StreamError):
    """A stream that breaks a rule, which `finding` is about, cannot be converted."""


class UnfitError(StreamError):
    """What the stream has at `offset` cannot be said in another form, by that `rule` of converting."""

    def __init__(self, rule: str, offset: int) -> None:
        super().__init__(rule, offset)
        self.rule = rule
        self.offset = offset

    def __str__(self) -> str:
        return f"at offset {self.offset}: {self.rule}"


class UnplayableError(StreamError):
    """A stored stream that cannot be sent to a receiver; the message says why."""


class DamagedError(StreamError):
    """The compressed data around the stream is damaged or truncated."""


class UnopenedError(DamagedError):
    """The compressed data may be sound, but needs more memory than allowed, or a dictionary."""


class UnreadableError(Exception):
    """Reading failed; the message is the system's.  No OSError, so that a consumer's own are not taken for it."""


class UnwritableError(Exception):
    """Writing failed; the message is the system's."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM has come: what ends at Ctrl-C ends, with a status of its own."""


class StarvedError(Exception):
    """Nothing has arrived yet; `wanted` bytes at most are good for now.  Give some, and try again."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class RecipeError(Exception):
    """What is wrong with a recipe: `line` counts from 1, `key` is the place in it, empty for the file as a whole."""

    def __init__(self, file: str, line: int, key: str, message: str) -> None:
        super().__init__(file, line, key, message)
        self.file = file
        self.line = line
        self.key = key
        self.message = message

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {f'{self.key}: ' if self.key else ''}{self.message}"
        return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


class CorpusError(Exception):
    """A file of the corpus is not what it has to be."""


class MissingPeerError(Exception):
    """A program to compare with, which is named, is not installed."""

    def __str__(self) -> str:
        return f"{self.args[0]} is missing (make peers)"


class UnrunnableError(Exception):
    """A target that cannot be run at all."""


class UnendingError(UnrunnableError):
    """A target has started processes that cannot be ended."""


class MigrationError(Exception):
    """A running guest could not be moved: the parent of all such errors."""


class LinkError(MigrationError):
    """A link cannot be made, or failed."""


class LateError(MigrationError):
    """What was waited for did not happen in time; the message says what that was."""


class PeerError(MigrationError):
    """The other side refuses, or speaks something else."""


class OversizeError(PeerError):
    """The other side claims a length that nothing it could send has."""


class StoreError(PeerError):
    """Xenstore refuses a request; `name` is its error, such as "ENOENT", `what` the request."""

    def __init__(self, name: str, what: str = "") -> None:
        super().__init__(name, what)
        self.name = name
        self.what = what

    def __str__(self) -> str:
        return f"xenstore answers {self.name} to {self.what}" if self.what else self.name


class GuestError(MigrationError):
    """A guest cannot be made here, or not be filled with this state."""


class DeviceError(GuestError):
    """A device refuses a request, or gives what breaks a rule: that of `clause`."""

    def __init__(self, clause: str, message: str) -> None:
        super().__init__(clause, message)
        self.clause = clause

    def __str__(self) -> str:
        return f"{self.clause}: {self.args[1]}"


class TooFastError(MigrationError):
    """The guest writes faster than the link takes, and that is not to be waited for."""


class CancelledError(MigrationError):
    """Somebody asked for the end."""


class TakenOverError(MigrationError):
    """The standby has the guest; the copy here stands, and must not run again."""


class InDoubtError(MigrationError):
    """The link failed after the guest was handed over, and before the other side said that it runs."""


class FieldError(ValueError):
    """A value that does not fit its field, which `field` names."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class LayoutError(ValueError):
    """The bytes are too few or too many for the layout; `at` is where in them that shows."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class BreachError(_OfFindingError, ValueError):
    """Data to be written breaks a rule: `finding` says which, and at which offset."""


class SpecError(ValueError):
    """A target that is written wrongly."""


class SchemaError(ValueError):
    """The declaration at `path` cannot be had in a schema, for that `reason`; `file` is where it stands, if known."""

    def __init__(self, path: str, reason: str, file: str = "") -> None:
        super().__init__(path, reason, file)
        self.path = path
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.reason}" if self.file else f"{self.path}: {self.reason}"
