"""Parts of QEMU's streams, from what people think in: devices, blocks of memory, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import tables
from ..codec.content import Buffer
from ..schema import qemu_multifd as multifd
from ..schema import qemu_stream as schema
from .draft import Draft
from .part import Part, header

MACHINE = b"pc-i440fx-10.0"
_PAGE = schema.PAGE_SIZE
# Octets of a section's header that are always there.
_HEAD = 1 + 3 * 4


@dataclass(frozen=True, slots=True)
class Device:
    """A device's state: its name, what it holds, its version, which of its name it is."""

    name: str
    payload: bytes = b""
    version: int = 1
    instance: int = 0


def frame(kind: str, /, **values: Any) -> Part:
    """A frame, or a record of memory's words, of values."""
    return Part(f"qemu.{kind}", values)


def opening(machine: bytes | None = MACHINE, capabilities: Sequence[bytes] = ()) -> Iterator[Part]:
    """The header, and the configuration unless `machine` is None."""
    yield header("qemu.header")
    if machine is not None:
        yield frame("CONFIGURATION", machine=machine)
    if capabilities:
        names = b"".join(bytes((len(name),)) + name for name in capabilities)
        yield subsection(schema.CAPABILITIES, len(capabilities).to_bytes(4, "big") + names)


def subsection(name: bytes, payload: bytes) -> Part:
    """A part of the configuration."""
    return frame("SUBSECTION", name=name, version_id=1, payload=payload)


def devices(first: int, rows: Iterable[Device], footers: bool = True) -> Iterator[Part]:
    """Sections of devices, whose numbers begin with `first`."""
    for number, row in enumerate(rows, first):
        yield from _pieces("SECTION_FULL", number, row)
        yield from footer(number, footers)


def _pieces(kind: str, number: int, row: Device) -> Iterator[Part]:
    head = {"section_id": number, "idstr": row.name.encode(), "instance_id": row.instance, "version_id": row.version}
    yield frame(kind, **head, payload=row.payload[: schema.PIECE])
    for at in range(schema.PIECE, len(row.payload), schema.PIECE):
        yield frame("SECTION_DATA", payload=row.payload[at : at + schema.PIECE])


def begin(number: int, row: Device, footers: bool = True) -> Iterator[Part]:
    """A section that is sent in parts, and not the memory's."""
    yield from _pieces("SECTION_START", number, row)
    yield from footer(number, footers)


def part(number: int, payload: bytes, last: bool = False, footers: bool = True) -> Iterator[Part]:
    """More of it."""
    yield frame("SECTION_END" if last else "SECTION_PART", section_id=number, payload=payload)
    yield from footer(number, footers)


def footer(number: int, there: bool = True) -> Iterator[Part]:
    """What ends a section, unless there are none."""
    if there:
        yield frame("SECTION_FOOTER", section_id=number)


def command(name: str, data: bytes = b"") -> Part:
    """A command."""
    return frame("COMMAND", command=schema.COMMANDS[name], data=data)


# -- memory -----------------------------------------------------------------------------------------------------------


def blocks(sizes: Mapping[str, int], kind: str = "RAM_BLOCK", **more: int) -> Iterator[Part]:
    """The list of blocks, of so many pages each."""
    yield frame("RAM_TOTAL", **{"word.page": sum(sizes.values())})
    for name, pages in sizes.items():
        yield frame(kind, name=name.encode(), length=pages * _PAGE, **more)


def zeros(pages: Iterable[int]) -> Part:
    """Zero pages of the block named before."""
    return frame("RAM_ZERO", pages=[{"word.page": page, "fill": 0} for page in pages])


def zero_of(name: str, page: int = 0) -> Part:
    """A zero page of a block."""
    return frame("RAM_ZERO_OF", name=name.encode(), fill=0, **{"word.page": page})


def pages(contents: Mapping[int, Buffer]) -> Part:
    """Pages of the block named before."""
    return frame("RAM_PAGE", pages=[{"word.page": page, "data": data} for page, data in contents.items()])


def page_of(name: str, page: int, data: Buffer) -> Part:
    """A page of a block."""
    return frame("RAM_PAGE_OF", name=name.encode(), data=data, **{"word.page": page})


