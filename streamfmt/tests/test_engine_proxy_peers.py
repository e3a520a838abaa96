"""The proxy between two real toolstacks: `xl migrate` here, `xl migrate-receive` there, and a link that fails."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from ..cli.main import main
from ..conformance.host import LIBXLPEER, PROJECT, Host
from .support import peers
from .support.kill_points import wait_until
from .support.moving import moved, way, working


def _there(host: Host, folder: Path) -> str:
    """A command that receives with xl on a host; all of its environment is in it."""
    names = [*(name for name in host.environment if host.environment[name] != os.environ.get(name))]
    words = [f"{name}={shlex.quote(host.environment[name])}" for name in names]
    return f"exec env {' '.join(words)} {host.program('xl')} migrate-receive -e 2>{folder}/there"


def _domains(host: Host) -> list[str]:
    lines = host.run([host.program("xl"), "list"]).stdout.splitlines()
    return [line.split()[0] for line in lines[2:]]


@pytest.mark.peer
@pytest.mark.parametrize("cut", ["", "PAGE_DATA", "libxl.END"])
def test_between_two_xls(cut: str, tmp_path: Path) -> None:
    """The guest is at one of both hosts afterwards: there, or here if the link was cut before it was given away."""
    peers.require(LIBXLPEER)
    guest = working("hvm")
    stream = moved(guest, way()).stream
    guest.close()
    path, script, record = tmp_path / "guest.sav", tmp_path / "proxy.sh", tmp_path / "record"
    path.write_bytes(stream)
    with Host() as here, Host() as there:
        words = [sys.executable, "-m", "streamfmt", "migrate", "proxy", "-", f"exec:{_there(there, tmp_path)}"]
        words += ["--verify", "--json", "--record", str(record), *(["--cut-after", cut] if cut else [])]
        clean = f"env -u LD_PRELOAD -u LD_LIBRARY_PATH PYTHONPATH={PROJECT}"
        script.write_text(f"#!/bin/sh\nexec {clean} {shlex.join(words)} 2>{tmp_path}/proxy\n")
        script.chmod(0o755)
        assert here.xl("restore", "-e", path).status == 0
        did = here.run([here.program("xl"), "migrate", "-s", "", "guest", script], 60)
        # The sender does not wait for what the other side has to tidy up.
        wait_until(lambda: '"result"' in (tmp_path / "proxy").read_text(), 10)
        found = _domains(here), _domains(there)

    result = json.loads((tmp_path / "proxy").read_text().splitlines()[-1])
    assert result["verified"]["verdict"] == ("does not conform" if cut == "PAGE_DATA" else "conforms")
    if cut:
        assert result["cut"].startswith(f"at {cut}:1, after")
        assert did.status
        # When xl cannot say that it is ready, it ends, and leaves what it has received standing.
        assert found == (["guest"], ["guest--incoming"] if cut == "libxl.END" else [])
    else:
        assert (did.status, result["cut"], result["back"]["bytes"]) == (0, None, 128)
        assert found == ([], ["guest"])
        assert main(["verify", "-q", str(record)]) == 0
