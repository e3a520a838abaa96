"""What a COLO primary does with its back channel: libxenguest reads the lists in it, and libxl what is between them."""

from __future__ import annotations

from collections.abc import Iterator

from .. import tables
from ..checks.duties import EITHER
from ..checks.findings import Finding
from ..schema import libxl
from ..schema.clauses import registry
from .cases import COLO_PAGES
from .looks import HEADER, LATER, Look
from .peers import RELEASE, minor

_STATE, _LIST = tables.LIBXL_CHECKPOINT_STATE, tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST
_STATES = libxl.CHECKPOINT_STATES
_FIRST, _ROUND = ("SVM_READY", "SVM_RESUMED"), ("SVM_SUSPENDED", "", "SVM_READY", "SVM_RESUMED")


def _number(seen: Look, at: int) -> int:
    return int.from_bytes(seen.data[at : at + 4], "little")


def read(seen: Look) -> tuple[list[tuple[int, int]], int]:
    """Where each list begins that the library reads, and its length; and where libxl finds what it does not wait for.

    That is after all bytes if the library has refused a list before.
    """
    lists: list[tuple[int, int]] = []
    at, turn = 0, [*_FIRST]
    while True:
        turn = turn or [*_ROUND]
        state = turn.pop(0)
        kind, length = _number(seen, at), _number(seen, at + 4)
        if state:
            whole = at + 2 * HEADER <= len(seen.data)
            if not whole or (kind, length, _number(seen, at + HEADER)) != (_STATE, 4, _STATES[state]):
                return lists, at
            at += 2 * HEADER
        else:
            lists.append((at, length))
            after = at + HEADER + length + -length % HEADER
            if kind != _LIST or after > len(seen.data):
                return lists, LATER
            at = after


def met(seen: Look) -> Iterator[Finding]:
    """The findings that the library comes upon."""
    stops = read(seen)[1]
    yield from (
        row for row in seen.findings if row.offset < stops and registry()[row.clause].known("libxenguest", RELEASE)
    )


def beyond(seen: Look) -> int | None:
    """Where the first list is with a number that is no page of the guest."""
    return (
        None
        if not seen.case.back
        else next((at for at, length in read(seen)[0] if _most(seen, at, length) >= COLO_PAGES), None)
    )


def takes_beyond(seen: Look, at: int, release: str) -> str:
    """Up to 4.15 a number that is one too large passed."""
    passed = minor(release) <= 15 and _most(seen, at, _number(seen, at + 4)) == COLO_PAGES
    return "accept" if passed else "reject"


def no_header(seen: Look) -> tuple[str, int] | None:
    """A list of which it reads no header, or one that claims too much: it frees what may be no memory."""
    for at, length in read(seen)[0] if seen.case.back else ():
        if at + HEADER > len(seen.data) or length > tables.RECORD_LENGTH_MAX:
            return EITHER, at
    return None


def no_list(seen: Look) -> tuple[str, int] | None:
    """Another record where it waits for a list."""
    for at, _ in read(seen)[0] if seen.case.back else ():
        if at + HEADER <= len(seen.data) and _number(seen, at) != _LIST:
            return "reject", at
    return None


def _most(seen: Look, at: int, length: int) -> int:
    if _number(seen, at) != _LIST or length % HEADER:
        return 0
    body = seen.data[at + HEADER : at + HEADER + length]
    return max((int.from_bytes(body[place : place + 8], "little") for place in range(0, len(body), 8)), default=0)
