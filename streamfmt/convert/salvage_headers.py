"""A stream whose headers are damaged, or missing: where another begins in the file, or its records do.

Headers are made anew as far as what comes after them says what they were.
"""

from __future__ import annotations

from .. import tables
from ..reader.events import Layer
from ..reader.fields import broken_rules
from ..reader.registry import ROWS
from .salvage_search import Place
from .salvage_state import Gap, Salvaged, UnsalvageableError, headers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..io.spans import Span
    from .salvage_notes import Notes

_PIECE = 1 << 20
_VERSIONS = (tables.LIBXC_VERSION_STATIC - 1, tables.LIBXC_VERSION_STATIC)
# Layers that can be made anew around an image, and images that they may be made around.
_AROUND = [row for row in ROWS.values() if row.opens and row.closes]
_IMAGES = [row for row in ROWS.values() if row.image and row.magic]


def resume(salvage: Salvaged, notes: Notes, start: int) -> tuple[int, bytes, str] | None:
    """Where and how to read on after a header that is none, at the offset where reading stopped."""
    stop = notes.stop
    assert stop is not None, "it is asked for only then"
    span, size = salvage.span, salvage.size
    image = Layer(_IMAGES[0].name)
    known = notes.image.version if notes.image is not None else 0
    image.version = known if known in _VERSIONS else tables.LIBXC_VERSION_STATIC
    place = Place(image)
    around = [Place(Layer(row.name)) for row in ROWS.values() if image.name in row.opens.values()]
    ways = [salvage.trail.find(stop.at, levels) for levels in ([place], *([place, outer] for outer in around))]
    records = min((way for way in ways if way is not None and not way[1]), default=None)
    magic = _magic(span, stop.at + (notes.image is not None), records[0] if records else size)
    if magic is None and records is None:
        raise UnsalvageableError(
            f"at {stop.at} it is {notes.what or 'no header'}, and no record of a stream is found after that",
            "look for another copy of the file",
        )
    at, name = magic or (records[0] if records else size, "")
    salvage.gaps.append(Gap(stop.at, at, "a header is damaged, or missing"))
    if name and ROWS[name].opens:
        salvage.bare = True
        return at, b"", name
    before, guest, wrapped = _about(salvage, at, place, name != "")
    outers = [layer for layer in notes.layers if layer.row.opens and layer.version and _sound(notes, layer)]
    outer = next((layer for layer in outers if layer.row.closes or notes.opened), None)
    if outer is not None:
        salvage.keep(start, stop.at)
        prefix = headers_of(notes, outer) + _context(outer)
        if not notes.opened:
            salvage.pieces.put(_context(outer))
    else:
        inner = _inner(notes)
        if inner >= start:
            salvage.keep(start, inner)
        elif _holds(notes, stop.at, at - before, wrapped):
            salvage.keep(start, stop.at)
        else:
            salvage.bare = True
        prefix = _made(salvage, wrapped)
    if not name:
        made = _image(salvage, guest, image.version)
        salvage.pieces.put(made)
        prefix += made
    for path in [path for path in salvage.headers if path.partition(".")[0] == image.name]:
        del salvage.headers[path]  # those that come now are others
    return at, prefix, "auto"


def _sound(notes: Notes, layer: Layer) -> bool:
    """Whether a layer's header has nothing odd."""
    return not notes.headers[f"{layer.name}.{layer.row.headers[0]}"][2]


def _magic(span: Span, begin: int, end: int) -> tuple[int, str] | None:
    """The first sound header from `begin` on, before `end`, of what can be read on: its offset, and of which layer."""
    rows = [*_AROUND, *_IMAGES]
    longest = max(tables.SIZES[f"{row.name}.{row.headers[0]}"] for row in rows)
    signatures = {row.name: _signature(row.name) for row in rows}
    at = begin
    while at < end:
        piece = span.read(at, _PIECE + longest)
        hits = []
        for name, signature in signatures.items():
            place = piece.find(signature)
            while 0 <= place < _PIECE:
                path = f"{name}.{ROWS[name].headers[0]}"
                raw = piece[place : place + tables.SIZES[path]]
                if len(raw) == tables.SIZES[path] and not broken_rules(path, raw, ">"):
                    hits.append((at + place, name))
                    break
                place = piece.find(signature, place + 1)
        if hits and min(hits)[0] < end:
            return min(hits)
        at += _PIECE
    return None


