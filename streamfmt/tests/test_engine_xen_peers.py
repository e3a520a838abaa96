"""Guests move between us and Xen's own programs, with the same memory afterwards; `make peers` brings those."""

from __future__ import annotations

import io
import os
import shlex
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import streamfmt

from .. import verify
from ..conformance import pv_kernel, save_helper
from ..conformance.host import LIBXLPEER, PROJECT, Host
from ..conformance.peers import RELEASES, XENPEER
from ..conformance.restored import Restored, present, restore, taken
from ..engine.configuration import Configuration
from ..engine.framing_xen import PAGE
from ..engine.guest.model import Model
from ..engine.migrate import Asked, Patience, Restoring, Taking, save, send
from ..engine.transport.ends import connect, listen
from ..engine.waiting import Waiter
from ..schema import libxc
from .support import peers
from .support.moving import PAGES, Kept, another, moved, way, working
from .support.same_memory import assert_equal, contents, levels

KINDS = pytest.mark.parametrize("kind", ["hvm", "pv"])
SLOW = Patience(20.0, 20.0, 20.0, 20.0)


def recorded(kind: str) -> tuple[Model, bytes]:
    """A guest that was moved live while it wrote, paused, and the stream that went."""
    found = moved(working(kind, 1e5), way())
    assert found.errors == {}
    assert found.guest is not None
    found.guest.close()
    guest = found.sending.guest
    assert isinstance(guest, Model)
    return guest, found.stream


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_the_c_reader_takes_what_we_send(release: str, kind: str) -> None:
    """And has the memory of our guest then; our own verifier finds nothing."""
    peers.require(XENPEER, release)
    guest, stream = recorded(kind)
    read = taken(kind, stream[stream.index(libxc.MARKER) :], release)

    assert read.accepted, read.log
    assert_equal(guest, dict(read.pages))
    assert verify(io.BytesIO(stream), strict=True).verdict == "conforms"
    guest.close()


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_xl_restores_what_we_save(release: str, kind: str) -> None:
    """The device model gets its state, too."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded(kind)
    with Host(release) as host:
        found: Restored = restore(host, f"xl-{kind}", stream)

        assert found.verdict.verdict == "accept", found.verdict.lines
        assert_equal(guest, found.canonical(levels(guest)))
        assert found.state == guest.emulator()
    guest.close()


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_we_send_to_xl(release: str, kind: str, tmp_path: Path) -> None:
    """`xl migrate-receive` takes a guest that writes, and starts it."""
    peers.require(LIBXLPEER, release)
    guest = working(kind, 1e4)
    with Host(release) as host:
        waiter = Waiter()
        end = connect(f"exec:{_there(host, tmp_path)}", waiter)
        try:
            statistics = send(guest, end, way(), Asked(waiter, SLOW))
        finally:
            end.close()
            waiter.close()
        pages, frames = present(host, kind == "pv")
        listed = host.run([host.program("xl"), "list"]).stdout.splitlines()
        found = Restored(None, pages, frames, b"", {})  # type: ignore[arg-type] # xl has no verdict here

        assert statistics.pause is not None
        assert not guest.running
        assert_equal(guest, found.canonical(levels(guest)))
        assert listed[2].split()[0] == "guest"
    guest.close()


def _there(host: Host, folder: Path) -> str:
    """A command that receives with xl on a host; all of its environment is in it."""
    names = [*(name for name in host.environment if host.environment[name] != os.environ.get(name))]
    words = [f"{name}={shlex.quote(host.environment[name])}" for name in names]
    return f"exec env {' '.join(words)} {host.program('xl')} migrate-receive -e 2>{folder}/log"


_RECEIVER = """\
import sys
sys.path.insert(0, {project!r})
from streamfmt.engine.migrate import Asked, Patience, Taking, receive
from streamfmt.engine.transport.ends import listen
from streamfmt.engine.waiting import Waiter
from streamfmt.tests.support.moving import another
waiter = Waiter()
end = listen("fd:0,1", waiter).accept(waiter)
said = open({said!r}, "w")
guest = receive(end, another, Taking(inspect=lambda guest: said.write(guest.digest())), Asked(waiter, Patience()))
guest.pause()
said.write(" " + repr(guest.broken()))
said.close()
"""


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_xl_sends_to_us(release: str, kind: str, tmp_path: Path) -> None:
    """`xl migrate` moves a guest, which xl restored from our file, back to us."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded(kind)
    path, said = tmp_path / "guest.sav", tmp_path / "said"
    path.write_bytes(stream)
    (tmp_path / "receive.py").write_text(_RECEIVER.format(project=str(PROJECT), said=str(said)))
    script = tmp_path / "receive.sh"
    python = f"env -u LD_PRELOAD -u PYTHONPATH -u LD_LIBRARY_PATH {sys.executable}"
    script.write_text(f"#!/bin/sh\nexec {python} {tmp_path}/receive.py 2>{tmp_path}/log\n")
    script.chmod(0o755)
    with Host(release) as host:
        assert host.xl("restore", "-e", path).status == 0
        with _kernel(host, guest):
            did = host.run([host.program("xl"), "migrate", "-s", "", "guest", script], 60)
        listed = host.run([host.program("xl"), "list"]).stdout.splitlines()

        assert did.status == 0, did.log + (tmp_path / "log").read_text()
        assert len(listed) == 2  # the guest is gone there
    digest, broken = said.read_text().split(" ", 1)
    assert broken == "[]"
    assert len(digest) == 64
    guest.close()


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_we_restore_what_xl_saves(release: str, kind: str, tmp_path: Path) -> None:
    """A guest that went to xl by a file comes back by one, with its memory."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded(kind)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(stream)
    with Host(release) as host:
        assert host.xl("restore", "-e", first).status == 0
        with _kernel(host, guest):
            saved = host.xl("save", "guest", second)
        assert saved.status == 0, saved.log
    arrived = _restored(second, tmp_path / "emulator")

    assert_equal(guest, contents(arrived))
    assert arrived.broken() == []
    for each in (guest, arrived):
        each.close()


def _lists(host: Host, guest: Model) -> None:
    """A PV guest's kernel goes on there."""
    layout = guest._pv._layout  # type: ignore[attr-defined] # where it has its lists
    pv_kernel.goes_on(host, guest.pages, layout.top, layout.lists, layout.leaves, levels(guest))


