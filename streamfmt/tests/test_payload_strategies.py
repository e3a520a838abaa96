"""Contents of payloads as strategies make them: of every form, and such as receivers load."""

from __future__ import annotations

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from ..codec.payload import form
from ..schema import hvm
from ..schema.payloads import HVM_ENTRIES, PAYLOADS, entry_of
from ..strategies import Content, Sample, payloads
from ..writer import Draft, context
from .support.good_streams import HVM, PV

_CODES = {row.name: row.code for row in hvm.CONTEXT_TYPES}
_HELD = [row.path for row in HVM_ENTRIES if row.path not in ("hvm.HEADER", "hvm.END")]
_VCPU = {"pv.EXTENDED": "EXTENDED", "pv.XSAVE": "XSAVE", "pv.XSAVE_AMD": "XSAVE", "pv.XSAVE_16": "XSAVE"}


def swapped(stream: Draft, path: str, **values: object) -> Draft:
    """The stream with other values in its only record of that path."""
    return stream.edit(path, values={**stream.part(path).values, **values})


@settings(max_examples=60)
@given(st.data(), st.sampled_from(_HELD), st.integers(0, 3))
def test_entries_conform(data: st.DataObject, path: str, instance: int) -> None:
    """In an HVM context nothing is wrong with what a strategy puts there, not even a note."""
    made = data.draw(payloads(path, instance))
    entry = _CODES[entry_of(path)], instance, made.data
    stream = HVM.edit(
        "libxc.HVM_CONTEXT",
        values=context((hvm.HEADER_TYPE, 0, hvm.HEADER_DATA), entry, (hvm.END_TYPE, 0, b"")).values,
    )
    outcome = Sample(stream, "libxc", deep=True).verify()

    assert form(f"hvm.{entry_of(path)}", len(made.data)) in (path, "hvm.CPU_XSAVE")
    assert outcome.conforms
    assert not [each for each in outcome.findings if each.clause.startswith("LIBXC-HVMCTX")]


@settings(max_examples=20)
@given(st.data(), st.sampled_from(sorted(_VCPU)))
def test_contexts_of_vcpus_conform(data: st.DataObject, path: str) -> None:
    """The same in records of a PV guest's vcpus."""
    made = data.draw(payloads(path))
    stream = swapped(PV, f"libxc.X86_PV_VCPU_{_VCPU[path]}", context=made.data)

    assert Sample(stream, "libxc", deep=True).verify().counts == Sample(PV, "libxc", deep=True).verify().counts


def test_any_form_and_the_smallest() -> None:
    """Without a form there is any; the smallest content has nothing that a receiver does not ask for."""
    smallest = find(payloads("hvm.HPET"), lambda _: True)

    assert smallest == Content("hvm.HPET", bytes(1048))
    assert find(payloads(), lambda made: made.path == "pv.START_INFO_64" and any(made.data)).data
    assert find(payloads("hvm.CPU_MSR"), lambda _: True).data[:4] == b"\1\0\0\0"
    with pytest.raises(ValueError, match=r"there is no payload hvm\.NONE"):
        payloads("hvm.NONE")
    assert {row.path for row in PAYLOADS} >= set(_HELD)
