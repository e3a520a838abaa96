"""The guest in the S-expressions of XAPI and xend; nothing here recurses into the data either."""

from __future__ import annotations

from io import BytesIO

from .configuration import HVM, PV
from .configuration_forms import TYPES, as_name, as_number, as_truth, closing, replaced, times

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable
    from typing import Any

    from .configuration import Configuration

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


def unescaped(data: bytes) -> bytes:
    """What a text in quotes stands for."""
    import re

    return bytes(replaced(re.compile(_SEXPR_ESCAPE), _sexpr_unescape, data, BytesIO()))


def lists(data: bytes) -> tuple[list[Any], str]:
    """The lists and atoms of a text, as lists and bytes; and why reading stopped."""
    import re

    top: list[Any] = []
    stack = [top]
    match, at = re.compile(_SEXPR).match, 0
    while token := match(data, at):
        opening, ending, quote, bare = token.groups()
        at = token.end()
        if opening:
            if len(stack) > _LISTS_MAX:
                return top, "it nests too deep"
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif ending:
            if len(stack) == 1:
                return top, f"a list ends at its byte {token.start()} that did not begin"
            stack.pop()
        elif quote:
            end = closing(data, quote, b"\\", at)
            if end < 0:
                return top, "a quoted atom has no end"
            stack[-1].append(unescaped(data[at:end]))
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


def read(data: bytes, into: Configuration) -> str:
    """A XENOPS record of XAPI, whose vm_str is the guest; or xend's (domain ...)."""
    top, error = lists(data)
    items = top[0] if top and isinstance(top[0], list) else []
    if items[:1] == [b"domain"]:
        _xend(items, into)
        return error
    outer = _pairs(items)
    guest = outer.get("vm_str")
    if isinstance(guest, str):
        top, inner = lists(guest.encode())
        _xapi(_pairs(top[0] if top and isinstance(top[0], list) else []), into)
        return error or (inner and f"in vm_str {inner}")
    return error


def _xapi(found: dict[str, Any], into: Configuration) -> None:
    """A guest of xenopsd's interface (VM.t)."""
    into.name, into.uuid = as_name(found.get("name")), as_name(found.get("id"))
    kind = found.get("ty")
    if isinstance(kind, list) and kind and isinstance(kind[0], bytes):
        into.type = TYPES.get(kind[0].decode("latin-1"), "")
    into.vcpus = as_number(found.get("vcpu_max"))
    memory = as_number(found.get("memory_static_max"))
    into.memory = memory >> 10 if memory else None
    platform = found.get("platformdata")
    into.viridian = as_truth(_pairs(platform).get("viridian")) if isinstance(platform, list) else None


def _xend(items: list[Any], into: Configuration) -> None:
    """A guest of xend, whose memory is in MiB."""
    found = _pairs(items)
    into.name, into.uuid = as_name(found.get("name")), as_name(found.get("uuid"))
    image = found.get("image")
    if isinstance(image, list) and image and isinstance(image[0], bytes):
        into.type = HVM if image[0] == b"hvm" else PV
        into.viridian = as_truth(_pairs(image).get("viridian"))
    into.vcpus = as_number(found.get("vcpus"))
    into.memory = times(as_number(found.get("maxmem")) or as_number(found.get("memory")), 1 << 10)
    into.domid = as_number(found.get("domid"))
