"""``streamfmt migrate send --qemu`` and ``receive --qemu``."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import streamfmt

from .. import data
from ..cli.main import main
from ..engine import migrate_qemu
from ..engine.interface import End
from ..engine.migrate_qemu import Received, Taking
from ..engine.transport.ends import connect, listen
from ..engine.waiting import Waiter
from ..errors import LinkError
from .support.qemu_moves import PAGE, PATIENCE, Guest, Side, sent, waiter

TAKING = Taking(patience=PATIENCE)


def _receiving(path: Path) -> tuple[str, Side]:
    """An address at which a guest is awaited, and what comes of it."""
    uri = f"unix:{path}"
    listener = listen(uri)

    def work() -> Received:
        with waiter() as waits, closing(listener), closing(listener.accept(waits, waits.clock() + PATIENCE)) as end:
            return migrate_qemu.receive(end, Guest, waits, TAKING)

    return uri, Side(work)


def _events(text: str) -> list[str]:
    """What happened, by lines that are of their published form."""
    with open(data.path("spec", "json", "migrate.json"), "rb") as file:
        form = Draft202012Validator(json.load(file))
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        form.validate(each)
    return [each["event"] for each in found]


def _main(*words: str) -> int:
    return main(["migrate", *words])


def test_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A guest is made and sent; what went is recorded, and played again."""
    uri, side = _receiving(tmp_path / "socket")
    recorded = tmp_path / "recorded"
    words = ("--qemu", uri, "--memory", "4MiB", "--fill", "1MiB", "--release", "10.0", "--record", str(recorded))

    assert _main("send", *words, "--json", "--after", "0", "--policy", "rounds=2") == 0
    first = side.done()
    assert first.state == "running"
    events = [event for event in _events(capsys.readouterr().out) if event != "round"]
    assert events == ["begun", "stopped", "sent", "moved", "result"]
    assert streamfmt.verify(recorded, target=["qemu-10.0"]).conforms

    uri, side = _receiving(tmp_path / "again")
    assert _main("send", "--qemu", uri, "--play", str(recorded)) == 0
    assert bytes(side.done().guest.memory) == bytes(first.guest.memory)
    assert "was sent" in capsys.readouterr().out


def test_send_to_a_file(tmp_path: Path) -> None:
    """A file is no receiver: nobody is asked for an answer, and it is a stream like any other."""
    path = tmp_path / "saved"

    assert _main("send", "--qemu", f"file:{path}", "--memory", "4MiB", "--non-live", "--after", "0") == 0
    assert not streamfmt.verify(path).findings
    with streamfmt.open(path) as opened:
        assert "COMMAND" not in [item.name for item in opened]
    assert _main("receive", "--qemu", f"file:{path}", "--paused", "--run", "0") == 0


def _sending(guest: Guest, path: Path) -> Side:
    """A guest that is sent to who waits there, once somebody does."""

    def work() -> object:
        with waiter() as waits, closing(_connected(path, waits)) as end:
            return sent(guest, end, migrate_qemu.Terms(patience=PATIENCE))

    return Side(work)


def _connected(path: Path, waits: Waiter) -> End:
    limit = waits.clock() + PATIENCE
    while True:
        try:
            return connect(f"unix:{path}", waits, limit)
        except LinkError:  # it is not there yet, or nobody listens yet
            if waits.clock() > limit:
                raise
        waits.sleep(waits.clock() + 0.01)


def test_receive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A guest is received, its devices kept; or the stream is."""
    contents = {frame: bytes((frame + 1,)) * PAGE for frame in range(200)}
    devices, stored = tmp_path / "devices", tmp_path / "stored"
    side = _sending(Guest(256, contents), tmp_path / "socket")
    words = ("--device-state", str(devices), "--run", "0", "--json")
    assert _main("receive", "--qemu", f"unix:{tmp_path}/socket", *words) == 0
    assert not isinstance(side.done(), Exception)
    assert streamfmt.verify(devices).conforms
    assert _events(capsys.readouterr().out) == ["listening", "received", "ran"]

    side = _sending(Guest(256, contents), tmp_path / "other")
    assert _main("receive", "--qemu", f"unix:{tmp_path}/other", "--store", str(stored)) == 0
    assert not isinstance(side.done(), Exception)
    assert streamfmt.verify(stored).conforms
    assert f"{stored} has the stream" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("send unix:x --play file", "--play needs --qemu"),
        ("send unix:x --release 7.2", "--release needs --qemu"),
        ("receive unix:x --store file", "--store needs --qemu"),
        ("send unix:x --qemu --type pv", "PV"),
        ("send unix:x --qemu --verify", "--verify"),
        ("send unix:x --qemu --play file --device-state file", "as it is"),
        ("receive unix:x --qemu --store file --device-state file", "all of the stream"),
    ],
)
def test_what_does_not_fit(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options that need QEMU at the other end, or do not go together."""
    assert _main(*words.split()) == 2
    assert said in capsys.readouterr().err


def test_what_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no stream, one that is not there, nobody at the other end: a line each."""
    other = tmp_path / "other"
    other.write_bytes(b"nothing")
    uri, side = _receiving(tmp_path / "socket")

    assert _main("send", "--qemu", uri, "--play", str(other)) == 1
    assert "does not begin as QEMU's streams do" in capsys.readouterr().err
    assert isinstance(side.done(), Exception)
    uri, side = _receiving(tmp_path / "second")
    assert _main("send", "--qemu", uri, "--play", str(tmp_path / "absent")) == 3
    assert isinstance(side.done(), Exception)
    assert _main("send", "--qemu", f"unix:{tmp_path}/nobody", "--play", str(other)) == 1
    assert "nobody listens" in capsys.readouterr().err
