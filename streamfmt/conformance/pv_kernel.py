"""What the kernel of a PV guest does for its own move, where none runs: Xen's savers need it.

A restorer forgets where the tree above the list of frames (p2m) is, whose words are machine frames of the old host: the
kernel writes it anew when it goes on.  Asked to suspend itself through xenstore, it says that it has read that, and
does.

Source: xg_sr_restore_x86_pv.c, handle_shared_info, and xg_sr_save_x86_pv.c, map_p2m_tree (tools/libs/guest);
docs/misc/xenstore-paths.pandoc, control/shutdown.
"""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..payload_tables import FIELDS
from .host import Host
from .restored import PAGE, flag_place, place, present, shared_infos

_SHARED = FIELDS["pv.SHARED_INFO_64"]
_MAX_PFN, _LISTS = _SHARED["arch.max_pfn"][0], _SHARED["arch.pfn_to_mfn_frame_list_list"][0]
_ENTRIES = PAGE // 8
_ENDING = 5.0


def goes_on(
    host: Host, pages: int, top: int, lists: Sequence[int], leaves: Sequence[int], tables: Mapping[int, int]
) -> None:
    """Have the guest's memory be as after its kernel went on.

    :param top, lists, leaves: the frames of the tree.
    :param tables: the levels of page tables by their frames: Xen knows those that a pinned one leads to, as it looks
        at its entries, and this hypervisor only what was pinned.
    :raises ValueError: there is no PV guest of so many pages on the host.
    """
    _, frames = present(host, True)
    machine = {pfn: frame for frame, pfn in frames.items()}
    parts = [leaves[at : at + _ENTRIES] for at in range(0, len(leaves), _ENTRIES)]
    with open(host.folder / "state", "r+b") as memory:
        for pfn, below in ((top, lists), *zip(lists, parts, strict=True)):
            words = struct.pack(f"<{len(below)}Q", *(machine[frame] for frame in below))
            os.pwrite(memory.fileno(), words.ljust(PAGE, b"\0"), place(machine[pfn]))
        for pfn, level in tables.items():
            (flag,) = os.pread(memory.fileno(), 1, flag_place(machine[pfn]))
            os.pwrite(memory.fileno(), bytes([flag | level]), flag_place(machine[pfn]))
        found = [at for at in shared_infos(host) if _word(memory.fileno(), at + _MAX_PFN) == pages]
        if len(found) != 1:
            raise ValueError(f"the host has {len(found)} PV guests of {pages} pages")
        os.pwrite(memory.fileno(), struct.pack("<Q", machine[top]), found[0] + _LISTS)


def _word(descriptor: int, at: int) -> int:
    return int.from_bytes(os.pread(descriptor, 8, at), "little")


@contextmanager
def suspending(host: Host, domid: int = 1) -> Iterator[None]:
    """Meanwhile the guest suspends itself, once, when it is asked to."""
    node = f"/local/domain/{domid}/control/shutdown"
    own = [f"{name}={value}" for name, value in host.environment.items() if host.plain.get(name) != value]
    suspend = shlex.join(["env", *own, *host.xen.loader, str(host.xen.built / "fakectl"), "suspend", str(domid)])
    script = (
        f'until [ "$(xenstore-read {node} 2>/dev/null)" = suspend ]; do sleep 0.02; done; '
        f'xenstore-write {node} ""; exec {suspend}'
    )
    with subprocess.Popen(["sh", "-c", script], env=host.plain) as process:
        try:
            yield
            process.wait(_ENDING)
        finally:
            process.kill()
