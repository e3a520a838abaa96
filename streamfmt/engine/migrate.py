"""A guest moves: what the callers of both sides use.

Both sides work as the tables of `xl migrate`'s sides say and speak its protocol, so that xl may be at the other end of
the link; :func:`save` and :func:`restore` write and read the stream alone, as `xl save` and `xl restore` do.  What ends
a migration is raised on both sides: a receiver says why before it closes the link, and a sender that fails closes it.

Who wants to look at it meanwhile makes a :class:`Sending` or :class:`Receiving` instead.
"""

from __future__ import annotations

from .interface import End, Guest
from .receiving import Make, Receiving, Restoring, Taking
from .sending import Saving, Sending, Way
from .side import Asked, Patience
from .statistics import Statistics
from .waiting import Waiter

_TAKING = Taking()


def send(guest: Guest, end: End, way: Way, asked: Asked | None = None) -> Statistics:
    """Move a guest to the other end of a link; returns the figures.

    Afterwards the guest runs over there; the copy here is paused, and must not run again: close it.  The end of the
    link stays open, as it does after all of these.

    :raises MigrationError: why the guest is still here.  It runs if it did before, and is paused if not.
    :raises InDoubtError: it is paused here, and may run there.
    """
    return Sending(guest, end, way, asked or Asked(Waiter())).send()


def receive(end: End, make: Make, taking: Taking = _TAKING, asked: Asked | None = None) -> Guest:
    """Take a guest from the other end of a link; it runs, unless it did not at the source or is not to be started.

    :raises MigrationError: why there is no guest here.
    """
    return Receiving(end, make, taking, asked or Asked(Waiter())).receive()


def save(guest: Guest, end: End, way: Way, asked: Asked | None = None) -> Statistics:
    """Write a guest to where nobody answers, such as a file; it is paused afterwards.

    :raises MigrationError: why it could not be written; the guest is as it was before.
    """
    return Saving(guest, end, way, asked or Asked(Waiter())).save()


def restore(end: End, make: Make, taking: Taking = _TAKING, asked: Asked | None = None) -> Guest:
    """Read a guest from where nobody waits for an answer; raises as :func:`receive`."""
    return Restoring(end, make, taking, asked or Asked(Waiter())).restore()


__all__ = ["Asked", "Make", "Patience", "Receiving", "Restoring", "Saving", "Sending", "Taking", "Way"]
__all__ += ["receive", "restore", "save", "send"]
