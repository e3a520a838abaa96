"""A plain reader of legacy streams, for the guest that is in them.  Nothing here is the product's.

It restores as Xen 4.5 would, by what is written of the format: what came last counts, pages to be compared are not
taken, and of checkpoints only whole ones.
"""

from __future__ import annotations

import struct

from .plain_memory import PAGE, ZERO, Cursor, Image, PlainError, Vcpu, meaning
from .plain_remus import decoded

# The HVM parameter that a chunk carries.
PARAMS = {-3: 12, -4: 15, -8: 17, -10: 19, -11: 9, -14: 34, -15: 27, -16: 28, -17: 29, -19: 32, -20: 33}
_ACPI, _SERVER, _SERVER_PAGES = 19, 32, 33
_ONLINE = 0x20
_STORE, _IOREQ, _BUFFERED = 1, 5, 6
_SIGNATURES = (b"DeviceModelRecord0002", b"RemusDeviceModelState", b"QemuDeviceModelRecord")
_QEMU = b"QEVM"
_CONTEXTS = {2800: 4, 5168: 8}


class _Reader:
    """The state of reading one stream."""

    def __init__(self, data: bytes, word: int, guest: str) -> None:
        self.input = Cursor(data)
        self.word = word
        self.ulong = "<Q" if word == 8 else "<I"
        self.image = Image(guest=guest)
        self.values: dict[int, int] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.online: list[int] | None = None
        self.tmem_words = 3
        self.last = self.compressed = self.compress_next = False
        self.entries: list[tuple[int, int]] = []
        self.coding = b""

    def ulongs(self, count: int) -> tuple[int, ...]:
        return self.input.unpack(f"<{count}{self.ulong[1]}")

    def begin(self) -> None:
        self.image.p2m_size = size = self.input.one(self.ulong)
        if self.image.guest != "pv":
            return
        before = self.input.at
        word = self.word
        if self.input.take(self.word) == b"\xff" * self.word:
            blocks = Cursor(self.input.take(self.input.one("<I")))
            while blocks:
                name, length = blocks.unpack("<4sI")
                self.blocks[name] = blocks.take(length)
            word = _CONTEXTS[len(self.blocks[b"vcpu"])]
        else:
            self.input.at = before
        self.image.guest_word = word
        self.image.frames = self.ulongs(-(-size // (PAGE // word)))

    def body(self) -> None:
        self.entries, self.coding = [], b""
        while True:
            number = self.input.one("<i")
            if number == 0:
                break
            if number > 0:
                self.batch(number)
            else:
                self.chunk(number)
        self.uncompress()

    def batch(self, count: int) -> None:
        if count > 1024:
            raise PlainError(f"at {self.input.at - 4}: a batch of {count}")
        for value in self.ulongs(count):
            kind = value >> 28 & 0xF
            # Pinned, but no page table: a page like others.
            self.entries.append((0 if kind == 8 else kind, value & 0xFFFFFFF))
        if self.compressed:
            return
        for kind, pfn in self.entries:
            self.image.put(kind, pfn, self.input.take(PAGE) if kind < 0xD else None)
        self.entries = []

    def uncompress(self) -> None:
        at = 0
        for kind, pfn in self.entries:
            page = None
            if kind < 0xD:
                page, at = decoded(self.image.pages.get(pfn, (0, ZERO))[1], self.coding, at)
            self.image.put(kind, pfn, page)
        if at != len(self.coding):
            raise PlainError(f"at {self.input.at}: {len(self.coding) - at} bytes of compressed pages left over")

    def chunk(self, number: int) -> None:
        take = self.input
        if number in PARAMS:
            self.values[PARAMS[number]] = take.unpack("<IQ")[1]
        elif number == -1:
            self.image.verified = True
        elif number == -2:
            highest = take.one("<i")
            bits = int.from_bytes(take.take(8 * (highest // 64 + 1)), "little") | 1
            self.online = [vcpu for vcpu in range(highest + 1) if bits >> vcpu & 1]
        elif number == -5:
            self.tmem()
        elif number == -6:
            while take.one("<I") != 0xFFFFFFFF:
                take.take(8 * self.tmem_words + 4)
        elif number == -7:
            mode, nsec, khz, incarnation = take.unpack("<IQII")
            self.image.tsc = mode, nsec, khz, incarnation
        elif number == -9:
            self.last = True
        elif number == -12:
            self.coding += take.take(take.one(self.ulong))
        elif number == -13:
            self.compress_next = True
        elif number == -18:
            self.toolstack(Cursor(take.take(take.one("<I"))))
        else:
            raise PlainError(f"at {take.at - 4}: chunk {number}")

    def tmem(self) -> None:
        take = self.input
        version = take.unpack("<7I")[0]
        self.tmem_words = 1 if version == 0 else 3
        while take.one("<I") != 0xFFFFFFFF:
            flags, room = take.unpack("<II2Q")[:2]
            self.image.tmem += 1
            for _ in range(room):
                if take.take(8 * self.tmem_words) == b"\xff" * 8 * self.tmem_words:
                    break
                take.take(4 + (1 << (flags >> 4 & 0xF) + 12))

    def toolstack(self, body: Cursor) -> None:
        version, count = body.unpack("<II")
        if version != 1:
            raise PlainError(f"toolstack record of version {version}")
        pairs = []
        for _ in range(count):
            offset, start, size, length = body.unpack("<QQQI")
            name = body.take(length)
            body.take(4 if self.word == 8 else 0)
            root = b"physmap/%x/" % offset
            pairs += [(root + b"start_addr", b"%x" % start), (root + b"size", b"%x" % size)]
            pairs += [(root + b"name", name[:-1])] if name else []
        self.image.xenstore = tuple(pairs) if self.image.guest == "hvm" else ()

    def pv_tail(self) -> None:
        take, image = self.input, self.image
        image.gone = frozenset(self.ulongs(take.one("<I")))
        size = {word: size for size, word in _CONTEXTS.items()}[image.guest_word or 0]
        image.vcpus = {}
        for number in [0] if self.online is None else self.online:
            vcpu = image.vcpus[number] = Vcpu(take.take(size))
            if self.online is None:
                (flags,) = struct.unpack_from("<I", vcpu.basic, 512)
                vcpu.basic = vcpu.basic[:512] + struct.pack("<I", flags | _ONLINE) + vcpu.basic[516:]
            if b"extv" in self.blocks:
                vcpu.extended = meaning(take.take(128))
            if int.from_bytes(self.blocks.get(b"xcnt", b""), "little"):
                vcpu.xsave = take.take(take.unpack("<QQ")[1])
        image.shared_info = take.take(PAGE)

    def hvm_tail(self) -> None:
        take, image = self.input, self.image
        ioreq, buffered, store = take.unpack("<QQQ")
        values = {**self.values, _IOREQ: ioreq, _BUFFERED: buffered, _STORE: store}
        if values.get(_ACPI) != 1:
            values.pop(_ACPI, None)
        if not (values.get(_SERVER) and values.get(_SERVER_PAGES)):
            values.pop(_SERVER, None)
            values.pop(_SERVER_PAGES, None)
        image.params = {index: value for index, value in values.items() if value}
        image.context = take.take(take.one("<I"))

    def qemu(self) -> None:
        take = self.input
        signature = take.take(21)
        if signature not in _SIGNATURES:
            raise PlainError(f"at {take.at - 21}: {signature!r} in place of QEMU's signature")
        if signature != _SIGNATURES[-1]:
            self.image.emulator = take.take(take.one("<I"))
        elif take.data[take.at : take.at + 1] == b"\n" and take.data[take.at + 5 : take.at + 9] == _QEMU:
            take.take(1)
            self.image.emulator = take.take(take.one(">I"))
        else:
            self.image.emulator = take.take(len(take.data) - take.at)

    def checkpoint(self, qemu: bool) -> None:
        self.body()
        if self.image.guest == "pv":
            self.pv_tail()
        else:
            self.hvm_tail()
            if qemu:
                self.qemu()
        self.compressed = self.compressed or self.compress_next
        self.image.complete += 1
        self.image.end = self.input.at


def read(data: bytes, word: int, guest: str, *, qemu: bool = True) -> Image:
    """The guest in a legacy stream.

    :param word: bytes of the toolstack's unsigned long.
    :param guest: "pv" or "hvm".
    :param qemu: whether the record of QEMU's state comes after an HVM guest's tail.
    :raises PlainError: it has no whole checkpoint.
    """
    reader = _Reader(data, word, guest)
    reader.begin()
    reader.checkpoint(qemu)
    while reader.input and not reader.last:
        kept = reader.image
        reader.image = kept.copy()
        try:
            reader.checkpoint(qemu)
        except (PlainError, ValueError):
            return kept
    return reader.image
