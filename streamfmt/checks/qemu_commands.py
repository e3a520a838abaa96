"""Checks of QEMU's commands."""

from __future__ import annotations

from .. import tables
from .messages import count, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .qemu import Checks

_BLOCK = "QEMU-CMD-BLOCK"
# Names of blocks that a finding has.
_NAMES = 4
_FIXED = tables.SIZES["qemu.COMMAND"]
# What has to have come before: how far post-copy is, and how far it is then; None if nothing changes.
_NONE, _ADVISED, _LISTENING, _RUNNING = range(4)
_STATES = {
    tables.QEMU_POSTCOPY_ADVISE: ((_NONE,), _ADVISED),
    tables.QEMU_POSTCOPY_RAM_DISCARD: ((_ADVISED,), _ADVISED),
    tables.QEMU_POSTCOPY_LISTEN: ((_ADVISED,), _LISTENING),
    tables.QEMU_POSTCOPY_RUN: ((_LISTENING,), _RUNNING),
}
_SAYS = ("post-copy has not been announced", "it is announced", "the receiver listens", "the guest runs there")
# The least data that a list of pages to be thrown away has.
_DISCARD_MIN = 1 + 1 + 1 + 2 * 8


def command(checks: Checks, body: Body) -> Program:
    """Program that judges a command: it is known, has data of its length, and comes in its turn."""
    record = body.record
    raw = yield from body.take(_FIXED)
    if len(raw) < _FIXED:
        return
    kind, length = int.from_bytes(raw[:2], "big"), int.from_bytes(raw[2:], "big")
    name = tables.QEMU_COMMANDS.get(kind)
    context = checks.context
    if name is None:
        most = max(tables.QEMU_COMMANDS)
        message = f"command {kind} is not known"
        context.report_field("QEMU-CMD-RANGE", record, "command", message, f"1 to {most}", kind)
        return
    if checks.target is not None:
        checks.target.command(record, kind)
    lengths = tables.QEMU_COMMAND_LENGTHS.get(kind)
    short = kind == tables.QEMU_POSTCOPY_RAM_DISCARD and length < _DISCARD_MIN
    if short or (lengths is not None and length not in lengths):
        expected = f"at least {_DISCARD_MIN}" if short else " or ".join(map(str, lengths or ()))
        message = f"{name} has {count(length, 'byte')} of data, expected {expected}"
        context.report_field("QEMU-CMD-LEN", record, "length", message, expected, length)
    elif kind in _DATA:
        yield from _DATA[kind](checks, body)
    checks.switched = checks.switched or kind == tables.QEMU_SWITCHOVER_START
    if kind == tables.QEMU_OPEN_RETURN_PATH:
        checks.opened = True
    elif kind == tables.QEMU_PING and not checks.opened:
        context.report("QEMU-CMD-PING-RP", record, "a PING, and no way has been opened for the answer", field="command")
    elif kind in _STATES:
        states, then = _STATES[kind]
        if checks.post not in states:
            message = f"{name} comes, and {_SAYS[checks.post]}"
            context.report_field("QEMU-CMD-STATE", record, "command", message, _SAYS[states[0]], _SAYS[checks.post])
        elif then == _RUNNING:
            message = "the guest ran at the receiver from here on, and asked for pages that had not come (post-copy)"
            context.report_field("QEMU-POSTCOPY", record, "command", message)
        checks.post = max(then, checks.post)


def package(checks: Checks, record: Record) -> None:
    """Report frames of a package that do not end where it does, or that nothing there ends."""
    beyond = checks.facts.beyond
    how = f"{count(abs(beyond), 'byte')} {'beyond' if beyond > 0 else 'before'}" if beyond else "with no EOF at"
    message = f"the frames of the package have ended {how} its end"
    clause = "QEMU-CMD-PACKAGE" if checks.facts.open else "QEMU-CMD-PACKAGED"
    checks.context.report(clause, record, message, expected="the end of a frame that is EOF", actual=how)


def _packaged(checks: Checks, body: Body) -> Program:
    """Program that judges a package's beginning: it holds frames, and is in no other."""
    at, length = body.at, body.left
    size = yield from body.take(length)
    if len(size) < length:
        return
    if not any(size):
        message, expected, actual = "the package is empty, and nothing in it says that it ends", "at least 1", "0"
    elif checks.facts.package >= 0:
        message = "a package inside another: loaders look for its frames after the outer one"
        expected, actual = "no package in a package", "a package"
    else:
        return
    checks.context.report(
        "QEMU-CMD-PACKAGE",
        body.record,
        message,
        offset=at,
        length=length,
        field="data",
        expected=expected,
        actual=actual,
    )


def _bitmap(checks: Checks, body: Body) -> Program:
    """Program that judges which block's bitmap a command asks for: all of its data are a name."""
    yield from _block(checks, body, body.left)


def _discard(checks: Checks, body: Body) -> Program:
    """Program that judges which block a command gives up pages of: a version, a name and a zero, then the pages."""
    at, version = body.at, (yield from body.take(1))
    if any(version):
        message = f"pages are given up in version {version[0]}, and there is only 0"
        checks.context.report(
            _BLOCK, body.record, message, offset=at, length=1, field="data", expected=0, actual=version[0]
        )
        return
    yield from _block(checks, body, 0)


def _block(checks: Checks, body: Body, whole: int) -> Program:
    """Program that judges a counted name: it is of a block that has come, and of `whole` bytes with its length or 0."""
    at = body.at
    raw = yield from body.take(1)
    raw += yield from body.take(raw[0] if raw else 0)
    name, known = raw[1:], checks.facts.blocks
    # A name ends at a zero for QEMU; which blocks there are is not known where no list of them came.
    if not name or len(name) != raw[0] or (whole and len(raw) != whole):
        message = "the name of a block is empty, or not as long as it says"
    elif known and name.partition(b"\0")[0] not in known:
        message = f"{shown(name)!r} is no block of the memory"
    else:
        return
    expected = ", ".join(map(shown, list(known)[:_NAMES])) or "a block's name"
    length = max(len(raw), 1)
    checks.context.report(
        _BLOCK, body.record, message, offset=at, length=length, field="data", expected=expected, actual=shown(name)
    )


# What commands have data for that is judged.
_DATA: dict[int, Callable[[Checks, Body], Program]] = {
    tables.QEMU_PACKAGED: _packaged,
    tables.QEMU_RECV_BITMAP: _bitmap,
    tables.QEMU_POSTCOPY_RAM_DISCARD: _discard,
}
