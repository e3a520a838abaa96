"""Transcendent memory in a legacy stream, of Xen 4.0 to 4.5: its pools, their pages, and pages that are gone again.

The size of an object's id depends on the version that the first chunk has, so what has one is declared for each.
Source: tools/libxc/xc_tmem.c of Xen 4.0 and 4.4, xc_tmem_save and xc_tmem_save_extra.
"""

from __future__ import annotations

from construct import Bytes, Const, Construct, Int32ul, Struct

from .legacy_numbers import NUMBERS
from .model import Allowed, RecordType, opaque

TMEM = "tools/libxc/xc_tmem.c of Xen 4.4"

# Octets of an object's id by the version in the TMEM chunk (TMEM_SPEC_VERSION of xen/include/public/tmem.h).
OID_SIZES = {0: 8, 1: 24}
# The first and the last release that writes each of these.
_RELEASES = (("4.0", "4.0"), ("4.1", ""))
ALL_ONES = 0xFFFF_FFFF


def _object(size: int) -> Construct:
    return "oid" / Bytes(size) * "Which object of the pool."


def _by_version(place: int, since: str, until: str) -> tuple[RecordType, ...]:
    """What has an object's id, whose size the version says: the one at that place."""
    version, size = tuple(OID_SIZES.items())[place]
    index = "index" / Int32ul * "Which page of the object."
    return (
        RecordType(
            NUMBERS[f"TMEM_PAGE_{place}"],
            f"TMEM_PAGE_{place}",
            Struct(_object(size), index, opaque("page", "Its content, of the pool's page size.")),
            f"A page of a pool, of tmem version {version}.",
            f"{TMEM}, xc_tmem_save",
            since=since,
            until=until,
            headless=True,
        ),
        RecordType(
            NUMBERS[f"TMEM_POOL_END_{place}"],
            f"TMEM_POOL_END_{place}",
            Struct("oid" / Const(b"\xff" * size, Bytes(size)) * "All ones."),
            f"Ends a pool that ran out of pages before the number it announced, of tmem version {version}.",
            f"{TMEM}, xc_tmem_save",
            since=since,
            until=until,
            headless=True,
        ),
        RecordType(
            NUMBERS[f"TMEM_FLUSHED_{place}"],
            f"TMEM_FLUSHED_{place}",
            Struct("pool_id" / Int32ul * "Which pool.", _object(size), index),
            f"A page that is gone since it was sent, of tmem version {version}.",
            f"{TMEM}, xc_tmem_save_extra",
            since=since,
            until=until,
            headless=True,
        ),
    )


RECORDS = (
    RecordType(
        -5,
        "TMEM",
        Struct(
            "version"
            / Allowed(Int32ul, tuple(OID_SIZES))
            * "Version of tmem, which says how long the ids of objects are.",
            "max_pools" / Int32ul * "Pools a guest may have.",
            "marker_1" / Const(ALL_ONES, Int32ul) * "All ones.",
            "flags" / Int32ul * "Flags of the client: 1 compresses, 2 is frozen.",
            "weight" / Int32ul * "Its weight.",
            "cap" / Int32ul * "Its cap.",
            "marker_2" / Int32ul * "All ones, which no reader checks.",
        ),
        "Transcendent memory: what the client is; its pools follow.",
        f"{TMEM}, xc_tmem_save",
        since="4.0",
    ),
    RecordType(
        -6,
        "TMEM_EXTRA",
        Struct(),
        "Transcendent memory: pages follow that are gone since they were sent.",
        f"{TMEM}, xc_tmem_save_extra",
        since="4.0",
    ),
    RecordType(
        NUMBERS["TMEM_POOL"],
        "TMEM_POOL",
        Struct(
            "pool_id" / Int32ul * "Which pool.",
            "flags"
            / Int32ul
            * "1 persistent, 2 shared, 4 precompressed; bits 4 to 7 the page size's exponent, less 12.",
            "pages" / Int32ul * "Pages that follow, at most; none of a pool that is not persistent.",
            "uuid" / Bytes(16) * "Its UUID.",
        ),
        "A pool; its pages follow.",
        f"{TMEM}, xc_tmem_save",
        since="4.0",
        headless=True,
    ),
    RecordType(
        NUMBERS["TMEM_END"],
        "TMEM_END",
        Struct("marker" / Const(ALL_ONES, Int32ul) * "All ones, in the place of a pool's number."),
        "Ends the pools, or the pages that are gone.",
        f"{TMEM}, xc_tmem_save",
        since="4.0",
        headless=True,
    ),
    *(row for place, (since, until) in enumerate(_RELEASES) for row in _by_version(place, since, until)),
)
