"""Two streams of what a caller has, compared."""

from __future__ import annotations

from contextlib import ExitStack

from ..api import Form, Guest, Stream, check_form, check_guest
from ..errors import LimitError, MalformedError
from ..io.feed import Feed
from ..reader.registry import READ
from .comparison import KEPT, Comparison, compare
from .side import Side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..io.feed import StreamSource


def diff(
    a: StreamSource,
    b: StreamSource,
    *,
    form: Form = "auto",
    guest: Guest | None = None,
    records: bool = False,
    contents: bool = True,
    limit: int = KEPT,
) -> Comparison:
    """Compare two streams by what a restore of either would have, in whatever form, order or batches they come.

    :param a: path, descriptor, binary file object or bytes.
    :param b: the other, of any of these.
    :param form: "auto", or the form to read them as.
    :param guest: "pv" or "hvm" if that is what guest's a legacy stream is, whatever its bytes look like.
    :param records: compare record by record instead, as they come, and their bytes.
    :param contents: look at the contents of pages too, not only at which there are.
    :param limit: differences of each kind that are kept; the others are counted.
    :returns: what differs; :attr:`Comparison.troubles` says of which of them something is missing.
    :raises StreamError: one of them is no stream.
    :raises OSError: a source cannot be opened or read.
    :raises TypeError: it is not a source.
    :raises ValueError: unknown form or guest.
    """
    check_form(form)
    check_guest(guest)
    with ExitStack() as opened:
        if records:
            from .records import compare as compare_records

            one, other = (opened.enter_context(Stream(source, form, guest=guest)) for source in (a, b))
            return compare_records(one, other, limit)
        left, right = (_side(source, form, guest, opened) for source in (a, b))
        return compare(left, right, limit, contents)


def _side(source: StreamSource, form: str, guest: str | None, opened: ExitStack) -> Side:
    """One of the two, which has been read."""
    side = Side(form, guest)
    opened.callback(side.close)
    feed = Feed(source, side.reader)
    opened.callback(feed.close)
    side.reading(feed.source)
    try:
        feed.drive(side.reader.pump)
    except LimitError as error:
        side.failure = error
    finally:
        side.end()
        side.reader.close()
    identity = side.reader.identity
    if identity is None or identity.key not in READ or not side.layers:
        raise side.failure or MalformedError(0, "there is no stream in it")
    return side
