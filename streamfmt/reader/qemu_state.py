"""What a stream of QEMU has said of itself so far: what the framing of all that follows depends on."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from .qemu_variant import Survey, Variant

_PAGE = tables.QEMU_PAGE_SIZE
_WORD = 8
# Pages larger than any are taken to be of this size.
PAGE_MOST = 1 << 30
# The byte of a word that has the last bits of a page's number, above those of its flags.
_LAST_PLACE = _WORD - tables.QEMU_PAGE_BITS // 8 - 1


class Section:
    """A section: its number, whose it is, and whether it has been said to end; `name` is None if it never began."""

    __slots__ = ("ended", "id", "instance", "name", "version")

    def __init__(self, number: int, name: bytes | None = None, instance: int = 0, version: int = 0) -> None:
        self.id = number
        self.name = name
        self.instance = instance
        self.version = version
        self.ended = False


class Block:
    """A block of memory: `length` in bytes, how many `words` have come that bring one of its pages.

    `classes` are places in such a word, and which bytes there show that its page lies in the block; `exact` if no other
    bytes do.
    """

    __slots__ = ("classes", "exact", "length", "words")

    def __init__(self, length: int) -> None:
        self.length = length
        self.words = 0
        self.classes: list[tuple[int, bytes]] = []
        last = (max(length, 1) - 1).to_bytes(_WORD, "big")
        place = next((at for at, byte in enumerate(last) if byte), _LAST_PLACE)
        below = int.from_bytes(last[place + 1 :], "big") | _PAGE - 1
        self.exact = below == (1 << 8 * (_WORD - 1 - place)) - 1 or place >= _LAST_PLACE
        top = last[place] + self.exact if place <= _LAST_PLACE else 0
        if place == _LAST_PLACE:
            top = (last[place] | _PAGE - 1 >> 8 & 0xFF) + 1
        for at in range(min(place, _LAST_PLACE)):
            self.classes.append((at, b"\0"))
        self.classes.append((min(place, _LAST_PLACE), bytes(range(top))))


class State:
    """Facts of one stream.

    `machine` is the machine type's name, None where there is no configuration; `capabilities` those that it names, and
    `page` how many bytes a page has.  `footers` says whether sections end with a footer, None while that is not known;
    `owed` is the section that has to end with one now.  `ids` are the numbers of sections that have begun, `live` those
    that are sent in parts, `section` is the latest.

    `blocks` are memory's, `block` the one that words are about which name none, of name `named`; `left` is what is left
    of the total for more of them, and `strangers` says whether words came that are about none of them.  `stray` if the
    latest frame is in no place for its type.  `advised` if a command has said that post-copy may follow.  `package` is
    where frames end that were announced as a package, or -1; `beyond` is how far from there they have ended, and `open`
    whether nothing there has ended them.  `command` is that of the latest frame, or 0.  `run` and
    `used` are the kind of the latest words and how many of a record's.  `shift` is where a file of pages with places of
    their own begins.  `kept` are payloads that a consumer keeps.  `survey` is what sections have shown of what wrote
    them, None before the first that was sent at once; `marks` walks through those of VFIO devices, None before these.
    """

    __slots__ = (
        "advised",
        "beyond",
        "block",
        "blocks",
        "capabilities",
        "command",
        "footers",
        "ids",
        "kept",
        "left",
        "live",
        "machine",
        "marks",
        "named",
        "open",
        "owed",
        "package",
        "page",
        "run",
        "section",
        "shift",
        "strangers",
        "stray",
        "survey",
        "used",
    )

    def __init__(self) -> None:
        self.machine: bytes | None = None
        self.capabilities: Collection[bytes] = ()
        self.page = _PAGE
        self.footers: bool | None = None
        self.owed: Section | None = None
        self.ids: set[int] = set()
        self.live: dict[int, Section] = {}
        self.section: Section | None = None
        self.blocks: dict[bytes, Block] = {}
        self.block: Block | None = None
        self.named: bytes | None = None
        self.left = 0
        self.strangers = False
        self.stray = self.advised = False
        self.package = -1
        self.beyond = self.command = 0
        self.open = False
        self.run = -1
        self.used = 0
        self.shift: int | None = None
        self.kept: list[tuple[bytes, int, bytes]] | None = None
        self.survey: Survey | None = None
        self.marks: Any = None  # of a module that imports this one

    def about(self, name: bytes) -> None:
        """A word has named the block that the next ones are about."""
        self.named = name
        self.block = self.blocks.get(name)

    def words(self, count: int) -> None:
        """So many words have come about pages of the present block."""
        if self.block is not None:
            self.block.words += count
        else:
            self.strangers = True

    def variant(self) -> Variant | None:
        """What could have written the sections that have come; None if they do not show it."""
        return self.survey.variant(self.machine, self.footers) if self.survey is not None else None
