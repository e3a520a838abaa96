"""Buffers that go over a link in pieces: as many as may go now, and what is left once some have."""

from __future__ import annotations

from collections.abc import Sequence

from ..codec.content import Buffer


def first(buffers: Sequence[Buffer], at: int, many: int, room: int | None = None) -> list[Buffer]:
    """The buffers from `at` on, `many` at most, and of these as many bytes as there is room for; None: all."""
    some = list(buffers[at : at + many])
    if room is None:
        return some
    found: list[Buffer] = []
    for buffer in some:
        if room <= 0:
            break
        found.append(buffer if len(buffer) <= room else memoryview(buffer)[:room])
        room -= len(buffer)
    return found


def after(buffers: list[Buffer], at: int, went: int) -> int:
    """Take off the bytes that went, of the buffers from `at` on; returns where those begin that are left."""
    while went and went >= len(buffers[at]):
        went -= len(buffers[at])
        at += 1
    if went:
        buffers[at] = memoryview(buffers[at])[went:]
    return at
