"""A part taken out of a stream on its way, as it lies or in a form for people and programs."""

from __future__ import annotations

from ..errors import LimitError, MalformedError, StreamError
from ..io.copying import Plan
from ..reader.events import PIECE, Body
from .parts import BASE64, BYTES, NAMED, PAIRS, SOURCE, Enough, Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .parts import Part, Wanted

# How a part may be wanted: in its usual form, as it lies, as text for people, as JSON.
USUAL, RAW, TEXT, JSON = "", "raw", "text", "json"
# Bytes of a part that are made text of, or JSON: more than any toolstack writes, and they take a hundred times as many.
TEXT_MAX = 256 << 10
# What can be had of parts of each form.
_HOW = {SOURCE: (USUAL, RAW, TEXT, JSON), PAIRS: (USUAL, RAW, TEXT, JSON), BASE64: (USUAL, RAW), BYTES: (USUAL, RAW)}
_FORMS: dict[str, set[str]] = {}
for _name, _form in NAMED.values():
    _FORMS.setdefault(_name, set()).add(_form)
_SPACE = b" \t\r\n"


class SeveralError(StreamError):
    """There is more than one part of a name, and it was not said which is wanted."""

    def __init__(self, part: Part, first: int) -> None:
        super().__init__(part.name)
        self._part = part
        self._first = first

    def __str__(self) -> str:
        name, at = self._part.name, self._part.offset
        return f"there are several of {name}, at {self._first}, {at} and so on; ask for one, such as {name}[0]"


class AbsentError(StreamError):
    """There is no such part; `names` are what there is."""

    def __init__(self, wanted: Wanted, names: list[str]) -> None:
        super().__init__(wanted, names)
        self._wanted = wanted
        self.names = names

    def __str__(self) -> str:
        wanted = self._wanted
        which = wanted.name if wanted.number is None else f"{wanted.name}[{wanted.number}]"
        return f"there is no {which} in it" + (f", only {', '.join(self.names)}" if self.names else "")


def refused(wanted: Wanted, how: str) -> str:
    """Why parts of that name cannot be had like this; empty if they can."""
    forms = _FORMS.get(wanted.name, {BYTES})
    if any(how in _HOW[form] for form in forms):
        return ""
    return f"{wanted.name} is not text; it can only be taken out as bytes"


class Taking(Parts):
    """Takes one part out of a stream: `plan` says which bytes go to the output.

    `taken` is the part, None as long as there is none; `error` says why it is not had, once the input has ended.
    Nothing is read after a part that can be the only one of its name, or was asked for by its number.
    """

    def __init__(self, wanted: Wanted, how: str = USUAL, form: str = "auto", guest: str | None = None) -> None:
        super().__init__(wanted.names, form, guest)
        self.plan = Plan(copying=False)
        self.taken: Part | None = None
        self.error: StreamError | None = None
        self._wanted = wanted
        self._how = how
        self._alone = False
        self._seen: dict[str, int] = {}

    def begun(self, part: Part, layer: Layer) -> bool:
        self._seen[part.name] = self._seen.get(part.name, 0) + 1
        if part.name != self._wanted.name or self._wanted.number not in (None, part.number):
            return False
        if self.taken is not None:
            self._stop(SeveralError(part, self.taken.offset))
        self.taken = part
        # A container without headers of records has one of each.
        self._alone = self._wanted.number is not None or (part.index is not None and not layer.header_size)
        return True

    def stretch(self, part: Part, at: int, on: bool) -> None:
        self.plan.turn(at, on)

    def read(self, part: Part, record: Record, start: int, stop: int) -> Program | None:
        size = stop - start
        if self._how == RAW or part.form == BYTES:
            self.plan.copy(start, stop)
            return None
        body = Body(self.window, record)
        if part.form == SOURCE and self._how == USUAL:
            return self._without_nul(body, start, stop)
        if part.form == BASE64:
            return self._decoded(body, stop)
        if size > TEXT_MAX:
            self._stop(LimitError(start, f"bytes of {part.name} to be made text of", size, TEXT_MAX))
        return self._told(body, part, start, size)

    def held(self, part: Part, data: bytes) -> None:
        self.plan.put(self.window.position, data)

    def complete(self, part: Part) -> None:
        if self._alone:
            raise Enough

    def end(self) -> None:
        """The input has been read, or enough of it; `error` says why the part is not had, if so."""
        super().end()
        if self.error is not None:
            return
        if self.taken is None:
            self.error = self.failure or AbsentError(self._wanted, _numbered(self._seen))
        elif not self.taken.whole:
            self.error = self.failure or MalformedError(self.taken.offset, f"{self.taken.name} has no end")

    def _stop(self, error: StreamError) -> None:
        self.error = error
        raise Enough

    # -- programs -------------------------------------------------------------------------------------------------

    def _without_nul(self, body: Body, start: int, stop: int) -> Program:
        """All of a text but a NUL at its end."""
        if start == stop:
            return
        self.plan.copy(start, stop - 1)
        left = stop - 1 - body.at
        if left and (yield -left) < left:
            return
        if (yield from body.need(1)) and body.window.head(1) != b"\0":
            self.plan.copy(stop - 1, stop)

    def _decoded(self, body: Body, stop: int) -> Program:
        """What stands in base64, groups of four characters with space between them."""
        rest = b""
        while (at := body.at) < stop and (piece := (yield from body.piece())):
            rest += piece.translate(None, _SPACE)
            whole = len(rest) // 4 * 4
            self.plan.put(body.at, self._from_base64(rest[:whole], at))
            rest = rest[whole:]
        if rest:
            self._stop(MalformedError(body.at, f"base64 that ends with {len(rest)} characters over"))

    def _from_base64(self, data: bytes, at: int) -> bytes:
        from binascii import a2b_base64  # few parts are in base64

        try:
            return a2b_base64(data, strict_mode=True)
        except ValueError as error:
            self._stop(MalformedError(at, f"not valid base64: {error}"))
            raise

    def _told(self, body: Body, part: Part, start: int, size: int) -> Program:
        """Text or JSON of a part that is short."""
        from .part_text import CONVERTERS  # most are taken as they are

        yield from body.skip(start - body.at)
        data = bytearray()
        while len(data) < size and (piece := (yield from body.piece(most=min(PIECE, size - len(data))))):
            data += piece
        if len(data) == size:
            try:
                self.plan.put(body.at, CONVERTERS[part.form, self._how](bytes(data)))
            except ValueError as error:
                self._stop(MalformedError(start, f"{part.name}: {error}"))


def _numbered(seen: dict[str, int]) -> list[str]:
    """Names of parts, with numbers where there are several."""
    return [name if count == 1 else f"{name}[0] to [{count - 1}]" for name, count in seen.items()]
