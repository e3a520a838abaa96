"""The parts that processes play in tests of crashes: the source, with its guest, and the destination."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from ...engine.configuration import Configuration
from ...engine.emulated import Emulated
from ...engine.emulator.dma import Ring
from ...engine.emulator.handle import Emulator
from ...engine.guest import makes
from ...engine.guest.memory import Memory
from ...engine.handing import hand_over, take_over
from ...engine.interface import Guest
from ...engine.logdirty.forms import FORMS, MONITOR
from ...engine.orders import Orders
from ...engine.policies import policy
from ...engine.precopy import Settings
from ...engine.receiving import Receiving, Taking
from ...engine.sending import Sending, Way
from ...engine.side import Asked, Patience
from ...engine.too_fast import remedy
from ...engine.transport.ends import connect, listen
from ...engine.transport.moving import part
from ...engine.waiting import Waiter
from ...engine.xenstore.client import Client
from ...errors import InDoubtError, MigrationError
from . import crash_remus

_PATIENCE = Patience(5.0, 5.0, 5.0, 5.0)
_RING = 16

Say = Callable[..., None]


def play(control: socket.socket, how: Mapping[str, Any]) -> None:
    """Play a part, until nobody asks any more."""

    def say(event: str, **figures: Any) -> None:
        control.send(json.dumps({"event": event, **figures}).encode())

    say("born", pid=os.getpid())
    with ExitStack() as opened:
        waiter = Waiter()
        opened.callback(waiter.close)
        guest = PARTS[how["part"]](how, waiter, opened, say)
        while data := control.recv(100):
            say("answer", **_done(guest, data.decode()))


def _done(guest: Guest | None, what: str) -> dict[str, Any]:
    """What is asked of a guest: to look at it, or to let it run."""
    if guest is None:
        return {"guest": False, "running": False, "broken": []}
    if isinstance(guest, Emulated) and _ended(guest.emulated.pid):
        guest = guest.guest  # it runs without; what an emulator was writing when it was killed is not to be judged
    ran = guest.running
    if what == "resume":
        guest.resume()
        return {"guest": True, "running": guest.running, "broken": []}
    guest.pause()
    found = {"guest": True, "running": ran, "broken": guest.broken(), "named": "/dev/shm/" in _mapped()}
    if ran:
        guest.resume()
    return found


def _mapped() -> str:
    with open("/proc/self/maps") as file:
        return file.read()


def _ended(child: int) -> bool:
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _source(how: Mapping[str, Any], waiter: Waiter, opened: ExitStack, say: Say) -> Guest:
    guest: Guest = _made(how, waiter, opened, say)
    opened.callback(guest.close)
    if how["running"]:
        guest.resume()
    say("ready")
    try:
        end = connect(how["uri"], waiter, waiter.clock() + 5)
    except MigrationError as error:
        say("outcome", outcome="kept", error=str(error))
        return guest
    opened.callback(end.close)
    way = Way(Settings(policy(how["policy"]), remedy("go-on")), Orders(), how["live"], handed=how["handed"])
    try:
        if how["handed"]:
            hand_over(end, guest.descriptor, guest.pages, waiter, waiter.clock() + 5)
        Sending(guest, end, way, Asked(waiter, _PATIENCE)).send()
    except InDoubtError as error:
        guest.pause()
        say("outcome", outcome="in doubt", error=str(error))
    except MigrationError as error:
        say("outcome", outcome="kept", error=str(error))
    else:
        say("outcome", outcome="moved", error="")
        part(end, waiter, 5.0)
    end.close()
    return guest


def _made(how: Mapping[str, Any], waiter: Waiter, opened: ExitStack, say: Say) -> Guest:
    pages = how["pages"]
    wanted = makes.Wanted(how["type"], pages, filled=pages // 4, written=pages // 8, rate=how["rate"])
    own = makes.running(how["kind"], wanted)
    opened.callback(own.close)
    own.pause()
    form = how["form"]
    if not form:
        return own
    watched = FORMS[form].way == MONITOR
    monitor, store = f"{how['folder']}/monitor" * watched, f"{how['folder']}/store" * (not watched)
    ring = Ring(pages - _RING, _RING)
    emulator = Emulator(own, form, ring, rate=how["rate"], monitor=monitor, store=store)
    opened.callback(emulator.close)
    say("emulator", pid=emulator.pid)
    return Emulated(own, emulator, waiter, Client(store) if store else None)


def _destination(how: Mapping[str, Any], waiter: Waiter, opened: ExitStack, say: Say) -> Guest | None:
    listener = listen(how["uri"], waiter)
    opened.callback(listener.close)
    say("listening", uri=str(listener.uri))

    def make(image: str, config: Configuration) -> Guest:
        if memory is not None:
            return makes.around(how["kind"], image, memory)
        return makes.empty(how["kind"], image, config.pages)

    memory: Memory | None = None
    try:
        end = listener.accept(waiter, waiter.clock() + how["wait"])
        opened.callback(end.close)
        if how["handed"]:
            memory = Memory.adopt(take_over(end, waiter, waiter.clock() + 5)[0])
        guest = Receiving(end, make, Taking(), Asked(waiter, _PATIENCE)).receive()
    except MigrationError as error:
        say("outcome", outcome="none", error=str(error))
        return None
    opened.callback(guest.close)
    say("outcome", outcome="running" if guest.running else "paused", error="")
    end.close()
    return guest


PARTS: dict[str, Callable[[Mapping[str, Any], Waiter, ExitStack, Say], Guest | None]] = {
    "source": _source,
    "destination": _destination,
    **crash_remus.PARTS,
}
