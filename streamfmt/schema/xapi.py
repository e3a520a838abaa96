"""XAPI suspend image, version 2: a signature, then headers that each say what comes next.

Source: xen-api ocaml/xenopsd/lib/suspend_image.ml, and who writes what in ocaml/xenopsd/xc/domain.ml.  Integers are
little-endian.  Some records have no length: only who understands their body finds its end.
"""

from __future__ import annotations

from construct import Bytes, Const, Int64sl, Struct

from .build import RecordType, opaque

SIGNATURE = b"XenSavedDomv2-\n"
_SOURCE = "xen-api ocaml/xenopsd/lib/suspend_image.ml"

HEADER = Struct("signature" / Const(SIGNATURE, Bytes(len(SIGNATURE))) * "The letters that tell the image.")
HEADER_SOURCE = f"{_SOURCE}, save_signature"

RECORD_HEADER = Struct(
    "type" / Int64sl * "What follows.",
    "length" / Int64sl * "Octets of what follows; 0 where that has an end of its own.",
)
RECORD_HEADER_SOURCE = f"{_SOURCE}, write_header"

# The QEMU record a reader takes, at most; the others have no bound but that of the reader's integers.
QEMU_MAX = 1 << 20
LENGTH_MAX = (1 << 62) - 1  # OCaml's max_int on a 64-bit host


def _record(code: int, name: str, doc: str, *, sized: bool = True, most: int | None = None) -> RecordType:
    body = Struct(opaque("body", "As its owner wrote it.")) if sized else Struct()
    return RecordType(code, name, body, doc, _SOURCE, most=most)


RECORDS = (
    _record(0x000F, "XENOPS", "What xenopsd knows of the guest, as an S-expression."),
    _record(0x00F0, "LIBXC", "A libxc image of version 2 or 3 follows and ends with its own END.", sized=False),
    _record(0x00F1, "LIBXL", "Reserved for a libxl stream; no release writes or reads it.", sized=False),
    _record(0x00F2, "LIBXC_LEGACY", "A legacy stream with its QEMU tail follows.", sized=False),
    _record(0x0F00, "QEMU_TRAD", "QEMU's device state, of either QEMU.", most=QEMU_MAX),
    _record(0x0F01, "QEMU_XEN", "Reserved for upstream QEMU; no release writes or reads it."),
    _record(0x0F10, "DEMU", "State of a virtual GPU, whose end only its emulator knows.", sized=False),
    _record(0x0F11, "VARSTORED", "UEFI variables."),
    _record(0x0F12, "SWTPM0", "State of a virtual TPM as raw octets; written until 2023."),
    _record(0x0F13, "SWTPM", "State of a virtual TPM as base64 text."),
    _record(0xFFFF, "END_OF_IMAGE", "Ends the image.", sized=False),
)
# Records whose body has no length: the image of a guest, or what nobody here can read to its end.
UNSIZED = ("LIBXC", "LIBXL", "LIBXC_LEGACY", "DEMU")
