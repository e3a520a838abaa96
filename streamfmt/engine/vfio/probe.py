"""Somebody else's device, asked over vfio-user whether it keeps the rules of v2: a verdict for each clause.

The device is reset time and again, and loses its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ...errors import DeviceError, MigrationError
from ...schema import vfio, vfio_user
from .states import Session
from .user_client import RemoteDevice

KEPT, BROKEN, UNJUDGED = "kept", "broken", "not judged"
# Most bytes that a device's state may have, so that one that never ends it is noticed.
_STATE_MOST = 1 << 28
# What ends the whole of it: nothing more can be asked.
_BYTES = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a clause: KEPT, BROKEN or UNJUDGED, and why if it is not kept."""

    clause: str
    verdict: str
    why: str = ""


def _refuses(call: Callable[[], object], what: str) -> str:
    """Why a request that has to be refused was not; empty if it was."""
    try:
        call()
    except DeviceError:
        return ""
    return f"{what} is not refused"


def _fresh(device: RemoteDevice) -> None:
    """Have it run again: by a way that there is, or else by a reset, which not every device has.

    :raises DeviceError: it does not.
    """
    with suppress(DeviceError):
        if device.state not in ("RUNNING", "ERROR"):
            device.set_state("RUNNING")
    if device.state != "RUNNING":
        device.reset()


def _pair(device: RemoteDevice, before: str, after: str) -> str:
    """What is wrong with how the device goes from one state to another."""
    _fresh(device)
    if device.state != "RUNNING":
        return f"after a reset it is {device.state}"
    device.set_state(before)
    if device.state != before:
        return f"asked for {before} it is {device.state}"
    legal = after != "ERROR" and vfio.way(before, after, device.flags) is not None
    try:
        device.set_state(after)
    except DeviceError as error:
        if legal and not (before == "RESUMING" and after != before):
            return f"it refuses the way from {before} to {after}: {error}"
        found = device.state
        return "" if legal or found == before else f"it refuses {after}, and is {found} instead of {before}"
    if not legal:
        return f"it goes from {before} to {after}, where there is no way"
    found = device.state
    return "" if found == after else f"asked for {after} it is {found}"


def _arcs(device: RemoteDevice) -> str:
    names = [name for name in vfio.V2_STATES if name != "ERROR"]
    # A device without pre-copy or P2P may still refuse or take their states, which it does not have.
    own = [name for name in names if vfio.has(name, device.flags)]
    pairs = ((before, after) for before in own for after in (*own, "ERROR"))
    return next((wrong for before, after in pairs if (wrong := _pair(device, before, after))), "")


def _data(device: RemoteDevice) -> str:
    _fresh(device)
    session = Session()
    wrong = _refuses(lambda: device.read(session, _BYTES), "to read data from a device that runs")
    wrong = wrong or _refuses(lambda: device.write(session, b"data"), "to write data to a device that runs")
    device.set_state("STOP_COPY")
    wrong = wrong or _refuses(lambda: device.write(session, b"data"), "to write data to a device that gives them")
    device.set_state("RESUMING")
    return wrong or _refuses(lambda: device.read(session, _BYTES), "to read data from a device that takes them")


def _end(device: RemoteDevice) -> str:
    _fresh(device)
    session = device.set_state("STOP_COPY") or Session()
    size = 0
    while found := device.read(session, vfio_user.TRANSFER):
        size += len(found)
        if size > _STATE_MOST:
            return f"its state has not ended after {size:,} bytes"
    return "" if device.read(session, _BYTES) == b"" else "after the end of its state there is more"


def _again(device: RemoteDevice) -> str:
    """Its own state, given back to it."""
    _fresh(device)
    session = device.set_state("STOP_COPY") or Session()
    whole, size = list[bytes](), 0
    while (found := device.read(session, vfio_user.TRANSFER)) and size <= _STATE_MOST:
        whole.append(found)
        size += len(found)
    device.set_state("STOP")
    session = device.set_state("RESUMING") or Session()
    for piece in whole:
        device.write(session, piece)
    device.set_state("STOP")
    return "" if device.state == "STOP" else f"it is {device.state} after it was given its own state"


def _log(device: RemoteDevice) -> str:
    _fresh(device)
    device.log_stop()
    return _refuses(lambda: device.log_report(0, 1), "to ask what was written, while that is not logged,")


def _flags(device: RemoteDevice) -> str:
    return "" if device.flags & vfio.CAN_STOP_COPY else "it has no STOP_COPY"


_ASKED: tuple[tuple[str, Callable[[RemoteDevice], str]], ...] = (
    ("VFIO2-NEED-STOPCOPY", _flags),
    ("VFIO2-ARC", _arcs),
    ("VFIO2-DATAFD", _data),
    ("VFIO2-ENOMSG", _end),
    ("VFIO-OPAQUE", _again),
    ("VFIO2-LOG", _log),
)


def probe(device: RemoteDevice) -> Iterator[Verdict]:
    """Ask everything that can be asked, and give each verdict as it is known.

    A request that a device refuses, though it should do it, breaks the clause; a link that fails ends all.

    :raises MigrationError: the link failed, or the server speaks something else.
    """
    for clause, ask in _ASKED:
        try:
            wrong = ask(device)
        except DeviceError as error:
            wrong = str(error)
        yield Verdict(clause, BROKEN if wrong else KEPT, wrong)
        if wrong and clause == _ASKED[0][0]:
            for left, _ in _ASKED[1:]:
                yield Verdict(left, UNJUDGED, "the device cannot be migrated")
            return
    try:
        _fresh(device)
    except DeviceError as error:
        raise MigrationError(f"it does not run again: {error}") from error
