"""The streams of corpus/made, which the builders of these tests make: `python -m streamfmt.tests.made` writes them.

They stand in for real ones that only a Xen host, or a libvirt or XAPI of long ago, could write.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from .. import data
from ..writer import Stream, behind_text, in_libvirt, in_migration
from .good import BACK, GOOD, LIBXL_HVM, MIGRATION, XAPI_UEFI

MADE: dict[str, Stream] = {
    "back-channel": BACK,
    "libvirt-old": in_libvirt(LIBXL_HVM, version=1),
    "migration": MIGRATION,
    "migration-failed": behind_text(
        in_migration(GOOD["xl-hvm"], 3), b"Warning: Permanently added 'b' to the list.\r\n"
    ),
    "xapi-uefi": XAPI_UEFI,
    "xapi-useless": Stream((*XAPI_UEFI.parts[:2], XAPI_UEFI.parts[-1])),
    "xl-hvm": GOOD["xl-hvm"],
}


def main() -> None:
    for name, stream in MADE.items():
        path = Path(data.path("corpus"), "made", f"{name}.bin.gz")
        path.write_bytes(gzip.compress(stream.render(), mtime=0))


if __name__ == "__main__":
    main()
