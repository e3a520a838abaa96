"""Remus as people use it: two commands, guests that put something out, killing, figures and plans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .. import data
from ..cli.main import main
from ..cli.migrate_shown import in_words
from ..engine.checkpointing import plan as plans
from ..engine.checkpointing.devices import Devices, HeldOutput
from ..engine.checkpointing.epochs import Epoch, Epochs
from ..engine.checkpointing.figure import drawn
from ..engine.checkpointing.primary import Remus, RemusPrimary
from ..engine.checkpointing.standby import RemusStandby
from ..engine.guest.makes import Wanted, available, empty, running
from ..engine.migrate import Asked, Taking
from ..engine.plan import Guest, Link
from ..engine.plan_dirty import writer
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import TakenOverError
from .support.kill_points import environment
from .support.moving import way
from .support.protecting import QUICK, pair

_TEXT = "0123456789abcdefghijklmnopqrstuvwxyz"


# -- commands ---------------------------------------------------------------------------------------------------------


class _Command:
    """A command of ours, and its events, each as documented."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "streamfmt", "migrate", *words, "--json", "--time-out", "10"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
        with open(data.path("spec", "json", "migrate.json"), "rb") as file:
            self._form = jsonschema.Draft202012Validator(json.load(file))

    def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The next of a name, or the one after some of them."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            self._form.validate(found)
            count -= found["event"] == name
            if not count:
                return found
        raise AssertionError(name)


@contextmanager
def _command(*words: str) -> Iterator[_Command]:
    found = _Command(*words)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


GUEST = ("--memory", "1MiB", "--working-set", "64KiB", "--after", "0.05")


def test_a_primary_that_is_killed(tmp_path: Path) -> None:
    """The standby takes over, soon, says so once, and its guest is sound; the witness is its."""
    uri, witness = f"unix:{tmp_path}/s", tmp_path / "witness"
    with _command("receive", "--remus", uri, "--run", "0.1", "--witness", str(witness)) as standby:
        standby.event("listening")
        with _command("send", "--remus", "5ms", uri, *GUEST, "--witness", str(witness)) as primary:
            row = primary.event("checkpoint", 5)
            primary.process.kill()
        lost = standby.event("failed over")
        runs, judged = standby.event("running"), standby.event("verdict")
        ran = standby.event("ran")
        assert standby.process.wait(10) == 0
    assert lost["checkpoint"] >= row["number"]
    assert 0 <= runs["seconds"] - lost["seconds"] < 1
    assert ran["broken"] == []
    assert judged["clauses"] == dict.fromkeys(("CKPT-CKPT-REC", "CKPT-STATIC-ONCE", "CKPT-CUT"), "kept")
    assert witness.read_text() == "standby"


def test_a_standby_that_is_killed(tmp_path: Path) -> None:
    """The primary's guest goes on, and the command with it; figures are drawn."""
    uri, figure = f"unix:{tmp_path}/s", tmp_path / "figure.svg"
    with _command("receive", "--remus", uri) as standby:
        standby.event("listening")
        words = ("send", "--remus", "5ms", uri, *GUEST, "--run", "0.05", "--figure", str(figure))
        with _command(*words) as primary:
            primary.event("checkpoint", 3)
            standby.process.kill()
            assert "LinkError" in primary.event("claiming")["error"]
            assert primary.event("kept")["running"]
            assert primary.event("protected")["figures"]["checkpoints"] >= 3
            assert primary.event("verdict")["clauses"] == {"REMUS-BACK": "kept"}
            assert primary.process.wait(10) == 1
    assert figure.read_text().startswith("<svg")


