"""Entries of an HVM context as recipes make them by default are such as Xen loads."""

from __future__ import annotations

import pytest

from ..schema import hvm
from ..writer import context
from ..writer.hvm_state import after_reset
from .support.good_streams import HVM
from .support.vector import judge

_COUNTED = [row for row in hvm.CONTEXT_TYPES if row.code not in (hvm.HEADER_TYPE, hvm.END_TYPE) and not row.counted]


@pytest.mark.parametrize("form", [-1, 0])
def test_default_entries_conform(form: int) -> None:
    """Of each type, of the oldest and the newest length, for the first and the last vcpu or device."""
    entries = [
        (row.code, instance, after_reset(row.name, row.lengths[form], instance))
        for row in _COUNTED
        for instance in sorted({0, row.instances - 1})
    ]
    whole = context((hvm.HEADER_TYPE, 0, hvm.HEADER_DATA), *entries, (hvm.END_TYPE, 0, b""))
    raw = HVM.edit("libxc.HVM_CONTEXT", values=whole.values).render()

    outcome = judge([raw], deep=True)

    assert outcome.conforms
    assert not [each for each in outcome.findings if each.clause.startswith("LIBXC-HVMCTX")]
    assert any(after_reset("CPU"))
