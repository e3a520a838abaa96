"""Checks of QEMU's commands."""

from __future__ import annotations

from .. import tables
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .qemu import Checks

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
    """Report frames of a package that do not end where it does."""
    beyond = checks.facts.beyond
    how = f"{count(beyond, 'byte')} beyond" if beyond > 0 else f"{count(-beyond, 'byte')} before"
    message = f"the frames of the package have ended {how} its end"
    checks.context.report("QEMU-CMD-PACKAGED", record, message, expected="the end of a frame", actual=how)
