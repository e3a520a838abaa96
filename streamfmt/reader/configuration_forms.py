"""The parsers of the forms that a guest's configuration has; each fills a Configuration and returns why it stopped.

None recurses into the data, loads anything that it names, or keeps more than a few values of it.
"""

from __future__ import annotations

from io import StringIO

from .configuration import HVM, PV, PVH
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from typing import Any

    from .configuration import Configuration

# Characters of a name or another value that are kept.
_KEPT = 256
# No guest has more of anything that is counted here; larger numbers are no numbers for any toolstack.
_NUMBER_MAX = 1 << 53
_DIGITS_MAX = 20
# What the forms call the types of guests.
TYPES = {
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


def as_name(value: Any) -> str:
    return value[:_KEPT] if isinstance(value, str) else ""


def as_number(value: Any) -> int | None:
    """A count: a number, or one in a string."""
    if isinstance(value, str) and len(value) <= _DIGITS_MAX and value.isascii() and value.isdigit():
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _NUMBER_MAX
    return value if good else None


def as_truth(value: Any) -> bool | None:
    """A switch: libxl's "True" and "False", xl's 1 and 0, OCaml's true and false."""
    word = str(value).lower() if isinstance(value, (str, int)) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def times(value: int | None, unit: int) -> int | None:
    return None if value is None else value * unit


def closing(text: Any, quote: Any, escape: Any, at: int) -> int:
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


def replaced(escape: Any, value: Any, text: Any, into: Any) -> Any:
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
    into.name, into.uuid = as_name(created.get("name")), as_name(created.get("uuid"))
    kind = created.get("type")
    into.type = TYPES.get(kind, "") if isinstance(kind, str) else ""
    if into.type == HVM and as_truth(created.get("pvh")):
        into.type = PVH  # Xen 4.7 to 4.9
    into.domid = as_number(created.get("domid"))
    into.vcpus, into.memory = as_number(built.get("max_vcpus")), as_number(built.get("max_memkb"))
    hvm = built.get("type.hvm")
    if isinstance(hvm, dict):
        into.viridian = bool(hvm.get("viridian_enable")) or as_truth(hvm.get("viridian"))
    return ""


def _sections(whole: Any) -> tuple[Any, Any, Any]:
    if not isinstance(whole, dict):
        return {}, {}, {}
    return whole, whole.get("c_info"), whole.get("b_info")


# -- xl's text ------------------------------------------------------------------------------------------------------

_TOKEN = r"(?s)[ \t\r\f]+|#[^\n]*|([\"'])|([A-Za-z_][A-Za-z0-9_]*)|([0-9][0-9a-fx]*)|(\+?=|[\[\],;\n]|.)"
_ESCAPE = r"(?s)\\(?:x([0-9A-Fa-f]{2})|([0-7]{3})|(.))"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescape(found: re.Match[str]) -> str:
    if found[3]:
        return _ESCAPES.get(found[3], found[3])
    return chr(int(found[1], 16) if found[1] else int(found[2], 8) & 0xFF)


def _decimal(digits: str) -> str:
    """A number as strtoul takes it, which may be hexadecimal or octal, in decimal digits; other letters stay."""
    try:
        return str(int(digits[2:], 16) if digits[1:2] == "x" else int(digits, 8))
    except ValueError:
        return digits


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
        value = _decimal(digits) if digits and digits[0] == "0" else digits
        if quote:
            end = closing(text, quote, "\\", at)
            if end < 0 or text.find("\n", at, end) >= 0:
                return found, f"a string has no end in line {line}"
            value, at = replaced(re.compile(_ESCAPE), _unescape, text[at:end], StringIO()), end + 1
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
    into.name, into.uuid = as_name(found.get("name")), as_name(found.get("uuid"))
    # A guest is PV unless the text says another type, by either of two names.
    default = PV if into.name else ""
    into.type = TYPES.get(str(found.get("type", found.get("builder", default))), "")
    if "type" not in found and into.type == HVM and as_truth(found.get("pvh")):
        into.type = PVH
    vcpus = as_number(found.get("vcpus"))
    into.vcpus = as_number(found.get("maxvcpus")) or vcpus
    into.memory = times(as_number(found.get("maxmem")) or as_number(found.get("memory")), 1 << 10)
    into.viridian = as_truth(found.get("viridian"))
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
    into.type, into.vcpus = TYPES.get(values["type"], ""), as_number(values["vcpus"])
    into.domid = as_number(found.get("id"))
    memory = times(as_number(values["memory"]), _UNITS.get(units.get("domain/memory", "").lower(), 0))
    into.memory = memory >> 10 if memory else None
    into.viridian = as_truth(found["domain/features/viridian"]) if "domain/features/viridian" in found else None
    return error


_ELEMENTS = {
    "domain/name": "name",
    "domain/uuid": "uuid",
    "domain/os/type": "type",
    "domain/vcpu": "vcpus",
    "domain/memory": "memory",
}
_DEPTH = 3


def _sexpr(data: bytes, into: Configuration) -> str:
    """XAPI's and xend's S-expressions, which few files have."""
    stopped: str = load("reader.configuration_sexpr:read")(data, into)
    return stopped


READERS: dict[str, Callable[[bytes, Configuration], str]] = {"json": _json, "text": _text, "xml": _xml, "sexpr": _sexpr}
