"""What `xl restore` does where that depends on the breach, or on what no stream shows; the stream inside is libxl's."""

from __future__ import annotations

import json

from .. import tables
from ..checks.findings import Finding
from .cases_toolstack import ASKED
from .conditions import Peer
from .conditions_libxl import LIBXL, asked
from .host import LIBXLPEER
from .looks import Look

# Where the flags and the configuration are, in a file of which both are there.
_FLAGS_AT, _CONFIG_AT = 36, tables.SIZES["xl.header"] + 4
_JSON = 1


def _configuration(seen: Look) -> bytes:
    length = int.from_bytes(seen.data[_CONFIG_AT - 4 : _CONFIG_AT], "little")
    return seen.data[_CONFIG_AT:][:length]


def _form(seen: Look, _: Finding) -> str:
    """It is parsed up to its first NUL, or up to whatever stands in memory after it."""
    text = _configuration(seen).partition(b"\0")[0]
    if not seen.data[_FLAGS_AT] & _JSON:
        return "reject" if text.startswith(b"{") else "accept"
    try:
        return "accept" if isinstance(json.loads(text), dict) else "reject"
    except ValueError:
        return "reject"


def _none(seen: Look) -> tuple[str, int] | None:
    """No configuration in the file, where there is room for one."""
    room = int.from_bytes(seen.data[_CONFIG_AT - 8 : _CONFIG_AT - 4], "little")
    return (
        ("reject", _CONFIG_AT - 4) if room >= 4 and len(seen.data) >= _CONFIG_AT and not _configuration(seen) else None
    )


def _too_long(seen: Look) -> tuple[str, int] | None:
    """Libxl ends xl, which for a program is to fail."""
    found = LIBXL.shown["LIBXL-REC-LEN-MAX"](seen)
    return ("reject", found[1]) if found else None


XL = Peer(
    "xl",
    LIBXLPEER,
    ask=asked,
    takes=lambda seen: bool(ASKED[seen.case.form]),
    depends={
        "XL-CONFIG-FORM": _form,
        # It is given no file of its own.
        "XL-CONFIG-PRESENT": lambda _, __: "reject",
    },
    places={},
    context={},
    kept={"XL-OPTDATA-LEN": _none},
    shown={"LIBXL-REC-LEN-MAX": _too_long},
    inner=LIBXL,
)
