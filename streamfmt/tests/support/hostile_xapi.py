"""XAPI images made to hurt, for ``hostile_streams``.

LIARS are beginnings and record headers that lie, FLOODS beginnings and what comes after them over and over.
"""

from __future__ import annotations

from ...schema import xapi
from .good_streams import HVM, XAPI_UEFI

_CODES = {row.name: row.code for row in xapi.RECORDS}
_LENGTHS = (-1, -8, -16, -(1 << 62), -(1 << 63), 1 << 31, 0xFFFFFFFF, 1 << 57, (1 << 62) - 1, 1 << 62, (1 << 63) - 1)
# More than there is of anything, and less than what is refused for its length alone.
_ENDLESS = 1 << 57


def _head(kind: int, length: int = 0) -> bytes:
    return bytes(xapi.RECORD_HEADER.build({"type": kind, "length": length}))


_START, _TAIL = XAPI_UEFI.upto("xapi.XENOPS").render(), XAPI_UEFI.upto("xapi.VARSTORED").render()
_IMAGE = HVM.upto("libxc.X86_CPUID_POLICY").render() + bytes(8)  # headers and END
# Records that cannot end well: those that have a length, those in which something must follow, and unknown ones.
_HEADS = tuple(
    _head(kind, length)
    for kind in (
        *(
            _CODES[name]
            for name in ("XENOPS", "LIBXC", "LIBXL", "QEMU_TRAD", "QEMU_XEN", "VARSTORED", "SWTPM0", "SWTPM")
        ),
        *(0, 0x1234, -1, -(1 << 63), (1 << 63) - 1),
    )
    for length in _LENGTHS
)

LIARS = {"xapi": (_TAIL, _HEADS), "xapi-start": (_START, _HEADS)}


def _record(name: str, unit: bytes) -> tuple[bytes, bytes]:
    """One record that goes on and on."""
    return _TAIL + _head(_CODES[name], _ENDLESS), unit


def _text(start: bytes, unit: bytes) -> tuple[bytes, bytes]:
    """The text of one XENOPS record that goes on and on."""
    return _START + _head(_CODES["XENOPS"], _ENDLESS) + start, unit


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "xapi-descriptions": (_TAIL, b"".join(XAPI_UEFI.part("xapi.XENOPS").buffers("<"))),
    "xapi-empty": (_TAIL, b"".join(_head(_CODES[name]) for name in ("VARSTORED", "SWTPM", "QEMU_TRAD"))),
    "xapi-reserved": (_TAIL, _head(_CODES["QEMU_XEN"])),
    "xapi-raw-tpm": (_TAIL, _head(_CODES["SWTPM0"], 1) + b"x"),
    "xapi-images": (_TAIL, _head(_CODES["LIBXC"], -1) + _IMAGE),
    "xapi-firmware": _record("VARSTORED", bytes(4096)),
    "xapi-qemu": _record("QEMU_TRAD", bytes(4096)),
    "xapi-tpm": _record("SWTPM", b"AAAA"),
    "xapi-tpm-words": _record("SWTPM", b"AA== "),
    "xapi-tpm-padding": _record("SWTPM", b"="),
    "xapi-text-opens": _text(b"", b"("),
    "xapi-text-opens-below": _text(b"((xs_subtree", b"("),
    "xapi-text-unknown-key": _text(b"((k", b"k"),
    "xapi-text-pairs": _text(b"((xs_subtree(", b"(k v)"),
    "xapi-text-other-pairs": _text(b"((xs_subtree(", b' ( #a| "\\255" ) (a"b")'),
    "xapi-text-atom": _text(b"((time ", b"a"),
    "xapi-text-marks": _text(b"((time ", b"#"),
    "xapi-text-quoted": _text(b'((vm_str "', b"a"),
    "xapi-text-escapes": _text(b'((vm_str "', rb"\"\1\12\123"),
    "xapi-text-space": _text(b"", b" "),
    "xapi-text-number": _text(b"((word_size ", b"9"),
    "xapi-slack": (XAPI_UEFI.render(), b"slack"),
}
