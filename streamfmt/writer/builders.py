"""Parts that are made often, from what people think in: pages, vcpus, parameters; and streams put into containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from .. import tables
from ..codec.content import Buffer, Content, resized
from ..codec.decode import layouts
from ..errors import FieldError
from ..schema import libvirt, libxc, libxl, qemu, xapi
from .draft import Draft
from .entries import DATA_TYPES, IMAGE, SHAPES
from .part import Part, header, record


def image_headers(guest: str, version: int = libxc.VERSIONS[-1], xen: tuple[int, int] = (4, 17)) -> tuple[Part, Part]:
    """The two headers of an image.

    :param guest: "hvm" or "pv".
    :param version: of the image.
    :param xen: major and minor version of the saving Xen.
    :raises FieldError: there is no such kind of guest.
    """
    if guest not in libxc.GUESTS:
        raise FieldError("guest", f"{guest!r} is none of {', '.join(libxc.GUESTS)}")
    return (
        header("libxc.image_header", version=version),
        header("libxc.domain_header", type=libxc.GUESTS[guest], xen_major=xen[0], xen_minor=xen[1]),
    )


def pages(*entries: tuple[int, str], content: Mapping[int, bytes] | None = None) -> Part:
    """A PAGE_DATA record.

    :param entries: frame numbers and names of their types, such as "NOTAB".
    :param content: contents by frame number; those not given are derived from it.
    :raises FieldError: there is no such type.
    """
    given = content or {}
    filled = [pfn for pfn, kind in entries if kind in DATA_TYPES]
    contents = [given.get(pfn, bytes([pfn & 0xFF]) * libxc.PAGE_SIZE) for pfn in filled]
    return page_data([pfn for pfn, _ in entries], [kind for _, kind in entries], contents)


def page_data(pfns: Sequence[int], types: str | Sequence[str], contents: Iterable[Buffer]) -> Part:
    """A PAGE_DATA record of many frames.

    :param pfns: frame numbers.
    :param types: the name of each frame's type, or one for all.
    :param contents: buffers of whole pages for the types that have contents.
    :raises FieldError: there is no such type, or not one for each frame.
    """
    kinds = [types] * len(pfns) if isinstance(types, str) else types
    if len(kinds) != len(pfns):
        raise FieldError("types", f"{len(kinds)} for {len(pfns)} frames")
    try:
        entries = [IMAGE.codes[kind] | pfn for kind, pfn in zip(kinds, pfns, strict=True)]
    except KeyError as unknown:
        raise FieldError("types", f"{unknown.args[0]!r} is none of {', '.join(IMAGE.codes)}") from None
    return record(IMAGE.path, entries=entries, pages=list(contents))


def page_entries(part: Part) -> list[tuple[int, str]]:
    """Frame and type of each entry of a record of pages that was made here."""
    shape = SHAPES[part.path]
    return [(shape.frame(entry), shape.type(entry)) for entry in part.values["entries"]]


def context(*entries: tuple[int, int, Content]) -> Part:
    """An HVM_CONTEXT record.

    :param entries: type code, instance and data of each entry.
    """
    rows = [{"typecode": kind, "instance": number, "length": len(data), "data": data} for kind, number, data in entries]
    return record("libxc.HVM_CONTEXT", context=rows)


def params(*pairs: tuple[int, int]) -> Part:
    """An HVM_PARAMS record of parameters' indexes and values."""
    return record("libxc.HVM_PARAMS", count=len(pairs), params=[{"index": i, "value": v} for i, v in pairs])


# The frame that vcpu contexts made here name as the top of their page tables.
TOP_TABLE = 2
# The smallest XSAVE record, and its masks: x87 and SSE.
XSAVE_SIZE = libxc.XSAVE_MIN + libxc.XSAVE_AREA_MIN
_MASKS = 3
# What a real reader looks at in a vcpu's context, by kind and size: the vcpu is online and its cr3 is a frame number;
# and r8, if it has one, is not 0, as in those that a saver forgot.
_CONTEXTS: dict[tuple[str, int], dict[int, int]] = {
    ("BASIC", size): {
        tables.VCPU_CONTEXT_FLAGS[width]: libxc.VCPU_ONLINE,
        tables.VCPU_CONTEXT_CR3[width]: TOP_TABLE << libxc.PAGE_SHIFT,
        **{at + size - 8: 8 for at, size in filter(None, (tables.VCPU_CONTEXT_R8_R11.get(width),))},
    }
    for width, size in libxc.VCPU_CONTEXT_SIZES.items()
} | {("XSAVE", XSAVE_SIZE): {0: _MASKS, libxc.XCR0_SIZE: _MASKS}}


