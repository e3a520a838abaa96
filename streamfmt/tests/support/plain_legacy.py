"""What legacy streams are made of, in plain struct calls: a writer for tests that has nothing of the product.

Each function gives the bytes of one part.  `word` is the size of an unsigned long of the toolstack that saved, 4 or 8
bytes; `guest` is the guest's own word.  Nothing is checked here: tests write what is wrong as well.  Whole guests are
in plain_guests.py, compressed checkpoints in plain_remus.py, and what is around a stream in plain_wrappers.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

PAGE = 4096
# Types of the entries of a batch, as they stand in bits 28 to 31.
NOTAB, L1, L2, L3, L4, PIN, BROKEN, XALLOC, XTAB = 0x0, 0x1, 0x2, 0x3, 0x4, 0x8, 0xD, 0xE, 0xF
NO_DATA = (BROKEN, XALLOC, XTAB)
BATCH_MAX = 1024

# Chunks, by the names that they have had since 4.1.
END_OF_BODY = 0
ENABLE_VERIFY_MODE = -1
VCPU_INFO = -2
HVM_IDENT_PT = -3
HVM_VM86_TSS = -4
TMEM = -5
TMEM_EXTRA = -6
TSC_INFO = -7
HVM_CONSOLE_PFN = -8
LAST_CHECKPOINT = -9
HVM_ACPI_IOPORTS_LOCATION = -10
HVM_VIRIDIAN = -11
COMPRESSED_DATA = -12
ENABLE_COMPRESSION = -13
HVM_GENERATION_ID_ADDR = -14
HVM_PAGING_RING_PFN = -15
HVM_ACCESS_RING_PFN = -16
HVM_SHARING_RING_PFN = -17
TOOLSTACK = -18
HVM_IOREQ_SERVER_PFN = -19
HVM_NR_IOREQ_SERVER_PAGES = -20

VCPU_CONTEXT = {4: 2800, 8: 5168}
EXTENDED_CONTEXT = 128
# Signatures of the record of QEMU's state.
QEMU_TO_END, QEMU_COUNTED, QEMU_REMUS = b"QemuDeviceModelRecord", b"DeviceModelRecord0002", b"RemusDeviceModelState"


def ulongs(word: int, *values: int) -> bytes:
    """The toolstack's unsigned longs."""
    return struct.pack(f"<{len(values)}{'Q' if word == 8 else 'I'}", *values)


def entry(kind: int, pfn: int) -> int:
    """The entry of a page in a batch."""
    return kind << 28 | pfn


def has_data(value: int) -> bool:
    """Whether a page goes with an entry."""
    return value >> 28 & 0xF not in NO_DATA


def chunk(number: int, body: bytes = b"") -> bytes:
    """Any chunk with an id."""
    return struct.pack("<i", number) + body


def batch(word: int, entries: Sequence[int], pages: bytes, count: int | None = None) -> bytes:
    """A batch of pages; `count` says how many entries it claims to have."""
    return chunk(len(entries) if count is None else count) + ulongs(word, *entries) + pages


def vcpu_info(highest: int, online: Iterable[int], words: int | None = None) -> bytes:
    """The map of vcpus; `words` of 64 bits, by default as many as there have to be."""
    bits = sum(1 << vcpu for vcpu in set(online))
    count = highest // 64 + 1 if words is None else words
    return chunk(VCPU_INFO, struct.pack("<i", highest) + bits.to_bytes(8 * count, "little"))


def tsc_info(mode: int = 1, nsec: int = 123_456_789_012, khz: int = 2_400_000, incarnation: int = 3) -> bytes:
    """The time stamp counter's state."""
    return chunk(TSC_INFO, struct.pack("<IQII", mode, nsec, khz, incarnation))


def parameter(number: int, value: int, padding: int = 0) -> bytes:
    """One of the chunks that carry a parameter of an HVM guest."""
    return chunk(number, struct.pack("<IQ", padding, value))


def compressed_data(word: int, data: bytes, length: int | None = None) -> bytes:
    """Compressed pages of a Remus checkpoint."""
    return chunk(COMPRESSED_DATA, ulongs(word, len(data) if length is None else length) + data)


