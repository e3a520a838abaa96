"""What a stream is, read off its headers: as far as the guest's domain header, or a stream's first other record."""

from __future__ import annotations

import os

from .events import Body, Layer, Sink, describe
from .fields import damaged, name_of, places
from .identify import Identity, unread
from .reader import Reader
from .registry import ROWS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .configuration import Configuration
    from .events import Record
    from .failure import Failure
    from .pump import Program
    from .qemu_variant import Variant


# So far records are read that show which program wrote them, in bytes.
_FAR = 16 << 20


class _Enough(Exception):  # noqa: N818 - it is no error
    """All that identification wants has been read."""


class Headers(Sink):
    """Reads the headers of what comes; its driver runs it like a pump, which is done when they have been read."""

    def __init__(self, form: str = "auto", exact: bool = False, guest: str | None = None) -> None:
        self.reader = Reader(self, form, exact, guest)
        self.layers: list[Layer] = []
        self.configuration: Configuration | None = None
        # Why what is inside a container is the legacy stream that it is taken for.
        self.evidence = ""
        self.doubt = self.hint = ""

    def run(self) -> int:
        """Run the reader until it wants bytes (see Pump.run); 0 when it has seen enough."""
        try:
            return self.reader.pump.run()
        except _Enough:
            return 0

    def skip(self, count: int) -> None:
        """See Pump.skip."""
        self.reader.pump.skip(count)

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer not in self.layers:
            self.layers.append(layer)
        if broken and not self.doubt:
            names = list(map(name_of, broken))
            magic = [name for name in names if name in layer.row.magic]
            if magic and (wrong := damaged(layer.name, raw)):
                header = path.replace(".", " ").replace("_", " ")
                self.doubt = f"{header} at offset {at} with a damaged {' and '.join(magic)}: {places(wrong)}"
            else:
                from .damage import instead  # most headers are as they should be

                why = instead(layer.name, layer.parent is None, raw) if magic else ""
                self.doubt = f"{path} at offset {at}: {', '.join(names)} not as expected{why}"
        if layer.row.image and path == f"{layer.name}.{layer.row.headers[-1]}":
            raise _Enough

    def record(self, record: Record) -> Program | None:
        row = record.layer.row
        if record.type in row.surveys and record.offset < _FAR:
            if record.layer not in self.layers:
                self.layers.append(record.layer)
            return None
        if (not record.layer.wraps or (row.form and not row.holds)) and record.type not in row.opens:
            raise _Enough
        if record.layer not in self.layers:
            self.layers.append(record.layer)
        return self._configured(record) if record.path == record.layer.row.configuration else None

    def _configured(self, record: Record) -> Program:
        """Program that takes up the guest's configuration."""
        self.configuration = yield from load("reader.configuration:read")(Body(self.window, record))

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if read and identity.width:
            self.evidence = f"at {at} {identity.evidence}"
        if not read:
            self.doubt = f"at offset {at}: {identity.name} ({identity.evidence})"
            self.hint = identity.hint

    def ended(self, layer: Layer, at: int) -> None:
        # Of other streams no more is read than the headers.
        self.doubt = f"it ends at offset {at} without a guest's memory"

    def oversize(self, record: Record) -> None:
        self.doubt = f"{record.name} at offset {record.offset} claims {record.length:,} bytes, which no reader takes"

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.doubt = f"it ends at offset {at}, inside {what}"


def named(name: str) -> dict[str, str]:
    """An input's name, which is bytes, as JSON has it: `file`, the name.

    Where it is not UTF-8, that has \\xNN for what is not, and `file_bytes` all of it in hexadecimal.

    >>> named(os.fsdecode(b"guest\\xff.sav"))
    {'file': 'guest\\\\xff.sav', 'file_bytes': '6775657374ff2e736176'}
    """
    data = os.fsencode(name)
    try:
        return {"file": data.decode()}
    except UnicodeDecodeError:
        return {"file": data.decode(errors="backslashreplace"), "file_bytes": data.hex()}


class Identification:
    """What an input is.

    `key` is its short name ("libxl", "xl", "legacy", or "" if unknown) and `kind` its family; `known` says whether it
    belongs to a migration.  `description`, `evidence`, `doubt` and `hint` are text; `doubt` is empty unless something
    does not fit, and `hint`, what to do next, where all is read.  `layers` are outermost first.  `guest` is "pv" or
    "hvm", `xen` the major and minor version that wrote the image, `toolstack_width` the bits of a legacy stream's
    toolstack; None if unknown.  `variant` is which machine types of QEMU, of which releases, could have written its
    devices; None if they do not show it.  `configuration` is the guest's, None if no container around the stream has
    it.  `failure` says why the headers could not be read, None if they could.
    """

    def __init__(self, headers: Headers, failure: Failure | None = None) -> None:
        identity = headers.reader.identity
        self.failure = failure
        if identity is None:
            assert failure is not None, "identification ends before the input does"
            identity = unread(failure.reason)
        image = next((layer for layer in headers.layers if layer.row.image), None)
        self.configuration = headers.configuration or identity.configuration
        self.key = identity.key
        self.kind = identity.kind
        # What is compressed has been opened: if that is compressed again, it is nothing that is read.
        self.known = identity.kind not in ("unknown", "damaged", "empty", "foreign", "compressed", "unread")
        row = ROWS.get(identity.key)
        self.description = (identity.name if row and row.look else describe(headers.layers)) or identity.name
        self.evidence = "; ".join(filter(None, (identity.evidence, headers.evidence)))
        self.layers = tuple(headers.layers)
        self.guest = identity.guest or (image.guest if image else None)
        facts = image.facts if image else None
        self.toolstack_width = identity.width or (8 * facts.word if facts is not None else None)
        self.xen = image.xen if image and image.guest and image.row.version else None
        surveyed = next((layer for layer in headers.layers if layer.row.surveys), None)
        self.variant: Variant | None = surveyed.facts.variant() if surveyed and surveyed.facts else None
        self.doubt = str(failure) if failure else headers.doubt or identity.doubt
        self.hint = identity.hint or headers.hint

    def __repr__(self) -> str:
        return f"<Identification {self.description}>"

    @property
    def status(self) -> int:
        """Exit status: 0 if it belongs to a migration, else 1; that of a failure that is worse than this."""
        return max(int(not self.known), self.failure.status if self.failure else 0)

    def as_dict(self, name: str = "") -> dict[str, Any]:
        """The result as plain values, as in spec/json/identify.json; `name` is the input's."""
        return {
            "format": "streamfmt-identify-4",
            **named(name),
            "status": self.status,
            "failure": self.failure.as_dict() if self.failure else None,
            "key": self.key,
            "kind": self.kind,
            "description": self.description,
            "evidence": self.evidence,
            "layers": [
                {"path": layer.path, "version": layer.version, "byte_order": layer.byte_order} for layer in self.layers
            ],
            "guest": self.guest,
            "toolstack_width": self.toolstack_width,
            "xen": list(self.xen) if self.xen else None,
            "variant": self.variant.as_dict() if self.variant else None,
            "doubt": self.doubt or None,
            "hint": self.hint or None,
            "configuration": self.configuration.as_dict() if self.configuration else None,
        }
