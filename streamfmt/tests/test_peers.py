"""The peers give verdicts, the right ones, on many streams in little time."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conformance.peers import script_modules
from ..writer import Part
from .support import peers
from .support.corpus import BREAKING, EACH_SMALL
from .support.good_streams import PV
from .support.paths import P2M, TSC_INFO
from .support.vector import Vector

Sample = Callable[[str], bytes]
_STATUS = {"accept": 0, "reject": 1, "crash": 2}


def _form(data: bytes) -> str:
    """What to call a stream when asking the script."""
    return "libxl" if data.startswith(b"LibxlFmt") else "xl" if data.startswith(b"Xen saved") else "libxc"


def _bytes(vector: Vector) -> bytes:
    return vector.data


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "kind"), [("hvm-64.bin.gz", "hvm"), ("pv-list.bin.gz", "pv"), ("hvm-remus.bin.gz", "hvm-remus")]
)
def test_xenguest_accepts_what_it_wrote(name: str, kind: str, sample: Sample) -> None:
    """Real streams are read to their last byte."""
    data = sample(name)

    (verdict,) = peers.xenguest([(kind, data)])

    assert (verdict.verdict, verdict.offset) == ("accept", len(data))


@pytest.mark.peer
def test_xenguest_rejects_and_says_why(sample: Sample) -> None:
    """Each request is judged as what it says it is, by itself, and the reader's last line comes with the verdict."""
    hvm, checkpointed, pv = (sample(f"{name}.bin.gz") for name in ("hvm-64", "hvm-remus", "pv-list"))

    cut, plain, wrong, empty, whole = peers.xenguest(
        [("hvm", hvm[:-30]), ("hvm", checkpointed), ("hvm", pv), ("pv", b""), ("hvm", hvm)]
    )

    assert [verdict.verdict for verdict in (cut, plain, wrong, empty, whole)] == ["reject"] * 4 + ["accept"]
    assert "Failed to read" in cut.message
    assert cut.offset == len(hvm) - 30
    assert "checkpoint in non-checkpointed" in plain.message
    assert "x86 PV" in wrong.message
    assert empty.offset == 0


@pytest.mark.peer
def test_xenguest_may_crash() -> None:
    """A stream that kills the library is distinguished from one that it refuses, and takes no other with it."""
    # Made here from a strategy: no such stream is stored.
    data = next(_bytes(vector) for vector in BREAKING["LIBXC-P2M-E0"].values() if vector.form == "libxc")

    crash, empty = peers.xenguest([("pv", data), ("pv", b"")])

    assert (crash.verdict, crash.message, empty.verdict) == ("crash", "Segmentation fault", "reject")


@pytest.mark.peer
def test_a_refusal_of_the_hypervisor_is_named() -> None:
    """What the hypervisor refuses is distinguished from what the library itself does."""
    mode = _bytes(Vector(PV.patch(TSC_INFO, "mode", 3)))
    short = _bytes(BREAKING["LIBXC-TSC-LEN"]["short"])

    theirs, own, good = peers.xenguest([("pv", mode), ("hvm", short), ("pv", PV.render())])

    assert (theirs.verdict, theirs.refused) == ("reject", "settscinfo: Invalid argument")
    assert (own.verdict, own.refused) == ("reject", "")
    assert (good.verdict, good.refused) == ("accept", "")


@pytest.mark.peer
def test_running_out_of_memory_is_a_reject() -> None:
    """A list of 2^29 pages takes 4 GiB, more than a reader gets, and its own error says so."""
    # As many frames as fit into the 8 MiB that libxenguest allows a record.
    frames = 1 << 20
    most = struct.pack("<II", 0, (frames - 1) * 512 - 1) + bytes(8 * (frames - 1))
    data = _bytes(Vector(PV.swap(P2M, Part(P2M, data=most))))

    (verdict,) = peers.xenguest([("pv", data)])

    assert (verdict.verdict, "alloc 4294963200 bytes" in verdict.message) == ("reject", True)


