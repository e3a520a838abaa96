"""The messages of `xl migrate` around the stream, and what they mean to the side that gets them.  No input or output.

Exactly one side owns the guest at any time: the source until GO has gone, the destination once GO has come.  While GO
is on its way neither lets it run.  The tables of both sides say what every failure leads to.

Source: tools/xl/xl_migrate.c; the texts are those of :mod:`streamfmt.schema.xl_migrate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..schema import xl_migrate
from ..writer.part import header, record


def _text(name: str) -> bytes:
    part = header("xl-migrate.header") if name == "GREETING" else record(f"xl-migrate.{name}")
    return part.body("<")


# By name, in the order in which they pass; STATUS is a byte.
NAMES = ("GREETING", *(row.name for row in xl_migrate.MESSAGES))
STATUS = "STATUS"
MESSAGES = {name: _text(name) for name in NAMES if name != STATUS}
GREETING, READY, GO = MESSAGES["GREETING"], MESSAGES["READY"], MESSAGES["GO"]
REPORT, GIVE_BACK = MESSAGES["REPORT"], MESSAGES["GIVE_BACK"]
STARTED, NOT_STARTED = 0, xl_migrate.OWN_FAILURE


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a side waits for: the `event` that it is, its bytes, and what it is called where it does not come."""

    event: str
    message: bytes
    what: str


# By side and state.
AWAITED = {
    ("sender", "greeting"): Awaited("GREETING", GREETING, "greeting of xl's receiver"),
    ("sender", "offered"): Awaited("READY", READY, "READY message"),
    ("sender", "cleared"): Awaited("REPORT", REPORT, "REPORT message"),
    ("sender", "refused"): Awaited("GIVE_BACK", GIVE_BACK, "message that gives the guest back"),
    ("receiver", "complete"): Awaited("GO", GO, "GO message"),
}


def judged(status: int) -> str:
    """The event that a STATUS byte is."""
    return "started" if status == STARTED else "not started"


def in_words(status: int) -> str:
    """What a STATUS byte says of a guest that does not run: a return code of libxl's, or of xl's own."""
    return "its own return code 1" if status == NOT_STARTED else f"libxl's return code {-status}"


def answer(status: int) -> bytes:
    """What the receiver sends once GO has come: REPORT and STATUS, and the guest itself if it does not run."""
    return REPORT + bytes([status]) + (GIVE_BACK if status != STARTED else b"")
