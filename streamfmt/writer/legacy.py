"""Parts of legacy streams (Xen 3.0 to 4.5), from what people think in: a guest, and the release that saved it.

What a release wrote is what the schema says of its records' `since` and `until`; in which order, and the rest, is that
of tools/libxc/xc_domain_save.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import tables
from ..codec.content import Content, joined
from ..codec.decode import layouts
from ..errors import FieldError
from ..reader.registry import ROWS
from ..schema import hvm, legacy, libvirt, libxc, qemu
from .builders import CONFIGURATION, XSAVE_SIZE, in_libvirt, in_xl, sized, unsized, vcpu
from .draft import Draft
from .entries import SHAPES
from .part import RECORDS, Part, header, record, size

# The rows of legacy streams, by the toolstack's word.
LAYERS = {tables.SIZES[f"{name}.header"]: name for name, row in ROWS.items() if row.alias}
RELEASES = ("3.0", "4.5")
# HVM parameters in the order in which they are saved, and what a guest has unless it is said: those of the tail last.
PARAMS = {
    "VM_GENERATION_ID_ADDR": 0xFC0F0,
    "IDENT_PT": 0xFEFFE000,
    "PAGING_RING_PFN": 0xFEFFA,
    "MONITOR_RING_PFN": 0xFEFF9,
    "SHARING_RING_PFN": 0xFEFF7,
    "VM86_TSS": 0xFC000,
    "CONSOLE_PFN": 0xFEFFF,
    "ACPI_IOPORTS_LOCATION": 1,
    "VIRIDIAN": 1,
    "IOREQ_SERVER_PFN": 0xFEFF5,
    "NR_IOREQ_SERVER_PAGES": 1,
    "IOREQ_PFN": 0xFEFF8,
    "BUFIOREQ_PFN": 0xFEFF6,
    "STORE_PFN": 0xFEFFC,
}
_CHUNKS = {index: code for code, index in legacy.PARAMS.items()}
_SPECIAL = ("IOREQ_PFN", "BUFIOREQ_PFN", "STORE_PFN")
TSC = {"mode": 1, "nsec": 10**9, "khz": 2_400_000, "incarnation": 1}
# Forms of the device model's record.
EMULATORS = {"to-end": "QEMU_TO_END", "0002": "QEMU_0002", "remus": "QEMU_REMUS", "xenopsd": "QEMU_XAPI"}
# Octets of the extended context that say something, by the first release (xen/include/public/domctl.h).
_EXTENDED = (("4.3", 56), ("4.2", 40), ("3.2", 32))
_XCNT = XSAVE_SIZE + 16
_FULL, _EMPTY = b"\x80", b"\0"
_DATA = "COMPRESSED_DATA"


def number(release: str) -> tuple[int, ...]:
    """A release as numbers, which can be compared."""
    return tuple(map(int, release.split(".")))


@dataclass(frozen=True, slots=True)
class Saved:
    """A guest, and how it was saved.

    :param guest: "hvm" or "pv".
    :param release: of Xen, such as "4.1.3".
    :param word: of the toolstack, in bytes.
    :param width: of a PV guest's words, in bytes.
    :param p2m_size: its highest frame and one more.
    :param frames: those of a PV guest's own P2M table.
    :param vcpus: numbers of those that are online, in order.
    :param highest: the highest vcpu's number; that of the last online by default.
    :param params: of an HVM guest, by name; those that are not in it are `PARAMS`.
    :param context: entries of the HVM context: type code, instance, data.
    :param physmap: entries of libxl's record, by field.
    :param emulator: which form the device model's record has; empty for that of the release.
    :param state: what is in it.
    :param tsc: as in `TSC`.
    :param unmapped: frames without a page.
    :param xend: whether xend saved it, not libxl.
    """

    guest: str = "hvm"
    release: str = "4.4"
    word: int = 8
    width: int = 8
    p2m_size: int = 4
    frames: tuple[int, ...] = ()
    vcpus: tuple[int, ...] = (0,)
    highest: int | None = None
    params: Mapping[str, int] = field(default_factory=dict)
    context: tuple[tuple[int, int, Content], ...] = ()
    physmap: tuple[Mapping[str, Any], ...] = ()
    emulator: str = ""
    state: Content = qemu.EMPTY
    tsc: Mapping[str, int] = field(default_factory=lambda: dict(TSC))
    unmapped: Sequence[int] = ()
    xend: bool = False

    @property
    def layer(self) -> str:
        """Name of its layer."""
        return LAYERS[self.word]

    @property
    def pv(self) -> bool:
        """Whether it is a PV guest."""
        return self.guest == "pv"

    def path(self, name: str) -> str:
        """Schema path of a record."""
        return f"{self.layer}.{name}"

    def part(self, name: str, **values: Any) -> Part:
        """A record of its layer, built from values."""
        return Part(self.path(name), values)

    def since(self, release: str) -> bool:
        """Whether it was saved by that release or a later one."""
        return number(self.release) >= number(release)

    def writes(self, name: str) -> bool:
        """Whether its release wrote records of that name."""
        row = RECORDS[self.path(name)]
        return (not row.since or self.since(row.since)) and self.guest in row.guests


def since(saved: Saved, name: str) -> str:
    """The first release that wrote records of that name."""
    return RECORDS[saved.path(name)].since


def crossed(word: int) -> str:
    """The first release whose streams say how wide the guest is, which then may be another than its toolstack."""
    return RECORDS[f"{LAYERS[word]}.VCPU_EXT"].since


def counted(path: str, name: str, **values: Any) -> Part:
    """A record with a length of all that follows it, in the field `name`."""
    part = Part(path, values | {name: 0})
    row = layouts()[path].fields
    ahead = next(field.offset + field.size for field in row if field.path == name)
    return replace(part, values={**part.values, name: size(part.contents("<")) - ahead})


# -- before the first body ------------------------------------------------------------------------------------


def beginning(saved: Saved) -> Iterator[Part]:
    """What comes before the first body."""
    yield header(f"{saved.layer}.header", p2m_size=saved.p2m_size)
    if not saved.pv:
        return
    if blocks := list(_blocks(saved)):
        yield counted(saved.path("EXTENDED_INFO"), "total", blocks=blocks)
    yield saved.part("P2M_FRAME_LIST", frames=list(saved.frames))


def _blocks(saved: Saved) -> Iterator[dict[str, Any]]:
    """Blocks of extended info: before 3.2 PAE guests alone have it."""
    pae = saved.width == min(libxc.VCPU_CONTEXT_SIZES)
    if saved.writes("VCPU_EXT") or (saved.writes("EXTENDED_INFO") and pae):
        size = libxc.VCPU_CONTEXT_SIZES[saved.width]
        yield {"id": tables.LEGACY_VCPU_TAG, "size": size, "data": _registers(saved, 0)}
    if saved.writes("VCPU_EXT"):
        yield {"id": tables.LEGACY_EXTV_TAG, "size": 0, "data": b""}
    if saved.writes("VCPU_XSAVE"):
        yield {"id": tables.LEGACY_XCNT_TAG, "size": 4, "data": _XCNT.to_bytes(4, "little")}


def _registers(saved: Saved, number: int) -> Any:
    return vcpu("BASIC", number, libxc.VCPU_CONTEXT_SIZES[saved.width]).values["context"]


def transcendent(saved: Saved) -> Iterator[Part]:
    """Transcendent memory: a pool that announces more pages than it has."""
    place, version, oid = _tmem(saved)
    ones = tables.LEGACY_ALL_ONES
    yield saved.part("TMEM", version=version, max_pools=16, flags=0, weight=0, cap=0, marker_2=ones)
    uuid = next(row.size for row in layouts()[saved.path("TMEM_POOL")].fields if row.path == "uuid")
    yield saved.part("TMEM_POOL", pool_id=3, flags=1, pages=3, uuid=bytes(range(uuid)))
    for index in (1, 2):
        page = bytes([index]) * libxc.PAGE_SIZE
        yield saved.part(f"TMEM_PAGE_{place}", oid=oid, index=index, page=page)
    yield saved.part(f"TMEM_POOL_END_{place}")
    yield saved.part("TMEM_END")


def flushed(saved: Saved) -> Iterator[Part]:
    """A page that is gone from it."""
    place, _, oid = _tmem(saved)
    yield saved.part("TMEM_EXTRA")
    yield saved.part(f"TMEM_FLUSHED_{place}", pool_id=3, oid=oid, index=1)
    yield saved.part("TMEM_END")


def _tmem(saved: Saved) -> tuple[int, int, bytes]:
    """The release's version of tmem, after the place that it has among all, and before an object's id."""
    place = int(saved.writes("TMEM_PAGE_1"))
    version, size = tuple(tables.LEGACY_OID_SIZES.items())[place]
    return place, version, bytes([7] * size)


# -- bodies ---------------------------------------------------------------------------------------------------


def ending(saved: Saved, last: bool = True, compress: bool = False) -> Iterator[Part]:
    """What ends a body: of a save that is not checkpointed (`last`), of the one after which pages are compressed."""
    if saved.writes("VCPU_INFO"):
        highest = saved.vcpus[-1] if saved.highest is None else saved.highest
        words = [sum(1 << vcpu % 64 for vcpu in saved.vcpus if vcpu // 64 == word) for word in range(highest // 64 + 1)]
        yield saved.part("VCPU_INFO", max_vcpu_id=highest, map=words)
    if not saved.pv:
        yield from _params(saved)
    if saved.writes("TOOLSTACK") and not saved.xend:
        physmap = () if saved.pv else saved.physmap
        yield counted(saved.path("TOOLSTACK"), "length", entries=[_region(saved, row) for row in physmap])
    if last and saved.writes("LAST_CHECKPOINT"):
        yield saved.part("LAST_CHECKPOINT")
    if compress:
        yield saved.part("ENABLE_COMPRESSION")
    yield saved.part("END_OF_BODY")


def _params(saved: Saved) -> Iterator[Part]:
    names = {row.code: row.name for row in legacy.RECORDS[saved.word]}
    for name, default in PARAMS.items():
        code = _CHUNKS.get(hvm.PARAMS[name])
        value = saved.params.get(name, default)
        if code is not None and value and (name in saved.params or saved.writes(names[code])):
            yield saved.part(names[code], value=value)


def _region(saved: Saved, row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of libxl's record; in those of 64-bit toolstacks a structure's padding follows."""
    name = joined((row.get("name", b""),))
    found = {key: row.get(key, 0) for key in ("phys_offset", "start_addr", "size")}
    return found | {"namelen": len(name), "name": name} | ({"padding": bytes(4)} if saved.word == max(LAYERS) else {})