def test_an_interrupted_primary_leaves_one_guest(tmp_path: Path) -> None:
    """Ctrl-C ends the primary's; without a witness the standby has it."""
    uri = f"unix:{tmp_path}/s"
    with _command("receive", "--remus", uri, "--run", "0") as standby:
        standby.event("listening")
        with _command("send", "--remus", "5ms", uri, *GUEST) as primary:
            primary.event("checkpoint", 2)
            primary.process.send_signal(signal.SIGINT)
            primary.event("taken over")
            assert primary.process.wait(10) == 130
        standby.event("running")
        assert standby.process.wait(10) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["send", "unix:/x", "--checkpoints", "3"],
        ["send", "file:/x", "--remus", "5ms"],
        ["send", "--qemu", "unix:/x", "--remus", "5ms"],
        ["receive", "unix:/x", "--witness", "/x"],
        ["send", "unix:/x", "--remus", "5", "--time-out", "5"],
        ["send", "unix:/x", "--remus", "5ms", "--unacknowledged", "--disk", "/x"],
    ],
)
def test_what_cannot_be_together(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in a line."""
    assert main(["migrate", *words]) == 2
    assert "--remus" in capsys.readouterr().err


# -- output -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["process", "kvm"])
def test_output_goes_on_where_it_was(kind: str) -> None:
    """What was seen of a guest's console, and what it writes after the failover, is one text: no character is missing,
    comes twice, or was seen before its checkpoint was safe."""
    if why := available()[kind]:
        pytest.skip(why)
    guest = running(kind, Wanted("hvm", 256, text=_TEXT))
    seen: list[bytes] = []
    here, there = pair()
    waiters = Waiter(), Waiter()
    device = HeldOutput(guest.console, seen.append)  # type: ignore[attr-defined] # as these guests have one
    remus = Remus(0.01, True, Devices([device]), most=6)
    primary = RemusPrimary(guest, SocketEnd(here, "here"), way(), remus, Asked(waiters[0], QUICK))
    make = lambda image, config: empty(kind, image, config.pages, config.vcpus)  # noqa: E731 - short
    standby = RemusStandby(SocketEnd(there, "there"), make, Taking(), Asked(waiters[1], QUICK))
    arrived: list[Any] = []
    thread = threading.Thread(target=lambda: arrived.append(standby.stand_by()))
    thread.start()
    with pytest.raises(TakenOverError):
        primary.protect()
    here.close()
    thread.join(10)
    there.close()
    time.sleep(0.03)
    arrived[0].pause()
    text = (b"".join(seen) + arrived[0].console()).decode()
    for waiter in waiters:
        waiter.close()
    broken = arrived[0].broken()
    for each in (guest, arrived[0]):
        each.close()

    assert broken == []
    assert len(b"".join(seen)) > len(_TEXT)
    assert len(text) > len(b"".join(seen)) + len(_TEXT)
    assert text == (_TEXT * (len(text) // len(_TEXT) + 1))[: len(text)]


def test_output_is_held_and_dropped() -> None:
    """Epoch by epoch; what is dropped is never seen; what is released is all there is."""
    source: list[bytes] = []
    given: list[bytes] = []
    device = HeldOutput(lambda: source.pop(0) if source else b"", given.append)
    source += [b"a", b"bb", b"ccc", b"dddd"]
    device.postsuspend()
    device.postsuspend()
    assert (device.held, device.most, given) == (3, 3, [])
    device.commit()
    assert (device.held, given) == (0, [b"a", b"bb"])
    device.postsuspend()
    device.drop()
    device.commit()
    assert given == [b"a", b"bb"]
    device.release()
    assert given == [b"a", b"bb", b"dddd"]


# -- figures and plans ------------------------------------------------------------------------------------------------


def test_the_figure() -> None:
    """Four panels; as many bars as there are checkpoints, or few of many; empty without any."""
    epochs = Epochs()
    assert "0 checkpoints" in drawn(epochs)
    for number in range(700):
        epochs.add(Epoch(number, 10 + number % 7, 1 << 20, 0.001, 0.002, 100))
    picture = drawn(epochs)

    assert picture.count("the median is") == 4
    assert picture.count("<rect") == 1 + 4 + 4 * 350
    assert "700 checkpoints" in picture


LINK = Link(125e6, 0.001)


def _planned(kind: str, interval: float, dirty: str = "loop:8MiB@20000", link: Link = LINK) -> plans.Planned:
    return plans.planned(Guest(1 << 18, 1 << 18, writer(dirty, 1 << 18, 0)), link, kind, interval)


@pytest.mark.parametrize("kind", [plans.REMUS, plans.COLO])
def test_rate_against_overhead(kind: str) -> None:
    """The rarer they are, the fewer, the larger, and the less the guest stands; and as many pages as it has written."""
    rows = [_planned(kind, interval) for interval in (0.001, 0.01, 0.1, 1.0)]
    for sooner, later in pairwise(rows):
        assert sooner.rate > later.rate
        assert sooner.overhead > later.overhead
        assert sooner.frames <= later.frames
    for row in rows:
        assert row.frames == pytest.approx(min(20_000 * (row.period - row.stood), 2048), rel=0.1, abs=2)
        assert row.period == pytest.approx(row.interval + row.latency)


def test_remus_stands_for_less_than_colo() -> None:
    """Since what has been copied goes while the guest runs; a slower link makes that plainer."""
    slow = Link(12.5e6, 0.01)
    assert _planned(plans.REMUS, 0.1, link=slow).stood < _planned(plans.COLO, 0.1, link=slow).stood / 10
    assert _planned(plans.REMUS, 0.1, link=slow).stood == pytest.approx(_planned(plans.REMUS, 0.1).stood, rel=0.5)


def test_plans_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """As a table, and as JSON that is as documented."""
    words = ["migrate", "plan", "--memory", "64MiB", "--dirty", "uniform:1MiB@1000", "--remus", "5ms,25ms"]
    assert main([*words, "--colo", "1"]) == 0
    text = capsys.readouterr().out
    assert text.count("then ") == 2
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with open(data.path("spec", "json", "plan.json"), "rb") as file:
        jsonschema.Draft202012Validator(json.load(file)).validate(found)
    assert [row["interval"] for row in found["checkpoints"]] == [0.005, 0.025]
    with pytest.raises(SystemExit):
        main([*words, "--colo", "often"])
    assert os.path.exists(data.path("spec", "json", "plan.json"))


def test_a_line_says_how_it_goes() -> None:
    """At the primary with the figures that matter, at the standby with what waited."""
    row = {"event": "checkpoint", "number": 1234, "bytes": 1 << 20}

    assert in_words({**row, "frames": 256, "stood": 0.0015, "latency": 0.004, "held": 2048}) == (
        "checkpoint 1,234: 256 frames, stood 1.5 ms, safe after 4.0 ms, held 2.0 KiB"
    )
    assert in_words(row) == "checkpoint 1,234: 1.0 MiB"
