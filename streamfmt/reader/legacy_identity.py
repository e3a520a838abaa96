"""What legacy stream it is where that is declared, or promised by what is around it, which may know its guest."""

from __future__ import annotations

from .identify import LEGACY_LEAST, Identity, legacy, named, peek, widths
from .pump import CAPACITY
from .registry import ALIASES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .pump import Window


def forced(form: str, window: Window, exact: bool) -> Generator[int, int, Identity]:
    """Program of the identity of what is declared to be of that form: a legacy stream, of some width or of any."""
    size = LEGACY_LEAST if exact else CAPACITY
    yield size
    head = window.head(size)
    width = next((bits for bits, name in widths().items() if name == form), None)
    found = legacy(head, width, declared=True)
    if found is None:
        # Its header is all that can be read, and is no good.
        width = width or next(iter(widths()))
        found = Identity(widths()[width], "legacy", named(width, None), "declared with --as", width)
    else:
        found.evidence = f"declared with --as; {found.evidence}"
    other = legacy(head)
    if other is not None and other.width != found.width:
        found.doubt, found.hint = f"its bytes look like a {other.name}", f"try --as {other.key}"
    return found


def inside(window: Window, exact: bool, guest: str | None, configured: str) -> Generator[int, int, Identity]:
    """Program that identifies, without consuming it, what begins where a legacy stream was promised.

    That needs not prove that it is one.  Its `guest` may be declared; and where its bytes leave that open, or prove too
    little, what the container's configuration says decides (`configured`).
    """
    found = yield from peek(window, exact)
    if found.key and not found.width:
        return found
    size = LEGACY_LEAST if exact else CAPACITY
    yield size
    head = window.head(size)
    other = legacy(head, declared=True) if not found.key and found.kind == "unknown" else None
    found = other or found
    if guest and found.width:
        decide(found, guest)
    if configured and (found.key in ALIASES or other is not None):
        decide(found, configured, "by its configuration")
    return found


def decide(found: Identity, guest: str, why: str = "declared") -> None:
    """Take a legacy stream for one of that guest, whatever its bytes look like."""
    if found.guest == guest:
        return
    looks = f"its bytes look like {found.guest.upper()}" if found.guest else ""
    found.evidence += f"; {why} {guest.upper()}" + (f", though {looks}" if looks else "")
    if not found.doubt:
        found.doubt, found.hint = looks, f"try --guest {found.guest}" if looks else ""
    found.guest, found.key = guest, widths()[found.width or 0]
    found.name = named(found.width or 0, guest)
