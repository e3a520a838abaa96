"""What a real restore made of a guest, held to what a plain reader finds in the stream it came from."""

from __future__ import annotations

from collections.abc import Mapping

from ...conformance.restored import Restored, Taken
from .plain_memory import ZERO, Image

# HVM parameters of the pages that a restore clears: store, ioreq, buffered ioreq, console.
_RINGS = (1, 5, 6, 17)
# Where a context of a 64-bit guest has rdx, which is the PFN of start info, and cr3, which has that of its page tables.
_RDX, _CR3 = slice(616, 624), slice(5008, 5016)
_TOP = 4


def unlike(image: Image, found: Restored | Taken) -> list[str]:
    """In words, what a restored guest has otherwise than the stream.

    What a restore writes itself is left out: a PV guest's p2m table and start info, and the slots of a page table that
    are Xen's own.
    """
    wrong = []
    if isinstance(found, Restored):
        pages: Mapping[int, bytes] = found.canonical(
            {pfn: kind & 7 for pfn, (kind, _) in image.pages.items() if kind & 7}
        )
        if pages.keys() != image.pages.keys():
            wrong.append(f"pages {sorted(pages.keys() ^ image.pages.keys())} are there or not")
        if found.state != (image.emulator or b""):
            wrong.append(f"the device model got {found.state!r}")
        if found.physmap != {key.decode(): value.decode() for key, value in image.xenstore}:
            wrong.append(f"xenstore has {found.physmap}")
    else:
        pages = found.pages
        if found.state["pages"] != len(image.pages):
            wrong.append(f"{found.state['pages']} pages in place of {len(image.pages)}")
        wrong += _state(image, found.state)
    kept = {pfn: data for pfn, (_, data) in image.pages.items()}
    own = set(image.frames)
    if image.guest == "pv":
        own.add(int.from_bytes(image.vcpus[0].basic[_RDX], "little"))
        if isinstance(found, Taken):
            # It finds page tables from cr3 on, not the topmost of user space.
            found_from = {int.from_bytes(vcpu.basic[_CR3], "little") >> 12 for vcpu in image.vcpus.values()}
            own |= {pfn for pfn, (kind, _) in image.pages.items() if kind & 7 == _TOP} - found_from
    else:
        kept |= {image.params[index]: ZERO for index in _RINGS if index in image.params}
    for pfn in sorted((kept.keys() | pages.keys()) - own):
        if kept.get(pfn, ZERO) != pages.get(pfn, ZERO):
            wrong.append(f"page {pfn} differs")
    return wrong


def _state(image: Image, state: Mapping[str, object]) -> list[str]:
    """What libxenguest's report has otherwise, as far as it tells."""
    found: dict[str, object] = {"tsc": state["tsc"]}
    mode, nsec, khz, incarnation = image.tsc or (0, 0, 0, 0)
    wanted: dict[str, object] = {"tsc": {"mode": mode, "khz": khz, "nsec": nsec, "incarnation": incarnation}}
    if image.guest == "hvm":
        found["params"] = state["params"]
        wanted["params"] = {str(index): value for index, value in sorted(image.params.items())}
    return [f"{name}: {found[name]} in place of {wanted[name]}" for name in wanted if found[name] != wanted[name]]