def bare(part: Part) -> Part:
    """A batch without its pages, which come compressed."""
    return Part(part.path, {"entries": list(part.values["entries"]), "pages": []})


def compressed(saved: Saved, batches: Iterable[Part], sent: set[int]) -> Iterator[Part]:
    """Batches without pages, and the pages: whole if they have not been `sent` so, else as unchanged.

    Page tables always come whole.
    """
    shape = SHAPES[saved.path("PAGE_BATCH")]
    tables_ = {row.code << tables.LEGACY_TYPE_SHIFT for row in legacy.PAGE_TYPES if row.table}
    for batch in batches:
        entries = list(batch.values["entries"])
        pages = joined(tuple(batch.values["pages"]))
        data = b""
        for place, entry in enumerate(entry for entry in entries if entry & shape.kind in shape.filled):
            page = pages[libxc.PAGE_SIZE * place : libxc.PAGE_SIZE * (place + 1)]
            data += _EMPTY if entry in sent else _FULL + page
            if entry & shape.kind not in tables_:
                sent.add(entry)
        yield bare(batch)
        yield saved.part(_DATA, data=data)


# -- tails ----------------------------------------------------------------------------------------------------


def tail(saved: Saved, remus: bool = False) -> Iterator[Part]:
    """What follows a body; of a checkpointed stream if `remus`."""
    if not saved.pv:
        values = {name: saved.params.get(name, PARAMS[name]) for name in _SPECIAL}
        ioreq, bufioreq, store = values.values()
        yield saved.part("HVM_TAIL", ioreq_pfn=ioreq, bufioreq_pfn=bufioreq, store_pfn=store)
        rows = [{"typecode": it, "instance": at, "length": len(data), "data": data} for it, at, data in saved.context]
        yield counted(saved.path("HVM_CONTEXT"), "length", context=rows)
        yield from device_model(saved, remus)
        return
    yield saved.part("UNMAPPED", pfns=list(saved.unmapped))
    for vcpu_id in saved.vcpus if saved.writes("VCPU_INFO") else (0,):
        yield from _vcpu(saved, vcpu_id)
    yield saved.part("SHARED_INFO", page=bytes(libxc.PAGE_SIZE))


