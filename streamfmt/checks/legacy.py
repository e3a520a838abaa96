"""Checks of the legacy stream."""

from __future__ import annotations

from . import layer as base


class Checks(base.Checks):
    """Judges a legacy stream."""
