"""A host of Xen's own programs without a hypervisor: xenstored, xenconsoled, libxl and xl, in ordinary processes.

`libfakexen.so`, preloaded, takes the place of the hypervisor and has Xen's fixed folders below a folder of the host's
own; conformance/libxlpeer has its sources and says what else is needed.  The release that the machine has installed
runs, and those whose packages `make peers` has unpacked below .peers.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGXCPU
from typing import IO, Any

from ..errors import MissingPeerError
from ..schema.clauses import SCRIPT_RELEASE as RELEASE
from .kin import Kin

PROJECT = Path(__file__).resolve().parents[2]
LIBXLPEER = "libxlpeer"
SOURCES = PROJECT / "conformance" / LIBXLPEER
_PROGRAMS = ("xenstored", "xen-init-dom0", "xenconsoled", "libxl-save-helper", "xl")
_FOLDERS = ("proc/xen", "var/lib/xen", "var/log/xen", "var/run/xen", "run/xen", "var/lock")
_TRIPLET = "usr/lib/x86_64-linux-gnu"
_START = 10.0  # seconds in which a daemon is ready
# Seconds that the restore of a small stream takes at most on a busy machine, how many of them a program may compute,
# and bytes of memory that it may have.
PATIENCE, COMPUTING, MEMORY = 20.0, 6, 1 << 30


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of Xen's programs: `binaries` has them, `built` what is preloaded and what calls libxl.

    `loader` starts a program where that needs a libc of its own.
    """

    release: str
    binaries: Path
    built: Path
    loader: tuple[str, ...] = ()
    libraries: str = ""

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        mine = [self.built / name for name in ("libfakexen.so", "libxlrestore", "fakectl")]
        return all(path.is_file() for path in (*mine, *(self.binaries / name for name in _PROGRAMS)))


