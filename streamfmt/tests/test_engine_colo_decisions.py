"""Every cell of COLO's decision tables, with what it is about done for real: cuts, errors in steps, wrong messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..engine.checkpointing.devices import Devices
from ..engine.colo import messages
from ..engine.colo.party import Colo
from ..engine.guest.model import Model
from ..errors import MigrationError
from ..schema.colo import (
    GOES_ON,
    PRIMARY_DECISIONS,
    SECONDARY_DECISIONS,
    SURVIVES,
    Decision,
)
from .support.colo_script import (
    FIRST,
    PAGES,
    READY,
    RESUMED,
    SUSPENDED,
    Played,
    Recorded,
    Step,
    fails,
    primary,
    second,
    secondary,
)
from .support.moving import working

GREETING = FIRST[: -len(READY + RESUMED)]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


def patched(name: str, how: Callable[[Any], Callable[..., Any]] = lambda _: fails) -> Callable[[Model], None]:
    """Changes one of a guest's steps."""

    def change(guest: Model) -> None:
        setattr(guest, name, how(getattr(guest, name)))

    return change


def _unlogged(guest: Model) -> None:
    guest.dirty.enable = fails  # type: ignore[method-assign] # an error in this step


def _record(code: int, body: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return code.to_bytes(4, "little") + size.to_bytes(4, "little") + body + bytes(-len(body) % 8)


def _with(step: str) -> Colo:
    return Colo(devices=Devices([Step(step)]))


# By the decision's key: what is played to a secondary.  The stream has the first checkpoint and two more.
SECONDARY: dict[str, Callable[[Recorded], Played]] = {
    "first-lost": lambda r: secondary(r.until("PAGE_DATA", 1, 100), gone=0),
    "first-end": lambda r: secondary(r.changed("CHECKPOINT", 0, bytes(8))),
    "first-tail": lambda r: secondary(r.until("CHECKPOINT", 0, 12), after="end"),
    "pv": lambda r: secondary(r.changed("domain_header", 0, (1).to_bytes(4, "little"))),
    "first-frame": lambda r: secondary(r.changed("PAGE_DATA", 0, PAGES.to_bytes(8, "little"), 16)),
    "build": lambda r: secondary(r.stream, change=patched("load")),
    "log": lambda r: secondary(r.stream, change=_unlogged),
    "setup": lambda r: secondary(r.stream, colo=Colo(setup=fails)),
    "first-ready": lambda r: secondary(r.until("CHECKPOINT_END"), cut=1),
    "unpause": lambda r: secondary(r.stream, change=patched("resume")),
    "resumed": lambda r: secondary(r.until("CHECKPOINT_END"), cut=2),
    "commit": lambda r: secondary(r.stream, colo=_with("commit")),
    "wait-lost": lambda r: secondary(r.until("CHECKPOINT_END"), gone=2),
    "wait-eof": lambda r: secondary(r.until("CHECKPOINT_END"), after="end"),
    "wait-late": lambda r: secondary(r.until("CHECKPOINT_END"), colo=Colo(silence=0.05)),
    "wait-id": lambda r: secondary(r.until("CHECKPOINT_END") + SUSPENDED),
    "wait-high": lambda r: secondary(r.until("CHECKPOINT_END") + messages.state(1 << 31)),
    "wait-short": lambda r: secondary(r.until("CHECKPOINT_END") + _record(5, b"\0\0")),
    "wait-record": lambda r: secondary(r.until("CHECKPOINT_END") + _record(4)),
    "wait-emulator": lambda r: secondary(r.until("CHECKPOINT_END") + _record(3, bytes(16))),
    "suspend": lambda r: secondary(r.stream, change=patched("pause")),
    "postsuspend": lambda r: secondary(r.stream, colo=_with("postsuspend")),
    "suspended": lambda r: secondary(r.until("CHECKPOINT_STATE", 0, 16), cut=3),
    "dirty": lambda r: secondary(r.until("CHECKPOINT_STATE", 0, 16), cut=4),
    "queue-lost": lambda r: secondary(r.until("X86_TSC_INFO", 1, -2000), gone=4),
    "queue-eof": lambda r: secondary(r.until("X86_TSC_INFO", 1, 0), after="end"),
    "queue-end": lambda r: secondary(r.changed("CHECKPOINT", 1, bytes(8))),
    "queue-tail": lambda r: secondary(r.until("EMULATOR_CONTEXT", 1, 12), after="end"),
    "queue-record": lambda r: secondary(r.changed("HVM_PARAMS", 1, b"\x55")),
    "queue-long": lambda r: secondary(r.changed("HVM_PARAMS", 1, b"\xff\xff\xff\x7f", 4)),
    "queue-order": lambda r: secondary(r.changed("CHECKPOINT_END", 1, bytes(8))),
    "queue-frame": lambda r: secondary(r.changed("PAGE_DATA", _later(r), PAGES.to_bytes(8, "little"), 16)),
    "load": lambda r: secondary(r.stream, change=patched("load", second)),
    "ready": lambda r: secondary(r.until("CHECKPOINT_END", 1), cut=5),
    "preresume": lambda r: secondary(r.stream, colo=_with("preresume")),
    "resume": lambda r: secondary(r.stream, change=patched("resume", second)),
}


def _later(recorded: Recorded) -> int:
    """Which of the records of pages is the first of a later checkpoint."""
    new = recorded.at("CHECKPOINT_STATE")
    return next(number for number, at in enumerate(recorded.places["PAGE_DATA"]) if at > new)


@pytest.mark.parametrize("row", SECONDARY_DECISIONS, ids=lambda row: row.key)
def test_the_secondary(row: Decision, recorded: Recorded) -> None:
    """It is the outcome of the table, in the state of the table; who survives has the last whole checkpoint."""
    played = SECONDARY[row.key](recorded)
    side, guest = played.side, played.side.guest

    assert played.completions == [played.error]
    assert side.machine.state == ("survived" if row.ours == SURVIVES else "destroyed")
    if row.event != "END":
        assert side.place == row.state
    if row.ours == SURVIVES:
        assert isinstance(guest, Model)
        assert guest.running
        guest.pause()
        # Its clock stands, so that it is what the primary was when the last whole checkpoint was made.
        assert guest.digest() == recorded.digests[side.count - 1]  # type: ignore[union-attr] # of the secondary
        assert guest.broken() == []
        assert not guest.dirty._on
        guest.close()
    else:
        assert isinstance(played.error, MigrationError)
        assert guest is None or guest._closed  # type: ignore[attr-defined] # of the model


def _closing(guest: Model, cut: Callable[[], None], number: int) -> None:
    """The secondary goes when the guest's state is asked for that often."""
    state, calls = guest.state, list[int]()

    def asked() -> Any:
        calls.append(1)
        if len(calls) == number:
            cut()
        return state()

    guest.state = asked  # type: ignore[method-assign] # a hook at this moment


def _list(*frames: int) -> bytes:
    return b"".join(messages.dirty(sum(1 << frame for frame in frames)))


_SHORT_STATE = _record(5, b"\2\0")
# By the decision's key: what is played to a primary.
PRIMARY: dict[str, Callable[[], Played]] = {
    "pv": lambda: primary(FIRST, guest=working("pv")),
    "no-greeting": lambda: primary(b"", end="end"),
    "memory": lambda: primary(GREETING, end="first"),
    "state": lambda: primary(FIRST, change=lambda guest, cut: setattr(guest, "state", fails)),
    "tail": lambda: primary(GREETING, change=lambda guest, cut: _closing(guest, cut, 1)),
    "ready-lost": lambda: primary(GREETING, end="sent"),
    "ready-eof": lambda: primary(GREETING, end="end"),
    "ready-late": lambda: primary(GREETING),
    "ready-id": lambda: primary(GREETING + RESUMED),
    "ready-short": lambda: primary(GREETING + _SHORT_STATE),
    "preresume": lambda: primary(FIRST, colo=_with("preresume")),
    "resumed-id": lambda: primary(GREETING + READY + READY),
    "commit": lambda: primary(FIRST, colo=_with("commit")),
    "proxy": lambda: primary(FIRST, colo=Colo(diverged=fails)),
    "run-eof": lambda: primary(FIRST, end="end", colo=Colo(5.0)),
    "run-word": lambda: primary(FIRST + SUSPENDED, colo=Colo(5.0)),
    "announce": lambda: primary(FIRST, end="new"),
    "postsuspend": lambda: primary(FIRST, colo=Colo(0.0, Devices([Step("postsuspend", 1)]))),
    "suspended-id": lambda: primary(FIRST, READY),
    "list-type": lambda: primary(FIRST, SUSPENDED + READY),
    "list-length": lambda: primary(FIRST, SUSPENDED + _record(0x0F, bytes(12))),
    "list-long": lambda: primary(FIRST, SUSPENDED + _record(0x0F, b"", 0x7FFFFFF8)),
    "list-frame": lambda: primary(FIRST, SUSPENDED + _list(3, PAGES)),
    "list-cut": lambda: primary(FIRST, SUSPENDED + _list(3, 4)[:-4], end="later"),
    "pages": lambda: primary(FIRST, SUSPENDED + _list(3), change=lambda guest, cut: _closing(guest, cut, 2)),
}


@pytest.mark.parametrize("row", PRIMARY_DECISIONS, ids=lambda row: row.key)
def test_the_primary(row: Decision) -> None:
    """Its guest goes on, whatever happens; nothing is logged any more."""
    played = PRIMARY[row.key]()
    guest = played.side.guest
    assert isinstance(guest, Model)

    assert row.ours == GOES_ON
    assert isinstance(played.error, MigrationError)
    assert guest.running
    guest.pause()
    assert guest.broken() == []
    guest.close()
    if row.state == "idle":
        assert played.side.machine.state == "idle"
        return
    assert played.side.machine.state == "kept"
    assert played.side.place == row.state
    assert played.completions == [played.error]
    assert not guest.dirty._on


def test_all_are_played() -> None:
    """There is a case for each row, and no other."""
    assert [*SECONDARY] == [row.key for row in SECONDARY_DECISIONS]
    assert [*PRIMARY] == [row.key for row in PRIMARY_DECISIONS]


_CLAUSES = {
    "pv": "COLO-HVM",
    "wait-id": "COLO-NEW-FWD",
    "wait-high": "LIBXL-CKPTSTATE-ID",
    "wait-short": "LIBXL-CKPTSTATE-LEN",
    "wait-record": "LIBXL-CKPTSTATE-ID",
    "list-type": "COLO-DIRTY-POS",
    "list-length": "COLO-DIRTY-LEN",
    "list-long": "COLO-DIRTY-LEN",
    "list-frame": "COLO-DIRTY-LEN",
    "ready-id": "LIBXL-CKPTSTATE-ID",
    "ready-short": "LIBXL-CKPTSTATE-LEN",
    "resumed-id": "LIBXL-CKPTSTATE-ID",
    "suspended-id": "LIBXL-CKPTSTATE-ID",
}


def _clauses(recorded: Recorded) -> Iterator[tuple[str, str, Played]]:
    for key, clause in _CLAUSES.items():
        if key in SECONDARY:
            yield key, clause, SECONDARY[key](recorded)
        if key in PRIMARY:
            yield key, clause, PRIMARY[key]()


def test_what_breaks_a_rule_is_refused_by_its_clause(recorded: Recorded) -> None:
    """The error names it."""
    for key, clause, played in _clauses(recorded):
        assert clause in str(played.error), (key, str(played.error))
        if key not in ("pv", "wait-record"):
            verdicts = played.side.verdicts
            assert verdicts[clause].startswith("error"), key
            assert [name for name, words in verdicts.items() if words.startswith("error")] == [clause], key
        if played.side.guest is not None:
            played.side.guest.close()
