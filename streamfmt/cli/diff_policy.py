"""``streamfmt diff --policy``: what a receiving host lacks of a guest's CPU policy."""

from __future__ import annotations

from textwrap import wrap

from ..compare.policy import FORMAT, VENDOR, Lack, Policy, lacks, of_side
from ..compare.policy_files import MOST, UnfitPolicyError, is_text, read
from ..compare.side import Side
from ..errors import LimitError, UnreadableError
from ..io.sources import drive
from ..reader.failure import STATUS
from ..reader.registry import READ
from ..render.pages import number
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..io.sources import Driven, Source

_WIDTH, _COLUMN, _HEAD = 80, 34, 4096
# Numbers from here on are hexadecimal.
_LARGE = 0x10000


class _FailedError(Exception):
    """Why there is nothing to compare: the input, what is wrong with it, and the exit status."""

    def __init__(self, name: str, message: object, status: int) -> None:
        self.name = name
        self.message = message
        self.status = status
        super().__init__(name, message, status)


def run(args: argparse.Namespace) -> int:
    """Hold a guest's policy against a host's.  Returns the exit status."""
    try:
        guest, kind, description = _stream(args.a, args.form, args.guest)
        if not guest:
            raise _FailedError(args.a, "the stream has no CPU policy: there is nothing to hold against a host", 1)
        host = _host(args.policy, kind)
    except _FailedError as error:
        if args.json:
            _json(args, {"status": error.status, "stopped": f"{inputs.shown(error.name)}: {error.message}"})
        inputs.complain(error.name, error.message)
        return error.status
    found = list(lacks(guest, host, kind))
    if args.json:
        _json(args, {"status": int(bool(found)), "stopped": None, "lacks": [row.as_dict() for row in found]})
    elif args.quiet:
        print(_summary(found))
    else:
        _print(args, found, host, description)
    return int(bool(found))


def _json(args: argparse.Namespace, values: dict[str, object]) -> None:
    from json import dumps

    from ..reader.identification import named

    print(dumps({"format": FORMAT, "guest": named(args.a), "host": named(args.policy)} | {"lacks": []} | values))


def _summary(found: list[Lack]) -> str:
    count = sum(max(len(row.names), 1) for row in found)
    return f"the host lacks {number(count, 'thing', 'things')} that the guest has" if count else "the host has it all"


def _print(args: argparse.Namespace, found: list[Lack], host: Policy, description: str) -> None:
    called = f" ({host.name} policy)" if host.name else ""
    counts = f"{number(len(host.leaves), 'leaf', 'leaves')}, {number(len(host.msrs), 'MSR', 'MSRs')}"
    for head in (
        f"guest  {inputs.shown(args.a)}: {description}",
        f"host   {inputs.shown(args.policy)}: {counts}{called}",
    ):
        print("\n".join(wrap(head, _WIDTH, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False)))
    print(_summary(found))
    if found:
        print()
    for row in found:
        head = f"  {' '.join(filter(None, (row.where, row.register))):<{_COLUMN - 2}}  "
        for line in wrap(head + _words(row), _WIDTH, subsequent_indent=" " * (_COLUMN + 2), drop_whitespace=True):
            print(line)


def _words(row: Lack) -> str:
    if row.clause == VENDOR:
        return f"{row.guest} in the guest's, {row.host} in the host's; see {VENDOR}"
    if not row.names:
        return "the host has no such leaf"
    if row.limit:
        return f"{row.names[0]} {_number(row.guest)}, the host has {_number(row.host)}"
    return ", ".join(row.names)


def _number(value: int | str | None) -> str:
    return hex(value) if isinstance(value, int) and value >= _LARGE else str(value)


def _stream(name: str, form: str, guest: str | None) -> tuple[Policy, str, str]:
    """The policy in a stream, what guest's it is, and what the stream is.  Raises _FailedError."""
    side = Side(form, guest, memory=False)

    def by(pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
        side.reading(source)
        try:
            drive(pump, source, progress)
        except LimitError as error:
            side.failure = error

    with inputs.Input(name) as given:
        failure = inputs.attempt(side.reader, lambda: given.drive(side.reader.pump, given.source(side.reader), by))
        side.end()
        side.reader.close()
        identity = side.reader.identity
        if failure is not None:
            raise _FailedError(name, failure, failure.status)
        if identity is None or identity.key not in READ or not side.layers:
            raise _FailedError(name, side.failure or "there is no stream in it", 1)
        try:
            found = of_side(side)
        except UnreadableError as error:
            raise _FailedError(name, f"cannot read: {error}", STATUS["unreadable"]) from None
        finally:
            side.close()
    if not found and side.troubles:
        raise _FailedError(name, side.troubles[0], 1)
    return found, side.kind, side.description


def _host(name: str, kind: str) -> Policy:
    """A host's policy, of whatever file.  Raises _FailedError."""
    unreadable = STATUS["unreadable"]
    if name == "-":
        raise _FailedError(name, "--policy takes the name of a file", 2)
    try:
        with open(name, "rb") as file:
            data = file.read(_HEAD)
            data += file.read(MOST - _HEAD + 1) if is_text(data) else b""
    except OSError as error:
        raise _FailedError(name, f"cannot read: {error.strerror or error}", unreadable) from None
    if not is_text(data[:_HEAD]):
        found, _, _ = _stream(name, "auto", None)
        if not found:
            raise _FailedError(name, "the stream has no CPU policy to hold a guest against", unreadable)
        return found
    if len(data) > MOST:
        raise _FailedError(name, f"it has over {MOST:,} bytes: that is no host's policy", unreadable)
    try:
        return read(data, kind)
    except UnfitPolicyError as error:
        raise _FailedError(name, f"no policy: {error}", unreadable) from None
