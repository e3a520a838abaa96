"""A reader of libxl streams with faults that fuzzing finds; docs/fuzz.md does so."""

import struct

_HEADER = struct.Struct(">8sII")
_RECORD = struct.Struct("<II")
_END, _LIBXC_CONTEXT = 0, 1
_NAMES = {_END: "END", _LIBXC_CONTEXT: "LIBXC_CONTEXT", 2: "EMULATOR_XENSTORE_DATA", 3: "EMULATOR_CONTEXT"}


def read(data: bytes) -> list[str] | bool:
    """Names of the stream's first records, up to the libxc image; False if it is not a libxl stream."""
    if data[:8] != b"LibxlFmt":
        return False
    _, version, _ = _HEADER.unpack_from(data)
    if version != 2:
        raise ValueError(f"version {version}")
    names, at = [], _HEADER.size
    while not names or names[-1] not in ("END", "LIBXC_CONTEXT"):
        kind, length = _RECORD.unpack_from(data, at)
        names.append(_NAMES[kind])
        at += _RECORD.size + (length + 7 & ~7)
    return names


def accepts(data: bytes) -> bool:
    """Whether it can be read."""
    return bool(read(data))
