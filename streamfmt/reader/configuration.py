"""The guest's configuration that a container carries: what of it names the guest, and what its image must fit.

Four forms are read, by how a text begins: libxl's JSON, xl's own text, libvirt's XML, and the S-expressions of XAPI and
xend.  Nothing here consumes bytes or judges.  A text is read as far as the limit; what is not understood is left out,
and why is in `error`.  Each form's parser is loaded, and run, only where such a text is there.
"""

from __future__ import annotations

from _struct import unpack_from  # struct would be a module more to find

from .. import tables
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any

    from .events import Body

# Bytes of a text that are read: no toolstack writes a fifth of it, and the window holds four times that.
MOST = 64 << 10
# A guest's types, and those that are HVM for the hypervisor and in an image.
PV, HVM, PVH = "pv", "hvm", "pvh"
_IMAGES = {PV: PV, HVM: HVM, PVH: HVM}


class Configuration:
    """What a configuration says; None, or "", where it does not, or in words that are not understood.

    `form` is "json", "text", "xml" or "sexpr".  `type` is "pv", "hvm" or "pvh"; `vcpus` the most that the guest may
    have, `memory` its memory in KiB, `domid` the number that it is to have again, `viridian` whether it sees Viridian
    interfaces.  `error` says why the text could not be read to its end.
    """

    __slots__ = ("domid", "error", "form", "memory", "name", "type", "uuid", "vcpus", "viridian")

    def __init__(self, form: str) -> None:
        self.form = form
        self.name = self.uuid = self.type = self.error = ""
        self.vcpus: int | None = None
        self.memory: int | None = None
        self.domid: int | None = None
        self.viridian: bool | None = None

    @property
    def image(self) -> str:
        """The type of guest that the image of such a guest has: "pv", "hvm", or "" if that is not known."""
        return _IMAGES.get(self.type, "")

    def words(self) -> str:
        """The guest in a line: "'web01', HVM, 2 vcpus, 512 MiB"; the name is as ASCII has it."""
        words = [f"{self.name!a}"] if self.name else []
        words += [self.type.upper()] if self.type else []
        words += [f"{self.vcpus} vcpu{'s' if self.vcpus != 1 else ''}"] if self.vcpus is not None else []
        words += [f"{self.memory >> 10:,} MiB"] if self.memory is not None else []
        return ", ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """What is said, as plain values."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) not in (None, "")}


def peek(body: Body) -> Generator[int, int, tuple[bytes, int]]:
    """Program that gets the text of a configuration from a record of which nothing has been read, and consumes nothing.

    A layer's row says which record that is; its fixed fields, if it has any, begin with the length of the text.
    Returns the text, as far as the limit, and its length; nothing, and 0, if it is empty or the stream ends inside it.
    """
    path = body.record.path
    first, left = tables.SIZES[path], body.left
    if left < first or not (yield from body.need(first)):
        return b"", 0
    if first:
        length, *_ = unpack_from(body.order + tables.FORMATS[path], body.window.head(first))
        left = min(left, first + length)
    size = min(left, first + MOST)
    if size <= first or not (yield from body.need(size)):
        return b"", 0
    return body.window.head(size)[first:], left - first


def read(body: Body) -> Generator[int, int, Configuration | None]:
    """Program that reads the configuration in a record, as :func:`peek` gets it; None if there is none."""
    text, length = yield from peek(body)
    return parse(text, length) if text else None


def parse(data: bytes, length: int = 0) -> Configuration:
    """The configuration that `data` is, up to the first NUL; of any bytes, in time linear in their length.

    They may be the first of so many bytes that `length` says.
    """
    data = data[:MOST].partition(b"\0")[0]
    form = form_of(data)
    found = Configuration(form)
    readers: Mapping[str, Callable[[bytes, Configuration], str]] = load(_READERS)
    found.error = readers[form](data, found)
    if length > MOST and not found.error:
        found.error = f"only its first {MOST:,} bytes were read"
    return found


def form_of(data: bytes) -> str:
    """The form of a configuration, by its first character."""
    return _FORMS.get(data.lstrip()[:1], "text")


# What has a parser for each form.
_READERS = "reader.configuration_forms:READERS"
# What they are called.
WORDS = {"json": "JSON", "text": "xl's text", "xml": "XML", "sexpr": "an S-expression"}
# Forms by the first character of their texts.
_FORMS = {b"{": "json", b"<": "xml", b"(": "sexpr"}