def vcpu(kind: str, number: int, size: int) -> Part:
    """One of the opaque vcpu records, with a context such as Xen takes where the size is one it knows.

    :param kind: "BASIC", "EXTENDED" or "XSAVE".
    :param number: the vcpu's.
    :param size: of the context, in bytes.
    """
    begins = (number.to_bytes(4, "little") + size.to_bytes(4, "little"))[:size] if kind == "EXTENDED" else b""
    blob = _context(kind, size) if (kind, size) in _CONTEXTS else resized(begins, size)
    return record(f"libxc.X86_PV_VCPU_{kind}", vcpu_id=number, context=blob)


@cache
def _context(kind: str, size: int) -> bytes:
    blob = bytearray(size)
    for at, value in _CONTEXTS[kind, size].items():
        blob[at : at + 4] = value.to_bytes(4, "little")
    return bytes(blob)


def vcpu_msrs(number: int, *msrs: tuple[int, int]) -> Part:
    """X86_PV_VCPU_MSRS of a vcpu's number, and its MSRs' indexes and values."""
    rows = [{"index": index, "value": value} for index, value in msrs]
    return record("libxc.X86_PV_VCPU_MSRS", vcpu_id=number, msrs=rows)


def p2m(start: int, end: int, *frames: int) -> Part:
    """X86_PV_P2M_FRAMES of the first and last frame, and the frames that hold the table of all between."""
    return record("libxc.X86_PV_P2M_FRAMES", start_pfn=start, end_pfn=end, frames=list(frames))


def pv_info(width: int, levels: int) -> Part:
    """X86_PV_INFO of a width in bytes, and the levels of page tables."""
    return record("libxc.X86_PV_INFO", guest_width=width, pt_levels=levels)


# The emulator that is still written.
UPSTREAM = libxl.EMULATOR_IDS["QEMU_UPSTREAM"]


def xenstore(*strings: str, emulator: int = UPSTREAM) -> Part:
    """EMULATOR_XENSTORE_DATA of keys and values in turn.

    :raises ValueError: a key has no value.
    """
    pairs = [{"key": k.encode(), "value": v.encode()} for k, v in zip(strings[::2], strings[1::2], strict=True)]
    return record("libxl.EMULATOR_XENSTORE_DATA", emulator_id=emulator, pairs=pairs)


def control(number: int) -> Part:
    """CHECKPOINT_STATE of an id."""
    return record("libxl.CHECKPOINT_STATE", control_id=number)


def dirty(*pfns: int) -> Part:
    """CHECKPOINT_DIRTY_PFN_LIST of frame numbers."""
    return record("libxc.CHECKPOINT_DIRTY_PFN_LIST", pfns=list(pfns))


def emulator(data: Content = qemu.EMPTY, number: int = UPSTREAM) -> Part:
    """EMULATOR_CONTEXT of an emulator's state, and which emulator it is."""
    return record("libxl.EMULATOR_CONTEXT", emulator_id=number, context=data)


# -- containers -----------------------------------------------------------------------------------------------

# What is in them where nothing else is asked for: samples, of no real guest.
_CONFIGURATION = '{{"c_info": {{"type": "{}", "name": "guest"}}}}\0'
CONFIGURATION = _CONFIGURATION.format("hvm").encode()
XML = b"<domain type='xen'><name>guest</name></domain>\0"
# A guest's configuration, and the S-expression of the XENOPS record around it: as xenopsd writes them.
_VM_STR = r"((id 6f1c2c3e-0b0a-4d5e-8f70-112233445566)(name \"a \\\"guest\\\"\")(xsdata())(vcpu_max %d))"
_XENOPS = f'((time 20240301T09:30:00Z)(word_size {xapi.WORD_SIZES[-1]})(vm_str "{_VM_STR}")(xs_subtree()))'
_VCPUS = 2
XENOPS = (_XENOPS % _VCPUS).encode()


