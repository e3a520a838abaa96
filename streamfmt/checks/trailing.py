"""What follows the outermost END: something that known tools leave there, another stream, or nothing known."""

from __future__ import annotations

from .. import tables
from ..reader.identify import following
from . import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layer import Checks


def judge(checks: Checks, at: int, count: int, head: bytes, zero: bool) -> None:
    """Judge `count` bytes that begin with `head` and are all zeros or not."""
    known, what = following(head, count, zero)
    row = checks.layer.row
    clause = checks.trailer if known and checks.trailer else row.trailing
    plain = checks.context.window.plain
    if plain is not None and plain[0] == at:
        what = f"they come after the {plain[1]} data, not compressed; {what}"
    message = f"{messages.follow(count, row.end or checks.last)}: {what}"
    wrong = tables.SEVERITY[clause] != "note"
    expected, actual = ("the end of the input", f"{count} bytes") if wrong else ("", "")
    checks.context.report(clause, checks.layer, message, offset=at, length=count, expected=expected, actual=actual)