def _about(salvage: Salvaged, at: int, place: Place, headed: bool) -> tuple[int, str, Layer | None]:
    """What the records of an image say it is that begins at `at`, with its headers if `headed`.

    Returns the bytes that headers have before `at`, its guest, and the layer that is around it.
    """
    trail = salvage.trail
    headers = sum(tables.SIZES[f"{place.name}.{name}"] for name in place.layer.row.headers)
    kinds: set[str] = set()
    checkpoint = False
    begin = at + headers * headed
    while (item := trail.item(begin, place)) is not None and trail.steps > 0:
        trail.steps -= 1
        if item.end > salvage.size or (item.type != place.end and trail.odd(item)):
            break
        kinds.add(item.name)
        begin = item.end
        checkpoint = item.type == place.closes
        if item.type in (place.end, place.closes):
            break
    guest = "pv" if any(name.startswith("X86_PV_") or name == "SHARED_INFO" for name in kinds) else "hvm"
    before = headers * (not headed)
    for row in _AROUND:
        outer = Layer(row.name)
        if trail.closing(begin, Place(outer)) if checkpoint else trail.leads(begin, [place, Place(outer)], 1, least=1):
            before += sum(tables.SIZES[f"{outer.name}.{name}"] for name in row.headers) + outer.header_size
            return before, salvage.guest or guest, outer
    return before, salvage.guest or guest, None


def _holds(notes: Notes, at: int, begin: int, around: Layer | None) -> bool:
    """Whether what begins at `begin` lies where a container, which is whole, says that it does."""
    if not notes.layers or begin != at:
        return False
    inner = around.name if around is not None else _IMAGES[0].name
    outer = notes.layers[-1]
    return inner in outer.row.holds and outer.wraps and not outer.row.opens


def _inner(notes: Notes) -> int:
    """Offset of a header inside a container, which has its magic and so shows that the container is whole; or -1."""
    for layer in notes.layers[1:]:
        at, raw, _ = notes.headers.get(f"{layer.name}.{layer.row.headers[0]}", (-1, b"", ()))
        if (
            layer.row.opens
            and layer.parent is not None
            and layer.parent.wraps
            and raw.startswith(_signature(layer.name))
        ):
            return at
    return -1


def _signature(name: str) -> bytes:
    return next(data for key, _, _, data, _ in tables.MAGICS if key == name)


def headless(salvage: Salvaged, notes: Notes) -> None:
    """Where records of a layer around it follow an image that begins the file, put the header of that before it."""
    image = notes.image
    if image is None or image.parent is not None or notes.base:
        return
    for row in _AROUND:
        outer = Layer(row.name)
        if salvage.trail.leads(notes.rest, [Place(image), Place(outer)], 1, least=1):
            salvage.gaps.append(Gap(0, 0, f"the header of {row.name} is missing"))
            _made(salvage, outer)
            return


def _context(layer: Layer) -> bytes:
    """The record after which the image follows."""
    place = Place(layer)
    return place.header.pack(next(iter(place.opens)), 0)


def _made(salvage: Salvaged, around: Layer | None) -> bytes:
    """The header of a layer around an image, and the record after which that follows; they go to the output too."""
    if around is None:
        return b""
    from ..writer import Draft, header

    path = f"{around.name}.{around.row.headers[0]}"
    found = Draft((header(path, **{"options.legacy": 0}),)).render() + _context(around)
    salvage.pieces.put(found)
    salvage.made.append(f"{around.name} {around.row.headers[0]}")
    return found


def _image(salvage: Salvaged, guest: str, version: int) -> bytes:
    """The headers of an image."""
    from ..writer import Draft, image_headers

    salvage.made.append(f"the headers of an image of {'a PV' if guest == 'pv' else 'an HVM'} guest")
    return Draft(image_headers(guest, version)).render()
