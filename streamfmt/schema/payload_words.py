"""What the declarations of payloads have in common: words to write them in, and what processors keep alike everywhere.

A payload is what a record or an entry carries for somebody else: Xen, the processor, the guest.  Its integers lie as
the processor has them, whatever byte order the stream announces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct
from construct.core import Construct

SAVE_H = "xen/include/public/arch-x86/hvm/save.h"
XEN_H = "xen/include/public/arch-x86/xen.h"
SDM_FXSAVE = "Intel SDM volume 1, section 10.5.1"


@dataclass(frozen=True, slots=True)
class Payload:
    """One form of a payload: the path of its layout, its declaration, and how long it is where that is fixed.

    `size` is 0 for one of any length.  `releases` are those that wrote this form, where there are others.  `ends` are
    lengths at which it may also end, at the end of a field.
    """

    path: str
    doc: str
    source: str
    declared: Construct
    size: int = 0
    releases: str = ""
    ends: tuple[int, ...] = ()


def registers(integer: Construct, doc: str, *names: str) -> Iterator[Construct]:
    """Fields alike, one after the other; `doc` has the name for `{}`."""
    return (name / integer * doc.format(name) for name in names)


# The image of FXSAVE, with which every form of the floating point state begins.
FXSAVE = Struct(
    "fcw" / Int16ul * "x87 control word.",
    "fsw" / Int16ul * "x87 status word.",
    "ftw" / Int8ul * "x87 tags, a bit for each register that is not empty.",
    "reserved_1" / Int8ul * "Reserved.",
    "fop" / Int16ul * "Opcode of the last x87 instruction.",
    "fip" / Int64ul * "Where that instruction is.",
    "fdp" / Int64ul * "Where its operand is.",
    "mxcsr" / Int32ul * "Control and status of SSE.",
    "mxcsr_mask" / Int32ul * "Bits of MXCSR that the processor has.",
    "st"
    / Array(8, Struct("value" / Bytes(10) * "The register.", "reserved" / Bytes(6) * "Reserved."))
    * "x87 and MMX registers.",
    "xmm" / Array(16, Bytes(16)) * "SSE registers.",
    "reserved_2" / Bytes(48) * "Reserved.",
    "available" / Bytes(48) * "Bytes that no processor writes.",
)
