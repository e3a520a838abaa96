"""The parsers of the forms that a guest's configuration has; each fills a Configuration and returns why it stopped.

None recurses into the data, loads anything that it names, or keeps more than a few values of it.
"""

from __future__ import annotations

from io import BytesIO, StringIO

from .configuration import HVM, PV, PVH

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable
    from typing import Any

    from .configuration import Configuration

# Characters of a name or another value that are kept.
_KEPT = 256
# No guest has more of anything that is counted here; larger numbers are no numbers for any toolstack.
_NUMBER_MAX = 1 << 53
_DIGITS_MAX = 20
# What the forms call the types of guests.
_TYPES = {
    # libxl and xl, whose older word for PV is the last of these
    PV: PV,
    HVM: HVM,
    PVH: PVH,
    "generic": PV,
    # libvirt's <os><type>
    "linux": PV,
    "xen": PV,
    "xenpvh": PVH,
    # XAPI's ty; one that runs as PV in a PVH shim has the image of an HVM guest
    "PV": PV,
    "HVM": HVM,
    "PVH": PVH,
    "PVinPVH": PVH,
}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _name(value: Any) -> str:
    return value[:_KEPT] if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    """A count: a number, or one in a string."""
    if isinstance(value, str) and len(value) <= _DIGITS_MAX and value.isascii() and value.isdigit():
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _NUMBER_MAX
    return value if good else None


def _truth(value: Any) -> bool | None:
    """A switch: libxl's "True" and "False", xl's 1 and 0, OCaml's true and false."""
    word = str(value).lower() if isinstance(value, (str, int)) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _times(value: int | None, unit: int) -> int | None:
    return None if value is None else value * unit


def _closing(text: Any, quote: Any, escape: Any, at: int) -> int:
    """Where the string ends whose opening `quote` is before `at`: the place of the closing one, -1 without one.

    A pattern would remember every escape on the way.
    """
    while (end := text.find(quote, at)) >= 0:
        escapes = end
        while escapes > at and text[escapes - 1 : escapes] == escape:
            escapes -= 1
        if not (end - escapes) % 2:
            return int(end)
        at = end + 1
    return -1


def _replaced(escape: Any, value: Any, text: Any, into: Any) -> Any:
    """The text with each `escape` as its `value`, by way of the empty file `into`.

    What re.sub keeps of every piece of a text is fifty times as long as the text may be.
    """
    at = 0
    while found := escape.search(text, at):
        into.write(text[at : found.start()])
        into.write(value(found))
        at = found.end()
    into.write(text[at:])
    return into.getvalue()


# -- libxl's JSON ---------------------------------------------------------------------------------------------------


_BLANK = " \t\n\r"


class _Decoder:
    """What json's scanner asks of a decoder: all as json has it, but of two equal keys libxl takes the first."""

    strict = True
    object_hook = None
    parse_int, parse_float, parse_constant = int, float, float

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))


def decoded(text: str) -> Any:
    """What a JSON text says.  Raises ValueError and RecursionError.

    The scanner alone reads any text that is right: json itself loads patterns, which takes longer than judging a file.
    """
    try:
        from _json import make_scanner

        decoder: Any = _Decoder
        value, end = make_scanner(decoder)(text, len(text) - len(text.lstrip(_BLANK)))
        if not text[end:].strip(_BLANK):
            return value
    except (ImportError, AttributeError, StopIteration, SystemError):
        # A Python without this scanner, or no value: json knows what to say of that.  The scanner has no error to raise
        # for what is wrong unless json is loaded, which Python 3.11 and 3.12 say by SystemError.
        pass
    from json import loads

    return loads(text, object_pairs_hook=_Decoder.object_pairs_hook)


def _json(data: bytes, into: Configuration) -> str:
    """A libxl_domain_config: c_info and b_info."""
    try:
        whole = decoded(data.decode(errors="replace"))
    except RecursionError:
        return "it nests too deep"
    except ValueError as error:
        return f"not valid JSON: {error}"
    whole, created, built = (found if isinstance(found, dict) else {} for found in _sections(whole))
    into.name, into.uuid = _name(created.get("name")), _name(created.get("uuid"))
    kind = created.get("type")
    into.type = _TYPES.get(kind, "") if isinstance(kind, str) else ""
    if into.type == HVM and _truth(created.get("pvh")):
        into.type = PVH  # Xen 4.7 to 4.9
    into.domid = _number(created.get("domid"))
    into.vcpus, into.memory = _number(built.get("max_vcpus")), _number(built.get("max_memkb"))
    hvm = built.get("type.hvm")
    if isinstance(hvm, dict):
        into.viridian = bool(hvm.get("viridian_enable")) or _truth(hvm.get("viridian"))
    return ""


def _sections(whole: Any) -> tuple[Any, Any, Any]:
    if not isinstance(whole, dict):
        return {}, {}, {}
    return whole, whole.get("c_info"), whole.get("b_info")


