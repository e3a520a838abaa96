"""The commands' options about links: TLS, memory by descriptor, and the proxy between real sides."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from ..cli.main import main
from .support.kill_points import environment, wait_until

SECONDS = 30.0
SEND = ["migrate", "send"]
GUEST = ["--memory", "4MiB", "--fill", "1MiB", "--after", "0", "--time-out", "5"]


@contextmanager
def running(*words: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A command of `migrate` that listens: where, and its process."""
    command = [sys.executable, "-m", "streamfmt", "migrate", *words, "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    try:
        assert child.stdout is not None
        line = json.loads(child.stdout.readline())
        assert line["event"] == "listening"
        yield line["uri"], child
    finally:
        child.kill()
        child.communicate()


def ended(child: subprocess.Popen[bytes]) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Its exit status, its events by name, and what it said besides."""
    out, err = child.communicate(timeout=SECONDS)
    events = {line["event"]: line for line in map(json.loads, out.splitlines())}
    return child.returncode, events, err.decode()


def _certificates(folder: Path, authority: trustme.CA, name: str, *hosts: str) -> list[str]:
    made = authority.issue_cert(*hosts)
    made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    authority.cert_pem.write_to_path(str(folder / f"{name}.authority"))
    files = {"certificate": "pem", "key": "key", "authority": "authority"}
    return [word for kind, end in files.items() for word in (f"--tls-{kind}", str(folder / f"{name}.{end}"))]


def test_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A guest goes over it; to a receiver of another name it does not go."""
    authority = trustme.CA()
    theirs = _certificates(tmp_path, authority, "receiver", "target.example")
    ours = _certificates(tmp_path, authority, "sender", "source.example")
    receive = ["receive", "tcp:127.0.0.1:0", "--run", "0", *theirs]
    with running(*receive) as (uri, child):
        assert main([*SEND, uri, *GUEST, *ours, "--tls-host", "target.example", "--json"]) == 0
        assert ended(child)[0] == 0
    with running(*receive) as (uri, child):
        capsys.readouterr()
        assert main([*SEND, uri, *GUEST, *ours]) == 1
        status, _, err = ended(child)
    assert status == 1
    assert "refuses our certificate" in err
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in capsys.readouterr().err


def test_by_descriptor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A large guest is there at once, whole, and its stream has no memory."""
    with running("receive", f"unix:{tmp_path}/socket", "--run", "0.1", "--check", "--by-descriptor") as (uri, child):
        large = ["--memory", "16GiB", *GUEST[2:], "--by-descriptor", "--json"]
        assert main([*SEND, uri, *large, "--dirty-rate", "5000"]) == 0
        status, events, _ = ended(child)
    assert (status, events["ran"]["broken"]) == (0, [])
    assert events["result"]["broken"] == []
    assert events["begun"]["frames"] == 16 << 18
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = next(line["statistics"] for line in lines if line["event"] == "result")
    assert figures["sent"] < 100_000
    assert not list(tmp_path.iterdir())


def test_proxy_between_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It sees a stream that conforms; and where it cuts one, the guest stays where it was."""
    with running("receive", f"unix:{tmp_path}/there", "--run", "0") as (there, receiver):
        with running("proxy", f"unix:{tmp_path}/here", there, "--verify", "--crumbs") as (here, proxy):
            assert main([*SEND, here, *GUEST]) == 0
            status, events, _ = ended(proxy)
        assert ended(receiver)[0] == 0
    assert status == 0
    assert events["result"]["verified"]["verdict"] == "conforms"
    assert events["result"]["back"]["bytes"] == 128
    with running("receive", f"unix:{tmp_path}/there", "--run", "0") as (there, receiver):
        with running("proxy", f"unix:{tmp_path}/here", there, "--cut-after", "PAGE_DATA:2") as (here, proxy):
            capsys.readouterr()
            assert main([*SEND, here, *GUEST, "--json"]) == 1
            assert ended(proxy)[0] == 0
        status, _, err = ended(receiver)
    assert status == 1
    assert "the link was closed by the other side" in err
    kept = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(line["running"] for line in kept if line["event"] == "kept") is True


def test_what_is_printed_is_not_on_the_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A receiver that a sender starts prints to standard error: what is on the link is the migration's."""
    said = tmp_path / "said"
    path = environment()["PYTHONPATH"]
    there = shlex.join(["env", f"PYTHONPATH={path}", sys.executable, "-m", "streamfmt", "migrate", "receive", "fd:0,1"])
    status = main([*SEND, f"exec:{there} --run 0 --check --json 2>{said}", *GUEST, "--check", "--json"])
    ours = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    theirs = [json.loads(line) for line in said.read_text().splitlines()]

    assert status == 0
    digests = [event["digest"] for event in (*ours, *theirs) if "digest" in event]
    assert len(digests) == 2
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_signals_leave_nothing(number: signal.Signals, status: int, tmp_path: Path) -> None:
    """A receiver that is ended removes its socket; a sender ends what it has started."""
    with running("receive", f"unix:{tmp_path}/socket", "--control", f"{tmp_path}/control") as (_, child):
        child.send_signal(number)
        child.wait(SECONDS)
    assert child.returncode == status
    assert not list(tmp_path.iterdir())
    if number != signal.SIGTERM:
        return
    mark = tmp_path / "pid"
    command = [sys.executable, "-m", "streamfmt", *SEND, f"exec:echo $$ >{mark}.new; mv {mark}.new {mark}; sleep 300"]
    sender = subprocess.Popen([*command, *GUEST], stderr=subprocess.DEVNULL, env=environment())
    wait_until(mark.exists)
    sender.send_signal(number)
    assert sender.wait(SECONDS) == status
    wait_until(lambda: not _lives(int(mark.read_text())), 5)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tls-key", "x"], "--tls-key needs --tls-certificate and --tls-authority beside it"),
        (["--tls-host", "x"], "--tls-host needs --tls-certificate"),
        (["--by-descriptor", "--type", "pv"], "--by-descriptor is for HVM guests"),
        (["--by-descriptor", "--qemu"], "--by-descriptor cannot go with --qemu"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said before anything begins."""
    assert main([*SEND, "tcp:127.0.0.1:1", *words]) == 2
    assert says in capsys.readouterr().err


def test_descriptor_that_the_other_side_does_not_expect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both sides say what came."""
    with running("receive", f"unix:{tmp_path}/socket", "--run", "0", "--time-out", "2") as (uri, child):
        assert main([*SEND, uri, *GUEST, "--by-descriptor"]) == 1
        status, _, err = ended(child)
    assert status == 1
    assert "what came is no xl header, but 'streamfmt guest memory by descriptor" in err
    assert "what came is no xl header" in capsys.readouterr().err
