"""What recipes put into containers where they ask for nothing else: samples, of no real guest."""

from __future__ import annotations

from ..codec.content import Content
from ..schema import libvirt, xapi
from ..writer import builders
from ..writer.draft import Draft
from ..writer.part import Part

CONFIGURATION = b'{"c_info": {"type": "hvm", "name": "guest"}}\0'
XML = b"<domain type='xen'><name>guest</name></domain>\0"
# A guest's configuration, and the S-expression of the XENOPS record around it: as xenopsd writes them.
VM_STR = r"((id 6f1c2c3e-0b0a-4d5e-8f70-112233445566)(name \"a \\\"guest\\\"\")(xsdata())(vcpu_max 2))"
XENOPS = f'((time 20240301T09:30:00Z)(word_size {xapi.WORD_SIZES[-1]})(vm_str "{VM_STR}")(xs_subtree()))'.encode()


def in_xl(stream: Draft, configuration: Content = CONFIGURATION, rest: bytes = b"", **flags: int) -> Draft:
    """An xl save file of the stream (see `builders.in_xl`)."""
    return builders.in_xl(stream, configuration, rest, **flags)


def in_libvirt(stream: Draft, xml: Content = XML, version: int = libvirt.VERSION_V2) -> Draft:
    """A libvirt save file of the stream (see `builders.in_libvirt`)."""
    return builders.in_libvirt(stream, xml, version)


def in_xapi(image: Draft, *after: Part, xenops: Content = XENOPS) -> Draft:
    """A XAPI suspend image of the stream (see `builders.in_xapi`)."""
    return builders.in_xapi(image, *after, xenops=xenops)
