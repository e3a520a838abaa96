"""The layers a stream may consist of: their headers, their records, and the order of these.

Everything that treats all layers alike (descriptions, tables, documentation, tests) walks :data:`LAYERS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Construct

from . import libvirt, libxc, libxl, states, xapi, xl, xl_migrate
from .build import OPTIONAL_BIT, RecordType


@dataclass(frozen=True, slots=True)
class LayerType:
    """One layer.

    `headers` are (name, meaning, source, declaration); the one named "record_header" stands before each record, and a
    layer without it has fixed messages, or a single body behind its header, whose length is in field `length`.  `align`
    is what records are padded to.  `magic` names the fields with which the first header begins, and which show what it
    is.  `optional` is the bit of a record's type that lets readers skip it.
    """

    name: str
    title: str
    headers: tuple[tuple[str, str, str, Construct], ...]
    records: tuple[RecordType, ...]
    rules: tuple[states.OrderRule, ...] = ()
    align: int = 1
    length: str = ""
    magic: tuple[str, ...] = ()
    optional: int = 0

    @property
    def signature(self) -> bytes:
        """The octets of the fields that `magic` names."""
        declaration = self.headers[0][3] if self.headers else None
        return b"".join(getattr(declaration, name).build(None) for name in self.magic)


LAYERS = (
    LayerType(
        "libxl",
        "The libxl stream",
        (
            ("header", "Stream header.", libxl.HEADER_SOURCE, libxl.HEADER),
            ("record_header", "Header of every record.", libxl.RECORD_HEADER_SOURCE, libxl.RECORD_HEADER),
        ),
        libxl.RECORDS,
        states.LIBXL_RULES,
        align=8,
        optional=1 << OPTIONAL_BIT,
        magic=("ident",),
    ),
    LayerType(
        "libxc",
        "The libxc image",
        (
            ("image_header", "Image header.", libxc.IMAGE_HEADER_SOURCE, libxc.IMAGE_HEADER),
            ("domain_header", "Domain header.", libxc.DOMAIN_HEADER_SOURCE, libxc.DOMAIN_HEADER),
            ("record_header", "Header of every record.", libxc.RECORD_HEADER_SOURCE, libxc.RECORD_HEADER),
        ),
        libxc.RECORDS,
        states.LIBXC_RULES,
        align=8,
        optional=1 << OPTIONAL_BIT,
        magic=("marker", "id"),
    ),
    LayerType("back-channel", "The COLO back channel", (), ()),
    LayerType(
        "xl",
        "The xl save file",
        (("header", "File header.", xl.HEADER_SOURCE, xl.HEADER),),
        xl.RECORDS,
        length="optional_data_len",
        magic=("magic",),
    ),
    LayerType(
        "libvirt",
        "The libvirt save file",
        (("header", "File header.", libvirt.HEADER_SOURCE, libvirt.HEADER),),
        libvirt.RECORDS,
        length="xml_len",
        magic=("magic",),
    ),
    LayerType(
        "xapi",
        "The XAPI suspend image",
        (
            ("header", "Signature of the image.", xapi.HEADER_SOURCE, xapi.HEADER),
            ("record_header", "Header of every record.", xapi.RECORD_HEADER_SOURCE, xapi.RECORD_HEADER),
        ),
        xapi.RECORDS,
        states.XAPI_RULES,
        magic=("signature",),
    ),
    LayerType(
        "xl-migrate",
        "The capture of xl migrate",
        (("header", "The receiver's greeting.", xl_migrate.HEADER_SOURCE, xl_migrate.HEADER),),
        xl_migrate.MESSAGES,
        magic=("greeting",),
    ),
    LayerType("text", "Stray text", (), xl_migrate.TEXT),
    LayerType("http", "The request before a XAPI image", (), xl_migrate.HTTP),
)
