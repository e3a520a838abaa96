"""What a guest has once a stream is restored: the common form that plain readers of old and new streams give.

A conversion is right if `differences` finds none between what `plain_memory_legacy.read` gives of its input and
`plain_memory_v3.read` of its output.  Nothing here is the product's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PAGE = 4096
BROKEN, XALLOC, XTAB = 0xD, 0xE, 0xF
ZERO = bytes(PAGE)


class PlainError(ValueError):
    """A stream that cannot be read; the text has the offset."""


@dataclass
class Vcpu:
    """A PV guest's vcpu: its context, the part of the extended one that means something, its XSAVE state."""

    basic: bytes = b""
    extended: bytes = b""
    xsave: bytes = b""


@dataclass
class Image:
    """A guest as a restore has it.  What a stream does not say is None, or empty.

    `pages` has type and contents of each page that was allocated; `broken` the pages that are lost, `gone` those that
    a legacy receiver frees at the end.  `params` are an HVM guest's, without those that are 0.  `tsc` is mode,
    nanoseconds, kHz and incarnation.  A `bare` libxc image can have neither pairs of xenstore nor, but as a legacy
    record after its end, a device model's state.  `complete` counts checkpoints, the first body too; `end` is where
    reading ended.
    """

    guest: str = ""
    bare: bool = False
    p2m_size: int | None = None
    guest_word: int | None = None
    frames: tuple[int, ...] = ()
    pages: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    gone: frozenset[int] = frozenset()
    vcpus: dict[int, Vcpu] = field(default_factory=dict)
    shared_info: bytes = b""
    params: dict[int, int] = field(default_factory=dict)
    context: bytes | None = None
    tsc: tuple[int, int, int, int] | None = None
    xenstore: tuple[tuple[bytes, bytes], ...] = ()
    emulator: bytes | None = None
    verified: bool = False
    tmem: int = 0
    complete: int = 0
    end: int = 0

    def copy(self) -> Image:
        """One that further checkpoints do not change."""
        vcpus = {number: Vcpu(**vars(vcpu)) for number, vcpu in self.vcpus.items()}
        mine: dict[str, Any] = {"pages": dict(self.pages), "broken": set(self.broken), "params": dict(self.params)}
        return Image(**{**vars(self), **mine, "vcpus": vcpus})

    def put(self, kind: int, pfn: int, data: bytes | None) -> None:
        """A page arrives, or what an entry without page says of one."""
        if kind == BROKEN:
            self.broken.add(pfn)
        elif kind == XALLOC:
            self.pages.setdefault(pfn, (0, ZERO))
        elif kind != XTAB and data is not None:
            # Pages that come to be compared are not taken over, but their types are, and new ones are allocated.
            kept = self.pages.get(pfn, (0, ZERO))[1] if self.verified else data
            self.pages[pfn] = kind, kept

    @property
    def digests(self) -> dict[int, tuple[int, str]]:
        """Type and a hash of each page, by PFN."""
        return {pfn: (kind, hashlib.blake2b(data).hexdigest()) for pfn, (kind, data) in self.pages.items()}


class Cursor:
    """Reads bytes in their order."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def take(self, size: int) -> bytes:
        """The next so many bytes.  Raises PlainError where there are fewer."""
        if size < 0 or self.at + size > len(self.data):
            raise PlainError(f"at {self.at}: {size} bytes wanted, {len(self.data) - self.at} left")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next values of a struct."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def one(self, form: str) -> int:
        """The next number."""
        value: int = self.unpack(form)[0]
        return value


def meaning(extended: bytes) -> bytes:
    """The part of an extended context that its own size has mean something."""
    return extended[: int.from_bytes(extended[4:8], "little")] if len(extended) >= 8 else extended


def differences(left: Image, right: Image) -> list[str]:
    """In words, what two guests do not have in common.

    What only legacy streams can say is left out: which pages are to be freed, and tmem; so are the number of
    checkpoints, which a conversion may flatten, an HVM guest's p2m_size, which new streams do not have, and what a
    bare image cannot have.
    """
    return list(_differences(left, right))


def _differences(left: Image, right: Image) -> Iterator[str]:
    names = ["guest", "frames", "shared_info", "params", "context", "tsc", "broken"]
    names += ["p2m_size", "guest_word"] if left.guest == "pv" else []
    if not (left.bare or right.bare):
        names += ["xenstore", "emulator"]
    elif left.emulator and right.emulator:
        names += ["emulator"]
    for name in names:
        mine, other = getattr(left, name), getattr(right, name)
        if mine != other:
            yield f"{name}: {_short(mine)} / {_short(other)}"
    yield from _of_maps("page", left.digests, right.digests)
    yield from _of_maps("vcpu", _flat(left), _flat(right))


def _flat(image: Image) -> dict[tuple[int, str], bytes]:
    return {(number, name): data for number, vcpu in image.vcpus.items() for name, data in vars(vcpu).items()}


def _of_maps(what: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> Iterator[str]:
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            yield f"{what} {key}: {_short(left.get(key))} / {_short(right.get(key))}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]}..."
