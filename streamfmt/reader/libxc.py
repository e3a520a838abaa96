"""The libxc layer: image header, domain header, records up to END.

Clean PAGE_DATA records are recognised here, by strided slices of the entries' three highest bytes, or of
many one-entry records at once, and handed over in runs; the pages' content is never looked at.  All other
records go to the consumer one by one.  What is clean here breaks no rule of PAGE_DATA's own layout.
"""

from __future__ import annotations

from _struct import Struct  # struct would be a module more to find

from .. import tables
from . import framing
from .events import ENTRY, HEADER, PAGE, PAGE_FIXED, Layer, Record, Run, Sink
from .fields import broken_rules, number
from .framing import STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .pump import Window

RECORD_HEADER = {order: Struct(order + tables.FORMATS["libxc.record_header"]) for order in "<>"}
# Types of records that have a body.
_BODIED = frozenset(
    kind
    for kind, name in tables.RECORDS["libxc"].items()
    if tables.SIZES.get(f"libxc.{name}") or any(tables.LENGTHS.get(f"libxc.{name}", (0, 0, 0, 0))[1:4:2])
)
_PAGE_HEADER = Struct("<" + tables.FORMATS["libxc.record_header"] + tables.FORMATS["libxc.PAGE_DATA"])
_FIRST_ENTRY = HEADER + PAGE_FIXED
# Larger batches than any writer makes are read in pieces, by the consumer.
_FAST_MAX = 4 * tables.BATCH_MAX
# A record of at least so many bytes is far enough from the next for a look at that by itself.
_FAR = 64 << 10


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of an image; of one in a stream that closes checkpoints, as far as CHECKPOINT, and then of what follows.

    What it returns to that stream is the name of the record that it ends with, or STOP.
    """
    nested = layer.parent is not None and layer.parent.row.closes != ""
    if not layer.version and not (yield from _headers(window, sink, layer)):
        return STOP, layer
    return (yield from _records(window, sink, layer, nested, exact)), layer


def _headers(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, bool]:
    """Program of an image's headers.  Returns whether records follow that can be read."""
    raw = yield from framing.opening(window, sink, layer, "the image header", framing.announced)
    if raw is None:
        return False
    at = window.position
    path = "libxc.domain_header"
    raw = yield from framing.header(window, sink, layer, path, "the domain header")
    if raw is None:
        return False
    layer.xen = number(path, "xen_major", raw, layer.order), number(path, "xen_minor", raw, layer.order)
    layer.guest = tables.GUESTS.get(number(path, "type", raw, layer.order))
    sink.header(layer, path, at, raw, broken_rules(path, raw, layer.order))
    return True


def _records(window: Window, sink: Sink, layer: Layer, nested: bool, exact: bool) -> Generator[int, int, str]:
    w = window
    unpack_header = RECORD_HEADER[layer.order].unpack_from
    page_data = tables.LIBXC_PAGE_DATA if layer.order == "<" and not sink.every_page else -1
    known = tables.RECORDS[layer.name]
    unread = sink.unread(layer)
    single = False
    while True:
        if single:
            single = _run_of_singles(w, sink, layer)
        if w.hi - w.lo < HEADER and not (yield HEADER):
            framing.cut(w, sink, layer, HEADER, "a record header" if w.hi > w.lo else "the image, before its END")
            return STOP
        kind, length = unpack_header(w.buf, w.lo)
        if unread and kind == page_data and length >= _FAR and (size := _by_headers(w, sink, layer)):
            yield -size
            continue
        if kind == page_data and length >= PAGE_FIXED + ENTRY:
            if w.hi - w.lo < _FIRST_ENTRY:
                yield _FIRST_ENTRY
            count = _clean_batch(w, length) if w.hi - w.lo >= _FIRST_ENTRY else 0
            if count:
                need = _FIRST_ENTRY + ENTRY * count
                if w.hi - w.lo >= need or (yield need):
                    pages = _content_pages(w, length, count)
                    if pages >= 0:
                        at = w.position
                        sink.pages(Run(layer, w, 1, HEADER + length, count, pages))
                        layer.index += 1
                        w.lo += need
                        single = count == 1
                        if pages:
                            left = pages * PAGE
                            left -= yield -left
                            if left:
                                record = Record(layer, kind, at, length)
                                record.index -= 1
                                sink.truncated(layer, record, w.base + w.hi, left, "the pages of a record")
                                return STOP
                        continue
        if kind not in known or (not length and kind in _BODIED):
            if (yield from _odd(w, sink, layer, exact)) == STOP:
                return STOP
            continue
        record = Record(layer, kind, w.position, length)
        layer.index += 1
        w.lo += HEADER
        if not (yield from framing.body(w, sink, record)):
            return STOP
        if kind == tables.LIBXC_END:
            sink.ended(layer, w.position)
            return record.name
        if kind == tables.LIBXC_CHECKPOINT:
            layer.close_checkpoint(w.position)
            sink.checkpoint(layer, w.position)
            if nested:
                return record.name
        _repeats(w, sink, record)


