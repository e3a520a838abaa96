"""Real QEMU in several releases: streams that it writes, and whether it loads one.

`make peers` in a checkout unpacks them below .peers/qemu.  They run as ordinary processes that emulate by
themselves, without KVM, Xen or a screen, and their guests never run unless they are asked to.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingPeerError
from .host import PROJECT
from .peers import Verdict

QEMU = "qemu-system-x86"
RELEASES = ("5.2", "7.2", "10.0", "11.1")
# That of the Debian that CI and the other peers are of.
RELEASE = "7.2"
# Seconds in which a small stream is loaded or saved on a busy machine, how many of them QEMU may compute, and bytes of
# memory that it may have.
PATIENCE, COMPUTING, MEMORY = 30.0, 10, 2 << 30
# Loaders side by side; half of their time they wait.
_SIDE_BY_SIDE = 4
_ROM = 65536
# Seconds in which a migration may go over the memory of a guest that runs.
_ROUNDS = 0.4


class QemuError(Exception):
    """QEMU has refused a command, or ended before it was to."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a stream is loaded into: options of QEMU's command line, and capabilities that are on.

    `mapped` if it is read as a file with places in it, `since` the first release that can, and `until` the first that
    cannot any more.
    """

    options: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    mapped: bool = False
    since: tuple[int, ...] = ()
    until: tuple[int, ...] = ()

    def known(self, release: str) -> bool:
        """Whether that release can be set up like this."""
        number = tuple(map(int, release.split(".")))
        return self.since <= number and (not self.until or number < self.until)


def root(release: str) -> Path:
    """Where the release is, or would be."""
    return PROJECT / ".peers" / "qemu" / release / "root"


def require(release: str) -> str:
    """Where its program is.  Raises MissingPeerError."""
    found = root(release) / "usr/bin" / f"{QEMU}_64"
    if not found.is_file():
        raise MissingPeerError(f"{QEMU} {release}")
    return str(found)


def program(release: str) -> list[str]:
    """The words that start it, with its own libraries and no others.  Raises MissingPeerError."""
    found, below = require(release), root(release)
    places = [below / "usr/lib/x86_64-linux-gnu", below / "lib/x86_64-linux-gnu"]
    loader = next(path for place in places if (path := place / "ld-linux-x86-64.so.2").is_file())
    return [str(loader), "--library-path", ":".join(map(str, places)), found]


def modules(release: str) -> str:
    """The folder of what it loads when it runs, which its environment has to name as QEMU_MODULE_DIR."""
    return str(root(release) / "usr/lib/x86_64-linux-gnu/qemu")


def _command(release: str, rom: Path) -> list[str]:
    """What starts a machine that has nothing but its board, and a ROM."""
    words = [*program(release), "-L", str(rom.parent), "-bios", str(rom)]
    return [*words, "-nodefaults", "-display", "none", "-S", "-accel", "tcg,tb-size=1", "-qmp", "stdio"]


class Machine:
    """A machine that is not running, under a QEMU of some release; as a context manager, ended with it.

    `rom` is what it would start with: 65,536 zeros unless given; `memory` and `computing` are how many bytes it may
    have, and how many seconds it may compute.  Raises MissingPeerError.
    """

    def __init__(
        self,
        release: str,
        *options: str,
        rom: bytes = bytes(_ROM),
        memory: int = MEMORY,
        computing: int = COMPUTING,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qemu.")
        self.folder = Path(self._folder.name)
        path = self.folder / "rom"
        path.write_bytes(rom)
        try:
            words = [*_command(release, path), "-rtc", "base=2020-01-01T00:00:00,clock=vm", *options]
            self._log = open(self.folder / "log", "w+b")  # noqa: SIM115 - it is closed with the machine
            self.process = subprocess.Popen(
                words,
                env={**os.environ, "QEMU_MODULE_DIR": modules(release)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                cwd=self.folder,
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self._lines: list[bytes] = []
        self._rest = b""
        self._events: list[dict[str, Any]] = []
        self.deadline = time.monotonic() + PATIENCE
        with suppress(ProcessLookupError):
            for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, computing)):
                resource.prlimit(self.process.pid, kind, (most, most))

    def __enter__(self) -> Machine:
        try:
            self.execute("qmp_capabilities")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._folder.cleanup()

    @property
    def log(self) -> str:
        """What it has printed for people."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def execute(self, name: str, **arguments: Any) -> Any:
        """Have it carry out a command; its answer.  Raises QemuError, and TimeoutError."""
        assert self.process.stdin is not None
        line = json.dumps({"execute": name, "arguments": arguments})
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise QemuError(self.log) from None
        while True:
            said = self._next()
            if "return" in said:
                return said["return"]
            if "error" in said:
                raise QemuError(said["error"]["desc"])
            if "event" in said:
                self._events.append(said)

    def migrated(self, *wanted: str) -> str:
        """How a migration ends: "completed", "failed", or what else is wanted.  Raises QemuError, and TimeoutError."""
        while True:
            said = self._events.pop(0) if self._events else self._next()
            status = said.get("data", {}).get("status", "")
            if said.get("event") == "MIGRATION" and status in ("completed", "failed", *wanted):
                return str(status)

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name; others before it are forgotten.  Raises QemuError, and TimeoutError."""
        while True:
            said = self._events.pop(0) if self._events else self._next()
            if said.get("event") == name:
                return said

    def allow(self, *capabilities: str) -> None:
        """Switch capabilities of migrations on."""
        rows = [{"capability": name, "state": True} for name in ("events", *capabilities)]
        self.execute("migrate-set-capabilities", capabilities=rows)

    def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while not self._lines:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"QEMU takes more than {PATIENCE:.0f} seconds")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise QemuError(self.log)
            *self._lines, self._rest = (self._rest + data).split(b"\n")
        return dict(json.loads(self._lines.pop(0)))

    # -- streams ----------------------------------------------------------------------------------------------------

    def migrate(self, *capabilities: str, mapped: bool = False, **parameters: Any) -> bytes:
        """The stream of a migration of the machine, with these capabilities and parameters."""
        self.allow(*capabilities)
        if parameters:
            self.execute("migrate-set-parameters", **{name.replace("_", "-"): row for name, row in parameters.items()})
        path = self.folder / "stream"
        # The migration may be over before what it has written to a pipe is in the file.
        self.execute("migrate", uri=f"file:{path}" if mapped else f"exec:cat >{path}.part && mv {path}.part {path}")
        if self.migrated() != "completed":
            raise QemuError(self.log)
        while not path.exists():
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"{path} is not written")
            time.sleep(0.01)
        return path.read_bytes()

    def multifd(self, channels: int, compression: str) -> tuple[bytes, list[bytes]]:
        """The main stream and the channels of a migration with multifd, in rounds if the guest runs meanwhile."""
        self.allow("multifd")
        slow = {"max-bandwidth": 400_000, "downtime-limit": 1}
        names = {"multifd-channels": channels, "multifd-compression": compression, **slow}
        self.execute("migrate-set-parameters", **names)
        path = str(self.folder / "socket")
        with socket.socket(socket.AF_UNIX) as server, ThreadPoolExecutor(channels + 1) as pool:
            server.bind(path)
            server.listen(channels + 1)
            server.settimeout(PATIENCE)
            self.execute("migrate", uri=f"unix:{path}")
            found = [pool.submit(_recorded, server.accept()[0]) for _ in range(channels + 1)]
            begun = time.monotonic()
            while self.execute("query-migrate")["status"] != "completed":
                if time.monotonic() > begun + _ROUNDS:
                    self.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 30, "downtime-limit": 2000})
                if time.monotonic() > self.deadline:
                    raise TimeoutError("the migration does not end")
                time.sleep(0.02)
            streams = [each.result() for each in found]
        main = next(each for each in streams if each.startswith(b"QEVM"))
        return main, [each for each in streams if each is not main]

    def devices(self) -> bytes:
        """The record of its devices, as Xen's toolstack has it made."""
        path = self.folder / "devices"
        self.execute("xen-save-devices-state", filename=str(path))
        return path.read_bytes()

    def load(self, stream: bytes, capabilities: Sequence[str] = (), mapped: bool = False) -> Verdict:
        """Whether it loads a stream, if it was started to wait for one."""
        path = self.folder / "incoming"
        path.write_bytes(stream)
        try:
            self.allow(*capabilities)
            self.execute("migrate-incoming", uri=f"file:{path}" if mapped else f"exec:cat {path}")
            status = self.migrated()
        except TimeoutError:
            return Verdict("hang", "", None)
        except QemuError:
            status = "failed"
        if status == "completed":
            return Verdict("accept", "", None)
        died = self._died()
        return Verdict("crash" if died else "reject", self._reason(), None, died=died)

    def _died(self) -> str:
        """The signal that has ended it; of itself it ends by a status, or waits for more commands."""
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(1)
            return str(-code) if code < 0 else ""
        return ""

    def _reason(self) -> str:
        lines = (line.partition(": ")[2] for line in self.log.splitlines() if line.startswith(QEMU))
        return "; ".join(line for line in lines if not line.startswith("warning: "))


def _recorded(connection: socket.socket) -> bytes:
    """All that comes by a connection."""
    with connection:
        connection.settimeout(PATIENCE)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(streams: Iterable[tuple[Setup, bytes]], release: str = RELEASE) -> list[Verdict]:
    """Whether that release loads streams, each into a machine of its own.  Raises MissingPeerError."""
    require(release)

    def one(row: tuple[Setup, bytes]) -> Verdict:
        setup, data = row
        with Machine(release, *setup.options, "-incoming", "defer") as machine:
            return machine.load(data, setup.capabilities, setup.mapped)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(one, streams))
