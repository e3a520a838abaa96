"""Guests' configurations, and other text, without what is private: each stays as long as it is, and as it is read.

Names of values stay; values stay if they are numbers or words that toolstacks give a meaning.  All else has "x" in the
place of letters and "0" in that of digits, so that its punctuation shows what it was: a path, an address, a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..reader import configuration

# Values that say what guest it is, and not whose: they decide what the rules about a guest are.
_WORDS = re.compile(
    r"""
    true|false|True|False|yes|no|on|off|default|none|null|pv|hvm|pvh|linux|xen|xenpvh|generic|PV|HVM|PVH|PVinPVH|domain|
    qemu|qdisk|phy|tap|raw|qcow2|vhd|vif|disk|cdrom|block|file|bridge|network|vnc|sdl|spice|x86_64|i686|xenpv|
    xenfv|destroy|restart|preserve|restart-preserve|coredump-destroy|coredump-restart|KiB|MiB|GiB|localtime|utc|
    variable|offset|viridian|base|freq|crash_ctl|hcall_remote_tlb_flush|apic_assist|synic|stimer|time_ref_count|
    reference_tsc|hcall_ipi|host_passthrough|host|passthrough|qemu_xen|qemu_xen_traditional|seabios|ovmf|
    rombios|stdvga|cirrus|unknown|native
    """,
    re.VERBOSE,
)
# Values of these names are private even if they are numbers.
_SECRET = re.compile(r"passw|secret|seed|token|\bkey", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d+)?|0x[0-9a-fA-F]{1,16}")
_TIME = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
# Addresses and identifiers stay such: UUIDs and MAC addresses.
_HEX = re.compile(r"[0-9a-fA-F]{2,12}(?:[:-][0-9a-fA-F]{2,12}){4,7}")
_LETTERS = re.compile(r"[A-Za-z\x80-\udfff]")
_DIGITS = re.compile(r"[0-9]")
_HEXES = re.compile(r"[0-9a-fA-F]")


def blind(value: str, key: str = "") -> str:
    """A value without what is private in it, as long as it is."""
    bare = value.strip()
    if not _SECRET.search(key) and (_WORDS.fullmatch(bare) or _NUMBER.fullmatch(bare) or _TIME.fullmatch(bare)):
        return value
    if _HEX.fullmatch(bare):
        return _HEXES.sub("0", value)
    return _DIGITS.sub("0", _LETTERS.sub("x", value))


def scrub(text: bytes) -> bytes:
    """A configuration, in whatever form, without what is private; with bytes after a NUL as zeros."""
    whole, nul, rest = text.partition(b"\0")
    said = whole.decode("latin-1")
    found = "".join(_FORMS[configuration.form_of(whole)](said))
    return found.encode("latin-1", "replace") + nul + bytes(len(rest))


def _pieces(text: str, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]) -> Iterator[str]:
    """The text with what the pattern finds changed, and what is between left."""
    at = 0
    for found in pattern.finditer(text):
        yield text[at : found.start()]
        yield change(found)
        at = found.end()
    yield text[at:]


# -- the forms ------------------------------------------------------------------------------------------------------

_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(?<=[:\[,\s])(-?\d+)(?=[\s,\]}])', re.DOTALL)
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)


def _json(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[3]:
            return _DIGITS.sub("0", found[3]) if _SECRET.search(key) else found[3]
        if found[2]:
            key = found[1]
            return found[0]
        return '"' + "".join(_escaped(found[1], key)) + '"'

    return _pieces(text, _STRING, change)


def _escaped(value: str, key: str) -> Iterator[str]:
    """A string's characters; escapes stay escapes."""
    if "\\" not in value:
        yield blind(value, key)
        return
    at = 0
    for found in _ESCAPE.finditer(value):
        yield blind(value[at : found.start()], "key")
        yield r"\u0078" if len(found[0]) > 2 else found[0]
        at = found.end()
    yield blind(value[at:], "key")


_TOKEN = re.compile(
    r"""\#[^\n]* | "([^"\\\n]*(?:\\.[^"\\\n]*)*)" | '([^'\\\n]*(?:\\.[^'\\\n]*)*)' | ([A-Za-z_]\w*)(?=\s*\+?=)""",
    re.VERBOSE | re.DOTALL,
)


def _xl(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[3]:
            key = found[3]
            return key
        whole = found[0]
        if whole[0] == "#":
            return "#" + blind(whole[1:], "key")
        return whole[0] + "".join(_escaped(whole[1:-1], key)) + whole[0]

    return _pieces(text, _TOKEN, change)


_XML = re.compile(
    r"""<!--(.*?)--> | (?<=>)([^<]+) | ([\w:.-]+)(\s*=\s*)(?:"([^"]*)"|'([^']*)') | <[/?!]?([\w:.-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ENTITY = re.compile(r"&\#?\w+;")


def _xml(text: str) -> Iterator[str]:
    tag = ""

    def inner(value: str, key: str) -> str:
        return "".join(_pieces_between(value, _ENTITY, key))

    def change(found: re.Match[str]) -> str:
        nonlocal tag
        whole = found[0]
        if found[1] is not None:
            return "<!--" + blind(found[1], "key") + "-->"
        if found[2] is not None:
            return inner(found[2], tag)
        if found[3] is not None:
            quote = whole[-1]
            value = found[5] if found[5] is not None else found[6]
            if found[3].startswith(("xmlns", "version", "encoding")):
                return whole
            return found[3] + found[4] + quote + inner(value, found[3]) + quote
        tag = found[7]
        return whole

    return _pieces(text, _XML, change)


def _pieces_between(value: str, pattern: re.Pattern[str], key: str) -> Iterator[str]:
    """What lies between the finds is blinded, and those stay."""
    at = 0
    for found in pattern.finditer(value):
        yield blind(value[at : found.start()], key)
        yield found[0]
        at = found.end()
    yield blind(value[at:], key)


_KEY = re.compile(r"[A-Za-z][a-z_-]{0,30}")
_ATOM = re.compile(
    r"""(\(\s*)([^\s()"']+) | "([^"\\]*(?:\\.[^"\\]*)*)" | '([^'\\]*(?:\\.[^'\\]*)*)' | ([^\s()"']+)""",
    re.VERBOSE | re.DOTALL,
)


def _sexpr(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[2] is not None:
            key = found[2]
            return found[0] if _KEY.fullmatch(key) else found[1] + blind(key, "")
        if found[5] is not None:
            return blind(found[5], key)
        return found[0][0] + "".join(_escaped(found[0][1:-1], key)) + found[0][0]

    return _pieces(text, _ATOM, change)


_FORMS: dict[str, Callable[[str], Iterator[str]]] = {"json": _json, "text": _xl, "xml": _xml, "sexpr": _sexpr}


def pairs(data: bytes) -> bytes:
    """Strings that each end with a NUL, keys and values in turn: values without what is private, keys as they are."""
    strings = data.split(b"\0")
    for number in range(1, len(strings), 2):
        key, value = (each.decode("latin-1") for each in strings[number - 1 : number + 1])
        strings[number] = blind(value, key).encode("latin-1")
    return b"\0".join(strings)
