"""The writer: headers and records in order, judged by the verifier before they go out.

There is no second set of rules: what is to be written is read by the same reader, contents of pages excepted, and what
that finds is raised.  Nothing of a part that breaks a rule is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ..checks.findings import Finding
from ..checks.layer import MODES
from ..checks.verifier import Verifier
from ..codec.content import Buffer, Content, pieces, span
from ..codec.decode import fixed, layouts
from ..errors import BreachError
from ..io.outputs import output
from ..reader.items import Header
from ..reader.reader import Reader
from ..reader.registry import FORMS, ROWS
from ..schema import libxc, protocol
from ..schema.machine import EITHER
from .builders import image_headers, in_libxl, in_xl, page_data
from .draft import ANNOUNCING, Draft, batches
from .part import CARRIERS, HEADERS, RECORDS, Part, header, record, size

if TYPE_CHECKING:
    from ..io.outputs import Target
    from ..reader.pump import Pump

    class Record(Protocol):
        """What :class:`streamfmt.Record` is, which is built on more than this."""

        @property
        def layer(self) -> str: ...
        @property
        def name(self) -> str: ...
        @property
        def type(self) -> int: ...
        @property
        def length(self) -> int: ...
        @property
        def declared_length(self) -> int: ...
        def read(self, limit: int = ...) -> bytes: ...
        def chunks(self) -> Iterator[memoryview]: ...
        def tail(self) -> bytes: ...


# Bytes after END that are shown: they are looked at no further.
_HEAD = 64
# The forms that need little else to begin than an image, and whether they need a configuration.
_BEGUN = {"libxc": False, "libxl": False, "xl": True}
# Records up to this are copied in one piece.
_WHOLE = 16 << 20


class _Judge:
    """A reader and a verifier that see what is to be written."""

    def __init__(self, form: str, mode: str, strict: bool, deep: bool, guest: str | None) -> None:
        self.verifier = Verifier(mode, deep)
        self.verifier.open_ended = True
        # Of what may follow END nothing is waited for, unless the format has a record for it; but after text, which has
        # no form, a stream is looked for.
        exact = form != "auto" and not ROWS[form].after_end
        self._reader = Reader(self.verifier, form, exact, guest)
        self._strict = strict
        self._raised = 0

    @property
    def done(self) -> bool:
        """Whether the stream has ended: what comes then is after it."""
        return self._reader.pump.done

    def see(self, buffers: Sequence[Buffer]) -> None:
        """Raise what these bytes break."""
        _feed(self._reader.pump, buffers)
        self._raise()

    def after_end(self, contents: Sequence[Content], at: int) -> None:
        """Raise what these bytes break, which would come at offset `at`, after the stream's end."""
        ended = [layer for layer in self.verifier.layers if layer.row.trailing]
        if ended:  # else it is no stream
            head = b"".join(span(contents, 0, _HEAD))
            zero = all(bytes(piece).count(0) == len(piece) for piece in pieces(contents))
            self.verifier.trailing(ended[0], at, size(contents), head, zero)
            self._raise()

    def end(self) -> None:
        """Raise what is missing."""
        self._reader.pump.end()
        self._raise()

    def close(self) -> None:
        """Let go of the reader's window."""
        self._reader.close()

    def _raise(self) -> None:
        kept = self.verifier.findings.kept
        raised, self._raised = self._raised, len(kept)
        grave = ("error", "warning") if self._strict else ("error",)
        for finding in kept[raised:]:
            if finding.severity in grave:
                raise BreachError(finding)


def _feed(pump: Pump, buffers: Sequence[Buffer]) -> None:
    """The buffers' bytes through `pump`; those that it does not want to see go by many at a time."""
    left = size(buffers)
    ahead = 0
    for buffer in buffers:
        left -= len(buffer)
        if ahead >= len(buffer):
            ahead -= len(buffer)
            continue
        pump.feed(memoryview(buffer)[ahead:])
        ahead = min(left, max(-pump.run(), 0))
        if ahead:
            pump.skip(ahead)