def _kernel(host: Host, guest: Model) -> AbstractContextManager[None]:
    """What a guest does itself while xl moves it; an HVM guest without drivers nothing."""
    if guest.type == "hvm":
        return nullcontext()
    _lists(host, guest)
    return pv_kernel.suspending(host)


def _restored(path: Path, emulator: Path) -> Model:
    waiter = Waiter()
    end = listen(f"file:{path}").accept(waiter)
    try:
        guest = Restoring(end, another, Taking(False, emulator), Asked(waiter)).restore()
    finally:
        end.close()
        waiter.close()
    assert isinstance(guest, Model)
    return guest


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_the_save_helper_restores_what_we_save(release: str, kind: str, tmp_path: Path) -> None:
    """Libxl's helper reads our image, no byte further, and hands over after it."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded(kind)
    start, path = stream.index(libxc.MARKER), tmp_path / "stream"
    path.write_bytes(stream)
    with Host(release) as host:
        domid = save_helper.create(host, kind)
        with path.open("rb") as file:
            os.lseek(file.fileno(), start, os.SEEK_SET)
            did = save_helper.restore(host, file.fileno(), domid)
            after = stream[os.lseek(file.fileno(), 0, os.SEEK_CUR) :]
        pages, frames = present(host, kind == "pv")
        found = Restored(None, pages, frames, b"", {})  # type: ignore[arg-type] # as above

        assert (did.retval, did.status) == (0, 0), did.log
        assert did.calls == ["static_data_done", "restore_results"]
        assert_equal(guest, found.canonical(levels(guest)))
        # The device model's record, and END, are left for libxl.
        assert after[:4] in (b"\3\0\0\0", b"\0\0\0\0")
        assert after.endswith(bytes(8))
    guest.close()


@pytest.mark.peer
@KINDS
@pytest.mark.parametrize("release", RELEASES)
def test_we_restore_what_the_save_helper_saves(release: str, kind: str, tmp_path: Path) -> None:
    """Our restorer around libxl's saver: the helper's image goes between our libxl records, through a pipe."""
    peers.require(LIBXLPEER, release)
    guest, stream = recorded(kind)
    start = stream.index(libxc.MARKER)
    path = tmp_path / "stream"
    path.write_bytes(stream)
    with Host(release) as host:
        domid = save_helper.create(host, kind)
        with path.open("rb") as file:
            os.lseek(file.fileno(), start, os.SEEK_SET)
            assert save_helper.restore(host, file.fileno(), domid).retval == 0
        if kind == "pv":
            _lists(host, guest)
        reading, writing = os.pipe()
        calls: list[str] = []

        def write() -> None:
            try:
                os.write(writing, stream[:start])
                calls.extend(save_helper.save(host, writing, domid, live=True).calls)
                os.write(writing, _tail(stream))
            finally:
                os.close(writing)

        thread = threading.Thread(target=write)
        thread.start()
        waiter, kept = Waiter(), Kept()
        end = listen(f"fd:{reading}").accept(waiter)
        restoring = Restoring(end, another, Taking(False), Asked(waiter, SLOW, watcher=kept))
        arrived = restoring.restore()
        thread.join(20)
        end.close()
        waiter.close()

    assert isinstance(arrived, Model)
    assert "suspend" in calls
    assert_equal(guest, contents(arrived))
    assert verify(io.BytesIO(bytes(kept.data))).verdict == "conforms"
    for each in (guest, arrived):
        each.close()


def _tail(stream: bytes) -> bytes:
    """What comes after the image: the device model's record, if there is one, and END."""
    with streamfmt.open(stream) as items:
        own = [item.offset for item in items if item.layer == "xl/libxl"]
    return stream[next(at for at in own if at > stream.index(libxc.MARKER)) :]


def test_what_is_compared_would_show_a_difference() -> None:
    """A page that differs, is missing, or is one too many."""
    guest = working("hvm", 0.0)
    pages = contents(guest)
    frame = min(pages)
    for wrong in (
        {**pages, frame: b"\1" * PAGE},
        {at: page for at, page in pages.items() if at != frame},
        {**pages, PAGES - 1: b"\1" * PAGE},
    ):
        with pytest.raises(AssertionError):
            assert_equal(guest, wrong)
    assert_equal(guest, pages)
    guest.close()


def test_configurations_of_ours_are_those_of_xl() -> None:
    """What our header says of a guest is read by the same rules as xl's."""
    config = Configuration("guest", "hvm", PAGES)

    assert b'"max_memkb": 1024' in config.json()
    assert config.json().endswith(b"}\0")


def test_the_guest_is_saved_by_name(tmp_path: Path) -> None:
    """A saved guest is called as its configuration says."""
    guest, waiter = working(), Waiter()
    path = tmp_path / "guest.sav"
    save(guest, connect(f"file:{path}", waiter), way())
    waiter.close()
    guest.close()

    assert b'"name": "guest"' in path.read_bytes()[:400]