class Physmap(NamedTuple):
    """A region that QEMU has moved; `name` is without its NUL, None if QEMU gave none."""

    offset: int
    start: int
    size: int
    name: bytes | None = None


def toolstack_body(word: int, regions: Sequence[Physmap], version: int = 1, filler: int = 0xA5) -> bytes:
    """What libxl has in its chunk; 64-bit toolstacks let four bytes of their heap through in each entry."""
    parts = [struct.pack("<II", version, len(regions))]
    for region in regions:
        name = b"" if region.name is None else region.name + b"\0"
        parts.append(struct.pack("<QQQI", region.offset, region.start, region.size, len(name)) + name)
        parts.append(bytes([filler]) * (4 if word == 8 else 0))
    return b"".join(parts)


def toolstack(body: bytes, length: int | None = None) -> bytes:
    """The chunk around it."""
    return chunk(TOOLSTACK, struct.pack("<I", len(body) if length is None else length) + body)


class Pool(NamedTuple):
    """A pool of transcendent memory: `room` is the number of pages that its header announces.

    Of `pages` each has its object's id (one number in 4.0, three since), its index and its contents.
    """

    number: int
    flags: int
    uuid: tuple[int, int]
    pages: Sequence[tuple[tuple[int, ...], int, bytes]] = ()
    room: int | None = None


_NO_POOL = struct.pack("<I", 0xFFFFFFFF)


def object_words(spec: int) -> int:
    """64-bit words of an object's id in that version of tmem's interface: 0 in Xen 4.0, 1 from 4.1 on."""
    return 1 if spec == 0 else 3


def tmem(spec: int, pools: Sequence[Pool], weight: int = 0, cap: int = 0, flags: int = 0) -> bytes:
    """All of a guest's transcendent memory; the id of all ones ends a pool that has fewer pages than announced."""
    words = object_words(spec)
    parts = [struct.pack("<7I", spec, 16, 0xFFFFFFFF, flags, weight, cap, 0xFFFFFFFF)]
    for pool in pools:
        room = len(pool.pages) if pool.room is None else pool.room
        parts.append(struct.pack("<III2Q", pool.number, pool.flags, room, *pool.uuid))
        for identity, index, page in pool.pages:
            parts.append(struct.pack(f"<{words}QI", *identity, index) + page)
        if len(pool.pages) < room:
            parts.append(b"\xff" * 8 * words)
    return chunk(TMEM, b"".join(parts) + _NO_POOL)


def tmem_extra(spec: int, gone: Sequence[tuple[int, tuple[int, ...], int]]) -> bytes:
    """The pages of tmem that are gone since: of each the pool, the object's id and the index."""
    form = f"<I{object_words(spec)}QI"
    return chunk(TMEM_EXTRA, b"".join(struct.pack(form, pool, *who, index) for pool, who, index in gone) + _NO_POOL)