def installation(release: str) -> Installation:
    """Where that release of Xen is, or would be."""
    unpacked = PROJECT / ".peers" / release
    root, libc = unpacked / "root", unpacked / "libc"
    built = SOURCES / f"build-{release}"
    binaries = Path("usr/lib", f"xen-{release}", "bin")
    if not root.is_dir():
        return Installation(release, "/" / binaries, built)
    libraries = str(root / _TRIPLET)
    if not libc.is_dir():
        return Installation(release, root / binaries, built, libraries=libraries)
    own = libc / _TRIPLET
    loader = (str(own / "ld-linux-x86-64.so.2"), "--library-path", f"{own}:{libraries}:/{_TRIPLET}")
    return Installation(release, root / binaries, built, loader)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program did: its `status` (negative: the signal; None: it went on too long), and all that it printed.

    `model` is what the device model that was started has noted, if one was.
    """

    status: int | None
    stdout: str
    log: str
    model: Mapping[str, Any]


class Host:
    """A folder with sockets, the hypervisor's state and Xen's /var in it, and the programs that run there.

    As a context manager: all that its programs leave behind is ended with it.  Raises MissingPeerError.
    """

    def __init__(self, release: str = RELEASE) -> None:
        self.xen = installation(release)
        if not self.xen.complete:
            raise MissingPeerError(f"{LIBXLPEER} of Xen {release}")

    def __enter__(self) -> Host:
        with ExitStack() as undo:
            self.folder = Path(tempfile.mkdtemp(prefix="libxlpeer."))
            undo.callback(partial(shutil.rmtree, self.folder, ignore_errors=True))
            self._kin = undo.enter_context(Kin())
            self._daemons: list[subprocess.Popen[bytes]] = []
            undo.callback(self._end_daemons)
            self._prepare()
            self._start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def root(self) -> Path:
        """Where Xen's fixed folders are."""
        return self.folder / "root"

    def program(self, name: str) -> str:
        """The path of one of Xen's programs, which can be started as it is."""
        return str((self.folder / "bin" if self.xen.loader else self.xen.binaries) / name)

    def _prepare(self) -> None:
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True)
        for name in ("xs", "bin"):
            (self.folder / name).mkdir()
        (self.root / "proc/xen/xsd_port").write_text("3\n")
        (self.root / "proc/xen/xsd_kva").write_bytes(bytes(4096))
        for name in _PROGRAMS if self.xen.loader else ():
            script = self.folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {" ".join(self.xen.loader)} {self.xen.binaries / name} "$@"\n')
            script.chmod(0o755)
        sockets = {name: str(self.folder / "xs") for name in ("XENSTORED_RUNDIR", "XENSTORED_ROOTDIR")}
        self.plain = {**os.environ, **sockets}
        own = {
            "FAKEXEN_STATE": str(self.folder / "state"),
            "FAKEXEN_ROOT": str(self.root),
            "FAKEXEN_DM": str(SOURCES / "dm.py"),
            "LIBXL_SAVE_HELPER": self.program("libxl-save-helper"),
            "LIBXL_CONVERT_HELPER": str(self.xen.binaries / "convert-legacy-stream"),
            "LD_PRELOAD": str(self.xen.built / "libfakexen.so"),
            # Debian's convert-legacy-stream does not find its modules by itself.
            "PYTHONPATH": str(self.xen.binaries.parent / "lib/python"),
        }
        self.environment = {**self.plain, **own}
        if self.xen.libraries:
            self.environment["LD_LIBRARY_PATH"] = self.xen.libraries

    def _start(self) -> None:
        """What libxl wants to find: a xenstore with a domain 0 and a pool in it, and consoles."""
        self._daemon("xenstored", "-N", "-F", str(self.folder / "xs/pid"))
        _until((self.folder / "xs/socket").exists, "xenstored")
        domain = "/local/domain/0"
        self.store("write", f"{domain}/domid", "0", f"{domain}/name", "Domain-0", "/local/pool/0/name", "Pool-0")
        self.run([self.program("xen-init-dom0")])
        # It insists on root, and finds guests of before its start as well.
        pid = str(self.folder / "xs/consoled.pid")
        self._daemon("xenconsoled", "-i", "--log=none", "--pid-file", pid, FAKEXEN_EUID0="1")

    def _daemon(self, name: str, *args: str, **more: str) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            words = [self.program(name), *args]
            environment = {**self.environment, **more}
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._daemons.append(process)
        self._kin.kept.add(process.pid)

    def _end_daemons(self) -> None:
        for process in self._daemons:
            process.kill()
            process.wait()

    def store(self, verb: str, *args: str) -> str:
        """What xenstore-VERB prints, such as store("ls", "/")."""
        words = [f"xenstore-{verb}", *args]
        return subprocess.run(words, env=self.plain, capture_output=True, text=True, check=False).stdout

    def run(
        self, words: Sequence[str | Path], timeout: float = PATIENCE, memory: int = MEMORY, /, **more: str
    ) -> Outcome:
        """Run a program on the host, with `more` in its environment."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
            resource.setrlimit(resource.RLIMIT_CPU, (COMPUTING, COMPUTING))

        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                list(map(str, words)),
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=limit,  # noqa: PLW1509 - hosts have no threads
            )
            try:
                status: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
                process.kill()
                process.wait()
            if status is not None and -status in (SIGXCPU, SIGKILL):
                status = None
            return Outcome(status, _text(stdout), _text(stderr), self._noted())

    def restore(self, stream: Path, kind: str, *options: str, **more: str) -> Outcome:
        """Have libxl restore a libxl stream as a guest of that kind, with options of libxlrestore."""
        return self.run([*self.xen.loader, self.xen.built / "libxlrestore", f"--{kind}", *options, stream], **more)

    def xl(self, *args: str | Path, **more: str) -> Outcome:
        """Run xl with all that it logs, with `more` in its environment."""
        return self.run([self.program("xl"), "-vvv", *args], **more)

    def clear(self) -> None:
        """End what programs have left behind, such as a guest's device model."""
        self._kin.end()

    def _noted(self) -> Mapping[str, Any]:
        """What the last device model has noted, once."""
        note: Mapping[str, Any] = {}
        for path in sorted(self.root.glob("dm-*.json"), key=lambda path: path.stat().st_mtime):
            note = json.loads(path.read_text() or "{}")
            path.unlink()
        return note


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _until(ready: Callable[[], bool], name: str) -> None:
    end = time.monotonic() + _START
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{name} did not start")
        time.sleep(0.02)
