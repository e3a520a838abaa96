"""A guest's configuration, as xl's header carries it, in what the receiving side needs to make the guest.

It is a libxl_domain_config in JSON, so that Xen's own xl takes it (tools/libs/light/libxl_types.idl).  What xl has no
word for goes as keys of the guest's xenstore, which is the place for what only some toolstacks know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from .. import tables
from ..errors import PeerError
from ..reader import configuration
from .interface import Guest

# What xl calls a guest on its way (tools/xl/xl_migrate.c).
INCOMING, AWAY = "--incoming", "--migratedaway"
_KILOBYTES = tables.PAGE_SIZE >> 10
_OWN = "streamfmt/"
_PAUSED, _PAGES, _KIND = (f"{_OWN}{name}" for name in ("paused", "pages", "kind"))
# Frames below 4 GiB: an HVM guest of Xen has its special pages below that, however little memory it has.
_LOW = 1 << 32 - tables.PAGE_SHIFT
# A configuration that is longer is none of a guest.
SIZE_MAX = 1 << 20
_KILOBYTES_MAX = 1 << 40
_SHADOW = 8192
# What libxl takes to make a guest of that type without a display, disks or networks.
_KINDS: dict[str, dict[str, Any]] = {
    "hvm": {"device_model_version": "qemu_xen", "type.hvm": {"vnc": {"enable": "False"}}},
    "pvh": {"type.pvh": {}},
    "pv": {"type.pv": {}},
}
_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is known of a guest before it comes: its name, its type ("hvm", "pvh" or "pv"), how many frames it has.

    `kind` is what it was at the source, `paused` whether it did not run there.
    """

    name: str
    type: str
    pages: int
    vcpus: int = 1
    paused: bool = False
    kind: str = ""
    uuid: str = _NOBODY

    @property
    def image(self) -> str:
        """The type that its image has: "hvm" or "pv"."""
        return "pv" if self.type == "pv" else "hvm"

    def renamed(self, name: str) -> Configuration:
        """The same, under another name."""
        return replace(self, name=name)

    def json(self) -> bytes:
        """As xl writes it, with the NUL at its end."""
        memory = self.pages * _KILOBYTES
        own = {_PAGES: str(self.pages)} | ({_PAUSED: "1"} if self.paused else {})
        own |= {_KIND: self.kind} if self.kind else {}
        build: dict[str, Any] = {
            "max_vcpus": self.vcpus,
            "avail_vcpus": list(range(self.vcpus)),
            "numa_placement": "False",
            "max_memkb": memory,
            "target_memkb": memory,
            "shadow_memkb": _SHADOW,
        }
        about = {"type": self.type, "name": self.name, "uuid": self.uuid, "xsdata": own}
        return json.dumps({"c_info": about, "b_info": build | _KINDS[self.type]}).encode() + b"\0"


def of(guest: Guest, name: str, kind: str = "", vcpus: int = 1) -> Configuration:
    """The configuration of a guest that is to be moved; an HVM one without a device model is PVH for Xen."""
    kinds = {"pv": "pv", "hvm": "hvm" if guest.emulator() else "pvh"}
    return Configuration(name, kinds[guest.type], guest.pages, vcpus, not guest.running, kind)


def parse(data: bytes) -> Configuration:
    """What a configuration says that has come: in JSON, or in the words of xl's own files, as before Xen 4.5.

    :raises PeerError: it cannot be read, or does not say of what type the guest is.
    """
    found = configuration.parse(data, len(data))
    if found.error or not found.type:
        raise PeerError(f"the guest's configuration cannot be read: {found.error or 'it says no type'}")
    own = _own(data) if found.form == "json" else {}
    try:
        pages, uuid = int(own.get(_PAGES, "0")), str(UUID(found.uuid or _NOBODY))
    except ValueError as error:
        raise PeerError(f"the guest's configuration cannot be read: {error}") from None
    memory = found.memory or 0
    if memory > _KILOBYTES_MAX or pages < 0:
        raise PeerError(f"the guest's configuration gives it {memory} KiB of memory, and {pages} frames")
    pages = pages or memory // _KILOBYTES + (0 if found.type == configuration.PV else _LOW)
    if not pages:
        raise PeerError("the guest's configuration gives it no memory")
    paused, kind = own.get(_PAUSED) == "1", own.get(_KIND, "")
    return Configuration(found.name or "guest", found.type, pages, max(found.vcpus or 1, 1), paused, kind, uuid)


def _own(data: bytes) -> dict[str, str]:
    """What is there for us in a configuration in JSON."""
    try:
        found = json.loads(data.partition(b"\0")[0])["c_info"].get("xsdata") or {}
        return {name: str(value) for name, value in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