def block(name: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    """A block of the extended info."""
    return name + struct.pack("<I", len(data) if size is None else size) + data


def extended_info(word: int, blocks: bytes, total: int | None = None) -> bytes:
    """The extended info of a PV guest around its blocks."""
    return b"\xff" * word + struct.pack("<I", len(blocks) if total is None else total) + blocks


def frame_count(p2m_size: int, guest: int) -> int:
    """How many frames a guest's own P2M table takes."""
    return -(-p2m_size // (PAGE // guest))


# Where a vcpu's context has what, by the guest's word: (offset, format).
_CONTEXT: Mapping[int, Mapping[str, tuple[int, str]]] = {
    4: {
        "flags": (512, "<I"),
        "dx": (524, "<I"),
        "ax": (540, "<I"),
        "ip": (548, "<I"),
        "cs": (552, "<H"),
        "eflags": (556, "<I"),
        "sp": (560, "<I"),
        "ss": (564, "<H"),
        "gdt_frames": (2640, "<16I"),
        "gdt_ents": (2704, "<I"),
        "kernel_ss": (2708, "<I"),
        "kernel_sp": (2712, "<I"),
        "cr1": (2720, "<I"),
        "cr3": (2728, "<I"),
        "vm_assist": (2796, "<I"),
    },
    8: {
        "flags": (512, "<Q"),
        "r15": (520, "<Q"),
        "dx": (616, "<Q"),
        "ax": (600, "<Q"),
        "ip": (648, "<Q"),
        "cs": (656, "<H"),
        "eflags": (664, "<Q"),
        "sp": (672, "<Q"),
        "ss": (680, "<H"),
        "gdt_frames": (4832, "<16Q"),
        "gdt_ents": (4960, "<Q"),
        "kernel_ss": (4968, "<Q"),
        "kernel_sp": (4976, "<Q"),
        "cr1": (4992, "<Q"),
        "cr3": (5008, "<Q"),
        "vm_assist": (5136, "<Q"),
    },
}


def fold(guest: int, pfn: int) -> int:
    """A page table's PFN as it stands in cr3."""
    return pfn << 12 if guest == 8 else (pfn << 12 | pfn >> 20) & 0xFFFFFFFF


def vcpu_context(guest: int, **fields: int | Sequence[int]) -> bytes:
    """A vcpu_guest_context with those fields set, all others zero."""
    data = bytearray(VCPU_CONTEXT[guest])
    for name, value in fields.items():
        at, form = _CONTEXT[guest][name]
        values = (value,) if isinstance(value, int) else tuple(value)
        count = int(form[1:-1] or 1)
        struct.pack_into(form, data, at, *values, *[0] * (count - len(values)))
    return bytes(data)


def extended_context(vcpu: int, size: int = 32) -> bytes:
    """The 128 bytes after a vcpu's context, of which `size` mean something."""
    callbacks = struct.pack("<QQHH", 0xFFFFFFFF81000000 + vcpu, 0xFFFFFFFF82000000 + vcpu, 0xE033, 0xE033)
    return (struct.pack("<II", vcpu, size) + callbacks).ljust(EXTENDED_CONTEXT, b"\0")


def xsave(data: bytes, mask: int = 7, size: int | None = None) -> bytes:
    """A vcpu's extended state as it stands in the tail."""
    return struct.pack("<QQ", mask, len(data) if size is None else size) + data


def unmapped(word: int, pfns: Sequence[int], count: int | None = None) -> bytes:
    """The begin of a PV guest's tail: the PFNs that had no page at the end."""
    return struct.pack("<I", len(pfns) if count is None else count) + ulongs(word, *pfns)


def shared_info(guest: int, p2m_size: int, list_list: int = 0) -> bytes:
    """The page that a PV guest and Xen share."""
    data = bytearray(PAGE)
    mask, arch, form = (2176, 2316, "<II") if guest == 4 else (2560, 3088, "<QQ")
    data[mask : mask + guest * guest * 8] = b"\xff" * (guest * guest * 8)
    struct.pack_into(form, data, arch, p2m_size, list_list)
    return bytes(data)


def hvm_context(*entries: tuple[int, int, bytes]) -> bytes:
    """What Xen has of an HVM guest: a header, entries of type, instance and data, and the end."""
    header = struct.pack("<IIQII", 0x54381286, 1, 0, 0x000206A7, 2_400_000)
    rows = ((1, 0, header), *entries, (0, 0, b""))
    return b"".join(struct.pack("<HHI", kind, instance, len(data)) + data for kind, instance, data in rows)


def hvm_tail(ioreq: int, buffered: int, store: int) -> bytes:
    """The three frames at the begin of an HVM guest's tail."""
    return struct.pack("<QQQ", ioreq, buffered, store)


def counted(data: bytes, length: int | None = None) -> bytes:
    """A length of 32 bits, and the bytes: as an HVM context stands in the tail."""
    return struct.pack("<I", len(data) if length is None else length) + data


# A record of QEMU's devices as far as the state of its only one, after which comes an octet 0.
DEVICE = b"QEVM\0\0\0\3" + b"\4\0\0\0\0\5timer" + struct.pack(">2I", 0, 2)


def qemu(form: str, state: bytes) -> bytes:
    """The record of QEMU's state in a form: "to-end", "0002", "remus", or "xapi" with its newline."""
    return {
        "to-end": QEMU_TO_END + state,
        "0002": QEMU_COUNTED + counted(state),
        "remus": QEMU_REMUS + counted(state),
        "xapi": QEMU_TO_END + b"\n" + struct.pack(">I", len(state)) + state,
    }[form]
