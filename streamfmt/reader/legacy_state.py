"""What a legacy stream has said of itself so far: what the framing of all that follows depends on."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Layer

# Chunks that only releases since 4.1 write, which also write LAST_CHECKPOINT in every save but a checkpointed one.
_SINCE_LAST = tables.LEGACY_SINCE_LAST


class State:
    """Facts of one stream.

    `word` is the toolstack's width in bytes, `width` the guest's; `p2m_size` what the header says.  `extended` says
    whether the tail has 128 bytes more of each vcpu, `xsave` how many bytes of XSAVE state, or 0.  `vcpus` are those
    online, in order, `mapped` whether the stream said so.  `compressed` is whether batches come without pages, which
    `announced` says of the next checkpoint.  `last` says that this checkpoint is the last, `recent` that a release
    wrote it which always says so, `remus` that the device model's record was that of a checkpoint.  `tmem` is the
    version of transcendent memory.
    """

    __slots__ = (
        "announced",
        "compressed",
        "extended",
        "last",
        "mapped",
        "p2m_size",
        "recent",
        "remus",
        "tmem",
        "vcpus",
        "width",
        "word",
        "xsave",
    )

    def __init__(self, layer: Layer) -> None:
        self.word = tables.SIZES[f"{layer.name}.header"]
        self.width = self.word  # a PV guest's is by default the reader's own (xc_domain_restore.c)
        self.p2m_size = 0
        self.extended = False
        self.xsave = 0
        self.vcpus: tuple[int, ...] = (0,)
        self.mapped = self.compressed = self.announced = self.last = self.recent = self.remus = False
        self.tmem: int | None = None

    def chunk(self, kind: int) -> None:
        """A chunk of that number has come."""
        if kind in _SINCE_LAST:
            self.recent = True
        if kind == tables.LEGACY_LAST_CHECKPOINT:
            self.last = True
        elif kind == tables.LEGACY_ENABLE_COMPRESSION:
            self.announced = True

    def online(self, highest: int, words: Iterable[int]) -> None:
        """The map of vcpus: bits above the highest are ignored, and vcpu 0 is always there."""
        bits = sum(word << 64 * place for place, word in enumerate(words)) | 1
        self.vcpus = tuple(vcpu for vcpu in range(highest + 1) if bits >> vcpu & 1)
        self.mapped = True

    def blocks(self, blocks: Iterable[tuple[bytes, bytes]]) -> None:
        """The blocks of extended info; of those that repeat the last counts."""
        for tag, data in blocks:
            if tag == tables.LEGACY_VCPU_TAG:
                self.width = tables.LEGACY_VCPU_WIDTHS.get(len(data), 8 * self.width) // 8
            elif tag == tables.LEGACY_EXTV_TAG:
                self.extended = True
            elif tag == tables.LEGACY_XCNT_TAG:
                self.xsave = int.from_bytes(data[:4], "little")
                self.recent = True

    def body_ends(self) -> None:
        """The checkpoint's tail has come: compression that was announced is on."""
        self.compressed = self.compressed or self.announced

    @property
    def frames(self) -> int:
        """Entries of the list of frames of the guest's P2M."""
        return -(-self.p2m_size * self.width // tables.PAGE_SIZE)

    @property
    def context(self) -> int:
        """Bytes of a vcpu's context."""
        size: int = tables.VCPU_CONTEXT_SIZES[self.width]
        return size
