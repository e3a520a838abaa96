"""Hypothesis strategies for migration streams: conforming, broken in one way, at boundaries, cut, damaged.

Everything follows from the schemas, the order rules and the clauses; docs/strategies.md shows the use.  This needs the
extra `fuzz` (hypothesis), as nothing else in streamfmt does.
"""

from .broken import breaking
from .changed import boundaries, chunkings, cuts, inputs, mutations
from .sample import Sample
from .valid import streams

__all__ = ["Sample", "boundaries", "breaking", "chunkings", "cuts", "inputs", "mutations", "streams"]
