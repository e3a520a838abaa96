"""Checks of a device model's state, in whatever carries it: that it is a record of QEMU's, and what that is."""

from __future__ import annotations

from .. import tables
from ..reader.registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.events import Body
    from ..reader.pump import Program
    from .layer import Checks

_MAGIC = tables.QEMU_MAGIC
_HEADER = tables.QEMU_RECORD_MIN - 1


def _one_more(body: Body) -> Generator[int, int, bytes]:
    """The byte that is left of a body, if it is only one; it is not consumed."""
    return body.window.head(1) if body.left == 1 and (yield from body.need(1)) else b""


def state(checks: Checks, body: Body, field: str, empty: str, form: str, whole: str) -> Program:
    """Program that judges the state that is the rest of a body.

    The clauses are for states that are `empty`, of another `form` than a record of QEMU has, or not `whole`; what is
    inside such a record has rules of its own.
    """

    def report(clause: str, message: str, at: int, length: int, expected: str, actual: str) -> None:
        checks.context.report(
            clause, body.record, message, offset=at, length=length, field=field, expected=expected, actual=actual
        )

    at, left = body.at, body.left
    if not left:
        report(empty, "the device model's state is empty", at, 0, "a record of QEMU", "0 bytes")
        return
    raw = yield from body.take(min(left, _HEADER))
    if len(raw) < min(left, _HEADER):
        return
    if not raw.startswith(_MAGIC[: len(raw)]):
        message = f"the device model's state begins {raw.hex(' ')}, which is no record of QEMU"
        report(form, message, at, len(raw), _MAGIC.decode(), raw[: len(_MAGIC)].hex(" "))
        return
    if raw + (yield from _one_more(body)) == tables.QEMU_EMPTY:
        return
    from .messages import count

    if left < _HEADER:
        message = f"the device model's state is the first {count(left, 'byte')} of a record of QEMU"
        report(form, message, at, left, f"at least {tables.QEMU_RECORD_MIN} bytes", count(left, "byte"))
        return
    if left == _HEADER:
        message = "the device model's state is the header of a record of QEMU, and no device's"
        report(whole, message, at, left, f"at least {tables.QEMU_RECORD_MIN} bytes", count(left, "byte"))
        return
    found = yield from load("checks.qemu_inner:judge")(checks, body, raw)
    if found is None or found[0].broken:
        return
    inner, stopped, other = found
    end = body.record.end
    if inner.cut:
        message = f"the device model's state ends inside {inner.cut}: it may be cut"
        report(whole, message, end, 0, "00, which ends its sections", "its end")
    elif other:
        more = count(end - stopped, "byte")
        message = f"{more} follow{'s' * (end - stopped == 1)} the 00 that ends the device model's sections"
        report(whole, message, stopped, end - stopped, "nothing", more)
