"""Hypothesis strategies for migration streams: conforming, broken in one way, at boundaries, cut, mutated.

Everything follows from the schemas, the order rules and the clauses; docs/strategies.md shows the use.  This is the
extra `fuzz` (hypothesis), which nothing else in streamfmt needs.
"""

from .sample import Sample
from .valid import streams

__all__ = ["Sample", "streams"]
