"""A guest of ours filled from QEMU's migration stream: pages go from the reader's window to their place in its memory.

Runs of words in order come as one event; what of their last page is not in the window yet is received straight into
the guest.  Pages that come in another form are taken one by one.
Sources: QEMU migration/ram.c, ram_load_precopy.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence

from .. import tables
from ..codec.qemu_pages import FormError, changed, inflated
from ..errors import PeerError
from ..reader.events import Body, Record, Run
from ..reader.qemu_ram import Words
from ..reader.qemu_sizes import WORD, size_of
from .framing_qemu import BITS, GLOBAL_STATE, PAGE, TIMER
from .qemu_incoming import Follower
from .qemu_link import Receiver
from .qemu_sections import Live, Sections, facts_of, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.pump import Program

_ZERO = bytes(PAGE)
_NAMED = frozenset(
    (tables.QEMU_RAM_ZERO_OF, tables.QEMU_RAM_PAGE_OF, tables.QEMU_RAM_XBZRLE_OF, tables.QEMU_RAM_COMPRESSED_OF)
)
_ZEROS = (tables.QEMU_RAM_ZERO, tables.QEMU_RAM_ZERO_OF)
_WHOLE = (tables.QEMU_RAM_PAGE, tables.QEMU_RAM_PAGE_OF)
_CHANGES = (tables.QEMU_RAM_XBZRLE, tables.QEMU_RAM_XBZRLE_OF)
_COMPRESSED = (tables.QEMU_RAM_COMPRESSED, tables.QEMU_RAM_COMPRESSED_OF)
_PACKED = frozenset((*_CHANGES, *_COMPRESSED))
_PAGES = frozenset((*_ZEROS, *_WHOLE, *_PACKED))
# What is before a page's changes, or what it is compressed to; the length is the last of it.
_AHEAD = {True: size_of("RAM_XBZRLE.pages", 0) - WORD, False: size_of("RAM_COMPRESSED.pages", 0) - WORD}
_LISTED = frozenset(kind for kind, name in tables.RECORDS["qemu"].items() if name.startswith("RAM_BLOCK"))


class Loader(Follower, Sections):
    """Fills a guest's memory, which is zero, and keeps the sections of devices.

    `make` gives the memory for so many pages, once the stream has said how many there are; it may raise.

    `machine` is the machine type that the stream has to be of, None for any; `only` has streams refused that bring
    devices which a machine without a board does not have; `live` are those here whose state comes in parts.

    :raises PeerError: from the reader's driver, as soon as it shows that the stream is of another machine.
    """

    def __init__(
        self,
        link: Receiver,
        make: Callable[[int], memoryview],
        machine: bytes | None = b"none",
        only: bool = True,
        ready: bool = False,
        live: Sequence[Live] = (),
    ) -> None:
        Follower.__init__(self, link, ready)
        Sections.__init__(self, live)
        self._make = make
        self._memory = memoryview(b"")
        self._count = 0
        self._machine = machine
        self._only = only
        # Whether a page has had content, by page: all others are still zero.
        self._filled = bytearray()
        self._any = False

    def close(self) -> None:
        """Let go of the guest's memory."""
        self._memory = memoryview(b"")
        self.place = None

    # -- events ----------------------------------------------------------------------------------------------------

    def record(self, record: Record) -> Program | None:
        kind = record.type
        if kind == tables.QEMU_SECTION_START:
            self._started(record)
        elif kind in _LISTED:
            return self._block(Body(self.window, record))
        elif kind in _PAGES:
            return self._words(Body(self.window, record))
        return Follower.record(self, record) or Sections.record(self, record)

    def pages(self, run: Run) -> None:
        assert isinstance(run, Words), "runs of this layer are of words"
        self.moved = True
        if run.kind == tables.QEMU_RAM_ZERO:
            if self._any:
                self._zero([page for page in map(_page_of, run.raw()) if page < self._count])
            return
        window, size, count = self.window, run.size, run.entries
        lo = run.offset - window.base
        pages = _numbers(window.view[lo : lo + (count - 1) * size + WORD], size)
        at = lo + WORD
        last = at + (count - 1) * size
        memory, view = self._memory, window.view
        for page in pages[:-1]:
            memory[page << BITS : page + 1 << BITS] = view[at : at + PAGE]
            at += size
        start = pages[-1] << BITS
        there = min(window.hi - last, PAGE)
        memory[start : start + there] = view[last : last + there]
        self.place = memory[start + there : start + PAGE] if there < PAGE else None
        self._mark(pages)

    def allowed(self, name: str) -> None:
        if self._only and name not in (TIMER, GLOBAL_STATE, *self.live):
            raise PeerError(f"the sender's machine has a device {name}, and this guest has none: use -M none")

    # -- the machine -----------------------------------------------------------------------------------------------

    def _started(self, record: Record) -> None:
        """The first section has begun, or another that comes in parts."""
        facts = facts_of(record.layer)
        if self._machine is not None and facts.machine is not None and facts.machine != self._machine:
            raise PeerError(
                f"the sender's machine is of type {text(facts.machine)}, and this guest is of {text(self._machine)}: "
                "send from a machine of that type"
            )
        section = facts.section
        name = section.name if section is not None else b""
        if name != tables.QEMU_RAM_NAME and text(name or b"") not in self.live:
            raise PeerError(f"the sender's machine has {text(name or b'')}, which this guest does not have")

    def _block(self, body: Body) -> Program:
        """Program of an entry of the list of blocks: it is the only one, and as long as the guest's memory."""
        raw = yield from body.take(1)
        raw = yield from body.take((raw[0] if raw else 0) + WORD)
        name, length = raw[:-WORD], int.from_bytes(raw[-WORD:], "big")
        if body.record.type != tables.QEMU_RAM_BLOCK:
            raise PeerError(
                "the sender leaves shared memory out, or sends it in a file: switch x-ignore-shared and mapped-ram off"
            )
        if facts_of(body.record.layer).blocks:
            raise PeerError(f"the sender's machine has more than one block of memory ({text(name)}): use -M none")
        if length % PAGE or not length:
            raise PeerError(f"the sender's memory has {length:,} bytes, which are no whole pages")
        self._memory = self._make(length >> BITS)
        self._count = self._memory.nbytes >> BITS
        self._filled = bytearray(self._count)
        if length != self._count << BITS:
            raise PeerError(f"the sender's memory has {length:,} bytes, and this guest's {self._count << BITS:,}")

    # -- pages one by one ------------------------------------------------------------------------------------------

    def _words(self, body: Body) -> Program:
        """Program of words about pages that do not come as a run."""
        kind = body.record.type
        take = next(method for kinds, method in _TAKE if kind in kinds)
        while True:
            raw = yield from body.take(WORD)
            if len(raw) == WORD and kind in _NAMED:
                length = yield from body.take(1)
                yield from body.skip(length[0] if length else 0)
            if len(raw) < WORD:
                return
            page = int.from_bytes(raw, "big") >> BITS
            if page >= self._count or facts_of(body.record.layer).block is None:
                raise PeerError(f"at offset {body.record.offset}: page {page:#x} is not of this guest's memory")
            if not (yield from take(self, body, page)):
                return

    def _take_zero(self, body: Body, page: int) -> Program:
        fill = yield from body.take(1)
        if fill:
            self._set(page, _ZERO if fill == b"\0" else fill * PAGE)
        return bool(fill)

    def _take_whole(self, body: Body, page: int) -> Program:
        data = yield from body.take(PAGE)
        if len(data) == PAGE:
            self._set(page, data)
        return len(data) == PAGE

    def _take_packed(self, body: Body, page: int) -> Program:
        changes = body.record.type in _CHANGES
        ahead = _AHEAD[changes]
        raw = yield from body.take(ahead)
        size = int.from_bytes(raw[changes:], "big")
        if len(raw) < ahead or size > body.left:
            return False
        data = yield from body.take(size)
        if len(data) < size:
            return False
        before = bytes(self._memory[page << BITS : page + 1 << BITS])
        try:
            made = changed(before, data) if changes else inflated(data)[0]
        except FormError as error:
            raise PeerError(f"at offset {body.record.offset}: a page has {error}") from None
        self._set(page, made + before[len(made) :])
        return True

    def _set(self, page: int, data: bytes) -> None:
        if data is _ZERO:
            self._zero([page])
            return
        self._memory[page << BITS : page + 1 << BITS] = data
        self._mark([page])

    def _zero(self, pages: list[int]) -> None:
        """These pages are zero."""
        filled, memory = self._filled, self._memory
        for page in pages:
            if filled[page]:
                memory[page << BITS : page + 1 << BITS] = _ZERO
                filled[page] = 0

    def _mark(self, pages: list[int]) -> None:
        """These pages have content."""
        self._any = True
        if pages[-1] - pages[0] == len(pages) - 1 and pages == list(range(pages[0], pages[-1] + 1)):
            self._filled[pages[0] : pages[-1] + 1] = b"\1" * len(pages)
            return
        for page in pages:
            self._filled[page] = 1


_TAKE: tuple[tuple[frozenset[int], Callable[[Loader, Body, int], Program]], ...] = (
    (frozenset(_ZEROS), Loader._take_zero),
    (frozenset(_WHOLE), Loader._take_whole),
    (_PACKED, Loader._take_packed),
)


def _page_of(entry: int) -> int:
    return entry & tables.ENTRY_PFN_MASK


def _numbers(words: memoryview, size: int) -> list[int]:
    """The pages of words that lie `size` bytes from one another."""
    if size % WORD:
        raw = bytes(words)
        return [int.from_bytes(raw[at : at + WORD], "big") >> BITS for at in range(0, len(raw), size)]
    column = array("Q", words.cast("Q")[:: size // WORD].tobytes())
    if sys.byteorder == "little":
        column.byteswap()
    return [word >> BITS for word in column]