def _odd(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, str]:
    """Program of records in a row that no release writes; STOP if they are none."""
    from . import loss  # few images have such

    return (yield from loss.row(window, sink, layer, exact, _BODIED, _repeats))


def _by_headers(window: Window, sink: Sink, layer: Layer) -> int:
    """Hand over the large PAGE_DATA records that come next by their headers alone, read ahead; their size together.

    The header after each of them is seen: so what the input breaks off in, or what leads nowhere, is never among them.
    """
    look, unpack_header, align, most = window.look, RECORD_HEADER[layer.order].unpack, layer.align, layer.row.length_max
    page_data, far = tables.LIBXC_PAGE_DATA, _FAR
    start = before = last = at = window.position
    count = length = size = 0
    while len(raw := look(at, HEADER)) == HEADER:
        if at > start:
            count += 1
            before, size = last, length
        kind, length = unpack_header(raw)
        if kind != page_data or not far <= length <= most:
            break
        last, at = at, at + HEADER + length + (-length & align - 1)
    if not count:
        return 0
    found = Record(layer, page_data, before, size)
    found.index += count - 1
    sink.passed(found, start, count)
    layer.index += count
    return found.end + found.padding - start


def _clean_batch(window: Window, length: int) -> int:
    """Entries of the PAGE_DATA record at `lo`, or 0 if its fixed fields are not those of a clean one."""
    _, _, count, reserved = _PAGE_HEADER.unpack_from(window.buf, window.lo)
    if reserved or count > _FAST_MAX or PAGE_FIXED + ENTRY * count > length:
        return 0
    return int(count)


def _content_pages(window: Window, length: int, count: int) -> int:
    """Pages that follow the record's `count` entries, or -1 if entries or length are not clean."""
    first = window.lo + _FIRST_ENTRY
    end = first + ENTRY * count
    buf = window.buf
    tops = buf[first + ENTRY - 1 : end : ENTRY]
    if (
        tops.translate(None, tables.ENTRY_TOP_CLEAN)
        or buf[first + ENTRY - 2 : end : ENTRY].translate(None, tables.ENTRY_NEXT_CLEAN)
        or buf[first + ENTRY - 3 : end : ENTRY].translate(None, tables.ENTRY_THIRD_CLEAN)
    ):
        return -1
    pages = len(tops.translate(None, tables.ENTRY_TOP_BARE))
    return pages if length == PAGE_FIXED + ENTRY * count + PAGE * pages else -1


# How many records in a row are compared at once: first, since in a mixed stream most runs end soon, and from then on.
_FEW, _MANY = 64, 512
_WORD = 8
# Of each kind of one-entry record: how it begins, that by words as many records have them, what its entry's highest
# bytes may be, its bytes, its pages.
_RUNS = tuple(
    (
        head,
        [memoryview(head[at : at + _WORD] * _MANY).cast("Q") for at in range(0, len(head), _WORD)],
        classes,
        size,
        pages,
    )
    for (head, classes), size, pages in (
        (tables.RUN_DATA, tables.RUN_DATA_SIZE, 1),
        (tables.RUN_BARE, tables.RUN_BARE_SIZE, 0),
    )
)


