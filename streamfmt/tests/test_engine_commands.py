"""streamfmt migrate: demo, send, receive and control, as people use them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .. import data, verify
from ..cli import migrate
from ..cli.main import main
from ..cli.migrate_shown import _BAR, Shown
from ..engine.guest.makes import available
from ..engine.statistics import Statistics

QUICK = ["--memory", "1MiB", "--working-set", "64KiB", "--after", "0.05"]


def events(text: str) -> list[dict[str, Any]]:
    """The lines that were printed; each is as its schema says."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        _form().validate(event)
    return found


@cache
def _form() -> jsonschema.Draft202012Validator:
    rules = json.loads(Path(data.path("spec", "json", "migrate.json")).read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    return jsonschema.Draft202012Validator(rules)


def last(found: list[dict[str, Any]], side: str, name: str) -> dict[str, Any]:
    """The last event of a name, of one side."""
    return [event for event in found if (event["side"], event["event"]) == (side, name)][-1]


@pytest.mark.parametrize("verb", migrate.VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It fits 80 columns, and has commands to type."""
    with pytest.raises(SystemExit) as left:
        main(["migrate", verb, "--help"])
    text = capsys.readouterr().out

    assert left.value.code == 0
    assert f"streamfmt migrate {verb}" in text.split("examples:")[1]
    assert max(map(len, text.splitlines())) <= 80


def test_verbs_are_loaded_when_they_are_asked_for() -> None:
    """Help of the command itself loads none of the engine."""
    words = "import sys; from streamfmt.cli import migrate; print([n for n in sys.modules if 'streamfmt.engine' in n])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_demonstration(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The guest is the same over there; the stream conforms; the rounds are drawn; every event is as documented."""
    stream, figure = tmp_path / "stream", tmp_path / "figure.svg"
    status = main(["migrate", "demo", *QUICK, "--record", str(stream), "--figure", str(figure), "--json"])
    found = events(capfd.readouterr().out)

    assert status == 0
    assert last(found, "source", "compared") == {
        "format": "streamfmt-migrate-1",
        "side": "source",
        "event": "compared",
        "seconds": 0.0,
        "equal": True,
        "broken": [],
    }
    assert last(found, "source", "result")["digest"] == last(found, "destination", "result")["digest"]
    assert last(found, "source", "result")["statistics"]["sent"] == stream.stat().st_size
    assert last(found, "destination", "begun")["name"] == "guest--incoming"
    assert last(found, "source", "moved")["name"] == "guest--migratedaway"
    assert last(found, "destination", "running")["name"] == "guest"
    assert verify(stream, strict=True).verdict == "conforms"
    assert figure.read_text().startswith("<svg")


def test_a_demonstration_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    """Its rounds, its three figures, and whether the guest is the same."""
    status = main(["migrate", "demo", *QUICK, "--type", "pv", "--non-live"])
    text = capfd.readouterr().out

    assert status == 0
    assert "round 1: 256 frames" in text
    assert all(word in text for word in ("downtime", "pause", "gap", "digest"))
    assert text.endswith("the guest is the same over there, and sound\n")


def test_a_terminal_shows_it_live() -> None:
    """While memory goes there is a line with the figures of the moment; it is gone in the end."""
    ours, theirs = pty.openpty()
    words = ["migrate", "demo", *QUICK, "--memory", "16MiB", "--fill", "8MiB", "--speed", "40m"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamfmt", *words], stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    try:
        while some := os.read(ours, 4096):
            shown += some
    except OSError:
        pass  # that is how a terminal ends whose other side was closed
    out, _ = process.communicate(timeout=10)
    os.close(ours)

    assert process.returncode == 0, shown
    assert re.search(rb"round 1: [0-9.]+ MiB, [0-9,]+ left, [0-9.]+ MiB/s", shown)
    assert b"Traceback" not in shown
    assert out.endswith("sound\n")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A receiver at a Unix socket in `tmp_path`, which listens."""
    words = ["migrate", "receive", f"unix:{tmp_path}/link", "--run", "0.1", "--check", "--json", "--time-out", "5"]
    process = subprocess.Popen([sys.executable, "-m", "streamfmt", *words], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 10
    while not (tmp_path / "link").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def test_send_and_receive(receiver: subprocess.Popen[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two commands, and a link with an address."""
    status = main(["migrate", "send", f"unix:{tmp_path}/link", *QUICK, "--check", "--json", "--name", "web"])
    ours, theirs = events(capfd.readouterr().out), events(receiver.communicate(timeout=10)[0])

    assert (status, receiver.returncode) == (0, 0)
    assert last(ours, "source", "result")["digest"] == last(theirs, "destination", "result")["digest"]
    assert last(theirs, "destination", "started")["name"] == "web"
    assert last(theirs, "destination", "ran")["broken"] == []
    assert not (tmp_path / "link").exists()


def test_save_and_restore(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """To a file and from it, as xl does."""
    path = tmp_path / "guest.sav"
    assert main(["migrate", "send", f"file:{path}", *QUICK, "--check", "--json"]) == 0
    saved = events(capfd.readouterr().out)
    assert main(["migrate", "receive", f"file:{path}", "--run", "0", "--check", "--json"]) == 0
    restored = events(capfd.readouterr().out)

    assert last(saved, "source", "result")["digest"] == last(restored, "destination", "result")["digest"]
    assert verify(path, strict=True).verdict == "conforms"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["send", "unix:/nonexistent/link", *QUICK, "--time-out", "1"], 1, "nobody listens there"),
        (["send", "nowhere:there", *QUICK], 1, "names no link"),
        (["receive", "tcp:localhost:99999"], 1, "99999"),
        (["receive", "file:/nonexistent/file"], 1, "/nonexistent/file"),
        (["send", "unix:/nonexistent/link", "--memory", "1KiB"], 1, "more than 16 pages"),
        (["send", "unix:/nonexistent/link", *QUICK, "--working-set", "4MiB"], 1, "workload"),
        (["control", "/nonexistent/control", "info"], 1, "no migration has its control socket"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(
    words: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With an exit status, and no traceback."""
    assert main(["migrate", *words]) == status
    printed = capfd.readouterr()

    assert said in printed.err
    assert printed.err.startswith("streamfmt: ")
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["dance"],
        ["send"],
        ["demo", "--policy", "magic"],
        ["demo", "--memory", "much"],
        ["demo", "--speed", "fast"],
        ["demo", "--guest", "animal"],
        ["control", "/x", "dance"],
    ],
)
def test_wrong_usage(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Is a usage error."""
    with pytest.raises(SystemExit) as left:
        main(["migrate", *words])
    assert left.value.code == 2
    assert "usage:" in capfd.readouterr().err


def test_guests_of_all_kinds_that_can_be_made_here(capfd: pytest.CaptureFixture[str]) -> None:
    """Arrive whole; what is missing for one is said, and which serves instead."""
    for kind, why in available().items():
        status = main(["migrate", "demo", "--guest", kind, *QUICK, "--run", "0.05", "--json"])
        printed = capfd.readouterr()
        found = events(printed.out)
        if why:
            assert status == 1
            assert "can" in last(found, "source", "failed")["reason"]
        else:
            assert status == 0, printed.err
            assert last(found, "source", "compared")["equal"]


@pytest.mark.parametrize(
    "words", ["--after -1", "--after nan", "--run inf", "--run 1e30", "--time-out 0", "--time-out nan", "--vcpus -1"]
)
def test_numbers_that_are_none(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are wrong usage, whatever would have come of them."""
    with pytest.raises(SystemExit) as left:
        main(["migrate", "demo", *words.split()])

    assert left.value.code == 2
    assert "is not a" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Sockets are removed, and the exit status says what it was."""
    control = tmp_path / "control"
    words = ["migrate", "demo", *QUICK, "--memory", "16MiB", "--fill", "16MiB", "--speed", "1m"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamfmt", *words, "--control", str(control)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not control.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)

    assert process.returncode == (130 if number is signal.SIGINT else 143), said
    assert "Traceback" not in said
    assert not control.exists()


def test_a_recording_that_cannot_be_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """The file is named, once, and both sides end."""
    status = main(["migrate", "demo", *QUICK, "--record", "/dev/full"])
    said = capfd.readouterr().err

    assert status == 3
    assert "source: /dev/full: No space left on device" in said
    assert said.count("No space left") == 1


def test_a_control_socket_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks is not sent to start a receiver; and a file in the way is no socket that somebody has."""
    assert main(["migrate", "control", str(tmp_path / "none"), "info"]) == 1
    assert "no migration has its control socket there" in capsys.readouterr().err

    assert main(["migrate", "demo", *QUICK, "--control", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("Address already in use; it is no socket\n")


def test_the_live_line_fits(capfd: pytest.CaptureFixture[str]) -> None:
    """Large figures too, beside the bar, on a terminal of 80 columns."""
    line: dict[str, Any] = {}

    class Taken:
        def update(self, **values: Any) -> None:
            line.update(values)

    shown = Shown("source", False, quiet=True)
    shown._line = Taken()  # type: ignore[assignment] # it takes the same
    shown.progress(Statistics(1 << 24, 29, 1 << 24, 64 << 30, 16_700_000, 987.6, dirty_rate=100_000.0, bandwidth=9.9e9))

    assert re.search(r"round 29: 64.00 GiB, 16,700,000 left, .*/s, 100,000 dirty/s, 988 s", line["description"])
    assert len(line["description"]) <= 80 - _BAR - 1


def test_a_device_in_place_of_a_file_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a failed restore has written is removed, and nothing else that has the name."""
    saved, pipe, kept = tmp_path / "saved", tmp_path / "pipe", tmp_path / "kept"
    assert main(["migrate", "send", f"file:{saved}", *QUICK]) == 0
    saved.write_bytes(saved.read_bytes()[:-1])
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    for name in (pipe, kept):
        assert main(["migrate", "receive", f"file:{saved}", "--run", "0", "--emulator", str(name)]) == 1
    os.close(reader)

    assert "closed by the other side" in capfd.readouterr().err
    assert pipe.is_fifo()
    assert not kept.exists()
