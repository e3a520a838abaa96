"""Migrations from a real QEMU into another, measured as ours are: ``python -m streamfmt.bench.qemu_moves``.

The receiver is started and waits before anything is timed.  The guest is a PC that emulates by itself (TCG); its ROM is
our own and does one thing: it stands still, or writes to as much memory as it is told, a word in each page, over and
over.  Between two rounds over that memory it loads CR3: else some releases do not notice what it writes through entries
of the translation cache that they have made before.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ..conformance import qemu
from ..conformance.qemu import Machine

MIB = 1 << 20
_ROM, _PAGE = 1 << 16, 4096
# Where the guest writes, and where its contents begin.
_WRITTEN, _FILLED = 64 * MIB, 256 * MIB
# Bytes a second that no link reaches.
_UNLIMITED = 1 << 40
# Seconds that a guest runs before it is moved, and that it may compute, with its last rounds.
_BEFORE, _COMPUTING = 0.3, 60
_RANDOM_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """A guest: bytes of memory, of random contents, and of memory that it writes in a loop."""

    memory: int = 1024 * MIB
    filled: int = 0
    written: int = 0


KINDS = {
    "random": Kind(filled=512 * MIB),
    "zero": Kind(),
    "loop-8": Kind(written=8 * MIB),
    "loop-64": Kind(written=64 * MIB),
}


@dataclass(frozen=True, slots=True)
class Moved:
    """What a migration took, in seconds: in all, the downtime as its source counts it, and from the guest's stop at the
    source until it ran again; bytes sent, and resident memory of both sides at most.

    The source of a guest with random contents has these twice: it keeps what its memory was filled from.
    """

    total: float
    downtime: float
    pause: float
    sent: int
    rounds: int
    source: int
    destination: int


def rom(written: int) -> bytes:
    """A ROM of 64 KiB at the end of 4 GiB, and below 1 MiB: it goes to flat 32-bit code, and writes `written` bytes."""
    made = bytearray(_ROM)
    descriptors, code = 0x20, 0x40
    # A null descriptor; code and data of 4 GiB from 0 (Intel SDM volume 3, 3.4.5); and what LGDT loads.
    made[descriptors : descriptors + 24] = bytes(8) + bytes.fromhex("ffff0000009acf00 ffff00000092cf00")
    made[0x18:0x1E] = (23).to_bytes(2, "little") + (0xF0000 + descriptors).to_bytes(4, "little")
    # cli; lgdt cs:[18h]; mov eax,cr0; or al,1; mov cr0,eax; jmp dword 8:code
    start = (
        bytes.fromhex("fa 2e0f01161800 0f20c0 0c01 0f22c0 66ea") + (0xF0000 + code).to_bytes(4, "little") + b"\x08\0"
    )
    made[0 : len(start)] = start
    if written:
        count = (written // _PAGE).to_bytes(4, "little")
        body = bytes.fromhex("66b81000 8ed8 8ec0 8ed0")  # mov ax,10h; mov ds,ax; mov es,ax; mov ss,ax
        # again: mov eax,cr3; mov cr3,eax; mov edi,_WRITTEN; mov ecx,count; inc ebx
        again = bytes.fromhex("0f20d8 0f22d8 bf") + _WRITTEN.to_bytes(4, "little") + b"\xb9" + count + b"\x43"
        # next: mov [edi],ebx; add edi,4096; dec ecx; jnz next
        inner = bytes.fromhex("891f 81c700100000 49 75f5")
        body += again + inner + b"\xeb" + (-(len(again) + len(inner) + 2)).to_bytes(1, "little", signed=True)
    else:
        body = bytes.fromhex("f4 ebfd")  # hlt; jmp to it
    made[code : code + len(body)] = body
    made[0xFFF0:0xFFF5] = bytes.fromhex("ea000000f0")  # jmp f000:0
    return bytes(made)


def move(kind: str, release: str, limit: float = 0.3, prepared: bool = False) -> Moved:
    """Move a guest of that kind from a QEMU of the release into another, over a Unix socket, as fast as it goes.

    :param limit: the downtime that it aims at, in seconds.
    :param prepared: the destination has all of its memory before any of it comes.
    :raises MissingPeerError: it is not there; QemuError, TimeoutError: it did not work.
    """
    guest = KINDS[kind]
    ahead = ("-mem-prealloc",) if prepared else ()
    with _filled(guest.filled) as options:
        made = {"rom": rom(guest.written), "memory": 8 << 30, "computing": _COMPUTING}
        machine = ("-M", "pc", "-m", f"{guest.memory}B", "-accel", "tcg,tb-size=8")
        with (
            Machine(release, *machine, *ahead, "-incoming", "defer", **made) as destination,  # type: ignore[arg-type] # as named
            Machine(release, *machine, *options, **made) as source,  # type: ignore[arg-type] # likewise
        ):
            path = destination.folder / "socket"
            destination.execute("migrate-incoming", uri=f"unix:{path}")
            destination.execute("cont")
            source.allow()
            source.execute(
                "migrate-set-parameters", **{"max-bandwidth": _UNLIMITED, "downtime-limit": round(limit * 1000)}
            )
            source.execute("cont")
            time.sleep(_BEFORE)
            begun = time.time()
            source.execute("migrate", uri=f"unix:{path}")
            stopped = source.event("STOP")
            ended = _ended(source)
            resumed = destination.event("RESUME")
            figures = source.execute("query-migrate")
            return Moved(
                _moment(ended) - begun,
                figures["downtime"] / 1000,
                _moment(resumed) - _moment(stopped),
                figures["ram"]["transferred"],
                figures["ram"]["dirty-sync-count"],
                _peak(source),
                _peak(destination),
            )


def _ended(source: Machine) -> dict[str, Any]:
    while True:
        said = source.event("MIGRATION")
        if said["data"]["status"] == "failed":
            raise qemu.QemuError(source.log)
        if said["data"]["status"] == "completed":
            return said


def _moment(event: dict[str, Any]) -> float:
    stamp = event["timestamp"]
    return float(stamp["seconds"]) + float(stamp["microseconds"]) / 1e6


def _peak(machine: Machine) -> int:
    """Bytes of memory that it has had at most, from /proc/PID/status."""
    lines = Path(f"/proc/{machine.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10


@contextmanager
def _filled(size: int) -> Iterator[tuple[str, ...]]:
    """Options that fill a guest's memory with so much of random contents, the same each time."""
    if not size:
        yield ()
        return
    with tempfile.NamedTemporaryFile(prefix="memory.") as file:
        random = Random(0)
        for _ in range(0, size, _RANDOM_PIECE):
            file.write(random.randbytes(_RANDOM_PIECE))
        file.flush()
        yield ("-device", f"loader,file={file.name},addr={_FILLED:#x},force-raw=on")


def main(words: list[str]) -> int:
    """Print the figures of migrations: of all kinds and releases, or of those that are named."""
    kinds = [word for word in words if word in KINDS] or [*KINDS]
    releases = [word for word in words if word in qemu.RELEASES] or [*qemu.RELEASES]
    for kind in kinds:
        for release in releases:
            found = move(kind, release)
            print(
                f"{kind:8} {release:5} total {found.total:6.3f} s, downtime {found.downtime * 1e3:6.1f} ms, "
                f"pause {found.pause * 1e3:6.1f} ms, {found.sent / MIB:8.1f} MiB in {found.rounds} rounds, "
                f"resident {found.source / MIB:,.0f} and {found.destination / MIB:,.0f} MiB",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