def _run_of_singles(window: Window, sink: Sink, layer: Layer) -> bool:
    """Hand over the clean one-entry records of one kind that the window holds whole; whether there were any.

    A record alone is left to be read like any other.
    """
    lo, hi = window.lo, window.hi
    for head, alike, classes, size, pages in _RUNS:
        if window.buf.startswith(head, lo, hi) and window.buf.startswith(head, lo + size, hi):
            count = _alike(window, head, alike, classes, size, (hi - lo) // size)
            if count:
                sink.pages(Run(layer, window, count, size, count, count * pages))
                layer.index += count
                window.lo += count * size
            return count > 0
    return False


def _alike(
    window: Window, head: bytes, alike: list[memoryview], classes: tuple[tuple[int, bytes], ...], size: int, held: int
) -> int:
    """How many of `held` records of `size` bytes in a row begin with `head` and have in the places of `classes` theirs.

    Columns of them are compared, a few calls for hundreds of records.  A pattern would be as fast, but those that never
    go back, which alone take no memory for each record, count half a record on some Pythons.
    """
    buf, lo = window.buf, window.lo
    count, most = 0, _FEW
    while count < held:
        clean = step = min(most, held - count)
        columns = classes
        words = window.view[lo : lo + step * size].cast("Q")
        if any(words[word :: size // _WORD] != same[:step] for word, same in enumerate(alike)):
            columns = (*((at, head[at : at + 1]) for at in range(len(head))), *classes)
        for at, allowed in columns:
            column = buf[lo + at : lo + clean * size : size]
            if column.translate(None, allowed):
                clean -= len(column.lstrip(allowed))
        count += clean
        if clean < step:
            break
        lo += step * size
        most = _MANY
    return count


def _repeats(window: Window, sink: Sink, record: Record) -> None:
    """Hand over the records that follow `record`, which has been read, and are like it, if the sink takes them at once.

    Alike are those of the same type and length, and of one-entry PAGE_DATA those of the same fixed fields whose entries
    have the same three highest bytes, which is all of them but a frame that a guest can have.
    """
    buf, lo = window.buf, window.lo
    layer, size = record.layer, window.position - record.offset
    start = lo - size
    # The window has to hold it still, and some more.
    if start < 0 or record.padding or (window.hi - lo) < 2 * size:
        return
    classes: tuple[tuple[int, bytes], ...] = ()
    head = bytes(buf[start : start + HEADER])
    if record.type == tables.LIBXC_PAGE_DATA:
        if layer.order != "<" or size not in (tables.RUN_BARE_SIZE, tables.RUN_DATA_SIZE):
            return
        if _PAGE_HEADER.unpack_from(buf, start)[2] > 1:
            return
        head = bytes(buf[start : start + HEADER + PAGE_FIXED])
        classes = tuple((at, bytes(buf[start + at : start + at + 1])) for at in _TOPS)
    if not buf.startswith(head, lo, window.hi) or any(buf[lo + at] != top[0] for at, top in classes):
        return
    if not sink.steady(record):
        return
    alike = [memoryview(head[at : at + _WORD] * _MANY).cast("Q") for at in range(0, len(head), _WORD)]
    # The sink may take only some: what is compared for nothing is never more than what has been taken before.
    taken = most = _FEW
    while taken == most:
        most *= 2
        count = _alike(window, head, alike, classes, size, min(most, (window.hi - window.lo) // size))
        taken = sink.repeated(record, Run(layer, window, count, size, count, 0)) if count else 0
        layer.index += taken
        window.lo += taken * size


_TOPS = (_FIRST_ENTRY + ENTRY - 3, _FIRST_ENTRY + ENTRY - 2, _FIRST_ENTRY + ENTRY - 1)
