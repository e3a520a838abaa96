"""A plain reader of libxc and libxl streams of versions 2 and 3, for the guest in them.  Nothing is the product's."""

from __future__ import annotations

import struct

from .plain_memory import PAGE, Cursor, Image, PlainError, Vcpu, meaning

_XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"
_LIBXL = b"LibxlFmt"
_MARKER = b"\xff" * 8 + b"XENF"
_QEMU = b"DeviceModelRecord0002"


def read(data: bytes) -> Image:
    """The guest in a libxc image, a libxl stream or an xl file: the last whole checkpoint's, if it has no end.

    :raises PlainError: there is none.
    """
    take = Cursor(data)
    if data.startswith(_XL_MAGIC):
        take.take(48)
        take.take(int.from_bytes(data[44:48], "little"))
    image = Image()
    if take.data.startswith(_LIBXL, take.at):
        take.take(16)
        kept = _libxl(take, image)
    else:
        image.bare = True
        kept = _libxc(take, image, inside=False)
        if take.data.startswith(_QEMU, take.at):
            take.take(len(_QEMU))
            kept.emulator = take.take(take.one("<I"))
    if not kept.complete:
        raise PlainError(f"at {take.at}: no whole checkpoint")
    kept.end = take.at
    return kept


def _record(take: Cursor) -> tuple[int, bytes]:
    kind, length = take.unpack("<II")
    body = take.take(length)
    take.take(-length % 8)
    return kind, body


def _libxl(take: Cursor, image: Image) -> Image:
    kept = Image()
    try:
        while True:
            kind, body = _record(take)
            if kind == 0:
                image.complete += 1
                return image
            if kind == 1:
                _libxc(take, image, inside=True)
            elif kind == 2:
                strings = body[8:].split(b"\0")[:-1]
                image.xenstore = tuple(zip(strings[::2], strings[1::2], strict=True))
            elif kind == 3:
                image.emulator = body[8:]
            elif kind == 4:
                image.complete += 1
                kept = image.copy()
                _records(take, image, inside=True)
            else:
                raise PlainError(f"at {take.at}: libxl record {kind:#x}")
    except PlainError:
        if not kept.complete:
            raise
        return kept


def _libxc(take: Cursor, image: Image, inside: bool) -> Image:
    if take.take(24)[:12] != _MARKER:
        raise PlainError(f"at {take.at - 24}: no image header")
    image.guest = {1: "pv", 2: "hvm"}[take.unpack("<IHHII")[0]]
    return _records(take, image, inside)


def _records(take: Cursor, image: Image, inside: bool) -> Image:
    """Take records up to END; inside libxl's, up to a CHECKPOINT too."""
    kept = Image()
    try:
        while True:
            kind, body = _record(take)
            if kind == 0x0E and inside:
                return image
            if kind in (0x00, 0x0E):
                image.complete += not inside
                if kind == 0:
                    return image
                kept = image.copy()
            elif kind == 0x01:
                _pages(image, Cursor(body))
            else:
                _state(image, kind, body)
    except PlainError:
        if not kept.complete:
            raise
        return kept


def _pages(image: Image, body: Cursor) -> None:
    count, reserved = body.unpack("<II")
    if not count or reserved:
        raise PlainError(f"PAGE_DATA of {count} entries, {reserved} in its reserved field")
    for value in body.unpack(f"<{count}Q"):
        kind, pfn = value >> 60, value & (1 << 52) - 1
        image.put(kind, pfn, body.take(PAGE) if kind < 0xD else None)
    if body:
        raise PlainError("PAGE_DATA has more than its pages")


def _state(image: Image, kind: int, body: bytes) -> None:
    if kind == 0x02:
        image.guest_word = body[0]
    elif kind == 0x03:
        _, end = struct.unpack_from("<II", body)
        image.p2m_size, image.frames = end + 1, struct.unpack(f"<{len(body) // 8 - 1}Q", body[8:])
    elif kind in (0x04, 0x05, 0x06):
        name = {0x04: "basic", 0x05: "extended", 0x06: "xsave"}[kind]
        vcpu = image.vcpus.setdefault(int.from_bytes(body[:4], "little"), Vcpu())
        setattr(vcpu, name, meaning(body[8:]) if kind == 0x05 else body[8:])
    elif kind == 0x07:
        image.shared_info = body
    elif kind == 0x08:
        mode, khz, nsec, incarnation, _ = struct.unpack("<IIQII", body)
        image.tsc = mode, nsec, khz, incarnation
    elif kind == 0x09:
        image.context = body
    elif kind == 0x0A:
        values = struct.unpack(f"<{2 * int.from_bytes(body[:4], 'little')}Q", body[8:])
        pairs = zip(values[::2], values[1::2], strict=True)
        image.params.update(pairs)
        # What is set to 0 last is as what was never set.
        image.params = {index: value for index, value in image.params.items() if value}
    elif kind == 0x0D:
        image.verified = True
    elif kind not in (0x0B, 0x0C, 0x0F, 0x10, 0x11, 0x12):
        raise PlainError(f"libxc record {kind:#x}")


def listed(data: bytes) -> list[tuple[str, int, bytes]]:
    """All whole records in their order, each with "libxc" or "libxl", its type and its body; raises nothing."""
    take, layer, found = Cursor(data), "libxl", []
    try:
        if data.startswith(_XL_MAGIC):
            take.take(48 + int.from_bytes(data[44:48], "little"))
        if data.startswith(_MARKER, take.at):
            layer = "libxc"
        take.take(16 if layer == "libxl" else 40)
        outer = layer
        while take:
            kind, body = _record(take)
            found.append((layer, kind, body))
            if layer == "libxl" and kind in (1, 4):
                take.take(40 if kind == 1 else 0)
                layer = "libxc"
            elif layer == "libxc" and kind in (0x00, 0x0E):
                layer = outer
                if kind == 0 and outer == "libxc":
                    break
    except PlainError:
        pass
    return found