class Writer:
    """Writes a stream; use it in a ``with`` statement, so that a file gets its name only when it is complete.

    :param target: path, descriptor, socket, or binary file object.
    :param form: what to write: "libxl", "libxc", "xl", or another form of :func:`streamfmt.verify`.
    :param mode: as for :func:`streamfmt.verify`.
    :param deep: likewise.
    :param strict: raise warnings like errors.
    :param guest: as for :func:`streamfmt.verify`.
    :param judge: check each part before it is written; without, anything can be written.
    :raises ValueError: unknown form or mode.
    :raises OSError: the target cannot be opened.

    `offset` is how many bytes have been written.
    """

    def __init__(
        self,
        target: Target,
        form: str = "libxl",
        *,
        mode: str = "auto",
        strict: bool = True,
        deep: bool = False,
        judge: bool = True,
        guest: str | None = None,
    ) -> None:
        if form not in ("auto", *FORMS):
            raise ValueError(f"form {form!r} is none of auto, {', '.join(FORMS)}")
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
        self.form = form
        self.offset = 0
        self._judge = _Judge(form, mode, strict, deep, guest) if judge else None
        # The layers whose headers have come, and whose turn it is among those of a libxl stream or an image.
        self._open = [form]
        self._machine = protocol.CHECKPOINTS if form == protocol.CHECKPOINTS.layer else protocol.IMAGE
        self._state = self._machine.start
        self._orders: dict[str, str] = {}
        self._output = output(target)
        self._broken: BaseException | None = None
        self._closed = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def findings(self) -> list[Finding]:
        """Breaches that were written anyway."""
        return [] if self._judge is None else self._judge.verifier.findings.kept

    # -- parts ------------------------------------------------------------------------------------------------

    def begin(
        self,
        guest: str,
        *,
        xen: tuple[int, int] = (4, 17),
        version: int = libxc.VERSIONS[-1],
        config: Content | None = None,
    ) -> None:
        """Write everything up to the first record of the guest's image; raises as :meth:`put`.

        :param guest: "hvm" or "pv".
        :param xen: major and minor version of the saving Xen.
        :param version: of the image.
        :param config: xl's configuration, of form "xl" only, which needs one: JSON with a NUL at its end, as Xen 4.6
            and later write it, or ``b""`` for none, which `xl restore` takes only beside one of its own.
        :raises ValueError: `config` is missing, or is for another form; or the form is not "libxl", "libxc" or "xl":
            `put` its parts one by one.
        """
        if self.form not in _BEGUN:
            raise ValueError(f"begin writes {', '.join(_BEGUN)}; of form {self.form!r} put the parts one by one")
        if (config is not None) != _BEGUN[self.form]:
            raise ValueError(f"config is for xl files, which need it: this is {self.form}")
        stream = Draft(image_headers(guest, version, xen))
        if not ROWS[self.form].image:
            stream = in_libxl(stream)
        if config is not None:
            stream = in_xl(stream, config)
        for part in stream:
            self.put(part)

    def header(self, name: str, **values: Any) -> None:
        """Write a header.

        :param name: schema name, such as "image_header" or "libxl.header".
        :param values: field values; the schema gives constants.
        :raises ValueError: unknown or ambiguous name; otherwise as :meth:`put`.
        """
        self.put(header(self._path(name, HEADERS), **values))

    def record(self, name: str, data: Content | None = None, **values: Any) -> None:
        """Write a record.

        :param name: schema name, such as "X86_TSC_INFO" or "libxl.END".
        :param data: the body's bytes, instead of `values`.
        :param values: field values; lengths, counts and padding are computed.
        :raises ValueError: unknown or ambiguous name; otherwise as :meth:`put`.
        """
        self.put(record(self._path(name, RECORDS), data, **values))

    def pages(self, pfns: Sequence[int], types: str | Sequence[str], contents: Iterable[Buffer]) -> None:
        """Write a PAGE_DATA record; raises as :meth:`put`.

        :param pfns: frame numbers.
        :param types: the name of each frame's type, or one for all, such as "NOTAB".
        :param contents: buffers of whole pages for the types that have contents; not copied, free to change afterwards.
        """
        self.put(page_data(pfns, types, contents))

    def copy(self, item: Header | Record) -> None:
        """Write a header or record of a :class:`streamfmt.Stream` unchanged, byte for byte.

        A record of over 16 MiB is written while it is judged.

        :param item: one of a stream that is being read; of a record nothing may have been read yet.
        :raises StreamError: it cannot be read; otherwise as :meth:`put`.
        """
        layer = item.layer.rpartition("/")[2]
        path = f"{layer}.{item.name}"
        if isinstance(item, Header):
            self.put(Part(path, data=item.data))
            return
        # Of a record that no schema knows its number is enough.
        part = Part(
            path if path in RECORDS else CARRIERS[layer],
            code=item.type,
            padding=b"",
        )
        if "length" in part.ahead:
            part = replace(part, declared_length=item.declared_length)
        if item.length <= _WHOLE:
            data = item.read(_WHOLE)
            self.put(replace(part, data=data, padding=item.tail()))
            return
        self.put(replace(part, data=b""))
        for chunk in item.chunks():
            self._out([chunk])
        self._out([item.tail()])

    def end(self) -> None:
        """Write END of the innermost open layer; raises as :meth:`put`."""
        self.record("END")

    def put(self, part: Part) -> None:
        """Write a part.  Contents generated on the fly, such as many pages by rule, are written while they are judged.

        :param part: a header, a record, or raw bytes.
        :raises BreachError: it breaks a rule; nothing more can be written.
        :raises FieldError: a value does not fit its field.
        :raises OSError: the target cannot be written.
        """
        self._out(buffers := part.whole(self._orders.get(part.layer, "<")))
        self._note(part, buffers)

    def _out(self, contents: list[Content]) -> None:
        """Bytes, judged and written.  Raises BreachError and OSError."""
        self._check()
        try:
            ended = self._judge is None or self._judge.done
            if self._judge is not None and ended and contents:
                self._judge.after_end(contents, self.offset)
            for buffers in batches(contents):
                if self._judge is not None and not ended:
                    self._judge.see(buffers)
                self._output.write(buffers)
                self.offset += size(buffers)
        except BaseException as error:
            self._broken = error
            raise

    def close(self) -> None:
        """Complete the stream.

        :raises BreachError: something is missing; a file is not created.
        :raises OSError: the target cannot be written.
        """
        if self._closed:
            return
        try:
            self._check()
            if self._judge is not None:
                self._judge.end()
        except BaseException:
            self.abort()
            raise
        self._close()
        self._output.finish()

    def abort(self) -> None:
        """Give up: no file is created, and an existing one is kept."""
        if not self._closed:
            self._close()
            self._output.abort()

    def _close(self) -> None:
        self._closed = True
        if self._judge is not None:
            self._judge.close()

    # -- where it is ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the stream has been closed")
        if self._broken is not None:
            raise ValueError(f"nothing can follow what could not be written: {self._broken}")

    def _path(self, name: str, known: Iterable[str]) -> str:
        """A path for a name: that of the innermost layer that is open and has it, or of the only one that has."""
        if "." in name:
            return name
        found = [path for path in known if path.partition(".")[2] == name]
        turn = self._machine.turns[self._state]
        waiting = set(self._machine.turns.values()) - {turn} if turn != EITHER else set()
        here = [path for layer in reversed(self._open) if layer not in waiting and (path := f"{layer}.{name}") in found]
        if here:
            return here[0]
        if len(found) != 1:
            raise ValueError(f"{name} is in {', '.join(found)}" if found else f"there is no header or record {name}")
        return found[0]

    def _note(self, part: Part, buffers: Sequence[Content]) -> None:
        """What the part opens and announces, and whose turn it is now."""
        layer = part.layer
        if part.path not in HEADERS:
            self._state = self._machine.step(self._state, part.kind) or self._state
            return
        if layer not in self._open:
            self._open.append(layer)
        if layer == protocol.CHECKPOINTS.layer:
            self._machine = protocol.CHECKPOINTS
        turns = self._machine.turns.items()
        self._state = next((state for state, turn in turns if turn == layer), self._state)
        if part.path in ANNOUNCING:
            layout = layouts()[part.path]
            said = fixed(layout, b"".join(span(buffers, 0, layout.size)), "<")
            self._orders[layer] = ">" if said["options.endian"] else "<"
