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
# What stands for a key where none is: nothing is known of a value then.  And what of a longer key is looked at.
_ANY, _KEY_MOST = "key", 64
_LETTERS = re.compile(r"[A-Za-z\x80-\udfff]")
_DIGITS = re.compile(r"[0-9]")
_HEXES = re.compile(r"[0-9a-fA-F]")


def blind(value: str, key: str = _ANY) -> str:
    """A value without what is private in it, as long as it is; without a `key` whatever it is."""
    bare = value.strip()
    if not _SECRET.search(key[:_KEY_MOST]) and (
        _WORDS.fullmatch(bare) or _NUMBER.fullmatch(bare) or _TIME.fullmatch(bare)
    ):
        return value
    if _HEX.fullmatch(bare):
        return _HEXES.sub("0", value)
    return _DIGITS.sub("0", _LETTERS.sub("x", value))


def scrub(text: bytes) -> bytes:
    """A configuration, in whatever form, without what is private; with bytes after a NUL as zeros."""
    whole, nul, rest = text.partition(b"\0")
    said = whole.decode("latin-1")
    found = "".join(_FORMS[configuration.form_of(whole)](said))
    return found.encode("latin-1") + nul + bytes(len(rest))


def head(text: bytes) -> bytes:
    """The head of a request, or other text before a stream: methods, versions and names of fields stay."""
    said = text.decode("latin-1")
    return "".join(_pieces(said, _LINE, lambda found: found[0])).encode("latin-1")


def _pieces(text: str, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]) -> Iterator[str]:
    """The text with what the pattern finds changed, and nothing of what is between."""
    at = 0
    for found in pattern.finditer(text):
        yield blind(text[at : found.start()])
        yield change(found)
        at = found.end()
    yield blind(text[at:])


# -- the forms ------------------------------------------------------------------------------------------------------

# No pattern may look at a character again and again: strings that do not end, end with the text.
_LINE = re.compile(r"^(?:[A-Z]{3,7}(?= )|[A-Za-z-]{2,40}:)|HTTP/\d\.\d", re.MULTILINE)
_DOUBLE, _SINGLE = (rf"{quote}[^{quote}\\]*(?:\\.[^{quote}\\]*)*(?:{quote}|\\?\Z)" for quote in "\"'")
_STRING = re.compile(rf"({_DOUBLE})(\s*:)?|([0-9eE.+-]+|true|false|null)(?![A-Za-z0-9.+-])", re.DOTALL)
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)


def _quoted(whole: str, key: str) -> str:
    """A string in its quotes; escapes stay escapes."""
    value = whole[1:]
    if "\\" not in value:
        quote = whole[0] if value.endswith(whole[0]) else ""
        return whole[0] + blind(value[: len(value) - len(quote)], key) + quote
    return whole[0] + "".join(
        _pieces(value, _ESCAPE, lambda found: r"\u0078" if len(found[0]) > len(r"\n") else found[0])
    )


def _json(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[3] is not None:
            return blind(found[3], key)
        if found[2] is not None:
            key = found[1]
            return found[0]
        return _quoted(found[1], key)

    return _pieces(text, _STRING, change)


_TOKEN = re.compile(
    rf"({_DOUBLE}|{_SINGLE})|(?<!\w)([A-Za-z_]\w*)(?=[ \t]{{0,99}}\+?=)|(?<!\w)(\d+)(?!\w)|(\#[^\n]*)", re.DOTALL
)


def _xl(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[2] is not None:
            key = found[2]
            return key
        if found[4] is not None:
            return blind(found[4])
        return _quoted(found[1], key) if found[1] is not None else blind(found[3], key)

    return _pieces(text, _TOKEN, change)


_XML = re.compile(
    r"""(<!--.*?(?:-->|\Z)) | (?<=>)([^<]+) | (?<![\w:.-])([\w:.-]+)(\s*=\s*)("[^"]*(?:"|\Z)|'[^']*(?:'|\Z))
    | <[/?!]?([\w:.-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ENTITY = re.compile(r"&\#?\w{1,32};|([^&]+)")


def _xml(text: str) -> Iterator[str]:
    tag = ""

    def inner(value: str, key: str) -> str:
        return "".join(
            _pieces(value, _ENTITY, lambda found: blind(found[0], key) if found[1] is not None else found[0])
        )

    def change(found: re.Match[str]) -> str:
        nonlocal tag
        if found[1] is not None:
            return blind(found[1])
        if found[2] is not None:
            return inner(found[2], tag)
        if found[3] is not None:
            fixed = found[3].startswith(("xmlns", "version", "encoding"))
            quoted = found[5] if fixed else found[5][0] + inner(found[5][1:-1], found[3]) + found[5][-1:]
            return found[3] + found[4] + (quoted if len(found[5]) > 1 else found[5])
        tag = found[6]
        return found[0]

    return _pieces(text, _XML, change)


_KEY = re.compile(r"[A-Za-z][a-z_-]{0,30}")
_ATOM = re.compile(
    rf"""(\()([^\s()"']+)|({_DOUBLE}|{_SINGLE})|([^\s()"']+)""",
    re.DOTALL,
)


def _sexpr(text: str) -> Iterator[str]:
    key = ""

    def change(found: re.Match[str]) -> str:
        nonlocal key
        if found[2] is not None:
            key = found[2]
            return found[0] if _KEY.fullmatch(key) else found[1] + blind(key, "")
        return _quoted(found[3], key) if found[3] is not None else blind(found[4], key)

    return _pieces(text, _ATOM, change)


_FORMS: dict[str, Callable[[str], Iterator[str]]] = {"json": _json, "text": _xl, "xml": _xml, "sexpr": _sexpr}


def pairs(data: bytes) -> bytes:
    """Strings that each end with a NUL, keys and values in turn: values without what is private, keys as they are."""
    strings = data.split(b"\0")
    for number in range(1, len(strings), 2):
        key, value = (each.decode("latin-1") for each in strings[number - 1 : number + 1])
        strings[number] = blind(value, key).encode("latin-1")
    return b"\0".join(strings)