def in_libxl(image: Draft, legacy: int = 0) -> Draft:
    """A libxl stream of the image, and of what follows it: all but the beginning is there."""
    head = header("libxl.header", **{"options.legacy": int(legacy)})
    return replace(image, parts=(head, record("libxl.LIBXC_CONTEXT"), *image.parts))


def configuration(stream: Draft) -> bytes:
    """A guest's configuration in libxl's JSON, of the type that the first image in the stream has, HVM without one."""
    kind = guest_of(stream)
    return _CONFIGURATION.format(kind).encode() if kind else CONFIGURATION


def guest_of(stream: Draft) -> str:
    """The type of guest that the first image in the stream has; nothing without one."""
    types = (part.values.get("type", 0) for part in stream.parts if part.path == "libxc.domain_header")
    return tables.GUESTS.get(next(types, 0), "")


def in_xl(stream: Draft, config: Content | None = None, rest: bytes = b"", **flags: int) -> Draft:
    """An xl save file of the stream, by default with a configuration that fits it.

    `flags` are those of the header that are not as Xen 4.6 and later write them.
    """
    config = configuration(stream) if config is None else config
    data = record("xl.OPTIONAL_DATA", config_len=len(config), config=config, rest=rest)
    head = header(
        "xl.header",
        mandatory_flags={"stream_v2": 1, "json": 1} | flags,
        optional_data_len=layouts()["xl.OPTIONAL_DATA"].size + len(config) + len(rest),
    )
    return replace(stream, parts=(head, data, *stream.parts))


def in_migration(saved: Draft, status: int = 0) -> Draft:
    """A capture of both directions of `xl migrate`; `saved` is what the sender sent, as an xl file has it."""
    after = [record(f"xl-migrate.{name}") for name in ("READY", "GO", "REPORT")]
    after.append(record("xl-migrate.STATUS", status=status))
    if status:
        after.append(record("xl-migrate.GIVE_BACK"))
    return replace(saved, parts=(header("xl-migrate.header"), *saved.parts, *after))


def after_text(stream: Draft, text: Content, path: str = "text.TEXT") -> Draft:
    """The stream with text before it."""
    return replace(stream, parts=(record(path, text), *stream.parts))


def in_libvirt(stream: Draft, xml: Content = XML, version: int = libvirt.VERSION_V2) -> Draft:
    """A libvirt save file of the stream."""
    head = header("libvirt.header", version=version, xml_len=len(xml))
    return replace(stream, parts=(head, record("libvirt.XML", xml), *stream.parts))


# -- XAPI suspend images --------------------------------------------------------------------------------------


def sized(name: str, data: Content) -> Part:
    """A record of a XAPI image whose header gives its length."""
    return record(f"xapi.{name}", data)


def unsized(name: str, declared_length: int = 0) -> Part:
    """The header of one whose body has its own end."""
    return replace(record(f"xapi.{name}"), declared_length=declared_length)


def xenops_of(image: Draft) -> bytes:
    """What xenopsd knows of the guest, with room for the vcpus that the image has."""
    most = _VCPUS
    for part in image.parts:
        if part.path == "libxc.HVM_CONTEXT":
            instances = [row["instance"] for row in part.values.get("context", ()) if row["typecode"] == tables.HVM_CPU]
            most = max(most, *(number + 1 for number in instances), 0)
        elif "vcpu_id" in part.values:
            most = max(most, part.values["vcpu_id"] + 1)
    return xenops_for(most)


def xenops_for(vcpus: int) -> bytes:
    """What xenopsd knows of a guest that has so many vcpus."""
    return (_XENOPS % vcpus).encode()


def in_xapi(image: Draft, *after: Part, xenops: Content | None = None) -> Draft:
    """A XAPI suspend image of the stream, with `after` between the memory and the end."""
    xenops = xenops_of(image) if xenops is None else xenops
    before = (header("xapi.header"), sized("XENOPS", xenops), unsized("LIBXC"))
    return replace(image, parts=(*before, *image.parts, *after, unsized("END_OF_IMAGE")))
