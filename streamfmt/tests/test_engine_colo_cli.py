"""`migrate send --colo` and `receive --colo`, as processes, one of which is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..cli.main import main
from ..engine.guest.makes import available
from .test_engine_remus_cli import GUEST, _command


def test_a_primary_that_is_killed(tmp_path: Path) -> None:
    """The secondary's guest is the only one then, and says why; its events are as documented."""
    uri = f"unix:{tmp_path}/here"
    with _command("receive", "--colo", uri, "--run", "0.1") as secondary:
        secondary.event("listening")
        with _command("send", "--colo", uri, "--longest", "1ms", *GUEST) as primary:
            found = primary.event("checkpoint", 20)
            primary.process.kill()
            over = secondary.event("failed over")
            ran = secondary.event("ran")

    assert (found["number"], found["reason"]) == (19, "interval")
    assert over["checkpoint"] >= 18
    assert over["took"] < 0.5
    assert ran["broken"] == []


def test_a_secondary_that_is_killed(tmp_path: Path) -> None:
    """The primary's guest goes on, and what is printed says how it went."""
    uri, figure = f"unix:{tmp_path}/here", tmp_path / "figure.svg"
    with _command("receive", "--colo", uri) as secondary:
        secondary.event("listening")
        words = ("--longest", "1ms", "--run", "0.01", "--figure", str(figure))
        with _command("send", "--colo", uri, *words, *GUEST) as primary:
            primary.event("checkpoint", 5)
            secondary.process.kill()
            kept, protected = primary.event("kept"), primary.event("protected")
            failed = primary.event("failed")
            primary.process.wait(10)

    assert kept["running"]
    assert protected["figures"]["checkpoints"] >= 5
    assert failed["reason"]
    assert primary.process.returncode == 1
    assert figure.read_text().startswith("<svg")


_TEXT = "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("kind", ["process", "kvm"])
def test_what_is_seen_of_a_real_guest(kind: str, tmp_path: Path) -> None:
    """Its console is compared as it runs on both sides, each in a process; when the primary is killed the secondary's
    goes on.  What either lets be seen is the text that the guest writes, without a gap in it or a character twice."""
    if why := available()[kind]:
        pytest.skip(why)
    uri, packets = f"unix:{tmp_path}/here", f"unix:{tmp_path}/packets"
    seen, after = tmp_path / "seen", tmp_path / "after"
    both = ("--colo", uri, "--packets", packets)
    with _command("receive", *both, "--guest", kind, "--run", "0.2", "--output", str(after)) as secondary:
        secondary.event("listening")
        words = ("--longest", "10ms", "--output", str(seen), "--vcpus", "2", "--console", _TEXT)
        with _command("send", *both, *words, "--guest", kind, "--memory", "1MiB", "--working-set", "64KiB") as primary:
            rows = [primary.event("checkpoint") for _ in range(12)]
            primary.process.kill()
            secondary.event("failed over")
            ran = secondary.event("ran")

    assert ran["broken"] == []
    # It is deterministic, so nothing differs; a machine that is busy may leave a packet without its like for too long.
    assert not [row["reason"] for row in rows if "differ" in row["reason"]]
    assert max(row["theirs"] for row in rows) > 0
    for path, least in ((seen, 200), (after, 1)):
        text = path.read_bytes().decode()
        assert len(text) >= least
        begin = _TEXT.index(text[0])
        assert text == (_TEXT * (len(text) // len(_TEXT) + 2))[begin : begin + len(text)]
    assert seen.read_bytes()[:1] == _TEXT[:1].encode()


@pytest.mark.parametrize(
    "words",
    [
        ["send", "--packets", "unix:x", "unix:y"],
        ["send", "--colo", "--remus", "1", "unix:y"],
        ["send", "--colo", "file:y"],
        ["receive", "--colo", "--packets", "unix:x", "unix:y"],
        ["send", "--colo", "--longest", "soon", "unix:y"],
    ],
)
def test_options_that_cannot_be_together(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, said."""
    try:
        status = main(["migrate", *words])
    except SystemExit as ended:
        status = int(str(ended.code))

    assert status == 2
    assert "--" in capsys.readouterr().err
