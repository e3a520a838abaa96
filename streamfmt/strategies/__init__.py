"""Hypothesis strategies for migration streams: conforming, broken in one way, at boundaries, cut, damaged.

Everything follows from the schemas, the order rules and the clauses; docs/strategies.md shows the use.  This needs the
extra `fuzz` (hypothesis), as nothing else in streamfmt does.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401 - only to say what is missing
except ImportError as _missing:
    raise ImportError("streamfmt.strategies needs hypothesis; try: pip install 'streamfmt[fuzz]'") from _missing

from .breaking import breaking
from .conforming import streams
from .mutations import boundaries, chunkings, cuts, inputs, mutations
from .payloads import Content, payloads
from .sample import Sample

__all__ = [
    "Content",
    "Sample",
    "boundaries",
    "breaking",
    "chunkings",
    "cuts",
    "inputs",
    "mutations",
    "payloads",
    "streams",
]
