"""Records compared as they come, one by one: their bytes, their batches, their order.

The two streams are read side by side, and only a few records of each are kept: after a difference the nearest records
that are the same again are searched for among those.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import NamedTuple

from ..api import Stream
from ..codec.decode import layouts
from ..errors import StreamError
from ..reader.events import describe
from ..reader.items import Header
from .comparison import KEPT, A, B, Comparison
from .found import SHOWN, Difference, first_difference, leaf_differences
from .leaves import leaves
from .side import note_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from ..reader.events import Layer

    Pair: TypeAlias = tuple["Seen | None", "Seen | None"]

# Records of either stream that are kept, and bytes of each.
WINDOW, _BODY_MAX = 64, 32 << 10


class Seen(NamedTuple):
    """A record or header: its schema path, its number in its layer (-1 of a header), where it is, and what it holds.

    `body` are the first of its bytes.
    """

    path: str
    number: int
    offset: int
    length: int
    digest: bytes
    body: bytes
    order: str

    @property
    def key(self) -> tuple[str, int, bytes]:
        """What is the same in records that are the same."""
        return self.path, self.length, self.digest


def compare(a: Stream, b: Stream, most: int = KEPT, progress: Callable[[int], None] | None = None) -> Comparison:
    """Compare two open streams record by record, to their ends.

    :param most: differences of each type of record that are kept.
    :param progress: is given the bytes of the first that have been read.
    :raises OSError: a source cannot be read; what breaks off is in :attr:`Comparison.troubles`.
    """
    descriptions: dict[str, str] = {}
    found = Comparison(descriptions, most)
    layers: tuple[list[Layer], list[Layer]] = [], []
    left = _seen(a, layers[0], found.troubles, A, progress)
    right = _seen(b, layers[1], found.troubles, B, None)
    for one, other in pairs(left, right):
        _add(found, one, other)
    for side, some in zip((A, B), layers, strict=True):
        descriptions[side] = describe(some)
        if not some:
            found.troubles.setdefault(side, "there is no stream in it")
    rests = [rest[1] if rest else 0 for rest in (a.trailing, b.trailing)]
    if rests[0] != rests[1]:
        found.section("after END").add(Difference("", "bytes", rests[0], rests[1]))
    return found


def _seen(
    stream: Stream,
    layers: list[Layer],
    troubles: dict[str, str],
    side: str,
    progress: Callable[[int], None] | None,
) -> Iterator[Seen]:
    """All records and headers of a stream; why there are no more, if it breaks off, goes into `troubles`."""
    try:
        for item in stream:
            for layer in stream.layers:
                note_layer(layer, layers)
            inner = stream.layers[-1]
            path = f"{inner.name}.{item.name}"
            if isinstance(item, Header):
                digest = blake2b(item.data, digest_size=16).digest()
                yield Seen(path, -1, item.offset, item.length, digest, item.data, inner.order)
                continue
            hashed, body = blake2b(digest_size=16), b""
            for chunk in item.chunks():
                hashed.update(chunk)
                if len(body) < _BODY_MAX:
                    body += chunk
            yield Seen(path, item.index, item.offset, item.length, hashed.digest(), body[:_BODY_MAX], inner.order)
            if progress is not None:
                progress(stream.offset)
    except StreamError as error:
        troubles[side] = str(error)


def pairs(a: Iterator[Seen], b: Iterator[Seen]) -> Iterator[Pair]:
    """Records that belong together, and those that are in one only, in order."""
    left: deque[Seen] = deque()
    right: deque[Seen] = deque()
    while True:
        for held, more in ((left, a), (right, b)):
            while len(held) < WINDOW and (one := next(more, None)) is not None:
                held.append(one)
        if not left and not right:
            return
        if left and right and left[0].key == right[0].key:
            yield left.popleft(), right.popleft()
            continue
        first, second = _again(left, right)
        yield from _unlike([left.popleft() for _ in range(first)], [right.popleft() for _ in range(second)])


def _again(left: deque[Seen], right: deque[Seen]) -> tuple[int, int]:
    """How many records on either side come before the nearest that are the same again."""
    places: dict[tuple[str, int, bytes], int] = {}
    for number, one in enumerate(right):
        places.setdefault(one.key, number)
    found = [
        (number + places[one.key], number, places[one.key]) for number, one in enumerate(left) if one.key in places
    ]
    if not found:
        return len(left), len(right)
    _, first, second = min(found)
    return first, second


def _unlike(left: list[Seen], right: list[Seen]) -> Iterator[Pair]:
    """Records of which none is the same: those of one type are taken together, in order."""
    at = 0
    for one in left:
        place = next((number for number in range(at, len(right)) if right[number].path == one.path), None)
        if place is None:
            yield one, None
            continue
        yield from ((None, other) for other in right[at:place])
        yield one, right[place]
        at = place + 1
    yield from ((None, other) for other in right[at:])


def _add(found: Comparison, left: Seen | None, right: Seen | None) -> None:
    """Add what differs in two records, or that there is only one."""
    one = left or right
    assert one is not None, "a pair has one record at least"
    section = found.section(one.path)
    if left is None or right is None:
        section.absent(f"{_name(one)} at {one.offset:#x}".strip(), "", right is None)
        return
    if left.key == right.key:
        return
    item = _name(left) + (f" | {right.number}" if left.number != right.number else "")
    before = section.count
    if all(len(seen.body) == seen.length and seen.path in layouts() for seen in (left, right)):
        leaf_differences(section, item, *(leaves(seen.path, seen.body, seen.order) for seen in (left, right)))
    if section.count == before:
        at = first_difference(left.body, right.body)
        section.add(Difference(item, "body", _from(left, at), _from(right, at)))


def _name(seen: Seen) -> str:
    return f"record {seen.number}" if seen.number >= 0 else ""


def _from(seen: Seen, at: int) -> dict[str, int | str]:
    """A body, which differs from byte `at` on, or beyond what is kept of it."""
    return {"bytes": seen.length, "at": at, "hex": seen.body[at : at + SHOWN].hex()}
