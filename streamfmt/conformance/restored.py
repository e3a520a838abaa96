"""What a guest has after a real restore: its pages, its state, QEMU's state and what xenstore has for QEMU.

`restore` has libxl or xl restore it on a host; an image that was saved before Xen 4.6 goes through the converter that
LIBXL_CONVERT_HELPER names, or else Xen's own.  `taken` has libxenguest alone take a libxc stream, in milliseconds.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from .host import Host
from .peers import RELEASE, XENPEER, Verdict, require
from .toolstack_driver import restored, verdict_of

PAGE = 4096
# Where the file of the hypervisor's state has what, as conformance/libxlpeer/shared.h says.
_FLAGS_AT, _FRAMES_AT, _MEMORY_AT = 64 << 20, 70 << 20, 128 << 20
_FRAMES = (1 << 20) + 0x400
_PRESENT, _XENS = 0x10, 0x40
_PTE_PRESENT, _PTE_FRAME = 1, 0x000F_FFFF_FFFF_F000
_NODE = re.compile(r'/local/domain/0/device-model/(\d+)/(.*) = "(.*)"')
_XENS_SLOTS = range(256, 272)


class Restored(NamedTuple):
    """A restore: the verdict, and of the guest, if it was taken, the pages by PFN.

    `frames` has the PFN of each machine frame of a PV guest, and is empty for others.  `state` is the begin of what
    QEMU got; `physmap` has what xenstore has for QEMU, by path below its node.
    """

    verdict: Verdict
    pages: Mapping[int, bytes]
    frames: Mapping[int, int]
    state: bytes
    physmap: Mapping[str, str]

    def canonical(self, tables: Mapping[int, int]) -> dict[int, bytes]:
        """The pages as streams have them: `tables`, by PFN and with their levels, have PFNs in place of frames."""
        return {pfn: self._table(page, tables[pfn]) if pfn in tables else page for pfn, page in self.pages.items()}

    def _table(self, page: bytes, level: int) -> bytes:
        entries = list(struct.unpack("<512Q", page))
        for at, entry in enumerate(entries):
            if level == 4 and at in _XENS_SLOTS:
                entries[at] = 0
            elif entry & _PTE_PRESENT:
                frame = self.frames.get((entry & _PTE_FRAME) >> 12, 0)
                entries[at] = entry & ~_PTE_FRAME | frame << 12
        return struct.pack("<512Q", *entries)


class Taken(NamedTuple):
    """What libxenguest made of a stream: whether it took it, its log, and the guest as xenpeer's README has it.

    `state` has the JSON of that name, `pages` by PFN what is not zero, page tables with PFNs as streams have them.
    """

    accepted: bool
    log: str
    state: Mapping[str, Any]
    pages: Mapping[int, bytes]


def taken(kind: str, data: bytes, release: str = RELEASE) -> Taken:
    """Have libxenguest restore a libxc stream.

    :param kind: "hvm" or "pv", with "-remus" after it if checkpoints are to be taken.
    :raises MissingPeerError: there is no xenpeer of that release.
    """
    guest, _, mode = kind.partition("-")
    with tempfile.TemporaryDirectory() as folder:
        stream, dump = f"{folder}/stream", f"{folder}/dump"
        Path(stream).write_bytes(data)
        words = [require(XENPEER, release), "restore", f"--{guest}", *([f"--{mode}"] if mode else [])]
        done = subprocess.run([*words, "--dump", dump, stream], capture_output=True, text=True, check=False)
        if done.returncode:
            return Taken(False, done.stderr, {}, {})
        memory = Path(dump).read_bytes()
    pages = {at // PAGE: memory[at : at + PAGE] for at in range(0, len(memory), PAGE)}
    zero = bytes(PAGE)
    kept = {pfn: page for pfn, page in pages.items() if page != zero}
    return Taken(True, done.stderr, json.loads(done.stdout)["state"], kept)


def restore(host: Host, kind: str, data: bytes, converter: str | None = None) -> Restored:
    """Have libxl or xl restore a stream on a host, and look at the guest.

    :param kind: as `toolstack.ask` has it: such as hvm-legacy for a bare legacy stream, xl-hvm for any xl file.
    :param converter: the path of a program to use in place of Xen's convert-legacy-stream.
    """
    path = host.folder / "legacy.bin"
    path.write_bytes(data)
    more = {} if converter is None else {"LIBXL_CONVERT_HELPER": converter}
    did = restored(host, kind, path, **more)
    verdict = verdict_of(did, kind)
    if verdict.verdict != "accept":
        return Restored(verdict, {}, {}, b"", {})
    pages, frames = present(host, "pv" in kind)
    state = bytes.fromhex(did.model.get("state", ""))
    return Restored(verdict, pages, frames, state, {} if "pv" in kind else _physmap(host))


def present(host: Host, translated: bool) -> tuple[dict[int, bytes], dict[int, int]]:
    """The pages that the guest on a host has now, by PFN, and the PFN of each machine frame if it is `translated`."""
    with open(host.folder / "state", "rb") as memory:
        flags = os.pread(memory.fileno(), _FRAMES, _FLAGS_AT)
        used = [frame for frame, flag in enumerate(flags) if flag & _PRESENT and not flag & _XENS]
        pfns = {frame: _pfn(memory, frame) if translated else frame for frame in used}
        pages = {pfn: os.pread(memory.fileno(), PAGE, place(frame)) for frame, pfn in pfns.items()}
    return pages, pfns if translated else {}


def place(frame: int) -> int:
    """Where a machine frame is in the file of the hypervisor's state."""
    return _MEMORY_AT + PAGE * frame


def flag_place(frame: int) -> int:
    """Where in that file it is said what a machine frame is: a byte, with the level of a page table at its bottom."""
    return _FLAGS_AT + frame


def shared_infos(host: Host) -> list[int]:
    """The places in that file of pages that Xen shares with a guest."""
    with open(host.folder / "state", "rb") as memory:
        flags = os.pread(memory.fileno(), _FRAMES, _FLAGS_AT)
    return [place(frame) for frame, flag in enumerate(flags) if flag & _PRESENT and flag & _XENS]


def _pfn(memory: IO[bytes], frame: int) -> int:
    """The PFN of a machine frame."""
    return int.from_bytes(os.pread(memory.fileno(), 8, _FRAMES_AT + 8 * frame), "little")


def _physmap(host: Host) -> dict[str, str]:
    """What xenstore has below the node of the last device model; each guest gets a new number."""
    lines = host.store("ls", "-f", "/local/domain/0/device-model").splitlines()
    found = [match for line in lines if (match := _NODE.fullmatch(line))]
    last = max((int(match[1]) for match in found), default=0)
    rows = [match for match in found if int(match[1]) == last and match[2].startswith("physmap/")]
    return {match[2]: match[3] for match in rows if match[3]}