# -- xl's text ------------------------------------------------------------------------------------------------------

_TOKEN = r"(?s)[ \t\r\f]+|#[^\n]*|([\"'])|([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|(\+?=|[\[\],;\n]|.)"
_ESCAPE = r"(?s)\\(?:x([0-9A-Fa-f]{2})|([0-7]{3})|(.))"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescape(found: re.Match[str]) -> str:
    if found[3]:
        return _ESCAPES.get(found[3], found[3])
    return chr(int(found[1], 16) if found[1] else int(found[2], 8) & 0xFF)


def _assignments(text: str) -> tuple[dict[str, Any], str]:
    """The simple assignments of xl's text: strings, numbers, and of a list whether it is empty; the last of each name.

    Returns why reading stopped too.
    """
    import re  # JSON does not need these patterns, and compiling them takes longer than most streams to judge

    found: dict[str, Any] = {}
    name, assigned, depth, line, at = "", False, 0, 1, 0
    match = re.compile(_TOKEN).match
    while token := match(text, at):
        quote, word, digits, mark = token.groups()
        at = token.end()
        value = digits
        if quote:
            end = _closing(text, quote, "\\", at)
            if end < 0 or text.find("\n", at, end) >= 0:
                return found, f"a string has no end in line {line}"
            value, at = _replaced(re.compile(_ESCAPE), _unescape, text[at:end], StringIO()), end + 1
        if depth:
            depth += (mark == "[") - (mark == "]")
            if value is not None:
                found[name] = True
        elif mark in ("\n", ";"):
            name, assigned = "", False
        elif mark in ("=", "+="):
            assigned = bool(name)
        elif mark == "[":
            depth = 1
            if assigned:
                found[name] = False
        elif word is not None and not assigned:
            name = word
        elif assigned and value is not None:
            found[name] = value
        line += mark == "\n"
    return found, "a list has no end" if depth else ""


def _text(data: bytes, into: Configuration) -> str:
    """An xl.cfg(5), of which xl needs no more than the name."""
    found, error = _assignments(data.decode(errors="replace"))
    into.name, into.uuid = _name(found.get("name")), _name(found.get("uuid"))
    # A guest is PV unless the text says another type, by either of two names.
    default = PV if into.name else ""
    into.type = _TYPES.get(str(found.get("type", found.get("builder", default))), "")
    if "type" not in found and into.type == HVM and _truth(found.get("pvh")):
        into.type = PVH
    vcpus = _number(found.get("vcpus"))
    into.vcpus = _number(found.get("maxvcpus")) or vcpus
    into.memory = _times(_number(found.get("maxmem")) or _number(found.get("memory")), 1 << 10)
    into.viridian = _truth(found.get("viridian"))
    return error or ("" if found else "it assigns nothing")


# -- libvirt's XML --------------------------------------------------------------------------------------------------

# Bytes of one of libvirt's units of memory.
_UNITS = {"b": 1, "bytes": 1, "kb": 1000, "k": 1 << 10, "kib": 1 << 10, "mb": 10**6, "m": 1 << 20, "mib": 1 << 20}
_UNITS |= {"gb": 10**9, "g": 1 << 30, "gib": 1 << 30, "tb": 10**12, "t": 1 << 40, "tib": 1 << 40}


class _Doctype(Exception):  # noqa: N818 - it only ends the parsing
    """The text declares a document type, which may define entities: libvirt writes none."""


def _xml(data: bytes, into: Configuration) -> str:
    """A <domain> of libvirt; the first of each element counts."""
    from xml.parsers import expat

    path: list[str] = []
    found: dict[str, str] = {}
    units: dict[str, str] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name if len(path) < _DEPTH else "")
        where = "/".join(path[:_DEPTH])
        if where == "domain":
            found["id"] = attributes.get("id", "")
        elif where == "domain/memory":
            units.setdefault(where, attributes.get("unit", "KiB"))
        elif where == "domain/features/viridian":
            found[where] = attributes.get("state", "on")
        if where in _ELEMENTS and len(path) <= _DEPTH:
            found.setdefault(where, "")

    def end(_: str) -> None:
        path.pop()

    def text(data: str) -> None:
        where = "/".join(path) if len(path) <= _DEPTH else ""
        if where in found and where in _ELEMENTS:
            found[where] = (found[where] + data)[:_KEPT]

    def doctype(*_: object) -> None:
        raise _Doctype

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    error = ""
    try:
        parser.Parse(data, True)
    except expat.ExpatError as broken:
        error = f"not valid XML: {broken}"
    except _Doctype:
        error = "it declares a document type, which is not read"
    values = {name: found.get(path, "").strip() for path, name in _ELEMENTS.items()}
    into.name, into.uuid = values["name"], values["uuid"]
    into.type, into.vcpus = _TYPES.get(values["type"], ""), _number(values["vcpus"])
    into.domid = _number(found.get("id"))
    memory = _times(_number(values["memory"]), _UNITS.get(units.get("domain/memory", "").lower(), 0))
    into.memory = memory >> 10 if memory else None
    into.viridian = _truth(found["domain/features/viridian"]) if "domain/features/viridian" in found else None
    return error