def _vcpu(saved: Saved, vcpu_id: int) -> Iterator[Part]:
    yield record(saved.path("VCPU"), _registers(saved, vcpu_id))
    if saved.writes("VCPU_EXT"):
        size = next(size for release, size in _EXTENDED if saved.since(release))
        path = saved.path("VCPU_EXT")
        blank = {row.path: bytes(row.size) if row.raw else 0 for row in layouts()[path].fields}
        yield Part(path, blank | {"vcpu": vcpu_id, "size": size})
    if saved.writes("VCPU_XSAVE"):
        area = vcpu("XSAVE", vcpu_id, XSAVE_SIZE).values["context"]
        yield saved.part("VCPU_XSAVE", mask=3, size=XSAVE_SIZE, context=area)


def device_model(saved: Saved, remus: bool = False) -> Iterator[Part]:
    """The device model's record."""
    name = saved.emulator
    if not name:
        name = ("remus" if saved.xend else "0002") if remus else "to-end"
        name = "0002" if saved.writes("QEMU_0002") and not saved.xend else name
    if name not in EMULATORS:
        raise FieldError("emulator", f"{name!r} is none of {', '.join(EMULATORS)}")
    path = saved.path(EMULATORS[name])
    if any(part.name == "state" for part in layouts()[path].parts):
        yield record(path, state=saved.state)
        return
    yield record(path)
    data = joined((saved.state,))
    for at in range(0, len(data), tables.LEGACY_QEMU_PIECE):
        yield saved.part("QEMU_STATE", state=data[at : at + tables.LEGACY_QEMU_PIECE])


