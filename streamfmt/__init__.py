"""The executable specification and conformance suite of Xen migration streams.

What can be imported from here is documented in docs/api.md; it is loaded when it is first used.
"""

import sys

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from . import aio
    from .api import Record, Stream, identify, open, verify  # noqa: A004 - users write streamfmt.open
    from .reader.events import Layer
    from .reader.failure import Failure
    from .reader.headers import Identification
    from .reader.identify import Identity
    from .reader.pull import Header, LimitError, MalformedError, NotAStreamError, PageBatch, TruncatedError
    from .reader.sources import DamagedError, StreamError, UnopenedError
    from .verify.findings import Finding
    from .verify.report import Outcome
else:
    ModuleType = type(sys)  # cheaper than importing types

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
    "verify",
]


if not TYPE_CHECKING:  # type checkers would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found: object = (
            import_module(".aio", __name__) if name == "aio" else getattr(import_module(".api", __name__), name)
        )
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This module's class: `streamfmt.verify` is the function, also when the package of that name has been loaded.

    Loading a package sets it as an attribute here, which would hide the function.
    """

    @property
    def verify(self) -> object:
        from .api import verify

        return verify

    @verify.setter
    def verify(self, package: object) -> None:
        pass


sys.modules[__name__].__class__ = _Package
