"""Migrations between us and real QEMU: what the callers of both sides use.

A receiver says that it has the guest only when all that came is sound, and stored or in the guest's memory; a sender is
done only when the receiver has said so.  Without a return path nobody says anything: then a sender that has sent all,
and sees the receiver close the link, is done, as QEMU itself is.
"""

from __future__ import annotations

from .qemu_receiving import Received, Receiving, Taking, receive, store
from .qemu_sending import Sending, Terms, send
from .qemu_stored import devices, play, store_devices

__all__ = ["Received", "Receiving", "Sending", "Taking", "Terms", "devices", "play", "receive", "send", "store"]
__all__ += ["store_devices"]
