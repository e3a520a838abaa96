"""Numbers of ours for what has none in a legacy stream: above all that could be a chunk's, or count a batch's pages."""

from __future__ import annotations

# What comes before the first body, and in it; transcendent memory; the tails; device models.
_FROM = {
    0x1000: ("EXTENDED_INFO", "P2M_FRAME_LIST", "PAGE_BATCH"),
    0x1010: (
        "TMEM_POOL",
        "TMEM_END",
        "TMEM_PAGE_0",
        "TMEM_POOL_END_0",
        "TMEM_FLUSHED_0",
        "TMEM_PAGE_1",
        "TMEM_POOL_END_1",
        "TMEM_FLUSHED_1",
    ),
    0x1020: ("UNMAPPED", "VCPU", "VCPU_EXT", "VCPU_XSAVE", "SHARED_INFO", "HVM_TAIL", "HVM_CONTEXT"),
    0x1030: ("QEMU_TO_END", "QEMU_STATE", "QEMU_0002", "QEMU_REMUS", "QEMU_XAPI"),
}
# Octets of the words of toolstacks that saved; of each the layouts are others.
WORDS = (4, 8)
NUMBERS = {name: first + place for first, names in _FROM.items() for place, name in enumerate(names)}
