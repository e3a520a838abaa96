"""Say what files and streams are, and how that shows.

Payloads and legacy streams are named; containers, libxl and libxc streams are read as far as their headers.
"""

from __future__ import annotations

from ..reader.events import Layer, Sink
from ..reader.identify import READ, Identity, describe
from ..reader.stack import Reader
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from ..reader.engine import Program
    from ..reader.events import Record

EXAMPLES = """examples:
  streamfmt identify guest.sav
  streamfmt identify --json /var/lib/xen/save/*

exit status: 0 all belong to a migration; 1 one does not; 2 wrong usage;
3 one could not be read
"""


class _Enough(Exception):  # noqa: N818 - it is no error
    """All that identification wants has been read."""


class Headers(Sink):
    """A sink that stops at the domain header, or at a stream's first record that is no LIBXC_CONTEXT."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.doubt = ""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer not in self.layers:
            self.layers.append(layer)
        if broken and not self.doubt:
            self.doubt = f"{path} at offset {at}: {', '.join(row[1] for row in broken)} not as expected"
        if path == "libxc.domain_header":
            raise _Enough

    def record(self, record: Record) -> Program | None:
        if record.layer.name in ("libxl", "libxc") and record.name != "LIBXC_CONTEXT":
            raise _Enough
        if record.layer not in self.layers:
            self.layers.append(record.layer)
        return None

    def inner(self, layer: Layer, at: int, identity: Identity) -> None:
        if identity.key not in READ:
            self.doubt = f"at offset {at}: {identity.name} ({identity.evidence})"

    def ended(self, layer: Layer, at: int) -> None:
        # Of other streams no more is read than the headers.
        self.doubt = f"it ends at offset {at} without a guest's memory"

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.doubt = f"it ends at offset {at}, inside {what}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    status = 0
    for name in args.files:
        headers = Headers()
        reader = Reader(headers, args.form)
        try:
            inputs.run_reader(name, reader)
        except _Enough:
            pass  # the headers have been read
        except inputs.InputError as error:
            inputs.complain(name, str(error))
            status = max(status, error.status)
            continue
        found = as_dict(name, reader, headers)
        status = max(status, found["status"])
        if args.json:
            from json import dumps

            print(dumps(found))
        else:
            print(f"{inputs.shown(name)}: {found['description']}\n  because: {found['evidence']}")
            if headers.doubt:
                print(f"  but: {headers.doubt}")
    return status


def as_dict(name: str, reader: Reader, headers: Headers) -> dict[str, Any]:
    """What was found, as plain values; spec/json/identify.json describes them."""
    identity = reader.identity
    assert identity is not None, "identification ends before the input does"
    image = next((layer for layer in headers.layers if layer.name == "libxc"), None)
    known = identity.kind not in ("unknown", "empty", "foreign")
    return {
        "format": "streamfmt-identify-1",
        "file": name,
        "status": 0 if known else 1,
        "key": identity.key,
        "kind": identity.kind,
        "description": describe(headers.layers) or identity.name,
        "evidence": identity.evidence,
        "layers": [
            {"path": layer.path, "version": layer.version, "byte_order": layer.byte_order} for layer in headers.layers
        ],
        "guest": identity.guest or (image.guest if image else None),
        "toolstack_width": identity.width,
        "xen": list(image.xen) if image and image.guest else None,
        "doubt": headers.doubt or None,
    }
