"""Streams that break one clause and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import reject
from hypothesis import strategies as st

from ..schema.clauses import registry
from . import faults_containers, faults_libxc, faults_libxl
from .derived import RULES, broken_fields, broken_lengths, broken_order
from .fault import Fault
from .sample import Sample

# How clauses are broken of which neither fields nor lengths nor the order rules say it all.
FAULTS: dict[str, Fault] = {**faults_libxc.FAULTS, **faults_libxl.FAULTS, **faults_containers.FAULTS}


def breaking(clause: str) -> st.SearchStrategy[Sample]:
    """Streams that break that clause and no other.

    There are some for every clause whose `judged` is "stream".  Raises ValueError for any other.

    >>> from hypothesis import find
    >>> find(breaking("LIBXC-VERIFY-1"), lambda _: True).clauses
    frozenset({'LIBXC-VERIFY-1'})
    """
    row = registry().get(clause)
    if row is None or row.judged != "stream" or row.withdrawn:
        raise ValueError(f"{clause} is no clause that a stream alone can break")
    return _broken(clause)


@cache
def _faults(clause: str) -> tuple[Fault, ...]:
    """The ways to break a clause."""
    row = registry()[clause]
    if clause in FAULTS:
        return (FAULTS[clause],)
    found: list[Fault] = [broken_fields(row.fields)] if row.fields else []
    found += map(_lengths, row.lengths)
    if clause in RULES:
        found.append(lambda draw: broken_order(draw, clause))
    return tuple(found)


def _lengths(path: str) -> Fault:
    return lambda draw: broken_lengths(draw, path)


@st.composite
def _broken(draw: st.DrawFn, clause: str) -> Sample:
    only = {clause}
    for sample in draw(st.sampled_from(_faults(clause)))(draw):
        # A declared mode can make more of a breach than there is.
        for found in dict.fromkeys((sample, replace(sample, mode="auto"))) if sample.mode != "auto" else (sample,):
            if found.clauses == only:
                return found
    return reject()
