"""The executable specification and conformance suite of Xen migration streams.

What can be imported from here is documented in docs/api.md; it is loaded when it is first used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import aio
    from .api import Record, Stream, identify, open, open_memory, verify  # noqa: A004 - users write streamfmt.open
    from .checks.findings import Finding
    from .checks.outcome import Outcome
    from .errors import (
        DamagedError,
        LimitError,
        MalformedError,
        NotAStreamError,
        StreamError,
        TruncatedError,
        UnopenedError,
    )
    from .memory.image import Memory
    from .reader.events import Layer
    from .reader.failure import Failure
    from .reader.identification import Identification
    from .reader.identify import Identity
    from .reader.items import Header
    from .reader.page_data import PageBatch

__all__ = [
    "DamagedError",
    "Failure",
    "Finding",
    "Header",
    "Identification",
    "Identity",
    "Layer",
    "LimitError",
    "MalformedError",
    "Memory",
    "NotAStreamError",
    "Outcome",
    "PageBatch",
    "Record",
    "Stream",
    "StreamError",
    "TruncatedError",
    "UnopenedError",
    "aio",
    "identify",
    "open",
    "open_memory",
    "verify",
]


if not TYPE_CHECKING:  # type checkers would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found: object = None
        for place in (".aio",) if name == "aio" else (".api", ".errors", ".checks.findings"):
            module = import_module(place, __name__)
            found = found or (module if name == "aio" else getattr(module, name, None))
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
