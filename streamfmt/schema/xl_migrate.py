"""What captures of a migration hold beside the stream: xl's handshake, and text before anything else.

Source: Xen's tools/xl/xl_migrate.c and tools/xl/xl.h.  The messages of both directions are fixed texts, here in the
order in which they pass; none has a header, and a record's number is its place in that order.
"""

from __future__ import annotations

from construct import Bytes, Const, Construct, Int8ul, Int16ub, Struct

from .model import RecordType, opaque

_SOURCE = "tools/xl/xl_migrate.c"
GREETING = b"xl migration receiver ready, send binary domain data.\n"
READY = b"domain received, ready to unpause\0"
# The receiver sends the same bytes when it gives the guest back.
GO = b"domain is yours, you are cleared to unpause\0"
# The status of a failure that is not libxl's: return code 1, negated.
OWN_FAILURE = 0xFF

HEADER = Struct(
    "greeting" / Const(GREETING, Bytes(len(GREETING))) * "With which the receiver asks for the stream; no NUL ends it."
)
HEADER_SOURCE = f"{_SOURCE}, migrate_receive"


def _message(text: bytes) -> Construct:
    return Struct("message" / Const(text, Bytes(len(text))) * "These octets, with the NUL at their end.")


MESSAGES = (
    RecordType(
        0,
        "READY",
        _message(READY),
        "From the receiver: the stream has been taken.",
        HEADER_SOURCE,
    ),
    RecordType(
        1,
        "GO",
        _message(GO),
        "From the sender: its copy of the guest will not run again.",
        f"{_SOURCE}, migrate_domain",
    ),
    RecordType(
        2,
        "REPORT",
        _message(b"my copy unpause results are as follows\0"),
        "From the receiver: STATUS comes next.",
        HEADER_SOURCE,
    ),
    RecordType(
        3,
        "STATUS",
        Struct("status" / Int8ul * "0 if the guest runs there, else the return code that stopped it, negated."),
        "From the receiver: how starting the guest went.",
        HEADER_SOURCE,
    ),
    RecordType(
        4,
        "GIVE_BACK",
        _message(GO),
        "From the receiver, only if the status is not 0: its copy is gone, the sender's may run.",
        HEADER_SOURCE,
    ),
)

TEXT = (
    RecordType(
        0,
        "TEXT",
        Struct(opaque("text", "Printable ASCII, tabs and ends of lines.")),
        "Text that stands before a stream and does not belong to it.",
        "what ssh and shells print on a descriptor that they share with a migration",
        least=1,
    ),
)
HTTP = (
    RecordType(
        0,
        "HEAD",
        Struct(opaque("head", "Request line, header lines and an empty line.")),
        "Head of the request on whose connection XAPI sends an image.",
        "xen-api ocaml/xenopsd/lib/xenops_server.ml, VM_migrate",
        least=1,
    ),
    RecordType(
        1,
        "REPLY",
        Struct("length" / Const(0, Int16ub) * "Octets of an error's text that follow: none."),
        "From the receiver, in a capture of both directions: it is ready for the image.",
        "xen-api ocaml/xenopsd/lib/xenops_migrate.ml",
    ),
)
