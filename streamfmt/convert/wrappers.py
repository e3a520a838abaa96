"""What a stream may be put into: headers and configuration before it, and what comes after it."""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader.registry import ROWS
from .records import fixed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer

LIBXL, IMAGE = ROWS["libxl"], ROWS["libxc"]
XAPI_HEADER = Struct("<" + tables.FORMATS["xapi.record_header"])
# Bytes of a device model's state that xenopsd takes.
XAPI_QEMU_MAX: int = tables.LENGTHS["xapi.QEMU_TRAD"][4] or 0
# What the emulators are called for those who know better than a XAPI image, which does not say.
EMULATORS = {"upstream": "QEMU_UPSTREAM", "traditional": "QEMU_TRADITIONAL"}


class Wrapper:
    """What a stream is put into.

    `configuration` is the text to put beside it, None if the file's own is to be kept where it can be, `emulator` the
    id of whose state an image of XAPI has, `time` when the guest was saved.
    """

    # The layer's name; whether an image is put into a libxl stream for it; the forms of its configuration.
    name = ""
    libxl = True
    forms: tuple[str, ...] = ()
    # The rule by which there is none of it without a configuration.
    needs = ""

    def __init__(self, configuration: bytes | None = None, emulator: str = "upstream", time: str = "") -> None:
        self.configuration = configuration
        self.emulator = tables.EMULATOR_IDS[EMULATORS[emulator]]
        self.time = time

    def before(self, inner: Layer) -> bytes:
        """What comes before a stream of that layer."""
        return b""

    @property
    def after(self) -> bytes:
        """What comes after it."""
        return b""


class Bare(Wrapper):
    """Nothing."""


class Xl(Wrapper):
    """A file of xl; without a configuration it has an empty one."""

    name = "xl"
    forms = ("json", "text")

    def before(self, inner: Layer) -> bytes:
        text = self.configuration or b""
        json = text.lstrip().startswith(b"{")
        text += b"\0" * json
        flags = tables.XL_FLAGS["json"] * json | tables.XL_FLAGS["stream_v2"] * (inner.row in (LIBXL, IMAGE))
        data = fixed("xl.OPTIONAL_DATA", "<", config_len=len(text)) + text
        # Both flags are bits of one integer.
        values = {"mandatory_flags.json": flags, "optional_data_len": len(data)}
        return fixed("xl.header", "<", **values) + data


class Libvirt(Wrapper):
    """A file of libvirt."""

    name = "libvirt"
    forms = ("xml",)
    needs = "REFUSE-XML"

    def before(self, inner: Layer) -> bytes:
        text = (self.configuration or b"") + b"\0"
        current = inner.row in (LIBXL, IMAGE)
        version = tables.LIBVIRT_VERSION_V2 if current else tables.LIBVIRT_VERSION_LEGACY
        return fixed("libvirt.header", "<", version=version, xml_len=len(text)) + text


class Xapi(Wrapper):
    """A XAPI suspend image."""

    name = "xapi"
    libxl = False
    forms = ("sexpr",)

    def before(self, inner: Layer) -> bytes:
        text = self.configuration
        if text is None:
            text = f"((time {self.time})(word_size {tables.XENOPS_WORD_SIZES[-1]}))".encode()
        image = XAPI_HEADER.pack(tables.XAPI_LIBXC, 0)
        return fixed("xapi.header", "<") + XAPI_HEADER.pack(tables.XAPI_XENOPS, len(text)) + text + image

    @property
    def after(self) -> bytes:
        return XAPI_HEADER.pack(tables.XAPI_END_OF_IMAGE, 0)


WRAPPERS: dict[str, type[Wrapper]] = {kind.name or "bare": kind for kind in (Xl, Libvirt, Xapi, Bare)}