# -- containers -----------------------------------------------------------------------------------------------

_SXP = "(domain (domid 7) (name guest) (memory 16) (vcpus {}) (image ({} (kernel /boot/vmlinuz))))"
_SXP_IMAGES = {"pv": "linux", "hvm": "hvm"}
_XL_CFG = 'name = "guest"\nbuilder = "{}"\nvcpus = {}\n'
_XL_BUILDERS = {"pv": "generic", "hvm": "hvm"}


def in_xend(stream: Draft, config: Content) -> Draft:
    """A xend save file."""
    head = header("xend.header", config_len=len(config))
    return replace(stream, parts=(head, record("xend.CONFIG", config), *stream.parts))


def sxp(saved: Saved) -> bytes:
    """A configuration as xend has it, of that guest."""
    return _SXP.format(most(saved), _SXP_IMAGES[saved.guest]).encode()


def xl_config(saved: Saved) -> bytes:
    """A configuration as xl of that release has it: text, and since 4.5 JSON."""
    if saved.since(_JSON):
        return CONFIGURATION.replace(b'"hvm"', f'"{saved.guest}"'.encode())
    return _XL_CFG.format(_XL_BUILDERS[saved.guest], most(saved)).encode()


def most(saved: Saved) -> int:
    """How many vcpus the guest may have."""
    return 1 + (saved.vcpus[-1] if saved.highest is None else saved.highest)


_JSON = "4.5"


def in_old_xl(saved: Saved, stream: Draft, config: Content | None = None) -> Draft:
    """An xl save file of that release."""
    config = xl_config(saved) if config is None else config
    json = int(saved.since(_JSON) and bool(len(config)))
    return in_xl(stream, config, stream_v2=0, json=json)


def in_old_libvirt(stream: Draft, xml: Content) -> Draft:
    """A libvirt save file from before it had the new streams."""
    return in_libvirt(stream, xml, libvirt.VERSION_LEGACY)


def in_old_xapi(stream: Draft) -> Draft:
    """A XAPI image of before the structured one."""
    return replace(stream, parts=(header("xapi-legacy.header"), *stream.parts))


def in_new_xapi(stream: Draft, xenops: Content) -> Draft:
    """A structured XAPI image with a legacy stream inside."""
    before = (header("xapi.header"), sized("XENOPS", xenops), unsized("LIBXC_LEGACY"))
    return replace(stream, parts=(*before, *stream.parts, unsized("END_OF_IMAGE")))
