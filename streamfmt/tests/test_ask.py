"""What Xen of a release does with a file: real readers, asked about what their own savers wrote and about worse."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from .. import api
from ..conformance import ask
from ..conformance.peers import RELEASE, RELEASES, XENPEER
from ..render import evidence
from .support import peers
from .support.corpus import BREAKING
from .support.good_streams import HVM


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_a_release_reads_what_all_wrote(release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Streams of each release's saver conform, and this release restores them as the clauses foretell."""
    peers.require(XENPEER, release)
    written: list[str] = []
    for saver in RELEASES:
        program = peers.require(XENPEER, saver)
        for words in (["--hvm"], ["--pv"], ["--hvm", "--remus", "2"]):
            path = tmp_path / f"{saver}{len(written)}"
            subprocess.run([program, "save", *words, "--pages", "32", "-q", path], check=True, capture_output=True)
            written.append(str(path))

    assert ask.main(["--release", release, *written]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert all(api.verify(path).conforms for path in written)
    assert [(answer["file"], answer["release"]) for answer in answers] == [(path, release) for path in written]
    assert {(answer["verdict"], answer["clauses"]["verdict"]) for answer in answers} == {("accept", "accept")}


@pytest.mark.peer
def test_a_refusal_is_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the reader says, where it stopped, and the clause by which it does."""
    peers.require(XENPEER)
    path = tmp_path / "stream"
    path.write_bytes(BREAKING["LIBXC-TSC-LEN"]["short"].data)

    assert ask.main(["--release", RELEASE, str(path)]) == 0
    answer = json.loads(capsys.readouterr().out)

    assert (answer["reader"], answer["verdict"], answer["clauses"]["verdict"]) == ("libxenguest", "reject", "reject")
    assert answer["clauses"]["clause"] == "LIBXC-TSC-LEN"
    assert answer["clauses"]["offset"] <= answer["offset"]


@pytest.mark.peer
@pytest.mark.parametrize("secondary", RELEASES)
def test_a_colo_pair_runs_over_pipes(secondary: str, tmp_path: Path) -> None:
    """Either end of COLO is real: the guest that is left is as the primary's."""
    primary, other = peers.require(XENPEER), peers.require(XENPEER, secondary)
    # From 4.18 on what a secondary sends back breaks off the second round (COLO-DIRTY-HDR).
    works = tuple(map(int, secondary.split("."))) < (4, 18)
    (forward, to_secondary), (back, to_primary) = os.pipe(), os.pipe()
    command = [other, "restore", "--colo", "--pages", "64", "--dirty", "2", "-q", "--back", str(to_primary), "-"]
    reader = subprocess.Popen(command, stdin=forward, stdout=subprocess.PIPE, pass_fds=[to_primary])
    os.close(forward)
    os.close(to_primary)
    report = tmp_path / "report"
    command = [primary, "save", "--colo", "3", "--pages", "64", "-q", "--json", str(report), "--back", str(back), "-"]
    status = subprocess.run(command, stdout=to_secondary, pass_fds=[back], stderr=subprocess.DEVNULL, check=False)
    os.close(to_secondary)
    # Till the secondary has ended there is somebody to whom it can write, or it would be ended by that.
    left = json.loads(reader.communicate()[0])
    os.close(back)

    assert left["result"] == "accept"
    assert (status.returncode == 0) == works
    assert (json.loads(report.read_text())["state"]["memory"] == left["state"]["memory"]) == works


def test_files_that_none_reads_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another form, and no file at all, each with what is the matter."""
    path = tmp_path / "note"
    path.write_bytes(b"not a stream")

    assert ask.main([str(path), str(tmp_path / "none")]) == 3
    said = capsys.readouterr().err

    assert "the readers here take libxc" in said
    assert "No such file" in said


def test_a_missing_release_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that brings it."""
    monkeypatch.setattr("streamfmt.conformance.peers._ROOT", str(tmp_path))
    path = tmp_path / "stream"
    path.write_bytes(HVM.render())

    assert ask.main(["--release", "4.14", str(path)]) == 3
    assert "xenpeer of Xen 4.14 is missing (make peers)" in capsys.readouterr().err


def test_the_page_of_evidence_is_current() -> None:
    """Rows that were not seen running are listed."""
    assert Path(evidence.TARGET).read_text(encoding="utf-8") == evidence.text(), "make generate"
