"""What single pages of a recipe's guest hold, and its shared info: fields by their names, or bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..codec.content import Content, joined
from ..errors import FieldError
from ..writer.part import Part
from .memory import PAGE, Many, Pages
from .parse import FRAMES_MAX, check, content, patch_value
from .toml import Table

# A field, and what it is overwritten with.
_Patch = tuple[str, int | Content]


def described(top: Table, *groups: Iterable[Part]) -> list[list[Part]]:
    """The records of memory in these groups, with pages as the rows of `page` say.  Raises RecipeError."""
    found = [list(parts) for parts in groups]
    more: dict[tuple[int, int], list[_Patch]] = {}
    rows: dict[str, Table] = {}
    for row in top.tables("page"):
        frame = row.number("frame", -1, 0, FRAMES_MAX - 1)
        patches = list(_patches(row, frame))
        rows |= {place: row for place, _ in patches}
        every = [(group, at) for group, parts in enumerate(found) for at in range(len(parts))]
        places = [(group, at) for group, at in every if _has(found[group][at], frame)]
        row.spend("steps", len(every), "frame")
        if not places:
            raise row.fail(f"no record has page {frame:#x}", "frame")
        if any(isinstance(found[group][at], Many) for group, at in places):
            raise row.fail("there are too many records of this to change one; list some as memory.records", "frame")
        for place in places:
            more.setdefault(place, []).extend(patches)
    for (group, at), patches in more.items():
        found[group][at] = _patched(found[group][at], patches, rows, top)
    return found


def _has(part: Part, frame: int) -> bool:
    """Whether a record has an entry of that frame."""
    runs = part.values.frames if isinstance(part.values, Pages) else ()
    runs = part.memory.frames if isinstance(part, Many) else runs
    return any(run.first <= frame <= run.last for run in runs)


def _patches(row: Table, frame: int) -> Iterator[_Patch]:
    """What a row overwrites: all of the page, then fields."""
    if "bytes" not in row and "set" not in row:
        raise row.fail("say what the page holds: bytes, or set, or both")
    if "bytes" in row:
        data = content(row, "bytes")
        if len(data) > PAGE:
            raise row.fail(f"{len(data):,} bytes; a page has {PAGE:,}", "bytes")
        yield f"page[{frame:#x}]", joined((data,)).ljust(PAGE, b"\0")
    inner = row.table("set")
    for name, _ in inner.each():
        yield f"page[{frame:#x}].{name}", patch_value(inner, name)


def with_fields(part: Part, top: Table, key: str, prefix: str) -> Part:
    """A record with fields inside it overwritten, which a table has by their names.  Raises RecipeError."""
    inner = top.table(key)
    patches = [(prefix + name, patch_value(inner, name)) for name, _ in inner.each()]
    return _patched(part, patches, {}, inner)


def _patched(part: Part, patches: Sequence[_Patch], rows: dict[str, Table], table: Table) -> Part:
    """The part with more fields overwritten; each of `rows` has said something of one.  Raises RecipeError."""
    part = replace(part, patches=(*part.patches, *patches))
    try:
        table.spend("steps", check(part))
    except FieldError as error:
        raise rows.get(error.field, table).fail(str(error)) from None
    return part
