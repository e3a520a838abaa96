"""Checks of a channel of QEMU's multifd: packets by themselves; what they are to the others is in `qemu_channels`."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from ..reader.events import Body
from ..reader.qemu_multifd import BLOCKS_MAX, PACKETS_MAX
from ..reader.registry import load
from . import layer as base
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..codec.qemu_channel import Unpacking
    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from ..reader.qemu_multifd import Channel

_PAGE = tables.QEMU_PAGE_SIZE
_SYNC, _STATE = tables.QEMU_MULTIFD_SYNC, tables.QEMU_MULTIFD_STATE
_SHIFT, _METHODS = tables.QEMU_MULTIFD_METHOD
_PLACES = tables.PLACES["qemu-multifd.PAGES"]
# Bytes of an offset, and of what the content is counted in.
_UNIT, _BYTE = tables.UNITS["qemu-multifd.PAGES"]


class Checks(base.Checks):
    """Judges a channel.  With --deep its pages are decompressed, which takes all packets before each."""

    _unpacking: Unpacking | None = None
    _lost = ""

    @property
    def facts(self) -> Channel:
        """What the layer's program has learnt."""
        found: Channel = self.layer.facts
        return found

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        super().header(layer, path, at, raw, broken)
        for name in ("uuid", "id"):
            place, size = tables.PLACES[path][name]
            value = raw[place : place + size]
            if size == 1:
                self.facts.id = value[0]
            else:
                self.facts.uuid = value

    def body(self, record: Record) -> Program | None:
        return self._packet(Body(self.context.window, record))

    def _packet(self, body: Body) -> Program:
        """Program that judges a packet."""
        record = body.record
        raw = yield from self.fixed(body)
        if not raw or not raw.startswith(tables.QEMU_MULTIFD_BEGIN):
            return
        (flags,) = unpack_from(">I", raw, _PLACES["flags.sync"][0])
        method = flags >> _SHIFT & _METHODS
        if flags & ~(_SYNC | _METHODS << _SHIFT | _STATE) or method not in tables.QEMU_MULTIFD_METHODS:
            known = ", ".join(
                f"{bits << _SHIFT:#x} {name}" for bits, name in tables.QEMU_MULTIFD_METHODS.items() if bits
            )
            message = f"the flags {flags:#x} mean nothing together"
            expected = f"{_SYNC:#x} and {_STATE:#x}, and one of {known}"
            self.context.report_field("QEMU-MFD-FLAGS", record, "flags.method", message, expected, f"{flags:#x}")
        if record.type == tables.QEMU_MULTIFD_PAGES:
            offsets = yield from body.take(_UNIT * tables.QEMU_MULTIFD_OFFSETS)
            normal = self._pages(record, raw, offsets, method)
            if normal and method and self.context.deep:
                yield from self._content(body, normal, method)
        else:
            yield from self._state(body, raw)

    def _state(self, body: Body, raw: bytes) -> Program:
        """Program that judges a device's state: there are no others than VFIO's."""
        places = tables.PLACES["qemu-multifd.DEVICE_STATE"]
        (place, size), (number, width) = places["device"], places["instance_id"]
        device = raw[place : place + size].partition(b"\0")[0]
        if device.rpartition(b"/")[2] == tables.VFIO_SECTION:
            instance = int.from_bytes(raw[number : number + width], "big")
            yield from load("checks.qemu_vfio:packet")(self, body, device, instance)

    def _content(self, body: Body, normal: int, method: int) -> Program:
        """Program that judges what the pages of a packet are compressed to."""
        from ..codec import qemu_channel as codec  # few channels are compressed
        from ..codec.qemu_pages import FormError

        record, at = body.record, body.at
        if self._unpacking is None and not self._lost:
            try:
                self._unpacking = codec.Unpacking(method)
            except codec.UnopenedError as error:
                self._lost = str(error)
        stream = self._unpacking
        if stream is None or normal < 0 or stream.method != method:
            self._lost = self._lost or f"from record {record.index} on pages cannot be decompressed"
            self._unpacking = None
            self.context.abstain("QEMU-MFD-DATA", self._lost)
            return
        stream.begin(normal * _PAGE)
        try:
            while raw := (yield from body.piece()):
                stream.more(raw)
            if not body.left:
                stream.end()
        except FormError as error:
            message = f"what {count(normal, 'page')} {'are' if normal > 1 else 'is'} compressed to has {error}"
            self.context.report("QEMU-MFD-DATA", record, message, offset=at + error.at, field="data")
            self._unpacking, self._lost = None, f"pages after those of record {record.index} cannot be decompressed"

    def _pages(self, record: Record, raw: bytes, offsets: bytes, method: int) -> int:
        """Judge a packet of pages by its fields, and the offsets after them.

        Returns how many pages have content, -1 if that cannot be.
        """
        allocated, normal, size, number, zero = (
            int.from_bytes(raw[place : place + length], "big")
            for place, length in map(
                _PLACES.__getitem__, ("pages_allocated", "normal_pages", "data_size", "packet_num", "zero_pages")
            )
        )
        most = tables.QEMU_MULTIFD_OFFSETS
        if max(allocated, normal) > most or zero > most - normal:
            message = f"{normal:,} pages and {zero:,} zero pages, and a packet has places for {most}"
            field = "zero_pages" if max(allocated, normal) <= most else "normal_pages" if normal > most else ""
            field = field or "pages_allocated"
            self.context.report_field(
                "QEMU-MFD-COUNT", record, field, message, f"at most {most}", max(allocated, normal + zero)
            )
            return -1
        if normal and not method and size * _BYTE != normal * _PAGE:
            message = f"{count(size, 'byte')} follow for {count(normal, 'page')} of {_PAGE:,}"
            self.context.report_field("QEMU-MFD-SIZE", record, "data_size", message, normal * _PAGE, size)
        if normal + zero:
            self._came(record, raw, unpack_from(f">{normal + zero}Q", offsets), number)
        elif not allocated:
            self._kept(self.facts.waits, number)
        return normal

    def _came(self, record: Record, raw: bytes, offsets: tuple[int, ...], number: int) -> None:
        """Judge which pages a packet has, and keep that."""
        facts = self.facts
        place, size = _PLACES["block"]
        name = raw[place : place + size].partition(b"\0")[0]
        if not name or len(name) == size:
            message = "the packet has pages, and names no block" if not name else "the block's name does not end"
            self.context.report_field("QEMU-MFD-BLOCK", record, "block", message, "a name, and zeros")
            return
        before, highest, where = facts.blocks.get(name, (0, -1, 0))
        if max(offsets) > highest:
            highest, where = max(offsets), record.offset
        if name in facts.blocks or len(facts.blocks) < BLOCKS_MAX:
            facts.blocks[name] = before + len(offsets), highest, where
        else:
            facts.full = True
        self._kept(facts.numbers, number)

    def _kept(self, numbers: Any, number: int) -> None:
        if len(numbers) < PACKETS_MAX:
            numbers.append(number)
        else:
            self.facts.full = True