@pytest.mark.peer
def test_many_streams_take_seconds_and_have_one_verdict() -> None:
    """A process per stream would take minutes; memory, order and neighbours leave no trace in a verdict."""
    some = [("hvm", _bytes(vector)[:200]) for vector in EACH_SMALL[::10]]
    # The library prints what it never wrote, of the heap.
    some.append(("pv", _bytes(BREAKING["LIBXC-P2M-START"]["second"])))
    began = time.monotonic()

    verdicts = peers.xenguest(some * 30)

    assert len(verdicts) > 2000
    assert time.monotonic() - began < 20
    assert verdicts == peers.xenguest(some) * 30


@pytest.mark.peer
@pytest.mark.parametrize(
    "request_",
    [
        b"hvm",
        b"hvm\n",
        b"hvm 0",
        b"hvm 1x\n1",
        b"hvm -1\n",
        b"hvm  0\n",
        b"HVM 0\n",
        b"hvm 9\n12345678",
        b"hvm 1" + b"0" * 99,
    ],
)
def test_a_malformed_request_ends_the_judging(request_: bytes) -> None:
    """What went before it has been answered."""
    done = subprocess.run(
        [peers.require("xenpeer"), "judge"], input=b"pv 0\n" + request_, capture_output=True, check=False
    )

    assert done.returncode == 2
    assert done.stdout.count(b"\n") == 1
    assert b"request" in done.stderr


@pytest.mark.peer
def test_the_batch_judges_as_the_script_does(tmp_path: Path) -> None:
    """Our driver of Xen's modules gives the whole script's exit status, in every form and with every verdict."""
    program = peers.require("verify-stream-v2")
    streams = [(_form(data), data) for data in map(_bytes, EACH_SMALL)]
    groups: dict[tuple[str, str], list[bytes]] = {}
    for (form, data), said in zip(streams, peers.script(streams), strict=True):
        groups.setdefault((form, said.verdict), []).append(data)
    environment = {**os.environ, "PYTHONPATH": script_modules(program)}
    path = tmp_path / "stream"

    assert groups.keys() >= {(form, verdict) for form in ("libxc", "libxl", "xl") for verdict in ("accept", "reject")}
    assert ("libxc", "crash") in groups
    for (form, verdict), members in groups.items():
        for data in members[:: len(members) // 6 + 1]:
            path.write_bytes(data)
            command = [program, "-f", form, "-i", str(path)]
            done = subprocess.run(command, capture_output=True, env=environment, check=False)
            assert done.returncode == _STATUS[verdict]


@pytest.mark.parametrize(
    ("wanted", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)], ids=["skip", "fail"]
)
def test_a_missing_peer_is_said(
    wanted: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the program no test passes in silence."""
    monkeypatch.setenv("STREAMFMT_XENPEER", str(tmp_path / "xenpeer"))
    monkeypatch.setenv("STREAMFMT_REQUIRE_PEERS", wanted)

    with pytest.raises(outcome, match=r"xenpeer is missing.*make peers"):
        peers.xenguest([])


def test_a_peer_that_stops_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that ends early is our trouble, and its own words come with it."""
    program = tmp_path / "xenpeer"
    program.write_text("#!/bin/sh\necho out of luck >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("STREAMFMT_XENPEER", str(program))

    with pytest.raises(RuntimeError, match=r"0 of 1 requests, status 0: out of luck"):
        peers.xenguest([("hvm", b"")])


def test_skipped_tests_say_why(tmp_path: Path) -> None:
    """By the project's settings many tests that are skipped for one reason are one line, with the reason."""
    many = tmp_path / "test_many.py"
    many.write_text(
        "import pytest\nfrom streamfmt.tests.support import peers\n"
        "@pytest.mark.parametrize('number', range(500))\ndef test_peer(number): peers.xenguest([])\n"
    )
    settings = Path(peers.__file__).parents[3] / "pyproject.toml"
    command = [sys.executable, "-m", "pytest", "-c", str(settings), "-p", "no:cacheprovider", str(many)]
    environment = {**os.environ, "STREAMFMT_XENPEER": str(tmp_path / "none"), "STREAMFMT_REQUIRE_PEERS": ""}
    done = subprocess.run(command, cwd=settings.parent, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "xenpeer is missing (make peers)" in line]

    assert [line.split()[:2] for line in lines] == [["SKIPPED", "[500]"]]