_ELEMENTS = {
    "domain/name": "name",
    "domain/uuid": "uuid",
    "domain/os/type": "type",
    "domain/vcpu": "vcpus",
    "domain/memory": "memory",
}
_DEPTH = 3

# -- S-expressions of XAPI and xend ---------------------------------------------------------------------------------

_SEXPR = rb'(?s)[ \t\r\n\f]+|(\()|(\))|(")|([^ \t\r\n\f()"]+)'
_SEXPR_ESCAPE = rb"(?s)\\(?:([0-9]{3})|x([0-9A-Fa-f]{2})|(\r?\n[ \t]*)|(.))"
_SEXPR_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b"}
# Lists in lists: those of either toolstack are no deeper.
_LISTS_MAX = 64


def _sexpr_unescape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1]) & 0xFF])
    if found[2]:
        return bytes([int(found[2], 16)])
    return b"" if found[3] else _SEXPR_ESCAPES.get(found[4], found[4])


def _lists(data: bytes) -> tuple[list[Any], str]:
    """The lists and atoms of a text, as lists and bytes; and why reading stopped."""
    import re

    top: list[Any] = []
    stack = [top]
    match, at = re.compile(_SEXPR).match, 0
    while token := match(data, at):
        opening, closing, quote, bare = token.groups()
        at = token.end()
        if opening:
            if len(stack) > _LISTS_MAX:
                return top, "it nests too deep"
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif closing:
            if len(stack) == 1:
                return top, f"a list ends at its byte {token.start()} that did not begin"
            stack.pop()
        elif quote:
            end = _closing(data, quote, b"\\", at)
            if end < 0:
                return top, "a quoted atom has no end"
            stack[-1].append(_replaced(re.compile(_SEXPR_ESCAPE), _sexpr_unescape, data[at:end], BytesIO()))
            at = end + 1
        elif bare:
            stack[-1].append(bare)
    return top, "a list has no end" if len(stack) > 1 else ""


def _pairs(items: Iterable[Any]) -> dict[str, Any]:
    """The pairs of key and value among the members of a list; an atom that is a value as text."""
    found: dict[str, Any] = {}
    for item in items:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], bytes):
            value = item[1].decode(errors="replace") if isinstance(item[1], bytes) else item[1]
            found.setdefault(item[0].decode("latin-1"), value)
    return found


def _sexpr(data: bytes, into: Configuration) -> str:
    """A XENOPS record of XAPI, whose vm_str is the guest; or xend's (domain ...)."""
    top, error = _lists(data)
    items = top[0] if top and isinstance(top[0], list) else []
    if items[:1] == [b"domain"]:
        _xend(items, into)
        return error
    outer = _pairs(items)
    guest = outer.get("vm_str")
    if isinstance(guest, str):
        top, inner = _lists(guest.encode())
        _xapi(_pairs(top[0] if top and isinstance(top[0], list) else []), into)
        return error or (inner and f"in vm_str {inner}")
    return error


def _xapi(found: dict[str, Any], into: Configuration) -> None:
    """A guest of xenopsd's interface (VM.t)."""
    into.name, into.uuid = _name(found.get("name")), _name(found.get("id"))
    kind = found.get("ty")
    if isinstance(kind, list) and kind and isinstance(kind[0], bytes):
        into.type = _TYPES.get(kind[0].decode("latin-1"), "")
    into.vcpus = _number(found.get("vcpu_max"))
    memory = _number(found.get("memory_static_max"))
    into.memory = memory >> 10 if memory else None
    platform = found.get("platformdata")
    into.viridian = _truth(_pairs(platform).get("viridian")) if isinstance(platform, list) else None


def _xend(items: list[Any], into: Configuration) -> None:
    """A guest of xend, whose memory is in MiB."""
    found = _pairs(items)
    into.name, into.uuid = _name(found.get("name")), _name(found.get("uuid"))
    image = found.get("image")
    if isinstance(image, list) and image and isinstance(image[0], bytes):
        into.type = HVM if image[0] == b"hvm" else PV
        into.viridian = _truth(_pairs(image).get("viridian"))
    into.vcpus = _number(found.get("vcpus"))
    into.memory = _times(_number(found.get("maxmem")) or _number(found.get("memory")), 1 << 10)
    into.domid = _number(found.get("domid"))


READERS: dict[str, Callable[[bytes, Configuration], str]] = {"json": _json, "text": _text, "xml": _xml, "sexpr": _sexpr}
