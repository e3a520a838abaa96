"""Vectors of the clauses about captures of xl migrate, and about text before a stream."""

from __future__ import annotations

from ..writer import Stream, behind_text, in_migration, in_xl, raw, record
from .good import (
    BACK,
    HTTP_HEAD,
    HVM,
    LIBVIRT_HVM,
    LIBXL_HVM,
    LIBXL_PV,
    LIBXL_REMUS,
    MIGRATION,
    MIGRATION_REMUS,
    SENDER,
    XAPI_HTTP,
    XAPI_PV,
    XL_HVM,
)
from .paths import GIVE_BACK, GO, MIGRATION_HEADER, READY, REPORT, STATUS, XL_HEADER
from .vector import Table, Vector, rows

# What ssh and shells are known to print.
_BANNER = b"Warning: Permanently added 'b' (ED25519) to the list of known hosts.\r\n"
_REFUSED = b"libxl: error: libxl_create.c:1234:domain_create: no.\n"
_FAILED = in_migration(XL_HVM, 3)


def _no_greeting(capture: Stream) -> Stream:
    """What is left of a capture of both directions that was begun too late."""
    return XL_HVM.then(raw(capture.render()[capture.offset(READY) :]))


def _old_http(path: bytes) -> Stream:
    """A XAPI image behind a request for `path`."""
    return behind_text(XAPI_PV, b"PUT " + path + b" HTTP/1.1\r\n\r\n", "http.HEAD")


ACCEPTING: Table = {
    "XL-MIGRATE-CONFIG": {"save-file": Vector(in_xl(LIBXL_PV, b"", json=0))},
    "XL-MIGRATE-TRUNC": {"whole": Vector(MIGRATION)},
    "XL-MIGRATE-MESSAGE": {"declared": Vector(MIGRATION, form="xl-migrate")},
    "STREAM-TEXT": {
        "http": Vector(XAPI_HTTP),
        "http-old": Vector(_old_http(b"/services/xenops/memory/1")),
        "http-both-directions": Vector(XAPI_HTTP.after("http.HEAD", record("http.REPLY"))),
        "long-head": Vector(
            behind_text(XAPI_PV, HTTP_HEAD[:-2] + b"X: " + b"y" * 60_000 + b"\r\n\r\n", "http.HEAD"), large=True
        ),
    },
}

BREAKING: Table = {
    "XL-MIGRATE-GREETING": {
        "other-letters": Vector(MIGRATION.patch(MIGRATION_HEADER, "greeting", b"xl" + b"x" * 52), form="xl-migrate"),
    },
    "XL-MIGRATE-CONFIG": {
        "none": Vector(in_migration(in_xl(LIBXL_HVM, b"", json=0))),
        "none-in-remus": Vector(Stream((MIGRATION_REMUS.parts[0], *in_xl(LIBXL_REMUS, b"", json=0)))),
    },
    "XL-MIGRATE-TRUNC": {
        "in-greeting": Vector(MIGRATION.upto(MIGRATION_HEADER, extra=53)),
        "greeting-alone": Vector(MIGRATION.upto(XL_HEADER)),
    },
    "XL-MIGRATE-MESSAGE": {
        "refusal": Vector(MIGRATION.edit(READY, octets=_REFUSED[:34])),
        "short-refusal": Vector(MIGRATION.edit(READY, octets=b"no\n").upto(GO)),
        "no-nul": Vector(MIGRATION.patch(READY, "message", b"domain received, ready to unpause\n")),
        "go-first": Vector(MIGRATION.edit(READY, octets=MIGRATION.part(GO).body("<")[:34])),
        "no-leave": Vector(MIGRATION.edit(GO, octets=b"x" * 44)),
        "no-report": Vector(MIGRATION.edit(REPORT, octets=b"x" * 39)),
        "no-giving-back": Vector(_FAILED.edit(GIVE_BACK, octets=b"x" * 44)),
    },
    "XL-MIGRATE-STATUS": {
        "failed": Vector(_FAILED),
        "own-failure": Vector(in_migration(XL_HVM, 0xFF)),
    },
    "XL-MIGRATE-UNFINISHED": {
        "no-handshake": Vector(MIGRATION.upto(READY)),
        "in-ready": Vector(MIGRATION.upto(READY, extra=1)),
        "no-leave": Vector(MIGRATION.upto(GO)),
        "in-report": Vector(MIGRATION.upto(REPORT, extra=38)),
        "no-status": Vector(MIGRATION.upto(STATUS)),
        "no-giving-back": Vector(_FAILED.upto(GIVE_BACK)),
    },
    "XL-MIGRATE-AFTER": {
        "octet": Vector(MIGRATION.then(raw(b"\0"))),
        "text": Vector(MIGRATION.then(raw(b"Connection to b closed.\r\n"))),
        "message": Vector(MIGRATION.then(record(GO))),
    },
    "STREAM-TEXT": {
        **rows(
            lambda stream: behind_text(stream, _BANNER),
            xl=XL_HVM,
            migration=MIGRATION,
            remus=MIGRATION_REMUS,
            libxl=LIBXL_HVM,
            libxc=HVM,
            libvirt=LIBVIRT_HVM,
            xapi=XAPI_PV,
            back_channel=BACK,
        ),
        "behind-greeting": Vector(MIGRATION.before(XL_HEADER, record("text.TEXT", _BANNER))),
        "remus-behind-greeting": Vector(MIGRATION_REMUS.before(XL_HEADER, record("text.TEXT", _BANNER))),
        "one-letter": Vector(behind_text(LIBXL_HVM, b"X")),
        "most": Vector(behind_text(LIBXL_HVM, b"x" * (65536 - 9)), large=True),
        "http-of-another": Vector(behind_text(XL_HVM, HTTP_HEAD)),
        "http-unfinished": Vector(behind_text(XAPI_PV, HTTP_HEAD[:-2])),
        "http-get": Vector(behind_text(XAPI_PV, HTTP_HEAD.replace(b"PUT", b"GET"))),
        "http-vgpu": Vector(behind_text(XAPI_PV, HTTP_HEAD.replace(b"/mem/", b"/vgpu/"))),
    },
    "STREAM-TRAILER": {
        "sender-alone": Vector(SENDER),
        **rows(_no_greeting, no_greeting=MIGRATION, no_greeting_failed=_FAILED),
    },
}
