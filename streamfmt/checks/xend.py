"""Checks of xend's save file and of XAPI's old image, which have a legacy stream in them."""

from __future__ import annotations

from . import layer as base


class Xend(base.Checks):
    """Judges a xend save file."""


class XapiLegacy(base.Checks):
    """Judges a XAPI legacy image."""
