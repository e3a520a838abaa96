"""Streams that break one clause and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from hypothesis import reject
from hypothesis import strategies as st

from ..schema.clauses import registry
from . import (
    faults_containers,
    faults_legacy,
    faults_libxc,
    faults_libxl,
    faults_lost,
    faults_multifd,
    faults_payloads,
    faults_qemu,
    faults_vfio,
)
from .edits import Fault
from .from_schema import RULES, broken_field, broken_length, broken_order
from .sample import Sample

# How clauses are broken of which neither fields nor lengths nor the order rules say it all.
FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    **faults_libxc.FAULTS,
    **faults_payloads.FAULTS,
    **faults_libxl.FAULTS,
    **faults_containers.FAULTS,
    **faults_lost.FAULTS,
    **faults_legacy.FAULTS,
    **faults_qemu.FAULTS,
    **faults_multifd.FAULTS,
    **faults_vfio.FAULTS,
}


def breaking(clause: str) -> st.SearchStrategy[Sample]:
    """Streams that break one clause and no other.

    :param clause: id of a clause whose `judged` is "stream".
    :returns: a strategy for :class:`Sample`.
    :raises ValueError: there is no such clause.

    >>> from hypothesis import find
    >>> find(breaking("LIBXC-VERIFY-1"), lambda _: True).clauses
    frozenset({'LIBXC-VERIFY-1'})
    """
    row = registry().get(clause)
    if row is None or row.judged != "stream" or row.withdrawn:
        raise ValueError(f"{clause} is not a clause that a stream alone can break")
    return st.sampled_from(ways(clause)).flatmap(lambda way: broken(clause, way))


@cache
def ways(clause: str) -> tuple[Fault, ...]:
    """The ways to break a clause: one for each field, length and record in an order rule of which its data speaks."""
    if clause in FAULTS:
        found = FAULTS[clause]
        return found if isinstance(found, tuple) else (found,)
    row = registry()[clause]
    return (
        *(partial(broken_field, path=path) for path in row.fields),
        *(partial(broken_length, path=path) for path in row.lengths),
        *(
            partial(broken_order, layer=layer, rule=rule, name=name)
            for layer, rule in RULES.get(clause, ())
            for name in rule.on
        ),
    )


@st.composite
def broken(draw: st.DrawFn, clause: str, way: Fault) -> Sample:
    """Streams that are broken that way, and thereby break the clause alone."""
    only = {clause}
    for sample in way(draw):
        # A declared mode can make more of a breach than there is.
        for found in dict.fromkeys((sample, replace(sample, mode="auto"))) if sample.mode != "auto" else (sample,):
            if found.clauses == only:
                return found
    return reject()
