"""One header in short: what it announces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tables
from ..codec.decode import layouts
from ..reader.events import Layer
from .pages import number

Fields = dict[str, Any]  # integers, and bytes where the schema has a raw field

# What the headers of containers announce.
_HEADERS: dict[str, Callable[[Fields], str]] = {
    "xl.header": lambda row: (
        f"{'v2' if row['mandatory_flags.stream_v2'] else 'legacy'} stream, "
        f"{'JSON' if row['mandatory_flags.json'] else 'text'} configuration, "
        f"{number(row['optional_data_len'], 'byte', 'bytes')} of optional data"
    ),
    "libvirt.header": lambda row: f"version {row['version']}, {number(row['xml_len'], 'byte', 'bytes')} of XML",
    "xapi.header": lambda _: f"version {tables.XAPI_VERSION}",
    "xl-migrate.header": lambda _: "the receiver is ready",
    "qemu-multifd.header": lambda row: f"channel {row['id']}, UUID {row['uuid'].hex()}",
    "xapi-legacy.header": lambda _: "a legacy stream follows",
}


def header_text(layer: Layer, path: str, fields: Fields) -> str:
    """What a header announces."""
    if path == "libxc.domain_header":
        guest = f"x86 {layer.guest.upper()}" if layer.guest else f"guest type {fields['type']}"
        shift = fields["page_shift"]
        pages = f"{1 << shift - 10} KiB pages" if 10 <= shift < 20 else f"page shift {shift}"
        xen = "Xen {xen_major}.{xen_minor}" if fields["xen_major"] else "from the legacy converter {xen_minor}"
        return f"{guest}, {pages}, {xen.format_map(fields)}"
    if path in _HEADERS:
        return _HEADERS[path](fields)
    if "options.endian" not in fields:
        # Whatever a format's header has that is not always the same.
        layout = layouts()[path]
        said = [row.path for row in layout.fields if row.constant is None and not row.reserved]
        return ", ".join(f"{name} {fields[name]}" for name in said)
    order = "big" if fields["options.endian"] else "little"
    legacy = ", from the legacy converter" if fields.get("options.legacy") else ""
    return f"version {fields['version']}, {order}-endian{legacy}"
