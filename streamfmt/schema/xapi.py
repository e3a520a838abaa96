"""XAPI suspend image, version 2: a signature, then headers that each say what comes next.

Source: xen-api ocaml/xenopsd/lib/suspend_image.ml, and who writes what in ocaml/xenopsd/xc/domain.ml.  Integers are
little-endian.  Some records have no length: only who understands their body finds its end.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Bytes, Const, Int64sl, Struct

from . import qemu
from .model import RecordType, opaque

SIGNATURE = b"XenSavedDomv2-\n"
VERSION = 2
_SOURCE = "xen-api ocaml/xenopsd/lib/suspend_image.ml"

HEADER = Struct("signature" / Const(SIGNATURE, Bytes(len(SIGNATURE))) * "The letters that identify the image.")
HEADER_SOURCE = f"{_SOURCE}, save_signature"

RECORD_HEADER = Struct(
    "type" / Int64sl * "What follows.",
    "length" / Int64sl * "Octets of what follows; 0 where that has an end of its own.",
)
RECORD_HEADER_SOURCE = f"{_SOURCE}, write_header"

# The QEMU record a reader takes, at most (ocaml/xenopsd/xc/domain.ml, consume_qemu_record); the others have no bound
# but that of the reader's integers, OCaml's max_int on a 64-bit host.
QEMU_MAX = 1 << 20
LENGTH_MAX = (1 << 62) - 1


def _record(code: int, name: str, doc: str, *body: str, most: int | None = None) -> RecordType:
    """A record whose header gives the length of its body, if `body` says what that is."""
    return RecordType(code, name, Struct(*(opaque("body", text) for text in body)), doc, _SOURCE, most=most)


RECORDS = (
    _record(0x000F, "XENOPS", "What xenopsd knows of the guest.", "An S-expression, a list of (key value) pairs."),
    _record(0x00F0, "LIBXC", "A libxc image of version 2 or 3 follows, to its own END."),
    _record(0x00F1, "LIBXL", "Reserved for a libxl stream; no release writes or reads it."),
    _record(0x00F2, "LIBXC_LEGACY", "A legacy stream with its QEMU tail follows; no release writes it."),
    _record(
        0x0F00,
        "QEMU_TRAD",
        "State of either QEMU.",
        f"As QEMU wrote it, beginning with {qemu.MAGIC.decode()}.",
        most=QEMU_MAX,
    ),
    _record(0x0F01, "QEMU_XEN", "Reserved for upstream QEMU; no release writes or reads it.", "Of no known form."),
    _record(0x0F10, "DEMU", "State of a virtual GPU follows, whose end only its emulator knows."),
    _record(0x0F11, "VARSTORED", "UEFI variables.", "As varstored wrote it."),
    _record(0x0F12, "SWTPM0", "State of a virtual TPM, from 2022 and 2023.", "As swtpm wrote it."),
    _record(0x0F13, "SWTPM", "State of a virtual TPM.", "What swtpm wrote, in base64."),
    _record(0xFFFF, "END_OF_IMAGE", "Ends the image."),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the XENOPS record.  `form` is what its value is: an "atom", an "integer", or a list of atom "pairs"."""

    name: str
    form: str
    required: bool
    doc: str


XENOPS_KEYS = (
    Key("time", "atom", True, "When the guest was suspended, such as 20210219T17:16:27Z."),
    Key("word_size", "integer", True, "Bits of a word in the saving toolstack: 64, or 32."),
    Key("vm_str", "atom", False, "The guest's configuration, an S-expression in a quoted atom."),
    Key("xs_subtree", "pairs", False, "Paths and values of the guest's xenstore tree; empty since 2017."),
)
WORD_SIZES = (32, 64)

# With this a virtual GPU's state begins where it has a descriptor of its own, which has no signature.
GPU_STREAM = RECORD_HEADER.build({"type": next(row.code for row in RECORDS if row.name == "DEMU"), "length": 0})
