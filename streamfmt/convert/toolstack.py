"""libxl's record of QEMU's physmap entries in a legacy stream, as the xenstore keys and values that libxl sends now."""

from __future__ import annotations

from struct import Struct

from .. import tables

_HEAD = Struct("<II")
_ENTRY = Struct("<QQQI")
# What the entry of a 64-bit toolstack has after its name: the structure is as long as its widest member wants.
_SPARE = {4: 0, 8: 4}


def pairs(data: bytes, word: int, wrong: list[bytes]) -> bytes | None:
    """Keys and values, each with a NUL, of what comes after the record's length; None if it is none of that form.

    `word` is the width of the toolstack that saved.  Names that no value of xenstore can be are left out, and are in
    `wrong` afterwards.  Source: libxl__toolstack_restore, tools/libxl/libxl_dom.c of 4.4.
    """
    if len(data) < _HEAD.size:
        return None
    version, count = _HEAD.unpack_from(data)
    if version != tables.LEGACY_TOOLSTACK_VERSION:
        return None
    place, found = _HEAD.size, []
    for _ in range(count):
        if len(data) < place + _ENTRY.size:
            return None
        phys, start, size, length = _ENTRY.unpack_from(data, place)
        place += _ENTRY.size
        name = data[place : place + length].partition(b"\0")[0]
        place += length + _SPARE[word]
        if place > len(data):
            return None
        root = f"physmap/{phys:x}".encode()
        found += [root + b"/start_addr", b"%x" % start, root + b"/size", b"%x" % size]
        if name.translate(None, tables.XENSTORE_VALUE):
            wrong.append(name)
        elif length:
            found += [root + b"/name", name]
    return b"".join(text + b"\0" for text in found)