def memory(kind: str, number: int, parts: Iterable[Part], footers: bool = True) -> Iterator[Part]:
    """A section of the memory: "SECTION_START" with its list of blocks, "SECTION_PART" or "SECTION_END"."""
    begins = {"idstr": schema.RAM_NAME, "instance_id": 0, "version_id": schema.RAM_VERSION}
    yield frame(kind, section_id=number, payload=b"", **(begins if kind == "SECTION_START" else {}))
    yield from parts
    yield frame("RAM_EOS", **{"word.page": 0})
    yield from footer(number, footers)


def description(rows: Iterable[Device]) -> Part:
    """A description of devices, each of which is one field."""
    devices = ", ".join(
        f'{{"name": "{row.name}", "instance_id": {row.instance}, "vmsd_name": "{row.name.rpartition("/")[2]}", '
        f'"version": {row.version}, "fields": [{{"name": "data", "type": "buffer", "size": {len(row.payload)}}}]}}'
        for row in rows
    )
    return frame("VMDESCRIPTION", text=f'{{"page_size": {_PAGE}, "devices": [{devices}]}}'.encode())


def device_record(rows: Sequence[Device], footers: bool = False) -> Draft:
    """A record of devices; as under Xen without footers."""
    return Draft((*opening(None), *devices(0, rows, footers), frame("EOF")))


_CHANNEL, _PACKET = "qemu-multifd.header", "qemu-multifd.PAGES"


def _size(path: str, name: str) -> int:
    """Bytes of a field of a channel's."""
    size: int = tables.PLACES[path][name][1]
    return size


def channel(number: int, uuid: bytes = b"") -> Part:
    """How a channel of multifd begins; zeros follow the UUID up to its length."""
    values = {"uuid": uuid.ljust(_size(_CHANNEL, "uuid"), b"\0"), "id": number}
    return Part(_CHANNEL, {**values, "unused": bytes(_size(_CHANNEL, "unused"))})


def packet(
    number: int,
    block: str = "",
    offsets: Sequence[int] = (),
    zero: int = 0,
    data: Buffer = b"",
    *,
    method: int = 0,
    sync: bool = False,
) -> Part:
    """A packet of a channel: pages at `offsets` of a block, the last `zero` of which are zero pages."""
    values = {
        **_flags(0, method, sync),
        "pages_allocated": multifd.OFFSETS if offsets else 0,
        "normal_pages": len(offsets) - zero,
        "data_size": memoryview(data).nbytes,
        "packet_num": number,
        "zero_pages": zero,
        "unused": bytes(_size(_PACKET, "unused")),
        "block": block.encode().ljust(multifd.NAME_SIZE, b"\0"),
        "offsets": [*offsets, *[0] * (multifd.OFFSETS - len(offsets))],
        "data": data,
    }
    return Part(_PACKET, values)


def packing(method: int) -> Callable[[Buffer], bytes]:
    """What makes of the pages of a channel's packets, one after another, what the packets have: by zlib, or zstd."""
    if multifd.METHODS[method] == "zlib":
        import zlib

        one = zlib.compressobj(1)
        return lambda pages: one.compress(pages) + one.flush(zlib.Z_SYNC_FLUSH)
    import zstandard

    other = zstandard.ZstdCompressor(level=1).compressobj()
    return lambda pages: other.compress(pages) + other.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


def device_packet(device: str, data: Buffer, instance: int = 0) -> Part:
    """A packet of a channel with a device's state."""
    values = {
        **_flags(1, 0, False),
        "device": device.encode().ljust(multifd.NAME_SIZE, b"\0"),
        "instance_id": instance,
        "data_size": memoryview(data).nbytes,
        "data": data,
    }
    return Part("qemu-multifd.DEVICE_STATE", values)


def _flags(device_state: int, method: int, sync: bool) -> dict[str, int]:
    return {
        "flags.unknown": 0,
        "flags.device_state": device_state,
        "flags.method": method,
        "flags.sync": int(sync),
    }


def small_record(*payloads: bytes, footers: bool = False) -> bytes:
    """A record of a device for each payload, as its bytes: what another stream has as its device model's state."""
    rows = [Device("timer", payload, 2, instance) for instance, payload in enumerate(payloads)]
    return device_record(rows, footers).render()
