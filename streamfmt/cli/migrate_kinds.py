"""The kinds of guests that `migrate` makes."""

from __future__ import annotations

from ..engine.guest.makes import KINDS, Wanted, empty, running

__all__ = ["KINDS", "Wanted", "empty", "running"]
